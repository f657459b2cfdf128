"""Growth: ergodic problems of a hundred to a million lots, and tables by the hundreds and thousands.

    taskset -c 0 python benchmarks/growth.py [--rounds 5] [--most 1000000] [--output FOLDER]

Ergodic, one size, limits ±Q: each Q in a process of its own, which solves once (and compiles), then `rounds`
times, or more of them where that takes less than half a second. γ falls with Q so that σ² γ Q² k stays what
it is in the market of Guéant, Lehalle & Fernandez-Tapia at Q = 50: the penalty at the limit, and with it the
quotes there, stay the same. Memory is told twice: the largest resident set of that process, compiler
included, and by how much later solves exceed what is resident between them (the kernel of Linux resets its
mark for that; elsewhere it stays unknown). Where a call costs as much as the work, the same once more as one
of 320 problems with other numbers, by `solve_many`. Tables: those of many_tables.py, by `solve_many`.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from glft_routes import PAPER, TABLE, draw, glft_problem
from matplotlib.figure import Figure
from side_by_side import HERE, Contestant, markdown_table, provenance, publish, spread, take_turns

from quotegrid.analysis.figures import ASK, BID, FAINT, INK, STYLE
from quotegrid.solver import solve, solve_many

LIMITS = (100, 1_000, 10_000, 100_000, 1_000_000)
TABLES = (32, 320, 3200)
SMALL, MANY = 1_000, 320  # lots up to which many are solved at once, and how many
LEAST = 0.5  # seconds for which small problems are solved again and again


class Grown(NamedTuple):
    """What one limit took."""

    limit: int
    seconds: float  # the median of the solves after the first
    first: float  # the first one, which compiles
    memory: float  # bytes, the largest resident set
    working: float  # bytes that a solve after the first adds at most; NaN if unknown
    iterations: int
    quote_error: float  # certified, ticks; NaN where it is not
    status: str
    among_many: float  # seconds, as one of many; NaN above `SMALL`


def measure(limit: int, rounds: int) -> Grown:
    """In this process."""
    numbers = dict(PAPER, gamma=PAPER["gamma"] * (50.0 / limit) ** 2)
    problem = glft_problem(**numbers, limit=limit, ergodic=True)
    taken: list[float] = []
    found: Any = None
    resident = np.nan
    while len(taken) <= rounds or sum(taken[1:]) < LEAST:
        start = time.perf_counter()
        found = solve(problem, throw=False)
        taken.append(time.perf_counter() - start)
        if len(taken) == 1:
            found = None
            resident = reset_mark()
    working = status_bytes("VmHWM") - resident
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    error = found.certificate.get("quote_error", np.nan)
    return Grown(
        limit,
        float(np.median(taken[1:])),
        taken[0],
        most,
        working,
        found.iterations,
        error,
        str(found.status),
        among_many(limit, numbers, rounds),
    )


def among_many(limit: int, numbers: dict[str, float], rounds: int) -> float:
    """Seconds for each of many problems around one; NaN where a single one takes long enough."""
    if limit > SMALL:
        return float("nan")
    rng = np.random.default_rng(2013)
    drawn = [{name: x * rng.uniform(0.8, 1.25) for name, x in numbers.items()} for _ in range(MANY)]
    problems = [glft_problem(**each, limit=limit, ergodic=True) for each in drawn]
    taken = take_turns({"": Contestant(lambda: solve_many(problems), MANY)}, rounds)[""]
    return float(np.median(taken))


def status_bytes(name: str) -> float:
    """A line of this process's status; NaN where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return np.nan
    return next((1024.0 * float(line.split()[1]) for line in lines if line.startswith(name)), np.nan)


