"""Shifts against re-solving: what is compared, and the picture of it."""

import re
from typing import Any

import numpy as np
import pytest

from quotegrid.analysis.sensitivities import sensitivities
from quotegrid.analysis.shift_figure import shift, shift_figure
from quotegrid.models.paths import replace
from quotegrid.models.problem import Problem
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import solve
from quotegrid.tables.lookup import QuoteError


def problem_with(**sections: Any) -> Problem:
    tree = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 1.0},
        "inventory": {"max": 4},
        "price": {"volatility": 0.5},
        "preferences": {"kind": "cara", "risk_aversion": 0.1},
        "flow": [{"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5}}],
        "horizon": {"kind": "ergodic"},
        **sections,
    }
    return parse_problem(tree).problem


def test_a_shift_is_solved_again_and_misses_the_second_order() -> None:
    found = sensitivities(problem_with(), curvature=True)
    small, large = (shift(found, **{"price.volatility": change}) for change in ("+1%", "+2%"))
    assert small.parameters == {"price.volatility": (0.5, pytest.approx(0.505))}
    again = solve(replace(problem_with(), {"price.volatility": 0.51}))
    np.testing.assert_allclose(large.solved.offset, again.offset, rtol=1e-9)
    assert large.largest_move == pytest.approx(np.nanmax(np.abs(again.offset - found.solution.offset)))
    assert large.largest_miss / small.largest_miss == pytest.approx(4.0, rel=0.05)  # the square of the change
    assert re.match(
        r"<Shift of price\.volatility 0\.5 → 0\.51: quotes move up to [\d.]+ USD, the first order",
        repr(large),
    )
    of = re.escape(repr(found.solution))
    assert re.fullmatch(rf"<Sensitivities by {len(found.parameters)} parameters, of\n {of}>", repr(found))
    on = np.isfinite(large.estimate)
    miss = np.abs(large.shifted - large.solved.offset)
    np.testing.assert_allclose(large.estimate[on], miss[on], rtol=0.1, atol=1e-9)


def test_the_picture_says_what_changed_and_how_far_quotes_move() -> None:
    found = sensitivities(problem_with(), curvature=True)
    figure = shift_figure(found, **{"price.volatility": 1.0, "preferences.risk_aversion": "+50%"})
    title = figure.get_suptitle()
    assert "X: price.volatility 0.5 → 1, preferences.risk_aversion 0.1 → 0.15\n" in title
    assert re.search(r"quotes move by up to [\d.]+ USD, the shift misses up to [\d.]+$", title)
    quotes, misses = figure.axes
    assert len(quotes.get_lines()) == 7 and len(misses.get_lines()) == 4
    legend = quotes.get_legend()
    assert legend is not None
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["ask, solved again", "bid, solved again", "before", "shifted, without a solve"]


def test_what_cannot_be_compared_is_refused() -> None:
    plain = sensitivities(problem_with())
    with pytest.raises(ValueError, match=r"ask for sensitivities\(…, curvature=True\)"):
        shift(plain, **{"price.volatility": "+1%"})
    found = sensitivities(problem_with(), parameters=["price.volatility"], curvature=True)
    with pytest.raises(QuoteError, match=r"price\.drift"):
        shift(found, **{"price.drift": 0.1})
