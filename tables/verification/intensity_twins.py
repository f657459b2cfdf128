"""The intensities once more, for the verifier: in NumPy, from plain JSON, sharing no code with `models`.

    exponential  Λ = A e^{-kδ}               h = k
    logistic     Λ = A/(1 + e^{a+bδ})        h = b/(1 + e^{-(a+bδ)})     A is the rate of requests
    power        Λ = A(1 + δ/d)^{-k}         h = k/(d + δ), δ > -d       offsets ≥ 0 unless bounded otherwise
    linear       Λ = A(1 - δ/d)⁺             h = 1/(d - δ), δ < d
    table        PCHIP on ln Λ               h = -(ln Λ)'                end slopes continued outside knots

Λ in fills per time, δ the offset in price units, h = -Λ'/Λ the hazard per price. A new intensity needs one
function here, entered in `TWINS`; until it is there, tables that use it are "not verifiable".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import expit

Numbers = NDArray[np.float64]

_HALVINGS = 12  # of a disc between two knots


class NotVerifiableError(ValueError):
    """A problem holds something the verifier knows nothing about; the sentence says what."""


class Disc(NamedTuple):
    """What holds for complex offsets within `radius` of a real one; radius 0 where nothing is known.

    Λ and h are analytic there, Re h > 0, and F = δ - ln(1 + ξZ/h)/(ξZ) has F' = 1 + h'/(h(h + ξZ)).
    """

    radius: Numbers  # price units
    hazard: Numbers  # ≥ |h|, per price
    turn: Numbers  # ≥ |h'/h|, per price
    steepness: Numbers  # ≤ Re F'


class IntensityTwin(NamedTuple):
    """An intensity Λ(δ), as the verifier uses it."""

    log_rate: Callable[[Numbers], Numbers]  # ln Λ, -∞ where Λ = 0
    hazard: Callable[[Numbers], Numbers]  # h, per price, for offsets inside (low, high)
    arrival_rate: float  # orders per time that the intensity thins
    disc: Callable[[Numbers, float], Disc]  # around offsets inside (low, high), for ξZ
    low: float = -np.inf  # the open interval of offsets where Λ is positive and finite
    high: float = np.inf
    default_min_offset: float | None = None  # the bound that holds where a problem gives none
    decay: float | None = None  # h where it is the same at all offsets
    knots: tuple[float, ...] = ()  # offsets where Λ is not analytic
    shift: float = 0.0  # what is added to multiples of δ within ln Λ: its rounding is that of ln Λ, too


def intensity_twin(stated: Mapping[str, Any]) -> IntensityTwin:
    """The twin of an intensity of a problem; NotVerifiableError where there is none."""
    parameters = {name: value for name, value in stated.items() if name != "kind" and value is not None}
    kind = stated.get("kind")
    if kind not in TWINS:
        raise NotVerifiableError(
            f"the verifier knows no intensity of kind {kind!r}; known: {', '.join(TWINS)}"
        )
    try:
        return TWINS[kind](**parameters)
    except TypeError:
        raise NotVerifiableError(
            f"the verifier knows no {kind} intensity with the parameters {', '.join(parameters)}"
        ) from None


def exponential(A: float, k: float) -> IntensityTwin:
    return IntensityTwin(
        log_rate=lambda offset: _log(A) - k * offset,
        hazard=lambda offset: np.full(np.shape(offset), float(k)),
        arrival_rate=A,
        disc=lambda offset, _: _disc(offset, np.inf, k, 0.0, 1.0),
        decay=float(k),
    )


def logistic(A: float, a: float, b: float) -> IntensityTwin:
    return IntensityTwin(
        log_rate=lambda offset: _log(A) - np.logaddexp(0.0, a + b * offset),
        hazard=lambda offset: b * expit(a + b * offset),
        arrival_rate=A,
        # up to Im bδ = π/2 the real part of e^{a + bδ} is not negative
        disc=lambda offset, _: _disc(offset, 0.5 * np.pi / b, b, b, 1.0),
        shift=abs(a),
    )


def power(A: float, d: float, k: float) -> IntensityTwin:
    def around(offset: Numbers, xz: float) -> Disc:
        y = d + offset  # halved at most
        return _disc(offset, 0.5 * y, 2.0 * k / y, 2.0 / y, 1.0 - 1.0 / (k + 0.5 * xz * y))

    return IntensityTwin(
        log_rate=lambda offset: _log(A) - k * np.log1p(offset / d),
        hazard=lambda offset: k / (d + offset),
        arrival_rate=A,
        disc=around,
        low=-d,
        default_min_offset=0.0,
    )


def linear(A: float, d: float) -> IntensityTwin:
    return IntensityTwin(
        log_rate=lambda offset: _log(A) + _log(np.maximum(1.0 - offset / d, 0.0)),
        hazard=lambda offset: 1.0 / (d - offset),
        arrival_rate=A,
        disc=lambda offset, _: _disc(offset, 0.5 * (d - offset), 2.0 / (d - offset), 2.0 / (d - offset), 1.0),
        high=d,
    )


def table(
    offset: Sequence[float], log_rate: Sequence[float] | None = None, rate: Sequence[float] | None = None
) -> IntensityTwin:
    if (log_rate is None) == (rate is None):
        raise NotVerifiableError("a table intensity needs log_rate or rate, and not both")
    knots = np.asarray(offset, dtype=np.float64)
    curve = PchipInterpolator(
        knots, _log(rate) if log_rate is None else np.asarray(log_rate, dtype=np.float64)
    )
    slope, bend, twist = (curve.derivative(order) for order in (1, 2, 3))

    def around(at: Numbers, xz: float) -> Disc:
        """On one piece h is quadratic: the disc is as wide as keeps h and F' within a factor of two."""
        inside = (at > knots[0]) & (at < knots[-1])
        h, first, second = -slope(np.clip(at, knots[0], knots[-1])), -bend(at), -0.5 * twist(at)
        first, second = np.where(inside, first, 0.0), np.where(inside, second, 0.0)
        steepness = 1.0 + first / (h * (h + xz))

        def within(radius: Numbers) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
            """The largest |h| and |h'/h|, and whether h and F' stay near enough to what they are."""
            room = np.where(inside, radius, 0.0)
            moved, turned = np.abs(first) * room + np.abs(second) * room**2, 2.0 * np.abs(second) * room
            least, product = h - moved, h * (h + xz)
            swing = turned * product + np.abs(first) * moved * (2.0 * h + moved + xz)
            good = (least >= 0.5 * h) & (swing <= 0.5 * steepness * least * (least + xz) * product)
            return h + moved, (np.abs(first) + turned) / least, good

        radius = np.where(inside, knots[-1] - knots[0], np.inf)
        for _ in range(_HALVINGS):
            radius = np.where(within(radius)[2], radius, 0.5 * radius)
        most, turn, good = within(radius)
        return _disc(at, np.where(good, radius, 0.0), most, turn, 0.5 * steepness)

    def extended(at: Numbers) -> Numbers:
        inside = np.clip(at, knots[0], knots[-1])
        return curve(inside) + slope(inside) * (at - inside)

    return IntensityTwin(
        log_rate=extended,
        hazard=lambda at: -slope(np.clip(at, knots[0], knots[-1])),
        arrival_rate=float(np.exp(extended(np.zeros(())))),
        disc=around,
        knots=tuple(knots),
    )


def _disc(offset: Numbers, *parts: Any) -> Disc:
    """The parts at every offset; nothing is known where one of them makes no sense."""
    radius, hazard, turn, steepness = (np.broadcast_to(part, offset.shape) for part in parts)
    with np.errstate(invalid="ignore"):
        known = (radius > 0.0) & (steepness > 0.0) & np.isfinite(hazard) & np.isfinite(turn)
    return Disc(np.where(known, radius, 0.0), hazard, turn, steepness)


def _log(x: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(x, dtype=np.float64))


TWINS: dict[str, Callable[..., IntensityTwin]] = {
    "exponential": exponential,
    "logistic": logistic,
    "power": power,
    "linear": linear,
    "table": table,
}
