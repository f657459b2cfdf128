"""Best bid/ask quotes and trades: what was recorded, checked and cleaned, every repair counted.

Two tables of one market, from one recorder (their local clocks must be the same clock):

    quotes  local_ts_ns, exch_ts_ms, bid_px, bid_qty, ask_px, ask_qty     one row per change of the best bid
    or ask trades  local_ts_ns, exch_ts_ms, price, qty, aggressor                aggressor +1: a buyer took,
    -1: a seller took

Columns are found by their names in the first line; others are ignored. Prices are in the price unit of the
market, sizes in whatever the venue counts (coins, contracts), `local_ts_ns` in nanoseconds. `exch_ts_ms` may
be absent or 0. A quote holds from its local time until the next quote.
"""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

QUOTE_COLUMNS = {"local_ts_ns": int, "bid_px": float, "ask_px": float}
TRADE_COLUMNS = {"local_ts_ns": int, "price": float, "qty": float, "aggressor": float}
OPTIONAL_TRADE_COLUMNS = {"exch_ts_ms": int}


class MarketDataError(ValueError):
    """Market data that no repair can make usable; the text names the file, the place, and what to do."""


@dataclass(frozen=True)
class Repair:
    """Something found in the data and dealt with: how many rows (or gaps) of what."""

    source: str
    count: int
    what: str

    def __str__(self) -> str:
        return f"{self.source}: {self.count:,} {self.what}"


@dataclass(frozen=True, eq=False)
class Quotes:
    """Cleaned best bid/ask quotes, sorted by local time; make them with `Quotes.clean` or `read_quotes`.

    time_ns: local time, ns; bid, ask: price units, 0 < bid < ask.
    """

    time_ns: Int[np.ndarray, "quote"]
    bid: Float[np.ndarray, "quote"]
    ask: Float[np.ndarray, "quote"]
    source: str = "quotes"
    repairs: tuple[Repair, ...] = ()

    @property
    def mid(self) -> Float[np.ndarray, "quote"]:
        return 0.5 * (self.bid + self.ask)

    @classmethod
    def clean(cls, time_ns: ArrayLike, bid: ArrayLike, ask: ArrayLike, source: str = "quotes") -> "Quotes":
        """Quotes from columns of equal length; raises MarketDataError when nothing usable remains."""
        columns = {
            "local_ts_ns": np.asarray(time_ns, dtype=np.int64),
            "bid_px": np.asarray(bid, dtype=np.float64),
            "ask_px": np.asarray(ask, dtype=np.float64),
        }
        cleaning = _Cleaning(columns, source)
        cleaning.drop(
            ~(_is_price(cleaning["bid_px"]) & _is_price(cleaning["ask_px"])),
            "rows dropped whose bid or ask is missing, not a number, or not above 0",
        )
        crossed = cleaning["bid_px"] >= cleaning["ask_px"]
        if crossed.size and crossed.mean() > 0.5:
            raise MarketDataError(
                f"{source}: the bid is at or above the ask in {crossed.sum():,} of {crossed.size:,} rows; a "
                "best bid lies below the best ask. Check that the columns bid_px and ask_px are not "
                "exchanged."
            )
        cleaning.drop(crossed, "rows dropped whose bid is at or above the ask (crossed or locked)")
        cleaning.sort()
        cleaning.drop_repeated("rows dropped that repeat the time and both prices of the row before")
        if len(cleaning) < 2:
            raise MarketDataError(
                f"{source}: {len(cleaning)} usable quotes; at least 2 are needed.{cleaning.history()}"
            )
        return cls(
            cleaning["local_ts_ns"], cleaning["bid_px"], cleaning["ask_px"], source, tuple(cleaning.repairs)
        )


