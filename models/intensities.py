"""The intensities Λ(δ): how the rate of fills falls with the offset δ.

    exponential   Λ = A e^{-kδ}              h = k                       Avellaneda & Stoikov 2008
    logistic      Λ = A/(1 + e^{a+bδ})       h = b/(1 + e^{-(a+bδ)})     A: requests; Bergault & Guéant 2021
    power         Λ = A (1 + δ/d)^{-k}       h = k/(d + δ),  δ > -d
    linear        Λ = A (1 - δ/d)⁺           h = 1/(d - δ),  δ < d       Ho & Stoll 1981
    table         monotone cubics on ln Λ    (quotegrid.models.tabulated)

A in fills per time, k (exponential) and b per price, d in price units, h = -Λ'/Λ per price. Λ is not capped
for δ < 0. A may be 0: a side that never fills. The first-order condition is δ = p + markup(h), markup(h) =
ln(1 + ξz/h)/(ξz), with z the effective size.

To add an intensity: a class here (or in a file of its own) that answers `AbstractIntensity`, its name in the
union `Intensity` at the end, and its NumPy twin in the verifier of `quotegrid.tables`.
"""

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from numpy import inf
from pydantic import Field

from quotegrid.models.contract import AbstractIntensity, Offsets, log1p_ratio, markup_of, widened
from quotegrid.models.dimensions import PER_PRICE, PER_TIME, PLAIN, PRICE
from quotegrid.models.kinds import ByKind
from quotegrid.models.numbers import NonNegative, Number, Positive
from quotegrid.models.stable_ratios import log_sum_root, wright_omega
from quotegrid.models.tabulated import Tabulated

Rate = Annotated[
    NonNegative, Field(description="fills per time at offset 0; 0 for a side that never fills"), PER_TIME
]
_KIND = frozenset({"kind"})
_TAME = 200.0  # e^200 and its square are doubles, and 1 beside ξz/b·e^200 is rounding if ξz/b > 1e-70


