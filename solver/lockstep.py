"""Many linear equations at once: positive uniformisation with one problem per lane.

    ∂v/∂τ = M v,    v = exp(κ(θ - level)),    M = κ diag(ℓ) + (fill rates at equal θ) = P - c,    P ≥ 0

the equation of `uniformisation`, here in its own variables: M stays what it is, so that a step costs only the
series, and in Horner's order it needs no array beside the sum itself,

    e^{hP} v ≈ s₀,    s_N = v,    s_{n-1} = v + (h/n) P s_n.

All terms are non-negative: each component of v keeps its relative accuracy. With the row ratios x = (Pv)/v,
which are largest at the start of a march because max B(θ) does not rise, the terms left out are below
(hx)^{N+1}/(N+1)! of the sum; that fixes N beforehand, the same for all lanes. A product with hP/n errs by
(flows + 6) roundings, the mean order of the terms of a sum is at most hx, a step adds the last sum and the
scaling to 1 at the target, and an error of M's diagonal by ε changes ln v by ετ: these add up to the bound on
κ|e|.

Lanes are the last axis, so that a fill, a shift of the state, moves whole vectors; ghost rows of zeros around
the states stand for "no such fill". The steps go back and forth between two buffers, which lets the compiler
write in place. What leaves the range of doubles (κθ over more than 600) is left to `uniformisation`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quotegrid.solver.certificate import UNIT_ROUNDOFF

_LONGEST = 12.0  # hx of a step
_TAIL = 1e-17
_SMALLEST = 1e-280  # of v: below, relative accuracy is lost
_MOST_TERMS = 80
_ROUNDINGS_OF_A_STEP = 4.0  # the last sum, and the scaling to 1 at the target
_MOST_STEPS = 100_000  # between two outputs


class LinearLanes(NamedTuple):
    """Problems of one structure, stacked along a last axis."""

    reward: Float[Array, "state lane"]  # ℓ, currency per time
    magnitude: Float[Array, " lane"]  # largest Σ|terms of ℓ|
    # fills per time at equal θ, 0 where off; or one for all states, where only the limits turn flows off
    rates: Float[Array, "flow #state lane"]
    rate_error: Float[Array, " lane"]  # relative error of the rates
    terminal: Float[Array, "state lane"]  # θ(T), currency
    decay: Float[Array, " lane"]  # κ, per currency


class Moment(NamedTuple):
    """The lanes at one time to go."""

    bias: Float[Array, "state lane"]  # θ - level, currency
    level: Float[Array, " lane"]  # θ at the target, currency
    slope: Float[Array, "state lane"]  # ∂θ/∂τ = B(θ), currency per time
    defect: Float[Array, " lane"]  # bound on |e|, currency


def _orders() -> np.ndarray:
    """The largest hx that N = 1, 2, … terms are enough for."""
    reach = np.linspace(0.0, 2.0 * _LONGEST, 24_001)[1:]
    logs = np.cumsum(np.log(np.arange(1, _MOST_TERMS + 1)))
    tails = np.arange(1, _MOST_TERMS + 1)[:, None] * np.log(reach) - logs[:, None]
    return np.array([reach[row <= np.log(_TAIL)].max(initial=0.0) for row in tails])


_REACH_OF_ORDER = _orders()


def march_in_lockstep(
    lanes: LinearLanes,
    to_go: Float[Array, "t lane"],
    shifts: tuple[int, ...],
    target: int,
    observe: Callable[[Moment, Moment, Array], Any],
) -> tuple[Any, Bool[Array, " lane"]]:
    """March all lanes through their own increasing times to go.

    `observe` makes of two consecutive moments, and the times between them [lane], what is kept of the later
    one (before the first time to go stands the end of the horizon, with a slope that means nothing); it is
    called on the way, while the vectors are near. Returns that, stacked along a first axis of times, and
    False for the lanes that left the range of doubles.
    """
    states, count = lanes.reward.shape
    ghosts = max((abs(shift) for shift in shifts), default=0)
    scaled = lanes.decay[None] * lanes.reward
    shift_of_m = -jnp.min(scaled, axis=0)  # c
    diagonal = scaled + shift_of_m[None]
    inner = slice(ghosts, ghosts + states)
    orders, per_decay = jnp.asarray(_REACH_OF_ORDER), (1.0 / lanes.decay)[None]

    def apply(v: Array) -> Array:
        """P v of a ghosted v, without ghosts."""
        arriving = (
            rate * v[ghosts + shift : ghosts + shift + states]
            for rate, shift in zip(lanes.rates, shifts, strict=True)
        )
        return sum(arriving, diagonal * v[inner])

    def step(v: Array, other: Array, length: Array, terms: Array) -> tuple[Array, Array]:
        """e^{length P} v and a buffer; `terms` even."""
        start = v[inner]

        def term(s: Array, buffer: Array, n: Array) -> Array:
            value = start + (length / n)[None] * apply(s)
            return jax.lax.dynamic_update_slice(buffer, value, (ghosts, 0))

        def two_terms(place: Array, buffers: tuple) -> tuple:
            here, there = buffers
            n = terms - 2.0 * place
            there = term(here, there, n)
            return term(there, here, n - 1.0), there

        pairs = (terms / 2.0).astype(int)
        return jax.lax.fori_loop(0, pairs, two_terms, (v, other))

    def interval(carry: tuple, length: Array) -> tuple[tuple, Any]:
        v, buffer, before, reached, taken, elapsed, ratio, sound = carry
        most = jnp.max(ratio, axis=0)
        reach = jnp.max(jnp.where(sound, length * most, 0.0))
        steps = jnp.clip(jnp.ceil(reach / _LONGEST), 1.0, _MOST_STEPS)
        short = length / steps
        order = jnp.searchsorted(orders, reach / steps).astype(float) + 1.0
        terms = 2.0 * jnp.ceil(0.5 * order)

        def advance(_: Array, state: tuple) -> tuple:
            v, buffer, gained = state
            v, buffer = step(v, buffer, short, terms)
            middle = v[ghosts + target]
            return v * (1.0 / middle)[None], buffer, gained + fast_log(middle)

        v, buffer, gained = jax.lax.fori_loop(0, steps.astype(int), advance, (v, buffer, jnp.zeros(count)))
        level = before.level + (gained - shift_of_m * length) / lanes.decay
        reached, taken, elapsed = reached + length * most, taken + steps, elapsed + length
        inside = v[inner]
        ratio = apply(v) / inside
        sound = sound & (jnp.min(inside, axis=0) > _SMALLEST) & jnp.all(jnp.isfinite(ratio), axis=0)
        sound = sound & (reach <= _LONGEST * _MOST_STEPS)
        # (the end of the horizon itself, to the last bit)
        bias = jnp.where((elapsed > 0.0)[None], fast_log(inside) * per_decay, before.bias)
        slope = (ratio - shift_of_m[None]) * per_decay
        now = Moment(bias, level, slope, defect(reached, taken, elapsed, bias, level))
        return (v, buffer, now, reached, taken, elapsed, ratio, sound), observe(before, now, length)

    def defect(reached: Array, taken: Array, elapsed: Array, bias: Array, level: Array) -> Array:
        products = (len(shifts) + 6.0) * UNIT_ROUNDOFF + lanes.rate_error
        in_diagonal = 4.0 * UNIT_ROUNDOFF * (lanes.decay * lanes.magnitude + shift_of_m)
        largest = jnp.max(jnp.abs(bias), axis=0) + jnp.abs(level)
        in_logs = 8.0 * UNIT_ROUNDOFF * (1.0 + lanes.decay * largest)
        in_steps = _ROUNDINGS_OF_A_STEP * UNIT_ROUNDOFF * taken
        return (products * reached + in_steps + in_diagonal * elapsed + in_logs) / lanes.decay

    bias = lanes.terminal - lanes.terminal[target][None]
    inside = jnp.exp(lanes.decay[None] * bias)
    empty = jnp.zeros((states + 2 * ghosts, count))
    v = jax.lax.dynamic_update_slice(empty, inside, (ghosts, 0))
    ratio, zero = apply(v) / inside, jnp.zeros(count)
    sound = (jnp.min(inside, axis=0) > _SMALLEST) & jnp.all(jnp.isfinite(ratio), axis=0)
    start = (v, empty, Moment(bias, lanes.terminal[target], ratio, zero), zero, zero, zero, ratio, sound)
    lengths = jnp.diff(to_go, axis=0, prepend=0.0)
    done, outputs = jax.lax.scan(interval, start, lengths)
    return outputs, done[-1]


_LOG_2_HIGH, _LOG_2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_EXPONENT_OF_SQRT_HALF = 0x3FE6A09E667F3BCD  # the bits of sqrt(½)


def fast_log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """ln x within 2 roundings, for normal positive doubles: ln 2^e + 2 artanh((m - 1)/(m + 1)).

    XLA's own takes four times as long on a CPU.
    """
    bits = jax.lax.bitcast_convert_type(x, jnp.int64)
    exponent = (bits - _EXPONENT_OF_SQRT_HALF) >> 52
    m = jax.lax.bitcast_convert_type(bits - (exponent << 52), jnp.float64)
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    series = jnp.zeros_like(s)
    for n in range(21, 1, -2):  # |s| < 0.1716: the next term is below 1e-17
        series = (series + 1.0 / n) * square
    e = exponent.astype(jnp.float64)
    return e * _LOG_2_HIGH + (2.0 * s + (2.0 * s * series + e * _LOG_2_LOW))
