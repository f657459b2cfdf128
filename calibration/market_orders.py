"""Trades put together into market orders, and how far from the mid each one reached.

A market order is printed as several trades, one per resting order it met. Prints of one aggressor belong
together when they carry the same exchange time (or, where the trades have none, when no local gap between
them exceeds `order_gap`).

How far an order reached is the distance of its worst price from the mid *before* it:

    reach = half-spread before the order + |worst price - best price of the order|

because an order begins at the touch. The half-spread must come from a quote that does not yet show the order.
Local times alone do not give that: where quotes and trades travel on two connections, the quote after an
order often arrives before its prints (on the spot sample the touch "before" a quarter of the orders is
already beyond their first price, and takes away half of their depth). So the quote before an order is, among
those strictly earlier in local time and not older than `lookback`, the one whose touch is nearest to the
order's best price; of several, the latest. It is the same price but for hidden orders inside the spread and
late quotes: such orders are counted as not matched.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from quotegrid.calibration.market_data import Trades
from quotegrid.calibration.recording import NANOSECONDS, Recording


@dataclass(frozen=True, eq=False)
class MarketOrders:
    """Market orders inside a recording, in the order of their first print.

    time_ns: local time of the first print; aggressor: +1 a buyer (fills asks), -1 a seller; mid: price units,
    before the order; touch, reach: the half-spread before the order and the distance reached from the mid,
    both in half ticks (mids lie on half ticks); size: as the venue counts; matched: whether a quote was found
    whose touch is the order's best price.
    """

    time_ns: Int[np.ndarray, "order"]
    aggressor: Int[np.ndarray, "order"]
    mid: Float[np.ndarray, "order"]
    touch: Int[np.ndarray, "order"]
    reach: Int[np.ndarray, "order"]
    size: Float[np.ndarray, "order"]
    matched: Bool[np.ndarray, "order"]

    def __len__(self) -> int:
        return len(self.time_ns)


def first_prints(trades: Trades, order_gap: float = 1e-3) -> Int[np.ndarray, "order"]:
    """Index of the first trade of each order; `order_gap` (s) serves where exchange times are unknown."""
    same_side = np.diff(trades.aggressor) == 0
    known = (trades.exchange_ns[1:] > 0) & (trades.exchange_ns[:-1] > 0)
    same_exchange_time = np.diff(trades.exchange_ns) == 0
    close = np.diff(trades.time_ns) <= order_gap * NANOSECONDS
    continued = same_side & np.where(known, same_exchange_time, close)
    return np.flatnonzero(np.concatenate([[True], ~continued]))


def market_orders(recording: Recording, *, order_gap: float = 1e-3, lookback: float = 0.05) -> MarketOrders:
    """The market orders of a recording with the depth each reached; `order_gap` and `lookback` in seconds."""
    trades, quotes, half_tick = recording.trades, recording.quotes, 0.5 * recording.tick_size
    first = first_prints(trades, order_gap)
    aggressor = trades.aggressor[first]
    signed = trades.price * trades.aggressor  # larger is worse for the aggressor, on both sides
    best, worst = np.minimum.reduceat(signed, first), np.maximum.reduceat(signed, first)
    size = np.add.reduceat(trades.size, first)
    time = trades.time_ns[first]

    inside = recording.within(time)
    aggressor, best, worst, size, time = (x[inside] for x in (aggressor, best, worst, size, time))
    prior, matched = _prior_quote(recording, time, best * aggressor, aggressor, lookback)
    # a spread of n ticks is a half-spread of n half ticks
    touch = np.rint((quotes.ask[prior] - quotes.bid[prior]) / recording.tick_size).astype(np.int64)
    sweep = np.rint((worst - best) / half_tick).astype(np.int64)
    mid = aggressor * (best - touch * half_tick)
    return MarketOrders(time, aggressor, mid, touch, touch + sweep, size, matched)


def _prior_quote(
    recording: Recording,
    time_ns: Int[np.ndarray, "order"],
    best: Float[np.ndarray, "order"],
    aggressor: Int[np.ndarray, "order"],
    lookback: float,
) -> tuple[Int[np.ndarray, "order"], Bool[np.ndarray, "order"]]:
    """For each order the index of the quote before it, and whether its touch is the order's best price."""
    quotes, tolerance = recording.quotes, 0.25 * recording.tick_size
    candidate = np.searchsorted(quotes.time_ns, time_ns, side="left") - 1
    oldest_end = time_ns - round(lookback * NANOSECONDS)
    prior = candidate.copy()
    nearest = np.full(len(time_ns), np.inf)
    searching = np.arange(len(time_ns))
    while searching.size:
        quote = candidate[searching]
        touch = np.where(aggressor[searching] > 0, quotes.ask[quote], quotes.bid[quote])
        distance = np.abs(touch - best[searching])
        nearer = distance < nearest[searching] - tolerance
        prior[searching[nearer]] = quote[nearer]
        nearest[searching[nearer]] = distance[nearer]
        # the quote before this one held until this one began
        more = (
            (nearest[searching] >= tolerance) & (quote > 0) & (quotes.time_ns[quote] >= oldest_end[searching])
        )
        searching = searching[more]
        candidate[searching] -= 1
    return prior, nearest < tolerance
