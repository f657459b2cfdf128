"""From market data to a quote by the program alone: calibrate, solve, show, quote, verify."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quotegrid.calibration.synthetic_files import write_csv, write_files

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def quotegrid(tmp_path: Path, pytestconfig: pytest.Config) -> Program:
    """The program in a process and a folder of its own; another exit code than expected fails the test."""

    cache = tmp_path if pytestconfig.cache is None else pytestconfig.cache.mkdir("jax")

    def run(*arguments: object, expected: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "quotegrid", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)},
        )
        assert done.returncode == expected, done.stdout + done.stderr
        assert bool(done.stderr) == (expected != 0)
        return done

    return run


@pytest.fixture
def files(market, tmp_path: Path) -> tuple[Path, Path]:
    """A synthetic market as the two files a user has."""
    written = write_csv(tmp_path, *market(duration=400.0).draw(3))
    quotes, trades = (path.rename(tmp_path / f"xyz_{path.name}") for path in written)
    return quotes, trades


def test_neither_the_data_nor_a_folder_is_written_over(
    files: tuple[Path, Path], quotegrid: Program, tmp_path: Path
) -> None:
    before = files[1].read_bytes()
    for output, words in (
        (files[1], "xyz_trades.csv holds the data; name another file to write"),
        (".", ". is a folder; name the file to write"),
    ):
        refused = quotegrid("calibrate", *files, "-o", output, expected=2)
        assert words in refused.stderr and refused.stdout == ""
    assert files[1].read_bytes() == before and len(list(tmp_path.glob("*.toml"))) == 0


def test_from_files_to_a_quote(files: tuple[Path, Path], quotegrid: Program, tmp_path: Path) -> None:
    shown = quotegrid("calibrate", *files, "-o", "xyz.toml", "--plot", "fit.png", "--pool-sides").stdout
    assert "USD/√s" in shown
    assert shown.endswith(
        "\n\nwritten: fit.png\nwritten: xyz.toml; next: quotegrid solve xyz.toml -o xyz.safetensors\n"
    )
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")

    assert "converged" in quotegrid("solve", "xyz.toml", "-o", "xyz.safetensors").stdout
    assert "USD per h" in quotegrid("show", "xyz.safetensors", "--plot", "xyz.png").stdout
    quote = json.loads(quotegrid("quote", "xyz.safetensors", "--inventory", "3", "--json").stdout)
    assert quote["offsets"]["book/ask"] < quote["offsets"]["book/bid"]  # long, so keener to sell
    assert "passed" in quotegrid("verify", "xyz.safetensors").stdout


def test_choices_reach_the_problem_file(files: tuple[Path, Path], quotegrid: Program, tmp_path: Path) -> None:
    choices = ("--symbol", "ABC", "--price-unit", "EUR", "--form", "exponential", "--lot-size", "0.5")
    limits = ("--max-inventory", "7", "--risk-aversion", "0.01")
    quotegrid("calibrate", *files, "-o", "abc.toml", *choices, *limits)
    problem = (tmp_path / "abc.toml").read_text(encoding="utf-8")
    for line in ('symbol = "ABC"', 'price = "EUR"', 'kind = "exponential"', "lot_size = 0.5", "max = 7"):
        assert line in problem
    assert "risk_aversion = 0.01" in problem


def test_a_day_of_lobster_is_told_by_its_content_and_the_markout_charged(
    market, quotegrid: Program, tmp_path: Path
) -> None:
    paths = write_files("lobster", tmp_path, *market(duration=300.0, adverse_move=0.02).draw(4))
    asked = ("--charge-markout", "--form", "exponential", "--horizon", "0.5")
    shown = quotegrid("calibrate", *paths, "-o", "day.toml", *asked).stdout
    assert "market orders; tick 0.01 USD" in shown and "exchange time" in shown
    problem = (tmp_path / "day.toml").read_text(encoding="utf-8")
    assert 'adverse = { on = "markout", jump = ' in problem and "0.5 s later" in problem
    assert "[uncertainty]" in problem
    done = quotegrid("calibrate", *paths, "-o", "no.toml", "--format", "hftbacktest", expected=2)
    assert "cannot be read, it may be cut off or damaged" in done.stderr


def test_a_real_capture_goes_all_the_way(perpetual: tuple[Path, Path], quotegrid: Program) -> None:
    raw = perpetual[0].with_name("binance_coinm_ethusd_perp_20240808.raw.gz")
    if not raw.exists():
        pytest.skip("the raw capture is not beside the checkout")
    quotegrid("calibrate", raw, "-o", "raw.toml", "--asset-unit", "ETH", "--contract-size", "10", "--inverse")
    quotegrid("solve", "raw.toml", "-o", "raw.nc")
    assert "raw.nc: passed" in quotegrid("verify", "raw.nc").stdout


def test_missing_data_are_named(quotegrid: Program, tmp_path: Path) -> None:
    done = quotegrid("calibrate", "no_quotes.csv", "no_trades.csv", "-o", "no.toml", expected=2)
    assert "no_quotes.csv" in done.stderr
    assert not (tmp_path / "no.toml").exists()


def test_real_recordings_go_all_the_way(recorded: tuple[Path, Path], quotegrid: Program) -> None:
    quotegrid("calibrate", *recorded, "-o", "real.toml", "--asset-unit", "ETH")
    quotegrid("solve", "real.toml", "-o", "real.nc")
    assert "real" not in quotegrid("show", "real.nc").stdout
    quote = json.loads(quotegrid("quote", "real.nc", "--inventory", "0", "--json").stdout)
    assert all(0.005 < offset < 1.0 for offset in quote["offsets"].values())
    assert np.isfinite(quote["gain"])
    quotegrid("verify", "real.nc")
