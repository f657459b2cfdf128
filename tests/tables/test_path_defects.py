"""The bound on a path's defect against the defect itself, sampled densely, also where quotes jump."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.verification.path_defects import DEGREE, NODES, path_defect
from quotegrid.tables.verification.problem_twin import ProblemTwin
from quotegrid.tables.verification.reintegration import reintegrate
from quotegrid.tables.verification.running_operator import RunningOperator

Numbers = np.ndarray

EXPONENTIAL = {"kind": "exponential", "A": 0.9, "k": 1.5}
LOGISTIC = {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}
POWER = {"kind": "power", "A": 1.0, "d": 1.0, "k": 3.0}
LINEAR = {"kind": "linear", "A": 1.0, "d": 2.0}
KNOTS = {"kind": "table", "offset": [0.0, 0.4, 1.0, 2.0], "rate": [1.0, 0.75, 0.4, 0.1]}
SHORT = {"kind": "linear", "A": 1.0, "d": 0.5}  # goes off within the paths below

FLOWS: dict[str, dict[str, Any]] = {
    "exponential": {"intensity": EXPONENTIAL},
    "exponential-bounds": {"intensity": EXPONENTIAL, "min_offset": 0.5, "max_offset": 0.8},
    "exponential-tick": {"intensity": EXPONENTIAL, "tick": 0.1},
    "logistic": {"intensity": LOGISTIC},
    "logistic-market-orders": {
        "intensity": LOGISTIC,
        "adverse": {"on": "market_orders", "jump": 0.03, "arrival_rate": 1.4},
    },
    "power": {"intensity": POWER},
    "power-free": {"intensity": POWER, "min_offset": -0.9},
    "linear": {"intensity": LINEAR},
    "linear-goes-off": {"intensity": SHORT},
    "linear-tick": {"intensity": SHORT, "tick": 0.1},
    "table": {"intensity": KNOTS},
    "table-bounds": {"intensity": KNOTS, "min_offset": 0.55, "max_offset": 0.9},
}


def twin(flow: dict[str, Any], xi: float) -> ProblemTwin:
    """Three sizes of inventory on each side, two flows of sizes 1 and 2."""
    big = {"name": "big", "side": "ask", "size": 2, "intensity": {**EXPONENTIAL, "A": 0.2}, "fee": 0.01}
    tree = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "XYZ", "lot_size": 1.0},
        "inventory": {"max": 3},
        "price": {"volatility": 0.3, "reference": 100.0, "drift": 0.1},
        "preferences": {"kind": "cara", "risk_aversion": 0.1, "hamiltonian_risk_aversion": xi},
        "flow": [{"name": "book", "side": "both", "size": 1, "fee": 0.02, **flow}, big],
        "horizon": {"kind": "finite", "duration": 4.0, "terminal": {"quadratic": 0.1}},
    }
    return ProblemTwin.from_json(canonical_json(tree))


def sampled_defect(operator: RunningOperator, start: Numbers, slopes: Numbers, length: float) -> float:
    """The largest |R| of one path at 200 times and all states."""
    fit = np.polynomial.Chebyshev.fit
    curves = [fit(NODES, column, DEGREE, domain=[-1.0, 1.0]) for column in slopes.T]
    x = np.linspace(-1.0, 1.0, 200)
    path = start + np.stack([0.5 * length * curve.integ(lbnd=-1.0)(x) for curve in curves], axis=-1)
    slope = np.stack([curve(x) for curve in curves], axis=-1)
    return float(np.max(np.abs(operator(path).operator - slope)))


@pytest.mark.parametrize("xi", [0.0, 0.1, 20.0])
@pytest.mark.parametrize("name", FLOWS)
def test_no_sample_of_a_defect_exceeds_its_bound(name: str, xi: float) -> None:
    """Random rough paths and paths that nearly solve the equation, over lengths from tiny to long."""
    problem = twin(FLOWS[name], xi)
    operator = RunningOperator(problem)
    random = np.random.default_rng(7)
    finite = 0
    for length in (1e-3, 0.03, 0.3, 2.0):
        for roughness in (0.0, 1e-6, 0.3):
            start = -random.uniform(0.0, 0.3) * problem.lots**2 + random.normal(size=7) * 0.1
            slope = operator(start).operator + roughness * random.normal(size=(DEGREE + 1, 7))
            near = operator(start[None]).free
            found = path_defect(operator, start[None], slope[None], np.array([length]), near)
            if np.isfinite(found.largest[0]):
                finite += 1
                sampled = sampled_defect(operator, start, slope, length)
                assert sampled <= found.largest[0] * (1.0 + 1e-9) + 1e-13, (length, roughness)
    assert finite >= 7  # the bound says something


def true_rise(problem: ProblemTwin, start: Numbers, length: float) -> Numbers:
    """By a scheme with a step size control of its own."""
    operator = RunningOperator(problem)
    found = solve_ivp(
        lambda _, theta: operator(theta).operator,
        (0.0, length),
        start,
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
    )
    return found.y[:, -1] - start


@pytest.mark.parametrize("name", ["exponential", "logistic", "linear-goes-off", "table-bounds"])
def test_marches_err_by_less_than_they_prove(name: str) -> None:
    """And what they prove is what was asked for."""
    problem = twin(FLOWS[name], 0.1)
    start = problem.terminal_value(problem.lots)
    rise = true_rise(problem, start, 4.0)
    for aim in (1e-3, 1e-6 if name in ("exponential", "logistic") else 1e-4):
        found = reintegrate(problem, start[None], np.array([4.0]), np.array([aim]))
        error = np.max(np.abs(found.rise[0] - rise))
        assert error <= found.scheme_error[0] + 1e-11
        assert found.scheme_error[0] <= 2.0 * aim


def test_ticks_are_followed_through_their_jumps() -> None:
    problem = twin(FLOWS["exponential-tick"], 0.1)
    start = problem.terminal_value(problem.lots)
    found = reintegrate(problem, start[None], np.array([4.0]), np.array([1e-4]))
    assert np.max(np.abs(found.rise[0] - true_rise(problem, start, 4.0))) <= found.scheme_error[0]
    assert found.scheme_error[0] <= 1e-3


def test_settled_values_are_followed_for_ever() -> None:
    """A million time units, once all values rise alike, are one piece."""
    problem = twin(FLOWS["logistic"], 0.1)
    start = problem.terminal_value(problem.lots)
    short, long = (
        reintegrate(problem, start[None], np.array([length]), np.array([1e-4])) for length in (1e3, 1e6)
    )
    assert long.steps < 200
    gain = (long.rise[0] - short.rise[0]) / (1e6 - 1e3)
    assert np.max(gain) - np.min(gain) < 1e-9
    assert long.scheme_error[0] <= 1e-3


def test_an_aim_below_rounding_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quotegrid.tables.verification.reintegration.MOST_PIECES", 50)
    problem = twin(FLOWS["logistic"], 0.1)
    start = problem.terminal_value(problem.lots)
    found = reintegrate(problem, start[None], np.array([4.0]), np.array([1e-30]))
    assert found.scheme_error[0] == np.inf
