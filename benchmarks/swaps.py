"""Single lookups, each timed by itself, while tables are published into their folder, and when none is.

    python benchmarks/swaps.py [--rounds 9] [--seconds 4] [--output FILE.md]

The reader runs on one processor, publisher and following thread on another. Tables have 3 MB (101 inventories
at 1238 times, linear in both); a publisher writes, syncs and checks one after the other as fast as it can.

    quiet           nobody publishes
    elsewhere       a publisher is at work in another folder: what its load alone does to the reader
    swaps           a publisher is at work in the reader's folder

    one thread      follows before each lookup: a readlink, and now and then mapping and checking a new table
    handed over     another thread follows and hands the table over as one pointer (C), one attribute (Python)

    lookup          the bid and the ask of a state, from the table that is held
    decision        the same, and before it all that it takes to have the newest table

A lookup during which the system gave the processor to another process says how busy the machine is: such ones
(a switch that was not asked for, by getrusage) are left out, and are in the column that says so alone.

C: swaps_contest.c, clock_gettime. Python: GenerationFollower, Quoter.offsets, time.perf_counter_ns. The
conditions take turns; medians over the rounds.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from contest_libraries import c_program, compilers
from contest_tables import HORIZON, contest_table
from side_by_side import markdown_table, provenance, publish

from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.publication.generation_follower import GenerationFollower
from quotegrid.tables.publication.publishing import publisher
from quotegrid.tables.quoter import Quoter

LOTS, TIMES = 50, 1238
CONDITIONS = ("quiet", "elsewhere", "swaps")
WAYS = {"follow": "one thread", "handed": "handed over"}
SHARES = (0.5, 0.99, 0.999, 0.9999, 1.0)
SUSPECT = 20_000  # ns: from here on it is asked who had the processor


@contextmanager
def publishing(folder: Path | None, tables: list[PolicyTable], processor: int) -> Iterator[None]:
    """A process that publishes into a folder as fast as it can; none, where there is no folder."""
    process = None if folder is None else os.fork()
    if process == 0 and folder is not None:
        try:
            os.sched_setaffinity(0, {processor})
            with publisher(folder, wait=60.0) as at_work:
                while True:
                    for table in tables:
                        at_work.publish(table, keep=3)
        finally:
            os._exit(70)
    try:
        yield
    finally:
        if process is not None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def in_python(folder: Path, way: str, seconds: float, processor: int) -> dict[str, Any]:
    """What swaps_contest.c does, by the Python reader."""
    follower = GenerationFollower(folder, lambda table: Quoter(table, "linear"))
    swaps, stop = 0, threading.Event()

    def follow_for_ever() -> None:
        nonlocal swaps
        os.sched_setaffinity(threading.get_native_id(), {processor})
        while not stop.wait(0.01):  # each look takes the interpreter's lock from the thread that quotes
            swaps += follower.refresh()

    thread = threading.Thread(target=follow_for_ever)
    if way == "handed":
        thread.start()
    states = np.random.default_rng(1).uniform((-LOTS, 0.0), (LOTS, HORIZON), (10_007, 2)).tolist()
    lookups, decisions, preempted = [], [], []
    losses = _losses()
    clock, end = time.perf_counter_ns, time.perf_counter_ns() + int(1e9 * seconds)
    begin, place = clock(), 0
    while begin < end:
        lots, at = states[place]
        place = (place + 1) % len(states)
        begin = clock()
        if way == "follow":
            swaps += follower.refresh()
        quoter = follower.held.quoter
        ready = clock()
        quoter.offsets(lots, at)
        done = clock()
        decisions.append(done - begin)
        lookups.append(done - ready)
        if done - begin >= SUSPECT and (after := _losses()) != losses:
            losses = after
            preempted.append(len(lookups) - 1)
    stop.set()
    if way == "handed":
        thread.join()
    shares = {}
    for name, each in (("lookup", lookups), ("decision", decisions)):
        shares[name] = np.quantile(np.delete(each, preempted), SHARES, method="higher").tolist()
        shares[f"{name}, all"] = np.quantile(each, SHARES, method="higher").tolist()
    return {"count": len(lookups), "swaps": swaps, "preempted": len(preempted), **shares}


def _losses() -> int:
    """How often this thread has lost the processor without asking for it."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def measured(
    program: Path, language: str, folder: Path, way: str, seconds: float, processor: int
) -> dict[str, Any]:
    """Nanoseconds at `SHARES` of the lookups, and how many there were."""
    if language == "Python":
        return in_python(folder, way, seconds, processor)
    command = [str(program), str(folder), way, str(seconds), str(processor)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def rows_of(language: str, found: dict[tuple[str, str], list[dict[str, Any]]]) -> list[tuple[str, ...]]:
    """Medians over the rounds; a ratio is that of two runs of one round."""
    rows = []
    for way, told in WAYS.items():
        for what in ("lookup", "decision"):
            for condition in CONDITIONS:
                runs, quiet = found[way, condition], found[way, "quiet"]
                times = np.median([run[what] for run in runs], axis=0) / 1e3
                all_of_them = np.median([run[f"{what}, all"][3] for run in runs]) / 1e3
                pairs = zip(runs, quiet, strict=True)
                ratio = np.median([run[what][3] / beside[what][3] for run, beside in pairs])
                count = np.median([run["count"] for run in runs]) / 1e6
                rows.append(
                    (
                        *(language, told, what, condition),
                        *(f"{each:.3g}" for each in times[:3]),
                        f"**{times[3]:.3g}**",
                        "" if condition == "quiet" else f"{ratio:.2f}",
                        f"{times[4]:.4g}",
                        f"{all_of_them:.3g}",
                        f"{np.median([run['swaps'] for run in runs]):.0f} in {count:.2g} million",
                    )
                )
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--seconds", type=float, default=4.0)
    arguments.add_argument("--output", type=Path, default=None, help="a Markdown file")
    chosen = arguments.parse_args()
    command = f"python benchmarks/swaps.py --rounds {chosen.rounds} --seconds {chosen.seconds:g}"
    where = provenance(command, ("numpy",))
    mine, *_, other = sorted(os.sched_getaffinity(0)) * 2
    tables = [contest_table(LOTS, TIMES, seed=seed) for seed in range(4)]
    languages = ("C", "Python")
    found: dict[str, dict[tuple[str, str], list[dict[str, Any]]]] = {
        language: {(way, condition): [] for way in WAYS for condition in CONDITIONS} for language in languages
    }
    with tempfile.TemporaryDirectory() as name:
        program = c_program("swaps_contest", Path(name), "-pthread")
        here, elsewhere = Path(name) / "here", Path(name) / "elsewhere"
        for folder in (here, elsewhere):
            folder.mkdir()
            with publisher(folder) as at_work:
                at_work.publish(tables[0])
        published_to = {"quiet": None, "elsewhere": elsewhere, "swaps": here}
        os.sched_setaffinity(0, {mine})
        clock = measured(program, "C", here, "nothing", 1.0, other)["lookup"]
        for _ in range(chosen.rounds):
            for language in languages:
                for way in WAYS:
                    for condition in CONDITIONS:
                        with publishing(published_to[condition], tables, other):
                            run = measured(program, language, here, way, chosen.seconds, other)
                        found[language][way, condition].append(run)
    publish(
        chosen.output,
        "# Lookups while tables are swapped",
        f"{where} {compilers()}. Microseconds, medians of {chosen.rounds} runs of {chosen.seconds:g} s. "
        "What is measured stands on top of the script. The clock alone takes "
        f"{clock[0]} ns at the median and {clock[3]} ns at 99.99 %.",
        markdown_table(
            (
                *("reader", "", "time of", "condition", "median", "99 %", "99.9 %", "99.99 %"),
                *("to quiet", "most", "99.99 % with preempted ones", "swaps"),
            ),
            [row for language in languages for row in rows_of(language, found[language])],
        ),
    )


if __name__ == "__main__":
    main()
