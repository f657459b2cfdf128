"""Sensitivities against re-solving, extended precision and the identities that scaling imposes on them."""

from collections.abc import Callable
from dataclasses import replace as with_fields
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotegrid.analysis.sensitivities import Sensitivities, for_table, moves_of, sensitivities
from quotegrid.models.dimensions import dimension_of
from quotegrid.models.faults import ProblemError
from quotegrid.models.paths import places, read, replace
from quotegrid.models.problem import Numerics, Problem, TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver.solve import solve
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.quoter import Quoter
from quotegrid.tables.verifier import verify_table

EXACT = Numerics(tolerance=1e-13)


def problem_with(flows: list[dict] | None = None, **sections: Any) -> Problem:
    """One exponential flow on both sides, CARA, ergodic, unless said otherwise."""
    book = {"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5}}
    tree = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 1.0},
        "inventory": {"max": 4},
        "price": {"volatility": 0.5},
        "preferences": {"kind": "cara", "risk_aversion": 0.1},
        "flow": flows or [book],
        "horizon": {"kind": "ergodic"},
    }
    return parse_problem({**tree, **sections}).problem


# ξ of its own, here with the value of γ
APART = {"kind": "cara", "risk_aversion": 0.1, "hamiltonian_risk_aversion": 0.1}
FINITE = {"kind": "finite", "duration": 20.0, "terminal": {"quadratic": 0.01}}
TIMES = TableRequest(times=(0.0, 12.0, 18.0, 20.0))


def by_resolving(
    problem: Problem, path: str, table: TableRequest | None, step: float = 2e-3
) -> tuple[np.ndarray, np.ndarray, float]:
    """Derivatives of offsets, values and gain by differences of four solutions: error of order h⁴."""
    now = read(problem, path)
    h = step * abs(now) if now else 0.1 * step

    def at(moves: int) -> list[np.ndarray]:
        found = solve(replace(problem, {path: now + moves * h}), numerics=EXACT, table=table)
        return [found.offset, found.value, np.array(0.0 if found.gain is None else found.gain)]

    try:
        parts, weights = [at(moves) for moves in (-2, -1, 1, 2)], (1.0, -8.0, 8.0, -1.0)
    except ProblemError:  # it is 0 and cannot be less
        parts, weights = [at(moves) for moves in range(5)], (-25.0, 48.0, -36.0, 16.0, -3.0)
    offset, value, gain = (
        np.tensordot(weights, np.stack(quantity), axes=1) / (12.0 * h)
        for quantity in zip(*parts, strict=True)
    )
    return offset, value, float(gain)


def agrees_with_resolving(problem: Problem, table: TableRequest | None = None) -> None:
    """Every derivative, within 1e-6 of the largest of its kind."""
    found = sensitivities(problem, table=table)
    for row, path in enumerate(found.parameters):
        if path == "horizon.duration" or np.isnan(found.value[row]).all():  # other times; no derivative
            continue
        offset, value, gain = by_resolving(problem, path, table)
        free = ~found.held & np.isfinite(offset)
        mine = found.offset[row]
        np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(found.solution.offset))
        scale = np.max(np.abs(mine[free]), initial=1e-3)
        np.testing.assert_allclose(mine[free], offset[free], rtol=0.0, atol=1e-6 * scale, err_msg=path)
        scale = np.max(np.abs(found.value[row]), initial=1e-3)
        np.testing.assert_allclose(found.value[row], value, rtol=0.0, atol=1e-6 * scale, err_msg=path)
        if found.gain is not None:
            np.testing.assert_allclose(found.gain[row], gain, rtol=1e-6, atol=1e-6, err_msg=path)


