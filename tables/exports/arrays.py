"""A table as the arrays of an .npz file, for NumPy alone: `numpy.load(path)` without pickles.

Axes are called as in the long form; then flow, side, size, symbol, lot_size, unit (of prices, of times),
offset, value, and where they apply hedge_rate, market_order and gain; words are arrays of text. `metadata` is
the JSON of FORMAT.md §4 and `content_hash` the table's, both arrays of one text.
"""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.exports.long_form import named_axes
from quotegrid.tables.policy_table import PolicyTable


def arrays(table: PolicyTable) -> dict[str, NDArray[Any]]:
    """Name → array."""
    found: dict[str, Any] = {
        **named_axes(table),
        "regime": table.regimes or None,
        "flow": table.flow_labels,
        "side": [flow.side for flow in table.flows],
        "size": [flow.size for flow in table.flows],
        "symbol": [table.symbols[flow.asset] for flow in table.flows],
        "lot_size": table.lot_sizes,
        "unit": (table.price_unit, table.time_unit),
        "offset": table.offset,
        "value": table.value,
        "hedge_rate": table.hedge_rate,
        "market_order": table.market_order,
        "gain": table.gain,
        "metadata": canonical_json(table.metadata()),
        "content_hash": table.content_hash,
    }
    return {name: np.asarray(part) for name, part in found.items() if part is not None}


def npz_bytes(table: PolicyTable) -> bytes:
    """The content of the .npz file, not compressed."""
    content = io.BytesIO()
    np.savez(content, **arrays(table))  # pyright: ignore[reportArgumentType] (names are not its options)
    return content.getvalue()
