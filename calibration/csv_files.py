"""CSV files of best bid/ask quotes and of trades, plain or gzipped.

    quotes  local_ts_ns, exch_ts_ms, bid_px, bid_qty, ask_px, ask_qty  a row per change of the best bid or ask
    trades  local_ts_ns, exch_ts_ms, price, qty, aggressor             aggressor +1 a buyer took, -1 a seller

Columns are found by their names in the first line; others are ignored. `local_ts_ns` is in nanoseconds,
`exch_ts_ms` in milliseconds; it may be absent or 0.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades
from quotegrid.calibration.text_files import read_text

QUOTE_COLUMNS = {"local_ts_ns": int, "bid_px": float, "ask_px": float}
TRADE_COLUMNS = {"local_ts_ns": int, "price": float, "qty": float, "aggressor": float}
OPTIONAL_TRADE_COLUMNS = {"exch_ts_ms": int}
MILLISECOND = 1_000_000


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
    text = read_text(path)
    header = text[: text.find("\n")] if "\n" in text else text
    if not header.strip():
        raise MarketDataError(f"{path}: the file is empty; expected a first line with {', '.join(required)}.")
    names = [name.strip() for name in header.lstrip("\ufeff").split(",")]
    if missing := [name for name in required if name not in names]:
        raise MarketDataError(
            f"{path}: line 1 names no column {', '.join(missing)}; it reads {header.strip()[:120]!r}. Needed "
            f"are {', '.join(required)}."
        )
    wanted = {**required, **{name: kind for name, kind in optional.items() if name in names}}
    types = np.dtype([(name, np.int64 if kind is int else np.float64) for name, kind in wanted.items()])
    if not text[len(header) :].strip():
        raise MarketDataError(f"{path}: there is no row below the header; record some data first.")
    try:
        rows = np.loadtxt(
            io.StringIO(text),
            dtype=types,
            delimiter=",",
            skiprows=1,
            usecols=[names.index(name) for name in wanted],
            comments=None,
            ndmin=1,
        )
    except ValueError:
        return _read_slowly(path, text, names, wanted)
    return {name: np.ascontiguousarray(rows[name]) for name in wanted}


def _read_slowly(
    path: Path, text: str, names: Sequence[str], wanted: Mapping[str, type]
) -> dict[str, np.ndarray]:
    """The same, row by row: empty numbers become NaN, and what cannot be read is named with its line."""
    columns: dict[str, list[float]] = {name: [] for name in wanted}
    lines = csv.reader(io.StringIO(text))
    next(lines)
    for fields in lines:
        if not fields:
            continue
        if len(fields) < len(names):
            raise MarketDataError(
                f"{path}, line {lines.line_num}: {len(fields)} fields where the header names {len(names)}; "
                "the file may have been cut off while it was written."
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
            columns[name].append(value)
    return {
        name: np.array(columns[name], dtype=np.int64 if kind is int else np.float64)
        for name, kind in wanted.items()
    }
