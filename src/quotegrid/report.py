"""The one-screen report of a policy table, for `solve` and `show`.

Quotes at a few inventories, gain, status, method; every number with its unit. Offsets are from the reference
price, positive away from it; the skew is where the middle of bid and ask stands relative to the reference.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quotegrid.analysis.quotes import (
    QuotePair,
    currency,
    inventory_unit,
    nearest_times,
    per_time,
    quote_pairs,
    reference,
)
from quotegrid.tables.parameter_stack import middle_point, point_name
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.validity import axis_ranges, validity_lines

INVENTORIES_SHOWN, INVENTORIES_OF_LADDER = 9, 5
FAILURES_SHOWN = 12
TIMES_SHOWN = (0.0, 0.5, 0.9, 1.0)  # fractions of a finite horizon
COLUMNS = ("bid offset", "ask offset", "spread", "skew")


def report(table: PolicyTable, *, written: str | None = None, seconds: float | None = None) -> RenderableType:
    """What is in a one-asset table, as something rich can print on one screen.

    The quotes of a table over parameters are those at the middle of its parameter axes.
    written: the file the table went to; seconds: how long it took to make, where it was just made.
    Raises `ValueError` for a table of several assets.
    """
    if len(table.symbols) != 1:
        names = ", ".join(table.symbols)
        raise ValueError(f"The report shows one asset; this table has {len(table.symbols)}: {names}.")
    numbers, shown = middle_point(table)
    parts: list[RenderableType] = [_headline(shown, numbers), "", _quotes_over_inventory(shown)]
    if len(quote_pairs(shown)) > 1:
        parts.append(_ladder(shown))
    elif shown.times is not None:
        parts.append(_quotes_over_time(shown, shown.times))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for word, text in _facts(table, written, seconds):
        facts.add_row(word, Text(text))
    return Group(*parts, facts)


def folder_report(entries: Sequence[Mapping[str, Any]], *, folder: str, seconds: float) -> RenderableType:
    """What became of many problems, on one screen: how many have a table, and why the others have none."""
    done = [entry for entry in entries if "table" in entry]
    uncertified = sum(entry["certificate"]["level"] == "none" for entry in done)
    headline = f"{len(done)} of {len(entries)} tables written to {folder} in {seconds:.3g} s"
    lines: list[RenderableType] = [Text(headline, style="bold")]
    if uncertified:
        lines.append(Text(f"{uncertified} of them without a certificate: see the manifest"))
    failed = [entry for entry in entries if "table" not in entry]
    for entry in failed[:FAILURES_SHOWN]:
        lines.append(Text(f"{entry['problem']}: {entry['status']}: {' '.join(entry['message'].split())}"))
    if len(failed) > FAILURES_SHOWN:
        lines.append(Text(f"and {len(failed) - FAILURES_SHOWN} more without a table: see the manifest"))
    return Group(*lines)


def certificate_text(certificate: Mapping[str, Any], price_unit: str, money: str) -> str:
    """The level, and how far value and quotes are from the optimum at most; or why nothing is certified."""
    if certificate["level"] == "none":
        return f"none: {certificate.get('reason', 'no reason is given')}"
    quotes = f"quotes within {certificate['quote_error']:.2g} {price_unit} of the optimum"
    ticks = certificate.get("uncertain_ticks", 0)
    if ticks:
        quotes += f" ({ticks} on a tick whose neighbour may be as good)"
    return f"level {certificate['level']}: value within {certificate['value_error']:.2g} {money}, {quotes}"


def _headline(table: PolicyTable, numbers: Mapping[str, float]) -> Text:
    problem = json.loads(table.problem_json)
    horizon = problem["horizon"]["kind"]
    if table.times is not None:
        horizon += f" horizon of {table.times[-1]:g} {table.time_unit}"
    where = f", at {point_name(numbers)}" if numbers else ""
    return Text(f"{table.symbols[0]}: {problem['preferences']['kind']}, {horizon}{where}", style="bold")


def _quotes_over_inventory(table: PolicyTable) -> Table:
    """Bid, ask, spread and skew of the smallest size at a few inventories, at the start."""
    pairs, decimals, offset = quote_pairs(table), _decimals(table), _at_start(table)
    what = "Quotes" if len(pairs) == 1 else f"Quotes of {pairs[0].name}"
    when = "" if table.times is None else f" at t = {table.times[0]:g} {table.time_unit}"
    shown = _table(f"{what}{when}, as distances from the {reference(table)}")
    shown.add_column(f"inventory\n({inventory_unit(table)})", justify="right")
    _add_quote_columns(shown, table)
    for index in _inventories_shown(table, INVENTORIES_SHOWN if len(pairs) == 1 else INVENTORIES_OF_LADDER):
        shown.add_row(f"{table.inventories[0][index]:g}", *_quotes(pairs[0], offset[index], decimals))
    return shown


def _quotes_over_time(table: PolicyTable, times: np.ndarray) -> Table:
    """Bid, ask, spread and skew at the inventory nearest to zero, at a few stored times."""
    pair, decimals, middle = quote_pairs(table)[0], _decimals(table), _middle(table)
    shown = _table(f"The same at inventory {table.inventories[0][middle]:g} as time passes")
    shown.add_column(f"time\n({table.time_unit})", justify="right")
    _add_quote_columns(shown, table)
    for index in nearest_times(times, TIMES_SHOWN):
        shown.add_row(f"{times[index]:.6g}", *_quotes(pair, table.offset[index, middle], decimals))
    return shown


def _ladder(table: PolicyTable) -> Table:
    """Offsets of every flow at a few inventories, a row a flow."""
    offset, decimals = _at_start(table), _decimals(table)
    positions = _inventories_shown(table, INVENTORIES_OF_LADDER)
    shown = _table(f"Distances of all flows ({table.price_unit}) at inventories ({inventory_unit(table)})")
    shown.add_column("flow")
    shown.add_column("size\n(lots)", justify="right")
    for position in positions:
        shown.add_column(f"{table.inventories[0][position]:g}", justify="right")
    for index, (flow, label) in enumerate(zip(table.flows, table.flow_labels, strict=True)):
        cells = (_number(offset[position, index], decimals) for position in positions)
        shown.add_row(label, f"{flow.size}", *cells)
    return shown


def _facts(table: PolicyTable, written: str | None, seconds: float | None) -> Iterator[tuple[str, str]]:
    """Gain, status, method, residual, time taken, lookup error, certificate, file, as (word, text)."""
    money = currency(table)
    for axis in table.parameter_axes:
        nodes = ", ".join(f"{node:.6g}" for node in axis.nodes)
        yield "parameter", f"{axis.name}: {nodes}"
    if table.gain is not None:
        yield "gain", per_time(table.gain, money, table.time_unit)
    yield "status", table.status if table.status == "converged" else f"{table.status}: {table.status_message}"
    yield "method", f"{table.method}: {table.method_reason}" if table.method_reason else table.method
    if table.times is None:
        yield "residual", f"{table.residual:.2g} {money} per {table.time_unit}, {table.iterations} iterations"
    else:
        yield "residual", f"{table.residual:.2g} {money} in value, {table.iterations} steps"
    if table.lookup_error is not None:
        offset, value = table.lookup_error["offset"], table.lookup_error["value"]
        between = "nodes of the axes" if table.parameter_axes else "stored times"
        errors = f"quotes {offset:.2g} {table.price_unit}, value {value:.2g} {money}"
        yield "lookup error", f"{errors} between {between}"
    at_points = ", at the points of the parameters" if table.parameter_axes else ""
    yield "certificate", certificate_text(table.certificate, table.price_unit, money) + at_points
    for note in table.notes:
        yield "note", note
    if table.box is not None:
        ranges = (f"{name} {low:.6g} to {high:.6g}" for name, (low, high) in axis_ranges(table).items())
        yield "box", ", ".join(ranges)
    if table.price_box is not None or table.start is not None:
        yield "validity", " ".join(validity_lines(table))
    if seconds is not None:
        yield "time taken", f"{seconds:.2f} s"
    if written is not None:
        yield "written", written
    yield "content", f"{table.content_hash[:16]}… by quotegrid {table.package_version}"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)


def _add_quote_columns(shown: Table, table: PolicyTable) -> None:
    for word in COLUMNS:
        shown.add_column(f"{word}\n({table.price_unit})", justify="right")


def _quotes(pair: QuotePair, row: np.ndarray, decimals: int) -> Iterator[str]:
    """Bid offset, ask offset, spread and skew at one state; row: float[flow]."""
    yield _number(float(pair.bid_offset(row)), decimals)
    yield _number(float(pair.ask_offset(row)), decimals)
    yield _number(float(pair.spread(row)), decimals)
    yield _number(float(pair.skew(row)), decimals, sign="+")


def _number(value: float, decimals: int, sign: str = "") -> str:
    """A price to so many decimals, zero without a sign; "off" for NaN."""
    if math.isnan(value):
        return "off"
    rounded = round(value, decimals) + 0.0
    return format(rounded, f"{sign if rounded else ''}.{decimals}f")


def _decimals(table: PolicyTable) -> int:
    """As many as show four digits of a typical offset."""
    offsets = np.abs(table.offset[np.isfinite(table.offset)])
    typical = float(np.median(offsets)) if offsets.size else 0.0
    decimals = 3 - math.floor(math.log10(typical)) if typical > 0 else 4
    return min(max(decimals, 0), 12)


def _inventories_shown(table: PolicyTable, count: int) -> list[int]:
    """Positions of about so many inventories: both limits, the one nearest to zero, and some between."""
    last = table.inventories[0].size - 1
    spread = np.linspace(0, last, min(count, last + 1))
    return sorted({*np.rint(spread).astype(int).tolist(), _middle(table)})


def _middle(table: PolicyTable) -> int:
    """The position of the inventory nearest to zero."""
    return int(np.abs(table.inventories[0]).argmin())


def _at_start(table: PolicyTable) -> np.ndarray:
    """float[inventory, flow]: the offsets at the first stored time, or all of a stationary table."""
    return table.offset if table.times is None else table.offset[0]