LADDER = [
    {
        "name": "small",
        "side": "both",
        "intensity": {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8},
        "fee": 0.02,
        "adverse": {"on": "fills", "jump": 0.03},
    },
    {
        "name": "large",
        "side": "ask",
        "size": 2,
        "intensity": {"kind": "exponential", "A": 0.4, "k": 1.2},
        "min_offset": 0.9,
        "proportional_fee": 0.001,
    },
]
DEAD = {"name": "dead", "side": "bid", "intensity": {"kind": "logistic", "A": 0.0, "a": 0.0, "b": 1.5}}
PRICED = {"volatility": 0.5, "drift": 0.01, "reference": 50.0}


def test_ergodic_ladder_agrees_with_resolving() -> None:
    agrees_with_resolving(problem_with([*LADDER, DEAD], price=PRICED))


def test_discounted_agrees_with_resolving() -> None:
    agrees_with_resolving(problem_with(preferences=APART, horizon={"kind": "discounted", "rate": 0.02}))


def test_linear_horizon_agrees_with_resolving() -> None:
    agrees_with_resolving(problem_with(horizon=FINITE), TIMES)


@pytest.mark.deep
@pytest.mark.parametrize(
    "price", [PRICED, {"volatility": 0.5, "reference": 50.0}], ids=["general", "fee at 0"]
)
def test_finite_ladder_agrees_with_resolving(price: dict) -> None:
    """The general march; and where a parameter leads out of the linear equations."""
    flows = LADDER if "drift" in price else None
    agrees_with_resolving(problem_with(flows, price=price, horizon=FINITE), TIMES)


@pytest.mark.deep
def test_ticks_of_a_finite_horizon_agree_with_resolving() -> None:
    book = {
        "name": "book",
        "side": "both",
        "tick": 0.05,
        "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5},
    }
    problem = problem_with([book], horizon=FINITE)
    found = sensitivities(problem, parameters=["price.volatility"], table=TIMES)
    # (differences err by h² where quotes jump from tick to tick)
    _, value, _ = by_resolving(problem, "price.volatility", TIMES, step=1e-4)
    np.testing.assert_allclose(found.value[0], value, rtol=0.0, atol=1e-6 * np.max(np.abs(value)))


def scaling_defects(problem: Problem, found: Sensitivities) -> dict[str, float]:
    """How far Σ (exponent · x ∂/∂x) is from what a change of units does to offsets, values and gain."""
    defects = {}
    moving = [row for row in range(len(found.parameters)) if np.isfinite(found.value[row]).all()]
    for unit in ("price", "time", "unit"):
        offset, value, gain = np.zeros(found.offset.shape[1:]), np.zeros(found.value.shape[1:]), 0.0
        for row in moving:
            path = found.parameters[row]
            dimension = dimension_of(problem, places(problem, path)[0])
            weight = getattr(dimension, unit) * (1.0 if dimension.logarithm else found.values[row])
            offset, value = offset + weight * found.offset[row], value + weight * found.value[row]
            gain += 0.0 if found.gain is None else weight * found.gain[row]
        own = found.solution
        wanted = own.offset if unit == "price" else 0.0 * own.offset
        worth = own.value if unit in ("price", "unit") else 0.0 * own.value
        if own.times is not None and unit == "time":
            continue  # at fixed times, which would scale as well
        free = ~found.held & np.isfinite(wanted)
        defects[f"offset, {unit}"] = float(np.max(np.abs(offset - wanted)[free], initial=0.0))
        defects[f"value, {unit}"] = float(np.max(np.abs(value - worth)) / np.max(np.abs(own.value)))
        if own.gain is not None:
            factor = {"price": 1.0, "time": -1.0, "unit": 1.0}[unit]
            defects[f"gain, {unit}"] = abs(gain - factor * own.gain) / abs(own.gain)
    return defects


def meets_scaling(problem: Problem, table: TableRequest | None = None) -> None:
    defects = scaling_defects(problem, sensitivities(problem, table=table))
    assert max(defects.values()) < 1e-9, defects


around = st.floats(0.6, 1.6)


