"""The stretch of time in which both quotes and trades were recorded, and the lattice their prices lie on.

Where the quotes fall silent for longer than `max_gap` the recorder was off: that time is cut out, so that it
counts neither as exposure nor as a price move. So are the pauses that the quotes bring along (trading halts,
times in which a side of the book was empty, the nights between recordings). A part at either end in which
quotes ran but the trades had not begun, or had ended, is cut as well when it is too long to be chance.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from quotegrid.calibration.market_data import MarketDataError, Quotes, Repair, Trades
from quotegrid.calibration.strays import (
    on_lattice,
    require_no_leaps,
    without_stray_quotes,
    without_stray_trades,
)

NANOSECONDS = 1e9
CHANCE_SILENCE = (
    15.0  # mean spacings: a Poisson process is silent for that long with probability e^-15 = 3e-7
)


@dataclass(frozen=True, eq=False)
class Recording:
    """Quotes and trades of one market, the intervals in which both ran, and the tick.

    segments_ns: begin and end in local time; tick_size: price units.
    """

    quotes: Quotes
    trades: Trades
    segments_ns: Int[np.ndarray, "segment 2"]
    tick_size: float
    repairs: tuple[Repair, ...]

    @property
    def duration(self) -> float:
        """Seconds recorded, without the gaps."""
        return float((self.segments_ns[:, 1] - self.segments_ns[:, 0]).sum()) / NANOSECONDS

    @property
    def stretch(self) -> float:
        """Half of the time recorded lies in segments that last as many seconds or more."""
        lengths = np.sort((self.segments_ns[:, 1] - self.segments_ns[:, 0]) / NANOSECONDS)
        held = np.cumsum(lengths)
        return float(lengths[np.searchsorted(held, 0.5 * held[-1])])

    def within(self, time_ns: Int[np.ndarray, "instant"]) -> Bool[np.ndarray, "instant"]:
        """Which instants lie inside a segment (its begin excluded: nothing is known before it)."""
        segment = np.searchsorted(self.segments_ns[:, 0], time_ns, side="left") - 1
        return (segment >= 0) & (time_ns <= self.segments_ns[segment, 1])

    def stretches(self) -> Iterator[tuple[Int[np.ndarray, "edge"], Int[np.ndarray, "quote"]]]:
        """For each segment: the edges in time between which one quote holds, and the index of that quote.

        The quote `index[i]` holds from `edge_ns[i]` to `edge_ns[i + 1]`; there is one edge more than quotes.
        """
        for begin, end in self.segments_ns:
            first = np.searchsorted(self.quotes.time_ns, begin, side="right") - 1
            last = np.searchsorted(self.quotes.time_ns, end, side="left")
            index = np.arange(first, last)
            yield np.concatenate([[begin], self.quotes.time_ns[first + 1 : last], [end]]), index


def record(
    quotes: Quotes, trades: Trades, *, tick_size: float | None = None, max_gap: float = 30.0
) -> Recording:
    """Join quotes and trades of one market; `max_gap` in seconds, `tick_size` found from prices when None."""
    if not max_gap > 0.0:
        raise MarketDataError(f"max_gap is {max_gap!r}; it is a time in seconds above 0.")
    quotes = without_stray_quotes(quotes)
    quotes, trades, tick = on_lattice(quotes, trades, tick_size)
    trades = without_stray_trades(trades, quotes)
    begin, end = int(quotes.time_ns[0]), int(quotes.time_ns[-1])
    inside = (trades.time_ns > begin) & (trades.time_ns <= end)
    if not inside.any():
        raise MarketDataError(
            f"{trades.source} has no trade in the {(end - begin) / NANOSECONDS:.6g} s of {quotes.source}: "
            f"quotes run from {begin} to {end}, trades from {trades.time_ns[0]} to {trades.time_ns[-1]} "
            "(local_ts_ns). Both files must come from one recorder and overlap in time."
        )
    gap_ns = max_gap * NANOSECONDS
    repairs = []
    if outside := int((~inside).sum()):
        repairs.append(
            Repair(trades.source, outside, "trades left out, before the first or after the last quote")
        )
    first_trade, last_trade = trades.time_ns[inside][[0, -1]]
    silence = max(gap_ns, CHANCE_SILENCE * (end - begin) / int(inside.sum()))
    for lead, what in (
        (first_trade - begin, "before the first trade"),
        (end - last_trade, "after the last trade"),
    ):
        if lead > silence:
            repairs.append(Repair(quotes.source, 1, f"stretch of {lead / NANOSECONDS:.4g} s cut, {what}"))
    begin = int(first_trade) - 1 if first_trade - begin > silence else begin
    end = int(last_trade) if end - last_trade > silence else end

    breaks = np.flatnonzero(np.diff(quotes.time_ns) > gap_ns)
    segments = np.column_stack(
        [
            np.append(quotes.time_ns[0], quotes.time_ns[breaks + 1]),
            np.append(quotes.time_ns[breaks], quotes.time_ns[-1]),
        ]
    )
    segments = np.clip(segments, begin, end)
    if len(breaks):
        lost = float((quotes.time_ns[breaks + 1] - quotes.time_ns[breaks]).sum()) / NANOSECONDS
        repairs.append(
            Repair(
                quotes.source,
                len(breaks),
                f"gaps longer than {max_gap:g} s cut, {lost:.6g} s in all (recorder off)",
            )
        )
    segments = outside_pauses(segments[segments[:, 1] > segments[:, 0]], quotes.pauses_ns)
    if not len(segments):
        raise MarketDataError(
            f"{quotes.source}: nothing is left of {(end - begin) / NANOSECONDS:.6g} s once pauses of the "
            f"market and gaps longer than {max_gap:g} s are cut. Give a larger max_gap, or record for longer."
        )
    require_no_leaps(quotes, segments)
    return Recording(quotes, trades, segments, tick, (*quotes.repairs, *trades.repairs, *repairs))


def outside_pauses(
    segments: Int[np.ndarray, "segment 2"], pauses: Int[np.ndarray, "pause 2"]
) -> Int[np.ndarray, "segment 2"]:
    """What is left of the segments, in order, once the pauses are cut out."""
    edge = np.unique(np.concatenate([segments.ravel(), pauses.ravel()]))
    running = _coverage(segments, edge) > 0
    kept = np.concatenate([[False], running & (_coverage(pauses, edge) == 0), [False]])
    change = np.diff(kept.astype(np.int8))
    return np.column_stack([edge[change == 1], edge[change == -1]]) if edge.size else segments


def _coverage(
    intervals: Int[np.ndarray, "interval 2"], edge: Int[np.ndarray, "edge"]
) -> Int[np.ndarray, "stretch"]:
    """How many of the intervals hold each stretch between two neighbouring edges."""
    begun = np.searchsorted(np.sort(intervals[:, 0]), edge[:-1], side="right")
    return begun - np.searchsorted(np.sort(intervals[:, 1]), edge[:-1], side="right")
