"""What moved between two tables of one market: parameters, quotes, values.

    change(state, flow) = new offset - old offset,   state on the nodes that both tables can be looked up at

On inventory axes these are the nodes of both; on other axes all nodes of either within the range of both,
linearly interpolated, so that the largest change is that of the interpolated quotes, which lies at a node. A
quote that one table makes and the other does not, though its fill stays within the limits of both, has
appeared or vanished: a change without bound.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.documents.table_entries import table_entries
from quotegrid.tables.policy_table import NamedAxis, PolicyTable
from quotegrid.tables.table_interface import interface_changes

Numbers = NDArray[np.float64]


class NotComparableError(ValueError):
    """Two tables are not of one market, or share no state."""


class ParameterChange(NamedTuple):
    """One entry of the problem; None where it is not in one of them, the nodes where it is an axis."""

    path: str
    before: object
    after: object


class Move(NamedTuple):
    """The largest change of one number, and where."""

    change: float  # new - old
    before: float
    after: float
    where: str


class FlowMove(NamedTuple):
    """How the quotes of one flow moved, in price units."""

    label: str
    largest: Move | None  # None: never quoted by both
    mean: float  # of the absolute change, over the states compared
    appeared: int  # states where only the new table quotes
    vanished: int  # states where only the old one does
    first_on_or_off: str | None  # the first such state


@dataclass(frozen=True)
class Difference:
    """Two tables side by side (`compare`)."""

    old: PolicyTable
    new: PolicyTable
    parameters: tuple[ParameterChange, ...]
    flows: tuple[FlowMove, ...]
    value: Move  # currency
    states: int  # compared

    def __repr__(self) -> str:
        return (
            f"<Difference of two tables of {', '.join(self.new.symbols)}: {len(self.parameters)} parameters "
            f"changed, quotes moved by up to {self.largest_quote_change:.4g} {self.new.price_unit}>"
        )

    @property
    def largest_quote_change(self) -> float:
        """The largest absolute change of any quote, price units; infinite where one appeared or vanished."""
        if any(flow.appeared or flow.vanished for flow in self.flows):
            return math.inf
        return max((abs(flow.largest.change) for flow in self.flows if flow.largest), default=0.0)

    def to_json(self) -> dict[str, object]:
        """The plain form printed by `quotegrid diff --json`; null stands for a change without bound."""
        largest = self.largest_quote_change
        return {
            "old": self.old.content_hash,
            "new": self.new.content_hash,
            "parameters": {change.path: [change.before, change.after] for change in self.parameters},
            "price_unit": self.new.price_unit,
            "largest_quote_change": None if math.isinf(largest) else largest,
            "quotes": {
                flow.label: {
                    "largest": None if flow.largest is None else flow.largest._asdict(),
                    "mean": flow.mean,
                    "appeared": flow.appeared,
                    "vanished": flow.vanished,
                }
                for flow in self.flows
            },
            "value": self.value._asdict(),
            "gain": [self.old.gain, self.new.gain],
            "states": self.states,
        }


def compare(old: PolicyTable, new: PolicyTable) -> Difference:
    """What moved from one table to the other.

    Raises:
        NotComparableError: markets, units, flows or axes differ, or the tables share no state.
    """
    changes = interface_changes(old, new)
    if changes:
        raise NotComparableError(f"the two tables cannot be compared: {'; '.join(changes)}")
    axes = common_axes(old, new)
    inside = _inside(old, axes) & _inside(new, axes)
    before, after = on_axes(old, old.offset, axes), on_axes(new, new.offset, axes)
    value = on_axes(new, new.value, axes), on_axes(old, old.value, axes)
    where = np.unravel_index(np.argmax(np.abs(value[0] - value[1])), value[0].shape)
    moved = Move(
        float((value[0] - value[1])[where]),
        float(value[1][where]),
        float(value[0][where]),
        _words(new, axes, where),
    )
    return Difference(
        old=old,
        new=new,
        parameters=_parameter_changes(old, new),
        flows=tuple(
            _flow_move(new, axes, label, before[..., number], after[..., number], inside[..., number])
            for number, label in enumerate(new.flow_labels)
        ),
        value=moved,
        states=value[0].size,
    )


def common_axes(old: PolicyTable, new: PolicyTable) -> tuple[NamedAxis, ...]:
    """The nodes on which two tables of one interface are compared."""
    found = []
    for number, (before, after) in enumerate(zip(old.axes, new.axes, strict=True)):
        if number >= len(old.axes) - len(old.inventories):
            nodes = np.intersect1d(before.nodes, after.nodes)
        else:
            low, high = max(before.nodes[0], after.nodes[0]), min(before.nodes[-1], after.nodes[-1])
            nodes = np.union1d(before.nodes, after.nodes)
            nodes = nodes[(nodes >= low) & (nodes <= high)]
        if not nodes.size:
            raise NotComparableError(
                f"the tables share no {before.name}: one knows {before.nodes[0]:g} to {before.nodes[-1]:g}, "
                f"the other {after.nodes[0]:g} to {after.nodes[-1]:g}"
            )
        found.append(NamedAxis(before.name, nodes))
    return tuple(found)


def on_axes(table: PolicyTable, array: Numbers, axes: tuple[NamedAxis, ...]) -> Numbers:
    """Numbers of a table, float64[*axes, …], linearly interpolated to other nodes, axis by axis."""
    for number, (stored, wanted) in enumerate(zip(table.axes, axes, strict=True)):
        place = number + (table.regime_axis is not None and number >= table.regime_axis)
        nodes = stored.nodes
        low = np.clip(np.searchsorted(nodes, wanted.nodes, side="right") - 1, 0, max(nodes.size - 2, 0))
        high = np.minimum(low + 1, nodes.size - 1)
        length = np.where(high > low, nodes[high] - nodes[low], 1.0)
        weight = ((wanted.nodes - nodes[low]) / length).reshape(-1, *[1] * (array.ndim - place - 1))
        below, above = np.take(array, low, axis=place), np.take(array, high, axis=place)
        between = (1.0 - weight) * below + weight * above
        array = np.where(weight == 0.0, below, np.where(weight == 1.0, above, between))
    return array


def _inside(table: PolicyTable, axes: tuple[NamedAxis, ...]) -> NDArray[np.bool_]:
    """bool[*axes, flow]: the fill stays within the limits of the table."""
    first = len(axes) - len(table.inventories)
    columns = []
    for flow in table.flows:
        limits = table.inventories[flow.asset]
        after = axes[first + flow.asset].nodes + flow.sign * flow.size
        inside = (after >= limits[0]) & (after <= limits[-1])
        shape = [1] * len(axes)
        shape[first + flow.asset] = -1
        columns.append(np.broadcast_to(inside.reshape(shape), [axis.nodes.size for axis in axes]))
    found = (
        np.stack(columns, axis=-1) if columns else np.zeros([axis.nodes.size for axis in axes] + [0], bool)
    )
    return found if table.regime_axis is None else np.expand_dims(found, table.regime_axis)


def _flow_move(
    table: PolicyTable,
    axes: tuple[NamedAxis, ...],
    label: str,
    before: Numbers,
    after: Numbers,
    inside: NDArray[np.bool_],
) -> FlowMove:
    both = np.isfinite(before) & np.isfinite(after)
    appeared = inside & np.isnan(before) & np.isfinite(after)
    vanished = inside & np.isfinite(before) & np.isnan(after)
    size = np.where(both, np.abs(after - before), -1.0)
    where = np.unravel_index(np.argmax(size), size.shape)
    largest = None
    if both.any():
        largest = Move(
            float(after[where] - before[where]),
            float(before[where]),
            float(after[where]),
            _words(table, axes, where),
        )
    switched = np.argwhere(appeared | vanished)
    return FlowMove(
        label,
        largest,
        float(np.mean(size[both])) if both.any() else 0.0,
        int(appeared.sum()),
        int(vanished.sum()),
        _words(table, axes, tuple(switched[0])) if switched.size else None,
    )


def _parameter_changes(old: PolicyTable, new: PolicyTable) -> tuple[ParameterChange, ...]:
    before, after = table_entries(old), table_entries(new)
    paths = [*after, *(path for path in before if path not in after)]
    changes = (ParameterChange(path, before.get(path), after.get(path)) for path in paths)
    return tuple(change for change in changes if change.before != change.after)


def _words(table: PolicyTable, axes: tuple[NamedAxis, ...], where: tuple[np.intp, ...]) -> str:
    """A state in words: `inventory 3 lots, time 12.5 s`."""
    place, said = list(where), []
    if table.regime_axis is not None:
        said.append(f"regime {table.regimes[place.pop(table.regime_axis)]}")
    first = len(axes) - len(table.inventories)
    for number, (axis, index) in enumerate(zip(axes, place, strict=True)):
        timed = number == 0 and table.times is not None
        unit = " lots" if number >= first else f" {table.time_unit}" if timed else ""
        said.append(f"{axis.name} {axis.nodes[index]:.6g}{unit}")
    return ", ".join(reversed(said))
