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
from jaxtyping import Array, Bool, Float

from quotegrid.models.contract import AbstractIntensity, phi1
from quotegrid.solver.kernels import kernel

_NEWTON_LIMIT = 120  # every second step at least halves the bracket or the move: 53 bits twice over
_FROM_GUESS = 4  # steps: a good guess needs one or two
_SETTLED = 1e-13  # of the markup: a Newton step below it is rounding
_FREE = 1e-9  # of the markup: an offset that misses the first-order condition by more is held by a bound
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
    guess: Float[Array, "..."] | None = None,
) -> OptimalQuote:
    """Maximise Λ(δ) G_ξ(size·(δ - p)) over `quotes` (size in units of the asset, ξ per currency).

    guess: an offset near the best one, if one is known, which saves most of the search; NaN where nobody will
    look at the quote.
    """
    return _earnings(intensity, *_best_offset(intensity, p, size, xi, quotes, guess), size, xi)


def objective(
    intensity: AbstractIntensity,
    p: Float[Array, "..."],
    size: Float[Array, ""],
    xi: Float[Array, ""],
    offset: Float[Array, "..."],
) -> Float[Array, "..."]:
    """Λ(δ) G_ξ(size·(δ - p)): what quoting `offset` is worth, currency per time; 0 where Λ = 0."""
    return _earnings(intensity, offset, offset - p, size, xi).value


def _earnings(
    intensity: AbstractIntensity, offset: Array, margin: Array, size: Array, xi: Array
) -> OptimalQuote:
    """What an offset earns whose distance from p, exactly, is `margin`.

    A loss (δ < p) grows like e^{ξZ(p-δ)}. With that factor Λ is applied in two halves, so that H is finite
    where it is a double, though Λ or the loss alone may not be.
    """
    log_rate = intensity.log_rate(offset)
    earned = size * margin
    tilt = xi * earned
    loss = tilt < 0.0
    gain = earned * phi1(jnp.where(loss, tilt, -tilt))  # |gain| ≤ |earned|, so Λ = 0 leaves 0
    quoted = log_rate > -jnp.inf
    # (a rate of 0 has no logarithm to differentiate)
    half = jnp.where(quoted, jnp.exp(0.5 * (log_rate + jnp.where(loss, -tilt, 0.0))), 0.0)
    value = jnp.where(jnp.isinf(half) & (gain == 0.0), 0.0, half * gain * half)
    tilted_rate = jnp.where(quoted, jnp.exp(log_rate - tilt), 0.0)
    return OptimalQuote(offset, value, tilted_rate, quoted)


@jax.custom_jvp
def _best_offset(
    intensity: AbstractIntensity, p: Array, size: Array, xi: Array, quotes: QuoteSet, guess: Array | None
) -> tuple[Array, Array]:
    """δ* and its margin δ* - p, both to the last bits (n ticks, rounded, are not a multiple of the tick)."""
    offset = _stationary_offset(intensity, p, size, xi, quotes, guess)
    if quotes.tick is not None:
        return _best_tick(intensity, p, size, xi, offset, quotes)
    return offset, offset - p


@_best_offset.defjvp
def _best_offset_jvp(primals: tuple, tangents: tuple) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """By the implicit function theorem: dδ* = (dp + d markup)/(1 - ∂markup/∂δ) where nothing holds δ*; else
    it moves with its bound, or its tick n·tick with n fixed. At the kinks between them: as where it is held.
    """
    intensity, p, size, xi, quotes, _ = primals
    d_intensity, dp, d_size, d_xi, d_quotes, _ = tangents
    offset, margin = _best_offset(*primals)
    if quotes.tick is not None:
        moved = jnp.round(offset / quotes.tick) * d_quotes.tick
        return (offset, margin), (moved, moved - dp)

    def markup(intensity: AbstractIntensity, size: Array, xi: Array) -> Array:
        return intensity.markup(offset, size, xi)

    _, d_markup = jax.jvp(markup, (intensity, size, xi), (d_intensity, d_size, d_xi))
    free = (dp + d_markup) / (1.0 - markup_slope(intensity, offset, size, xi))
    held = held_by_bound(intensity, p, offset, size, xi, quotes)
    at_low = offset - quotes.low <= quotes.high - offset
    moved = jnp.where(held, jnp.where(at_low, d_quotes.low, d_quotes.high), free)
    return (offset, margin), (moved, moved - dp)


