"""The path between the steps of a march: Hermite's interpolation, and what its defect bounds."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import Polynomial

from quotegrid.models.problem import Numerics, TableRequest
from quotegrid.solver import solve
from quotegrid.solver.hermite_path import Path, hermite_weights

FINITE = {"kind": "finite", "duration": 6.0, "terminal": {"quadratic": 0.3}}
LOGISTIC = {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}


@pytest.mark.parametrize("nodes", [[0.0, 1.0, 1.7, 2.0], [-0.4, 0.0, 1.0, 3.5], [-2.0, -1.0, 0.0, 1.0]])
def test_polynomials_of_degree_eleven_are_reproduced(nodes):
    rng = np.random.default_rng(11)
    exact = Polynomial(rng.normal(size=12) / np.arange(1.0, 13.0) ** 2)
    points = np.linspace(0.0, 1.0, 7)
    weights = hermite_weights(np.array(nodes), points)
    data = np.stack(
        [exact.deriv(order)(np.array(nodes)) if order else exact(np.array(nodes)) for order in range(3)]
    )
    rough = np.sum(np.abs(weights.slope) * np.abs(data.T.reshape(-1)), axis=-1).max()
    np.testing.assert_allclose(weights.value @ data.T.reshape(-1), exact(points), atol=1e-14 * rough)
    np.testing.assert_allclose(weights.slope @ data.T.reshape(-1), exact.deriv()(points), atol=1e-13 * rough)


def test_a_path_of_known_functions():
    """θ_i(τ) = e^{-a_i τ} + τ, with the second state as target: nodes are met, the rest to order 12."""
    decay, to_go = np.array([0.3, 0.0, 0.5]), np.array([0.0, 0.4, 1.0, 1.5, 2.2, 3.0])
    theta = np.exp(-decay * to_go[:, None]) + to_go[:, None]
    slope = -decay * np.exp(-decay * to_go[:, None]) + 1.0
    bend = decay**2 * np.exp(-decay * to_go[:, None])
    path = Path(to_go, theta - theta[:, 1:2], theta[:, 1], slope, bend, (1,))
    times = np.linspace(0.0, 3.0, 31)
    bias, level = path.at(times)
    np.testing.assert_allclose(
        bias + level[:, None], np.exp(-decay * times[:, None]) + times[:, None], atol=1e-11
    )
    assert np.all(bias[:, 1] == 0.0)
    at_nodes, _ = path.at(to_go)
    np.testing.assert_allclose(at_nodes, path.bias, atol=1e-15)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-10])
def test_the_defect_bounds_the_error(tolerance, make_problem):
    """At every tolerance: the certificate of a rough march is wide, and true."""
    problem = make_problem(LOGISTIC, horizon=FINITE)
    times = TableRequest(times=tuple(np.linspace(0.0, 6.0, 13).tolist()))
    exact = solve(problem, numerics=Numerics(method="extrapolated-euler", tolerance=1e-12), table=times)
    found = solve(problem, numerics=Numerics(method="runge-kutta", tolerance=tolerance), table=times)
    bound = found.certificate["value_error"] + exact.certificate["value_error"]
    assert np.max(np.abs(found.value - exact.value)) <= bound
    assert np.nanmax(np.abs(found.offset - exact.offset) - found.offset_error - exact.offset_error) <= 0.0
    assert found.certificate["value_error"] < 1e3 * tolerance + 1e-9


def test_weights_of_many_pieces_are_those_of_one():
    nodes = np.array([[0.0, 1.0, 1.5, 3.0], [-1.0, 0.0, 1.0, 1.2]])
    points = np.array([[0.25, 0.5], [0.1, 0.9]])
    together = hermite_weights(nodes, points)
    for row in range(2):
        alone = hermite_weights(nodes[row], points[row])
        assert jnp.array_equal(together.value[row], alone.value)
        assert jnp.array_equal(together.slope[row], alone.slope)
