"""Followers in C and in Rust: what they refuse, signatures checked by a function of the program, a soak."""

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from quotegrid.tables import PolicyTable
from quotegrid.tables.publication.generations import POINTER, signature_path, table_name
from quotegrid.tables.publication.publishing import publisher
from quotegrid.tables.publication.signing import PrivateKey, write_key_pair

TESTS = Path(__file__).resolve().parent
READERS = TESTS.parents[1] / "tables" / "readers"

Verify = Callable[[bytes, bytes, bytes], int]  # key, signature, message

RUST_PROJECT = """
[package]
name = "following_reader"
edition = "2021"

[dependencies]
quotegrid = {{ path = {crate} }}

[lib]
path = {source}
crate-type = ["cdylib", "rlib"]
"""


def c_reader(target: Path, build: tuple[str, ...]) -> Path:
    """The follower in C, built without a warning; skips where the compiler is not installed."""
    if shutil.which(build[0]) is None:
        pytest.skip(f"no {build[0]} here to build the C reader with")
    source = TESTS / "following_reader.c"
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", f"-I{READERS / 'c'}", str(source)]
    done = subprocess.run([*build, *strict, "-o", str(target), "-lm"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def rust_readers(
    cargo: Callable[..., str], target: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The follower in Rust: a program and a library, from a project that depends on the crate."""
    project = tmp_path_factory.mktemp("project")
    crate, source = (json.dumps(str(path)) for path in (READERS / "rust", TESTS / "following_reader.rs"))
    (project / "Cargo.toml").write_text(RUST_PROJECT.format(crate=crate, source=source), encoding="utf-8")
    (project / "src").mkdir()
    (project / "src" / "main.rs").write_text("fn main() { following_reader::soak() }", encoding="utf-8")
    cargo("build", "--offline", folder=project)
    (library,) = (target / "debug").glob("*following_reader.[sd][oy]*")
    return target / "debug" / "following_reader", library


@pytest.fixture(scope="module")
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The programs for the soak in those languages that can be built here."""
    built = []
    with contextlib.suppress(pytest.skip.Exception):
        built.append(c_reader(tmp_path_factory.mktemp("c") / "reader", ("gcc", "-std=c99")))
    with contextlib.suppress(pytest.skip.Exception):
        built.append(request.getfixturevalue("rust_readers")[0])
    return built


@pytest.mark.parametrize("swaps", [100, pytest.param(10_000, marks=pytest.mark.deep)])
def test_every_lookup_belongs_to_one_generation(swaps: int, programs: list[Path]) -> None:
    """Four readers in Python, one in C and one in Rust at full speed, publishers killed at random moments."""
    command = [sys.executable, str(TESTS / "publication_soak.py"), str(swaps), *map(str, programs)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["generations"] >= swaps and found["publishers killed"] > swaps / 100
    seen = [*found["swaps seen"], *(each["swaps"] for each in found["programs"])]
    assert found["wrong"] == [] and min(seen) > swaps / 20, found
    assert len(seen) == 4 + len(programs)


class Reader:
    """A follower in another language, behind ctypes: says what it holds and why nothing newer."""

    def __init__(self, library: Path, folder: Path, verify: Verify | None) -> None:
        def asked(_: object, key: int, signature: int, message: int, size: int) -> int:
            assert verify is not None
            at = ctypes.string_at
            return verify(at(key, 32), at(signature, 64), at(message, size))

        pointer = ctypes.c_void_p
        kind = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, pointer, pointer, ctypes.c_size_t)
        self._verify = kind() if verify is None else kind(asked)
        self._folder = os.fsencode(folder)
        self._library = ctypes.CDLL(str(library))
        self._made = pointer()

    def follow(self) -> str:
        said = ctypes.create_string_buffer(64)
        self._library.follow(ctypes.byref(self._made), self._folder, self._verify, said)
        return said.value.decode()


@pytest.fixture(params=["c", "rust"])
def reader(request: pytest.FixtureRequest, tmp_path: Path, folder: Path) -> Callable[[Verify | None], Reader]:
    """Makes followers of the folder in one of the languages."""
    if request.param == "c":
        build = ("g++", "-x", "c++", "-std=c++11", "-shared", "-fPIC")
        library = c_reader(tmp_path / "reader.so", build)
    else:
        library = request.getfixturevalue("rust_readers")[1]
    return lambda verify: Reader(library, folder, verify)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "live"
    path.mkdir()
    return path


def test_signatures(
    reader: Callable[[Verify | None], Reader],
    folder: Path,
    tmp_path: Path,
    table_by_hand: Callable[..., PolicyTable],
) -> None:
    """The function that the follower asks is bound to the library that Python uses."""
    private, public = write_key_pair(tmp_path / "desk")
    other = PrivateKey(write_key_pair(tmp_path / "other")[0])
    key, trusted = PrivateKey(private), load_pem_public_key(public.read_bytes())
    assert isinstance(trusted, Ed25519PublicKey)

    def verify(signer: bytes, signature: bytes, message: bytes) -> int:
        if signer != trusted.public_bytes_raw():
            return -1
        try:
            trusted.verify(signature, message)
        except InvalidSignature:
            return 0
        return 1

    assert reader(verify).follow() == "0 unreadable"
    one, two = table_by_hand(gain=1.0), table_by_hand(gain=2.0)
    good = key.sign(one.content_hash)
    refused = {
        "signature-missing": [None],
        "signature-form": [good[:-1], good + b"\0", b""],
        "signature-key": [other.sign(one.content_hash)],
        "signature-wrong": [key.sign(two.content_hash), good[:-1] + bytes([good[-1] ^ 1])],
    }
    for name, signatures in refused.items():
        for signature in signatures:
            with publisher(folder) as at_work:
                at_work.publish(one, signature)
            assert reader(verify).follow() == f"0 {name}"
    beside = signature_path(folder / POINTER)
    beside.unlink()
    beside.mkdir()  # something that is there and cannot be read, and is tried again
    follower = reader(verify)
    assert follower.follow() == "0 unreadable"
    beside.rmdir()
    os.mkfifo(beside)  # opened to read, it would wait for who writes
    assert follower.follow() == "0 unreadable"
    beside.unlink()
    beside.write_bytes(good)
    assert follower.follow().endswith(" taken")
    with publisher(folder) as at_work:
        number = at_work.publish(one, good)
        follower = reader(verify)
        assert follower.follow() == f"{number} taken"
        at_work.publish(two, unsigned=True)
        assert follower.follow() == follower.follow() == f"{number} signature-missing"


def test_what_is_bad_is_not_taken(
    reader: Callable[[Verify | None], Reader], folder: Path, table_by_hand: Callable[..., PolicyTable]
) -> None:
    """One after the other, as the follower in Python is tested."""
    one, two = table_by_hand(gain=1.0), table_by_hand(gain=2.0)
    follower = reader(None)
    with publisher(folder) as at_work:
        at_work.publish(one)
        assert follower.follow() == "1 taken"
        at_work.publish(two)
        whole = (folder / table_name(2)).read_bytes()
        for content, name in ((whole[:-1] + b"\1", "content-hash"), (whole[:-8], "data-too-short")):
            (folder / table_name(2)).unlink()
            (folder / table_name(2)).write_bytes(content)
            assert reader(None).follow() == f"0 {name}"
        assert follower.follow() == "1 data-too-short"
        at_work.publish(table_by_hand(price_unit="EUR"))
        assert follower.follow() == follower.follow() == "1 interface-changed"
        at_work.publish(two)
        assert follower.follow() == "4 taken"
        assert at_work.rollback() == (4, 3)
        assert follower.follow() == "4 interface-changed"
    os.mkfifo(folder / table_name(8))  # opened to read, it would wait for who writes
    nowhere = (table_name(8), "unreadable"), (table_name(9), "unreadable")
    for target, name in ((f"../{table_name(4)}", "pointer-form"), *nowhere):
        (folder / POINTER).unlink()
        os.symlink(target, folder / POINTER)
        assert follower.follow() == follower.follow() == f"4 {name}"
    (folder / POINTER).unlink()
    assert follower.follow() == "4 unreadable"
    os.symlink(table_name(4), folder / POINTER)  # withdrawn, but it is the one that is held
    assert follower.follow() == "4 taken"
