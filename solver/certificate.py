"""What is proved about a solution, and the bounds that every proof at level A uses.

θ is the solution, θ̂ the computed one, e = θ̂ - θ; i → j is a fill of flow f. For any two functions
B(θ̂) - B(θ) = Σ λ̃_ij (e(j) - e(i)) with rates λ̃ ≥ 0 between the extremes of the tilted intensity

    w(p') = Λ(δ*(p')) e^{-ξZ(δ*(p') - p')},     Z = z·m,

over p' between the two reservation offsets (H' = -Z w, and p̂ - p = (e(i) - e(j))/Z). If |p̂ - p| ≤ r, then
with δ± = δ*(p̂ ± r), because δ* does not decrease in p,

    Λ(δ⁺) e^{-ξZ(δ⁺ - p̂ + r)} ≤ w ≤ Λ(δ⁻) e^{-ξZ(δ⁻ - p̂ - r)},     δ⁻ ≤ δ*(p) ≤ δ⁺.

The last is the certified interval of a quote. Level A is a proof for the finite chain up to the rounding
error of the evaluation itself, which is bounded term by term and added.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.models.contract import phi1
from quotegrid.solver.bellman import GreedyPolicy
from quotegrid.solver.chain import ControlledChain, FillChannels, destination, in_problem_order, stays_inside
from quotegrid.solver.hamiltonians import QuoteSet, optimal_quote

UNIT_ROUNDOFF = 2.0**-53
_ROUNDING_SAFETY = 2.0
_MARGIN = 1.0 + 1e-3  # of the distance between offsets that F' at one of them suggests
_WIDEST = 1e3  # times that distance


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A bound on the distance to the true optimum of the model, or the reason why there is none."""

    level: str  # "A", or "none"
    statement: str  # what is proved, or why nothing is
    value_error: float | None = None  # |θ̂ - θ| at every state and stored time, currency
    gain_interval: tuple[float, float] | None = None  # ergodic: holds the optimal gain, currency per time
    quote_error: float | None = None  # of every stored offset but the uncertain ticks, price units
    uncertain_ticks: int = 0  # lattice quotes whose neighbour may be the better by less than the bound
    # of quoting the best for θ̂ at every moment (lookup between stored times is not in it): currency per time
    # if ergodic, else currency
    regret: float | None = None
    offset_error: Float[np.ndarray, "*time_and_state flow"] | None = None  # of each quote; NaN where off

    def backwards(self) -> "Certificate":
        """The same with its stored times reversed: from times to go to calendar times."""
        error = self.offset_error
        return self if error is None else replace(self, offset_error=error[::-1])

    def summary(self) -> dict[str, Any]:
        """The certificate of a table, as plain JSON; a level "none" has its reason."""
        if self.level == "none":
            return {"level": "none", "reason": self.statement}
        gain = None if self.gain_interval is None else list(self.gain_interval)
        return {
            "level": self.level,
            "statement": self.statement,
            "value_error": self.value_error,
            "gain_interval": gain,
            "quote_error": self.quote_error,
            "uncertain_ticks": self.uncertain_ticks,
            "regret": self.regret,
        }


def not_certified(reason: str) -> Certificate:
    """No bound, and why."""
    return Certificate(level="none", statement=reason)


class QuoteBounds(NamedTuple):
    """What |p̂ - p| ≤ r allows, flow by flow and state by state."""

    lowest_rate: Float[Array, "flow *state"]  # a·w at least, per time
    highest_rate: Float[Array, "flow *state"]
    error: Float[Array, "flow *state"]  # of the stored offset, price units; 0 where off
    ambiguous: Array  # a lattice quote whose interval holds another tick


