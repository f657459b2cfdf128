"""The inverse problem: what is found solves it, and what cannot be found is refused with its range."""

from typing import Any

import numpy as np
import pytest

from quotegrid.analysis.evaluation import evaluate
from quotegrid.analysis.preference_choice import InfeasibleTarget, choose_preference
from quotegrid.models.paths import read
from quotegrid.models.problem import Problem, ProblemError
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import solve


def problem_with(**sections: Any) -> Problem:
    tree = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 1.0},
        "inventory": {"max": 6},
        "price": {"volatility": 0.5},
        "preferences": {"kind": "mean-variance", "running_penalty": 0.01},
        "flow": [{"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5}}],
        "horizon": {"kind": "ergodic"},
        **sections,
    }
    return parse_problem(tree).problem


@pytest.mark.parametrize(
    ("target", "value", "beyond"),
    [("inventory_deviation", 1.2, None), ("half_life", 2.0, None), ("tail", 0.05, 3.0), ("pnl", 0.3, None),
     ("pnl_volatility", 0.7, None)],
)  # fmt: skip
def test_the_optimum_under_the_choice_meets_the_target(
    target: str, value: float, beyond: float | None
) -> None:
    found = choose_preference(problem_with(), target=target, value=value, beyond=beyond)
    assert found.parameter == "preferences.running_penalty" and not found.notes
    assert read(found.problem, found.parameter) == found.value
    again = evaluate(solve(found.problem), found.problem)
    measured = again.tail(beyond) if beyond is not None else getattr(again, target)
    assert (measured[0] if isinstance(measured, tuple) else measured) == pytest.approx(value, rel=1e-8)
    assert found.solves < 40
    chosen = f"<PreferenceChoice: {found.parameter} = {found.value:.6g} gives {target} = {value:.6g}, after "
    assert repr(found).startswith(chosen) and repr(found).endswith(f"\n {found.evaluation!r}>")
    assert len(repr(found)) < 300


def test_a_target_out_of_reach_is_named_with_the_range() -> None:
    with pytest.raises(
        InfeasibleTarget, match=r"no parameter gives inventory_deviation = 5: .* stays between"
    ) as told:
        choose_preference(problem_with(), target="inventory_deviation", value=5.0)
    low, high = told.value.attainable
    q = np.arange(-6.0, 7.0)
    evenly = np.cos(np.pi * q / 14.0) ** 2  # without risk, by the closed form of MODELS for exponential fills
    assert 0.0 <= low < 1e-3 and high == pytest.approx(np.sqrt(evenly @ q**2 / evenly.sum()), rel=1e-6)


def test_requests_that_make_no_sense_are_refused() -> None:
    problem = problem_with(price={})
    with pytest.raises(
        ProblemError, match=r"no measure 'half_live' \(did you mean 'half_life'\?\); expected"
    ):
        choose_preference(problem, target="half_live", value=1.0)
    with pytest.raises(ProblemError, match=r"preferences\.gamma: no key 'gamma' here"):
        choose_preference(problem, target="pnl", value=1.0, parameter="preferences.gamma")
    with pytest.raises(ProblemError, match=r"expected a positive number to begin the search at, got 0\.0"):
        choose_preference(problem, target="pnl", value=1.0, parameter="price.drift")
    with pytest.raises(ValueError, match=r'beyond= \(lots\) goes with target="tail"'):
        choose_preference(problem, target="tail", value=0.1)
    with pytest.raises(ValueError, match=r"give the problem a price\.volatility"):
        choose_preference(problem, target="pnl_volatility", value=0.1)
    finite = problem_with(horizon={"kind": "finite", "duration": 1.0})
    with pytest.raises(ValueError, match="a half-life needs a horizon without an end"):
        choose_preference(finite, target="half_life", value=1.0)