@settings(max_examples=25)
@given(st.lists(around, min_size=8, max_size=8))
def test_scaling_identities_of_random_ergodic_problems(factors: list[float]) -> None:
    """One structure with bounds, fees and adverse moves, many numbers."""
    f = iter(factors)
    small = {**LADDER[0], "fee": 0.02 * next(f), "adverse": {"on": "fills", "jump": 0.03 * next(f)}}
    small["intensity"] = {"kind": "logistic", "A": 1.5 * next(f), "a": -0.7 * next(f), "b": 1.8 * next(f)}
    problem = problem_with(
        [small, LADDER[1], DEAD],
        price={**PRICED, "volatility": 0.5 * next(f), "drift": 0.01 * next(f)},
        preferences={"kind": "cara", "risk_aversion": 0.1 * next(f)},
    )
    meets_scaling(problem)


@settings(max_examples=15)
@given(st.lists(around, min_size=5, max_size=5))
def test_scaling_identities_of_random_linear_horizons(factors: list[float]) -> None:
    volatility, aversion, A, k, alpha = factors
    book = {"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": 0.9 * A, "k": 1.5 * k}}
    problem = problem_with(
        [book],
        price={"volatility": 0.5 * volatility},
        preferences={"kind": "cara", "risk_aversion": 0.1 * aversion},
        horizon={"kind": "finite", "duration": 20.0, "terminal": {"quadratic": 0.01 * alpha}},
    )
    meets_scaling(problem, TIMES)


def logs(found: Sensitivities) -> Callable[[str], np.ndarray]:
    """∂δ/∂log x by path, of the bid where it quotes."""
    relative = found.relative(found.offset)
    return lambda path: relative[found.place(path), :-1, 0]


def test_identities_of_the_exponential_cara_model() -> None:
    found = sensitivities(problem_with())
    d, bid = logs(found), found.solution.offset[:-1, 0]
    volatility, aversion = d("price.volatility"), d("preferences.risk_aversion")
    np.testing.assert_allclose(volatility - d("flow.book.intensity.k") - aversion, bid, atol=1e-9)
    np.testing.assert_allclose(d("flow.book.intensity.A"), -0.5 * volatility, atol=1e-9)


def test_risk_aversion_enters_by_risk_and_by_fills() -> None:
    """∂/∂log σ = 2 ∂/∂log γ at fixed ξ; where ξ = γ both ways add up."""
    horizon = {"kind": "discounted", "rate": 0.02}
    d = logs(sensitivities(problem_with(preferences=APART, horizon=horizon)))
    risk, fills = d("preferences.risk_aversion"), d("preferences.hamiltonian_risk_aversion")
    np.testing.assert_allclose(d("price.volatility"), 2.0 * risk, atol=1e-9)
    both, _, _ = by_resolving(problem_with(horizon=horizon), "preferences.risk_aversion", None)
    np.testing.assert_allclose(0.1 * both[:-1, 0], risk + fills, atol=1e-7)


def test_linear_horizon_in_extended_precision() -> None:
    """Offsets of the Guéant-Lehalle-Fernandez-Tapia equation from a matrix exponential of 40 digits."""
    numbers = {
        "price.volatility": 0.5,
        "preferences.risk_aversion": 0.1,
        "flow.book.intensity.A": 0.9,
        "flow.book.intensity.k": 1.5,
        "horizon.terminal.quadratic": 0.01,
        "horizon.duration": 20.0,
    }

    def bid_at_zero(*values: Any) -> Any:
        sigma, gamma, A, k, alpha, duration = values
        states = range(-4, 5)
        beside = A * (1 + gamma / k) ** -(1 + k / gamma)
        M = mpmath.matrix(9, 9)
        for i, q in enumerate(states):
            M[i, i] = -k * gamma * sigma**2 * q * q / 2
            for j in (i - 1, i + 1):
                if 0 <= j < 9:
                    M[i, j] = beside
        v = mpmath.expm(M * duration) * mpmath.matrix([mpmath.exp(-k * alpha * q * q) for q in states])
        return mpmath.log1p(gamma / k) / gamma + mpmath.log(v[4] / v[5]) / k

    found = sensitivities(problem_with(horizon=FINITE), table=TIMES)
    with mpmath.workdps(40):
        point = tuple(mpmath.mpf(repr(x)) for x in numbers.values())
        for place, path in enumerate(numbers):
            order = tuple(int(place == other) for other in range(len(numbers)))
            truth = float(mpmath.diff(bid_at_zero, point, order))
            assert found.offset[found.place(path), 0, 4, 0] == pytest.approx(truth, abs=1e-11), path


