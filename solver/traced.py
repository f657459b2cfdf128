"""The solver for those who compose in JAX: the same algorithms under `jit`, `vmap` and forward
differentiation.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from quotegrid.models.problem import Problem
from quotegrid.solver.discretise import discretise
from quotegrid.solver.extrapolated_euler import march_extrapolated, with_first_step
from quotegrid.solver.marching import start_marching
from quotegrid.solver.policy_iteration import policy_iteration


class TracedSolution(NamedTuple):
    """Value and quotes as JAX arrays; flows before the inventory axes, times (if any) first."""

    value: Float[Array, "*time_and_state"]  # θ, currency; ergodic: the bias, 0 at the target inventory
    offset: Float[Array, "*time_flow_and_state"]  # price units, NaN where a flow is off
    gain: Float[Array, ""]  # currency per time; 0 unless ergodic
    residual: Float[Array, ""]  # stationary: max |B(θ) - ρθ - g|; finite: sum of the steps' estimated errors
    converged: Bool[Array, ""]  # look at it: nothing is raised under a trace


def solve_traced(
    problem: Problem,
    *,
    times: Float[Array, " time"] | None = None,
    tolerance: Float[Array, ""] | float = 1e-10,
) -> TracedSolution:
    """Solve a problem whose numbers may be tracers: policy iteration, or extrapolated Euler for a finite
    horizon.

    Args:
        problem: its structure (flows, sizes, limits, kinds) is static.
        times: increasing calendar times in [0, duration] at which a finite-horizon solution is wanted.
        tolerance: relative to the quote scale.

    Raises:
        RuntimeError: traced in single precision.
        ValueError: `times` missing for a finite horizon, or given for another.
    """
    if jnp.zeros(()).dtype != jnp.float64:
        raise RuntimeError("solve_traced needs double precision: wrap the call in jax.enable_x64(True).")
    finite = problem.horizon.kind == "finite"
    if finite != (times is not None):
        raise ValueError("solve_traced: give times= for a finite horizon, and only for one.")
    chain = discretise(problem)
    if not finite:
        found = policy_iteration(chain, problem.horizon.kind == "ergodic", tolerance)
        offset = jnp.where(found.policy.quoted, found.policy.offsets, jnp.nan)
        return TracedSolution(found.bias + found.level, offset, found.gain, found.residual, found.converged)
    to_go = (problem.duration() - jnp.asarray(times, float))[::-1]
    start = with_first_step(start_marching(chain, chain.terminal))
    marching, path = march_extrapolated(chain, start, to_go, jnp.asarray(tolerance, float))
    value = path.bias + path.level.reshape((-1,) + (1,) * len(chain.shape))
    offset = jnp.where(path.quoted, path.offsets, jnp.nan)
    return TracedSolution(value[::-1], offset[::-1], jnp.zeros(()), marching.defect, marching.sound)
