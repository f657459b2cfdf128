"""What must hold in any table, whatever solved it, judged from the table and the problem stored in it.

`frame_checks` say whether the table is about its problem at all: axes, flows, units. Only then do
`invariant_checks` make sense: quotes off exactly where they must be, bounds and ticks, the mirror and the
order of quotes, boundary values. Each function looks at one property and gives one `Check`.
"""

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.bellman_twin import ROUNDING, fills_inside
from quotegrid.tables.check import Check, judged
from quotegrid.tables.hamiltonian_twin import quote_scale
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.problem_twin import FlowTwin, ProblemTwin

Numbers = NDArray[np.float64]

# What the project promises of its quotes, in quote scales: two quotes that must agree may differ by twice
# this.
ACCURACY = 1e-8
_TICK_SLACK = 1e-9  # a bound this close to a tick (in ticks) allows that tick


def frame_checks(table: PolicyTable, problem: ProblemTwin) -> list[Check]:
    """Is this the table of this problem?"""
    return [_axes(table, problem), _flows(table, problem), _units(table, problem)]


def invariant_checks(table: PolicyTable, problem: ProblemTwin) -> list[Check]:
    """The invariants, for a table that has passed `frame_checks`."""
    return [
        _status(table),
        _stated_errors(table, problem),
        _off_where_it_must_be(table, problem),
        _bounds_and_ticks(table, problem),
        _mirror(table, problem),
        _order_of_quotes(table, problem),
        _target_bias(table, problem),
        _terminal_value(table, problem),
    ]


def at_state(table: PolicyTable, state: tuple[int, ...]) -> str:
    """A state in words: `inventory 3 lots, time 12.5 s`."""
    lots = f"inventory {table.inventories[0][state[-1]]:g} lots"
    return lots if table.times is None else f"{lots}, time {table.times[state[0]]:.6g} {table.time_unit}"


def first_state(wrong: NDArray[np.bool_]) -> tuple[int, ...]:
    """The first state, row-major, where something is wrong."""
    return tuple(int(index) for index in np.argwhere(wrong)[0])


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
    if problem.horizon != "finite":
        return judged(
            name,
            table.lookup_error is None,
            f"residual {table.residual:.2g} {unit} × unit per {table.time_unit}, no time axis to interpolate",
            "a lookup error in time is stated, but the table has no time axis",
        )
    if table.lookup_error is None:
        return Check(name, "fail", "the error of linear lookup between the stored times is not stated")
    offset = table.lookup_error["offset"]
    return Check(
        name, "pass", f"residual {table.residual:.2g} {unit} × unit, lookup error {offset:.2g} {unit}"
    )


def _off_where_it_must_be(table: PolicyTable, problem: ProblemTwin) -> Check:
    """NaN exactly where a fill would leave the limits or nothing ever fills.

    Where Λ ends at a finite offset (linear) a flow is also off where no quote pays: that is left to the best
    quotes.
    """
    name = "off where it must be"
    for label, flow, offset in _by_flow(table, problem):
        quoted = np.isfinite(offset)
        may = np.broadcast_to(fills_inside(flow, problem.lots), offset.shape) & _ever_fills(flow)
        too_much = quoted & ~may
        if too_much.any():
            state = at_state(table, first_state(too_much))
            why = "a fill would leave the limits" if _ever_fills(flow) else "its rate is 0"
            return Check(name, "fail", f"{label} is quoted at {state}, where {why}")
        missing = may & ~quoted
        if missing.any() and not np.isfinite(flow.intensity.high):
            return Check(
                name, "fail", f"{label} is off at {at_state(table, first_state(missing))}, within the limits"
            )
    return Check(
        name, "pass", "every flow is off where a fill would leave the limits, and nowhere else without reason"
    )


