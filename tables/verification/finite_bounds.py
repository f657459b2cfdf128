"""The distance of a finite-horizon table to the optimum: defects between stored times, added up from the end.

The flow of the Bellman equation is a contraction in the sup norm, and the differences of values contract in
the span. With Φ the solution over one interval, started at the stored values at its later time,

    |θ̂(t_k) - θ(t_k)| ≤ |θ̂(T) - θ(T)| + Σ_{j ≥ k} max |θ̂(t_j) - Φ θ̂(t_{j+1})|

and the same with spans bounds |e(i) - e(j)|, hence |p̂ - p| and every quote. Φ comes from a series of positive
terms where the equation is linear (`linear_flow`), else from polynomials with proved defects
(`reintegration`). Either way its error is proved, and added.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.verification.bellman_twin import ROUNDING, bellman_operator
from quotegrid.tables.verification.bounds import Bounds, NotProvedError
from quotegrid.tables.verification.linear_flow import linear_decay, linear_flow
from quotegrid.tables.verification.path_defects import LEBESGUE
from quotegrid.tables.verification.problem_twin import ProblemTwin
from quotegrid.tables.verification.quote_bounds import worst_quote
from quotegrid.tables.verification.reintegration import MOST_PIECES, Arrivals, reintegrate

Numbers = NDArray[np.float64]

_AIM = 0.12  # of the claimed error of the value, for the error of the scheme over all intervals
_ONE_EVALUATION = 0.5  # `bellman_operator` allows for two evaluations, each with a reserve of two


def finite_bounds(table: PolicyTable, problem: ProblemTwin, claimed: float) -> Bounds:
    """Bounds for a table with a finite horizon, good enough to judge an error of `claimed` (currency).

    Raises:
        NotProvedError: an interval defies all schemes.
    """
    assert table.times is not None
    lengths = np.diff(table.times)
    later, earlier = table.value[1:], table.value[:-1]
    # B and the quotes know differences only, which keep more digits without the level
    target = problem.target - problem.limits[0]
    bias = table.value - table.value[:, target : target + 1]
    allowance = _ONE_EVALUATION * np.max(bellman_operator(problem, bias)[1], axis=1)
    height = np.max(np.abs(table.value), axis=1)
    evaluation = lengths * np.maximum(allowance[1:], allowance[:-1])
    rounding = 2.0 * ROUNDING * (height[1:] + height[:-1]) + evaluation
    # long intervals, and those of many, are given their share; nothing is asked for below rounding
    share = 0.5 / len(lengths) + 0.5 * lengths / np.sum(lengths)
    found = interval_arrivals(problem, bias[1:], lengths, _AIM * claimed * share + 2.0 * rounding)
    arrivals = found.arrivals
    if not found.by_series:  # what interpolation makes of the rounding of B
        rounding = rounding + (LEBESGUE - 1.0) * evaluation
    defect = earlier - later - arrivals.rise
    error = arrivals.scheme_error + rounding
    if not np.isfinite(error).all():
        k = int(np.flatnonzero(~np.isfinite(error))[0])
        raise NotProvedError(
            f"the equation could not be followed from time {table.times[k + 1]:.6g} to {table.times[k]:.6g} "
            f"{table.time_unit} in {MOST_PIECES} pieces"
        )
    largest = np.max(np.abs(defect), axis=1) + error
    span = np.max(defect, axis=1) - np.min(defect, axis=1) + 2.0 * error
    q = problem.lots * problem.lot_size
    wrong_end = float(np.max(np.abs(table.value[-1] - problem.terminal_value(q)))) + ROUNDING * height[-1] * 4
    value_error = wrong_end + _added_up(largest)
    own = rounding + (arrivals.scheme_error if found.by_series else 0.0)
    value_share = 4 * ROUNDING * height[-1] + _added_up(own)
    radii = _radii(problem, 2 * wrong_end + _added_up(span))
    quote, uncertain = worst_quote(problem, bias, table.offset, radii)
    quote_share, _ = worst_quote(problem, bias, table.offset, _radii(problem, 2.0 * value_share))
    value, share = float(np.max(value_error)), float(np.max(value_share))
    return Bounds(value, quote, 2.0 * value, uncertain, None, share, quote_share, 2.0 * share, found.how)


class IntervalArrivals(NamedTuple):
    """Where the equation leads over each interval, and how that was found."""

    arrivals: Arrivals
    by_series: bool  # the error of the scheme is rounding, which any table would show
    how: str


def interval_arrivals(
    problem: ProblemTwin, later: Numbers, lengths: Numbers, aim: Numbers
) -> IntervalArrivals:
    """Solve over `lengths` from the values `later` [interval, inventory], to proved errors of about `aim`."""
    decay = linear_decay(problem)
    if decay is not None:
        arrivals = linear_flow(problem, decay, later, lengths)
        if np.isfinite(arrivals.scheme_error).all():
            return IntervalArrivals(arrivals, True, "a series of positive terms over each interval")
    arrivals = reintegrate(problem, later, lengths, aim)
    how = "polynomial paths with defects bounded everywhere"
    return IntervalArrivals(arrivals, False, how)


def _added_up(parts: Numbers) -> Numbers:
    """What the intervals from each stored time to the end come to."""
    return np.concatenate([np.cumsum(parts[::-1])[::-1], [0.0]])


def _radii(problem: ProblemTwin, difference: Numbers) -> list[Numbers]:
    """|p̂ - p| at each stored time, flow by flow; the rounding of p̂ comes on top."""
    return [difference[:, None] / flow.effective_units for flow in problem.flows]