def held_by_bound(
    intensity: AbstractIntensity,
    p: Float[Array, "..."],
    offset: Float[Array, "..."],
    size: Float[Array, ""],
    xi: Float[Array, ""],
    quotes: QuoteSet,
) -> Bool[Array, "..."]:
    """Is the best of a continuum of offsets a bound? (A root finder may end in rounding beside it.)"""
    markup = intensity.markup(offset, size, xi)
    rounding = _FREE * jnp.abs(markup) + 8.0 * jnp.finfo(offset.dtype).eps * (jnp.abs(offset) + jnp.abs(p))
    unsolved = jnp.abs(offset - p - markup) > rounding
    return (offset <= quotes.low) | (offset >= quotes.high) | unsolved


def markup_slope(
    intensity: AbstractIntensity,
    offset: Float[Array, "..."],
    size: Float[Array, ""],
    xi: Float[Array, ""],
) -> Float[Array, "..."]:
    """∂markup/∂δ < 1 where the intensity is fair; no unit."""
    return jax.jvp(lambda x: intensity.markup(x, size, xi), (offset,), (jnp.ones_like(offset),))[1]


def _stationary_offset(
    intensity: AbstractIntensity, p: Array, size: Array, xi: Array, quotes: QuoteSet, guess: Array | None
) -> Array:
    """The root of F between the bounds, or the bound nearer to it: in closed form where the intensity has
    one, else by Newton's method, from the guess or kept inside a bracket.

    Beyond the bounds, where Λ need not be fair, F may have other roots.
    """
    closed = intensity.optimal_offset(p, size, xi)
    if closed is not None:
        return jnp.clip(closed, quotes.low, quotes.high)

    def from_bracket(p: Array) -> Array:
        low, high = (jnp.clip(end, quotes.low, quotes.high) for end in intensity.offset_bracket(p, size, xi))
        low, high = jnp.broadcast_arrays(low, high)
        start = _Search.within(low, high, jnp.where(jnp.isfinite(high), high, low), high <= low)
        return _newton(intensity, p, size, xi, start, _NEWTON_LIMIT).offset

    if guess is None:
        return from_bracket(p)
    low, high, start = jnp.broadcast_arrays(quotes.low, quotes.high, jnp.clip(guess, quotes.low, quotes.high))
    near = _Search.within(low, high, start, jnp.isnan(start))
    near = _newton(intensity, p, size, xi, near, _FROM_GUESS)
    # a loop that runs once, from p to δ*, where a guess was bad: of a conditional that is mapped both sides
    # are worked out, and what does not change in a loop is worked out before it
    searched, _ = jax.lax.while_loop(
        lambda state: ~jnp.all(state[1]),
        lambda state: (from_bracket(state[0]), jnp.ones_like(state[1])),
        (jnp.broadcast_to(p, start.shape), near.settled),
    )
    return jnp.where(near.settled, near.offset, searched)


class _Search(NamedTuple):
    """Where Newton's method stands."""

    offset: Array
    low: Array  # of a bracket
    high: Array
    last_move: Array
    settled: Array
    count: Array  # of steps

    @classmethod
    def within(cls, low: Array, high: Array, start: Array, settled: Array) -> "_Search":
        return cls(start, low, high, jnp.full_like(start, jnp.inf), settled, jnp.zeros((), int))


