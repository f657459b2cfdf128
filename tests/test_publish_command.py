"""The commands `publish`, `rollback`, `keygen` and `verify --public-key`: checks, screens, exit codes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import quotegrid.tables.publication
from quotegrid.command_line import BAD_INPUT, DONE, NO, run
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import solve
from quotegrid.table_files import read_table, write_table
from quotegrid.tables.policy_table import PolicyTable

PROBLEM = """
format = 1
units = {{ price = "USD", time = "s" }}
market = {{ symbol = "{symbol}", lot_size = 1.0 }}
inventory = {{ max = {limit} }}
price = {{ volatility = {volatility} }}
preferences = {{ kind = "cara", risk_aversion = 0.1 }}

[[flow]]
name = "book"
side = "both"
intensity = {{ kind = "exponential", A = 0.9, k = 1.5 }}
"""
LIMITS = ["--max-quote-error", "1e-6", "--max-quote-change", "0.2"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The file of a solved and certified table."""
    folder, made = tmp_path_factory.mktemp("tables"), {}

    def make(volatility: float = 0.5, symbol: str = "X", limit: int = 4) -> str:
        wanted = {"volatility": volatility, "symbol": symbol, "limit": limit}
        path = folder / f"{'-'.join(map(str, wanted.values()))}.safetensors"
        if path not in made:
            solution = solve(parse_problem(PROBLEM.format(**wanted)).problem)
            write_table(PolicyTable.from_solution(solution), path)
            made[path] = True
        return str(path)

    return make


