"""A seeded market whose parameters are known, and the real recordings where they are at hand."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from quotegrid.calibration import Calibration, Quotes, Trades, calibrate

SECOND = 1_000_000_000
SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Market:
    """A synthetic market: quotes of a Brownian mid, orders of exponential reach, a tick lattice.

    σ per √s; A orders per s and side at the mid, k per price; the spread is `spreads` ticks, drawn at every
    quote; noise: standard deviation of an independent disturbance of each quoted mid; touch_orders: further
    orders per s and side that stop at the touch.
    """

    duration: float = 600.0
    sigma: float = 0.4
    A: float = 2.0
    k: float = 10.0
    tick: float = 0.01
    spreads: tuple[int, ...] = (1,)
    quotes_per_second: float = 20.0
    noise: float = 0.0
    touch_orders: float = 0.0

    def draw(self, seed: int) -> tuple[Quotes, Trades]:
        """Quotes and trades; exchange times are local times in ms, and a price level takes one print."""
        rng = np.random.default_rng(seed)
        count = int(self.duration * self.quotes_per_second)
        seconds = np.sort(rng.uniform(0.0, self.duration, count))
        seconds[[0, -1]] = 0.0, self.duration
        steps = rng.normal(size=count - 1) * np.sqrt(np.diff(seconds))
        efficient = 1000.0 + self.sigma * np.concatenate([[0.0], np.cumsum(steps)])
        spread = rng.choice(np.array(self.spreads), count)
        bid_ticks = np.rint(
            (efficient + self.noise * rng.normal(size=count)) / self.tick - spread / 2
        ).astype(int)
        quote_ns = SECOND + np.rint(seconds * SECOND).astype(np.int64)

        prints = []
        for aggressor in (1, -1):
            instants = np.sort(rng.uniform(0.0, self.duration, rng.poisson(self.A * self.duration)))
            willing = rng.exponential(1.0 / self.k, len(instants))  # how far each would reach from the mid
            touching = np.sort(
                rng.uniform(0.0, self.duration, rng.poisson(self.touch_orders * self.duration))
            )
            instants = np.concatenate([instants, touching])
            willing = np.concatenate([willing, np.full(len(touching), np.nan)])
            at = np.searchsorted(seconds, instants, side="left") - 1
            for instant, reach, quote in zip(instants, willing, at, strict=True):
                half = 0.5 * spread[quote] * self.tick
                if reach < half or quote < 0:
                    continue
                levels = 0 if np.isnan(reach) else int((reach - half) / self.tick + 1e-9)
                touch = bid_ticks[quote] + (spread[quote] if aggressor > 0 else 0)
                when = SECOND + round(instant * SECOND)
                for level in sorted({0, levels}):
                    prints.append(
                        (when + level, when // 1_000_000, (touch + aggressor * level) * self.tick, aggressor)
                    )
        prints.sort()
        time, exchange, price, side = (np.array(column) for column in zip(*prints, strict=True))
        size = rng.lognormal(-1.0, 1.0, len(prices := price))
        quotes = Quotes.clean(
            quote_ns, bid_ticks * self.tick, (bid_ticks + spread) * self.tick, "synthetic_quotes"
        )
        return quotes, Trades.clean(time, np.round(prices, 8), size, side, exchange, "synthetic_trades")


@pytest.fixture
def market() -> Callable[..., Market]:
    """Makes synthetic markets."""
    return Market


@pytest.fixture(scope="session")
def plain() -> Calibration:
    """A market whose orders are exponential: A = 4 per s, k = 10."""
    return calibrate(
        *Market(A=4.0, duration=1200.0).draw(11), tick_size=0.01, symbol="PLAIN", asset_unit="coin"
    )


@pytest.fixture(scope="session")
def heavy() -> Calibration:
    """The same with twelve more orders per s and side that stop at the touch, counted as fills there."""
    drawn = Market(A=4.0, duration=1200.0, touch_orders=12.0).draw(12)
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
