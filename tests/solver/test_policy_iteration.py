"""Policy iteration against value iteration, closed forms and limits; every way in which it can fail."""

import numpy as np
import pytest

from quotegrid.solver import SolveError, Status, hamiltonian, policy_iteration, solve

EXPONENTIAL = {"kind": "exponential", "A": 0.9, "k": 1.5}
LOGISTIC = {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}
POWER = {"kind": "power", "A": 1.0, "d": 1.0, "k": 3.0}
LINEAR = {"kind": "linear", "A": 1.0, "d": 2.0}
TABLE = {"kind": "table", "offset": [-1.0, 0.0, 0.6, 1.5], "log_rate": [1.0, 0.0, -0.7, -1.9]}


def cara(xi):
    return {"kind": "cara", "risk_aversion": 0.1, "hamiltonian_risk_aversion": xi}


def flow(intensity, side="both", size=1, **more):
    return {"name": f"{size}", "side": side, "size": size, "intensity": intensity, **more}


def operator(problem, theta, reward):
    """B(θ) flow by flow and state by state, with ℓ spelled out by the caller; inventories are lots of 1."""
    low, high, _ = problem.assets[0].inventory.lots_range()
    total = reward(np.arange(low, high + 1.0))
    for one in problem.one_sided_flows():
        moves = [(i, i + one.sign * one.size) for i in range(len(theta))]
        here, there = np.array([m for m in moves if 0 <= m[1] < len(theta)]).T
        cost = one.fee + one.jump + one.proportional_fee * one.reference  # a markout
        p = ((theta[here] - theta[there]) / one.size + cost) / one.multiplier
        found = hamiltonian(
            one.intensity,
            p,
            size=one.size * one.multiplier,
            xi=problem.xi(),
            min_offset=one.min_offset,
            max_offset=one.max_offset,
            tick=one.tick,
        )
        total[here] += found.value
    return total


def value_iteration(problem, reward, step, rate):
    """θ and g by θ ← θ + h(B(θ) - ρθ - g), the uniformised chain, until B(θ) - ρθ - g spans 1e-10."""
    low, high, target = problem.assets[0].inventory.lots_range()
    theta = np.zeros(high - low + 1)
    for _ in range(20_000):
        change = operator(problem, theta, reward) - rate * theta
        if np.ptp(change) < 1e-10 and (rate == 0.0 or np.max(np.abs(change)) < 1e-10):
            gain = 0.5 * (change.max() + change.min())
            return (theta, None) if rate else (theta - theta[target - low], gain)
        theta = theta + step * change
    raise AssertionError("value iteration did not settle")


def quadratic(q):
    return -0.5 * 0.1 * 0.5**2 * q**2


