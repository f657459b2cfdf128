"""The slowest mean time to the target inventory, over all rates in a box.

    τ = 0 at the target,    1 + max_λ Σ_f λ_f(q) (τ(q + s·z) - τ(q)) ≤ 0 elsewhere,    λ_f(q) ∈ [low, high]

Any τ ≥ 0 with this inequality is an upper bound of the mean passage times of every chain in the box, whatever
way it was found (stop the supermartingale τ + t at the target). It is found by policy iteration: rates are
high where a fill takes longer to come back, low elsewhere.
"""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import MatrixRankWarning, splu

from quotegrid.tables.problem_twin import ProblemTwin

Numbers = NDArray[np.float64]

_ROUNDS = 60  # choices of the slowest rates: a few suffice
_MARGIN = 1.0 + 1e-4  # times are enlarged by this, so that rounding cannot spoil the inequality


def slowest_passage(problem: ProblemTwin, lowest: Numbers, highest: Numbers) -> Numbers | None:
    """Proved bounds on the passage times, [inventory], for rates [flow, inventory], or None."""
    after = destinations(problem)
    times = _passage(problem, after, 0.5 * (lowest + highest))
    for _ in range(_ROUNDS):
        if times is None:
            return None
        slower = _passage(problem, after, np.where(times[after] > times, highest, lowest))
        settled = slower is not None and bool(np.all(slower <= times * (1.0 + 1e-10)))
        times = slower if slower is None or settled else np.maximum(times, slower)
        if settled:
            break
    if times is None:
        return None
    times = _MARGIN * times
    rates = np.where(times[after] > times, highest, lowest)
    drift = 1.0 + np.sum(rates * (times[after] - times), axis=0)
    drift[problem.target - problem.limits[0]] = 0.0
    return times if np.all(drift <= 0.0) and np.all(times >= 0.0) else None


def destinations(problem: ProblemTwin) -> NDArray[np.int64]:
    """Where each fill leads, as indices [flow, inventory]; back to itself where it would leave the limits."""
    here = np.arange(len(problem.lots))
    shifts = np.array([flow.sign * flow.size for flow in problem.flows], dtype=np.int64).reshape(-1, 1)
    after = here + shifts
    return np.where((after >= 0) & (after < len(here)), after, here)


def _passage(problem: ProblemTwin, after: NDArray[np.int64], rates: Numbers) -> Numbers | None:
    """The mean passage times of one chain, or None where the target cannot be reached."""
    count = len(problem.lots)
    here = np.broadcast_to(np.arange(count), after.shape)
    target = problem.target - problem.limits[0]
    # the target is absorbing: its row is the identity
    rates = np.where(here == target, 0.0, rates)
    diagonal = np.where(np.arange(count) == target, 1.0, 0.0)
    rows = np.concatenate([here.ravel(), here.ravel(), np.arange(count)])
    columns = np.concatenate([here.ravel(), after.ravel(), np.arange(count)])
    entries = np.concatenate([rates.ravel(), -rates.ravel(), diagonal])
    if not np.isfinite(entries).all():
        return None
    right = np.where(np.arange(count) == target, 0.0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MatrixRankWarning)
        try:
            times = splu(coo_matrix((entries, (rows, columns))).tocsc()).solve(right)
        except (RuntimeError, MatrixRankWarning):
            return None
    times[target] = 0.0  # pivoting leaves a few units in the last place there
    return times if np.isfinite(times).all() else None
