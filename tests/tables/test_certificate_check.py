"""Certificates of the solver are proved again; bounds hold; claims too good, or of a wrong table, fail.

Where the solver is not the point, tables come from the slow twin of `conftest`, and so do true values.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.models.problem import TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver.solve import solve
from quotegrid.tables import PolicyTable
from quotegrid.tables.check import Check
from quotegrid.tables.policy_table import canonical_numbers
from quotegrid.tables.verification.bellman_twin import flow_state
from quotegrid.tables.verification.bounds import Bounds, NotProvedError
from quotegrid.tables.verification.certificate_check import SLACK, certificate_check, derived_bounds
from quotegrid.tables.verification.hamiltonian_twin import best_quote
from quotegrid.tables.verification.problem_twin import ProblemTwin
from quotegrid.tables.verifier import verify_table

TableOf = Callable[[str], PolicyTable]

ERGODIC = {"kind": "ergodic"}
FINITE = {"kind": "finite", "duration": 8.0, "terminal": {"quadratic": 0.02, "absolute": 0.1}}
LOGISTIC = {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}
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
        "flow": [{"name": "book", "side": "both", "size": 1, "intensity": intensity, **flow}],
        "horizon": horizon,
    }


def ladder(horizon: dict) -> dict[str, Any]:
    """Sizes 1 and 3, different decays: not linear."""
    found = tree(horizon)
    big = {"name": "big", "side": "both", "size": 3, "intensity": {"kind": "exponential", "A": 0.3, "k": 1.0}}
    return {**found, "flow": [*found["flow"], {**big, "fee": 0.02}], "inventory": {"max": 5}}


# few structures, for each is compiled; `benchmarks/planted_faults.py` and the examples add others
SOLVED: dict[str, dict[str, Any]] = {
    "ergodic": tree(ERGODIC, adverse=ORDERS),
    "drift": {  # the target is where the chain is almost never
        **tree(ERGODIC, {"kind": "exponential", "A": 0.7, "k": 2.0}, adverse=ORDERS),
        "price": {"volatility": 0.0, "drift": 4.0, "reference": 100.0},
    },
    "finite": tree(FINITE),
    "finite-ladder": ladder(FINITE),
}


def solver_table(problem: dict[str, Any], times: Any = 13) -> PolicyTable:
    request = TableRequest(times=times) if problem["horizon"]["kind"] == "finite" else None
    return PolicyTable.from_solution(solve(parse_problem(problem).problem, table=request))


@pytest.fixture(scope="module")
def table_of() -> TableOf:
    """The solver's table of a case; each is solved once."""
    found: dict[str, PolicyTable] = {}

    def table(name: str) -> PolicyTable:
        if name not in found:
            found[name] = solver_table(SOLVED[name])
        return found[name]

    return table


def twin_of(table: PolicyTable) -> ProblemTwin:
    return ProblemTwin.from_json(table.problem_json)


def certificate_of(table: PolicyTable) -> Check:
    return certificate_check(table, twin_of(table))[0]


def claiming(table: PolicyTable, **claims: Any) -> PolicyTable:
    return dataclasses.replace(table, certificate={**table.certificate, **claims})


def claiming_all(table: PolicyTable, bounds: Bounds) -> PolicyTable:
    """The table with a certificate of just these bounds."""
    stated = {
        "level": "A",
        "value_error": bounds.value,
        "quote_error": bounds.quote,
        "regret": bounds.regret,
        "uncertain_ticks": bounds.uncertain_ticks,
        "gain_interval": None if bounds.gain is None else list(bounds.gain),
    }
    return dataclasses.replace(table, certificate=stated)


def greedy(table: PolicyTable, value: np.ndarray) -> PolicyTable:
    """The table of other values, its quotes the best ones for them."""
    problem = twin_of(table)
    columns = []
    for flow in problem.flows:
        state = flow_state(problem, flow, value)
        columns.append(np.where(state.inside, best_quote(flow, state.reservation).offset, np.nan))
    return dataclasses.replace(
        table, value=canonical_numbers(value), offset=canonical_numbers(np.stack(columns, axis=-1))
    )