def _bounds_and_ticks(table: PolicyTable, problem: ProblemTwin) -> Check:
    name = "bounds and ticks"
    stated = False
    for label, flow, offset in _by_flow(table, problem):
        stated |= flow.tick is not None or np.isfinite(flow.min_offset) or np.isfinite(flow.max_offset)
        slack = 4 * ROUNDING * np.abs(offset) + (_TICK_SLACK * flow.tick if flow.tick is not None else 0.0)
        outside = (offset < flow.min_offset - slack) | (offset > flow.max_offset + slack)  # False for NaN
        if outside.any():
            state = first_state(outside)
            return Check(
                name,
                "fail",
                f"{label} is {offset[state]:.9g} {table.price_unit} at {at_state(table, state)}, outside of "
                "its bounds "
                f"[{flow.min_offset:g}, {flow.max_offset:g}]",
            )
        if flow.tick is not None:
            off_tick = np.abs(offset - np.rint(offset / flow.tick) * flow.tick) > 4 * ROUNDING * np.abs(
                offset
            )
            if off_tick.any():
                state = first_state(off_tick)
                return Check(
                    name,
                    "fail",
                    f"{label} is {offset[state]:.9g} {table.price_unit} at {at_state(table, state)}, no "
                    "multiple of "
                    f"the tick {flow.tick:g}",
                )
    if not stated:
        return Check(name, "not applicable", "the problem states no bounds and no tick")
    return Check(name, "pass", "every offset is inside its bounds and on its ticks")


def _mirror(table: PolicyTable, problem: ProblemTwin) -> Check:
    """A mirrored problem gives θ(q) = θ(-q) and bid offset (q) = ask offset (-q)."""
    name = "mirror"
    partner = mirror_partners(problem)
    if partner is None:
        return Check(name, "not applicable", "bid and ask sides of the problem differ")
    offsets = [offset for _, _, offset in _by_flow(table, problem)]
    scale = largest_quote_scale(table, problem)
    difference = np.abs(table.value - table.value[..., ::-1])
    lots = problem.limits[1]
    allowed = 2 * ACCURACY * scale * problem.lot_size * lots + 8 * ROUNDING * np.abs(table.value)
    if (difference > allowed).any():
        state = first_state(difference > allowed)
        return Check(
            name, "fail", f"the value at {at_state(table, state)} is not that at the opposite inventory"
        )
    for one, other in partner.items():
        bid, ask = offsets[one], offsets[other][..., ::-1]
        tick = problem.flows[one].tick
        # at a tie between two ticks the last bit decides: there a mirrored quote may be one tick away
        room = 2 * ACCURACY * scale + (1 + _TICK_SLACK) * (tick or 0.0) + 8 * ROUNDING * np.abs(bid)
        wrong = (np.isfinite(bid) != np.isfinite(ask)) | (np.abs(bid - ask) > room)
        if wrong.any():
            state = first_state(wrong)
            return Check(
                name,
                "fail",
                f"{table.flow_labels[one]} at {at_state(table, state)} is {bid[state]:.9g}, "
                f"{table.flow_labels[other]} at the opposite inventory {ask[state]:.9g} {table.price_unit}",
            )
    return Check(name, "pass", "bid offsets at q are ask offsets at -q, as the mirrored problem demands")


def mirror_partners(problem: ProblemTwin) -> dict[int, int] | None:
    """bid flow → the ask flow that is its mirror image, or None where the problem is not mirrored."""
    if problem.limits[0] != -problem.limits[1] or problem.target != 0 or problem.drift != 0.0:
        return None
    if any(flow.proportional_fee for flow in problem.flows):
        return None
    asks = [number for number, flow in enumerate(problem.flows) if flow.side == "ask"]
    found: dict[int, int] = {}
    for number, flow in enumerate(problem.flows):
        if flow.side == "bid":
            images = [ask for ask in asks if problem.flows[ask].stated == flow.stated]
            if not images:
                return None
            found[number] = images[0]
            asks.remove(images[0])
    return None if asks else found


