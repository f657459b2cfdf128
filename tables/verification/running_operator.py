"""B(θ) many times over along a path: each best quote starts from the one before.

Where the intensity is exponential and neither bounds nor ticks matter, H(p) = H(0) e^{-kp}, and all such
flows are summed at once. For the others: the worth of a quote is flat at its maximum, so an offset that is
within √u of the best one, relative to the quote scale, gives H to the last bits. Newton's method on δ - p -
markup(δ) from the last offset gets there in one or two steps; where it does not, bisection does
(`hamiltonian_twin`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.verification.hamiltonian_twin import (
    best_quote,
    first_order_excess,
    quote_scale,
    quote_worth,
)
from quotegrid.tables.verification.passage_times import destinations
from quotegrid.tables.verification.problem_twin import FlowTwin, ProblemTwin

Numbers = NDArray[np.float64]

_STEPS = 4  # of Newton's method
_NEAR = 1e-8  # an offset this close to the best one, in quote scales, is as good as it


class Evaluation(NamedTuple):
    """B at values of any shape [..., inventory]."""

    operator: Numbers  # currency per time
    free: list[Numbers]  # of each flow where it is on: the unbounded optimum, price units; empty where plain


class RunningFlow(NamedTuple):
    """A flow, the states where it is on, where a fill leads from there, its cost and weight there."""

    twin: FlowTwin
    plain: float | None  # H(0), where H(p) = H(0) e^{-kp} for all p; currency per time
    on: NDArray[np.int64]
    after: NDArray[np.int64]
    cost: Numbers
    weight: Numbers

    def reservation(self, theta: Numbers) -> Numbers:
        """p where the flow is on, from values [..., inventory]; price units."""
        rise = theta[..., self.on] - theta[..., self.after]
        return (rise / self.twin.units + self.cost) / self.twin.multiplier


class RunningOperator:
    """B of one problem with a finite horizon, ready to be evaluated at batches of values."""

    def __init__(self, problem: ProblemTwin) -> None:
        q = problem.lots * problem.lot_size
        here = np.arange(len(q))
        self._reward = np.zeros(len(q)) + sum(problem.running_terms(q))
        self.flows: list[RunningFlow] = []
        after_fill = destinations(problem)
        for flow, after in zip(problem.flows, after_fill, strict=True):
            on = np.flatnonzero(after != here)
            parts = (on, after[on], flow.cost(q)[on], flow.weight(q)[on])
            self.flows.append(RunningFlow(flow, _plain_worth(flow), *parts))
        # of the plain flows, [flow, inventory]: ln of a·H = constant - steepness·(θ(i) - θ(j)), -∞ where off
        plain = [number for number, flow in enumerate(self.flows) if flow.plain is not None]
        shape = (len(plain), len(q))
        self._plain_after = after_fill[plain]
        self._steepness, self._constant = np.zeros(shape), np.full(shape, -np.inf)
        for row, number in enumerate(plain):
            flow, decay = self.flows[number], self.flows[number].twin.intensity.decay
            assert decay is not None and flow.plain is not None
            with np.errstate(divide="ignore"):
                level = np.log(flow.plain) + np.log(flow.weight)
            self._steepness[row] = decay / flow.twin.effective_units
            self._constant[row, flow.on] = level - decay * flow.cost / flow.twin.multiplier

    def __call__(self, theta: Numbers, guess: list[Numbers] | None = None) -> Evaluation:
        """B(θ) and the unbounded optima; `guess` holds offsets that broadcast to these."""
        total = np.broadcast_to(self._reward, theta.shape).copy()
        if len(self._constant):
            rise = theta[..., None, :] - theta[..., self._plain_after]
            total += np.sum(np.exp(self._constant - self._steepness * rise), axis=-2)
        offsets = []
        for number, flow in enumerate(self.flows):
            if flow.plain is not None:
                offsets.append(np.zeros((*theta.shape[:-1], 0)))
                continue
            p = flow.reservation(theta)
            near = p if guess is None else np.broadcast_to(guess[number], p.shape)
            worth, _, free = running_quote(flow.twin, p, near)
            total[..., flow.on] += flow.weight * worth
            offsets.append(free)
        return Evaluation(total, offsets)

    def exit_rates(self, theta: Numbers) -> Numbers:
        """Σ a·w, per time, [..., inventory]."""
        total = np.zeros(theta.shape)
        for flow in self.flows:
            slope = best_quote(flow.twin, flow.reservation(theta)).slope
            total[..., flow.on] += flow.weight * slope / flow.twin.effective_units
        return total


def _plain_worth(flow: FlowTwin) -> float | None:
    free = flow.tick is None and flow.min_offset == -np.inf and flow.max_offset == np.inf
    if flow.intensity.decay is None or not free:
        return None
    return float(best_quote(flow, np.zeros(1)).worth[0])


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