def bent(table: PolicyTable, size: float) -> PolicyTable:
    """Values that are wrong by size·q² but for the end of the horizon, with the best quotes for them."""
    bend = size * table.inventories[0] ** 2
    if table.times is not None:
        bend = bend * (table.times < table.times[-1])[:, None]
    return greedy(table, table.value - bend)


def test_values_that_move_within_the_last_bits_of_time_are_proved_too() -> None:
    """A steep end: the fastest fills take 1e-16 of the horizon, and stored times are multiples of as much."""
    steep = {"kind": "finite", "duration": 8.0, "terminal": {"quadratic": 3.0}}
    table = solver_table(tree(steep), times=101)
    assert verify_table(table).failures == ()


@pytest.mark.parametrize("name", SOLVED)
def test_certificates_of_the_solver_are_proved_again(name: str, table_of: TableOf) -> None:
    table = table_of(name)
    assert table.certificate["level"] == "A"
    found = verify_table(table)
    assert found.failures == ()
    assert found.proof[0] == "Proved, of the problem stored in the table:"
    assert next(check.outcome for check in found.checks if check.name == "certificate") == "pass"
    screen = str(found).splitlines()
    assert len(screen) <= 30
    assert max(map(len, screen)) <= 140
    # what is proved is no weaker than what is claimed, and rounding
    bounds = derived_bounds(table, twin_of(table), table.certificate["value_error"])
    assert bounds.value_rounding <= 1e-12
    assert bounds.value <= 2.0 * max(table.certificate["value_error"], bounds.value_rounding)


@pytest.mark.parametrize("name", SOLVED)
def test_perturbed_values_with_their_best_quotes_fail(name: str, table_of: TableOf) -> None:
    check = certificate_of(bent(table_of(name), 1e-5))
    assert check.outcome == "fail"
    assert "the table claims; only" in check.sentence


def test_bounds_cover_known_errors(problem_name: str, solved) -> None:
    """The slow twin is right to 1e-10; its values are bent by up to 1e-5 and the bounds have to say so."""
    true = solved(problem_name)
    wrong = bent(true, 1e-5 / np.max(np.abs(true.inventories[0])) ** 2)
    bounds = derived_bounds(wrong, twin_of(true), 1e-7)
    difference = wrong.value - true.value
    if true.gain is not None:
        assert bounds.gain is not None
        assert bounds.gain[0] - 1e-10 <= true.gain <= bounds.gain[1] + 1e-10
    assert np.max(np.abs(difference)) <= bounds.value + 1e-9
    assert bounds.value <= 1e-2  # it says something
    off = np.abs(wrong.offset - true.offset)
    tick = twin_of(true).flows[0].tick
    if tick is None:
        assert np.nanmax(off) <= bounds.quote + 1e-9
    else:
        assert np.sum(off > 0.5 * tick) <= bounds.uncertain_ticks


@pytest.mark.parametrize("name", ["glft", "discounted", "ladder", "finite", "finite-ladder"])
def test_claims_stand_up_to_a_threshold_and_fall_beyond_it(name: str, solved) -> None:
    """A claim that is reached to within rounding stands, one a millionth smaller does not."""
    wrong = bent(solved(name), 1e-6)
    problem = twin_of(wrong)
    value = derived_bounds(wrong, problem, 1e-6).value
    bounds = derived_bounds(wrong, problem, value)
    full = claiming_all(wrong, bounds._replace(value=value))
    if bounds.gain is not None:
        full = dataclasses.replace(full, gain=sum(bounds.gain) / 2.0)
    assert certificate_of(full).outcome == "pass"
    # a smaller claim of the value makes the verifier follow paths more closely, and so prove a little more
    by_paths = "paths" in bounds.how
    for claim, proved, rounding, words in (
        ("value_error", bounds.value, bounds.value_rounding, "the value is right within "),
        ("quote_error", bounds.quote, bounds.quote_rounding, "quotes are right within "),
        ("regret", bounds.regret, bounds.regret_rounding, "the regret is within "),
    ):
        least = (proved - rounding) / SLACK
        near = 0.2 if by_paths and claim == "value_error" else 1e-6
        assert certificate_of(claiming(full, **{claim: least * (1.0 + near)})).outcome == "pass"
        check = certificate_of(claiming(full, **{claim: least * (1.0 - near)}))
        assert check.outcome == "fail", claim
        assert check.sentence.startswith(words)
        assert check.sentence.endswith(" can be proved")