def quote_bounds(
    chain: ControlledChain, policy: GreedyPolicy, radius: Float[Array, "flow *state"]
) -> QuoteBounds:
    """Bounds of the tilted rates and the offsets for reservation offsets within `radius` of those of
    `policy`.
    """
    parts = []
    wide = (slice(None),) + (None,) * len(chain.shape)
    inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in chain.shifts])
    for channel in chain.channels:
        order = np.asarray(channel.order)
        p, r, offset = policy.reservation[order], radius[order], policy.offsets[order]
        size = channel.size * channel.multiplier
        if channel.tick is None:
            low, high = _continuous_ends(channel, p, r, offset, inside[order], size, chain.xi)
            ambiguous = jnp.zeros(p.shape, bool)
        else:
            low, high = _tick_ends(channel, p, r, size, chain.xi)
        unknown = jnp.isnan(low)
        spread = jnp.where(unknown, jnp.inf, jnp.maximum(high - offset, offset - low))
        if channel.tick is not None:
            ambiguous = spread > 0.5 * channel.tick[wide]

        def tilted_rate(offset: Array, p: Array, channel=channel, size=size) -> Array:
            log_rate = jax.vmap(lambda i, x: i.log_rate(x))(channel.intensity, offset)
            return jnp.where(
                log_rate > -jnp.inf, jnp.exp(log_rate - chain.xi * size[wide] * (offset - p)), 0.0
            )

        # Λ and the tilt at whichever ends of the intervals make them least and largest
        lowest = jnp.where(unknown, 0.0, tilted_rate(high, p - r))
        highest = jnp.where(unknown, jnp.inf, tilted_rate(low, p + r))
        parts.append((channel.weight * lowest, channel.weight * highest, spread, ambiguous))
    lowest, highest, error, ambiguous = (
        in_problem_order(chain.channels, group) for group in zip(*parts, strict=True)
    )
    return QuoteBounds(
        jnp.where(inside, lowest, 0.0),
        jnp.where(inside, highest, 0.0),
        jnp.where(policy.quoted, error, 0.0),
        policy.quoted & ambiguous,
    )


def _tick_ends(channel: FillChannels, p: Array, r: Array, size: Array, xi: Array) -> tuple[Array, Array]:
    """The best ticks at p - r and p + r."""

    def best(p: Array) -> Array:
        quotes = QuoteSet(channel.low, channel.high, channel.tick)
        return jax.vmap(optimal_quote, in_axes=(0, 0, 0, None, 0))(
            channel.intensity, p, size, xi, quotes
        ).offset

    low, high = jax.lax.map(best, jnp.stack([p - r, p + r]))
    return low, high


def _continuous_ends(
    channel: FillChannels, p: Array, r: Array, offset: Array, inside: Array, size: Array, xi: Array
) -> tuple[Array, Array]:
    """Offsets around a best one, between which that at any p' within r of p lies; NaN where none are found.

    F(δ) = δ - p - markup(δ), which crosses 0 once, from below, is at most -r at the lower one and at least r
    at the upper one; or they are bounds. They are sought where F and F' at the best one suggest, then farther
    off.
    """
    wide = (slice(None),) + (None,) * (p.ndim - 1)
    ends = jax.vmap(lambda i: jnp.stack([jnp.asarray(end, float) for end in i.domain()]))(channel.intensity)
    floor = jnp.maximum(channel.low, ends[:, 0])[wide]
    ceiling = jnp.minimum(channel.high, ends[:, 1])[wide]

    def condition(offset: Array) -> Array:
        return offset - p - jax.vmap(lambda i, x, z: i.markup(x, z, xi))(channel.intensity, offset, size)

    residual, steepness = jax.jvp(condition, (offset,), (jnp.ones_like(offset),))
    gentle = jnp.where(steepness > 0.0, 1.0 / steepness, jnp.inf)
    rounding = 32.0 * UNIT_ROUNDOFF * (jnp.abs(offset) + jnp.abs(p)) * jnp.maximum(gentle, 1.0)
    down, up = (_MARGIN * gentle * jnp.maximum(r + x, 0.0) + rounding for x in (residual, -residual))

    def attempt(state: tuple) -> tuple:
        factor, _, _, _ = state
        low = jnp.maximum(offset - factor * down, floor)
        high = jnp.minimum(offset + factor * up, ceiling)
        below = (low <= floor) | (condition(low) <= -r)
        above = (high >= ceiling) | (condition(high) >= r)
        return 4.0 * factor, low, high, below & above | ~inside

    def unfinished(state: tuple) -> Array:
        factor, _, _, proved = state
        return (factor <= _WIDEST) & ~jnp.all(proved)

    start = (jnp.ones(()), offset, offset, jnp.zeros(offset.shape, bool))
    _, low, high, proved = jax.lax.while_loop(unfinished, attempt, start)
    return jnp.where(proved, low, jnp.nan), jnp.where(proved, high, jnp.nan)


