"""Where a state falls between the nodes of a table, and what the table says there (FORMAT.md §6).

Each axis turns a coordinate x between the nodes x_i and x_{i+1} into corners with weights:

    exact          an error, unless x is a node
    nearest        the nearer node; a tie goes to the smaller |x|
    towards_flat   the node with the smaller |x|: a partly filled lot counts as not yet held
    linear         both, x_{i+1} with w = (x - x_i)/(x_{i+1} - x_i) and x_i with 1 - w

The caller chooses one of them for inventory when the table is loaded; time, factors and parameters are always
linear, a regime is one node. The result is the sum over the corners of all axes, weights multiplied, in the
order of FORMAT.md §6, so that every reader gives the same bits. A NaN corner makes NaN. Under every rule a
flow is off where its fill would leave the limits *from the caller's inventory*. Outside the validity box a
state is refused or moved to its edge, as chosen at load.

Scalar questions are answered without NumPy, whose scalar indexing costs more than all the rest: rows are
unpacked from the table's memory by `struct`, axes are Python lists.
"""

import math
import struct
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any, NamedTuple

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


REFUSALS = (
    *("not-a-number", "outside-box", "between-nodes", "unknown-regime", "wrong-coordinates"),
    # of `guarded_quoter`
    *("wrong-symbol", "wrong-tick", "too-early", "expired", "outside-price-box", "crossed-market"),
    "crossed-quotes",
)
"""Why a question is refused, in the order of their numbers in FORMAT.md §6 and §9, from 1."""


class QuoteError(ValueError):
    """A table has no answer: outside its box, between its nodes, or asked in the wrong form.

    `rule` is one of `REFUSALS`, or "wrong-question".
    """

    def __init__(self, message: str, rule: str = "wrong-question") -> None:
        super().__init__(message)
        self.rule = rule

    def __reduce__(self) -> tuple[type["QuoteError"], tuple[str, str]]:
        return type(self), (self.args[0], self.rule)


class Market(NamedTuple):
    """The state of the market beyond time and inventory, as far as a table asks for it."""

    regime: int | str | None = None  # its number, from 0, or its name
    factors: Mapping[str, float] = MappingProxyType({})  # by name
    parameters: Mapping[str, float] = MappingProxyType({})  # by path into the problem


def double_of(x: object) -> float:
    """A number as a double; NaN for what is no number, or a whole one that no double reaches."""
    if type(x) is float:
        return x
    if not isinstance(x, Real) or isinstance(x, bool):
        return math.nan
    try:
        return float(x)
    except OverflowError:
        return math.nan


class Axis:
    """One axis of a table, with its rule for coordinates between its nodes and outside of its box.

    Args:
        name, unit: for the errors; the unit may be empty.
        nodes: strictly increasing.
        box: lowest and highest coordinate that is inside.
        stride: states from one node to the next.
        between, outside: rules; see the top of this file.
        snap: a coordinate this close to a node is the node.
    """

    __slots__ = (
        "_at_node", "_between", "_high", "_low", "_name", "_nodes", "_outside", "_snap", "_stride", "_unit",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        unit: str,
        nodes: list[float],
        box: tuple[float, float],
        stride: int,
        between: str,
        outside: str,
        snap: float,
    ) -> None:
        self._name, self._unit = name, f" {unit}" if unit else ""
        self._between, self._outside = between, outside
        self._nodes, self._stride, self._snap = nodes, stride, snap
        self._low, self._high = box
        self._at_node: dict[float, Corners] = {
            x: self._node(i) for i, x in enumerate(nodes) if not self.is_outside(x)
        }

    @property
    def low(self) -> float:
        """The lowest coordinate in the box."""
        return self._low

    @property
    def high(self) -> float:
        """The highest coordinate in the box."""
        return self._high

    def corners(self, x: float) -> Corners:
        """The corners of a coordinate along this axis; QuoteError where the rules give none."""
        try:
            at_node = self._at_node.get(x)
        except TypeError:  # not hashable, so no number either
            at_node = None
        return at_node or self._off_nodes(x)

    def settled(self, x: float) -> float:
        """The coordinate after moving into the box and snapping to a node."""
        x = float(x)
        if self.is_outside(x):
            x = self._low if x < self._low else self._high
        nodes = self._nodes
        place = max(bisect_right(nodes, x) - 1, 0)
        return next((node for node in nodes[place : place + 2] if abs(x - node) <= self._snap), x)

    def is_outside(self, x: float) -> bool:
        """Whether a coordinate is out of the box by more than rounding."""
        return not (self._low - x <= self._snap and x - self._high <= self._snap)

    def _node(self, place: int) -> Corners:
        return ((place * self._stride, 1.0),)

    def _off_nodes(self, x: float) -> Corners:
        if type(x) is not float:
            x = self._number(x)
        nodes, snap = self._nodes, self._snap
        if not (self._low - x <= snap and x - self._high <= snap):  # true of NaN as well
            x = self._moved_to_edge(x)
        place = max(bisect_right(nodes, x) - 1, 0)
        low = nodes[place]
        if abs(x - low) <= snap:
            return self._node(place)
        high = nodes[place + 1]
        if high - x <= snap:
            return self._node(place + 1)
        if self._between == "linear":
            weight = (x - low) / (high - low)
            state = place * self._stride
            return ((state, 1.0 - weight), (state + self._stride, weight))
        return self._node(place + self._upper_is_chosen(x, low, high))

    def _upper_is_chosen(self, x: float, low: float, high: float) -> bool:
        # by the measure of the rule; where that ties by the other one, and then the lower node
        if self._between == "nearest":
            return (high - x, abs(high)) < (x - low, abs(low))
        if self._between == "towards_flat":
            return (abs(high), high - x) < (abs(low), x - low)
        raise QuoteError(
            f"{self._name} {x:.12g}{self._unit} is between the nodes {low:.12g} and {high:.12g} of the "
            "table; load it with between= (quotegrid quote: --between) one of "
            f"{', '.join(BETWEEN[1:])} to get quotes there",
            "between-nodes",
        )

    def _moved_to_edge(self, x: float) -> float:
        x = self._number(x)
        if self._outside == "clamp":
            return self._low if x < self._low else self._high
        raise QuoteError(
            f"{self._name} {x:.12g}{self._unit} is outside the table, which runs from {self._low:.12g} to "
            f'{self._high:.12g}; load it with outside="clamp" (quotegrid quote: --outside clamp) to get the '
            "quotes of the nearest edge",
            "outside-box",
        )

    def _number(self, x: object) -> float:
        number = double_of(x)
        if not math.isfinite(number):
            raise QuoteError(f"{self._name} {x!r:.80} is not a finite number", "not-a-number")
        return number