def test_gains_have_to_be_claimed_as_wide_as_they_are_proved(solved) -> None:
    wrong = bent(solved("glft"), 1e-6)
    bounds = derived_bounds(wrong, twin_of(wrong), 1e-6)
    assert bounds.gain is not None
    least, most = bounds.gain
    full = dataclasses.replace(claiming_all(wrong, bounds), gain=0.5 * (least + most))
    width = (most - least - 2.0 * bounds.regret_rounding) / (1.0 + 2.0 * (SLACK - 1.0))
    middle = 0.5 * (least + most)
    for factor, outcome in ((1.0 + 1e-6, "pass"), (1.0 - 1e-6, "fail")):
        claimed = [middle - 0.5 * factor * width, middle + 0.5 * factor * width]
        check = certificate_of(claiming(full, gain_interval=claimed))
        assert check.outcome == outcome
    assert "the table claims; what can be proved is from" in check.sentence
    above = certificate_of(claiming(full, gain_interval=[most, most + 1e-3]))
    assert "the table claims; the one it states is" in above.sentence


def test_uncertain_ticks_have_to_be_claimed(solved) -> None:
    """At a tie the verifier finds a tick uncertain that a table claims to be certain."""
    tick = solved("tick")
    problem = twin_of(tick)
    bounds = derived_bounds(tick, problem, 1e-6)
    assert bounds.uncertain_ticks == 0
    # a larger error leaves some of them in doubt
    wrong = bent(tick, 1e-3)
    wrong = claiming_all(wrong, derived_bounds(wrong, problem, 1e-6))
    wrong = dataclasses.replace(wrong, gain=float(np.mean(wrong.certificate["gain_interval"])))
    assert wrong.certificate["uncertain_ticks"] > 0
    assert certificate_of(wrong).outcome == "pass"
    check = certificate_of(claiming(wrong, uncertain_ticks=0))
    assert check.outcome == "fail"
    assert "0 quotes on ticks are uncertain, the table claims; " in check.sentence


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ({"level": "B"}, "not verifiable: the verifier proves level A, the table claims B"),
        ({"level": "A"}, "the certificate's uncertain_ticks is None, not a finite number from 0 on"),
        ({"level": "A", "uncertain_ticks": 0, "value_error": -1.0}, "the certificate's value_error is -1.0"),
        ({"level": "A", "uncertain_ticks": True}, "the certificate's uncertain_ticks is True"),
        (
            {"level": "A", "gain_interval": [0, 1]},
            "the certificate's gain_interval is [0, 1], the table's gain",
        ),
    ],
)
def test_what_is_no_certificate(certificate: dict, words: str, solved) -> None:
    check = certificate_of(dataclasses.replace(solved("discounted"), certificate=certificate))
    assert check.outcome == "fail"
    assert words in check.sentence


def test_a_gain_interval_is_two_numbers(solved) -> None:
    stated = {"level": "A", "uncertain_ticks": 0, "value_error": 1, "quote_error": 1, "regret": 1}
    table = dataclasses.replace(solved("glft"), certificate={**stated, "gain_interval": [1.0]})
    assert certificate_of(table).sentence == "the certificate's gain_interval is [1.0], not two numbers"


def test_no_claim_is_no_failure(solved) -> None:
    bare = dataclasses.replace(solved("discounted"), certificate={"level": "none", "reason": "unknown"})
    assert certificate_of(bare).outcome == "not applicable"
    assert "unknown" in certificate_of(bare).sentence
    assert verify_table(bare).proof == ()


