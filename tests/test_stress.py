"""Far from everyday numbers: an answer with a narrow certificate, or a typed status; never NaN.

Each number alone is taken up to 10^±12 times a natural value. What is converged must be certified within
`NARROW` quote scales, but for the few cases that are named with the bound they get.
"""

from typing import Any

import numpy as np
import pytest

from quotegrid.models.problem import ProblemError, TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import SolveError, Status, solve

NARROW = 1e-6
ERGODIC = {"kind": "ergodic"}
DISCOUNTED = {"kind": "discounted", "rate": 0.1}
SPLIT: dict[str, Any] = {"k_ask": 2.0}  # the two sides differ in k: the equation is not linear in exp(κθ)


def finite(duration: float = 100.0, **terminal: float) -> dict[str, Any]:
    horizon = {"kind": "finite", "duration": duration}
    return {**horizon, "terminal": terminal} if terminal else horizon


def tree(
    horizon: dict[str, Any],
    *,
    A: float = 0.9,
    k: float = 1.5,
    A_ask: float | None = None,
    k_ask: float | None = None,
    gamma: float = 0.1,
    sigma: float = 0.5,
    drift: float = 0.0,
    limit: int = 4,
    lot_size: float = 1.0,
    size: int = 1,
) -> dict[str, Any]:
    sides = {"bid": (A, k), "ask": (A if A_ask is None else A_ask, k if k_ask is None else k_ask)}
    flows = [
        {
            "name": side,
            "side": side,
            "size": size,
            "intensity": {"kind": "exponential", "A": rate, "k": decay},
        }
        for side, (rate, decay) in sides.items()
    ]
    return {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": lot_size},
        "inventory": {"max": limit},
        "price": {"volatility": sigma, "drift": drift},
        "preferences": {"kind": "cara", "risk_aversion": gamma},
        "flow": flows,
        "horizon": horizon,
    }


def quote_scale(numbers: dict[str, Any], lot_size: float = 1.0) -> float:
    """ln(1 + ξz/k)/(ξz) of the side with the larger k, price units."""
    k = max(numbers.get("k", 1.5), numbers.get("k_ask", 0.0))
    xi = numbers.get("gamma", 0.1) * lot_size
    return float(np.log1p(xi / k) / xi)


def solved(horizon: dict[str, Any], times: tuple[float, ...] | None = None, **numbers: Any) -> Any:
    """A converged solution: finite, quotes on wherever the limits and the intensities allow, and its error in
    quote scales.
    """
    table = TableRequest(times=times) if times and horizon["kind"] == "finite" else None
    solution = solve(parse_problem(tree(horizon, **numbers)).problem, table=table)
    assert solution.status is Status.CONVERGED
    assert np.all(np.isfinite(solution.value))
    certificate = solution.certificate
    if certificate["level"] == "none":
        assert certificate["reason"]
        return solution, np.inf
    assert np.isfinite(certificate["value_error"])
    return solution, certificate["quote_error"] / quote_scale(numbers, numbers.get("lot_size", 1.0))


