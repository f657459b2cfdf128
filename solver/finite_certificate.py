"""The certificate of a finite-horizon solution: the defect of a dense path, added up over time.

Let θ̂(τ) be any path through the computed values, absolutely continuous in time to go, exact at τ = 0, and
R = B(θ̂) - ∂_τ θ̂ its defect. The flow of B is a contraction in the sup norm, so with e = θ̂ - θ

    |e(τ)| ≤ ∫₀^τ max_i |R| ds,        |e(τ, i) - e(τ, j)| ≤ ∫₀^τ (max_i R - min_i R) ds.

No box has to close: the second bounds |p̂ - p| and with it every quote. The path is the quintic through the
computed values, their first derivatives B(θ̂) and second derivatives L B(θ̂), so R vanishes at the values
themselves. Between the samples of an interval R is bounded by the largest sample and an eighth of the largest
second difference (taken one and a half times). Where the bias rests, the path is straight: the derivatives at
its ends are rounding, and the length of the interval would multiply them.

On the linear route no residual is needed: uniformisation adds positive terms only, and bounds its own
relative error.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.certificate import Certificate, not_certified, quote_bounds, rounding_allowance
from quotegrid.solver.chain import ControlledChain, destination, in_problem_order
from quotegrid.solver.kernels import kernel

_SAMPLES = 8  # subintervals of an interval at whose ends R is evaluated
_CURVATURE_SAFETY = 1.5
_REST = 1e-12  # of the value scale: a path whose bias moves less within an interval is straight there
DEFECT = "Bellman defect of a dense path, between samples by its second differences, added up over time"
REST = ", or distance to the stationary solution"
SERIES = "relative error of a positive series, added up over time"  # how uniformisation bounds its error
_CHUNK = 64  # intervals or times per compiled call: one shape for all of them


class Defects(NamedTuple):
    """Bounds of the defect on each interval of a path, times its length: currency."""

    largest: Float[np.ndarray, " interval"]  # of |R|
    span: Float[np.ndarray, " interval"]  # of max R - min R
    curable: Float[np.ndarray, " interval"]  # of |R| without rounding: what shorter intervals lessen


def path_defects(
    chain: ControlledChain,
    to_go: Float[np.ndarray, " t"],
    bias: Float[np.ndarray, "t *state"],
    level: Float[np.ndarray, " t"],
) -> Defects:
    """The defects of the quintic path through bias + level at the increasing times to go; runs in double
    precision.
    """
    lengths = np.diff(to_go)
    first, second, allowance = _chunked(lambda part: _derivatives(chain, part), bias)
    rise = np.diff(bias, axis=0) + np.diff(level).reshape((-1,) + (1,) * (bias.ndim - 1))
    arguments = (bias[:-1], rise, first[:-1], first[1:], second[:-1], second[1:], lengths)
    most, least = _chunked(lambda *part: _interval_range(chain, *part), *arguments)
    rounding = 2.0 * np.maximum(allowance[:-1], allowance[1:])
    reading = 4.0 * np.finfo(float).eps * (np.max(np.abs(bias)) + np.abs(level[1:]))  # of the rise
    sampled = np.maximum(np.maximum(most, -least), 0.0)
    largest = sampled + rounding
    span = np.maximum(most - least, 0.0) + 2.0 * rounding
    curable = lengths * np.maximum(sampled - 2.0 * rounding, 0.0)
    return Defects(lengths * largest + reading, lengths * span + 2.0 * reading, curable)


def reading_error(largest: Any) -> Any:
    """What rounding of the stored values adds up to, from the end of the horizon on; `largest` is max |θ̂|.

    Whoever has the table alone propagates from each stored time to the next and can prove no more. NumPy or
    JAX arrays, [t, ...].
    """
    return 4.0 * np.finfo(float).eps * largest.cumsum(axis=0)


def statement_of(how: str) -> str:
    """What a certificate of a finite horizon bounds, and how."""
    return f"for this chain, quoting the best for θ̂ at every moment: {how}, rounding included"


def certify_path(
    chain: ControlledChain,
    bias: Float[np.ndarray, "t *state"],
    value_error: Float[np.ndarray, " t"],
    difference_error: Float[np.ndarray, " t"],
    how: str,
) -> Certificate:
    """The certificate of the stored times, from bounds on e and on its differences there; latest time to go
    last.
    """
    if not np.all(np.isfinite(value_error)) or not np.all(np.isfinite(difference_error)):
        return not_certified("the defect of the path has no finite bound")
    error, ambiguous = _chunked(lambda *part: _quote_errors(chain, *part), bias, difference_error)
    certain = np.where(ambiguous, 0.0, error)
    worst = float(np.max(value_error))
    return Certificate(
        level="A",
        statement=statement_of(how),
        value_error=worst,
        quote_error=float(np.max(certain, initial=0.0)),
        uncertain_ticks=int(np.sum(ambiguous)),
        regret=2.0 * worst,
        offset_error=np.moveaxis(error, 1, -1),
    )


def _chunked(function, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Apply a compiled function to pieces of one length, the last one padded with its own last entry."""
    count = len(arrays[0])
    pieces = []
    for begin in range(0, count, _CHUNK):
        part = [array[begin : begin + _CHUNK] for array in arrays]
        short = _CHUNK - len(part[0])
        part = [np.concatenate([x, np.repeat(x[-1:], short, axis=0)]) if short else x for x in part]
        pieces.append([np.asarray(x) for x in function(*map(jnp.asarray, part))])
    return tuple(np.concatenate(group)[:count] for group in zip(*pieces, strict=True))


