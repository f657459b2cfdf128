"""The page of the readers: every program on it is built and run as it stands, and quotes as Python does."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.publication.publishing import publisher
from quotegrid.tables.quoter import Quoter
from quotegrid.tables.safetensors_file import write_safetensors

READERS = Path(__file__).resolve().parents[2] / "tables" / "readers"
PAGE = (READERS / "README.md").read_text(encoding="utf-8")
C99 = ["gcc", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{READERS / 'c'}"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.fixture(params=["c", "rust"])
def programs(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """The two programs of a language: the quoter and the follower."""
    quoter, follower = blocks(request.param)
    folder = tmp_path / "programs"
    folder.mkdir()
    if request.param == "c":
        if shutil.which("gcc") is None:
            pytest.skip("no gcc here to build the C reader with")
        for name, text in (("quoter", quoter), ("follower", follower)):
            source = folder / f"{name}.c"
            source.write_text(text, encoding="utf-8")
            done = subprocess.run(
                [*C99, str(source), "-o", str(folder / name), "-lm"], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        return folder / "quoter", folder / "follower"
    cargo: Callable[..., str] = request.getfixturevalue("cargo")
    target: Path = request.getfixturevalue("target")
    (dependency,) = re.findall(r"    (\[dependencies\]\n)    (quotegrid = .*)\n", PAGE)
    crate = "".join(dependency).replace("…/tables/readers/rust", str(READERS / "rust"))
    package = '[package]\nname = "of-the-page"\nedition = "2021"\n\n'
    (folder / "Cargo.toml").write_text(f"{package}{crate}\n", encoding="utf-8")
    (folder / "src" / "bin").mkdir(parents=True)
    (folder / "src" / "bin" / "quoter.rs").write_text(quoter, encoding="utf-8")
    (folder / "src" / "bin" / "follower.rs").write_text(follower, encoding="utf-8")
    cargo("build", "--offline", folder=folder)
    return target / "debug" / "quoter", target / "debug" / "follower"


@pytest.fixture
def eth(solve_tiny, change, problems) -> PolicyTable:
    return PolicyTable.from_solution(solve_tiny(change(problems["glft"], market__symbol="ETH-PERP")))


def test_the_quick_start_quotes_as_python_does(
    programs: tuple[Path, Path], tmp_path: Path, eth: PolicyTable
) -> None:
    (python,) = blocks("python")
    write_safetensors(eth, tmp_path / "eth.safetensors")
    done = subprocess.run([programs[0]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = {}
    exec(python.replace('"eth.safetensors"', repr(str(tmp_path / "eth.safetensors"))), found)
    lines = [
        f"{label.replace('/', ' ')} {price.ticks} ticks"
        for label, price in found["prices"].items()
        if price is not None
    ]
    assert done.stdout.splitlines() == lines
    assert len(lines) == 2


def test_the_follower_takes_a_new_table(
    programs: tuple[Path, Path], tmp_path: Path, eth: PolicyTable, solve_tiny, change, problems
) -> None:
    problem = change(problems["glft"], market__symbol="ETH-PERP", price__volatility=0.6)
    other = PolicyTable.from_solution(solve_tiny(problem))
    folder = tmp_path / "live" / "eth"
    folder.mkdir(parents=True)
    with publisher(folder) as at_work:
        at_work.publish(eth)
        pipe = subprocess.PIPE
        words = {"cwd": tmp_path, "stdin": pipe, "stdout": pipe, "stderr": pipe, "text": True, "bufsize": 1}
        started: Any = subprocess.Popen(["stdbuf", "-oL", programs[1]], **words)
        answers = []
        for table in (eth, other):
            at_work.publish(table)
            started.stdin.write("1.5\n")
            answers.append(float(started.stdout.readline()))
        at_work.publish(PolicyTable.from_solution(solve_tiny(problems["glft"])))  # of another symbol
        said, complaints = started.communicate("2\n9\n")
    assert answers == [
        Quoter(table, between="towards_flat").quote(1.5).offsets["book/bid"] for table in (eth, other)
    ]
    offset, refusal = said.split()
    assert (float(offset), refusal) == (Quoter(other).quote(2).offsets["book/bid"], "outside-box")
    assert complaints.startswith("interface-changed: generation") and started.returncode == 0


def test_files_and_paths_on_the_page_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links and all(os.path.exists(READERS / link) for link in links)
