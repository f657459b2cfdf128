"""Hamiltonians as Chebyshev series: B(θ) at the price of a few dozen multiplications a flow.

    ln H_f(p) = Σ_n c_n T_n(x),     x = (p - middle)/half width,     |x| ≤ 1

on the range of reservation offsets that a march visits, interpolated at the Chebyshev points (Trefethen,
Approximation Theory and Practice, 2013). Where H is smooth the coefficients fall geometrically; where a bound
or a kink of Λ lies in the range they do not, and the error, which is measured, says so. The logarithm keeps
the relative error even where H spans many orders of magnitude.

T_2n(x) = T_n(y) and T_2n+1(x) = x(2T_n(y) - T_2n-1(x)/x) with y = 2x² - 1, so that the sum is one over its
even and one over its odd terms, of half the length,

    Σ_n c_n T_n(x) = Σ_n a_n T_n(y) + x Σ_n b_n T_n(y),    a_n = c_2n,    b_n = 2c_2n+1 - b_n+1  (b_0: half)

which a processor works out side by side: each term of a sum has to wait for the one before.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.models.contract import markup_of
from quotegrid.solver.certificate import UNIT_ROUNDOFF
from quotegrid.solver.chain import ControlledChain, Shift, destination, in_problem_order, stays_inside
from quotegrid.solver.hamiltonians import QuoteSet, optimal_quote

DEGREES = (23, 47, 95, 191)  # odd: as many even terms as odd ones
_UNROLLED = 24  # terms of a half; longer sums are loops, which compile faster and run slower
_FLOWS_UNROLLED = 4
ACCURATE = 1e-12  # relative error of H
_SMALLEST_HALF = 1e-3  # of a range, in quote scales
_MEASURED = 2.0  # the largest error seen between the nodes, times this, is taken for the largest there is


class FlowSeries(NamedTuple):
    """One flow and the series of its Hamiltonian, or all of them: then a first axis of flows, in the order of
    the problem.
    """

    size: Float[Array, "*flow"]  # z, units
    multiplier: Float[Array, "*flow"]  # m
    cost: Float[Array, "*flow_state"]  # c, price units
    weight: Float[Array, "*flow_state"]  # a; 0 where the flow is off
    middle: Float[Array, "*flow"]  # of the range of p, price units
    half: Float[Array, "*flow"]  # its half width, price units
    even: Float[Array, "*flow_n"]  # a of ln H, H in currency per time
    odd: Float[Array, "*flow_n"]  # b
    error: Float[Array, "*flow"]  # relative, of H


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SeriesOperator:
    """The Bellman operator of a chain with series for its Hamiltonians."""

    reward: Float[Array, "*state"]  # ℓ, currency per time
    magnitude: Float[Array, "*state"]  # Σ|terms of ℓ|, currency per time
    flows: FlowSeries
    shifts: tuple[Shift, ...] = field(metadata={"static": True})

    def destinations(self, theta: Float[Array, "*state"]) -> Float[Array, "flow *state"]:
        """θ after each flow's fill."""
        return jnp.stack([destination(theta, shift) for shift in self.shifts])


class SeriesPolicy(NamedTuple):
    """B(θ) and its linearisation."""

    operator: Float[Array, "*state"]  # currency per time
    rates: Float[Array, "flow *state"]  # a·w, per time
    rounding: Float[Array, ""]  # bound on the error of B, currency per time
    reach: Float[Array, "flow *state"]  # |x|; beyond 1 B means nothing


def series_operator(
    chain: ControlledChain, low: Float[Array, " flow"], high: Float[Array, " flow"], degree: int
) -> SeriesOperator:
    """The operator of a chain for reservation offsets in [low, high] (price units), with series of an odd
    degree.
    """
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
    halves = jnp.asarray(np.stack([matrix[::2], alternating_sums(matrix[1::2])]))
    both = log_value(np.concatenate([nodes, checks]))
    values, between = both[:, : degree + 1], both[:, degree + 1 :]
    alive = jnp.any(values != -jnp.inf, axis=1)  # (NaN where H < 0, which has no logarithm)
    even, odd = jnp.where(alive[:, None], jnp.einsum("hnx,fx->hfn", halves, values), 0.0)
    seen = jax.vmap(_sum, in_axes=(0, 0, None))(even, odd, jnp.asarray(checks))
    error = jnp.max(jnp.abs(seen - between), axis=1)
    largest = jnp.max(jnp.abs(jnp.concatenate([even, odd], axis=1)), axis=1)
    error = _MEASURED * error + UNIT_ROUNDOFF * (16.0 + 8.0 * largest)
    inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in chain.shifts])
    dead = alive.reshape((-1,) + (1,) * len(chain.shape))
    size, multiplier, cost, weight = (
        in_problem_order(channels, [getattr(c, name) for c in channels])
        for name in ("size", "multiplier", "cost", "weight")
    )
    flows = FlowSeries(
        size=size,
        multiplier=multiplier,
        cost=cost,
        weight=jnp.where(inside & dead, weight, 0.0),
        middle=middle,
        half=half,
        even=even,
        odd=odd,
        error=jnp.where(alive, error, 0.0),
    )
    return SeriesOperator(chain.reward, chain.magnitude, flows, chain.shifts)


def operator_by_series(series: SeriesOperator, theta: Float[Array, "*state"]) -> Float[Array, "*state"]:
    """B(θ), currency per time."""
    return operator_and_reach(series, theta)[0]


