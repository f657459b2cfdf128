"""Λ̂ as it was measured: truncation, pooling, sides."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.calibration.blocks import Blocks, cut_into_blocks
from quotegrid.calibration.csv_files import read_quotes, read_trades
from quotegrid.calibration.fitted import fit, judge
from quotegrid.calibration.intensity import (
    Reach,
    measure_reach,
    measured_copies,
    measured_intensity,
    pooled,
    time_at_spread,
)
from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades
from quotegrid.calibration.market_orders import market_orders
from quotegrid.calibration.recording import record

HALF_TICK = 0.005


def test_the_measured_curve_weighs_each_order_by_the_time_it_could_be_seen(
    hand_made: Callable[..., Reach],
) -> None:
    """30 s at a half-spread of 1, 10 s at 3: depths below 3 are visible for 30 s, others for all 40 s."""
    reach = hand_made([1, 1, 1, 3, 3, 7], spread=[1, 3], seconds=[30.0, 10.0])
    np.testing.assert_array_equal(reach.exposure(np.array([0, 1, 2, 3, 9])), [0.0, 30.0, 30.0, 40.0, 40.0])
    curve = measured_intensity(reach, 1)
    np.testing.assert_allclose(curve.offset, [0.005, 0.015, 0.035])
    np.testing.assert_allclose(curve.rate, [3 / 30 + 2 / 40 + 1 / 40, 3 / 40, 1 / 40])
    np.testing.assert_array_equal(curve.count, [6, 3, 1])
    np.testing.assert_allclose(
        curve(np.array([0.0, 0.005, 0.0051, 0.035, 0.036])), [0.175, 0.175, 0.075, 0.025, 0.0]
    )


def test_the_best_measured_quote_maximises_offset_times_rate(hand_made: Callable[..., Reach]) -> None:
    curve = measured_intensity(hand_made([1] * 10 + [11], spread=[1], seconds=[1.0]), 1)
    assert curve.best_quote() == pytest.approx((0.005, 0.055)) or curve.best_quote() == pytest.approx(
        (0.055, 0.055)
    )
    offset, gain = curve.best_quote(reservation=0.01)
    assert (offset, gain) == pytest.approx((0.055, 0.045))


def test_the_measured_curve_is_unbiased_under_truncation(
    market: Callable[..., Any], drawn: Callable[..., Reach]
) -> None:
    truth = market(A=2.0, k=10.0, spreads=(1, 3, 9))
    at = np.array([0.005, 0.015, 0.045, 0.095, 0.195])
    rates = []
    for seed in range(40):
        reach = drawn(truth, seed)
        rates.append(measured_intensity(reach, 1)(at))
    error = np.std(rates, axis=0, ddof=1) / np.sqrt(40)
    assert np.all(np.abs(np.mean(rates, axis=0) - 2.0 * np.exp(-10.0 * at)) < 3.0 * error)


def test_pooling_doubles_orders_and_time(hand_made: Callable[..., Reach]) -> None:
    bid, ask = hand_made([1, 3], [1], [10.0]), replace(hand_made([1, 5], [1], [10.0]), side="ask")
    both = pooled(bid, ask)
    assert [each.side for each in both] == ["bid", "ask"]
    for each in both:
        np.testing.assert_array_equal(each.level, [1, 3, 5])
        np.testing.assert_array_equal(each.tally.count, [2, 1, 1])
        assert each.duration == 20.0


def test_sellers_fill_bids_and_buyers_fill_asks() -> None:
    time = np.arange(1, 120) * 1_000_000_000
    quotes = Quotes.clean(time, np.full(119, 9.99), np.full(119, 10.0))
    sells, buys = time[2:118:3] + 5, time[3:118:3] + 7
    trades = Trades.clean(
        np.concatenate([sells, buys]),
        np.concatenate([np.full(len(sells), 9.98), np.full(len(buys), 10.0)]),
        np.ones(len(sells) + len(buys)),
        np.concatenate([-np.ones(len(sells)), np.ones(len(buys))]),
    )
    recording = record(quotes, trades, tick_size=0.01)
    orders, blocks = market_orders(recording), cut_into_blocks(recording)
    bid, ask = (measure_reach(recording, orders, side, blocks) for side in ("bid", "ask"))
    assert (bid.reaching(0), ask.reaching(0)) == (len(sells), len(buys))
    assert bid.touch_offset == 0.005 and bid.duration == pytest.approx(118.0)
    with pytest.raises(
        MarketDataError, match=r"0 market orders reached the bid side in 118 s; .* at least 30"
    ):
        measure_reach(recording, replace_side(orders, 1), "bid", blocks)


def replace_side(orders: Any, side: int) -> Any:
    return replace(orders, aggressor=np.full(len(orders), side, dtype=np.int8))


def test_the_recorded_touch_takes_several_times_the_orders_of_the_tail(recorded: tuple[Path, Path]) -> None:
    recording = record(read_quotes(recorded[0]), read_trades(recorded[1]))
    orders, blocks = market_orders(recording), cut_into_blocks(recording)
    for side in ("bid", "ask"):
        reach = measure_reach(recording, orders, side, blocks)
        assert reach.touch == 1  # one tick of spread, most of the time
        whole, tail = fit("exponential", reach, 1), fit("exponential", reach, 3)
        assert whole is not None and tail is not None
        assert not judge(whole, 2, reach, 1).by_chance
        assert 3.0 < measured_intensity(reach, 1).rate[0] / tail(np.array(0.005)) < 6.0
        assert 8.0 < tail["k"] < 12.0 < 30.0 < whole["k"]  # per USD


def test_time_at_each_spread_is_split_at_the_edges_of_blocks() -> None:
    """Half-spreads of 1 for 4 s, 2 for 6 s; blocks of 5 s."""
    time = np.array([0, 4, 10, 11]) * 1_000_000_000
    quotes = Quotes.clean(time, [9.99, 9.98, 9.98, 9.98], [10.0, 10.0, 10.0, 10.0])
    recording = record(quotes, Trades.clean([5], [10.0], [1.0], [1]), tick_size=0.01)
    blocks = Blocks(np.array([[0, 5], [5, 11]]) * 1_000_000_000)
    spread, seconds = time_at_spread(recording, blocks)
    np.testing.assert_array_equal(spread, [1, 2])
    np.testing.assert_allclose(seconds, [[4.0, 1.0], [0.0, 6.0]])


def test_the_first_distance_reached_lies_on_the_lattice_of_the_spread(
    hand_made: Callable[..., Reach],
) -> None:
    """At a half-spread h prices stand at h, h + 2, … half ticks: at h = 2, the first of 3 or more is 4."""
    reach = hand_made([1, 3], spread=[1, 2, 9], seconds=[1.0, 1.0, 1.0])
    np.testing.assert_array_equal(reach.first_reached(3), [3, 4, 9])
    np.testing.assert_array_equal(reach.first_reached(1), [1, 2, 9])
    np.testing.assert_array_equal(reach.first_reached(10), [11, 10, 11])


def test_a_copy_that_takes_every_block_once_is_the_recording(
    market: Callable[..., Any], drawn: Callable[..., Reach]
) -> None:
    reach = drawn(market(spreads=(1, 3)), seed=2)
    at = np.array([0.005, 0.015, 0.045, 0.3])
    once = reach.by_block.weighted(np.ones((1, len(reach.by_block.time))))
    np.testing.assert_allclose(measured_copies(reach, at, once)[0], measured_intensity(reach, 1)(at))
