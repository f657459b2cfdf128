"""What sensitivities cost, against solving and against solving again once for each parameter.

    taskset -c 0 python benchmarks/sensitivities.py [--rounds 7] [--output FILE.md]

All warm, on one processor, taking turns; medians over the rounds, and ratios of them.

    solve           `solve(problem)`, certificate included
    derivatives     `sensitivities(problem, solution=…)`: all parameters together, after the solve
    with curvature  the same with second derivatives, as a table stores them
    once each       `solve` of the problem with each parameter in turn 1 % larger, one after the other
"""

import argparse
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import jax

from quotegrid.analysis.sensitivities import sensitivities
from quotegrid.models.faults import ProblemError
from quotegrid.models.paths import read, replace
from quotegrid.models.problem import Problem, TableRequest
from quotegrid.models.problem_file import parse_problem, read_problem_file
from quotegrid.solver.solve import solve

EXAMPLES = Path(__file__).parents[1] / "examples"
EXPONENTIAL = {"kind": "exponential", "A": 0.9, "k": 1.5}
LOGISTIC = {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}


def problem(intensity: dict, **sections: Any) -> Problem:
    tree = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 1.0},
        "inventory": {"max": 20},
        "price": {"volatility": 0.5},
        "preferences": {"kind": "cara", "risk_aversion": 0.05},
        "flow": [{"name": "book", "side": "both", "intensity": intensity}],
        "horizon": {"kind": "ergodic"},
    }
    return parse_problem({**tree, **sections}).problem


def example(name: str) -> Problem:
    return read_problem_file(EXAMPLES / f"{name}.toml").problem


FINITE = {"kind": "finite", "duration": 60.0, "terminal": {"quadratic": 0.01}}
CASES: dict[str, Problem] = {
    "ergodic, exponential": problem(EXPONENTIAL),
    "ergodic, logistic": problem(LOGISTIC),
    "discounted, exponential": problem(EXPONENTIAL, horizon={"kind": "discounted", "rate": 0.01}),
    "ergodic, tabulated (eth-perpetual)": example("eth-perpetual"),
    "finite, linear (glft-2013)": example("glft-2013"),
    "finite, linear (cartea-jaimungal)": example("cartea-jaimungal"),
    "finite, linear, with a fee on the price (avellaneda-stoikov-2008)": example("avellaneda-stoikov-2008"),
    "finite, logistic": problem(LOGISTIC, horizon=FINITE),
}


def neighbours(problem: Problem, paths: tuple[str, ...]) -> list[Problem]:
    """The problem with each parameter a little larger."""
    found = []
    for path in paths:
        now = read(problem, path)
        try:
            found.append(replace(problem, {path: 1.01 * now if now else 1e-4}))
        except ProblemError:  # a knot that may not move so far
            found.append(problem)
    return found


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - started)


def measure(problem: Problem, rounds: int) -> tuple[int, list[float]]:
    solution = solve(problem, table=TableRequest())
    paths = sensitivities(problem, solution=solution).parameters
    others = neighbours(problem, paths)
    contestants: list[Callable[[], Any]] = [
        lambda: solve(problem),
        lambda: sensitivities(problem, solution=solution),
        lambda: sensitivities(problem, solution=solution, curvature=True),
        lambda: [solve(other, throw=False) for other in others],
    ]
    for work in contestants:
        work()
    times = [[timed(work) for work in contestants] for _ in range(rounds)]
    return len(paths), [median(column) for column in zip(*times, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    lines = [
        "# What sensitivities cost",
        "",
        f"`taskset -c 0 python benchmarks/sensitivities.py --rounds {arguments.rounds}`, "
        f"{datetime.now(UTC):%Y-%m-%d}, one {platform.machine()} processor, "
        f"Python {platform.python_version()}, JAX {jax.__version__}. Milliseconds, medians; the columns are "
        "explained on top of the script.",
        "",
        "| problem | parameters | solve | derivatives | with curvature | once each | derivatives / solve "
        "| derivatives / once each |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, case in CASES.items():
        count, (alone, derivatives, curvature, each) = measure(case, arguments.rounds)
        lines.append(
            f"| {name} | {count} | {alone:.3g} | {derivatives:.3g} | {curvature:.3g} | {each:.3g} "
            f"| {derivatives / alone:.2f} | {derivatives / each:.3f} |"
        )
        print(lines[-1], flush=True)
    if arguments.output is not None:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
