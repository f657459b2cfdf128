"""Policy evaluation: linear systems of a Markov chain with killing, without a subtraction.

    (κ(i) + Σ_f r_f(i)) x(i) - Σ_f r_f(i) x(i + shift_f) = b(i),     r ≥ 0, κ ≥ 0

κ is a killing rate (a discount, one over a time step, or the passage to a reference state). Eliminating a
state hands its killing and its transitions on to its neighbours (Grassmann, Taksar & Heyman 1985, for the
stationary distribution): every pivot is a sum of non-negative numbers, so x has componentwise relative
accuracy when b ≥ 0, however stiff the rates.

One step up and one down: *cyclic reduction*. While the chain is long, every second state is eliminated, which
halves it: n + n/2 + n/4 … work and memory. On what is left every state's two neighbours are eliminated at
once, log2(n) rounds of vector work, after which there is nothing to substitute back. Wider shifts: banded
elimination, row by row.
"""

from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.solver.chain import Shift, destination

_HALVED = 64  # longer chains are halved; a shorter one is a few vectors that stay near the processor


class HalvingFactors(NamedTuple):
    """One halving: the rates and pivots of the eliminated states 1, 3, 5 …, in pairs with the kept 0, 2, 4 …;
    an odd chain gets one more state, that nobody goes to.
    """

    below: Float[Array, " pair"]  # rate of an eliminated state to the kept one below it
    above: Float[Array, " pair"]
    pivot: Float[Array, " pair"]
    share_below: Float[Array, " pair"]  # of its equation that a kept state takes over from the one below it
    share_above: Float[Array, " pair"]


class ReductionFactors(NamedTuple):
    """Cyclic reduction, round by round: what share of each neighbour's equation a state takes over."""

    halvings: tuple[HalvingFactors, ...]
    from_below: Float[Array, "round n"]
    from_above: Float[Array, "round n"]
    killing: Float[Array, " n"]  # what is left on the diagonal


class BandFactors(NamedTuple):
    """Banded elimination: shares handed on to the later states and rates to them, per eliminated state."""

    handed_on: Float[Array, "n band"]
    upward: Float[Array, "n band"]
    pivot: Float[Array, " n"]


Factors = ReductionFactors | BandFactors


def factorise(
    rates: Float[Array, "flow *state"], shifts: tuple[Shift, ...], killing: Float[Array, "*state"]
) -> Factors:
    """Eliminate the chain once; `solve_factored` then solves for any right-hand side."""
    shape = killing.shape
    flat = [int(np.dot(shift, [prod(shape[axis + 1 :]) for axis in range(len(shape))])) for shift in shifts]
    rows = rates.reshape(len(flat), -1)
    if all(abs(step) <= 1 for step in flat):
        zero = jnp.zeros(killing.size)
        above = sum((rows[f] for f, step in enumerate(flat) if step == 1), zero)
        below = sum((rows[f] for f, step in enumerate(flat) if step == -1), zero)
        return _reduce(below, above, killing.reshape(-1))
    return _eliminate_band(rows, flat, killing.reshape(-1))


def solve_factored(factors: Factors, right: Float[Array, "*state"]) -> Float[Array, "*state"]:
    """x for one right-hand side."""
    solver = _solve_reduced if isinstance(factors, ReductionFactors) else _solve_band
    return solver(factors, right.reshape(-1)).reshape(right.shape)  # type: ignore[arg-type]


def _before(x: Array) -> Array:
    """x(i - 1), 0 where there is none."""
    return jnp.concatenate([jnp.zeros(1), x[:-1]])


def _after(x: Array) -> Array:
    """x(i + 1), 0 where there is none."""
    return jnp.concatenate([x[1:], jnp.zeros(1)])


def _around(x: Array, distance: Array) -> tuple[Array, Array]:
    """x(i - distance) and x(i + distance), 0 where there is none; for distances up to the size of x."""
    padded = jnp.pad(x, x.size)
    return tuple(
        jax.lax.dynamic_slice_in_dim(padded, x.size + step, x.size) for step in (-distance, distance)
    )


def _distances(size: int) -> Array:
    """1, 2, 4 …: as many rounds as a chain of this size needs, in a loop, for code of their own would take
    long to compile.
    """
    return 2 ** jnp.arange((size - 1).bit_length())


