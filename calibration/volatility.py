"""Volatility of the mid, in price per √second, robust to what happens below a second.

The mid of a real market is an efficient price plus noise whose size and memory are unknown: bid-ask bounce
and rounding make the squared moves over short intervals too large, slow repricing of the quotes makes them
too small. (On both sample markets the moves per √s *grow* from 0.2 at 5 ms to 0.4 at 5 s. Two-scale
estimators and bandwidth rules that assume independent noise subtract a bias of the wrong sign there.) What a
maker who holds inventory for seconds to minutes carries is the long-run variance, estimated by the realised
kernel (Barndorff-Nielsen, Hansen, Lunde and Shephard 2008) with Parzen's weights, which is never negative and
consistent for noise with memory:

    σ² T = γ_0 + 2 Σ_{h=1..H} k(h/(H+1)) γ_h,    γ_h = Σ_i r_i r_{i-h},    r_i = mid(t_i) - mid(t_{i-1}),

on a regular grid t_i = i·Δ within each segment, B = HΔ the bandwidth. Its relative standard error for a
diffusion is √(4 k00 B/T), k00 = ∫k² = 151/560. B is chosen by Lepski's rule: B_max spends a relative standard
error of 2·`precision` on σ² (that is `precision` on σ), smaller bandwidths are B_max/2^j, and the smallest
one is taken whose estimate agrees with those of all larger ones within the standard error of their
difference. Noise of either sign is thus averaged away as far as the data can tell, and no further.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.recording import NANOSECONDS, Recording

PARZEN_ROUGHNESS = 151.0 / 560.0  # ∫_0^1 k(x)² dx
LARGEST_LAG = 128
HALVINGS = 6


@dataclass(frozen=True, eq=False)
class Volatility:
    """An estimate of σ with the data of its two pictures.

    sigma, standard_error: price per √s, the error for a diffusion of constant volatility; bandwidth: s;
    bandwidths, kernel_sigma, kernel_error: what each bandwidth would have given;
    intervals, realised_sigma: the signature plot, √(squared mid moves over an interval ÷ interval).
    """

    sigma: float
    standard_error: float
    bandwidth: float
    bandwidths: Float[np.ndarray, "bandwidth"]
    kernel_sigma: Float[np.ndarray, "bandwidth"]
    kernel_error: Float[np.ndarray, "bandwidth"]
    intervals: Float[np.ndarray, "interval"]
    realised_sigma: Float[np.ndarray, "interval"]


def parzen(x: Float[np.ndarray, "lag"]) -> Float[np.ndarray, "lag"]:
    """Parzen's weight at x ≥ 0: 1 at 0, 0 from 1 on, with a non-negative Fourier transform."""
    return np.where(x <= 0.5, 1.0 - 6.0 * x**2 * (1.0 - x), 2.0 * np.maximum(1.0 - x, 0.0) ** 3)


def mid_on_grid(recording: Recording, step: float) -> list[Float[np.ndarray, "instant"]]:
    """The prevailing mid every `step` seconds, one array per segment."""
    grids = []
    for edge_ns, index in recording.stretches():
        seconds = (edge_ns - edge_ns[0]) / NANOSECONDS
        instants = np.arange(int(seconds[-1] / step) + 1) * step
        position = np.clip(np.searchsorted(seconds, instants, side="right") - 1, 0, len(index) - 1)
        grids.append(recording.quotes.mid[index[position]])
    return grids


def autocovariances(moves: list[Float[np.ndarray, "move"]], largest_lag: int) -> Float[np.ndarray, "lag"]:
    """γ_0 … γ_largest_lag, each summed over the segments (no products across a gap)."""
    gamma = np.zeros(largest_lag + 1)
    for r in moves:
        for lag in range(min(largest_lag, len(r) - 1) + 1):
            gamma[lag] += float(r[lag:] @ r[: len(r) - lag])
    return gamma


def realised_kernel(gamma: Float[np.ndarray, "lag"], lags: int) -> float:
    """σ²T from the autocovariances γ, with Parzen's weights up to `lags`."""
    weight = parzen(np.arange(1, lags + 1) / (lags + 1))
    return float(gamma[0] + 2.0 * (weight @ gamma[1 : lags + 1]))


def realised_volatility(recording: Recording, interval: float, shifts: int = 8) -> float:
    """√(squared mid moves over `interval` seconds, per second), over grids begun at different instants."""
    step = interval / shifts
    squares, moves = 0.0, 0
    for mid in mid_on_grid(recording, step):
        overlapping = mid[shifts:] - mid[:-shifts]
        squares += float(overlapping @ overlapping)
        moves += len(overlapping)
    return float(np.sqrt(squares / (moves * interval))) if moves else float("nan")


def estimate_volatility(recording: Recording, precision: float = 0.05) -> Volatility:
    """σ of the mid by the realised kernel; `precision` is the relative standard error of σ it may spend at
    most.

    Raises MarketDataError when the mid does not move, or too seldom to tell.
    """
    duration = recording.duration
    largest = duration * (2.0 * precision) ** 2 / (4.0 * PARZEN_ROUGHNESS)
    step = largest / LARGEST_LAG
    grids = mid_on_grid(recording, step)
    changes = sum(int(np.count_nonzero(np.diff(mid))) for mid in grids)
    if changes < 100:
        raise MarketDataError(
            f"the mid changes {changes} times in {duration:.6g} s of {recording.quotes.source}; a volatility "
            "needs at "
            "least 100 changes. Record for longer."
        )
    gamma = autocovariances([np.diff(mid) for mid in grids], LARGEST_LAG)
    lags = LARGEST_LAG // 2 ** np.arange(HALVINGS, -1, -1)
    variance = np.array([realised_kernel(gamma, int(h)) for h in lags]) / duration
    error = variance[-1] * np.sqrt(4.0 * PARZEN_ROUGHNESS * lags * step / duration)
    chosen = _lepski(variance, error)
    sigma = np.sqrt(variance)
    intervals = np.geomspace(min(0.02, largest / 4), duration / 20.0, 16)
    return Volatility(
        sigma=float(sigma[chosen]),
        standard_error=float(0.5 * error[chosen] / sigma[chosen]),
        bandwidth=float(lags[chosen] * step),
        bandwidths=lags * step,
        kernel_sigma=sigma,
        kernel_error=0.5 * error / sigma,
        intervals=intervals,
        realised_sigma=np.array([realised_volatility(recording, float(interval)) for interval in intervals]),
    )


def _lepski(estimate: Float[np.ndarray, "bandwidth"], error: Float[np.ndarray, "bandwidth"]) -> int:
    """The first estimate within √(error_j² - error_i²) of every later (less biased, noisier) one."""
    for i in range(len(estimate)):
        spread = np.sqrt(error[i + 1 :] ** 2 - error[i] ** 2)
        if np.all(np.abs(estimate[i + 1 :] - estimate[i]) <= spread):
            return i
    return len(estimate) - 1
