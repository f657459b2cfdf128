"""The frontier of P&L against inventory: each point is an optimum, and more aversion earns and holds less."""

from typing import Any

import numpy as np
import pytest

from quotegrid.analysis.evaluation import evaluate
from quotegrid.analysis.preference_frontier import preference_frontier
from quotegrid.models.faults import ProblemError
from quotegrid.models.paths import replace
from quotegrid.models.problem import Problem
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


def test_more_aversion_holds_less_and_earns_less() -> None:
    frontier = preference_frontier(problem_with())
    assert frontier.parameter == "preferences.running_penalty" and len(frontier.values) == 25
    assert frontier.values[0] == pytest.approx(1e-4) and frontier.values[-1] == pytest.approx(1.0)
    assert np.all(np.diff([found.inventory_deviation[0] for found in frontier.evaluations]) < 0.0)
    assert np.all(np.diff([found.pnl for found in frontier.evaluations]) < 0.0)
    changed = replace(problem_with(), {frontier.parameter: frontier.values[3]})
    again = evaluate(solve(changed), changed)
    shown = "<PreferenceFrontier: 25 optima, preferences.running_penalty from 0.0001 to 1>"
    assert repr(frontier) == shown
    assert frontier.evaluations[3].pnl == pytest.approx(again.pnl, rel=1e-12)


def test_the_picture_marks_the_own_and_another_value() -> None:
    frontier = preference_frontier(problem_with(), values=[0.1, 0.001, 0.01])
    assert frontier.values == (0.001, 0.01, 0.1)
    own, other = (found.per_hour(found.pnl) for found in (frontier.own, frontier.at(0.05)))
    figure = frontier.figure(0.05)
    assert f"from {own:.4g} to {other:.4g} USD per h" in figure.get_suptitle()
    trade, held = figure.axes
    words = [text.get_text() for text in trade.texts]
    assert "now: 0.01" in words and "then: 0.05" in words
    assert len(held.patches) == 2 * 13  # a bar for each inventory
    assert "from" not in frontier.figure().get_suptitle()


def test_a_parameter_without_a_size_needs_values() -> None:
    with pytest.raises(ProblemError, match=r"expected a positive number to spread values around, got 0\.0"):
        preference_frontier(problem_with(), parameter="price.drift")
