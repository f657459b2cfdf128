"""The commands: what they print, where errors go, and the exit codes 0 (done), 1 (no), 2 (bad input)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quotegrid.command_line import run
from quotegrid.pipeline import solve_files
from quotegrid.shipped_examples import example_names
from quotegrid.table_files import read_table, write_table

ROOT = Path(__file__).resolve().parents[1]


def quotegrid(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own: `solve` sets up JAX, which no other test should see."""
    return subprocess.run(
        [sys.executable, "-m", "quotegrid", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture
def table_file(tmp_path: Path, table_by_hand) -> Path:
    path = tmp_path / "table.safetensors"
    write_table(table_by_hand(), path)
    return path


def test_solve_writes_a_table_and_reports(solved_example) -> None:
    output, done = solved_example
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in (
        "ETH-PERP: mean-variance, ergodic",
        "bid offset",
        "(USD)",
        "lots of 0.2",
        "USD per h",
        "converged",
        "0.",
    ):
        assert words in done.stdout
    assert str(output.name) in done.stdout.replace("\n", "")
    assert read_table(output).status == "converged"


def test_solve_keeps_compiled_code_in_the_users_cache(solved_example) -> None:
    output, _ = solved_example
    kept = (output.parent / "cache" / "quotegrid" / "jax" / "quotegrid-kernels").glob("*/kernel-*")
    assert len(list(kept)) == 1


def test_report_fits_a_screen(solved_example) -> None:
    lines = solved_example[1].stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80


def test_solve_of_a_wrong_problem_says_where(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "eth-perpetual.toml").read_text(encoding="utf-8")
    problem = tmp_path / "wrong.toml"
    problem.write_text(text.replace("volatility", "volatillity"), encoding="utf-8")
    done = quotegrid("solve", problem, "-o", tmp_path / "table.safetensors")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "volatillity" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "table.safetensors").exists()


def test_solve_of_many_writes_a_folder_with_a_manifest(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "glft-2013.toml").read_text(encoding="utf-8")
    for name, word in (("calm", "0.01 "), ("averse", "0.02 ")):
        changed = text.replace("risk_aversion = 0.01 ", f"risk_aversion = {word}")
        (tmp_path / f"{name}.toml").write_text(changed, encoding="utf-8")
    (tmp_path / "wrong.toml").write_text(text.replace("volatility", "volatillity"), encoding="utf-8")
    problems = [tmp_path / f"{name}.toml" for name in ("averse", "calm", "wrong")]
    folder = tmp_path / "tables"
    done = quotegrid("solve", *problems, "-o", folder)
    assert done.returncode == 1
    assert "2 of 3 tables written" in done.stdout and "volatillity" in done.stdout
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["tables"]
    assert [entry["status"] for entry in entries] == ["converged", "converged", "refused"]
    assert [entry.get("table") for entry in entries] == ["averse.safetensors", "calm.safetensors", None]
    for entry in entries[:2]:
        table = read_table(folder / entry["table"])
        assert table.problem_hash == entry["hash"]
        assert entry["certificate"]["level"] == "A"
    assert sorted(path.name for path in folder.iterdir()) == [
        "averse.safetensors",
        "calm.safetensors",
        "manifest.json",
    ]


def test_many_problems_do_not_make_one_table(tmp_path: Path, capsys) -> None:
    assert run(["solve", "a.toml", "b.toml", "-o", str(tmp_path / "table.nc")]) == 2
    assert "is one table, and there are 2 problems; name a folder" in " ".join(
        capsys.readouterr().err.split()
    )
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    with pytest.raises(ValueError, match="1 names occur twice among the problem files, such as 'a'"):
        solve_files([tmp_path / "x" / "a.toml", tmp_path / "y" / "a.toml"], tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_many_problems_have_no_warm_start(tmp_path: Path, capsys) -> None:
    words = ["solve", *(str(ROOT / "examples" / f"{name}.toml") for name in example_names()[:2])]
    assert run([*words, "-o", str(tmp_path / "folder"), "--warm-start", "old.nc"]) == 2
    assert "--warm-start goes with one problem and one table" in capsys.readouterr().err


def test_table_suffix_is_checked_before_solving(tmp_path: Path) -> None:
    done = quotegrid("solve", ROOT / "examples" / "eth-perpetual.toml", "-o", tmp_path / "table.csv")
    assert done.returncode == 2
    assert done.stderr == (
        f"quotegrid: {tmp_path / 'table.csv'}: a table's file ends in .safetensors (the runtime form) or .nc "
        "(the NetCDF archive), not in '.csv'.\n"
    )


def test_one_problem_goes_into_a_folder_that_is_there(tmp_path: Path, capsys) -> None:
    assert run(["solve", str(ROOT / "examples" / "glft-2013.toml"), "-o", str(tmp_path / "tables")]) == 2
    complaint = capsys.readouterr().err
    assert "tables is neither a table (.safetensors or .nc) nor a folder that is there" in complaint


def test_show_reports_and_draws(table_file: Path, tmp_path: Path, capsys) -> None:
    picture = tmp_path / "quotes.png"
    assert run(["show", str(table_file), "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "XYZ: cara, ergodic" in shown
    assert "gain         0.25 USD per s = 900 USD per h" in shown
    assert shown.endswith(f"\nwritten: {picture}\n")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_show_of_a_ladder_over_time(tmp_path: Path, table_by_hand, capsys) -> None:
    path = tmp_path / "ladder.nc"
    write_table(table_by_hand(limit=6, sizes=(1, 5), times=(0.0, 1.0), units=("bp", "day")), path)
    assert run(["show", str(path)]) == 0
    shown = capsys.readouterr().out
    for words in ("finite horizon of 1 day", "size5/ask", "off", "(bp)", "lookup error", "bp × unit"):
        assert words in shown


def test_quote_in_words(table_file: Path, capsys) -> None:
    assert run(["quote", str(table_file), "--inventory", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "size1/bid  mid - 0.55 USD",
        "size1/ask  mid + 0.47 USD",
        "value      -0.04 USD",
        "gain       0.25 USD per s",
    ]


def test_quote_as_json(table_file: Path, capsys) -> None:
    assert run(["quote", str(table_file), "--inventory", "-4", "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == {
        "inventory": -4,
        "offsets": {"size1/bid": 0.43, "size1/ask": None},
        "value": -0.16,
        "gain": 0.25,
        "hedge_rate": None,
        "market_order": None,
    }
    assert printed.startswith('{"inventory": -4, "offsets": ')


def test_quote_between_and_outside_the_lattice(table_file: Path, capsys) -> None:
    assert run(["quote", str(table_file), "--inventory", "1.5"]) == 2
    assert "between the nodes 1 and 2" in capsys.readouterr().err
    assert run(["quote", str(table_file), "--inventory", "1.5", "--between", "linear"]) == 0
    assert "mid - 0.54 USD" in capsys.readouterr().out
    assert run(["quote", str(table_file), "--inventory", "9", "--outside", "clamp"]) == 0
    assert (
        "inventory lies outside the table: these are the quotes of its nearest edge"
        in capsys.readouterr().out
    )


def test_quote_at_a_time(tmp_path: Path, table_by_hand, capsys) -> None:
    path = tmp_path / "finite.safetensors"
    write_table(table_by_hand(times=(0.0, 10.0)), path)
    assert run(["quote", str(path), "--inventory", "0", "--time", "5"]) == 0
    assert "size1/bid  mid - 0.505 USD" in capsys.readouterr().out
    assert run(["quote", str(path), "--inventory", "0"]) == 2
    assert "needs a time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["quote", "TABLE"],
            "Missing option '--inventory'. `quotegrid quote --help` lists the options.",
        ),
        (["quote", "TABLE", "--inventory", "x"], "'x' is not a number; allowed: 3, -2.5, or 3,-2"),
        (["quote", "none.safetensors", "--inventory", "3"], "none.safetensors: No such file or directory."),
        (["show", "none.csv"], "not in '.csv'"),
        (
            ["show", "eth.toml"],
            "eth.toml: a problem file, not a table; name the table that was solved from it, or make one: "
            "`quotegrid solve eth.toml -o eth.safetensors`.",
        ),
        (
            ["uncertainty", "TABLE"],
            "table.safetensors: a table, not a problem; name the problem file (.toml) that it was solved "
            "from.",
        ),
        (
            ["show", "TABLE", "--plot", "quotes.xyz"],
            "quotes.xyz: a picture's file ends in .png, .svg or .pdf",
        ),
        (["sell"], "No such command 'sell'. `quotegrid --help` lists the commands."),
        (["export", "TABLE", "-o", "t.xls"], ".npz, .h. `quotegrid export --help` lists the options."),
        (["example", "glft"], "No shipped example is called 'glft'. Did you mean 'glft-2013'?"),
    ],
)
def test_bad_input_is_one_paragraph(
    arguments: list[str], message: str, table_file: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("quotegrid.compiler_cache.set_up_jax", lambda: None)  # pytest has its own cache
    assert run([str(table_file) if word == "TABLE" else word for word in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert shown.err.startswith("quotegrid: ")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["solve", "p.toml", "-o", "no/t.nc"],
        ["show", "t.nc", "--plot", "no/t.png"],
        ["audit", "p.toml", "-o", "no/t.png"],
        ["choose", "p.toml", "--target", "pnl", "--value", "1", "-o", "no/t.toml"],
        ["document", "t.nc", "-o", "no/t.md"],
        ["export", "t.nc", "-o", "no/t.csv"],
        ["calibrate", "d.csv", "-o", "no/t.toml"],
        ["example", "glft-2013", "-o", "no/t.toml"],
    ],
    ids=lambda words: words[0],
)
def test_a_folder_that_is_not_there_is_noticed_before_any_work(words: list[str], capsys) -> None:
    assert run(words) == 2
    assert "there is no folder no; make it first. `quotegrid" in capsys.readouterr().err


def test_a_bug_is_not_called_bad_input(table_file: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("quotegrid.table_files.read_table", lambda path: float(np.ones(2)))
    assert run(["show", str(table_file)]) == 2
    assert capsys.readouterr().err.startswith("quotegrid: internal error, TypeError: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_bad_input() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "quotegrid", "example", "glft-2013"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (2, "quotegrid: No space left on device.\n")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    words = [sys.executable, "-m", "quotegrid", "example"]  # less than a buffer
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=buffered) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_debug_shows_the_traceback() -> None:
    done = quotegrid("show", "none.safetensors", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "FileNotFoundError" in done.stderr


def test_no_words_show_the_help(capsys) -> None:
    assert run([]) == 0
    assert "--debug, anywhere on the line" in capsys.readouterr().out


def test_examples_are_listed_printed_and_written_once(tmp_path: Path, capsys) -> None:
    assert run(["example"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert tuple(line.split()[0] for line in listed) == example_names()
    assert run(["example", "glft-2013.toml"]) == 0
    text = (ROOT / "examples" / "glft-2013.toml").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text
    copy = tmp_path / "copy.toml"
    assert run(["example", "glft-2013", "-o", str(copy)]) == 0
    assert capsys.readouterr().out == f"written: {copy}\n"
    assert copy.read_text(encoding="utf-8") == text
    assert run(["example", "glft-2013", "-o", str(copy)]) == 2
    assert capsys.readouterr().err == f"quotegrid: {copy}: File exists.\n"


def test_schema_is_json() -> None:
    done = quotegrid("schema")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["type"] == "object"
