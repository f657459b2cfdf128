"""The answer to a question about a table, word for word as FORMAT.md §6 says it and as slowly.

It shares nothing with `quotegrid.tables.lookup` and `quotegrid.tables.shifts`: Python's numbers are binary64,
rounded after every operation, so what is written here is what every reader must give, bit for bit.
"""

import itertools
import math
from typing import Any, NamedTuple

from numpy.typing import NDArray

from quotegrid.tables.policy_table import PolicyTable

SNAP = 1e-9
NOT_A_NUMBER, OUTSIDE_BOX, BETWEEN_NODES, UNKNOWN_REGIME = 1, 2, 3, 4


class Question(NamedTuple):
    """A state, and the rules chosen when the table was loaded."""

    between: str
    outside: str
    coordinates: tuple[float, ...]  # one for each axis; the number of a regime is an int
    changes: tuple[float, ...] = ()  # of the parameters, where the table has sensitivities


class Refusal(NamedTuple):
    """Why there is no answer, by its number in FORMAT.md §6."""

    number: int


class Answer(NamedTuple):
    """What the table says; NaN where there is nothing to say."""

    clamped: tuple[int, ...]  # axes, counted without that of the regimes
    value: float
    offsets: tuple[float, ...]
    hedge_rate: tuple[float, ...]
    market_order: tuple[float, ...]
    shifted: tuple[float, ...]  # value, error, offsets, errors, gain, error


