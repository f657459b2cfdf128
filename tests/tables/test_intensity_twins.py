"""The verifier's own intensities: against formulas, finite differences, and the intensities of the models."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from quotegrid.models.problem_file import parse_problem
from quotegrid.tables.verification.intensity_twins import TWINS, NotVerifiableError, intensity_twin

KNOTS = [-0.5, 0.0, 0.3, 0.7, 1.2, 2.0]
LOG_RATES = [0.35, 0.0, -0.28, -0.75, -1.45, -2.85]
STATED: dict[str, dict[str, Any]] = {
    "exponential": {"kind": "exponential", "A": 0.9, "k": 1.5},
    "logistic": {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8},
    "power": {"kind": "power", "A": 1.2, "d": 1.5, "k": 3.0},
    "linear": {"kind": "linear", "A": 1.1, "d": 3.0},
    "table": {"kind": "table", "offset": KNOTS, "log_rate": LOG_RATES},
}
OFFSETS = np.linspace(-1.2, 2.8, 33)


def test_every_kind_is_tried() -> None:
    assert set(STATED) == set(TWINS)


@pytest.mark.parametrize("kind", list(STATED))
def test_hazard_is_the_slope_of_the_log_rate(kind: str) -> None:
    """Central differences with step 1e-5: their error is 1e-10/6·|(ln Λ)'''| plus 1e-16/1e-5 of rounding."""
    twin = intensity_twin(STATED[kind])
    step = 1e-5
    slope = (twin.log_rate(OFFSETS + step) - twin.log_rate(OFFSETS - step)) / (2 * step)
    # the curvature jumps at knots
    away = np.min(np.abs(OFFSETS[:, None] - np.array(KNOTS)), axis=1) > 2 * step
    np.testing.assert_allclose(twin.hazard(OFFSETS)[away], -slope[away], rtol=0, atol=2e-8)


@pytest.mark.parametrize(
    ("kind", "offset", "rate"),
    [
        ("exponential", 0.4, 0.9 * math.exp(-0.6)),
        ("logistic", 0.4, 1.5 / (1 + math.exp(-0.7 + 0.72))),
        ("power", -0.5, 1.2 * (1 - 0.5 / 1.5) ** -3),
        ("linear", -1.0, 1.1 * (1 + 1 / 3)),
        ("table", 0.7, math.exp(-0.75)),
    ],
)
def test_rates(kind: str, offset: float, rate: float) -> None:
    assert np.exp(intensity_twin(STATED[kind]).log_rate(np.array(offset))) == pytest.approx(rate, rel=1e-14)


def test_far_ends_stay_finite() -> None:
    """ln Λ of the logistic intensity where e^{a+bδ} is out of range on either side."""
    twin = intensity_twin(STATED["logistic"])
    far = np.array([-1000.0, 1000.0])
    np.testing.assert_allclose(twin.log_rate(far), [math.log(1.5), math.log(1.5) + 0.7 - 1800.0], rtol=1e-15)
    assert twin.hazard(far)[1] == 1.8
    assert twin.hazard(far)[0] >= 0.0


def test_linear_ends() -> None:
    twin = intensity_twin(STATED["linear"])
    np.testing.assert_array_equal(twin.log_rate(np.array([3.0, 4.0])), [-np.inf, -np.inf])
    assert (twin.low, twin.high) == (-np.inf, 3.0)


def test_power_is_bounded_below() -> None:
    twin = intensity_twin(STATED["power"])
    assert (twin.low, twin.high, twin.default_min_offset) == (-1.5, np.inf, 0.0)


def test_table_goes_on_with_its_end_slopes() -> None:
    twin = intensity_twin(STATED["table"])
    end = twin.hazard(np.array([KNOTS[-1]]))[0]
    assert twin.hazard(np.array([9.0]))[0] == end
    assert twin.log_rate(np.array([9.0]))[0] == pytest.approx(LOG_RATES[-1] - end * 7.0, rel=1e-14)
    stated = {"kind": "table", "offset": KNOTS, "rate": np.exp(LOG_RATES).tolist()}
    np.testing.assert_allclose(
        intensity_twin(stated).log_rate(OFFSETS), twin.log_rate(OFFSETS), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(
    ("kind", "rate"),
    [("exponential", 0.9), ("logistic", 1.5), ("power", 1.2), ("linear", 1.1), ("table", 1.0)],
)
def test_arrival_rates(kind: str, rate: float) -> None:
    """Λ(0), and the request rate of the logistic intensity."""
    assert intensity_twin(STATED[kind]).arrival_rate == pytest.approx(rate, rel=1e-15)


def test_a_side_that_never_fills() -> None:
    twin = intensity_twin({"kind": "exponential", "A": 0.0, "k": 1.5})
    np.testing.assert_array_equal(twin.log_rate(OFFSETS), -np.inf)


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        (
            {"kind": "cauchy", "A": 1.0},
            "the verifier knows no intensity of kind 'cauchy'; "
            "known: exponential, logistic, power, linear, table",
        ),
        (
            {"kind": "exponential", "A": 1.0, "k": 1.0, "cap": 2.0},
            "the verifier knows no exponential intensity with the parameters A, k, cap",
        ),
        ({"kind": "table", "offset": [0.0, 1.0]}, "a table intensity needs log_rate or rate, and not both"),
    ],
)
def test_strangers_are_not_verifiable(stated: dict[str, Any], text: str) -> None:
    with pytest.raises(NotVerifiableError) as caught:
        intensity_twin(stated)
    assert str(caught.value) == text


@pytest.mark.parametrize("kind", list(STATED))
def test_agrees_with_the_models(kind: str, problems, change, x64: None) -> None:
    """Two implementations without a common line; both round a handful of times."""
    tree = change(problems["glft"], flow__intensity=STATED[kind])
    model = parse_problem(json.loads(json.dumps(tree))).problem.assets[0].flow[0].intensity
    twin = intensity_twin(STATED[kind])
    offsets = OFFSETS[twin.low < OFFSETS]
    np.testing.assert_allclose(
        np.asarray(model.log_rate(offsets)), twin.log_rate(offsets), rtol=0, atol=1e-13
    )
    np.testing.assert_allclose(np.asarray(model.hazard(offsets)), twin.hazard(offsets), rtol=1e-12)
    assert float(model.arrival_rate()) == pytest.approx(twin.arrival_rate, rel=1e-15)
    assert model.default_min_offset() == twin.default_min_offset
    assert [float(end) for end in model.domain()] == [twin.low, twin.high]


def _on_piece(number: int) -> tuple[Callable, Callable]:
    """h and h' of the PCHIP piece after a knot, for complex offsets."""
    curve = PchipInterpolator(KNOTS, LOG_RATES)
    log_rate = np.polynomial.Polynomial(curve.c[::-1, number])
    start = KNOTS[number]
    return (lambda d: -log_rate.deriv()(d - start)), (lambda d: -log_rate.deriv(2)(d - start))


# twin, h, h', offsets
COMPLEX: dict[str, tuple[dict, Callable, Callable, list[float]]] = {
    "exponential": (
        {"kind": "exponential", "A": 1.0, "k": 1.5},
        lambda d: 1.5 + 0.0 * d,
        lambda d: 0.0 * d,
        [-2.0, 0.3],
    ),
    "logistic": (
        {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8},
        lambda d: 1.8 / (1.0 + np.exp(0.7 - 1.8 * d)),
        lambda d: 1.8**2 * np.exp(0.7 - 1.8 * d) / (1.0 + np.exp(0.7 - 1.8 * d)) ** 2,
        [-5.0, -0.5, 0.4, 3.0],
    ),
    "power": (
        {"kind": "power", "A": 1.0, "d": 1.0, "k": 3.0},
        lambda d: 3.0 / (1.0 + d),
        lambda d: -3.0 / (1.0 + d) ** 2,
        [-0.9, 0.0, 4.0],
    ),
    "linear": (
        {"kind": "linear", "A": 1.0, "d": 2.0},
        lambda d: 1.0 / (2.0 - d),
        lambda d: 1.0 / (2.0 - d) ** 2,
        [-3.0, 0.0, 1.9],
    ),
    "table": (STATED["table"], *_on_piece(3), [0.75, 0.9, 1.19]),
}


@pytest.mark.parametrize("xz", [0.0, 0.3, 50.0])
@pytest.mark.parametrize("name", COMPLEX)
def test_discs_hold_what_they_promise(name: str, xz: float) -> None:
    """|h|, |h'/h|, Re h and Re F' at random complex offsets within the radius."""
    stated, hazard, slope, offsets = COMPLEX[name]
    disc = intensity_twin(stated).disc(np.array(offsets), xz)
    random = np.random.default_rng(5)
    assert np.all(disc.radius > 0.0)
    for number, offset in enumerate(offsets):
        radius = min(disc.radius[number], 10.0)
        turn = np.exp(2j * np.pi * random.uniform(size=4000))
        at = offset + radius * np.sqrt(random.uniform(size=4000)) * turn
        at[:400] = offset + radius * turn[:400]
        h, bend = hazard(at), slope(at)
        steepness = 1.0 + bend / (h * (h + xz))
        assert np.min(h.real) >= -1e-12
        assert np.max(np.abs(h)) <= disc.hazard[number] * (1.0 + 1e-12)
        assert np.max(np.abs(bend / h)) <= disc.turn[number] * (1.0 + 1e-12) + 1e-15
        assert np.min(steepness.real) >= disc.steepness[number] * (1.0 - 1e-12)


def test_nothing_is_known_beyond_the_domain() -> None:
    linear = intensity_twin({"kind": "linear", "A": 1.0, "d": 2.0})
    with np.errstate(divide="ignore"):
        assert linear.disc(np.array([2.0, 2.5]), 0.0).radius.tolist() == [0.0, 0.0]
    # k ≤ 1 has no best quote without risk aversion
    power = intensity_twin({"kind": "power", "A": 1.0, "d": 1.0, "k": 1.0})
    assert power.disc(np.array([0.0]), 0.0).radius.tolist() == [0.0]
    assert power.disc(np.array([0.0]), 1.0).radius[0] > 0.0