def _order_of_quotes(table: PolicyTable, problem: ProblemTwin) -> Check:
    """Bid offsets do not fall and ask offsets do not rise with inventory, where that is a theorem."""
    name = "order of quotes"
    why_not = unordered_because(problem)
    if why_not:
        return Check(name, "not applicable", why_not)
    room = 2 * ACCURACY * largest_quote_scale(table, problem)
    for label, flow, offset in _by_flow(table, problem):
        rise = flow.sign * np.diff(offset, axis=-1)
        wrong = rise < -room - 8 * ROUNDING * np.abs(offset[..., 1:])  # False for NaN
        if wrong.any():
            state = at_state(table, first_state(wrong))
            word = "falls" if flow.side == "bid" else "rises"
            return Check(name, "fail", f"{label} {word} with inventory above {state}")
    return Check(name, "pass", "bid offsets never fall and ask offsets never rise with inventory")


def unordered_because(problem: ProblemTwin) -> str:
    """Why quotes need not be ordered by inventory; empty where they must be."""
    if any(flow.size != 1 for flow in problem.flows):
        return "with sizes of more than one lot the order may fail near the limits"
    if any(flow.convention == "market_orders" and flow.jump and flow.xi for flow in problem.flows):
        return "jumps at market orders make the rates depend on inventory under risk aversion"
    jumps = {flow.jump if flow.convention == "fills" else 0.0 for flow in problem.flows}
    if len(jumps) > 1 or min(jumps, default=0.0) < 0.0:
        return "the price jumps at fills differ between flows"
    return ""


def _target_bias(table: PolicyTable, problem: ProblemTwin) -> Check:
    name = "bias at the target"
    if problem.horizon != "ergodic":
        return Check(name, "not applicable", f"the value of a {problem.horizon} horizon has no free constant")
    at_target = float(table.value[problem.target - problem.limits[0]])
    return judged(
        name,
        at_target == 0.0,
        f"the bias is 0 at the target inventory, {problem.target} lots",
        f"the bias at the target inventory, {problem.target} lots, is {at_target:.6g} and not 0",
    )


def _terminal_value(table: PolicyTable, problem: ProblemTwin) -> Check:
    name = "terminal value"
    if problem.horizon != "finite":
        return Check(name, "not applicable", f"a {problem.horizon} horizon has no end")
    stated = problem.terminal_value(problem.lots * problem.lot_size)
    wrong = np.abs(table.value[-1] - stated) > 8 * ROUNDING * np.abs(stated)
    if wrong.any():
        lot = first_state(wrong)[0]
        return Check(
            name,
            "fail",
            f"at the end, inventory {problem.lots[lot]:g} lots is worth {table.value[-1][lot]:.9g}, the "
            "problem says "
            f"{stated[lot]:.9g}",
        )
    return Check(name, "pass", "the last value is the terminal value of the problem")


def largest_quote_scale(table: PolicyTable, problem: ProblemTwin) -> float:
    """The largest ln(1 + ξZ/h)/(ξZ) over the stored quotes, price units; 0 without quotes."""
    scales = [quote_scale(flow, offset) for _, flow, offset in _by_flow(table, problem)]
    return max((float(np.max(scale[np.isfinite(scale)], initial=0.0)) for scale in scales), default=0.0)


def _by_flow(table: PolicyTable, problem: ProblemTwin) -> list[tuple[str, FlowTwin, Numbers]]:
    """Label, twin and offsets [time?, inventory] of each flow."""
    return [
        (label, flow, table.offset[..., number])
        for number, (label, flow) in enumerate(zip(table.flow_labels, problem.flows, strict=True))
    ]


def _ever_fills(flow: FlowTwin) -> bool:
    """Whether Λ is positive somewhere; it is, or is not, everywhere in its domain."""
    low, high = flow.intensity.low, flow.intensity.high
    inside = high - 1.0 if np.isfinite(high) else low + 1.0 if np.isfinite(low) else 0.0
    return bool(flow.intensity.log_rate(np.array(inside)) > -np.inf)
