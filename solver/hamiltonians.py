"""The Hamiltonian of one flow: the best offset against a reservation offset, and what it is worth.

    H(p) = sup_δ Λ(δ) G_ξ(Z (δ - p)),     G_ξ(x) = (1 - exp(-ξx))/ξ,  G_0(x) = x

over the offsets δ that the flow may quote: all, an interval, or the multiples of a tick inside it. Z = z·m is
the effective size (size in units of the asset times 1 ± proportional fee) and p the reservation offset. The
unconstrained optimum solves the first-order condition

    F(δ) = δ - p - ln(1 + ξZ/h(δ))/(ξZ) = 0,     h = -Λ'/Λ,

whose left side increases in δ where Λ is fair (ΛΛ'' < 2Λ'² - ξZΛΛ'); the objective rises before the root and
falls after it, so that bounds clip and ticks leave two candidates. Envelope theorem: dH/dp = -Z w(p) with the
*tilted* intensity w = Λ(δ*) exp(-ξZ(δ* - p)), the rate at which the controlled chain moves (Guéant 2017, §3;
Bergault & Guéant 2021).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.models.contract import AbstractIntensity, log1p_ratio, phi1

_NEWTON_LIMIT = 120  # every second step at least halves the bracket or the move: 53 bits twice over
_TICK_SLACK = 1e-9  # a bound within this many ticks of a lattice point includes it
_TIE_SLACK = 8 * float(np.finfo(np.float64).eps)  # two ticks whose values agree to rounding are a tie


class QuoteSet(NamedTuple):
    """The offsets a flow may quote: [low, high], and only multiples of `tick` if that is not None (price
    units).
    """

    low: Float[Array, "..."]
    high: Float[Array, "..."]
    tick: Float[Array, "..."] | None


class OptimalQuote(NamedTuple):
    """The optimum of the Hamiltonian at each reservation offset."""

    offset: Float[Array, "..."]  # δ*, price units; meaningless where not quoted
    value: Float[Array, "..."]  # H, currency per time
    tilted_rate: Float[Array, "..."]  # w = -H'(p)/Z, fills per time
    quoted: Array  # False where Λ(δ*) = 0


def optimal_quote(
    intensity: AbstractIntensity,
    p: Float[Array, "..."],
    size: Float[Array, ""],
    xi: Float[Array, ""],
    quotes: QuoteSet,
) -> OptimalQuote:
    """Maximise Λ(δ) G_ξ(size·(δ - p)) over `quotes` (size in units of the asset, ξ per currency)."""
    unconstrained = _stationary_offset(intensity, p, size, xi)
    if quotes.tick is None:
        offset = jnp.clip(unconstrained, quotes.low, quotes.high)
    else:
        offset = _best_tick(intensity, p, size, xi, unconstrained, quotes)
    log_rate, gain, tilt = _terms(intensity, p, size, xi, offset)
    quoted = log_rate > -jnp.inf
    rate = jnp.exp(log_rate)
    return OptimalQuote(
        offset,
        jnp.where(quoted, rate * jnp.where(quoted, gain, 0.0), 0.0),
        jnp.where(quoted, jnp.exp(jnp.where(quoted, log_rate, 0.0) - tilt), 0.0),
        quoted,
    )


def objective(
    intensity: AbstractIntensity,
    p: Float[Array, "..."],
    size: Float[Array, ""],
    xi: Float[Array, ""],
    offset: Float[Array, "..."],
) -> Float[Array, "..."]:
    """Λ(δ) G_ξ(size·(δ - p)): what quoting `offset` is worth, currency per time; 0 where Λ = 0."""
    log_rate, gain, _ = _terms(intensity, p, size, xi, offset)
    return jnp.where(log_rate > -jnp.inf, jnp.exp(log_rate) * jnp.where(log_rate > -jnp.inf, gain, 0.0), 0.0)


def _terms(intensity: AbstractIntensity, p: Array, size: Array, xi: Array, offset: Array) -> tuple:
    """ln Λ(δ), G_ξ(size·(δ - p)) and ξ·size·(δ - p) at an offset."""
    earned = size * (offset - p)
    return intensity.log_rate(offset), earned * phi1(-xi * earned), xi * earned


def _stationary_offset(intensity: AbstractIntensity, p: Array, size: Array, xi: Array) -> Array:
    """The root of F: in closed form where the intensity has one, else by Newton's method kept inside a
    bracket.
    """
    closed = intensity.optimal_offset(p, size, xi)
    if closed is not None:
        return closed
    low, high = intensity.offset_bracket(p, size, xi)

    def first_order_condition(offset: Array) -> Array:
        hazard = intensity.hazard(offset)
        return offset - p - log1p_ratio(xi * size / hazard) / hazard

    def improve(state: tuple) -> tuple:
        offset, low, high, last_move, _, count = state
        residual, slope = jax.jvp(first_order_condition, (offset,), (jnp.ones_like(offset),))
        low = jnp.where(residual <= 0.0, offset, low)
        high = jnp.where(residual >= 0.0, offset, high)
        newton = offset - residual / slope
        # bisect where Newton leaves the bracket, is NaN, or does not halve its move (it can cycle at kinks of
        # h')
        sure = (newton >= low) & (newton <= high) & (2.0 * jnp.abs(newton - offset) <= last_move)
        proposal = jnp.where(sure, newton, 0.5 * (low + high))
        move = jnp.abs(proposal - offset)
        # the next Newton step would be the square of this one; or this one is rounding
        rounding = 1e-15 * (jnp.abs(offset) + jnp.abs(p))
        settled = sure & (move <= 1e-9 * (proposal - p) + rounding)
        return proposal, low, high, move, settled | (high - low <= rounding), count + 1

    def unfinished(state: tuple) -> Array:
        return (state[5] < _NEWTON_LIMIT) & ~jnp.all(state[4])

    low, high = jnp.broadcast_arrays(low, high)
    start = jnp.where(jnp.isfinite(high), high, low)
    state = (start, low, high, jnp.full_like(start, jnp.inf), high <= low, 0)
    return jax.lax.while_loop(unfinished, improve, state)[0]


def _best_tick(
    intensity: AbstractIntensity, p: Array, size: Array, xi: Array, unconstrained: Array, quotes: QuoteSet
) -> Array:
    """The better of the two lattice points around the unconstrained optimum; the smaller where they tie."""
    assert quotes.tick is not None
    low = jnp.ceil(quotes.low / quotes.tick - _TICK_SLACK)
    high = jnp.floor(quotes.high / quotes.tick + _TICK_SLACK)
    below = jnp.clip(jnp.floor(unconstrained / quotes.tick), low, high)
    above = jnp.clip(below + 1.0, low, high)
    log_rate_below, gain_below, _ = _terms(intensity, p, size, xi, below * quotes.tick)
    log_rate_above, gain_above, _ = _terms(intensity, p, size, xi, above * quotes.tick)
    # ratio of the two intensities; a point where Λ = 0 is worth 0
    ratio = jnp.exp(jnp.where(log_rate_above > -jnp.inf, log_rate_above - log_rate_below, -jnp.inf))
    worth_above = jnp.where(ratio > 0.0, ratio * jnp.where(ratio > 0.0, gain_above, 0.0), 0.0)
    better = worth_above > gain_below + _TIE_SLACK * jnp.abs(gain_below)
    return jnp.where(better, above, below) * quotes.tick


def hamiltonian(
    intensity: AbstractIntensity,
    p: Any,
    *,
    size: float = 1.0,
    xi: float = 0.0,
    min_offset: float | None = None,
    max_offset: float | None = None,
    tick: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """H(p) and the optimal offset of one flow, for numbers and NumPy arrays (float64 whatever JAX's
    settings).

    Args:
        intensity: fill intensity Λ of the offset.
        p: reservation offsets, any shape, price units.
        size: size z of a fill in units of the asset (times 1 ± proportional fee, where there is one).
        xi: risk aversion ξ of the fill, per currency; 0 is risk-neutral. min_offset, max_offset: bounds
        inside the sup, price units (the intensity's own default lower bound applies).
        tick: restrict the offsets to the multiples of it, price units.

    Returns:
        `(H, offset)` of p's shape: currency per time, and price units, NaN where no quote pays (Λ = 0 there).

    Raises:
        ValueError: a size, ξ or tick out of range, or bounds that leave no offset.
    """
    if not 0.0 < size < np.inf or not 0.0 <= xi < np.inf or (tick is not None and not 0.0 < tick < np.inf):
        raise ValueError(
            f"hamiltonian: size={size}, tick={tick} must be positive and xi={xi} not negative, all finite."
        )
    lower = intensity.default_min_offset() if min_offset is None else min_offset
    low = -np.inf if lower is None else float(lower)
    high = np.inf if max_offset is None else float(max_offset)
    end = float(intensity.domain()[0])
    if low <= end and np.isfinite(end):
        raise ValueError(
            f"hamiltonian: min_offset={low} must be above {end}, where this intensity is infinite."
        )
    empty = low > high
    if tick is not None and not empty:
        empty = np.ceil(low / tick - _TICK_SLACK) > np.floor(high / tick + _TICK_SLACK)
    if empty:
        raise ValueError(
            f"hamiltonian: no offset lies within [{low}, {high}] (tick {tick}); widen the bounds."
        )
    with jax.enable_x64(True):
        leaves = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), intensity)
        arguments = (leaves, *(jnp.asarray(x, jnp.float64) for x in (p, size, xi, low, high)))
        found = _compiled(*arguments, None if tick is None else jnp.asarray(tick, jnp.float64))
        value, offset, quoted = (np.asarray(x) for x in (found.value, found.offset, found.quoted))
    return value, np.where(quoted, offset, np.nan)


@jax.jit
def _compiled(intensity, p, size, xi, low, high, tick) -> OptimalQuote:
    return optimal_quote(intensity, p, size, xi, QuoteSet(low, high, tick))
