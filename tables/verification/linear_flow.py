"""From each stored time to the one before where the equation is linear: a power series of positive terms.

With exponential fills of one κ = k/(zm) and neither bounds nor ticks, H(p) = C e^{-kp}, and w = e^{κθ} solves
w' = M w. In units of the stored values, w = e^{κθ̂} v with v = 1 at the stored time, this is

    v(i)' = κ ℓ(i) v(i) + Σ_f κ h_f(i) v(j),    h_f(i) = a_f C_f e^{-k_f p_f(i)},  the H of the stored values

Adding c ≥ max κ|ℓ| to the diagonal makes every term of the power series of e^{(M + c)t} positive, so each
operation errs by u of the result and nothing cancels. With F flows the n-th term has met (F + 4)n of them and
N additions follow, so that a series errs by u((F + 4)n̄ + N), n̄ the mean of n with the terms as weights: for
a long one its exponent. A relative error η of v is one of -ln(1 - η)/κ in θ.
"""

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.verification.bellman_twin import ROUNDING, flow_state
from quotegrid.tables.verification.hamiltonian_twin import best_quote
from quotegrid.tables.verification.passage_times import destinations
from quotegrid.tables.verification.problem_twin import ProblemTwin
from quotegrid.tables.verification.reintegration import Arrivals

Numbers = NDArray[np.float64]

_CHUNK = 40.0  # (c + exit rate) times the length of one series
_MOST_OF_ONE_SERIES = 400
_MOST_TERMS = 400_000  # of all series of the longest interval
_TAIL = 1e-18  # the series ends when its next term is this small against the smallest entry


def linear_decay(problem: ProblemTwin) -> float | None:
    """κ, or None where the equation is not linear."""
    found = set()
    for flow in problem.flows:
        free = flow.tick is None and flow.min_offset == -np.inf and flow.max_offset == np.inf
        if flow.intensity.decay is None or not free:
            return None
        found.add(flow.intensity.decay / flow.effective_units)
    return found.pop() if len(found) == 1 else None


def linear_flow(problem: ProblemTwin, decay: float, start: Numbers, lengths: Numbers) -> Arrivals:
    """The rise of θ over each interval [interval, inventory] and a proved bound on its error.

    The rounding of ℓ and h is not in it: it is that of B, over the length of the interval.
    """
    q = problem.lots * problem.lot_size
    reward = decay * (np.zeros(len(q)) + sum(problem.running_terms(q)))
    shift = float(np.max(np.abs(reward)))
    after = destinations(problem)
    rates = []
    for flow in problem.flows:
        state = flow_state(problem, flow, start)
        worth = best_quote(flow, state.reservation).worth * flow.weight(q)
        rates.append(np.where(state.inside, decay * worth, 0.0))
    speed = shift + np.max(reward + sum(rates), axis=1)  # of the series, per time
    chunks = np.ceil(np.maximum(speed, shift) * lengths / _CHUNK).clip(1.0, 1e9)
    if np.max(chunks) * 3 * _CHUNK > _MOST_TERMS:
        return Arrivals(np.zeros(start.shape), np.full(len(start), np.inf), 0)
    step = (lengths / chunks)[:, None]
    diagonal = (reward + shift) * step
    fills = [rate * step for rate in rates]
    v, rise, error = np.ones(start.shape), np.zeros((len(start), 1)), np.zeros(len(start))
    terms = 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for number in range(int(np.max(chunks))):
            on = number < chunks
            total, used, mean = _series(v[on], diagonal[on], [fill[on] for fill in fills], after)
            largest = np.max(total, axis=1, keepdims=True)
            grown = np.log(largest) - shift * step[on]
            v[on], rise[on] = total / largest, rise[on] + grown
            terms += used * int(np.sum(on))
            # the series, the division, the two logarithms and their sums
            size = np.abs(rise[on]) + np.abs(grown) + 2.0 * np.abs(np.log(largest)) + 2.0 * shift * step[on]
            error[on] += (
                ROUNDING * ((len(problem.flows) + 4.0) * mean + used + 2.0 + 2.0 * size[:, 0]) + _TAIL
            )
        found = rise + np.log(v)
        error = (error + ROUNDING * (2.0 * np.max(np.abs(np.log(v)), axis=1) + np.abs(rise[:, 0]))) / decay
    sound = np.isfinite(found).all(axis=1) & np.isfinite(error)
    return Arrivals(found / decay, np.where(sound, error, np.inf), terms)


def _series(
    v: Numbers, diagonal: Numbers, fills: list[Numbers], after: NDArray[np.int64]
) -> tuple[Numbers, int, Numbers]:
    """Σ (P^n/n!) v for the positive matrix P, how many terms it took, and the largest mean n, [interval]."""
    total, term, number = v.copy(), v, 0
    weighted = np.zeros(v.shape)
    while True:
        number += 1
        moved = diagonal * term
        for fill, to in zip(fills, after, strict=True):
            moved = moved + fill * term[:, to]
        before, term = np.max(term), moved / number
        total = total + term
        weighted += number * term
        small = np.max(term, axis=1) <= _TAIL * np.min(total, axis=1)
        # once terms halve they do so at least as fast from there on, and the rest is no more than the last
        if bool(small.all()) and np.max(term) <= 0.5 * before:
            return total, number, np.max(weighted / total, axis=1)
        if number >= _MOST_OF_ONE_SERIES:  # entries too far apart: no error bound
            return np.full(total.shape, np.nan), number, np.full(len(total), np.nan)
