"""Exports hold the numbers of the table bit for bit, in the rows and places that they say."""

import csv
import io
import itertools
import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from quotegrid.tables import PolicyTable
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.exports.arrays import npz_bytes
from quotegrid.tables.exports.c_header import TooLargeError, c_header
from quotegrid.tables.exports.long_form import csv_pieces, named_axes
from quotegrid.tables.exports.parquet import parquet_bytes
from quotegrid.tables.policy_table import Flow, canonical_numbers

TABLES = dict(conformance_tables())


def expected_rows(table: PolicyTable) -> list[dict[str, object]]:
    """The long form by loops."""
    axes: list[list[tuple[str, object]]] = [[(n, x) for x in nodes] for n, nodes in named_axes(table).items()]
    if table.regime_axis is not None:
        axes.insert(table.regime_axis, [("regime", name) for name in table.regimes])
    rows = []
    for state in itertools.product(*(range(len(axis)) for axis in axes)):
        for number, flow in enumerate(table.flows):
            row = dict(axis[place] for axis, place in zip(axes, state, strict=True))
            row |= {
                "flow": table.flow_labels[number],
                "name": flow.name,
                "side": flow.side,
                "size": flow.size,
            }
            row["symbol"] = table.symbols[flow.asset]
            row |= {"offset": table.offset[*state, number], "value": table.value[state]}
            for name, numbers in (("hedge_rate", table.hedge_rate), ("market_order", table.market_order)):
                if numbers is not None:
                    for asset, symbol in enumerate(table.symbols):
                        own = name if len(table.symbols) == 1 else f"{name}_{symbol}"
                        row[own] = numbers[*state, asset]
            rows.append({k: None if isinstance(x, float) and math.isnan(x) else x for k, x in row.items()})
    return rows


@pytest.mark.parametrize("name", list(TABLES))
def test_csv_and_parquet_are_the_long_form(name: str) -> None:
    table = TABLES[name]
    rows = expected_rows(table)
    read = list(csv.DictReader(io.StringIO(b"".join(csv_pieces(table)).decode())))
    assert len(read) == len(rows)
    for found, wanted in zip(read, rows, strict=True):
        assert list(found) == list(wanted)
        for column, entry in wanted.items():
            text = found[column]
            if isinstance(entry, float):
                assert float(text) == entry
            else:
                assert text == ("" if entry is None else str(entry))
    if rows:
        parquet = pyarrow.parquet.read_table(io.BytesIO(parquet_bytes(table)))
        assert parquet.to_pylist() == rows


def test_parquet_says_what_is_in_it(table_by_hand) -> None:
    table = table_by_hand(times=(0.0, 1.0))
    schema = pyarrow.parquet.read_schema(io.BytesIO(parquet_bytes(table)))
    units = {field.name: field.metadata[b"unit"].decode() for field in schema}
    assert units["offset"] == "USD" and units["time"] == "s" and units["inventory"] == units["size"] == "lots"
    assert units["value"] == "USD" and units["side"] == ""
    assert schema.metadata[b"content_hash"].decode() == table.content_hash
    assert json.loads(schema.metadata[b"gain"]) is None


@pytest.mark.parametrize("name", list(TABLES))
def test_npz_holds_the_arrays(name: str) -> None:
    table = TABLES[name]
    content = npz_bytes(table)
    assert content == npz_bytes(table)
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        assert found["value"].tobytes() == table.value.tobytes()
        assert found["offset"].tobytes() == table.offset.tobytes()
        for axis, nodes in named_axes(table).items():
            assert np.array_equal(found[axis], nodes)
        assert tuple(found["flow"].tolist()) == table.flow_labels
        assert str(found["content_hash"]) == table.content_hash
        assert json.loads(str(found["metadata"]))["problem"] == table.problem_json
        assert ("gain" in found) == (table.gain is not None)


PROGRAM = """
#include <stdio.h>
#include <string.h>
#include "table.h"
static void print(double number) {
  unsigned long long bits;
  memcpy(&bits, &number, 8);
  printf("%016llx\\n", number != number ? 0x7ff8000000000000ULL : bits);
}
int main(void) {
  int i;
  for (i = 0; i < (int)(sizeof PREFIX_offset / sizeof PREFIX_offset[0]); i++) print(PREFIX_offset[i]);
  for (i = 0; i < (int)(sizeof PREFIX_value / sizeof PREFIX_value[0]); i++) print(PREFIX_value[i]);
  for (i = 0; i < PREFIX_flow_count; i++) puts(PREFIX_flow_label[i]);
  return 0;
}
"""
COMPILERS = [
    ("cc", "c", ["-std=c99"]),
    ("c++", "cpp", ["-std=c++17"]),
]


@pytest.mark.parametrize(("compiler", "suffix", "flags"), COMPILERS, ids=["C99", "C++17"])
@pytest.mark.parametrize("name", ["ergodic", "everything", "extreme"])
def test_a_c_header_holds_every_bit(
    name: str, compiler: str, suffix: str, flags: list[str], tmp_path: Path
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler} here")
    table = TABLES[name]
    text = c_header(table)
    prefix = text.split("static const char ")[1].split("_content_hash")[0]
    (tmp_path / "table.h").write_text(text, encoding="ascii")
    program = tmp_path / f"print.{suffix}"
    program.write_text(PROGRAM.replace("PREFIX", prefix), encoding="utf-8")
    strict = [
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-variable",
        "-Wno-unused-const-variable",
        "-pedantic",
    ]
    made = subprocess.run(
        [compiler, *flags, *strict, str(program), "-o", str(tmp_path / "print")],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    lines = subprocess.run(
        [tmp_path / "print"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    numbers = np.concatenate([table.offset.ravel(), table.value.ravel()]).view(np.uint64)
    assert lines[: numbers.size] == [f"{bits:016x}" for bits in numbers.tolist()]
    assert tuple(lines[numbers.size :]) == table.flow_labels


def test_words_cannot_leave_their_place_in_a_header(table_by_hand) -> None:
    flows = [Flow('a" ?? \\ ü', "bid", 1, 0), Flow("a\u00e4", "ask", 1, 0), Flow("a", "ask", 1, 0)]
    offset = np.zeros((9, 3))
    text = c_header(table_by_hand(symbols=("X* Y",), price_unit="*/ int x;", flows=flows, offset=offset))
    assert text.count("*/") == 3 and "?? int x?" in text and text.isascii() and "#ifndef QUOTES_X_Y_H" in text
    assert r'{"a\042 \077\077 \134 \303\274/bid", "a\303\244/ask", "a/ask"}' in text
    for name in ("flow_a_bid = 0", "flow_a_ask_1 = 1", "flow_a_ask_2 = 2"):
        assert name in text


def test_a_table_that_is_too_large_for_a_header(table_by_hand) -> None:
    times = np.linspace(0.0, 1.0, 40_000)
    small = table_by_hand(times=(0.0, 1.0))
    value = canonical_numbers(np.resize(small.value, (times.size, 9)))
    offset = canonical_numbers(np.resize(small.offset, (times.size, 9, 2)))
    with pytest.raises(
        TooLargeError, match="this table has 1,080,000 numbers, a C header may hold 1,000,000"
    ):
        c_header(table_by_hand(times=tuple(times), value=value, offset=offset))
