"""Where a state falls between the nodes of a table, and what the table says there (FORMAT.md §6).

Each axis turns a coordinate x between the nodes x_i and x_{i+1} into corners with weights:

    exact          an error, unless x is a node
    nearest        the nearer node; a tie goes to the smaller |x|
    towards_flat   the node with the smaller |x|: a partly filled lot counts as not yet held
    linear         both, x_{i+1} with w = (x - x_i)/(x_{i+1} - x_i) and x_i with 1 - w

The caller chooses one of them for inventory when the table is loaded; time is always linear. The result is
the sum over the corners of all axes, weights multiplied. A NaN corner makes NaN. Under every rule a flow is
off where its fill would leave the limits *from the caller's inventory*. Outside the axes a state is refused
or moved to the edge, as chosen at load.

Scalar questions are answered without NumPy, whose scalar indexing costs more than all the rest: rows are
unpacked from the table's memory by `struct`, axes are Python lists.
"""

import math
import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.policy_table import PolicyTable

BETWEEN = ("exact", "nearest", "towards_flat", "linear")
OUTSIDE = ("refuse", "clamp")

# Coordinates closer to a node than this are the node: 1e-9 lots, or 1e-9 of the horizon. Lots come from a
# division (0.07/0.01 is 7.000000000000001), and a weight of 1e-15 on a NaN corner must not switch a flow off.
SNAP = 1e-9

# (state, weight) of each corner; states are numbered row-major over the axes
Corners = tuple[tuple[int, float], ...]

_WHOLE: Corners = ((0, 1.0),)  # of an axis that is not there
_NUMBERS = frozenset((int, float))


class QuoteError(ValueError):
    """A table has no answer: outside its box, between its nodes, or asked in the wrong form."""


class Axis:
    """One axis of a table, with its rule for coordinates between its nodes and outside of them.

    Args:
        name, unit: for the errors.
        nodes: strictly increasing.
        stride: states from one node to the next.
        between, outside: rules; see the top of this file.
        snap: a coordinate this close to a node is the node.
    """

    __slots__ = (
        "_at_node", "_between", "_first", "_last", "_name", "_nodes", "_outside", "_snap", "_stride", "_unit",
    )  # fmt: skip

    def __init__(
        self, name: str, unit: str, nodes: list[float], stride: int, between: str, outside: str, snap: float
    ) -> None:
        self._name, self._unit, self._between, self._outside = name, unit, between, outside
        self._nodes, self._stride, self._snap = nodes, stride, snap
        self._first, self._last = nodes[0], nodes[-1]
        self._at_node: dict[float, Corners] = {x: ((i * stride, 1.0),) for i, x in enumerate(nodes)}

    def corners(self, x: float) -> Corners:
        """The corners of a coordinate along this axis; QuoteError where the rules give none."""
        try:
            at_node = self._at_node.get(x)
        except TypeError:  # not hashable, so no number either
            at_node = None
        return at_node or self._off_nodes(x)

    def settled(self, x: float) -> float:
        """The coordinate after snapping to a node and moving to an end."""
        x = min(max(x, self._first), self._last)
        near = self._nodes[max(bisect_right(self._nodes, x) - 1, 0) :][:2]
        return next((node for node in near if abs(x - node) <= self._snap), x)

    def is_outside(self, x: float) -> bool:
        """Whether a coordinate is off the axis by more than rounding."""
        return not (self._first - x <= self._snap and x - self._last <= self._snap)

    def _off_nodes(self, x: float) -> Corners:
        if type(x) is not float:
            x = self._number(x)
        nodes, snap = self._nodes, self._snap
        if not (self._first - x <= snap and x - self._last <= snap):  # true of NaN as well
            return self._at_node[self._moved_to_edge(x)]
        above = bisect_right(nodes, x)
        if above == 0 or x - nodes[above - 1] <= snap:
            return self._at_node[nodes[max(above - 1, 0)]]
        low, high = nodes[above - 1], nodes[above]
        if high - x <= snap:
            return self._at_node[high]
        if self._between == "linear":
            weight = (x - low) / (high - low)
            state = (above - 1) * self._stride
            return ((state, 1.0 - weight), (state + self._stride, weight))
        return self._at_node[self._chosen_node(x, low, high)]

    def _chosen_node(self, x: float, low: float, high: float) -> float:
        # by the measure of the rule; where that ties by the other one, and then the lower node
        if self._between == "nearest":
            return high if (high - x, abs(high)) < (x - low, abs(low)) else low
        if self._between == "towards_flat":
            return high if (abs(high), high - x) < (abs(low), x - low) else low
        raise QuoteError(
            f"{self._name} {x:.12g} {self._unit} is between the nodes {low:.12g} and {high:.12g} of the "
            f"table; load it with between= one of {', '.join(BETWEEN[1:])} to get quotes there"
        )

    def _moved_to_edge(self, x: float) -> float:
        x = self._number(x)
        if self._outside == "clamp":
            return min(max(x, self._first), self._last)
        raise QuoteError(
            f"{self._name} {x:.12g} {self._unit} is outside the table, which runs from {self._first:.12g} to "
            f'{self._last:.12g}; load it with outside="clamp" to get the quotes of the nearest edge'
        )

    def _number(self, x: object) -> float:
        if not isinstance(x, Real) or isinstance(x, bool) or not math.isfinite(x):
            raise QuoteError(f"{self._name} {x!r} is not a finite number")
        return float(x)


