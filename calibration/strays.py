"""Prices that cannot be of this market at this time: a misplaced decimal point, a stub, another market.

A mid *leaps* where it moves by more than a tenth of itself, and by more than 50 spreads, from one quote to
the next. Quotes that lie that far from the median of the ten before and the ten after them are strays, and so
are trades that lie that far from the mid they met: few are dropped and counted, many mean that two markets
are mixed. What still leaps while the recorder ran is refused.

So are prices off the lattice of ticks: a handful of quotes is dropped; trades between two ticks met hidden
orders at the mid, and how far they would have reached is not known.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from quotegrid.calibration.market_data import MarketDataError, Quotes, Repair, Trades

LEAP, SPREADS = 0.1, 50.0
AROUND = 10  # quotes on either side
MOST = 0.01  # of the quotes or trades
OFF_LATTICE = 1e-3  # of the quotes at most
BETWEEN_TICKS = 0.3  # of the trades at most
CANDIDATES = 50


def leaps(quotes: Quotes) -> Int[np.ndarray, "leap"]:
    """The quotes at which the mid has leapt from the quote before."""
    mid = quotes.mid
    move = np.abs(np.diff(mid))
    far = np.flatnonzero(move > LEAP * np.minimum(mid[1:], mid[:-1]))
    return far[move[far] > SPREADS * _spread(quotes)] + 1 if far.size else far


def without_stray_quotes(quotes: Quotes) -> Quotes:
    """The quotes without those far from their neighbours; raises MarketDataError where they are many."""
    leapt = leaps(quotes)
    if not leapt.size:
        return quotes
    mid, last = quotes.mid, len(quotes.time_ns) - 1
    if leapt.size > max(2.0, MOST * last):
        at = int(leapt[0])
        raise MarketDataError(
            f"{quotes.source}: the mid leaps {leapt.size:,} times in {last + 1:,} quotes by more than a "
            f"tenth, first from {mid[at - 1]:g} to {mid[at]:g} at {quotes.time_ns[at]} (ns). Two "
            "markets seem to be mixed; give the data of one."
        )
    near = np.unique(leapt[:, None] + np.arange(-AROUND, AROUND + 1))
    near = near[(near >= 0) & (near <= last)]
    begin = np.clip(near - AROUND, 0, max(0, last - 2 * AROUND))
    window = begin[:, None] + np.arange(min(2 * AROUND, last) + 1)
    usual = np.median(mid[window], axis=1)
    off = np.abs(mid[near] - usual)
    stray = near[(off > LEAP * np.minimum(usual, mid[near])) & (off > SPREADS * _spread(quotes))]
    if not stray.size:
        return quotes
    dropped = np.zeros(last + 1, dtype=bool)
    dropped[stray] = True
    return _without_quotes(
        quotes, dropped, "rows dropped whose mid is more than a tenth away from the quotes around it"
    )


def require_no_leaps(quotes: Quotes, segments_ns: Int[np.ndarray, "segment 2"]) -> None:
    """Raise where the mid leaps while the recorder ran and the market did not pause."""
    at = leaps(quotes)
    before, after = quotes.time_ns[at - 1], quotes.time_ns[at]
    segment = np.searchsorted(segments_ns[:, 0], before, side="right") - 1
    at = at[(segment >= 0) & (after <= segments_ns[segment, 1])]
    if at.size:
        mid, first = quotes.mid, int(at[0])
        raise MarketDataError(
            f"{quotes.source}: the mid leaps from {mid[first - 1]:g} to {mid[first]:g} at "
            f"{quotes.time_ns[first]} (ns), {at.size:,} leaps in all of more than a tenth from one quote to "
            "the next. Prices of two markets, or damaged ones: cut them out, or calibrate the parts alone."
        )


def without_stray_trades(trades: Trades, quotes: Quotes) -> Trades:
    """The trades without those far from the quotes; raises MarketDataError where they are many."""
    held = np.searchsorted(quotes.time_ns, trades.time_ns, side="right") - 1
    mid = quotes.mid[np.maximum(held, 0)]
    off = np.abs(trades.price - mid)
    stray = (off > LEAP * np.minimum(mid, trades.price)) & (off > SPREADS * _spread(quotes)) & (held >= 0)
    if not stray.any():
        return trades
    if stray.mean() > MOST:
        at = int(stray.argmax())
        raise MarketDataError(
            f"{trades.source}: {stray.sum():,} of {stray.size:,} trades lie more than a tenth away from the "
            f"quotes of {quotes.source}, first {trades.price[at]:g} at {trades.time_ns[at]} (ns) where the "
            f"mid is {mid[at]:g}. Give quotes and trades of one market."
        )
    return _without_trades(
        trades, stray, "trades dropped whose price is more than a tenth away from the quotes"
    )


def on_lattice(quotes: Quotes, trades: Trades, tick_size: float | None) -> tuple[Quotes, Trades, float]:
    """Quotes and trades at multiples of the tick, and the tick, found where none is given.

    Raises MarketDataError where too many are no multiples of it.
    """
    tick = found_tick(quotes) if tick_size is None else float(tick_size)
    if not (np.isfinite(tick) and tick > 0.0):
        raise MarketDataError(f"tick_size is {tick!r}; it is a price step above 0.")
    origin = "the smallest step between quotes" if tick_size is None else "the tick_size given"
    bid_on = is_multiple(quotes.bid, tick)
    quoted, traded = bid_on & is_multiple(quotes.ask, tick), is_multiple(trades.price, tick)
    for rows, on, price, most in (
        (quotes, quoted, np.where(bid_on, quotes.ask, quotes.bid), OFF_LATTICE),
        (trades, traded, trades.price, BETWEEN_TICKS),
    ):
        if (~on).mean() > most:
            raise MarketDataError(
                f"{rows.source}: {(~on).sum():,} of {on.size:,} rows have a price that is no multiple of "
                f"{tick:g}, {origin}; the first is {price[int((~on).argmax())]:.10g}. Give the tick_size all "
                "prices are multiples of."
            )
    if not quoted.all():
        quotes = _without_quotes(
            quotes, ~quoted, f"rows dropped whose bid or ask is no multiple of the tick, {tick:g}"
        )
    if not traded.all():
        trades = _without_trades(trades, ~traded, f"trades left out at prices between two ticks of {tick:g}")
    return quotes, trades, tick


def found_tick(quotes: Quotes) -> float:
    """The largest step between prices whose multiples nearly all of them are, else the smallest step."""
    price, count = np.unique(np.concatenate([quotes.bid, quotes.ask]), return_counts=True)
    steps = np.diff(price)
    steps = steps[steps > 1e-9 * price[-1]]
    if not steps.size:
        raise MarketDataError(
            f"{quotes.source}: all prices are equal, so no tick can be found; give tick_size, or more data."
        )
    # free of the rounding of binary fractions
    candidates = sorted({float(f"{step:.6g}") for step in steps})[:CANDIDATES]
    for step in reversed(candidates):
        if count[~is_multiple(price, step)].sum() <= 0.5 * OFF_LATTICE * count.sum():
            return step
    return candidates[0]


def is_multiple(price: Float[np.ndarray, "price"], tick: float) -> Bool[np.ndarray, "price"]:
    """Which prices are multiples of a tick."""
    ticks = price / tick
    return np.abs(ticks - np.rint(ticks)) <= 1e-3 + 1e-12 * np.abs(ticks)


def _spread(quotes: Quotes) -> float:
    return float(np.median(quotes.ask - quotes.bid))


def _without_quotes(quotes: Quotes, dropped: Bool[np.ndarray, "quote"], what: str) -> Quotes:
    columns = {name: getattr(quotes, name)[~dropped] for name in ("time_ns", "bid", "ask")}
    repair = Repair(quotes.source, int(dropped.sum()), what)
    return replace(quotes, **columns, repairs=(*quotes.repairs, repair))


def _without_trades(trades: Trades, dropped: Bool[np.ndarray, "trade"], what: str) -> Trades:
    names = ("time_ns", "exchange_ns", "price", "size", "aggressor")
    columns = {name: getattr(trades, name)[~dropped] for name in names}
    repair = Repair(trades.source, int(dropped.sum()), what)
    return replace(trades, **columns, repairs=(*trades.repairs, repair))
