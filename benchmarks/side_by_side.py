"""What the benchmarks have in common: contestants that take turns, and a page that says where and how.

A machine's speed changes with its load, so times of different moments are not compared: in each round every
contestant runs once, ratios are those within a round, and medians and quartiles over the rounds are told.
"""

import ctypes
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent


class Contestant(NamedTuple):
    """Something that does `count` pieces of work in one run."""

    run: Callable[[], Any]
    count: int = 1


def take_turns(contestants: dict[str, Contestant], rounds: int, warm: bool = False) -> dict[str, np.ndarray]:
    """Seconds per piece of work of each contestant, [round]; every one has run once before.

    `warm`: it runs five times in a turn, and the last one counts, when its data and code are in the caches.
    """
    for contestant in contestants.values():
        contestant.run()
    seconds = {name: np.zeros(rounds) for name in contestants}
    for turn in range(rounds):
        for name, contestant in contestants.items():
            for _ in range(4 if warm else 0):
                contestant.run()
            start = time.perf_counter()
            contestant.run()
            seconds[name][turn] = (time.perf_counter() - start) / contestant.count
    return seconds


def spread(values: Sequence[float] | np.ndarray, digits: int = 3) -> str:
    """`median (lower … upper quartile)`."""
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return f"{middle:.{digits}g} ({low:.{digits}g} … {high:.{digits}g})"


def times_as_fast(ours: np.ndarray, theirs: np.ndarray) -> str:
    """How many times as fast we are, round by round."""
    return f"{spread(theirs / ours)} ×"


def milliseconds(seconds: np.ndarray) -> str:
    return f"{1e3 * float(np.median(seconds)):.3g}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine())


def processors() -> int:
    """How many of them this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def provenance(command: str, packages: Sequence[str]) -> str:
    """The command, the day, the machine and the versions of `packages`."""
    count = processors()
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {count} processor{'s' if count > 1 else ''} of "
        f"{processor()}, Python {platform.python_version()}, {versions}."
    )


def publish(output: Path | None, *paragraphs: str) -> None:
    """Print a page, and write it where that is asked for."""
    text = "\n\n".join(paragraphs) + "\n"
    print(text)
    if output is not None:
        output.write_text(text, encoding="utf-8")


def compile_library(source: str, *flags: str) -> ctypes.CDLL:
    """A C++ file of this folder, compiled for this machine."""
    library = Path(tempfile.mkdtemp()) / f"{Path(source).stem}.so"
    always = ["-O3", "-march=native", "-shared", "-fPIC"]
    subprocess.run(["g++", *always, *flags, "-o", str(library), str(HERE / source)], check=True)
    return ctypes.CDLL(str(library))


def aligned(*shape: int) -> np.ndarray:
    """Zeros in new memory that begin at a multiple of 64 bytes, as the compiled vectors want them."""
    size = int(np.prod(shape))
    raw = np.zeros(size + 8)
    skip = (-raw.ctypes.data // 8) % 8
    return raw[skip : skip + size].reshape(shape)
