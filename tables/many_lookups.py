"""Lookups of many states in one call: FORMAT.md §6 on arrays, bit for bit as of one state (`lookup`).

    quotes = quoter.quotes(lots, times)      # arrays of any shape that fit together
    quotes.offsets[..., 0]                   # of the first flow: price units, NaN where it is off

The sum over the corners of a state,

    δ(x) = Σ_corners  Π_axes w_axis · δ(corner),

has as many terms for all states of a block, so that arrays can be added: where one state is between the nodes
of an axis and another at a node, the other gets its node twice, with the weights 1 and 0. A node's own number
times 0 is a zero of its own sign (a NaN stays one), and adding that changes no bit.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quotegrid.tables.lookup import SNAP, Lookup, Market, QuoteError
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.solution_protocol import Numbers

BLOCK = 4096  # states at a time: what is between stays in the second cache

Places = NDArray[np.intp]


class Markets(NamedTuple):
    """Markets beyond time and inventory: `lookup.Market` with arrays, or with numbers for all states."""

    regime: Any = None  # numbers from 0, int [*states]; or one number or name
    factors: Mapping[str, ArrayLike] = MappingProxyType({})  # by name
    parameters: Mapping[str, ArrayLike] = MappingProxyType({})  # by path into the problem


class Quotes(NamedTuple):
    """What a table says at many states; `*states` is the shape of the coordinates together."""

    offsets: Numbers  # [*states, flow], price units from the reference price; NaN: not quoted
    value: Numbers  # [*states], θ in currency; ergodic: the bias
    hedge_rate: Numbers | None  # [*states, asset], units of the asset per time, + buys
    market_order: Numbers | None  # [*states, asset], lots, + buys
    clamped: dict[
        str, NDArray[np.bool_]
    ]  # axis → [*states]: outside of it and moved to the edge (outside="clamp")


class Along(NamedTuple):
    """Where states fall on one axis."""

    node: Places  # the first corner
    step: Places | None  # nodes from there to the second: 1, or 0 at a node; None: all states are at nodes
    weight: Numbers | None  # of the second
    settled: Numbers  # the coordinates, clamped and snapped to nodes
    outside: NDArray[np.bool_]
    refused: NDArray[np.bool_]


class Line:
    """One axis of a table: its nodes, its box and its rules; see `lookup.Axis`."""

    def __init__(self, nodes: Numbers, box: Numbers | None, lots: bool, between: str, outside: str) -> None:
        self._nodes = nodes
        self._low, self._high = (nodes[0], nodes[-1]) if box is None else box
        self._snap = SNAP if lots else SNAP * (nodes[-1] - nodes[0])
        self._between = between if lots else "linear"
        self._clamps = outside == "clamp"
        steps = np.arange(len(nodes))
        with np.errstate(all="ignore"):
            self._per_unit = steps[-1] / (nodes[-1] - nodes[0])
            guessed = (nodes - nodes[0]) * self._per_unit
        self._even = bool(np.all(np.abs(guessed - steps) < 0.5))  # nearly so at least: a node can be guessed

    def along(self, x: Numbers) -> Along:
        """Steps 1 to 3 of FORMAT.md §6."""
        nodes, snap = self._nodes, self._snap
        inside = (self._low - x <= snap) & (x - self._high <= snap)  # false of NaN
        outside = refused = ~inside
        if outside.any():
            refused = ~np.isfinite(x) if self._clamps else outside
            x = np.where(refused, self._low, np.where(outside, np.clip(x, self._low, self._high), x))
        node = self._node_below(x)
        low, high = nodes[node], nodes[np.minimum(node + 1, len(nodes) - 1)]
        below, above = x - low, high - x
        at_low = (np.abs(below) <= snap) | (node == len(nodes) - 1)
        at_high = (above <= snap) & ~at_low
        at_node = at_low | at_high
        settled = np.where(at_low, low, np.where(at_high, high, x))
        if self._between == "linear":
            if at_node.all():
                return Along(node + at_high, None, None, settled, outside, refused)
            weight = np.where(at_node, 0.0, below / (high - low))
            return Along(node + at_high, (~at_node).astype(np.intp), weight, settled, outside, refused)
        if self._between == "exact":
            return Along(node + at_high, None, None, settled, outside, refused | ~at_node)
        nearer, level = above < below, above == below
        flatter, as_flat = np.abs(high) < np.abs(low), np.abs(high) == np.abs(low)
        upper = nearer | (level & flatter) if self._between == "nearest" else flatter | (as_flat & nearer)
        return Along(node + np.where(at_node, at_high, upper), None, None, settled, outside, refused)

    def _node_below(self, x: Numbers) -> Places:
        """The last node that is not above x, or the first."""
        nodes = self._nodes
        if not self._even:
            return np.maximum(nodes.searchsorted(x, side="right") - 1, 0)
        node = np.minimum(np.maximum((x - nodes[0]) * self._per_unit, 0.0), len(nodes) - 2).astype(np.intp)
        missed = np.flatnonzero((nodes[node] > x) | (nodes[node + 1] <= x))
        if missed.size:
            node[missed] = np.maximum(nodes.searchsorted(x[missed], side="right") - 1, 0)
        return node


class Asked(NamedTuple):
    """Coordinates of many states, flat, one array for each axis of that kind that was given."""

    shape: tuple[int, ...]
    lots: list[Numbers]
    time: Numbers | None
    regime: NDArray[np.integer] | None
    factors: dict[str, Numbers]
    parameters: dict[str, Numbers]

    def state(self, place: int) -> tuple[list[float], float | None, Market | None]:
        """One of the states, as `Lookup.corners` takes it."""
        market = Market(
            None if self.regime is None else int(self.regime[place]),
            {name: float(numbers[place]) for name, numbers in self.factors.items()},
            {name: float(numbers[place]) for name, numbers in self.parameters.items()},
        )
        time = None if self.time is None else float(self.time[place])
        return [float(numbers[place]) for numbers in self.lots], time, None if market == Market() else market


class ManyLookups:
    """The rules for one table, whose arrays are read in place. Args: as `Lookup`."""

    def __init__(self, table: PolicyTable, between: str = "exact", outside: str = "refuse") -> None:
        self._table, self._single = table, Lookup(table, between, outside)
        first = len(table.axes) - len(table.inventories)
        boxes = [None] * len(table.axes) if table.box is None else list(table.box)
        self._lines = [
            Line(axis.nodes, box, place >= first, between, outside)
            for place, (axis, box) in enumerate(zip(table.axes, boxes, strict=True))
        ]
        shape = table.lattice_shape
        strides = [math.prod(shape[place + 1 :]) for place in range(len(shape))]
        self._regime_stride = 0 if table.regime_axis is None else strides.pop(table.regime_axis)
        self._strides, self._states = strides, math.prod(shape)
        self._rounds, self._clamps = between in ("nearest", "towards_flat"), outside == "clamp"

    def quotes(self, inventory: Any, time: ArrayLike | None = None, market: Markets | None = None) -> Quotes:
        """Everything the table says at many states; see `Quoter.quotes`."""
        table, asked = self._table, self._asked(inventory, time, market or Markets())
        count = math.prod(asked.shape)
        if count:
            self._check_form(asked)
        coordinates = [] if asked.time is None else [asked.time]
        coordinates += [asked.factors[axis.name] for axis in table.factors]
        coordinates += [asked.parameters[axis.name] for axis in table.parameter_axes]
        coordinates += asked.lots
        arrays = {
            name: (array.reshape(self._states, row), np.empty((count, row)))
            for name, array in (
                ("offset", table.offset),
                ("value", table.value[..., None]),
                ("hedge_rate", table.hedge_rate),
                ("market_order", table.market_order),
            )
            if array is not None
            for row in array.shape[-1:]
        }
        outside = np.zeros((len(self._lines), count), dtype=bool)
        with np.errstate(all="ignore"):  # Python's own numbers overflow without a word, too
            for start in range(0, count, BLOCK):
                block = slice(start, min(start + BLOCK, count))
                regime = None if asked.regime is None else asked.regime[block]
                first, pairs, lots, refused = self._corners(
                    [x[block] for x in coordinates], regime, outside[:, block]
                )
                if refused.any():
                    self._refuse(asked, start + int(np.argmax(refused)))
                corners = list(_combined(first, pairs))
                for array, out in arrays.values():
                    _sum(array, corners, out[block])
                if self._rounds:
                    self._keep_limits(arrays["offset"][1][block], lots)
        found = {name: out.reshape(*asked.shape, out.shape[-1]) for name, (_, out) in arrays.items()}
        names = [axis.name for axis in table.axes] if self._clamps else []
        return Quotes(
            found["offset"],
            found["value"][..., 0],
            found.get("hedge_rate"),
            found.get("market_order"),
            {name: outside[place].reshape(asked.shape) for place, name in enumerate(names)},
        )

    def _asked(self, inventory: Any, time: ArrayLike | None, market: Markets) -> Asked:
        several = len(self._table.symbols) > 1
        lots = [_numbers("inventory", each) for each in (inventory if several else [inventory])]
        regimes, regime = self._table.regimes, market.regime
        if isinstance(regime, str):
            if regime not in regimes:
                allowed = ", ".join(regimes) if regimes else "none, this table has no regimes"
                raise QuoteError(f"regime {regime!r} is unknown; allowed: {allowed}", "unknown-regime")
            regime = regimes.index(regime)
        if regime is not None and np.asarray(regime).dtype.kind not in "iu":
            raise QuoteError(
                "regimes must be whole numbers from 0, or one name for all states", "unknown-regime"
            )
        times = None if time is None else _numbers("time", time)
        factors = {name: _numbers(name, each) for name, each in market.factors.items()}
        parameters = {name: _numbers(name, each) for name, each in market.parameters.items()}
        outer = [each for each in (times, regime) if each is not None]
        all_of_them = (*lots, *outer, *factors.values(), *parameters.values())
        try:
            shape = np.broadcast_shapes(*map(np.shape, all_of_them))
        except ValueError:
            shapes = ", ".join(str(np.shape(each)) for each in all_of_them)
            raise QuoteError(
                f"coordinates of shapes {shapes} do not fit together; give arrays of one shape, or numbers"
            ) from None

        def flat(numbers: Any) -> NDArray[Any]:
            return np.broadcast_to(numbers, shape).reshape(-1)

        return Asked(
            shape,
            [flat(each) for each in lots],
            None if times is None else flat(times),
            None if regime is None else flat(regime),
            {name: flat(each) for name, each in factors.items()},
            {name: flat(each) for name, each in parameters.items()},
        )

    def _check_form(self, asked: Asked) -> None:
        """Refuse what the table has no axes for, and what it misses, in the words of a single lookup."""
        try:
            self._single.corners(*asked.state(0))
        except QuoteError as error:
            if error.rule == "wrong-coordinates":
                raise

    def _refuse(self, asked: Asked, place: int) -> NoReturn:
        where = ", ".join(map(str, np.unravel_index(place, asked.shape))) if asked.shape else "asked for"
        try:
            self._single.corners(*asked.state(place))
        except QuoteError as error:
            raise QuoteError(f"state {where}: {error}", error.rule) from None
        raise AssertionError(f"state {where} is refused in an array, but not alone")

    def _corners(
        self, coordinates: list[Numbers], regime: NDArray[np.integer] | None, outside: NDArray[np.bool_]
    ) -> tuple[Places, list[tuple[Places, Numbers]], list[Numbers], NDArray[np.bool_]]:
        """First corners; states to the second and its weight, of each axis with two; lots; refusals."""
        count = len(coordinates[0])
        first, refused = np.zeros(count, dtype=np.intp), np.zeros(count, dtype=bool)
        if regime is not None:
            known = (regime >= 0) & (regime < len(self._table.regimes))
            refused |= ~known
            first += np.where(known, regime, 0).astype(np.intp) * self._regime_stride
        pairs, settled = [], []
        for place, (line, x, stride) in enumerate(zip(self._lines, coordinates, self._strides, strict=True)):
            along = line.along(x)
            first += along.node * stride
            if along.step is not None and along.weight is not None:
                pairs.append((along.step * stride, along.weight))
            settled.append(along.settled)
            outside[place] = along.outside
            refused |= along.refused
        return first, pairs, settled[-len(self._table.inventories) :], refused

    def _keep_limits(self, offsets: Numbers, lots: list[Numbers]) -> None:
        """NaN for each flow whose fill would leave the limits from the caller's inventory."""
        for number, flow in enumerate(self._table.flows):
            nodes = self._table.inventories[flow.asset]
            after = lots[flow.asset] + float(flow.sign * flow.size)
            offsets[(nodes[0] - after > SNAP) | (after - nodes[-1] > SNAP), number] = np.nan


def _numbers(name: str, numbers: ArrayLike) -> Numbers:
    try:
        return np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        raise QuoteError(f"{name} {numbers!r} is no array of numbers", "not-a-number") from None


def _combined(first: Places, pairs: list[tuple[Places, Numbers]]) -> Iterator[tuple[Places, Numbers | None]]:
    """State and weight of every corner, row-major; a weight of None: there is one corner."""
    for upper in itertools.product((False, True), repeat=len(pairs)):
        state, weight = first, None
        for high, (step, w) in zip(upper, pairs, strict=True):
            state = state + step if high else state
            along = w if high else 1.0 - w
            weight = along if weight is None else weight * along
        yield state, weight


def _sum(array: Numbers, corners: list[tuple[Places, Numbers | None]], out: Numbers) -> None:
    """Σ weight · number, in the order of the corners. Shapes: array [states, row], out [*, row]."""
    row = array.shape[1]
    for number, (state, weight) in enumerate(corners):
        found = array.take(state, axis=0, mode="clip")
        if weight is not None:  # flat arrays: broadcasting over rows of two costs three times as much
            flat = found.reshape(-1)
            flat *= weight if row == 1 else np.repeat(weight, row)
        if number == 0:
            out[...] = found
        else:
            out += found
