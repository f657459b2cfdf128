"""A market whose parameters are known: what calibration should find again.

    mid         S = S_0 + σW + ε·(buyers' orders so far - sellers'), quoted `quotes_per_second` times a
                second, rounded to ticks; a spread of `spreads` ticks, drawn anew with each quote
    orders      on either side, those that would reach at least x arrive at rate M(t) Λ(x) per s, a Poisson
                process; those that would reach the touch trade there and at the last price they reach.
                Besides, `touch_orders` per s that stop at the touch
    M(t)        1 + day_swing·cos(2π·time of day), times (1 ± bursts), drawn anew every `burst` seconds,
                of both sides alike: whether a buyer or a seller comes next is nobody's guess

With ε > 0 every order moves the mid by ε for good, so that ε is the markout at all horizons, and the
volatility is √(σ² + orders per s · ε²).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from quotegrid.calibration.families import FAMILIES, FamilyName
from quotegrid.calibration.market_data import Quotes, Trades

SECOND, MILLISECOND, DAY = 1_000_000_000, 1_000_000, 86_400.0
BEGIN = 1_609_459_200 * SECOND  # 2021-01-01


@dataclass(frozen=True)
class SyntheticMarket:
    """The truth: duration in s, volatility σ per √s, Λ of each side as a family with its parameters (A
    first).

    median_size, size_spread: order sizes are lognormal, of that median and that spread of ln size; begin_ns:
    local time of the first quote; quote_noise: standard deviation of an independent error of each quoted mid,
    price units.
    """

    duration: float = 1200.0
    volatility: float = 0.4
    family: FamilyName = "exponential"
    parameters: tuple[float, ...] = (2.0, 10.0)
    tick: float = 0.01
    spreads: tuple[int, ...] = (1,)
    quotes_per_second: float = 20.0
    quote_noise: float = 0.0
    touch_orders: float = 0.0
    adverse_move: float = 0.0
    bursts: float = 0.0
    burst: float = 5.0
    day_swing: float = 0.0
    median_size: float = 0.4
    size_spread: float = 1.0
    price: float = 1000.0
    begin_ns: int = BEGIN

    def rate(self, offset: Float[np.ndarray, "offset"]) -> Float[np.ndarray, "offset"]:
        """Λ(δ), per s, of orders that would reach at least δ (without those that stop at the touch)."""
        return FAMILIES[self.family].rate(self.parameters, offset)

    @property
    def order_rate(self) -> float:
        """Orders per s on one side that trade, the mean over spreads."""
        return float(self.rate(0.5 * self.tick * np.array(self.spreads)).mean()) + self.touch_orders

    @property
    def total_volatility(self) -> float:
        """What a calibration should find for σ: the mid's own and what orders move, per √s."""
        return math.sqrt(self.volatility**2 + 2.0 * self.order_rate * self.adverse_move**2)

    def draw(self, seed: int) -> tuple[Quotes, Trades]:
        """Quotes and trades; the same ones for the same seed."""
        rng = np.random.default_rng(seed)
        seconds = self._quote_times(rng)
        spread = rng.choice(np.array(self.spreads), len(seconds))
        pace = self._pace(rng)
        orders = [self._arrivals(rng, aggressor, pace) for aggressor in (1, -1)]
        when, reach, aggressor = (np.concatenate(column) for column in zip(*orders, strict=True))
        order = np.argsort(when, kind="stable")
        when, reach, aggressor = _own_millisecond(when[order]), reach[order], aggressor[order]
        # the quote before an order is the last that stood strictly before it
        quote_ns = self.begin_ns + np.rint(seconds * SECOND).astype(np.int64)
        order_ns = self.begin_ns + np.rint(when * SECOND).astype(np.int64)
        at = np.searchsorted(quote_ns, order_ns, side="left") - 1
        half = 0.5 * self.tick * spread[at]
        trades = (at >= 0) & (order_ns <= quote_ns[-1]) & (reach >= half)
        levels = np.where(np.isinf(reach), 0.0, (reach - half) / self.tick + 1e-9)[trades].astype(np.int64)
        when, order_ns, at, aggressor = when[trades], order_ns[trades], at[trades], aggressor[trades]

        steps = rng.normal(size=len(seconds) - 1) * np.sqrt(np.diff(seconds))
        mid = self.price + self.volatility * np.concatenate([[0.0], np.cumsum(steps)])
        pushed = np.concatenate([[0], np.cumsum(aggressor)])
        mid += self.adverse_move * pushed[np.searchsorted(when, seconds, side="left")]
        mid += self.quote_noise * rng.normal(size=len(seconds))
        bid = np.rint(mid / self.tick - 0.5 * spread).astype(np.int64)

        touch = bid[at] + np.where(aggressor > 0, spread[at], 0)
        prints = np.repeat(np.arange(len(when)), 1 + (levels > 0))
        last = np.concatenate([prints[1:] != prints[:-1], [True]])
        price = touch[prints] + aggressor[prints] * np.where(last, levels[prints], 0)
        size = rng.lognormal(math.log(self.median_size), self.size_spread, len(when))
        share = size / (1 + (levels > 0))
        digits = max(0, 1 - math.floor(math.log10(self.tick)))
        return (
            Quotes.clean(
                quote_ns,
                np.round(bid * self.tick, digits),
                np.round((bid + spread) * self.tick, digits),
                "synthetic_quotes",
            ),
            Trades.clean(
                order_ns[prints],
                np.round(price * self.tick, digits),
                np.maximum(np.round(share[prints], 3), 0.001),
                aggressor[prints],
                order_ns[prints],
                "synthetic_trades",
                number=np.arange(len(prints)),
            ),
        )

    def _quote_times(self, rng: np.random.Generator) -> Float[np.ndarray, "quote"]:
        count = max(2, int(self.duration * self.quotes_per_second))
        seconds = np.sort(rng.uniform(0.0, self.duration, count))
        seconds[[0, -1]] = 0.0, self.duration
        return seconds

    def _pace(self, rng: np.random.Generator) -> Float[np.ndarray, "burst"]:
        """M in each stretch of `burst` seconds."""
        count = math.ceil(self.duration / self.burst)
        day = (self.begin_ns / SECOND + (np.arange(count) + 0.5) * self.burst) / DAY
        swing = 1.0 + self.day_swing * np.cos(2.0 * np.pi * day)
        return swing * (1.0 + self.bursts * rng.choice([-1.0, 1.0], count))

    def _arrivals(
        self, rng: np.random.Generator, aggressor: int, pace: Float[np.ndarray, "burst"]
    ) -> tuple[Float[np.ndarray, "order"], Float[np.ndarray, "order"], Int[np.ndarray, "order"]]:
        """Times, reach from the mid (∞: stops at the touch) and aggressors of one side's orders."""
        most = float(pace.max())

        def times(rate: float) -> Float[np.ndarray, "order"]:
            found = rng.uniform(0.0, self.duration, rng.poisson(rate * most * self.duration))
            return found[rng.uniform(0.0, most, len(found)) < pace[(found / self.burst).astype(int)]]

        ceiling = float(self.rate(np.array([0.5 * self.tick * min(self.spreads)]))[0])
        reaching, touching = times(ceiling), times(self.touch_orders)
        reach = FAMILIES[self.family].offset_at(self.parameters, ceiling * rng.uniform(size=len(reaching)))
        when = np.concatenate([reaching, touching])
        return (
            when,
            np.concatenate([reach, np.full(len(touching), np.inf)]),
            np.full(len(when), aggressor),
        )


def _own_millisecond(when: Float[np.ndarray, "order"]) -> Float[np.ndarray, "order"]:
    """Sorted times, no two in one millisecond: orders of one millisecond look like one order."""
    place = np.arange(len(when))
    return (np.maximum.accumulate(np.floor(when * 1e3) - place) + place) / 1e3 + 1e-4
