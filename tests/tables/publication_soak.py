"""Readers at full speed while tables are swapped and publishers killed: a program of its own, without JAX.

    python tests/tables/publication_soak.py SWAPS [READER…]

Table k holds the number k in every cell, so a lookup that mixes two generations shows. Generation n holds
table n mod 8, so a reader knows which number belongs to the generation it says it holds. Publishers are
killed with SIGKILL a random moment after they start, and others take their place, until generation SWAPS is
there. A rollback is mixed in now and then. READERs are programs in other languages that take the folder, and
say what they saw when their standard input ends. Prints one JSON object; exit code 1 if anything was wrong.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.publication.generation_follower import GenerationFollower
from quotegrid.tables.publication.generations import LIVE, WITHDRAWN, numbers
from quotegrid.tables.publication.publishing import PublishingError, publisher
from quotegrid.tables.quoter import Quoter

READERS, PUBLISHERS, TABLES, LIMIT = 4, 2, 8, 20


def table(number: int) -> PolicyTable:
    """Every value, offset and gain is `number`; off where a fill would leave the limits."""
    lots = np.arange(-LIMIT, LIMIT + 1.0)
    offset = np.full((lots.size, 2), float(number))
    offset[-1, 0] = offset[0, 1] = np.nan
    flows = [
        SimpleNamespace(name="book", side=side, size=1, asset=0, sign=sign)
        for side, sign in (("bid", 1), ("ask", -1))
    ]
    solution: Any = SimpleNamespace(
        problem_json="{}",
        problem_hash="0" * 64,
        package_version="0",
        price_unit="USD",
        time_unit="s",
        symbols=("XYZ",),
        lot_sizes=(1.0,),
        times=None,
        inventories=(lots,),
        flows=flows,
        value=np.full(lots.size, float(number)),
        offset=offset,
        hedge_rate=None,
        market_order=None,
        gain=float(number),
        status="converged",
        status_message="",
        method="by hand",
        method_reason="",
        residual=0.0,
        iterations=0,
        certificate={"level": "none"},
        lookup_error=None,
        notes=(),
    )
    return PolicyTable.from_solution(solution)


def publish_for_ever(folder: Path, tables: list[PolicyTable], seed: int) -> None:
    """Publish, and now and then roll back, until somebody ends this process."""
    chance = random.Random(seed)
    while True:
        with publisher(folder, wait=60.0) as at_work:
            following = 1 + max([0, *numbers(folder, LIVE), *numbers(folder, WITHDRAWN)])
            at_work.publish(tables[following % TABLES], keep=3)
            if chance.random() < 0.02:
                with contextlib.suppress(PublishingError):  # there is none to return to
                    at_work.rollback()


def read_for_ever(folder: Path, pipe: int) -> None:
    """Look up as fast as possible; on SIGTERM write what was seen to the pipe."""
    seen: dict[str, Any] = {"lookups": 0, "swaps": 0, "wrong": []}

    def finish(*_: object) -> None:
        os.write(pipe, json.dumps(seen).encode())
        os._exit(0)

    signal.signal(signal.SIGTERM, finish)
    follower = GenerationFollower(folder, Quoter)
    lots = 0
    while True:
        if follower.refresh():
            seen["swaps"] += 1
        if follower.refusal is not None:
            seen["wrong"].append(str(follower.refusal))
            follower.refusal = None
        held = follower.held
        lots = (lots + 7) % (2 * LIMIT - 1)
        quote = held.quoter.quote(lots - LIMIT + 1)
        found = {quote.value, quote.gain, *quote.offsets.values()}
        if found != {float(held.generation % TABLES)}:
            seen["wrong"].append(f"generation {held.generation} said {sorted(map(str, found))}")
        seen["lookups"] += 1


def soak(swaps: int, programs: Sequence[str] = (), seed: int = 1) -> dict[str, Any]:
    """Run it in a new folder; what was seen, all readers together, and what each program saw."""
    chance = random.Random(seed)
    tables = [table(number) for number in range(TABLES)]
    kills, started = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with publisher(folder) as at_work:
            at_work.publish(tables[1 % TABLES])
        readers = []
        for _ in range(READERS):
            receive, send = os.pipe()
            process = os.fork()
            if process == 0:
                read_for_ever(folder, send)
            os.close(send)
            readers.append((process, receive))
        others = [_start_program(program, folder) for program in programs]
        publishers = [_start(folder, tables, chance) for _ in range(PUBLISHERS)]
        while (live := _live(folder)) < swaps:
            time.sleep(chance.uniform(0.0, 0.1))
            victim = chance.randrange(PUBLISHERS)
            os.kill(publishers[victim], signal.SIGKILL)
            _, status = os.waitpid(publishers[victim], 0)
            kills += os.WIFSIGNALED(status)
            publishers[victim] = _start(folder, tables, chance)
        for process in publishers:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        seen = []
        for process, receive in readers:
            os.kill(process, signal.SIGTERM)
            with os.fdopen(receive) as pipe:
                text = pipe.read() if _ended(process) else "null"
            seen.append(json.loads(text))
        heard = [(other.communicate(), other.returncode) for other in others]
        with publisher(folder) as at_work:  # what is left can be published to
            at_work.publish(tables[0])
        files = sorted(os.listdir(folder))
    return {
        "generations": live,
        "publishers killed": kills,
        "readers that ended well": sum(each is not None for each in seen),
        "lookups": sum(each["lookups"] for each in seen if each),
        "swaps seen": [each["swaps"] for each in seen if each],
        "wrong": [wrong for each in seen if each for wrong in each["wrong"]][:20],
        "programs": [complaints if code else json.loads(said) for (said, complaints), code in heard],
        "files left": len(files),
        "seconds": round(time.monotonic() - started, 1),
    }


def _start_program(program: str, folder: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([program, str(folder)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _start(folder: Path, tables: list[PolicyTable], chance: random.Random) -> int:
    seed = chance.randrange(2**32)
    process = os.fork()
    if process == 0:
        try:
            publish_for_ever(folder, tables, seed)
        finally:
            os._exit(70)  # a publisher that ends by itself has failed
    return process


def _live(folder: Path) -> int:
    return max(numbers(folder, LIVE))


def _ended(process: int) -> bool:
    return os.waitpid(process, 0)[1] == 0


if __name__ == "__main__":
    result = soak(int(sys.argv[1]), sys.argv[2:])
    print(json.dumps(result, indent=1))
    good = not result["wrong"] and result["readers that ended well"] == READERS
    good = good and all(isinstance(each, dict) and each["wrong"] == 0 for each in result["programs"])
    sys.exit(0 if good else 1)
