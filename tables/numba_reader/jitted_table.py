"""A table as compiled code takes it: one memory of numbers, and records that say what stands where.

    numbers     the mapped file as 64-bit floats, and as integers; what is in no file is copied together
    layout      where the tensors begin among them, how many there are of what, and the axes (FORMAT.md §1)

State s, a node on every axis, is number Σ node · stride; its offset of flow f is
numbers[layout.offset + s · flows + f]. Every table has the same type, so a function is compiled once for all
of them, and the type is small, so that functions hand a table on at little cost.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.lookup import BETWEEN, OUTSIDE, SNAP, QuoteError
from quotegrid.tables.numba_reader.coordinates import jitted
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.solution_protocol import Numbers

MOST_AXES = 8
NONE = -1  # place of a tensor that the table does not have

AXIS = np.dtype(
    [
        ("first", np.int64),  # place of the first node among the numbers
        ("count", np.int64),
        ("stride", np.int64),  # states from one node to the next
        ("low", np.float64),  # the validity box
        ("high", np.float64),
        ("snap", np.float64),  # a coordinate so close to a node is the node
        ("lowest", np.float64),  # the first node
        ("steps", np.float64),  # how many there are from it to the last
        ("nodes_per_unit", np.float64),  # were they evenly spread
        ("free_low", np.float64),  # of an inventory: between these no fill leaves the limits
        ("free_high", np.float64),
    ],
    align=True,
)
FLOW = np.dtype(
    [
        ("asset", np.int64),
        ("side", np.int64),  # 1 bid, -1 ask
        ("move", np.float64),  # side · size, lots
        ("first", np.float64),  # limits of the inventory of its asset, lots
        ("last", np.float64),
    ],
    align=True,
)
TENSORS = ("value", "offset", "hedge_rate", "market_order", "price_box")
DERIVATIVES = {
    "value_sensitivity": "value",
    "value_curvature": "value_curvature",
    "offset_sensitivity": "offset",
    "offset_curvature": "offset_curvature",
    "gain_sensitivity": "gain",
    "gain_curvature": "gain_curvature",
    "offset_hold": "hold",
    "offset_bound": "bounds",
    "offset_bound_parameter": "bound_parameters",
}
LAYOUT = np.dtype(
    [
        ("times", np.int64),  # how many: time axes (0 or 1), regimes, …
        ("regimes", np.int64),
        ("factors", np.int64),
        ("parameter_axes", np.int64),
        ("assets", np.int64),
        ("sensitivities", np.int64),  # parameters with derivatives
        ("states", np.int64),
        ("regime_stride", np.int64),
        ("gain", np.float64),  # NaN: none
        ("start", np.float64),  # Unix seconds; NaN: none
        ("life", np.float64),  # seconds; infinite: none
        *((name, np.int64) for name in (*TENSORS, *DERIVATIVES)),  # places
        ("axes", AXIS, (MOST_AXES,)),
    ],
    align=True,
)


class JittedTable(NamedTuple):
    """One table with its rules for states between nodes and outside: an argument of compiled functions."""

    between: int  # 0 exact, 1 nearest, 2 towards_flat, 3 linear
    outside: int  # 0 refuse, 1 clamp
    asked: int  # which coordinates a state must have: `asked`
    layout: Any  # a record, LAYOUT
    flows: NDArray[Any]  # FLOW
    numbers: Numbers
    integers: NDArray[np.int64]  # the same memory


@jitted
def asked(times: int, regimes: int, factors: int, parameters: int, assets: int) -> int:
    """Counts of coordinates as one number, to be compared at once; there are at most 8 of each."""
    counts = min(times, 15) | min(regimes, 15) << 4 | min(factors, 15) << 8
    return counts | min(parameters, 15) << 12 | min(assets, 15) << 16


def jitted_table(table: PolicyTable, between: str = "exact", outside: str = "refuse") -> JittedTable:
    """The form of a table for compiled code; the numbers of a mapped file stay where they are.

    Args:
        table: from `read_safetensors`, which has checked the file and keeps it mapped. Names, units and
            metadata are asked of it.
        between: exact, nearest, towards_flat or linear: what an inventory between the nodes means.
        outside: refuse or clamp: what a state outside the validity box means.

    Raises:
        QuoteError: `between` or `outside` is no rule.
    """
    if between not in BETWEEN:
        raise QuoteError(f"between={between!r} is no rule; allowed: {', '.join(BETWEEN)}")
    if outside not in OUTSIDE:
        raise QuoteError(f"outside={outside!r} is no rule; allowed: {', '.join(OUTSIDE)}")
    tensors = {name: getattr(table, name) for name in TENSORS}
    if table.sensitivity is not None:
        tensors |= {name: getattr(table.sensitivity, field) for name, field in DERIVATIVES.items()}
    tensors |= {str(number): axis.nodes for number, axis in enumerate(table.axes)}
    numbers, places = _one_memory({name: array for name, array in tensors.items() if array is not None})
    layout = np.zeros(1, LAYOUT).view(np.recarray)[0]
    layout.times, layout.regimes = int(table.times is not None), len(table.regimes)
    layout.factors, layout.parameter_axes = len(table.factors), len(table.parameter_axes)
    layout.assets = len(table.symbols)
    layout.sensitivities = 0 if table.sensitivity is None else len(table.sensitivity.parameters)
    layout.states = table.value.size
    layout.gain = np.nan if table.gain is None else table.gain
    layout.start = np.nan if table.start is None else table.start
    layout.life = np.inf if table.life is None else table.life
    for name in (*TENSORS, *DERIVATIVES):
        layout[name] = places.get(name, NONE)
    _set_axes(layout, table, places)
    return JittedTable(
        BETWEEN.index(between),
        OUTSIDE.index(outside),
        asked(layout.times, min(layout.regimes, 1), layout.factors, layout.parameter_axes, layout.assets),
        layout,
        _flows(table),
        numbers,
        numbers.view(np.int64),
    )


def _one_memory(arrays: dict[str, NDArray[Any]]) -> tuple[Numbers, dict[str, int]]:
    """All of them in one array, and where each begins: the file that they are views of, or else a copy."""
    owners = {id(_owner(array)): _owner(array) for array in arrays.values()}
    (owner, *others) = owners.values()
    if not others and owner is not None:
        numbers = np.frombuffer(owner, np.float64)
        places = {name: (array.ctypes.data - numbers.ctypes.data) // 8 for name, array in arrays.items()}
    else:
        numbers = np.concatenate([array.reshape(-1).view(np.float64) for array in arrays.values()])
        ends = np.cumsum([array.size for array in arrays.values()]).tolist()
        places = dict(zip(arrays, [0, *ends[:-1]], strict=True))
    numbers.flags.writeable = False
    return numbers, places


def _owner(array: NDArray[Any]) -> Any:
    """The map or the bytes that an array is a view of; None for one that is no view of such."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base.obj if isinstance(array.base, memoryview) else None