class Lookup:
    """The rules above for one table, whose arrays are read in place.

    Args:
        table: the table.
        between: exact, nearest, towards_flat or linear: what an inventory between the lattice points means.
        outside: refuse or clamp: what a state outside the table means.
    """

    __slots__ = ("_axes", "_flows", "_only", "_rounds", "_table", "_time")

    def __init__(self, table: PolicyTable, between: str = "exact", outside: str = "refuse") -> None:
        if between not in BETWEEN:
            raise QuoteError(f"between={between!r} is no rule; allowed: {', '.join(BETWEEN)}")
        if outside not in OUTSIDE:
            raise QuoteError(f"outside={outside!r} is no rule; allowed: {', '.join(OUTSIDE)}")
        self._table = table
        axes = [
            Axis(name, "lots", nodes.tolist(), stride, between, outside, SNAP)
            for name, nodes, stride in zip(
                table.inventory_names, table.inventories, _strides(table), strict=True
            )
        ]
        self._axes = tuple(axes)
        self._time: Axis | None = None
        if table.times is not None:
            times = table.times.tolist()
            snap = SNAP * (times[-1] - times[0])
            states = math.prod(len(nodes) for nodes in table.inventories)
            self._time = Axis("time", table.time_unit, times, states, "linear", outside, snap)
        self._only = axes[0] if len(axes) == 1 else None
        # linear and exact lookups leave the limits by themselves: the corner that would leave them is NaN
        self._rounds = between in ("nearest", "towards_flat")
        self._flows = tuple(
            (flow.asset, flow.sign * flow.size, float(nodes[0]), float(nodes[-1]))
            for flow in table.flows
            for nodes in (table.inventories[flow.asset],)
        )

    def corners(self, inventory: float | Sequence[float], time: float | None = None) -> Corners:
        """The corners of a state, with their weights.

        Args:
            inventory: lots, signed; for several assets one number each, in the order of the symbols.
            time: calendar time 0 … T where the table has a time axis, else None.

        Raises:
            QuoteError: the state is outside the table or between its nodes and the rules refuse it.
        """
        in_time = _WHOLE if self._time is None and time is None else self._corners_in_time(time)
        if self._only is not None:
            lots: Any = inventory
            if type(lots) not in _NUMBERS:
                lots = self._lots(inventory)[0]
            along = self._only.corners(lots)
            return along if in_time is _WHOLE else _product(in_time, along)
        corners = in_time
        for axis, x in zip(self._axes, self._lots(inventory), strict=True):
            corners = _product(corners, axis.corners(x))
        return corners

    def inside_limits(
        self, offsets: tuple[float, ...], inventory: float | Sequence[float]
    ) -> tuple[float, ...]:
        """The offsets, NaN for each flow whose fill would leave the limits from the caller's inventory."""
        if not self._rounds:
            return offsets
        lots = [axis.settled(x) for axis, x in zip(self._axes, self._lots(inventory), strict=True)]
        return tuple(
            [
                offset if first - after <= SNAP and after - last <= SNAP else math.nan
                for offset, (asset, move, first, last) in zip(offsets, self._flows, strict=True)
                for after in (lots[asset] + move,)
            ]
        )

    def clamped(self, inventory: float | Sequence[float], time: float | None = None) -> tuple[str, ...]:
        """The names of the axes outside of which a state is."""
        names = self._table.inventory_names
        lots = self._lots(inventory)
        found = [name for name, axis, x in zip(names, self._axes, lots, strict=True) if axis.is_outside(x)]
        if self._time is not None and time is not None and self._time.is_outside(time):
            found.insert(0, "time")
        return tuple(found)

    def _lots(self, inventory: Any) -> tuple[float, ...]:
        """The inventory as one number for each asset."""
        try:
            lots: tuple[Any, ...] = (inventory,) if isinstance(inventory, Real) else tuple(inventory)
        except TypeError:
            lots = ()
        if len(lots) != len(self._axes):
            symbols = self._table.symbols
            wanted = "one number" if len(symbols) == 1 else f"the lots of {', '.join(symbols)}, in this order"
            raise QuoteError(f"inventory {inventory!r} does not fit this table: give {wanted}")
        return lots

    def _corners_in_time(self, time: float | None) -> Corners:
        if self._time is None:
            if time is not None:
                raise QuoteError(
                    f"time {time!r} was given, but the quotes of this table do not depend on time"
                )
            return _WHOLE
        if time is None:
            times, unit = self._table.times, self._table.time_unit
            assert times is not None
            raise QuoteError(f"this table needs a time, from {times[0]:.12g} to {times[-1]:.12g} {unit}")
        return self._time.corners(time)


