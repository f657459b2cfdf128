"""Starting from yesterday's table: fewer iterations, the same answer, and a clear word where it cannot be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.models.problem import Problem, ProblemError
from quotegrid.models.problem_file import ProblemFile, parse_problem, write_problem_file
from quotegrid.pipeline import WarmStartError, solve_file
from quotegrid.solver.solve import solve
from quotegrid.table_files import write_table
from quotegrid.tables.policy_table import PolicyTable


def file(volatility: float = 0.4, limit: int = 30, horizon: dict[str, Any] | None = None) -> ProblemFile:
    book = {"kind": "exponential", "A": 0.5, "k": 8.0}
    return parse_problem(
        {
            "format": 1,
            "units": {"price": "USD", "time": "s"},
            "market": {"symbol": "X", "lot_size": 0.1},
            "inventory": {"max": limit},
            "price": {"volatility": volatility},
            "preferences": {"kind": "cara", "risk_aversion": 0.01},
            "flow": [{"name": "book", "side": "both", "intensity": book}],
            "horizon": {"kind": "ergodic"} if horizon is None else horizon,
        }
    )


@pytest.fixture(scope="module")
def yesterday() -> PolicyTable:
    return PolicyTable.from_solution(solve(file().problem))


def assert_same(ours: Any, theirs: Any, problem: Problem) -> None:
    """The certificates' bounds hold both answers."""
    scale = float(np.nanmax(np.abs(theirs.offset)))
    bound = ours.certificate["quote_error"] + theirs.certificate["quote_error"] + 1e-15 * scale
    assert ours.certificate["level"] == "A"
    np.testing.assert_allclose(ours.offset, theirs.offset, rtol=0.0, atol=bound)
    assert abs(ours.gain - theirs.gain) <= sum(np.ptp(x.certificate["gain_interval"]) for x in (ours, theirs))


def test_fewer_iterations_to_the_same_answer(yesterday: PolicyTable) -> None:
    today = file(volatility=0.41).problem
    cold, warm = solve(today), solve(today, start=yesterday.value)
    assert warm.iterations < cold.iterations
    assert_same(warm, cold, today)


@pytest.mark.parametrize("factor", [0.0, -1e3, 1e6])
def test_a_start_from_nowhere_changes_nothing(yesterday: PolicyTable, factor: float) -> None:
    problem = file().problem
    assert_same(solve(problem, start=factor * yesterday.value), solve(problem), problem)


def test_from_file_to_file(tmp_path: Path, yesterday: PolicyTable) -> None:
    problem, old = tmp_path / "today.toml", tmp_path / "old.nc"
    write_problem_file(problem, file(volatility=0.41))
    write_table(yesterday, old)
    cold = solve_file(problem, tmp_path / "cold.nc")
    warm = solve_file(problem, tmp_path / "warm.nc", warm_start=old)
    assert warm.iterations < cold.iterations
    assert_same(warm, cold, file(volatility=0.41).problem)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 20}, r"its inventories are -30 … 30 lots \(61 points\), the problem's -20 … 20 lots"),
        (
            {"horizon": {"kind": "discounted", "rate": 0.1}},
            "its horizon is ergodic, the problem's discounted",
        ),
        ({"horizon": {"kind": "finite", "duration": 10.0}}, "solved from its end, not by iteration"),
    ],
    ids=["other inventories", "other horizon", "finite horizon"],
)
def test_a_table_that_does_not_fit(
    changes: dict[str, Any], message: str, tmp_path: Path, yesterday: PolicyTable
) -> None:
    problem, old = tmp_path / "today.toml", tmp_path / "old.safetensors"
    write_problem_file(problem, file(**changes))
    write_table(yesterday, old)
    with pytest.raises(WarmStartError, match=message):
        solve_file(problem, tmp_path / "new.safetensors", warm_start=old)
    assert not (tmp_path / "new.safetensors").exists()


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (np.zeros(7), r"start: expected finite values of shape \(61,\), got shape \(7,\)"),
        (
            np.full(61, np.nan),
            r"start: expected finite values of shape \(61,\), got some that are not finite",
        ),
    ],
)
def test_a_start_that_is_no_value(start: np.ndarray, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        solve(file().problem, start=start)


def test_a_march_has_no_start() -> None:
    with pytest.raises(ProblemError, match="only ergodic and discounted problems start from a value"):
        solve(file(horizon={"kind": "finite", "duration": 10.0}).problem, start=np.zeros(61))
