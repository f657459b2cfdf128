"""From each stored time to the one before, by an eighth-order Runge-Kutta scheme with halved steps.

    dθ/dτ = B(θ),  τ time to go,  θ(0) = the stored values at the later time

All intervals march at once, each with steps of its own length, short against the time between exits of its
fastest state, and shorter until two runs with n and 2n steps agree. Their difference is taken as the error of
the finer one, which it exceeds by far where the equation is smooth and still covers where quotes jump from
tick to tick. So the error of the scheme is an estimate; the defect that it is added to is not.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import DOP853

from quotegrid.tables.problem_twin import ProblemTwin
from quotegrid.tables.running_operator import RunningOperator

Numbers = NDArray[np.float64]

_STAGES = 12
_NODES = np.asarray(DOP853.A)[:_STAGES, :_STAGES]
_WEIGHTS = np.asarray(DOP853.B)
_STEPS_PER_EXIT = 0.4
_DOUBLINGS = 5
MOST_STEPS = 4000  # of one interval: more would be a stiff equation, which this scheme is not made for


class Arrivals(NamedTuple):
    """Values at the ends of intervals, less those at their beginnings."""

    rise: Numbers  # [interval, inventory], currency
    scheme_error: Numbers  # [interval], currency; ∞ where the interval has too many steps
    steps: int


def reintegrate(problem: ProblemTwin, start: Numbers, lengths: Numbers, aim: Numbers) -> Arrivals:
    """March from `start` [interval, inventory] over `lengths` [interval], to an error of about `aim`."""
    _, exits = RunningOperator(problem, len(start))(start, len(start))
    steps = np.ceil(_STEPS_PER_EXIT * lengths * np.max(exits, axis=1)).clip(1.0, 1e9)
    rise = np.zeros(start.shape)
    error = np.full(len(start), np.inf)
    open_ones = np.flatnonzero(steps <= MOST_STEPS)
    rise[open_ones] = _march(problem, start[open_ones], lengths[open_ones], steps[open_ones])
    for _ in range(_DOUBLINGS):
        if not len(open_ones):
            break
        steps[open_ones] *= 2.0
        finer = _march(problem, start[open_ones], lengths[open_ones], steps[open_ones])
        error[open_ones] = np.max(np.abs(finer - rise[open_ones]), axis=1)
        rise[open_ones] = finer
        open_ones = open_ones[(error[open_ones] > aim[open_ones]) & (2.0 * steps[open_ones] <= MOST_STEPS)]
    error = np.where(np.isfinite(error), error, np.inf)
    return Arrivals(rise, error, int(np.sum(steps[np.isfinite(error)])))


def _march(problem: ProblemTwin, start: Numbers, lengths: Numbers, steps: Numbers) -> Numbers:
    """The rise after `steps` equal steps of each interval."""
    order = np.argsort(-steps)
    start, steps = start[order], steps[order]
    step = (lengths[order] / steps)[:, None]
    operator = RunningOperator(problem, len(start))
    rise = np.zeros(start.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        for number in range(int(steps[0])):
            active = int(np.searchsorted(-steps, -number, side="left"))  # the intervals with more steps
            here, length = start[:active] + rise[:active], step[:active]
            slopes = np.empty((_STAGES, *here.shape))
            for stage in range(_STAGES):
                inner = np.tensordot(_NODES[stage, :stage], slopes[:stage], axes=1) if stage else 0.0
                slopes[stage] = operator(here + length * inner, active)[0]
            rise[:active] += length * np.tensordot(_WEIGHTS, slopes, axes=1)
    found = np.empty(rise.shape)
    found[order] = rise
    return found