def reset_mark() -> float:
    """The resident bytes, from which the largest ones are counted anew; NaN if that cannot be."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return np.nan
    return status_bytes("VmRSS")


def apart(limit: int, rounds: int) -> Grown:
    """In a process of its own."""
    command = [sys.executable, str(HERE / "growth.py"), "--one", str(limit), "--rounds", str(rounds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Grown(*json.loads(done.stdout))


def draw_figure(grown: list[Grown], tables: dict[int, np.ndarray]) -> Figure:
    """Time per state, memory, and time per table, against how many there are."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 3.9), dpi=150)
        times, memory, many = figure.subplots(1, 3)
        states = np.array([2 * each.limit + 1 for each in grown])
        per_state = np.array([each.seconds for each in grown]) / states
        times.plot(states, 1e6 * per_state, "o-", color=BID, linewidth=1.6, markersize=4.5)
        among_many = np.array([each.among_many for each in grown]) / states
        times.plot(states, 1e6 * among_many, "D--", color=ASK, linewidth=1.2, markersize=4.0)
        times.annotate(
            f"as one of {MANY}",
            (states[1], 1e6 * among_many[1]),
            xytext=(0, -16),
            textcoords="offset points",
            ha="center",
            color=ASK,
            fontsize=8.5,
        )
        low = float(np.min(per_state)) * 1e6
        times.axhspan(low, 2.0 * low, color=FAINT, alpha=0.35, linewidth=0)
        times.annotate(
            "within 2×", (states[-1], 1.1 * low), color="#666666", fontsize=8.5, va="center", ha="right"
        )
        times.set_title("Ergodic: time per state (µs)")
        own = np.array([each.working for each in grown]) / 1e6
        memory.plot(states, own, "s-", color=ASK, linewidth=1.6, markersize=4.5)
        linear = own[-1] * states / states[-1]
        memory.plot(states, linear, linestyle=(0, (4, 3)), color=INK, linewidth=1.0)
        memory.annotate(
            "linear",
            (states[-2], linear[-2]),
            xytext=(-34, 6),
            textcoords="offset points",
            fontsize=8.5,
            color=INK,
        )
        memory.set_title("Ergodic: working memory (MB)")
        counts = np.array(sorted(tables))
        middle = np.array([np.median(tables[count]) for count in counts]) * 1e3
        many.plot(counts, middle, "D-", color=INK, linewidth=1.6, markersize=4.5)
        many.set_ylim(0.0, 1.6 * float(np.max(middle)))
        many.set_title("`solve_many`: time per GLFT table (ms)".replace("`", ""))
        for axes, what in ((times, "states"), (memory, "states"), (many, "tables")):
            axes.set_xscale("log")
            axes.set_xlabel(what)
        times.set_ylim(0.0, 1.15e6 * float(np.max(per_state)))
        memory.set_yscale("log")
        memory.yaxis.set_major_formatter("{x:g}")
        many.set_xticks(counts, [f"{count}" for count in counts])
        many.minorticks_off()
    return figure


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--most", type=int, default=LIMITS[-1], help="the largest limit, lots")
    arguments.add_argument("--output", type=Path, default=None, help="a folder for growth.md and growth.png")
    arguments.add_argument("--one", type=int, default=None, help="measure one limit, print numbers")
    chosen = arguments.parse_args()
    if chosen.one is not None:
        print(json.dumps(measure(chosen.one, chosen.rounds)))
        return
    grown = [apart(limit, chosen.rounds) for limit in LIMITS if limit <= chosen.most]
    problems = [glft_problem(**numbers) for numbers in draw(TABLES[-1])]
    contestants = {
        str(count): Contestant(lambda count=count: solve_many(problems[:count], table=TABLE), count)
        for count in TABLES
    }
    tables = {int(count): taken for count, taken in take_turns(contestants, chosen.rounds).items()}
    command = f"taskset -c 0 python benchmarks/growth.py --rounds {chosen.rounds}"
    rows = [
        (
            f"{each.limit:,}",
            f"{1e3 * each.seconds:.3g}",
            f"{1e6 * each.seconds / (2 * each.limit + 1):.3g}",
            "" if each.limit > SMALL else f"{1e6 * each.among_many / (2 * each.limit + 1):.3g}",
            f"{each.memory / 1e6:.0f}",
            f"{each.working / 1e6:.1f}",
            f"{each.working / (2 * each.limit + 1):.0f}",
            f"{each.iterations}",
            f"{each.quote_error:.1e}" if each.quote_error == each.quote_error else "not certified",
            each.status,
            f"{each.first:.1f}",
        )
        for each in grown
    ]
    per_state = [each.seconds / (2 * each.limit + 1) for each in grown]
    shared = [
        (each.among_many if each.limit <= SMALL else each.seconds) / (2 * each.limit + 1) for each in grown
    ]
    publish(
        None if chosen.output is None else chosen.output / "growth.md",
        "# Growth",
        f"{provenance(command, ('jax', 'numpy'))} Medians. What is solved stands on top of the script.",
        "![time per state, memory, and time per table](growth.png)",
        "## Ergodic, one size, limits ±Q",
        markdown_table(
            (
                "Q, lots",
                "ms per solve",
                "µs per state",
                f"µs per state, as one of {MANY}",
                "resident at most, MB",
                "of it for a solve, MB",
                "bytes per state",
                "iterations",
                "certified error of quotes, ticks",
                "status",
                "first solve, s",
            ),
            rows,
        ),
        f"The largest time per state is {max(per_state) / min(per_state):.3g} times the least (target: 2); "
        f"with the small problems as one of {MANY}, {max(shared) / min(shared):.3g} times. A small problem "
        "alone is slow per state, for it pays for what every call costs, some tenths of a millisecond. "
        "Passage times to the target grow with Q², and the certified error of the quotes with them: it is "
        "rounding, times these.",
        "## GLFT tables by `solve_many`",
        markdown_table(
            ("tables", "ms per table (quartiles)"),
            [(str(count), spread(1e3 * taken)) for count, taken in tables.items()],
        ),
    )
    if chosen.output is not None:
        draw_figure(grown, tables).savefig(chosen.output / "growth.png")


if __name__ == "__main__":
    main()
