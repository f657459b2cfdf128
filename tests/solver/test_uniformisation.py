"""Uniformisation against the matrix exponential in 60 digits, steep and long, and its stationary limit."""

from typing import Any

import mpmath
import numpy as np
import pytest

from quotegrid.models.problem import TableRequest
from quotegrid.solver import Status, solve, solve_many

LIMIT, INTENSITY, SIGMA, GAMMA = 4, (0.9, 1.5), 0.5, 0.1  # the problem of make_problem
DRIFT = 0.02


def horizon(duration, quadratic=0.0, absolute=0.0):
    return {
        "kind": "finite",
        "duration": duration,
        "terminal": {"quadratic": quadratic, "absolute": absolute},
    }


def exact_value(to_go, quadratic, absolute):
    """ln(e^{τM} e^{κθ(T)})/κ: M has κℓ on its diagonal and A(1 + ξ/k)^{-(1 + k/ξ)} beside it."""
    rate, k = (mpmath.mpf(x) for x in INTENSITY)
    xi = mpmath.mpf(GAMMA)
    beside = rate * (1 + xi / k) ** -(1 + k / xi)
    lots = range(-LIMIT, LIMIT + 1)
    generator = mpmath.zeros(2 * LIMIT + 1)
    for place, q in enumerate(lots):
        generator[place, place] = k * (mpmath.mpf(DRIFT) * q - xi * mpmath.mpf(SIGMA) ** 2 * q**2 / 2)
        for other in (place - 1, place + 1):
            if 0 <= other <= 2 * LIMIT:
                generator[place, other] = beside
    terminal = [-mpmath.mpf(quadratic) * q**2 - mpmath.mpf(absolute) * abs(q) for q in lots]
    values, vectors = mpmath.eigsy(generator)
    weights = vectors.T * mpmath.matrix([mpmath.exp(k * theta) for theta in terminal])
    scaled = vectors * mpmath.matrix(
        [mpmath.exp(mpmath.mpf(to_go) * lam) * weights[n] for n, lam in enumerate(values)]
    )
    return [mpmath.log(x) / k for x in scaled]


@pytest.mark.parametrize(
    ("duration", "quadratic", "absolute"),
    [
        (3.0, 0.0, 0.0),
        (3.0, 0.02, 0.1),
        (5.0, 200.0, 0.0),  # κΔθ = 1.5·200·7 at the limit: e^{2100} is beyond doubles
        (5.0, 1e6, 0.0),
        (400.0, 0.02, 0.0),
    ],
)
def test_matrix_exponential(duration, quadratic, absolute, make_problem):
    times = (0.0, 0.5 * duration, 0.999 * duration)
    problem = make_problem(
        price={"volatility": SIGMA, "drift": DRIFT}, horizon=horizon(duration, quadratic, absolute)
    )
    solution = solve(problem, table=TableRequest(times=(*times, duration)))
    assert solution.method == "uniformisation"
    with mpmath.workdps(
        60
    ):  # what a steep penalty leaves of the limits, e^{-4800}, is nothing beside the rest
        exact = np.array([exact_value(duration - t, quadratic, absolute) for t in times], dtype=float)
    # each step rounds 1/κ and the bias by about 1e-15, as it reports; then one logarithm and the level
    error = np.abs(solution.value[:-1] - exact)
    assert np.max(error) <= solution.residual + 4 * 2.0**-53 * np.max(np.abs(exact))
    assert solution.residual <= 1e-10 * max(1.0, duration, np.max(np.abs(exact)))


def test_times_are_placed_where_doubles_overflow(make_problem):
    """κΔθ = 1.5·200·159 at the limit: lanes leave it to steps that know differences only."""
    horizons = [horizon(0.5, quadratic) for quadratic in (200.0, 0.02)]
    steep, flat = (make_problem(horizon=each, inventory={"max": 80}) for each in horizons)
    beside = solve_many([steep, flat])
    for found in (solve(steep), *beside):
        assert found.status is Status.CONVERGED
        assert found.times is not None
        assert len(found.times) == 101
    alone = solve(flat, table=TableRequest(times=tuple(map(float, np.asarray(beside[1].times)))))
    np.testing.assert_allclose(beside[1].offset, alone.offset, rtol=0, atol=1e-12)


def test_a_million_relaxation_times_reach_the_ergodic_solution(make_problem):
    """Rates are about 0.3: after 4e6 time units the bias is that of the ergodic problem, growing by g."""
    duration = 4e6
    finite = solve(
        make_problem(horizon=horizon(duration, 0.02)),
        table=TableRequest(times=(0.0, 0.5 * duration, duration)),
    )
    ergodic: Any = solve(make_problem())
    # the last jump adds g·T/2 ~ 1e6 to the bias, and rounds it there
    atol = 2.0**-52 * ergodic.gain * duration
    np.testing.assert_allclose(finite.offset[0], ergodic.offset, rtol=0, atol=atol)
    growth = (finite.value[0, LIMIT] - finite.value[1, LIMIT]) / (0.5 * duration)
    assert growth == pytest.approx(ergodic.gain, rel=1e-13)
    assert finite.status is Status.CONVERGED


def test_the_value_at_the_end_is_the_terminal_one(make_problem):
    """The envelope over steep penalties is an inner device: the table shows what was asked."""
    solution = solve(make_problem(horizon=horizon(5.0, 200.0)), table=TableRequest(times=(0.0, 5.0)))
    np.testing.assert_array_equal(solution.value[-1], -200.0 * np.arange(-LIMIT, LIMIT + 1) ** 2)
