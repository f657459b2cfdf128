"""Λ̂, its exponential by maximum likelihood, and the words on how well it fits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from quotegrid.calibration.csv_files import read_quotes, read_trades
from quotegrid.calibration.intensity import (
    ExponentialFit,
    Reach,
    fit_exponential,
    judge,
    measure_reach,
    measured_intensity,
    pooled,
)
from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades
from quotegrid.calibration.market_orders import market_orders
from quotegrid.calibration.recording import record

HALF_TICK = 0.005


def hand_made(distance: list[int], spread: list[int], seconds: list[float]) -> Reach:
    return Reach("bid", np.sort(distance), np.array(spread), np.array(seconds), HALF_TICK, spread[0])


def drawn(market: Any, seed: int) -> Reach:
    recording = record(*market.draw(seed), tick_size=market.tick)
    return measure_reach(recording, market_orders(recording), "ask")


def log_likelihood(reach: Reach, A: float, k: float, start: int) -> float:
    """The likelihood as the module states it, term by term."""
    total = 0.0
    for distance in reach.distance[reach.distance >= start] * HALF_TICK:
        total += np.log(A * np.exp(-k * distance) * (1.0 - np.exp(-2.0 * k * HALF_TICK)))
    for spread, seconds in zip(reach.spread, reach.spread_time, strict=True):
        total -= A * np.exp(-k * max(spread, start) * HALF_TICK) * seconds
    return total


def test_the_measured_curve_weighs_each_order_by_the_time_it_could_be_seen() -> None:
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


def test_the_best_measured_quote_maximises_offset_times_rate() -> None:
    curve = measured_intensity(hand_made([1] * 10 + [11], spread=[1], seconds=[1.0]), 1)
    assert curve.best_quote() == pytest.approx((0.005, 0.055)) or curve.best_quote() == pytest.approx(
        (0.055, 0.055)
    )
    offset, gain = curve.best_quote(reservation=0.01)
    assert (offset, gain) == pytest.approx((0.055, 0.045))


@pytest.mark.parametrize("start", [1, 3, 5])
def test_the_exponential_maximises_its_likelihood(start: int, rng: np.random.Generator) -> None:
    distance = list(1 + 2 * rng.geometric(0.25, 200)) + [3] * 20
    reach = hand_made([int(d) for d in distance], spread=[1, 2, 9], seconds=[50.0, 30.0, 5.0])
    fit = fit_exponential(reach, start)
    assert fit is not None
    best = minimize(
        lambda x: -log_likelihood(reach, np.exp(x[0]), np.exp(x[1]), start),
        np.log([5.0, 20.0]),
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-10, "maxiter": 4000},
    )
    np.testing.assert_allclose([fit.A, fit.k], np.exp(best.x), rtol=1e-5)  # √ of the simplex's tolerance
    assert fit.start == start * HALF_TICK and fit.orders == int((reach.distance >= start).sum())
    assert judge(fit, 2, reach, start).log_likelihood == pytest.approx(
        log_likelihood(reach, fit.A, fit.k, start)
    )


def test_known_parameters_are_recovered_under_truncation_at_a_wide_touch(market: Callable[..., Any]) -> None:
    """Spreads of 1, 3 and 9 ticks hide what would have reached less; 40 seeds, three standard errors."""
    truth = market(A=2.0, k=10.0, spreads=(1, 3, 9))
    for start_from in (0, 2):
        found = []
        for seed in range(40):
            reach = drawn(truth, seed)
            fit = fit_exponential(reach, int(reach.spread[0]) + start_from)
            assert fit is not None
            found.append([fit.A, fit.k])
        error = np.std(found, axis=0, ddof=1) / np.sqrt(40)
        assert np.all(np.abs(np.mean(found, axis=0) - [2.0, 10.0]) < 3.0 * error)
        assert np.all(error < [0.03, 0.1])


def test_the_measured_curve_is_unbiased_under_truncation(market: Callable[..., Any]) -> None:
    truth = market(A=2.0, k=10.0, spreads=(1, 3, 9))
    at = np.array([0.005, 0.015, 0.045, 0.095, 0.195])
    rates = []
    for seed in range(40):
        reach = drawn(truth, seed)
        rates.append(measured_intensity(reach, 1)(at))
    error = np.std(rates, axis=0, ddof=1) / np.sqrt(40)
    assert np.all(np.abs(np.mean(rates, axis=0) - 2.0 * np.exp(-10.0 * at)) < 3.0 * error)


def test_an_exponential_is_called_one_and_a_heavy_touch_is_not(market: Callable[..., Any]) -> None:
    verdicts = {"plain": [], "heavy": [], "behind": []}
    for seed in range(20):
        for name, truth, start in (
            ("plain", market(), 1),
            ("heavy", market(touch_orders=4.0), 1),
            ("behind", market(touch_orders=4.0), 3),
        ):
            reach = drawn(truth, seed)
            fit = fit_exponential(reach, start)
            assert fit is not None
            verdicts[name].append(judge(fit, 2, reach, start).by_chance)
    assert np.mean(verdicts["plain"]) >= 0.9
    assert not any(verdicts["heavy"])
    assert np.mean(verdicts["behind"]) >= 0.9


def test_the_gap_is_what_it_says(rng: np.random.Generator) -> None:
    reach = hand_made([1] * 60 + [3] * 40, spread=[1], seconds=[10.0])
    candidate = ExponentialFit(A=20.0, k=30.0, start=0.005, orders=100)
    fit = judge(candidate, 2, reach, 1)
    assert fit.gap == pytest.approx(abs(0.4 - np.exp(-30.0 * 0.01)))  # share reaching 0.015, seen and said
    assert fit.chance == pytest.approx(0.136)
    assert fit.aic == pytest.approx(4.0 - 2.0 * fit.log_likelihood)


def test_pooling_doubles_orders_and_time() -> None:
    bid, ask = hand_made([1, 3], [1], [10.0]), replace(hand_made([1, 5], [1], [10.0]), side="ask")
    both = pooled(bid, ask)
    assert [each.side for each in both] == ["bid", "ask"]
    for each in both:
        np.testing.assert_array_equal(each.distance, [1, 1, 3, 5])
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
    orders = market_orders(recording)
    bid, ask = measure_reach(recording, orders, "bid"), measure_reach(recording, orders, "ask")
    assert (len(bid.distance), len(ask.distance)) == (len(sells), len(buys))
    assert bid.touch_offset == 0.005 and bid.duration == pytest.approx(118.0)
    with pytest.raises(
        MarketDataError, match=r"0 market orders reached the bid side in 118 s; .* at least 30"
    ):
        measure_reach(recording, replace_side(orders, 1), "bid")


def replace_side(orders: Any, side: int) -> Any:
    return replace(orders, aggressor=np.full(len(orders), side, dtype=np.int8))


def test_too_few_orders_or_one_distance_make_no_exponential() -> None:
    assert fit_exponential(hand_made([1, 3] * 14, [1], [10.0]), 1) is None
    assert fit_exponential(hand_made([1] * 40, [1], [10.0]), 1) is None


def test_the_recorded_touch_takes_several_times_the_orders_of_the_tail(recorded: tuple[Path, Path]) -> None:
    recording = record(read_quotes(recorded[0]), read_trades(recorded[1]))
    orders = market_orders(recording)
    for side in ("bid", "ask"):
        reach = measure_reach(recording, orders, side)
        assert reach.touch == 1  # one tick of spread, most of the time
        whole, tail = fit_exponential(reach, 1), fit_exponential(reach, 3)
        assert whole is not None and tail is not None
        assert not judge(whole, 2, reach, 1).by_chance
        assert 3.0 < measured_intensity(reach, 1).rate[0] / tail(np.array(0.005)) < 6.0
        assert 8.0 < tail.k < 12.0 < 30.0 < whole.k  # per USD