class Lookup:
    """The rules above for one table, whose arrays are read in place.

    Args:
        table: the table.
        between: exact, nearest, towards_flat or linear: what an inventory between the lattice points means.
        outside: refuse or clamp: what a state outside the validity box means.
    """

    __slots__ = ("_axes", "_factors", "_flows", "_only", "_outer", "_rounds", "_stride", "_table", "_time")

    def __init__(self, table: PolicyTable, between: str = "exact", outside: str = "refuse") -> None:
        if between not in BETWEEN:
            raise QuoteError(f"between={between!r} is no rule; allowed: {', '.join(BETWEEN)}")
        if outside not in OUTSIDE:
            raise QuoteError(f"outside={outside!r} is no rule; allowed: {', '.join(OUTSIDE)}")
        self._table = table
        first = len(table.axes) - len(table.inventories)
        strides = _strides(table)
        self._stride = 0 if table.regime_axis is None else strides.pop(table.regime_axis)
        axes = []
        for place, (name, array) in enumerate(table.axes):
            nodes = array.tolist()
            low, high = (nodes[0], nodes[-1]) if table.box is None else table.box[place].tolist()
            lots = place >= first
            unit = "lots" if lots else table.time_unit if table.times is not None and place == 0 else ""
            snap = SNAP if lots else SNAP * (nodes[-1] - nodes[0])
            rule = between if lots else "linear"
            axes.append(Axis(name, unit, nodes, (low, high), strides[place], rule, outside, snap))
        self._axes = tuple(axes[first:])
        self._time = axes[0] if table.times is not None else None
        self._factors = tuple(axes[first - len(table.factors) - len(table.parameter_axes) : first])
        self._outer = bool(self._factors or table.regimes)
        self._only = axes[first] if len(self._axes) == 1 else None
        # linear and exact lookups leave the limits by themselves: the corner that would leave them is NaN
        self._rounds = between in ("nearest", "towards_flat")
        self._flows = tuple(
            (flow.asset, float(flow.sign * flow.size), float(nodes[0]), float(nodes[-1]))
            for flow in table.flows
            for nodes in (table.inventories[flow.asset],)
        )

    def corners(
        self, inventory: float | Sequence[float], time: float | None = None, market: Market | None = None
    ) -> Corners:
        """The corners of a state, with their weights.

        Args:
            inventory: lots, signed; for several assets one number each, in the order of the symbols.
            time: calendar time 0 … T where the table has a time axis, else None.
            market: regime, factors and parameters, where the table has such axes.

        Raises:
            QuoteError: the state is outside the table or between its nodes and the rules refuse it.
        """
        outer = _WHOLE if self._time is None and time is None else self._corners_in_time(time)
        if self._outer or market is not None:
            outer = self._corners_in_market(outer, market)
        if self._only is not None:
            lots: Any = inventory
            if type(lots) not in _NUMBERS:
                lots = self._lots(inventory)[0]
            along = self._only.corners(lots)
            return along if outer is _WHOLE else _product(outer, along)
        corners = outer
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

    def clamped(
        self, inventory: float | Sequence[float], time: float | None = None, market: Market | None = None
    ) -> tuple[str, ...]:
        """The names of the axes on which a state is outside of the box."""
        numbers = (*self._numbers(market), *self._lots(inventory))
        axes = (*self._factors, *self._axes)
        if self._time is not None and time is not None:
            numbers, axes = (time, *numbers), (self._time, *axes)
        names = [name for name, _ in self._table.axes]
        return tuple(name for name, axis, x in zip(names, axes, numbers, strict=True) if axis.is_outside(x))

    def _lots(self, inventory: Any) -> tuple[float, ...]:
        """The inventory as one number for each asset."""
        try:
            single = isinstance(inventory, Real | str | bytes)
            lots: tuple[Any, ...] = (inventory,) if single else tuple(inventory)
        except TypeError:
            lots = ()
        if len(lots) != len(self._axes):
            symbols = self._table.symbols
            wanted = "one number" if len(symbols) == 1 else f"the lots of {', '.join(symbols)}, in this order"
            raise QuoteError(
                f"inventory {inventory!r} does not fit this table: give {wanted}", "wrong-coordinates"
            )
        return lots

    def _corners_in_time(self, time: float | None) -> Corners:
        if self._time is None:
            if time is not None:
                raise QuoteError(
                    f"time {time!r} was given, but the quotes of this table do not depend on time",
                    "wrong-coordinates",
                )
            return _WHOLE
        if time is None:
            low, high, unit = self._time.low, self._time.high, self._table.time_unit
            raise QuoteError(
                f"this table needs a time, from {low:.12g} to {high:.12g} {unit} (quotegrid quote: --time "
                f"{low:.12g})",
                "wrong-coordinates",
            )
        return self._time.corners(time)

    def _corners_in_market(self, corners: Corners, market: Market | None) -> Corners:
        numbers = self._numbers(market)
        if self._stride:
            corners = _product(corners, ((self._regime(market) * self._stride, 1.0),))
        elif market is not None and market.regime is not None:
            raise QuoteError(
                f"regime {market.regime!r} was given, but this table has no regimes", "wrong-coordinates"
            )
        for axis, x in zip(self._factors, numbers, strict=True):
            corners = _product(corners, axis.corners(x))
        return corners

    def _regime(self, market: Market | None) -> int:
        """The number of a regime given by number or name."""
        known = self._table.regimes
        regime = None if market is None else market.regime
        if regime is None:
            raise QuoteError(
                f"this table needs a regime, one of {', '.join(known)} (quotegrid quote: --regime "
                f"{known[0]})",
                "wrong-coordinates",
            )
        if isinstance(regime, str) and regime in known:
            return known.index(regime)
        if isinstance(regime, str | bool) or not 0 <= regime < len(known) or regime != int(regime):
            raise QuoteError(
                f"regime {regime!r} is unknown; allowed: {', '.join(known)}, or their numbers from 0",
                "unknown-regime",
            )
        return int(regime)

    def _numbers(self, market: Market | None) -> tuple[float, ...]:
        """Factors and parameters, one number for each of these axes."""
        given = Market() if market is None else market
        groups = (("factor", self._table.factors, given.factors),)
        groups += (("parameter", self._table.parameter_axes, given.parameters),)
        found: list[float] = []
        for kind, axes, numbers in groups:
            names = [axis.name for axis in axes]
            for name in numbers:
                if name not in names:
                    raise QuoteError(
                        f"{kind} {name!r} was given; this table has "
                        f"{', '.join(names) if names else f'no {kind} axes'}",
                        "wrong-coordinates",
                    )
            for name in names:
                if name not in numbers:
                    axis = self._factors[len(found)]
                    raise QuoteError(
                        f"this table needs the {kind} {name}, from {axis.low:.12g} to {axis.high:.12g} "
                        f"(quotegrid quote: --{kind} {name}={axis.low:.12g})",
                        "wrong-coordinates",
                    )
                found.append(numbers[name])
        return tuple(found)


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
        state, weight = corners[0]
        if len(corners) == 1:
            return numbers[state]
        total = weight * numbers[state]
        for state, weight in corners[1:]:
            total += weight * numbers[state]
        return total

    return read


def _strides(table: PolicyTable) -> list[int]:
    """States from one node of each axis of `value` to the next."""
    sizes = table.lattice_shape
    return [math.prod(sizes[number + 1 :]) for number in range(len(sizes))]