def _set_axes(layout: Any, table: PolicyTable, places: dict[str, int]) -> None:
    shape = table.lattice_shape
    strides = [int(np.prod(shape[place + 1 :])) for place in range(len(shape))]
    if table.regime_axis is not None:
        layout.regime_stride = strides.pop(table.regime_axis)
    axes, assets = layout.axes[: len(table.axes)], len(table.inventories)
    axes["first"] = [places[str(number)] for number in range(len(axes))]
    axes["count"] = [len(axis.nodes) for axis in table.axes]
    axes["stride"] = strides
    ends = np.array([[axis.nodes[0], axis.nodes[-1]] for axis in table.axes])
    lengths = ends[:, 1] - ends[:, 0]
    axes["low"], axes["high"] = (ends if table.box is None else table.box).T
    axes["snap"] = SNAP * lengths
    axes["snap"][-assets:] = SNAP  # lots
    axes["lowest"], axes["steps"] = ends[:, 0], axes["count"] - 1
    with np.errstate(over="ignore"):
        even = np.divide(axes["steps"], lengths, where=lengths > 0.0, out=np.zeros(len(axes)))
    axes["nodes_per_unit"] = np.where(np.isfinite(even), even, 0.0)
    for asset, (axis, nodes) in enumerate(zip(axes[-assets:], table.inventories, strict=True)):
        size = max((flow.size for flow in table.flows if flow.asset == asset), default=0)
        size += 4.0 * np.spacing(np.abs(nodes).max() + size)  # whatever sums with it are rounded to
        axis["free_low"], axis["free_high"] = nodes[0] + size, nodes[-1] - size


def _flows(table: PolicyTable) -> NDArray[Any]:
    flows = np.zeros(len(table.flows), FLOW).view(np.recarray)
    for record, flow in zip(flows, table.flows, strict=True):
        nodes = table.inventories[flow.asset]
        record.asset, record.side, record.move = flow.asset, flow.sign, flow.sign * flow.size
        record.first, record.last = nodes[0], nodes[-1]
    flows.flags.writeable = False
    return flows
