"""FORMAT.md names every error of the readers, the JSON schema agrees with the checks on metadata."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from quotegrid.tables import table_metadata
from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.table_error import TableError

TABLES = Path(__file__).resolve().parents[2] / "tables"
SCHEMA = json.loads((TABLES / "table_metadata.schema.json").read_text(encoding="utf-8"))

GOOD: dict[str, Any] = {
    "format": 1,
    "content_hash": "0" * 64,
    "problem": "{}",
    "problem_hash": "a1" * 32,
    "package_version": "0.1.0",
    "price_unit": "USD",
    "time_unit": "s",
    "symbols": ["XYZ"],
    "flow_names": ["book", "book"],
    "status": "converged",
    "status_message": "",
    "method": "policy-iteration",
    "method_reason": "",
    "residual": 1e-12,
    "iterations": 5,
    "certificate": {"level": "none"},
    "lookup_error": {"offset": 0.0, "value": 1},
    "notes": ["one"],
}
BAD: list[dict[str, Any]] = [
    {"content_hash": "0" * 63},
    {"content_hash": "A" * 64},
    {"problem": ""},
    {"problem": {}},
    {"problem_hash": None},
    {"price_unit": 1},
    {"time_unit": ""},
    {"symbols": "XYZ"},
    {"symbols": ["X/Y"]},
    {"flow_names": ["a.b"]},
    {"flow_names": [1]},
    {"status": None},
    {"method_reason": 0},
    {"residual": -1e-9},
    {"residual": "0"},
    {"residual": True},
    {"iterations": -1},
    {"iterations": 0.5},
    {"certificate": {}},
    {"certificate": []},
    {"certificate": {"level": 1}},
    {"certificate": {"level": "A", "content_hash": "0" * 64}},
    {"lookup_error": {"offset": 0.0}},
    {"lookup_error": {"offset": -1.0, "value": 0.0}},
    {"lookup_error": 0.0},
    {"notes": "one"},
    {"extra": 1},
    {"parameters": "price.volatility"},
    {"parameters": ["price.volatility", "price.volatility"]},
]


def rules_in_code() -> set[str]:
    found: set[str] = set()
    for file in TABLES.glob("*.py"):
        found.update(re.findall(r'TableError\(\s*"([a-z-]+)"', file.read_text(encoding="utf-8")))
    return found


def test_document_names_every_error() -> None:
    document = (TABLES / "FORMAT.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\[([a-z]+-[a-z-]+)\]", document)) == rules_in_code()


def test_every_error_of_the_runtime_file_has_a_broken_file() -> None:
    vectors = json.loads((TABLES / "conformance.json").read_text(encoding="utf-8"))
    assert set(vectors["refused"]) == rules_in_code() - {"archive-unreadable"}


def test_good_metadata_pass_both() -> None:
    table_metadata.check(GOOD, "table")
    jsonschema.validate(GOOD, SCHEMA)
    assert table_metadata.read(canonical_json(GOOD), "table") == GOOD
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) - {"parameters"} == set(GOOD)
    told = GOOD | {"parameters": ["price.volatility"]}
    table_metadata.check(told, "table")
    jsonschema.validate(told, SCHEMA)


@pytest.mark.parametrize("wrong", BAD, ids=repr)
def test_schema_and_checks_refuse_the_same(wrong: dict[str, Any]) -> None:
    fields = GOOD | wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(fields, SCHEMA)
    with pytest.raises(TableError) as caught:
        table_metadata.check(fields, "t.safetensors")
    (name,) = wrong
    assert caught.value.rule == "metadata-field"
    assert str(caught.value).startswith("t.safetensors: ")
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", list(GOOD))
def test_missing_fields_are_refused_by_both(name: str) -> None:
    fields = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(fields, SCHEMA)
    with pytest.raises(TableError):
        table_metadata.check(fields, "table")


def test_texts_of_the_errors() -> None:
    with pytest.raises(TableError) as caught:
        table_metadata.check(GOOD | {"residual": -1.0}, "t")
    assert str(caught.value) == (
        "t: the metadata field 'residual' is -1.0, not a finite number, 0 or more [metadata-field]"
    )
    with pytest.raises(TableError) as caught:
        table_metadata.check(GOOD | {"format": 2}, "t.safetensors")
    assert str(caught.value) == (
        "t.safetensors: table format 2; this version of quotegrid reads format 1 [format-version]"
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "metadata-json"),
        ("[]", "metadata-json"),
        ('{"format":Infinity}', "metadata-json"),
        ('{"format":1e999}', "metadata-json"),
        ('{"format":1,"format":1}', "metadata-json"),
        ('{"format":"\\ud800"}', "metadata-json"),
        ("[" * 100_000, "metadata-json"),
        ('{"format":' + "9" * 5000 + "}", "metadata-json"),
        ('{"format": 1}', "metadata-canonical"),
        ('{"format":1.0}', "format-version"),
        ('{"format":true}', "format-version"),
        ('{"format":1}', "metadata-field"),
    ],
)
def test_hostile_metadata(text: str, rule: str) -> None:
    with pytest.raises(TableError) as caught:
        table_metadata.read(text, "table")
    assert caught.value.rule == rule
