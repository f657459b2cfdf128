"""The C reader: built without a warning as C and C++, bit for bit, by the names of FORMAT.md, from CMake."""

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.conformance.vectors import vectors_file
from quotegrid.tables.lookup import REFUSALS
from quotegrid.tables.quoter import Quoter
from quotegrid.tables.safetensors_file import write_safetensors
from quotegrid.tables.table_parts import ORDER

TABLES = Path(__file__).resolve().parents[2] / "tables"
READER = TABLES / "readers" / "c"
CONFORMANCE = sorted(
    file for end in ("vectors", "prices") for file in (TABLES / "conformance").glob(f"*.{end}")
)
REFUSED = sorted((TABLES / "conformance" / "refused").glob("*.safetensors"))
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
BUILDS = {
    "c99": ["gcc", "-std=c99", "-O2"],
    "c11-native": ["gcc", "-std=gnu11", "-O3", "-march=native"],  # where sums could be fused
    "c99-portable": ["gcc", "-std=c99", "-O1", "-DQUOTEGRID_PORTABLE"],  # SHA-256 without its instructions
    "c++11": ["g++", "-x", "c++", "-std=c++11", "-O2"],
    "c++20-native": ["g++", "-x", "c++", "-std=c++20", "-O3", "-march=native"],
}


def compiled(build: list[str], source: Path, target: Path) -> Path:
    """A program of the C reader; skips where the compiler is not installed."""
    if shutil.which(build[0]) is None:
        pytest.skip(f"no {build[0]} here to build the C reader with")
    command = [*build, *STRICT, f"-I{READER}", str(source), "-o", str(target), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("build", list(BUILDS))
def test_conformance(build: str, tmp_path: Path) -> None:
    program = compiled(BUILDS[build], READER / "conformance.c", tmp_path / "conformance")
    done = subprocess.run([program, *CONFORMANCE, *REFUSED], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("100 of 100 rows fit") == len(CONFORMANCE)


def test_conformance_sees_a_difference(tmp_path: Path) -> None:
    """A wrong last bit in one answer, a wrong name, a wrong refusal."""
    program = compiled(BUILDS["c99"], READER / "conformance.c", tmp_path / "conformance")
    file = bytearray((TABLES / "conformance" / "finite.vectors").read_bytes())
    _, words, rows, width = struct.unpack_from("<8s3q", file)
    answered = next(
        place
        for place in range(64 + 8 * words, len(file), 8 * width)
        if struct.unpack_from("<q", file, place + 32)[0] == 0
    )
    file[answered + 48] ^= 1  # the value
    (tmp_path / "one-bit.vectors").write_bytes(file)
    done = subprocess.run([program, tmp_path / "one-bit.vectors"], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{rows - 1} of {rows} rows fit" in done.stdout
    shutil.copy(REFUSED[0], tmp_path / "box-form.safetensors")
    done = subprocess.run([program, tmp_path / "box-form.safetensors"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[-1]) == (1, REFUSED[0].stem)


@pytest.mark.deep
@pytest.mark.parametrize("build", ["c99", "c++20-native"])
def test_a_million_rows_bit_for_bit(build: str, tmp_path: Path) -> None:
    program = compiled(BUILDS[build], READER / "conformance.c", tmp_path / "conformance")
    tables = dict(conformance_tables())
    rows = 1_000_000 // len(tables) + 1
    for name, table in tables.items():
        with open(tmp_path / "t.vectors", "wb") as file:
            file.writelines(vectors_file(name, table, rows))
        done = subprocess.run([program, tmp_path / "t.vectors"], capture_output=True, text=True)
        assert f"{rows} of {rows} rows fit" in done.stdout, name


def test_the_header_knows_the_errors_and_tensors_of_the_document() -> None:
    header = (READER / "quotegrid.h").read_text(encoding="utf-8")
    document = (TABLES / "FORMAT.md").read_text(encoding="utf-8")
    block = header[header.index("#define QG_ERRORS") : header.index("#define QG_AS_ENUM")]
    errors = re.findall(r'X\(\w+, "([a-z-]+)"\)', block)
    named = set(re.findall(r"\[([a-z]+-[a-z-]+)\]", document))
    unchecked = {"metadata-json", "metadata-canonical", "metadata-field", "archive-unreadable"}
    assert tuple(errors[1 : 1 + len(REFUSALS)]) == REFUSALS
    assert set(errors[1 + len(REFUSALS) :]) - {"bytes-not-aligned", "file-unreadable"} == named - unchecked
    listed = header[header.index("#define QG_TENSORS") : header.index("typedef enum qg_tensor_id")]
    names = []
    for kind, name in re.findall(r'(QG_EIGHT|X)\((?:X, )?\w+, "(\w+)"\)', listed):
        names += [name] if kind == "X" else [f"{name}_{number}" for number in range(8)]
    assert tuple(names) == ORDER


def test_cmake_builds_the_example_which_quotes_as_python_does(tmp_path: Path, solved) -> None:
    if shutil.which("cmake") is None or shutil.which("gcc") is None:
        pytest.skip("no cmake and gcc here to build the example with")
    for command in (
        ["cmake", "-S", str(READER), "-B", str(tmp_path), f"-DCMAKE_C_FLAGS={' '.join(STRICT)}"],
        ["cmake", "--build", str(tmp_path)],
        ["ctest", "--test-dir", str(tmp_path)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([tmp_path / "conformance"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.startswith("no files to try: ")
    path = tmp_path / "t.safetensors"
    write_safetensors(solved("finite"), path)
    done = subprocess.run([tmp_path / "example", path, "4", "1.5"], capture_output=True, text=True)
    ask = Quoter(solved("finite")).quote(4, 1.5).offsets["book/ask"]
    assert ask is not None
    bid_line, ask_line = done.stdout.splitlines()
    assert bid_line == "book/bid not quoted"
    name, number, unit = ask_line.split()
    assert (name, float(number), unit) == ("book/ask", ask, "USD")
    done = subprocess.run([tmp_path / "example", path, "5", "1.5"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "refused: outside-box\n")
    for words in (["four", "1.5"], ["4lots", "1.5"], ["", "1.5"], ["4", "noon"]):
        done = subprocess.run([tmp_path / "example", path, *words], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "refused: not-a-number\n")


def test_cmake_adds_the_header_alone_to_another_project(tmp_path: Path) -> None:
    if shutil.which("cmake") is None or shutil.which("g++") is None:
        pytest.skip("no cmake and g++ here to build a project with")
    (tmp_path / "example.cpp").write_text(
        '#include "quotegrid.h"\nint main() { return qg_error_name(QG_OK) == nullptr; }\n'
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\n"
        "project(mine LANGUAGES CXX)\n"
        f"add_subdirectory({READER} quotegrid)\n"
        "add_executable(example example.cpp)\n"
        "target_link_libraries(example PRIVATE quotegrid)\n"
    )
    built = tmp_path / "built"
    for command in (["cmake", "-S", str(tmp_path), "-B", str(built)], ["cmake", "--build", str(built)]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert subprocess.run([built / "example"]).returncode == 0
    assert not list(built.rglob("conformance"))
