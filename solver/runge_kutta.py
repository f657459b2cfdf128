"""Finite horizons, any smooth equation: the explicit Runge-Kutta method of order 8 of Dormand and Prince.

    ∂θ/∂τ = B(θ),    θ_{n+1} = θ_n + h Σ_i b_i k_i,    k_i = B(θ_n + h Σ_{j<i} a_ij k_j)

Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, 1993, §II.10, with their error estimate
of orders 5 and 3. The fastest modes of B's flow decay at the rates of the fills, and an explicit method must
follow them: a few mean times between fills a step. Horizons of some ten thousand fills are cheap; longer ones
are not this method's. B does not see a constant added to θ: the march carries the bias, 0 at the target, and
the level apart.

All steps are kept: they are the nodes of the path that is certified and of which tables are made
(`hermite_path`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quotegrid.solver.certificate import UNIT_ROUNDOFF
from quotegrid.solver.dormand_prince import ERROR_WEIGHTS, STAGE_WEIGHTS, STAGES, STEP_WEIGHTS
from quotegrid.solver.hamiltonian_series import (
    SeriesOperator,
    SeriesPolicy,
    operator_by_series,
    policy_by_series,
)

ATTEMPTS = 256  # steps tried in a compiled call, at most
STABLE = 5.0  # a step times the largest eigenvalue there can be; the method damps up to 6.3
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 3.0
_QUIET = 1e-8  # a ratio of errors below it is taken for it
_SHORTEST = 1e-12  # of the time reached
_FEWEST = 4  # steps of a march: the path's pieces lean on three of them


class Progress(NamedTuple):
    """Where a march stands."""

    bias: Float[Array, "*state"]  # θ - level, currency
    level: Float[Array, ""]  # θ at the target, currency
    slope: Float[Array, "*state"]  # B(θ), currency per time
    longest: Float[Array, ""]  # the longest stable step, time
    now: Float[Array, ""]  # time to go reached
    step: Float[Array, ""]  # to try next, time
    ratio: Float[Array, ""]  # of the last accepted step's estimated error to what is allowed
    steady: Bool[Array, ""]  # was the last step accepted?
    sound: Bool[Array, ""]  # False once steps became too short


class Nodes(NamedTuple):
    """The places after each step tried; zeros behind the last of them."""

    to_go: Float[Array, " attempt"]
    bias: Float[Array, "attempt *state"]
    level: Float[Array, " attempt"]
    slope: Float[Array, "attempt *state"]
    accepted: Bool[Array, " attempt"]


def start_runge_kutta(
    series: SeriesOperator, terminal: Float[Array, "*state"], target: tuple[int, ...], step: Array
) -> Progress:
    """The end of the horizon."""
    level = terminal[target]
    bias = terminal - level
    policy, zero, yes = policy_by_series(series, bias), jnp.zeros(()), jnp.asarray(True)
    return Progress(bias, level, policy.operator, _longest_stable(policy), zero, step, zero, yes, yes)


def march_runge_kutta(
    series: SeriesOperator,
    start: Progress,
    duration: Float[Array, ""],
    allowed: Float[Array, ""],
    target: tuple[int, ...],
) -> tuple[Progress, Nodes]:
    """Try up to `ATTEMPTS` steps towards `duration`, with an estimated error of each below `allowed`
    (currency).
    """

    def unfinished(state: tuple[Progress, Nodes, Array]) -> Array:
        at, _, count = state
        return (count < ATTEMPTS) & at.sound & (at.now < duration)

    def attempt(state: tuple[Progress, Nodes, Array]) -> tuple[Progress, Nodes, Array]:
        at, nodes, count = state
        at, node = _attempt(series, at, duration, allowed, target)
        kept = jax.tree.map(
            lambda all_, one: jax.lax.dynamic_update_index_in_dim(all_, one, count, 0), nodes, node
        )
        return at, kept, count + 1

    def empty(like: Array) -> Array:
        return jnp.zeros((ATTEMPTS, *like.shape), like.dtype)

    nodes = jax.tree.map(empty, Nodes(start.now, start.bias, start.level, start.slope, start.sound))
    at, nodes, _ = jax.lax.while_loop(unfinished, attempt, (start, nodes, jnp.zeros((), int)))
    return at, nodes


def _attempt(
    series: SeriesOperator, at: Progress, duration: Array, allowed: Array, target: tuple[int, ...]
) -> tuple[Progress, Nodes]:
    left = duration - at.now
    longest = jnp.minimum(jnp.minimum(at.step, at.longest), duration / _FEWEST)
    step = jnp.where(2.0 * longest >= left, 0.5 * left, longest)  # no sliver at the end
    step = jnp.where(longest >= left, left, step)
    states = at.bias.shape
    slopes = jnp.zeros((STAGES + 1, *states))

    def stage(at_stage: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        slopes, last = at_stage
        weights, place = row
        slopes = jax.lax.dynamic_update_index_in_dim(slopes, last, place, 0)
        rise = jnp.tensordot(weights, slopes, axes=1)
        return (slopes, operator_by_series(series, at.bias + step * rise)), None

    rows = jnp.asarray(np.pad(STAGE_WEIGHTS, ((0, 0), (0, 1))))
    (slopes, last), _ = jax.lax.scan(stage, (slopes, at.slope), (rows, jnp.arange(STAGES - 1)))
    slopes = slopes.at[STAGES - 1].set(last)
    rise = jnp.tensordot(jnp.asarray(STEP_WEIGHTS), slopes[:-1], axes=1)
    bias, level = at.bias + step * (rise - rise[target]), at.level + step * rise[target]
    policy = policy_by_series(series, bias)
    slopes = slopes.at[-1].set(policy.operator)
    fifth, third = (
        jnp.max(jnp.abs(jnp.tensordot(jnp.asarray(row), slopes, axes=1))) for row in ERROR_WEIGHTS
    )
    both = jnp.sqrt(fifth**2 + 0.01 * third**2)
    error = step * fifth**2 / jnp.where(both > 0.0, both, 1.0)
    rounding = 16.0 * UNIT_ROUNDOFF * (jnp.max(jnp.abs(at.bias)) + step * jnp.max(jnp.abs(at.slope)))
    ratio = error / (allowed + rounding)
    finite = jnp.isfinite(ratio) & jnp.all(jnp.isfinite(policy.operator))
    accepted = finite & (ratio <= 1.0)
    # with a memory of the error before, steps come to rest at the limit of stability (Gustafsson 1991)
    damped = jnp.where(accepted & at.steady, jnp.maximum(at.ratio, _QUIET), jnp.maximum(ratio, _QUIET))
    factor = _SAFETY * jnp.maximum(ratio, _QUIET) ** -0.1375 * damped**0.0625
    factor = jnp.clip(factor, _SHRINK, jnp.where(at.steady, _GROW, 1.0))
    # a step that the end of the horizon cut short says nothing against longer ones
    later = jnp.where(step < longest, jnp.maximum(step * factor, at.step), step * factor)
    later = jnp.where(finite, jnp.where(accepted, later, step * factor), _SHRINK * step)
    after = Progress(
        jnp.where(accepted, bias, at.bias),
        jnp.where(accepted, level, at.level),
        jnp.where(accepted, policy.operator, at.slope),
        jnp.where(accepted, _longest_stable(policy), at.longest),
        jnp.where(accepted, jnp.where(step == left, duration, at.now + step), at.now),
        later,
        jnp.where(accepted, ratio, at.ratio),
        accepted,
        at.sound & (later > _SHORTEST * at.now),
    )
    return after, Nodes(after.now, after.bias, after.level, after.slope, accepted)


def _longest_stable(policy: SeriesPolicy) -> Array:
    """No eigenvalue of a generator is larger than twice its largest rate of leaving a state."""
    leaving = jnp.max(jnp.sum(policy.rates, axis=0))
    return jnp.where(leaving > 0.0, 0.5 * STABLE / leaving, jnp.inf)
