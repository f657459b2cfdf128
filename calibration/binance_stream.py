"""Binance streams as captured: one JSON message a line, after the recorder's own time or without it.

    1723161256188217466 {"stream":"ethusd_perp@bookTicker","data":{"b":"2682.17","a":"2682.18",…}}

Local times are in ns, µs, ms or s since 1970, as their digits say; without them the exchange's own times
serve ("E", ms). Messages may be wrapped ({"stream": …, "data": …}, a combined stream) or bare. What is used:

    bookTicker      b, a: the best prices. With them the messages about depth are left aside
    depthUpdate     b, a: levels that changed, on the book of a snapshot (lastUpdateId, bids, asks), which the
                    recorder asks for once. Updates are numbered: futures say the number before (pu), spot
                    counts on from U to u. After a hole the book is unknown until the next snapshot
    depth5|10|20    the best levels, each message a snapshot
    trade           p, q, m (the buyer was the maker: a seller took), X = MARKET: what is not (insurance fund,
                    liquidation by the venue) is left out
    aggTrade        the same, prints of one order at one price together; used where there are no trades

Prices are in the quote currency; quantities in coins (spot, linear futures) or contracts (coin-margined
futures).
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

from quotegrid.calibration.market_data import MarketDataError, Quotes, Repair, Trades
from quotegrid.calibration.order_book import ASK, BID, OrderBook, QuoteTape
from quotegrid.calibration.text_files import read_available_text

MILLISECOND = 1_000_000
DIGITS = {10: 1_000_000_000, 13: MILLISECOND, 16: 1_000, 19: 1}
PARTIAL_DEPTH = re.compile(r"@depth(5|10|20)(@|$)")
Message = dict[str, Any]


def read_binance(path: str | Path, *, instrument: str | None = None) -> tuple[Quotes, Trades]:
    """Quotes and trades of one instrument in a capture, plain or gzipped.

    instrument: which one, where several were captured (`ETHUSD_PERP`).

    Raises: MarketDataError: lines that are no messages, several instruments, no best prices, no trades.
    """
    capture = _Capture(Path(path), instrument)
    for time, message in capture.lines():
        capture.take(time, message)
    return capture.quotes(), capture.trades()


@dataclass
class _Tape:
    """Trades as they come."""

    time_ns: list[int] = field(default_factory=list)
    exchange_ns: list[int] = field(default_factory=list)
    price: list[float] = field(default_factory=list)
    size: list[float] = field(default_factory=list)
    aggressor: list[int] = field(default_factory=list)
    number: list[int] = field(default_factory=list)

    def write(self, time_ns: int, message: Message, number: int) -> None:
        self.time_ns.append(time_ns)
        self.exchange_ns.append(MILLISECOND * message["T"])
        self.price.append(float(message["p"]))
        self.size.append(float(message["q"]))
        self.aggressor.append(-1 if message["m"] else 1)
        self.number.append(number)


class _Capture:
    """What has been read of a file so far."""

    def __init__(self, path: Path, instrument: str | None):
        self.path, self.instrument = path, instrument
        self.found = Counter[str]()
        self.tickers = QuoteTape()
        self.deltas: list[tuple[int, Message, bool]] = []
        self.tapes = {"trade": _Tape(), "aggTrade": _Tape()}
        self.left_out = Counter[str]()
        self.line = 0

    def lines(self) -> Iterator[tuple[int | None, Message]]:
        """The local time and the message of each line."""
        text, whole = read_available_text(self.path)
        rows = text.splitlines()
        if not any(row.strip() for row in rows):
            raise MarketDataError(f"{self.path}: the file is empty; expected one JSON message a line.")
        for self.line, row in enumerate(rows, start=1):
            if not row.strip():
                continue
            prefix, brace, rest = row.partition("{")
            try:
                if not brace:
                    raise ValueError
                message = json.loads(brace + rest)
                time = self._local_time(prefix.strip())
            except ValueError:
                if self.line == len(rows):
                    self.left_out["last line dropped, which is cut off"] += 1
                    break
                raise MarketDataError(
                    f"{self.path}, line {self.line}: not a message: {row[:60]!r}. Expected an optional local "
                    "time in "
                    's, ms, µs or ns since 1970 and a JSON object, as {"stream":"ethusdt@trade","data":{…}}.'
                ) from None
            yield time, message
        if not whole:
            self.left_out[
                "end of the compressed file missing (the recorder was stopped); the rest is used"
            ] += 1

    def _local_time(self, prefix: str) -> int | None:
        if not prefix:
            return None
        return int(prefix) * DIGITS[len(prefix)] if len(prefix) in DIGITS else int("none")

    def take(self, local_ns: int | None, message: Message) -> None:
        """One message, wrapped or bare."""
        stream, data = str(message.get("stream", "")), message.get("data", message)
        try:
            self._take(local_ns, stream, data)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, MarketDataError):
                raise
            raise MarketDataError(
                f"{self.path}, line {self.line}: the message lacks something or holds something else than a "
                f"number ({type(error).__name__}: {error}): {json.dumps(data)[:100]}"
            ) from None

    def _take(self, local_ns: int | None, stream: str, data: Message) -> None:
        kind = data.get("e") or ("bookTicker" if {"b", "a", "B", "A"} <= data.keys() else "snapshot")
        if kind not in ("bookTicker", "depthUpdate", "trade", "aggTrade", "snapshot"):
            return
        if kind == "snapshot" and "bids" not in data:
            return  # an answer to a request, an error message of the venue
        name = str(data.get("s") or data.get("symbol") or stream.partition("@")[0]).upper()
        if name and not self._mine(name):
            return
        event = data.get("E", data.get("T"))
        if local_ns is None and event is None:
            self.left_out[f"{kind} messages dropped that carry no time, local or the exchange's"] += 1
            return
        time: int = MILLISECOND * int(event or 0) if local_ns is None else local_ns
        if kind == "bookTicker":
            self.tickers.write(time, float(data["b"]), float(data["a"]))
            self.deltas.clear()
        elif kind in self.tapes:
            if data.get("X", "MARKET") != "MARKET":
                self.left_out["trades left out that are no market order's (X is not MARKET)"] += 1
            else:
                self.tapes[kind].write(time, data, int(data["t" if kind == "trade" else "a"]))
        elif not self.tickers.time_ns:
            self.deltas.append((time, data, kind == "snapshot" or bool(PARTIAL_DEPTH.search(stream))))

    def _mine(self, name: str) -> bool:
        self.found[name] += 1
        if self.instrument is not None:
            return name == self.instrument.upper()
        if len(self.found) > 1:
            raise MarketDataError(
                f"{self.path}, line {self.line}: the capture holds several instruments, "
                f"{', '.join(self.found)}; say which one with instrument."
            )
        return True

    def _repairs(self) -> list[Repair]:
        return [Repair(self.path.name, count, what) for what, count in self.left_out.items()]

    def quotes(self) -> Quotes:
        repairs = self._repairs()
        if self.instrument is not None and self.instrument.upper() not in self.found:
            raise MarketDataError(
                f"{self.path}: no message about {self.instrument}; there are "
                f"{', '.join(self.found) or 'none at all'}."
            )
        tape = self.tickers
        if not tape.time_ns:
            tape, holes = _followed(self.deltas)
            if not tape.time_ns:
                raise MarketDataError(
                    f"{self.path}: nobody knows the best prices: no bookTicker messages, no partial depth "
                    f"(depth5, depth10, depth20) and, for {len(self.deltas):,} messages about depth, no "
                    "snapshot of the book. Record bookTicker, or ask for a snapshot when the recorder starts."
                )
            if holes:
                repairs.append(
                    Repair(
                        self.path.name, holes, "holes in the numbers of depth updates; cut until a snapshot"
                    )
                )
        return tape.quotes(self.path.name, repairs)

    def trades(self) -> Trades:
        kind = "trade" if self.tapes["trade"].time_ns else "aggTrade"
        tape, repairs = self.tapes[kind], []
        if kind == "trade" and self.tapes["aggTrade"].time_ns:
            count = len(self.tapes["aggTrade"].time_ns)
            repairs = [Repair(self.path.name, count, "aggTrade messages left aside, as there are trades")]
        if not tape.time_ns:
            raise MarketDataError(
                f"{self.path}: no trade and no aggTrade messages of {self.instrument or 'any instrument'}; "
                "record one of these streams as well."
            )
        return Trades.clean(
            tape.time_ns,
            tape.price,
            tape.size,
            tape.aggressor,
            tape.exchange_ns,
            self.path.name,
            number=tape.number,
            repairs=repairs,
        )


def _followed(deltas: list[tuple[int, Message, bool]]) -> tuple[QuoteTape, int]:
    """The best prices of a book that starts at a snapshot and follows the updates; and the holes in these."""
    book, tape, holes = OrderBook(), QuoteTape(), 0
    ahead = _snapshots_in_order(deltas)
    known_to: int | None = None  # the number of the last update in the book; None: the book is unknown
    for time, data, snapshot in ahead:
        if snapshot:
            for side, key in ((BID, "bids"), (ASK, "asks")):
                book.clear(side)
                for price, quantity in data.get(key, data.get(key[0], ())):
                    book.put(side, float(price), float(quantity))
            known_to = int(data.get("lastUpdateId", data.get("u", 0)))
        else:
            last = int(data["u"])
            if known_to is None or last <= known_to:
                continue  # older than the snapshot
            if not _continues(data, known_to):
                known_to, holes = None, holes + 1
                tape.write(time, nan, nan)
                continue
            for side, key in ((BID, "b"), (ASK, "a")):
                for price, quantity in data[key]:
                    book.put(side, float(price), float(quantity))
            known_to = last
        tape.write(time, book.best(BID), book.best(ASK))
    return tape, holes


def _continues(data: Message, known_to: int) -> bool:
    """Whether nothing lies between the book and an update: its predecessor is in the book already."""
    return (int(data["pu"]) if "pu" in data else int(data["U"]) - 1) <= known_to


def _snapshots_in_order(
    deltas: list[tuple[int, Message, bool]],
) -> Iterator[tuple[int, Message, bool]]:
    """Updates from before a snapshot arrived, which it does not hold yet, follow it.

    The answer to a request for a snapshot may arrive after updates that are newer than it: these are applied
    again.
    """
    recent: list[tuple[int, Message, bool]] = []
    for item in deltas:
        time, data, snapshot = item
        yield item
        if snapshot and "lastUpdateId" in data:
            for _, update, _ in recent:
                if int(update["u"]) > int(data["lastUpdateId"]):
                    yield time, update, False
        recent = [] if snapshot else [*recent[-999:], item]


def is_capture(line: str) -> bool:
    """Whether a file's first line looks like a message of a capture."""
    return re.match(r"^(\d{10,19}\s+)?\{", line) is not None
