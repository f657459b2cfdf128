"""Flows with one hazard at every offset and free quotes: the Bellman operator in closed form.

    B(θ)(i) = ℓ(i) + Σ_f r_f(i)/κ_f exp(κ_f (θ(j_f(i)) - θ(i))),    κ_f = h_f/(z_f m_f)

h_f is the constant hazard of an exponential intensity and r_f(i) the fills per time at equal θ. Where the κ
of all flows are one, exp(κθ) solves a linear equation; this form needs no such thing.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.chain import ControlledChain, Shift, destination, in_problem_order


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ExponentialFlows:
    """What B depends on, flows in the order of the problem."""

    reward: Float[Array, "*state"]  # ℓ, currency per time
    rates: Float[Array, "flow *state"]  # r, per time; 0 where a fill would leave the lattice
    decays: Float[Array, " flow"]  # κ, per currency
    shifts: tuple[Shift, ...] = field(metadata={"static": True})  # lattice steps of each flow

    def operator(self, theta: Float[Array, "*state"]) -> Float[Array, "*state"]:
        """B(θ), currency per time."""
        decays = self.decays[(slice(None),) + (None,) * theta.ndim]
        rises = jnp.stack([destination(theta, shift) for shift in self.shifts]) - theta[None]
        return self.reward + jnp.sum(self.rates / decays * jnp.exp(decays * rises), axis=0)


def exponential_flows(chain: ControlledChain) -> ExponentialFlows:
    """Of a chain all whose intensities have a constant hazard, without bounds and ticks."""
    channels = chain.channels
    size, multiplier = (
        in_problem_order(channels, [getattr(c, name) for c in channels]) for name in ("size", "multiplier")
    )
    hazard = in_problem_order(
        channels, [jax.vmap(lambda i: i.constant_hazard())(c.intensity) for c in channels]
    )
    rates = greedy_policy(chain, jnp.zeros(chain.shape)).rates
    return ExponentialFlows(chain.reward, rates, hazard / (size * multiplier), chain.shifts)