def rounding_allowance(
    chain: ControlledChain, theta: Float[Array, "*state"], policy: GreedyPolicy
) -> tuple[Float[Array, "*state"], Float[Array, "flow *state"]]:
    """Bounds on the rounding errors of B(θ) - ρθ (currency per time) and of p (price), as evaluated here.

    u·{4Σ|terms of ℓ| + ρ|θ| + Σ_f (8 + 4|ln Λ| + 4h|δ*|)|H_f|
        + Σ_f |H_f'|((2(|θ(i)| + |θ(j)|)/z + 4|c|)/m + 4|p| + 4|δ*|)}, twice; ln Λ errs like its terms.
    """
    if not chain.channels:
        return UNIT_ROUNDOFF * (4.0 * chain.magnitude + chain.discount * jnp.abs(theta)), policy.reservation
    wide = (slice(None),) + (None,) * len(chain.shape)

    def ordered(name: str) -> Array:
        return in_problem_order(chain.channels, [getattr(channel, name) for channel in chain.channels])

    size, multiplier, cost, weight = (ordered(name) for name in ("size", "multiplier", "cost", "weight"))
    log_rate, hazard = (
        in_problem_order(chain.channels, group)
        for group in zip(*(_log_rate_and_hazard(c, policy) for c in chain.channels), strict=True)
    )
    after = jnp.stack([destination(theta, shift) for shift in chain.shifts])
    p, offset = jnp.abs(policy.reservation), jnp.abs(policy.offsets)
    reading = 2.0 * (jnp.abs(theta)[None] + jnp.abs(after)) / size[wide] + 4.0 * jnp.abs(cost)
    in_p = _ROUNDING_SAFETY * UNIT_ROUNDOFF * (reading / multiplier[wide] + 4.0 * p)
    slope = policy.rates * (size * multiplier)[wide]  # |H'|, weights included
    earned = (size * multiplier)[wide] * (policy.offsets - policy.reservation)
    gain = jnp.abs(weight * earned * phi1(-chain.xi * earned))
    worth = jnp.where(policy.quoted, jnp.exp(log_rate) * jnp.where(policy.quoted, gain, 0.0), 0.0)  # |H|
    in_log = jnp.where(
        policy.quoted, jnp.abs(log_rate) + hazard * offset, 0.0
    )  # of ln Λ, in units of rounding
    in_slope = jnp.where(policy.quoted, reading / multiplier[wide] + 4.0 * p + 4.0 * offset, 0.0)
    per_flow = (8.0 + 4.0 * in_log) * worth + slope * in_slope
    terms = 4.0 * chain.magnitude + chain.discount * jnp.abs(theta) + jnp.sum(per_flow, axis=0)
    return _ROUNDING_SAFETY * UNIT_ROUNDOFF * terms, in_p


def _log_rate_and_hazard(channel: FillChannels, policy: GreedyPolicy) -> tuple[Array, Array]:
    """ln Λ and h at the offsets of a policy."""
    offsets = policy.offsets[np.asarray(channel.order)]
    return jax.vmap(lambda intensity, offset: (intensity.log_rate(offset), intensity.hazard(offset)))(
        channel.intensity, offsets
    )
