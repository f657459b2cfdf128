"""A problem file's tree as canonical TOML, with comments where they are wanted.

    tables of the top level and of an asset    [price]            volatility = 0.39
    lists of tables there                      [[flow]]           name = "book"
    tables inside those                        on one line        adverse = { on = "markout", jump = 0.1 }
    such a table longer than a line            [flow.intensity]   offset = [ … ]

Comments are given by path and stand on lines of their own above what they are about; those on a key inside a
table that is written on one line stand above that line, after the key's name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit
from tomlkit.items import SingleKey

from quotegrid.models.faults import Fault, ProblemError, join

WIDTH = 100


def toml_text(tree: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """The TOML of a problem file's tree, in the order of its keys.

    Args:
        tree: plain tables, lists, texts and numbers.
        comments: texts by path, as in `quotegrid.models.paths`: "" is the head of the file, `flow.book` a
            block, `flow.book.intensity.A` a key of every block of the name, `flow.book/bid.intensity.A` of
            the block for that side. Their lines are kept.

    Raises:
        ProblemError: a comment on something that is not in the file.
    """
    writing = _Writing(dict(comments or {}))
    lines = list(writing.remark("")) + list(writing.table(tree, (), [""]))
    missed = [path for path in writing.comments if path not in writing.written]
    if missed:
        raise ProblemError(Fault(path, "a comment on something that is not in the file.") for path in missed)
    return "\n".join(lines).strip("\n") + "\n"


class _Writing:
    """One file being written: which comments it takes, and which have found their place."""

    def __init__(self, comments: dict[str, str]):
        self.comments = comments
        self.written: set[str] = set()

    def remark(self, *paths: str, about: str = "") -> Iterator[str]:
        """The comment lines of the first of some equivalent paths that has one."""
        for path in paths:
            if path in self.comments:
                self.written.add(path)
                text = f"{about}: {self.comments[path]}" if about else self.comments[path]
                yield from (f"# {line}".rstrip() for line in text.split("\n"))
                return

    def table(self, tree: Mapping[str, Any], header: tuple[str, ...], paths: list[str]) -> Iterator[str]:
        """The lines of a table (with its equivalent paths): its own keys, then the tables in it."""
        within = not header or header == ("asset",)  # tables in it get headers
        later = []
        for key, value in tree.items():
            here = [join(path, key) for path in paths]
            if (within and _is_structure(value)) or (isinstance(value, Mapping) and _too_long(key, value)):
                later.append((key, value, here))
                continue
            yield from self.remark(*here)
            if isinstance(value, Mapping):
                for inner, _ in _leaves(value):
                    yield from self.remark(*(join(path, inner) for path in here), about=inner)
            yield from _assignment(key, value)
        for key, value, here in later:
            yield from self._headed(key, value, (*header, key), here)

    def _headed(self, key: str, value: Any, header: tuple[str, ...], paths: list[str]) -> Iterator[str]:
        dotted = ".".join(_key(part) for part in header)
        if isinstance(value, Mapping):
            yield ""
            yield from self.remark(*paths)
            yield f"[{dotted}]"
            yield from self.table(value, header, paths)
            return
        for place, element in enumerate(value):
            here = _element_paths(paths, element, place)
            yield ""
            yield from self.remark(*here)
            yield f"[[{dotted}]]"
            yield from self.table(element, header, here)


def _element_paths(paths: list[str], element: Mapping[str, Any], place: int) -> list[str]:
    """The paths that lead to an element of a list: by name and side, by name, by symbol, or by position."""
    name, side = element.get("name"), element.get("side")
    symbol = element.get("market", {}).get("symbol")
    if name is None:
        return [join(path, symbol or str(place)) for path in paths]
    words = [f"{name}/{each}" for each in (("bid", "ask") if side == "both" else (side,)) if each]
    return [join(path, word) for path in paths for word in (*words, name)]


def _is_structure(value: Any) -> bool:
    """A table, or a list of tables."""
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
    )


def _too_long(key: str, value: Any) -> bool:
    return len(f"{_key(key)} = {_inline(value)}") > WIDTH


def _leaves(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys below a table with their paths in it, tables themselves included."""
    for key, value in table.items():
        yield key, value
        if isinstance(value, Mapping):
            for inner, leaf in _leaves(value):
                yield join(key, inner), leaf


def _assignment(key: str, value: Any) -> Iterator[str]:
    line = f"{_key(key)} = {_inline(value)}"
    if len(line) <= WIDTH or not isinstance(value, list):
        yield line
        return
    yield f"{_key(key)} = ["
    line = " "
    for element in value:
        word = f" {_inline(element)},"
        if line != " " and len(line + word) > WIDTH:
            yield line
            line = " "
        line += word
    yield line
    yield "]"


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_inline(child)}" for key, child in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_inline(element) for element in value)}]"
    return tomlkit.item(value).as_string()


def _key(word: str) -> str:
    return SingleKey(word).as_string()
