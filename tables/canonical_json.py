"""Canonical JSON: one text for one value, so that equal tables have equal bytes and equal hashes.

Keys sorted by code point, no whitespace, ASCII only (other characters as \\uXXXX), integers in plain digits,
other numbers in the shortest digits that read back to the same double, no NaN and no infinity.
"""

import json
from collections.abc import Iterable
from typing import Any


class RepeatedKeyError(ValueError):
    """A JSON object names one key twice."""


def canonical_json(value: object) -> str:
    """The canonical text of plain JSON data; ValueError or TypeError for anything else."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def read_strict_json(text: str) -> Any:
    """The value of a JSON text; ValueError (in one sentence) for anything that is not strict JSON.

    Stricter than `json.loads`: repeated keys, NaN, infinities, lone surrogates and nesting beyond the
    interpreter's depth are refused.
    """
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
        canonical_json(value).encode("ascii")
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("a string holds half of a surrogate pair") from None
    return value


def _without_repeats(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise RepeatedKeyError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number in JSON")
