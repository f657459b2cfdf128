"""Order sizes, contracts, and what the mid does after an order."""

import numpy as np
import pytest

from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades
from quotegrid.calibration.market_orders import market_orders
from quotegrid.calibration.markout import horizons, measure_markout
from quotegrid.calibration.recording import record
from quotegrid.calibration.sizes import Contract, OrderSizes, round_down

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("size", "lot"),
    [(0.213, 0.2), (0.2, 0.2), (0.199, 0.1), (57.0, 50.0), (1.0, 1.0), (0.05, 0.05), (9.99, 5.0)],
)
def test_the_lot_is_a_round_size_that_half_of_the_orders_reach(size: float, lot: float) -> None:
    assert round_down(size) == lot
    assert OrderSizes.measure(np.array([0.1 * size, size, 9.0 * size]), 1.0).lot() == lot


def test_shares_and_quantiles() -> None:
    sizes = OrderSizes.measure(np.array([4.0, 1.0, 2.0, 3.0]), unit=0.5)
    np.testing.assert_array_equal(sizes.size, [0.5, 1.0, 1.5, 2.0])
    assert sizes.share_of_at_least(1.0) == 0.75
    assert sizes.share_of_at_least(2.1) == 0.0
    assert sizes.quantile(0.5) == 1.25


def test_an_inverse_contract_is_its_value_over_the_frozen_price() -> None:
    assert Contract(10.0, inverse=True).units(2500.0) == 0.004
    assert Contract(0.1).units(2500.0) == 0.1
    # n contracts from S0 to S earn n·c·(1/S0 - 1/S) units, worth n·c/S0·(S - S0) at S: linear in S
    n, c, S0, S = 7.0, 10.0, 2500.0, 2600.0
    assert n * c * (1 / S0 - 1 / S) * S == pytest.approx(n * Contract(c, inverse=True).units(S0) * (S - S0))


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_a_contract_without_size_is_refused(size: float) -> None:
    with pytest.raises(MarketDataError, match="contract_size is"):
        Contract(size)


def test_markout_is_the_mean_move_with_the_aggressor_of_orders_that_reached_far_enough() -> None:
    """Two buys and a sell: the mid rises by 0.04 a second after the first, falls by 0.02 after the sell."""
    mids = np.array([10.00, 10.04, 10.04, 10.02, 10.02])
    time = np.array([1.0, 2.5, 4.0, 5.5, 30.0])
    quotes = Quotes.clean(np.rint(time * SECOND).astype(np.int64), mids - 0.01, mids + 0.01)
    trades = Trades.clean(
        (np.array([2.0, 2.0 + 1e-6, 5.0, 29.5]) * SECOND).astype(np.int64),
        [10.01, 10.03, 10.03, 10.03],
        np.ones(4),
        [1, 1, -1, 1],
    )
    recording = record(quotes, trades, tick_size=0.01)
    orders = market_orders(recording)
    np.testing.assert_array_equal(orders.reach, [6, 2, 2])  # half ticks
    every = measure_markout(recording, orders, offset=0.01)
    assert every.orders == 2  # a second after the last order nothing is recorded
    assert every.move == pytest.approx((0.04 + 0.02) / 2)
    far = measure_markout(recording, orders, offset=0.02)
    assert (far.orders, far.move) == (1, pytest.approx(0.04))
    assert np.isnan(measure_markout(recording, orders, offset=1.0).move)
    buyers = measure_markout(recording, orders, offset=0.01, aggressor=1)
    assert (buyers.orders, buyers.move) == (1, pytest.approx(0.04))


def test_horizons_are_those_a_recording_has_room_for() -> None:
    assert horizons(600.0, 600.0, 1.0) == (0.1, 0.3, 1.0, 3.0)
    assert horizons(600.0, 600.0, 20.0) == (0.1, 0.3, 1.0, 3.0, 20.0)
    assert horizons(86_400.0, 1000.0, 1.0)[-1] == 30.0
    assert horizons(86_400.0, 5.0, 1.0)[-1] == 1.0  # the mid is hardly ever known 3 s later


def test_the_ladder_climbs_from_the_lot_as_far_as_ten_orders_reach() -> None:
    sizes = OrderSizes.measure(np.array([1.0] * 20 + [2.0] * 12 + [5.0] * 10 + [10.0] * 9), 1.0)
    assert sizes.ladder() == (2.0, 4.0)  # 31 and 19 orders; 9 reach 10
