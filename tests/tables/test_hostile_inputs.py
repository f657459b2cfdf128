"""Hostile files: every cut and flipped bit refused, mutated files by the thousand, C and Python agreed."""

import re
import runpy
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.safetensors_file import safetensors_bytes, table_of_bytes
from quotegrid.tables.safetensors_layout import encode
from quotegrid.tables.table_error import TableError

TESTS = Path(__file__).resolve().parent
READER = TESTS.parents[1] / "tables" / "readers" / "c"
SANITISED = ["gcc", "-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pedantic"]
SANITISED += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fsanitize-coverage=trace-pc"]
SMALL = safetensors_bytes(dict(conformance_tables())["no-flows"])
sealed: Callable[[bytes], bytes] = runpy.run_path(str(TESTS / "hostile_files.py"))["sealed"]


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


def fuzz(*arguments: object) -> tuple[int, ...]:
    """A run of the fuzzer for Python: inputs, accepted, outcomes, kept, branches, defects."""
    command = [sys.executable, str(TESTS / "hostile_inputs.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return tuple(map(int, re.findall(r"\d+", done.stdout.splitlines()[-1])))[:6]


def test_mutated_files_in_python(tmp_path: Path) -> None:
    inputs, accepted, outcomes, kept, branches, defects = fuzz("table", 2000, 5)
    assert (inputs, defects) == (2000, 0)
    assert (accepted > 50, outcomes > 30, kept > 60, branches > 600) == (True, True, True, True)


def test_mutated_folders_and_keys_in_python() -> None:
    inputs, accepted, outcomes, _, _, defects = fuzz("folder", 300, 5)
    assert (inputs, defects, accepted > 20, outcomes > 5) == (300, 0, True, True)
    inputs, _, outcomes, _, _, defects = fuzz("key", 300, 5)
    assert (inputs, defects, outcomes) == (300, 0, 3)


FAULTS = """
import sys
sys.path.insert(0, sys.argv[1])
import hostile_inputs

read, hung = hostile_inputs.table_of_bytes, []
hostile_inputs.PATIENCE = 1

def faulty(buffer, where):
    table = read(buffer, where)
    if table.lot_sizes[0] != 0.1:
        table.lot_sizes[9]
    if len(table.regimes) == 3:
        bytes(100_000_000)
    if table.market_order is not None and not hung:
        hung.append(True)
        while True:
            pass
    return table

hostile_inputs.table_of_bytes = faulty
sys.exit(hostile_inputs.main("table", "2000", "1", sys.argv[2]))
"""


def test_the_fuzzer_for_python_finds_what_is_wrong(tmp_path: Path) -> None:
    """Planted: an index that is out of range, memory without end, a loop without end."""
    command = [sys.executable, "-c", FAULTS, str(TESTS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].count("3 defects") == 1, done.stdout
    for words in ("IndexError: tuple index", "MemoryError", "TimeoutError: input"):
        assert words in done.stdout
    assert len(list(tmp_path.glob("defect-*"))) == 3


@pytest.mark.deep
def test_ten_million_mutated_files_in_python() -> None:
    assert fuzz("table", 10_000_000, 6)[-1] == 0


@pytest.mark.deep
def test_a_million_mutated_folders_and_keys_in_python() -> None:
    assert fuzz("folder", 1_000_000, 6)[-1] == 0
    assert fuzz("key", 1_000_000, 6)[-1] == 0


def with_metadata(**changes: str) -> bytes:
    """A small file in whose metadata some fields are other JSON text."""
    table = dict(conformance_tables())["no-flows"]
    metadata = dict(table.metadata())
    text = canonical_json(metadata | {name: f"@{name}" for name in changes})
    for name, value in changes.items():
        text = text.replace(f'"@{name}"', value)
    return sealed(b"".join(encode(table.tensors(), text, "0" * 64)))


@pytest.mark.parametrize("depth", [97, 98, 99, 100, 500, 980, *range(985, 1000), 5000, 100_000])
def test_metadata_are_not_nested_deeply(depth: int) -> None:
    """What nests almost as deep as the interpreter allows once got through one check and not the next."""
    nested = "[" * depth + "]" * depth
    file = with_metadata(certificate=f'{{"level":"none","x":{nested}}}')
    if depth <= 98:  # in two objects
        assert refusal(file) is None
        return
    with pytest.raises(TableError, match="nested more than 100 deep") as caught:
        table_of_bytes(memoryview(file), "hostile")
    assert caught.value.rule == "metadata-json"


def test_numbers_of_metadata_fit_a_double() -> None:
    assert refusal(with_metadata(residual="1" * 300)) is None
    assert refusal(with_metadata(residual="1" * 400)) == "metadata-field"
    assert refusal(with_metadata(lookup_error=f'{{"offset":0.0,"value":{"9" * 309}}}')) == "metadata-field"


def test_long_headers_take_little_memory() -> None:
    """Matching them once took 150 bytes for each of theirs, tensors without numbers ten."""
    metadata = with_metadata(status_message='"' + "a\\n" * 100_000 + '"')
    shape = SMALL.replace(b'"shape":[', b'"shape":[' + b"1," * 200_000, 1)
    end = shape.rindex(b"]}}") + 3
    shape = shape[:end] + b" " * (-end % 64)
    shape = sealed((len(shape) - 8).to_bytes(8, "little") + shape[8:])
    tensors = b"".join(b',"x%d":{"dtype":"F64","shape":[0],"data_offsets":[0,0]}' % n for n in range(100_000))
    first = SMALL.index(b',"inventory_0"')
    many = SMALL[8:first] + tensors + b"}"
    many = sealed(
        (len(many) + -(8 + len(many)) % 64).to_bytes(8, "little") + many + b" " * (-(8 + len(many)) % 64)
    )
    for file, rule in ((metadata, None), (shape, "tensor-shape"), (many, "tensor-unknown")):
        tracemalloc.start()
        try:
            assert refusal(file) == rule
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 * len(file), rule
