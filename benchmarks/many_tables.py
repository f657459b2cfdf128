"""Many tables, of exponential and of logistic fills, against SciPy and C++ kernels.

    taskset -c 0 python benchmarks/many_tables.py [--tables 2048] [--logistic 128] [--output FILE.md]

One table: inventory limit 50, T = 600, 101 equal times, value and both offsets everywhere. The contestants
take turns on the same work, all on the one processor that taskset leaves them; ratios are medians over the
rounds. Each is checked, as on the page of one table: the largest error of an offset is printed too.

Exponential fills, the market of Guéant, Lehalle & Fernandez-Tapia 2013:

    lockstep      `solve_linear_lanes` of this project, certificate and lookup error included
    solve_many    the same from a list of `Problem`s to a list of `Solution`s
    solve         one problem after the other
    C++           lockstep_kernel.cpp, g++ -O3 -march=native -ffast-math: arrays in, arrays out
    expm, eigh    glft_routes.py: scipy.linalg.expm of one interval, then 100 products; eigh_tridiagonal
    DOP853, LSODA scipy.integrate.solve_ivp for θ, rtol = 1e-12; LSODA with its band
    odeint        LSODA with its band, its loop compiled

Logistic fills:

    solve_many    as above: one after the other by the same compiled code, certificates included
    C++           logistic_kernel.cpp: steps of the same method, as few as it takes, found beforehand; so are
                  its series for the Hamiltonians, which are not counted
    odeint, …     logistic_routes.py: as on the page of one table; so is their table of the Hamiltonian
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from contest_page import introduction, options, standing
from glft_routes import (
    TABLE,
    GlftRoutes,
    draw,
    extended_offsets,
    glft_problem,
    largest_error,
)
from lockstep_contest import CompiledGlft, CompiledLogistic
from logistic_routes import NUMBERS, LogisticRoutes, logistic_problem
from side_by_side import Contestant, publish

from quotegrid.solver import solve, solve_many
from quotegrid.solver.linear_lanes import solve_linear_lanes
from quotegrid.solver.many import LANES
from quotegrid.solver.methods import linear_choice
from quotegrid.solver.solve import parameters

STEPS = (6, 3, 2)  # of the C++ kernel for logistic fills, in the intervals from the end of the horizon on


def glft(tables: int, rounds: int) -> str:
    numbers = draw(tables)
    problems, linears = [glft_problem(**x) for x in numbers], [GlftRoutes(**x) for x in numbers]
    compiled = CompiledGlft(linears)
    chunks = []
    for begin in range(0, len(problems), LANES):
        part = problems[begin : begin + LANES]
        chunks.append((jax.tree.map(lambda *x: np.stack(x), *map(parameters, part)), part))

    def lockstep(few: int = len(chunks)) -> Any:
        with jax.enable_x64(True):
            return [
                solve_linear_lanes(stacked, part, linear_choice(None), TABLE)
                for stacked, part in chunks[:few]
            ]

    routes: dict[str, tuple[int, Callable[[GlftRoutes], np.ndarray]]] = {
        "expm": (24, GlftRoutes.by_expm),
        "eigh": (48, GlftRoutes.by_eigh),
        "DOP853": (2, partial(GlftRoutes.by_ivp, method="DOP853")),
        "LSODA": (2, partial(GlftRoutes.by_ivp, method="LSODA")),
        "odeint": (2, GlftRoutes.by_odeint),
    }
    alone = 24
    contestants = {
        "lockstep": Contestant(lockstep, tables),
        "C++": Contestant(compiled, tables),
        "solve_many": Contestant(lambda: solve_many(problems, table=TABLE), tables),
        "solve": Contestant(lambda: [solve(x, table=TABLE) for x in problems[:alone]], alone),
    }
    for name, (few, route) in routes.items():
        contestants[name] = Contestant(lambda few=few, route=route: list(map(route, linears[:few])), few)
    first = {
        "lockstep": lockstep(1)[0][0].offset,
        "C++": first_offsets(compiled),
        "solve_many": solve_many(problems[:LANES], table=TABLE)[0].offset,
        "solve": solve(problems[0], table=TABLE).offset,
        **{name: linears[0].offsets(route(linears[0])) for name, (_, route) in routes.items()},
    }
    places = [0, 50, 99]
    truth = extended_offsets(numbers[0], places)
    errors = {name: largest_error(offset, places, truth) for name, offset in first.items()}
    ours = {"lockstep": "lockstep is faster by", "solve_many": "`solve_many` is faster by"}
    return standing(contestants, errors, rounds, ours, time="ms per table")


def logistic(tables: int, rounds: int) -> str:
    numbers = draw(tables, NUMBERS)
    problems, routes = [logistic_problem(**x) for x in numbers], [LogisticRoutes(**x) for x in numbers]
    compiled = CompiledLogistic(routes, STEPS)
    ways: dict[str, Callable[[LogisticRoutes], np.ndarray]] = {
        "odeint": lambda x: x.by_odeint(1e-11, 1e-11),
        "LSODA": lambda x: x.by_ivp("LSODA", 3e-11, 3e-11),
        "DOP853": lambda x: x.by_ivp("DOP853", 1e-13, 1e-12),
    }
    few = 4
    for each in routes[:few]:
        each.subtract_gain()
    contestants = {
        "solve_many": Contestant(lambda: solve_many(problems, table=TABLE), tables),
        "C++": Contestant(compiled, tables),
        **{name: Contestant(lambda way=way: list(map(way, routes[:few])), few) for name, way in ways.items()},
    }
    first = {
        "solve_many": solve_many(problems[:2], table=TABLE)[0].offset,
        "C++": first_offsets(compiled),
        **{name: routes[0].offsets(way(routes[0])) for name, way in ways.items()},
    }
    truth = routes[0].exact_offsets()
    errors = {name: float(np.nanmax(np.abs(offset - truth))) for name, offset in first.items()}
    ours = {"solve_many": "`solve_many` is faster by"}
    return standing(contestants, errors, rounds, ours, time="ms per table")


def first_offsets(compiled: CompiledGlft | CompiledLogistic) -> np.ndarray:
    """[time, state, side], of the first problem."""
    return np.moveaxis(compiled()[1][0, ::-1, :, :, 0], 1, 2)


def main() -> None:
    chosen = options(__doc__, rounds=7, tables=(2048, "a multiple of 32"), logistic=(128, "a multiple of 8"))
    publish(
        chosen.output,
        "# Many tables at once",
        introduction("many_tables", chosen, ("jax", "numpy", "scipy")),
        "## GLFT: ±50 lots, 101 times, 600 s",
        glft(chosen.tables, chosen.rounds),
        "## Logistic fills, the same size, offsets to 1e-8 ticks",
        logistic(chosen.logistic, chosen.rounds),
    )


if __name__ == "__main__":
    main()