CASES = {
    "exponential": ({"flow": [flow(EXPONENTIAL)]}, quadratic),
    "logistic": ({"flow": [flow(LOGISTIC)]}, quadratic),
    "power": ({"flow": [flow(POWER)]}, quadratic),
    "linear on ticks within bounds": (
        {"flow": [flow(LINEAR, tick=0.1, min_offset=0.25, max_offset=1.5)]},
        quadratic,
    ),
    "table, discounted": (
        {"flow": [flow(TABLE)], "horizon": {"kind": "discounted", "rate": 0.05}},
        quadratic,
    ),
    "ladder, asymmetric limits, fees, drift": (
        {
            "flow": [
                flow(EXPONENTIAL, fee=0.1, adverse={"on": "markout", "jump": 0.05}),
                flow(LOGISTIC, size=2, proportional_fee=0.01, max_offset=1.5),
            ],
            "inventory": {"min": -3, "max": 4},
            "price": {"volatility": 0.5, "drift": 0.03, "carry": 0.01, "reference": 10.0},
        },
        lambda q: quadratic(q) + 0.02 * q,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_against_value_iteration(name, make_problem):
    changes, reward = CASES[name]
    for xi in (0.0, 0.3):  # one structure: compiled once
        problem = make_problem(**{"inventory": {"max": 3}, "preferences": cara(xi)} | changes)
        rate = changes.get("horizon", {}).get("rate", 0.0)
        theta, gain = value_iteration(problem, reward, step=0.1, rate=rate)
        solution = solve(problem)
        # |g error| ≤ the span, |θ error| ≤ span × the time to the target, here below 100 (or 1/ρ)
        assert gain is None or abs(solution.gain - gain) <= 1e-10
        np.testing.assert_allclose(solution.value, theta, rtol=0, atol=1e-10 * 100)
        assert solution.residual <= 1e-12 and solution.iterations < 20


def test_a_target_moves_the_problem(make_problem):
    """Limits and target shifted by two lots: the same quotes two lots further, the same gain."""

    def at(shift):
        return solve(
            make_problem(
                inventory={"min": shift - 3, "max": shift + 4, "target": shift},
                preferences={"kind": "mean-variance", "running_penalty": 0.02},
            )
        )

    here, there = at(0), at(2)
    np.testing.assert_array_equal(there.inventories[0], here.inventories[0] + 2)
    # the same numbers in the same order, but for q - target, exact for whole lots
    np.testing.assert_array_equal(there.offset, here.offset)
    np.testing.assert_array_equal(there.value, here.value)
    assert there.gain == here.gain and there.value[3] == 0.0


@pytest.mark.parametrize("limit", [6, 40])
def test_cosine_closed_form(limit, make_problem):
    """No risk, no costs: δ_b(q) = 1/k + ln[cos(πq/(2Q+2))/cos(π(q+1)/(2Q+2))]/k, and it tends to 1/k."""
    solution = solve(
        make_problem(inventory={"max": limit}, preferences={"kind": "mean-variance", "running_penalty": 0.0})
    )
    q, angle = np.arange(-limit, limit + 1), np.pi / (2 * limit + 2)
    bid = (1.0 + np.log(np.cos(angle * q[:-1]) / np.cos(angle * (q[:-1] + 1)))) / 1.5
    # cos near its zero: π/2 rounded, seen from a distance of one angle
    assert np.max(np.abs(solution.offset[:-1, 0] - bid)) <= 1e-12
    np.testing.assert_allclose(solution.offset[:, 1], solution.offset[::-1, 0], rtol=0, atol=1e-12)
    assert np.isnan(solution.offset[-1, 0]) and np.isnan(solution.offset[0, 1])
    # w = e^{kθ} is an eigenvector: g = 2(A/(ke)) cos(π/(2Q+2))
    assert solution.gain == pytest.approx(2 * 0.9 / (1.5 * np.e) * np.cos(angle), rel=1e-13)


def test_sizes_with_a_common_divisor_take_the_coarser_lattice(make_problem):
    """Sizes 2 and 4 in lots of 1 are sizes 1 and 2 in lots of 2."""

    def ladder(factor, limits, **sections):
        flows = [flow(EXPONENTIAL, size=factor), flow(LOGISTIC, size=2 * factor)]
        return solve(make_problem(flow=flows, inventory=limits, **sections))

    fine = ladder(2, {"max": 7})
    coarse = ladder(1, {"max": 3}, market={"symbol": "X", "lot_size": 2.0})
    np.testing.assert_array_equal(fine.inventories[0], [-6, -4, -2, 0, 2, 4, 6])
    np.testing.assert_array_equal(fine.offset, coarse.offset)  # the same arrays reach the same code
    assert fine.gain == coarse.gain
    assert fine.notes == (
        "All sizes of X are multiples of 2 lots, so from the target only inventories 2 lots "
        "apart are ever visited; the others are left out.",
    )


def refused(problem):
    """The error of a solve that fails, and the solution that `throw=False` gives instead."""
    with pytest.raises(SolveError) as error:
        solve(problem)
    solution = solve(problem, throw=False)
    assert getattr(error.value.solution, "status", None) is solution.status is not Status.CONVERGED
    assert str(error.value) == " ".join([f"{solution.status}: {solution.status_message}", *solution.notes])
    return str(error.value), solution


def test_one_side_dead_does_not_communicate(make_problem):
    dead = {**EXPONENTIAL, "A": 0.0}
    text, solution = refused(make_problem(flow=[flow(EXPONENTIAL, "bid"), flow(dead, "ask")]))
    assert solution.status is Status.NOT_COMMUNICATING
    assert text == (
        "not communicating: The target inventory cannot be reached from every inventory, so there is no "
        "long-run average that all of them share; let both sides trade, or use a finite or discounted "
        "horizon. The target is out of reach from inventory 1 … 4 lots."
    )
    text, _ = refused(make_problem(flow=[flow(dead, "bid"), flow(EXPONENTIAL, "ask")]))
    assert text.endswith("out of reach from inventory -4 … -1 lots.")


def test_no_ergodic_solution_is_ill_posed(make_problem):
    """Logistic CARA: fills pay at most A/ξ = 15 a side, holding 4 lots at σ = 8 costs 51.2 per time."""
    text, solution = refused(make_problem(LOGISTIC, price={"volatility": 8.0}))
    assert solution.status is Status.ILL_POSED
    assert text == (
        "ill-posed: The ergodic problem has no solution: at some inventory the risk grows faster than any "
        "quote can pay; narrow the inventory limits, lower the risk aversion, or use a finite horizon. It "
        "shows at inventory -4, 4 lots."
    )
    assert solve(make_problem(LOGISTIC)).status is Status.CONVERGED


HORIZONS = {
    "ergodic": {"kind": "ergodic"},
    "discounted": {"kind": "discounted", "rate": 0.05},
    "finite": {"kind": "finite", "duration": 5.0, "terminal": {"quadratic": 0.01, "absolute": 0.0}},
}


@pytest.mark.parametrize("name", HORIZONS)
def test_an_infinite_hamiltonian_is_a_status(name, make_problem):
    """A rebate of 1500 quote scales: H = e^{1500} is no double, whatever θ."""
    text, solution = refused(make_problem(quote={"fee": -1e3}, horizon=HORIZONS[name]))
    assert solution.status is Status.UNBOUNDED_QUOTES and text.startswith("unbounded quotes: The best quotes")
    assert np.all(np.isfinite(solution.value)) and solution.certificate["level"] == "none"


@pytest.mark.parametrize("name", HORIZONS)
def test_a_vanished_hamiltonian_pays_nothing(name, make_problem):
    """A fee of 1500 quote scales: nobody trades, and only the running reward is left, -q²/80 per time."""
    problem = make_problem(quote={"fee": 1e3}, horizon=HORIZONS[name])
    if name == "ergodic":
        assert refused(problem)[1].status is Status.NOT_COMMUNICATING
        return
    solution = solve(problem)
    q = np.arange(-4.0, 5.0)
    earned = -(q**2) / 80
    exact = earned / 0.05 if name == "discounted" else 5.0 * earned - 0.01 * q**2
    value = solution.value if name == "discounted" else solution.value[0]
    np.testing.assert_allclose(value, exact, rtol=1e-12, atol=1e-12)


def test_iteration_limit(make_problem, monkeypatch):
    monkeypatch.setattr(policy_iteration, "ITERATION_LIMIT", 2)
    # the limit is compiled in: a lattice that no other test has
    text, solution = refused(make_problem(inventory={"max": 11}))
    assert solution.status is Status.ITERATION_LIMIT and solution.iterations == 2
    assert text == (
        "iteration limit: Policy iteration did not settle within its limit; loosen numerics.tolerance, or "
        "ease what is extreme in the problem (penalties, limits, rates). 2 iterations, residual "
        f"{solution.residual:.3g}."
    )
    assert np.all(np.isfinite(solution.value))


def test_numbers_beyond_doubles_are_badly_scaled(make_problem):
    text, solution = refused(make_problem(price={"volatility": 1e160}))
    assert solution.status is Status.BADLY_SCALED
    assert text == (
        "badly scaled: The problem leaves the range of double precision; check the units of time, price and "
        "lot size."
    )


@pytest.mark.parametrize("volatility", [0.0, 1e-6, 1e2, 1e4])
def test_any_penalty_from_the_closed_form_start(volatility, make_problem):
    """From no risk to e^{1e5} of it, few iterations, residual at the rounding of ℓ."""
    solution = solve(make_problem(price={"volatility": volatility}))
    assert solution.iterations <= 10
    assert solution.residual <= 1e-14 * (1.0 + np.max(np.abs(0.05 * volatility**2 * 16)))
