"""The synthetic market is the one its parameters say."""

import math

import numpy as np
import pytest

from quotegrid.calibration.market_orders import first_prints, market_orders
from quotegrid.calibration.markout import measure_markout
from quotegrid.calibration.recording import record
from quotegrid.calibration.synthetic import DAY, SyntheticMarket

BUSY = SyntheticMarket(
    duration=1200.0, parameters=(4.0, 10.0), spreads=(1, 3), touch_orders=1.0, adverse_move=0.02
)


def test_the_same_seed_draws_the_same_market() -> None:
    (quotes, trades), (again, others) = BUSY.draw(3), BUSY.draw(3)
    np.testing.assert_array_equal(quotes.bid, again.bid)
    np.testing.assert_array_equal(trades.price, others.price)
    assert not np.array_equal(BUSY.draw(4)[1].price[:50], trades.price[:50])


def test_orders_come_at_the_rate_and_reach_as_far_as_they_should() -> None:
    quotes, trades = BUSY.draw(1)
    recording = record(quotes, trades, tick_size=0.01)
    orders = market_orders(recording)
    assert orders.matched.all() and quotes.repairs == () == trades.repairs
    for side in (1, -1):
        count = int((orders.aggressor == side).sum())
        expected = BUSY.order_rate * BUSY.duration
        assert count == pytest.approx(expected, abs=4.0 * math.sqrt(expected))
        far = int((orders.reach[orders.aggressor == side] >= 21).sum())  # 0.105 and more, beyond both touches
        expected = float(BUSY.rate(np.array([0.105]))[0]) * BUSY.duration
        assert far == pytest.approx(expected, abs=4.0 * math.sqrt(expected))


def test_sizes_spreads_and_the_adverse_move_are_those_asked_for() -> None:
    quotes, trades = BUSY.draw(1)
    recording = record(quotes, trades, tick_size=0.01)
    orders = market_orders(recording)
    widths = np.rint((quotes.ask - quotes.bid) / 0.01)
    assert set(widths) == {1.0, 3.0}
    assert np.median(orders.size) == pytest.approx(0.4, rel=0.05)
    assert np.std(np.log(orders.size)) == pytest.approx(1.0, rel=0.05)
    markout = measure_markout(recording, orders, offset=0.005, horizon=0.5)
    move_error = 0.42 * math.sqrt(0.5 / markout.orders)
    assert markout.move == pytest.approx(0.02, abs=4.0 * move_error)
    assert len(first_prints(trades)) == len(orders) + int(not recording.within(trades.time_ns[:1])[0])


def test_the_pace_swings_with_the_day_and_bursts() -> None:
    night = SyntheticMarket(duration=7200.0, quotes_per_second=1.0, day_swing=0.9)
    noon = SyntheticMarket(
        duration=7200.0,
        quotes_per_second=1.0,
        day_swing=0.9,
        begin_ns=night.begin_ns + round(DAY / 2) * 10**9,
    )
    assert len(night.draw(1)[1].price) > 5 * len(noon.draw(1)[1].price)  # cos is 1 at midnight
    calm, wild = SyntheticMarket(duration=2000.0), SyntheticMarket(duration=2000.0, bursts=0.9)
    seconds = [(market.draw(1)[1].time_ns - market.begin_ns) / 1e9 for market in (calm, wild)]
    spread = [np.bincount((each / 5.0).astype(int)).std() for each in seconds]
    assert spread[1] > 1.5 * spread[0]
