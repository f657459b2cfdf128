"""What binds tables in lockstep: the inner term of the march against what this processor can do.

    taskset -c 0 python benchmarks/roofline.py [--rounds 9] [--output FOLDER]

One term of the series, for each state and lane, s ← v + (h/n)(d s + r s(+1) + r' s(-1)), is 7 operations: a
product and three multiply-adds, where these are fused. solver/lockstep.py reads s, v, d and writes to another
buffer, 4 arrays (the rates are one row for all states); lockstep_kernel.cpp reads s, v, d and both rates and
writes s in place, 5 arrays and 6 transfers. These numbers of bytes place the points; what neighbouring rows
read again comes from registers or the nearest cache. The loops alone are timed, without logarithms and
outputs, at ±50 lots. Ceilings: loops of roofline_loops.cpp, each round anew; the best round counts.
"""

import argparse
import ctypes
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from side_by_side import (
    Contestant,
    aligned,
    compile_library,
    markdown_table,
    provenance,
    publish,
    take_turns,
)

from quotegrid.analysis.figures import ASK, BID, FAINT, INK, STYLE

STATES = 101
LANES = (8, 16, 32)
OPERATIONS = 7  # of a term, for each state and lane
ARRAYS = {"XLA": (4, 4), "C++": (5, 6)}  # that a loop touches, and 8-byte transfers for each state and lane
TERMS = 2_000  # timed at once
NEAR, FAR = 16, 384  # kB: they fit in the first and in the second level of cache
PASSES = 200_000


class Point(NamedTuple):
    """A loop: operations per byte, 10⁹ operations per second, and the kB that it works on."""

    intensity: float
    speed: float
    kilobytes: float


