"""The numbers of a stored problem with unit and source, for the model-risk page (`document`)."""

import json
from collections.abc import Iterator
from typing import NamedTuple

from quotegrid.tables.documents.table_entries import Nodes, table_entries
from quotegrid.tables.policy_table import PolicyTable

# by the end of a path; of an intensity, by its kind and name
UNITS = {
    "market.lot_size": "units of the asset",
    "market.tick_size": "{price}",
    "inventory.max": "lots",
    "inventory.min": "lots",
    "inventory.target": "lots",
    "price.volatility": "{price} per √{time}",
    "price.drift": "{price} per {time}",
    "price.carry": "{price} per {time}",
    "price.reference": "{price}",
    "preferences.risk_aversion": "per {money}",
    "preferences.hamiltonian_risk_aversion": "per {money}",
    "preferences.running_penalty": "{money} per unit² and {time}",
    "adverse.jump": "{price}",
    "adverse.arrival_rate": "per {time}",
    "fee": "{price}",
    "proportional_fee": "1",
    "min_offset": "{price}",
    "max_offset": "{price}",
    "tick": "{price}",
    "size": "lots",
    "horizon.duration": "{time}",
    "horizon.rate": "per {time}",
    "terminal.quadratic": "{money} per unit²",
    "terminal.absolute": "{price}",
    "exponential.A": "per {time}",
    "exponential.k": "per {price}",
    "logistic.A": "per {time}",
    "logistic.a": "1",
    "logistic.b": "per {price}",
    "power.A": "per {time}",
    "power.d": "{price}",
    "power.k": "1",
    "linear.A": "per {time}",
    "linear.d": "{price}",
    "table.offset": "{price}",
    "table.rate": "per {time}",
    "table.log_rate": "ln of fills per {time}",
}


class Parameter(NamedTuple):
    """One number of the problem, or one list of them."""

    path: str
    value: str  # with its standard error, where one is stated
    unit: str
    source: str


def parameters(table: PolicyTable, money: str) -> list[Parameter]:
    """Every number of the problem, in its order; `money` is the unit of values."""
    problem = json.loads(table.problem_json)
    stated = problem.get("uncertainty", {})
    errors = dict(zip(stated.get("parameters", ()), stated.get("standard_error", ()), strict=False))
    entries = table_entries(table)
    found = []
    for path, part in entries.items():
        numbers = part if isinstance(part, list) else [part]
        if (
            path == "format"
            or not numbers
            or not all(type(number) in (int, float, Nodes) for number in numbers)
        ):
            continue
        own = [
            errors.get(path) if part is not numbers else errors.get(f"{path}.{i}")
            for i in range(len(numbers))
        ]
        shown = ", ".join(_with_error(number, error) for number, error in zip(numbers, own, strict=True))
        source = "stated" if not any(own) else "estimated, ± one standard error"
        if any(isinstance(number, Nodes) for number in numbers):
            source = "told at each lookup"
        unit = unit_of(path, entries).format(price=table.price_unit, time=table.time_unit, money=money)
        found.append(Parameter(path, shown, unit, source))
    return found


def unit_of(path: str, entries: dict[str, object]) -> str:
    """The unit of a number, with {price}, {time}, {money} in place of the problem's; empty where none is "
    "known."""
    block, _, name = path.rpartition(".")
    kind = entries.get(f"{block}.kind", "exponential" if block.endswith("intensity") else None)
    ends = (f"{kind}.{name}", ".".join(path.split(".")[-2:]), name)
    return next((UNITS[end] for end in ends if end in UNITS), "")


def unmatched_errors(table: PolicyTable) -> Iterator[str]:
    """Parameters with a stated standard error that are no number of the problem by this very path."""
    problem = json.loads(table.problem_json)
    entries = table_entries(table)
    stated = problem.get("uncertainty", {})
    for path, error in zip(stated.get("parameters", ()), stated.get("standard_error", ()), strict=False):
        if path not in entries and path.rpartition(".")[0] not in entries:
            yield f"{path}: standard error {error:g}"


def _with_error(number: object, error: float | None) -> str:
    shown = str(number) if isinstance(number, Nodes) else f"{number:.10g}"
    return shown if error is None else f"{shown} ± {error:.2g}"
