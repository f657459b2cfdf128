"""Quotes and trades written in each of the formats that calibration reads: to test and to try.

    from quotegrid.calibration.synthetic import SyntheticMarket
    from quotegrid.calibration.synthetic_files import write_files

    market = SyntheticMarket(family="power", parameters=(2.0, 0.1, 3.0))
    write_files("lobster", "folder", *market.draw(seed=1))

Each returns the files written, in the order `quotegrid calibrate` takes them. What a format does not keep
(the time of an order beyond the millisecond, in Binance's messages) is rounded as the venue would.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from heapq import merge
from pathlib import Path
from typing import Any, Literal

import numpy as np

from quotegrid.calibration.hftbacktest_npz import BUY, CLEAR, DEPTH, LOCAL, SELL, SNAPSHOT, TRADE
from quotegrid.calibration.lobster import EXECUTION, PRICE_UNIT
from quotegrid.calibration.market_data import Quotes, Trades
from quotegrid.calibration.market_files import Format

SECOND, MILLISECOND = 1_000_000_000, 1_000_000
EXCHANGE = 1 << 31
EVENT = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ],
    align=True,
)


def write_files(format: Format, folder: str | Path, quotes: Quotes, trades: Trades) -> tuple[Path, ...]:
    """The files of one format, in a folder."""
    writers: dict[Format, Callable[[Path, Quotes, Trades], tuple[Path, ...]]] = {
        "csv": write_csv,
        "lobster": write_lobster,
        "binance": write_binance,
        "hftbacktest": write_hftbacktest,
    }
    return writers[format](Path(folder), quotes, trades)


def write_csv(folder: Path, quotes: Quotes, trades: Trades) -> tuple[Path, ...]:
    """`quotes.csv` and `trades.csv`."""
    paths = folder / "quotes.csv", folder / "trades.csv"
    columns: tuple[tuple[str, tuple[np.ndarray, ...]], ...] = (
        ("local_ts_ns,bid_px,ask_px", (quotes.time_ns, quotes.bid, quotes.ask)),
        (
            "local_ts_ns,exch_ts_ms,price,qty,aggressor",
            (trades.time_ns, trades.exchange_ns // MILLISECOND, trades.price, trades.size, trades.aggressor),
        ),
    )
    for path, (header, arrays) in zip(paths, columns, strict=True):
        rows = zip(*(array.tolist() for array in arrays), strict=True)
        path.write_text("\n".join([header, *(",".join(map(repr, row)) for row in rows)]) + "\n")
    return paths


def write_lobster(folder: Path, quotes: Quotes, trades: Trades) -> tuple[Path, ...]:
    """A message and an order book file of one level; a quote that comes is a submission at the best bid."""
    day = datetime.fromtimestamp(int(quotes.time_ns[0]) // SECOND, tz=UTC)
    midnight = int(day.replace(hour=0, minute=0, second=0).timestamp()) * SECOND
    stem = f"SYN_{day:%Y-%m-%d}_0_86400000"
    paths = folder / f"{stem}_message_1.csv", folder / f"{stem}_orderbook_1.csv"
    messages, books, book = [], [], "9999999999,0,-9999999999,0"
    for time, row in _in_order(quotes, trades):
        if len(row) == 2:
            bid, ask = (round(price / PRICE_UNIT) for price in row)
            kind, size, price, direction, book = 1, 100, bid, 1, f"{ask},100,{bid},100"
        else:
            kind, size, price, direction = EXECUTION, row[1], round(row[0] / PRICE_UNIT), -row[2]
        since = time - midnight
        stamp = f"{since // SECOND}.{since % SECOND:09d}"
        messages.append(f"{stamp},{kind},{len(messages) + 1},{size},{price},{direction}")
        books.append(book)
    for path, lines in zip(paths, (messages, books), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return paths


def write_binance(
    folder: Path,
    quotes: Quotes,
    trades: Trades,
    *,
    market: Literal["futures", "spot"] = "futures",
    depth: bool = False,
    local_times: bool = True,
) -> tuple[Path, ...]:
    """`capture.raw.gz`: bookTicker or, with `depth`, updates of the book after a snapshot; and trades."""
    path = folder / "capture.raw.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for time, message in _messages(quotes, trades, market, depth):
            file.write(f"{time} " if local_times else "")
            file.write(json.dumps(message, separators=(",", ":")) + "\n")
    return (path,)


def write_hftbacktest(folder: Path, quotes: Quotes, trades: Trades) -> tuple[Path, ...]:
    """`events.npz`: a snapshot, then the levels that change and the trades."""
    path, rows, before = folder / "events.npz", [], None

    def event(time: int, what: int, side: int, price: float, quantity: float) -> None:
        flag = BUY if side > 0 else SELL
        rows.append((what | flag | LOCAL | EXCHANGE, time, time, price, quantity, 0, 0, 0.0))

    for time, row in _in_order(quotes, trades):
        if len(row) == 3:
            event(time, TRADE, row[2], row[0], row[1])
            continue
        for i, side in ((0, 1), (1, -1)):
            if before is None:
                event(time, CLEAR, side, row[i], 0.0)
            elif before[i] != row[i]:
                event(time, DEPTH, side, before[i], 0.0)
            event(time, SNAPSHOT if before is None else DEPTH, side, row[i], 1.0)
        before = row
    np.savez_compressed(path, data=np.array(rows, dtype=EVENT))
    return (path,)


def _in_order(quotes: Quotes, trades: Trades) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """(time, (bid, ask)) and (time, (price, size, aggressor)) as they came, trades before quotes."""
    asked = ((time, 1, (bid, ask)) for time, bid, ask in _rows(quotes.time_ns, quotes.bid, quotes.ask))
    traded = (
        (row[0], 0, row[1:]) for row in _rows(trades.time_ns, trades.price, trades.size, trades.aggressor)
    )
    for time, _, row in merge(asked, traded, key=lambda item: item[:2]):
        yield time, row


def _rows(*columns: np.ndarray) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


def _messages(
    quotes: Quotes, trades: Trades, market: Literal["futures", "spot"], depth: bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    symbol, number, update, before = "SYNUSD_PERP" if market == "futures" else "SYNUSDT", 0, 0, None
    lower = symbol.lower()
    for time, row in _in_order(quotes, trades):
        ms = time // MILLISECOND
        if len(row) == 3:
            number += 1
            data: dict[str, Any] = {"e": "trade", "E": ms, "T": ms, "s": symbol, "t": number}
            data |= {"p": repr(row[0]), "q": repr(row[1]), "m": row[2] < 0}
            yield (
                time,
                {"stream": f"{lower}@trade", "data": data | ({"X": "MARKET"} if market == "futures" else {})},
            )
            continue
        update += 10
        if not depth:
            data = {"u": update, "s": symbol, "b": repr(row[0]), "B": "1", "a": repr(row[1]), "A": "1"}
            timed = {"e": "bookTicker", "T": ms, "E": ms} if market == "futures" else {}
            yield time, {"stream": f"{lower}@bookTicker", "data": timed | data}
        elif before is None:
            book = {"lastUpdateId": update, "bids": [[repr(row[0]), "1"]], "asks": [[repr(row[1]), "1"]]}
            yield time, book | ({"E": ms, "T": ms, "symbol": symbol} if market == "futures" else {})
        else:
            levels = [
                [[repr(old), "0"], [repr(new), "1"]] if old != new else [[repr(new), "1"]]
                for old, new in zip(before, row, strict=True)
            ]
            data = {"e": "depthUpdate", "E": ms, "s": symbol, "U": update - 9, "u": update}
            data |= {"pu": update - 10} if market == "futures" else {}
            yield time, {"stream": f"{lower}@depth", "data": data | {"b": levels[0], "a": levels[1]}}
        before = row
