"""The Rust reader: built without a warning, with and without std, bit for bit, by the names of FORMAT.md."""

import ctypes
import math
import random
import re
import runpy
import shutil
import struct
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.conformance.prices import TABLES as PRICED
from quotegrid.tables.conformance.prices import prices_file
from quotegrid.tables.conformance.vectors import vectors_file
from quotegrid.tables.guarded_quoter import GuardedQuoter, Moment
from quotegrid.tables.lookup import REFUSALS
from quotegrid.tables.quoter import Quoter
from quotegrid.tables.safetensors_file import read_safetensors, safetensors_bytes
from quotegrid.tables.table_parts import ORDER

TESTS = Path(__file__).resolve().parent
TABLES = TESTS.parents[1] / "tables"
READER = TABLES / "readers" / "rust"
TINY = READER / "examples" / "tiny.safetensors"
CONFORMANCE = sorted((TABLES / "conformance").glob("*.vectors"))
PRICES = sorted((TABLES / "conformance").glob("*.prices"))
REFUSED = sorted((TABLES / "conformance" / "refused").glob("*.safetensors"))
UNCHECKED = {"metadata-json", "metadata-canonical", "metadata-field"}

Cargo = Callable[..., str]


@pytest.fixture(scope="module")
def programs(cargo: Cargo, target: Path) -> Path:
    """The folder of the built examples."""
    cargo("build", "--offline", "--locked", "--examples")
    return target / "debug" / "examples"


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)


def check_conformance(program: Path) -> None:
    done = run(program, *CONFORMANCE, *PRICES, *REFUSED)
    assert done.returncode == 0, done.stdout
    files = len(CONFORMANCE) + len(PRICES)
    assert done.stdout.count(": 100 of 100 rows fit, 0 allocations\n") == files == done.stdout.count("\n")


def test_conformance(programs: Path) -> None:
    check_conformance(programs / "conformance")


def test_conformance_without_std(cargo: Cargo, target: Path) -> None:
    """With the square root of its own."""
    folder = target / "core"
    cargo(
        *("build", "--offline", "--locked", "--no-default-features", "--example", "conformance"),
        *("--target-dir", folder),
    )
    check_conformance(folder / "debug" / "examples" / "conformance")


def test_conformance_sees_a_difference(programs: Path, tmp_path: Path) -> None:
    """A wrong last bit in one answer, a wrong name."""
    file = bytearray((TABLES / "conformance" / "finite.vectors").read_bytes())
    _, words, rows, width = struct.unpack_from("<8s3q", file)
    answered = next(
        place
        for place in range(64 + 8 * words, len(file), 8 * width)
        if struct.unpack_from("<q", file, place + 32)[0] == 0
    )
    file[answered + 48] ^= 1  # the value
    (tmp_path / "one-bit.vectors").write_bytes(file)
    done = run(programs / "conformance", tmp_path / "one-bit.vectors")
    assert done.returncode == 1
    assert f"{rows - 1} of {rows} rows fit" in done.stdout
    prices = bytearray((TABLES / "conformance" / "ergodic.prices").read_bytes())
    _, words, rows, width = struct.unpack_from("<8s3q", prices)
    priced = next(
        place
        for place in range(64 + 8 * words, len(prices), 8 * width)
        if struct.unpack_from("<q", prices, place + 80)[0] == 0
        and struct.unpack_from("<q", prices, place + 88)[0] == 1
    )
    prices[priced + 96] ^= 1  # the ticks
    (tmp_path / "one-tick.prices").write_bytes(prices)
    done = run(programs / "conformance", tmp_path / "one-tick.prices")
    assert (done.returncode, f"{rows - 1} of {rows} rows fit" in done.stdout) == (1, True), done.stdout
    shutil.copy(REFUSED[0], tmp_path / "box-form.safetensors")
    done = run(programs / "conformance", tmp_path / "box-form.safetensors")
    assert (done.returncode, done.stdout.split()[-1]) == (1, REFUSED[0].stem)


