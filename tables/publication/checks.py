"""May a table become the live one? Its certificate, and how far its quotes are from those of the live one.

    certified error = quote error of the certificate + lookup error of the offsets     ≤ largest error
    change of quotes = largest |new - live| over all states and flows (`difference`)   ≤ largest change

Integrity, invariants and the proof of the certificate are the verifier's checks and come first (`verifier`).
"""

import math

from quotegrid.tables.check import Check, judged
from quotegrid.tables.documents.difference import NotComparableError, compare
from quotegrid.tables.policy_table import PolicyTable


def certificate_limit(table: PolicyTable, largest_error: float) -> Check:
    """Are quotes certified to be within `largest_error` (price units) of the optimum?"""
    name, unit = "certified quotes", table.price_unit
    if table.certificate["level"] == "none":
        reason = table.certificate.get("reason", "no reason is given")
        return Check(
            name,
            "fail",
            f"the table certifies nothing ({reason}); at most {largest_error:g} {unit} is allowed",
        )
    error = float(table.certificate["quote_error"])
    between = 0.0 if table.lookup_error is None else table.lookup_error["offset"]
    parts = f" ({error:.2g} at the nodes, {between:.2g} between them)" if between else ""
    said = f"level {table.certificate['level']}, within {error + between:.3g} {unit} of the optimum{parts}"
    return judged(
        name,
        error + between <= largest_error,
        f"{said}; allowed: {largest_error:g}",
        f"{said}; allowed: {largest_error:g}: solve with a smaller tolerance or more times, or allow more",
    )


def change_limit(table: PolicyTable, live: PolicyTable | None, largest_change: float) -> Check:
    """Does no quote move by more than `largest_change` (price units) against the live table?"""
    name, unit = "change of quotes", table.price_unit
    if live is None:
        return Check(name, "not applicable", "there is no live table to compare with")
    try:
        found = compare(live, table)
    except NotComparableError as error:
        return Check(name, "fail", f"{error}; publish it in another folder")
    change = found.largest_quote_change
    if math.isinf(change):
        flow = next(flow for flow in found.flows if flow.first_on_or_off is not None)
        what = f"{flow.label} is quoted by one table and off in the other at {flow.first_on_or_off}"
    else:
        moves = [(abs(flow.largest.change), flow) for flow in found.flows if flow.largest is not None]
        flow = max(moves, key=lambda move: move[0])[1] if moves else None
        place = "" if flow is None or flow.largest is None else f", of {flow.label} at {flow.largest.where}"
        what = f"the largest is {change:.3g} {unit}{place}"
    allowed = "no limit" if math.isinf(largest_change) else f"allowed: {largest_change:g}"
    return judged(
        name,
        change <= largest_change,
        f"{what}; {allowed}",
        f"{what}; {allowed}: see `quotegrid diff`, and allow more if the change is meant",
    )
