"""Certificates of the solver are proved again; claims that are too good, or of a wrong table, are not."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.models.problem import TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver.solve import solve
from quotegrid.tables import PolicyTable
from quotegrid.tables.bellman_twin import flow_state
from quotegrid.tables.certificate_check import certificate_check
from quotegrid.tables.check import Check
from quotegrid.tables.finite_bounds import finite_bounds
from quotegrid.tables.hamiltonian_twin import best_quote
from quotegrid.tables.policy_table import canonical_numbers
from quotegrid.tables.problem_twin import ProblemTwin
from quotegrid.tables.stationary_bounds import stationary_bounds
from quotegrid.tables.verifier import verify_table

ERGODIC = {"kind": "ergodic"}
DISCOUNTED = {"kind": "discounted", "rate": 0.05}
FINITE = {"kind": "finite", "duration": 8.0, "terminal": {"quadratic": 0.02, "absolute": 0.1}}
LOGISTIC = {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}
KNOTS = {"kind": "table", "offset": [0.0, 0.4, 1.0, 2.0], "rate": [1.0, 0.75, 0.4, 0.1]}
EXPONENTIAL = {"kind": "exponential", "A": 0.9, "k": 1.5}
ORDERS = {"on": "market_orders", "jump": 0.03, "arrival_rate": 1.4}


def tree(horizon: dict, intensity: dict = EXPONENTIAL, **flow: Any) -> dict[str, Any]:
    """A small problem with one flow on both sides."""
    return {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "XYZ", "lot_size": 1.0},
        "inventory": {"max": 4},
        "price": {"volatility": 0.3, "reference": 100.0},
        "preferences": {"kind": "cara", "risk_aversion": 0.05},
        "flow": [{"name": "book", "side": "both", "intensity": intensity, **flow}],
        "horizon": horizon,
    }


def ladder(horizon: dict) -> dict[str, Any]:
    """Sizes 1 and 3, different decays: not linear."""
    found = tree(horizon)
    big = {"name": "big", "side": "both", "size": 3, "intensity": {"kind": "exponential", "A": 0.3, "k": 1.0}}
    return {**found, "flow": [*found["flow"], {**big, "fee": 0.02}], "inventory": {"max": 5}}


CASES: dict[str, dict[str, Any]] = {
    "ergodic": tree(ERGODIC, adverse=ORDERS),
    "ergodic-logistic-fills": tree(ERGODIC, LOGISTIC, adverse={"on": "fills", "jump": 0.05}),
    "ergodic-table-bounds": tree(ERGODIC, KNOTS, min_offset=0.55, max_offset=0.9),
    "ergodic-tick": tree(ERGODIC, tick=0.1),
    "ergodic-ladder": ladder(ERGODIC),
    "discounted": tree(DISCOUNTED),
    "discounted-logistic-fee": tree(DISCOUNTED, LOGISTIC, proportional_fee=0.0005, fee=-0.01),
    "finite": tree(FINITE),
    "finite-logistic-markout": tree(FINITE, LOGISTIC, adverse={"on": "markout", "jump": 0.05}),
    "finite-ladder": ladder(FINITE),
    "finite-tick": tree(FINITE, tick=0.1),
    "finite-bounds": tree(FINITE, min_offset=0.55, max_offset=0.9),
}


@pytest.fixture(scope="module")
def table_of():
    """The solver's table of a case; each is solved once."""
    found: dict[str, PolicyTable] = {}

    def table(name: str) -> PolicyTable:
        if name not in found:
            problem = parse_problem(CASES[name]).problem
            request = TableRequest(times=25) if CASES[name]["horizon"] is FINITE else None
            found[name] = PolicyTable.from_solution(solve(problem, table=request))
        return found[name]

    return table


def certificate_of(table: PolicyTable) -> Check:
    return certificate_check(table, ProblemTwin.from_json(table.problem_json))


def claiming(table: PolicyTable, **claims: Any) -> PolicyTable:
    return dataclasses.replace(table, certificate={**table.certificate, **claims})


def greedy(table: PolicyTable, value: np.ndarray) -> PolicyTable:
    """The table of other values, its quotes the best ones for them."""
    problem = ProblemTwin.from_json(table.problem_json)
    columns = []
    for flow in problem.flows:
        state = flow_state(problem, flow, value)
        columns.append(np.where(state.inside, best_quote(flow, state.reservation).offset, np.nan))
    return dataclasses.replace(
        table, value=canonical_numbers(value), offset=canonical_numbers(np.stack(columns, axis=-1))
    )


@pytest.mark.parametrize("name", CASES)
def test_certificates_are_proved_again(name: str, table_of) -> None:
    table = table_of(name)
    assert table.certificate["level"] == "A"
    checks = verify_table(table)
    assert [check for check in checks if check.outcome == "fail"] == []
    assert certificate_of(table).outcome == "pass"
    assert certificate_of(table).sentence.startswith("proved again: value within ")


@pytest.mark.parametrize("claim", ["value_error", "quote_error", "regret"])
@pytest.mark.parametrize("name", ["ergodic", "discounted", "finite-ladder"])
def test_claims_beyond_proof_fail(name: str, claim: str, table_of) -> None:
    """A table with an error of 1e-6 that claims a millionth of it; with an honest claim it passes."""
    table = table_of(name)
    value = table.value.copy()
    value[..., 1] += 1e-6
    if table.times is not None:
        value[-1] = table.value[-1]
    wrong = greedy(table, value)
    honest = claiming(wrong, value_error=1e-3, quote_error=1e-3, regret=1e-3)
    if table.gain is not None:
        honest = claiming(honest, gain_interval=[table.gain - 1e-4, table.gain + 1e-4])
    assert certificate_of(honest).outcome == "pass", certificate_of(honest)
    check = certificate_of(claiming(honest, **{claim: honest.certificate[claim] / 1e6}))
    assert check.outcome == "fail"
    assert "the table claims; only" in check.sentence


