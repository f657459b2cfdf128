"""How a solved chain moves with its parameters: the tangent of its equation.

With x a parameter, dθ the derivative of θ by it, and ∂_x at fixed θ, the derivative of B(θ; x) is

    L dθ + ∂_x B,        L the generator of the greedy quotes,

for every ingredient alike: ∂_x B is the derivative of `greedy_policy` along the derivative of `discretise`.
So the tangents of a stationary equation solve the linear systems of one policy evaluation,

    ergodic      L dθ + ∂_x B = dg,   dθ(target) = 0
    discounted   L dθ + ∂_x B - θ dρ = ρ dθ

one factorisation of L at the optimum, one right-hand side for each parameter. Offsets follow by the chain
rule. A quote that is held by a tick or a bound stays there; where B has a kink, the derivative is one-sided.

Second derivatives along one parameter, which say how far a tangent reaches, solve the same systems,

    L d²θ + B'' = d²g      (discounted: L d²θ + B'' - θ d²ρ - 2 dρ dθ = ρ d²θ),

B'' the second derivative of B along (x, θ(x)) with θ(x) replaced by its tangent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quotegrid.models.problem import Problem
from quotegrid.solver.bellman import GreedyPolicy, greedy_policy
from quotegrid.solver.chain import ControlledChain, in_problem_order, stays_inside
from quotegrid.solver.discretise import discretise
from quotegrid.solver.hamiltonians import QuoteSet, held_by_bound, markup_slope, objective
from quotegrid.solver.linear_systems import solve_with_reference, well_visited

KINK = 1e-9  # distance from a kink, relative to the quote scale or to what a quote is worth, that is none
_PROBE = 1e-6  # distance, in margins, at which the slope of the first-order condition is looked at again
_BEND = 1e-4  # relative change of it there that is a kink


class Tangents(NamedTuple):
    """Derivatives by each parameter, first axis; of a stationary solution, or of one time."""

    bias: Float[Array, "parameter *state"]  # of θ less its value at the target, currency per parameter
    level: Float[Array, " parameter"]  # of θ at the target
    gain: Float[Array, " parameter"]  # currency per time and parameter; 0 unless ergodic
    offsets: Float[Array, "parameter flow *state"]  # price per parameter; meaningless where not quoted


class Holds(NamedTuple):
    """Which quotes cannot move freely, at one θ."""

    held: Bool[Array, "flow *state"]  # on a tick or a bound
    kinked: Bool[Array, "flow *state"]  # at a kink: derivatives are one-sided


_C = TypeVar("_C", covariant=True)
_P = TypeVar("_P")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ChainTangents(Generic[_C]):
    """A chain, or what a part of it comes to, its derivatives along each direction, and the second ones if
    asked for; as the chain's leaves, stacked along a first axis.
    """

    chain: _C
    first: list[Array]
    second: list[Array] | None

    @property
    def many(self) -> int:
        """The number of directions."""
        return len(self.first[0])

    def direction(self, leaves: list[Array]) -> _C:
        """One of the derivatives, as a chain."""
        return jax.tree.unflatten(jax.tree.structure(self.chain), leaves)


def chain_tangents(problem: Problem, directions: Problem, second: bool) -> ChainTangents[ControlledChain]:
    """How the chain of a problem moves; `directions` holds tangents of the problem's leaves, stacked."""

    def along(direction: Problem) -> tuple[list[Array], list[Array] | None]:
        def slope(at: Problem) -> list[Array]:
            return jax.tree.leaves(jax.jvp(discretise, (at,), (direction,))[1])

        if not second:
            return slope(problem), None
        return jax.jvp(slope, (problem,), (direction,))

    return ChainTangents(discretise(problem), *jax.vmap(along)(directions))


def tangents_of(
    function: Callable[[_C, Array], tuple[Any, Any]],
    moving: ChainTangents[_C],
    bias: Float[Array, "*state"],
    d_bias: Float[Array, "tangent *state"],
) -> tuple[Any, Any]:
    """What a function of chain and θ says beside its value, and the derivatives of that as both move: the
    first ones, then the second ones if they are there, along a first axis.
    """
    count = moving.many
    _, slope, beside = jax.linearize(function, moving.chain, bias, has_aux=True)
    first = jax.vmap(lambda leaves, d: slope(moving.direction(leaves), d))(moving.first, d_bias[:count])
    if moving.second is None:
        return beside, first

    def bent(leaves: list[Array], d: Array, bending: list[Array], dd: Array) -> Any:
        direction = moving.direction(leaves)

        def slope_at(chain: _C, theta: Array) -> Any:
            return jax.jvp(lambda *at: function(*at)[0], (chain, theta), (direction, d))[1]

        bend = jax.jvp(slope_at, (moving.chain, bias), (direction, d))[1]
        return jax.tree.map(jnp.add, bend, slope(moving.direction(bending), dd))

    second = jax.vmap(bent)(moving.first, d_bias[:count], moving.second, d_bias[count:])
    return beside, jax.tree.map(lambda *parts: jnp.concatenate(parts), first, second)


def moving_part(part: Callable[[_C], _P], moving: ChainTangents[_C]) -> ChainTangents[_P]:
    """How what a function makes of the chain moves."""

    def both(chain: _C, _: Array) -> tuple[list[Array], _P]:
        found = part(chain)
        return jax.tree.leaves(found), found

    count = moving.many
    still = jnp.zeros(count if moving.second is None else 2 * count)
    values, leaves = tangents_of(both, moving, jnp.zeros(()), still)
    bends = None if moving.second is None else [x[count:] for x in leaves]
    return ChainTangents(values, [x[:count] for x in leaves], bends)