def held_problem(min_offset: float) -> Problem:
    """A bid with a bound, an ask on ticks."""
    exponential = {"kind": "exponential", "A": 0.9, "k": 1.5}
    bid = {"name": "book", "side": "bid", "intensity": exponential, "min_offset": min_offset}
    return problem_with([bid, {"name": "book", "side": "ask", "intensity": exponential, "tick": 0.05}])


def test_held_quotes_move_with_what_holds_them_alone() -> None:
    found = sensitivities(held_problem(0.6))
    on = ~np.isnan(found.solution.offset)
    bids, asks = found.held[:, 0], found.held[:, 1]
    assert bids.any() and (on[:, 0] & ~bids).any() and not found.kinked.any()
    np.testing.assert_array_equal(asks, on[:, 1])
    bound, tick = found.place("flow.book/bid.min_offset"), found.place("flow.book/ask.tick")
    assert np.all(found.offset[bound, bids, 0] == 1.0)
    assert np.all(np.delete(found.offset, bound, axis=0)[:, bids, 0] == 0.0)
    np.testing.assert_allclose(found.offset[tick, asks, 1] * 0.05, found.solution.offset[asks, 1], rtol=1e-12)
    assert np.all(np.delete(found.offset, tick, axis=0)[:, asks, 1] == 0.0)


def test_a_quote_just_at_its_bound_is_at_a_kink() -> None:
    lowest = float(np.nanmin(solve(held_problem(-9.0)).offset[:, 0]))  # so that it changes nothing
    found = sensitivities(held_problem(lowest))
    assert found.kinked[0, 0] and found.kinked.sum() == 1


def test_a_path_without_a_side_is_the_sum_of_its_sides() -> None:
    found = sensitivities(held_problem(0.6))
    both = sensitivities(held_problem(0.6), parameters=["flow.book.intensity.k", "flow.book.fee"])
    bid, ask = (found.place(f"flow.book/{side}.intensity.k") for side in ("bid", "ask"))
    np.testing.assert_allclose(both.value[0], found.value[bid] + found.value[ask], atol=1e-13)
    assert both.values.tolist() == [1.5, 0.0]


@pytest.mark.deep
def test_a_block_for_both_sides_is_split_for_one() -> None:
    problem = problem_with()
    both = sensitivities(problem, parameters=["flow.book.intensity.k"])
    sides = sensitivities(problem, parameters=["flow.book/bid.intensity.k", "flow.book/ask.intensity.k"])
    np.testing.assert_allclose(both.offset[0], sides.offset.sum(axis=0), atol=1e-13)
    assert sides.values.tolist() == [1.5, 1.5]
    assert sides.units == ("per USD", "per USD")


def test_elasticities_and_moves() -> None:
    found = sensitivities(problem_with())
    row = found.place("flow.book.intensity.A")
    elasticity = found.elasticity_of_gain()
    assert elasticity is not None and found.gain is not None and found.solution.gain is not None
    assert elasticity[row] == pytest.approx(0.9 * found.gain[row] / found.solution.gain)
    moves = moves_of(found)
    assert "price.drift" not in moves.names  # it is 0
    np.testing.assert_allclose(
        moves.offset[moves.names.index("flow.book.intensity.A")], 0.9 * found.offset[row]
    )
    assert moves.now[moves.names.index("price.volatility")] == "0.5 USD per √s"


