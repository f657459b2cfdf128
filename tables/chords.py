"""Long intervals of a stiff equation, without marching: the defect of the cubic between two stored times.

Any path between the stored values will do, for the flow of B is a contraction: with R = B(θ) - ∂_τ θ along
it, the values at its end are within ∫ max|R| of where the equation leads. The cubic has the stored values and
the slopes B at both ends; where values hardly bend, as far from the end of a long horizon, R is tiny. Between
samples R is bounded by the largest sample and an eighth of the largest second difference, twice.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.problem_twin import ProblemTwin
from quotegrid.tables.running_operator import RunningOperator

Numbers = NDArray[np.float64]

_SAMPLES = 16
_CURVATURE_SAFETY = 2.0


class ChordDefects(NamedTuple):
    """Each of [interval], times its length: currency."""

    largest: Numbers  # of |R|
    span: Numbers  # of max R - min R


def chord_defects(problem: ProblemTwin, start: Numbers, rise: Numbers, lengths: Numbers) -> ChordDefects:
    """The defects of the cubics from `start` to `start + rise`, both [interval, inventory]."""
    length = lengths[:, None]
    operator = RunningOperator(problem, len(start))
    first, last = (length * operator(path, len(path))[0] for path in (start, start + rise))
    samples = []
    with np.errstate(over="ignore", invalid="ignore"):
        for s in np.arange(_SAMPLES + 1) / _SAMPLES:
            square, cube = 3.0 * rise - 2.0 * first - last, first + last - 2.0 * rise
            path = start + s * (first + s * (square + s * cube))
            turn = first + s * (2.0 * square + s * 3.0 * cube)
            samples.append(operator(path, len(path))[0] - turn / length)
    defect = np.stack(samples)
    bend = np.max(np.abs(defect[2:] - 2.0 * defect[1:-1] + defect[:-2]), axis=(0, 2))
    room = _CURVATURE_SAFETY * bend / 8.0
    most, least = np.max(defect, axis=(0, 2)) + room, np.min(defect, axis=(0, 2)) - room
    return ChordDefects(lengths * np.maximum(most, -least), lengths * (most - least))
