"""Positions on the inventory lattice: where a policy starts, where it is flat, at a limit, or for ever."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from quotegrid.analysis.policies import Policy
from quotegrid.analysis.policy_faults import PolicyError
from quotegrid.models.problem import Problem
from quotegrid.solver.chain import stays_inside
from quotegrid.solver.discretise import inventory_lattices
from quotegrid.solver.policy_chain import PolicyChain


def starting_place(problem: Problem, start: float | Sequence[float] | None) -> tuple[int, ...]:
    """The position of the starting inventory on each axis."""
    lattices = inventory_lattices(problem)
    if start is None:
        return flat_place(problem)
    wanted = np.atleast_1d(np.asarray(start, float))
    if wanted.shape != (len(lattices),):
        raise PolicyError(f"start={start!r}: give the lots of {len(lattices)} assets.")
    place = []
    for lots, lattice in zip(wanted, lattices, strict=True):
        at = np.flatnonzero(np.abs(lattice.lots - lots) <= 1e-9)
        if not len(at):
            raise PolicyError(
                f"start={lots:g} lots is not on the inventory lattice, which runs from {lattice.low} to "
                f"{lattice.high} in steps of {lattice.step}."
            )
        place.append(int(at[0]))
    return tuple(place)


def flat_place(problem: Problem) -> tuple[int, ...]:
    """Where inventory is flat: 0 lots, or the target where 0 is off the lattice."""
    place = []
    for lattice in inventory_lattices(problem):
        at = np.flatnonzero(lattice.lots == 0)
        place.append(int(at[0]) if len(at) else (lattice.target - lattice.low) // lattice.step)
    return tuple(place)


def indicator(shape: tuple[int, ...], place: tuple[int, ...]) -> np.ndarray:
    """1 at a place, whatever the axes after it; 0 elsewhere."""
    found = np.zeros(shape)
    found[place] = 1.0
    return found


def at_limits(problem: Problem, shape: tuple[int, ...]) -> np.ndarray:
    """Where some inventory is as far as any of its flows lets it go."""
    inside = np.ones(shape, bool)
    for axis, length in enumerate(shape):
        step = tuple(1 if other == axis else 0 for other in range(len(shape)))
        back = tuple(-each for each in step)
        if length > 1:
            inside &= stays_inside(shape, step) & stays_inside(shape, back)
    return ~inside


def recurrent_state(
    policy: Policy, chain: PolicyChain, assets: int
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """1 at a state that the policy keeps coming back to, notes, and the states it keeps coming back to."""
    rates, shape = np.asarray(chain.rates), chain.shape
    places = np.arange(int(np.prod(shape))).reshape(shape)
    ends = []
    for rate, shift in zip(rates, chain.shifts, strict=True):
        arrived = np.roll(places, [-step for step in shift], axis=tuple(range(len(shape))))
        ends.append(np.stack([places[rate > 0.0], arrived[rate > 0.0]]))
    rows, columns = np.concatenate(ends, axis=1) if ends else np.zeros((2, 0), int)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(places.size, places.size))
    count, label = connected_components(graph, directed=True, connection="strong")
    leaves = np.ones(count, bool)
    leaves[label[rows][label[rows] != label[columns]]] = False
    closed = np.flatnonzero(leaves)
    if len(closed) > 1:
        examples = " and ".join(
            _lots(policy, list(np.unravel_index(int(np.argmax(label == each)), shape))[:assets])
            for each in closed[:2]
        )
        raise PolicyError(
            f"the policy {policy.name!r} cuts the inventories into {len(closed)} parts that it never leaves, "
            f"such as those of {examples}: there is no long-run average. Quote both sides everywhere inside "
            "the limits, or evaluate over a finite horizon."
        )
    recurrent = (label == closed[0]).reshape(shape)
    steps = np.asarray(chain.shifts, float)
    drift = np.sum(np.abs(np.tensordot(steps, rates, axes=(0, 0))), axis=0)
    best = np.argmin(np.where(recurrent, drift, np.inf))
    notes = ()
    if not recurrent.all() and len(shape) == assets:
        left = np.argwhere(~recurrent)
        notes = (
            f"{len(left)} of {places.size} inventories, such as {_lots(policy, tuple(left[0]))}, are left "
            "for good once left.",
        )
    place = tuple(int(i) for i in np.unravel_index(int(best), shape))
    return indicator(shape, place), notes, recurrent


def _lots(policy: Policy, place: Sequence[Any]) -> str:
    return ", ".join(f"{axis[i]:g}" for axis, i in zip(policy.inventories, place, strict=True)) + " lots"
