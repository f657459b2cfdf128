"""Factors over the day: found where they are, refused where the recording is short."""

from dataclasses import replace

import numpy as np

from quotegrid.calibration import calibrate
from quotegrid.calibration.blocks import cut_into_blocks
from quotegrid.calibration.market_orders import market_orders
from quotegrid.calibration.recording import record
from quotegrid.calibration.seasonality import DayFactor, measure_day
from quotegrid.calibration.synthetic import BEGIN, DAY, SyntheticMarket
from quotegrid.calibration.volatility import block_variances, estimate_volatility

HOUR_NS = 3_600_000_000_000
MORNING = SyntheticMarket(
    duration=14_400.0,
    quotes_per_second=2.0,
    parameters=(0.6, 10.0),
    day_swing=0.6,
    begin_ns=BEGIN + 9 * HOUR_NS,
)


def day_of(market: SyntheticMarket, seed: int) -> DayFactor | str:
    recording = record(*market.draw(seed), tick_size=market.tick)
    blocks = cut_into_blocks(recording)
    variance = block_variances(recording, estimate_volatility(recording).bandwidth, blocks)
    return measure_day(recording, market_orders(recording), blocks, variance)


def test_a_swing_over_the_day_is_found_and_a_constant_volatility_is_left_alone() -> None:
    day = day_of(MORNING, 1)
    assert isinstance(day, DayFactor)
    np.testing.assert_allclose(day.begin, np.arange(9.0, 13.0, 0.5))
    assert day.width == 0.5 and day.days == 1
    seconds = MORNING.begin_ns / 1e9 + np.arange(0.5, MORNING.duration)
    pace = 1.0 + 0.6 * np.cos(2.0 * np.pi * seconds / DAY)
    truth = pace.reshape(8, -1).mean(axis=1) / pace.mean()
    assert np.all(np.abs(day.rate - truth) < 3.0 * day.rate_error)
    assert np.all(np.abs(day.volatility - 1.0) < 3.5 * day.volatility_error)
    assert day.rate_chance < 1e-6 and day.volatility_chance > 1e-3


def test_without_a_swing_chance_explains_the_factors() -> None:
    found = [day_of(replace(MORNING, day_swing=0.0), seed) for seed in range(8)]
    chances = [day.rate_chance for day in found if isinstance(day, DayFactor)]
    assert len(chances) == 8 and min(chances) > 0.002 and np.mean(chances) > 0.25


def test_the_report_and_the_picture_tell_the_day() -> None:
    calibration = calibrate(*MORNING.draw(1), tick_size=0.01)
    text = calibration.summary()
    assert "By time of day (one day's), of the mean:" in text and "the rate of orders from 0." in text
    assert max(map(len, text.splitlines())) <= 112
    titles = [axes.get_title(loc="left") for axes in calibration.figure().axes]
    assert len(titles) == 8 and titles[-1] == "Volatility over the day, ÷ its mean"


def test_a_short_recording_says_what_is_missing() -> None:
    told = day_of(SyntheticMarket(duration=600.0), 1)
    assert told == (
        "not estimated: 1 half hour with enough orders in 600 s, 4 are needed: record for longer."
    )
