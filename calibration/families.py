"""Parametric families of Λ(δ) = A·g(δ), as maximum likelihood needs them.

    exponential  g = e^{-kδ}               u = (ln k)
    logistic     g = 1/(1 + e^{a+bδ})      u = (a, ln b)
    power        g = (1 + δ/d)^{-k}        u = (ln d, ln k)
    linear       g = (1 - δ/d)⁺            u = (ln d)

A in orders per s, k (exponential) and b per price, d in price units; the parameters are those of the problem
file. The likelihood (`quotegrid.calibration.likelihood`) sees a family through ln g and through the mass of
one tick, ln[g(x) - g(x + τ)], both without cancellation, as functions of the unbounded u. They take complex
u, so that their derivatives are exact to the last bit (Squire & Trapp 1998). Leading dimensions of u are
problems solved at once.

An exponential is the limit of a logistic as a → ∞ and of a power as d, k → ∞: where the data do not tell them
apart the likelihood rises along a ridge, and `limit` says so.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.special import lambertw

FamilyName = Literal["exponential", "logistic", "power", "linear"]
Shape: TypeAlias = np.ndarray  # "*batch shape", real or complex
Offsets: TypeAlias = Float[np.ndarray, "offset"]
Logs: TypeAlias = np.ndarray  # "*batch offset", real or complex


class Family(ABC):
    """One form of Λ; `parameters` are the keys of the problem file, A first."""

    name: ClassVar[FamilyName]
    parameters: ClassVar[tuple[str, ...]]
    positive: ClassVar[tuple[bool, ...]]

    @abstractmethod
    def values(self, shape: Shape) -> Float[np.ndarray, "*batch parameter"]:
        """The parameters but A, from u."""

    @abstractmethod
    def log_shape(self, shape: Shape, offset: Offsets) -> Logs:
        """ln g(δ)."""

    @abstractmethod
    def log_mass(self, shape: Shape, offset: Offsets, tick: float) -> Logs:
        """ln[g(δ) - g(δ + τ)]."""

    @abstractmethod
    def starts(self, decay: float, start: float, furthest: float) -> tuple[tuple[float, ...], ...]:
        """Where to look for the best u: `decay` is the exponential's k, orders lie in [start, furthest]."""

    @abstractmethod
    def limit(self, shape: Float[np.ndarray, "shape"], start: float, furthest: float) -> str:
        """What the fit has run into, in words, where the data do not hold it; "" where they do."""

    @abstractmethod
    def offset_at(self, values: tuple[float, ...], rate: Offsets) -> Offsets:
        """The offset at which Λ has a rate: Λ⁻¹, for 0 < rate ≤ Λ(0)."""

    @abstractmethod
    def best_offset(self, values: tuple[float, ...]) -> float:
        """argmax of δΛ(δ), ∞ where there is none."""

    def rate(self, values: tuple[float, ...], offset: Offsets) -> Offsets:
        """Λ(δ), per s."""
        with np.errstate(divide="ignore"):  # ln 0 where a linear Λ has ended
            return values[0] * np.exp(
                self.log_shape(self.shape(values), np.asarray(offset, dtype=np.float64))
            )

    @abstractmethod
    def shape(self, values: tuple[float, ...]) -> Float[np.ndarray, "shape"]:
        """u, from the parameters."""


class PositiveFamily(Family):
    """A form whose parameters are positive: u is the logarithms of all but A."""

    def values(self, shape: Shape) -> Float[np.ndarray, "*batch parameter"]:
        return np.exp(shape)

    def shape(self, values: tuple[float, ...]) -> Float[np.ndarray, "shape"]:
        return np.log(np.array(values[1:]))


class ExponentialFamily(PositiveFamily):
    """A e^{-kδ}."""

    name = "exponential"
    parameters, positive = ("A", "k"), (True, True)

    def log_shape(self, shape: Shape, offset: Offsets) -> Logs:
        return -np.exp(shape[..., :1]) * offset

    def log_mass(self, shape: Shape, offset: Offsets, tick: float) -> Logs:
        k = np.exp(shape[..., :1])
        return -k * offset + np.log(-np.expm1(-k * tick))

    def starts(self, decay: float, start: float, furthest: float) -> tuple[tuple[float, ...], ...]:
        return ((math.log(decay),),)

    def limit(self, shape: Float[np.ndarray, "shape"], start: float, furthest: float) -> str:
        return ""

    def offset_at(self, values: tuple[float, ...], rate: Offsets) -> Offsets:
        return -np.log(rate / values[0]) / values[1]

    def best_offset(self, values: tuple[float, ...]) -> float:
        return 1.0 / values[1]


