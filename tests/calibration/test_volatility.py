"""σ from a noisy mid: unbiased under noise of either sign, with an error that is honest."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quotegrid.calibration.csv_files import read_quotes, read_trades
from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades
from quotegrid.calibration.recording import Recording, record
from quotegrid.calibration.synthetic import SyntheticMarket
from quotegrid.calibration.volatility import (
    autocovariances,
    estimate_volatility,
    mid_on_grid,
    parzen,
    realised_kernel,
    realised_volatility,
)

SECOND = 1_000_000_000


def recording_of(seconds: np.ndarray, mid: np.ndarray, tick: float = 1e-6) -> Recording:
    """Quotes one tick around a mid, and one trade."""
    time = SECOND + np.rint(seconds * SECOND).astype(np.int64)
    ticks = np.rint(mid / tick).astype(int)
    quotes = Quotes.clean(time, (ticks - 1) * tick, (ticks + 1) * tick)
    trades = Trades.clean([int(time[len(time) // 2])], [ticks[0] * tick], [1.0], [1])
    return record(quotes, trades, tick_size=tick)


def brownian(
    rng: np.random.Generator, sigma: float, duration: float, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """A Brownian mid seen at random times."""
    seconds = np.sort(rng.uniform(0.0, duration, int(rate * duration)))
    moves = rng.normal(size=len(seconds) - 1) * sigma * np.sqrt(np.diff(seconds))
    return seconds, 1000.0 + np.concatenate([[0.0], np.cumsum(moves)])


def test_parzen_has_the_values_of_its_definition() -> None:
    x = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.5])
    np.testing.assert_allclose(parzen(x), [1.0, 1 - 6 / 16 + 6 / 64, 0.25, 2 / 64, 0.0, 0.0])
    fine = np.linspace(0.0, 1.0, 100_001)
    assert np.trapezoid(parzen(fine) ** 2, fine) == pytest.approx(151 / 560, abs=1e-9)


def test_autocovariances_are_sums_of_products_within_segments(rng: np.random.Generator) -> None:
    segments = [rng.normal(size=n) for n in (7, 1, 4)]
    slow = [sum(r[i] * r[i - h] for r in segments for i in range(h, len(r))) for h in range(6)]
    np.testing.assert_allclose(autocovariances(segments, 5), slow, atol=1e-14)


def test_the_kernel_is_never_negative(rng: np.random.Generator) -> None:
    for _ in range(50):
        bounce = rng.choice([-1.0, 1.0], 200)
        assert realised_kernel(autocovariances([np.diff(bounce)], 40), 40) >= 0.0


def test_the_prevailing_mid_is_taken_and_gaps_are_kept_apart() -> None:
    quotes = Quotes.clean(np.array([0, 10, 25, 1000, 1010]) * SECOND, [1.0, 2, 3, 4, 5], [2.0, 3, 4, 5, 6])
    recording = record(quotes, Trades.clean([5 * SECOND], [1.0], [1.0], [1]), max_gap=100.0)
    first, second = mid_on_grid(recording, 5.0)
    np.testing.assert_array_equal(first, [1.5, 1.5, 2.5, 2.5, 2.5, 2.5])  # the last quote holds for no time
    np.testing.assert_array_equal(second, [4.5, 4.5, 4.5])


def test_realised_volatility_of_a_straight_line() -> None:
    seconds = np.linspace(0.0, 100.0, 100_001)
    recording = recording_of(seconds, 1000.0 + 0.1 * seconds)
    assert realised_volatility(recording, 4.0) == pytest.approx(0.4 / np.sqrt(4.0), rel=2e-3)


@pytest.mark.parametrize(
    ("noise", "tick"),
    [("none", 1e-6), ("bounce", 1e-6), ("bounce", 0.05), ("sluggish", 1e-6)],
)
def test_sigma_is_found_under_noise_with_an_honest_error(noise: str, tick: float) -> None:
    """24 recordings of ten minutes: the mean is the truth within its error, the spread is the error claimed.

    Bounce: each mid is off by ±0.1, as much as it moves in 60 ms, then rounded to the tick. Sluggish: quotes
    follow the price as its average over the last 20 quotes, one second, so that squared moves over short
    intervals are far too small.
    """
    sigma, found, claimed, short, bandwidths = 0.4, [], [], [], []
    for seed in range(24):
        rng = np.random.default_rng(1000 + seed)
        seconds, mid = brownian(rng, sigma, 600.0, rate=20.0)
        if noise == "bounce":
            mid = mid + rng.choice([-0.1, 0.1], len(mid))
        if noise == "sluggish":
            mid = np.convolve(np.concatenate([np.full(19, mid[0]), mid]), np.full(20, 1 / 20), mode="valid")
        volatility = estimate_volatility(recording_of(seconds, mid, tick))
        found.append(volatility.sigma)
        claimed.append(volatility.standard_error)
        short.append(volatility.realised_sigma[0])
        bandwidths.append(volatility.bandwidth)
    spread = np.std(found, ddof=1)
    # the spread of 24 draws is itself known to 1/√(2·23) = 15 %: three times that either way
    assert 0.55 < spread / np.mean(claimed) < 1.45
    expected = sigma
    if (
        noise == "sluggish"
    ):  # averages over W = 1 s have autocovariances on a triangle, which Parzen's weights cut:
        b = np.mean(bandwidths)  # E k(x/B) = 1 - (W/B)² + 0.6(W/B)³ of the variance is left
        expected *= np.sqrt(1.0 - b**-2 + 0.6 * b**-3)
        assert expected > 0.95 * sigma
    assert abs(np.mean(found) - expected) < 3.0 * spread / np.sqrt(24)
    if noise == "bounce":
        assert np.mean(short) > 1.5 * sigma
    if noise == "sluggish":
        assert np.mean(short) < 0.7 * sigma


def test_more_noise_and_fewer_changes_widen_the_bandwidth(rng: np.random.Generator) -> None:
    """B/T = c ξ^{4/5} n^{-2/5}: with the least noise assumed it is known exactly."""
    seconds, mid = brownian(rng, 0.4, 600.0, rate=20.0)
    quiet = estimate_volatility(recording_of(seconds, mid))
    assert quiet.bandwidth / quiet.intervals[-1] / 20.0 == pytest.approx(
        3.5134 * 1e-3**0.4 * 11_999**-0.4, rel=1e-3
    )
    loud = estimate_volatility(recording_of(seconds, mid + rng.choice([-1.0, 1.0], len(mid))))
    assert loud.bandwidth > 1.5 * quiet.bandwidth
    assert loud.sigma == pytest.approx(0.4, abs=4.0 * loud.standard_error)
    seldom = estimate_volatility(recording_of(seconds[::10], mid[::10]))
    assert seldom.bandwidth / quiet.bandwidth == pytest.approx(10**0.4, rel=0.01)
    assert seldom.standard_error > 1.4 * quiet.standard_error


@pytest.mark.parametrize(("every", "lost"), [(120.0, 40.0), (10.0, 1.0)])
def test_pauses_do_not_bias_the_volatility(every: float, lost: float) -> None:
    """Ten half hours of a market that stops again and again: 0.33 for 0.4 while stretches counted in full."""
    found = []
    for seed in range(10):
        quotes, trades = SyntheticMarket(duration=1800.0, volatility=0.4).draw(seed)
        begin = quotes.time_ns[0] + np.arange(every, 1800.0 - every, every) * 1e9
        pauses = np.column_stack([begin, begin + lost * 1e9]).astype(np.int64)
        recording = record(replace(quotes, pauses_ns=pauses), trades)
        found.append(estimate_volatility(recording))
        assert recording.stretch == pytest.approx(every - lost, rel=0.01)
        assert found[-1].bandwidth <= 0.25 * recording.stretch * (1.0 + 1e-9)
        assert np.isfinite(found[-1].realised_sigma).all()
    error = float(np.mean([each.standard_error for each in found])) / math.sqrt(10.0)
    assert np.mean([each.sigma for each in found]) == pytest.approx(0.4, abs=3.0 * error)


def test_stretches_shorter_than_the_bandwidth_are_refused() -> None:
    quotes, trades = SyntheticMarket(duration=1200.0).draw(1)
    begin = quotes.time_ns[0] + np.arange(2.0, 1198.0, 2.0) * 1e9
    pauses = np.column_stack([begin, begin + 0.5e9]).astype(np.int64)
    with pytest.raises(
        MarketDataError,
        match=r"gaps that are 1\.5 s apart or less, and its volatility needs .* a larger max_gap",
    ):
        estimate_volatility(record(replace(quotes, pauses_ns=pauses), trades))


def test_the_unit_is_price_per_root_second(rng: np.random.Generator) -> None:
    seconds, mid = brownian(rng, 0.4, 600.0, rate=20.0)
    once = estimate_volatility(recording_of(seconds, mid))
    tenfold = estimate_volatility(recording_of(seconds, 10.0 * mid))
    slower = estimate_volatility(recording_of(4.0 * seconds, mid))
    assert tenfold.sigma == pytest.approx(10.0 * once.sigma, rel=1e-4)
    assert slower.sigma == pytest.approx(0.5 * once.sigma, rel=1e-4)


def test_a_mid_that_hardly_moves_is_refused() -> None:
    seconds = np.linspace(0.0, 60.0, 600)
    with pytest.raises(
        MarketDataError, match=r"the mid changes 1 times in 60 s of quotes; .* 100 changes or more"
    ):
        estimate_volatility(recording_of(seconds, np.where(seconds < 30.0, 10.0, 10.5), tick=0.01))


def test_the_recorded_markets_reprice_slowly(recorded: tuple[Path, Path]) -> None:
    """Short moves understate both markets; beyond seconds the signature plot is flat, and σ lies there."""
    volatility = estimate_volatility(record(read_quotes(recorded[0]), read_trades(recorded[1])))
    assert volatility.realised_sigma[0] < 0.8 * volatility.sigma
    plateau = volatility.realised_sigma[volatility.intervals > 5.0]
    assert np.all(np.abs(plateau - volatility.sigma) < 2.0 * volatility.standard_error)
    assert 0.37 < volatility.sigma < 0.42  # USD per √s
