"""A table as compiled code takes it: flat read-only arrays and plain numbers, nothing to look after.

    axes        one record for each axis but the regimes, in the order of FORMAT.md §1
    nodes       the nodes of all axes, one axis after the other
    value …     the numbers of the table, row-major; views of the mapped file, empty where the table has none

State s, a node on every axis, is number Σ node · stride; its offset of flow f is offset[s · flows + f]. Every
table has the same type, so a function is compiled once for all of them.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.lookup import BETWEEN, OUTSIDE, SNAP, QuoteError
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.solution_protocol import Numbers

Records = NDArray[np.void]

AXIS = np.dtype(
    [
        ("first", np.int64),  # place of the first node among the nodes
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


class JittedSensitivity(NamedTuple):
    """Derivatives by the parameters; all empty where the table has none."""

    parameters: int  # how many
    value: Numbers
    value_curvature: Numbers
    offset: Numbers
    offset_curvature: Numbers
    gain: Numbers
    gain_curvature: Numbers
    hold: NDArray[np.int64]
    bounds: Numbers
    bound_parameters: NDArray[np.int64]


class JittedTable(NamedTuple):
    """One table with its rules for states between nodes and outside: an argument of compiled functions."""

    between: int  # 0 exact, 1 nearest, 2 towards_flat, 3 linear
    outside: int  # 0 refuse, 1 clamp
    times: int  # 1 with a time axis, else 0
    regimes: int
    factors: int
    parameters: int  # parameter axes
    assets: int
    states: int
    regime_stride: int
    axes: Records  # AXIS
    nodes: Numbers
    flows: Records  # FLOW
    value: Numbers
    offset: Numbers
    hedge_rate: Numbers
    market_order: Numbers
    gain: float  # NaN: none
    start: float  # Unix seconds; NaN: none
    life: float  # seconds; infinite: none
    price_box: Numbers  # lowest and highest reference price of each asset; infinite: none
    sensitivity: JittedSensitivity


def jitted_table(table: PolicyTable, between: str = "exact", outside: str = "refuse") -> JittedTable:
    """The form of a table for compiled code; the large arrays are shared with it, not copied.

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
    shape = table.lattice_shape
    strides = [int(np.prod(shape[place + 1 :])) for place in range(len(shape))]
    regime_stride = 0 if table.regime_axis is None else strides.pop(table.regime_axis)
    assets = len(table.symbols)
    no_box = np.tile([-np.inf, np.inf], (assets, 1))
    return JittedTable(
        between=BETWEEN.index(between),
        outside=OUTSIDE.index(outside),
        times=int(table.times is not None),
        regimes=len(table.regimes),
        factors=len(table.factors),
        parameters=len(table.parameter_axes),
        assets=assets,
        states=int(np.prod(shape)),
        regime_stride=regime_stride,
        axes=_axes(table, strides),
        nodes=_flat(np.concatenate([axis.nodes for axis in table.axes])),
        flows=_flows(table),
        value=_flat(table.value),
        offset=_flat(table.offset),
        hedge_rate=_flat(table.hedge_rate),
        market_order=_flat(table.market_order),
        gain=np.nan if table.gain is None else table.gain,
        start=np.nan if table.start is None else table.start,
        life=np.inf if table.life is None else table.life,
        price_box=_flat(no_box if table.price_box is None else table.price_box),
        sensitivity=_sensitivity(table),
    )


def _axes(table: PolicyTable, strides: list[int]) -> Records:
    axes, assets = np.zeros(len(table.axes), AXIS).view(np.recarray), len(table.inventories)
    axes["count"] = [len(axis.nodes) for axis in table.axes]
    axes["first"] = np.cumsum(axes["count"]) - axes["count"]
    axes["stride"] = strides
    lengths = np.array([axis.nodes[-1] - axis.nodes[0] for axis in table.axes])
    ends = np.array([[axis.nodes[0], axis.nodes[-1]] for axis in table.axes])
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
    return _flat(axes)


def _flows(table: PolicyTable) -> Records:
    flows = np.zeros(len(table.flows), FLOW).view(np.recarray)
    for record, flow in zip(flows, table.flows, strict=True):
        nodes = table.inventories[flow.asset]
        record["asset"], record["side"], record["move"] = flow.asset, flow.sign, flow.sign * flow.size
        record["first"], record["last"] = nodes[0], nodes[-1]
    return _flat(flows)


def _sensitivity(table: PolicyTable) -> JittedSensitivity:
    found = table.sensitivity
    if found is None:
        empty, whole = _flat(None), _flat(np.zeros(0, np.int64))
        return JittedSensitivity(0, empty, empty, empty, empty, empty, empty, whole, empty, whole)
    return JittedSensitivity(
        parameters=len(found.parameters),
        value=_flat(found.value),
        value_curvature=_flat(found.value_curvature),
        offset=_flat(found.offset),
        offset_curvature=_flat(found.offset_curvature),
        gain=_flat(found.gain),
        gain_curvature=_flat(found.gain_curvature),
        hold=_flat(found.hold),
        bounds=_flat(found.bounds),
        bound_parameters=_flat(found.bound_parameters),
    )


def _flat(array: NDArray[Any] | None) -> NDArray[Any]:
    """A read-only view in one dimension; without an array, an empty one."""
    flat = (np.zeros(0) if array is None else array).reshape(-1)
    flat.flags.writeable = False
    return flat