FACTORS = [1e-12, 1e-6, 1e6, 1e12]
HORIZONS = {
    "ergodic": (ERGODIC, {}),
    "ergodic, unequal k": (ERGODIC, SPLIT),
    "discounted": (DISCOUNTED, {}),
    "discounted, unequal k": (DISCOUNTED, SPLIT),
    "finite": (finite(), {}),
    "finite, unequal k": (finite(), SPLIT),
}
# Wider bounds, in quote scales: where γz/k is 1e12, p and θ = ln(v)/κ lose digits; where a discounted or
# accumulated θ is 1e9 quote scales and more, the last bits of the stored values are much of a quote (those of
# the offsets are not: see the test).
WIDER = {
    **{(kind, "gamma", 1e12): np.inf for kind in HORIZONS},
    ("ergodic", "k", 1e-12): 1e-3,
    ("ergodic, unequal k", "k", 1e-12): 1e-3,
    ("discounted", "A", 1e12): np.inf,
    ("discounted, unequal k", "A", 1e12): np.inf,
    ("finite", "gamma", 1e6): 1.0,
    ("finite", "sigma", 1e6): np.inf,
    ("finite", "sigma", 1e12): np.inf,
    ("finite", "A", 1e6): 1e-5,
    ("finite", "A", 1e12): np.inf,
    ("finite", "k", 1e-12): 1e-2,
    ("finite", "k", 1e6): 1e-4,
    ("finite", "k", 1e12): np.inf,
    ("finite, unequal k", "gamma", 1e6): 1.0,
    ("finite, unequal k", "sigma", 1e6): np.inf,
    ("finite, unequal k", "sigma", 1e12): np.inf,
    ("finite, unequal k", "A", 1e12): 1.0,
}


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", ["gamma", "sigma", "A", "k"])
@pytest.mark.parametrize("kind", HORIZONS)
def test_one_number_far_out(kind, name, factor):
    horizon, sides = HORIZONS[kind]
    natural = {"gamma": 0.1, "sigma": 0.5, "A": 0.9, "k": 1.5}
    numbers = {name: natural[name] * factor, **sides}
    if name == "k" and sides:
        numbers["k_ask"] = SPLIT["k_ask"] * factor
    solution, error = solved(horizon, **numbers)
    assert np.all(np.isfinite(solution.offset[..., :-1, 0])) and np.all(
        np.isfinite(solution.offset[..., 1:, 1])
    )
    assert error <= WIDER.get((kind, name, factor), NARROW)
    if horizon["kind"] == "finite" and factor > 1.0:  # at rest long before the start
        stationary, _ = solved(ERGODIC, **numbers)
        absolute, relative = 1e-7 * quote_scale(numbers), 1e-6 if numbers.get("gamma", 0.0) > 1e6 else 1e-12
        np.testing.assert_allclose(solution.offset[0], stationary.offset, rtol=relative, atol=absolute)


@pytest.mark.parametrize("sides", [{}, SPLIT], ids=["linear", "not linear"])
@pytest.mark.parametrize("duration", [1e-3, 1.0, 1e3, 1e6])
def test_horizons_in_relaxation_times(duration, sides):
    """About one fill per time and side: a relaxation time is a few time units."""
    solution, error = solved(finite(duration), **sides)
    assert error <= NARROW
    if duration >= 1e3:
        stationary, _ = solved(ERGODIC, **sides)
        np.testing.assert_allclose(solution.offset[0], stationary.offset, rtol=0, atol=1e-9)
        rate = (solution.value[0, 4] - solution.value[1, 4]) / (solution.times[1] - solution.times[0])
        np.testing.assert_allclose(rate, stationary.gain, rtol=1e-8)


@pytest.mark.parametrize("kind", HORIZONS)
def test_sides_of_very_different_depth(kind):
    horizon, _ = HORIZONS[kind]
    for k_ask in (150.0, 0.015):
        assert solved(horizon, k_ask=k_ask)[1] <= NARROW


@pytest.mark.parametrize("kind", ["discounted", "finite"])
def test_one_side_never_trades(kind):
    solution, error = solved(HORIZONS[kind][0], A_ask=0.0)
    assert np.all(np.isnan(solution.offset[..., 1])) and np.all(np.isfinite(solution.offset[..., :-1, 0]))
    assert error <= NARROW


