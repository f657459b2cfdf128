"""Lookups in a loop that Numba compiles, beside the same loop in C with quotegrid.h: two offsets of a state.

    taskset -c 0 python benchmarks/numba_lookups.py [--rounds 101] [--output FILE.md]

Both readers answer the same 2,000 states of the same mapped file and must agree to the last bit; they take
turns, and ratios are those within a round. gcc -O3 -march=native compiles lookup_contest.c, whose loops these
are; Numba compiles for this machine by itself. `one after the other` lets the processor work on several
lookups at once; `chained` takes each state from a place that depends on the quotes before: the time from a
question to its answer.

    lots            inventory ±50: 2 kB
    time × lots     ±50, 101 times: 160 kB
    large           ±1000, 4001 times: 128 MB, more than any cache holds
"""

import argparse
import ctypes
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from contest_tables import HORIZON, write_contest_table
from lookups import Questions
from numba import njit
from side_by_side import HERE, Contestant, markdown_table, provenance, publish, spread, take_turns

from quotegrid.tables.lookup import BETWEEN
from quotegrid.tables.numba_reader import jitted_table, look_up, new_corners, offset
from quotegrid.tables.safetensors_file import read_safetensors

STATES = 2000
TARGET = "≤ 1.5"
REFUSED = -1e300
TABLES = {
    "lots, nearest": (50, 0, "nearest"),
    "time × lots, nearest": (50, 101, "nearest"),
    "time × lots, linear": (50, 101, "linear"),
    "large, linear": (1000, 4001, "linear"),
}


class States(NamedTuple):
    """Where to look, and room for two quotes each."""

    time: np.ndarray | None
    lots: np.ndarray
    quotes: np.ndarray


@njit(forceinline=True)
def quote(table: Any, corners: Any, time: Any, lots: Any, k: int, quotes: Any, row: int) -> None:
    """Bid and ask offset of state k."""
    if time is None:  # noqa: SIM108 (Numba leaves out branches, no parts of expressions)
        refusal = look_up(table, corners, lots[k])
    else:
        refusal = look_up(table, corners, lots[k], time[k])
    if refusal:
        quotes[row, 0] = quotes[row, 1] = REFUSED
    else:
        quotes[row, 0], quotes[row, 1] = offset(table, corners, 0), offset(table, corners, 1)


@njit
def read(table: Any, corners: Any, time: Any, lots: Any, quotes: Any) -> None:
    """The quotes of all states, one after the other."""
    for k in range(len(lots)):
        quote(table, corners, time, lots, k, quotes, k)


@njit
def read_chained(table: Any, corners: Any, time: Any, lots: Any, quotes: Any, bits: Any, none: int) -> None:
    """The same, each state after the quotes of the one before: `none` is 0, and `bits` those of `quotes`."""
    k = 0
    for row in range(len(lots)):
        quote(table, corners, time, lots, k, quotes, row)
        k = row + 1 + ((bits[row, 0] | bits[row, 1]) & none)


def states(lots: int, times: int, seed: int = 0) -> States:
    draw = np.random.default_rng(seed)
    time = draw.uniform(0.0, HORIZON, STATES) if times else None
    return States(time, draw.uniform(1.0 - lots, lots - 1.0, STATES), np.zeros((STATES, 2)))


def c_reader() -> ctypes.CDLL:
    """The loops of lookup_contest.c, compiled for this machine."""
    library = Path(tempfile.mkdtemp()) / "lookup_contest.so"
    flags = ["-std=c11", "-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC"]
    header = HERE.parent / "tables" / "readers" / "c"
    source = str(HERE / "lookup_contest.c")
    subprocess.run(["gcc", *flags, f"-I{header}", "-o", str(library), source, "-lm"], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.open_table.restype = ctypes.c_void_p
    return loaded


def rows_of(name: str, library: ctypes.CDLL, folder: Path, rounds: int) -> list[tuple[str, ...]]:
    """Both ways to ask a table."""
    lots, times, between = TABLES[name]
    path = write_contest_table(folder, lots, times)
    handle = ctypes.c_void_p(library.open_table(str(path).encode()))
    table, corners = jitted_table(read_safetensors(path), between), new_corners()
    asked, theirs = states(lots, times), np.zeros((STATES, 2))
    place = None if asked.time is None else asked.time.ctypes.data
    questions = Questions(place, None, asked.lots.ctypes.data, STATES, 0)
    arguments = (ctypes.byref(questions), BETWEEN.index(between), ctypes.c_void_p(theirs.ctypes.data))
    bits, loop = asked.quotes.view(np.int64), f"read_{2 if times else 1}"
    found = []
    for way, ours, c in (
        ("one after the other", partial(read, table, corners, *asked), loop),
        ("chained", partial(read_chained, table, corners, *asked, bits, 0), f"{loop}_chained"),
    ):
        seconds = take_turns(
            {
                "C": Contestant(partial(getattr(library, c), handle, *arguments), STATES),
                "Numba": Contestant(ours, STATES),
            },
            rounds,
        )
        assert np.array_equal(asked.quotes, theirs, equal_nan=True) and not (theirs == REFUSED).any()
        times_of = [f"{1e9 * float(np.median(taken)):.3g}" for taken in seconds.values()]
        found.append((name, way, *times_of, spread(seconds["Numba"] / seconds["C"]), TARGET))
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=101)
    arguments.add_argument("--output", type=Path, default=None, help="a Markdown file")
    chosen = arguments.parse_args()
    library = c_reader()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for name in TABLES for row in rows_of(name, library, Path(folder), chosen.rounds)]
    header = ("table", "lookups", "C, ns", "Numba, ns", "Numba / C (quartiles)", "target")
    command = f"taskset -c 0 python benchmarks/numba_lookups.py --rounds {chosen.rounds}"
    publish(
        chosen.output,
        "# Lookups inside a compiled loop",
        provenance(command, ("numba", "numpy"))
        + " Medians over the rounds, per lookup of two offsets. The script says on top what is compared.",
        markdown_table(header, rows),
    )


if __name__ == "__main__":
    main()
