"""A contest, as its page tells it: the command, one row for each contestant, times and errors.

chosen = options(__doc__, rounds=7, tables=(2048, "a multiple of 32"))
text = standing(contestants, errors, chosen.rounds, ours={"solve": "`solve` is faster by"})
publish(chosen.output, "# Title", introduction("many_tables", chosen, ("jax", "scipy")), text)
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from side_by_side import Contestant, markdown_table, milliseconds, provenance, take_turns, times_as_fast


def options(documentation: str | None, rounds: int, **numbers: tuple[int, str]) -> argparse.Namespace:
    """The command line: `--rounds`, `--output`, and more numbers, each with its default and its help."""
    found = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawTextHelpFormatter)
    for name, (default, words) in numbers.items():
        found.add_argument(f"--{name}", type=int, default=default, help=words)
    found.add_argument("--rounds", type=int, default=rounds)
    found.add_argument("--output", type=Path, default=None, help="a Markdown file")
    return found.parse_args()


def introduction(script: str, chosen: argparse.Namespace, packages: Sequence[str]) -> str:
    """How the page was made, and how to read it."""
    numbers = " ".join(f"--{name} {number}" for name, number in vars(chosen).items() if name != "output")
    return (
        provenance(f"taskset -c 0 python benchmarks/{script}.py {numbers}", packages)
        + " Medians over the rounds, quartiles in brackets. What each contestant does stands on top of the "
        "script."
    )


def standing(
    contestants: dict[str, Contestant],
    errors: Mapping[str, float],
    rounds: int,
    ours: Mapping[str, str],
    time: str = "ms",
    targets: Mapping[str, str] | None = None,
    warm: bool = False,
) -> str:
    """A table of all contestants, after they took turns.

    Args:
        contestants: by name.
        errors: the largest error of an offset of each, ticks.
        rounds: how often each runs.
        ours: contestants with which all are compared, and what stands on top of that column.
        time: what stands on top of the times.
        targets: what was aimed at, by contestant; None: no such column.
        warm: as in `take_turns`.
    """
    seconds = take_turns(contestants, rounds, warm)
    header = ["contestant", time, *ours.values(), "largest error of an offset, ticks"]
    rows = []
    for name, taken in seconds.items():
        ratios = [times_as_fast(seconds[one], taken) for one in ours]
        rows.append([name, milliseconds(taken), *ratios, f"{errors[name]:.1e}"])
        if targets is not None:
            rows[-1].append(targets.get(name, ""))
    return markdown_table([*header, *(() if targets is None else ("target",))], rows)
