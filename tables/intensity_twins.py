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

Numbers = NDArray[np.float64]


class NotVerifiableError(ValueError):
    """A problem holds something the verifier knows nothing about; the sentence says what."""


class IntensityTwin(NamedTuple):
    """An intensity Λ(δ), as the verifier uses it."""

    log_rate: Callable[[Numbers], Numbers]  # ln Λ, -∞ where Λ = 0
    hazard: Callable[[Numbers], Numbers]  # h, per price, for offsets inside (low, high)
    arrival_rate: float  # orders per time that the intensity thins
    low: float = -np.inf  # the open interval of offsets where Λ is positive and finite
    high: float = np.inf
    default_min_offset: float | None = None  # the bound that holds where a problem gives none
    decay: float | None = None  # h where it is the same at all offsets


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
        decay=float(k),
    )


def logistic(A: float, a: float, b: float) -> IntensityTwin:
    return IntensityTwin(
        log_rate=lambda offset: _log(A) - np.logaddexp(0.0, a + b * offset),
        hazard=lambda offset: b * np.exp(-np.logaddexp(0.0, -(a + b * offset))),
        arrival_rate=A,
    )


def power(A: float, d: float, k: float) -> IntensityTwin:
    return IntensityTwin(
        log_rate=lambda offset: _log(A) - k * np.log1p(offset / d),
        hazard=lambda offset: k / (d + offset),
        arrival_rate=A,
        low=-d,
        default_min_offset=0.0,
    )


def linear(A: float, d: float) -> IntensityTwin:
    return IntensityTwin(
        log_rate=lambda offset: _log(A) + _log(np.maximum(1.0 - offset / d, 0.0)),
        hazard=lambda offset: 1.0 / (d - offset),
        arrival_rate=A,
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
    slope = curve.derivative()

    def extended(at: Numbers) -> Numbers:
        inside = np.clip(at, knots[0], knots[-1])
        return curve(inside) + slope(inside) * (at - inside)

    return IntensityTwin(
        log_rate=extended,
        hazard=lambda at: -slope(np.clip(at, knots[0], knots[-1])),
        arrival_rate=float(np.exp(extended(np.zeros(())))),
    )


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
