"""A fixed policy over a finite horizon: expectations backwards, the distribution forwards.

Backwards in time to go, from the terminal condition, for every starting inventory at once:

    ∂θ/∂τ = B_π(θ)               certainty equivalent,      θ(0) = terminal value
    ∂m/∂τ = L m + w              expected wealth to come,   m(0) = terminal value
    ∂s/∂τ = L s + Γ(m)           its variance,              s(0) = 0
    ∂f/∂τ = L f + 1, f = 0 at flat                          the mean of min(time to flat, time left)

forwards from one starting inventory: ∂p/∂t = Lᵀp, with ∫ p·(each part, fill rate, …) dt beside it. The rates
move with the quotes, which are linear between the policy's times. Linearly implicit Euler steps, done with 1,
2, …, K small ones and extrapolated to order K with error control, as in `solver.extrapolated_euler`; each
small step has the rates of its own end, so that rates of any size are safe. The estimated errors of the steps
travel through the chain as the expectations do, so that those made at inventories that the start hardly ever
leads to hardly count.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.solver.account import Account
from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.extrapolated_euler import extrapolation_weights
from quotegrid.solver.kernels import kernel
from quotegrid.solver.linear_systems import factorise, solve_factored
from quotegrid.solver.policy_chain import PolicyChain, policy_chain

ORDER = 8  # K
STEP_LIMIT = 100_000
_SAFETY, _SHRINK, _GROW = 0.9, 0.1, 6.0
_COUNTS = np.arange(1, ORDER + 1)
_BEST = extrapolation_weights(_COUNTS.tolist())
_DIFFERENCE = _BEST - np.concatenate([[0.0], extrapolation_weights(_COUNTS[1:].tolist())])
_CHUNK = 32  # pieces of a compiled call: one shape for policies of any number of times
_OPENING = 1e-6  # of the horizon: the first step tried
_ROUNDING = 4e-13  # relative: what the extrapolation weights make of rounding


class Pieces(NamedTuple):
    """The policy between its times, in the order of the march: offsets linear from `first` to `last`."""

    length: Any  # [piece], time
    first: Any  # [piece, flow, *state], price units, NaN where off
    last: Any  # [piece, flow, *state]


class Backward(NamedTuple):
    """Expectations at the end of the last piece; currency, currency², time; NumPy."""

    value: Float[np.ndarray, "*state"]  # θ
    wealth: Float[np.ndarray, "*state"]  # m
    variance: Float[np.ndarray, "*state"]  # s
    time_to_flat: Float[np.ndarray, "*state"]  # f
    error: Float[np.ndarray, "4 *state"]  # estimated errors of the four
    steps: int
    sound: bool


class Forward(NamedTuple):
    """The distribution at the end of each piece, and integrals over the horizon; NumPy."""

    distribution: Float[np.ndarray, "piece *state"]
    occupation: Float[np.ndarray, "*state"]  # ∫ p dt, time
    earned: dict[str, float]  # currency
    risk_cost: float  # currency
    fills: Float[np.ndarray, " move"]  # expected numbers
    steps: int
    sound: bool


class _March(NamedTuple):
    state: Array  # what is marched
    at: Array  # time done in this piece
    step: Array  # the next step, time
    error: Array  # of the state, estimated
    steps: Array
    sound: Array


def march_backward(
    chain: ControlledChain,
    money: Account,
    pieces: Pieces,
    flat: Float[np.ndarray, "*state"],
    tolerance: float,
) -> Backward:
    """From the end to the start: `pieces` in the order of time to go; `tolerance` per step, relative.

    Runs with double precision on.
    """
    terminal, nothing = np.asarray(chain.terminal), np.zeros(chain.shape)
    start = np.stack([terminal, terminal, nothing, nothing])
    march, _ = _through_chunks(
        partial(_backward_chunk, jnp.asarray(flat)), chain, money, pieces, start, tolerance
    )
    theta, wealth, variance, clock = np.asarray(march.state)
    error = np.asarray(march.error)
    return Backward(theta, wealth, variance, clock, error, int(march.steps), bool(march.sound))


def march_forward(
    chain: ControlledChain,
    money: Account,
    pieces: Pieces,
    start: Float[np.ndarray, "*state"],
    tolerance: float,
) -> Forward:
    """From a distribution at the start to the end: `pieces` in calendar time.

    Runs with double precision on.
    """
    count = start.size
    parts = sorted({*money.holding, *money.level})
    sums = np.zeros(len(parts) + 1 + len(chain.shifts))
    begin = np.concatenate([start.reshape(-1), np.zeros(count), sums])
    march, outputs = _through_chunks(_forward_chunk, chain, money, pieces, begin, tolerance)
    final = np.asarray(march.state)
    sums = final[2 * count :]
    return Forward(
        outputs[:, :count].reshape(-1, *chain.shape),
        final[count : 2 * count].reshape(chain.shape),
        {part: float(sums[place]) for place, part in enumerate(parts)},
        float(sums[len(parts)]),
        sums[len(parts) + 1 :],
        int(march.steps),
        bool(march.sound),
    )


def _through_chunks(
    advance: Callable[..., tuple[_March, Array]],
    chain: ControlledChain,
    money: Account,
    pieces: Pieces,
    start: np.ndarray,
    tolerance: float,
) -> tuple[_March, np.ndarray]:
    """Advance `start` through all pieces; the march at the end, and the state at the end of each piece."""
    count, whole = len(pieces.length), float(np.sum(pieces.length))
    more = -count % _CHUNK  # pieces of no length, which change nothing

    def longer(array: np.ndarray) -> np.ndarray:
        return np.pad(array, ((0, more), *((0, 0),) * (array.ndim - 1)), mode="edge")

    whole_pieces = Pieces(np.pad(pieces.length, (0, more)), longer(pieces.first), longer(pieces.last))
    state = jnp.asarray(start)
    march = _March(
        state,
        jnp.zeros(()),
        jnp.asarray(_OPENING * whole),
        jnp.zeros(state.shape),
        jnp.zeros((), int),
        jnp.ones((), bool),
    )
    limits = jnp.asarray([tolerance, whole])
    found = []
    for begin in range(0, count + more, _CHUNK):
        chunk = Pieces(*(jnp.asarray(array[begin : begin + _CHUNK]) for array in whole_pieces))
        march, outputs = advance(chain, money, chunk, march, limits)
        found.append(np.asarray(outputs))
        if not bool(march.sound):
            break
    return march, np.concatenate(found)[:count]


@kernel()
def _backward_chunk(
    flat: Array, chain: ControlledChain, money: Account, pieces: Pieces, march: _March, limits: Array
) -> tuple[_March, Array]:
    off = 1.0 - flat
    floor = jnp.stack([chain.value_scale, chain.value_scale, jnp.zeros(()), jnp.zeros(())])

    def small_step(policy: PolicyChain, state: Array, eta: Array) -> Array:
        killing = jnp.broadcast_to(1.0 / eta, chain.shape)
        theta, wealth, variance, clock = state
        operator, tilted = policy.operator(theta)
        theta = theta + solve_factored(factorise(tilted, policy.shifts, killing), operator)
        plain = factorise(policy.rates, policy.shifts, killing)
        wealth = wealth + solve_factored(plain, policy.pnl + policy.generate(wealth))
        right = policy.squared(wealth) + policy.generate(variance)
        variance = variance + solve_factored(plain, right)
        held = factorise(policy.rates * off[None], policy.shifts, killing)
        clock = clock + solve_factored(held, off * (1.0 + policy.generate(clock)))
        return jnp.stack([theta, wealth, variance, clock])

    def carried(policy: PolicyChain, state: Array, errors: Array, length: Array) -> Array:
        killing = jnp.broadcast_to(1.0 / length, chain.shape)
        _, tilted = policy.operator(state[0])
        tilted = solve_factored(factorise(tilted, policy.shifts, killing), errors[0] / length)
        plain = factorise(policy.rates, policy.shifts, killing)
        others = jax.vmap(solve_factored, in_axes=(None, 0))(plain, errors[1:] / length)
        return jnp.concatenate([tilted[None], others])

    def scales(state: Array) -> Array:
        return jnp.maximum(jnp.max(jnp.abs(state.reshape(4, -1)), axis=1), floor)

    return _march(chain, money, pieces, march, small_step, carried, scales, limits)


@kernel()
def _forward_chunk(
    chain: ControlledChain, money: Account, pieces: Pieces, march: _March, limits: Array
) -> tuple[_March, Array]:
    """The state: p, ∫p dt, then the sums of each part, of the risk cost and of each flow's fills."""
    count, moves = int(np.prod(chain.shape)), len(chain.shifts)
    parts = sorted({*money.holding, *money.level})
    lengths = (count, count, len(parts) + 1, moves)
    groups = np.repeat(np.arange(4), lengths)

    def small_step(policy: PolicyChain, state: Array, eta: Array) -> Array:
        p = state[:count].reshape(chain.shape)
        factors = factorise(policy.rates, policy.shifts, jnp.broadcast_to(1.0 / eta, chain.shape))
        (flow,) = jax.linear_transpose(policy.generate, p)(p)
        (moved,) = jax.linear_transpose(lambda right: solve_factored(factors, right), p)(flow)
        p = p + moved
        sums = [jnp.sum(p * policy.earned[part]) for part in parts]
        sums.append(jnp.sum(p * policy.risk_cost))
        fills = jnp.sum((p[None] * policy.rates).reshape(moves, -1), axis=1)
        gained = jnp.concatenate([p.reshape(-1), jnp.stack(sums), fills])
        return jnp.concatenate([p.reshape(-1), state[count:] + eta * gained])

    def carried(policy: PolicyChain, state: Array, errors: Array, length: Array) -> Array:
        return errors

    def scales(state: Array) -> Array:
        return jax.ops.segment_max(jnp.abs(state), groups, 4)[groups]

    return _march(chain, money, pieces, march, small_step, carried, scales, limits)