def _halve(below: Array, above: Array, killing: Array) -> tuple[HalvingFactors, Array, Array, Array]:
    """Censor the chain on its states 0, 2, 4 …; with the rates and killing of what is left."""
    below, above, killing = (_in_pairs(x) for x in (below, above, killing))
    pivot = killing[:, 1] + below[:, 1] + above[:, 1]
    leaving = 1.0 / jnp.where(pivot > 0.0, pivot, 1.0)
    share_above = above[:, 0] * leaving
    share_below = below[:, 0] * _before(leaving)
    factors = HalvingFactors(below[:, 1], above[:, 1], pivot, share_below, share_above)
    left = killing[:, 0] + share_below * _before(killing[:, 1]) + share_above * killing[:, 1]
    return factors, share_below * _before(below[:, 1]), share_above * above[:, 1], left


def _in_pairs(x: Array) -> Array:
    return jnp.pad(x, (0, x.size % 2)).reshape(-1, 2)


def _reduce(below: Array, above: Array, killing: Array) -> ReductionFactors:
    """Halve a long chain; then censor it on every second, fourth, eighth … state, for all starting points at
    once.
    """
    halvings = []
    while killing.size > _HALVED:
        halving, below, above, killing = _halve(below, above, killing)
        halvings.append(halving)

    def censor(chain: tuple, distance: Array) -> tuple:
        below, above, killing = chain
        pivot = killing + below + above
        leaving_below, leaving_above = _around(1.0 / jnp.where(pivot > 0.0, pivot, 1.0), distance)
        share_below, share_above = below * leaving_below, above * leaving_above
        killing_below, killing_above = _around(killing, distance)
        killing = killing + share_below * killing_below + share_above * killing_above
        below, above = share_below * _around(below, distance)[0], share_above * _around(above, distance)[1]
        return (below, above, killing), (share_below, share_above)

    (_, _, killing), shares = jax.lax.scan(censor, (below, above, killing), _distances(killing.size))
    return ReductionFactors(tuple(halvings), *shares, killing)


def _solve_reduced(factors: ReductionFactors, right: Array) -> Array:
    size, eliminated = right.size, []
    for halving in factors.halvings:
        pairs = _in_pairs(right)
        eliminated.append(pairs[:, 1])
        right = pairs[:, 0] + halving.share_below * _before(pairs[:, 1]) + halving.share_above * pairs[:, 1]

    def take_over(right: Array, shares: tuple) -> tuple:
        share_below, share_above, distance = shares
        below, above = _around(right, distance)
        return right + share_below * below + share_above * above, None

    shares = (factors.from_below, factors.from_above, _distances(right.size))
    x = jax.lax.scan(take_over, right, shares)[0] / factors.killing
    for halving, own in zip(reversed(factors.halvings), reversed(eliminated), strict=True):
        x = x[: own.size]
        # (where a chain does not communicate, an infinite x is none of those who cannot go there)
        from_below = jnp.where(halving.below > 0.0, halving.below * x, 0.0)
        from_above = jnp.where(halving.above > 0.0, halving.above * _after(x), 0.0)
        x = jnp.stack([x, (own + from_below + from_above) / halving.pivot], axis=1).reshape(-1)
    return x[:size]


def _eliminate_band(rows: Array, flat: list[int], killing: Array) -> BandFactors:
    """Eliminate the states in order; row i keeps its rates to i-band … i+band (the middle is not used)."""
    count, band = killing.size, max(abs(step) for step in flat)
    table = jnp.zeros((count, 2 * band + 1))
    for f, step in enumerate(flat):
        table = table.at[:, band + step].add(rows[f])
    table = jnp.concatenate([table, jnp.zeros((band, 2 * band + 1))])
    killing = jnp.concatenate([killing, jnp.ones(band)])
    # entry (d, column) of a later row i+d receives the eliminated row's rate to the same state
    source = np.arange(2 * band + 1)[None, :] + np.arange(1, band + 1)[:, None]
    source = np.where((source > band) & (source <= 2 * band), source, band)
    to_eliminated = (np.arange(band), band - np.arange(1, band + 1))

    def eliminate(i: Array, state: tuple) -> tuple:
        table, killing, handed_on = state
        row = jax.lax.dynamic_index_in_dim(table, i, keepdims=False).at[band].set(0.0)
        own_killing = jax.lax.dynamic_index_in_dim(killing, i, keepdims=False)
        later = jax.lax.dynamic_slice(table, (i + 1, 0), (band, 2 * band + 1))
        pivot = own_killing + jnp.sum(row[band + 1 :])
        share = later[to_eliminated] / pivot
        later = later + share[:, None] * row[source]
        table = jax.lax.dynamic_update_slice(table, later, (i + 1, 0))
        shifted = jax.lax.dynamic_slice(killing, (i + 1,), (band,)) + share * own_killing
        killing = jax.lax.dynamic_update_slice(killing, shifted, (i + 1,))
        return table, killing, jax.lax.dynamic_update_index_in_dim(handed_on, share, i, 0)

    table, killing, handed_on = jax.lax.fori_loop(
        0, count, eliminate, (table, killing, jnp.zeros((count, band)))
    )
    upward = table[:count, band + 1 :]
    return BandFactors(handed_on, upward, killing[:count] + jnp.sum(upward, axis=1))


