"""CSV files of best bid/ask quotes and of trades, plain or gzipped.

    quotes  local_ts_ns, exch_ts_ms, bid_px, bid_qty, ask_px, ask_qty  a row per change of the best bid or ask
    trades  local_ts_ns, exch_ts_ms, price, qty, aggressor             aggressor +1 a buyer took, -1 a seller

Columns are found by their names in the first line; others are ignored. `local_ts_ns` is in nanoseconds
since 1970, `exch_ts_ms` in milliseconds; it may be absent or 0.
"""

import csv
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from quotegrid.calibration.market_data import EARLIEST, LATEST, MarketDataError, Quotes, Trades, wrong_unit
from quotegrid.calibration.text_files import text_lines

QUOTE_COLUMNS = {"local_ts_ns": int, "bid_px": float, "ask_px": float}
TRADE_COLUMNS = {"local_ts_ns": int, "price": float, "qty": float, "aggressor": float}
OPTIONAL_TRADE_COLUMNS = {"exch_ts_ms": int}
MILLISECOND = 1_000_000
UNITS = {"local_ts_ns": 1, "exch_ts_ms": MILLISECOND}
REST = "the last column"


def read_quotes(path: str | Path) -> Quotes:
    """Read and clean best bid/ask quotes from a CSV file, gzipped or not."""
    columns = _read_columns(Path(path), QUOTE_COLUMNS, {})
    return Quotes.clean(columns["local_ts_ns"], columns["bid_px"], columns["ask_px"], source=Path(path).name)


def read_trades(path: str | Path) -> Trades:
    """Read and clean trades from a CSV file, gzipped or not."""
    columns = _read_columns(Path(path), TRADE_COLUMNS, OPTIONAL_TRADE_COLUMNS)
    return Trades.clean(
        columns["local_ts_ns"],
        columns["price"],
        columns["qty"],
        columns["aggressor"],
        MILLISECOND * columns["exch_ts_ms"] if "exch_ts_ms" in columns else None,
        source=Path(path).name,
    )


def _read_columns(
    path: Path, required: Mapping[str, type], optional: Mapping[str, type]
) -> dict[str, np.ndarray]:
    """The named columns of a CSV file: int64 for int, float64 for float; an empty number is NaN."""
    with text_lines(path) as lines:
        header = next(lines, "")
        if not header.strip():
            raise MarketDataError(
                f"{path}: the file is empty; expected a first line with {', '.join(required)}."
            )
        names = [name.strip() for name in header.split(",")]
        if missing := [name for name in required if name not in names]:
            raise MarketDataError(
                f"{path}: line 1 names no column {', '.join(missing)}; it reads {header.strip()[:120]!r}. "
                f"Needed are {', '.join(required)}."
            )
        wanted = {**required, **{name: kind for name, kind in optional.items() if name in names}}
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise MarketDataError(f"{path}: there is no row below the header; record some data first.")
        types: list[tuple[str, str]] = [
            (name, "i8" if kind is int else "f8") for name, kind in wanted.items()
        ]
        places = [names.index(name) for name in wanted]
        if len(names) - 1 not in places:  # a row that is cut off lacks its last field, needed or not
            types.append((REST, "U1"))
            places.append(len(names) - 1)
        try:
            rows = np.loadtxt(
                chain([first], lines),
                dtype=np.dtype(types),
                delimiter=",",
                usecols=places,
                comments=None,
                ndmin=1,
            )
        except ValueError:
            rows = None
    if rows is not None:
        columns = {name: np.ascontiguousarray(rows[name]) for name in wanted}
        if not any(_no_times(name, columns[name]).any() for name in wanted if name in UNITS):
            return columns
    return _read_slowly(path, names, wanted)


def _read_slowly(path: Path, names: Sequence[str], wanted: Mapping[str, type]) -> dict[str, np.ndarray]:
    """The same, row by row: empty numbers become NaN, and what cannot be read is named with its line."""
    columns: dict[str, list[float]] = {name: [] for name in wanted}
    with text_lines(path) as text:
        lines = csv.reader(text)
        next(lines)
        for fields in lines:
            if not fields:
                continue
            if len(fields) < len(names):
                raise MarketDataError(
                    f"{path}, line {lines.line_num}: {len(fields)} fields where the header names "
                    f"{len(names)}; the file may have been cut off while it was written."
                )
            for name, kind in wanted.items():
                field = fields[names.index(name)].strip()
                try:
                    value = kind(field) if field or kind is int else np.nan
                except ValueError:
                    expected = "a whole number" if kind is int else "a number"
                    raise MarketDataError(
                        f"{path}, line {lines.line_num}: {name} is {field!r}, not {expected}."
                    ) from None
                if name in UNITS and _no_times(name, np.array([value], dtype=np.float64)).any():
                    raise MarketDataError(
                        f"{path}, line {lines.line_num}: {name} is {field}; {_about_unit(name, value)}"
                    )
                columns[name].append(value)
    return {
        name: np.array(columns[name], dtype=np.int64 if kind is int else np.float64)
        for name, kind in wanted.items()
    }


def _no_times(name: str, values: np.ndarray) -> np.ndarray:
    """Which values of a column of times are none."""
    unit = UNITS[name]
    unknown = values == 0 if name in OPTIONAL_TRADE_COLUMNS else np.zeros(len(values), dtype=bool)
    return ~(unknown | ((values >= EARLIEST // unit) & (values < LATEST // unit)))


def _about_unit(name: str, value: float) -> str:
    """What is wrong with a time."""
    return wrong_unit(value * UNITS[name], {1: "nanoseconds", MILLISECOND: "milliseconds"}[UNITS[name]])
