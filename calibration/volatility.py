"""Volatility of the mid, in price per √second, robust to what happens below a second.

The mid of a real market is an efficient price plus noise whose size and memory are unknown: bid-ask bounce
and rounding make the squared moves over short intervals too large, slow repricing of the quotes makes them
too small. (On both sample markets the moves per √s *grow* from 0.2 or 0.3 at 20 ms to 0.4 at 5 s. Two-scale
estimators, and bandwidths tuned to independent noise, correct for a bias of the wrong sign there.) What a
maker who holds inventory for seconds to minutes carries is the long-run variance, estimated by the realised
kernel (Barndorff-Nielsen, Hansen, Lunde and Shephard 2008) with Parzen's weights, never negative and
consistent for noise with memory:

    σ² T = γ_0 + 2 Σ_{h=1..H} k(h/(H+1)) γ_h,    γ_h = Σ_i r_i r_{i-h},    r_i = mid(t_i) - mid(t_{i-1}),

on a regular grid t_i = iΔ within each segment. Its bandwidth B = HΔ is that of Barndorff-Nielsen et al.
(2009),

    B/T = c ξ^{4/5} n^{-2/5},    c = ((12)²/0.269)^{1/5} = 3.51,    ξ² = ω²/(σ² T),    ω² = Σ (changes of the
    mid)²/(2n),

with n the number of changes of the mid. That ω² is the variance of independent noise, and tells nothing of
noise with memory; so ξ² is taken to be 1/1000 at least, an ordinary value for quoted prices. Where pauses cut
the recording into stretches, B is at most a quarter of the usual one: moves on both sides of a pause are
never multiplied, and a stretch shorter than B would tell nothing. The relative
standard error of σ for a diffusion is ½√(4 k00 B/T), k00 = ∫k² = 151/560: it is what the bandwidth costs, 5 %
for ten busy minutes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from quotegrid.calibration.blocks import Blocks
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.recording import NANOSECONDS, Recording

PARZEN_ROUGHNESS = 151.0 / 560.0  # ∫_0^1 k(x)² dx
BANDWIDTH_CONSTANT = (12.0**2 / PARZEN_ROUGHNESS) ** 0.2  # 12 = |k''(0)|
LEAST_NOISE = 1e-3  # of ξ²
LAGS = 64  # in the bandwidth chosen
SHOWN_LAGS = (2, 4, 8, 16, 32, 64, 128)
FEWEST_CHANGES = 100
MOST_INSTANTS = 2_000_000  # of one point of the signature plot: a day at 40 ms


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


def block_variances(recording: Recording, bandwidth: float, blocks: Blocks) -> Float[np.ndarray, "block"]:
    """What each block adds to σ²T: r_i (r_i + 2 Σ_h k(h/(H+1)) r_{i-h}), over the moves that end in it."""
    step = bandwidth / LAGS
    weight = np.concatenate([[1.0], 2.0 * parzen(np.arange(1, LAGS + 1) / (LAGS + 1))])
    total = np.zeros(len(blocks))
    for (begin, _), mid in zip(recording.segments_ns, mid_on_grid(recording, step), strict=True):
        moves = np.diff(mid)
        if moves.size:
            ends = begin + np.rint((np.arange(len(moves)) + 1) * step * NANOSECONDS).astype(np.int64)
            total += blocks.sums(ends, moves * np.convolve(moves, weight)[: len(moves)])
    return total


def realised_volatility(recording: Recording, interval: float, shifts: int = 8) -> float:
    """√(squared mid moves over `interval` seconds, per second), over grids begun at different instants."""
    shifts = int(np.clip(MOST_INSTANTS * interval / recording.duration, 1, shifts))
    step = interval / shifts
    squares, moves = 0.0, 0
    for mid in mid_on_grid(recording, step):
        overlapping = mid[shifts:] - mid[:-shifts]
        squares += float(overlapping @ overlapping)
        moves += len(overlapping)
    return float(np.sqrt(squares / (moves * interval))) if moves else float("nan")


def estimate_volatility(recording: Recording) -> Volatility:
    """σ of the mid by the realised kernel; raises MarketDataError when the mid moves too seldom to tell."""
    duration = recording.duration
    moves = [np.diff(recording.quotes.mid[index]) for _, index in recording.stretches()]
    changes = sum(int(np.count_nonzero(move)) for move in moves)
    if changes < FEWEST_CHANGES:
        raise MarketDataError(
            f"the mid changes {changes} times in {duration:.6g} s of {recording.quotes.source}; a volatility "
            f"needs {FEWEST_CHANGES} changes or more. Record for longer."
        )
    noise = sum(float(move @ move) for move in moves) / (2.0 * changes)
    stretch = recording.stretch
    signal = realised_volatility(recording, min(duration / 50.0, stretch / 4.0)) ** 2 * duration
    ratio = max(noise / signal, LEAST_NOISE)  # ξ²
    wanted = duration * BANDWIDTH_CONSTANT * ratio**0.4 * changes**-0.4
    if wanted > stretch < duration:
        raise MarketDataError(
            f"{recording.quotes.source}: half of the {duration:.6g} s recorded lie between pauses or gaps "
            f"that are {stretch:.3g} s apart or less, and its volatility needs {wanted:.3g} s or more "
            "without one. Cut out fewer pauses, give a larger max_gap, or record with fewer interruptions."
        )
    bandwidth = min(0.25 * stretch, wanted)

    step = bandwidth / LAGS
    moves = [np.diff(mid) for mid in mid_on_grid(recording, step)]
    gamma, covered = autocovariances(moves, max(SHOWN_LAGS)), step * sum(map(len, moves))
    sigma = {lags: np.sqrt(realised_kernel(gamma, lags) / covered) for lags in SHOWN_LAGS}
    error = {lags: sigma[lags] * np.sqrt(PARZEN_ROUGHNESS * lags * step / covered) for lags in SHOWN_LAGS}
    intervals = np.geomspace(min(0.02, bandwidth / 8.0), min(duration / 20.0, stretch / 2.0), 12)
    return Volatility(
        sigma=float(sigma[LAGS]),
        standard_error=float(error[LAGS]),
        bandwidth=bandwidth,
        bandwidths=step * np.array(SHOWN_LAGS),
        kernel_sigma=np.array(list(sigma.values())),
        kernel_error=np.array(list(error.values())),
        intervals=intervals,
        realised_sigma=np.array([realised_volatility(recording, float(interval)) for interval in intervals]),
    )
