"""Prices that belong to no market or to another: few are dropped and counted, many refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades
from quotegrid.calibration.recording import Recording, record
from quotegrid.calibration.synthetic import SyntheticMarket
from quotegrid.calibration.volatility import estimate_volatility


@pytest.fixture(scope="module")
def drawn() -> tuple[Quotes, Trades]:
    return SyntheticMarket(duration=600.0).draw(3)


def told(recording: Recording) -> list[str]:
    return [str(repair) for repair in recording.repairs]


def changed(rows: Any, name: str, at: Any, factor: float = 1.0, plus: float = 0.0) -> Any:
    """Quotes or trades with some values of a column damaged."""
    column = getattr(rows, name).copy()
    column[at] = np.round(column[at] * factor + plus, 3)
    return replace(rows, **{name: column})


@pytest.mark.parametrize(("side", "factor"), [("ask", 10.0), ("ask", 1.5), ("bid", 0.1), ("bid", 0.01)])
def test_a_few_quotes_far_from_their_neighbours_are_dropped(drawn: Any, side: str, factor: float) -> None:
    quotes, trades = drawn
    at = np.array([0, 1000, 1001, 5000])
    recording = record(changed(quotes, side, at, factor), trades)
    assert told(recording) == [
        "synthetic_quotes: 4 rows dropped whose mid is more than a tenth away from the quotes around it"
    ] + ["synthetic_trades: 1 trades left out, before the first or after the last quote"] * (
        len(recording.repairs) - 1
    )
    np.testing.assert_array_equal(recording.quotes.bid, np.delete(quotes.bid, at))
    clean = estimate_volatility(record(quotes, trades)).sigma
    assert estimate_volatility(recording).sigma == pytest.approx(clean, rel=0.01)


def test_two_markets_in_one_file_are_refused(drawn: Any) -> None:
    quotes, trades = drawn
    other = replace(quotes, bid=quotes.bid * 2, ask=quotes.ask * 2)
    time, bid, ask = (
        np.concatenate([getattr(each, name) for each in (quotes, other)])
        for name in ("time_ns", "bid", "ask")
    )
    mixed = Quotes.clean(time, bid, ask)
    with pytest.raises(
        MarketDataError, match=r"the mid leaps [\d,]+ times in .* Two markets seem to be mixed"
    ):
        record(mixed, trades)


def test_a_mid_that_leaps_for_good_is_refused_unless_the_market_paused(drawn: Any) -> None:
    quotes, trades = drawn
    half = len(quotes.time_ns) // 2
    later = quotes.time_ns >= quotes.time_ns[half]
    leapt = changed(changed(quotes, "bid", later, 2.0), "ask", later, 2.0)
    dearer = changed(trades, "price", trades.time_ns >= quotes.time_ns[half], 2.0)
    with pytest.raises(
        MarketDataError,
        match=rf"leaps from [\d.]+ to [\d.]+ at {quotes.time_ns[half]} \(ns\), 1 leaps in all",
    ):
        record(leapt, dearer)
    pause = quotes.time_ns[[half - 1, half]][None]
    assert record(replace(leapt, pauses_ns=pause), dearer).repairs == ()


def test_a_market_of_a_few_ticks_leaps_like_that(drawn: Any) -> None:
    """A tick of a tenth of the price is no damage: 50 spreads are."""
    _, trades = drawn
    ticks = np.random.default_rng(0).integers(5, 9, 1000)
    time = np.linspace(trades.time_ns[0] - 1000, trades.time_ns[-1] + 1000, 1000).astype(np.int64)
    coarse = Quotes.clean(time, ticks * 0.001, (ticks + 1) * 0.001)
    paid = replace(trades, price=np.full(len(trades.price), 0.007))
    assert record(coarse, paid).repairs == () and record(coarse, paid).tick_size == 0.001


def test_trades_far_from_the_quotes_are_dropped_or_refused(drawn: Any) -> None:
    quotes, trades = drawn
    recording = record(quotes, changed(trades, "price", [100, 700], 10.0))
    assert told(recording) == [
        "synthetic_trades: 2 trades dropped whose price is more than a tenth away from the quotes"
    ]
    np.testing.assert_array_equal(recording.trades.price, np.delete(trades.price, [100, 700]))
    with pytest.raises(
        MarketDataError, match=r"trades lie more than a tenth away .* Give quotes and trades of one market"
    ):
        record(quotes, changed(trades, "price", slice(None), 3.0))


def test_prices_between_ticks_leave_the_tick_alone(drawn: Any) -> None:
    """A trade at the mid met a hidden order; a quote there is damaged."""
    quotes, trades = drawn
    recording = record(
        changed(quotes, "ask", [500], plus=0.005), changed(trades, "price", [9, 99], plus=-0.005)
    )
    assert recording.tick_size == 0.01
    assert told(recording) == [
        "synthetic_quotes: 1 rows dropped whose bid or ask is no multiple of the tick, 0.01",
        "synthetic_trades: 2 trades left out at prices between two ticks of 0.01",
    ]
    with pytest.raises(
        MarketDataError, match=r"rows have a price that is no multiple of 0\.01, the smallest step"
    ):
        record(quotes, changed(trades, "price", slice(None), plus=0.005))
    fine = changed(
        quotes, "ask", slice(0, None, 100), plus=0.005
    )  # one in a hundred: a tick, not an accident
    assert record(fine, trades).tick_size == 0.005
