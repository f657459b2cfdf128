"""Lookups in C, Rust and NumPy against what one would write by hand, and against SciPy.

    taskset -c 0 python benchmarks/lookups.py [--rounds 301] [--output FILE.md]

Tables are made up: inventory alone (nearest node), time and inventory (linear in both), and time, a factor
and inventory (linear, nearest node), each once so small that it stays in the first cache and once with 130 to
270 MB of offsets. States are drawn uniformly beforehand, so many of them that neither branches nor, of a
large table, memory are remembered from one round to the next. All contestants read the same mapped bytes,
give the bid and the ask of a state and must agree to the last bit.

    by hand         `bare_*` of lookup_contest.c and lookup_contest.rs, where it says what they leave out
    reader          quotegrid.h, the crate. Both of a language: gcc -O3 -march=native -ffp-contract=off, rustc
                    -C opt-level=3 -C target-cpu=native. What is done between the nodes is chosen at run time
    one by one      a state comes from a place that depends on the quotes before: from question to answer
    all at once     as fast as they come: the processor works on several lookups at a time

    Quoter.quotes   bid, ask and value of 100,000 states in one call
    SciPy           RegularGridInterpolator, linear, of the same three numbers in one array: the same states
                    in one call, and one state a call. Three interpolators of one number each take longer
"""

import argparse
import ctypes
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from contest_libraries import compilers, contest_libraries
from contest_tables import HORIZON, contest_table, write_contest_table
from scipy.interpolate import RegularGridInterpolator
from side_by_side import (
    Contestant,
    markdown_table,
    provenance,
    publish,
    spread,
    take_turns,
    times_as_fast,
)

from quotegrid.tables.lookup import BETWEEN
from quotegrid.tables.many_lookups import Markets
from quotegrid.tables.quoter import Quoter

TARGET, TARGET_OF_NUMPY = "≤ 1.3", "≥ 20"
ONE_BY_ONE = 200  # states that SciPy is asked for one after the other


class Shape(NamedTuple):
    """A table, and how it is asked."""

    number: int  # of the functions in lookup_contest.c
    axes: str
    between: str
    lots: int
    times: int = 0
    factors: int = 0

    @property
    def offsets(self) -> float:
        """Bytes."""
        return 16.0 * (2 * self.lots + 1) * max(self.times, 1) * max(self.factors, 1)


SMALL = (
    Shape(1, "inventory", "nearest", 50),
    Shape(2, "time × inventory", "linear", 20, 30),
    Shape(3, "time × factor × inventory", "nearest", 10, 10, 8),
)
LARGE = (
    Shape(1, "inventory", "nearest", 2**22),
    Shape(2, "time × inventory", "linear", 100, 84_001),
    Shape(3, "time × factor × inventory", "nearest", 50, 840, 201),
)
STATES = {SMALL: 65_536, LARGE: 1_000_000}


class Questions(ctypes.Structure):
    """As lookup_contest.c declares them."""

    _fields_ = (
        ("time", ctypes.c_void_p),
        ("factor", ctypes.c_void_p),
        ("lots", ctypes.c_void_p),
        ("count", ctypes.c_long),
        ("none", ctypes.c_uint64),
    )


def drawn(low: float, high: float, nodes: int, count: int, seed: int) -> np.ndarray:
    """Uniform between the ends of an axis of even nodes, none so near to one that it counts as the node."""
    x = np.random.default_rng(seed).uniform(low, high, count)
    step = (high - low) / max(nodes - 1, 1)
    beside = np.abs(x - low - step * np.round((x - low) / step)) < 1e-8 * (high - low)
    return np.where(beside, low + step * (np.floor((x - low) / step) + 0.3), x)


