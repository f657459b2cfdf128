"""The times of a table: kept, placed, and honest about what linear lookup between them costs."""

from typing import Any

import numpy as np
import pytest

from quotegrid.models.problem import ProblemError, TableRequest
from quotegrid.solver import solve, time_nodes
from quotegrid.solver.time_nodes import interpolation_error, place_nodes, with_checks

FINITE = {"kind": "finite", "duration": 7.3, "terminal": {"quadratic": 0.5}}


def dense_error(problem, solution, quantity):
    """The largest error of linear lookup, against the solution at ten points inside every interval."""
    inner = np.linspace(0.0, 1.0, 11)[:-1]
    times = (solution.times[:-1, None] + np.diff(solution.times)[:, None] * inner).ravel()
    dense: Any = solve(problem, table=TableRequest(times=(*times.tolist(), 7.3)))
    lookup = getattr(solution, quantity).reshape(len(solution.times), -1)
    exact = getattr(dense, quantity).reshape(len(dense.times), -1)
    columns = zip(lookup.T, exact.T, strict=True)
    return max(
        np.max(np.abs(np.interp(dense.times, solution.times, there) - here))
        for there, here in columns
        if not np.any(np.isnan(here))
    )


@pytest.mark.parametrize("count", [9, 33, 101])
def test_lookup_error_is_what_linear_lookup_costs(count, make_problem):
    """Measured at three points of each interval; the worst of a parabola is at one of them, and the third
    derivative moves it by some per cent while intervals are long."""
    problem = make_problem(horizon=FINITE)
    solution: Any = solve(problem, table=TableRequest(times=count))
    assert len(solution.times) == count and solution.times[0] == 0.0 and solution.times[-1] == 7.3
    for quantity in ("offset", "value"):
        true, reported = dense_error(problem, solution, quantity), solution.lookup_error[quantity]
        assert 0.8 * reported <= true <= 1.05 * reported


def test_placed_times_beat_even_ones(make_problem):
    problem = make_problem(horizon=FINITE)
    placed: Any = solve(problem, table=TableRequest(times=33))
    even = tuple(np.linspace(0.0, 7.3, 33).tolist())
    uniform: Any = solve(problem, table=TableRequest(times=even))
    assert placed.lookup_error["offset"] < 0.5 * uniform.lookup_error["offset"]


@pytest.mark.parametrize("target", [1e-2, 1e-4])
def test_a_lookup_error_asked_for_is_met(target, make_problem):
    problem = make_problem(horizon=FINITE)
    solution: Any = solve(problem, table=TableRequest(max_lookup_error=target))
    assert solution.lookup_error["offset"] <= target
    assert dense_error(problem, solution, "offset") <= 1.05 * target  # see above


def test_explicit_times_are_kept_to_the_last_bit(make_problem):
    times = (0.1, 1 / 3, np.nextafter(2.0, 3.0), 7.0, 7.3)
    solution: Any = solve(make_problem(horizon=FINITE), table=TableRequest(times=times))
    assert solution.times.tolist() == list(times)
    assert solution.value.shape == (5, 9) and solution.offset.shape == (5, 9, 2)


def test_ticks_cannot_meet_a_small_lookup_error(make_problem, monkeypatch):
    monkeypatch.setattr(time_nodes, "_MOST_TIMES", 65)  # 20001 in earnest
    problem = make_problem(quote={"tick": 0.25}, horizon=FINITE)
    with pytest.raises(ProblemError) as error:
        solve(problem, table=TableRequest(max_lookup_error=1e-3))
    assert (
        "table.max_lookup_error: 0.001 cannot be met: with 65 times linear interpolation still errs by"
        in str(error.value)
    )


def test_placing_shares_out_the_curvature():
    """δ = t³ turns like t: the nodes' density is √t, so t = (n/N)^{2/3}, but for the even twentieth."""
    times = np.linspace(0.0, 1.0, 2001)
    nodes = place_nodes(times, times[:, None] ** 3, 21)
    assert nodes[0] == 0.0 and nodes[-1] == 1.0 and np.all(np.diff(nodes) > 0.0)
    np.testing.assert_allclose(nodes, np.linspace(0.0, 1.0, 21) ** (2 / 3), atol=0.05)


def test_nodes_are_those_of_their_calendar_times():
    """Near the end a calendar time has fewer digits than a time to go: the node is what is left of it."""
    times = np.concatenate([[0.0], np.geomspace(3.8e-12, 3.83, 96)])
    nodes = place_nodes(times, np.log(times + 1e-16)[:, None], 101)
    assert np.array_equal(3.83 - (3.83 - nodes), nodes) and np.all(np.diff(3.83 - nodes) < 0.0)


def test_interpolation_error_of_a_parabola():
    """δ²/4·|q''|/2 in the middle: (1/4)² for t² on intervals of length 1/2."""
    times = with_checks(np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(times, np.linspace(0.0, 1.0, 9))
    assert interpolation_error(times**2) == pytest.approx(0.25**2, rel=1e-14)
    assert interpolation_error(np.where(times == 0.25, np.nan, times**2)) == pytest.approx(0.25**2, rel=1e-14)
    assert interpolation_error(np.array([1.0])) == 0.0
