"""The tabulated intensity against SciPy's PCHIP, and its fairness by brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from quotegrid.models.faults import ProblemError
from quotegrid.models.intensities import Logistic
from quotegrid.models.tabulated import Tabulated

OFFSETS = [-0.5, 0.0, 0.3, 0.7, 1.2, 2.0, 3.0]
LOG_RATES = [0.35, 0.0, -0.28, -0.75, -1.45, -2.85, -5.0]
# two fast segments around a slow one: between them h falls faster than h² allows
UNFAIR = Tabulated(offset=[0.0, 1.0, 2.0, 3.0], log_rate=[0.0, -8.0, -8.05, -16.0])


def twin(offsets, log_rates, points):
    """ln Λ and its slope, continued linearly, by SciPy."""
    pchip = PchipInterpolator(offsets, log_rates)
    inside = np.clip(points, offsets[0], offsets[-1])
    slope = pchip.derivative()(inside)
    return pchip(inside) + slope * (points - inside), slope


@pytest.mark.parametrize("knots", [2, 3, 7])
def test_matches_scipy(knots, x64):
    offsets, log_rates = OFFSETS[:knots], LOG_RATES[:knots]
    points = np.concatenate([np.linspace(-4.0, 8.0, 997), OFFSETS])
    value, slope = twin(offsets, log_rates, points)
    table = Tabulated(offset=offsets, log_rate=log_rates)
    np.testing.assert_allclose(table.log_rate(points), value, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(table.hazard(points), -slope, rtol=1e-13)


@jax.jit
def rates_and_hazards(table: Tabulated, points):
    """ln Λ, h and h' at points; compiled once for each number of knots."""
    hazard, slope = jax.jvp(table.hazard, (points,), (jnp.ones_like(points),))
    return table.log_rate(points), hazard, slope


decreasing_tables = st.sampled_from([2, 3, 6]).flatmap(
    lambda count: st.tuples(
        st.lists(st.floats(0.01, 2.0), min_size=count, max_size=count),
        st.lists(st.floats(0.01, 4.0), min_size=count, max_size=count),
    )
)


@jax.jit
def hazard_range(table: Tabulated):
    """The ends of the bracket at p = 0, ξ = 0 are the inverse hazards."""
    low, high = table.offset_bracket(0.0, 1.0, 0.0)
    return 1.0 / high, 1.0 / low


def table_of(widths: list[float], drops: list[float]) -> Tabulated | None:
    """The table with these steps; None where its end is flat, which is refused."""
    try:
        return Tabulated(offset=np.cumsum(widths) - 1.0, log_rate=-np.cumsum(drops))
    except ProblemError as error:
        assert "turns flat" in str(error)
        return None


@given(decreasing_tables)
def test_any_decreasing_table_matches_scipy_and_has_positive_hazard(steps):
    table = table_of(*steps)
    if table is None:
        return
    points = np.linspace(-2.0, table.offset[-1] + 1.0, 400)
    value, slope = twin(table.offset, table.log_rates, points)
    with jax.enable_x64(True):
        log_rate, hazard, _ = (np.asarray(found) for found in rates_and_hazards(table, points))
        least, greatest = (float(end) for end in hazard_range(table))
    np.testing.assert_allclose(log_rate, value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(hazard, -slope, rtol=1e-9, atol=1e-9)
    assert np.all(hazard > 0.0)
    assert least <= np.min(hazard) * (1 + 1e-12) and np.max(hazard) <= greatest * (1 + 1e-12)


def test_rates_and_their_logarithms_are_one_table(x64):
    by_rate = Tabulated(offset=OFFSETS, rate=np.exp(LOG_RATES))
    by_logarithm = Tabulated(offset=OFFSETS, log_rate=LOG_RATES)
    points = np.linspace(-2.0, 4.0, 50)
    np.testing.assert_allclose(
        by_rate.log_rate(points), by_logarithm.log_rate(points), rtol=1e-14, atol=1e-14
    )


def test_jax_numbers_pass_as_knots(x64):
    def value(rates):
        return Tabulated(offset=OFFSETS, rate=rates).log_rate(0.4)

    rates = np.exp(LOG_RATES)
    gradient = np.asarray(jax.jit(jax.grad(value))(rates))
    bumps = [(value(rates + step) - value(rates - step)) / 2e-6 for step in 1e-6 * np.eye(len(rates))]
    np.testing.assert_allclose(gradient, bumps, rtol=1e-6, atol=1e-8)


def excess(table: Tabulated, points: np.ndarray, xi: float) -> np.ndarray:
    """h² + ξh + h', what fairness asks to be positive."""
    with jax.enable_x64(True):
        _, hazard, slope = (np.asarray(found) for found in rates_and_hazards(table, points))
    return hazard**2 + xi * hazard + slope


@pytest.mark.parametrize("xi", [0.0, 0.5])
def test_the_first_unfair_offset(xi):
    found = UNFAIR.unfair_offset(-np.inf, np.inf, 1.0, xi)
    grid = np.linspace(-1.0, 4.0, 200_001)
    first = grid[np.argmax(excess(UNFAIR, grid, xi) <= 0.0)]
    assert found is not None and first - (grid[1] - grid[0]) <= found <= first


def test_fairness_is_asked_only_of_what_may_be_quoted():
    table = UNFAIR
    first = table.unfair_offset(-np.inf, np.inf, 1.0, 0.0)
    assert first is not None and 0.0 < first < 1.0
    assert table.unfair_offset(-np.inf, first - 1e-6, 1.0, 0.0) is None
    assert table.unfair_offset(2.5, np.inf, 1.0, 0.0) is None
    assert table.unfair_offset(first + 1e-3, np.inf, 1.0, 0.0) == first + 1e-3
    assert table.unfair_offset(5.0, np.inf, 1.0, 0.0) is None  # linear beyond the knots: fair


@given(decreasing_tables, st.floats(0.0, 2.0))
def test_unfair_offsets_agree_with_a_grid(steps, xi):
    table = table_of(*steps)
    if table is None:
        return
    grid = np.linspace(table.offset[0], table.offset[-1], 5001)
    values = excess(table, grid, xi)
    found = table.unfair_offset(-np.inf, np.inf, 1.0, xi)
    scale = 1.0 + np.max(np.abs(values))
    if found is None:
        assert np.all(values > -1e-9 * scale)
    else:
        assert np.all(values[grid < found - 1e-9] > -1e-9 * scale)


def test_a_table_of_a_logistic_is_close_to_it(x64):
    logistic = Logistic(A=1.5, a=-0.7, b=1.8)
    knots = np.linspace(-3.0, 3.0, 61)
    table = Tabulated(offset=knots, log_rate=np.asarray(logistic.log_rate(knots)))
    points = np.linspace(-2.9, 2.9, 300)
    # PCHIP is of second order in the slope: (0.1)²·max|(ln Λ)'''|/12 or so
    np.testing.assert_allclose(table.log_rate(points), logistic.log_rate(points), atol=2e-4)
    assert table.unfair_offset(-np.inf, np.inf, 1.0, 0.05) is None
