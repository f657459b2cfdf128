"""From each stored time to the one before, piece by piece, each piece with a proved bound on its defect.

    dθ/dτ = B(θ),  τ time to go,  θ(0) = the stored values at the later time

A step of the eighth-order Runge-Kutta scheme of Dormand and Prince, with its dense output, says where the
path is likely to go; B there, at Chebyshev points, are the slopes of the polynomial that is taken. How well
that solves the equation is not estimated but proved (`path_defects`), and the flow of B is a contraction, so
the proved defects, each times the length of its piece, add up to the error at the end of the interval. A
piece whose defect is too large is shortened: near the end of the horizon, and where quotes jump. Where all
values rise alike, B stays what it is, and one straight piece covers the rest of an interval, however stiff
the equation.

All intervals march at once, each with pieces of its own length.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import DOP853

from quotegrid.tables.verification.bellman_twin import ROUNDING
from quotegrid.tables.verification.path_defects import DEGREE, NODES, PathDefect, path_defect, relative
from quotegrid.tables.verification.problem_twin import ProblemTwin
from quotegrid.tables.verification.running_operator import RunningOperator

Numbers = NDArray[np.float64]

_STAGES: int = DOP853.n_stages
_WEIGHTS: list[Numbers] = [np.asarray(row) for row in (DOP853.B, *DOP853.A_EXTRA)]
_STAGE_WEIGHTS: list[Numbers] = [np.asarray(row) for row in DOP853.A[1:_STAGES, :_STAGES]]
_DENSE: Numbers = np.asarray(DOP853.D)
_FIRST_PIECE = 0.5  # of the mean time to the next exit of the fastest state
_GROWTH, _SHRINKAGE = 2.0, 0.25  # of a piece from the one before
_PATIENCE = 1.6  # how much longer pieces may grow, from one to the next, than one that was too long
_ORDER = 8.0
_ONE_BREAK = 0.05  # of what is left of the aim: a piece where quotes jump may add as much, however short
MOST_PIECES = 3000  # of one interval, those that were halved among them


class Arrivals(NamedTuple):
    """Values at the ends of intervals, less those at their beginnings."""

    rise: Numbers  # [interval, inventory], currency
    scheme_error: Numbers  # [interval], currency; ∞ where the interval has too many pieces
    steps: int


def reintegrate(problem: ProblemTwin, start: Numbers, lengths: Numbers, aim: Numbers) -> Arrivals:
    """March from `start` [interval, inventory] over `lengths` [interval], to proved errors of about `aim`.

    The rounding of B is not in the errors; `path_defects.LEBESGUE` times that of one evaluation is to be
    added for each unit of time.
    """
    operator = RunningOperator(problem)
    with np.errstate(divide="ignore"):
        piece = np.minimum(_FIRST_PIECE / np.max(operator.exit_rates(start), axis=1), lengths)
    bend, level = np.zeros(start.shape), np.zeros(len(start))  # of the rise, its middle state and the rest
    error, past = np.zeros(len(start)), np.zeros(len(start))
    near = operator(start).free
    too_long = np.full(len(start), np.inf)
    steps, number = 0, 0
    active = np.arange(len(start))
    while len(active) and number < MOST_PIECES:
        here, rest = start[active] + bend[active], lengths[active] - past[active]
        guess = [offset[active] for offset in near]
        length = np.minimum(piece[active], rest)
        slope = operator(here, guess).operator
        tried = _piece(operator, here, slope, length, guess)
        added = length * tried.largest
        left = np.maximum(aim[active] - error[active], 0.0)
        share = aim[active] * length / lengths[active]
        most = np.maximum(share, _ONE_BREAK * left)
        taken = added <= most
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = 0.9 * (np.where(taken, share, most) / added) ** (1.0 / _ORDER)
            factor = np.nan_to_num(factor, nan=0.0)
        too_long[active] = np.where(taken, _PATIENCE * too_long[active], 0.9 * length)
        grown = length * np.clip(factor, _SHRINKAGE, np.where(taken, _GROWTH, 0.7))
        piece[active] = np.minimum(grown, too_long[active])
        top, bottom = np.max(slope, axis=1), np.min(slope, axis=1)
        settled = 0.5 * (top - bottom) * lengths[active] <= aim[active]
        if settled.any():
            tried.rise[settled] = 0.0
            tried.level[settled] = (0.5 * rest * (top + bottom))[settled]
            added[settled] = (0.5 * rest * (top - bottom))[settled]
            length, taken = np.where(settled, rest, length), taken | settled
        gone = active[taken]
        bend[gone] += tried.rise[taken]
        level[gone] += tried.level[taken]
        past[gone] += length[taken]
        height = np.max(np.abs(bend[gone]), axis=1) + np.abs(level[gone])
        error[gone] += added[taken] + 4.0 * ROUNDING * height
        for offset, last in zip(near, tried.last, strict=True):
            offset[gone] = last[taken]
        number, steps = number + 1, steps + len(active)
        active = active[past[active] < lengths[active] * (1.0 - 4.0 * ROUNDING)]
    error[active] = np.inf
    return Arrivals(bend + level[:, None], error, steps)


def _piece(
    operator: RunningOperator, start: Numbers, slope: Numbers, length: Numbers, near: list[Numbers]
) -> PathDefect:
    """A piece through the Chebyshev points of a Runge-Kutta step; `slope` is B at its start."""
    h = length[:, None]
    with np.errstate(all="ignore"):
        slopes: Numbers = np.zeros((_STAGES + len(_WEIGHTS), *start.shape))
        slopes[0] = relative(slope)
        for stage, row in enumerate([*_STAGE_WEIGHTS, *_WEIGHTS], start=1):
            inner = np.tensordot(row[:stage], slopes[:stage], axes=1)
            slopes[stage] = relative(operator(start + h * inner, near).operator)
        change = h * np.tensordot(_WEIGHTS[0], slopes[:_STAGES], axes=1)
        parts = [change, h * slopes[0] - change, 2.0 * change - h * (slopes[_STAGES] + slopes[0])]
        parts += list(h * np.tensordot(_DENSE, slopes, axes=1))
        path = np.zeros((len(start), DEGREE + 1, start.shape[1]))
        x = 0.5 * (1.0 + NODES)[None, :, None]
        for number, part in enumerate(reversed(parts)):
            path = (path + part[:, None]) * (x if number % 2 == 0 else 1.0 - x)
        slopes = operator(start[:, None] + path, [offset[:, None] for offset in near]).operator
        return path_defect(operator, start, slopes, length, near)