def test_residuals_too_large_for_any_box(solved) -> None:
    table = solved("glft")
    bounds = derived_bounds(table, twin_of(table), 1.0)
    check = certificate_of(claiming_all(bent(table, 0.5), bounds))
    assert check.outcome == "fail"
    assert "nothing of what is claimed can be proved: a residual of" in check.sentence
    assert "is too large for a box around the solution to close" in check.sentence


def test_inventories_that_are_never_left(change, solve_tiny, problems) -> None:
    """With sizes of two, odd and even inventories never meet: no ergodic problem has one bias there."""
    table = PolicyTable.from_solution(solve_tiny(problems["discounted"]))
    tree = change(problems["glft"], flow__size=2)
    problem = ProblemTwin.from_json(json.dumps(tree))
    with pytest.raises(
        NotProvedError, match="lots, where the chain is most often, is not reached from every"
    ):
        derived_bounds(dataclasses.replace(table, gain=0.0), problem, 1.0)
    # a discounted one does without
    discounted = ProblemTwin.from_json(json.dumps(change(tree, horizon={"kind": "discounted", "rate": 0.05})))
    assert derived_bounds(table, discounted, 1.0).value < np.inf


def test_what_cannot_be_followed_is_not_proved(solved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quotegrid.tables.verification.reintegration.MOST_PIECES", 2)
    table = solved("finite-ladder")
    stated = {"level": "A", "uncertain_ticks": 0, "value_error": 1e-9, "quote_error": 1, "regret": 1}
    check = certificate_of(dataclasses.replace(table, certificate={**stated, "gain_interval": None}))
    assert check.outcome == "fail"
    assert "can be proved: the equation could not be followed from time 4 to 0 s in" in check.sentence


def test_series_that_take_too_long_give_way_to_paths(solved, monkeypatch: pytest.MonkeyPatch) -> None:
    table = solved("finite")
    series = derived_bounds(table, twin_of(table), 1e-8)
    assert "series of positive terms" in series.how
    for limit in ("_MOST_TERMS", "_MOST_OF_ONE_SERIES"):
        with monkeypatch.context() as patch:
            patch.setattr(f"quotegrid.tables.verification.linear_flow.{limit}", 5)
            paths = derived_bounds(table, twin_of(table), 1e-8)
        assert "polynomial paths" in paths.how
        assert abs(paths.value - series.value) <= 1e-8


EXACT = json.loads((Path(__file__).parents[1] / "reference" / "cases.json").read_text())["cases"]
EXACT_PROBLEMS: dict[str, dict[str, Any]] = {
    "glft_ergodic": {
        **tree(ERGODIC, {"kind": "exponential", "A": 0.9, "k": 0.3}),
        "inventory": {"max": 30},
        "preferences": {"kind": "cara", "risk_aversion": 0.01},
    },
    "disc_1e-4_r0.01": {
        **tree({"kind": "discounted", "rate": 0.01}, {"kind": "exponential", "A": 1.0, "k": 100.0}),
        "inventory": {"max": 5},
        "preferences": {"kind": "mean-variance", "running_penalty": 0.0001},
    },
    "gen_logistic_cara": {
        **tree({"kind": "finite", "duration": 20.0, "terminal": {"quadratic": 0.05}}, LOGISTIC),
        "inventory": {"max": 5},
    },
}


@pytest.mark.parametrize("name", EXACT_PROBLEMS)
def test_bounds_hold_against_exact_answers(name: str, solve_tiny) -> None:
    """True errors of values, quotes and gain are within the verifier's bounds (and those of the answers)."""
    answers = EXACT[name]["values"]
    times = sorted({answer["point"]["t"] for answer in answers if "t" in answer["point"]})
    if times:
        table = solver_table(EXACT_PROBLEMS[name], (0.0, *[t for t in times if 0.0 < t < 20.0], 20.0))
    else:
        table = PolicyTable.from_solution(solve_tiny(EXACT_PROBLEMS[name]))
    bounds = derived_bounds(table, twin_of(table), 1e-9)
    low = twin_of(table).limits[0]
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