@dataclass(frozen=True, eq=False)
class Trades:
    """Cleaned trades, sorted by local time; make them with `Trades.clean` or `read_trades`.

    time_ns: local time, ns; exchange_ms: 0 where unknown; price: price units; size: as the venue counts;
    aggressor: +1 a buyer took, -1 a seller took.
    """

    time_ns: Int[np.ndarray, "trade"]
    exchange_ms: Int[np.ndarray, "trade"]
    price: Float[np.ndarray, "trade"]
    size: Float[np.ndarray, "trade"]
    aggressor: Int[np.ndarray, "trade"]
    source: str = "trades"
    repairs: tuple[Repair, ...] = ()

    @classmethod
    def clean(
        cls,
        time_ns: ArrayLike,
        price: ArrayLike,
        size: ArrayLike,
        aggressor: ArrayLike,
        exchange_ms: ArrayLike | None = None,
        source: str = "trades",
    ) -> "Trades":
        """Trades from columns of equal length; raises MarketDataError when nothing usable remains."""
        time = np.asarray(time_ns, dtype=np.int64)
        columns = {
            "local_ts_ns": time,
            "exch_ts_ms": np.zeros_like(time)
            if exchange_ms is None
            else np.asarray(exchange_ms, dtype=np.int64),
            "price": np.asarray(price, dtype=np.float64),
            "qty": np.asarray(size, dtype=np.float64),
            "aggressor": np.asarray(aggressor, dtype=np.float64),
        }
        cleaning = _Cleaning(columns, source)
        cleaning.drop(
            ~(_is_price(cleaning["price"]) & _is_price(cleaning["qty"])),
            "rows dropped whose price or size is missing, not a number, or not above 0",
        )
        cleaning.drop(
            np.abs(cleaning["aggressor"]) != 1.0, "rows dropped whose aggressor is neither 1 nor -1"
        )
        cleaning.sort()
        cleaning.drop_repeated("rows dropped that repeat the row before in every column")
        if not len(cleaning):
            raise MarketDataError(f"{source}: no usable trades.{cleaning.history()}")
        return cls(
            cleaning["local_ts_ns"],
            cleaning["exch_ts_ms"],
            cleaning["price"],
            cleaning["qty"],
            cleaning["aggressor"].astype(np.int8),
            source,
            tuple(cleaning.repairs),
        )


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
        columns.get("exch_ts_ms"),
        source=Path(path).name,
    )


def _is_price(values: Float[np.ndarray, "row"]) -> Bool[np.ndarray, "row"]:
    return np.isfinite(values) & (values > 0.0)


class _Cleaning:
    """Columns under repair, and the count of everything repaired so far."""

    def __init__(self, columns: Mapping[str, np.ndarray], source: str):
        lengths = {name: values.shape for name, values in columns.items()}
        if len(set(lengths.values())) != 1 or any(len(shape) != 1 for shape in lengths.values()):
            raise MarketDataError(
                f"{source}: columns must be flat and of equal length; their shapes are {lengths}."
            )
        self.columns = dict(columns)
        self.source = source
        self.repairs: list[Repair] = []

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["local_ts_ns"])

    def drop(self, unusable: Bool[np.ndarray, "row"], what: str) -> None:
        if count := int(unusable.sum()):
            self.columns = {name: values[~unusable] for name, values in self.columns.items()}
            self.repairs.append(Repair(self.source, count, what))

    def sort(self) -> None:
        time = self.columns["local_ts_ns"]
        if early := int((np.diff(time) < 0).sum()):
            order = np.argsort(time, kind="stable")
            self.columns = {name: values[order] for name, values in self.columns.items()}
            self.repairs.append(
                Repair(self.source, early, "rows earlier than the row before; sorted by local_ts_ns")
            )

    def drop_repeated(self, what: str) -> None:
        repeated = np.zeros(len(self), dtype=bool)
        if len(self) > 1:
            repeated[1:] = np.logical_and.reduce(
                [values[1:] == values[:-1] for values in self.columns.values()]
            )
        self.drop(repeated, what)

    def history(self) -> str:
        return "".join(f" {repair.count:,} {repair.what}." for repair in self.repairs)


def _read_columns(
    path: Path, required: Mapping[str, type], optional: Mapping[str, type]
) -> dict[str, np.ndarray]:
    """The named columns of a CSV file: int64 for int, float64 for float; an empty number is NaN."""
    text = _read_text(path)
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


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8")
    except FileNotFoundError:
        raise MarketDataError(f"{path}: no such file.") from None
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise MarketDataError(f"{path}: cannot be read, it may be cut off or damaged ({error}).") from None
    except UnicodeDecodeError as error:
        raise MarketDataError(
            f"{path}: byte {error.start:,} is not text; expected CSV, plain or gzipped."
        ) from None


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
