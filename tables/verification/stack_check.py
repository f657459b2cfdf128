"""The verifier's checks of a table over parameters: each point is an ordinary table of a problem of its own.

The problem of a point is the stored one with the point's numbers in it; its hash must be the one stated, and
all that is checked of an ordinary table is checked there. The stack must claim no more than its worst point.
Between the points nothing is proved: the stated lookup error there was measured by the solver.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from quotegrid.tables.check import Check, judged
from quotegrid.tables.money import money_unit
from quotegrid.tables.parameter_stack import StackError, TablePoint, point_name, points
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.problem_changes import NoSuchNumberError
from quotegrid.tables.verification.bounds import Bounds
from quotegrid.tables.verification.problem_twin import ProblemTwin

_WORST = ("value_error", "quote_error", "regret")


class Proved(NamedTuple):
    """What was proved of one ordinary table."""

    table: PolicyTable
    problem: ProblemTwin
    bounds: Bounds


Checks = Callable[[PolicyTable, list[Proved]], Iterator[Check]]


def stack_checks(table: PolicyTable, checks: Checks, proved: list[Proved]) -> Iterator[Check]:
    """The checks of all points, one of each name; `checks` are those of an ordinary table."""
    try:
        found = [(point, list(checks(point.table, proved))) for point in points(table)]
    except (StackError, NoSuchNumberError) as error:
        yield Check("points", "fail", f"not verifiable: {error}")
        return
    yield _claims(table, [point for point, _ in found])
    for name in dict.fromkeys(check.name for _, made in found for check in made):
        of_name = [(point, check) for point, made in found for check in made if check.name == name]
        check = _of_all_points(of_name, len(found))
        # the hash of the stored problem itself has a check before these
        yield check._replace(name="hashes of points") if name == "problem hash" else check
    if table.lookup_error is not None:
        yield _between(table, table.lookup_error["offset"])


def _of_all_points(found: Sequence[tuple[TablePoint, Check]], count: int) -> Check:
    """One check for all points: the first of those that failed, else the first of those that passed."""
    failed = [each for each in found if each[1].outcome == "fail"]
    passed = [each for each in found if each[1].outcome == "pass"]
    if failed:
        point, check = failed[0]
        others = f" and {len(failed) - 1} other points" if len(failed) > 1 else ""
        return check._replace(sentence=f"at {point_name(point.numbers)}{others}: {check.sentence}")
    if not passed:
        return found[0][1]
    said = "all" if len(passed) == count else f"{len(passed)} of the"
    check = passed[0][1]
    return check._replace(sentence=f"at {said} {count} points; at the first: {check.sentence}")


def _claims(table: PolicyTable, found: Sequence[TablePoint]) -> Check:
    """Does the stack claim no more than each point?"""
    name, stated = "points", table.certificate
    if table.gain is not None:
        return Check(name, "fail", f"the gain is {table.gain:.6g}, but each point has one of its own")
    if table.lookup_error is None:
        return Check(name, "fail", "the error of linear lookup between the points is not stated")
    if stated["level"] != "none":
        for point in found:
            for claim in _WORST:
                most, own = stated.get(claim), point.table.certificate[claim]
                if not (isinstance(most, int | float) and isinstance(own, int | float) and own <= most):
                    where = point_name(point.numbers)
                    return Check(name, "fail", f"the {claim} is stated as {most!r}, at {where} as {own!r}")
    for point in found:
        own = point.table.lookup_error
        if own is not None and any(own[of] > table.lookup_error[of] for of in own):
            where = point_name(point.numbers)
            return Check(name, "fail", f"the lookup error at {where} is larger than the one of the table")
    if table.residual < max(point.table.residual for point in found):
        return Check(name, "fail", "the residual of a point is larger than that of the table")
    paths = " × ".join(f"{len(axis.nodes)} of {axis.name}" for axis in table.parameter_axes)
    return judged(name, True, f"{len(found)} problems, {paths}: the table claims what the worst claims", "")


def _between(table: PolicyTable, offset: float) -> Check:
    return Check(
        "lookup between points",
        "not applicable",
        f"quotes err by up to {offset:.2g} {table.price_unit} between nodes, as the solver measured; "
        "only points are checked",
    )


def stack_proof_lines(table: PolicyTable, proved: Sequence[Proved]) -> tuple[str, ...]:
    """What was proved of all points, in a few lines; the numbers are the verifier's own."""
    price, worth, claimed = table.price_unit, money_unit(table.price_unit), table.certificate
    ergodic = proved[0].problem.horizon == "ergodic"
    flow = f"{worth} per {table.time_unit}" if ergodic else worth
    value, quote, regret = (
        max(getattr(each.bounds, name) for each in proved) for name in ("value", "quote", "regret")
    )
    rows = {
        "bias" if ergodic else "value": f"within {value:.2g} {worth} (claimed {claimed['value_error']:.2g})",
        "quotes": f"each within {quote:.2g} {price} of the best one (claimed {claimed['quote_error']:.2g})",
        "regret": f"at most {regret:.2g} {flow} below the best policy (claimed {claimed['regret']:.2g})",
        "by": "the proofs of ordinary tables, with their assumptions, point by point",
        "not": "what is looked up between the points, nor that the problem describes the market",
    }
    return (
        f"Proved, of the {len(proved)} problems at the points of the parameter axes, the worst of them:",
        *(f"  {word:<6}  {text}" for word, text in rows.items()),
    )
