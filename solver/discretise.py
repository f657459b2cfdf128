"""From a problem to its controlled chain: the inventory lattice, and every ingredient evaluated on it.

The lattice is that of the fills themselves, so the chain is exact: nothing is approximated here. Its step is
one lot; for an ergodic problem whose sizes have a common divisor, that divisor, through the target inventory
(from any other inventory the target could never be reached).
"""

from math import gcd
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.models.problem import OneSidedFlow, Problem
from quotegrid.solver.chain import ControlledChain, FillChannels
from quotegrid.solver.hamiltonians import QuoteSet, optimal_quote


class Lattice(NamedTuple):
    """One inventory axis in lots: low, low + step, …, high."""

    low: int
    high: int
    step: int
    target: int

    @property
    def lots(self) -> np.ndarray:
        """The inventories in lots, increasing."""
        return np.arange(self.low, self.high + 1, self.step)


def inventory_lattices(problem: Problem) -> tuple[Lattice, ...]:
    """The inventory axis of each asset."""
    lattices = []
    for asset in problem.assets:
        low, high, target = asset.inventory.lots_range()
        sizes = [flow.size for flow in asset.flow]
        step = max(gcd(*sizes), 1) if problem.horizon.kind == "ergodic" and sizes else 1
        lattices.append(
            Lattice(
                target - (target - low) // step * step, target + (high - target) // step * step, step, target
            )
        )
    return tuple(lattices)


def discretise(problem: Problem) -> ControlledChain:
    """Compile a problem to arrays. Traceable: numbers may be tracers, structure is static."""
    lattices = inventory_lattices(problem)
    shape = tuple(len(lattice.lots) for lattice in lattices)
    lot_sizes = [asset.market.lot_size for asset in problem.assets]
    axes = [jnp.asarray(x.lots, float) * lot for x, lot in zip(lattices, lot_sizes, strict=True)]
    states = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)  # [*state, asset], units of the asset
    target = jnp.stack(
        [x.target * jnp.asarray(lot, float) for x, lot in zip(lattices, lot_sizes, strict=True)]
    )

    def on_lattice(function) -> Float[Array, "*state"]:
        flat = jax.vmap(lambda q: jnp.asarray(function(q), float))(states.reshape(-1, len(axes)))
        return flat.reshape(shape)

    xi = jnp.asarray(problem.xi(), float)
    flows = problem.one_sided_flows()
    intensities = [flow.intensity.worked_out() for flow in flows]
    groups: dict[object, list[int]] = {}
    for place, (flow, intensity) in enumerate(zip(flows, intensities, strict=True)):
        shapes = tuple(jnp.shape(leaf) for leaf in jax.tree.leaves(intensity))
        groups.setdefault((jax.tree.structure(intensity), shapes, flow.tick is None), []).append(place)

    def channel(places: list[int]) -> FillChannels:
        members = [flows[place] for place in places]
        stacked = jax.tree.map(
            lambda *leaves: jnp.stack([jnp.asarray(x, float) for x in leaves]),
            *[intensities[place] for place in places],
        )
        size, multiplier = _stack(f.units for f in members), _stack(f.multiplier for f in members)
        neutral = _stack(flow.cost(target) / flow.multiplier for flow in members)
        free = QuoteSet(
            _stack(_or(f.intensity.default_min_offset(), -jnp.inf) for f in members),
            jnp.full(len(members), jnp.inf),
            None,
        )
        best = jax.vmap(optimal_quote, in_axes=(0, 0, 0, None, 0))(
            stacked, neutral, size * multiplier, xi, free
        )
        alive = best.quoted & (best.value > 0.0) & (best.tilted_rate > 0.0)
        decay = size * multiplier * jnp.where(alive, best.tilted_rate, 1.0)  # -H'
        return FillChannels(
            intensity=stacked,
            size=size,
            multiplier=multiplier,
            cost=jnp.stack([on_lattice(flow.cost) for flow in members]),
            weight=jnp.stack([on_lattice(flow.weight) for flow in members]),
            low=_stack(_or(flow.min_offset, -jnp.inf) for flow in members),
            high=_stack(_or(flow.max_offset, jnp.inf) for flow in members),
            tick=None if members[0].tick is None else _stack(flow.tick for flow in members),
            scale=jnp.where(alive, best.value / decay, jnp.inf),
            shifts=tuple(_shift(flow, lattices) for flow in members),
            order=tuple(places),
        )

    return ControlledChain(
        reward=on_lattice(problem.running_reward),
        magnitude=on_lattice(problem.reward_magnitude),
        terminal=on_lattice(problem.terminal_value),
        discount=jnp.asarray(problem.discount_rate(), float),
        xi=xi,
        channels=tuple(channel(places) for places in groups.values()),
        shape=shape,
        target=tuple((x.target - x.low) // x.step for x in lattices),
    )


def _stack(values) -> Array:
    return jnp.stack([jnp.asarray(value, float) for value in values])


def _or(value, otherwise: float):
    return otherwise if value is None else value


def _shift(flow: OneSidedFlow, lattices: tuple[Lattice, ...]) -> tuple[int, ...]:
    """The lattice steps of a fill: + on the bid, - on the ask, along the axis of its asset."""
    sign = 1 if flow.side == "bid" else -1
    return tuple(
        sign * flow.size // lattice.step if axis == flow.asset else 0 for axis, lattice in enumerate(lattices)
    )