@pytest.mark.parametrize("kind", ["discounted", "finite"])
def test_nobody_trades(kind):
    """θ is then the reward alone: ℓ/ρ, or ℓ times the time to go."""
    solution, _ = solved(HORIZONS[kind][0], A=0.0)
    reward = -0.5 * 0.1 * 0.25 * np.arange(-4.0, 5.0) ** 2
    expected = reward / 0.1 if kind == "discounted" else reward * (100.0 - solution.times[:, None])
    assert np.all(np.isnan(solution.offset))
    np.testing.assert_allclose(solution.value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("numbers", [{"A": 0.0}, {"A_ask": 0.0}], ids=["both", "one"])
def test_nobody_trades_for_ever(numbers):
    with pytest.raises(SolveError, match="target is out of reach from inventory") as caught:
        solve(parse_problem(tree(ERGODIC, **numbers)).problem)
    assert caught.value.solution.status is Status.NOT_COMMUNICATING
    assert np.all(np.isfinite(caught.value.solution.value))


def test_no_flows():
    with pytest.raises(ProblemError, match="flow: expected at least one entry"):
        parse_problem({**tree(ERGODIC), "flow": []})


@pytest.mark.parametrize("kind", ["ergodic", "discounted", "finite"])
def test_tiny_lots(kind):
    """Risk aversion per currency is as large as the lots are small, so that offsets stay what they were."""
    times = (0.0, 90.0, 100.0)
    usual, _ = solved(HORIZONS[kind][0], times)
    tiny, error = solved(HORIZONS[kind][0], times, lot_size=1e-8, gamma=0.1e8)
    assert error <= NARROW
    np.testing.assert_allclose(tiny.offset, usual.offset, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["ergodic", "discounted", "finite"])
def test_sizes_with_a_common_divisor(kind):
    """Three lots at once are one lot of three, at the inventories that such fills reach."""
    times = (0.0, 90.0, 100.0)
    large, error = solved(HORIZONS[kind][0], times, limit=12, size=3)
    small, _ = solved(HORIZONS[kind][0], times, limit=4, lot_size=3.0)
    assert error <= NARROW
    offset = large.offset if kind == "ergodic" else large.offset[..., ::3, :]
    np.testing.assert_allclose(offset, small.offset, rtol=1e-9, atol=1e-9)


def test_too_steep_an_end_is_said():
    """At the end of the horizon the best quotes overflow the intensity; only the linear equation can cope."""
    problem = parse_problem(tree(finite(quadratic=1e3), **SPLIT)).problem
    with pytest.raises(SolveError, match="best quotes run away") as caught:
        solve(problem)
    failed = caught.value.solution
    assert failed.status is Status.UNBOUNDED_QUOTES
    assert np.all(np.isfinite(failed.value)) and list(failed.times) == [100.0]
    assert solved(finite(quadratic=1e3))[1] <= NARROW


@pytest.mark.parametrize("horizon", [finite(1.0), ERGODIC], ids=["finite", "ergodic"])
@pytest.mark.parametrize("gamma", [0.1, 0.5])
def test_avellaneda_stoikov_2008(horizon, gamma):
    """The numbers of their example with a limit of 50."""
    _, error = solved(horizon, A=140.0, sigma=2.0, gamma=gamma, limit=50)
    assert error <= NARROW


def test_stiff():
    """Rates from 1 to 1e5: the rounding of the largest rewards is charged to every state."""
    _, error = solved(ERGODIC, sigma=2.0, limit=500)
    assert error <= 1e-5


@pytest.mark.deep
@pytest.mark.parametrize("sides", [{}, SPLIT], ids=["linear", "not linear"])
@pytest.mark.parametrize("kind", ["ergodic", "discounted", "finite"])
@pytest.mark.parametrize("limit", [1, 2, 10, 100, 500, 1000])
def test_limits(limit, kind, sides):
    if kind == "finite" and sides and limit > 100:  # fills 3e4 times faster than the horizon is long
        with pytest.raises(SolveError, match="tolerance not reached"):
            solved(HORIZONS[kind][0], limit=limit, **sides)
        return
    _, error = solved(HORIZONS[kind][0], limit=limit, **sides)
    # the rounding of the largest rewards, 1e4 per time, and steps by the thousand add up
    assert error <= (1e-3 if limit > 100 or (kind == "finite" and limit == 100) else NARROW)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(60))
def test_several_numbers_far_out(seed):
    """Random powers of ten for everything at once: an answer, or a typed status that says why not."""
    rng = np.random.default_rng(seed)
    A, k, A_ask, k_ask, gamma, sigma = 10.0 ** rng.uniform(-6.0, 6.0, 6)
    drift = rng.choice([-1.0, 0.0, 1.0]) * 10.0 ** rng.uniform(-6.0, 3.0)
    horizon = (
        ERGODIC,
        {"kind": "discounted", "rate": 10.0 ** rng.uniform(-6, 3)},
        finite(10.0 ** rng.uniform(-3, 6)),
    )
    numbers = {"A": A, "k": k, "A_ask": A_ask, "k_ask": k_ask, "gamma": gamma, "sigma": sigma, "drift": drift}
    problem = parse_problem(tree(horizon[seed % 3], **numbers)).problem
    solution = solve(problem, throw=False)
    assert np.all(np.isfinite(solution.value))
    certificate = solution.certificate
    if certificate["level"] == "A":
        assert np.isfinite(certificate["value_error"]) and np.isfinite(certificate["quote_error"])
    else:
        assert certificate["reason"]