class SlowTable:
    """A table as plain lists."""

    def __init__(self, table: PolicyTable) -> None:
        self.table = table
        self.nodes = [axis.nodes.tolist() for axis in table.axes]
        self.box = [(x[0], x[-1]) for x in self.nodes] if table.box is None else table.box.tolist()
        self.shape = table.lattice_shape
        self.value = table.value.reshape(-1).tolist()
        self.offset = _columns(table.offset, len(table.flows))
        self.hedge = _columns(table.hedge_rate, len(table.symbols))
        self.order = _columns(table.market_order, len(table.symbols))
        self.derivatives = None
        if (s := table.sensitivity) is not None:
            states, count, flows = math.prod(self.shape), len(s.parameters), len(table.flows)
            self.derivatives = (
                s.value.reshape(count, states).tolist(),
                s.value_curvature.reshape(count, states).tolist(),
                [_columns(by, flows) for by in s.offset],
                [_columns(by, flows) for by in s.offset_curvature],
                _columns(s.hold, flows),
                s.bounds.tolist(),
                s.bound_parameters.tolist(),
                [] if s.gain is None else s.gain.tolist(),
                [] if s.gain_curvature is None else s.gain_curvature.tolist(),
            )

    def answer(self, question: Question) -> Answer | Refusal:
        """Everything the table says."""
        coordinates = list(question.coordinates)
        first_lots = len(self.nodes) - len(self.table.inventories)
        choices: list[list[tuple[int, float]]] = []
        clamped: list[int] = []
        lots: list[float] = []
        number = 0  # of the axis, regimes not counted
        for place, x in enumerate(coordinates):
            if place == self.table.regime_axis:
                if not 0 <= x < len(self.table.regimes):
                    return Refusal(UNKNOWN_REGIME)
                choices.append([(int(x), 1.0)])
                continue
            found = self._along(number, x, question, number >= first_lots)
            if isinstance(found, Refusal):
                return found
            corners, at, outside = found
            choices.append(corners)
            if outside:
                clamped.append(number)
            if number >= first_lots:
                lots.append(at)
            number += 1
        corners = [(self._state(corner), _product(corner)) for corner in itertools.product(*choices)]
        offsets = [_looked_up(corners, column) for column in self.offset]
        if question.between in ("nearest", "towards_flat"):
            for f, flow in enumerate(self.table.flows):
                nodes = self.nodes[first_lots + flow.asset]
                after = lots[flow.asset] + flow.sign * flow.size
                if nodes[0] - after > SNAP or after - nodes[-1] > SNAP:
                    offsets[f] = math.nan
        value = _looked_up(corners, self.value)
        return Answer(
            tuple(clamped),
            value,
            tuple(offsets),
            tuple(_looked_up(corners, column) for column in self.hedge),
            tuple(_looked_up(corners, column) for column in self.order),
            self._shifted(corners, question.changes, value, offsets) if self.derivatives else (),
        )

    def _along(
        self, number: int, x: float, question: Question, is_inventory: bool
    ) -> tuple[list[tuple[int, float]], float, bool] | Refusal:
        """Corners on one axis, the coordinate after steps 1 and 2, and whether it was clamped."""
        nodes, (low, high) = self.nodes[number], self.box[number]
        snap = SNAP if is_inventory else SNAP * (nodes[-1] - nodes[0])
        if not math.isfinite(x):
            return Refusal(NOT_A_NUMBER)
        outside = low - x > snap or x - high > snap
        if outside:
            if question.outside == "refuse":
                return Refusal(OUTSIDE_BOX)
            x = low if x < low else high
        i = max([k for k, node in enumerate(nodes) if node <= x], default=0)
        if abs(x - nodes[i]) <= snap:
            return [(i, 1.0)], nodes[i], outside
        if nodes[i + 1] - x <= snap:
            return [(i + 1, 1.0)], nodes[i + 1], outside
        below, above = x - nodes[i], nodes[i + 1] - x
        rule = question.between if is_inventory else "linear"
        if rule == "exact":
            return Refusal(BETWEEN_NODES)
        if rule == "linear":
            w = below / (nodes[i + 1] - nodes[i])
            return [(i, 1.0 - w), (i + 1, w)], x, outside
        nearer, tie = above < below, above == below
        flatter, level = abs(nodes[i + 1]) < abs(nodes[i]), abs(nodes[i + 1]) == abs(nodes[i])
        upper = nearer or (tie and flatter) if rule == "nearest" else flatter or (level and nearer)
        return [(i + upper, 1.0)], x, outside

    def _state(self, corner: tuple[tuple[int, float], ...]) -> int:
        """Its number, row-major."""
        state = 0
        for (node, _), size in zip(corner, self.shape, strict=True):
            state = state * size + node
        return state

    def _shifted(
        self,
        corners: list[tuple[int, float]],
        changes: tuple[float, ...],
        value: float,
        offsets: list[float],
    ) -> tuple[float, ...]:
        assert self.derivatives is not None
        slope, bend, slopes, bends, hold, bounds, which, gain_slope, gain_bend = self.derivatives
        found = [value + _sum(changes, [_looked_up(corners, row) for row in slope])]
        found.append(_error(changes, [_looked_up(corners, row) for row in bend]))
        after, errors = [], []
        for f, offset in enumerate(offsets):
            moved = offset + _sum(changes, [_looked_up(corners, by[f]) for by in slopes])
            low, high = (
                bound if k < 0 else bound + changes[k] for bound, k in zip(bounds[f], which[f], strict=True)
            )
            said = not math.isnan(moved) and low <= moved <= high
            said = said and all(hold[f][state] == 0 for state, _ in corners)
            stopped = low if moved < low else moved
            after.append(high if stopped > high else stopped)
            bent = [_looked_up(corners, by[f]) for by in bends]
            errors.append(_error(changes, bent) if said else math.nan)
        found += [*after, *errors]
        if self.table.gain is not None:
            found += [self.table.gain + _sum(changes, gain_slope), _error(changes, gain_bend)]
        return tuple(found)


def _columns(array: NDArray[Any] | None, count: int) -> list[list[float]]:
    """The numbers of every state, for each flow or asset."""
    return [] if array is None else [array.reshape(-1, count)[:, n].tolist() for n in range(count)]


def _product(corner: tuple[tuple[int, float], ...]) -> float:
    weight = 1.0
    for _, w in corner:
        weight = weight * w
    return weight


def _looked_up(corners: list[tuple[int, float]], numbers: list[float]) -> float:
    (state, weight), *others = corners
    if not others:
        return numbers[state]
    total = weight * numbers[state]
    for state, weight in others:
        total = total + weight * numbers[state]
    return total


def _sum(changes: tuple[float, ...], slopes: list[float]) -> float:
    total = 0.0
    for h, d in zip(changes, slopes, strict=True):
        total = total + h * d
    return total


def _error(changes: tuple[float, ...], curvatures: list[float]) -> float:
    total = 0.0
    for h, c in zip(changes, curvatures, strict=True):
        total = total + abs(h) * math.sqrt(0.5 * abs(c))
    return total * total
