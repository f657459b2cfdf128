"""Is what a table claims of its distance to the optimum true? Derived again, and compared.

The verifier proves bounds of its own, and knows what share of each is rounding that any table would show, one
without any error too. A claim stands where

    proved ≤ claimed · SLACK + share of rounding

so a table that passes is proved to be right within a quarter more than it claims, and rounding. (A quarter,
for there are several boxes around a solution, and two proofs need not take the same.) The proved interval of
the gain must lie in the claimed one, widened by as much, and the stored gain in the claimed one itself.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from quotegrid.tables.check import Check
from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.verification.bounds import Bounds, NotProvedError
from quotegrid.tables.verification.finite_bounds import finite_bounds
from quotegrid.tables.verification.problem_twin import ProblemTwin
from quotegrid.tables.verification.stationary_bounds import stationary_bounds

SLACK = 1.25
_NAME = "certificate"


class Claim(NamedTuple):
    """A certificate of level A as a table states it; units as in `Bounds`."""

    value: float
    quote: float
    regret: float
    uncertain_ticks: int
    gain: tuple[float, float] | None


def certificate_check(table: PolicyTable, problem: ProblemTwin) -> tuple[Check, Bounds | None]:
    """Derive the certificate of a table again, once it has passed `frame_checks`; the bounds, if any."""
    stated = table.certificate
    if stated.get("level") == "none":
        why = f"the table claims no distance to the optimum: {stated.get('reason', 'no reason is given')}"
        return Check(_NAME, "not applicable", why), None
    if stated.get("level") != "A":
        level = stated.get("level")
        why = f"not verifiable: the verifier proves level A, the table claims {level}"
        return Check(_NAME, "fail", why), None
    try:
        claim = read_claim(stated, table)
    except ValueError as error:
        return Check(_NAME, "fail", str(error)), None
    try:
        bounds = derived_bounds(table, problem, claim.value)
    except NotProvedError as error:
        return Check(_NAME, "fail", f"nothing of what is claimed can be proved: {error}"), None
    objection = _objection(table, claim, bounds)
    if objection:
        return Check(_NAME, "fail", objection), bounds
    exact = bounds.value <= claim.value and bounds.quote <= claim.quote
    proved = "what the table claims is proved" if exact else f"claims proved within {SLACK} × and rounding"
    return Check(_NAME, "pass", f"{proved}, from {bounds.how}"), bounds


def derived_bounds(table: PolicyTable, problem: ProblemTwin, claimed: float) -> Bounds:
    """Bounds good enough to judge an error of the value of `claimed` (currency).

    Raises:
        NotProvedError: there are none.
    """
    if problem.horizon == "finite":
        return finite_bounds(table, problem, claimed)
    return stationary_bounds(table, problem)


def read_claim(stated: Mapping[str, Any], table: PolicyTable) -> Claim:
    """The claim of a certificate; ValueError with a sentence where it is not one."""

    def number(name: str) -> float:
        found = stated.get(name)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0.0 <= found < np.inf:
            raise ValueError(f"the certificate's {name} is {found!r}, not a finite number from 0 on")
        return float(found)

    gain = stated.get("gain_interval")
    if (gain is None) != (table.gain is None):
        raise ValueError(f"the certificate's gain_interval is {gain!r}, the table's gain {table.gain!r}")
    if gain is not None and not (
        isinstance(gain, list) and len(gain) == 2 and all(isinstance(end, float | int) for end in gain)
    ):
        raise ValueError(f"the certificate's gain_interval is {gain!r}, not two numbers")
    interval = None if gain is None else (float(gain[0]), float(gain[1]))
    ticks = int(number("uncertain_ticks"))
    return Claim(number("value_error"), number("quote_error"), number("regret"), ticks, interval)


def _objection(table: PolicyTable, claim: Claim, bounds: Bounds) -> str:
    """Why the claim is better than what can be proved; empty where it is not."""
    price, worth = table.price_unit, money_unit(table.price_unit)
    flow = worth if table.gain is None else f"{worth} per {table.time_unit}"
    for what, unit, claimed, proved, rounding in (
        ("the value is right", worth, claim.value, bounds.value, bounds.value_rounding),
        ("quotes are right", price, claim.quote, bounds.quote, bounds.quote_rounding),
        ("the regret is", flow, claim.regret, bounds.regret, bounds.regret_rounding),
    ):
        if not proved <= SLACK * claimed + rounding:
            return f"{what} within {claimed:.3g} {unit}, the table claims; only {proved:.3g} can be proved"
    if bounds.uncertain_ticks > claim.uncertain_ticks:
        found = bounds.uncertain_ticks
        return f"{claim.uncertain_ticks} quotes on ticks are uncertain, the table claims; {found} are"
    if claim.gain is None or bounds.gain is None or table.gain is None:
        return ""
    (low, high), (least, most) = claim.gain, bounds.gain
    between = f"the gain is between {low:.15g} and {high:.15g} {flow}, the table claims"
    if not low <= table.gain <= high:
        return f"{between}; the one it states is {table.gain:.15g}"
    room = (SLACK - 1.0) * (high - low) + bounds.regret_rounding
    if least < low - room or most > high + room:
        return f"{between}; what can be proved is from {least:.15g} to {most:.15g}"
    return ""