@kernel()
def _derivatives(chain: ControlledChain, bias: Float[Array, "t *state"]) -> tuple[Array, Array, Array]:
    """∂θ = B, ∂²θ = L B, and the rounding error of B, at each time."""

    def at(theta: Array) -> tuple[Array, Array, Array]:
        policy = greedy_policy(chain, theta)
        after = [destination(policy.operator, shift) - policy.operator for shift in chain.shifts]
        second = sum(
            (rate * rise for rate, rise in zip(policy.rates, after, strict=True)), jnp.zeros(chain.shape)
        )
        return policy.operator, second, jnp.max(rounding_allowance(chain, theta, policy)[0])

    return jax.lax.map(at, bias)


@kernel(hot=True)
def _interval_range(
    chain: ControlledChain,
    start: Float[Array, "t *state"],
    rise: Float[Array, "t *state"],
    slope: Float[Array, "t *state"],
    slope_after: Float[Array, "t *state"],
    bend: Float[Array, "t *state"],
    bend_after: Float[Array, "t *state"],
    lengths: Float[Array, " t"],
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    """Bounds above and below of R over each interval and all states."""

    def on(interval: tuple) -> tuple[Array, Array]:
        start, rise, v0, v1, a0, a1, length = interval
        v0, v1, a0, a1 = v0 * length, v1 * length, a0 * length**2, a1 * length**2
        at_rest = jnp.max(jnp.abs(rise - rise[chain.target])) <= _REST * chain.value_scale
        v0, v1 = (jnp.where(at_rest, rise, v) for v in (v0, v1))
        a0, a1 = (jnp.where(at_rest, 0.0, a) for a in (a0, a1))
        c2, c3 = 0.5 * a0, 10.0 * rise - 6.0 * v0 - 4.0 * v1 - 1.5 * a0 + 0.5 * a1
        c4 = -15.0 * rise + 8.0 * v0 + 7.0 * v1 + 1.5 * a0 - a1
        c5 = 6.0 * rise - 3.0 * v0 - 3.0 * v1 - 0.5 * a0 + 0.5 * a1

        def defect(s: Array) -> Array:
            path = start + s * (v0 + s * (c2 + s * (c3 + s * (c4 + s * c5))))
            turn = v0 + s * (2.0 * c2 + s * (3.0 * c3 + s * (4.0 * c4 + s * 5.0 * c5)))
            return greedy_policy(chain, path).operator - turn / length

        inner = jax.vmap(defect)(jnp.arange(1, _SAMPLES, dtype=float) / _SAMPLES)
        zero = jnp.zeros((1, *chain.shape))
        samples = jnp.concatenate([zero, inner, zero])
        turn = jnp.max(jnp.abs(samples[2:] - 2.0 * samples[1:-1] + samples[:-2]))
        room = _CURVATURE_SAFETY * turn / 8.0
        return jnp.max(samples) + room, jnp.min(samples) - room

    return jax.lax.map(on, (start, rise, slope, slope_after, bend, bend_after, lengths))


@kernel()
def _quote_errors(
    chain: ControlledChain, bias: Float[Array, "t *state"], difference: Float[Array, " t"]
) -> tuple[Float[Array, "t flow *state"], Bool[Array, "t flow *state"]]:
    """The error of each offset, given bounds on the differences of e, and which ticks are uncertain."""
    wide = (slice(None),) + (None,) * len(chain.shape)
    sizes = in_problem_order(chain.channels, [c.size * c.multiplier for c in chain.channels])[wide]

    def at(moment: tuple) -> tuple[Array, Array]:
        theta, difference = moment
        policy = greedy_policy(chain, theta)
        radius = difference / sizes + rounding_allowance(chain, theta, policy)[1]
        bounds = quote_bounds(chain, policy, radius)
        return bounds.error, bounds.ambiguous

    return jax.lax.map(at, (bias, difference))