def _product(first: Corners, second: Corners) -> Corners:
    """The corners of two axes together, those of the first one outermost; weights multiply."""
    if len(second) == 1 and len(first) == 2:  # time between two nodes, inventory at one
        ((step, _),) = second
        (i, v), (j, w) = first
        return ((i + step, v), (j + step, w))
    return tuple([(i + j, v * w) for i, v in first for j, w in second])


def row_reader(array: NDArray[np.float64]) -> Callable[[Corners], tuple[float, ...]]:
    """A function from corners to the last axis of `array` there: Σ weight × row, in their order."""
    length = array.shape[-1]
    memory = array.reshape(-1).data.cast("B") if array.size else memoryview(b"")
    unpack, row = struct.Struct(f"={length}d").unpack_from, 8 * length

    def read(corners: Corners) -> tuple[float, ...]:
        if len(corners) == 1:
            return unpack(memory, corners[0][0] * row)
        # zip without `strict`, which would cost a third of the whole lookup; all rows have one length
        (i, v), (j, w) = corners[:2]
        total = [v * x + w * y for x, y in zip(unpack(memory, i * row), unpack(memory, j * row))]  # noqa: B905
        for state, weight in corners[2:]:
            total = [sum_ + weight * x for sum_, x in zip(total, unpack(memory, state * row))]  # noqa: B905
        return tuple(total)

    return read


def number_reader(array: NDArray[np.float64]) -> Callable[[Corners], float]:
    """The same for an array with one number for each state."""
    numbers = array.reshape(-1).data

    def read(corners: Corners) -> float:
        total = 0.0
        for state, weight in corners:
            total += weight * numbers[state]
        return total

    return read


def _strides(table: PolicyTable) -> list[int]:
    """States from one node of each inventory axis to the next."""
    sizes = [len(nodes) for nodes in table.inventories]
    return [math.prod(sizes[number + 1 :]) for number in range(len(sizes))]
