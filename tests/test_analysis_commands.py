"""The commands `evaluate`, `audit` and `choose`: screens, JSON, files and exit codes."""

import json
from pathlib import Path

import pytest

from quotegrid.command_line import BAD_INPUT, DONE, NO, run
from quotegrid.models.problem_file import dumps, read_problem_file
from quotegrid.solver import solve
from quotegrid.table_files import write_table
from quotegrid.tables.policy_table import PolicyTable

PROBLEM = """
format = 1
[units]
price = "USD"
time = "s"
[market]
symbol = "X"
lot_size = 1.0
[inventory]
max = 6
[price]
volatility = 0.5
[preferences]
kind = "mean-variance"
running_penalty = 0.01  # φ, USD per unit²
[[flow]]
name = "book"
side = "both"
intensity = { kind = "exponential", A = 0.9, k = 1.5 }
"""


@pytest.fixture(autouse=True)
def _jax_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands run in this process, whose settings no other test should see changed."""
    monkeypatch.setattr("quotegrid.compiler_cache.set_up_jax", lambda: None)


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    path = tmp_path / "problem.toml"
    path.write_text(PROBLEM, encoding="utf-8")
    return path


@pytest.fixture
def table(problem: Path, tmp_path: Path) -> Path:
    path = tmp_path / "table.safetensors"
    write_table(PolicyTable.from_solution(solve(read_problem_file(problem).problem)), path)
    return path


def test_evaluate_shows_money_and_risk(table: Path, problem: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(["evaluate", str(table), str(problem)]) == DONE
    screen = capsys.readouterr().out
    for words in (
        "table.safetensors: ergodic",
        "spread",
        "P&L volatility",
        "per h",
        "regret",
        "half-life",
        "fills",
        "mean 0, standard deviation ",
        "from the lowest inventory ",
    ):
        assert words in screen
    assert max(map(len, screen.splitlines())) <= 80 and len(screen.splitlines()) <= 40
    assert run(["evaluate", str(table), str(problem), "--json", "--start", "2"]) == DONE
    found = json.loads(capsys.readouterr().out)
    assert found["per"] == "s" and found["start"] == [2.0] and abs(found["regret"]) < 1e-12
    assert sum(found["parts"].values()) == pytest.approx(found["pnl"])


@pytest.mark.parametrize(
    "command",
    [["sensitivities"], ["uncertainty"], ["audit"], ["choose", "--target", "pnl", "--value", "1"]],
    ids=lambda command: command[0],
)
def test_a_problem_without_a_solution_is_named_with_the_reason(problem: Path, capsys, command) -> None:
    one_sided = PROBLEM.replace('"both"', '"bid"')
    known = '\n[uncertainty]\nparameters = ["price.volatility"]\nstandard_error = [0.02]\n'
    problem.write_text(one_sided + known, encoding="utf-8")
    assert run([command[0], str(problem), *command[1:]]) == (BAD_INPUT if command[0] == "choose" else NO)
    said = capsys.readouterr().err
    assert said.startswith(f"quotegrid: {problem}: ") and "not communicating: The target inventory" in said


def test_errors_of_a_study_name_the_problem_file(problem: Path, capsys) -> None:
    assert run(["choose", str(problem), "--target", "half_live", "--value", "1"]) == BAD_INPUT
    assert capsys.readouterr().err.startswith(f"quotegrid: {problem}: target: no measure 'half_live'")
    assert run(["uncertainty", str(problem)]) == BAD_INPUT
    assert capsys.readouterr().err.startswith(f"quotegrid: {problem}: uncertainty: this problem does not say")


def test_evaluate_refuses_a_table_of_other_limits(table: Path, problem: Path, capsys) -> None:
    problem.write_text(PROBLEM.replace("max = 6", "max = 7"), encoding="utf-8")
    assert run(["evaluate", str(table), str(problem)]) == BAD_INPUT
    assert "knows inventories -6 … 6 (13 of them) of X" in capsys.readouterr().err


def test_audit_draws_and_lists(table: Path, problem: Path, tmp_path: Path, capsys) -> None:
    picture = tmp_path / "audit.png"
    assert run(["audit", str(problem), "-o", str(picture), "--table", str(table)]) == DONE
    screen = capsys.readouterr().out
    assert picture.stat().st_size > 10_000 and screen.endswith(f"\nwritten: {picture}\n")
    for words in (
        "Amounts are USD per h",
        "GLFT, asymptotic",
        "n/a",
        "Avellaneda-Stoikov does not apply: ",
        "table.sa",
    ):
        assert words in screen
    assert max(map(len, screen.splitlines()[:-1])) <= 80
    assert run(["audit", str(problem), "--json", "--session", "10"]) == DONE
    policies = json.loads(capsys.readouterr().out)["policies"]
    assert policies[0]["policy"] == "optimum" and all(each["regret"] > -1e-9 for each in policies)


def test_choose_writes_the_problem_it_found(problem: Path, tmp_path: Path, capsys) -> None:
    chosen = tmp_path / "chosen.toml"
    wish = ["choose", str(problem), "--target", "tail", "--beyond", "3"]
    assert run([*wish, "--value", "0.05", "-o", str(chosen)]) == DONE
    shown = capsys.readouterr().out
    assert "preferences.running_penalty = " in shown and shown.endswith(f"\nwritten: {chosen}\n")
    assert (
        run(["choose", str(chosen), "--target", "tail", "--beyond", "3", "--value", "0.05", "--json"]) == DONE
    )
    found = json.loads(capsys.readouterr().out)
    preferences = read_problem_file(chosen).problem.preferences
    assert found["value"] == pytest.approx(preferences.running_penalty, rel=1e-9)  # type: ignore[union-attr]
    text = chosen.read_text(encoding="utf-8")
    number, was = f"{preferences.running_penalty!r}", "# φ, USD per unit²; chosen for tail = 0.05, was 0.01"  # type: ignore[union-attr]
    assert text == PROBLEM.replace("0.01  # φ, USD per unit²", f"{number}  {was}")
    assert run([*wish, "--value", "0.9"]) == NO
    assert "no parameter gives tail = 0.9" in capsys.readouterr().err


def test_choose_writes_one_side_of_both_into_a_canonical_file(problem: Path, tmp_path: Path, capsys) -> None:
    chosen = tmp_path / "chosen.toml"
    wish = ["choose", str(problem), "--target", "pnl", "--value", "0.3"]
    assert run([*wish, "--parameter", "flow.book/bid.intensity.A", "-o", str(chosen)]) == DONE
    said = f"written: {chosen}; without the comments of {problem}, whose blocks are other ones now\n"
    assert capsys.readouterr().out.endswith(said)
    flows = read_problem_file(chosen).problem.assets[0].flow
    assert [flow.side for flow in flows] == ["bid", "ask"] and flows[0].intensity != flows[1].intensity
    assert chosen.read_text(encoding="utf-8") == dumps(read_problem_file(chosen))


@pytest.mark.parametrize(
    ("target", "value", "shown"),
    [
        ("inventory_deviation", "1", "inventory_deviation = 1 lots (standard deviation of the inventory)"),
        ("half_life", "1", "half_life = 1 s (half-life of the inventory)"),
    ],
)
def test_choose_says_in_which_unit_the_target_is(
    problem: Path, capsys, target: str, value: str, shown: str
) -> None:
    assert run(["choose", str(problem), "--target", target, "--value", value]) == DONE
    assert shown in capsys.readouterr().out
