"""A table as an xarray Dataset, for research: what the archive holds, without a file."""

import xarray

from quotegrid.tables.archive import attributes, coordinates, variables
from quotegrid.tables.policy_table import PolicyTable


def to_xarray(table: PolicyTable) -> xarray.Dataset:
    """The Dataset of a table; `xarray.open_dataset` of its archive holds the same.

    Dimensions: `time` (finite horizon only), `inventory` (`inventory_<symbol>` for several assets), `flow`
    (coordinates name, side, size, symbol) and `asset`. Variables: `offset` and `value`, and where they apply
    `hedge_rate`, `market_order` and `gain`; each has units and a description. The arrays are the table's own
    and read-only.
    """
    return xarray.Dataset(
        data_vars={name: tuple(variable) for name, variable in variables(table).items()},
        coords={name: tuple(variable) for name, variable in coordinates(table).items()},
        attrs=attributes(table),
    )
