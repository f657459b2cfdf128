"""Finite horizon, any intensity: extrapolated linearly implicit Euler steps with error control.

One linearly implicit Euler step of length η is one iteration of policy evaluation in which time goes by:

    (1/η - L) e = B(θ),    θ ← θ + e,       L the generator of the greedy policy at the start of the big step

Its error has an expansion in powers of η, so a big step done with 1, 2, …, K small ones gives K values whose
combination is of order K (Deuflhard 1985; Hairer & Wanner, Solving ODEs II, §IV.9). The difference to the
combination of order K-1 controls the step. The K sequences run side by side as lanes. Every small step solves
an M-matrix, however stiff; where a quote meets a bound the control shortens the step by itself; where it
changes its tick, B has a kink that the lanes can miss near the end of a step, so what the old ticks would
lose there is added to the estimate. Near the stationary θ, one correction of policy iteration away from it
by no more than the tolerance, the bias takes that correction and rests: from there on only the level moves.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.solver.bellman import greedy_policy, kink_gap
from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.linear_systems import factorise, solve_factored
from quotegrid.solver.marching import Marching, Output
from quotegrid.solver.policy_iteration import to_stationary

ORDER = 8  # K: sequences of 1 … K small steps
STEP_LIMIT = 100_000  # big steps of a march
_SAFETY, _SHRINK, _GROW = 0.9, 0.1, 6.0
_ROUNDING = 2e-14  # of the bias: what rounding of the increments becomes under the extrapolation weights


def extrapolation_weights(counts: Sequence[int]) -> Float[np.ndarray, " lanes"]:
    """Weights c such that Σ c_j T(h/n_j) cancels the error terms in h, h², …, h^(len-1) (Aitken-Neville)."""
    return np.array([np.prod([n / (n - m) for m in counts if m != n]) for n in counts])


def with_first_step(marching: Marching) -> Marching:
    """The start of a march with a first step that is short against its fastest fills."""
    activity = jnp.max(jnp.sum(marching.policy.rates, axis=0), initial=0.0)
    return marching._replace(step=jnp.where(activity > 0.0, 1e-2 / activity, jnp.inf))


def march_extrapolated(
    chain: ControlledChain, marching: Marching, outputs: Float[Array, " t"], tolerance: Float[Array, ""]
) -> tuple[Marching, Output]:
    """The solution at the increasing times to go `outputs`; `tolerance` per step, relative to the quote
    scale.
    """
    counts = np.arange(1, ORDER + 1)
    best = jnp.asarray(extrapolation_weights(counts.tolist()))
    difference = best - jnp.asarray(np.concatenate([[0.0], extrapolation_weights(counts[1:].tolist())]))
    lanes = jnp.asarray(counts, float)
    lane_mask = lanes.reshape((-1,) + (1,) * len(chain.shape))

    def big_step(theta: Array, rates: Array, drift: Array, length: Array) -> tuple[Array, Array, Array]:
        """θ less drift × length after the step, its estimated error and its rounding error.

        Without the drift only differences meet the weights.
        """

        def prepare(killing: Array):
            return factorise(rates, chain.shifts, jnp.broadcast_to(killing, chain.shape))

        factors = jax.vmap(prepare)(lanes / length)

        def lane(increment: Array, factor) -> Array:
            return increment + solve_factored(
                factor, greedy_policy(chain, theta + increment).operator - drift
            )

        def small_step(increments: Array, done: Array) -> tuple[Array, None]:
            return jnp.where(done < lane_mask, jax.vmap(lane)(increments, factors), increments), None

        nothing = jnp.zeros((ORDER, *chain.shape))
        increments, _ = jax.lax.scan(small_step, nothing, jnp.arange(ORDER, dtype=float))
        error = jnp.max(jnp.abs(jnp.tensordot(difference, increments, axes=1)))
        rounding = jnp.sum(jnp.abs(best)) * 2.0**-53 * jnp.max(jnp.abs(increments))
        return theta + jnp.tensordot(best, increments, axes=1), error, rounding

    def advance(marching: Marching, until: Array) -> Marching:
        left = until - marching.now
        # no sliver before an output
        length = jnp.where(2.0 * marching.step >= left, 0.5 * left, marching.step)
        length = jnp.where(marching.step >= left, left, length)
        drift = marching.policy.operator[chain.target]
        way_to_rest = to_stationary(chain, marching.policy)
        distance = jnp.max(jnp.abs(way_to_rest))
        settled = distance <= tolerance * chain.value_scale  # False where it is NaN
        length = jnp.where(settled, left, length)
        proposal, error, rounding = big_step(marching.bias, marching.policy.rates, drift, length)
        proposal = jnp.where(settled, marching.bias + way_to_rest, proposal)
        allowed = tolerance * chain.value_scale + _ROUNDING * jnp.max(jnp.abs(marching.bias))
        after = marching.moved(chain, proposal)
        gap = jnp.max(kink_gap(chain, after.policy, marching.policy))
        spread = jnp.max(jnp.abs(after.policy.operator - after.policy.operator[chain.target]))
        estimate = jnp.where(settled, distance, error + 0.5 * length * gap)
        rounding = jnp.where(settled, length * spread, rounding)
        drift = jnp.where(settled, after.policy.operator[chain.target], drift)
        ratio = estimate / allowed
        finite = jnp.isfinite(ratio) & jnp.all(jnp.isfinite(after.policy.operator))
        accepted = finite & (ratio <= 1.0)
        factor = jnp.where(
            finite, jnp.clip(_SAFETY * jnp.maximum(ratio, 1e-30) ** (-1.0 / ORDER), _SHRINK, _GROW), _SHRINK
        )
        step = length * factor
        step = jnp.where(
            accepted, jnp.maximum(step, jnp.where(length < marching.step, marching.step, 0.0)), step
        )
        done = after._replace(
            now=jnp.where(length == left, until, marching.now + length),
            level=after.level + drift * length,
            defect=marching.defect + estimate + rounding,
        )
        kept = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), done, marching)
        return kept._replace(
            step=step, steps=marching.steps + 1, sound=marching.sound & (step > 1e-15 * marching.now)
        )

    def to_output(marching: Marching, until: Array) -> tuple[Marching, Output]:
        def unfinished(marching: Marching) -> Array:
            return (marching.now < until) & marching.sound & (marching.steps < STEP_LIMIT)

        marching = jax.lax.while_loop(unfinished, lambda state: advance(state, until), marching)
        marching = marching._replace(sound=marching.sound & (marching.now >= until))
        return marching, marching.output()

    return jax.lax.scan(to_output, marching, outputs)
