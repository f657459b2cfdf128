"""Hostile files: every cut and flipped bit refused, mutated files by the thousand, C and Python agreed."""

import hashlib
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from quotegrid.tables.conformance_tables import conformance_tables
from quotegrid.tables.safetensors_file import safetensors_bytes, table_of_bytes
from quotegrid.tables.table_error import TableError

TESTS = Path(__file__).resolve().parent
READER = TESTS.parents[1] / "tables" / "readers" / "c"
SANITISED = ["gcc", "-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pedantic"]
SANITISED += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fsanitize-coverage=trace-pc"]
SMALL = safetensors_bytes(dict(conformance_tables())["no-flows"])
HASH = slice(57, 121)


def sealed(file: bytes) -> bytes:
    """The file with the content hash that fits, so that nothing is refused for that alone."""
    if len(file) < HASH.stop:
        return file
    blank = file[: HASH.start] + b"0" * 64 + file[HASH.stop :]
    return blank[: HASH.start] + hashlib.sha256(blank).hexdigest().encode() + blank[HASH.stop :]


def refusal(file: bytes) -> str | None:
    """The rule by which Python refuses a file; None: it reads it. Any other exception is a crash."""
    try:
        table_of_bytes(memoryview(file), "hostile")
    except TableError as error:
        return error.rule
    return None


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hostile files for C, built with sanitisers."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here to build the C reader with")
    target = tmp_path_factory.mktemp("hostile") / "hostile_inputs"
    command = [*SANITISED, f"-I{READER}", str(TESTS / "hostile_inputs.c"), "-o", str(target), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    if "cannot find -lasan" in done.stderr or "cannot find -lubsan" in done.stderr:
        pytest.skip("no sanitisers here to build the C reader with")
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Good files of all shapes."""
    folder = tmp_path_factory.mktemp("seeds")
    for name, table in conformance_tables():
        (folder / f"{name}.safetensors").write_bytes(safetensors_bytes(table))
    return sorted(folder.iterdir())


def run(program: Path, *arguments: object) -> str:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_c_refuses_every_cut_and_every_flipped_bit(program: Path, seeds: list[Path]) -> None:
    small = [path for path in seeds if path.stem in ("no-flows", "regimes")]
    assert run(program, "cut", *small).count(", 0 not refused") == 2


def test_python_refuses_every_cut() -> None:
    assert refusal(SMALL) is None
    for size in range(len(SMALL)):
        assert refusal(SMALL[:size]) is not None, size


def test_python_refuses_every_flipped_bit() -> None:
    file = bytearray(SMALL)
    for bit in range(8 * len(SMALL)):
        file[bit // 8] ^= 1 << bit % 8
        assert refusal(bytes(file)) is not None, bit
        file[bit // 8] ^= 1 << bit % 8


def test_mutated_files_in_c_and_what_it_kept_of_them_in_python(
    program: Path, seeds: list[Path], tmp_path: Path
) -> None:
    """What the fuzzer keeps is as varied as it gets: both readers must take or refuse the same of it."""
    assert run(program, "fuzz", 10_000, 7, tmp_path, *seeds).startswith("10000 inputs")
    found = sorted(tmp_path.iterdir())
    assert len(found) > 50
    taken = 0
    for path in found:
        file = sealed(path.read_bytes())
        (tmp_path / "sealed").write_bytes(file)
        theirs = run(program, "name", tmp_path / "sealed").strip()
        ours = refusal(file)
        if ours is not None and ours.startswith("metadata-") and ours != "metadata-entry":
            continue  # C hands the metadata on as text
        assert (theirs == "ok") == (ours is None), (path, theirs, ours)
        taken += ours is None
    assert taken > 0


WORDS = (
    b'"shape":[',
    b"F64",
    b"I64",
    b"time",
    b"regime",
    b"gain",
    b"0",
    b"9999999999999999",
    b'\\"',
    b"}",
    b",",
)
NUMBERS = (0, 1, 2**63, 2**64 - 1, 0x7FF0 << 48, 0x7FF8 << 48, 0x3FF0 << 48, 1001, 2**53 + 1)


def mutated(file: bytes, draw: random.Random) -> bytes:
    """A few random changes; often with a header length and a content hash that fit again."""
    new = bytearray(file)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(new) or 1)
        if draw.random() < 0.5:
            at = min(at, draw.randrange(1 + len(new)), max(len(new) - 1, 0))
        match draw.randrange(6):
            case 0:
                new[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                word = draw.choice(WORDS)
                new[at : at + draw.choice((0, len(word)))] = word
            case 2:
                new[at - at % 8 : at - at % 8 + 8] = draw.choice(NUMBERS).to_bytes(8, "little")
            case 3:
                del new[at : at + draw.randrange(16)]
            case 4:
                source = draw.randrange(len(new) or 1)
                new[at:at] = new[source : source + draw.randrange(24)]
            case _ if draw.random() < 0.1:
                del new[at:]
    end = new.rfind(b"]}}") + 3
    if draw.random() < 0.7 and end > 3:
        new[end:end] = b" " * (-end % 64)
        new[:8] = (end + -end % 64 - 8).to_bytes(8, "little")
    return sealed(bytes(new)) if draw.random() < 0.9 else bytes(new)


def fuzz(runs: int, seeds: list[bytes], draw: random.Random) -> tuple[int, int]:
    """Coverage-guided: inputs that reach a new line of the loader are kept; how many, and how many read."""
    folder = str(READER.parents[1].resolve())
    seen: set[tuple[str, int]] = set()
    kept, read = list(seeds), 0

    def trace(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        name = frame.f_code.co_filename
        if not (name.startswith(folder) or "quotegrid/tables" in name):
            return None

        def line(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
            seen.add((name, frame.f_lineno))
            return line

        return line

    for file in seeds:
        assert refusal(file) is None
    for _ in range(runs):
        file, before = mutated(draw.choice(kept), draw), len(seen)
        previous = sys.gettrace()
        sys.settrace(trace)
        try:
            read += refusal(file) is None
        finally:
            sys.settrace(previous)
        if len(seen) > before:
            kept.append(file)
    return len(kept) - len(seeds), read


def test_mutated_files_in_python(seeds: list[Path]) -> None:
    good = [path.read_bytes() for path in seeds if path.stat().st_size < 5000]
    kept, read = fuzz(1500, good, random.Random(5))
    assert kept > 5
    assert read > 5


@pytest.mark.deep
def test_many_mutated_files_in_python(seeds: list[Path]) -> None:
    good = [path.read_bytes() for path in seeds if path.stat().st_size < 5000]
    kept, read = fuzz(100_000, good, random.Random(6))
    assert kept > 30
    assert read > 1000
