"""Many problems at once give what each gives alone, in their order, and one failure spoils no other."""

from typing import Any

import numpy as np
import pytest

from quotegrid.models.problem import Numerics, ProblemError, TableRequest
from quotegrid.solver import Status, solve, solve_many

FINITE = {"kind": "finite", "duration": 30.0, "terminal": {"quadratic": 0.05}}
TIMES = TableRequest(times=(0.0, 20.0, 29.0, 30.0))


def exponential(A: float, k: float) -> dict:
    return {"kind": "exponential", "A": A, "k": k}


def draws(count: int) -> list[dict]:
    """Random numbers of one structure."""
    rng = np.random.default_rng(7)
    return [
        {
            "intensity": exponential(*rng.uniform([0.3, 0.6], [2.0, 2.0])),
            "price": {"volatility": rng.uniform(0.1, 1.0), "drift": rng.uniform(-0.02, 0.02)},
            "preferences": {"kind": "cara", "risk_aversion": rng.uniform(0.01, 0.2)},
        }
        for _ in range(count)
    ]


def same(together, alone) -> None:
    """The same answer within what both certify; the same everything else."""
    assert together.status is alone.status
    assert together.problem_hash == alone.problem_hash
    assert together.method == alone.method
    bound = together.certificate["value_error"] + alone.certificate["value_error"]
    np.testing.assert_allclose(together.value, alone.value, rtol=0, atol=bound)
    bound = together.certificate["quote_error"] + alone.certificate["quote_error"]
    np.testing.assert_allclose(together.offset, alone.offset, rtol=0, atol=bound)
    assert bound < 1e-10
    if alone.gain is not None:
        assert together.gain == pytest.approx(alone.gain, rel=1e-13)


@pytest.mark.parametrize("horizon", [{"kind": "ergodic"}, {"kind": "discounted", "rate": 0.1}, FINITE])
def test_as_alone(horizon, make_problem):
    problems = [make_problem(horizon=horizon, **numbers) for numbers in draws(5)]
    table = TIMES if horizon is FINITE else None
    together = solve_many(problems, table=table)
    for problem, solution in zip(problems, together, strict=True):
        same(solution, solve(problem, table=table))


def test_ladder_with_fees_and_orders_that_move_the_price(make_problem):
    """Linear for k/(z m) equal, k twice as large for two lots; weights differ from state to state."""
    flows = [
        {"name": "one", "side": "both", "fee": 0.05, "intensity": exponential(0.9, 1.5)},
        {"name": "two", "side": "both", "size": 2, "intensity": exponential(0.4, 3.0)},
    ]
    orders = {"on": "market_orders", "jump": 0.02}
    flows[0]["adverse"] = orders
    problems = [make_problem(flow=flows, horizon=FINITE, price={"volatility": s}) for s in (0.2, 0.5)]
    together = solve_many(problems, table=TIMES)
    assert {solution.method for solution in together} == {"uniformisation"}
    for problem, solution in zip(problems, together, strict=True):
        same(solution, solve(problem, table=TIMES))


def test_well_placed_times(make_problem):
    """Each problem has its own; linear lookup between them errs no more than it says."""
    problems = [make_problem(horizon=FINITE, **numbers) for numbers in draws(3)]
    for problem, found in zip(problems, solve_many(problems), strict=True):
        solution: Any = found  # its times are there
        assert solution.times.shape == (101,) and solution.times[0] == 0.0 and solution.times[-1] == 30.0
        middle = 0.5 * (solution.times[1:] + solution.times[:-1])
        exact: Any = solve(problem, table=TableRequest(times=(0.0, *middle)))
        for key in ("offset", "value"):
            ours, theirs = getattr(solution, key), getattr(exact, key)[1:]
            error = np.nanmax(np.abs(0.5 * (ours[1:] + ours[:-1]) - theirs))
            assert 0.3 * solution.lookup_error[key] < error <= solution.lookup_error[key] * (1.0 + 1e-9)


def test_mixture_in_order(make_problem):
    numbers = draws(4)
    problems = [
        make_problem(horizon={"kind": "ergodic"}, **numbers[0]),
        make_problem(horizon=FINITE, **numbers[1]),
        make_problem(inventory={"max": 2}, horizon={"kind": "ergodic"}, **numbers[2]),
        make_problem(horizon={"kind": "ergodic"}, **numbers[3]),
    ]
    fractions = []
    solutions = solve_many(problems, progress=fractions.append)
    assert [s.gain is None for s in solutions] == [False, True, False, False]
    assert [s.value.shape[-1] for s in solutions] == [9, 9, 5, 9]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert solve_many([]) == []


def test_what_a_lane_cannot_do_is_done_alone(make_problem):
    """Unequal k is not linear, and a steep end leaves the range of doubles: the neighbours do not notice."""

    def problem(k_ask: float, quadratic: float):
        flows = [
            {"name": side, "side": side, "intensity": exponential(0.9, k)}
            for side, k in (("bid", 1.5), ("ask", k_ask))
        ]
        return make_problem(flow=flows, horizon={**FINITE, "terminal": {"quadratic": quadratic}})

    plain, unequal, steep = problem(1.5, 0.05), problem(2.0, 0.05), problem(1.5, 1e4)
    solutions = solve_many([plain, unequal, steep], table=TIMES)
    assert [s.method for s in solutions] == ["uniformisation", "runge-kutta", "uniformisation"]
    for solution, alone in zip(solutions, (plain, unequal, steep), strict=True):
        assert solution.status is Status.CONVERGED
        same_value = solve(alone, table=TIMES).value
        np.testing.assert_allclose(solution.value, same_value, rtol=1e-9, atol=1e-9)


def test_failures_stay_with_their_problem(make_problem):
    good, dead = (make_problem(intensity=exponential(A, 1.5)) for A in (0.9, 0.0))
    statuses = [solution.status for solution in solve_many([good, dead, good])]
    assert statuses == [Status.CONVERGED, Status.NOT_COMMUNICATING, Status.CONVERGED]


def test_requests_are_checked_before_anything_is_solved(make_problem):
    problems = [make_problem(horizon=FINITE), make_problem()]
    with pytest.raises(ProblemError, match=r"problem 1.*\n?.*table.times"):
        solve_many(problems, table=TIMES)
    with pytest.raises(ValueError, match="got 1 requests for 2 problems"):
        solve_many(problems, numerics=[Numerics()])


@pytest.mark.parametrize("intensity", [None, {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}])
def test_the_end_of_the_horizon_is_exact(intensity, make_problem, x64):
    """Stored to the last bit: a verifier compares it with the problem."""
    problem = make_problem(intensity, horizon={**FINITE, "terminal": {"quadratic": 0.123}})
    expected = [float(problem.terminal_value(np.array([float(lots)]))) for lots in range(-4, 5)]
    for solution in [solve(problem), *solve_many([problem, problem], table=TIMES)]:
        assert solution.value[-1].tolist() == expected
