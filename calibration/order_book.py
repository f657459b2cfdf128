"""Best bid and ask from a stream of price levels.

Venues send the levels of the book that changed, (side, price, quantity), quantity 0 where a level is gone.
The best prices are kept on two heaps; a level that is gone leaves its heap when it comes to the top. A quote
is written down after every message, changed or not, as each says that the recorder was running; "no quote" is
NaN.
"""

from array import array
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import isfinite, nan

import numpy as np
from jaxtyping import Float, Int

from quotegrid.calibration.market_data import Quotes, Repair, pauses_where

BID, ASK = 1, -1


class OrderBook:
    """Levels of both sides; a heap holds prices times `-side`, so that the best is its least."""

    def __init__(self) -> None:
        self.levels: dict[int, dict[float, float]] = {BID: {}, ASK: {}}
        self.heaps: dict[int, list[float]] = {BID: [], ASK: []}

    def put(self, side: int, price: float, quantity: float) -> None:
        """One level: its new quantity, 0 where it is gone."""
        levels = self.levels[side]
        if quantity > 0.0:
            if price not in levels:
                heappush(self.heaps[side], -side * price)
            levels[price] = quantity
        else:
            levels.pop(price, None)

    def clear(self, side: int, up_to: float = nan) -> None:
        """Forget a side: all of it, or its levels from the best to a price, that one included."""
        levels = self.levels[side]
        if isfinite(up_to):
            for price in [price for price in levels if side * price >= side * up_to]:
                del levels[price]
        else:
            levels.clear()
            self.heaps[side].clear()

    def best(self, side: int) -> float:
        """The best price of a side, NaN where it is empty."""
        levels, heap = self.levels[side], self.heaps[side]
        while heap and -side * heap[0] not in levels:
            heappop(heap)
        return -side * heap[0] if heap else nan


@dataclass
class QuoteTape:
    """Quotes written down message by message; NaN where a side is empty."""

    time_ns: "array[int]" = field(default_factory=lambda: array("q"))
    bid: "array[float]" = field(default_factory=lambda: array("d"))
    ask: "array[float]" = field(default_factory=lambda: array("d"))

    def write(self, time_ns: int, bid: float, ask: float) -> None:
        """The best prices after a message."""
        self.time_ns.append(time_ns)
        self.bid.append(bid)
        self.ask.append(ask)

    def quotes(self, source: str, repairs: list[Repair]) -> Quotes:
        """Cleaned quotes."""
        time, bid, ask = (np.array(column) for column in (self.time_ns, self.bid, self.ask))
        if early := int((np.diff(time) < 0).sum()):
            repairs = [*repairs, Repair(source, early, "quotes earlier than the one before; sorted by time")]
            order = np.argsort(time, kind="stable")
            time, bid, ask = time[order], bid[order], ask[order]
        return two_sided(time, bid, ask, source, repairs)


def two_sided(
    time_ns: Int[np.ndarray, "row"],
    bid: Float[np.ndarray, "row"],
    ask: Float[np.ndarray, "row"],
    source: str,
    repairs: list[Repair],
    pauses_ns: Int[np.ndarray, "pause 2"] | None = None,
    clock: str = "UTC",
) -> Quotes:
    """Quotes of a book whose empty sides are NaN: no exposure is counted while a side is empty."""
    missing = np.isnan(bid) | np.isnan(ask)
    empty = pauses_where(missing, time_ns)
    if len(empty):
        seconds = float((empty[:, 1] - empty[:, 0]).sum()) / 1e9
        repairs = [
            *repairs,
            Repair(source, len(empty), f"times with an empty side of the book cut, {seconds:.6g} s in all"),
        ]
    pauses = empty if pauses_ns is None else np.concatenate([pauses_ns, empty])
    return Quotes.clean(
        time_ns[~missing],
        bid[~missing],
        ask[~missing],
        source,
        pauses_ns=pauses,
        repairs=repairs,
        clock=clock,
    )
