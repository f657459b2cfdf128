"""Extrapolated Euler against a high-order explicit integrator, uniformisation, and its own order."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from quotegrid.models.problem import Numerics, TableRequest
from quotegrid.solver import hamiltonian, solve
from quotegrid.solver.extrapolated_euler import ORDER, extrapolation_weights

LOTS = np.arange(-4.0, 5.0)
LOGISTIC = {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}
LINEAR = {"kind": "linear", "A": 1.0, "d": 2.0}
TERMINAL = {"quadratic": 0.05, "absolute": 0.1}


def finite(duration):
    return {"kind": "finite", "duration": duration, "terminal": TERMINAL}


def operator(problem, theta):
    """B(θ) of one flow on both sides, size 1, CARA with σ = 0.5 and γ = 0.1."""
    total = -0.5 * 0.1 * 0.5**2 * LOTS**2
    for one in problem.one_sided_flows():
        here = slice(None, -1) if one.side == "bid" else slice(1, None)
        there = slice(1, None) if one.side == "bid" else slice(None, -1)
        bounds = {"min_offset": one.min_offset, "max_offset": one.max_offset, "tick": one.tick}
        total[here] += hamiltonian(one.intensity, theta[here] - theta[there], xi=problem.xi(), **bounds).value
    return total


def integrated(problem, to_go, **options):
    terminal = -(TERMINAL["quadratic"] * LOTS**2 + TERMINAL["absolute"] * abs(LOTS))
    path = solve_ivp(
        lambda _, theta: operator(problem, theta),
        (0.0, to_go[-1]),
        terminal,
        method="DOP853",
        t_eval=to_go,
        atol=1e-13,
        **{"rtol": 1e-12, **options},
    )
    return path.y.T


def test_against_an_explicit_integrator(make_problem):
    problem = make_problem(LOGISTIC, horizon=finite(5.0))
    times = np.array([0.0, 2.0, 4.0, 4.9])
    solution = solve(problem, table=TableRequest(times=(*times.tolist(), 5.0)))
    exact = integrated(problem, (5.0 - times)[::-1])[::-1]
    error = np.max(np.abs(solution.value[:-1] - exact))
    # honest: the sum of the steps' estimates, and the integrator's own 1e-12 of values up to 3, some times
    assert error <= solution.residual + 1e-11
    assert solution.residual <= 1e-8  # hundreds of steps at 1e-10 of a quote scale each
    terminal = -(TERMINAL["quadratic"] * LOTS**2 + TERMINAL["absolute"] * abs(LOTS))
    np.testing.assert_allclose(solution.value[-1], terminal, rtol=4 * 2.0**-53)


@pytest.mark.parametrize("tolerance", [1e-5, 1e-8, 1e-11])
def test_reported_error_is_honest_on_a_linear_problem(tolerance, make_problem):
    """Uniformisation is exact to rounding; what the steps report is never less than what they miss."""
    problem = make_problem(horizon=finite(5.0))
    table = TableRequest(times=(0.0, 2.5, 4.0, 5.0))
    exact = solve(problem, table=table)
    ours = solve(problem, table=table, numerics=Numerics(method="extrapolated-euler", tolerance=tolerance))
    assert exact.method == "uniformisation" and ours.method == "extrapolated-euler"
    error = np.max(np.abs(ours.value - exact.value))
    # the estimates do not count rounding: a unit in the last place of θ ~ 1 times Σ|weights| ≈ 3400 a step,
    # which add up like a random walk
    rounding = 3400 * 2.0**-53 * ours.iterations**0.5
    assert error <= ours.residual + exact.residual + rounding
    assert ours.residual <= tolerance * ours.iterations + 1e-12


def test_ticks_are_kinks(make_problem):
    """Quotes jump between ticks, B has kinks: the estimate sees them.

    The explicit integrator crosses them in steps of 0.002, each kink costing at most its turn of slope times
    the step squared, 1e-6 of a rate; a dozen kinks.
    """
    problem = make_problem(LINEAR, {"tick": 0.1, "min_offset": 0.0, "max_offset": 1.5}, horizon=finite(3.0))
    times = np.array([0.0, 1.5, 2.7])
    solution = solve(
        problem, table=TableRequest(times=(*times.tolist(), 3.0)), numerics=Numerics(tolerance=1e-7)
    )
    exact = integrated(problem, (3.0 - times)[::-1], max_step=0.002, rtol=1e-9)[::-1]
    assert np.max(np.abs(solution.value[:-1] - exact)) <= solution.residual + 12 * 0.002**2 * 0.1
    steps = solution.offset / 0.1
    assert np.nanmax(np.abs(steps - np.round(steps))) <= 1e-12
    assert len(np.unique(np.round(steps[:, :-1, 0]))) > 3


def test_weights_cancel_every_lower_order():
    """Σ c = 1 and Σ c_j n_j^{-m} = 0 for m = 1 … K - 1; Σ|c| ≈ 3400."""
    counts = range(1, ORDER + 1)
    weights = extrapolation_weights(counts)
    for power in range(ORDER):
        moment = np.sum(weights * np.array(counts, float) ** -power)
        assert abs(moment - (power == 0)) <= 8 * 2.0**-53 * np.sum(np.abs(weights))


@pytest.mark.parametrize("lanes", [1, 2, 3, 4])
def test_observed_order(lanes):
    """One big step on y' = -y with K lanes: the error falls like the length to the power K + 1.

    The next term of the error is some (K + 1)/n = O(1) times the length 0.05 as large.
    """
    weights = extrapolation_weights(range(1, lanes + 1))

    def error(length):
        steps = np.array([(1.0 + length / n) ** -n for n in range(1, lanes + 1)])
        return abs(weights @ steps - np.exp(-length))

    assert np.log2(error(0.05) / error(0.025)) == pytest.approx(lanes + 1, abs=0.05 * (lanes + 1))
