"""Tables of any size for benchmarks of lookup and loading: made up, they solve nothing."""

import dataclasses
from pathlib import Path

import numpy as np

from quotegrid.tables.conformance.made_up_tables import PAIR, made_up_table
from quotegrid.tables.policy_table import NamedAxis, PolicyTable, canonical_numbers
from quotegrid.tables.safetensors_file import write_safetensors

HORIZON = 600.0  # s


def contest_table(lots: int, times: int = 0, factors: int = 0, seed: int = 0) -> PolicyTable:
    """A bid and an ask at -lots … lots, at so many times and nodes of one factor (0: there is no such axis).

    Each side is off at the limit that a fill would leave.
    """
    small = made_up_table(
        "contest",
        [[-1, 0, 1]],
        PAIR,
        times=[0.0, HORIZON] if times else None,
        factors={"signal": [-1.0, 1.0]} if factors else {},
    )
    lattice = (*([times] if times else []), *([factors] if factors else []), 2 * lots + 1)
    draw = np.random.default_rng(seed)
    offset = draw.standard_normal((*lattice, 2))
    offset[..., -1, 0] = offset[..., 0, 1] = np.nan
    return dataclasses.replace(
        small,
        times=canonical_numbers(np.linspace(0.0, HORIZON, times)) if times else None,
        factors=(NamedAxis("signal", canonical_numbers(np.linspace(-1.0, 1.0, factors))),) if factors else (),
        inventories=(canonical_numbers(np.arange(-lots, lots + 1)),),
        value=canonical_numbers(draw.standard_normal(lattice)),
        offset=canonical_numbers(offset),
    )


def write_contest_table(folder: Path, lots: int, times: int = 0, factors: int = 0) -> Path:
    """The runtime file of such a table."""
    path = folder / f"{lots}-{times}-{factors}.safetensors"
    write_safetensors(contest_table(lots, times, factors), path)
    return path
