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
NEWTON_LIMIT = 20_000  # with care a step moves exponents by one, and there may be many
_STEEPEST = 30.0  # largest exponent ξ·(θ(i) - θ(j) - J) at the start of Newton's method
_ROUNDING = 4e-15  # of the terms that B_π adds up
_PLAIN = 100  # undamped steps
_NO_WORSE = 1e-6  # two limits that hardly know of each other drift apart at a constant residual
_LET_GO = 1e-3  # a killing rate below this fraction of the fastest moves is dropped
_HOPELESS = 1e12  # of the fastest moves: no step of any length is accepted
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
    *,
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

    excesses = [held - average(held) for held in axes]
    everything = jnp.stack([chain.pnl, *excesses, nothing + 1.0])
    collected = jax.vmap(lambda right: solve_factored(factors, right * (1.0 - reference)))(everything)
    duration = collected[-1]  # before the reference state is reached; with it, 0 there
    wealth = collected[0] - average(chain.pnl) * duration
    variance = average(chain.squared(wealth))
    times = [
        average(excess * found) / jnp.where(average(excess**2) > 0.0, average(excess**2), jnp.nan)
        for excess, found in zip(excesses, collected[1:-1], strict=True)
    ]
    wealth_variance, discounted = nothing, dict.fromkeys((*chain.earned, RISK_COST), nothing)
    if not ergodic:
        once, twice = (
            factorise(rates, shifts, jnp.broadcast_to(times * chain.discount, chain.shape))
            for times in (1.0, 2.0)
        )
        totals = {**chain.earned, RISK_COST: chain.risk_cost}
        worths = jax.vmap(lambda right: solve_factored(once, right))(jnp.stack(list(totals.values())))
        discounted = dict(zip(totals, worths, strict=True))
        wealth = sum((discounted[part] for part in chain.earned), nothing)
        wealth_variance = solve_factored(twice, chain.squared(wealth))
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


class _Newton(NamedTuple):
    theta: Array  # accepted
    merit: Array  # the spread of its residual (discounted: the size), currency per time
    candidate: Array
    found: Array  # residual of the accepted θ
    tilted: Array  # its rates
    killing: Array  # damping, per time
    careful: Array  # True once the plain iteration has failed
    count: Array
    done: Array


def certainty_equivalent(
    chain: PolicyChain,
    reference: Float[Array, "*state"],
    start: Float[Array, "*state"],
    ergodic: bool,
) -> tuple[Array, Array, Array, Any]:
    """θ and g of B_π(θ) = g (ergodic) or ρθ (g = 0), the bounds of the residual, and the Newton steps.

    Plain Newton may leave the range of double precision where risk is so large that the tilted chain hardly
    ever leaves a limit. Then it begins anew with care: with a killing rate, which is an implicit step in
    time, raised where a step does not lessen the residual, and let go where steps succeed.
    """
    discount = jnp.zeros(()) if ergodic else chain.discount

    def centred(theta: Array) -> Array:
        return theta - theta[chain.target] if ergodic else theta

    def residual(theta: Array) -> tuple[Array, Array]:
        operator, tilted = chain.operator(theta)
        return operator - discount * theta, tilted

    def merit_of(found: Array) -> Array:
        return jnp.max(found) - jnp.min(found) if ergodic else jnp.max(jnp.abs(found))

    def correction(found: Array, tilted: Array, damping: Array) -> Array:
        killing = jnp.broadcast_to(damping + discount, chain.shape)
        step, average = solve_with_reference(tilted, chain.shifts, killing, found, reference)
        return step + (0.0 if ergodic else average / (damping + discount))

    def improve(state: _Newton) -> _Newton:
        found, tilted = residual(state.candidate)
        merit = merit_of(found)
        known = jnp.isfinite(merit) & jnp.all(jnp.isfinite(tilted))
        taken = known & (~state.careful | (merit <= (1.0 + _NO_WORSE) * state.merit))
        theta = jnp.where(taken, state.candidate, state.theta)
        found, tilted = jnp.where(taken, found, state.found), jnp.where(taken, tilted, state.tilted)
        activity = jnp.max(jnp.sum(tilted, axis=0), initial=0.0)
        faded = jnp.where(state.killing < _LET_GO * activity, 0.0, 0.2 * state.killing)
        raised = jnp.maximum(10.0 * state.killing, 10.0 * _LET_GO * activity)
        killing = jnp.where(taken, faded, raised)
        better = centred(theta + correction(found, tilted, killing))
        terms = jnp.abs(chain.reward) + jnp.abs(found) + jnp.sum(tilted, axis=0) * jnp.max(jnp.abs(theta))
        excess = found - (found[chain.target] if ergodic else 0.0)
        largest = jnp.maximum(jnp.max(jnp.abs(theta)), chain.scale)
        settled = (jnp.max(jnp.abs(better - theta)) <= _SETTLED * largest) & (killing == 0.0)
        done = taken & (settled | jnp.all(jnp.abs(excess) <= _ROUNDING * terms))
        anew = ~state.careful & ~done & (~known | (state.count == _PLAIN))
        return _Newton(
            theta=jnp.where(anew, first, theta),
            merit=jnp.where(anew, jnp.inf, jnp.where(taken, merit, state.merit)),
            candidate=jnp.where(anew, first, better),
            found=found,
            tilted=tilted,
            killing=jnp.where(anew, 0.0, killing),
            careful=state.careful | anew,
            count=state.count + 1,
            done=done,
        )

    def unfinished(state: _Newton) -> Array:
        activity = jnp.max(jnp.sum(state.tilted, axis=0), initial=0.0)
        return ~state.done & (state.count < NEWTON_LIMIT) & ~(state.killing > _HOPELESS * activity)

    first = centred(_not_too_steep(chain, start))
    far, no = jnp.asarray(jnp.inf), jnp.zeros((), bool)
    state = _Newton(first, far, first, *residual(first), jnp.zeros(()), no, jnp.zeros((), int), no)
    state = jax.lax.while_loop(unfinished, improve, state)
    found, _ = residual(state.theta)
    if ergodic:
        ends = jnp.stack([jnp.min(found), jnp.max(found)])
        return state.theta, found[chain.target], ends, state.count
    ends = jnp.stack([-jnp.max(found), -jnp.min(found)]) / discount
    return state.theta, jnp.zeros(()), ends, state.count


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