def _newton(
    intensity: AbstractIntensity, p: Array, size: Array, xi: Array, start: _Search, most: int
) -> _Search:
    """Newton's method, and bisection where that does not converge, for so many steps at most."""

    def first_order_condition(offset: Array) -> Array:
        return offset - p - intensity.markup(offset, size, xi)

    def improve(at: _Search) -> _Search:
        residual, slope = jax.jvp(first_order_condition, (at.offset,), (jnp.ones_like(at.offset),))
        low = jnp.where(residual <= 0.0, at.offset, at.low)
        high = jnp.where(residual >= 0.0, at.offset, at.high)
        newton = jnp.clip(at.offset - residual / slope, low, high)
        # bisect where Newton is NaN or does not halve its move (it can cycle at kinks of h')
        sure = 2.0 * jnp.abs(newton - at.offset) <= at.last_move
        proposal = jnp.where(sure, newton, 0.5 * (low + high))
        move = jnp.abs(proposal - at.offset)
        # at a kink of h' a step is wrong by a multiple of itself: so it must be rounding, not only its square
        rounding = 1e-15 * (jnp.abs(at.offset) + jnp.abs(p))
        final = sure & (jnp.minimum(move, jnp.abs(residual)) <= _SETTLED * (proposal - p) + rounding)
        # (who is there rests while the others go on: one more step in rounding does not halve the last one)
        proposal = jnp.where(at.settled, at.offset, proposal)
        settled = at.settled | final | (high - low <= rounding)
        return _Search(proposal, low, high, move, settled, at.count + 1)

    def unfinished(at: _Search) -> Array:
        return (at.count < most) & ~jnp.all(at.settled)

    return jax.lax.while_loop(unfinished, improve, start)


def _best_tick(
    intensity: AbstractIntensity, p: Array, size: Array, xi: Array, optimum: Array, quotes: QuoteSet
) -> tuple[Array, Array]:
    """The better of the two lattice points around the optimum between the bounds, the smaller where they tie;
    with its margin.
    """
    assert quotes.tick is not None
    tick = quotes.tick
    low = jnp.ceil(quotes.low / tick - _TICK_SLACK)
    high = jnp.floor(quotes.high / tick + _TICK_SLACK)
    below = jnp.clip(jnp.floor(optimum / tick), low, high)
    above = jnp.clip(below + 1.0, low, high)
    # n times the upper half of the tick's digits is exact for n < 2^27, so that the margin keeps its own
    upper = jax.lax.stop_gradient(jax.lax.reduce_precision(tick, exponent_bits=11, mantissa_bits=25))
    margin_below, margin_above = ((n * upper - p) + n * (tick - upper) for n in (below, above))
    gain_below, gain_above = (m * phi1(-jnp.abs(xi * size * m)) for m in (margin_below, margin_above))
    # ratio of the two intensities; a point where Λ = 0 is worth 0. (Below p, G is larger than this by a
    # factor; then the other is not, and better, or they are one point.)
    log_rate_below, log_rate_above = (intensity.log_rate(n * tick) for n in (below, above))
    ratio = jnp.exp(jnp.where(log_rate_above > -jnp.inf, log_rate_above - log_rate_below, -jnp.inf))
    better = ratio * gain_above > gain_below + _TIE_SLACK * jnp.abs(gain_below)
    return jnp.where(better, above, below) * tick, jnp.where(better, margin_above, margin_below)


class Hamiltonian(NamedTuple):
    """H of one flow, what attains it, and its logarithm and slope; NumPy float64 of p's shape."""

    value: Float[np.ndarray, "..."]  # H(p), currency per time; 0 or ±inf where it is no double
    offset: Float[np.ndarray, "..."]  # δ*(p), price units; NaN where no quote pays (Λ = 0 there)
    log_value: Float[np.ndarray, "..."]  # ln H(p), also where H is no double; -inf at H = 0, NaN at H < 0
    log_slope: Float[np.ndarray, "..."]  # H'/H = d ln|H|/dp, per price; NaN where no quote pays


