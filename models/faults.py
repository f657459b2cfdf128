"""What is wrong with a problem, said in sentences.

A `Fault` is one sentence with the path it belongs to, in the path language of the problem file
(`flow.book.intensity.A`). A `ProblemError` carries all faults found at once. Blocks raise it from Python
constructors, the problem file and the path language alike, so that one mistake reads the same wherever it is
made. pydantic's own errors are translated here, one block at a time: the block knows its keys, so it can name
the nearest.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

NOT_IN_THIS_VERSION = "not in this version of quotegrid; leave it out."


class Fault(NamedTuple):
    """One thing wrong: where (a path, "" for the block itself) and what (a sentence)."""

    path: str
    sentence: str

    def below(self, path: str) -> "Fault":
        """The same fault seen from a block that holds this one at `path`."""
        return Fault(join(path, self.path), self.sentence)

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" if self.path else self.sentence


class ProblemError(ValueError):
    """A problem, a block of one, a file or a path that cannot be used; its text lists every fault once.

    Attributes:
        faults: what is wrong, in the order of the file.
        source: the file or the class the faults were found in, or None.
    """

    def __init__(self, faults: Iterable[Fault], source: str | None = None):
        self.faults = tuple(dict.fromkeys(faults))
        self.source = source
        super().__init__(self._text())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults, self.source)

    def _text(self) -> str:
        place = f"{self.source}: " if self.source else ""
        if len(self.faults) == 1:
            return f"{place}{self.faults[0]}"
        return "\n".join([f"{place}{len(self.faults)} faults.", *(f"  {fault}" for fault in self.faults)])


def join(*parts: str) -> str:
    """Dotted path of the parts that are not empty."""
    return ".".join(part for part in parts if part)


def nearest(word: str, known: Iterable[Any]) -> str:
    """` (did you mean 'volatility'?)` for a word close to a known one, else an empty text."""
    close = get_close_matches(word, [text for text in known if isinstance(text, str)], n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def choices(words: Iterable[str]) -> str:
    """`'bid', 'ask' or 'both'`."""
    quoted = [repr(word) for word in words]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]


def seen(value: Any) -> str:
    """A value as a reader of the file would name it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value!r}"
    if value is None or isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "a table of keys"
    if isinstance(value, Sequence):
        return f"a list of {len(value)}"
    return f"an object of type {type(value).__name__}"


def faults_of(error: ValidationError, block: Any, data: Any) -> tuple[Fault, ...]:
    """The faults behind a pydantic error raised while `data` was made into a `block` class."""
    details = error.errors(include_url=False)
    return tuple(
        fault
        for detail in details
        if detail["type"] != "too_short" or not _explained(detail, details)
        for fault in _translated(detail, block, data)
    )


def _explained(shortage: Any, details: Iterable[Any]) -> bool:
    """Is a list too short only because its entries have faults of their own?"""
    return any(other is not shortage and other["loc"][:1] == shortage["loc"][:1] for other in details)


def _translated(detail: Any, block: Any, data: Any) -> Iterable[Fault]:
    """One entry of `ValidationError.errors()`; its location is within this block: key, then index or kind."""
    place, value = detail["loc"], detail["input"]
    if not place:
        reason = detail.get("ctx", {}).get("error")
        return reason.faults if isinstance(reason, ProblemError) else [Fault("", _shape_wanted(value))]
    key = str(place[0])
    if isinstance(entry(data, key), BaseModel) and len(place) > 1 and isinstance(place[1], int):
        alone = type(entry(data, key)).__name__
        return [Fault(key, f"expected a list, got one {alone}; write it in brackets.")]
    path = block.path_of(key, place[1], data) if len(place) > 1 and isinstance(place[1], int) else key
    match detail["type"]:
        case "value_error" if isinstance(detail["ctx"]["error"], ProblemError):
            return [fault.below(path) for fault in detail["ctx"]["error"].faults]
        case "missing":
            return [Fault(path, f"this key is missing ({block.meaning(key)}); give it a value.")]
        case "extra_forbidden":
            known = block.file_keys()
            hint = nearest(key, known)
            return [Fault(key, f"unknown key{block.variant()}{hint}; known here: {', '.join(known)}.")]
        case "literal_error":
            allowed = block.allowed(key)
            hint = nearest(value, allowed) if isinstance(value, str) else ""
            return [Fault(path, f"expected {choices(allowed)}, got {seen(value)}{hint}.")]
        case "tuple_type":
            return [Fault(path, f"expected a list, got {seen(value)}; {_list_hint(value, path)}")]
        case "too_short":
            return [Fault(path, "expected at least one entry, got none; add one.")]
    return [Fault(path, f"{detail['msg']}, got {seen(value)}.")]


def entry(block: Any, key: str) -> Any:
    """An entry of a block or of the table it is made from; None where there is none."""
    return block.get(key) if isinstance(block, Mapping) else getattr(block, key, None)


def _shape_wanted(value: Any) -> str:
    return f"expected a table of keys, got {seen(value)}."


def _list_hint(value: Any, path: str) -> str:
    return f"write [[{path}]] with two brackets." if isinstance(value, Mapping) else "write it in brackets."
