"""The chain under fixed offsets: a Markov chain with rewards, and its own Bellman operator.

    B_π(θ)(i) = ℓ(i) + Σ_m a_m(i) r_m(i) G_ξ(J_m(i) + θ(j_m) - θ(i)),     G_ξ(x) = (1 - e^{-ξx})/ξ

m runs over the moves: a fill of each flow at rate r = Λ(δ), earning J = z(m·δ - c), and whatever else moves
the state (J = 0). B_π is B without the sup: B_π ≤ B, and they are equal at the greedy offsets. For ξ = 0 it
is linear. It is concave in θ, because a risk-averse certainty equivalent is the least over reweighted rates
(Donsker & Varadhan 1975): Newton's method on it is policy iteration of that other player.

Under the rates themselves (not tilted) money is earned: `earned` by part, on average and per time, and

    Γ(h)(i) = v(i) + Σ_f λ_f x_f² + Σ_m r_m [(J_m + x_m + h(j_m) - h(i))² - x_m²]

is the variance per time of (wealth + h(state)): with h the expected money still to come, the variance of all.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from quotegrid.models.contract import phi1
from quotegrid.solver.account import Account
from quotegrid.solver.chain import ControlledChain, Shift, in_problem_order, stays_inside


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PolicyChain:
    """A controlled chain whose offsets are chosen; the first moves are the fills, in the problem's order."""

    rates: Float[Array, "move *state"]  # r, per time; 0 where the move is off
    weight: Float[Array, "move *state"]  # a
    jump: Float[Array, "move *state"]  # J, currency; 0 where the move is off
    alongside: Float[Array, "move *state"]  # x, currency
    earned: dict[str, Float[Array, "*state"]]  # by part, currency per time
    risk_cost: Float[Array, "*state"]  # currency per time
    variance: Float[Array, "*state"]  # v + Σ λ x², currency² per time
    reward: Float[Array, "*state"]  # ℓ
    terminal: Float[Array, "*state"]  # θ(T), currency
    discount: Float[Array, ""]  # ρ, per time
    xi: Float[Array, ""]  # ξ, per currency
    scale: Float[Array, ""]  # of θ: the chain's value scale, currency
    shifts: tuple[Shift, ...] = field(metadata={"static": True})
    target: tuple[int, ...] = field(metadata={"static": True})
    flows: int = field(metadata={"static": True})  # how many moves are fills

    @property
    def shape(self) -> tuple[int, ...]:
        """The lattice points of each axis."""
        return self.reward.shape

    @property
    def pnl(self) -> Float[Array, "*state"]:
        """What is earned on average, all parts, currency per time."""
        return sum(self.earned.values(), jnp.zeros(self.shape))

    def after(self, h: Float[Array, "*state"]) -> Float[Array, "move *state"]:
        """h(j_m); the edge's value where the move would leave the lattice. One gather: moves may be many."""
        return h.reshape(-1)[_destinations(self.shape, self.shifts)]

    def differences(self, h: Float[Array, "*state"]) -> Float[Array, "move *state"]:
        """h(j_m) - h(i)."""
        return self.after(h) - h[None]

    def generate(self, h: Float[Array, "*state"]) -> Float[Array, "*state"]:
        """(L h)(i) = Σ_m r_m (h(j_m) - h(i))."""
        return jnp.sum(self.rates * self.differences(h), axis=0)

    def squared(self, h: Float[Array, "*state"]) -> Float[Array, "*state"]:
        """Γ(h), currency² per time."""
        moved = self.jump + self.differences(h)
        return self.variance + jnp.sum(self.rates * moved * (moved + 2.0 * self.alongside), axis=0)

    def operator(self, theta: Float[Array, "*state"]) -> tuple[Array, Float[Array, "move *state"]]:
        """B_π(θ) and the tilted rates a·r·e^{-ξ(J + θ(j) - θ(i))} of its linearisation."""
        moved = self.jump + self.differences(theta)
        tilt = jnp.where(self.rates > 0.0, -self.xi * moved, 0.0)
        worth = self.weight * self.rates * moved * phi1(tilt)
        return self.reward + jnp.sum(worth, axis=0), self.weight * self.rates * jnp.exp(tilt)


def _destinations(shape: tuple[int, ...], shifts: tuple[Shift, ...]) -> Int[np.ndarray, "move *state"]:
    """The position of the state after each move, in row-major order."""
    places = np.indices(shape)
    ends = [
        [np.clip(at + step, 0, length - 1) for at, step, length in zip(places, shift, shape, strict=True)]
        for shift in shifts
    ]
    return np.stack([np.ravel_multi_index(tuple(end), shape) for end in ends])


def fill_rates(chain: ControlledChain, offsets: Float[Array, "flow *state"]) -> Float[Array, "flow *state"]:
    """Λ_f(δ_f) where the flow is quoted inside the limits, per time; 0 elsewhere (δ = NaN: not quoted)."""
    grouped = []
    for channel in chain.channels:
        own = jnp.stack([offsets[place] for place in channel.order])
        quoted = jnp.isfinite(own)
        log_rate = jax.vmap(lambda intensity, offset: intensity.log_rate(offset))(
            channel.intensity, jnp.where(quoted, own, jnp.broadcast_to(_somewhere(channel, own), own.shape))
        )
        inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in channel.shifts])
        grouped.append(jnp.where(quoted & inside, jnp.exp(log_rate), 0.0))
    return in_problem_order(chain.channels, grouped)


def _somewhere(channel, own: Array) -> Array:
    """An admissible offset of each flow, for states where nothing is quoted."""
    inside = jnp.where(jnp.isfinite(channel.low), channel.low, 0.0)
    return jnp.minimum(inside, channel.high).reshape((-1,) + (1,) * (own.ndim - 1))


def policy_chain(chain: ControlledChain, money: Account, offsets: Float[Array, "flow *state"]) -> PolicyChain:
    """The chain under offsets (price units, NaN where a flow is off); traceable."""
    rates = fill_rates(chain, offsets)
    on = rates > 0.0
    quoted = jnp.where(on, offsets, 0.0)
    wide = (slice(None),) + (None,) * len(chain.shape)
    fills = {part: money.slope[part][wide] * quoted + money.level[part] for part in money.slope}
    orders = money.arrivals[wide] * money.order_gain
    earned = {
        part: jnp.sum(rates * worth, axis=0) + (jnp.sum(orders, axis=0) if part == "adverse" else 0.0)
        for part, worth in fills.items()
    }
    for part, worth in money.holding.items():
        earned[part] = earned.get(part, jnp.zeros(chain.shape)) + worth
    return PolicyChain(
        rates=rates,
        weight=in_problem_order(chain.channels, [channel.weight for channel in chain.channels]),
        jump=jnp.where(on, sum(fills.values(), jnp.zeros(rates.shape)), 0.0),
        alongside=money.order_gain,
        earned=earned,
        risk_cost=money.risk_cost,
        variance=money.variance + jnp.sum(orders * money.order_gain, axis=0),
        reward=chain.reward,
        terminal=chain.terminal,
        discount=chain.discount,
        xi=chain.xi,
        scale=chain.value_scale,
        shifts=chain.shifts,
        target=chain.target,
        flows=len(chain.shifts),
    )
