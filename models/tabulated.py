"""The tabulated intensity: ln Λ through measured knots, by monotone cubics.

Between knots (δ_i, y_i = ln Λ_i), with widths w_i = δ_{i+1} - δ_i and chords m_i = (y_{i+1} - y_i)/w_i < 0,
ln Λ is the cubic of Fritsch & Butland 1984 (PCHIP): at inner knots the slope is the weighted harmonic mean

    s_i = (a + b)/(a/m_{i-1} + b/m_i),   a = 2w_i + w_{i-1},  b = w_i + 2w_{i-1},

and at the ends that of the parabola through three knots, or 0 where that is not negative. Outside, ln Λ
continues linearly with the end slopes, which must therefore be negative. Every slope is less than three times
as steep as the chords beside it, so the hazard h = -(ln Λ)' is positive everywhere. It is continuous; its
derivative jumps at knots.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.polynomial import Polynomial
from pydantic import Field

from quotegrid.models.contract import AbstractIntensity, Offsets, known, markup_of, widened
from quotegrid.models.dimensions import PER_TIME, PRICE, Dimension
from quotegrid.models.faults import Fault
from quotegrid.models.numbers import Numbers

_KNOTS = 16  # tables are padded to a multiple of it


class AbstractInterpolated(AbstractIntensity):
    """An intensity whose logarithm is a curve of monotone cubics."""

    @abstractmethod
    def cubics(self, xp: Any) -> "Cubics":
        """The interpolant, in arrays of `xp`: NumPy on the host, jax.numpy when traced."""

    def log_rate(self, offset: ArrayLike) -> Offsets:
        cubics, offset = self.cubics(jnp), jnp.asarray(offset, float)
        inside = jnp.clip(offset, cubics.knots[0], cubics.knots[-1])
        i, t = cubics.place(inside)
        value = cubics.values[i] + t * (cubics.slopes[i] + t * (cubics.second[i] + t * cubics.third[i]))
        beyond = offset - inside
        return value + jnp.where(beyond < 0.0, cubics.slopes[0], cubics.slopes[-1]) * beyond

    def hazard(self, offset: ArrayLike) -> Offsets:
        cubics = self.cubics(jnp)
        i, t = cubics.place(jnp.clip(jnp.asarray(offset, float), cubics.knots[0], cubics.knots[-1]))
        return -(cubics.slopes[i] + t * (2.0 * cubics.second[i] + 3.0 * t * cubics.third[i]))

    def markup(self, offset: ArrayLike, size: ArrayLike, xi: ArrayLike) -> Offsets:
        return markup_of(self.hazard(offset), size, xi)

    def domain(self) -> tuple[float, float]:
        return -np.inf, np.inf

    def default_min_offset(self) -> None:
        return None

    def rate_ceiling(self) -> float:
        return np.inf

    def arrival_rate(self) -> Any:
        return jnp.exp(self.log_rate(0.0))

    def offset_bracket(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> tuple[Offsets, Offsets]:
        """Every root of δ = p + markup(h) lies between the markups of the largest and the smallest hazard."""
        least, greatest = self.cubics(jnp).hazard_range()
        p = jnp.asarray(p, float)
        return widened(p + markup_of(greatest, size, xi), p + markup_of(least, size, xi), p)

    def optimal_offset(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> None:
        return None

    def constant_hazard(self) -> None:
        return None

    def unfair_offset(self, low: float, high: float, size: float, xi: float) -> float | None:
        """Segment by segment: h is quadratic there, so h² + ξzh + h' is a quartic. Outside, h' = 0: fair."""
        cubics = self.cubics(np)
        for i in range(len(cubics.second)):
            start, end = max(low, cubics.knots[i]), min(high, cubics.knots[i + 1])
            if start > end:
                continue
            hazard = -Polynomial([cubics.slopes[i], 2.0 * cubics.second[i], 3.0 * cubics.third[i]])
            excess = hazard**2 + xi * size * hazard + hazard.deriv()
            t = _first_not_positive(excess, start - cubics.knots[i], end - cubics.knots[i])
            if t is not None:
                return float(cubics.knots[i] + t)
        return None


class Tabulated(AbstractInterpolated):
    """ln Λ interpolated through knots; give exactly one of `log_rate` and `rate`.

    The logarithms given as `log_rate` are kept in the field `log_rates` (the name is taken by the method).
    """

    static: ClassVar[frozenset[str]] = frozenset({"kind"})

    kind: Literal["table"] = "table"
    offset: Annotated[Numbers, Field(description="offsets of the knots, increasing, price units"), PRICE]
    log_rates: Annotated[Numbers | None, Dimension("ln of fills per {time}", time=-1, logarithm=True)] = (
        Field(default=None, alias="log_rate", description="ln of the fills per time at the knots, decreasing")
    )
    rate: Annotated[
        Numbers | None, Field(description="fills per time at the knots, positive, decreasing"), PER_TIME
    ] = None

    def contradictions(self) -> Iterator[Fault]:
        given = [
            key for key, values in (("log_rate", self.log_rates), ("rate", self.rate)) if values is not None
        ]
        if len(given) != 1:
            yield Fault(
                "", f"expected exactly one of 'log_rate' and 'rate', got {'both' if given else 'neither'}."
            )
            return
        key, values = given[0], self._values()
        if len(self.offset) < 2:
            yield Fault("offset", f"expected two knots or more, got {len(self.offset)}.")
        elif len(values) != len(self.offset):
            yield Fault(
                key, f"expected one value for each of the {len(self.offset)} offsets, got {len(values)}."
            )
        elif known(*self.offset, *values):
            yield from self._disorder(key, values)

    def _disorder(self, key: str, values: tuple[Any, ...]) -> Iterator[Fault]:
        for place in range(1, len(values)):
            before, offset = self.offset[place - 1 : place + 1]
            if not offset > before:
                yield Fault(
                    "offset",
                    f"expected increasing offsets, got {offset} after {before} (number {place + 1}); "
                    "sort the knots.",
                )
                return
        for place in range(1, len(values)):
            before, value = values[place - 1 : place + 1]
            if not value < before:
                yield Fault(
                    key,
                    f"expected values that decrease with the offset, got {value} after {before} at offset "
                    f"{self.offset[place]}; fit a decreasing curve first or leave out a knot.",
                )
                return
        if key == "rate" and not values[-1] > 0.0:
            yield Fault(
                "rate", f"expected rates greater than 0, got {values[-1]}; leave out the knots without fills."
            )
            return
        slopes = self.cubics(np).slopes
        for end, slope in (("first", slopes[0]), ("last", slopes[-1])):
            if not slope < 0.0:
                yield Fault(
                    key,
                    f"ln Λ turns flat at the {end} knot (PCHIP slope 0), so it does not decrease beyond it; "
                    "leave out that knot or the one beside it.",
                )

    def _values(self) -> Any:
        return self.rate if self.log_rates is None else self.log_rates

    def cubics(self, xp: Any) -> "Cubics":
        knots, values = (xp.asarray(row, float) for row in (self.offset, self._values()))
        return pchip(xp, knots, values if self.rate is None else xp.log(values))

    def worked_out(self) -> "WorkedOut":
        return WorkedOut.model_construct(**self.cubics(jnp).padded()._asdict())


class WorkedOut(AbstractInterpolated):
    """A tabulated intensity as its cubics, which kernels need not compute over and over."""

    knots: Any
    values: Any
    slopes: Any
    second: Any
    third: Any

    def cubics(self, xp: Any) -> "Cubics":
        return Cubics(self.knots, self.values, self.slopes, self.second, self.third)


class Cubics(NamedTuple):
    """Piecewise cubics: values, slopes [knot]; coefficients of t² and t³ [segment], t = δ - left knot."""

    knots: Any
    values: Any
    slopes: Any
    second: Any
    third: Any

    def place(self, offset: Offsets) -> tuple[Any, Offsets]:
        """The segment an offset falls in, and its distance from the left knot."""
        # comparing with all of a few knots is faster than a search, and a tenth of its code
        i = jnp.searchsorted(self.knots, offset, side="right", method="compare_all") - 1
        i = jnp.clip(i, 0, len(self.knots) - 2)
        return i, offset - self.knots[i]

    def padded(self) -> "Cubics":
        """The same curve with its last knot repeated, so that tables of up to so many knots are of one shape
        and one kernel serves them.
        """
        more = -len(self.knots) % _KNOTS
        knots, values, slopes = (jnp.concatenate([x, jnp.repeat(x[-1:], more)]) for x in self[:3])
        second, third = (jnp.concatenate([x, jnp.zeros(more)]) for x in self[3:])
        return Cubics(knots, values, slopes, second, third)

    def hazard_range(self) -> tuple[Any, Any]:
        """The least and the greatest hazard; between knots h is a parabola with its vertex at t = -c/(3e)."""
        curved = self.third != 0.0
        third = jnp.where(curved, self.third, 1.0)
        vertex = -self.second / (3.0 * third)
        within = curved & (vertex > 0.0) & (vertex < jnp.diff(self.knots))
        at_vertex = jnp.where(within, self.second**2 / (3.0 * third) - self.slopes[:-1], -self.slopes[:-1])
        hazards = jnp.concatenate([-self.slopes, at_vertex])
        return jnp.min(hazards), jnp.max(hazards)


def pchip(xp: Any, knots: Any, values: Any) -> Cubics:
    """The monotone cubics through decreasing values, in arrays of `xp` (NumPy or jax.numpy)."""
    width = xp.diff(knots)
    chord = xp.diff(values) / width
    if len(knots) == 2:
        slopes = xp.concatenate([chord, chord])
    else:
        a, b = 2.0 * width[1:] + width[:-1], width[1:] + 2.0 * width[:-1]
        inner = (a + b) / (a / chord[:-1] + b / chord[1:])
        first = ((2.0 * width[0] + width[1]) * chord[0] - width[0] * chord[1]) / (width[0] + width[1])
        last = ((2.0 * width[-1] + width[-2]) * chord[-1] - width[-1] * chord[-2]) / (width[-1] + width[-2])
        slopes = xp.concatenate([xp.minimum(first, 0.0)[None], inner, xp.minimum(last, 0.0)[None]])
    second = (3.0 * chord - 2.0 * slopes[:-1] - slopes[1:]) / width
    third = (slopes[:-1] + slopes[1:] - 2.0 * chord) / width**2
    return Cubics(knots, values, slopes, second, third)


def _first_not_positive(polynomial: Polynomial, start: float, end: float) -> float | None:
    """The first point of [start, end], to rounding, where a polynomial is not positive; None if none."""
    turns = sorted(t.real for t in polynomial.deriv().roots() if abs(t.imag) <= 1e-9 and start < t.real < end)
    left = start
    for right in (start, *turns, end):
        if polynomial(right) <= 0.0:
            if polynomial(left) <= 0.0:
                return left
            while left < (middle := 0.5 * (left + right)) < right:  # it falls all the way from left to right
                left, right = (middle, right) if polynomial(middle) > 0.0 else (left, middle)
            return right
        left = right
    return None
