"""The readers in C and Rust, with what benchmarks do with them, as libraries for this machine."""

import ctypes
import subprocess
from pathlib import Path

from side_by_side import HERE

READERS = HERE.parent / "tables" / "readers"
GCC = ["gcc", "-std=gnu11", "-O3", "-march=native", "-ffp-contract=off"]
RUSTC = ["rustc", "--edition", "2021", "-C", "opt-level=3", "-C", "target-cpu=native", "-C", "panic=abort"]


def c_program(stem: str, folder: Path, *flags: str) -> Path:
    """A C file of this folder, compiled with quotegrid.h."""
    made = folder / f"{stem}_c"
    subprocess.run([*GCC, *flags, f"-I{READERS / 'c'}", HERE / f"{stem}.c", "-o", made, "-lm"], check=True)
    return made


def contest_libraries(stem: str, folder: Path) -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """The C file and the Rust file of this stem, as libraries."""
    c = c_program(stem, folder, "-shared", "-fPIC")
    crate, rust = folder / "libquotegrid.rlib", folder / f"{stem}_rust"
    reader = ["--crate-type", "rlib", "--crate-name", "quotegrid", "--cfg", 'feature="std"']
    subprocess.run([*RUSTC, *reader, READERS / "rust" / "src" / "lib.rs", "-o", crate], check=True)
    contest = ["--crate-type", "cdylib", "--extern", f"quotegrid={crate}"]
    subprocess.run([*RUSTC, *contest, HERE / f"{stem}.rs", "-o", rust], check=True)
    return ctypes.CDLL(str(c)), ctypes.CDLL(str(rust))


def compilers() -> str:
    """Their versions."""
    return ", ".join(
        subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True
        ).stdout.splitlines()[0]
        for program in ("gcc", "rustc")
    )
