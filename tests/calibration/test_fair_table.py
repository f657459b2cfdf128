"""Tables that are fair, follow the measured curve, and change no best quote."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotegrid.calibration.blocks import cut_into_blocks
from quotegrid.calibration.csv_files import read_quotes, read_trades
from quotegrid.calibration.fair_table import (
    FairTable,
    candidate_offsets,
    fit_fair_table,
    interpolate,
    is_fair,
    lower_hull,
    smooth_curve,
)
from quotegrid.calibration.intensity import MeasuredIntensity, measure_reach, measured_intensity
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.market_orders import market_orders
from quotegrid.calibration.recording import record
from quotegrid.models.tabulated import Tabulated, pchip


def curve_of(offset: np.ndarray, count: np.ndarray, seconds: float = 600.0) -> MeasuredIntensity:
    return MeasuredIntensity(offset, count / seconds, count.astype(np.int64))


def heavy_touch() -> MeasuredIntensity:
    """Six times the tail's orders at the touch, as on the recorded markets."""
    offset = 0.005 + 0.01 * np.arange(60)
    count = np.rint(400.0 * np.exp(-9.0 * offset)).astype(int)
    count[0] = 2400
    keep = np.concatenate([[True], np.diff(count) < 0]) & (count > 0)
    return curve_of(offset[keep], count[keep])


def model_of(table: FairTable) -> Tabulated:
    """The block a problem file would make of it."""
    return Tabulated.model_validate({"offset": list(table.offset), "log_rate": list(table.log_rate)})


def unfair_at(table: FairTable) -> float | None:
    return model_of(table).unfair_offset(-np.inf, np.inf, 1.0, 0.0)


def test_the_hull_is_the_greatest_convex_minorant(rng: np.random.Generator) -> None:
    for _ in range(30):
        x = np.cumsum(rng.uniform(0.1, 1.0, 12))
        y = np.cumsum(rng.exponential(size=12))
        hull = lower_hull(x, y)
        slopes = [(y[b] - y[a]) / (x[b] - x[a]) for a, b in pairwise(hull)]
        assert hull[0] == 0 and hull[-1] == 11 and all(low < high for low, high in pairwise(slopes))
        assert np.all(np.interp(x, x[hull], y[hull]) <= y + 1e-12)


def test_the_minorant_of_the_reciprocal_keeps_every_hamiltonian(rng: np.random.Generator) -> None:
    """The theorem on top of the module, by brute force over reservation offsets."""
    for _ in range(30):
        offset = np.cumsum(rng.uniform(0.1, 1.0, 15))
        rate = np.sort(rng.exponential(size=15))[::-1] + 0.01
        vertices = lower_hull(offset, 1.0 / rate)
        for p in np.linspace(-5.0, offset[-1] - 1e-3, 60):
            assert np.max(rate * (offset - p)) == pytest.approx(
                np.max((rate * (offset - p))[vertices]), rel=1e-12
            )


def test_a_heavy_touch_is_bridged_and_said_so() -> None:
    curve = heavy_touch()
    table = fit_fair_table(curve)
    assert unfair_at(table) is None
    bridge = table.bridges[0]
    assert bridge.low == 0.005 and 0.05 < bridge.high < 0.2 and bridge.excess > 1.5
    assert table(np.array([0.005]))[0] == pytest.approx(curve.rate[0], rel=1e-4)  # the touch itself is kept
    between = curve.offset[(curve.offset > bridge.low) & (curve.offset < bridge.high)]
    assert (table(between) / curve(between)).max() == pytest.approx(bridge.excess)
    assert table.gain_error < 0.1 and table.moved < 0.06 and table.vertices[0] == 0.005


def test_an_exponential_curve_needs_no_bridge_and_is_hardly_moved() -> None:
    offset = 0.005 + 0.01 * np.arange(40)
    count = np.rint(4000.0 * np.exp(-9.0 * offset))
    table = fit_fair_table(curve_of(offset, count))
    assert unfair_at(table) is None and table.bridges == () and table.moved < 0.02
    inside = offset[(offset >= table.offset[0]) & (offset <= table.offset[-1])]
    np.testing.assert_allclose(table(inside), 4000.0 / 600.0 * np.exp(-9.0 * inside), rtol=0.04)


@settings(max_examples=40)  # each tries up to 36 tables
@given(
    falls=st.lists(st.floats(0.01, 1.5), min_size=4, max_size=40),
    gaps=st.lists(st.integers(1, 6), min_size=40, max_size=40),
    touch=st.floats(1.0, 12.0),
)
def test_whatever_was_measured_the_table_is_fair_and_decreasing(
    falls: list[float], gaps: list[int], touch: float
) -> None:
    offset = 0.005 * np.cumsum(gaps[: len(falls)])
    rate = 1e4 * np.exp(-np.cumsum(falls))
    rate[0] *= touch
    count = np.maximum(np.rint(rate), 1.0)
    keep = np.concatenate([[True], np.diff(count) < 0])
    curve = curve_of(offset[keep], count[keep])
    if len(candidate_offsets(curve, 15)) < 2:
        return
    table = fit_fair_table(curve)
    assert np.all(np.diff(table.offset) > 0.0) and np.all(np.diff(table.log_rate) < 0.0)
    assert unfair_at(table) is None


