"""The Bellman operator of a controlled chain, its greedy policy and its linearisation.

    B(θ)(i) = ℓ(i) + Σ_f a_f(i) H_f(p_f(i))
    B(θ + e) = B(θ) + L e + o(e),     (L e)(i) = Σ_f a_f(i) w_f(i) (e(j_f(i)) - e(i))

w is the tilted intensity of the greedy quote, so L is a generator (non-negative rates) whatever ξ: Newton's
method on B is Howard's policy iteration, and at ξ = 0 the two coincide.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quotegrid.solver.chain import ControlledChain, FillChannels, destination, in_problem_order, stays_inside
from quotegrid.solver.hamiltonians import OptimalQuote, QuoteSet, objective, optimal_quote


class GreedyPolicy(NamedTuple):
    """B(θ) with what attains it; flows in the order of the problem."""

    operator: Float[Array, "*state"]  # B(θ), currency per time
    rates: Float[Array, "flow *state"]  # a·w, per time; 0 where off: the generator L
    offsets: Float[Array, "flow *state"]  # δ*, price units; meaningless where not quoted
    reservation: Float[Array, "flow *state"]  # p, price units
    quoted: Bool[Array, "flow *state"]  # inside the limits and Λ(δ*) > 0


def greedy_policy(
    chain: ControlledChain,
    theta: Float[Array, "*state"],
    floor: Float[Array, ""] | float = -jnp.inf,
    guess: Float[Array, "flow *state"] | None = None,
) -> GreedyPolicy:
    """Evaluate B at θ; `floor` keeps every offset at or above it (a compact set of quotes), -inf for the
    problem's own. `guess`: offsets near the best ones, if any are known, NaN beyond the limits.
    """
    if not chain.channels:
        nothing = jnp.zeros((0, *chain.shape))
        return GreedyPolicy(chain.reward, nothing, nothing, nothing, nothing > 0.0)
    channels = chain.channels
    found = [_channel_quotes(channel, chain, theta, floor, guess) for channel in channels]
    quotes = OptimalQuote(
        *(in_problem_order(channels, parts) for parts in zip(*(best for _, best in found), strict=True))
    )
    inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in chain.shifts])
    weight = in_problem_order(channels, [channel.weight for channel in channels])
    return GreedyPolicy(
        operator=chain.reward + jnp.sum(jnp.where(inside, weight * quotes.value, 0.0), axis=0),
        rates=jnp.where(inside, weight * quotes.tilted_rate, 0.0),
        offsets=quotes.offset,
        reservation=in_problem_order(channels, [p for p, _ in found]),
        quoted=inside & quotes.quoted,
    )


def _channel_quotes(
    channel: FillChannels,
    chain: ControlledChain,
    theta: Array,
    floor: Array | float,
    guess: Array | None,
) -> tuple[Array, OptimalQuote]:
    """Reservation offsets and optimal quotes of a channel's flows, inside the limits or not."""
    p = _reservations(channel, theta)
    low = jnp.maximum(channel.low, floor)
    quotes = QuoteSet(low, jnp.maximum(channel.high, low), channel.tick)
    own = None if guess is None else guess[np.asarray(channel.order)]
    best = jax.vmap(optimal_quote, in_axes=(0, 0, 0, None, 0, None if guess is None else 0))(
        channel.intensity, p, channel.size * channel.multiplier, chain.xi, quotes, own
    )
    return p, best


def reservation_offsets(chain: ControlledChain, theta: Float[Array, "*state"]) -> Float[Array, "flow *state"]:
    """p of every flow, in the order of the problem, price units."""
    return in_problem_order(chain.channels, [_reservations(channel, theta) for channel in chain.channels])


def _reservations(channel: FillChannels, theta: Array) -> Array:
    wide = (slice(None),) + (None,) * theta.ndim
    after = jnp.stack([destination(theta, shift) for shift in channel.shifts])
    return ((theta[None] - after) / channel.size[wide] + channel.cost) / channel.multiplier[wide]


def kink_gap(chain: ControlledChain, policy: GreedyPolicy, before: GreedyPolicy) -> Float[Array, "*state"]:
    """Σ a (H - Λ(δ)G_ξ(Z(δ - p))) of the flows on ticks, [*state]: what the quotes of `before` lose where
    `policy` is greedy.

    0 as long as no tick changes; currency per time.
    """
    gap = jnp.zeros(chain.shape)
    for channel in chain.channels:
        if channel.tick is None:
            continue
        flows = jnp.asarray(channel.order)
        p, now, old = policy.reservation[flows], policy.offsets[flows], before.offsets[flows]
        worth = jax.vmap(objective, in_axes=(0, 0, 0, None, 0))
        size = channel.size * channel.multiplier
        best, kept = (worth(channel.intensity, p, size, chain.xi, offsets) for offsets in (now, old))
        inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in channel.shifts])
        gap = gap + jnp.sum(jnp.where(inside & (now != old), channel.weight * (best - kept), 0.0), axis=0)
    return gap
