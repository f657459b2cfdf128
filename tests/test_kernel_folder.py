"""Compiled kernels in a folder: found again, used only where they fit, harmless when damaged."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from quotegrid import kernel_folder
from quotegrid.kernel_folder import KernelFolder
from quotegrid.models.intensities import Exponential
from quotegrid.solver.kernels import Kernel, compile_with, kernel

TRACES: list[str] = []


class Pair(NamedTuple):
    """What the kernel returns: a tree of classes."""

    sums: Array
    intensity: Exponential


@pytest.fixture(autouse=True)
def _jax_compiles_afterwards() -> Iterator[None]:
    TRACES.clear()
    with jax.enable_x64(True):
        yield
    compile_with(None)


def arguments(length: int = 3) -> tuple[Array, Any]:
    leaves = jax.tree.map(lambda x: jnp.asarray(x, float), Exponential(A=1.0, k=0.5))
    return jnp.arange(float(length)), leaves


def process(folder: Path) -> Kernel[..., Pair]:
    """A kernel as a new process has it: the folder in use, nothing traced yet; it says when it is."""

    def double(x: Array, intensity: Exponential, *, offset: float) -> Pair:
        TRACES.append("double")
        return Pair(jnp.cumsum(x) + offset, jax.tree.map(lambda leaf: 2.0 * leaf, intensity))

    compile_with(KernelFolder(folder))
    return kernel()(double)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/double-*"))


def check(found: Pair, offset: float = 1.0) -> None:
    np.testing.assert_array_equal(np.asarray(found.sums), np.array([0.0, 1.0, 3.0]) + offset)
    assert isinstance(found.intensity, Exponential)
    assert float(found.intensity.A) == 2.0


def test_the_next_process_traces_nothing(tmp_path: Path) -> None:
    check(process(tmp_path)(*arguments(), offset=1.0))
    assert len(TRACES) == 1
    again = process(tmp_path)
    for _ in range(2):
        check(again(*arguments(), offset=1.0))
    assert len(TRACES) == 1
    assert len(entries(tmp_path)) == 1


def test_other_structures_are_other_kernels(tmp_path: Path) -> None:
    check(process(tmp_path)(*arguments(), offset=1.0))
    check(process(tmp_path)(*arguments(), offset=2.0), offset=2.0)
    assert process(tmp_path)(*arguments(length=5), offset=1.0).sums.shape == (5,)
    assert len(entries(tmp_path)) == len(TRACES) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: bytes(32) + content[32:],
        lambda content: b"not a kernel at all, but long enough to have a digest in front of it",
    ],
    ids=["empty", "half", "a bit flipped", "another digest", "text"],
)
def test_what_is_damaged_is_made_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    check(process(tmp_path)(*arguments(), offset=1.0))
    (entry,) = entries(tmp_path)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    check(process(tmp_path)(*arguments(), offset=1.0))
    assert len(TRACES) == 2
    check(process(tmp_path)(*arguments(), offset=1.0))
    assert len(TRACES) == 2


def test_an_entry_under_a_wrong_name_is_not_used(tmp_path: Path) -> None:
    check(process(tmp_path)(*arguments(), offset=1.0))
    (three,) = entries(tmp_path)
    process(tmp_path)(*arguments(length=5), offset=1.0)
    (five,) = set(entries(tmp_path)) - {three}
    five.write_bytes(three.read_bytes())
    assert process(tmp_path)(*arguments(length=5), offset=1.0).sums.shape == (5,)


@pytest.mark.parametrize("changed", ["sources", "processor", "versions", "settings"])
def test_other_code_or_machines_have_a_folder_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    KernelFolder(tmp_path / "kernels")
    if changed == "sources":
        (tmp_path / "solver").mkdir()
        (tmp_path / "solver" / "bellman.py").write_text("# another operator")
        monkeypatch.setattr("quotegrid.solver.__path__", [str(tmp_path / "solver")])
    elif changed == "processor":
        monkeypatch.setattr(kernel_folder, "_processor", lambda: "another")
    elif changed == "versions":
        monkeypatch.setattr(jax, "__version__", "another")
    else:
        monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    KernelFolder(tmp_path / "kernels")
    assert len(list((tmp_path / "kernels").iterdir())) == 2


def test_a_folder_is_found_again(tmp_path: Path) -> None:
    for _ in range(2):
        KernelFolder(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_kernels_unused_for_a_month_are_deleted(tmp_path: Path) -> None:
    for name, days in (("old", 40), ("recent", 20)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "double-0").write_bytes(b"")
        then = time.time() - days * 86400.0
        os.utime(tmp_path / name, (then, then))
    KernelFolder(tmp_path)
    assert not (tmp_path / "old").exists()
    assert (tmp_path / "recent" / "double-0").exists()


def test_a_full_disk_does_not_stop_the_solve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kernel_folder, "write_atomically", full)
    check(process(tmp_path)(*arguments(), offset=1.0))
    assert entries(tmp_path) == []


def test_a_kernel_inside_another_is_traced(tmp_path: Path) -> None:
    inner = process(tmp_path)
    found = jax.vmap(lambda x: inner(x, arguments()[1], offset=1.0).sums)(jnp.ones((2, 3)))
    assert found.shape == (2, 3)
    assert entries(tmp_path) == []
