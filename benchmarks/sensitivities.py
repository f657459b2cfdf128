"""What sensitivities cost, against solving and against solving again once for each parameter.

    taskset -c 0 python benchmarks/sensitivities.py [--rounds 7] [--output FILE.md]

All warm, on one processor, taking turns; medians over the rounds, and ratios of them.

    solve           `solve(problem)`, certificate included
    derivatives     `sensitivities(problem, solution=…)`: all parameters together, after the solve
    with curvature  the same with second derivatives, as a table stores them
    once each       `solve` of the problem with each parameter in turn 1 % larger, one after the other
"""

import argparse
from pathlib import Path
from typing import Any

from side_by_side import (
    Contestant,
    markdown_table,
    milliseconds,
    provenance,
    publish,
    spread,
    take_turns,
)

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


def row(name: str, problem: Problem, rounds: int) -> tuple[str, ...]:
    solution = solve(problem, table=TableRequest())
    paths = sensitivities(problem, solution=solution).parameters
    others = neighbours(problem, paths)
    found = take_turns(
        {
            "solve": Contestant(lambda: solve(problem)),
            "derivatives": Contestant(lambda: sensitivities(problem, solution=solution)),
            "with curvature": Contestant(lambda: sensitivities(problem, solution=solution, curvature=True)),
            "once each": Contestant(lambda: [solve(other, throw=False) for other in others]),
        },
        rounds,
    )
    ratios = (spread(found["derivatives"] / found[other]) for other in ("solve", "once each"))
    return (name, str(len(paths)), *map(milliseconds, found.values()), *ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    command = f"taskset -c 0 python benchmarks/sensitivities.py --rounds {arguments.rounds}"
    header = ("problem", "parameters", "solve", "derivatives", "with curvature", "once each")
    publish(
        arguments.output,
        "# What sensitivities cost",
        f"{provenance(command, ('jax', 'numpy'))} Milliseconds are medians over the rounds; ratios too, with "
        "quartiles. What the columns are stands on top of the script.",
        markdown_table(
            (*header, "derivatives / solve", "derivatives / once each"),
            [row(name, case, arguments.rounds) for name, case in CASES.items()],
        ),
    )


if __name__ == "__main__":
    main()