def xla_terms(lanes: int) -> Callable[[], Any]:
    """The loop of solver/lockstep.py: back and forth between two buffers."""
    rng = np.random.default_rng(1)
    v = np.pad(rng.uniform(0.5, 1.0, (STATES, lanes)), ((1, 1), (0, 0)))
    diagonal, rates = rng.uniform(0.0, 1.0, (STATES, lanes)), rng.uniform(0.5, 1.0, (2, 1, lanes))

    @jax.jit
    def run(v: Any, diagonal: Any, rates: Any, shares: Any) -> Any:
        start = v[1:-1]

        def term(s: Any, buffer: Any, n: Any) -> Any:
            arriving = sum((rates[0] * s[2:], rates[1] * s[:-2]), diagonal * s[1:-1])
            return jax.lax.dynamic_update_slice(buffer, start + shares[n - 1][None] * arriving, (1, 0))

        def two_terms(place: Any, buffers: tuple) -> tuple:
            here, there = buffers
            n = TERMS - 2 * place
            there = term(here, there, n)
            return term(there, here, n - 1), there

        return jax.lax.fori_loop(0, TERMS // 2, two_terms, (v, jnp.zeros_like(v)))[0]

    with jax.enable_x64(True):
        arguments = [
            jnp.asarray(x)
            for x in (v, diagonal, rates, 0.3 / np.arange(1.0, TERMS + 1.0)[:, None] * np.ones(lanes))
        ]

    def timed() -> None:
        with jax.enable_x64(True):
            run(*arguments).block_until_ready()

    return timed


def compiled_terms(library: ctypes.CDLL, lanes: int) -> Callable[[], Any]:
    rng = np.random.default_rng(1)
    arrays = [aligned(STATES + 2, lanes) for _ in range(5)]
    for array in arrays[:4]:
        array[1:-1] = rng.uniform(0.5, 1.0, (STATES, lanes))
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]

    def timed(kept: list[np.ndarray] = arrays) -> None:
        library.lockstep_terms(lanes // 8, STATES, ctypes.c_long(TERMS), ctypes.c_double(0.1), *pointers)

    return timed


def triads(library: ctypes.CDLL, kilobytes: int) -> Callable[[], Any]:
    count = kilobytes * 1024 // (3 * 64)
    arrays = [aligned(count, 8) for _ in range(3)]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    passes = PASSES * NEAR // kilobytes // 10

    def timed(kept: list[np.ndarray] = arrays) -> None:
        library.triads(*pointers, ctypes.c_long(count), ctypes.c_long(passes))

    return timed


def measure(rounds: int) -> tuple[dict[str, float], dict[str, float], dict[tuple[str, int], Point]]:
    """10⁹ operations per second, 10⁹ bytes per second, and the loops."""
    library = compile_library("roofline_loops.cpp", "-ffast-math")
    chains = {"fused, 512 bits": (library.fused_chains, 8), "not fused, 256 bits": (library.plain_chains, 4)}
    contestants: dict[Any, Contestant] = {}
    for name, (run, _) in chains.items():
        run.restype = ctypes.c_double
        contestants[name] = Contestant(partial(run, ctypes.c_long(PASSES)))
    for kilobytes in (NEAR, FAR):
        contestants[kilobytes] = Contestant(triads(library, kilobytes))
    for lanes in LANES:
        contestants["XLA", lanes] = Contestant(xla_terms(lanes))
        contestants["C++", lanes] = Contestant(compiled_terms(library, lanes))
    best = {name: float(np.min(taken)) for name, taken in take_turns(contestants, rounds).items()}
    speeds = {name: 2.0 * 12 * width * PASSES / best[name] / 1e9 for name, (_, width) in chains.items()}
    bandwidths = {}
    for kilobytes, name in ((NEAR, "first cache"), (FAR, "second cache")):
        count, passes = kilobytes * 1024 // (3 * 64), PASSES * NEAR // kilobytes // 10
        bandwidths[name] = 3 * 64 * count * passes / best[kilobytes] / 1e9
    points = {}
    for (who, (arrays, moved)), lanes in itertools.product(ARRAYS.items(), LANES):
        speed = OPERATIONS * STATES * lanes * TERMS / best[who, lanes] / 1e9
        points[who, lanes] = Point(OPERATIONS / (8 * moved), speed, arrays * STATES * lanes * 8 / 1024)
    return speeds, bandwidths, points


def what_binds(
    speeds: dict[str, float], bandwidths: dict[str, float], points: dict[tuple[str, int], Point]
) -> str:
    """A paragraph of what was measured."""
    near, far = bandwidths["first cache"], bandwidths["second cache"]

    def moved(who: str, lanes: int) -> float:
        return points[who, lanes].speed / points[who, lanes].intensity

    fused, plain = speeds.values()
    return (
        "Seven operations for 32 or 48 bytes: both loops are left of the ridge, where bytes bind. The "
        f"C++ loop on 8 lanes works on {points['C++', 8].kilobytes:.0f} kB, about the first cache, and "
        f"moves {moved('C++', 8):.0f} of {near:.0f} GB/s; on 32 lanes it works on "
        f"{points['C++', 32].kilobytes:.0f} kB and moves {moved('C++', 32):.0f} GB/s (the second cache "
        f"gives a triad {far:.0f}; this loop writes where it has just read, and both are counted). XLA's "
        f"loop, which has 32 lanes in `solve_many`, works on {points['XLA', 32].kilobytes:.0f} kB and moves "
        f"{moved('XLA', 32):.0f} GB/s, {moved('XLA', 32) / far:.0%} of a triad's from the second cache. On "
        f"8 lanes it would fit in the first, but moves only {moved('XLA', 8):.0f} GB/s: no ceiling drawn "
        "here explains that. Products and sums apart, on vectors of 256 bits, reach "
        f"{plain:.0f} · 10⁹ operations/s here, fused ones on 512 bits {fused:.0f}: neither is near to "
        "what XLA's loop reaches, so that it is not for want of fusing that it is slower."
    )


def draw_figure(
    speeds: dict[str, float], bandwidths: dict[str, float], points: dict[tuple[str, int], Point]
) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 5.2), dpi=150)
        axes = figure.subplots()
        intensity = np.geomspace(0.05, 4.0, 300)
        top = max(speeds.values())
        for (name, bytes_per_second), dash in zip(bandwidths.items(), ("-", (0, (5, 2))), strict=True):
            axes.plot(
                intensity, np.minimum(bytes_per_second * intensity, top), color=INK, linestyle=dash, lw=1.3
            )
            axes.annotate(
                f"{name}: {bytes_per_second:.0f} GB/s",
                (0.056, bytes_per_second * 0.056),
                xytext=(0, 9),
                textcoords="offset points",
                rotation_mode="anchor",
                rotation=45,
                transform_rotates_text=True,
                fontsize=8.5,
                color=INK,
            )
        for name, speed in speeds.items():
            axes.axhline(speed, color=FAINT, linewidth=1.2, zorder=0)
            axes.annotate(
                f"multiply-adds {name}: {speed:.0f}",
                (3.9, speed),
                xytext=(0, 3),
                textcoords="offset points",
                ha="right",
                fontsize=8.5,
                color="#666666",
            )
        for who, colour, marker in (("XLA", ASK, "s"), ("C++", BID, "o")):
            for lanes in LANES:
                point = points[who, lanes]
                axes.plot(point.intensity, point.speed, marker, color=colour, markersize=3.5 + lanes / 8)
            ordered = sorted(LANES, key=lambda lanes: points[who, lanes].speed)
            text = "\n".join(f"{lanes} lanes: {points[who, lanes].speed:.1f}" for lanes in reversed(ordered))
            lowest = points[who, ordered[0]]
            aside = 12 if who == "XLA" else -12
            axes.annotate(
                f"{who}\n{text}",
                (lowest.intensity, lowest.speed),
                xytext=(aside, 0),
                textcoords="offset points",
                ha="left" if who == "XLA" else "right",
                va="center",
                fontsize=8.5,
                color=colour,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(0.05, 4.0)
        axes.set_ylim(4.0, 1.5 * top)
        axes.set_xticks((0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0))
        axes.set_yticks((5, 10, 20, 50))
        axes.minorticks_off()
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("operations per byte moved")
        axes.set_ylabel("10⁹ operations per second")
        axes.set_title("The inner term of tables in lockstep, one processor, double precision")
    return figure


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument(
        "--output", type=Path, default=None, help="a folder for roofline.md and roofline.png"
    )
    chosen = arguments.parse_args()
    speeds, bandwidths, points = measure(chosen.rounds)
    rows = [
        (
            who,
            str(lanes),
            f"{point.kilobytes:.0f}",
            f"{point.speed:.1f}",
            f"{point.speed / point.intensity:.0f}",
            f"{point.speed / speeds['fused, 512 bits']:.0%}",
        )
        for (who, lanes), point in points.items()
    ]
    ceilings = [(name, f"{speed:.1f} · 10⁹ operations/s") for name, speed in speeds.items()]
    ceilings += [(name, f"{speed:.0f} GB/s") for name, speed in bandwidths.items()]
    command = f"taskset -c 0 python benchmarks/roofline.py --rounds {chosen.rounds}"
    publish(
        None if chosen.output is None else chosen.output / "roofline.md",
        "# What binds tables in lockstep",
        f"{provenance(command, ('jax', 'jaxlib'))} What is counted stands on top of the script.",
        "![operations per second against operations per byte](roofline.png)",
        markdown_table(("ceiling", "measured"), ceilings),
        markdown_table(("loop", "lanes", "works on, kB", "10⁹ operations/s", "GB/s", "of the peak"), rows),
        what_binds(speeds, bandwidths, points),
    )
    if chosen.output is not None:
        draw_figure(speeds, bandwidths, points).savefig(chosen.output / "roofline.png")


if __name__ == "__main__":
    main()
