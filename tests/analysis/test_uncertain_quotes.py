"""Bands from the errors of parameters: against solutions of drawn ones, and what knowing one removes."""

import re
from pathlib import Path

import numpy as np
import pytest

from quotegrid.analysis.uncertain_quotes import covariance_of, resolved_errors, uncertain_quotes
from quotegrid.analysis.uncertainty_figure import uncertainty_figure
from quotegrid.models.faults import ProblemError
from quotegrid.models.problem import Problem
from quotegrid.models.problem_file import parse_problem, read_problem_file

PARAMETERS = {"price.volatility": 0.5, "flow.book.intensity.A": 0.9, "flow.book.intensity.k": 1.5}
CORRELATION = [[1.0, 0.3, 0.1], [0.3, 1.0, 0.6], [0.1, 0.6, 1.0]]


def uncertain_problem(relative: float | None, correlation: list | None = CORRELATION) -> Problem:
    """All three parameters known to the same part of themselves; None: not said."""
    tree: dict = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 1.0},
        "inventory": {"max": 4},
        "price": {"volatility": 0.5},
        "preferences": {"kind": "cara", "risk_aversion": 0.1},
        "flow": [{"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5}}],
        "horizon": {"kind": "ergodic"},
    }
    if relative is not None:
        errors = [relative * number for number in PARAMETERS.values()]
        tree["uncertainty"] = {"parameters": list(PARAMETERS), "standard_error": errors}
        if correlation is not None:
            tree["uncertainty"]["correlation"] = correlation
    return parse_problem(tree).problem


def test_bands_agree_with_solutions_of_drawn_parameters(rng: np.random.Generator) -> None:
    """Draws whose sample covariance is exactly the identity leave only the second order, 0.2 % of each."""
    problem = uncertain_problem(0.002)
    found = uncertain_quotes(problem)
    draws = rng.standard_normal((64, 3))
    draws -= draws.mean(axis=0)
    draws = draws @ np.linalg.inv(np.linalg.cholesky(draws.T @ draws / len(draws))).T
    again = resolved_errors(problem, draws=draws)
    assert again.refused == 0 and len(again.solutions) == 64
    on = np.isfinite(found.offset_error)
    np.testing.assert_allclose(found.offset_error[on], again.offset[on], rtol=5e-3)
    assert found.gain_error == pytest.approx(again.gain, rel=5e-3)


def test_knowing_a_parameter_removes_the_variance_that_it_explains() -> None:
    found = uncertain_quotes(uncertain_problem(0.05))
    covariance, gain = covariance_of(uncertain_problem(0.05)), found.sensitivities.gain
    assert gain is not None and found.gain_error is not None
    for place, name in enumerate(PARAMETERS):
        rest = [i for i in range(3) if i != place]
        # the conditional covariance of the others, by the Schur complement
        left = (
            covariance[np.ix_(rest, rest)]
            - np.outer(covariance[rest, place], covariance[place, rest]) / (covariance[place, place])
        )
        source = next(source for source in found.ranking if source.name == name)
        assert source.of_gain == pytest.approx(1.0 - gain[rest] @ left @ gain[rest] / found.gain_error**2)
    shown = repr(found)
    assert re.match(
        r"<UncertainQuotes: standard errors of up to [\d.]+ USD from 3 parameters, of\n <Sol", shown
    )
    shares = [source.of_quotes for source in found.ranking]
    assert shares == sorted(shares, reverse=True) and all(0.0 <= share <= 1.0 for share in shares)


def test_without_correlation_the_parts_add_up() -> None:
    found = uncertain_quotes(uncertain_problem(0.05, correlation=None))
    assert sum(source.of_quotes for source in found.ranking) == pytest.approx(1.0)
    low, high = found.band()
    on = np.isfinite(found.solution.offset)
    np.testing.assert_allclose((high - low)[on], 2 * 1.959963984540054 * found.offset_error[on])


def test_bands_keep_the_order_of_the_quotes(checkout: Path) -> None:
    """The measured table is barely fair where 3 lots are short, and the first order overshoots there."""
    found = uncertain_quotes(read_problem_file(checkout / "examples" / "eth-perpetual.toml").problem)
    (bid_low, ask_low), (bid_high, ask_high) = (edge.T for edge in found.band())
    bid, ask = found.solution.offset.T
    for rising in (bid_low[:-1], bid_high[:-1], -ask_low[1:], -ask_high[1:]):
        assert np.all(np.diff(rising) >= 0.0)
    on = np.isfinite(ask)
    assert np.all((ask_low <= ask)[on]) and np.all((ask <= ask_high)[on]) and np.isnan(ask_high[0])
    assert np.array_equal(np.isnan(bid_low), np.isnan(bid))
    error = found.offset_error[:, 1]
    spike = 17  # 3 lots short
    assert error[spike] > 1.9 * max(error[spike - 1], error[spike + 1])
    assert ask_high[spike] == ask_high[spike - 1] < ask[spike] + 1.96 * error[spike] - 0.1


def test_a_problem_that_states_no_uncertainty_is_refused() -> None:
    with pytest.raises(
        ProblemError, match="does not say how well its parameters are known; `quotegrid calibrate`"
    ):
        uncertain_quotes(uncertain_problem(None))


def test_the_picture_names_every_source() -> None:
    axes = uncertainty_figure(uncertain_quotes(uncertain_problem(0.05))).axes
    assert {label.get_text() for label in axes[1].get_yticklabels()} == set(PARAMETERS)
    assert "95 %" in axes[0].get_title(loc="left")


def test_solutions_of_drawn_parameters_are_drawn_into_the_bands() -> None:
    problem = uncertain_problem(0.05)
    found = uncertain_quotes(problem)
    again = resolved_errors(problem, 64, seed=1)
    figure = uncertainty_figure(found, again)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["ask", "bid", "95 % of 64 solutions"]
    gain, error = found.solution.gain, found.gain_error
    assert gain is not None and error is not None
    assert f"gain {3600 * gain:.4g} ± " in figure.get_suptitle()
    assert figure.get_suptitle().endswith("USD per h")
