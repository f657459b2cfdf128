"""`quotegrid diff`: screen, JSON, picture, and the exit code against a threshold."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from quotegrid.analysis.difference_figure import difference_figure
from quotegrid.command_line import BAD_INPUT, DONE, NO, run
from quotegrid.table_files import write_table
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.documents.difference import compare


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def write(path: Path, table) -> str:
    write_table(table, path)
    return str(path)


def test_screen_picture_and_exit_code(
    tmp_path: Path, table_by_hand, capsys: pytest.CaptureFixture[str]
) -> None:
    old = table_by_hand()
    change = np.zeros_like(old.offset)
    change[6, 1] = 0.25
    names = (
        write(tmp_path / "a.safetensors", old),
        write(tmp_path / "b.nc", table_by_hand(offset=old.offset + change)),
    )
    picture = tmp_path / "diff.png"
    assert run(["diff", *names, "-o", str(picture)]) == DONE
    screen = capsys.readouterr().out
    assert picture.stat().st_size > 10_000 and screen.endswith(f"\nwritten: {picture}\n")
    assert run(["diff", *names, "-o", str(picture), "--json"]) == DONE
    assert capsys.readouterr().err == f"written: {picture}\n"
    for words in (
        "XYZ: quotes moved by up to 0.25 USD",
        "have the same parameters",
        "9 states that both tables know",
        "inventory 2 lots",
        "from 900 to 900 USD per h",
        "problem hash failed: ",
    ):
        assert words in screen
    assert run(["diff", *names, "--max-quote-change", "0.251"]) == DONE
    assert run(["diff", *names, "--max-quote-change", "0.249"]) == NO
    assert "a quote moved by more than 0.249 USD" in capsys.readouterr().out


def test_json(tmp_path: Path, table_by_hand, capsys) -> None:
    old = table_by_hand(times=(0.0, 10.0))
    bent = np.where(np.arange(9)[:, None] == 4, np.nan, old.offset)
    names = (
        write(tmp_path / "a.nc", old),
        write(tmp_path / "b.nc", table_by_hand(times=(0.0, 10.0), offset=bent)),
    )
    assert run(["diff", *names, "--json", "--max-quote-change", "1e9"]) == NO
    found = json.loads(capsys.readouterr().out)
    assert found["largest_quote_change"] is None and found["quotes"]["size1/bid"]["vanished"] == 2
    assert found["gain"] == [None, None] and found["checks"]["old"]["problem hash"] == "fail"
    assert run(["diff", *names]) == DONE
    assert "the old one alone at 2; the first is inventory 0 lots, time 0 s" in " ".join(
        capsys.readouterr().out.split()
    )


def test_tables_of_two_markets(tmp_path: Path, table_by_hand, capsys) -> None:
    names = (
        write(tmp_path / "a.nc", table_by_hand()),
        write(tmp_path / "b.nc", table_by_hand(symbols=("ABC",))),
    )
    assert run(["diff", *names]) == BAD_INPUT
    said = capsys.readouterr().err
    assert said == (
        f"quotegrid: {names[0]}, {names[1]}: the two tables cannot be compared: symbols changed from XYZ to "
        "ABC; give two tables of one market, with the same units, flows and axes\n"
    )


def test_tables_of_all_shapes_are_compared() -> None:
    """Times, regimes, factors and parameters are walked through."""
    for _, table in conformance_tables():
        assert compare(table, table).largest_quote_change == 0.0


def test_figures_are_of_one_asset() -> None:
    tables = dict(conformance_tables())
    problem = '{"market":{"symbol":"XYZ"}}'
    for name in ("regimes", "box", "all-sensitivities"):
        table = dataclasses.replace(tables[name], problem_json=problem)
        assert len(difference_figure(compare(table, table)).axes) == 2
    with pytest.raises(ValueError, match="shows one asset; these have 2"):
        difference_figure(compare(tables["everything"], tables["everything"]))
