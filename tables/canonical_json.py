"""Canonical JSON: one text for one value, so that equal tables have equal bytes and equal hashes.

Keys sorted by code point, no whitespace, ASCII only (other characters as \\uXXXX), integers in plain digits,
other numbers in the shortest digits that read back to the same double, no NaN and no infinity.
"""

import json
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 100  # containers inside each other; far from where Python gives up, which depends on the caller


class RepeatedKeyError(ValueError):
    """A JSON object names one key twice."""


def canonical_json(value: object) -> str:
    """The canonical text of plain JSON data; ValueError or TypeError for anything else."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def read_strict_json(text: str) -> Any:
    """The value of a JSON text; ValueError (in one sentence) for anything that is not strict JSON.

    Stricter than `json.loads`: repeated keys, NaN, infinities, lone surrogates and nesting beyond
    `MAX_DEPTH` are refused.
    """
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
        if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value):
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        canonical_json(value).encode("ascii")
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    except UnicodeEncodeError:
        raise ValueError("a string holds half of a surrogate pair") from None
    return value


def _is_deep(value: Any) -> bool:
    """Whether there are more than `MAX_DEPTH` containers inside each other."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return False
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return True


def _without_repeats(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise RepeatedKeyError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number in JSON")
