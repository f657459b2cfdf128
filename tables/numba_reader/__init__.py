"""Tables inside functions that Numba compiles, such as a strategy of hftbacktest.

    table = jitted_table(read_safetensors("eth.safetensors"), between="towards_flat")
    corners = new_corners()

    @njit
    def strategy(table, corners, …):
        if look_up(table, corners, lots) == 0:
            bid = reference - offset(table, corners, 0)

Loading and checking is left to `read_safetensors`. What is compiled raises nothing, allocates nothing and
counts no references; it is made part of the function that calls it, and gives the same bits as all readers.
Needs Numba, which `quotegrid.tables` itself does not.
"""

from quotegrid.tables.numba_reader.jitted_table import JittedTable, jitted_table
from quotegrid.tables.numba_reader.lookup import (
    BETWEEN_NODES,
    NOT_A_NUMBER,
    OUTSIDE_BOX,
    UNKNOWN_REGIME,
    WRONG_COORDINATES,
    hedge_rate,
    is_quoted,
    look_up,
    market_order,
    new_corners,
    offset,
    value,
)
from quotegrid.tables.numba_reader.prices import (
    CROSSED_MARKET,
    CROSSED_QUOTES,
    EXPIRED,
    OUTSIDE_PRICE_BOX,
    TOO_EARLY,
    JittedQuoter,
    jitted_quoter,
    look_up_prices,
    new_prices,
)
from quotegrid.tables.numba_reader.shifts import shifted_gain, shifted_offset, shifted_value

__all__ = [
    "BETWEEN_NODES",
    "CROSSED_MARKET",
    "CROSSED_QUOTES",
    "EXPIRED",
    "NOT_A_NUMBER",
    "OUTSIDE_BOX",
    "OUTSIDE_PRICE_BOX",
    "TOO_EARLY",
    "UNKNOWN_REGIME",
    "WRONG_COORDINATES",
    "JittedQuoter",
    "JittedTable",
    "hedge_rate",
    "is_quoted",
    "jitted_quoter",
    "jitted_table",
    "look_up",
    "look_up_prices",
    "market_order",
    "new_corners",
    "new_prices",
    "offset",
    "shifted_gain",
    "shifted_offset",
    "shifted_value",
    "value",
]
