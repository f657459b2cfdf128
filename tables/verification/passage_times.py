"""The slowest mean time to a state that the chain keeps coming back to, over all rates in a box.

    τ = 0 at o,    1 + max_λ Σ_f λ_f(q) (τ(q + s·z) - τ(q)) ≤ 0 elsewhere,    λ_f(q) ∈ [low, high]

Any τ ≥ 0 with this inequality is an upper bound of the mean passage times of every chain in the box, whatever
way it was found (stop the supermartingale τ + t at o). It is found by policy iteration: rates are high where
a fill takes longer to come back, low elsewhere.

Which state o is does not matter to the proof, but it does to its strength: under a strong drift the chain
returns to the target inventory once in 10¹⁵ time units. So o is the state of largest stationary probability.
Both that and τ come from the elimination of states one by one, which adds and divides positive numbers only
(Grassmann, Taksar and Heyman 1985) and keeps all digits however rare a state may be.
"""

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.verification.problem_twin import ProblemTwin

Numbers = NDArray[np.float64]

_ROUNDS = 60  # choices of the slowest rates: a few suffice
_MARGIN = 1.0 + 1e-4  # times are enlarged by this, so that rounding cannot spoil the inequality


def slowest_passage(problem: ProblemTwin, lowest: Numbers, highest: Numbers, to: int) -> Numbers | None:
    """Proved bounds on the passage times to state `to`, [inventory], for rates [flow, inventory], or None."""
    after = destinations(problem)
    with np.errstate(over="ignore", invalid="ignore"):
        times = _passage(_moves(after, 0.5 * (lowest + highest)), to)
        for _ in range(_ROUNDS):
            if not np.isfinite(times).all():
                return None
            slower = _passage(_moves(after, np.where(times[after] > times, highest, lowest)), to)
            settled = bool(np.all(slower <= times * (1.0 + 1e-10)))
            times = np.maximum(times, slower)
            if settled:
                break
        times = _MARGIN * times
        rates = np.where(times[after] > times, highest, lowest)
        drift = 1.0 + np.sum(rates * (times[after] - times), axis=0)
    drift[to] = 0.0
    return times if np.all(drift <= 0.0) and np.all(times >= 0.0) else None


def often_visited(problem: ProblemTwin, rates: Numbers) -> int:
    """The state of largest stationary probability of the chain with rates [flow, inventory]."""
    moves = _moves(destinations(problem), rates)
    count = len(moves)
    weight = np.zeros(count)
    weight[0] = 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        outflows = _eliminate(moves, np.zeros(count), list(range(count - 1, 0, -1)))
        for state in range(1, count):
            inflow = weight[:state] @ moves[:state, state]
            if outflows[state] == 0.0 or not np.isfinite(inflow):
                # nothing, or next to nothing, leads back: what counts lies from here on
                weight[:state], inflow = 0.0, 1.0
            weight[state] = inflow
            weight /= max(1.0, float(np.max(weight)))
    return int(np.argmax(weight))


def destinations(problem: ProblemTwin) -> NDArray[np.int64]:
    """Where each fill leads, as indices [flow, inventory]; back to itself where it would leave the limits."""
    here = np.arange(len(problem.lots))
    shifts = np.array([flow.sign * flow.size for flow in problem.flows], dtype=np.int64).reshape(-1, 1)
    after = here + shifts
    return np.where((after >= 0) & (after < len(here)), after, here)


def _moves(after: NDArray[np.int64], rates: Numbers) -> Numbers:
    """Rates from state to state, [from, to]."""
    count = after.shape[1]
    moves = np.zeros((count, count))
    np.add.at(moves, (np.broadcast_to(np.arange(count), after.shape), after), rates)
    np.fill_diagonal(moves, 0.0)
    return moves


def _passage(moves: Numbers, to: int) -> Numbers:
    """The mean times to the state `to` of one chain; ∞ where it may be missed."""
    count = len(moves)
    moves[to] = 0.0
    work, times = np.ones(count), np.zeros(count)
    order = [*range(count - 1, to, -1), *range(to)]  # from both ends, so that jumps stay short
    outflows = _eliminate(moves, work, order)
    for number in range(count - 2, -1, -1):
        state, later = order[number], [to, *order[number + 1 :]]
        row = moves[state, later]
        on = row > 0.0
        total = work[state] + row[on] @ times[later][on]
        times[state] = total / outflows[state] if outflows[state] > 0.0 else np.inf
    return times


def _eliminate(moves: Numbers, work: Numbers, order: list[int]) -> Numbers:
    """Take states out one by one, in place: those left jump over them, and take over their work.

    In the end the row of a state holds its rates to those left after it, its column the shares in which those
    own it. Returns the rates out of each state when it was taken.
    """
    left = np.ones(len(moves), dtype=bool)
    outflows = np.zeros(len(moves))
    start, end = np.nonzero(moves)
    reach = int(np.max(np.abs(end - start), initial=1))
    for state in order:
        left[state] = False
        first = max(0, state - reach)
        others = first + np.flatnonzero(left[first : state + reach + 1])
        outflows[state] = np.sum(moves[state, others])
        if outflows[state] == 0.0:  # who comes here stays here
            work[others[moves[others, state] > 0.0]] = np.inf
            continue
        share = moves[others, state] / outflows[state]
        moves[others, state] = share
        moves[np.ix_(others, others)] += np.outer(share, moves[state, others])
        work[others] += share * work[state]
    return outflows
