"""Is what a table claims of its distance to the optimum true? Derived again, and compared.

The verifier proves bounds of its own. They may be somewhat looser than the claim, since two honest allowances
for rounding differ: a claim passes when no proved bound exceeds `SLACK` times the larger of the claim and the
share of rounding in it (what the same proof gives for a table without any error). The stored gain must lie in
the claimed interval, and the proved interval must meet it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from quotegrid.tables.bounds import Bounds, NotProvedError
from quotegrid.tables.check import Check
from quotegrid.tables.finite_bounds import finite_bounds
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.problem_twin import ProblemTwin
from quotegrid.tables.stationary_bounds import stationary_bounds

SLACK = 4.0
_NAME = "certificate"


class Claim(NamedTuple):
    """A certificate of level A as a table states it; units as in `Bounds`."""

    value: float
    quote: float
    regret: float
    uncertain_ticks: int
    gain: tuple[float, float] | None


def certificate_check(table: PolicyTable, problem: ProblemTwin) -> Check:
    """Derive the certificate of a table again; the table must have passed `frame_checks`."""
    stated = table.certificate
    if stated.get("level") == "none":
        why = f"the table claims no distance to the optimum: {stated.get('reason', 'no reason is given')}"
        return Check(_NAME, "not applicable", why)
    if stated.get("level") != "A":
        level = stated.get("level")
        return Check(_NAME, "fail", f"not verifiable: the verifier proves level A, the table claims {level}")
    try:
        claim = read_claim(stated, table)
    except ValueError as error:
        return Check(_NAME, "fail", str(error))
    try:
        if problem.horizon == "finite":
            bounds = finite_bounds(table, problem, claim.value)
        else:
            bounds = stationary_bounds(table, problem)
    except NotProvedError as error:
        return Check(_NAME, "fail", f"nothing of what is claimed can be proved: {error}")
    objection = _objection(table, claim, bounds)
    return Check(_NAME, "fail", objection) if objection else Check(_NAME, "pass", _proved(table, bounds))


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
    price, worth = table.price_unit, f"{table.price_unit} × unit"
    flow = worth if table.gain is None else f"{worth} per {table.time_unit}"
    for what, unit, claimed, proved, rounding in (
        ("the value is right", worth, claim.value, bounds.value, bounds.value_rounding),
        ("quotes are right", price, claim.quote, bounds.quote, bounds.quote_rounding),
        ("the regret is", flow, claim.regret, bounds.regret, bounds.regret_rounding),
    ):
        if not proved <= SLACK * max(claimed, rounding):
            return f"{what} within {claimed:.3g} {unit}, the table claims; only {proved:.3g} can be proved"
    if bounds.uncertain_ticks > claim.uncertain_ticks:
        found = bounds.uncertain_ticks
        return f"{claim.uncertain_ticks} quotes on ticks are uncertain, the table claims; {found} are"
    if claim.gain is None or bounds.gain is None or table.gain is None:
        return ""
    (low, high), (least, most) = claim.gain, bounds.gain
    between = f"between {low:.15g} and {high:.15g} {flow}"
    if not low <= table.gain <= high:
        return f"the gain is {between}, the table claims; the one it states is {table.gain:.15g}"
    if least > high or most < low:
        return f"the gain is {between}, the table claims; it is from {least:.15g} to {most:.15g}"
    if most - least > SLACK * max(high - low, bounds.regret_rounding):
        return f"the gain is {between}, the table claims; only {least:.15g} to {most:.15g} can be proved"
    return ""


def _proved(table: PolicyTable, bounds: Bounds) -> str:
    worth = f"{table.price_unit} × unit"
    sentence = f"proved again: value within {bounds.value:.2g} {worth}"
    if bounds.gain is not None:
        sentence += f", gain within {bounds.gain[1] - bounds.gain[0]:.2g} {worth} per {table.time_unit}"
    sentence += f", quotes within {bounds.quote:.2g} {table.price_unit} of the optimum of this problem"
    if bounds.uncertain_ticks:
        sentence += f" but for {bounds.uncertain_ticks} ties between ticks"
    return f"{sentence}; from {bounds.how}"