def test_vertices_stand_on_enough_orders_and_apart() -> None:
    curve = heavy_touch()
    chosen = candidate_offsets(curve, fewest=15)
    assert chosen[0] == 0 and curve.count[chosen[-1]] >= 15
    assert all(curve.count[a] - curve.count[b] >= 15 for a, b in pairwise(chosen))
    assert all(curve.rate[a] >= 1.25 * curve.rate[b] for a, b in pairwise(chosen))
    assert len(chosen) <= 14


def test_too_few_orders_are_refused() -> None:
    with pytest.raises(
        MarketDataError, match=r"1 distance\(s\) are reached by 15 or more of the 40 market orders"
    ):
        fit_fair_table(curve_of(np.array([0.005, 0.015]), np.array([40, 3])))


def test_the_table_is_read_as_the_model_reads_it(x64: None) -> None:
    table = fit_fair_table(heavy_touch())
    model = model_of(table)
    offset = np.linspace(-0.1, 0.8, 91)
    np.testing.assert_allclose(np.log(table(offset)), np.asarray(model.log_rate(offset)), atol=1e-12)


@pytest.mark.parametrize("room", [0.05, 0.3, 1.0])
def test_without_a_window_the_smooth_curve_is_the_minorant(room: float) -> None:
    """Through the vertices, with (1/Λ)^(1-ε) linear between them (ln Λ where ε = 1)."""
    x, s = np.array([0.0, 0.2, 0.3]), np.array([0.0, 0.5, 1.5])
    fine, offset = smooth_curve(x, s, room, window=0.0)
    np.testing.assert_allclose(np.interp(s, fine, offset), x, atol=1e-3)
    height = fine if room == 1.0 else np.exp((1.0 - room) * fine)
    at = np.exp((1.0 - room) * s) if room < 1.0 else s
    np.testing.assert_allclose(np.interp(offset, x, at), height, rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize(("room", "window"), [(0.1, 0.3), (0.3, 0.7), (1.0, 5.0)])
def test_smoothing_keeps_the_bound_on_the_slope(room: float, window: float, rng: np.random.Generator) -> None:
    """(1/h)' ≤ 1 - ε all along, for vertices of a minorant."""
    x = np.cumsum(rng.uniform(0.01, 0.1, 8))
    w = np.cumsum(rng.exponential(size=8)) + 0.1
    y = w if room == 1.0 else w ** (1.0 / (1.0 - room))  # any heights; their minorant has the bound
    hull = lower_hull(x, w)
    s = w[hull] if room == 1.0 else np.log(y[hull])
    fine, offset = smooth_curve(x[hull], s, room, window)
    markup = np.diff(offset) / np.diff(fine)
    assert (np.diff(markup) / (0.5 * (offset[2:] - offset[:-2]))).max() <= 1.0 - room + 1e-6


def test_what_the_model_would_refuse_is_not_fair() -> None:
    table = fit_fair_table(heavy_touch())
    assert is_fair(table)
    knots = np.array([0.0, 0.5, 2.0])
    steep_then_flat = replace(table, offset=knots, log_rate=np.array([0.0, -5.0, -5.1]))
    assert not is_fair(steep_then_flat)
    cubics = pchip(np, knots, steep_then_flat.log_rate)
    np.testing.assert_allclose(interpolate(cubics, knots), steep_then_flat.log_rate, atol=1e-12)


@pytest.mark.parametrize("queue_start", [0, 2])
def test_the_recorded_markets_get_fair_tables(recorded: tuple[Path, Path], queue_start: int) -> None:
    recording = record(read_quotes(recorded[0]), read_trades(recorded[1]))
    orders = market_orders(recording)
    for side in ("bid", "ask"):
        reach = measure_reach(recording, orders, side, cut_into_blocks(recording))
        table = fit_fair_table(measured_intensity(reach, reach.touch + queue_start))
        assert unfair_at(table) is None
        assert bool(table.bridges) == (queue_start == 0)
        assert table.moved < 0.06 and table.gain_error < 0.12


def test_a_synthetic_market_is_found_within_its_noise(market: Callable[..., Any]) -> None:
    truth = market(A=4.0, k=10.0, duration=1200.0)
    recording = record(*truth.draw(4), tick_size=truth.tick)
    reach = measure_reach(recording, market_orders(recording), "ask", cut_into_blocks(recording))
    curve = measured_intensity(reach, 1)
    table = fit_fair_table(curve)
    at = table.vertices
    error = 1.0 / np.sqrt(curve.count[np.searchsorted(curve.offset, at - 1e-9)])
    assert np.all(np.abs(np.log(table(at) / (4.0 * np.exp(-10.0 * at)))) < 3.0 * error)
