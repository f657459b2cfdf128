"""A book that starts at a snapshot and follows numbered updates, as Binance sends them.

An update says the number of its last change (u); futures say besides which update was before (pu), spot
counts on from U to u. After a hole the book is unknown until the next snapshot. The answer to a request for a
snapshot may arrive after updates that are newer than it: these are applied again.
"""

from collections import deque
from math import isfinite, nan
from typing import Any

from quotegrid.calibration.order_book import ASK, BID, OrderBook, QuoteTape

Message = dict[str, Any]
REMEMBERED = 1000  # updates, while a snapshot is on its way


class DepthBook:
    """The best prices so far (`tape`), and what was wrong: holes in the numbers, levels that are none."""

    def __init__(self) -> None:
        self.book, self.tape = OrderBook(), QuoteTape()
        self.messages = self.holes = self.no_levels = 0
        self.known_to: int | None = None  # the number of the last update in the book; None: unknown
        self.recent: deque[Message] = deque(maxlen=REMEMBERED)

    def start(self, time_ns: int, data: Message) -> None:
        """A snapshot, from a request or a stream of partial depth."""
        self.messages += 1
        if self.known_to is not None and int(data.get("lastUpdateId", self.known_to)) < self.known_to:
            return  # older than the book
        for side, key in ((BID, "bids"), (ASK, "asks")):
            self.book.clear(side)
            self._put(side, data.get(key, data.get(key[0], ())))
        self.known_to = int(data.get("lastUpdateId", data.get("u", 0)))
        self._write(time_ns)
        if "lastUpdateId" in data:
            for update in self.recent:
                if int(update["u"]) > int(data["lastUpdateId"]):
                    self._apply(time_ns, update)
        self.recent.clear()

    def follow(self, time_ns: int, data: Message) -> None:
        """An update."""
        self.messages += 1
        self._apply(time_ns, data)
        self.recent.append(data)

    def _apply(self, time_ns: int, data: Message) -> None:
        last = int(data["u"])
        if self.known_to is None:
            if self.holes:
                self.tape.write(time_ns, nan, nan)
            return
        if last <= self.known_to:
            return  # older than the snapshot
        if (int(data["pu"]) if "pu" in data else int(data["U"]) - 1) > self.known_to:
            self.known_to, self.holes = None, self.holes + 1
            self.tape.write(time_ns, nan, nan)
            return
        for side, key in ((BID, "b"), (ASK, "a")):
            self._put(side, data[key])
        self.known_to = last
        self._write(time_ns)

    def _put(self, side: int, levels: Any) -> None:
        for each in levels:
            price, quantity = float(each[0]), float(each[1])
            if isfinite(price) and price > 0.0 and isfinite(quantity):
                self.book.put(side, price, quantity)
            else:
                self.no_levels += 1

    def _write(self, time_ns: int) -> None:
        self.tape.write(time_ns, self.book.best(BID), self.book.best(ASK))