class Exponential(AbstractIntensity):
    """Λ = A e^{-kδ}."""

    static: ClassVar[frozenset[str]] = _KIND

    kind: Literal["exponential"] = "exponential"
    A: Rate
    k: Annotated[Positive, Field(description="decay of the fill rate, per price"), PER_PRICE]

    def log_rate(self, offset: ArrayLike) -> Offsets:
        return jnp.log(self.A) - self.k * jnp.asarray(offset, float)

    def hazard(self, offset: ArrayLike) -> Offsets:
        return jnp.broadcast_to(jnp.asarray(self.k, float), jnp.shape(offset))

    def markup(self, offset: ArrayLike, size: ArrayLike, xi: ArrayLike) -> Offsets:
        return markup_of(self.hazard(offset), size, xi)

    def domain(self) -> tuple[float, float]:
        return -inf, inf

    def default_min_offset(self) -> None:
        return None

    def rate_ceiling(self) -> float:
        return inf

    def arrival_rate(self) -> Any:
        return self.A

    def offset_bracket(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> tuple[Offsets, Offsets]:
        optimum = self.optimal_offset(p, size, xi)
        return optimum, optimum

    def optimal_offset(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> Offsets:
        return jnp.asarray(p, float) + markup_of(self.k, size, xi)

    def constant_hazard(self) -> Any:
        return self.k

    def unfair_offset(self, low: float, high: float, size: float, xi: float) -> None:
        """k² + ξzk > 0: fair everywhere."""
        return None


class Logistic(AbstractIntensity):
    """Λ = A/(1 + e^{a+bδ}): requests at rate A, each filled with a probability that falls with δ."""

    static: ClassVar[frozenset[str]] = _KIND

    kind: Literal["logistic"] = "logistic"
    A: Annotated[NonNegative, Field(description="requests per time; 0 for a side that never fills"), PER_TIME]
    a: Annotated[
        Number, Field(description="half of the requests are filled at offset -a/b; no unit, any sign"), PLAIN
    ]
    b: Annotated[Positive, Field(description="decay of the fill probability, per price"), PER_PRICE]

    def log_rate(self, offset: ArrayLike) -> Offsets:
        return jnp.log(self.A) - jax.nn.softplus(self.a + self.b * jnp.asarray(offset, float))

    def hazard(self, offset: ArrayLike) -> Offsets:
        return self.b * jax.nn.sigmoid(self.a + self.b * jnp.asarray(offset, float))

    def markup(self, offset: ArrayLike, size: ArrayLike, xi: ArrayLike) -> Offsets:
        """With x = a + bδ it is ln(1 + c/h)/c for c = ξz and 1/h = (1 + e^{-x})/b.

        Below x = -200 the hazard is negligible beside c: there the logarithm grows by the exponent itself.
        """
        c = jnp.asarray(xi * size, float)
        exponent = -(self.a + self.b * jnp.asarray(offset, float))
        tame = jnp.minimum(exponent, _TAME)
        inverse = (1.0 + jnp.exp(tame)) / self.b
        return log1p_ratio(c * inverse) * inverse + (exponent - tame) / jnp.where(c > 0.0, c, jnp.inf)

    def domain(self) -> tuple[float, float]:
        return -inf, inf

    def default_min_offset(self) -> None:
        return None

    def rate_ceiling(self) -> Any:
        return self.A

    def arrival_rate(self) -> Any:
        return self.A

    def offset_bracket(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> tuple[Offsets, Offsets]:
        """With ω the Wright omega function, δ₀ = p + (1 + ω(-(1 + a + bp)))/b is the optimum at ξ = 0.

        markup falls in ξ, so δ* ≤ δ₀; h rises in δ, so δ* = p + markup(h(δ*)) ≥ p + markup(h(δ₀)), where
        1/h(δ₀) = δ₀ - p. With c = ξz > 0, u = c/b and x = a + bδ*, the condition is
        c(δ* - p) = ln(1 + u + u e^{-x}), and its right side is at least ln u - x and at most
        ln(1 + u) + ln 2 + max(0, -x): another pair, tight where p is far below -a/b.
        """
        p, c = jnp.asarray(p, float), jnp.asarray(xi * size, float)
        margin = (1.0 + wright_omega(-(1.0 + self.a + self.b * p))) / self.b
        low, high = p + margin * log1p_ratio(c * margin), p + margin
        averse = c > 0.0
        c = jnp.where(averse, c, 1.0)
        slack = jnp.log1p(c / self.b) + jnp.log(2.0)
        below = (c * p + jnp.log(c / self.b) - self.a) / (self.b + c)
        above = jnp.maximum((c * p + slack - self.a) / (self.b + c), p + slack / c)
        low = jnp.where(averse, jnp.maximum(low, below), low)
        high = jnp.where(averse, jnp.minimum(high, above), high)
        return widened(low, high, p)

    def optimal_offset(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> None:
        return None

    def constant_hazard(self) -> None:
        return None

    def unfair_offset(self, low: float, high: float, size: float, xi: float) -> None:
        """h' = h(b - h) > 0: fair everywhere."""
        return None


class Power(AbstractIntensity):
    """Λ = A (1 + δ/d)^{-k}, δ > -d. Unless bounded otherwise, a flow with it quotes offsets of 0 and more."""

    static: ClassVar[frozenset[str]] = _KIND

    kind: Literal["power"] = "power"
    A: Rate
    d: Annotated[Positive, Field(description="scale of the decay, price units; offsets stay above -d"), PRICE]
    k: Annotated[
        Positive, Field(description="exponent of the decay; at ξ = 0 it must be greater than 1"), PLAIN
    ]

    def log_rate(self, offset: ArrayLike) -> Offsets:
        offset = jnp.asarray(offset, float)
        room = self.d + offset
        inside, far = room > 0.0, offset < -0.5 * self.d  # far down 1 + δ/d cancels, and d + δ is exact
        growth = jnp.where(
            far,
            jnp.log(jnp.where(inside, room, self.d) / self.d),
            jnp.log1p(jnp.where(far, 0.0, offset / self.d)),
        )
        return jnp.where(inside, jnp.log(self.A) - self.k * growth, jnp.inf)

    def hazard(self, offset: ArrayLike) -> Offsets:
        return self.k / jnp.maximum(self.d + jnp.asarray(offset, float), 0.0)

    def markup(self, offset: ArrayLike, size: ArrayLike, xi: ArrayLike) -> Offsets:
        return markup_of(self.hazard(offset), size, xi)

    def domain(self) -> tuple[Any, float]:
        return -self.d, inf

    def default_min_offset(self) -> float:
        return 0.0

    def rate_ceiling(self) -> float:
        return inf

    def arrival_rate(self) -> Any:
        return self.A

    def offset_bracket(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> tuple[Offsets, Offsets]:
        """In x = d + δ, y = d + p, c = ξz the condition is F(x) = x - y - ln(1 + cx/k)/c = 0 with F convex,
        and least at x₀ = (1 - k)⁺/c. The root that counts is on its right, where Λ is fair.

        F is negative at max(y, x₀), or has no such root: then y ≤ 0, a lower offset is always better, and
        both ends are -d. Newton's steps from the right of the root stay there, and the first from elsewhere
        beyond x₀ leads there: from ky/(k - 1), the root at c = 0, or from y + 1/c, whichever is nearer. A
        chord from F < 0 to such a point cuts the axis at the left of the root.
        """
        p = jnp.asarray(p, float)
        c, k = jnp.asarray(xi * size, float), jnp.asarray(self.k, float)
        y, averse, steep = self.d + p, c > 0.0, k > 1.0
        reach = jnp.where(averse, 1.0 / jnp.where(averse, c, 1.0), jnp.inf)
        lowest = jnp.where(steep, 0.0, (1.0 - k) * reach)

        def residual(x: Offsets) -> Offsets:
            return x - y - x / k * log1p_ratio(c * x / k)

        base = jnp.maximum(y, lowest)
        below = residual(base)
        neutral = jnp.where(steep, k * y / jnp.where(steep, k - 1.0, 1.0), jnp.inf)
        right = jnp.maximum(jnp.minimum(neutral, y + reach), 2.0 * lowest)
        for _ in range(3):
            right = right - residual(right) * (k + c * right) / (k - 1.0 + c * right)
        above = jnp.maximum(residual(right), 0.0)
        left = right - (right - base) * jnp.where(above > 0.0, above / (above - below), 0.0)
        low, high = widened(left - self.d, right - self.d, p)
        return jnp.where(below < 0.0, low, -self.d), jnp.where(below < 0.0, high, -self.d)

    def optimal_offset(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> None:
        return None

    def constant_hazard(self) -> None:
        return None

    def unfair_offset(self, low: float, high: float, size: float, xi: float) -> float | None:
        """(k² - k)/(d + δ)² + ξzk/(d + δ) > 0 is k - 1 + ξz(d + δ) > 0, hardest at the lowest offset."""
        low = max(low, -float(self.d))
        return low if low < high and not self.k - 1.0 + xi * size * (self.d + low) > 0.0 else None


class Linear(AbstractIntensity):
    """Λ = A (1 - δ/d)⁺: nothing fills at offsets of d and more."""

    static: ClassVar[frozenset[str]] = _KIND

    kind: Literal["linear"] = "linear"
    A: Rate
    d: Annotated[Positive, Field(description="the offset at which fills stop, price units"), PRICE]

    def log_rate(self, offset: ArrayLike) -> Offsets:
        left = self.d - jnp.asarray(offset, float)
        inside = left > 0.0
        return jnp.where(inside, jnp.log(self.A) + jnp.log(jnp.where(inside, left, 1.0) / self.d), -jnp.inf)

    def hazard(self, offset: ArrayLike) -> Offsets:
        return 1.0 / jnp.maximum(self.d - jnp.asarray(offset, float), 0.0)

    def markup(self, offset: ArrayLike, size: ArrayLike, xi: ArrayLike) -> Offsets:
        return markup_of(self.hazard(offset), size, xi)

    def domain(self) -> tuple[float, Any]:
        return -inf, self.d

    def default_min_offset(self) -> None:
        return None

    def rate_ceiling(self) -> float:
        return inf

    def arrival_rate(self) -> Any:
        return self.A

    def offset_bracket(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> tuple[Offsets, Offsets]:
        optimum = self.optimal_offset(p, size, xi)
        return optimum, optimum

    def optimal_offset(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> Offsets:
        """With v = ξz(d - δ) the condition is v + ln(1 + v) = ξz(d - p); v/(v + ln(1 + v)) is ½ at ξ = 0.

        For p ≥ d nothing pays: d.
        """
        room = jnp.maximum(self.d - jnp.asarray(p, float), 0.0)
        root = log_sum_root(xi * size * room)
        return self.d - room / (1.0 + log1p_ratio(root))

    def constant_hazard(self) -> None:
        return None

    def unfair_offset(self, low: float, high: float, size: float, xi: float) -> None:
        """h' = h² > 0: fair everywhere."""
        return None


Intensity: TypeAlias = Annotated[Exponential | Logistic | Power | Linear | Tabulated, ByKind()]
"""The union a flow accepts; the word `kind` tells its members apart."""
