"""The verifier's check of stored sensitivities: do they solve the tangent equation, and do offsets follow?

The problem's twin is changed by ±h in one parameter, and the stored values with it, θ± = θ ± hv + ½h²c (v the
stored derivative, c the second one). Then half the difference of the two sides over h is, to third order,

    of the best offsets        the stored derivative of the offset
    of B(θ) - ρθ               the stored derivative of the gain (0 if discounted), at every state

so that an error of the derivatives shows as it is. Where the two sides do not bend alike, a kink lies between
them and nothing is said. With a finite horizon the tangent equation between stored times is not checked;
offsets are, at three of them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.check import Check
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.problem_changes import NoSuchNumberError, with_numbers, with_step
from quotegrid.tables.verification.bellman_twin import bellman_operator, flow_state
from quotegrid.tables.verification.hamiltonian_twin import best_quote
from quotegrid.tables.verification.intensity_twins import NotVerifiableError
from quotegrid.tables.verification.problem_twin import ProblemTwin

Numbers = NDArray[np.float64]

STEP = 1e-5  # of the offsets' size: what a parameter's change moves them by
LARGEST_STEP = 1e-4  # of the parameter
TOLERANCE = (
    1e-5  # of the largest derivative: of a third-order rest of STEP², rounding over STEP, and a reserve
)
_KINK = 0.05  # of the difference: more bend than this between the two sides is none of a smooth function


def sensitivity_check(table: PolicyTable) -> Check:
    """Are the stored derivatives those of the table's own equation?"""
    name = "sensitivities"
    sensitivity = table.sensitivity
    if sensitivity is None:
        return Check(name, "not applicable", "the table holds none")
    states = slice(None) if table.times is None else [0, len(table.times) // 2, len(table.times) - 1]
    unchecked, worst = [], 0.0
    for place, path in enumerate(sensitivity.parameters):
        try:
            if not _is_the_number(table, path, float(sensitivity.numbers[place])):
                said = f"{path} is {float(sensitivity.numbers[place]):.12g}"
                return Check(name, "fail", f"derivatives are stated where {said}, not as in the problem")
            errors = list(_errors(table, place, path, states))
        except _UnknownPath:
            unchecked.append(path)
            continue
        for what, error in errors:
            worst = max(worst, error)
            if not error <= TOLERANCE:
                return Check(
                    name,
                    "fail",
                    f"the derivatives of the {what} by {path} are off by {error:.2g} of the largest",
                )
    if unchecked:
        return Check(name, "fail", f"not verifiable: derivatives by {', '.join(unchecked)}")
    which = "equation and quotes" if table.times is None else "quotes, not the equation between the times"
    return Check(
        name,
        "pass",
        f"derivatives by {len(sensitivity.parameters)} parameters agree with {which}, to {worst:.1g} of the "
        "largest",
    )


class _UnknownPath(Exception):
    """A parameter that the twin does not know how to change."""


def _errors(table: PolicyTable, place: int, path: str, states: Any) -> Iterator[tuple[str, float]]:
    """What is compared, and how far it is off, relative to the largest derivative of its kind."""
    sensitivity = table.sensitivity
    assert sensitivity is not None
    value, offset = table.value[states], table.offset[states]
    slope, bend = sensitivity.value[place][states], sensitivity.value_curvature[place][states]
    moved = sensitivity.offset[place][states]
    number = float(sensitivity.numbers[place])
    size = float(np.nanmedian(np.abs(offset))) if np.isfinite(offset).any() else 1.0
    largest = float(np.max(np.abs(np.nan_to_num(moved)), initial=0.0))
    step = LARGEST_STEP * abs(number) if number else STEP
    if largest > 0.0:
        step = min(step, STEP * size / largest) if number else STEP * size / largest
    here = ProblemTwin.from_json(table.problem_json)
    sides = [
        (_changed(table, path, sign * step), value + sign * step * slope + 0.5 * step**2 * bend)
        for sign in (-1, 1)
    ]
    before, now, after = (_offsets(twin, theta) for twin, theta in (sides[0], (here, value), sides[1]))
    smooth = np.abs(after - 2.0 * now + before) <= _KINK * np.abs(after - before) + 1e-3 * step * largest
    wrong = np.abs((after - before) / (2.0 * step) - moved)[smooth & np.isfinite(moved)]
    if largest > 0.0 and wrong.size:
        yield "offsets", float(np.max(wrong)) / largest
    if table.times is not None:
        return
    (low, allowance), (middle, _), (high, _) = (
        _excess(twin, theta) for twin, theta in (sides[0], (here, value), sides[1])
    )
    gain = 0.0 if sensitivity.gain is None else float(sensitivity.gain[place])
    alone = [_excess(twin, value)[0] for twin, _ in sides]
    source = float(np.max(np.abs(alone[1] - alone[0]))) / (2.0 * step)
    smooth = np.abs(high - 2.0 * middle + low) <= _KINK * source * step + 4.0 * allowance
    wrong = np.abs((high - low) / (2.0 * step) - gain) - allowance / step
    if source > 0.0 and smooth.any():
        yield "values", max(0.0, float(np.max(wrong[smooth]))) / source


def _offsets(problem: ProblemTwin, value: Numbers) -> Numbers:
    found = []
    for flow in problem.flows:
        state = flow_state(problem, flow, value)
        found.append(np.where(state.inside, best_quote(flow, state.reservation).offset, np.nan))
    return np.stack(found, axis=-1)


def _excess(problem: ProblemTwin, value: Numbers) -> tuple[Numbers, Numbers]:
    """B(θ) - ρθ and its allowance for rounding, currency per time."""
    operator, allowance, _ = bellman_operator(problem, value)
    return operator - problem.discount_rate * value, allowance


def _is_the_number(table: PolicyTable, path: str, number: float) -> bool:
    """Is this the number that the problem has at a path?"""
    try:
        unchanged = with_step(table.problem_json, path, 0.0)
    except NoSuchNumberError:
        raise _UnknownPath from None
    return with_numbers(unchanged, {path: number}) == unchanged


def _changed(table: PolicyTable, path: str, by: float) -> ProblemTwin:
    """The twin of the problem with one number changed."""
    try:
        return ProblemTwin.from_json(with_step(table.problem_json, path, by))
    except (NoSuchNumberError, NotVerifiableError):
        raise _UnknownPath from None
