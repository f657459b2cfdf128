"""Finite horizon, linear equations: positive uniformisation in locally rescaled variables.

With exponential intensities, one ratio κ = k/(z m) for all flows and unbounded continuous offsets, every
Hamiltonian is H_f = (a w_f/κ) exp(-κ(θ(i) - θ(j))), so that v = exp(κθ) solves a linear equation (Guéant,
Lehalle & Fernandez-Tapia 2013, Cartea & Jaimungal 2015, for one size and equal k):

    ∂v/∂τ = M v,    M = κ diag(ℓ) + Σ_f (rates at equal θ).

A step starts from u = 1, with M similar-transformed by exp(κθ) at its start; then M's off-diagonal entries
are the fill rates there, M = -c + P with P ≥ 0, and

    u(h) = e^{-ch} Σ_n (hP)^n/n! 1,    θ ← θ + ln(u)/κ.

Every term is non-negative, so nothing cancels and θ keeps its relative accuracy; only differences of
neighbouring θ are exponentiated, so nothing overflows however long the horizon (Jensen 1953; Grassmann 1977).
The tail after n terms is at most (hX/(n+1-hX)) times the largest term, X the largest row sum of P, and u ≥
e^{-ch}: the series stops when that is rounding. The relative error of a sum of positive terms is the mean of
theirs, and the n-th term's is n times that of one product with hP/n, so a step adds to θ at most (that × Σ n
t_n/Σ t_n + tail + rounding of the logarithm)/κ: the march carries the sum as its defect, and B's flow does
not enlarge it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from quotegrid.solver.certificate import UNIT_ROUNDOFF, rounding_allowance
from quotegrid.solver.chain import ControlledChain, destination, in_problem_order
from quotegrid.solver.marching import Marching, Output, start_marching

_LONGEST = 16.0  # hX of a step: sums stay below e^16, and about 50 terms are needed
_TAIL = 2e-17
_STEEPEST = 600.0  # largest κ(θ(i) - θ(j)) that is exponentiated
_STATIONARY = 1e-14  # relative spread of B(θ) at which only the level still moves


def start_uniformisation(chain: ControlledChain, decay: Float[Array, ""]) -> Marching:
    """The terminal condition under its steepest admissible envelope; `decay` is κ, per currency.

    Where θ falls by more than 600/κ to a neighbour, the neighbour's first fill outweighs what v was by e^600:
    raising v there to the envelope changes no digit at any later time.
    """
    theta = chain.terminal
    for axis, length in enumerate(chain.shape):
        ramp = (jnp.arange(length, dtype=float) * _STEEPEST / decay).reshape(
            [-1 if a == axis else 1 for a in range(theta.ndim)]
        )
        upward = jax.lax.cummax(theta + ramp, axis=axis) - ramp
        downward = jax.lax.cummax(theta - ramp, axis=axis, reverse=True) + ramp
        envelope = jnp.maximum(upward, downward)
        # adding the ramp rounds: not for that
        theta = jnp.where(envelope > theta + 1.0 / decay, envelope, theta)
    return start_marching(chain, theta)


def march_uniformised(
    chain: ControlledChain, marching: Marching, outputs: Float[Array, " t"], decay: Float[Array, ""]
) -> tuple[Marching, Output]:
    """The solution at the increasing times to go `outputs`."""
    diagonal = decay * chain.reward
    offset = -jnp.min(diagonal)  # c
    staying = diagonal + offset

    def advance(marching: Marching, until: Array) -> Marching:
        rates = marching.policy.rates
        row_sums = staying + jnp.sum(rates, axis=0)
        largest = jnp.max(row_sums)
        left = until - marching.now
        length = jnp.where(largest * left <= _LONGEST, left, _LONGEST / largest)
        reach = length * largest

        def apply(term: Array) -> Array:
            arriving = [
                rate * destination(term, shift) for rate, shift in zip(rates, chain.shifts, strict=True)
            ]
            return sum(arriving, staying * term)

        def add_term(state: tuple) -> tuple:
            term, total, weighted, count, _ = state
            term = apply(term) * (length / count)
            tail = jnp.max(term) * reach / jnp.maximum(count + 1.0 - reach, 1e-300)
            more = (count <= reach) | (tail > _TAIL * jnp.min(total))
            return term, total + term, weighted + count * term, count + 1.0, more

        one = jnp.ones(chain.shape)
        start = (one, one, jnp.zeros(chain.shape), jnp.ones(()), jnp.ones((), bool))
        _, total, weighted, _, _ = jax.lax.while_loop(lambda s: s[4], add_term, start)
        spread = jnp.max(row_sums) - jnp.min(row_sums)
        settled = spread <= _STATIONARY * largest
        gained = jnp.where(settled, (row_sums - offset) * left, jnp.log(total) - offset * length) / decay
        gained = jnp.where(settled, gained[chain.target], gained)
        allowance, in_p = rounding_allowance(chain, marching.bias, marching.policy)
        relative = jnp.max(_relative_error(chain, marching, in_p, decay), initial=0.0)
        each = (len(chain.shifts) + 6) * UNIT_ROUNDOFF + relative  # of one product with hP/n
        logs = jnp.abs(jnp.log(total)) + offset * length
        stepping = jnp.max(each * weighted / total + _TAIL + 4.0 * UNIT_ROUNDOFF * (1.0 + logs)) / decay
        stepping = stepping + 2.0 * UNIT_ROUNDOFF * jnp.max(jnp.abs(marching.bias) + jnp.abs(gained))
        standing = left * (spread / decay + jnp.max(allowance))
        length = jnp.where(settled, left, length)
        drift = gained[chain.target]
        after = marching.moved(chain, marching.bias + (gained - drift))
        sound = marching.sound & jnp.all(jnp.isfinite(gained)) & (length > 0.0)
        after = after._replace(
            level=after.level + drift,
            now=jnp.where(length == left, until, marching.now + length),
            steps=marching.steps + 1,
            defect=marching.defect + jnp.where(settled, standing, stepping),
        )
        return after.if_sound(sound, marching)

    def to_output(marching: Marching, until: Array) -> tuple[Marching, Output]:
        def unfinished(marching: Marching) -> Array:
            return (marching.now < until) & marching.sound

        marching = jax.lax.while_loop(unfinished, lambda state: advance(state, until), marching)
        return marching, marching.output()

    return jax.lax.scan(to_output, marching, outputs)


def _relative_error(chain: ControlledChain, marching: Marching, in_p: Array, decay: Array) -> Array:
    """Of the fill rates at the bias: k times the error of p and δ, and the exponential's; [flow, *state]."""
    wide = (slice(None),) + (None,) * len(chain.shape)
    k = decay * in_problem_order(chain.channels, [c.size * c.multiplier for c in chain.channels])[wide]
    rates, p, offsets = marching.policy.rates, marching.policy.reservation, marching.policy.offsets
    logs = jnp.abs(jnp.log(jnp.where(rates > 0.0, rates, 1.0)))
    moved = in_p + 4.0 * UNIT_ROUNDOFF * (jnp.abs(p) + jnp.abs(offsets))
    return jnp.where(rates > 0.0, k * moved + UNIT_ROUNDOFF * (8.0 + 4.0 * logs), 0.0)
