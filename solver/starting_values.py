"""A closed-form start for policy iteration: the Riccati slope, bent by an asinh.

Replace the lattice by a continuum and H_f by its second-order expansion at the neutral costs c_f. With the
slope x = θ'(q) and S = Σ_f a_f H_f''(c_f)/m_f², the stationary equation becomes ½ S x² = max ℓ - ℓ(q), the
Riccati solution (Bergault, Evangelista, Guéant & Vieira 2021). True Hamiltonians grow faster than their
parabola, so far from the target the slope grows only like a logarithm. For equal exponential intensities Σ H
= 2C cosh(kx), S = 2Ck² and the slope is exactly

    θ'(q) = -sign(q - q*) 2 s̄ asinh(sqrt(2 (max ℓ - ℓ(q))/S)/(2 s̄)),     s̄ = 1/k; else the mean quote
    scale.

Far from the target nearly all fills are of the side that leads back to it: where the sides differ, S is twice
and s̄ the mean of that side's own. (With those of the other side a slope could be too large many times over,
and policy iteration takes an exponential down by a factor of e at a time.)
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.solver.chain import ControlledChain, FillChannels
from quotegrid.solver.hamiltonians import QuoteSet, optimal_quote


def asinh_start(chain: ControlledChain) -> Float[Array, "*state"]:
    """θ up to a constant, 0 at the target inventory (currency); the axes are treated one by one and added."""
    theta = jnp.zeros(chain.shape)
    for axis, length in enumerate(chain.shape):
        if length == 1 or not any(_along(channel, axis) for channel in chain.channels):
            continue
        line = tuple(slice(None) if other == axis else place for other, place in enumerate(chain.target))
        reward = chain.reward[line]
        middle = 0.5 * (reward[1:] + reward[:-1])
        best = jnp.argmax(reward)
        above = jnp.arange(length - 1) >= best
        selling, buying = _curvatures(chain, axis)
        curvature, scale = (
            jnp.where(above, _or(selling, buying)[part], _or(buying, selling)[part]) for part in (0, 1)
        )
        riccati = jnp.sqrt((jnp.max(reward) - middle) / curvature)
        steep = 2.0 * scale * jnp.arcsinh(riccati / (2.0 * scale))
        slope = jnp.where(above, -steep, steep)
        unit = _unit(chain, axis)
        values = jnp.concatenate([jnp.zeros(1), jnp.cumsum(slope * unit)])
        values = values - values[chain.target[axis]]
        theta = theta + values.reshape([length if other == axis else 1 for other in range(theta.ndim)])
    return theta


def _along(channel: FillChannels, axis: int) -> list[int]:
    return [flow for flow, shift in enumerate(channel.shifts) if shift[axis] != 0]


def _unit(chain: ControlledChain, axis: int) -> Array:
    """Units of the asset in one lattice step of an axis."""
    channel = next(channel for channel in chain.channels if _along(channel, axis))
    flow = _along(channel, axis)[0]
    return channel.size[flow] / abs(channel.shifts[flow][axis])


def _or(own: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
    """The curvature and scale of one side; of the other, or 1, where it has no fills."""
    known = jnp.where(other[0] > 0.0, jnp.stack(other), 1.0)
    curvature, scale = jnp.where(own[0] > 0.0, jnp.stack(own), known)
    return curvature, scale


def _curvatures(chain: ControlledChain, axis: int) -> list[tuple[Array, Array]]:
    """S and s̄ of the flows down and of those up an axis, 0 where there are none: second differences of the
    Hamiltonians over one quote scale, at the target inventory.
    """
    ways = [[jnp.zeros(()), jnp.zeros(())], [jnp.zeros(()), jnp.zeros(())]]
    for channel in chain.channels:
        scale = jnp.where(jnp.isfinite(channel.scale), channel.scale, 1.0)
        if channel.tick is not None:
            scale = jnp.maximum(scale, 2.0 * channel.tick)
        place = (slice(None), *chain.target)
        p = channel.cost[place][:, None] / channel.multiplier[:, None] + scale[:, None] * jnp.array(
            [[-1.0, 0.0, 1.0]]
        )
        found = jax.vmap(optimal_quote, in_axes=(0, 0, 0, None, 0))(
            channel.intensity,
            p,
            channel.size * channel.multiplier,
            chain.xi,
            QuoteSet(channel.low, channel.high, channel.tick),
        )
        value = found.value
        second = (value[:, 0] - 2.0 * value[:, 1] + value[:, 2]) / scale**2 / channel.multiplier**2
        live = jnp.isfinite(channel.scale) & jnp.isfinite(second)
        second = jnp.where(live, jnp.maximum(channel.weight[place] * second, 0.0), 0.0)
        for way, sign in zip(ways, (-1, 1), strict=True):
            own = second * np.array([float(np.sign(shift[axis]) == sign) for shift in channel.shifts])
            way[0], way[1] = way[0] + jnp.sum(own), way[1] + jnp.sum(own * scale)
    return [(total, weighted / jnp.where(total > 0.0, total, 1.0)) for total, weighted in ways]
