"""The commands that say how quotes move: sensitivities, uncertainty, and what quote makes of them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from quotegrid.command_line import run

PROBLEM = """
format = 1
units = { price = "USD", time = "s" }
market = { symbol = "X", lot_size = 1.0 }
inventory = { max = 4 }
price = { volatility = 0.5 }
preferences = { kind = "cara", risk_aversion = 0.1 }
horizon = { kind = "ergodic" }

[[flow]]
name = "book"
side = "both"
intensity = { kind = "exponential", A = 0.9, k = 1.5 }
"""
UNCERTAIN = """
[uncertainty]
parameters = ["price.volatility", "flow.book.intensity.A"]
standard_error = [0.02, 0.05]
"""


@pytest.fixture
def problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("quotegrid.compiler_cache.set_up_jax", lambda: None)  # pytest has its own cache
    monkeypatch.setenv("COLUMNS", "100")
    file = tmp_path / "problem.toml"
    file.write_text(PROBLEM + UNCERTAIN, encoding="utf-8")
    return file


def test_sensitivities(problem: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "moves.png"
    assert run(["sensitivities", str(problem), "--inventory", "2", "-o", str(picture)]) == 0
    shown = capsys.readouterr().out
    for words in (
        "X: sensitivities at inventory 2",
        "what +1 % of a number changes",
        "0.5 USD per √s",
        "price.drift",
    ):
        assert words in shown
    assert picture.stat().st_size > 10_000 and shown.endswith(f"\nwritten: {picture}\n")
    assert run(["sensitivities", str(problem), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["parameters"]["price.volatility"]
    assert found["unit"] == "USD per √s" and found["now"] == 0.5
    assert found["offset"]["book/bid"][-1] is None and found["gain"] < 0.0
    assert run(["sensitivities", str(problem), "--inventory", "5"]) == 2
    assert "5 lots is not on the lattice from -4 to 4 lots" in capsys.readouterr().err


def test_paths_stay_whole_in_80_columns(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quotegrid.compiler_cache.set_up_jax", lambda: None)
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["sensitivities", str(checkout / "examples" / "eth-perpetual.toml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("flow.book/bid.intensity.offset " in line for line in lines) == 2
    assert max(map(len, lines)) <= 80


def test_uncertainty(problem: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["uncertainty", str(problem)]) == 0
    shown = capsys.readouterr().out
    assert "What to measure better: the part of the variance that goes if it is known exactly\n" in shown
    assert "Distances from the mid (USD), with 95 % bands\n" in shown
    assert re.search(r" 0\.\d+ \(0\.\d+ to 0\.\d+\) ", shown)
    assert re.search(r"gain 0\.\d+ ± 0\.\d+ USD per s \(95 %\)\n", shown)
    picture = problem.with_suffix(".svg")
    assert run(["uncertainty", str(problem), "-o", str(picture)]) == 0
    assert capsys.readouterr().out.endswith(f"\nwritten: {picture}\n")
    assert run(["uncertainty", str(problem), "-o", str(picture), "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == f"written: {picture}\n"
    found = json.loads(printed.out)
    assert found["gain_error"] > 0.0 and len(found["ranking"]) == 2
    low, high = found["band"]["book/bid"]
    assert low[-1] is high[-1] is None and low[0] < found["offset"]["book/bid"][0] < high[0]
    problem.write_text(PROBLEM, encoding="utf-8")
    assert run(["uncertainty", str(problem)]) == 2
    assert "does not say how well its parameters are known" in capsys.readouterr().err


def test_a_shifted_and_an_explained_quote(
    problem: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = str(tmp_path / "t.safetensors")
    assert run(["solve", str(problem), "-o", table, "--with-sensitivities"]) == 0
    assert run(["verify", table]) == 0
    assert "derivatives by 8 parameters agree with equation and quotes" in capsys.readouterr().out
    shift = ["--shift", "price.volatility=+10%", "--shift", "price.drift=0.01"]
    assert run(["quote", table, "--inventory", "1", *shift]) == 0
    shown = capsys.readouterr().out
    assert "price.volatility from 0.5 to 0.55" in shown and "estimates of what that leaves out" in shown
    assert run(["quote", table, "--inventory", "1", "--json", *shift]) == 0
    assert json.loads(capsys.readouterr().out)["shift"]["parameters"]["price.drift"] == [0.0, 0.01]
    assert run(["quote", table, "--inventory", "1", "--explain"]) == 0
    shown = capsys.readouterr().out
    assert "inventory risk" in shown and "not in this problem: drift" in shown
    assert run(["quote", table, "--inventory", "1", "--explain", "--json"]) == 0
    assert sum(json.loads(capsys.readouterr().out)["parts"]["book/bid"].values()) == pytest.approx(
        json.loads(_quoted(table, capsys))["offsets"]["book/bid"]
    )
    assert run(["quote", table, "--inventory", "1", "--explain", *shift]) == 2
    assert "leave out --shift" in capsys.readouterr().err
    assert run(["quote", table, "--inventory", "1", "--shift", "price.volatility"]) == 2
    assert "expected PARAMETER=CHANGE" in capsys.readouterr().err
    folder = tmp_path / "many"
    folder.mkdir()
    assert run(["solve", str(problem), "-o", str(folder), "--with-sensitivities"]) == 2
    assert "one problem and one table" in capsys.readouterr().err
    _shifts_without_jax(table)


def _quoted(table: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["quote", table, "--inventory", "1", "--json"]) == 0
    return capsys.readouterr().out


def _shifts_without_jax(table: str) -> None:
    """A machine that only quotes shifts as well."""
    code = (
        "import sys; sys.modules.update(jax=None, scipy=None, pydantic=None)\n"
        "from quotegrid.tables.quoter import Quoter\n"
        f"print(Quoter.load({table!r}).quote(1, shift={{'price.volatility': '+10%'}}).shifted is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
