"""What makes a policy unfit for a problem, said in sentences.

A policy fits when it quotes the problem's flows on the problem's inventories (and over its horizon), nowhere
where the problem forbids a quote (a fill would leave the limits; outside the bounds; off the ticks), and
wherever the problem demands one (a flow with `max_offset` is an obligation).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from quotegrid.models.problem import Problem
from quotegrid.solver.chain import stays_inside
from quotegrid.solver.discretise import inventory_lattices

if TYPE_CHECKING:
    from quotegrid.analysis.policies import Policy
    from quotegrid.tables.policy_table import PolicyTable

_SINGLE = 2.0**-22  # relative: what single precision may do to a bound or a tick is no breach of it
_SLACK = 1e-9  # lots, or fractions of the horizon


class PolicyError(ValueError):
    """A policy that cannot be evaluated under a problem, or asked for in the wrong way."""


def flow_labels(problem: Problem) -> tuple[str, ...]:
    """`book/bid`, or `<symbol>/book/bid` where there are several assets, as in a table."""
    if len(problem.assets) == 1:
        return tuple(flow.label for flow in problem.one_sided_flows())
    return tuple(
        f"{problem.assets[flow.asset].market.symbol}/{flow.label}" for flow in problem.one_sided_flows()
    )


def check_market(table: "PolicyTable", problem: Problem) -> None:
    """PolicyError if a table is for another market than the problem's, or its numbers are in other units."""
    symbols, units = tuple(asset.market.symbol for asset in problem.assets), problem.units
    if table.symbols != symbols:
        raise PolicyError(
            f"the table is for {', '.join(table.symbols)}, the problem for {', '.join(symbols)}. Evaluate it "
            "under a problem of its own market, or make an array of its offsets."
        )
    lots = ", ".join(str(float(asset.market.lot_size)) for asset in problem.assets)
    for what, its, own in (
        ("prices", table.price_unit, units.price),
        ("times", table.time_unit if table.times is not None else units.time, units.time),
        ("lots", ", ".join(str(float(size)) for size in table.lot_sizes), lots),
    ):
        if its != own:
            raise PolicyError(
                f"the table has {what} of {its}, the problem {what} of {own}. Evaluate it under a problem in "
                "its own units and lots, or make an array in those of the problem."
            )


def check_against(policy: "Policy", problem: Problem) -> "Policy":
    """The policy, with notes on what its reader should know; PolicyError if it does not fit the problem."""
    policy = _on_lattice(policy, problem)
    _check_times(policy, problem)
    return _check_quotes(policy, problem)


def _on_lattice(policy: "Policy", problem: Problem) -> "Policy":
    """The policy's flows in the problem's order, on the problem's lattice."""
    labels = flow_labels(problem)
    if set(policy.labels) != set(labels):
        raise PolicyError(
            f"the policy {policy.name!r} quotes the flows {', '.join(policy.labels)}; the problem has "
            f"{', '.join(labels)}. Evaluate it under a problem with its flows, or make an array or function "
            "that quotes these."
        )
    order = [policy.labels.index(label) for label in labels]
    lattices = inventory_lattices(problem)
    if len(policy.inventories) != len(lattices):
        raise PolicyError(
            f"the policy {policy.name!r} has {len(policy.inventories)} inventory axes; the problem has "
            f"{len(lattices)} assets."
        )
    for asset, (axis, lattice) in enumerate(zip(policy.inventories, lattices, strict=True)):
        lots = lattice.lots
        if len(axis) != len(lots) or np.any(np.abs(axis - lots) > _SLACK):
            symbol = problem.assets[asset].market.symbol
            step = f" in steps of {lattice.step}" if lattice.step > 1 else ""
            raise PolicyError(
                f"the policy {policy.name!r} knows inventories {axis[0]:g} … {axis[-1]:g} ({len(axis)} of "
                f"them) of {symbol}; the problem's limits are {lots[0]:g} … {lots[-1]:g}{step} "
                f"({len(lots)}). Evaluate it under a problem with inventory.max and min as its own, or make "
                "a policy for these limits (an array, or a function of the inventory)."
            )
    return replace(policy, labels=labels, offset=policy.offset[..., order])


