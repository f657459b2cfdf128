"""The checkout itself: linted, typed, and free of anything that belongs to one machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = {
    ".py",
    ".toml",
    ".md",
    ".cff",
    ".yaml",
    ".yml",
    ".json",
    ".ipynb",
    ".tex",
    ".bib",
    ".txt",
    ".c",
    ".h",
    ".rs",
    "",
}
PERSONAL = re.compile(
    r"(?<![\w.<>~-])/(?:root|home|work|Users|opt|mnt|srv)/[\w.-]+"  # folders of one machine
    r"|[A-Z]:\\\\?Users"
    r"|--(?:extra-)?index-url|--find-links|--trusted-host|pythonhosted\.org|/simple/"  # package indexes
)


def tracked_files(checkout: Path) -> list[Path]:
    """The files under version control, without links; skips where the tests run from an unpacked archive."""
    if not (checkout / ".git").exists():
        pytest.skip("no version control here to ask for the list of files")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=True
    )
    files = [checkout / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file() and not file.is_symlink()]


def test_nothing_names_one_machine(checkout: Path) -> None:
    this = Path(__file__).resolve()
    found = [
        f"{file.relative_to(checkout)}:{number}: {line.strip()[:120]}"
        for file in tracked_files(checkout)
        if file.suffix in TEXT and file != this
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if PERSONAL.search(line)
    ]
    assert not found


@pytest.mark.parametrize("line", ["cd /root/env", "in /home/ada/data", r"C:\Users\ada", "pip --index-url x"])
def test_the_search_for_personal_paths_finds_them(line: str) -> None:
    assert PERSONAL.search(line)


@pytest.mark.parametrize("line", ["bid/ask offsets", "~/.cache/quotegrid", "USD/h", "`<symbol>/home/x`"])
def test_the_search_for_personal_paths_lets_units_pass(line: str) -> None:
    assert not PERSONAL.search(line)


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_is_clean(checkout: Path, arguments: list[str]) -> None:
    done = run_tool(checkout, ["ruff", *arguments, "."])
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_is_clean(checkout: Path) -> None:
    done = run_tool(checkout, ["pyright", "--pythonpath", sys.executable])
    assert done.returncode == 0, done.stdout + done.stderr


def run_tool(checkout: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a module of this interpreter's environment in the checkout."""
    environment = os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=checkout, capture_output=True, text=True, env=environment
    )
