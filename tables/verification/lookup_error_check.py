"""Is the stated error of linear lookup between the stored times large enough? Looked at in the middle.

Values at the middle of each interval come from the stored ones at its end, by the schemes that derive the
certificate, quotes from the values. Half an interval away from both ends a parabola is farthest from its
chord. The stated error may have been met elsewhere, so a table passes when nothing exceeds it here.
"""

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.check import Check
from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.verification.bellman_twin import flow_state
from quotegrid.tables.verification.finite_bounds import interval_arrivals
from quotegrid.tables.verification.hamiltonian_twin import best_quote
from quotegrid.tables.verification.problem_twin import ProblemTwin

Numbers = NDArray[np.float64]

_NAME = "lookup between times"
_ROOM = 1.0 + 1e-3  # the solver's middle and ours are the same to far better than this
_AIM = 1e-4  # of the stated errors, for the values in the middle


def lookup_error_check(table: PolicyTable, problem: ProblemTwin) -> Check:
    """Compare the stated lookup error with what is found at the middles of the intervals."""
    if problem.horizon != "finite":
        why = f"the horizon is {problem.horizon}: quotes do not depend on time"
        return Check(_NAME, "not applicable", why)
    assert table.times is not None
    stated = table.lookup_error
    if stated is None:
        return Check(_NAME, "not applicable", "no error of linear lookup between the stored times is stated")
    later, lengths = table.value[1:], 0.5 * np.diff(table.times)
    unit = min((abs(flow.effective_units) for flow in problem.flows), default=1.0)
    own = _claimed_error(table)
    aim = np.full(len(lengths), max(_AIM * min(stated["value"], stated["offset"] * unit), own))
    found = interval_arrivals(problem, later - later[:, :1], lengths, aim).arrivals
    known = np.isfinite(found.scheme_error)
    if not known.all():
        return Check(
            _NAME, "not applicable", "the equation could not be followed to the middle of all intervals"
        )
    middle = later + found.rise
    room = float(np.max(found.scheme_error)) + own
    value = float(np.max(np.abs(0.5 * (later + table.value[:-1]) - middle)))
    offset = _offset_error(table, problem, middle, room)
    errors = (
        ("values", value, stated["value"], money_unit(table.price_unit), 4.0 * room),
        ("quotes", offset, stated["offset"], table.price_unit, 4.0 * room / unit),
    )
    for what, error, said, called, allowance in errors:
        if error > _ROOM * said + allowance:
            objection = (
                f"{what} looked up between stored times err by {error:.3g} {called}, stated {said:.3g}"
            )
            return Check(_NAME, "fail", objection)
    sentence = f"quotes err by up to {stated['offset']:.2g} {table.price_unit}, stated and not exceeded"
    return Check(_NAME, "pass", f"{sentence} in the middle of any interval")


def _claimed_error(table: PolicyTable) -> float:
    """The error of the stored values as the table claims it, currency; its residual where it claims none."""
    claimed = table.certificate.get("value_error")
    return float(claimed) if isinstance(claimed, int | float) else table.residual


def _offset_error(table: PolicyTable, problem: ProblemTwin, middle: Numbers, error: float) -> float:
    """The largest distance of interpolated quotes from those that values within `error` of `middle` allow."""
    worst = 0.0
    for number, flow in enumerate(problem.flows):
        stored = table.offset[..., number]
        interpolated = 0.5 * (stored[1:] + stored[:-1])
        state = flow_state(problem, flow, middle)
        radius = 2.0 * error / abs(flow.effective_units) + state.allowance
        low, high = (best_quote(flow, state.reservation + side * radius).offset for side in (-1.0, 1.0))
        distance = np.maximum(low - interpolated, interpolated - high)
        distance = np.where(state.inside & np.isfinite(distance), distance, 0.0)
        worst = max(worst, float(np.max(distance, initial=0.0)))
    return worst
