"""The discrete object that every solver sees: a controlled Markov chain on a lattice of inventories.

    B(θ)(i) = ℓ(i) + Σ_f a_f(i) H_f(p_f(i)),     p_f(i) = ((θ(i) - θ(j_f(i)))/z_f + c_f(i))/m_f

State i is a point of the inventory lattice (one axis per asset), j_f(i) = i + shift_f the state after a fill
of flow f; a flow is off where j_f(i) leaves the lattice. ℓ is the running reward (currency per time), H_f the
flow's Hamiltonian, c_f the costs and adverse moves of a fill (price), m_f = 1 ± proportional fee, a_f a
weight (1 except for CARA with jumps at market orders). Finite horizon: ∂θ/∂τ = B(θ) - ρθ in time to go τ;
discounted: B(θ) = ρθ; ergodic: B(θ) = g.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Shift = tuple[int, ...]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FillChannels:
    """Flows with one form of intensity, stacked along a first axis so that one kernel serves them all."""

    intensity: Any  # an intensity whose leaves carry the flow axis
    size: Float[Array, " flow"]  # z, units of the asset
    multiplier: Float[Array, " flow"]  # m = 1 + s·(proportional fee)
    cost: Float[Array, "flow *state"]  # c, price units
    weight: Float[Array, "flow *state"]  # a, dimensionless
    low: Float[Array, " flow"]  # bounds of the offsets, price units, ±inf where there are none
    high: Float[Array, " flow"]
    tick: Float[Array, " flow"] | None  # price units; None: a continuum of offsets
    scale: Float[
        Array, " flow"
    ]  # the quote scale δ*(p) - p at the target inventory's costs; inf for a dead flow
    shifts: tuple[Shift, ...] = field(metadata={"static": True})  # lattice steps of each flow
    order: tuple[int, ...] = field(metadata={"static": True})  # place of each flow in the problem


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ControlledChain:
    """A market maker's problem as arrays: nothing of the model is left but numbers and the intensities."""

    reward: Float[Array, "*state"]  # ℓ, currency per time
    magnitude: Float[Array, "*state"]  # Σ|terms of ℓ|, currency per time: what rounding of ℓ is a fraction of
    terminal: Float[Array, "*state"]  # θ(T), currency
    discount: Float[Array, ""]  # ρ, per time
    xi: Float[Array, ""]  # ξ, per currency
    channels: tuple[FillChannels, ...]
    shape: tuple[int, ...] = field(metadata={"static": True})  # lattice points of each inventory axis
    target: tuple[int, ...] = field(metadata={"static": True})  # index of the target inventory

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """The lattice steps of every flow, in the order of the problem."""
        placed = {place: shift for c in self.channels for place, shift in zip(c.order, c.shifts, strict=True)}
        return tuple(placed[place] for place in sorted(placed))

    @property
    def value_scale(self) -> Float[Array, ""]:
        """The smallest size × quote scale of a live flow, currency: what errors of θ are measured against."""
        scales = [jnp.min(c.size * c.scale) for c in self.channels]
        smallest = jnp.min(jnp.stack(scales)) if scales else jnp.asarray(jnp.inf)
        return jnp.where(jnp.isfinite(smallest), smallest, 1.0)

    @property
    def representable(self) -> Bool[Array, ""]:
        """Are all its numbers finite?"""
        numbers = [
            self.reward,
            self.terminal,
            *(x for c in self.channels for x in (c.size, c.cost, c.weight)),
        ]
        return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in numbers]))


def in_problem_order(channels: Sequence[FillChannels], grouped: Sequence[Array]) -> Array:
    """[flow, …] in the order of the problem, from one array [flow of the channel, …] per channel."""
    order = [place for channel in channels for place in channel.order]
    together = jnp.concatenate(grouped)
    return together if order == sorted(order) else together[np.argsort(order)]


def destination(theta: Float[Array, "*state"], shift: Shift) -> Float[Array, "*state"]:
    """θ at the state after a fill; the state's own edge value where the fill would leave the lattice."""
    for axis, step in enumerate(shift):
        if step == 0:
            continue
        length = theta.shape[axis]
        reach = min(abs(step), length)
        edge = jax.lax.slice_in_dim(theta, length - 1, length, axis=axis)
        if step > 0:
            kept = jax.lax.slice_in_dim(theta, reach, length, axis=axis)
            theta = jnp.concatenate([kept] + [edge] * reach, axis=axis)
        else:
            edge = jax.lax.slice_in_dim(theta, 0, 1, axis=axis)
            kept = jax.lax.slice_in_dim(theta, 0, length - reach, axis=axis)
            theta = jnp.concatenate([edge] * reach + [kept], axis=axis)
    return theta


def stays_inside(shape: tuple[int, ...], shift: Shift) -> Bool[np.ndarray, "*state"]:
    """Where a fill keeps the inventory within its limits (each size by itself: no partial fills, no
    clipping).
    """
    inside = np.ones(shape, dtype=bool)
    for axis, step in enumerate(shift):
        after = np.arange(shape[axis]) + step
        view = [1] * len(shape)
        view[axis] = shape[axis]
        inside &= ((after >= 0) & (after < shape[axis])).reshape(view)
    return inside
