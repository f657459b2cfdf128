"""Whole processes: `quotegrid solve`, `quote` and `show` against importing JAX or NumPy alone.

    python benchmarks/processes.py [--runs 20] [--output FILE.md]

Each command takes turns with its opponent, `python -c "import …"` in the same interpreter; a ratio is that of
two runs one after the other, so that a machine whose speed changes with its load slows both. Caches are warm:
every command has run before, in a cache folder of its own, and Python may keep the bytecode of what it
imports. The first run of each solve, when that folder is empty, is told apart.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from side_by_side import markdown_table, provenance, publish

from quotegrid.models.assets import Inventory
from quotegrid.models.horizons import Ergodic
from quotegrid.models.problem_file import read_problem_file
from quotegrid.solver.solve import solve

PROGRAM = str(Path(sys.executable).with_name("quotegrid"))
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SOLVED = {"eth-perpetual": "ergodic, tabulated intensities", "glft-2013": "finite, exponential"}


@dataclass(frozen=True)
class Contest:
    """A command, whom it runs against, and the ratio it should stay below (None: no target)."""

    words: tuple[str, ...]
    told: str
    opponent: str
    target: float | None


def contests(folder: Path) -> list[Contest]:
    found = []
    for suffix, target in ((".safetensors", 2.0), (".nc", 2.5)):
        for name, what in SOLVED.items():
            words = ("solve", str(EXAMPLES / f"{name}.toml"), "-o", str(folder / f"{name}{suffix}"))
            told = f"solve examples/{name}.toml -o T{suffix} ({what})"
            found.append(Contest(words, told, "jax", target))
    for suffix in (".safetensors", ".nc"):
        table = str(folder / f"eth-perpetual{suffix}")
        found.append(Contest(("quote", table, "--inventory", "3"), f"quote T{suffix}", "numpy", 3.0))
        found.append(Contest(("show", table), f"show T{suffix}", "numpy", None))
    return found


def seconds(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def row(contest: Contest, first: float, runs: int, environment: dict[str, str]) -> tuple[str, ...]:
    opponent, ours = [], []
    for _ in range(runs):
        opponent.append(seconds([sys.executable, "-c", f"import {contest.opponent}"], environment))
        ours.append(seconds([PROGRAM, *contest.words], environment))
    low, middle, high = quantiles([x / y for x, y in zip(ours, opponent, strict=True)], n=4)
    target = "" if contest.target is None else f"≤ {contest.target:g}"
    return (
        f"`{contest.told.partition(' (')[0]}`" + contest.told[len(contest.told.partition(" (")[0]) :],
        f"{median(ours):.3f}",
        f"`import {contest.opponent}` {median(opponent):.3f}",
        f"**{middle:.2f}** ({low:.2f} … {high:.2f})",
        target,
        f"{first:.1f}",
    )


def warm_starts() -> list[tuple[str, ...]]:
    """Iterations, and ms in a process that has solved before: from nothing → from an old table."""
    rows = []
    for name, limit in (("eth-perpetual", 20), ("fx-dealer-ladder", 100), ("fx-dealer-ladder", 1000)):
        old = read_problem_file(EXAMPLES / f"{name}.toml").problem
        (asset,) = old.assets
        inventory = Inventory(max=limit)
        old = old.model_copy(
            update={
                "assets": (asset.model_copy(update={"inventory": inventory}),),
                "horizon": Ergodic(),
            }
        )
        value = solve(old).value
        for part in (0.02, 0.1):
            price = asset.price.model_copy(
                update={"volatility": (1.0 + part) * float(asset.price.volatility)}
            )
            moved = asset.model_copy(update={"inventory": inventory, "price": price})
            new = old.model_copy(update={"assets": (moved,)})
            iterations, taken = [], []
            for start in (None, value):
                times = []
                for _ in range(7):
                    begin = time.perf_counter()
                    found = solve(new, start=start)
                    times.append(1e3 * (time.perf_counter() - begin))
                iterations.append(found.iterations)
                taken.append(median(times))
            saved = f"{iterations[0]} → {iterations[1]}", f"{taken[0]:.1f} → {taken[1]:.1f}"
            rows.append((f"{name}, ergodic, ±{limit} lots", f"{part:.0%}", *saved))
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--runs", type=int, default=20)
    arguments.add_argument("--output", type=Path, default=None, help="a Markdown file")
    chosen = arguments.parse_args()
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**kept, "XDG_CACHE_HOME": str(Path(folder) / "cache")}
        all_contests = contests(Path(folder))
        first = [seconds([PROGRAM, *contest.words], environment) for contest in all_contests]
        rows = [
            row(contest, once, chosen.runs, environment)
            for contest, once in zip(all_contests, first, strict=True)
        ]
    command = f"python benchmarks/processes.py --runs {chosen.runs}"
    publish(
        chosen.output,
        "# Whole processes",
        f"{provenance(command, ('jax', 'numpy'))} Medians of {chosen.runs} paired runs in seconds; ratios "
        "are medians and quartiles over the pairs. How they are taken stands on top of the script.",
        markdown_table(
            ("`quotegrid …`", "s", "opponent, s", "ratio (quartiles)", "target", "first run, s"), rows
        ),
        "The first run of a solve compiles its kernels; both formats have the same, so only the upper two "
        "compile. Later runs load them from the user's cache folder, whatever the numbers in the problem "
        "file, until its structure or the version of quotegrid or JAX changes.",
        "## Warm start",
        "`--warm-start T` starts from the value of an earlier table. Policy iteration needs few iterations "
        "from its own start already, and a process spends its time on loading: iterations are saved, not "
        "seconds. A finite horizon is marched from its end and has nothing to start from.",
        markdown_table(
            ("problem", "volatility moved by", "iterations", "ms in a running process"), warm_starts()
        ),
    )


if __name__ == "__main__":
    main()