def states(shape: Shape, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, factors and inventories."""
    time = drawn(0.0, HORIZON, shape.times, count, 1)
    factor = drawn(-1.0, 1.0, shape.factors, count, 2)
    return time, factor, drawn(-shape.lots, shape.lots, 2 * shape.lots + 1, count, 3)


def opened(
    path: Path, c: ctypes.CDLL, rust: ctypes.CDLL
) -> dict[str, tuple[ctypes.CDLL, str, ctypes.c_void_p]]:
    """Contestant → library, stem of its functions, what it reads."""
    c.open_table.restype = c.open_grid.restype = rust.open_table.restype = ctypes.c_void_p
    table = ctypes.c_void_p(c.open_table(str(path).encode()))
    grid = ctypes.c_void_p(c.open_grid(table))
    bytes_of, size = (ctypes.c_size_t * 2).from_address(table.value or 0)  # the head of a qg_table
    crate = ctypes.c_void_p(rust.open_table(ctypes.c_void_p(bytes_of), ctypes.c_size_t(size)))
    return {
        "C by hand": (c, "bare", grid),
        "C": (c, "read", table),
        "Rust by hand": (rust, "bare", grid),
        "Rust": (rust, "read", crate),
    }


def rows_of(shape: Shape, count: int, path: Path, libraries: Any, rounds: int) -> list[tuple[str, ...]]:
    """Both ways to ask: nanoseconds, and ratios within a round."""
    asked = states(shape, count)
    questions = Questions(*(x.ctypes.data for x in asked), count, 0)
    contestants, answers = {}, {}
    for name, (library, stem, held) in opened(path, *libraries).items():
        for way in ("", "_chained"):
            answer = answers[name + way] = np.zeros((count, 2))
            place = ctypes.c_void_p(answer.ctypes.data)
            arguments = (held, ctypes.byref(questions), BETWEEN.index(shape.between), place)
            run = partial(getattr(library, f"{stem}_{shape.number}{way}"), *arguments)
            contestants[name + way] = Contestant(run, count)
    seconds = take_turns(contestants, rounds)
    for name, answer in answers.items():
        if not np.array_equal(answer, answers["C by hand"], equal_nan=True):
            raise SystemExit(f"{name} has other quotes of {shape}")
    found = []
    for way, told in (("_chained", "one by one"), ("", "all at once")):
        taken = {name: seconds[name + way] for name in ("C by hand", "C", "Rust by hand", "Rust")}
        ns = {name: f"{1e9 * float(np.min(each)):.1f}" for name, each in taken.items()}
        found.append(
            (
                shape.axes,
                _size(shape.offsets),
                told,
                *(ns[name] for name in ("C by hand", "C")),
                f"**{spread(taken['C'] / taken['C by hand'])}**",
                *(ns[name] for name in ("Rust by hand", "Rust")),
                f"**{spread(taken['Rust'] / taken['Rust by hand'])}**",
                spread(taken["Rust"] / taken["C"]),
            )
        )
    return found


def _size(size: float) -> str:
    return f"{size / 1e6:.0f} MB" if size > 1e6 else f"{size / 1e3:.1f} kB"


def numpy_rows(shape: Shape, count: int, rounds: int) -> tuple[str, ...]:
    """`Quoter.quotes` and SciPy on the same states."""
    table = contest_table(shape.lots, shape.times, shape.factors)
    quoter = Quoter(table, "linear")
    time, factor, lots = states(shape, count)
    times = time if shape.times else None
    market = Markets(factors={"signal": factor}) if shape.factors else None
    axes = [axis.nodes for axis in table.axes]
    columns = [*([time] if shape.times else []), *([factor] if shape.factors else []), lots]
    points = np.stack(columns, axis=-1)
    theirs = RegularGridInterpolator(axes, np.concatenate([table.offset, table.value[..., None]], axis=-1))
    quotes, found = quoter.quotes(lots, times, market), theirs(points)
    np.testing.assert_allclose(quotes.offsets, found[..., :2], rtol=0.0, atol=1e-9)
    few = [points[k : k + 1] for k in range(ONE_BY_ONE)]

    def one_by_one(call: Callable[[np.ndarray], Any]) -> None:
        for point in few:
            call(point)

    seconds = take_turns(
        {
            "ours": Contestant(partial(quoter.quotes, lots, times, market), count),
            "in one call": Contestant(partial(theirs, points), count),
            "one by one": Contestant(partial(one_by_one, theirs), ONE_BY_ONE),
        },
        rounds,
    )
    return (
        shape.axes,
        _size(shape.offsets),
        *(f"{1e9 * float(np.min(each)):.3g}" for each in seconds.values()),
        times_as_fast(seconds["ours"], seconds["in one call"]),
        f"**{times_as_fast(seconds['ours'], seconds['one by one'])}**",
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument(
        "--rounds", type=int, default=301, help="of small tables; large ones have a twentieth"
    )
    arguments.add_argument("--output", type=Path, default=None, help="a Markdown file")
    chosen = arguments.parse_args()
    rows, scipy_rows = [], []
    with tempfile.TemporaryDirectory() as name:
        libraries = contest_libraries("lookup_contest", Path(name))
        for shapes, count in STATES.items():
            rounds = chosen.rounds if shapes is SMALL else max(chosen.rounds // 20, 3)
            for shape in shapes:
                path = write_contest_table(Path(name), shape.lots, shape.times, shape.factors)
                rows += rows_of(shape, count, path, libraries, rounds)
                path.unlink()
                scipy_rows.append(numpy_rows(shape, min(count, 100_000), max(chosen.rounds // 20, 3)))
    command = f"taskset -c 0 python benchmarks/lookups.py --rounds {chosen.rounds}"
    publish(
        chosen.output,
        "# Lookups",
        f"{provenance(command, ('numpy', 'scipy'))} {compilers()}. Nanoseconds for a state are those of the "
        "fastest round; ratios are medians of those within a round, quartiles in brackets. What is compared "
        "with what stands on top of the script; the versions by hand check no question, snap to no node and "
        "know no other axes.",
        "## C and Rust",
        markdown_table(
            (
                *("axes", "offsets", "asked"),
                *("C by hand, ns", "C reader", f"ratio, target {TARGET}"),
                *("Rust by hand, ns", "Rust reader", f"ratio, target {TARGET}", "Rust to C"),
            ),
            rows,
        ),
        "A single lookup is one whose answer is waited for: `one by one`. Where nothing waits, all at once, "
        "the checks of a question (a finite number, inside of the box, near a node, the right coordinates) "
        "and what is kept for other numbers of the same state cost their full time.",
        "## NumPy and SciPy",
        markdown_table(
            (
                *("axes", "offsets", "`Quoter.quotes`, ns", "SciPy in one call", "SciPy one by one"),
                *("faster than in one call by", f"than one by one by, target {TARGET_OF_NUMPY}"),
            ),
            scipy_rows,
        ),
        "Linear on all axes, three numbers a state. Asked with arrays, both do the same work, and the first "
        "ratio is all that is gained against a SciPy that is used as well as it can be; the second one is "
        "against asking it for quotes as they are needed.",
    )


if __name__ == "__main__":
    main()