def hamiltonian(
    intensity: AbstractIntensity,
    p: Any,
    *,
    size: float = 1.0,
    xi: float = 0.0,
    min_offset: float | None = None,
    max_offset: float | None = None,
    tick: float | None = None,
) -> Hamiltonian:
    """H(p), the optimal offset, ln H and d ln H/dp of one flow, for numbers and NumPy arrays (float64
    whatever JAX's settings).

    The logarithms are sums of logarithms, right also where H overflows or underflows. For ξz·s ≤ 1e3 and |p|
    ≤ 1e3 s, offset, ln H and d ln H/dp are accurate to 1e-13·max(1, |p|/s), the offset to its last bits if
    these are coarser, in units of the quote scale s: 1/h(0), or 1/b of a logistic intensity (with |a| above
    100, |p| + |a|/b counts for |p|). Of a linear intensity, whose H vanishes at d, this holds up to 1e-9·d
    before that end. With a `max_offset` below p, H is negative: an obligation to quote at a loss.

    Args:
        intensity: fill intensity Λ of the offset.
        p: reservation offsets, any shape, finite, price units.
        size: size z of a fill in units of the asset (times 1 ± proportional fee, where there is one).
        xi: risk aversion ξ of the fill, per currency; 0 is risk-neutral.
        min_offset, max_offset: bounds inside the sup, price units (the intensity's own default lower bound
            applies).
        tick: restrict the offsets to the multiples of it, price units.

    Returns:
        `(value, offset, log_value, log_slope)` of p's shape: currency per time, price units, no unit, per
        price; see `Hamiltonian`.

    Raises:
        ValueError: a p, size, ξ or tick out of range, or bounds that leave no offset.
    """
    if not 0.0 < size < np.inf or not 0.0 <= xi < np.inf or (tick is not None and not 0.0 < tick < np.inf):
        raise ValueError(
            f"hamiltonian: size={size}, tick={tick} must be positive and xi={xi} not negative, all finite."
        )
    reservations = np.asarray(p, np.float64)
    if not np.all(np.isfinite(reservations)):
        worst = reservations[~np.isfinite(reservations)][0]
        raise ValueError(f"hamiltonian: p must be finite, got {worst}.")
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
        arguments = (leaves, *(jnp.asarray(x, jnp.float64) for x in (reservations, size, xi, low, high)))
        found = _compiled(*arguments, None if tick is None else jnp.asarray(tick, jnp.float64))
        return Hamiltonian(*(np.asarray(x) for x in found))


@kernel()
def _compiled(intensity, p, size, xi, low, high, tick) -> tuple[Array, Array, Array, Array]:
    """With x = ξZ(δ - p), H'/H = -Z e^{-x}/G = -1/((δ - p)φ(x)), φ = phi1; where no bound or tick holds δ* it
    is -h(δ*), taken where a last Newton step leads from the double δ* (near the end of a linear intensity h
    is steep).
    """
    offset, margin = _best_offset(intensity, p, size, xi, QuoteSet(low, high, tick), None)
    found = _earnings(intensity, offset, margin, size, xi)
    tilt = xi * (size * margin)
    log_value = intensity.log_rate(offset) + jnp.log(size) + jnp.log(margin) + jnp.log(phi1(-tilt))
    log_slope = -1.0 / (margin * phi1(tilt))
    if tick is None:
        hazard, steepness = jax.jvp(intensity.hazard, (offset,), (jnp.ones_like(offset),))
        residual = margin - intensity.markup(offset, size, xi)
        left = residual / (1.0 - markup_slope(intensity, offset, size, xi))
        left = jnp.where(jnp.isfinite(left * steepness), left * steepness, 0.0)
        log_slope = jnp.where((low < offset) & (offset < high), left - hazard, log_slope)
    nothing = jnp.nan
    return (
        found.value,
        jnp.where(found.quoted, offset, nothing),
        jnp.where(found.quoted, log_value, -jnp.inf),
        jnp.where(found.quoted, log_slope, nothing),
    )
