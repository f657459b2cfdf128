"""Tables of Guéant, Lehalle & Fernandez-Tapia 2013 per second, against SciPy and a C++ kernel.

    taskset -c 0 python benchmarks/many_tables.py [--tables 2048] [--rounds 7] [--output FILE.md]

One table: inventory limit 50, T = 600, 101 equal times, exponential fills, value and both offsets everywhere.
The contestants take turns on the same work, all on the one processor that taskset leaves them; ratios are
medians over the rounds. Each is checked in extended precision: the largest error of an offset is printed too.

    lockstep      `solve_linear_lanes` of this project, certificate and lookup error included
    solve_many    the same from a list of `Problem`s to a list of `Solution`s
    solve         one problem after the other
    C++           lockstep_kernel.cpp, g++ -O3 -march=native -ffast-math: arrays in, arrays out
    expm, eigh    glft_routes.py: scipy.linalg.expm of one interval, then 100 products; eigh_tridiagonal
    DOP853, LSODA scipy.integrate.solve_ivp for θ, rtol = 1e-12; LSODA with its band
    odeint        LSODA with its band, its loop compiled
"""

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from contest_page import introduction, options, standing
from glft_routes import (
    COUNT,
    DURATION,
    LIMIT,
    TABLE,
    GlftRoutes,
    draw,
    extended_offsets,
    glft_problem,
    largest_error,
)
from side_by_side import Contestant, aligned, compile_library, publish

from quotegrid.solver import solve, solve_many
from quotegrid.solver.linear_lanes import solve_linear_lanes
from quotegrid.solver.many import LANES
from quotegrid.solver.methods import linear_choice
from quotegrid.solver.solve import parameters


class Compiled:
    """The C++ kernel on vectors of eight problems."""

    def __init__(self, linears: list[GlftRoutes]) -> None:
        library = compile_library("lockstep_kernel.cpp", "-ffast-math", "-fno-finite-math-only")
        self.run_kernel = library.tables
        states, self.groups = 2 * LIMIT + 1, len(linears) // 8

        def packed(rows: list[Any], *shape: int) -> np.ndarray:
            out = aligned(self.groups, *shape, 8)
            for lane, row in enumerate(rows):
                out[lane // 8, ..., lane % 8] = row
            return out

        shifts = [-x.diagonal.min() for x in linears]
        up, down = np.ones(states), np.ones(states)
        up[-1] = down[0] = 0.0
        self.arguments = [
            packed([x.diagonal + c for x, c in zip(linears, shifts, strict=True)], states),
            packed([x.beside * up for x in linears], states),
            packed([x.beside * down for x in linears], states),
            packed(shifts),
            packed([x.k for x in linears]),
            packed([1.0 for _ in linears]),
            packed([np.full(2, x.markup) for x in linears], 2),
        ]

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        """Values [group, time, state, lane] and offsets [group, time, side, state, lane], in new memory: the
        tables of a sweep are kept.
        """
        states = 2 * LIMIT + 1
        value, offset = aligned(self.groups, COUNT, states, 8), aligned(self.groups, COUNT, 2, states, 8)
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*self.arguments, value, offset)]
        length = ctypes.c_double(DURATION / (COUNT - 1))
        self.run_kernel(self.groups, states, COUNT, *pointers[:-2], length, *pointers[-2:])
        return value, offset


def main() -> None:
    chosen = options(__doc__, rounds=7, tables=(2048, "a multiple of 32"))
    numbers = draw(chosen.tables)
    problems, linears = [glft_problem(**x) for x in numbers], [GlftRoutes(**x) for x in numbers]
    compiled = Compiled(linears)
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
        "lockstep": Contestant(lockstep, chosen.tables),
        "C++": Contestant(compiled, chosen.tables),
        "solve_many": Contestant(lambda: solve_many(problems, table=TABLE), chosen.tables),
        "solve": Contestant(lambda: [solve(x, table=TABLE) for x in problems[:alone]], alone),
    }
    for name, (few, route) in routes.items():
        contestants[name] = Contestant(lambda few=few, route=route: list(map(route, linears[:few])), few)
    first = {
        "lockstep": lockstep(1)[0][0].offset,
        "C++": np.moveaxis(compiled()[1][0, ::-1, :, :, 0], 1, 2),
        "solve_many": solve_many(problems[:LANES], table=TABLE)[0].offset,
        "solve": solve(problems[0], table=TABLE).offset,
        **{name: linears[0].offsets(route(linears[0])) for name, (_, route) in routes.items()},
    }
    places = [0, 50, 99]
    truth = extended_offsets(numbers[0], places)
    errors = {name: largest_error(offset, places, truth) for name, offset in first.items()}
    ours = {"lockstep": "lockstep is faster by", "solve_many": "`solve_many` is faster by"}
    publish(
        chosen.output,
        "# Many tables at once",
        introduction("many_tables", chosen, ("jax", "numpy", "scipy")),
        standing(contestants, errors, chosen.rounds, ours, time="ms per table"),
    )


if __name__ == "__main__":
    main()
