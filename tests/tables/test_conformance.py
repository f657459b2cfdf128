"""The conformance vectors: up to date, answered by our reader, refused by it."""

import base64
import json
import math
import runpy
from pathlib import Path
from typing import Any

import pytest

from quotegrid.tables.lookup import QuoteError
from quotegrid.tables.quoter import Quoter
from quotegrid.tables.safetensors_file import table_of_bytes
from quotegrid.tables.table_error import TableError

VECTORS = json.loads(
    (Path(__file__).resolve().parents[2] / "tables" / "conformance.json").read_text(encoding="utf-8")
)
TABLES = {
    name: table_of_bytes(memoryview(base64.b64decode(text)), name) for name, text in VECTORS["tables"].items()
}


def number(x: Any) -> float:
    """A number, also where JSON has none for it."""
    return float(x)


def test_file_is_what_its_generator_makes() -> None:
    generator = runpy.run_path(str(Path(__file__).parent / "conformance_vectors.py"))
    assert generator["TARGET"].read_text(encoding="utf-8") == generator["vectors"]()


@pytest.mark.parametrize("name", list(TABLES))
def test_lookups(name: str) -> None:
    """Within 2 units in the last place for each corner (FORMAT.md §6); the numbers here are below 8."""
    tolerance = 2 * 8 * math.ulp(8.0)
    asked = [row for row in VECTORS["lookups"] if row["table"] == name]
    assert any("refused" in row for row in asked)
    assert any("value" in row for row in asked)
    for row in asked:
        quoter = Quoter(TABLES[name], between=row["between"], outside=row["outside"])
        inventory = [number(x) for x in row["inventory"]]
        time = None if row["time"] is None else number(row["time"])
        if row.get("refused"):
            with pytest.raises(QuoteError):
                quoter.quote(inventory, time)
            continue
        quote = quoter.quote(inventory, time)
        for mine, theirs in zip(quote.offsets.values(), row["offsets"], strict=True):
            assert (mine is None) == (theirs is None), row
            assert mine is None or abs(mine - theirs) <= tolerance, row
        assert abs(quote.value - row["value"]) <= tolerance, row
        assert list(quote.clamped) == row["clamped"], row


@pytest.mark.parametrize("rule", list(VECTORS["refused"]))
def test_broken_files_are_refused_by_name(rule: str) -> None:
    broken = memoryview(base64.b64decode(VECTORS["refused"][rule]))
    with pytest.raises(TableError) as caught:
        table_of_bytes(broken, "broken.safetensors")
    assert caught.value.rule == rule
    assert str(caught.value).endswith(f"[{rule}]")
    assert "broken.safetensors" in str(caught.value)
