"""A fixed policy on a stationary chain: everything about it from linear equations.

    π L = 0, Σπ = 1                     how long it is where
    L h = g_w - w                       h: wealth still to come, g_w = Σ π w the P&L per time
    v = Σ π Γ(h)                        the variance of P&L per time (asymptotic)
    L f = -1 off flat, f = 0 there      the mean time to flat
    -L x = q - q̄                        Σπ(q - q̄)x/var q = ∫ autocorrelation of the inventory over time
    B_π(θ) = g   (discounted: ρθ)       certainty equivalent, by Newton's method

Discounted wealth ∫e^{-ρt}dW has mean m and variance s with ρm = L m + w and 2ρs = L s + Γ(m). Eliminations
are without subtractions (`linear_systems`), so small probabilities keep their digits. For an ergodic chain
min B_π(θ) ≤ g ≤ max B_π(θ) whatever θ (Collatz & Wielandt), discounted -max R/ρ ≤ θ - θ_π ≤ -min R/ρ with
R = B_π(θ) - ρθ: the certainty equivalent comes with an interval that holds it, up to rounding of B_π itself.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from quotegrid.solver.linear_systems import (
    factorise,
    factorise_passage,
    solve_factored,
    solve_with_reference,
)
from quotegrid.solver.policy_chain import PolicyChain

RISK_COST = "risk cost"  # beside the parts of money among discounted totals
NEWTON_LIMIT = 1000
_STEEPEST = 30.0  # largest exponent ξ·(θ(i) - θ(j) - J) at the start of Newton's method
_ROUNDING = 4e-15  # of the terms that B_π adds up
_SETTLED = 1e-13  # a Newton step that moves θ by less, relative to its scale


class StationaryNumbers(NamedTuple):
    """What the equations above give, as arrays."""

    distribution: Float[Array, "*state"]  # π
    rates: Float[Array, "move *state"]  # per time
    earned: dict[str, Float[Array, ""]]  # Σπ of each part; currency per time
    risk_cost: Float[Array, ""]  # currency per time
    pnl: Float[Array, ""]  # g_w, currency per time
    wealth: Float[Array, "*state"]  # h (discounted: m), currency
    variance: Float[Array, ""]  # v, currency² per time
    wealth_variance: Float[Array, "*state"]  # discounted: s, currency²; ergodic: 0
    discounted: dict[str, Float[Array, "*state"]]  # discounted: each part and the risk cost, currency
    time_to_flat: Float[Array, "*state"]
    autocorrelation_time: Float[Array, " axis"]  # ∫ of it over time; NaN where the inventory never moves
    value: Float[Array, "*state"]  # θ; ergodic: 0 at the target
    gain: Float[Array, ""]  # ergodic: the certainty equivalent per time
    bounds: Float[Array, "2"]  # ergodic: of the gain; discounted: of θ - θ_π, both over all states
    iterations: Any


def stationary_distribution(
    chain: PolicyChain, factors: Any, reference: Float[Array, "*state"]
) -> Float[Array, "*state"]:
    """π, from the time spent at each state between two visits of the reference state."""
    (leaving,) = jax.linear_transpose(chain.after, reference)(reference[None] * chain.rates)
    transposed = jax.linear_transpose(lambda right: solve_factored(factors, right), reference)
    (occupied,) = transposed(leaving * (1.0 - reference))
    weights = reference + occupied * (1.0 - reference)
    return weights / jnp.sum(weights)


def evaluate_stationary(
    chain: PolicyChain,
    axes: tuple[Float[Array, "*state"], ...],
    flat: Float[Array, "*state"],
    reference: Float[Array, "*state"],
    start: Float[Array, "*state"],
    ergodic: bool,
) -> StationaryNumbers:
    """Everything of one policy; traceable.

    `axes` holds the inventory of each asset at each state (units); `flat` is 1 where it counts as flat;
    `reference` is 1 at one recurrent state, 0 elsewhere; `start` is a first guess of θ.
    """
    rates, shifts = chain.rates, chain.shifts
    nothing = jnp.zeros(chain.shape)
    factors = factorise_passage(rates, shifts, nothing, reference)
    distribution = stationary_distribution(chain, factors, reference)

    def average(of: Array) -> Array:
        return jnp.sum(distribution * of)

    wealth, _ = solve_with_reference(rates, shifts, nothing, chain.pnl, reference)
    variance = average(chain.squared(wealth))
    wealth_variance, discounted = nothing, dict.fromkeys((*chain.earned, RISK_COST), nothing)
    if not ergodic:
        once = factorise(rates, shifts, jnp.broadcast_to(chain.discount, chain.shape))
        twice = factorise(rates, shifts, jnp.broadcast_to(2.0 * chain.discount, chain.shape))
        wealth = solve_factored(once, chain.pnl)
        wealth_variance = solve_factored(twice, chain.squared(wealth))
        discounted = {part: solve_factored(once, worth) for part, worth in chain.earned.items()}
        discounted[RISK_COST] = solve_factored(once, chain.risk_cost)
    times = []
    for held in axes:
        excess = held - average(held)
        collected, _ = solve_with_reference(rates, shifts, nothing, excess, reference)
        spread = average(excess**2)
        times.append(jnp.where(spread > 0.0, average(excess * collected) / spread, jnp.nan))
    value, gain, bounds, iterations = certainty_equivalent(chain, reference, start, ergodic)
    return StationaryNumbers(
        distribution=distribution,
        rates=rates,
        earned={part: average(worth) for part, worth in chain.earned.items()},
        risk_cost=average(chain.risk_cost),
        pnl=average(chain.pnl),
        wealth=wealth - (wealth[chain.target] if ergodic else 0.0),
        variance=variance,
        wealth_variance=wealth_variance,
        discounted=discounted,
        time_to_flat=time_to(chain, flat),
        autocorrelation_time=jnp.stack(times),
        value=value,
        gain=gain,
        bounds=bounds,
        iterations=iterations,
    )


def time_to(chain: PolicyChain, flat: Float[Array, "*state"]) -> Float[Array, "*state"]:
    """The mean time until a state where `flat` is 1."""
    arriving = chain.after(flat)
    off = 1.0 - flat
    killing = jnp.where(flat > 0.0, 1.0, jnp.sum(chain.rates * arriving, axis=0))
    factors = factorise(chain.rates * off[None] * (1.0 - arriving), chain.shifts, killing)
    return solve_factored(factors, off)


def certainty_equivalent(
    chain: PolicyChain,
    reference: Float[Array, "*state"],
    start: Float[Array, "*state"],
    ergodic: bool,
) -> tuple[Array, Array, Array, Any]:
    """θ and g of B_π(θ) = g (ergodic) or ρθ (g = 0), the bounds of the residual, and the Newton steps."""
    discount = jnp.zeros(()) if ergodic else chain.discount
    killing = jnp.broadcast_to(discount, chain.shape)

    def residual(theta: Array) -> tuple[Array, Array, Array]:
        operator, tilted = chain.operator(theta)
        terms = jnp.abs(chain.reward) + jnp.abs(operator) + jnp.sum(tilted, axis=0) * jnp.max(jnp.abs(theta))
        return operator - discount * theta, tilted, terms

    def improve(state: tuple) -> tuple:
        theta, _, count = state
        found, tilted, terms = residual(theta)
        step, average = solve_with_reference(tilted, chain.shifts, killing, found, reference)
        level = 0.0 if ergodic else average / discount
        better = theta + step + level
        better = better - (better[chain.target] if ergodic else 0.0)
        excess = found - (found[chain.target] if ergodic else 0.0)
        largest = jnp.maximum(jnp.max(jnp.abs(better)), chain.scale)
        done = jnp.all(jnp.abs(excess) <= _ROUNDING * terms)
        done = done | (jnp.max(jnp.abs(better - theta)) <= _SETTLED * largest)
        return better, done, count + 1

    def unfinished(state: tuple) -> Array:
        return ~state[1] & (state[2] < NEWTON_LIMIT) & jnp.all(jnp.isfinite(state[0]))

    first = _not_too_steep(chain, start)
    first = first - (first[chain.target] if ergodic else 0.0)
    theta, _, count = jax.lax.while_loop(unfinished, improve, (first, jnp.zeros((), bool), 0))
    found, _, _ = residual(theta)
    if ergodic:
        return theta, found[chain.target], jnp.stack([jnp.min(found), jnp.max(found)]), count
    ends = jnp.stack([-jnp.max(found), -jnp.min(found)]) / discount
    return theta, jnp.zeros(()), ends, count


def _not_too_steep(chain: PolicyChain, theta: Array) -> Array:
    """The largest function below θ with ξ(θ(i) - θ(j) - J) ≤ 30 along every move: nothing overflows there."""
    room = _STEEPEST / jnp.where(chain.xi > 0.0, chain.xi, 1.0)
    allowed = jnp.where((chain.rates > 0.0) & (chain.xi > 0.0), chain.jump + room, jnp.inf)

    def lower(state: tuple) -> tuple:
        theta, _, count = state
        reached = jnp.min(theta[None] + chain.differences(theta) + allowed, axis=0, initial=jnp.inf)
        lowered = jnp.minimum(theta, reached)
        return lowered, jnp.any(lowered < theta), count + 1

    limit = 4 * sum(chain.shape)
    return jax.lax.while_loop(
        lambda state: state[1] & (state[2] < limit), lower, (theta, jnp.ones((), bool), 0)
    )[0]
