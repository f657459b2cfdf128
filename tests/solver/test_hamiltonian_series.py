"""Series for the Hamiltonians: as exact as they say, and honest where H is not smooth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.discretise import discretise
from quotegrid.solver.hamiltonian_series import (
    ACCURATE,
    offsets_by_series,
    operator_by_series,
    policy_by_series,
    reservation_range,
    series_operator,
)
from quotegrid.solver.kernels import kernel
from quotegrid.solver.solve import parameters
from quotegrid.solver.starting_values import asinh_start

INTENSITIES = {
    "logistic": {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8},
    "power": {"kind": "power", "A": 1.0, "d": 3.0, "k": 6.0},
    "exponential": {"kind": "exponential", "A": 0.9, "k": 1.5},
}


def policies(problem, degree, widened=0.1):
    """(θ, greedy policy, policy by series, series), with the range of p widened by a part of itself."""
    return _policies(parameters(problem), jnp.asarray(widened), degree=degree)


@kernel()
def _policies(problem, widened, *, degree):
    chain = discretise(problem)
    theta = asinh_start(chain)
    exact = greedy_policy(chain, theta)
    low, high = reservation_range(chain, exact.reservation)
    room = widened * (high - low)
    series = series_operator(chain, low - room, high + room, degree)
    return theta, exact, policy_by_series(series, theta), series


@pytest.mark.parametrize("name", INTENSITIES)
def test_as_exact_as_it_says(name, make_problem, x64):
    # (a power intensity's own bound, quotes of 0 and more, would bind)
    quote = {"min_offset": -1.5} if name == "power" else None
    problem = make_problem(INTENSITIES[name], quote)
    theta, exact, found, series = policies(problem, 47)
    assert np.all(series.flows.error <= ACCURATE)
    assert np.max(np.abs(found.operator - exact.operator)) <= found.rounding < 1e-12
    np.testing.assert_allclose(operator_by_series(series, theta), found.operator, rtol=1e-15)
    np.testing.assert_allclose(found.rates, exact.rates, rtol=1e-10)
    assert np.all(np.abs(found.reach) <= 1.0)
    xi = 0.0 if problem.preferences.kind != "cara" else problem.preferences.risk_aversion
    offsets = offsets_by_series(series, theta, jnp.asarray(xi))
    np.testing.assert_allclose(offsets[:, 1:-1], exact.offsets[:, 1:-1], atol=1e-9)
    assert np.isnan(offsets[0, -1]) and np.isnan(offsets[1, 0])


def test_a_coarse_series_says_so(make_problem, x64):
    """The error it states covers the one it has, and is not far above it."""
    _, exact, found, series = policies(make_problem(INTENSITIES["logistic"]), 7)
    error = float(np.max(np.abs(found.operator - exact.operator)))
    assert np.all(series.flows.error > 1e-8)
    assert error <= found.rounding <= 100.0 * error


@pytest.mark.parametrize("quote", [{"max_offset": 1.0}, {"min_offset": 0.9}, {"max_offset": -1.5}])
def test_a_bound_that_binds_has_no_series(quote, make_problem, x64):
    """A kink of H'; an obligation to quote at a loss, where H is negative and has no logarithm."""
    problem = make_problem(INTENSITIES["logistic"], quote=quote)
    assert np.all(~(np.asarray(policies(problem, 47)[3].flows.error) <= ACCURATE))


def test_beyond_the_range(make_problem, x64):
    """Where p leaves the range the reach says so: the operator there means nothing."""
    assert np.any(np.abs(policies(make_problem(INTENSITIES["logistic"]), 23, widened=-0.1)[2].reach) > 1.0)


def test_a_side_that_never_fills(make_problem, x64):
    flows = [
        {"name": "book", "side": "bid", "intensity": INTENSITIES["logistic"]},
        {"name": "book", "side": "ask", "intensity": {**INTENSITIES["logistic"], "A": 0.0}},
    ]
    problem = make_problem(flow=flows, horizon={"kind": "finite", "duration": 1.0})
    _, exact, found, series = policies(problem, 23)
    assert series.flows.error[1] == 0.0 and not np.any(found.rates[1])
    np.testing.assert_allclose(found.operator, exact.operator, rtol=1e-12)
    assert jax.tree.all(jax.tree.map(lambda x: bool(jnp.all(jnp.isfinite(x))), found))