@pytest.mark.parametrize("name", CASES)
def test_perturbed_values_with_their_best_quotes_fail(name: str, table_of) -> None:
    table = table_of(name)
    lots = table.inventories[0]
    bend = (
        1e-5 * lots**2 if table.times is None else 1e-5 * lots**2 * (table.times < table.times[-1])[:, None]
    )
    check = certificate_of(greedy(table, table.value - bend))
    assert check.outcome == "fail"
    assert "claim" in check.sentence


def test_gain_outside_its_interval(table_of) -> None:
    table = table_of("ergodic")
    high = table.certificate["gain_interval"][1]
    above = certificate_of(claiming(table, gain_interval=[high + 1e-9, high + 2e-9]))
    assert "the one it states is" in above.sentence
    moved = dataclasses.replace(table, gain=high + 1.5e-9)
    apart = certificate_of(claiming(moved, gain_interval=[high + 1e-9, high + 2e-9]))
    assert "the table claims; it is from" in apart.sentence
    assert {above.outcome, apart.outcome} == {"fail"}


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ({"level": "B"}, "not verifiable: the verifier proves level A, the table claims B"),
        ({"level": "A"}, "the certificate's uncertain_ticks is None, not a finite number from 0 on"),
        ({"level": "A", "uncertain_ticks": 0, "value_error": -1.0}, "the certificate's value_error is -1.0"),
    ],
)
def test_what_is_no_certificate(certificate: dict, words: str, table_of) -> None:
    check = certificate_of(dataclasses.replace(table_of("discounted"), certificate=certificate))
    assert check.outcome == "fail"
    assert words in check.sentence


def test_no_claim_is_no_failure(table_of) -> None:
    bare = dataclasses.replace(table_of("discounted"), certificate={"level": "none", "reason": "unknown"})
    assert certificate_of(bare).outcome == "not applicable"
    assert "unknown" in certificate_of(bare).sentence


EXACT = json.loads((Path(__file__).parents[1] / "reference" / "cases.json").read_text())["cases"]
NEUTRAL = {"kind": "mean-variance", "running_penalty": 0.0001}
EXACT_PROBLEMS: dict[str, dict[str, Any]] = {
    "glft_ergodic": {
        **tree(ERGODIC, {"kind": "exponential", "A": 0.9, "k": 0.3}),
        "inventory": {"max": 30},
        "preferences": {"kind": "cara", "risk_aversion": 0.01},
    },
    "disc_1e-4_r0.01": {
        **tree({"kind": "discounted", "rate": 0.01}, {"kind": "exponential", "A": 1.0, "k": 100.0}),
        "inventory": {"max": 5},
        "preferences": NEUTRAL,
    },
    "gen_logistic_cara": {
        **tree({"kind": "finite", "duration": 20.0, "terminal": {"quadratic": 0.05}}, LOGISTIC),
        "inventory": {"max": 5},
    },
}


@pytest.mark.parametrize("name", EXACT_PROBLEMS)
def test_bounds_hold_against_exact_answers(name: str) -> None:
    """True errors of values, quotes and gain are within the verifier's bounds (and those of the answers)."""
    answers = EXACT[name]["values"]
    times = sorted({answer["point"]["t"] for answer in answers if "t" in answer["point"]})
    request = TableRequest(times=(0.0, *[t for t in times if 0.0 < t < 20.0], 20.0)) if times else None
    table = PolicyTable.from_solution(solve(parse_problem(EXACT_PROBLEMS[name]).problem, table=request))
    problem = ProblemTwin.from_json(table.problem_json)
    bounds = finite_bounds(table, problem, 1e-9) if times else stationary_bounds(table, problem)
    low = problem.limits[0]
    compared = 0
    for answer in answers:
        point, quantity = answer["point"], answer["quantity"]
        at = (
            ()
            if table.times is None or "t" not in point
            else (int(np.searchsorted(table.times, point["t"])),)
        )
        room = answer["abs_error"] + 4e-16 * abs(answer["value"])
        if quantity == "rho":
            assert bounds.gain is not None
            assert bounds.gain[0] - room <= answer["value"] <= bounds.gain[1] + room
            compared += 1
        elif quantity in ("delta_b", "delta_a"):
            flow = ("delta_b", "delta_a").index(quantity)
            error = abs(table.offset[(*at, point["q"] - low, flow)] - answer["value"])
            assert error <= bounds.quote + room, answer
            compared += 1
        elif quantity in ("theta(t,0)", "theta(0)"):
            assert abs(table.value[(*at, -low)] - answer["value"]) <= bounds.value + room, answer
            compared += 1
        elif "-" in quantity:
            difference = table.value[(*at, point["q"] - low)] - table.value[(*at, -low)]
            assert abs(difference - answer["value"]) <= 2.0 * bounds.value + room, answer
            compared += 1
    # asymptotic formulas are no answers
    assert compared == len([answer for answer in answers if "asymptotic" not in answer["quantity"]])
