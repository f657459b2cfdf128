"""B(θ) many times over along a path: each best quote starts from the one before.

The worth of a quote is flat at its maximum, so an offset that is within √u of the best one, relative to the
quote scale, gives H to the last bits. Newton's method on δ - p - markup(δ) from the last offset gets there in
one or two steps; where it does not, bisection does (`hamiltonian_twin`).
"""

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.hamiltonian_twin import best_quote, first_order_excess, quote_scale, quote_worth
from quotegrid.tables.passage_times import destinations
from quotegrid.tables.problem_twin import FlowTwin, ProblemTwin

Numbers = NDArray[np.float64]

_STEPS = 4  # of Newton's method
_NEAR = 1e-8  # an offset this close to the best one, in quote scales, is as good as it


class RunningOperator:
    """B on batches [path, inventory], with the free optimum of each flow remembered."""

    def __init__(self, problem: ProblemTwin, paths: int) -> None:
        self._problem = problem
        self._after = destinations(problem)
        q = problem.lots * problem.lot_size
        self._reward = np.zeros(len(q)) + sum(problem.running_terms(q))
        here = np.arange(len(q))
        # [flow]: the states where it is on, those that a fill leads to, its costs and weights there
        self._on = [np.flatnonzero(after != here) for after in self._after]
        self._cost = [flow.cost(q)[on] for flow, on in zip(problem.flows, self._on, strict=True)]
        self._weight = [flow.weight(q)[on] for flow, on in zip(problem.flows, self._on, strict=True)]
        self._offset = [np.zeros((paths, len(on))) for on in self._on]

    def __call__(self, theta: Numbers, active: int) -> tuple[Numbers, Numbers]:
        """B(θ), currency per time, and the exit rates Σ a·w, per time, of the first `active` paths."""
        problem = self._problem
        total = np.broadcast_to(self._reward, theta.shape).copy()
        exits = np.zeros(theta.shape)
        for number, flow in enumerate(problem.flows):
            on, after = self._on[number], self._after[number][self._on[number]]
            p = ((theta[:, on] - theta[:, after]) / flow.units + self._cost[number]) / flow.multiplier
            guess = self._offset[number][:active]
            worth, slope, free = running_quote(flow, p, guess)
            self._offset[number][:active] = free
            total[:, on] += self._weight[number] * worth
            exits[:, on] += self._weight[number] * slope / flow.effective_units
        return total - problem.discount_rate * theta, exits


def running_quote(flow: FlowTwin, p: Numbers, guess: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """H, -H' and the unbounded optimum at p, from a guess of the latter."""
    if flow.intensity.decay is not None:
        free = p + float(quote_scale(flow, np.zeros(())))
        worth, slope = quote_worth(flow, p, free)
        return worth, slope, free
    low, high = flow.intensity.low, flow.intensity.high
    offset = np.clip(guess, np.nextafter(low, np.inf), np.nextafter(high, -np.inf))
    far = np.ones(p.shape, dtype=bool)
    for _ in range(_STEPS):
        excess, steepness, scale = first_order_excess(flow, offset, p)
        with np.errstate(all="ignore"):
            step = excess / steepness
        far = ~(np.abs(step) <= _NEAR * scale)
        offset = np.where(far & np.isfinite(step) & (steepness > 0.0), offset - step, offset)
        offset = np.clip(offset, np.nextafter(low, np.inf), np.nextafter(high, -np.inf))
        if not far.any():
            break
    worth, slope = quote_worth(flow, p, offset)
    if far.any():
        best = best_quote(flow, p[far])
        worth[far], slope[far] = best.worth, best.slope
        offset[far] = np.where(np.isfinite(best.offset), best.offset, offset[far])
    return worth, slope, offset
