"""`quotegrid quote` of tables with regimes, factors and parameters: what a quoter says, in words and JSON."""

import json
from pathlib import Path

import pytest

from quotegrid.command_line import run
from quotegrid.table_files import write_table
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.lookup import Market
from quotegrid.tables.quoter import Quoter

TABLES = dict(conformance_tables())


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Exit code, standard output and standard error of a quote from one of the made-up tables."""

    def quote(name: str, *words: str) -> tuple[int, str, str]:
        path = tmp_path / f"{name}.safetensors"
        if not path.exists():
            write_table(TABLES[name], path)
        code = run(["quote", str(path), *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return quote


@pytest.mark.parametrize("regime", ["größer", "2"])
def test_a_regime_by_name_or_number(said, regime: str) -> None:
    wanted = Quoter(TABLES["regimes"]).quote(1, market=Market(regime="größer"))
    code, out, _ = said("regimes", "--inventory", "1", "--regime", regime, "--json")
    assert (code, json.loads(out)) == (0, wanted.to_json())


def test_every_axis_at_once(said) -> None:
    words = ["--inventory", "0,0", "--time", "0.75", "--regime", "wild", "--between", "linear"]
    words += ["--factor", "alpha=0.25", "--factor", "beta=12.5", "--parameter", "price.volatility=0.1"]
    market = Market("wild", {"alpha": 0.25, "beta": 12.5}, {"price.volatility": 0.1})
    wanted = Quoter(TABLES["everything"], between="linear").quote((0, 0), 0.75, market=market)
    code, out, _ = said("everything", *words, "--json")
    assert (code, json.loads(out)) == (0, wanted.to_json())
    code, out, _ = said("everything", *words)
    assert code == 0 and "ASSET1/flow1/ask  mid " in out, out
    code, out, _ = said("everything", *words, "--factor", "alpha=7")
    assert code == 2
    clamped = [word.replace("alpha=0.25", "alpha=7") for word in words]
    code, out, _ = said("everything", *clamped, "--outside", "clamp")
    assert code == 0 and "alpha lies outside the table" in out


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        (
            "regimes",
            [],
            "this table needs a regime, one of calm, wild, größer (quotegrid quote: --regime calm)",
        ),
        (
            "regimes",
            ["--regime", "quiet"],
            "regime 'quiet' is unknown; allowed: calm, wild, größer, or their numbers from 0",
        ),
        ("regimes", ["--regime", "3"], "regime 3 is unknown"),
        ("regimes", ["--regime", "-1"], "regime '-1' is unknown"),
        ("ergodic", ["--regime", "calm"], "regime 'calm' was given, but this table has no regimes"),
        ("factor", [], "this table needs the factor alpha"),
        ("factor", ["--factor", "beta=1"], "factor 'beta' was given; this table has alpha"),
        ("factor", ["--factor", "alpha=2"], "alpha 2 is outside"),
        ("factor", ["--factor", "alpha"], "'alpha': expected NAME=VALUE"),
        ("factor", ["--factor", "alpha=x"], "'x' is not a number"),
        ("factor", ["--factor", "alpha=0", "--factor", "alpha=1"], "alpha is given twice"),
        ("factor", ["--parameter", "alpha"], "'alpha': expected PATH=VALUE"),
        ("ergodic", ["--factor", "alpha=0"], "factor 'alpha' was given; this table has no factor axes"),
        (
            "factor",
            ["--factor", "alpha=0", "--regime", "calm", "--explain"],
            "--explain splits the table's own quote: leave out --factor, --regime",
        ),
    ],
)
def test_what_a_table_cannot_answer(said, name: str, words: list[str], message: str) -> None:
    code, out, err = said(name, "--inventory", "1", *words)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1, err
