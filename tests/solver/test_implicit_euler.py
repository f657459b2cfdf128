"""Implicit Euler: first order, monotone, and the same limit as the exact scheme."""

import numpy as np
import pytest

from quotegrid.models.problem import Numerics, TableRequest
from quotegrid.solver import solve


def finite(quadratic=0.05):
    return {"kind": "finite", "duration": 5.0, "terminal": {"quadratic": quadratic}}


def by_steps(problem, steps):
    table = TableRequest(times=(0.0, 5.0))
    return solve(problem, table=table, numerics=Numerics(method="implicit-euler", time_steps=steps))


def test_first_order_to_the_exact_solution(make_problem):
    problem = make_problem(horizon=finite())
    exact = solve(problem, table=TableRequest(times=(0.0, 5.0)))
    solutions = {steps: by_steps(problem, steps) for steps in (1600, 3200, 6400)}
    errors = {steps: np.max(np.abs(s.value - exact.value)) for steps, s in solutions.items()}
    # e = aη + bη²: halving η halves it but for a share of (b/a)η; b/a is of the order of the fastest rate
    # near the end, 10 per time
    assert errors[1600] / errors[3200] == pytest.approx(2.0, rel=10 * 5.0 / 1600)
    assert errors[3200] / errors[6400] == pytest.approx(2.0, rel=10 * 5.0 / 3200)
    for steps, solution in solutions.items():
        assert errors[steps] <= solution.residual  # honest
        assert solution.notes[0].startswith("First order in time: the steps' errors add up to about ")
        assert solution.method_reason == "named in numerics.method"
    # extrapolated to η = 0 only bη² is left
    limit = 2 * solutions[6400].value - solutions[3200].value
    assert np.max(np.abs(limit - exact.value)) <= 10 * 5.0 / 3200 * errors[6400]


@pytest.mark.parametrize("steps", [1, 3])
def test_comparison_at_any_step(steps, make_problem):
    """Less penalty at the end, or more reward on the way: nowhere less value, however long the step."""
    plain = by_steps(make_problem(horizon=finite()), steps).value[0]
    rounding = 1e-12 * (1.0 + np.max(np.abs(plain)))  # policy iteration stops at 1e-14 of the value
    for better in (
        make_problem(horizon=finite(0.01)),
        make_problem(horizon=finite(), price={"volatility": 0.2}),
        make_problem({"kind": "exponential", "A": 1.2, "k": 1.5}, horizon=finite()),
    ):
        assert np.all(by_steps(better, steps).value[0] >= plain - rounding)
    # and a contraction: no difference grows
    apart = by_steps(make_problem(horizon=finite(0.04)), steps).value[0] - plain
    assert np.max(apart) <= 0.01 * 16 + rounding and np.min(apart) >= -rounding