def stationary_tangents(
    moving: ChainTangents[ControlledChain],
    bias: Float[Array, "*state"],
    level: Float[Array, ""],
    ergodic: bool,
) -> tuple[Tangents, Tangents | None, Holds]:
    """First derivatives, second ones along each direction if they are there, and which quotes are held."""
    chain = moving.chain

    def excess(at: _Point) -> tuple[tuple[Array, Array], GreedyPolicy]:
        """B - ρθ, and the offsets."""
        found = greedy_policy(at.chain, at.bias)
        owed = jnp.zeros(chain.shape) if ergodic else at.chain.discount * (at.bias + at.level)
        return (found.operator - owed, found.offsets), found

    here = _Point(chain, bias, level)
    _, slope, policy = jax.linearize(excess, here, has_aux=True)
    still = jax.tree.map(jnp.zeros_like, here)
    reference = well_visited(policy.rates, chain.shifts)
    discount = jnp.zeros(()) if ergodic else chain.discount
    killing = jnp.broadcast_to(discount, chain.shape)

    def solve(right: Array) -> tuple[Array, Array, Array]:
        """Bias, level and gain of the tangent with this source."""
        x, constant = solve_with_reference(policy.rates, chain.shifts, killing, right, reference)
        at_target, none = x[chain.target], jnp.zeros(())
        return x - at_target, *((none, constant) if ergodic else (at_target + constant / discount, none))

    def along(leaves: list[Array]) -> tuple[Tangents, tuple[Array, Array]]:
        direction = moving.direction(leaves)
        source, _ = slope(still._replace(chain=direction))
        d_bias, d_level, d_gain = solve(source)
        _, d_offsets = slope(_Point(direction, d_bias, d_level))
        return Tangents(d_bias, d_level, d_gain, d_offsets), (d_bias, d_level)

    def bent(leaves: list[Array], moves: tuple[Array, Array], bends: list[Array]) -> Tangents:
        tangent, bending = _Point(moving.direction(leaves), *moves), moving.direction(bends)

        def slope_at(at: _Point) -> tuple[Array, Array]:
            return jax.jvp(lambda x: excess(x)[0], (at,), (tangent,))[1]

        bend, d_offsets = jax.jvp(slope_at, (here,), (tangent,))[1]
        source, _ = slope(still._replace(chain=bending))
        d_bias, d_level, d_gain = solve(bend + source)
        _, followed = slope(_Point(bending, d_bias, d_level))
        return Tangents(d_bias, d_level, d_gain, d_offsets + followed)

    found, moves = jax.vmap(along)(moving.first)
    bends = None if moving.second is None else jax.vmap(bent)(moving.first, moves, moving.second)
    return found, bends, holds(chain, policy)


class _Point(NamedTuple):
    """What the excess depends on."""

    chain: ControlledChain
    bias: Array
    level: Array


def holds(chain: ControlledChain, policy: GreedyPolicy) -> Holds:
    """Which quotes of a policy sit on a tick or a bound, and which on a kink between two ways to move."""
    held, kinked = [], []
    wide = (slice(None),) + (None,) * len(chain.shape)
    for channel in chain.channels:
        flows = jnp.asarray(channel.order)
        p, offset = policy.reservation[flows], policy.offsets[flows]
        size = channel.size * channel.multiplier
        if channel.tick is None:
            quotes = QuoteSet(channel.low, channel.high, None)
            at_end = jax.vmap(held_by_bound, in_axes=(0, 0, 0, 0, None, 0))(
                channel.intensity, p, offset, size, chain.xi, quotes
            )
            markup = jax.vmap(lambda i, x, z: i.markup(x, z, chain.xi))(channel.intensity, offset, size)
            slack = jnp.abs(offset - p - markup)
            slope = jax.vmap(markup_slope, in_axes=(0, 0, 0, None))
            before, after = (
                1.0 - slope(channel.intensity, offset + side * _PROBE * jnp.abs(markup), size, chain.xi)
                for side in (-1.0, 1.0)
            )
            bent = jnp.abs(after - before) > _BEND * (jnp.abs(after) + jnp.abs(before))
            held.append(at_end)
            room = KINK * jnp.abs(markup)
            near_end = (offset - channel.low[wide] <= room) | (channel.high[wide] - offset <= room)
            kinked.append(jnp.where(near_end, slack <= room, bent))
        else:
            tick = channel.tick[wide]
            worth = jax.vmap(objective, in_axes=(0, 0, 0, None, 0))
            best, *others = (
                worth(
                    channel.intensity, p, size, chain.xi, jnp.clip(x, channel.low[wide], channel.high[wide])
                )
                for x in (offset, offset - tick, offset + tick)
            )
            tied = jnp.zeros(offset.shape, bool)
            for other, place in zip(others, (offset - tick, offset + tick), strict=True):
                allowed = (place >= channel.low[wide] - KINK * tick) & (
                    place <= channel.high[wide] + KINK * tick
                )
                tied = tied | (allowed & (jnp.abs(best - other) <= KINK * jnp.abs(best)))
            held.append(jnp.ones(offset.shape, bool))
            kinked.append(tied)
    if not chain.channels:
        nothing = jnp.zeros((0, *chain.shape), bool)
        return Holds(nothing, nothing)
    inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in chain.shifts])
    on = inside & policy.quoted
    return Holds(*(on & in_problem_order(chain.channels, parts) for parts in (held, kinked)))
