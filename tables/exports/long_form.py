"""A table in long form: one row for each state and flow, for spreadsheets, databases and data frames.

    columns   time, regime, factor_<name>, parameters by path, inventories (each where the table has it),
              flow, name, side, size, symbol, offset, value, hedge_rate, market_order (for each symbol)

Axes run as in the table, the last one fastest, then the flows. An offset that is off is missing: an empty
cell of the CSV file. Numbers have as many digits as bring back every bit.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable


class Column(NamedTuple):
    """One column, [state and flow]; floats are NaN where there is nothing."""

    name: str
    unit: str
    entries: NDArray[Any]


def named_axes(table: PolicyTable) -> dict[str, NDArray[np.float64]]:
    """The axes but that of the regimes by names that no other column has."""
    time = {} if table.times is None else {"time": table.times}
    factors = {f"factor_{axis.name}": axis.nodes for axis in table.factors}
    parameters = {axis.name: axis.nodes for axis in table.parameter_axes}
    return time | factors | parameters | dict(zip(table.inventory_names, table.inventories, strict=True))


def columns(table: PolicyTable) -> list[Column]:
    """The columns of the long form, all of one length."""
    shape = (*table.lattice_shape, len(table.flows))

    def spread(entries: Any, place: int) -> NDArray[Any]:
        """Entries along one axis of the table, repeated along all others."""
        by_axis = np.asarray(entries).reshape([-1 if axis == place else 1 for axis in range(len(shape))])
        return np.broadcast_to(by_axis, shape).ravel()

    def of_state(numbers: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(numbers[..., None], shape).ravel()

    money = money_unit(table.price_unit)
    found = []
    places = [place for place in range(len(shape) - 1) if place != table.regime_axis]
    axis_units = {"time": table.time_unit, **dict.fromkeys(table.inventory_names, "lots")}
    for place, (name, nodes) in zip(places, named_axes(table).items(), strict=True):
        found.append(Column(name, axis_units.get(name, ""), spread(nodes, place)))
    if table.regime_axis is not None:
        found.insert(table.regime_axis, Column("regime", "", spread(table.regimes, table.regime_axis)))
    last, flows = len(shape) - 1, table.flows
    found += [
        Column("flow", "", spread(table.flow_labels, last)),
        Column("name", "", spread([flow.name for flow in flows], last)),
        Column("side", "", spread([flow.side for flow in flows], last)),
        Column("size", "lots", spread([flow.size for flow in flows], last)),
        Column("symbol", "", spread([table.symbols[flow.asset] for flow in flows], last)),
        Column("offset", table.price_unit, table.offset.ravel()),
        Column("value", money, of_state(table.value)),
    ]
    units = {"hedge_rate": f"units of the asset per {table.time_unit}", "market_order": "lots"}
    for name, unit in units.items():
        numbers = getattr(table, name)
        if numbers is not None:
            one = len(table.symbols) == 1
            for asset, symbol in enumerate(table.symbols):
                own = name if one else f"{name}_{symbol}"
                found.append(Column(own, unit, of_state(numbers[..., asset])))
    return found


def csv_pieces(table: PolicyTable) -> Iterator[bytes]:
    """The CSV file (RFC 4180, UTF-8), a header and a row for each state and flow."""
    found = columns(table)
    lists = [column.entries.tolist() for column in found]
    for numbers in lists:
        for row, number in enumerate(numbers):
            if number != number:  # off
                numbers[row] = None
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([column.name for column in found])
    writer.writerows(zip(*lists, strict=True))
    yield text.getvalue().encode()
