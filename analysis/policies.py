"""Policies: offsets over the inventory lattice of a problem, and over time where it ends.

Anything that quotes is a policy: a table, a solution, an array, a function. `policy_of` reads each as a
`Policy` on the lattice of a problem and refuses what does not fit it. What happens to a table on its way to
the market makes another policy of it:

    rounded_to_ticks   the nearest tick, or the one away from or towards the reference
    as_float32         single precision
    clamped            the quotes of the nearest edge beyond some inventories; offsets kept within bounds
    interpolated       a smaller table, read between its nodes by the lookup rules
    stale              refreshed at some times only; or answering to the inventory seen some time ago

Offsets are price units from the reference, NaN where a flow is off. Between the times of a policy offsets are
linear, as a table is read; where a problem quotes on ticks those of the earlier time hold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from quotegrid.analysis.policy_faults import PolicyError, check_against, check_market, flow_labels
from quotegrid.models.problem import Problem
from quotegrid.solver.discretise import inventory_lattices
from quotegrid.solver.solution import Solution
from quotegrid.tables.policy_table import PolicyTable

__all__ = [
    "Policy",
    "PolicyError",
    "PolicyLike",
    "as_float32",
    "clamped",
    "interpolated",
    "policy_of",
    "rounded_to_ticks",
    "stale",
]

BETWEEN = ("nearest", "towards_flat", "linear")
SAMPLES = 257  # times at which a function of time is read


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Offsets on a lattice, and how they are read between times."""

    name: str
    labels: tuple[str, ...]  # of the flows: `book/bid`, with the symbol in front where there are several
    inventories: tuple[Float[np.ndarray, " lots"], ...]  # lots, one axis per asset
    times: Float[np.ndarray, " time"] | None  # calendar time, increasing; None: the same quotes always
    offset: Float[np.ndarray, "*time_and_state flow"]  # price units; NaN where off
    between_times: Literal["linear", "previous"] = "linear"
    mean_delay: float = 0.0  # time: the inventory answered to was seen so long ago on average
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.offset.shape))
        return f"<Policy {self.name!r}: {shape} offsets of {', '.join(self.labels)}>"

    def at(self, times: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t *state flow"]:
        """The offsets at some times."""
        if self.times is None:
            return np.broadcast_to(self.offset, (len(times), *self.offset.shape))
        left = np.clip(np.searchsorted(self.times, times, side="right") - 1, 0, len(self.times) - 1)
        if self.between_times == "previous":
            return self.offset[left]
        right = np.minimum(left + 1, len(self.times) - 1)
        gap = np.where(right > left, self.times[right] - self.times[left], 1.0)
        share = np.clip((times - self.times[left]) / gap, 0.0, 1.0)
        share = share.reshape((-1,) + (1,) * (self.offset.ndim - 1))
        low, high = self.offset[left], self.offset[right]
        return np.where(share == 0.0, low, np.where(share == 1.0, high, low + share * (high - low)))

    def called(self, name: str) -> "Policy":
        """The same under another name."""
        return replace(self, name=name)


Quotes: TypeAlias = Float[np.ndarray, "..."] | Mapping[str, Any]
PolicyLike: TypeAlias = Policy | PolicyTable | Solution | Quotes | Callable[..., Quotes]


def policy_of(
    policy: PolicyLike,
    problem: Problem,
    *,
    name: str | None = None,
    times: Sequence[float] | None = None,
) -> Policy:
    """Anything that quotes as a policy for a problem.

    Args:
        policy: a `Policy`, table or solution; an array [*state, flow], or [time, *state, flow] with `times`;
            offsets by flow label, each [*state] or [time, *state]; or a function of the inventories (lots,
            [*state]; a tuple of them for several assets) and, for a finite horizon, of the time, which gives
            such an array or mapping for that time.
        problem: the problem it is to quote for; the order of states and flows is that of its solution.
        name: what reports call it.
        times: of an array's first axis; of a function: where it is read (by default 257 equal steps).

    Raises:
        PolicyError: another market, other units, flows, inventories or times than the problem's, quotes where
            the problem forbids them, or none where it demands them; says where and what to do.
    """
    axes = tuple(lattice.lots.astype(float) for lattice in inventory_lattices(problem))
    labels = flow_labels(problem)
    if isinstance(policy, Policy):
        found = policy if name is None else policy.called(name)
    elif isinstance(policy, PolicyTable | Solution):
        table = policy if isinstance(policy, PolicyTable) else PolicyTable.from_solution(policy)
        if table.parameter_axes:
            over = ", ".join(axis.name for axis in table.parameter_axes)
            raise PolicyError(
                f"the table holds quotes for several values of {over}, so it is no single policy; take one "
                "of its points (quotegrid.tables.parameter_stack.points), or solve for one value."
            )
        check_market(table, problem)
        found = Policy(
            name=name or "table",
            labels=table.flow_labels,
            inventories=table.inventories,
            times=table.times,
            offset=table.offset,
            between_times="previous" if on_ticks(problem) else "linear",
        )
    else:
        found = _of_numbers(policy, problem, axes, labels, name, times)
    return check_against(found, problem)


def on_ticks(problem: Problem) -> bool:
    """Does any flow quote on ticks?"""
    return any(flow.tick is not None for flow in problem.one_sided_flows())


def rounded_to_ticks(
    policy: Policy, tick: float, direction: Literal["nearest", "outwards", "inwards"] = "nearest"
) -> Policy:
    """Offsets as multiples of a tick (price units): the nearest one, or away from the reference price
    (outwards, never better than asked for), or towards it.
    """
    if not 0.0 < tick < np.inf:
        raise PolicyError(f"rounded_to_ticks: tick={tick} must be a positive price.")
    rules = {"nearest": np.rint, "outwards": np.ceil, "inwards": np.floor}
    if direction not in rules:
        raise PolicyError(f"rounded_to_ticks: direction={direction!r}; allowed: {', '.join(rules)}.")
    in_ticks = policy.offset / tick
    whole = np.rint(in_ticks)
    exact = np.abs(in_ticks - whole) <= 1e-9  # a multiple already: it stays where it is
    rounded = np.where(exact, whole, rules[direction](in_ticks)) * tick
    return replace(
        policy,
        name=f"{policy.name}, on ticks of {tick:g}",
        offset=rounded,
        between_times="previous",
    )


def as_float32(policy: Policy) -> Policy:
    """Offsets that have passed through single precision."""
    single = policy.offset.astype(np.float32).astype(np.float64)
    return replace(policy, name=f"{policy.name}, float32", offset=single)


def clamped(
    policy: Policy,
    *,
    inventory: tuple[float, float] | None = None,
    offset: tuple[float, float] | None = None,
) -> Policy:
    """What a table says that ends early, read with `outside="clamp"`; or offsets kept within bounds.

    Args:
        inventory: (lowest, highest) lots the table knows, of every asset; beyond, the quotes of the nearest
            of these hold (a flow stays off where its fill would leave the limits).
        offset: (lowest, highest) offset, price units; ±inf for no bound.
    """
    found, words = policy.offset, []
    if inventory is not None:
        low, high = inventory
        start = 0 if policy.times is None else 1
        for axis, lots in enumerate(policy.inventories):
            inside = np.flatnonzero((lots >= low) & (lots <= high))
            if not len(inside):
                raise PolicyError(
                    f"clamped: no inventory of the policy lies within inventory=({low:g}, {high:g}); its "
                    f"lots run from {lots[0]:g} to {lots[-1]:g}."
                )
            nearest = np.clip(np.arange(len(lots)), inside[0], inside[-1])
            edge = np.take(found, nearest, axis=start + axis)
            found = np.where(np.isnan(policy.offset), np.nan, edge)
        words.append(f"clamped to {low:g} … {high:g} lots")
    if offset is not None:
        low, high = offset
        if not low <= high:
            raise PolicyError(f"clamped: offset=({low}, {high}) holds no offset; give (lowest, highest).")
        found = np.clip(found, low, high)
        words.append(f"offsets within [{low:g}, {high:g}]")
    return replace(policy, name=", ".join([policy.name, *words]), offset=found)


def interpolated(
    policy: Policy,
    *,
    every: int | None = None,
    between: Literal["nearest", "towards_flat", "linear"] = "linear",
    times: int | Sequence[float] | None = None,
) -> Policy:
    """A smaller table of the same policy, read between its nodes as `Quoter` reads a table.

    Args:
        every: keep every so many lots of inventory, counted from zero, and the limits; read between them by
            the rule `between`. Next to a limit, where the flow is off, linear gives no quote, as in a table.
        between: nearest, towards_flat or linear.
        times: keep so many equal steps' times, or these; linear between them.
    """
    found, axis_times, words = policy.offset, policy.times, []
    if times is not None:
        if policy.times is None:
            raise PolicyError("interpolated: times was given, but this policy does not depend on time.")
        if isinstance(times, int):
            if times < 2:
                raise PolicyError(f"interpolated: times={times}; two times or more are needed.")
            axis_times = np.linspace(policy.times[0], policy.times[-1], times)
        else:
            axis_times = np.asarray(times, float)
        found = policy.at(axis_times)
        words.append(f"{len(axis_times)} times")
    if every is not None:
        if every < 1 or between not in BETWEEN:
            raise PolicyError(
                f"interpolated: every={every}, between={between!r}; every must be 1 or more, between one of "
                f"{', '.join(BETWEEN)}."
            )
        start = 0 if policy.times is None else 1
        for axis, lots in enumerate(policy.inventories):
            found = _between_nodes(found, start + axis, lots, every, between)
        words.append(f"every {every} lots, {between}")
    return replace(policy, name=", ".join([policy.name, *words]), offset=found, times=axis_times)


def stale(
    policy: Policy, *, refreshed: Sequence[float] | None = None, mean_delay: float | None = None
) -> Policy:
    """Quotes that answer late.

    Args:
        refreshed: the calendar times at which the time of the table is read; in between the quotes of the
            last one hold (each inventory has its own all the same). Finite horizons.
        mean_delay: the inventory that the quotes answer to is the one seen at the last refresh, and refreshes
            come at random, on average so much time apart (exponential). Then the pair (inventory, inventory
            seen) is a Markov chain and everything about it is exact; a fixed delay is not Markov on any
            finite lattice. Limits hold all the same: they are checked when a fill comes. Stationary policies.
    """
    if (refreshed is None) == (mean_delay is None):
        raise PolicyError("stale: give either refreshed (times) or mean_delay (time).")
    if mean_delay is not None:
        if not 0.0 < mean_delay < np.inf:
            raise PolicyError(f"stale: mean_delay={mean_delay} must be a positive time.")
        if policy.times is not None:
            raise PolicyError(
                "stale: mean_delay needs quotes that do not depend on time; this policy has times."
            )
        return replace(policy, name=f"{policy.name}, seen {mean_delay:g} late", mean_delay=mean_delay)
    if policy.times is None:
        raise PolicyError("stale: refreshed was given, but this policy does not depend on time.")
    nodes = np.unique(np.concatenate([[policy.times[0]], np.asarray(refreshed, float)]))
    if nodes[0] < policy.times[0] or nodes[-1] > policy.times[-1]:
        raise PolicyError(
            f"stale: refreshed runs from {nodes[0]:g} to {nodes[-1]:g}, outside of the policy's times "
            f"{policy.times[0]:g} to {policy.times[-1]:g}."
        )
    last = np.append(nodes, policy.times[-1]) if nodes[-1] < policy.times[-1] else nodes
    offset = policy.at(nodes)
    if len(last) > len(nodes):
        offset = np.concatenate([offset, offset[-1:]])
    return replace(
        policy,
        name=f"{policy.name}, refreshed {len(nodes)} times",
        times=last,
        offset=offset,
        between_times="previous",
    )


def _between_nodes(offset: np.ndarray, axis: int, lots: np.ndarray, every: int, between: str) -> np.ndarray:
    """Offsets as read from every so many nodes of one axis; a NaN corner with weight makes NaN."""
    moved = np.moveaxis(offset, axis, 0)
    steps = np.rint(lots - lots[np.abs(lots).argmin()])
    kept = np.union1d(np.flatnonzero(steps % every == 0), [0, len(lots) - 1])
    xs = lots[kept]
    below = np.clip(np.searchsorted(xs, lots, side="right") - 1, 0, len(xs) - 1)
    above = np.clip(np.searchsorted(xs, lots), 0, len(xs) - 1)
    low, high = moved[kept[below]], moved[kept[above]]
    if between == "linear":
        share = (lots - xs[below]) / np.where(above > below, xs[above] - xs[below], 1.0)
        share = share.reshape((-1,) + (1,) * (moved.ndim - 1))
        read = np.where(share == 0.0, low, low + share * (high - low))
    else:
        near = np.abs(xs[above] - lots) - np.abs(lots - xs[below])
        flatter = np.abs(xs[above]) - np.abs(xs[below])
        first, second = (near, flatter) if between == "nearest" else (flatter, near)
        up = (first < 0) | ((first == 0) & (second < 0))
        read = np.where(up.reshape((-1,) + (1,) * (moved.ndim - 1)), high, low)
    return np.moveaxis(np.where(np.isnan(moved), np.nan, read), 0, axis)


def _of_numbers(
    quotes: Any,
    problem: Problem,
    axes: tuple[np.ndarray, ...],
    labels: tuple[str, ...],
    name: str | None,
    times: Sequence[float] | None,
) -> Policy:
    """A policy of an array, a mapping or a function."""
    shape = tuple(len(axis) for axis in axes)
    where = np.meshgrid(*axes, indexing="ij")
    nodes = None if times is None else np.asarray(times, float)
    duration = float(problem.duration()) if problem.horizon.kind == "finite" else None
    if callable(quotes):
        inventory = where[0] if len(where) == 1 else tuple(where)
        if duration is None:
            offset = _array(quotes(inventory), labels, shape)
        else:
            nodes = np.linspace(0.0, duration, SAMPLES) if nodes is None else nodes
            offset = np.stack([_array(quotes(inventory, float(t)), labels, shape) for t in nodes])
    else:
        offset = _array(quotes, labels, shape if nodes is None else (len(nodes), *shape))
    return Policy(
        name=name or "policy",
        labels=labels,
        inventories=axes,
        times=nodes,
        offset=offset,
        between_times="previous" if on_ticks(problem) else "linear",
    )


def _array(quotes: Any, labels: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Offsets [*shape, flow] of an array or of offsets by flow."""
    if isinstance(quotes, Mapping):
        unknown = [label for label in quotes if label not in labels]
        missing = [label for label in labels if label not in quotes]
        if unknown or missing:
            raise PolicyError(
                f"the policy quotes {', '.join(map(repr, quotes)) or 'nothing'}; this problem has the flows "
                f"{', '.join(map(repr, labels))}: give offsets for each of them (NaN where off)."
            )
        quotes = np.stack(
            [np.broadcast_to(np.asarray(quotes[label], float), shape) for label in labels], axis=-1
        )
    offset = np.asarray(quotes, float)
    if offset.shape != (*shape, len(labels)):
        raise PolicyError(
            f"the policy's offsets have shape {offset.shape}; this problem needs {(*shape, len(labels))}: "
            "[time if there are times, inventory of each asset, flow], flows in the order "
            f"{', '.join(labels)}."
        )
    return offset
