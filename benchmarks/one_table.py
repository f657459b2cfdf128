"""One table at a time, in a process that has solved before: GLFT, logistic and ergodic, against others.

    taskset -c 0 python benchmarks/one_table.py [--rounds 21] [--output FILE.md]

All contestants take turns in each round, on the one processor that taskset leaves them; in its turn each runs
five times, and the last run counts: one table after another of its kind, as in a sweep. Ratios are those
within a round. `solve` goes from a Problem to a Solution, certificate included; its opponents go from numbers
to θ, without offsets or bounds. Their tolerances are tuned: the fastest whose error stays below what is
asked.

    GLFT      limit 50, T = 600 s, 101 times, exponential fills. glft_routes.py: scipy.linalg.expm of one
              interval and 100 products; eigh_tridiagonal; DOP853 by solve_ivp and banded LSODA by odeint for
              θ (rtol = atol = 1e-13). Truth: a positive series in extended precision.
    logistic  the same size. logistic_routes.py: banded LSODA by odeint and by solve_ivp, DOP853; the
              Hamiltonian is a table of cubics made beforehand, not counted. Truth: DOP853 with steps of 0.2 s
              whose Hamiltonians come from Newton's method.
    ergodic   tick_grid.py: policy iteration of quantecon's DiscreteDP, sparse pairs of states and actions; to
              build them is not counted. Truth: the largest eigenvector of the linear equation, in extended
              precision by the power method.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from contest_page import introduction, options, standing
from glft_routes import (
    LIMIT,
    PAPER,
    TABLE,
    GlftRoutes,
    extended_offsets,
    glft_problem,
    largest_error,
    offsets_of,
)
from logistic_routes import NUMBERS, LogisticRoutes, logistic_problem
from side_by_side import Contestant, publish, take_turns
from tick_grid import TickGrid

from quotegrid.models.problem import Numerics
from quotegrid.solver import solve

TARGETS = {"GLFT": "≥ 5 × the best of SciPy", "logistic": "≥ 4 ×", "ergodic": "≥ 15 ×"}
ASKED = 1e-8  # ticks, of a logistic table
WIDE = (-10, 30)  # ticks: a grid of offsets by one who does not know the answer

Field = dict[str, tuple[Callable[[], Any], float]]  # contestants, and the largest error of each


def section(field: Field, rounds: int, targets: dict[str, str]) -> str:
    """A table of all contestants; the first one is ours."""
    contestants = {name: Contestant(run) for name, (run, _) in field.items()}
    errors = {name: error for name, (_, error) in field.items()}
    ours = {next(iter(field)): "`solve` is faster by (quartiles)"}
    return standing(contestants, errors, rounds, ours, targets=targets, warm=True)


def glft() -> tuple[Field, dict[str, str]]:
    problem, routes, places = glft_problem(**PAPER), GlftRoutes(**PAPER), [0, 50, 99]
    truth = extended_offsets(PAPER, places)
    ours = partial(solve, problem, table=TABLE)
    field: Field = {"`solve`": (ours, largest_error(ours().offset, places, truth))}
    ways = {
        "expm": routes.by_expm,
        "eigh": routes.by_eigh,
        "LSODA, banded (odeint)": partial(routes.by_odeint, 1e-13),
        "DOP853": partial(routes.by_ivp, "DOP853", 1e-13),
    }
    for name, way in ways.items():
        field[name] = (way, largest_error(routes.offsets(way()), places, truth))
    return field, {"expm": TARGETS["GLFT"]}


def logistic() -> tuple[Field, dict[str, str]]:
    problem, routes = logistic_problem(**NUMBERS), LogisticRoutes(**NUMBERS)
    routes.subtract_gain()
    truth = routes.exact_offsets()

    def error(offset: np.ndarray) -> float:
        return float(np.nanmax(np.abs(offset - truth)))

    def tuned(way: Callable[[float, float], np.ndarray]) -> tuple[Callable[[], Any], float, str]:
        """The fastest tolerances that are accurate enough."""
        found = []
        for absolute in 10.0 ** np.arange(-12.0, -5.9, 0.5):
            for relative in (1e-13, absolute):
                missed = error(routes.offsets(way(relative, absolute)))
                if missed <= ASKED:
                    run = partial(way, relative, absolute)
                    taken = float(np.min(take_turns({"": Contestant(run)}, 3)[""]))
                    found.append((taken, run, missed, f"rtol {relative:.0e}, atol {absolute:.0e}"))
        return min(found, key=lambda each: each[0])[1:]

    def ours(tolerance: float) -> Callable[[], Any]:
        return partial(solve, problem, numerics=Numerics(tolerance=tolerance), table=TABLE)

    default = ours(1e-10)
    field: Field = {"`solve`": (default, error(default().offset))}
    for tolerance in 10.0 ** np.arange(-6.0, -13.5, -1.0):
        run = ours(tolerance)
        missed = error(run().offset)
        if missed <= ASKED:
            field[f"`solve`, tolerance {tolerance:.0e}"] = (run, missed)
            break
    most = ours(1e-13)
    field["`solve`, tolerance 1e-13"] = (most, error(most().offset))
    targets = {}
    ways = {
        "LSODA, banded (odeint)": routes.by_odeint,
        "LSODA, banded (solve_ivp)": partial(routes.by_ivp, "LSODA"),
        "DOP853": partial(routes.by_ivp, "DOP853"),
    }
    for name, way in ways.items():
        try:
            run, missed, how = tuned(way)
        except ValueError:  # no tolerance is accurate enough: its best
            run, how = partial(way, 1e-13, 1e-12), "rtol 1e-13, atol 1e-12"
            missed = error(routes.offsets(run()))
        field[f"{name}, {how}"] = (run, missed)
        if name.startswith("LSODA"):
            targets[f"{name}, {how}"] = TARGETS["logistic"]
    return field, targets


def stationary_offsets() -> np.ndarray:
    """[state, side], of GLFT's ergodic market in extended precision."""
    numbers = {name: np.longdouble(x) for name, x in PAPER.items()}
    A, k, gamma, sigma = (numbers[name] for name in ("A", "k", "gamma", "sigma"))
    q = np.arange(-LIMIT, LIMIT + 1).astype(np.longdouble)
    diagonal, beside = -k * gamma * sigma**2 * q**2 / 2, A * (1 + gamma / k) ** -(1 + k / gamma)
    diagonal = diagonal - diagonal.min()
    v = np.exp(-np.abs(q) / 8)
    for _ in range(20_000):
        after = diagonal * v
        after[1:] += beside * v[:-1]
        after[:-1] += beside * v[1:]
        after = after / after[LIMIT]
        settled = np.max(np.abs(after / v - 1)) < 1e-18
        v = after
        if settled:
            break
    return offsets_of(np.log(v)[None] / k, np.log1p(gamma / k) / gamma)[0].astype(float)


