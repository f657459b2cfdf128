"""The C++ kernels that march eight problems per vector, as functions from problems to tables."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from glft_routes import COUNT, DURATION, LIMIT, GlftRoutes
from logistic_routes import LogisticRoutes
from numpy.polynomial import chebyshev
from side_by_side import aligned, compile_library

from quotegrid.solver.dormand_prince import STAGE_WEIGHTS, STAGES, STEP_WEIGHTS
from quotegrid.solver.hamiltonian_series import alternating_sums

_STATES = 2 * LIMIT + 1
_FLAGS = ("-ffast-math", "-fno-finite-math-only")
_DEGREE = 23  # of the series of ln H
_RANGE = 6.5  # of reservation offsets, ticks on both sides of 0


def packed(rows: Sequence[Any], *shape: int) -> np.ndarray:
    """One row for each problem, as [group, *shape, lane]."""
    out = aligned(len(rows) // 8, *shape, 8)
    for lane, row in enumerate(rows):
        out[lane // 8, ..., lane % 8] = row
    return out


def _tables(run_kernel: Any, groups: int, *arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values [group, time, state, lane] and offsets [group, time, side, state, lane], in new memory: the
    tables of a sweep are kept.
    """
    value, offset = aligned(groups, COUNT, _STATES, 8), aligned(groups, COUNT, 2, _STATES, 8)
    handed = [ctypes.c_void_p(x.ctypes.data) if isinstance(x, np.ndarray) else x for x in arguments]
    run_kernel(groups, _STATES, COUNT, *handed, *(ctypes.c_void_p(x.ctypes.data) for x in (value, offset)))
    return value, offset


class CompiledGlft:
    """lockstep_kernel.cpp."""

    def __init__(self, linears: list[GlftRoutes]) -> None:
        self._run = compile_library("lockstep_kernel.cpp", *_FLAGS).tables
        self._groups = len(linears) // 8
        shifts = [-x.diagonal.min() for x in linears]
        up, down = np.ones(_STATES), np.ones(_STATES)
        up[-1] = down[0] = 0.0
        self._arguments = [
            packed([x.diagonal + c for x, c in zip(linears, shifts, strict=True)], _STATES),
            packed([x.beside * up for x in linears], _STATES),
            packed([x.beside * down for x in linears], _STATES),
            packed(shifts),
            packed([x.k for x in linears]),
            packed([1.0 for _ in linears]),
            packed([np.full(2, x.markup) for x in linears], 2),
            ctypes.c_double(DURATION / (COUNT - 1)),
        ]

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        return _tables(self._run, self._groups, *self._arguments)


class CompiledLogistic:
    """logistic_kernel.cpp; the series of ln H are made beforehand."""

    def __init__(self, routes: list[LogisticRoutes], steps: Sequence[int]) -> None:
        """`steps` in the intervals from the end of the horizon on; the last number holds for the rest."""
        self._run = compile_library("logistic_kernel.cpp", *_FLAGS).tables
        self._groups = len(routes) // 8
        series = [self._series(each) for each in routes]
        even, odd = (
            packed([np.stack([x[half]] * 2) for x in series], 2, (_DEGREE + 1) // 2) for half in (0, 1)
        )
        self._arguments = [
            np.pad(np.array(steps, np.int32), (0, COUNT - 1 - len(steps)), mode="edge"),
            STAGES,
            np.ascontiguousarray(STAGE_WEIGHTS),
            STEP_WEIGHTS,
            ctypes.c_double(DURATION / (COUNT - 1)),
            (_DEGREE + 1) // 2,
            even,
            odd,
            packed([np.full(2, 1.0 / _RANGE) for _ in routes], 2),
            packed([np.zeros(2) for _ in routes], 2),
            packed([x.gamma for x in routes]),
            packed([x.reward for x in routes], _STATES),
        ]

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        return _tables(self._run, self._groups, *self._arguments)

    @staticmethod
    def _series(routes: LogisticRoutes) -> tuple[np.ndarray, np.ndarray]:
        c = chebyshev.chebinterpolate(lambda x: np.log(routes.hamiltonian(_RANGE * x)[0]), _DEGREE)
        return c[::2], alternating_sums(c[1::2, None])[:, 0]
