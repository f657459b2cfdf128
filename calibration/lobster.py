"""LOBSTER: a message file and an order book file of one day, without headers, row for row together.

    message    seconds after midnight, type, order id, size, price × 10000, direction of the order (1 a buy)
    orderbook  ask price 1, ask size 1, bid price 1, bid size 1, ask price 2, …  after the message of that row

    type   1 submission   2 partial cancellation   3 deletion   4, 5 execution of a visible, a hidden order
           6 cross trade (an auction)   7 trading halt: price -1 begins it, 0 resumes quoting, 1 trading

An execution of a sell order is a buyer's trade. Prints of one market order share their time stamp, to the
nanosecond. Levels that are empty hold ±9999999999. The date is in the name of the message file
(TICKER_2012-06-21_34200000_57600000_message_10.csv); the times are the exchange's.

Executions of hidden orders are left out: they happen at prices that no quote showed, and how far an order
reached is counted from the touch. So are cross trades, which fill nobody's quote.
"""

import re
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from quotegrid.calibration.market_data import MarketDataError, Quotes, Repair, Trades
from quotegrid.calibration.order_book import two_sided
from quotegrid.calibration.text_files import text_lines

PRICE_UNIT = 1e-4
EMPTY = 9_999_999_999
NANOSECONDS = 1e9
LONGEST_DAY = 90_000.0  # s: 25 hours, when clocks are set back
TIME, TYPE, ORDER, SIZE, PRICE, DIRECTION = range(6)
MESSAGE_COLUMNS = ("time", "type", "order id", "size", "price", "direction")
EXECUTION, HIDDEN, CROSS, HALT = 4, 5, 6, 7


def read_lobster(message_path: str | Path, orderbook_path: str | Path) -> tuple[Quotes, Trades]:
    """Quotes and trades of one day; raises MarketDataError with file and line where the files make no
    sense."""
    paths = Path(message_path), Path(orderbook_path)
    message = _rows(paths[0], 6, MESSAGE_COLUMNS)
    book = _rows(paths[1], 4, ("ask price 1", "ask size 1", "bid price 1", "bid size 1"))
    if len(message) != len(book):
        raise MarketDataError(
            f"{paths[0]} has {len(message):,} rows and {paths[1]} has {len(book):,}; LOBSTER writes one row "
            "of the order book for each message. Take both files of one day and one download."
        )
    source, repairs = paths[0].name, []
    _require_types(paths[0], message)
    repeated = np.zeros(len(message), dtype=bool)
    repeated[1:] = (message[1:] == message[:-1]).all(axis=1) & (book[1:] == book[:-1]).all(axis=1)
    repeated &= message[:, TYPE] <= EXECUTION
    if repeated.any():
        repairs.append(Repair(source, int(repeated.sum()), "messages dropped that repeat the one before"))
        message, book = message[~repeated], book[~repeated]

    midnight = _midnight(paths[0].name)
    if midnight is None:
        midnight = 0
        repairs.append(Repair(source, 1, "date not in the file's name; days count from 1970-01-01"))
    time = midnight + np.rint(message[:, TIME] * NANOSECONDS).astype(np.int64)
    ask, bid = (np.where(np.abs(book[:, i]) >= EMPTY, np.nan, book[:, i] * PRICE_UNIT) for i in (0, 2))
    halts = _halts(message, time)
    if len(halts):
        seconds = float((halts[:, 1] - halts[:, 0]).sum()) / NANOSECONDS
        repairs.append(Repair(source, len(halts), f"trading halts cut, {seconds:.6g} s in all"))
    order = np.argsort(time, kind="stable")
    order = order[np.append(np.diff(time[order]) > 0, True)]  # the book after all messages of one time
    quotes = two_sided(
        time[order],
        np.round(bid[order], 4),
        np.round(ask[order], 4),
        paths[1].name,
        [*_unsorted(time, source)],
        halts,
        "exchange time",
    )
    return quotes, _trades(message, time, source, repairs)


def _trades(
    message: Float[np.ndarray, "row 6"], time: Int[np.ndarray, "row"], source: str, repairs: list[Repair]
) -> Trades:
    for kind, what in (
        (HIDDEN, "executions of hidden orders left out"),
        (CROSS, "cross trades (auctions) left out"),
    ):
        if count := int((message[:, TYPE] == kind).sum()):
            repairs.append(Repair(source, count, what))
    filled = message[:, TYPE] == EXECUTION
    return Trades.clean(
        time[filled],
        np.round(message[filled, PRICE] * PRICE_UNIT, 4),
        message[filled, SIZE],
        -message[filled, DIRECTION],
        time[filled],
        source,
        number=np.flatnonzero(filled),
        repairs=repairs,
    )


