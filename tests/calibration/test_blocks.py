"""Blocks and weighted copies: sums, lengths, and errors that are honest where orders come in bursts."""

from dataclasses import replace

import numpy as np
import pytest

from quotegrid.calibration.blocks import Blocks, Copies, cut_into_blocks
from quotegrid.calibration.market_data import Quotes, Trades
from quotegrid.calibration.market_orders import market_orders
from quotegrid.calibration.recording import Recording, record
from quotegrid.calibration.synthetic import SyntheticMarket
from quotegrid.calibration.volatility import LAGS, block_variances, estimate_volatility, mid_on_grid

SECOND = 1_000_000_000


def recording_of(seconds: list[float]) -> Recording:
    time = np.rint(np.array(seconds) * SECOND).astype(np.int64)
    quotes = Quotes.clean(time, np.full(len(time), 9.99), np.full(len(time), 10.0))
    return record(quotes, Trades.clean([int(time[0]) + 1], [10.0], [1.0], [1]), max_gap=30.0)


def test_blocks_grow_like_the_cube_root_and_do_not_cross_gaps() -> None:
    regular = cut_into_blocks(recording_of(list(np.arange(0.0, 1001.0))))
    assert len(regular) == 50 and np.allclose(regular.seconds, 20.0)  # 2·1000^(1/3)
    assert len(cut_into_blocks(recording_of(list(np.arange(0.0, 1001.0))), least=50.0)) == 20
    assert len(cut_into_blocks(recording_of(list(np.arange(0.0, 1001.0))), least=500.0)) == 20
    assert len(cut_into_blocks(recording_of(list(np.arange(0.0, 400_000.0, 20.0))))) == 400
    gap = cut_into_blocks(recording_of([*np.arange(0.0, 101.0), *np.arange(200.0, 251.0)]))
    assert not np.any((gap.edge_ns[:, 0] < 150 * SECOND) & (gap.edge_ns[:, 1] > 150 * SECOND))
    assert gap.seconds.sum() == pytest.approx(150.0)


def test_instants_belong_to_the_block_they_end() -> None:
    blocks = Blocks(np.array([[0, 10], [10, 20], [50, 60]]))
    np.testing.assert_array_equal(blocks.of(np.array([1, 10, 11, 20, 51, 60])), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(blocks.sums(np.array([1, 10, 60])), [2.0, 0.0, 1.0])
    np.testing.assert_array_equal(
        blocks.sums(np.array([1, 10, 60]), np.array([5.0, -1.0, 2.0])), [4.0, 0.0, 2.0]
    )
    weights = blocks.weights(copies=50)
    assert weights.shape == (50, 3) and np.all(weights.sum(axis=1) == 3.0)
    np.testing.assert_array_equal(weights, blocks.weights(copies=50))


def test_errors_are_spreads_on_the_scale_of_the_estimate() -> None:
    blocks = Blocks(np.array([[i, i + 1] for i in range(25)]))
    draws = np.random.default_rng(3).normal(size=(2, 40_000))
    copies = Copies(blocks, {"x": np.log(5.0) + 0.1 * draws[0], "y": 2.0 + 0.3 * (draws[0] + draws[1])})
    few = np.sqrt(25 / 24)
    assert copies.standard_error("x", 5.0) == pytest.approx(0.5 * few, rel=0.02)
    assert copies.standard_error("y", 2.0, positive=False) == pytest.approx(
        0.3 * np.sqrt(2.0) * few, rel=0.02
    )
    low, high = copies.interval("x", 5.0)
    assert np.sqrt(low * high) == pytest.approx(5.0) and blocks.quantile == pytest.approx(2.0639, abs=1e-4)
    assert np.log(high / 5.0) == pytest.approx(2.0639 * 0.1 * few, rel=0.02)
    correlation = copies.correlation(("x", "y"))
    assert correlation[0, 1] == pytest.approx(np.sqrt(0.5), abs=0.02) and correlation[0, 0] == 1.0


def test_blocks_know_that_orders_come_in_bursts() -> None:
    """The error of a count: Poisson's without bursts, larger by √(1 + λ b c²) with them (30 recordings)."""
    calm = SyntheticMarket(duration=1200.0)
    for market, excess in ((calm, 1.0), (replace(calm, bursts=0.5), np.sqrt(1.0 + 2 * 1.9 * 5.0 * 0.25))):
        counts, claimed = [], []
        for seed in range(30):
            recording = record(*market.draw(seed), tick_size=market.tick)
            blocks, orders = cut_into_blocks(recording), market_orders(recording)
            count = blocks.weights() @ blocks.sums(orders.time_ns)
            claimed.append(float(np.std(count, ddof=1)) * blocks.widening)
            counts.append(len(orders))
        assert np.mean(claimed) / np.sqrt(np.mean(counts)) == pytest.approx(excess, rel=0.08)
        assert np.std(counts, ddof=1) / np.mean(claimed) == pytest.approx(1.0, abs=0.4)  # 30 draws: 3 errors


def test_blocks_add_up_to_the_realised_kernel() -> None:
    recording = record(*SyntheticMarket(duration=600.0).draw(1), tick_size=0.01)
    volatility = estimate_volatility(recording)
    variance = block_variances(recording, volatility.bandwidth, cut_into_blocks(recording))
    step = volatility.bandwidth / LAGS
    covered = step * sum(len(mid) - 1 for mid in mid_on_grid(recording, step))  # whole steps only
    assert variance.sum() / covered == pytest.approx(volatility.sigma**2, rel=1e-9)


def test_a_copy_that_tells_nothing_of_an_estimate_is_left_out_of_its_error(rng: np.random.Generator) -> None:
    """The markout of rare orders: a copy of blocks without any has none."""
    blocks = Blocks(np.array([[0, 1], [1, 2]]))
    draws = {name: rng.normal(size=400) for name in ("a", "b")} | {"same": np.zeros(400)}
    draws["b"] += draws["a"]
    whole = Copies(blocks, {name: values.copy() for name, values in draws.items()})
    draws["b"][::100] = np.nan
    copies = Copies(blocks, draws)
    assert copies.spread("b") == pytest.approx(whole.spread("b"), rel=0.02)
    found = copies.correlation(("a", "b", "same"))
    assert found[0, 1] == pytest.approx(whole.correlation(("a", "b"))[0, 1], abs=0.02)
    assert found[2].tolist() == [0.0, 0.0, 1.0]
    assert np.isnan(Copies(blocks, {"c": np.full(400, np.nan)}).spread("c"))