class LogisticFamily(Family):
    """A / (1 + e^{a+bδ})."""

    name = "logistic"
    parameters, positive = ("A", "a", "b"), (True, False, True)

    def values(self, shape: Shape) -> Float[np.ndarray, "*batch parameter"]:
        return np.stack([shape[..., 0], np.exp(shape[..., 1])], axis=-1)

    def shape(self, values: tuple[float, ...]) -> Float[np.ndarray, "shape"]:
        return np.array([values[1], math.log(values[2])])

    def log_shape(self, shape: Shape, offset: Offsets) -> Logs:
        return -softplus(shape[..., :1] + np.exp(shape[..., 1:]) * offset)

    def log_mass(self, shape: Shape, offset: Offsets, tick: float) -> Logs:
        """g(x) - g(x + τ) = g(x) g(x + τ) e^{a+bx} (e^{bτ} - 1)."""
        b = np.exp(shape[..., 1:])
        z = shape[..., :1] + b * offset
        return -softplus(z) - softplus(z + b * tick) + z + np.log(np.expm1(b * tick))

    def starts(self, decay: float, start: float, furthest: float) -> tuple[tuple[float, ...], ...]:
        b = 1.5 * decay
        return tuple((centre - b * start, math.log(b)) for centre in (-3.0, -1.0, 1.0))

    def limit(self, shape: Float[np.ndarray, "shape"], start: float, furthest: float) -> str:
        return "an exponential" if shape[0] + math.exp(shape[1]) * start > 4.0 else ""

    def offset_at(self, values: tuple[float, ...], rate: Offsets) -> Offsets:
        return (np.log(values[0] / rate - 1.0) - values[1]) / values[2]

    def best_offset(self, values: tuple[float, ...]) -> float:
        return (1.0 + float(lambertw(math.exp(-1.0 - values[1])).real)) / values[2]


class PowerFamily(PositiveFamily):
    """A (1 + δ/d)^{-k}."""

    name = "power"
    parameters, positive = ("A", "d", "k"), (True, True, True)

    def log_shape(self, shape: Shape, offset: Offsets) -> Logs:
        return -np.exp(shape[..., 1:]) * np.log1p(offset * np.exp(-shape[..., :1]))

    def log_mass(self, shape: Shape, offset: Offsets, tick: float) -> Logs:
        d, k = np.exp(shape[..., :1]), np.exp(shape[..., 1:])
        return self.log_shape(shape, offset) + np.log(-np.expm1(-k * np.log1p(tick / (d + offset))))

    def starts(self, decay: float, start: float, furthest: float) -> tuple[tuple[float, ...], ...]:
        return tuple((math.log(k / decay), math.log(k)) for k in (2.0, 5.0, 20.0))

    def limit(self, shape: Float[np.ndarray, "shape"], start: float, furthest: float) -> str:
        if shape[0] > math.log(20.0 * furthest):
            return "an exponential"
        return "a pure power, infinite at the mid" if shape[0] < math.log(0.01 * start) else ""

    def offset_at(self, values: tuple[float, ...], rate: Offsets) -> Offsets:
        return values[1] * np.expm1(-np.log(rate / values[0]) / values[2])

    def best_offset(self, values: tuple[float, ...]) -> float:
        return values[1] / (values[2] - 1.0) if values[2] > 1.0 else math.inf


class LinearFamily(PositiveFamily):
    """A (1 - δ/d)⁺; its end d is no regular parameter, see `quotegrid.calibration.likelihood`."""

    name = "linear"
    parameters, positive = ("A", "d"), (True, True)

    def log_shape(self, shape: Shape, offset: Offsets) -> Logs:
        with np.errstate(divide="ignore"):  # ln 0 where Λ has ended
            return np.log(np.maximum(1.0 - offset * np.real(np.exp(-shape[..., :1])), 0.0))

    def log_mass(self, shape: Shape, offset: Offsets, tick: float) -> Logs:
        end = np.real(np.exp(shape[..., :1]))
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(np.minimum(tick, end - offset), 0.0) / end)

    def starts(self, decay: float, start: float, furthest: float) -> tuple[tuple[float, ...], ...]:
        return ((math.log(furthest),),)

    def limit(self, shape: Float[np.ndarray, "shape"], start: float, furthest: float) -> str:
        return ""

    def offset_at(self, values: tuple[float, ...], rate: Offsets) -> Offsets:
        return values[1] * (1.0 - rate / values[0])

    def best_offset(self, values: tuple[float, ...]) -> float:
        return 0.5 * values[1]


def softplus(z: Logs) -> Logs:
    """ln(1 + e^z), for complex z near the real line too."""
    above = np.real(z) > 0.0
    return np.where(above, z, 0.0) + np.log1p(np.exp(np.where(above, -z, z)))


FAMILIES: dict[FamilyName, Family] = {
    family.name: family for family in (ExponentialFamily(), LogisticFamily(), PowerFamily(), LinearFamily())
}
