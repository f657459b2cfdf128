"""The metadata entry of a table: its fields and the checks on each (FORMAT.md §4).

Only what is for people lives here; everything a quote is made of, and every name, is a tensor.
"""

import re
import sys
from collections.abc import Callable
from typing import Any, cast

from quotegrid.tables.canonical_json import canonical_json, read_strict_json
from quotegrid.tables.table_error import TableError

# the fields that a file and the record keep under one name and in one form
PLAIN_FIELDS = (
    "problem_hash",
    "package_version",
    "status",
    "status_message",
    "method",
    "method_reason",
    "residual",
    "iterations",
    "certificate",
    "lookup_error",
)


def read(text: str, where: str) -> dict[str, Any]:
    """The fields of a metadata entry, each checked.

    Raises:
        TableError: metadata-json, metadata-canonical or metadata-field.
    """
    try:
        fields = read_strict_json(text)
    except ValueError as error:
        raise TableError("metadata-json", f"{where}: the metadata are not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise TableError("metadata-json", f"{where}: the metadata are no JSON object")
    if canonical_json(fields) != text:
        raise TableError("metadata-canonical", f"{where}: the metadata are not in canonical form")
    check(fields, where)
    return fields


def check(fields: dict[str, Any], where: str) -> None:
    """Refuse what is missing, unknown or of the wrong form; `where` is what the errors call the file."""
    for name in fields:
        if name not in _FIELDS:
            raise TableError("metadata-field", f"{where}: unknown metadata field {name!r}")
    for name, (form, fits) in _FIELDS.items():
        if name not in fields:
            raise TableError("metadata-field", f"{where}: the metadata field {name!r} is missing")
        if not fits(fields[name]):
            raise TableError(
                "metadata-field", f"{where}: the metadata field {name!r} is {fields[name]!r:.80}, not {form}"
            )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and 0 <= cast(float, value) <= sys.float_info.max


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_certificate(value: object) -> bool:
    if not (isinstance(value, dict) and _is_word(value.get("level"))):
        return False
    try:
        canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _is_lookup_error(value: object) -> bool:
    return value is None or (
        isinstance(value, dict)
        and value.keys() == {"offset", "value"}
        and all(map(_is_number, value.values()))
    )


def _is_list_of(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


_FIELDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "problem": ("the canonical JSON of a problem", _is_word),
    "problem_hash": ("64 hexadecimal digits", _is_digest),
    "package_version": ("a version", _is_word),
    "status": ("a word", _is_word),
    "status_message": ("a sentence", _is_text),
    "method": ("a word", _is_word),
    "method_reason": ("a sentence", _is_text),
    "residual": ("a finite number, 0 or more", _is_number),
    "iterations": ("a whole number, 0 or more", _is_count),
    "certificate": ("an object of plain JSON with a level", _is_certificate),
    "lookup_error": ("null, or an object of the numbers offset and value, 0 or more", _is_lookup_error),
    "notes": ("a list of sentences", _is_list_of(_is_text)),
}
