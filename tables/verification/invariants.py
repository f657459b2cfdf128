"""What must hold in any table, whatever solved it, judged from the table and the problem stored in it.

Quotes are off exactly where they must be, inside their bounds and on their ticks; a mirrored problem has
mirrored quotes; quotes are ordered by inventory where that is a theorem; boundary values are what the problem
says. Each function looks at one property and gives one `Check`. The table must have passed `frame_checks`.
"""

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.check import Check, at_state, first_state, judged
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.verification.bellman_twin import ROUNDING, fills_inside
from quotegrid.tables.verification.hamiltonian_twin import quote_scale
from quotegrid.tables.verification.problem_twin import FlowTwin, ProblemTwin

Numbers = NDArray[np.float64]

# What the project promises of its quotes, in quote scales: two quotes that must agree may differ by twice
# this.
ACCURACY = 1e-8
_TICK_SLACK = 1e-9  # a bound this close to a tick (in ticks) allows that tick


def invariant_checks(table: PolicyTable, problem: ProblemTwin) -> list[Check]:
    """The invariants of a table, one check each."""
    return [
        _off_where_it_must_be(table, problem),
        _bounds_and_ticks(table, problem),
        _mirror(table, problem),
        _order_of_quotes(table, problem),
        _target_bias(table, problem),
        _terminal_value(table, problem),
    ]


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
    why_not = _unordered_because(table, problem)
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


def _unordered_because(table: PolicyTable, problem: ProblemTwin) -> str:
    """Why quotes need not be ordered by inventory; empty where they must be."""
    if any(flow.size != 1 for flow in problem.flows):
        return "with sizes of more than one lot the order may fail near the limits"
    if any(flow.convention == "market_orders" and flow.jump and flow.xi for flow in problem.flows):
        return "jumps at market orders make the rates depend on inventory under risk aversion"
    if any(_obliged(problem, flow, offset) for _, flow, offset in _by_flow(table, problem)):
        # an obliged quote may cost money (H < 0), so limits, where it goes off, attract: θ is not concave
        return "with max_offset the maker must quote at a loss, which can break the order near the limits"
    jumps = {flow.jump if flow.convention == "fills" else 0.0 for flow in problem.flows}
    if len(jumps) > 1 or min(jumps, default=0.0) < 0.0:
        return "the price jumps at fills differ between flows"
    return ""


def _obliged(problem: ProblemTwin, flow: FlowTwin, offset: Numbers) -> bool:
    """Whether `max_offset` decides a quote somewhere; in a finite horizon it may between stored times."""
    if not np.isfinite(flow.max_offset):
        return False
    last = flow.max_offset - (flow.tick or 0.0)
    return problem.horizon == "finite" or bool((offset >= last - 8 * ROUNDING * abs(last)).any())


def _target_bias(table: PolicyTable, problem: ProblemTwin) -> Check:
    name = "bias at the target"
    if problem.horizon != "ergodic":
        return Check(
            name, "not applicable", f"the horizon is {problem.horizon}: the value has no free constant"
        )
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
        return Check(name, "not applicable", f"the horizon is {problem.horizon} and has no end")
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
