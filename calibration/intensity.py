"""Λ(δ): how often market orders reach at least δ from the mid, measured, and as an exponential by maximum
likelihood.

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

Exponential Λ = A e^{-kδ}, fitted to the orders that reach at least c, whose truncation point is m(t) =
max(h(t), c). Their arrivals have rate A e^{-k m(t)}, and given m their distances beyond it are exponential,
censored to one tick:

    ℓ(A, k) = Σ_{D_i ≥ c} ln[A e^{-kD_i} (1 - e^{-kτ})] - A ∫ e^{-k m(t)} dt.

The best A is n/∫e^{-km}dt; what remains is concave in k, and its maximum solves

    mean(D) - τ/(e^{kτ} - 1) = ∫ m e^{-km} dt / ∫ e^{-km} dt.

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

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.market_orders import MarketOrders
from quotegrid.calibration.recording import NANOSECONDS, Recording

Side = Literal["bid", "ask"]
Queue = Literal["last", "first"]
Rate = Callable[[Float[np.ndarray, "offset"]], Float[np.ndarray, "offset"]]

FEWEST_ORDERS = 30  # below that a rate is known to worse than 18 %, and a decay hardly at all


@dataclass(frozen=True, eq=False)
class Reach:
    """How far the market orders that fill one side reached, and how long the market stood at each
    half-spread.

    distance: of each order from the mid, in half ticks, sorted; spread: half-spreads in half ticks,
    increasing; spread_time: s at each; half_tick: price units; touch: the median half-spread over time, in
    half ticks.
    """

    side: Side
    distance: Int[np.ndarray, "order"]
    spread: Int[np.ndarray, "level"]
    spread_time: Float[np.ndarray, "level"]
    half_tick: float
    touch: int

    @property
    def duration(self) -> float:
        """Seconds observed."""
        return float(self.spread_time.sum())

    @property
    def touch_offset(self) -> float:
        """The touch as an offset from the mid, price units."""
        return self.touch * self.half_tick

    def exposure(self, distance: Int[np.ndarray, "offset"]) -> Float[np.ndarray, "offset"]:
        """E(x), s, during which the half-spread was at most `distance` half ticks."""
        total = np.concatenate([[0.0], np.cumsum(self.spread_time)])
        return total[np.searchsorted(self.spread, distance, side="right")]


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


@dataclass(frozen=True)
class ExponentialFit:
    """Λ(δ) = A e^{-kδ}, A per s, k per price unit, of the `orders` that reached `start` (price units)."""

    A: float
    k: float
    start: float
    orders: int

    def __call__(self, offset: Float[np.ndarray, "offset"]) -> Float[np.ndarray, "offset"]:
        return self.A * np.exp(-self.k * np.asarray(offset))

    def best_quote(self) -> tuple[float, float]:
        """(offset, gain) that maximise δΛ(δ): 1/k and A/(e k)."""
        return 1.0 / self.k, self.A / (math.e * self.k)


@dataclass(frozen=True)
class Fit:
    """How well a candidate Λ describes the orders that reached at least some distance.

    log_likelihood and parameters give AIC = 2·parameters - 2·log_likelihood (smaller is better). gap: the
    largest difference between the observed and the expected share of these orders reaching at least δ
    (Kolmogorov-Smirnov); chance: what chance alone exceeds once in twenty, 1.36/√n, for a candidate not
    fitted to the same orders (a fitted one should stay well below it).
    """

    log_likelihood: float
    parameters: int
    gap: float
    chance: float

    @property
    def aic(self) -> float:
        return 2.0 * self.parameters - 2.0 * self.log_likelihood

    @property
    def by_chance(self) -> bool:
        """Whether the gap is no larger than chance explains."""
        return self.gap <= self.chance


def measure_reach(recording: Recording, orders: MarketOrders, side: Side) -> Reach:
    """The orders that fill `side` (sellers fill bids, buyers fill asks) and the half-spreads they met."""
    distance = orders.reach[orders.aggressor == (-1 if side == "bid" else 1)]
    spread, spread_time = _time_at_spread(recording)
    touch = int(spread[np.searchsorted(np.cumsum(spread_time), 0.5 * spread_time.sum())])
    seen = int((distance >= touch).sum())
    if seen < FEWEST_ORDERS:
        raise MarketDataError(
            f"{recording.trades.source}: {seen} market orders reached the {side} side in "
            f"{recording.duration:.6g} s; its intensity needs at least {FEWEST_ORDERS}. Record for longer."
        )
    return Reach(side, np.sort(distance), spread, spread_time, 0.5 * recording.tick_size, touch)


def pooled(bid: Reach, ask: Reach) -> tuple[Reach, Reach]:
    """Both sides described by the orders of both: each gets all distances, over twice the time."""
    distance = np.sort(np.concatenate([bid.distance, ask.distance]))

    def both(reach: Reach) -> Reach:
        return Reach(
            reach.side, distance, reach.spread, 2.0 * reach.spread_time, reach.half_tick, reach.touch
        )

    return both(bid), both(ask)


def measured_intensity(reach: Reach, start: int) -> MeasuredIntensity:
    """The step curve Λ̂ from `start` (half ticks) outwards."""
    level, count = np.unique(reach.distance[reach.distance >= start], return_counts=True)
    mass = count / reach.exposure(level)
    return MeasuredIntensity(
        level * reach.half_tick, np.cumsum(mass[::-1])[::-1], np.cumsum(count[::-1])[::-1]
    )


def fit_exponential(reach: Reach, start: int) -> ExponentialFit | None:
    """Maximum likelihood on orders that reached `start` half ticks or more; None when they are too few."""
    distance = reach.distance[reach.distance >= start] * reach.half_tick
    if len(distance) < FEWEST_ORDERS or distance.max() == distance.min():
        return None
    # in multiples of the tick and from `start` on, so that every exponential below is at most 1
    tick, origin = 2.0 * reach.half_tick, start * reach.half_tick
    excess = (distance.mean() - origin) / tick
    entry = (np.maximum(reach.spread, start) * reach.half_tick - origin) / tick

    def slope(log_k: float) -> float:
        k = math.exp(log_k)
        weight = reach.spread_time * np.exp(-k * entry)
        return float(weight @ entry / weight.sum()) + 1.0 / math.expm1(k) - excess

    # falls from +∞; without its first term, which is not negative, it would vanish at `lower`
    lower = upper = math.log(math.log1p(1.0 / excess))
    while slope(upper) > 0.0:
        upper += 0.5
    k = math.exp(_root(slope, lower, upper))
    at_start = len(distance) / float(reach.spread_time @ np.exp(-k * entry))
    return ExponentialFit(
        A=at_start * math.exp(k * origin / tick), k=k / tick, start=origin, orders=len(distance)
    )


def judge(rate: Rate, parameters: int, reach: Reach, start: int) -> Fit:
    """How a candidate Λ describes the orders that reached at least `start` half ticks."""
    half_tick = reach.half_tick
    level, count = np.unique(reach.distance[reach.distance >= start], return_counts=True)
    entry = np.maximum(reach.spread, start)
    mass = rate(level * half_tick) - rate((level + 2) * half_tick)
    expected_orders = float(reach.spread_time @ rate(entry * half_tick))
    reaching = np.cumsum(count[::-1])[::-1]
    expected = np.array([reach.spread_time @ rate(np.maximum(entry, x) * half_tick) for x in level])
    return Fit(
        log_likelihood=float(count @ np.log(mass)) - expected_orders,
        parameters=parameters,
        gap=float(np.abs(reaching / reaching[0] - expected / expected_orders).max()),
        chance=1.36 / math.sqrt(reaching[0]),
    )


def _time_at_spread(recording: Recording) -> tuple[Int[np.ndarray, "level"], Float[np.ndarray, "level"]]:
    """Half-spreads in half ticks, and the seconds the market stood at each."""
    spreads, seconds = [], []
    for edge_ns, index in recording.stretches():
        width = recording.quotes.ask[index] - recording.quotes.bid[index]
        spreads.append(np.rint(width / recording.tick_size).astype(np.int64))
        seconds.append(np.diff(edge_ns) / NANOSECONDS)
    level, position = np.unique(np.concatenate(spreads), return_inverse=True)
    return level, np.bincount(position, weights=np.concatenate(seconds))


def _root(falling: Callable[[float], float], lower: float, upper: float) -> float:
    """Where a falling function changes sign, to the last bit, by halving."""
    while lower < (middle := 0.5 * (lower + upper)) < upper:
        lower, upper = (middle, upper) if falling(middle) > 0.0 else (lower, middle)
    return middle
