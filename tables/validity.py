"""When and where a table may be used: what its publisher knows and its solver does not (FORMAT.md §3).

    start ≤ now ≤ start + life                    Unix seconds
    low ≤ reference price ≤ high                  for each asset: the price box
    low ≤ coordinate ≤ high                       for each axis but the regimes: the validity box

Readers refuse or clamp outside of the validity box, as chosen at load; outside of the others a guarded quoter
always refuses. All of it is covered by the content hash, so it is stated before a table is signed.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from quotegrid.tables.check import Check
from quotegrid.tables.policy_table import PolicyTable, canonical_numbers

Range = tuple[float, float]


class ValidityError(ValueError):
    """What was stated does not fit the table, and the sentence says why."""


def with_validity(
    table: PolicyTable,
    start: float | None = None,
    life: float | None = None,
    prices: Sequence[Range] | None = None,
    box: Mapping[str, Range] | None = None,
) -> PolicyTable:
    """The same table with another validity; what is None stays as it is.

    Args:
        table: the table.
        start, life: Unix seconds; seconds.
        prices: lowest and highest reference price of each asset, price units.
        box: lowest and highest coordinate by the names of axes (`time`, `inventory`, …); others keep theirs.

    Raises:
        ValidityError: there is no such axis, or not one price range for each asset.
        TableError: box-form, reference-price or life-time.
    """
    changes: dict[str, object] = {}
    if start is not None:
        changes["start"] = float(start)
    if life is not None:
        changes["life"] = float(life)
    if prices is not None:
        if len(prices) != len(table.symbols):
            raise ValidityError(
                f"{len(prices)} ranges of prices were given; one is needed for each of "
                f"{', '.join(table.symbols)}"
            )
        changes["price_box"] = canonical_numbers(np.array(prices, dtype=np.float64))
    if box:
        changes["box"] = canonical_numbers(np.array(_box(table, box)))
    return dataclasses.replace(table, **changes) if changes else table


def axis_ranges(table: PolicyTable) -> dict[str, Range]:
    """The validity box by the names of the axes: their ends, where the table has no box."""
    if table.box is None:
        return {name: (float(nodes[0]), float(nodes[-1])) for name, nodes in table.axes}
    return {axis.name: tuple(row) for axis, row in zip(table.axes, table.box.tolist(), strict=True)}


def life_check(table: PolicyTable, now: float) -> Check:
    """May the table still be used at a time, Unix seconds?"""
    name = "life"
    if table.start is None:
        return Check(name, "not applicable", "the table states no start and no life: it does not age")
    since = f"it may be used from {moment(table.start)}"
    if table.life is None:
        return Check(name, "pass", f"{since}, without end")
    end = table.start + table.life
    if end <= now:
        return Check(
            name, "fail", f"the table expired on {moment(end)}: solve again, or state another --life"
        )
    return Check(name, "pass", f"{since} to {moment(end)}")


def validity_lines(table: PolicyTable) -> Iterator[str]:
    """When and where the table may be used, a sentence each, besides its axes."""
    if table.price_box is not None:
        for symbol, (low, high) in zip(table.symbols, table.price_box.tolist(), strict=True):
            yield f"{symbol}: meant for reference prices from {low:.12g} to {high:.12g} {table.price_unit}."
    if table.start is not None:
        until = "" if table.life is None else f" to {moment(table.start + table.life)} ({table.life:.12g} s)"
        yield f"May be used from {moment(table.start)}{until}."
    if table.life is None:
        yield "The table states no life time: when it is too old is for its users to decide."


def moment(seconds: float) -> str:
    """A Unix time in words, UTC; the number itself where no calendar reaches."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"Unix second {seconds:.12g}"


def _box(table: PolicyTable, wanted: Mapping[str, Range]) -> list[Range]:
    ranges = axis_ranges(table)
    for name in wanted:
        if name not in ranges:
            raise ValidityError(f"the table has no axis {name!r}; it has {', '.join(ranges)}")
    return list({**ranges, **wanted}.values())
