"""The audit's formulas against what is published about them, and what handing a table over costs."""

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from quotegrid.analysis.audit import Audit, audit
from quotegrid.analysis.closed_forms import formulas
from quotegrid.analysis.evaluation import evaluate
from quotegrid.analysis.textbook import textbook
from quotegrid.models.paths import replace
from quotegrid.models.problem import Problem
from quotegrid.models.problem_file import parse_problem, read_problem_file
from quotegrid.solver import solve
from quotegrid.solver.solve import parameters

TWIN = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("dense_twin.py"))))


def glft(**sections: Any) -> Problem:
    """The parameters of a public tutorial: A = 2.986/s, k = 0.0424/tick, σ = 10.69 ticks/√s, limit 20."""
    tree = {
        "format": 1,
        "units": {"price": "tick", "time": "s"},
        "market": {"symbol": "X", "lot_size": 1.0, "tick_size": 1.0},
        "inventory": {"max": 20},
        "price": {"volatility": 10.69},
        "preferences": {"kind": "cara", "risk_aversion": 0.05},
        "flow": [
            {"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": 2.986, "k": 0.0424}}
        ],
        "horizon": {"kind": "ergodic"},
        **sections,
    }
    return parse_problem(tree).problem


@pytest.fixture(scope="module")
def tutorial() -> Audit:
    return audit(glft())


def test_glft_bids_too_low_by_9_33_and_78_percent(tutorial: Audit) -> None:
    """MODELS: the closed form is off by +9 % at q=5, +33 % at q=10, +78 % at q=19 (bid side)."""
    formula, best = tutorial.row("GLFT, asymptotic").policy, tutorial.rows[0].policy
    assert formula is not None and best is not None
    q = np.array([5, 10, 19]) + 20
    excess = formula.offset[q, 0] / best.offset[q, 0] - 1.0
    np.testing.assert_allclose(excess, [0.09, 0.33, 0.78], atol=5e-3)


def test_riccati_is_glft_for_one_exponential_size(tutorial: Audit) -> None:
    """Where every Hamiltonian is one exponential, both linearise the same thing: equal quotes."""
    one, other = (tutorial.row(name).policy for name in ("GLFT, asymptotic", "Riccati"))
    assert one is not None and other is not None
    np.testing.assert_allclose(one.offset, other.offset, rtol=1e-11)
    a = np.sqrt(0.05 * 10.69**2 / (2 * 0.0424 * 2.986) * (1 + 0.05 / 0.0424) ** (1 + 0.0424 / 0.05))
    inside = np.isfinite(one.offset[:, 0])
    bid = np.log1p(0.05 / 0.0424) / 0.05 + a * (np.arange(-20, 21) + 0.5)
    np.testing.assert_allclose(one.offset[inside, 0], bid[inside], rtol=1e-12)


def test_the_optimum_evaluates_to_itself(tutorial: Audit) -> None:
    best, solution = tutorial.best, tutorial.solution
    assert solution.gain is not None
    assert best.certainty_equivalent == pytest.approx(solution.gain, rel=1e-9)
    np.testing.assert_allclose(
        best.value, solution.value, rtol=1e-9, atol=1e-9 * np.max(np.abs(solution.value))
    )


def test_nothing_beats_the_optimum_and_the_table_says_by_how_much(tutorial: Audit) -> None:
    gain = tutorial.best.certainty_equivalent
    for row in tutorial.rows[1:]:
        assert row.evaluation is not None and row.evaluation.regret is not None
        assert row.evaluation.regret >= -1e-9 * gain, row.name
    assert (
        tutorial.loss("float32") < 1e-12 < tutorial.loss("on the market's ticks") < tutorial.loss("no skew")
    )
    plain = tutorial.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["per"] == "h" and plain["money"] == "tick × unit"
    policies = len(tutorial.rows) - 1
    assert repr(tutorial) == f"<Audit of {policies} policies against\n {tutorial.best!r}>"
    assert repr(tutorial.rows[0].policy) == "<Policy 'optimum': 41 × 2 offsets of book/bid, book/ask>"
    assert re.fullmatch(
        r"<Evaluation of optimum, ergodic: P&L [\d.e+]+, worth [\d.e+]+, regret 0 tick × unit per h; "
        r"inventory ± [\d.]+ lots>",
        repr(tutorial.best),
    )
    assert isinstance(tutorial.figure(), Figure)
    with pytest.raises(ValueError, match="no policy 'GLFT'; there are 'optimum', "):
        tutorial.row("GLFT")


def test_a_policy_that_hardly_leaves_its_limits_has_its_certainty_equivalent(tutorial: Audit) -> None:
    """Avellaneda and Stoikov's quotes without an end: the worst of wealth is spent at the limits, so that the
    principal eigenvector spans 10^20 and more; the eigenvalue is that of the dense matrix all the same.
    """
    row = tutorial.row("Avellaneda-Stoikov")
    assert (
        row.policy is not None and row.evaluation is not None and row.evaluation.certainty_bounds is not None
    )
    twin = TWIN.dense_chain(json.loads(tutorial.solution.problem_json), row.policy.offset)
    largest = np.max(np.linalg.eigvals(twin.utility_matrix(0.05)).real)
    assert row.evaluation.certainty_equivalent == pytest.approx(-largest / 0.05, rel=1e-9)
    low, high = row.evaluation.certainty_bounds
    assert low <= row.evaluation.certainty_equivalent <= high and high - low < 1e-7 * abs(low)


def test_avellaneda_stoikov_loses_four_percent_and_twenty_seven(checkout: Path) -> None:
    """Its own example, started flat: certainty equivalents computed elsewhere; at γ = 0.5 an integration of
    w = e^{-γθ} to 1e-9 in SciPy, for a limit of 14 lots, gives 39.0664850.
    """
    example = read_problem_file(checkout / "examples" / "avellaneda-stoikov-2008.toml").problem
    for gamma, worth, optimum, loss in (
        (0.1, 61.40348, 64.13349, 0.0426),
        (0.5, 39.066485, 53.92458, 0.2755),
    ):
        problem = replace(example, {"preferences.risk_aversion": gamma, "inventory.max": 20})
        best = solve(problem)
        with jax.enable_x64(True):
            leaves = parameters(problem)
            found = formulas(problem, leaves, textbook(problem, leaves, best.offset[0]), best.offset[0], None)
        assert found[0].name == "Avellaneda-Stoikov" and found[0].policy is not None
        evaluation = evaluate(found[0].policy, problem, optimum=best)
        assert evaluation.certainty_equivalent == pytest.approx(worth, abs=6e-6)
        assert evaluation.optimum == pytest.approx(optimum, abs=6e-6)
        assert evaluation.regret is not None and evaluation.regret / optimum == pytest.approx(loss, abs=5e-5)
        if gamma == 0.1:
            # the table: fills per day times their curvature k/2 times the square of the lookup error
            itself, lookup = evaluate(best, problem, optimum=best), best.lookup_error
            assert itself.regret is not None and lookup is not None
            assert -itself.error <= itself.regret <= 100.0 * 0.75 * lookup["offset"] ** 2