def operator_and_reach(
    series: SeriesOperator, theta: Float[Array, "*state"]
) -> tuple[Float[Array, "*state"], Float[Array, "flow *state"]]:
    """B(θ), and how far the reservation offsets go: operator and reach of `policy_by_series`."""

    def value_and_reach(flow: FlowSeries, after: Array) -> tuple[Array, Array]:
        x = _position(flow, theta, after)
        return flow.weight * jnp.exp(_sum(flow.even, flow.odd, x)), jnp.abs(x)

    values, reach = jax.vmap(value_and_reach)(series.flows, series.destinations(theta))
    return series.reward + jnp.sum(values, axis=0), reach


def policy_by_series(series: SeriesOperator, theta: Float[Array, "*state"]) -> SeriesPolicy:
    """B(θ) with its linearisation and the error of both.

    One flow after the other: each sum over all of them at once would be compiled with the series inside.
    """

    def add(sums: tuple[Array, ...], flow: tuple[FlowSeries, Array]) -> tuple[Any, tuple[Array, Array]]:
        own, after = flow
        x = _position(own, theta, after)
        log_value, slope = _sum_and_slope(own.even, own.odd, x)
        value, through = own.weight * jnp.exp(log_value), own.size * own.multiplier
        rates = -value * slope / (own.half * through)
        reading = 3.0 * (jnp.abs(theta) + jnp.abs(after)) / own.size + 4.0 * jnp.abs(own.cost)
        in_p = reading / own.multiplier + 4.0 * jnp.abs(own.middle) + 4.0 * own.half
        roundings = jnp.abs(rates) * through * in_p + 8.0 * value
        parts = value, roundings, own.error * value
        return jax.tree.map(jnp.add, sums, parts), (rates, jnp.abs(x))

    nothing = jnp.zeros_like(theta)
    flows = series.flows, series.destinations(theta)
    sums, (rates, reach) = jax.lax.scan(add, (nothing,) * 3, flows, unroll=_FLOWS_UNROLLED)
    values, roundings, errors = sums
    rounding = 2.0 * UNIT_ROUNDOFF * (4.0 * series.magnitude + roundings) + errors
    return SeriesPolicy(series.reward + values, jnp.maximum(rates, 0.0), jnp.max(rounding), reach)


def offsets_by_series(
    series: SeriesOperator, theta: Float[Array, "*state"], xi: Float[Array, ""]
) -> Float[Array, "flow *state"]:
    """Close to the best offsets: δ* = p + ln(1 + ξZ/h)/(ξZ) with h = -d ln H/dp, price units; NaN beyond the
    limits.
    """

    def offset(flow: FlowSeries, after: Array) -> Array:
        _, slope = _sum_and_slope(flow.even, flow.odd, _position(flow, theta, after))
        p = ((theta - after) / flow.size + flow.cost) / flow.multiplier
        return p + markup_of(-slope / flow.half, flow.size * flow.multiplier, xi)

    inside = jnp.asarray([stays_inside(theta.shape, shift) for shift in series.shifts])
    return jnp.where(inside, jax.vmap(offset)(series.flows, series.destinations(theta)), jnp.nan)


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


def _position(flow: FlowSeries, theta: Array, after: Array) -> Array:
    """x in every state, 0 where the flow is off."""
    slope = 1.0 / (flow.size * flow.multiplier * flow.half)
    place = (flow.cost / flow.multiplier - flow.middle) / flow.half
    return jnp.where(flow.weight > 0.0, (theta - after) * slope + place, 0.0)


def _sum(even: Array, odd: Array, x: Array) -> Array:
    """Σ a_n T_n(y) + x Σ b_n T_n(y), by Clenshaw's recurrence."""
    double = 4.0 * x * x - 2.0  # 2y

    def half(coefficients: Array) -> Array:
        def step(state: tuple[Array, Array], c: Array) -> tuple[tuple[Array, Array], None]:
            ahead, after = state
            return ((c - after) + double * ahead, ahead), None

        ahead, after = _downwards(step, coefficients, (jnp.zeros_like(x),) * 2)
        return (coefficients[0] - after) + 0.5 * double * ahead

    return half(even) + x * half(odd)


def _sum_and_slope(even: Array, odd: Array, x: Array) -> tuple[Array, Array]:
    """The same with its derivative."""
    double = 4.0 * x * x - 2.0

    def half(coefficients: Array) -> tuple[Array, Array]:
        def step(state: tuple[Array, ...], c: Array) -> tuple[tuple[Array, ...], None]:
            ahead, after, slope_ahead, slope_after = state
            slope = (2.0 * ahead - slope_after) + double * slope_ahead
            return ((c - after) + double * ahead, ahead, slope, slope_ahead), None

        ahead, after, slope_ahead, slope_after = _downwards(step, coefficients, (jnp.zeros_like(x),) * 4)
        value = (coefficients[0] - after) + 0.5 * double * ahead
        return value, (ahead - slope_after) + 0.5 * double * slope_ahead

    (even_value, even_slope), (odd_value, odd_slope) = half(even), half(odd)
    return even_value + x * odd_value, odd_value + 4.0 * x * (even_slope + x * odd_slope)


def _downwards(step: Callable[[Any, Array], tuple[Any, None]], coefficients: Array, state: Any) -> Any:
    """All coefficients but the first, from the last on."""
    if len(coefficients) - 1 > _UNROLLED:
        return jax.lax.scan(step, state, coefficients[:0:-1])[0]
    for c in coefficients[:0:-1]:
        state, _ = step(state, c)
    return state


def alternating_sums(rows: np.ndarray) -> np.ndarray:
    """b_n = 2c_n - b_n+1, the first of them half of that, for the c in each column."""
    signs = (-1.0) ** np.arange(len(rows))[:, None]
    sums = 2.0 * signs * np.cumsum((signs * rows)[::-1], axis=0)[::-1]
    sums[0] *= 0.5
    return sums


def _chebyshev_angles(count: int) -> np.ndarray:
    return np.pi * (np.arange(count) + 0.5) / count
