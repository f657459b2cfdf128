"""Finite horizon, any intensity: fully implicit Euler steps, each solved by policy iteration.

    θ(τ + η) - η B(θ(τ + η)) = θ(τ)

First order in η and monotone: comparison, hence the sup-norm bounds of the equation, hold at any step. It is
the reference for the high-order route and what is left when that one cannot meet its tolerance; equal steps
between outputs.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.linear_systems import factorise, solve_factored
from quotegrid.solver.marching import Marching, Output

_ITERATION_LIMIT = 100
_ROUNDING = 1e-14


def implicit_step(
    chain: ControlledChain, theta: Float[Array, "*state"], length: Float[Array, ""]
) -> tuple[Float[Array, "*state"], Bool[Array, ""]]:
    """One implicit step by policy iteration; False where it did not settle."""
    killing = jnp.broadcast_to(1.0 / length, chain.shape)

    def improve(state: tuple) -> tuple:
        proposal, _, count = state
        policy = greedy_policy(chain, proposal)
        right = policy.operator - (proposal - theta) / length
        step = solve_factored(factorise(policy.rates, chain.shifts, killing), right)
        allowed = _ROUNDING * (jnp.max(jnp.abs(proposal)) + chain.value_scale)
        return proposal + step, jnp.max(jnp.abs(step)) <= allowed, count + 1

    def unfinished(state: tuple) -> Array:
        return ~state[1] & (state[2] < _ITERATION_LIMIT)

    proposal, settled, _ = jax.lax.while_loop(unfinished, improve, (theta, jnp.zeros((), bool), 0))
    return proposal, settled & jnp.all(jnp.isfinite(proposal))


def march_implicit_euler(
    chain: ControlledChain, marching: Marching, outputs: Float[Array, " t"]
) -> tuple[Marching, Output]:
    """The solution at the increasing times to go `outputs`, by steps of at most `marching.step`."""

    def to_output(marching: Marching, until: Array) -> tuple[Marching, Output]:
        left = until - marching.now
        count = jnp.ceil(left / marching.step * (1.0 - 1e-12))
        length = left / jnp.maximum(count, 1.0)

        def step(_: Array, marching: Marching) -> Marching:
            theta, settled = implicit_step(chain, marching.bias, length)
            after = marching.moved(chain, theta)
            turn = after.policy.operator - marching.policy.operator
            after = after._replace(
                now=marching.now + length,
                steps=marching.steps + 1,
                defect=marching.defect + 0.5 * length * jnp.max(jnp.abs(turn)),  # ½η²|θ''|
            )
            return after.if_sound(marching.sound & settled, marching)

        marching = jax.lax.fori_loop(0, count.astype(int), step, marching)
        marching = marching._replace(now=jnp.where(marching.sound, until, marching.now))
        return marching, marching.output()

    return jax.lax.scan(to_output, marching, outputs)
