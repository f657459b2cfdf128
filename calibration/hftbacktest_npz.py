"""Event arrays of hftbacktest, `.npz` (under the name `data`) or `.npy`.

    ev        what happened, in the lowest byte: 1 level of the book, 2 trade, 3 levels cleared, 4 level of a
              snapshot, 5 best bid or ask; 103 and 104 best bid and best ask, as its converter of Binance
              streams writes them
              flags: 1<<31 valid at the exchange's time, 1<<30 valid at the local time, 1<<29 buy (bid, or a
              buyer took), 1<<28 sell
    exch_ts, local_ts   times in ns      px, qty   price and quantity      (order_id, ival, fval are not used)

Events that are valid at the local time count, in its order. Best prices come from events 5 (or 103, 104)
where there are any, else from the levels of the book.
"""

import zipfile
import zlib
from collections.abc import Iterator
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from quotegrid.calibration.market_data import (
    EARLIEST,
    LATEST,
    MarketDataError,
    Quotes,
    Repair,
    Trades,
    wrong_unit,
)
from quotegrid.calibration.order_book import ASK, BID, OrderBook, QuoteTape

LOCAL, BUY, SELL, KIND = 1 << 30, 1 << 29, 1 << 28, 0xFF
DEPTH, TRADE, CLEAR, SNAPSHOT, BEST, BEST_BID, BEST_ASK = 1, 2, 3, 4, 5, 103, 104
FIELDS = ("ev", "exch_ts", "local_ts", "px", "qty")


def read_hftbacktest(path: str | Path) -> tuple[Quotes, Trades]:
    """Quotes and trades of one file; raises MarketDataError where it is no event array or tells no market."""
    path = Path(path)
    events, repairs = _events(path), []
    flags = events["ev"].astype(np.int64)
    local = (flags & LOCAL) != 0
    if local.any() and not local.all():
        events, flags = events[local], flags[local]
    kind, side = flags & KIND, np.where(flags & BUY, BID, np.where(flags & SELL, ASK, 0))
    time = events["local_ts"].astype(np.int64)
    wrong = (time < EARLIEST) | (time >= LATEST)
    if wrong.any():
        row = int(wrong.argmax())
        raise MarketDataError(
            f"{path}: local_ts of event {row} (of those valid at the local time) is {time[row]}; "
            f"{wrong_unit(float(time[row]), 'nanoseconds')}"
        )
    if early := int((np.diff(time) < 0).sum()):
        order = np.argsort(time, kind="stable")
        events, kind, side, time = events[order], kind[order], side[order], time[order]
        repairs.append(Repair(path.name, early, "events earlier than the one before; sorted by local_ts"))

    bad = np.isin(kind, (DEPTH, SNAPSHOT, BEST, BEST_BID, BEST_ASK)) & ~(
        np.isfinite(events["px"]) & np.isfinite(events["qty"]) & (events["px"] > 0.0)
    )
    if bad.any():
        repairs.append(
            Repair(
                path.name,
                int(bad.sum()),
                "levels dropped whose price or quantity is no number, or not above 0",
            )
        )
        events, kind, side, time = events[~bad], kind[~bad], side[~bad], time[~bad]
    side = np.where(kind == BEST_BID, BID, np.where(kind == BEST_ASK, ASK, side))
    quotes = _best_prices(events, kind, side, time) or _book(events, kind, side, time)
    if not quotes.time_ns:
        raise MarketDataError(
            f"{path}: of {len(events):,} events none tells a level of the book or a best price; convert the "
            "data with their depth."
        )
    traded = kind == TRADE
    if not traded.any():
        raise MarketDataError(
            f"{path}: of {len(events):,} events none is a trade; convert the data with their trades."
        )
    return quotes.quotes(path.name, repairs), _trades(events, traded, side, time, path.name)


def _trades(
    events: np.ndarray,
    traded: Bool[np.ndarray, "event"],
    side: Int[np.ndarray, "event"],
    time: Int[np.ndarray, "event"],
    source: str,
) -> Trades:
    return Trades.clean(
        time[traded],
        events["px"][traded],
        events["qty"][traded],
        side[traded],
        events["exch_ts"][traded].astype(np.int64),
        source,
    )


def _best_prices(
    events: np.ndarray, kind: np.ndarray, side: np.ndarray, time: np.ndarray
) -> QuoteTape | None:
    """Quotes from events that tell a best price; None where there are none."""
    best = np.isin(kind, (BEST, BEST_BID, BEST_ASK)) & (side != 0)
    if not best.any():
        return None
    tape, prices = QuoteTape(), {BID: nan, ASK: nan}
    rows = _rows(best, time, side, events["px"])
    before: int | None = None
    for now, on, price in rows:
        if before is not None and now != before and prices[BID] == prices[BID] and prices[ASK] == prices[ASK]:
            tape.write(before, prices[BID], prices[ASK])
        prices[on], before = price, now
    if before is not None and prices[BID] == prices[BID] and prices[ASK] == prices[ASK]:
        tape.write(before, prices[BID], prices[ASK])
    return tape


def _book(events: np.ndarray, kind: np.ndarray, side: np.ndarray, time: np.ndarray) -> QuoteTape:
    """Quotes of the book after all events of one local time, as these arrived in one message."""
    used = np.isin(kind, (DEPTH, SNAPSHOT, CLEAR))
    rows = _rows(used, time, kind, side, events["px"], events["qty"])
    book, tape = OrderBook(), QuoteTape()
    before: int | None = None
    for now, what, on, price, quantity in rows:
        if before is not None and now != before:
            tape.write(before, book.best(BID), book.best(ASK))
        before = now
        if what == CLEAR:
            for each in (on,) if on else (BID, ASK):
                book.clear(each, price if on and price > 0.0 else nan)
        elif on:
            book.put(on, price, quantity)
    if before is not None:
        tape.write(before, book.best(BID), book.best(ASK))
    return tape


def _rows(used: Bool[np.ndarray, "event"], *columns: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """The used rows of some columns as Python's numbers, a million events at a time: they take much room."""
    for begin in range(0, len(used), 1 << 20):
        part = slice(begin, begin + (1 << 20))
        yield from zip(*(column[part][used[part]].tolist() for column in columns), strict=True)


def _events(path: Path) -> np.ndarray:
    """The event array of a file."""
    names: list[str] = []
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.lib.npyio.NpzFile):
                names = found.files
                found = found["data"] if "data" in names else None
    except FileNotFoundError:
        raise MarketDataError(f"{path}: no such file.") from None
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise MarketDataError(f"{path}: cannot be read, it may be cut off or damaged ({error}).") from None
    if found is None:
        raise MarketDataError(
            f"{path}: holds {', '.join(names) or 'no array'}; hftbacktest keeps its events under the name "
            "data."
        )
    if not isinstance(found, np.ndarray) or found.ndim != 1:
        raise MarketDataError(f"{path}: holds no list of events; convert the data once more.")
    fields = found.dtype.names or ()
    if missing := [name for name in FIELDS if name not in fields]:
        raise MarketDataError(
            f"{path}: the array has no field {', '.join(missing)}; it has {', '.join(fields) or 'none'}. An "
            f"event array of hftbacktest 2 has {', '.join(FIELDS)}."
        )
    if odd := [name for name in FIELDS if found.dtype[name].kind not in "iuf"]:
        raise MarketDataError(
            f"{path}: the field {', '.join(odd)} holds {found.dtype[odd[0]]}, not numbers; convert the data "
            "once more."
        )
    if not len(found):
        raise MarketDataError(f"{path}: the event array is empty; record some data first.")
    return found
