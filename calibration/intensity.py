"""Λ(δ): how often market orders reach at least δ from the mid, as it was measured.

Model. Orders of one side are a marked Poisson process: orders that would reach at least x arrive at rate
Λ(x). At time t the market itself quotes at the half-spread h(t); an order that would reach less than that
does not trade and is not seen (left truncation at the touch). So Λ at x is observed only while h(t) ≤ x, for
the exposure

    E(x) = ∫ 1{h(t) ≤ x} dt.

Prices lie on ticks of size τ: an order whose worst fill is D from the mid would have filled a quote at D, and
not one at the next price, D + τ (interval censoring). Order i is thus seen as `D_i`, with D_i ≥ h(t_i).

Measured curve. The mass at each distance, over its exposure, summed from above (the nonparametric maximum
likelihood estimate for a Poisson process under left truncation); a step function, left-continuous and
decreasing:

    Λ̂(δ) = Σ_{i: D_i ≥ δ} 1/E(D_i).

Parametric forms are fitted in `quotegrid.calibration.fitted`.

The touch. Every order reaches the touch, but a quote that joins it stands behind others there, and in a
large-tick market behind many: it fills when an order goes *through* the touch. Queues are not in these data,
which bound its rate:

    Λ̂(touch + τ)  (last in the queue)  ≤  Λ(touch)  ≤  Λ̂(touch)  (first in the queue).

With `queue = "last"`, c = touch + τ: Λ is fitted to the orders that go through the touch and continued to the
touch itself; with `queue = "first"`, c = touch. Behind the touch a quote counts as filled by every order that
reaches it. On the sample markets quotes computed from the first reading earn about a quarter less than the
best possible under either, those from the second between a twentieth and an eighth less: the second is the
default.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from quotegrid.calibration.blocks import Blocks
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.market_orders import MarketOrders
from quotegrid.calibration.recording import NANOSECONDS, Recording

Side = Literal["bid", "ask"]
Queue = Literal["last", "first"]

FEWEST_ORDERS = 30  # below that a rate is known to worse than 18 %, and a decay hardly at all


@dataclass(frozen=True, eq=False)
class Tally:
    """Orders that ended at each level, and s at each half-spread; in each block, with a leading dimension."""

    count: Float[np.ndarray, "*block level"]
    time: Float[np.ndarray, "*block spread"]

    def weighted(self, weights: Float[np.ndarray, "copy block"]) -> "Tally":
        """Of each copy, from those of the blocks."""
        return Tally(weights @ self.count, weights @ self.time)


@dataclass(frozen=True, eq=False)
class Reach:
    """How far the market orders that fill one side reached, and how long the market stood at each
    half-spread.

    level: distances from the mid at which orders ended, increasing; spread: half-spreads, increasing; touch:
    the median half-spread over time, all in half ticks; half_tick: price units; by_block: orders and s in
    each block of the recording.
    """

    side: Side
    level: Int[np.ndarray, "level"]
    spread: Int[np.ndarray, "spread"]
    by_block: Tally
    half_tick: float
    touch: int

    @property
    def tally(self) -> Tally:
        """Orders at each level and s at each half-spread, over the whole recording."""
        return Tally(self.by_block.count.sum(axis=0), self.by_block.time.sum(axis=0))

    @property
    def duration(self) -> float:
        """Seconds observed."""
        return float(self.by_block.time.sum())

    @property
    def touch_offset(self) -> float:
        """The touch as an offset from the mid, price units."""
        return self.touch * self.half_tick

    def reaching(self, distance: int) -> int:
        """How many orders reached at least `distance` half ticks."""
        return int(self.tally.count[self.level >= distance].sum())

    def exposure(self, distance: Int[np.ndarray, "offset"]) -> Float[np.ndarray, "offset"]:
        """E(x), s, during which the half-spread was at most `distance` half ticks."""
        total = np.concatenate([[0.0], np.cumsum(self.tally.time)])
        return total[np.searchsorted(self.spread, distance, side="right")]

    def first_reached(self, distance: int) -> Int[np.ndarray, "spread"]:
        """At each half-spread h, the first of h, h + τ, … that is `distance` half ticks or more."""
        return self.spread + 2 * np.maximum(-(-(distance - self.spread) // 2), 0)


@dataclass(frozen=True, eq=False)
class MeasuredIntensity:
    """Λ̂ as a step function: `rate[j]` fills per s for offsets in (offset[j-1], offset[j]], 0 beyond the
    last.

    offset: price units, increasing; rate: per s; count: orders that reached at least that offset.
    """

    offset: Float[np.ndarray, "level"]
    rate: Float[np.ndarray, "level"]
    count: Int[np.ndarray, "level"]

    def __call__(self, offset: Float[np.ndarray, "offset"]) -> Float[np.ndarray, "offset"]:
        step = np.searchsorted(self.offset, np.asarray(offset) - 1e-9 * self.offset[0], side="left")
        return np.append(self.rate, 0.0)[step]

    def best_quote(self, reservation: float = 0.0) -> tuple[float, float]:
        """(offset δ*, gain) with gain = max_δ Λ̂(δ)(δ - reservation), attained where the curve steps down."""
        gain = self.rate * (self.offset - reservation)
        best = int(gain.argmax())
        return float(self.offset[best]), float(gain[best])


def measure_reach(recording: Recording, orders: MarketOrders, side: Side, blocks: Blocks) -> Reach:
    """The orders that fill `side` (sellers fill bids, buyers fill asks) and the half-spreads they met."""
    mine = orders.aggressor == (-1 if side == "bid" else 1)
    distance = orders.reach[mine]
    spread, spread_time = time_at_spread(recording, blocks)
    total = spread_time.sum(axis=0)
    touch = int(spread[np.searchsorted(np.cumsum(total), 0.5 * total.sum())])
    seen = int((distance >= touch).sum())
    if seen < FEWEST_ORDERS:
        raise MarketDataError(
            f"{recording.trades.source}: {seen} market orders reached the {side} side in "
            f"{recording.duration:.6g} s; its intensity needs at least {FEWEST_ORDERS}. Record for longer."
        )
    level, place = np.unique(distance, return_inverse=True)
    count = np.zeros((len(blocks), len(level)))
    np.add.at(count, (blocks.of(orders.time_ns[mine]), place), 1.0)
    return Reach(side, level, spread, Tally(count, spread_time), 0.5 * recording.tick_size, touch)


def pooled(bid: Reach, ask: Reach) -> tuple[Reach, Reach]:
    """Both sides described by the orders of both: each gets all distances, over twice the time."""
    level = np.union1d(bid.level, ask.level)
    count = np.zeros((len(bid.by_block.count), len(level)))
    for reach in (bid, ask):
        count[:, np.searchsorted(level, reach.level)] += reach.by_block.count
    both = Tally(count, bid.by_block.time + ask.by_block.time)
    return replace(bid, level=level, by_block=both), replace(ask, level=level, by_block=both)


def measured_intensity(reach: Reach, start: int) -> MeasuredIntensity:
    """The step curve Λ̂ from `start` (half ticks) outwards."""
    far = reach.level >= start
    level, count = reach.level[far], reach.tally.count[far].astype(np.int64)
    mass = count / reach.exposure(level)
    return MeasuredIntensity(
        level * reach.half_tick, np.cumsum(mass[::-1])[::-1], np.cumsum(count[::-1])[::-1]
    )


def measured_copies(
    reach: Reach, offset: Float[np.ndarray, "offset"], copies: Tally
) -> Float[np.ndarray, "copy offset"]:
    """Λ̂ at some offsets, of each weighted copy."""
    seconds = np.concatenate([np.zeros((len(copies.time), 1)), np.cumsum(copies.time, axis=1)], axis=1)
    exposure = seconds[:, np.searchsorted(reach.spread, reach.level, side="right")]
    mass = np.where(copies.count > 0.0, copies.count / np.where(exposure > 0.0, exposure, 1.0), 0.0)
    rate = np.cumsum(mass[:, ::-1], axis=1)[:, ::-1]
    at = np.searchsorted(reach.level * reach.half_tick, offset * (1.0 - 1e-9), side="left")
    return np.concatenate([rate, np.zeros((len(rate), 1))], axis=1)[:, at]


def time_at_spread(
    recording: Recording, blocks: Blocks
) -> tuple[Int[np.ndarray, "spread"], Float[np.ndarray, "block spread"]]:
    """Half-spreads in half ticks, and the seconds the market stood at each in each block."""
    spreads, seconds, places = [], [], []
    for edge_ns, index in recording.stretches():
        cut = blocks.edge_ns[(blocks.edge_ns[:, 0] > edge_ns[0]) & (blocks.edge_ns[:, 0] < edge_ns[-1]), 0]
        edge = np.sort(np.concatenate([edge_ns, cut]), kind="stable")  # two sorted runs: a merge
        held = index[np.clip(np.searchsorted(edge_ns, edge[:-1], side="right") - 1, 0, len(index) - 1)]
        width = recording.quotes.ask[held] - recording.quotes.bid[held]
        spreads.append(np.rint(width / recording.tick_size).astype(np.int64))
        seconds.append(np.diff(edge) / NANOSECONDS)
        places.append(blocks.of(edge[1:]))
    spread = np.concatenate(spreads)
    level = np.unique(spread)
    cell = np.concatenate(places) * len(level) + np.searchsorted(level, spread)
    total = np.bincount(cell, np.concatenate(seconds), len(blocks) * len(level))
    return level, total.reshape(len(blocks), len(level))
