"""Hamiltonians as Chebyshev series: B(θ) at the price of a few dozen multiplications a flow.

    ln H_f(p) = Σ_n c_n T_n(x),     x = (p - middle)/half width,     |x| ≤ 1

on the range of reservation offsets that a march visits, interpolated at the Chebyshev points (Trefethen,
Approximation Theory and Practice, 2013). Where H is smooth the coefficients fall geometrically; where a bound
or a kink of Λ lies in the range they do not, and the error, which is measured, says so. The logarithm keeps
the relative error even where H spans many orders of magnitude.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.solver.certificate import UNIT_ROUNDOFF
from quotegrid.solver.chain import ControlledChain, Shift, destination, in_problem_order, stays_inside
from quotegrid.solver.hamiltonians import QuoteSet, optimal_quote

DEGREES = (24, 48, 96, 192)
_UNROLLED = 48  # terms; longer sums are loops, which compile faster and run slower
ACCURATE = 1e-12  # relative error of H
_SMALLEST_HALF = 1e-3  # of a range, in quote scales
_MEASURED = 2.0  # the largest error seen between the nodes, times this, is taken for the largest there is


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SeriesOperator:
    """The Bellman operator of a chain with series for its Hamiltonians; flows in the order of the problem."""

    reward: Float[Array, "*state"]  # ℓ, currency per time
    magnitude: Float[Array, "*state"]  # Σ|terms of ℓ|, currency per time
    size: Float[Array, " flow"]  # z, units
    multiplier: Float[Array, " flow"]  # m
    cost: Float[Array, "flow *state"]  # c, price units
    weight: Float[Array, "flow *state"]  # a; 0 where the flow is off
    middle: Float[Array, " flow"]  # of the range of p, price units
    half: Float[Array, " flow"]  # its half width, price units
    coefficients: Float[Array, "flow n"]  # of ln H, H in currency per time
    error: Float[Array, " flow"]  # relative, of H
    shifts: tuple[Shift, ...] = field(metadata={"static": True})


class SeriesPolicy(NamedTuple):
    """B(θ) and its linearisation."""

    operator: Float[Array, "*state"]  # currency per time
    rates: Float[Array, "flow *state"]  # a·w, per time
    rounding: Float[Array, ""]  # bound on the error of B, currency per time
    reach: Float[Array, "flow 2"]  # least and largest x of each flow; beyond ±1 B means nothing


def series_operator(
    chain: ControlledChain, low: Float[Array, " flow"], high: Float[Array, " flow"], degree: int
) -> SeriesOperator:
    """The operator of a chain for reservation offsets in [low, high] (price units)."""
    channels = chain.channels
    order = {place: (c, row) for c in channels for row, place in enumerate(c.order)}
    scale = jnp.stack([order[place][0].scale[order[place][1]] for place in range(len(order))])
    middle = 0.5 * (low + high)
    half = jnp.maximum(0.5 * (high - low), _SMALLEST_HALF * jnp.where(jnp.isfinite(scale), scale, 1.0))
    angles = _chebyshev_angles(degree + 1)
    nodes, checks = np.cos(angles), np.cos(_chebyshev_angles(2 * degree + 3))

    def log_value(x: np.ndarray) -> Float[Array, "flow x"]:
        found = []
        for channel in channels:
            flows = np.asarray(channel.order)
            p = middle[flows][:, None] + half[flows][:, None] * x[None]
            quotes = QuoteSet(channel.low, channel.high, channel.tick)
            best = jax.vmap(optimal_quote, in_axes=(0, 0, 0, None, 0))(
                channel.intensity, p, channel.size * channel.multiplier, chain.xi, quotes
            )
            found.append(jnp.log(best.value))
        return in_problem_order(channels, found)

    matrix = 2.0 / (degree + 1) * np.cos(np.arange(degree + 1)[:, None] * angles[None])
    matrix[0] *= 0.5
    both = log_value(np.concatenate([nodes, checks]))
    values, between = both[:, : degree + 1], both[:, degree + 1 :]
    alive = jnp.any(values != -jnp.inf, axis=1)  # (NaN where H < 0, which has no logarithm)
    coefficients = jnp.where(alive[:, None], values @ jnp.asarray(matrix.T), 0.0)
    seen = _clenshaw(coefficients, jnp.broadcast_to(jnp.asarray(checks), (len(order), len(checks))))[0]
    error = jnp.max(jnp.abs(seen - between), axis=1)
    largest = jnp.max(jnp.abs(coefficients), axis=1)
    error = _MEASURED * error + UNIT_ROUNDOFF * (16.0 + 8.0 * largest)
    inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in chain.shifts])
    dead = alive.reshape((-1,) + (1,) * len(chain.shape))
    size, multiplier, cost, weight = (
        in_problem_order(channels, [getattr(c, name) for c in channels])
        for name in ("size", "multiplier", "cost", "weight")
    )
    return SeriesOperator(
        reward=chain.reward,
        magnitude=chain.magnitude,
        size=size,
        multiplier=multiplier,
        cost=cost,
        weight=jnp.where(inside & dead, weight, 0.0),
        middle=middle,
        half=half,
        coefficients=coefficients,
        error=jnp.where(alive, error, 0.0),
        shifts=chain.shifts,
    )


def operator_by_series(series: SeriesOperator, theta: Float[Array, "*state"]) -> Float[Array, "*state"]:
    """B(θ), currency per time."""
    return operator_and_reach(series, theta)[0]


def operator_and_reach(
    series: SeriesOperator, theta: Float[Array, "*state"]
) -> tuple[Float[Array, "*state"], Float[Array, "flow 2"]]:
    """B(θ), and how far the reservation offsets go: operator and reach of `policy_by_series`."""
    x, _ = _positions(series, theta)
    log_value, _ = _clenshaw(series.coefficients, x)
    return series.reward + jnp.sum(series.weight * jnp.exp(log_value), axis=0), _reach(x)


def policy_by_series(series: SeriesOperator, theta: Float[Array, "*state"]) -> SeriesPolicy:
    """B(θ) with its linearisation and the error of both."""
    x, after = _positions(series, theta)
    log_value, slope = _clenshaw(series.coefficients, x)
    wide = (slice(None),) + (None,) * theta.ndim
    value = series.weight * jnp.exp(log_value)
    rates = -value * slope / (series.half * series.size * series.multiplier)[wide]
    reading = 2.0 * (jnp.abs(theta)[None] + jnp.abs(after)) / series.size[wide] + 4.0 * jnp.abs(series.cost)
    in_p = reading / series.multiplier[wide] + 4.0 * jnp.abs(series.middle)[wide] + 4.0 * series.half[wide]
    through_p = jnp.abs(rates) * (series.size * series.multiplier)[wide] * in_p
    terms = 4.0 * series.magnitude + jnp.sum(through_p + 8.0 * value, axis=0)
    rounding = 2.0 * UNIT_ROUNDOFF * terms + jnp.sum(series.error[wide] * value, axis=0)
    operator = series.reward + jnp.sum(value, axis=0)
    return SeriesPolicy(operator, jnp.maximum(rates, 0.0), jnp.max(rounding), _reach(x))


def reservation_range(
    chain: ControlledChain, p: Float[Array, "flow *state"]
) -> tuple[Float[Array, " flow"], Float[Array, " flow"]]:
    """The least and the largest p of each flow where it is on, price units."""
    inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in chain.shifts])
    axes = tuple(range(1, p.ndim))
    low = jnp.min(p, axis=axes, where=inside, initial=jnp.inf)
    high = jnp.max(p, axis=axes, where=inside, initial=-jnp.inf)
    never = low > high
    return jnp.where(never, 0.0, low), jnp.where(never, 0.0, high)


def _positions(series: SeriesOperator, theta: Array) -> tuple[Array, Array]:
    """x of every flow and state, 0 where it is off, and θ after the fill."""
    wide = (slice(None),) + (None,) * theta.ndim
    after = jnp.stack([destination(theta, shift) for shift in series.shifts])
    p = ((theta[None] - after) / series.size[wide] + series.cost) / series.multiplier[wide]
    x = (p - series.middle[wide]) * (1.0 / series.half)[wide]
    return jnp.where(series.weight > 0.0, x, 0.0), after


def _reach(x: Array) -> Array:
    axes = tuple(range(1, x.ndim))
    return jnp.stack([jnp.min(x, axis=axes), jnp.max(x, axis=axes)], axis=-1)


def _clenshaw(coefficients: Array, x: Array) -> tuple[Array, Array]:
    """Σ c_n T_n(x) and its derivative; x [flow, …]."""
    wide = (slice(None),) + (None,) * (x.ndim - 1)
    double = 2.0 * x

    def step(state: tuple, c: Array) -> tuple[tuple, None]:
        ahead, after, slope_ahead, slope_after = state
        slope = 2.0 * ahead + double * slope_ahead - slope_after
        return (c[wide] + double * ahead - after, ahead, slope, slope_ahead), None

    state = (jnp.zeros_like(x),) * 4
    downwards = coefficients[:, :0:-1].T
    if len(downwards) > _UNROLLED:
        state, _ = jax.lax.scan(step, state, downwards)
    else:
        for c in downwards:
            state, _ = step(state, c)
    ahead, after, slope_ahead, slope_after = state
    return coefficients[:, 0][wide] + x * ahead - after, ahead + x * slope_ahead - slope_after


def _chebyshev_angles(count: int) -> np.ndarray:
    return np.pi * (np.arange(count) + 0.5) / count
