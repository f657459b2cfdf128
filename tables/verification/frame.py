"""Is a table the table of the problem stored in it, and does it say how it came about?

`frame_checks` compare axes, flows and units; only where they agree can anything else be checked.
`statement_checks` look at what the solver says of itself.
"""

import numpy as np

from quotegrid.tables.check import Check, judged
from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.verification.bellman_twin import ROUNDING
from quotegrid.tables.verification.problem_twin import ProblemTwin


def frame_checks(table: PolicyTable, problem: ProblemTwin) -> list[Check]:
    """Is this the table of this problem?"""
    return [_axes(table, problem), _flows(table, problem), _units(table, problem)]


def statement_checks(table: PolicyTable, problem: ProblemTwin) -> list[Check]:
    """Status, residual and lookup error as the table states them."""
    return [_status(table), _stated_errors(table, problem)]


def _axes(table: PolicyTable, problem: ProblemTwin) -> Check:
    name = "axes"
    if len(table.inventories) != 1 or not np.array_equal(table.inventories[0], problem.lots):
        low, high = problem.limits
        return Check(
            name, "fail", f"the inventory axis is not every lot from {low} to {high}, as the problem says"
        )
    finite, ergodic = problem.horizon == "finite", problem.horizon == "ergodic"
    if finite != (table.times is not None) or ergodic != (table.gain is not None):
        return Check(
            name,
            "fail",
            f"the horizon is {problem.horizon}, but the table has {'a' if table.times is not None else 'no'} "
            "time axis "
            f"and {'a' if table.gain is not None else 'no'} gain",
        )
    if problem.duration is not None and table.times is not None:
        first, last = float(table.times[0]), float(table.times[-1])
        return judged(
            name,
            first == 0.0 and abs(last - problem.duration) <= 4 * ROUNDING * problem.duration,
            f"every lot from {problem.limits[0]} to {problem.limits[1]}, {len(table.times)} times from 0 to "
            "the end",
            f"the time axis runs from {first:g} to {last:g}, the problem from 0 to {problem.duration:g} "
            f"{problem.time_unit}",
        )
    return Check(name, "pass", f"every lot from {problem.limits[0]} to {problem.limits[1]}")


def _flows(table: PolicyTable, problem: ProblemTwin) -> Check:
    stored = [(flow.name, flow.side, flow.size, flow.asset) for flow in table.flows]
    stated = [(flow.name, flow.side, flow.size, 0) for flow in problem.flows]
    for mine, theirs in zip(stored, stated, strict=False):
        if mine != theirs:
            return Check(
                "flows",
                "fail",
                f"the table has {mine[0]}/{mine[1]} of {mine[2]} lots where the problem has "
                f"{theirs[0]}/{theirs[1]} of "
                f"{theirs[2]}",
            )
    return judged(
        "flows",
        len(stored) == len(stated),
        f"the {len(stated)} flows of the problem, in its order",
        f"{len(stored)} flows, the problem has {len(stated)}",
    )


def _units(table: PolicyTable, problem: ProblemTwin) -> Check:
    pairs = {
        "price unit": (table.price_unit, problem.price_unit),
        "time unit": (table.time_unit, problem.time_unit),
        "symbol": (table.symbols[0], problem.symbol),
        "lot size": (table.lot_sizes[0], problem.lot_size),
    }
    for what, (mine, theirs) in pairs.items():
        if mine != theirs:
            return Check("units", "fail", f"the {what} is {mine}, the problem says {theirs}")
    return Check(
        "units",
        "pass",
        f"prices in {table.price_unit}, time in {table.time_unit}, lots of {problem.lot_size:g} "
        f"{problem.symbol}",
    )


def _status(table: PolicyTable) -> Check:
    return judged(
        "status",
        table.status == "converged",
        f"converged, by {table.method}",
        f"the solver ended with {table.status!r}: {table.status_message}",
    )


def _stated_errors(table: PolicyTable, problem: ProblemTwin) -> Check:
    """Residual and, with a time axis, lookup error are stated; their size is for the reader to judge."""
    name = "stated errors"
    unit = table.price_unit
    money = money_unit(unit)
    if problem.horizon != "finite":
        return judged(
            name,
            table.lookup_error is None,
            f"residual {table.residual:.2g} {money} per {table.time_unit}, no time axis to interpolate",
            "a lookup error in time is stated, but the table has no time axis",
        )
    if table.lookup_error is None:
        return Check(name, "fail", "the error of linear lookup between the stored times is not stated")
    offset = table.lookup_error["offset"]
    return Check(name, "pass", f"residual {table.residual:.2g} {money}, lookup error {offset:.2g} {unit}")
