"""One named check of a table, and how it went."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.policy_table import PolicyTable

Outcome = Literal["pass", "fail", "not applicable"]


class Check(NamedTuple):
    """The name says what was looked at, the sentence what was found."""

    name: str
    outcome: Outcome
    sentence: str


def judged(name: str, good: bool, passed: str, failed: str) -> Check:
    """A check that passed or failed, with the sentence for either."""
    return Check(name, "pass", passed) if good else Check(name, "fail", failed)


def at_state(table: PolicyTable, state: tuple[int, ...]) -> str:
    """A state in words: `inventory 3 lots, time 12.5 s`."""
    lots = f"inventory {table.inventories[0][state[-1]]:g} lots"
    return lots if table.times is None else f"{lots}, time {table.times[state[0]]:.6g} {table.time_unit}"


def first_state(wrong: NDArray[np.bool_]) -> tuple[int, ...]:
    """The first state, row-major, where something is wrong."""
    return tuple(int(index) for index in np.argwhere(wrong)[0])