def _halts(message: Float[np.ndarray, "row 6"], time: Int[np.ndarray, "row"]) -> Int[np.ndarray, "halt 2"]:
    """From each halt (price -1) to the next resumption of trading (price 1), or to the end of the day."""
    halt = message[:, TYPE] == HALT
    begins, resumes = time[halt & (message[:, PRICE] == -1)], time[halt & (message[:, PRICE] == 1)]
    ends = np.append(resumes, time[-1])
    found = [[begin, ends[np.searchsorted(resumes, begin, side="left")]] for begin in begins]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _unsorted(time: Int[np.ndarray, "row"], source: str) -> list[Repair]:
    early = int((np.diff(time) < 0).sum())
    return [Repair(source, early, "messages earlier than the one before; sorted by time")] if early else []


def _require_types(path: Path, message: Float[np.ndarray, "row 6"]) -> None:
    kinds = message[:, TYPE]
    unknown = ~np.isin(kinds, np.arange(1, HALT + 1))
    if unknown.any():
        row = int(unknown.argmax())
        raise MarketDataError(
            f"{path}, line {row + 1}: type is {kinds[row]:g}; LOBSTER's types of messages are 1 to {HALT}."
        )
    sided = (kinds != HALT) & (kinds != CROSS) & (np.abs(message[:, DIRECTION]) != 1.0)
    if sided.any():
        row = int(sided.argmax())
        raise MarketDataError(
            f"{path}, line {row + 1}: direction is {message[row, DIRECTION]:g}; it is 1 (a buy order) or -1 "
            "(a sell order)."
        )


def _midnight(name: str) -> int | None:
    """ns since 1970 at the begin of the day that a file's name tells, None where it tells none."""
    found = re.search(r"(\d{4})-(\d{2})-(\d{2})", name)
    if found is None:
        return None
    try:
        day = datetime(*map(int, found.groups()), tzinfo=UTC)
    except ValueError:
        return None
    return int(day.timestamp()) * int(NANOSECONDS)


def _rows(path: Path, count: int, names: tuple[str, ...]) -> Float[np.ndarray, "row column"]:
    """The first columns of a file of numbers without a header."""
    with text_lines(path) as lines:
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise MarketDataError(f"{path}: the file is empty; expected rows of {', '.join(names)}.")
        try:
            found = np.loadtxt(
                chain([first], lines),
                delimiter=",",
                usecols=range(count),
                comments=None,
                ndmin=2,
                dtype=np.float64,
            )
        except ValueError:
            found = None
    if found is None or np.isnan(found).any():
        raise _first_fault(path, names)
    if names is MESSAGE_COLUMNS:
        _require_seconds(path, found[:, TIME])
    return found


def _require_seconds(path: Path, time: Float[np.ndarray, "row"]) -> None:
    wrong = ~((time >= 0.0) & (time < LONGEST_DAY))
    if wrong.any():
        row = int(wrong.argmax())
        raise MarketDataError(
            f"{path}, line {row + 1}: time is {time[row]:g}; LOBSTER's times are seconds after midnight, "
            f"from 0 to {LONGEST_DAY:g}."
        )


def _first_fault(path: Path, names: tuple[str, ...]) -> MarketDataError:
    """Where a file stops being rows of numbers."""
    with text_lines(path) as lines:
        for line, row in enumerate(lines, start=1):
            fields = row.split(",")
            if not row.strip():
                continue
            if len(fields) < len(names):
                return MarketDataError(
                    f"{path}, line {line}: {len(fields)} fields, expected {len(names)} or more "
                    f"({', '.join(names)}); the file may have been cut off while it was written."
                )
            for name, word in zip(names, fields, strict=False):
                try:
                    usable = not np.isnan(float(word))
                except ValueError:
                    usable = False
                if not usable:
                    return MarketDataError(f"{path}, line {line}: {name} is {word.strip()!r}, not a number.")
    return MarketDataError(f"{path}: cannot be read as rows of {', '.join(names)}.")
