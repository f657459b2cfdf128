"""A problem file's text with another number in one place: comments, order and layout stay as they are.

    risk_aversion = 0.01    # per USD    →    risk_aversion = 0.03    # per USD; chosen for pnl = 1, was 0.01

The number is found by its path (`quotegrid.models.paths`). A remark is put behind the comment on its line, in
place of an earlier one; inside a table that is written on one line there is no room for it.
"""

import re
from collections.abc import Iterator, MutableMapping, MutableSequence
from typing import Any

import tomlkit
from tomlkit.items import InlineTable, Table

_REMARK = re.compile(r"(?:^#? ?|; )chosen for .*$")  # an earlier remark, alone or behind a comment


def with_number(text: str, path: str, number: float, remark: str = "") -> str | None:
    """The text with this number at a path and a remark beside it.

    Args:
        text: of a problem file that can be read.
        path: of a number in it.
        number: finite.
        remark: on one line; it begins with "chosen for".

    Returns:
        The new text; None where the path leads to nothing that is written there, such as one side of a block
        for both sides.
    """
    document = tomlkit.parse(text)
    places = list(_places(document, path.split(".")))
    for holder, key in places:
        holder[key] = number
        if remark and isinstance(holder, Table) and not isinstance(holder, InlineTable):
            trivia = holder[key].trivia
            said = _REMARK.sub("", trivia.comment).removeprefix("#").strip()
            trivia.comment_ws = trivia.comment_ws or "  "
            trivia.comment = f"# {said}; {remark}" if said else f"# {remark}"
    return tomlkit.dumps(document) if places else None


def _places(value: Any, parts: list[str]) -> Iterator[tuple[Any, str | int]]:
    """The tables or lists that hold the number, each with its key there."""
    if isinstance(value, MutableMapping):
        key = ".".join(parts) if ".".join(parts) in value else parts[0]
        if key not in value:
            return
        if len(parts) == 1 or key != parts[0]:
            yield value, key
        else:
            yield from _places(value[key], parts[1:])
    elif isinstance(value, MutableSequence):
        for position, element in enumerate(value):
            if parts[0] not in _words(element, position):
                continue
            if len(parts) == 1:
                yield value, position
            else:
                yield from _places(element, parts[1:])


def _words(element: Any, position: int) -> tuple[str, ...]:
    """What selects an element of a list: its name, name and side, symbol, or else its position."""
    if not isinstance(element, MutableMapping):
        return (str(position),)
    name, symbol = element.get("name"), element.get("market", {}).get("symbol")
    return (str(name), f"{name}/{element.get('side')}") if name is not None else (str(symbol),)
