"""Blocks of time, and the weighted copies of a recording that the bootstrap makes of them.

Orders come in bursts and the volatility changes: neighbouring moments resemble each other, moments far apart
hardly do. So a recording is cut into blocks of equal length, and a copy of it is drawn by taking as many
blocks with replacement (Künsch 1989): block b enters a copy w_b times, w multinomial. What is estimated
depends on the data through sums over blocks (orders at each distance, seconds at each spread, products of
moves), so that a copy is a weighted sum and nothing is read again. All estimates of a copy use the same
weights, hence their joint covariance.

The length must exceed what neighbouring moments share (bursts of orders, the moves after an order) and leave
many blocks; both grow where it grows like the cube root of the duration (Hall, Horowitz & Jing 1995): 2
T^{1/3} seconds, at least `least`, and no more than 400 blocks. Quantiles are Student's with one degree of
freedom less than there are blocks, and variances are scaled by n/(n - 1).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t as student

from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.recording import NANOSECONDS, Recording

SCALE, MOST, FEWEST = 2.0, 400, 20
COPIES = 400
SEED = 20080814


@dataclass(frozen=True, eq=False)
class Blocks:
    """Begin and end of each block, ns, in order; blocks do not cross gaps of the recording."""

    edge_ns: Int[np.ndarray, "block 2"]

    def __len__(self) -> int:
        return len(self.edge_ns)

    @property
    def seconds(self) -> Float[np.ndarray, "block"]:
        """How long each block lasts."""
        return (self.edge_ns[:, 1] - self.edge_ns[:, 0]) / NANOSECONDS

    def of(self, time_ns: Int[np.ndarray, "instant"]) -> Int[np.ndarray, "instant"]:
        """The block that each instant lies in; an edge belongs to the block it ends."""
        return np.clip(np.searchsorted(self.edge_ns[:, 0], time_ns, side="left") - 1, 0, len(self) - 1)

    def sums(
        self, time_ns: Int[np.ndarray, "instant"], value: Float[np.ndarray, "instant"] | None = None
    ) -> Float[np.ndarray, "block"]:
        """The sum of some values in each block (or how many instants there are)."""
        return np.bincount(self.of(time_ns), weights=value, minlength=len(self)).astype(np.float64)

    def weights(self, copies: int = COPIES, seed: int = SEED) -> Float[np.ndarray, "copy block"]:
        """How often each block enters each copy."""
        drawn = np.random.default_rng(seed).multinomial(
            len(self), np.full(len(self), 1.0 / len(self)), copies
        )
        return drawn.astype(np.float64)

    @property
    def widening(self) -> float:
        """What spreads of copies are multiplied by, for the blocks are few: √(n/(n - 1))."""
        return math.sqrt(len(self) / (len(self) - 1))

    @property
    def quantile(self) -> float:
        """Half the width of a 95 % interval, in standard errors."""
        return float(student.ppf(0.975, len(self) - 1))


def cut_into_blocks(recording: Recording, least: float = 0.0) -> Blocks:
    """Blocks of about equal length, `least` seconds or more; shorter only where fewer than 20 would be
    left."""
    length = max(least, SCALE * recording.duration ** (1.0 / 3.0), recording.duration / MOST)
    length = min(length, recording.duration / FEWEST)
    edges = []
    for begin, end in recording.segments_ns:
        count = max(1, round((end - begin) / NANOSECONDS / length))
        inner = begin + np.rint((end - begin) * (np.arange(count + 1) / count)).astype(np.int64)
        edges.append(np.column_stack([inner[:-1], inner[1:]]))
    found = np.concatenate(edges)
    found = found[found[:, 1] > found[:, 0]]
    if len(found) < 2:
        raise MarketDataError(
            f"{recording.quotes.source}: {recording.duration:.6g} s cannot be cut into blocks; record for "
            "longer."
        )
    return Blocks(found)


@dataclass(frozen=True, eq=False)
class Copies:
    """Estimates of every copy, by name: the ln of what is positive, NaN in a copy that tells nothing of it.

    Read errors from it: `standard_error` in the unit of the estimate (for a positive one estimate × the
    spread of its ln), `interval` (95 %, symmetric in the ln), `correlation` of some of them together.
    """

    blocks: Blocks
    draws: dict[str, Float[np.ndarray, "copy"]]

    def spread(self, name: str) -> float:
        """Standard deviation over the copies, of the ln where the estimate is positive."""
        draws = self.draws[name]
        known = draws[np.isfinite(draws)]
        return float(np.std(known, ddof=1)) * self.blocks.widening if known.size > 1 else math.nan

    def standard_error(self, name: str, value: float, *, positive: bool = True) -> float:
        """The standard error of an estimate, in its unit."""
        return abs(value) * self.spread(name) if positive else self.spread(name)

    def interval(self, name: str, value: float, *, positive: bool = True) -> tuple[float, float]:
        """The 95 % interval around an estimate."""
        half = self.blocks.quantile * self.spread(name)
        return (value * math.exp(-half), value * math.exp(half)) if positive else (value - half, value + half)

    def correlation(self, names: tuple[str, ...]) -> Float[np.ndarray, "name name"]:
        """How the errors of some estimates go together (of the ln where they are positive)."""
        draws = np.stack([self.draws[name] for name in names])
        draws = draws[:, np.isfinite(draws).all(axis=0)]
        away = draws - draws.mean(axis=1, keepdims=True)
        length = np.sqrt((away**2).sum(axis=1, keepdims=True))
        away /= np.where(length > 0.0, length, 1.0)  # what never changes goes with nothing
        found = away @ away.T
        np.fill_diagonal(found, 1.0)
        return found
