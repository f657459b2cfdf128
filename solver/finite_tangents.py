"""Finite horizon, any equation: θ and its derivatives by many parameters march together.

    ∂θ/∂τ = B(θ; x),   ∂(dθ)/∂τ = L dθ + ∂_x B,   dθ(0) = ∂_x θ(T)

L is the generator of the greedy quotes and ∂_x the derivative at fixed θ (`tangents`); second derivatives
along each parameter join as further tangents, with source B'' + ∂_xx B. All are one equation, and two schemes
of order 8 march it:

- the explicit one of `runge_kutta`, with a few mean times between fills a step;
- for horizons of very many fills that of `extrapolated_euler`, with a Jacobian taken block by block: one
  factorisation of 1/η - L for each length η of small steps, as many right-hand sides as tangents. What is
  left out of the Jacobian, ∂L/∂θ, couples θ to its tangents one way and costs no stability; the extrapolation
  takes its error away with the others.

Where B has a closed form (`exponential_flows`), the stages of a step evaluate that.

The step is controlled for θ and for each tangent, relative to its largest entry. Where a quote changes its
tick, L jumps: a step across such a moment must be so short that the jump makes no difference.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from quotegrid.solver.bellman import GreedyPolicy, greedy_policy
from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.dormand_prince import ERROR_WEIGHTS, STAGE_WEIGHTS, STAGES, STEP_WEIGHTS
from quotegrid.solver.exponential_flows import ExponentialFlows
from quotegrid.solver.extrapolated_euler import ORDER, STEP_LIMIT, extrapolation_weights
from quotegrid.solver.linear_systems import Factors, factorise, solve_factored
from quotegrid.solver.runge_kutta import STABLE
from quotegrid.solver.tangents import ChainTangents, Holds, holds, tangents_of

TOLERANCE = 1e-11  # of a step: of θ against the value scale, of a tangent against its largest entry
_JUMP = 1e-8  # of a step across a change of a tick, against a tangent's largest entry
_SAFETY, _SHRINK, _GROW, _HALVE = 0.9, 0.1, 6.0, 0.25
_ROUNDING = 2e-14  # of an entry: what rounding of the increments becomes under the extrapolation weights


Stages: TypeAlias = ChainTangents[ControlledChain | ExponentialFlows]
"""What the stages of a step evaluate B with: the chain, or the closed form where there is one."""


class Moving(NamedTuple):
    """θ and its tangents at one time to go: the first derivatives by each parameter, then the second ones."""

    bias: Float[Array, "*state"]
    level: Float[Array, ""]
    d_bias: Float[Array, "tangent *state"]  # 0 at the target
    d_level: Float[Array, " tangent"]
    slopes: "Slopes"
    now: Float[Array, ""]
    step: Float[Array, ""]
    steps: Int[Array, ""]
    sound: Bool[Array, ""]


class Slopes(NamedTuple):
    """B at a place, as a policy, and the derivatives of B."""

    policy: GreedyPolicy
    d_operator: Float[Array, "tangent *state"]


class MovingOutput(NamedTuple):
    """What is kept of a time to go: tangents by each parameter, and, where they are wanted, those by the time
    to go itself and which quotes are held.
    """

    bias: Float[Array, "*state"]
    level: Float[Array, ""]
    d_bias: Float[Array, "tangent *state"]
    d_level: Float[Array, " tangent"]
    d_offsets: Float[Array, "tangent flow *state"]
    later: "Later | None"
    holds: Holds | None


class Later(NamedTuple):
    """First and, if wanted, second derivatives by the time to go, along a first axis."""

    value: Float[Array, "order *state"]
    offsets: Float[Array, "order flow *state"]


def start_moving(moving: ChainTangents[ControlledChain]) -> Moving:
    """At the end of the horizon."""
    chain = moving.chain
    wide = (slice(None),) + (None,) * len(chain.shape)
    level = chain.terminal[chain.target]
    no_change = jnp.zeros((moving.many * (1 if moving.second is None else 2), *chain.shape))
    _, d_terminal = tangents_of(lambda chain, _: (chain.terminal, None), moving, chain.terminal, no_change)
    d_level = d_terminal[(slice(None), *chain.target)]
    bias = chain.terminal - level
    d_bias = d_terminal - d_level[wide]
    slopes = _slopes(moving, bias, d_bias)
    activity = jnp.max(jnp.sum(slopes.policy.rates, axis=0), initial=0.0)
    first_step = jnp.where(activity > 0.0, 1e-2 / activity, jnp.inf)
    sound = jnp.all(jnp.isfinite(slopes.policy.operator))
    none = jnp.zeros((), int)
    return Moving(bias, level, d_bias, d_level, slopes, jnp.zeros(()), first_step, none, sound)


def _slopes(moving: ChainTangents[ControlledChain], bias: Array, d_bias: Array) -> Slopes:
    def operator(chain: ControlledChain, theta: Array) -> tuple[Array, GreedyPolicy]:
        policy = greedy_policy(chain, theta)
        return policy.operator, policy

    return Slopes(*tangents_of(operator, moving, bias, d_bias))


def _pace(stages: Stages, bias: Array, d_bias: Array) -> tuple[Array, Array]:
    """B at a place and the derivatives of B, alone."""

    def operator(chain: ControlledChain | ExponentialFlows, theta: Array) -> tuple[Array, Array]:
        closed = isinstance(chain, ExponentialFlows)
        found = chain.operator(theta) if closed else greedy_policy(chain, theta).operator
        return found, found

    return tangents_of(operator, stages, bias, d_bias)


def march_tangents(
    moving: ChainTangents[ControlledChain],
    start: Moving,
    outputs: Float[Array, " t"],
    explicit: bool,
    more: bool,
    stages: Stages,
) -> tuple[Moving, MovingOutput]:
    """θ and its tangents at the increasing times to go `outputs`, by either scheme; `more`: all that an
    output may hold.
    """
    chain = moving.chain
    wide = (slice(None),) + (None,) * len(chain.shape)
    states = tuple(range(1, 1 + len(chain.shape)))
    at_target = (slice(None), *chain.target)
    ticks = np.array([place for c in chain.channels if c.tick is not None for place in c.order], int)

    scheme = _explicit_step if explicit else _extrapolated_step

    def advance(state: Moving, until: Array) -> Moving:
        left = until - state.now
        policy, d_operator = state.slopes
        longest = state.step
        if explicit:
            leaving = jnp.max(jnp.sum(policy.rates, axis=0), initial=0.0)
            longest = jnp.minimum(longest, jnp.where(leaving > 0.0, 0.5 * STABLE / leaving, jnp.inf))
        length = jnp.where(2.0 * longest >= left, 0.5 * left, longest)
        length = jnp.where(longest >= left, left, length)
        drift, d_drift = policy.operator[chain.target], d_operator[at_target]
        e, d_e, error, d_error, after = scheme(moving, stages, state, length)
        bias, d_bias = state.bias + e, state.d_bias + d_e
        shift, d_shift = bias[chain.target], d_bias[at_target]
        bias, d_bias = bias - shift, d_bias - d_shift[wide]
        largest = jnp.max(jnp.abs(d_bias), axis=states)
        allowed = TOLERANCE * chain.value_scale + _ROUNDING * jnp.max(jnp.abs(bias))
        d_ratio = _ratio(d_error, (TOLERANCE + _ROUNDING) * largest)
        ratio = jnp.maximum(error / allowed, jnp.max(d_ratio, initial=0.0))
        jump = jnp.zeros(())
        if len(ticks):
            turn = jnp.max(jnp.abs(after.d_operator - d_operator), axis=states)
            jump = jnp.max(_ratio(length * turn, _JUMP * largest), initial=0.0)
            jump = jnp.where(jnp.any(policy.offsets[ticks] != after.policy.offsets[ticks]), jump, 0.0)
        finite = jnp.isfinite(ratio) & jnp.isfinite(jump)
        accepted = finite & (ratio <= 1.0) & (jump <= 1.0)
        factor = jnp.clip(_SAFETY * jnp.maximum(ratio, 1e-30) ** (-1.0 / ORDER), _SHRINK, _GROW)
        factor = jnp.where(jump > 1.0, jnp.minimum(factor, _HALVE), factor)
        step = length * jnp.where(finite, factor, _SHRINK)
        step = jnp.where(accepted, jnp.maximum(step, jnp.where(length < state.step, state.step, 0.0)), step)
        done = state._replace(
            bias=bias,
            level=state.level + shift + drift * length,
            d_bias=d_bias,
            d_level=state.d_level + d_shift + d_drift * length,
            slopes=after,
            now=jnp.where(length == left, until, state.now + length),
        )
        kept = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), done, state)
        sound = state.sound & (step > 1e-15 * state.now)
        return kept._replace(step=step, steps=state.steps + 1, sound=sound)

    def to_output(state: Moving, until: Array) -> tuple[Moving, MovingOutput]:
        def unfinished(state: Moving) -> Array:
            return (state.now < until) & state.sound & (state.steps < STEP_LIMIT)

        state = jax.lax.while_loop(unfinished, lambda x: advance(x, until), state)
        state = state._replace(sound=state.sound & (state.now >= until))
        return state, moving_output(moving, state.bias, state.level, state.d_bias, state.d_level, more)

    return jax.lax.scan(to_output, start, outputs)


# increments of bias and tangents less drift × length, the estimated errors of both, and the slopes reached
_Step = tuple[Array, Array, Array, Array, Slopes]


def _less_drift(
    moving: ChainTangents[ControlledChain], pace: tuple[Array, Array], here: Moving
) -> tuple[Array, Array]:
    """B and its derivatives less those of the target where the step starts, so that only differences are
    added up.
    """
    target = moving.chain.target
    wide = (slice(None),) + (None,) * len(target)
    d_drift = here.slopes.d_operator[(slice(None), *target)]
    return pace[0] - here.slopes.policy.operator[target], pace[1] - d_drift[wide]


def _explicit_step(
    moving: ChainTangents[ControlledChain], stages: Stages, here: Moving, length: Array
) -> _Step:
    """One step of Dormand and Prince's method of order 8."""

    def combined(weights: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        return tuple(length * jnp.tensordot(weights, x, axes=1) for x in found)  # type: ignore[return-value]

    def add(found: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        weights, place = row
        e, d_e = combined(weights, found)
        pace = _pace(stages, here.bias + e, here.d_bias + d_e)
        new = _less_drift(moving, pace, here)
        return jax.tree.map(lambda x, y: x.at[place].set(y, mode="promise_in_bounds"), found, new), None

    first = _less_drift(moving, (here.slopes.policy.operator, here.slopes.d_operator), here)
    found = jax.tree.map(lambda x: jnp.zeros((STAGES + 1, *x.shape)).at[0].set(x), first)
    rows = jnp.asarray(np.pad(STAGE_WEIGHTS, ((0, 0), (0, 1)))), jnp.arange(1, STAGES)
    found, _ = jax.lax.scan(add, found, rows)
    e, d_e = combined(jnp.asarray(np.pad(STEP_WEIGHTS, (0, STAGES + 1 - len(STEP_WEIGHTS)))), found)
    # the slopes at the new place are for the error estimate and the next step
    after = _slopes(moving, here.bias + e, here.d_bias + d_e)
    last = _less_drift(moving, (after.policy.operator, after.d_operator), here)
    found = jax.tree.map(lambda x, y: x.at[STAGES].set(y), found, last)

    def error(x: Array, axes: tuple[int, ...]) -> Array:
        fifth, third = (
            jnp.max(jnp.abs(jnp.tensordot(jnp.asarray(row), x, axes=1)), axis=axes) for row in ERROR_WEIGHTS
        )
        both = jnp.sqrt(fifth**2 + 0.01 * third**2)
        return length * fifth**2 / jnp.where(both > 0.0, both, 1.0)

    axes = tuple(range(len(moving.chain.shape)))
    errors = error(found[0], axes), error(found[1], tuple(axis + 1 for axis in axes))
    return e, d_e, *errors, after


def _extrapolated_step(
    moving: ChainTangents[ControlledChain], stages: Stages, here: Moving, length: Array
) -> _Step:
    """1 … K linearly implicit small steps, side by side, and their combinations of orders K and K - 1."""
    chain = moving.chain
    counts = np.arange(1, ORDER + 1)
    best = jnp.asarray(extrapolation_weights(counts.tolist()))
    difference = best - jnp.asarray(np.concatenate([[0.0], extrapolation_weights(counts[1:].tolist())]))
    lanes = jnp.asarray(counts, float)

    def prepare(killing: Array) -> Factors:
        return factorise(here.slopes.policy.rates, chain.shifts, jnp.broadcast_to(killing, chain.shape))

    factors = jax.vmap(prepare)(lanes / length)

    def lane(moved: tuple[Array, Array], factor: Factors) -> tuple[Array, Array]:
        e, d_e = moved
        pace = _pace(stages, here.bias + e, here.d_bias + d_e)
        right, d_right = _less_drift(moving, pace, here)
        solve = jax.vmap(solve_factored, in_axes=(None, 0))
        return e + solve_factored(factor, right), d_e + solve(factor, d_right)

    def small_step(moved: tuple[Array, Array], done: Array) -> tuple[tuple[Array, Array], None]:
        after = jax.vmap(lane)(moved, factors)

        def unless_done(new: Array, old: Array) -> Array:
            return jnp.where((done < lanes).reshape((-1,) + (1,) * (new.ndim - 1)), new, old)

        return jax.tree.map(unless_done, after, moved), None

    nothing = jnp.zeros((ORDER, *here.bias.shape)), jnp.zeros((ORDER, *here.d_bias.shape))
    (all_e, all_d_e), _ = jax.lax.scan(small_step, nothing, jnp.arange(ORDER, dtype=float))
    e, d_e = (jnp.tensordot(best, x, axes=1) for x in (all_e, all_d_e))
    error = jnp.max(jnp.abs(jnp.tensordot(difference, all_e, axes=1)))
    states = tuple(range(1, here.d_bias.ndim))
    d_error = jnp.max(jnp.abs(jnp.tensordot(difference, all_d_e, axes=1)), axis=states)
    return e, d_e, error, d_error, _slopes(moving, here.bias + e, here.d_bias + d_e)


def moving_output(
    moving: ChainTangents[ControlledChain],
    bias: Array,
    level: Array,
    d_bias: Array,
    d_level: Array,
    more: bool,
) -> MovingOutput:
    """Offsets by the chain rule; with `more` the derivatives by the time to go, where ∂θ/∂τ = B, and what
    holds the quotes.
    """
    chain = moving.chain

    def offsets(chain: ControlledChain, theta: Array) -> tuple[Array, GreedyPolicy]:
        policy = greedy_policy(chain, theta)
        return policy.offsets, policy

    policy, d_offsets = tangents_of(offsets, moving, bias, d_bias)
    later = _later(chain, bias, second=moving.second is not None) if more else None
    held = holds(chain, policy) if more else None
    return MovingOutput(bias, level, d_bias, d_level, d_offsets, later, held)


def _later(chain: ControlledChain, bias: Array, second: bool) -> Later:
    """With ∂θ/∂τ = B: ∂²θ/∂τ² = L B, and the offsets by the chain rule."""

    def found(theta: Array) -> tuple[Array, Array]:
        policy = greedy_policy(chain, theta)
        return policy.operator, policy.offsets

    pace = greedy_policy(chain, bias).operator

    def along_pace(theta: Array) -> tuple[Array, Array]:
        return jax.jvp(found, (theta,), (pace,))[1]

    bend, d_offsets = along_pace(bias)
    if not second:
        return Later(pace[None], d_offsets[None])
    _, curved = jax.jvp(along_pace, (bias,), (pace,))[1]
    _, followed = jax.jvp(found, (bias,), (bend,))[1]
    return Later(jnp.stack([pace, bend]), jnp.stack([d_offsets, curved + followed]))


def _ratio(error: Array, allowed: Array) -> Array:
    """Of errors to what is allowed; 0 where there is no error at all."""
    return jnp.where(error > 0.0, error / jnp.where(error > 0.0, allowed, 1.0), 0.0)
