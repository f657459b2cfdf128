"""The intensities against twins written from their formulas in mpmath, and their promises to the solver."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotegrid.models.contract import AbstractIntensity
from quotegrid.models.intensities import Exponential, Linear, Logistic, Power
from quotegrid.models.tabulated import Tabulated

EXAMPLES: dict[str, AbstractIntensity] = {
    "exponential": Exponential(A=0.9, k=1.5),
    "logistic": Logistic(A=1.5, a=-0.7, b=1.8),
    "logistic, steep": Logistic(A=0.5, a=1.0, b=12.0),
    "power": Power(A=1.0, d=1.0, k=3.0),
    "linear": Linear(A=1.0, d=2.0),
    "table": Tabulated(
        offset=[-0.5, 0.0, 0.3, 0.7, 1.2, 2.0, 3.0], log_rate=[0.35, 0.0, -0.28, -0.75, -1.45, -2.85, -5.0]
    ),
}
TWINS = {
    "exponential": lambda d: mpmath.mpf("0.9") * mpmath.exp(-mpmath.mpf("1.5") * d),
    "logistic": lambda d: mpmath.mpf("1.5") / (1 + mpmath.exp(mpmath.mpf("-0.7") + mpmath.mpf("1.8") * d)),
    "logistic, steep": lambda d: mpmath.mpf("0.5") / (1 + mpmath.exp(1 + 12 * d)),
    "power": lambda d: (1 + d) ** -3,
    "linear": lambda d: 1 - d / 2,
}
OFFSETS = {"power": np.linspace(-0.9, 30.0, 60), "linear": np.linspace(-20.0, 1.99, 60)}
every = pytest.mark.parametrize("name", EXAMPLES)
with_twin = pytest.mark.parametrize("name", TWINS)


def offsets(name: str) -> np.ndarray:
    return OFFSETS.get(name, np.linspace(-8.0, 8.0, 60))


@with_twin
def test_log_rate_and_hazard_match_the_formula(name, x64):
    intensity, points = EXAMPLES[name], offsets(name)
    log_rates, hazards = np.asarray(intensity.log_rate(points)), np.asarray(intensity.hazard(points))
    with mpmath.workdps(40):
        for point, log_rate, hazard in zip(
            points.tolist(), log_rates.tolist(), hazards.tolist(), strict=True
        ):
            d = mpmath.mpf(point)
            exact = mpmath.log(TWINS[name](d))
            # k·δ and a + bδ are rounded (|d| times 12 at most), then the logarithm and its terms
            assert abs(log_rate - exact) <= 8 * 2**-53 * (1 + abs(exact) + 12 * abs(d))
            slope = -mpmath.diff(lambda x: mpmath.log(TWINS[name](x)), d)
            assert hazard == pytest.approx(float(slope), rel=1e-13)


@every
def test_hazard_is_the_slope_of_the_log_rate_and_has_one_itself(name, x64):
    intensity, points = EXAMPLES[name], jnp.asarray(offsets(name))
    ones = jnp.ones_like(points)
    _, slope = jax.jvp(intensity.log_rate, (points,), (ones,))
    np.testing.assert_allclose(-slope, intensity.hazard(points), rtol=1e-12)
    _, curvature = jax.jvp(intensity.hazard, (points,), (ones,))
    step = 1e-6
    secant = (intensity.hazard(points + step) - intensity.hazard(points - step)) / (2 * step)
    np.testing.assert_allclose(curvature, secant, rtol=1e-4, atol=1e-6)


@every
def test_shapes_follow_the_offset(name, x64):
    intensity = EXAMPLES[name]
    for points in (0.25, np.array([0.25, 0.5]), np.full((2, 3), 0.25)):
        assert intensity.log_rate(points).shape == intensity.hazard(points).shape == np.shape(points)
        low, high = intensity.offset_bracket(points, 1.0, 0.05)
        assert low.shape == high.shape == np.shape(points)


def test_logistic_hazard_keeps_its_digits_where_it_is_tiny(x64):
    assert float(EXAMPLES["logistic"].hazard(-20.0)) == pytest.approx(
        float(1.8 * mpmath.exp(-36.7) / (1 + mpmath.exp(-36.7))), rel=1e-14
    )


def test_linear_stops_filling_at_its_end(x64):
    linear = EXAMPLES["linear"]
    assert float(linear.log_rate(2.0)) == float(linear.log_rate(5.0)) == -np.inf
    assert float(linear.hazard(2.0)) == np.inf and linear.domain() == (-np.inf, 2.0)


def test_power_is_infinite_at_its_end(x64):
    power = EXAMPLES["power"]
    assert float(power.log_rate(-1.0)) == float(power.log_rate(-3.0)) == np.inf
    assert float(power.hazard(-1.0)) == np.inf and power.domain() == (-1.0, np.inf)
    assert power.default_min_offset() == 0.0


def test_a_side_that_never_fills(x64):
    for intensity in (Exponential(A=0, k=1), Logistic(A=0, a=0, b=1), Power(A=0, d=1, k=2), Linear(A=0, d=1)):
        assert float(intensity.log_rate(0.5)) == -np.inf and float(intensity.hazard(0.5)) > 0.0


@pytest.mark.parametrize(
    ("name", "ceiling", "arrivals"),
    [
        ("exponential", np.inf, 0.9),
        ("logistic", 1.5, 1.5),
        ("power", np.inf, 1.0),
        ("linear", np.inf, 1.0),
        ("table", np.inf, 1.0),
    ],
)
def test_ceiling_and_arrival_rate(name, ceiling, arrivals, x64):
    assert EXAMPLES[name].rate_ceiling() == ceiling
    assert float(EXAMPLES[name].arrival_rate()) == pytest.approx(arrivals, rel=1e-15)


def closed_form(name: str, p, size, xi):
    """The closed form of an intensity that has one."""
    optimum = EXAMPLES[name].optimal_offset(p, size, xi)
    assert optimum is not None
    return optimum


def first_order_condition(intensity: AbstractIntensity, offset, p, size, xi):
    return offset - p - intensity.markup(offset, size, xi)


def worth(intensity: AbstractIntensity, grid: np.ndarray, p: float, size: float, xi: float) -> np.ndarray:
    """Λ(δ)(1 - e^{-ξz(δ - p)})/ξ, the objective itself."""
    earned = size * (grid - p)
    return np.exp(np.asarray(intensity.log_rate(grid))) * (
        -np.expm1(-xi * earned) / xi if xi > 0.0 else earned
    )


@every
@pytest.mark.parametrize("xi", [0.0, 1e-9, 0.05, 3.0])
@pytest.mark.parametrize("size", [1.0, 20.0])
def test_the_bracket_holds_the_optimum(name, xi, size, x64):
    """Nothing on a fine grid is worth more than the best of the bracket."""
    intensity = EXAMPLES[name]
    end = intensity.domain()[0]
    reservations = np.array([-3.0, -0.4, 0.0, 0.7, 1.6])
    low, high = (np.asarray(side) for side in intensity.offset_bracket(reservations, size, xi))
    for p, left, right in zip(reservations, low, high, strict=True):
        if p <= end:  # Λ grows without bound: no offset is too low
            assert left == right == end
            continue
        everywhere = np.linspace(p, p + 40.0, 40_001)  # below p a fill loses
        best = np.max(worth(intensity, everywhere, p, size, xi))
        assert best <= np.max(worth(intensity, np.linspace(left, right, 10_001), p, size, xi)) * (1 + 1e-6)


@every
@pytest.mark.parametrize("xi", [0.0, 0.05, 3.0])
def test_the_condition_changes_sign_over_the_bracket(name, xi, x64):
    intensity = EXAMPLES[name]
    # far beyond any quote: b·p of the logistics is 1e3, where the optimum's own hazard does not underflow
    far = [555.0] if xi == 3.0 else [-555.0, 555.0] if name != "logistic, steep" else [-83.0, 83.0]
    p = np.concatenate([np.linspace(-5.0, 5.0, 41), far])
    low, high = intensity.domain()
    p = p[(p > low) & (p < high)]
    left, right = intensity.offset_bracket(p, 2.0, xi)
    rounding = 4 * 2**-53 * (1 + np.abs(p))
    assert np.all(np.isfinite(left) & np.isfinite(right))
    assert np.all(first_order_condition(intensity, left, p, 2.0, xi) <= rounding)
    assert np.all(first_order_condition(intensity, right, p, 2.0, xi) >= -rounding)


@pytest.mark.parametrize("k", [0.7, 1.0, 1.01])
def test_power_that_decays_slowly_needs_risk_aversion(k, x64):
    power = Power(A=1.0, d=1.0, k=k)
    p = np.linspace(-0.3, 30.0, 30)
    left, right = power.offset_bracket(p, 1.0, 0.05)
    assert np.all(first_order_condition(power, left, p, 1.0, 0.05) <= 1e-12)
    assert np.all(first_order_condition(power, right, p, 1.0, 0.05) >= -1e-12)
    assert np.all(right - left <= 0.05 * (1.0 + np.abs(right)))


@pytest.mark.parametrize("name", ["exponential", "linear"])
@pytest.mark.parametrize("xi", [0.0, 1e-12, 0.05, 50.0])
def test_closed_forms_solve_the_condition(name, xi, x64):
    p = np.linspace(-50.0, 1.9, 200)
    residual = first_order_condition(EXAMPLES[name], closed_form(name, p, 3.0, xi), p, 3.0, xi)
    assert np.max(np.abs(residual) / (1.0 + np.abs(p))) <= 8 * 2**-53


@pytest.mark.parametrize("xi", [0.0, 1e-6, 0.05])
def test_closed_forms_in_40_digits(xi, x64):
    p, size, k, d = mpmath.mpf(0.7), 5, mpmath.mpf(1.5), 2
    with mpmath.workdps(40):
        c = mpmath.mpf(xi) * size

        def exact_markup(hazard):
            return mpmath.log1p(c / hazard) / c if c else 1 / hazard

        found = closed_form("exponential", 0.7, 5.0, xi)
        assert float(found) == pytest.approx(float(p + exact_markup(k)), rel=1e-15)
        root = mpmath.findroot(lambda x: x - p - exact_markup(1 / (d - x)), 1.2)
        assert float(closed_form("linear", 0.7, 5.0, xi)) == pytest.approx(float(root), rel=1e-15)


def test_linear_beyond_its_end_does_not_pay(x64):
    np.testing.assert_array_equal(closed_form("linear", np.array([2.0, 7.0]), 1.0, 0.05), [2.0, 2.0])


def test_the_limit_of_small_risk_aversion_is_an_ordinary_point(x64):
    def best(xi):
        return closed_form("linear", 0.3, 2.0, xi)

    assert float(jax.grad(best)(0.0)) == pytest.approx(float((best(1e-5) - best(0.0)) / 1e-5), rel=1e-4)


@every
def test_which_intensities_have_a_closed_form(name, x64):
    closed = EXAMPLES[name].optimal_offset(0.1, 1.0, 0.05)
    assert (closed is not None) == (name in ("exponential", "linear"))


@every
def test_fair_everywhere(name):
    low = EXAMPLES[name].default_min_offset()
    for xi in (0.0, 0.05, 3.0):
        assert EXAMPLES[name].unfair_offset(-np.inf if low is None else low, np.inf, 1.0, xi) is None


@given(k=st.floats(0.2, 1.2), xi=st.floats(0.0, 2.0), low=st.floats(-0.9, 3.0))
def test_power_is_unfair_from_the_lowest_offset_on(k, xi, low):
    """k - 1 + ξz(d + δ) > 0 is h² + ξzh + h' > 0 with h = k/(d + δ)."""
    power = Power(A=1.0, d=1.0, k=k)
    hazard, slope = k / (1.0 + low), -k / (1.0 + low) ** 2
    excess = hazard**2 + xi * 2.0 * hazard + slope
    if abs(excess) > 1e-12:
        assert power.unfair_offset(low, np.inf, 2.0, xi) == (None if excess > 0.0 else low)
