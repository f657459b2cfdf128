"""Binance streams as captured: one JSON message a line, after the recorder's own time or without it.

    1723161256188217466 {"stream":"ethusd_perp@bookTicker","data":{"b":"2682.17","a":"2682.18",…}}

Local times are in ns, µs, ms or s since 1970, as their digits say; without them the exchange's own times
serve ("E", ms or µs). Messages may be wrapped ({"stream": …, "data": …}, a combined stream) or bare. What is
used:

    bookTicker      b, a: the best prices. With them the messages about depth are left aside
    depthUpdate     b, a: levels that changed, on the book of a snapshot (lastUpdateId, bids, asks), which the
                    recorder asks for once (`quotegrid.calibration.binance_depth`)
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
from pathlib import Path
from typing import Any

from quotegrid.calibration.binance_depth import DepthBook, Message
from quotegrid.calibration.market_data import EARLIEST, LATEST, MarketDataError, Quotes, Repair, Trades
from quotegrid.calibration.order_book import QuoteTape
from quotegrid.calibration.text_files import available_lines

MILLISECOND = 1_000_000
FIRST_MICROSECONDS = 10**14  # read as ms it would lie beyond the year 5000
DIGITS = {10: 1_000_000_000, 13: MILLISECOND, 16: 1_000, 19: 1}
PARTIAL_DEPTH = re.compile(r"@depth(5|10|20)(@|$)")


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
        if not isinstance(message["m"], bool):
            raise ValueError(f"m is {message['m']!r}, not true or false")
        row = _nanoseconds(message["T"]), float(message["p"]), float(message["q"])
        self.time_ns.append(time_ns)
        self.exchange_ns.append(row[0])
        self.price.append(row[1])
        self.size.append(row[2])
        self.aggressor.append(-1 if message["m"] else 1)
        self.number.append(number)


class _Capture:
    """What has been read of a file so far."""

    def __init__(self, path: Path, instrument: str | None):
        self.path, self.instrument = path, instrument
        self.found = Counter[str]()
        self.tickers = QuoteTape()
        self.depth = DepthBook()
        self.tapes = {"trade": _Tape(), "aggTrade": _Tape()}
        self.left_out = Counter[str]()
        self.line = self.last_ns = 0

    def lines(self) -> Iterator[tuple[int | None, Message]]:
        """The local time and the message of each line."""
        bad = ""  # a line that is no message: forgiven where it is the last
        for number, row in enumerate(available_lines(self.path), start=1):
            if row is None:
                self.left_out[
                    "end of the compressed file missing (the recorder was stopped); the rest is used"
                ] += 1
                break
            if not row.strip():
                continue
            if bad:
                raise MarketDataError(
                    f"{self.path}, line {self.line}: not a message: {bad[:60]!r}. Expected an optional local "
                    "time in s, ms, µs or ns since 1970 and a JSON object, as "
                    '{"stream":"ethusdt@trade","data":{…}}.'
                )
            self.line = number
            prefix, brace, rest = row.partition("{")
            try:
                if not brace:
                    raise ValueError
                message = json.loads(brace + rest)
                time = self._local_time(prefix.strip())
            except ValueError:
                bad = row.strip()
                continue
            yield time, message
        if bad:
            self.left_out["last line dropped, which is cut off"] += 1
        if not self.line:
            raise MarketDataError(f"{self.path}: the file is empty; expected one JSON message a line.")

    def _local_time(self, prefix: str) -> int | None:
        if not prefix:
            return None
        time = int(prefix) * DIGITS.get(len(prefix), 0)
        if not EARLIEST <= time < LATEST:
            raise ValueError
        return time

    def take(self, local_ns: int | None, message: Message) -> None:
        """One message, wrapped or bare."""
        stream, data = str(message.get("stream", "")), message.get("data", message)
        if not isinstance(data, dict):
            return  # of many instruments at once (!miniTicker@arr), which tells no best price
        try:
            self._take(local_ns, stream, data)
        except (LookupError, ArithmeticError, TypeError, ValueError) as error:
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
        if local_ns is not None:
            time = local_ns
        elif event is not None:
            time = _nanoseconds(event)
        elif kind == "snapshot" and not stream and self.last_ns:
            time = self.last_ns  # the answer to a request, which arrived after the message before
        else:
            self.left_out[f"{kind} messages dropped that carry no time, local or the exchange's"] += 1
            return
        self.last_ns = time
        if kind == "bookTicker":
            self.tickers.write(time, float(data["b"]), float(data["a"]))
            self.depth = DepthBook()
        elif kind in self.tapes:
            if data.get("X", "MARKET") != "MARKET":
                self.left_out["trades left out that are no market order's (X is not MARKET)"] += 1
            else:
                self.tapes[kind].write(time, data, int(data["t" if kind == "trade" else "a"]))
        elif not self.tickers.time_ns:
            if kind == "snapshot" or PARTIAL_DEPTH.search(stream):
                self.depth.start(time, data)
            else:
                self.depth.follow(time, data)

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
        tape, source = self.tickers, self.path.name
        if not tape.time_ns:
            tape = self.depth.tape
            if not tape.time_ns:
                dropped = "".join(f" {count:,} {what}." for what, count in self.left_out.items())
                raise MarketDataError(
                    f"{self.path}: nobody knows the best prices: no bookTicker messages, no partial depth "
                    f"(depth5, depth10, depth20) and, for {self.depth.messages:,} messages about depth, no "
                    "snapshot of the book. Record bookTicker, or ask for a snapshot when the recorder "
                    f"starts.{dropped}"
                )
            if holes := self.depth.holes:
                repairs.append(
                    Repair(source, holes, "holes in the numbers of depth updates; cut until a snapshot")
                )
            if count := self.depth.no_levels:
                repairs.append(
                    Repair(
                        source, count, "levels dropped whose price or quantity is no number, or not above 0"
                    )
                )
        return tape.quotes(source, repairs)

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


def _nanoseconds(value: Any) -> int:
    """The exchange's time, in milliseconds since 1970 or (where a recorder asked for them) microseconds."""
    time = int(value)
    time *= MILLISECOND if time < FIRST_MICROSECONDS else 1_000
    if not 0 <= time < LATEST:
        raise ValueError(f"{value} is no time in ms or µs since 1970")
    return time


def is_capture(line: str) -> bool:
    """Whether a file's first line looks like a message of a capture."""
    return re.match(r"^(\d{10,19}\s+)?\{", line) is not None