def test_every_cut_and_every_flipped_bit_is_refused(programs: Path, tmp_path: Path) -> None:
    small = tmp_path / "no-flows.safetensors"
    small.write_bytes(safetensors_bytes(dict(conformance_tables())["no-flows"]))
    done = run(programs / "conformance", "cut", TINY, small)
    assert (done.returncode, done.stdout.count(" flipped bits, 0 not refused")) == (0, 2), done.stdout


@pytest.mark.deep
@pytest.mark.parametrize(
    ("flags", "features"), [("", "--all-features"), ("-C target-cpu=native", "--no-default-features")]
)
def test_a_million_rows_bit_for_bit(
    cargo: Cargo, target: Path, tmp_path: Path, flags: str, features: str
) -> None:
    """As it is shipped; and without std, where the machine could fuse sums."""
    folder = target / features
    cargo(
        *("build", "--offline", "--locked", "--release", features, "--example", "conformance"),
        *("--target-dir", folder),
        flags=f"-D warnings {flags}",
    )
    tables = dict(conformance_tables())
    rows = 1_000_000 // len(tables) + 1
    for name, table in tables.items():
        files = [("vectors", vectors_file(name, table, rows))]
        files += [("prices", prices_file(name, table, rows // 4))] if name in PRICED else []
        for kind, pieces in files:
            with open(tmp_path / f"t.{kind}", "wb") as file:
                file.writelines(pieces)
            done = run(folder / "release" / "examples" / "conformance", tmp_path / f"t.{kind}")
            wanted = rows if kind == "vectors" else rows // 4
            assert f"{wanted} of {wanted} rows fit, 0 allocations" in done.stdout, (name, done.stdout)


def test_the_crate_knows_the_errors_and_tensors_of_the_document() -> None:
    source = (READER / "src" / "refusals.rs").read_text(encoding="utf-8")
    document = (TABLES / "FORMAT.md").read_text(encoding="utf-8")
    files, questions = (set(), ())
    for kind, block in re.findall(r"    (FileError|Refusal) \{\n(.*?)    \}", source, re.S):
        names = tuple(re.findall(r'\w+ "([a-z-]+)",', block))
        files, questions = (set(names), questions) if kind == "FileError" else (files, names)
    named = set(re.findall(r"\[([a-z]+-[a-z-]+)\]", document))
    assert questions == REFUSALS
    assert files == named - UNCHECKED - {"archive-unreadable"}
    listed = (READER / "src" / "tensors.rs").read_text(encoding="utf-8")
    block = listed[listed.index("\ntensors! {") : listed.index("impl Id {\n    /// The tensor so many")]
    assert tuple(re.findall(r'\w+ "(\w+)",', block)) == ORDER


def test_the_example_quotes_as_python_does(programs: Path) -> None:
    table = read_safetensors(TINY)
    offsets = Quoter(table, between="towards_flat").quote(1.5, 20.0).offsets
    quoter = GuardedQuoter(table, ("GLFT2013",), (0.01,), between="towards_flat")
    prices = quoter.prices(Moment(inventory=1.5, reference=100.0, best_bid=99.99, best_ask=100.01, time=20.0))
    done = run(programs / "quote", TINY, 1.5, 20)
    assert done.returncode == 0, done.stderr
    wanted = [f"{label} {offset} tick" for label, offset in offsets.items()]
    wanted += [f"{price.ticks} ticks" for price in prices.values() if price is not None]
    assert done.stdout.splitlines() == wanted
    assert len(wanted) == 4
    assert run(programs / "quote", TINY, 3, 20).stdout.startswith("book/bid not quoted\n")
    for arguments, text in (
        ((TINY, 5, 20), "refused: outside-box\n"),
        ((TINY, 1), "refused: wrong-coordinates\n"),
        ((REFUSED[0], 1), f"refused: {REFUSED[0].stem}\n"),
    ):
        done = run(programs / "quote", *arguments)
        assert (done.returncode, done.stderr) == (1, text)
    done = run(programs / "quote", TINY.with_name("none.safetensors"), 1)
    assert done.stderr.startswith("refused: file-unreadable: ")
    assert run(programs / "quote", TINY, "many").returncode == 2


class Library:
    """The functions of src/c_abi.rs."""

    def __init__(self, path: Path) -> None:
        self._c = ctypes.CDLL(str(path))
        self._c.quotegrid_error_name.restype = ctypes.c_size_t

    def name(self, error: int) -> str:
        text = ctypes.create_string_buffer(64)
        length = self._c.quotegrid_error_name(error, text, ctypes.c_size_t(64))
        return text.raw[:length].decode()

    def read(self, file: bytes, header_only: bool = False) -> tuple[int, ctypes.c_void_p]:
        """The number of the error and the table, which reads `file` in place."""
        table = ctypes.c_void_p()
        size = ctypes.c_size_t(len(file))
        return self._c.quotegrid_read(file, size, int(header_only), ctypes.byref(table)), table

    def refusal(self, file: bytes) -> str:
        error, table = self.read(file)
        self._c.quotegrid_free(table)
        return self.name(error)

    def counts(self, table: ctypes.c_void_p) -> list[int]:
        counts = (ctypes.c_size_t * 7)()
        self._c.quotegrid_counts(table, counts)
        return list(counts)

    def box(self, table: ctypes.c_void_p, axis: int) -> tuple[float, float]:
        ends = (ctypes.c_double * 2)()
        self._c.quotegrid_box(table, ctypes.c_size_t(axis), ends)
        return ends[0], ends[1]

    def look_up(
        self, table: ctypes.c_void_p, rules: tuple[int, int], coordinates: list[float], changes: list[float]
    ) -> tuple[int, list[float]]:
        _, _, _, _, assets, flows, _ = self.counts(table)
        answer = (ctypes.c_double * (5 + 3 * flows + 2 * assets))()
        refusal = self._c.quotegrid_look_up(
            table,
            (ctypes.c_int32 * 2)(*rules),
            (ctypes.c_double * len(coordinates))(*coordinates),
            ctypes.c_int64(0),
            (ctypes.c_double * len(changes))(*changes),
            answer,
        )
        return refusal, list(answer)

    def prices(
        self, table: ctypes.c_void_p, coordinates: list[float], now: float, market: list[float]
    ) -> tuple[int, list[int], list[float]]:
        flows = self.counts(table)[5]
        ticks, prices = (ctypes.c_int64 * flows)(), (ctypes.c_double * flows)()
        refusal = self._c.quotegrid_prices(
            table,
            (ctypes.c_int32 * 4)(2, 0, 0, 1),
            (ctypes.c_double * len(coordinates))(*coordinates),
            ctypes.c_int64(0),
            ctypes.c_double(now),
            (ctypes.c_double * len(market))(*market),
            ticks,
            prices,
        )
        return refusal, list(ticks), list(prices)

    def free(self, table: ctypes.c_void_p) -> None:
        self._c.quotegrid_free(table)


@pytest.fixture(scope="module")
def library(cargo: Cargo, target: Path) -> Library:
    """The crate as a library for other languages."""
    cargo(
        *("rustc", "--offline", "--locked", "--lib", "--crate-type", "cdylib", "--features", "c-abi"),
        *("--target-dir", target / "c"),
    )
    (path,) = (
        path for path in (target / "c" / "debug").iterdir() if path.suffix in (".so", ".dylib", ".dll")
    )
    return Library(path)


def test_errors_have_the_numbers_that_they_have_in_c(library: Library) -> None:
    header = (TABLES / "readers" / "c" / "quotegrid.h").read_text(encoding="utf-8")
    block = header[header.index("#define QG_ERRORS") : header.index("#define QG_AS_ENUM")]
    names = re.findall(r'X\(\w+, "([a-z-]+)"\)', block)
    shared = names[: names.index("bytes-not-aligned")]
    assert [library.name(number) for number in range(len(shared) + 1)] == [*shared, ""]
    assert library.name(-1) == ""


def test_a_table_from_another_language(library: Library) -> None:
    file = TINY.read_bytes()
    error, table = library.read(file)
    assert (error, library.counts(table)) == (0, [1, 0, 0, 0, 1, 2, 0])
    assert [library.box(table, axis) for axis in range(2)] == [(0.0, 600.0), (-3.0, 3.0)]
    quote = Quoter(read_safetensors(TINY), between="linear").quote(0.5, 33.0)
    refusal, answer = library.look_up(table, (3, 0), [33.0, 0.5], [])
    assert (refusal, answer[:3]) == (0, [quote.value, *quote.offsets.values()])
    assert library.name(library.look_up(table, (0, 0), [33.0, 0.5], [])[0]) == "between-nodes"
    moment = Moment(inventory=0.5, reference=100.0, best_bid=99.0, best_ask=101.0, time=33.0)
    quoter = GuardedQuoter(read_safetensors(TINY), ("GLFT2013",), (0.01,), between="towards_flat")
    wanted = [price for price in quoter.prices(moment).values() if price is not None]
    market = [0.01, 100.0, 99.0, 101.0]
    assert library.prices(table, [33.0, 0.5], 0.0, market) == (
        0,
        [price.ticks for price in wanted],
        [price.price for price in wanted],
    )
    refusal, ticks, prices = library.prices(table, [33.0, 0.5], 0.0, [0.0, 100.0, 99.0, 101.0])
    assert (library.name(refusal), ticks) == ("wrong-tick", [0, 0])
    assert all(math.isnan(price) for price in prices)
    library.free(table)
    sensitive = safetensors_bytes(dict(conformance_tables())["sensitivities"])
    _, table = library.read(sensitive)
    changes = [0.1, 0.0, -0.2, 0.0]
    assert library.look_up(table, (0, 0), [1.0], changes)[0] == 0
    assert library.name(library.look_up(table, (0, 0), [1.0], [math.inf, *changes[1:]])[0]) == "not-a-number"
    library.free(table)


def test_mutated_files_are_refused_as_python_refuses_them(library: Library) -> None:
    """Refused by both or by none; what only the header check lets through is still safe to look up."""
    hostile: dict[str, Any] = runpy.run_path(str(TESTS / "test_hostile_inputs.py"))
    mutated = runpy.run_path(str(TESTS / "hostile_files.py"))["mutated"]
    draw = random.Random("mutated files")
    tables = dict(conformance_tables())
    seeds = [safetensors_bytes(tables[name]) for name in ("no-flows", "regimes", "sensitivities", "box")]
    taken = same = looked = 0
    for _ in range(1500):
        file = mutated(draw.choice(seeds), seeds, draw)
        theirs, ours = hostile["refusal"](file), library.refusal(file)
        if theirs not in UNCHECKED:
            assert (theirs is None) == (ours == "ok"), (theirs, ours)
        taken, same = taken + (ours == "ok"), same + (theirs == ours)
        error, table = library.read(file, header_only=True)
        if error:
            continue
        times, _, factors, parameter_axes, assets, _, parameters = library.counts(table)
        for rules in ((0, 0), (1, 1), (2, 0), (3, 1)):
            ends = [library.box(table, axis) for axis in range(times + factors + parameter_axes + assets)]
            coordinates = [draw.choice((low, high, 0.3 * low + 0.7 * high, 1e308)) for low, high in ends]
            looked += library.look_up(table, rules, coordinates, [0.5] * parameters)[0] == 0
            library.prices(table, coordinates, 1.7e9, [0.01, 100.0, 99.0, 101.0] * assets)
        library.free(table)
    assert (taken > 20, same > 100, looked > 100) == (True, True, True), (taken, same, looked)


COVERED = "-D warnings -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=3 "
COVERED += "-C llvm-args=-sanitizer-coverage-trace-pc"


@pytest.fixture(scope="module")
def both_readers(cargo: Cargo, target: Path) -> Path:
    """The hostile files for C, which ask the Rust reader as well and are led by its branches."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here to build the C reader with")
    folder = target / "covered"
    cargo(
        *("rustc", "--offline", "--locked", "--lib", "--crate-type", "staticlib", "--features", "c-abi"),
        *("--target-dir", folder),
        flags=COVERED,
    )
    program, source = folder / "hostile_inputs", TESTS / "hostile_inputs_rust.c"
    strict = ["gcc", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    libraries = [folder / "debug" / "libquotegrid.a", "-lm", "-lpthread", "-ldl"]
    done = run(Path(strict[0]), *strict[1:], f"-I{READER.parent / 'c'}", source, *libraries, "-o", program)
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Good files of all shapes."""
    folder = tmp_path_factory.mktemp("seeds")
    for name, table in conformance_tables():
        (folder / f"{name}.safetensors").write_bytes(safetensors_bytes(table))
    return sorted(folder.iterdir())


def check_mutated_files(program: Path, seeds: list[Path], inputs: int, seed: int) -> None:
    done = run(program, "fuzz", inputs, seed, "-", *seeds)
    assert done.returncode == 0, done.stderr
    tried, accepted, kept, branches = map(int, re.findall(r"\d+", done.stdout))
    assert tried == inputs
    assert (accepted > inputs // 200, kept > 50, branches > 500) == (True, True, True), done.stdout


def test_mutated_files_are_read_as_in_c(both_readers: Path, seeds: list[Path]) -> None:
    """The same refusals, answers and prices, to the last bit, of whatever gets through the header."""
    check_mutated_files(both_readers, seeds, 20_000, 3)


@pytest.mark.deep
def test_ten_million_mutated_files_are_read_as_in_c(both_readers: Path, seeds: list[Path]) -> None:
    check_mutated_files(both_readers, seeds, 10_000_000, 4)


def test_units_and_documentation(cargo: Cargo) -> None:
    assert "test result: ok" in cargo("test", "--offline", "--locked")


def test_lints(cargo: Cargo) -> None:
    cargo("clippy", "--offline", "--locked", "--all-targets", "--features", "c-abi", "--", "-D", "warnings")


def test_format(cargo: Cargo) -> None:
    cargo("fmt", "--check")


def test_the_crate_is_its_own() -> None:
    """No foreign crates; unsafe code in three files alone, with a reason each time."""
    assert [package["name"] for package in tomllib.loads((READER / "Cargo.lock").read_text())["package"]] == [
        "quotegrid"
    ]
    assert (
        tomllib.loads((READER / "Cargo.toml").read_text())
        .keys()
        .isdisjoint({"dependencies", "dev-dependencies", "build-dependencies"})
    )
    for path in sorted((READER / "src").iterdir()):
        lines = path.read_text(encoding="utf-8").splitlines()
        blocks = [number for number, line in enumerate(lines) if re.search(r"\bunsafe (\{|impl)", line)]
        assert not blocks or path.name in ("mapping.rs", "c_abi.rs", "sha256_x86.rs"), path
        for number in blocks:
            assert any("SAFETY: " in line for line in lines[max(number - 3, 0) : number]), (path, number + 1)
    assert "#![no_std]" in (READER / "src" / "lib.rs").read_text(encoding="utf-8")


def test_what_cargo_builds_is_neither_committed_nor_packaged() -> None:
    assert (READER / ".gitignore").read_text().split() == ["/target/"]
    project = tomllib.loads((TESTS.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["quotegrid.tables"]
    rust = [pattern for pattern in patterns if pattern.startswith("readers/rust/")]
    packaged = {path.relative_to(READER) for pattern in rust for path in TABLES.glob(pattern)}
    assert {path.parts[0] for path in packaged if len(path.parts) > 1} == {"src", "examples"}
    assert {Path("Cargo.toml"), Path("Cargo.lock"), Path("src/lib.rs"), Path("examples/quote.rs")} <= packaged
    assert not any("**" in pattern or "target" in pattern for pattern in rust)