def _solve_band(factors: BandFactors, right: Array) -> Array:
    band = factors.handed_on.shape[1]

    def forward(window: Array, row: tuple) -> tuple:
        share, entering = row
        own = window[0]
        return jnp.concatenate([window[1:], entering[None]]) + share * own, own

    entering = jnp.concatenate([right, jnp.zeros(band)])
    _, reduced = jax.lax.scan(forward, entering[:band], (factors.handed_on, entering[band:]))

    def backward(window: Array, row: tuple) -> tuple:
        upward, pivot, own = row
        x = (own + jnp.dot(upward, window)) / pivot
        return jnp.concatenate([x[None], window[:-1]]), x

    _, x = jax.lax.scan(backward, jnp.zeros(band), (factors.upward, factors.pivot, reduced), reverse=True)
    return x


def well_visited(rates: Float[Array, "flow *state"], shifts: tuple[Shift, ...]) -> Float[Array, "*state"]:
    """1 at the state where inventory drifts least, 0 elsewhere: a state that the chain keeps coming back to.

    Passage times to it are short, so differences of θ that are measured from it keep their digits. (To the
    target they can be longer than any number, where a strong drift of the price holds the chain at a limit.)
    """
    steps = jnp.asarray(shifts, float).reshape(len(shifts), -1)
    drift = jnp.sum(jnp.abs(jnp.tensordot(steps, rates, axes=(0, 0))), axis=0)
    return jnp.zeros(drift.size).at[jnp.argmin(drift)].set(1.0).reshape(drift.shape)


def solve_with_reference(
    rates: Float[Array, "flow *state"],
    shifts: tuple[Shift, ...],
    killing: Float[Array, "*state"],
    right: Float[Array, "*state"],
    reference: Float[Array, "*state"],
) -> tuple[Float[Array, "*state"], Float[Array, ""]]:
    """x with x = 0 at the reference state and the constant γ that makes κx - Lx = right - γ solvable.

    `reference` is 1 at that state and 0 elsewhere. With x⁰ and τ the rewards `right` and the time collected
    before it is reached, x = x⁰ - γτ, and the reference state's own equation gives γ. Every state must be
    able to reach the reference or be killed, or τ is infinite. Where κ is constant and positive, x + γ/κ is
    the solution of κx - Lx = right itself, with the digits of its differences.
    """
    factors = factorise_passage(rates, shifts, killing, reference)
    others = 1.0 - reference
    collected, duration = jax.vmap(solve_factored, in_axes=(None, 0))(
        factors, jnp.stack([right * others, others])
    )

    def at_reference(own: Array, x: Array) -> Array:
        after = sum((rate * destination(x, shift) for rate, shift in zip(rates, shifts, strict=True)), own)
        return jnp.sum(jnp.where(reference > 0.0, after, 0.0))

    level = at_reference(right, collected) / at_reference(jnp.ones(right.shape), duration)
    return collected - level * duration, level


def factorise_passage(
    rates: Float[Array, "flow *state"],
    shifts: tuple[Shift, ...],
    killing: Float[Array, "*state"],
    reference: Float[Array, "*state"],
) -> Factors:
    """The chain stopped at the reference state (1 there, 0 elsewhere).

    Solving for a right-hand side that is 0 there gives what is collected before the passage.
    """
    arriving = jnp.stack([destination(reference, shift) for shift in shifts])
    killed = jnp.where(reference > 0.0, 1.0, killing + jnp.sum(rates * arriving, axis=0))
    return factorise(rates * (1.0 - reference)[None] * (1.0 - arriving), shifts, killed)
