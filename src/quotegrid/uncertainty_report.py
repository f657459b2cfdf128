"""Uncertain quotes on one screen and as JSON, for `quotegrid uncertainty`."""

import math
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quotegrid.analysis.quotes import inventory_unit, quote_pairs, reference
from quotegrid.analysis.uncertain_quotes import TWO_SIDED_95, UncertainQuotes
from quotegrid.calibration.error_text import with_error
from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable

ROWS_SHOWN = 9
HELD = 1e-9  # of a quote: a narrower band is none


def uncertainty_report(found: UncertainQuotes) -> RenderableType:
    """The quotes of the smallest size with 95 % bands at a few inventories, and what to measure better."""
    table = PolicyTable.from_solution(found.solution)
    start = () if table.times is None else (0,)
    when = "" if table.times is None else f" at t = {table.times[0]:g} {table.time_unit}"
    money, pair = money_unit(table.price_unit), quote_pairs(table)[0]
    parts: list[RenderableType] = [
        Text(f"{table.symbols[0]}: what errors of the parameters do{when}", style="bold")
    ]
    parts.append("")
    title = f"Distances from the {reference(table)} ({table.price_unit}), with 95 % bands"
    parts.append(Text(title))
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column(f"inventory\n({inventory_unit(table)})", justify="right")
    for word in ("bid offset", "ask offset"):
        shown.add_column(word, justify="right")
    offset, (low, high) = table.offset[start], (edge[start] for edge in found.band())
    axis = table.inventories[0]
    for row in sorted({int(x) for x in np.rint(np.linspace(0, len(axis) - 1, min(ROWS_SHOWN, len(axis))))}):
        cells = (
            _with_band(*(float(of(numbers)[row]) for numbers in (offset, low, high)))
            for of in (pair.bid_offset, pair.ask_offset)
        )
        shown.add_row(f"{axis[row]:g}", *cells)
    parts.append(shown)
    if found.gain_error is not None and found.solution.gain is not None:
        gain = with_error(found.solution.gain, TWO_SIDED_95 * found.gain_error)
        parts.append(Text(f"gain {gain} {money} per {table.time_unit} (95 %)"))
    parts += ["", Text("What to measure better: the part of the variance that goes if it is known exactly")]
    return Group(*parts, _sources(found))


def _sources(found: UncertainQuotes) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("parameter")
    shown.add_column("of the quotes", justify="right")
    if found.gain_error is not None:
        shown.add_column("of the gain", justify="right")
    for source in found.ranking:
        shares = [source.of_quotes] + ([] if source.of_gain is None else [source.of_gain])
        shown.add_row(source.name, *(f"{share:.1%}" for share in shares))
    return shown


def to_json(found: UncertainQuotes) -> dict[str, Any]:
    """Standard errors and both edges of the 95 % bands by flow, over time (if any) and inventory, and the
    ranking; null: off.
    """
    table = PolicyTable.from_solution(found.solution)
    return {
        "inventory": [axis.tolist() for axis in table.inventories],
        "time": None if table.times is None else table.times.tolist(),
        "offset": {label: _plain(table.offset[..., flow]) for flow, label in enumerate(table.flow_labels)},
        "offset_error": {
            label: _plain(found.offset_error[..., flow]) for flow, label in enumerate(table.flow_labels)
        },
        "band": {
            label: [_plain(edge[..., flow]) for edge in found.band()]
            for flow, label in enumerate(table.flow_labels)
        },
        "value_error": _plain(found.value_error),
        "gain": table.gain,
        "gain_error": found.gain_error,
        "ranking": [source._asdict() for source in found.ranking],
    }


def _plain(numbers: Any) -> Any:
    if np.ndim(numbers):
        return [_plain(number) for number in numbers]
    return float(numbers) if np.isfinite(numbers) else None


def _with_band(number: float, low: float, high: float) -> str:
    """A quote and the ends of its band, to the digits that the band leaves meaningful."""
    if math.isnan(number):
        return "off"
    if high - low <= HELD * abs(number):
        return f"{number:.4g} (held)"
    decimals = max(0, 1 - math.floor(math.log10((high - low) / 2.0)))
    return f"{number:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"
