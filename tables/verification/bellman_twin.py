"""The Bellman equation once more, for the verifier: best quotes and residual from stored values.

    p_f(q) = ((θ(q) - θ(q + s·z))/z + c_f(q))/m                       reservation offset
    B(θ)(q) = ℓ(q) + Σ_f a_f(q) H_f(p_f(q))                            a_f = 1 but for jumps at market orders
    ergodic  B(θ) = g,     discounted  B(θ) = ρθ

Each number comes with an allowance for rounding, u = 2⁻⁵³ times the size of the terms it is made of, so that
a sound table never fails by the last bits and a wrong one does not hide behind a tolerance.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.verification.hamiltonian_twin import BestQuote, best_quote
from quotegrid.tables.verification.problem_twin import FlowTwin, ProblemTwin

Numbers = NDArray[np.float64]

ROUNDING = 2.0**-53
_BOTH_SIDES = (
    4.0  # the allowances below bound one evaluation; table and verifier each make one, with a reserve of two
)


class FlowState(NamedTuple):
    """One flow over the states of a table, [time?, inventory]."""

    inside: NDArray[np.bool_]  # the fill stays within the limits
    reservation: Numbers  # p, price units; meaningless where not inside
    allowance: Numbers  # of p, price units


def fills_inside(flow: FlowTwin, lots: Numbers) -> NDArray[np.bool_]:
    """Where a fill leaves the inventory within its limits."""
    after = lots + flow.sign * flow.size
    return (after >= lots[0]) & (after <= lots[-1])


def flow_state(problem: ProblemTwin, flow: FlowTwin, value: Numbers) -> FlowState:
    """Reservation offsets of a flow from stored values [time?, inventory]."""
    lots = problem.lots
    inside = fills_inside(flow, lots)
    after = value[..., np.clip(np.arange(len(lots)) + flow.sign * flow.size, 0, len(lots) - 1)]
    cost = flow.cost(lots * problem.lot_size)
    p = ((value - after) / flow.units + cost) / flow.multiplier
    allowance = 2.0 * (np.abs(value) + np.abs(after)) / flow.units + 4.0 * np.abs(cost) + 4.0 * np.abs(p)
    return FlowState(
        np.broadcast_to(inside, p.shape), p, _BOTH_SIDES * ROUNDING * allowance / abs(flow.multiplier)
    )


def bellman_operator(problem: ProblemTwin, value: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """B(θ), its allowance for rounding, and the size of its terms, [time?, inventory], currency per time."""
    q = problem.lots * problem.lot_size
    terms = problem.running_terms(q)
    total = np.broadcast_to(sum(terms), value.shape)
    size = np.broadcast_to(sum(np.abs(term) for term in terms), value.shape)
    allowance = 4.0 * ROUNDING * size + ROUNDING * problem.discount_rate * np.abs(value)
    for flow in problem.flows:
        state = flow_state(problem, flow, value)
        best = best_quote(flow, state.reservation)
        weight = flow.weight(q)
        worth = np.where(state.inside, weight * best.worth, 0.0)
        total, size = total + worth, size + np.abs(worth)
        allowance = allowance + np.where(state.inside, weight * _worth_allowance(flow, best, state), 0.0)
    return total, _BOTH_SIDES * allowance, size


def _worth_allowance(flow: FlowTwin, best: BestQuote, state: FlowState) -> Numbers:
    """Rounding of H: of its exponents, ln Λ among them, and of p and δ*, which its slope passes on."""
    offset = np.nan_to_num(np.abs(best.offset))
    with np.errstate(all="ignore"):
        exponent = np.abs(best.log_rate) + flow.intensity.hazard(best.offset) * offset + flow.intensity.shift
    exponent = np.where(np.isfinite(exponent), exponent, 0.0)
    in_p = state.allowance / _BOTH_SIDES
    return ROUNDING * (8.0 + 4.0 * exponent) * np.abs(best.worth) + best.slope * (
        in_p + 4.0 * ROUNDING * offset
    )
