"""What must fit together in a table (FORMAT.md §3): each function looks at one part and names a broken rule.

Shapes and names are checked before numbers; nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.table_error import TableError
from quotegrid.tables.words import MAX_NAMES, is_word

if TYPE_CHECKING:
    from quotegrid.tables.policy_table import PolicyTable

Numbers = NDArray[np.float64]

MAX_AXES = 8  # besides the regimes
LARGEST_NODE = 1e300  # so that the length of an axis is finite
LARGEST_SIZE = 2**53  # lots; a whole number that a double still holds


def check(table: PolicyTable) -> None:
    """Refuse a table whose parts do not fit together.

    Raises:
        TableError: the name of the first rule found broken.
    """
    _check_names(table)
    _check_axes(table)
    _check_validity(table)
    _check_flows(table)
    _check_arrays(table)
    if table.sensitivity is not None:
        table.sensitivity.check(table.lattice_shape, table.offset, table.gain is not None)


def _check_names(table: PolicyTable) -> None:
    if not (0 < len(table.symbols) == len(table.inventories) == len(table.lot_sizes)):
        raise TableError(
            "asset-count",
            f"{len(table.symbols)} symbols, {len(table.inventories)} inventory axes and "
            f"{len(table.lot_sizes)} lot sizes: there must be one of each for each asset",
        )
    if len(table.regimes) > MAX_NAMES:
        raise TableError("regime-count", f"{len(table.regimes)} regimes; at most {MAX_NAMES} are allowed")
    if len(table.flows) > MAX_NAMES:
        raise TableError("flow-count", f"{len(table.flows)} flows; at most {MAX_NAMES} are allowed")
    groups = {
        "symbols": table.symbols,
        "regimes": table.regimes,
        "factors": [axis.name for axis in table.factors],
        "flow names": [flow.name for flow in table.flows],
        "parameter axes": [axis.name for axis in table.parameter_axes],
        "units": (table.price_unit, table.time_unit),
        "parameters": () if table.sensitivity is None else table.sensitivity.parameters,
    }
    for group, names in groups.items():
        for name in names:
            if not is_word(name):
                raise TableError(
                    "word-form",
                    f"{group}: {name!r} is empty, longer than 255 bytes or holds a control character",
                )
            if group in ("symbols", "regimes", "factors", "flow names") and ("." in name or "/" in name):
                raise TableError("name-form", f"{group}: {name!r} holds a '.' or a '/'")
        if group not in ("flow names", "units") and len(set(names)) < len(names):
            raise TableError("name-repeated", f"the {group} {', '.join(names)} are not all different")


def _check_axes(table: PolicyTable) -> None:
    if not all(0 < size < np.inf for size in table.lot_sizes):
        raise TableError("lot-size", f"lot sizes {table.lot_sizes} are not all positive and finite")
    if len(table.axes) > MAX_AXES:
        raise TableError(
            "axis-count", f"{len(table.axes)} axes besides the regimes; at most {MAX_AXES} are allowed"
        )
    for name, nodes in table.axes:
        if nodes.dtype != np.float64 or nodes.ndim != 1:
            raise TableError("tensor-type", f"the axis {name} is not a row of float64")
        if not len(nodes) or not (np.abs(nodes) <= LARGEST_NODE).all():
            raise TableError("axis-order", f"the axis {name} is empty or not finite, or beyond 1e300")
        falls = nodes[1:] <= nodes[:-1]
        if falls.any():
            low = int(np.argmax(falls))
            raise TableError(
                "axis-order",
                f"on the axis {name}, {nodes[low]:.12g} is followed by {nodes[low + 1]:.12g}",
            )


def _check_validity(table: PolicyTable) -> None:
    assets = len(table.symbols)
    if table.box is not None:
        _check_shape("box", table.box, (len(table.axes), 2))
        for place, (name, nodes) in enumerate(table.axes):
            low, high = table.box[place].tolist()
            if not nodes[0] <= low <= high <= nodes[-1]:
                raise TableError(
                    "box-form",
                    f"the box holds {name} from {low:.12g} to {high:.12g}; allowed: from a lower to a higher "
                    f"end within its axis, which runs from {nodes[0]:.12g} to {nodes[-1]:.12g}",
                )
            for end in (low, high) if place >= len(table.axes) - assets else ():
                above = int(np.searchsorted(nodes, end))
                if nodes[above] != end:
                    raise TableError(
                        "box-form",
                        f"the box of {name} ends at {end:.12g}, between two nodes; allowed: a node, such as "
                        f"{nodes[above - 1]:.12g} or {nodes[above]:.12g}",
                    )
    prices = table.reference_prices
    if prices is not None:
        _check_shape("reference_price", np.array(prices), (assets,))
        if not np.isfinite(prices).all():
            raise TableError("reference-price", f"the reference prices {prices} are not all finite")
    if table.price_box is not None:
        _check_shape("price_box", table.price_box, (assets, 2))
        for place, (low, high) in enumerate(table.price_box.tolist()):
            price = low if prices is None else prices[place]
            if not -np.inf < low <= price <= high < np.inf:
                why = "no range" if prices is None else f"which must hold the reference price {price:.12g}"
                raise TableError(
                    "reference-price",
                    f"the price box of {table.symbols[place]} is {low:.12g} to {high:.12g}, {why}",
                )
    if table.life is not None and table.start is None:
        raise TableError("life-time", "there is a life, but no start from which it counts")
    if table.start is not None and not np.isfinite(table.start):
        raise TableError("life-time", f"the start is {table.start}")
    if table.life is not None and not 0 < table.life < np.inf:
        raise TableError("life-time", f"the life is {table.life} seconds, not positive and finite")


def _check_flows(table: PolicyTable) -> None:
    for flow in table.flows:
        if flow.side not in ("bid", "ask"):
            raise TableError("flow-side", f"flow {flow.name!r} has side {flow.side!r}; allowed: bid, ask")
        if not 1 <= flow.size <= LARGEST_SIZE:
            raise TableError(
                "flow-size", f"flow {flow.name!r} has size {flow.size}; at least 1 lot is needed"
            )
        if not 0 <= flow.asset < len(table.symbols):
            raise TableError(
                "flow-asset", f"flow {flow.name!r} trades asset {flow.asset} of {len(table.symbols)} assets"
            )
    seen = set()
    for flow, label in zip(table.flows, table.flow_labels, strict=True):
        if (flow.name, flow.side, flow.asset) in seen:
            raise TableError("flow-repeated", f"there are two flows {label}: name and side must be unique")
        seen.add((flow.name, flow.side, flow.asset))


def _check_arrays(table: PolicyTable) -> None:
    lattice = table.lattice_shape
    shapes = {"value": lattice, "offset": (*lattice, len(table.flows))}
    for name in ("hedge_rate", "market_order"):
        if getattr(table, name) is not None:
            shapes[name] = (*lattice, len(table.symbols))
    for name, shape in shapes.items():
        array: Numbers = getattr(table, name)
        if array.dtype != np.float64 or not array.flags.c_contiguous:
            raise TableError("tensor-type", f"{name} is not a row-major array of float64")
        _check_shape(name, array, shape)
        if _any(np.isinf, array):
            raise TableError("infinite-number", f"{name} holds an infinity; a quote that is off is NaN")
    if _any(np.isnan, table.value):
        raise TableError("value-missing", "value holds NaN: every state of a table has a value")
    if table.gain is not None and np.isinf(table.gain):
        raise TableError("infinite-number", f"the gain is {table.gain}")
    if table.gain is not None and np.isnan(table.gain):
        raise TableError("value-missing", f"the gain is {table.gain}")


def _check_shape(name: str, array: Numbers, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise TableError("table-shape", f"{name} has shape {array.shape}, the axes ask for {shape}")


def _any(asked: Callable[[Numbers], NDArray[np.bool_]], array: Numbers) -> bool:
    return bool(asked(array).any())