def _check_times(policy: "Policy", problem: Problem) -> None:
    finite = problem.horizon.kind == "finite"
    if policy.times is None:
        return
    if not finite:
        raise PolicyError(
            f"the policy {policy.name!r} depends on time, and the problem's horizon is "
            f"{problem.horizon.kind!r}, which has none. Take its quotes at one time: an array [inventory, "
            "flow]."
        )
    duration = float(problem.duration())
    times = policy.times
    if np.any(np.diff(times) <= 0.0):
        raise PolicyError(f"the times of the policy {policy.name!r} do not increase.")
    slack = _SLACK * duration
    if abs(times[0]) > slack or abs(times[-1] - duration) > slack:
        raise PolicyError(
            f"the policy {policy.name!r} knows times {times[0]:g} … {times[-1]:g}; the problem runs from 0 "
            f"to horizon.duration = {duration:g} {problem.units.time}. Evaluate it under a problem of its "
            "own duration, or sample it from 0 to this one."
        )


def _check_quotes(policy: "Policy", problem: Problem) -> "Policy":
    """No quote where one is forbidden, none missing where one is owed."""
    lattices = inventory_lattices(problem)
    shape = tuple(len(lattice.lots) for lattice in lattices)
    idle: list[str] = []
    for place, flow in enumerate(problem.one_sided_flows()):
        steps = flow.sign * flow.size // lattices[flow.asset].step
        inside = stays_inside(shape, tuple(steps if a == flow.asset else 0 for a in range(len(shape))))
        offset = policy.offset[..., place]
        label, unit = policy.labels[place], problem.units.price

        def first(bad: np.ndarray, place: int = place) -> tuple[str, float]:
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            return _state(policy, index), float(policy.offset[(*index, place)])

        infinite = np.isinf(offset)
        if np.any(infinite):
            where, value = first(infinite)
            raise PolicyError(
                f"{label}: offset {value} at {where}; offsets are finite, and NaN where a flow is not quoted."
            )
        forbidden = np.isfinite(offset) & ~inside
        if np.any(forbidden):
            where, value = first(forbidden)
            raise PolicyError(
                f"{label}: quoted at {value:.6g} {unit} at {where}, where a fill of {flow.size} lots would "
                "leave the inventory limits; the offset must be NaN there."
            )
        low = -np.inf if flow.min_offset is None else float(flow.min_offset)
        high = np.inf if flow.max_offset is None else float(flow.max_offset)
        room = _SINGLE * np.abs(offset)
        outside = inside & ((offset < low - room) | (offset > high + room))
        if np.any(outside):
            where, value = first(outside)
            raise PolicyError(
                f"{label}: quoted at {value:.6g} {unit} at {where}; the problem allows offsets from {low:g} "
                f"to {high:g}. Put the policy through clamped(policy, offset=({low:g}, {high:g})), or change "
                "min_offset or max_offset."
            )
        if flow.tick is not None:
            tick = float(flow.tick)
            off_tick = inside & (np.abs(offset - np.rint(offset / tick) * tick) > 1e-9 * tick + room)
            if np.any(off_tick):
                where, value = first(off_tick)
                raise PolicyError(
                    f"{label}: quoted at {value:.9g} {unit} at {where}; the problem allows multiples of its "
                    f"tick {tick:g} only. Put the policy through rounded_to_ticks(policy, {tick:g})."
                )
        silent = inside & np.isnan(offset)
        if np.any(silent) and flow.max_offset is not None:
            where, _ = first(silent)
            raise PolicyError(
                f"{label}: NaN at {where}, where a quote is owed: max_offset = {high:g} is an obligation to "
                f"quote wherever a fill stays inside the limits. Give an offset up to {high:g}, or leave "
                "max_offset out of the problem."
            )
        if np.any(silent):
            idle.append(
                f"{label} is not quoted at {_count(silent)}, though a fill would stay inside the limits"
            )
    return replace(policy, notes=(*policy.notes, *(note for note in idle if note not in policy.notes)))


def _state(policy: "Policy", index: tuple[int, ...]) -> str:
    """`inventory 3 lots, time 0.5` for a position of an offset array without its flow."""
    words, rest = [], index
    if policy.times is not None:
        words, rest = [f"time {policy.times[index[0]]:g}"], index[1:]
    lots = ", ".join(f"{axis[i]:g}" for axis, i in zip(policy.inventories, rest, strict=True))
    return ", ".join([f"inventory {lots} lots", *words])


def _count(where: np.ndarray) -> str:
    return f"{np.count_nonzero(where)} of {where.size} states"
