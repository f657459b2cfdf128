"""A seeded market whose parameters are known, and the real recordings where they are at hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.calibration import Calibration, calibrate
from quotegrid.calibration.blocks import cut_into_blocks
from quotegrid.calibration.intensity import Reach, Tally, measure_reach
from quotegrid.calibration.market_orders import market_orders
from quotegrid.calibration.recording import record
from quotegrid.calibration.synthetic import SyntheticMarket

HALF_TICK = 0.005
SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def market_of(*, A: float = 2.0, k: float = 10.0, duration: float = 600.0, **truth: Any) -> SyntheticMarket:
    """A market whose orders are exponential."""
    return SyntheticMarket(parameters=(A, k), duration=duration, **truth)


@pytest.fixture
def market() -> Callable[..., SyntheticMarket]:
    """Makes synthetic markets."""
    return market_of


@pytest.fixture
def hand_made() -> Callable[..., Reach]:
    """Makes one block of orders at some distances, and of time at some half-spreads (half-ticks, seconds)."""

    def make(distance: Any, spread: list[int], seconds: list[float]) -> Reach:
        level, count = np.unique(distance, return_counts=True)
        tally = Tally(count[None].astype(float), np.array([seconds]))
        return Reach("bid", level, np.array(spread), tally, HALF_TICK, spread[0])

    return make


@pytest.fixture
def drawn() -> Callable[[SyntheticMarket, int], Reach]:
    """Draws the asks of a market, with a seed."""

    def draw(market: SyntheticMarket, seed: int) -> Reach:
        recording = record(*market.draw(seed), tick_size=market.tick)
        return measure_reach(recording, market_orders(recording), "ask", cut_into_blocks(recording))

    return draw


@pytest.fixture(scope="session")
def plain() -> Calibration:
    """A market whose orders are exponential: A = 4 per s, k = 10."""
    return calibrate(
        *market_of(A=4.0, duration=1200.0).draw(11), tick_size=0.01, symbol="PLAIN", asset_unit="coin"
    )


@pytest.fixture(scope="session")
def heavy() -> Calibration:
    """The same with twelve more orders per s and side that stop at the touch, counted as fills there."""
    drawn = market_of(A=4.0, duration=1200.0, touch_orders=12.0).draw(12)
    return calibrate(*drawn, tick_size=0.01, symbol="HEAVY", queue="first", contract_size=10.0, inverse=True)


@pytest.fixture(params=["binance_coinm_ethusd_perp_20240808_09", "binance_spot_ethusdt_20240808_09"])
def recorded(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """The two files of a real recording; skips where they are absent."""
    return real_recording(request.param)


@pytest.fixture
def perpetual() -> tuple[Path, Path]:
    """The files of the recorded perpetual; skips where they are absent."""
    return real_recording("binance_coinm_ethusd_perp_20240808_09")


@pytest.fixture
def spot() -> tuple[Path, Path]:
    """The files of the recorded spot market; skips where they are absent."""
    return real_recording("binance_spot_ethusdt_20240808_09")


def real_recording(name: str) -> tuple[Path, Path]:
    files = SHARED_DATA / f"{name}_quotes.csv.gz", SHARED_DATA / f"{name}_trades.csv.gz"
    for file in files:
        if not file.exists():
            pytest.skip(f"the recorded market data are not at {file.parent.name}/ beside the checkout")
    return files