def test_publish_checks_swaps_and_rolls_back(
    table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = tmp_path / "live"
    assert run(["publish", table(0.5), str(live), *LIMITS]) == DONE
    shown = capsys.readouterr().out
    for words in (
        "pass            best quotes",
        "pass            certified quotes",
        "level A, within",
        "allowed: 1e-06",
    ):
        assert words in shown
    assert "not applicable  change of quotes" in shown and f"generation 1 is live in {live}\n" in shown
    assert run(["publish", table(0.55), str(live), *LIMITS]) == DONE
    assert "of book/" in capsys.readouterr().out
    assert run(["quote", str(live / "current.safetensors"), "--inventory", "1"]) == DONE
    assert read_table(live / "current.safetensors") == read_table(table(0.55))
    capsys.readouterr()
    assert run(["rollback", str(live)]) == DONE
    assert capsys.readouterr().out == f"generation 1 is live in {live} again; 2 is withdrawn\n"
    assert read_table(live / "current.safetensors") == read_table(table(0.5))
    assert run(["rollback", str(live)]) == BAD_INPUT
    assert "generation 1 is the oldest here, so there is none to return to; publish the table that" in (
        capsys.readouterr().err
    )
    assert run(["rollback", str(tmp_path / "dead")]) == BAD_INPUT
    shown = capsys.readouterr().err
    assert shown == f"quotegrid: {tmp_path / 'dead'}: No such folder; `quotegrid publish` makes one.\n"


def test_publish_refuses_and_changes_nothing(table, tmp_path: Path, table_by_hand, capsys) -> None:
    live = tmp_path / "live"
    run(["publish", table(0.5), str(live), *LIMITS])
    before = sorted(os.listdir(live))
    capsys.readouterr()

    def refused(words: list[str], *said: str) -> None:
        assert run(words) == NO
        shown = capsys.readouterr().out
        assert "not published" in shown and sorted(os.listdir(live)) == before
        for text in said:
            assert text in shown

    refused(
        ["publish", table(0.5), str(live), "--max-quote-error", "0", "--max-quote-change", "1"],
        "fail            certified quotes",
        "solve with a smaller tolerance",
    )
    refused(
        ["publish", table(1.5), str(live), *LIMITS],
        "fail            change of quotes",
        "allowed: 0.2: see `quotegrid diff`, and allow more if the change is meant",
        "generation 1 is live in",
    )
    everything = ["--max-quote-error", "inf", "--max-quote-change", "1e9"]
    refused(
        ["publish", table(0.5, "Y"), str(live), *everything],
        "symbols changed from X to Y; publish it in another folder",
    )
    unproved = tmp_path / "unproved.safetensors"
    write_table(table_by_hand(), unproved)
    refused(["publish", str(unproved), str(live), *LIMITS], "fail            problem hash")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(Path(table(0.5)).read_bytes()[:-8])
    refused(["publish", str(damaged), str(live), *LIMITS], "fail            container")
    assert (
        run(["publish", table(1.5), str(live), "--max-quote-error", "1", "--max-quote-change", "inf"]) == DONE
    )
    assert run(["publish", table(0.5), str(live)]) == BAD_INPUT
    assert "Missing option '--max-quote-error'" in capsys.readouterr().err
    assert run(["publish", table(0.5), str(live), *LIMITS, "--keep", "1"]) == BAD_INPUT
    capsys.readouterr()
    assert run(["publish", table(0.5), str(damaged), *LIMITS]) == BAD_INPUT
    assert f"{damaged} is a file; name the folder that quoters follow" in capsys.readouterr().err
    assert run(["quote", str(live), "--inventory", "1"]) == BAD_INPUT
    assert f"the live one is {live / 'current.safetensors'}" in capsys.readouterr().err


def test_a_damaged_live_table_can_be_replaced(table, tmp_path: Path, capsys) -> None:
    live = tmp_path / "live"
    run(["publish", table(0.5), str(live), *LIMITS])
    generation = live / "generation-0000000001.safetensors"
    content = generation.read_bytes()
    generation.unlink()
    generation.write_bytes(content[:-8])
    capsys.readouterr()
    assert run(["publish", table(0.5), str(live), *LIMITS]) == BAD_INPUT
    shown = capsys.readouterr().err
    assert "[data-too-short]; return to the one before with `quotegrid rollback`, or publish over" in shown
    words = ["publish", table(0.5), str(live), "--max-quote-error", "1", "--max-quote-change", "inf"]
    assert run(words) == DONE
    assert "there is no live table to compare with" in capsys.readouterr().out
    assert run(["rollback", str(live)]) == BAD_INPUT
    shown = capsys.readouterr().err
    assert (
        "the table before cannot be returned to: " in shown and "generation 2 is still live: publish" in shown
    )


def test_a_table_that_is_written_while_it_is_checked(table, tmp_path: Path, capsys, monkeypatch) -> None:
    path = tmp_path / "table.safetensors"
    path.write_bytes(Path(table(0.5)).read_bytes())

    def read_late(name: Path) -> PolicyTable:
        write_table(read_table(table(0.55)), path)
        return read_table(name)

    monkeypatch.setattr("quotegrid.table_files.read_table", read_late)
    assert run(["publish", str(path), str(tmp_path / "live"), *LIMITS]) == BAD_INPUT
    assert "was written again while it was checked; publish it again" in capsys.readouterr().err
    assert not (tmp_path / "live").exists()


def test_wider_limits_are_no_change_of_quotes(table, tmp_path: Path, capsys) -> None:
    """A quote that is off at the old limits alone has not appeared: there its fill would have left them."""
    live = tmp_path / "live"
    run(["publish", table(0.5), str(live), *LIMITS])
    assert run(["publish", table(0.5, limit=5), str(live), *LIMITS]) == DONE


def test_signed_tables(table, tmp_path: Path, capsys) -> None:
    live, desk = tmp_path / "markets" / "live", tmp_path / "desk"  # made, with the folder it is in
    assert run(["keygen", str(desk)]) == DONE
    shown = capsys.readouterr().out
    secret = Path(f"{desk}.key").read_text().splitlines()[1]
    assert "keep it secret" in shown and secret not in shown
    assert run(["keygen", str(desk)]) == BAD_INPUT
    assert capsys.readouterr().err == f"quotegrid: {desk}.key: File exists, and no key is overwritten.\n"
    assert run(["publish", table(0.5), str(live), *LIMITS, "--sign", f"{desk}.key"]) == DONE
    assert "signed by the key " in capsys.readouterr().out
    current = str(live / "current.safetensors")
    assert run(["verify", current, "--public-key", f"{desk}.pub"]) == DONE
    assert "pass            signature" in capsys.readouterr().out
    assert run(["publish", table(0.5), str(live), *LIMITS]) == BAD_INPUT
    said = "generation 1 is signed and this table is not, so quoters that ask for signatures would refuse it"
    assert said in capsys.readouterr().err
    assert run(["publish", table(0.5), str(live), *LIMITS, "--unsigned"]) == DONE
    assert "it is not signed, as generation 1 was: quoters that ask" in capsys.readouterr().out
    assert run(["verify", current, "--public-key", f"{desk}.pub"]) == NO
    assert "the table is not signed [signature-missing]" in capsys.readouterr().out
    assert run(["publish", table(0.5), str(live), *LIMITS, "--sign", f"{desk}.key"]) == DONE
    assert run(["rollback", str(live)]) == BAD_INPUT
    shown = capsys.readouterr().err
    assert "generation 2 is not signed and the live generation 3 is" in shown
    assert "publish generation-0000000002.safetensors again with --sign KEY, or return to it all the" in shown
    assert run(["rollback", str(live), "--unsigned"]) == DONE
    shown = capsys.readouterr().out
    assert "generation 2 is live in" in shown and "it is not signed, as generation 3 was" in shown
    Path(f"{desk}.key").chmod(0o644)
    assert run(["publish", table(0.5), str(live), *LIMITS, "--sign", f"{desk}.key"]) == BAD_INPUT
    shown = capsys.readouterr()
    assert "its permissions are 0644" in shown.err and secret not in shown.out + shown.err


def test_a_table_is_published_with_its_validity(table, tmp_path: Path, capsys) -> None:
    """Stated before it is signed, in place of what the file says; a later publication may leave it out."""
    live, desk = tmp_path / "live", tmp_path / "desk"
    assert run(["keygen", str(desk)]) == DONE
    words = ["--life", "8h", "--price-box", "2400:3000", "--box", "inventory=-3:2", "--sign", f"{desk}.key"]
    before = time.time()
    assert run(["publish", table(0.5), str(live), *LIMITS, *words]) == DONE
    assert "pass            life" in capsys.readouterr().out
    current = live / "current.safetensors"
    found = read_table(current)
    assert found.start is not None and before - 1 <= found.start <= time.time()
    assert (found.life, found.start) == (28800.0, float(int(found.start)))
    assert found.price_box is not None and found.box is not None
    assert (found.price_box.tolist(), found.box.tolist()) == ([[2400.0, 3000.0]], [[-3.0, 2.0]])
    assert run(["verify", str(current), "--public-key", f"{desk}.pub"]) == DONE
    capsys.readouterr()
    assert run(["show", str(current)]) == DONE
    shown = " ".join(capsys.readouterr().out.split())
    assert "box inventory -3 to 2" in shown and "reference prices from 2400 to 3000 USD." in shown
    words = ["--start", "2026-05-04T10:00+02:00", "--life", "100000d"]
    assert run(["publish", str(current), str(live), *LIMITS, *words, "--unsigned"]) == DONE
    again = read_table(current)
    assert again.box is not None
    assert (again.start, again.life, again.box.tolist()) == (1777881600.0, 8.64e9, [[-3.0, 2.0]])
    assert run(["publish", table(0.5), str(live), *LIMITS]) == DONE
    assert read_table(current) == read_table(table(0.5))


def test_an_expired_table_is_not_published(table, tmp_path: Path, capsys) -> None:
    words = ["--start", "1.7e9", "--life", "1d"]
    assert run(["publish", table(0.5), str(tmp_path / "live"), *LIMITS, *words]) == NO
    shown = capsys.readouterr().out
    assert "fail            life" in shown and "expired on 2023-11-15 22:13:20 UTC" in shown
    assert "not published; nothing is live" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--life", "8"], "'8' is no duration; allowed: a positive number with s, min, h or d, such as 8h"),
        (["--life", "-8h"], "'-8h' is no duration"),
        (["--life", "1e999h"], "'1e999h' is no duration"),
        (["--life", "8e+h"], "'8e+' is not a number"),
        (["--start", "2026-05-04T10:00"], "'2026-05-04T10:00' is no time with a zone"),
        (["--start", "noon"], "'noon' is no time with a zone"),
        (["--start", "nan"], "the start is nan [life-time]"),
        (["--price-box", "2400"], "'2400': expected LOW:HIGH"),
        (["--price-box", "2400:x"], "'x' is not a number"),
        (["--price-box", "3000:2400"], "the price box of X is 3000 to 2400"),
        (["--price-box", "1:2,3:4"], "2 ranges of prices were given; one is needed for each of X"),
        (["--box", "inventory"], "'inventory': expected AXIS=LOW:HIGH"),
        (["--box", "inventory=3"], "'3': expected LOW:HIGH"),
        (["--box", "time=0:1"], "the table has no axis 'time'; it has inventory"),
        (
            ["--box", "inventory=-9:2"],
            "the box holds inventory from -9 to 2; allowed: from a lower to a higher end within its axis, "
            "which runs from -4 to 4",
        ),
        (
            ["--box", "inventory=-2.5:2"],
            "the box of inventory ends at -2.5, between two nodes; allowed: a node, such as -3 or -2",
        ),
        (["--box", "inventory=0:1", "--box", "inventory=0:2"], "inventory is given twice"),
    ],
)
def test_a_validity_that_is_none(words: list[str], message: str, table, tmp_path: Path, capsys) -> None:
    assert run(["publish", table(0.5), str(tmp_path / "live"), *LIMITS, *words]) == BAD_INPUT
    shown = capsys.readouterr()
    assert message in shown.err and not (tmp_path / "live").exists(), shown.err


def test_tables_are_handed_over_without_jax(table, tmp_path: Path) -> None:
    names = table(0.5), table(0.55)
    commands = [
        ["publish", names[0], str(tmp_path / "live"), *LIMITS],
        ["publish", names[1], str(tmp_path / "live"), *LIMITS],
        ["rollback", str(tmp_path / "live")],
        ["keygen", str(tmp_path / "desk")],
        ["diff", *names, "-o", str(tmp_path / "diff.png")],
        ["document", names[0], "-o", str(tmp_path / "page.html")],
        ["export", names[0], "-o", str(tmp_path / "table.csv")],
        ["uncertainty", "--help"],
    ]
    code = (
        "import sys\nsys.modules['jax'] = sys.modules['jaxlib'] = None\n"
        f"from quotegrid.command_line import run\nsys.exit(max(map(run, {commands!r})))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_signing_without_its_package(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "quotegrid.tables.publication.signing", raising=False)
    monkeypatch.delattr(quotegrid.tables.publication, "signing", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    assert run(["keygen", str(tmp_path / "desk")]) == BAD_INPUT
    assert "signatures need the package cryptography; install quotegrid[signing]" in capsys.readouterr().err
