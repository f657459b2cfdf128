"""A stored problem with other numbers at some paths: the path language once more, on plain JSON.

price.volatility             a key
flow.book.intensity.A        of every flow named book
flow.book/bid.intensity.A    of one side; a block for both sides is split in two
flow.book.intensity.rate.3   an entry of a list, counted from 0
asset.ETH.price.drift        of an asset, by its symbol
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from quotegrid.tables.canonical_json import canonical_json, read_strict_json
from quotegrid.tables.policy_table import SIDES


class NoSuchNumberError(ValueError):
    """A path leads to no number of a problem."""


def with_numbers(problem_json: str, numbers: Mapping[str, float]) -> str:
    """The canonical JSON of the problem with other numbers at some paths.

    Raises:
        NoSuchNumberError: a path leads to no number.
    """
    return _changed(problem_json, {path: _always(number) for path, number in numbers.items()})


def with_step(problem_json: str, path: str, step: float) -> str:
    """The canonical JSON of the problem with every number that a path leads to changed by a step.

    Raises:
        NoSuchNumberError: it leads to no number.
    """
    return _changed(problem_json, {path: lambda number: number + step})


Change = Callable[[float], float]


def _always(number: float) -> Change:
    return lambda _: float(number)


def _changed(problem_json: str, changes: Mapping[str, Change]) -> str:
    try:
        problem = read_strict_json(problem_json)
    except ValueError as error:
        raise NoSuchNumberError(f"the problem in the table is not JSON: {error}") from None
    for path, change in changes.items():
        parts = path.split(".")
        try:
            found = _change(_start(problem, parts), parts, change)
        except (AttributeError, IndexError, KeyError, TypeError):  # no problem at all
            found = False
        if not found:
            raise NoSuchNumberError(f"the problem has no number {path!r}")
    return canonical_json(problem)


def _start(problem: dict[str, Any], parts: list[str]) -> Any:
    """The block in which the path begins; the symbol of an asset is taken off its parts."""
    assets = problem.get("asset", [problem])
    if parts[0] == "asset" and len(parts) > 2:
        symbol = parts[1]
        del parts[:2]
        return next((each for each in assets if each.get("market", {}).get("symbol") == symbol), None)
    return assets[0] if len(assets) == 1 and parts[0] in assets[0] else problem


def _change(block: Any, parts: list[str], change: Change) -> bool:
    """Change the numbers that the parts of a path lead to; False if one of them leads to none."""
    step, rest = parts[0], parts[1:]
    if isinstance(block, dict):
        key: Any = step
        if step not in block:
            return False
    elif isinstance(block, list) and block and all(isinstance(each, dict) for each in block):
        chosen = _named(block, step)
        return bool(rest and chosen) and all([_change(each, rest, change) for each in chosen])
    elif isinstance(block, list) and step.isdecimal() and int(step) < len(block):
        key = int(step)
    else:
        return False
    if rest:
        return _change(block[key], rest, change)
    if type(block[key]) is not float:
        return False
    block[key] = change(block[key]) + 0.0  # one zero
    return True


def _named(blocks: list[dict[str, Any]], word: str) -> list[dict[str, Any]]:
    """The blocks of a name; where a side is asked for, one for both sides is split in its list."""
    name, _, side = word.partition("/")
    if side:
        for place in range(len(blocks) - 1, -1, -1):
            if blocks[place].get("name") == name and blocks[place].get("side") == "both":
                halves = (json.loads(json.dumps(blocks[place])) | {"side": each} for each in SIDES)
                blocks[place : place + 1] = list(halves)
    return [each for each in blocks if each.get("name") == name and side in ("", each.get("side"))]
