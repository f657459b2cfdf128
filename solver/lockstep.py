"""Many linear equations at once: positive uniformisation with one problem per lane.

    ∂v/∂τ = M v,    v = exp(κ(θ - level)),    M = κ diag(ℓ) + (fill rates at equal θ) = P - c,    P ≥ 0

the equation of `uniformisation`, here in its own variables: M stays what it is, so that a step costs only the
series, and in Horner's order it needs no array beside the sum itself,

    e^{hP} v ≈ s₀,    s_N = v,    s_{n-1} = v + (h/n) P s_n.

All terms are non-negative: each component of v keeps its relative accuracy. The row ratios (Pv)/v lie between
x and y, and stay there as the march goes on, because max B(θ) does not rise and min B(θ) does not fall. So
P^n v ≤ yⁿv and e^{hP}v ≥ e^{hx}v, and the terms left out are below e^{-hx}(hy)^{N+1}/(N+1)! of the sum; that
fixes N beforehand, the same for all lanes. A product with hP/n errs by (flows + 6) roundings, the mean order
of the terms of a sum is at most hy, a step adds the last sum, the terms left out and the scaling to 1 at the
target, and an error of M's diagonal by ε changes ln v by ετ: these add up to the bound on κ|e|.

Lanes are the last axis, so that a fill, a shift of the state, moves whole vectors; ghost rows of zeros around
the states stand for "no such fill". The steps go back and forth between two buffers, which lets the compiler
write in place. What leaves the range of doubles (κθ over more than 600) is left to `uniformisation`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from quotegrid.solver.certificate import UNIT_ROUNDOFF

_LONGEST = 12.0  # hy of a step
_TAIL = 2.0**-54  # of a sum, left out
_SMALLEST = 1e-280  # of v: below, relative accuracy is lost
_ORDERS = np.arange(1.0, 80.0)  # of terms; as many are enough for the longest step
_LOG_FACTORIALS = np.cumsum(np.log(_ORDERS))
_ROUNDINGS_OF_A_STEP = 5.0  # the last sum, the tail with what follows it, and the scaling to 1 at the target
_MOST_STEPS = 100_000  # between two outputs
# terms of a round, even: more of them for short vectors, where what costs is to go round
_IN_LANES, _ALONE = 2, 4
TOGETHER = 16  # intervals of a single problem that are planned at once


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
    """The lanes at one time to go; or one problem at several, each in a lane."""

    bias: Float[Array, "state lane"]  # θ - level, currency
    level: Float[Array, " lane"]  # θ at the target, currency
    slope: Float[Array, "state lane"]  # ∂θ/∂τ = B(θ), currency per time
    defect: Float[Array, " lane"]  # bound on |e|, currency


Observe: TypeAlias = Callable[[Moment, Moment, Array], Any]
"""Makes of moments, those before them and the times between them [lane] what is kept of the later ones,
lanes last. (Before the first time to go stands the end of the horizon, with a slope that means nothing.)"""


def march_in_lockstep(
    lanes: LinearLanes, to_go: Float[Array, "t lane"], shifts: tuple[int, ...], target: int, observe: Observe
) -> tuple[Any, Bool[Array, " lane"]]:
    """March all lanes through their own increasing times to go.

    `observe` is called on the way, while the vectors are near. Returns what it keeps, stacked along a first
    axis of times, and False for the lanes that left the range of doubles.
    """
    equation = _Equation(lanes, shifts, target, _IN_LANES)
    first, buffers, pace, sound = equation.start()

    def run(carry: tuple, length: Array) -> tuple[tuple, Any]:
        buffers, before, sums, pace, sound = carry
        plan = _plan(length, pace, sound, equation.unrolled)
        buffers, gained = equation.interval(buffers, plan)
        added = _Sums(length, gained, length * pace.most, plan.steps.astype(float))
        sums = jax.tree.map(jnp.add, sums, added)
        now, pace, fits = equation.moment(buffers[0], sums)
        return (buffers, now, sums, pace, sound & fits & plan.fits), observe(before, now, length)

    zero = jnp.zeros(lanes.decay.shape)
    start = (buffers, first, _Sums(zero, zero, zero, jnp.zeros(())), pace, sound)
    done, outputs = jax.lax.scan(run, start, jnp.diff(to_go, axis=0, prepend=0.0))
    return outputs, done[-1]


def march_alone(
    problem: LinearLanes,
    to_go: Float[Array, " t"],
    shifts: tuple[int, ...],
    target: int,
    observe: Observe,
) -> tuple[Any, Bool[Array, ""]]:
    """The same for a single problem (one lane) and a multiple of `TOGETHER` times: the march first, then all
    times side by side.

    What `observe` keeps has no axis of times before its own: they stand last, in the place of the lanes.
    """
    equation = _Equation(problem, shifts, target, _ALONE)
    first, buffers, pace, sound = equation.start()

    def interval(buffers: tuple, plan: _Plan) -> tuple[tuple, tuple]:
        buffers, gained = equation.interval(buffers, plan)
        return buffers, (buffers[0][:, 0], gained[0])

    def run(carry: tuple, lengths: Array) -> tuple[tuple, tuple]:
        buffers, pace = carry
        plans = jax.vmap(lambda length: _plan(length, pace, sound, equation.unrolled))(lengths)
        buffers, (v, gained) = jax.lax.scan(interval, buffers, plans)
        reached, steps = (lengths * pace.most[None])[:, 0], plans.steps.astype(float)
        kept = v, _Sums(lengths[:, 0], gained, reached, steps), plans.fits
        return (buffers, equation.pace(buffers[0])), kept

    lengths = jnp.diff(to_go, prepend=0.0).reshape(-1, TOGETHER, 1)
    _, kept = jax.lax.scan(run, (buffers, pace), lengths)
    v, sums, short = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), kept)
    sums, length = jax.tree.map(jnp.cumsum, sums), sums.elapsed
    now, _, fits = equation.moment(v.T, sums)
    before = jax.tree.map(
        lambda start, x: jnp.concatenate([jnp.broadcast_to(start, (*x.shape[:-1], 1)), x[..., :-1]], axis=-1),
        first,
        now,
    )
    return observe(before, now, length), sound[0] & jnp.all(fits & short)


class _Pace(NamedTuple):
    """The extremes of (Pv)/v, per time."""

    least: Float[Array, " lane"]
    most: Float[Array, " lane"]


class _Plan(NamedTuple):
    """How an interval between two times to go is stepped through."""

    shares: Float[Array, "order lane"]  # h/n of a step
    steps: Int[Array, ""]
    rounds: Int[Array, ""]  # through the loop over the terms of the series
    fits: Bool[Array, ""]  # False: too many steps


def _plan(length: Float[Array, " lane"], pace: _Pace, sound: Bool[Array, " lane"], unrolled: int) -> _Plan:
    """For the lanes that are sound; `unrolled`: terms of a round."""
    reach = jnp.max(jnp.where(sound, length * pace.most, 0.0))
    steps = jnp.clip(jnp.ceil(reach / _LONGEST), 1.0, _MOST_STEPS)
    short = length / steps
    orders, logs = _ORDERS[:, None], _LOG_FACTORIALS[:, None]
    tail = orders * jnp.log(short * pace.most)[None] - logs - (short * pace.least)[None]
    terms = 1 + jnp.sum(jnp.any(sound[None] & (tail > np.log(_TAIL)), axis=1))
    rounds = (terms + unrolled - 1) // unrolled
    return _Plan(short[None] / orders, steps.astype(int), rounds, reach <= _LONGEST * _MOST_STEPS)


class _Sums(NamedTuple):
    """From the end of the horizon on."""

    elapsed: Float[Array, " lane"]  # time
    gained: Float[Array, " lane"]  # logarithms that v was divided by
    reached: Float[Array, " lane"]  # hx
    steps: Float[Array, "*lane"]


class _Equation:
    """P of all lanes, and what is made of v: arrays whose first axis is ghosted."""

    def __init__(self, lanes: LinearLanes, shifts: tuple[int, ...], target: int, unrolled: int) -> None:
        scaled = lanes.decay[None] * lanes.reward
        self.lanes, self.shifts, self.target, self.unrolled = lanes, shifts, target, unrolled
        self.ghosts = max((abs(shift) for shift in shifts), default=0)
        self.down = -jnp.min(scaled, axis=0)  # c
        self.diagonal = scaled + self.down[None]

    def inside(self, v: Array, shift: int = 0) -> Array:
        """v at the states, or where a fill leads from them."""
        begin = self.ghosts + shift
        return v[begin : begin + len(self.lanes.reward)]

    def apply(self, v: Array) -> Array:
        """P v, without ghosts."""
        arriving = (
            rate * self.inside(v, shift) for rate, shift in zip(self.lanes.rates, self.shifts, strict=True)
        )
        return sum(arriving, self.diagonal * self.inside(v))

    def pace(self, v: Array) -> _Pace:
        ratio = self.apply(v) / self.inside(v)
        return _Pace(jnp.min(ratio, axis=0), jnp.max(ratio, axis=0))

    def start(self) -> tuple[Moment, tuple[Array, Array], _Pace, Array]:
        """The end of the horizon, v there and a buffer, the pace, and which lanes doubles hold."""
        lanes = self.lanes
        bias = lanes.terminal - lanes.terminal[self.target][None]
        at_end = jnp.exp(lanes.decay[None] * bias)
        empty = jnp.zeros((len(bias) + 2 * self.ghosts, bias.shape[1]))
        v = jax.lax.dynamic_update_slice(empty, at_end, (self.ghosts, 0))
        pace = self.pace(v)
        fits = (jnp.min(at_end, axis=0) > _SMALLEST) & jnp.isfinite(pace.most)
        first = Moment(bias, lanes.terminal[self.target], bias, jnp.zeros(bias.shape[1]))
        return first, (v, empty), pace, fits

    def interval(self, buffers: tuple[Array, Array], plan: _Plan) -> tuple[tuple[Array, Array], Array]:
        """To the next time to go: v there, 1 at the target, and a buffer; and the logarithm of what it was
        divided by.
        """

        def step(_: Array, state: tuple) -> tuple:
            v, buffer, gained = state
            v, buffer = self._step(v, buffer, plan)
            middle = v[self.ghosts + self.target]
            return v * (1.0 / middle)[None], buffer, gained + jnp.log(middle)

        state = (*buffers, jnp.zeros(self.lanes.decay.shape))
        v, buffer, gained = jax.lax.fori_loop(0, plan.steps, step, state)
        return (v, buffer), gained

    def _step(self, v: Array, other: Array, plan: _Plan) -> tuple[Array, Array]:
        """e^{hP} v, and a buffer."""
        start = self.inside(v)

        def term(s: Array, buffer: Array, n: Array) -> Array:
            value = start + plan.shares[n - 1][None] * self.apply(s)
            return jax.lax.dynamic_update_slice(buffer, value, (self.ghosts, 0))

        def terms(place: Array, buffers: tuple) -> tuple:
            here, there = buffers
            last = (plan.rounds - place) * self.unrolled
            for done in range(0, self.unrolled, 2):
                there = term(here, there, last - done)
                here = term(there, here, last - done - 1)
            return here, there

        return jax.lax.fori_loop(0, plan.rounds, terms, (v, other))

    def moment(self, v: Array, sums: _Sums) -> tuple[Moment, _Pace, Array]:
        """What v says, the pace there, and which lanes doubles hold."""
        lanes, inside = self.lanes, self.inside(v)
        per_decay = 1.0 / lanes.decay
        ratio = self.apply(v) / inside
        pace = _Pace(jnp.min(ratio, axis=0), jnp.max(ratio, axis=0))
        fits = (jnp.min(inside, axis=0) > _SMALLEST) & jnp.isfinite(pace.most)
        # (the end of the horizon itself, to the last bit)
        at_end = lanes.terminal - lanes.terminal[self.target][None]
        bias = jnp.where((sums.elapsed > 0.0)[None], jnp.log(inside) * per_decay[None], at_end)
        level = lanes.terminal[self.target] + (sums.gained - self.down * sums.elapsed) * per_decay
        slope = (ratio - self.down[None]) * per_decay[None]
        return Moment(bias, level, slope, self._defect(sums, bias, level)), pace, fits

    def _defect(self, sums: _Sums, bias: Array, level: Array) -> Array:
        lanes = self.lanes
        products = (len(self.shifts) + 6.0) * UNIT_ROUNDOFF + lanes.rate_error
        in_diagonal = 4.0 * UNIT_ROUNDOFF * (lanes.decay * lanes.magnitude + self.down)
        largest = jnp.max(jnp.abs(bias), axis=0) + jnp.abs(level)
        in_logs = 8.0 * UNIT_ROUNDOFF * (1.0 + lanes.decay * largest)
        in_steps = _ROUNDINGS_OF_A_STEP * UNIT_ROUNDOFF * sums.steps
        errors = products * sums.reached + in_steps + in_diagonal * sums.elapsed + in_logs
        return errors / lanes.decay
