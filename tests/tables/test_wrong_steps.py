"""One wrong step away: what a new user may get wrong is refused by name in Python, C and Rust, or stands in
the box of warnings on the page of the readers.
"""

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from quotegrid.tables import GuardedQuoter, Moment, PolicyTable, Quoter, TableError
from quotegrid.tables.archive import write_archive
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.lookup import Market, QuoteError
from quotegrid.tables.safetensors_file import safetensors_bytes
from quotegrid.tables.validity import with_validity

TESTS = Path(__file__).resolve().parent
TABLES = TESTS.parents[1] / "tables"
PAGE = (TABLES / "readers" / "README.md").read_text(encoding="utf-8")
C99 = ["gcc", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{TABLES / 'readers' / 'c'}"]
NOON = 1777896000.0
GOOD = {
    "table": "good.safetensors",
    "symbol": "XYZ",
    "tick": "0.01",
    "lots": "2",
    "reference": "100",
    "bid": "99.99",
    "ask": "100.01",
    "now": str(NOON + 1.0),
}

# a wrong step → what is said; and, where it is another name in C, which has no word for "forgotten"
STEPS: dict[str, tuple[dict[str, str], str]] = {
    "nothing wrong": ({}, "ok"),
    "a table of a newer version": ({"table": "newer.safetensors"}, "format-version"),
    "a table cut off": ({"table": "cut.safetensors"}, "data-too-short"),
    "a table changed by one bit": ({"table": "changed.safetensors"}, "content-hash"),
    "an empty file": ({"table": "empty.safetensors"}, "file-too-short"),
    "a problem file": ({"table": "problem.toml"}, "header-too-large"),
    "an archive": ({"table": "archive.nc"}, "header-too-large"),
    "a folder": ({"table": "folder"}, "file-unreadable"),
    "no file": ({"table": "none.safetensors"}, "file-unreadable"),
    "another asset's table": ({"symbol": "ABC"}, "wrong-symbol"),
    "a symbol in small letters": ({"symbol": "xyz"}, "wrong-symbol"),
    "a forgotten symbol": ({"symbol": "-"}, "wrong-symbol"),
    "a forgotten tick": ({"tick": "-"}, "wrong-tick"),
    "a tick of 0": ({"tick": "0"}, "wrong-tick"),
    "a tick beyond all prices": ({"tick": "1.1e290"}, "wrong-tick"),
    "a price in ticks": ({"reference": "10000", "bid": "9999", "ask": "10001"}, "outside-price-box"),
    "a price of 0": ({"reference": "0"}, "outside-price-box"),
    "no price yet": ({"reference": "nan"}, "not-a-number"),
    "a forgotten price": ({"reference": "-"}, "wrong-coordinates"),
    "bid and ask swapped": ({"bid": "100.01", "ask": "99.99"}, "crossed-market"),
    "no bid yet": ({"bid": "nan"}, "not-a-number"),
    "a forgotten inventory": ({"lots": "-"}, "wrong-coordinates"),
    "an inventory in units": ({"lots": "0.2"}, "between-nodes"),
    "now in milliseconds": ({"now": str(1000.0 * NOON)}, "expired"),
    "now in nanoseconds": ({"now": str(1e9 * NOON)}, "expired"),
    "now in the table's time": ({"now": "12.5"}, "too-early"),
    "yesterday's table": ({"now": str(NOON + 86400.0)}, "expired"),
}


@pytest.fixture
def folder(tmp_path: Path, table_by_hand: Callable[..., PolicyTable]) -> Path:
    """Files that may be given in place of a table."""
    table = with_validity(table_by_hand(), NOON, 3600.0, [(90.0, 110.0)])
    good = safetensors_bytes(table)
    problem = json.dumps({"format": 1, "units": {"price": "USD", "time": "s"}}).encode()
    files = {
        "good.safetensors": good,
        "newer.safetensors": good.replace(b'{"quotegrid":"1"', b'{"quotegrid":"2"'),
        "cut.safetensors": good[:-8],
        "changed.safetensors": good[:-1] + bytes([good[-1] ^ 1]),
        "empty.safetensors": b"",
        "problem.toml": b"format = 1\nunits = " + problem,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    write_archive(table, tmp_path / "archive.nc")
    (tmp_path / "folder").mkdir()
    return tmp_path


Say = Callable[[dict[str, str]], str]


def said_in_python(step: dict[str, str]) -> str:
    """The name of the refusal, or ok, and how many flows are quoted."""

    def number(key: str, forgotten: Any = None) -> Any:
        return forgotten if step[key] == "-" else float(step[key])

    symbols = () if step["symbol"] == "-" else (step["symbol"],)
    ticks = () if step["tick"] == "-" else (number("tick"),)
    try:
        quoter = GuardedQuoter.load(step["table"], symbols, ticks)
        moment = Moment(
            inventory=number("lots", ()),
            reference=number("reference", ()),
            best_bid=number("bid", -math.inf),
            best_ask=number("ask", math.inf),
            now=number("now"),
        )
        return f"ok {sum(price is not None for price in quoter.prices(moment).values())}"
    except (TableError, QuoteError) as error:
        assert len(str(error).split()) > 4  # a sentence
        return f"{error.rule} 0"
    except OSError:
        return "file-unreadable 0"


@pytest.fixture(scope="module")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here to build the C reader with")
    program = tmp_path_factory.mktemp("c") / "wrong_steps"
    command = [*C99, str(TESTS / "wrong_steps.c"), "-o", str(program), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def rust_program(cargo: Callable[..., str], target: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("wrong_steps")
    crate, source = (json.dumps(str(path)) for path in (TABLES / "readers/rust", TESTS / "wrong_steps.rs"))
    (project / "Cargo.toml").write_text(
        '[package]\nname = "wrong_steps"\nedition = "2021"\n'
        f'[dependencies]\nquotegrid = {{ path = {crate} }}\n[[bin]]\nname = "wrong_steps"\npath = {source}\n',
        encoding="utf-8",
    )
    cargo("build", "--offline", folder=project)
    return target / "debug" / "wrong_steps"


def check(say: Say, folder: Path) -> None:
    for name, (changes, wanted) in STEPS.items():
        step = GOOD | changes
        step["table"] = str(folder / step["table"])
        assert say(step) == ("ok 2" if wanted == "ok" else f"{wanted} 0"), name


def program_says(program: Path) -> Say:
    def say(step: dict[str, str]) -> str:
        done = subprocess.run([program, *step.values()], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return say


def test_in_python(folder: Path) -> None:
    check(said_in_python, folder)


def test_in_c(folder: Path, c_program: Path) -> None:
    check(program_says(c_program), folder)


def test_in_rust(folder: Path, rust_program: Path) -> None:
    check(program_says(rust_program), folder)


def test_errors_that_are_not_looked_at_make_no_quotes_in_c(folder: Path, c_program: Path) -> None:
    """A program that goes on after a refused file, or the wrong asset's table, gets no price."""
    for table in ("good", "newer", "cut", "changed", "empty", "none"):
        words = ["careless", str(folder / f"{table}.safetensors"), "ABC" if table == "good" else "XYZ"]
        done = subprocess.run([c_program, *words], capture_output=True, text=True)
        assert done.returncode == 0, (table, done)
        name, quoted = done.stdout.split()
        assert name != "ok" and quoted == "0", (table, done.stdout)


@pytest.mark.parametrize(
    "flags", ["-ffast-math", "-Ofast", "-ffinite-math-only", "-funsafe-math-optimizations"]
)
def test_the_c_reader_refuses_flags_that_change_arithmetic(flags: str, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here to build the C reader with")
    (tmp_path / "t.c").write_text('#include "quotegrid.h"\nint main(void) { return 0; }\n')
    command = [*C99, flags, str(tmp_path / "t.c"), "-o", str(tmp_path / "t"), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and "needs IEEE arithmetic: compile without -ffast-math" in done.stderr


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        (lambda at: Quoter.load(at / "archive.nc"), "this is a NetCDF file; `quotegrid.read_table` reads an"),
        (
            lambda at: Quoter.load(at / "problem.toml"),
            "this is text; if it is a problem file, `quotegrid solve`",
        ),
        (
            lambda at: Quoter.load(at / "newer.safetensors"),
            "table format '2'; this version of quotegrid reads",
        ),
        (lambda at: GuardedQuoter.load(at / "good.safetensors", "XYZ", (0.01,)), "is one word; give a list"),
        (
            lambda at: GuardedQuoter.load(at / "good.safetensors", ["XYZ"], cast(Any, 0.01)),
            "ticks 0.01: give one positive",
        ),
        (
            lambda at: GuardedQuoter.load(at / "good.safetensors", [], [0.01]),
            "symbols none: this table is for",
        ),
    ],
)
def test_sentences_in_python(load: Callable[[Path], object], sentence: str, folder: Path) -> None:
    with pytest.raises((TableError, QuoteError)) as caught:
        load(folder)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("now", [1000.0 * NOON, 12.5])
def test_a_clock_that_is_none_is_asked_about(now: float, folder: Path) -> None:
    quoter = GuardedQuoter.load(folder / "good.safetensors", ["XYZ"], [0.01])
    with pytest.raises(QuoteError, match="is `now` in Unix seconds, not in milliseconds or the time of the"):
        quoter.prices(Moment(now=now, inventory=0, reference=100.0))


def test_what_cannot_be_seen_stands_in_the_box(
    folder: Path, table_by_hand: Callable[..., PolicyTable]
) -> None:
    """Each of these steps is quoted without a word."""
    quoter = GuardedQuoter.load(folder / "good.safetensors", ["XYZ"], [0.01])
    moment = Moment(now=NOON, inventory=2, reference=100.0)
    right = quoter.prices(moment)
    for wrong in (
        moment._replace(inventory=-2),  # the sign
        moment._replace(inventory=0),  # lots in place of units, rounded
        moment._replace(reference=100.2),  # the last trade in place of the mid
    ):
        assert quoter.prices(wrong) != right
    aged = GuardedQuoter(table_by_hand(), ["XYZ"], [0.01])
    assert aged.prices(moment._replace(now=1e3 * NOON, reference=10_000.0))["size1/bid"] is not None
    box = " ".join(line.removeprefix("> ") for line in PAGE.splitlines() if line.startswith(">"))
    for words in (
        "The sign of the inventory",
        "Inventory in lots",
        "The reference price is the one the problem says",
        "not the time that is left",
        "A table without `start`, `life` and price box",
        "Regimes and flows by number",
        "must not be changed in place",
    ):
        assert words in box, words


def test_half_a_regime_is_none() -> None:
    quoter = Quoter(dict(conformance_tables())["regimes"])
    assert quoter.quote(0, market=Market(1)) == quoter.quote(0, market=Market("wild"))
    with pytest.raises(QuoteError, match=r"regime 0.5 is unknown"):
        quoter.quote(0, market=Market(0.5))  # pyright: ignore[reportArgumentType]