def test_what_cannot_move_is_left_out_or_refused() -> None:
    problem = problem_with()
    assert "flow.book.proportional_fee" not in sensitivities(problem).parameters
    with pytest.raises(
        ProblemError, match=r"flow.book.proportional_fee: a fee on the price needs price.reference"
    ):
        sensitivities(problem, parameters=["flow.book.proportional_fee"])
    with pytest.raises(ProblemError, match=r"no key 'volatilty' here \(did you mean 'volatility'\?\)"):
        sensitivities(problem, parameters=["price.volatilty"])
    with pytest.raises(ProblemError, match=r"inventory.max: 4 is a count or a word: part of the structure"):
        sensitivities(problem, parameters=["inventory.max"])
    with pytest.raises(ProblemError, match=r"flow.book.intensity: this is a block of several numbers"):
        sensitivities(problem, parameters=["flow.book.intensity"])
    with pytest.raises(ProblemError, match=r"flow.book.tick: this key is not set in this problem"):
        sensitivities(problem, parameters=["flow.book.tick"])
    with pytest.raises(ProblemError, match=r"did you mean 'price.volatility'"):
        sensitivities(problem).place("price.volatilit")


def test_a_flow_that_never_fills_has_no_derivative_by_its_rate() -> None:
    found = sensitivities(problem_with([*LADDER, DEAD], price=PRICED))
    row = found.place("flow.dead.intensity.A")
    assert np.isnan(found.value[row]).all()
    assert np.isfinite(np.delete(found.value, row, axis=0)).all()


@pytest.mark.parametrize("horizon", [{"kind": "ergodic"}, FINITE], ids=["ergodic", "finite"])
def test_shifted_quotes_follow_the_solution_within_the_error_they_state(horizon: dict) -> None:
    problem = problem_with(horizon=horizon)
    request = TIMES if horizon is FINITE else None
    found = sensitivities(problem, table=request, curvature=True)
    table = PolicyTable.from_solution(found.solution, for_table(found))
    time = 12.0 if horizon is FINITE else None
    for path, percent in (("price.volatility", 10), ("flow.book.intensity.k", -5), ("horizon.duration", 1)):
        if path not in found.parameters:
            continue
        quote = Quoter(table).quote(2, time, shift={path: f"{percent:+d}%"})
        moved = replace(problem, {path: read(problem, path) * (1.0 + percent / 100.0)})
        times = TableRequest(times=(0.0, 12.0, 20.2)) if path == "horizon.duration" else request
        truth = Quoter(PolicyTable.from_solution(solve(moved, table=times))).quote(2, time)
        assert quote.shifted is not None
        for label, offset in quote.offsets.items():
            error, said = abs(offset - truth.offsets[label]), quote.shifted.offset_error[label]  # type: ignore[operator]
            assert said is not None
            assert error == pytest.approx(said, rel=0.2, abs=1e-9)  # third order: a fraction of the second
        assert abs(quote.value - truth.value) == pytest.approx(quote.shifted.value_error, rel=0.2, abs=1e-9)


def test_the_verifier_checks_stored_derivatives() -> None:
    found = sensitivities(problem_with(), curvature=True)
    good = for_table(found)
    assert repr(good).startswith(f"<TableSensitivity by {len(found.parameters)} parameters, of ")
    table = PolicyTable.from_solution(found.solution, good)

    def check(table: PolicyTable) -> Any:
        return next(check for check in verify_table(table).checks if check.name == "sensitivities")

    assert check(table).outcome == "pass", check(table).sentence
    row = good.parameters.index("price.volatility")
    for name in ("offset", "value"):
        wrong = getattr(good, name).copy()
        wrong[row] *= 1.01
        bad = with_fields(good, **{name: wrong})
        said = check(PolicyTable.from_solution(found.solution, bad))
        assert said.outcome == "fail" and "price.volatility" in said.sentence
    numbers = good.numbers.copy()
    numbers[row] *= 1.01  # from where relative shifts would count
    said = check(PolicyTable.from_solution(found.solution, with_fields(good, numbers=numbers)))
    assert said.outcome == "fail" and "price.volatility is " in said.sentence
    assert "not as in the problem" in said.sentence
