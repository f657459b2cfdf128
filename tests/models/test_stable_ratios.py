"""The ratios and inverse functions against 60-digit arithmetic."""

from collections.abc import Callable

import jax
import mpmath
import numpy as np
import pytest

from quotegrid.models.stable_ratios import log1p_ratio, log_sum_root, phi1, wright_omega

ULP = 2.0**-53  # half a unit in the last place, relative to the value
DIGITS = 60


def worst(function: Callable, exact: Callable, points: np.ndarray) -> float:
    """The largest relative error over the points, in half units in the last place."""
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(function)(points))
    errors = [0.0]
    with mpmath.workdps(DIGITS):
        for value, point in zip(found.tolist(), points.tolist(), strict=True):
            true = exact(mpmath.mpf(point))
            if 1e-300 < abs(true) < 1e300:  # outside, the compiler flushes to zero or infinity
                errors.append(float(abs((mpmath.mpf(value) - true) / true)) / ULP)
    return max(errors)


def exact_omega(x):
    """ω + ln ω = x by Newton's method in the working precision."""
    omega = mpmath.exp(x) if x < 1 else x
    for _ in range(200):
        step = (x - omega - mpmath.log(omega)) * omega / (1 + omega)
        omega = omega + step if omega + step > 0 else omega / 2
        if abs(step) < omega * mpmath.mpf(10) ** -50:
            return omega
    raise AssertionError(x)


NEAR_ZERO = np.concatenate([np.logspace(-14, 2.5, 300), -np.logspace(-14, 2.5, 300)])
ABOVE_MINUS_ONE = np.concatenate([np.logspace(-14, 5, 300), -np.logspace(-14, -0.02, 200)])
WHOLE_LINE = np.concatenate([np.linspace(-690, 700, 401), np.linspace(-3, 4, 301), np.logspace(2, 4, 100)])


# A handful of rounded operations and a function of the compiler's, itself within 2 units in the last place.
@pytest.mark.parametrize(
    ("function", "exact", "points", "allowed"),
    [
        (phi1, lambda u: mpmath.expm1(u) / u, NEAR_ZERO, 8),
        (log1p_ratio, lambda u: mpmath.log1p(u) / u, ABOVE_MINUS_ONE, 8),
        (wright_omega, exact_omega, WHOLE_LINE, 9),  # 1e-15
        (log_sum_root, lambda x: exact_omega(1 + x) - 1, np.logspace(-10, 5, 300), 8),
    ],
    ids=["phi1", "log1p_ratio", "wright_omega", "log_sum_root"],
)
def test_value(function, exact, points, allowed):
    assert worst(function, exact, points) <= allowed


def slope(function: Callable) -> Callable:
    return jax.vmap(jax.grad(function))


# The quotient's derivative cancels where the series ends: u/2 of a number known to an ulp, divided by u².
@pytest.mark.parametrize(
    ("function", "exact", "points"),
    [
        (phi1, lambda u: (u * mpmath.exp(u) - mpmath.expm1(u)) / u**2, NEAR_ZERO),
        (log1p_ratio, lambda u: (u / (1 + u) - mpmath.log1p(u)) / u**2, ABOVE_MINUS_ONE),
        (wright_omega, lambda x: exact_omega(x) / (1 + exact_omega(x)), WHOLE_LINE),
        (log_sum_root, lambda x: 1 - 1 / (1 + exact_omega(1 + x)), np.logspace(-10, 5, 300)),
    ],
    ids=["phi1", "log1p_ratio", "wright_omega", "log_sum_root"],
)
def test_derivative(function, exact, points):
    assert worst(slope(function), exact, points) <= 64


def test_at_zero_every_derivative_is_right(x64):
    assert float(phi1(0.0)) == float(log1p_ratio(0.0)) == 1.0
    assert float(jax.grad(phi1)(0.0)) == 0.5
    assert float(jax.grad(jax.grad(phi1))(0.0)) == pytest.approx(1 / 3, rel=4 * ULP)
    assert float(jax.grad(log1p_ratio)(0.0)) == -0.5
    assert float(jax.grad(jax.grad(log1p_ratio))(0.0)) == pytest.approx(2 / 3, rel=4 * ULP)
    assert float(log_sum_root(0.0)) == 0.0 and float(jax.grad(log_sum_root)(0.0)) == 0.5


def test_wright_omega_far_out(x64):
    values = np.asarray(wright_omega(np.array([-1e4, -745.0, 1e300])))
    assert values[0] == 0.0 and 0.0 <= values[1] < 1e-300  # below the smallest normal number
    assert values[2] == 1e300
