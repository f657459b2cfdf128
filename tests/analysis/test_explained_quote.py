"""A quote as a sum of its ingredients."""

import math
from dataclasses import replace

import pytest

from quotegrid.analysis.explained_quote import PARTS, ExplanationError, explain_quote
from quotegrid.models.ingredients import ORDER, Ingredient, without
from quotegrid.models.paths import read
from quotegrid.models.problem import Problem, canonical_json
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver.solve import solve
from quotegrid.tables.policy_table import PolicyTable

BOOK = {"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5}}


def problem_of(flow: dict, **sections: dict) -> Problem:
    tree = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 1.0},
        "inventory": {"max": 4},
        "price": {"volatility": 0.5, "drift": 0.02},
        "preferences": {"kind": "mean-variance", "risk_aversion": 0.1},
        "flow": [{**BOOK, **flow}],
        "horizon": {"kind": "ergodic"},
    }
    return parse_problem({**tree, **sections}).problem


def table_of(problem: Problem) -> PolicyTable:
    return PolicyTable.from_solution(solve(problem))


COSTLY = {"fee": 0.03, "adverse": {"on": "markout", "jump": 0.1}, "min_offset": 0.7}


def test_parts_add_up_to_the_last_bit_and_are_those_of_resolving() -> None:
    problem = problem_of(COSTLY)
    table = table_of(problem)
    found = explain_quote(table, -2)
    assert found.solved == ORDER
    simpler = problem
    chain = [problem, *(simpler := without(simpler, name) for name in ORDER)]
    offsets = [solve(each).offset[2] for each in chain]
    for flow, label in enumerate(table.flow_labels):
        parts, offset = found.parts[label], found.offsets[label]
        assert parts is not None and tuple(parts) == PARTS
        assert math.fsum(parts.values()) == offset
        for step, name in enumerate(ORDER):
            assert parts[name] == pytest.approx(offsets[step][flow] - offsets[step + 1][flow], abs=1e-12)
        assert parts["spread"] == pytest.approx(offsets[-1][flow])
    bid = found.parts["book/bid"]
    assert bid is not None
    assert (
        bid["fees"] == pytest.approx(0.02, rel=0.5) and bid["bounds and ticks"] > 0.0 > bid["inventory risk"]
    )


def test_without_risk_and_costs_the_spread_is_the_closed_form() -> None:
    """δ_b = 1/k + (1/k) ln[cos(πq/(2Q+2)) / cos(π(q+1)/(2Q+2))]."""
    parts = explain_quote(table_of(problem_of(COSTLY)), 1).parts["book/bid"]
    angle = math.pi / (2 * 4 + 2)
    assert parts is not None
    assert parts["spread"] == pytest.approx(
        (1 + math.log(math.cos(angle) / math.cos(2 * angle))) / 1.5, rel=1e-9
    )


def test_what_is_absent_has_no_part_and_what_is_off_no_parts() -> None:
    plain = problem_of({}, price={"volatility": 0.5})
    found = explain_quote(table_of(plain), 4)
    assert found.solved == ("inventory risk",)
    assert found.parts["book/bid"] is None  # off at the limit
    ask = found.parts["book/ask"]
    assert ask is not None and ask["fees"] == ask["drift"] == ask["bounds and ticks"] == 0.0
    assert without(plain, "fees") is plain


def test_a_problem_that_needs_an_ingredient_cannot_be_split() -> None:
    """A power with k < 1 has one best quote only where offsets are large enough."""
    power = {"kind": "power", "A": 1.0, "d": 1.0, "k": 0.5}
    bounded = problem_of(
        {"intensity": power, "min_offset": 6.0, "max_offset": 20.0},
        preferences={"kind": "cara", "risk_aversion": 0.1},
    )
    with pytest.raises(ExplanationError, match="without bounds and ticks, the problem has no solution"):
        explain_quote(replace(table_of(problem_of({})), problem_json=canonical_json(bounded)), 0)


def test_an_ingredient_needs_a_place_in_the_order() -> None:
    with pytest.raises(ValueError, match="'taxes' has no place in ORDER; add it there"):
        Ingredient("taxes")
    assert read(without(problem_of(COSTLY), "drift"), "price.drift") == 0.0