def _march(
    chain: ControlledChain,
    money: Account,
    pieces: Pieces,
    march: _March,
    small_step: Callable[[PolicyChain, Array, Array], Array],
    carried: Callable[[PolicyChain, Array, Array, Array], Array],
    scales: Callable[[Array], Array],
    limits: Array,
) -> tuple[_March, Array]:
    """Advance the march through the pieces; the state at the end of each.

    `small_step` takes the chain at its end, a state and a length; `carried` says what errors become over a
    big step; `scales` what they are measured against, one number for each first index of the state; `limits`
    are the tolerance and the length of the horizon.
    """
    best, difference = jnp.asarray(_BEST), jnp.asarray(_DIFFERENCE)
    lanes = jnp.asarray(_COUNTS, float)
    rank, (tolerance, whole) = march.state.ndim, limits

    def big_step(state: Array, piece: Pieces, at: Array, length: Array) -> tuple[Array, Array]:
        """The state's increment and its estimated error, entry by entry."""

        def lane(increment: Array, count: Array, done: Array) -> Array:
            eta = length / count
            share = jnp.where(piece.length > 0.0, (at + (done + 1.0) * eta) / piece.length, 1.0)
            offsets = piece.first + jnp.minimum(share, 1.0) * (piece.last - piece.first)
            after = small_step(policy_chain(chain, money, offsets), state + increment, eta)
            return jnp.where(done < count, after - state, increment)

        def advance(increments: Array, done: Array) -> tuple[Array, None]:
            return jax.vmap(lane, in_axes=(0, 0, None))(increments, lanes, done), None

        nothing = jnp.zeros((ORDER, *state.shape))
        increments, _ = jax.lax.scan(advance, nothing, jnp.arange(ORDER, dtype=float))
        return jnp.tensordot(best, increments, axes=1), jnp.abs(jnp.tensordot(difference, increments, axes=1))

    def step(march: _March, piece: Pieces) -> _March:
        left = piece.length - march.at
        length = jnp.where(2.0 * march.step >= left, 0.5 * left, march.step)
        length = jnp.where(march.step >= left, left, length)
        increment, error = big_step(march.state, piece, march.at, length)
        proposal = march.state + increment
        scale = scales(proposal)
        scale = scale.reshape(scale.shape + (1,) * (rank - scale.ndim))
        allowed = (tolerance + _ROUNDING) * scale
        worst = jnp.where(error > 0.0, error / jnp.where(allowed > 0.0, allowed, 1e-300), 0.0)
        ratio = jnp.max(worst)
        finite = jnp.isfinite(ratio) & jnp.all(jnp.isfinite(proposal))
        accepted = finite & (ratio <= 1.0)
        grown = jnp.clip(_SAFETY * jnp.maximum(ratio, 1e-30) ** (-1.0 / ORDER), _SHRINK, _GROW)
        next_step = length * jnp.where(finite, grown, _SHRINK)
        # a step cut short by the end of a piece says nothing against longer ones
        cut = accepted & (length < march.step)
        next_step = jnp.where(cut, jnp.maximum(next_step, march.step), next_step)
        done = jnp.where(length == left, piece.length, march.at + length)
        share = jnp.where(piece.length > 0.0, done / piece.length, 1.0)
        at_end = policy_chain(chain, money, piece.first + share * (piece.last - piece.first))
        errors = carried(at_end, march.state, march.error, length) + error
        sound = next_step > 1e-15 * whole
        return _March(
            jnp.where(accepted, proposal, march.state),
            jnp.where(accepted, done, march.at),
            next_step,
            jnp.where(accepted, errors, march.error),
            march.steps + 1,
            march.sound & sound & (march.steps < STEP_LIMIT),
        )

    def through(march: _March, piece: Pieces) -> tuple[_March, Array]:
        march = jax.lax.while_loop(
            lambda m: (m.at < piece.length) & m.sound,
            lambda m: step(m, piece),
            march._replace(at=jnp.zeros(())),
        )
        return march, march.state

    return jax.lax.scan(through, march, pieces)
