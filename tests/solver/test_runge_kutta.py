"""The explicit march: its order, its step at the limit of stability, and what is left to other methods."""

import jax.numpy as jnp
import numpy as np

from quotegrid.models.problem import Numerics, TableRequest
from quotegrid.solver import Status, smooth_horizon, solve
from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.discretise import discretise
from quotegrid.solver.hamiltonian_series import reservation_range, series_operator
from quotegrid.solver.kernels import kernel
from quotegrid.solver.runge_kutta import march_runge_kutta, start_runge_kutta
from quotegrid.solver.solve import parameters

FINITE = {"kind": "finite", "duration": 6.0, "terminal": {"quadratic": 0.3}}
LOGISTIC = {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}
TIMES = TableRequest(times=(0.0, 2.0, 5.0, 6.0))


def marched(problem, allowed, duration):
    """The nodes of a march: (to_go, θ at the end)."""
    at, nodes = _marched(parameters(problem), jnp.asarray(duration), jnp.asarray(allowed))
    assert bool(at.sound) and float(at.now) == duration
    return np.asarray(nodes.to_go[nodes.accepted]), np.asarray(at.bias + at.level)


@kernel()
def _marched(problem, duration, allowed):
    chain = discretise(problem)
    low, high = reservation_range(chain, greedy_policy(chain, chain.terminal).reservation)
    series = series_operator(chain, low - 1.0, high + 1.0, 47)
    start = start_runge_kutta(series, chain.terminal, chain.target, jnp.asarray(0.05))
    return march_runge_kutta(series, start, duration, allowed, chain.target)


def test_errors_follow_the_tolerance(make_problem, x64):
    """Each step errs by less than is allowed, so that the whole errs by less than their sum; and of order 8,
    a hundredth of the error costs fewer than twice the steps."""
    problem = make_problem(LOGISTIC, horizon=FINITE)
    steps, ends = zip(*(marched(problem, allowed, 6.0) for allowed in (1e-13, 1e-8, 1e-6)), strict=True)
    for number, end, allowed in zip(map(len, steps[1:]), ends[1:], (1e-8, 1e-6), strict=True):
        assert np.max(np.abs(end - ends[0])) <= number * allowed
    assert len(steps[1]) < 2 * len(steps[2])


def test_steps_stay_at_the_limit_of_stability(make_problem, x64):
    """Far from the end of the horizon nothing moves, and only stability limits the steps: none is lost."""
    to_go, _ = marched(make_problem(LOGISTIC, horizon=FINITE), 1e-9, 150.0)
    late = np.diff(to_go[to_go > 75.0])[:-2]
    assert np.ptp(late) < 0.01 * np.mean(late)


def test_the_range_is_widened_until_it_holds(make_problem, monkeypatch):
    """A first guess of no width is found too narrow, and the answer is the same."""
    problem = make_problem(LOGISTIC, horizon=FINITE)
    usual = solve(problem, table=TIMES)
    guess = smooth_horizon._prepare

    def narrow(problem):
        found = guess(problem)
        return found._replace(low=0.2 * found.low, high=0.2 * found.high)

    monkeypatch.setattr(smooth_horizon, "_prepare", narrow)
    found = solve(problem, table=TIMES)
    assert found.method == "runge-kutta"
    np.testing.assert_allclose(found.value, usual.value, atol=1e-9)


def test_what_is_not_smooth_goes_to_another_method(make_problem):
    problem = make_problem(LOGISTIC, quote={"min_offset": 0.45, "max_offset": 1.2}, horizon=FINITE)
    solution = solve(problem, table=TIMES)
    assert solution.method == "extrapolated-euler" and solution.status is Status.CONVERGED
    assert solution.method_reason == "the equation is not linear, and not smooth or too stiff for runge-kutta"
    named = solve(problem, numerics=Numerics(method="runge-kutta"), table=TIMES, throw=False)
    assert named.method == "runge-kutta" and named.status is Status.TOLERANCE_NOT_REACHED
    assert named.certificate["level"] == "none"
    assert named.times is not None and named.times.tolist() == [6.0]


def test_what_is_too_stiff_goes_to_another_method(make_problem):
    problem = make_problem(LOGISTIC, horizon={"kind": "finite", "duration": 1e6})
    assert solve(problem, table=TableRequest(times=(0.0, 1e6))).method == "extrapolated-euler"
