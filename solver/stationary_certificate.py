"""The certificate of a stationary solution: residual bounds, and the box in which the truth is proved to lie.

Ergodic. lo = min B(θ̂), hi = max B(θ̂), ε = hi - lo (widened by rounding), e = 0 at a reference state o that
the chain keeps coming back to:

    lo ≤ g ≤ hi,    -(hi - g) τ(i) ≤ e(i) ≤ (g - lo) τ(i),    |e(i) - e(j)| ≤ ε max{τ(i), τ(j)},    regret ≤ ε

with τ(i) any bound on the mean time to o of every chain whose rates lie in the box. Discounted, R = B(θ̂) -
ρθ̂:

    -max R/ρ ≤ e ≤ -min R/ρ,    |e(i) - e(j)| ≤ (max R - min R) min{1/ρ, τ(i) + τ(j)},
    regret ≤ (max R - min R)/ρ,

where the clock of τ also stops at rate ρ (then τ ≤ 1/ρ, whether or not o can be reached: centre R, so that
|e| ≤ (max R - min R)/(2ρ), and stop at o).

The rates depend on how far θ may be from θ̂, and that on τ. The circle closes as follows: choose radii r
around the reservation offsets, compute τ for all rates that these allow; if the bounds above then give |p̂ -
p| < r everywhere, a solution lies inside (continue in ℓ from the problem that θ̂ solves exactly; the path can
never reach the wall). τ is accepted only if 1 + max_λ L_λ τ - ρτ ≤ 0 off o, which makes it an upper bound
whatever way it was found.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.certificate import (
    UNIT_ROUNDOFF,
    Certificate,
    QuoteBounds,
    not_certified,
    quote_bounds,
    rounding_allowance,
)
from quotegrid.solver.chain import ControlledChain, destination, in_problem_order
from quotegrid.solver.linear_systems import factorise_passage, solve_factored, well_visited

_ROUNDS = 7  # attempts at closing the box, each with a wider one; the first chooses it
_WIDER = 1.5
_HOPELESS = 10.0  # times the radius of a box: residuals that allow more will not close a wider one
# τ is enlarged by this, so that rounding cannot spoil the inequality that proves it
_TIME_MARGIN = 1.0 + 1e-4
_POLICY_ROUNDS = 40  # choices of the slowest rates: one or two suffice for a narrow box


class StationaryBounds(NamedTuple):
    """What is proved about a stationary θ̂, if the box closed; else the numbers mean nothing."""

    closed: Bool[Array, ""]
    least: Float[Array, ""]  # min of B(θ̂) - ρθ̂, currency per time
    most: Float[Array, ""]
    value_error: Float[Array, ""]  # of |e|, currency; ergodic: also of |e(i) - e(j)|
    quote_error: Float[Array, ""]  # largest of the certain quotes, price units
    uncertain_ticks: Int[Array, ""]
    offset_error: Float[Array, "*state flow"]  # price units; 0 where off


class _Attempt(NamedTuple):
    radius: Array  # of the box, price units; infinite once it is hopeless
    times: Array  # bound on the passage times in it
    box: QuoteBounds
    closed: Array  # and `box` is the narrow one
    attempts: Array


def certificate_of(bounds: Any, rate: float | None) -> Certificate:
    """What a `StationaryBounds` of NumPy arrays proves; `rate` is the discount rate, None if ergodic."""
    if not bounds.closed:
        return not_certified("the residual is too large for the box around the solution to close")
    least, most = float(bounds.least), float(bounds.most)
    return Certificate(
        level="A",
        statement="proved for this chain: Bellman residuals, mean hitting times over all rates that these "
        "allow, rounding included",
        value_error=float(bounds.value_error),
        gain_interval=(least, most) if rate is None else None,
        quote_error=float(bounds.quote_error),
        uncertain_ticks=int(bounds.uncertain_ticks),
        regret=most - least if rate is None else (most - least) / rate,
        offset_error=bounds.offset_error,
    )


def stationary_bounds(
    chain: ControlledChain, bias: Float[Array, "*state"], level: Float[Array, ""], ergodic: bool
) -> StationaryBounds:
    """The theorem above for θ̂ = bias + level (0 when ergodic) and its greedy quotes; traceable."""
    policy = greedy_policy(chain, bias)
    discount = jnp.zeros(()) if ergodic else chain.discount
    # of θ̂ as it is stored, level and all: whoever has the table alone can prove no more
    allowance, in_p = rounding_allowance(chain, jnp.abs(bias) + jnp.abs(level), policy)
    residual = policy.operator - discount * bias - discount * level
    least, most = jnp.min(residual - allowance), jnp.max(residual + allowance)
    span = most - least
    reference = well_visited(policy.rates, chain.shifts)
    wide = (slice(None),) + (None,) * len(chain.shape)
    sizes = in_problem_order(chain.channels, [c.size * c.multiplier for c in chain.channels])[wide]

    def radius_of(times: Array) -> Array:
        """The largest |p̂ - p| that residuals of this span make, flow by flow."""
        after = jnp.stack([destination(times, shift) for shift in chain.shifts])
        if ergodic:
            difference = span * jnp.maximum(times[None], after)
        else:
            difference = span * jnp.minimum(1.0 / discount, times[None] + after)
        return difference / sizes + in_p

    def attempt(state: _Attempt) -> _Attempt:
        most = jnp.where(state.attempts > 0, _HOPELESS * state.radius, jnp.inf)
        times, proved = slowest_passage(
            chain,
            reference,
            state.box.lowest_rate,
            state.box.highest_rate,
            discount,
            lambda times: jnp.all(radius_of(times) <= most),
        )
        found = radius_of(times)
        closed = (state.attempts > 0) & proved & jnp.all(found < state.radius)
        # once closed, the box is taken as narrow as it was proved, and its quotes are the answer
        radius = jnp.where(closed, found, jnp.where(proved, _WIDER * found, jnp.inf))
        return _Attempt(radius, times, quote_bounds(chain, policy, radius), closed, state.attempts + 1)

    def unfinished(state: _Attempt) -> Array:
        return ~state.closed & (state.attempts < _ROUNDS) & jnp.all(jnp.isfinite(state.radius))

    # the first radii are those of the rates at θ̂, which is no box
    point = QuoteBounds(policy.rates, policy.rates, policy.rates, policy.quoted)
    start = _Attempt(in_p, residual, point, jnp.zeros((), bool), jnp.zeros((), int))
    state = jax.lax.while_loop(unfinished, attempt, start)
    if ergodic:
        value_error = jnp.max(span * state.times)
    else:  # bias + level is stored rounded
        stored = UNIT_ROUNDOFF * (jnp.max(jnp.abs(bias)) + jnp.abs(level))
        value_error = jnp.maximum(jnp.abs(least), jnp.abs(most)) / discount + stored
    quotes = state.box
    certain = jnp.where(quotes.ambiguous, 0.0, quotes.error)
    return StationaryBounds(
        state.closed,
        least,
        most,
        value_error,
        jnp.max(certain, initial=0.0),
        jnp.sum(quotes.ambiguous),
        jnp.moveaxis(quotes.error, 0, -1),
    )


def slowest_passage(
    chain: ControlledChain,
    reference: Float[Array, "*state"],
    lowest: Float[Array, "flow *state"],
    highest: Float[Array, "flow *state"],
    discount: Float[Array, ""],
    short_enough: Callable[[Array], Array],
) -> tuple[Float[Array, "*state"], Bool[Array, ""]]:
    """A bound on the mean time to the reference, or to a clock that stops at rate `discount`, under any rates
    between `lowest` and `highest`, and whether it is proved: it is not where `short_enough` says no.

    The slowest chain takes each rate high where it leads to a state from which the reference is farther, else
    low.
    """
    killing = jnp.broadcast_to(discount, chain.shape)

    def solve(rates: Array) -> Array:
        return solve_factored(factorise_passage(rates, chain.shifts, killing, reference), 1.0 - reference)

    def slow_rates(times: Array) -> Array:
        after = jnp.stack([destination(times, shift) for shift in chain.shifts])
        return jnp.where(after > times[None], highest, lowest)

    def improve(state: tuple) -> tuple:
        times, _, count = state
        slower = solve(jnp.where(count == 0, 0.5 * (lowest + highest), slow_rates(times)))
        settled = (count > 0) & jnp.all(slower <= times * (1.0 + 1e-12))
        return slower, settled, count + 1

    def unfinished(state: tuple) -> Array:
        times, settled, count = state
        return ~settled & (count <= _POLICY_ROUNDS) & short_enough(times)

    start = (jnp.zeros(chain.shape), jnp.zeros((), bool), 0)
    times, _, _ = jax.lax.while_loop(unfinished, improve, start)
    enough, times = short_enough(times), _TIME_MARGIN * times
    after = jnp.stack([destination(times, shift) for shift in chain.shifts])
    drift = 1.0 + jnp.sum(slow_rates(times) * (after - times[None]), axis=0) - discount * times
    proved = jnp.all((drift <= 0.0) | (reference > 0.0)) & jnp.all(times >= 0.0)
    return times, proved & jnp.all(jnp.isfinite(times)) & enough
