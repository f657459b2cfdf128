"""What ticks cost: solving for them loses least, and rounding to the nearest the square of the tick."""

from typing import Any

import numpy as np
import pytest

from quotegrid.analysis.evaluation import evaluate
from quotegrid.analysis.losses_figure import losses_figure
from quotegrid.analysis.policies import as_float32, policy_of, rounded_to_ticks
from quotegrid.analysis.tick_costs import tick_costs
from quotegrid.models.problem import Problem
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import solve


def problem_with(tick: float | None = None) -> Problem:
    flow: dict[str, Any] = {
        "name": "book",
        "side": "both",
        "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5},
    }
    tree = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 1.0, "tick_size": 0.02},
        "inventory": {"max": 4},
        "price": {"volatility": 0.5},
        "preferences": {"kind": "cara", "risk_aversion": 0.1},
        "flow": [flow if tick is None else {**flow, "tick": tick}],
        "horizon": {"kind": "ergodic"},
    }
    return parse_problem(tree).problem


def test_solving_for_ticks_loses_least() -> None:
    problem = problem_with()
    best = solve(problem)
    costs = tick_costs(problem, [0.2, 0.02], solution=best)
    np.testing.assert_array_equal(costs.ticks, [0.02, 0.2])
    for losses in costs.rounded.values():
        assert np.all(losses >= costs.solved - 1e-9) and np.all(losses > 0.0)
    nearest = evaluate(rounded_to_ticks(policy_of(best, problem), 0.2), problem, optimum=best)
    assert costs.rounded["nearest"][1] == pytest.approx(nearest.regret_per_hour, rel=1e-9)
    assert costs.best.certainty_equivalent == pytest.approx(best.gain, rel=1e-9)
    assert repr(costs) == f"<TickCosts of ticks of 0.02, 0.2 USD, against\n {costs.best!r}>"
    figure = costs.figure()
    assert figure.get_suptitle().startswith("X: what ticks cost, of ")
    (axes,) = figure.axes
    assert len(axes.get_lines()) == 4 + 1  # and the market's own tick
    assert axes.get_xlabel() == "tick (USD)" and "(USD per h)" in axes.get_ylabel()


def test_what_has_no_price_is_refused() -> None:
    with pytest.raises(ValueError, match="quotes on ticks already; take `tick` out of its flows"):
        tick_costs(problem_with(tick=0.02), [0.1])
    with pytest.raises(ValueError, match=r"ticks=\[0\.0\]: expected positive prices"):
        tick_costs(problem_with(), [0.0])


def test_losses_are_drawn_with_their_part_of_the_optimum() -> None:
    problem = problem_with()
    best = solve(problem)
    table = policy_of(best, problem)
    found = {
        "float32": evaluate(as_float32(table), problem, optimum=best),
        "coarse": evaluate(rounded_to_ticks(table, 0.2), problem, optimum=best),
    }
    figure = losses_figure(found)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["float32", "coarse"]
    part = (found["coarse"].regret or 0.0) / (best.gain or 0.0)
    assert axes.texts[0].get_text() == "none" and f"({part:.2%})" in axes.texts[1].get_text()
    assert figure.get_suptitle().startswith(f"coarse loses most: {part:.2%} of ")
    with pytest.raises(ValueError, match=r"with their optimum \(optimum=True\)"):
        losses_figure({"alone": evaluate(table, problem, optimum=False)})