def grids(truth: np.ndarray) -> Iterator[tuple[str, TickGrid]]:
    low, high = int(np.floor(np.nanmin(truth))), int(np.ceil(np.nanmax(truth)))
    for (least, most), known in (
        ((low, high), "the range of the answer, known beforehand"),
        (WIDE, "wider: for an answer not known"),
    ):
        grid = TickGrid(**PAPER, low=least, high=most)
        yield f"quantecon, ticks {least} … {most} ({known})", grid


def ergodic() -> tuple[Field, dict[str, str]]:
    problem, truth = glft_problem(**PAPER, ergodic=True), stationary_offsets()

    def error(offset: np.ndarray) -> float:
        return float(np.nanmax(np.abs(offset - truth)))

    ours = partial(solve, problem)
    field: Field = {"`solve`": (ours, error(ours().offset))}
    targets = {}
    for name, grid in grids(truth):
        run = partial(grid.build().solve, method="policy_iteration")
        field[name], targets[name] = (run, error(grid.quotes(run()))), TARGETS["ergodic"]
    return field, targets


def main() -> None:
    chosen = options(__doc__, rounds=21)
    pages = [
        "# One table at a time",
        introduction("one_table", chosen, ("jax", "numpy", "scipy", "quantecon")),
    ]
    for title, make in (
        ("GLFT: ±50 lots, 101 times, 600 s", glft),
        (f"Logistic fills, the same size, offsets to {ASKED:g} ticks", logistic),
        ("Ergodic GLFT: ±50 lots", ergodic),
    ):
        field, targets = make()
        pages += [f"## {title}", section(field, chosen.rounds, targets)]
    pages.append(
        "A decision process on whole ticks misses quotes by up to half a tick; the continuum of "
        "`solve` costs the same whatever the range. quantecon's joint actions grow with the square "
        "of the number of ticks."
    )
    publish(chosen.output, *pages)


if __name__ == "__main__":
    main()
