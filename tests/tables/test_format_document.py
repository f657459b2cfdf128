"""FORMAT.md names every error of the readers, the JSON schema agrees with the checks on metadata."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from quotegrid.tables import table_metadata
from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.lookup import REFUSALS
from quotegrid.tables.table_error import TableError

TABLES = Path(__file__).resolve().parents[2] / "tables"
SCHEMA = json.loads((TABLES / "table_metadata.schema.json").read_text(encoding="utf-8"))

GOOD: dict[str, Any] = {
    "problem": "{}",
    "problem_hash": "a1" * 32,
    "package_version": "0.1.0",
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
    {"problem": ""},
    {"problem": {}},
    {"problem_hash": None},
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
    {"lookup_error": {"offset": 0.0}},
    {"lookup_error": {"offset": -1.0, "value": 0.0}},
    {"lookup_error": 0.0},
    {"notes": "one"},
    {"extra": 1},
]


# the modules that read a file; signatures and generations have errors of their own
READING = (
    *("safetensors_layout", "safetensors_file", "table_parts", "words", "table_rules", "table_sensitivity"),
    *("table_metadata", "archive"),
)
DOCUMENT = (TABLES / "FORMAT.md").read_text(encoding="utf-8")


def rules_in_code() -> set[str]:
    found: set[str] = set()
    for name in READING:
        text = (TABLES / f"{name}.py").read_text(encoding="utf-8")
        found.update(re.findall(r'TableError\(\s*"([a-z-]+)"', text))
    return found


def named_in(text: str) -> list[str]:
    return re.findall(r"\[([a-z]+-[a-z-]+)\]", text)


def test_document_names_every_error() -> None:
    assert set(named_in(DOCUMENT)) == rules_in_code()


def test_every_rule_has_its_number_and_its_error() -> None:
    """Rules of files are counted from 1; no MUST stands beside them."""
    files = DOCUMENT[: DOCUMENT.index("## 6.")]
    rules = re.findall(r"^(\d+)\. ((?:.+\n)+?)(?=\d+\. |\n)", files, re.M)
    assert [int(number) for number, _ in rules] == list(range(1, 44))
    for number, text in rules:
        assert "MUST" in text, number
        assert named_in(text), number
        files = files.replace(text, "")
    assert re.findall(r"[^*]\bMUST\b", files) == []


def test_every_error_of_the_runtime_file_has_a_broken_file() -> None:
    broken = {file.stem for file in (TABLES / "conformance" / "refused").glob("*.safetensors")}
    assert broken == rules_in_code() - {"archive-unreadable"}


def test_document_numbers_the_refusals_of_questions() -> None:
    assert re.findall(r"^\| (\d+) \| ([a-z-]+) \|", DOCUMENT, re.M) == [
        (str(number), name) for number, name in enumerate(REFUSALS, 1)
    ]


def test_good_metadata_pass_both() -> None:
    table_metadata.check(GOOD, "table")
    jsonschema.validate(GOOD, SCHEMA)
    assert table_metadata.read(canonical_json(GOOD), "table") == GOOD
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) == set(GOOD)


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
        ('{"format":1}', "metadata-field"),
    ],
)
def test_hostile_metadata(text: str, rule: str) -> None:
    with pytest.raises(TableError) as caught:
        table_metadata.read(text, "table")
    assert caught.value.rule == rule
