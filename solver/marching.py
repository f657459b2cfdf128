"""Finite horizon: where a march in time to go stands, whichever scheme advances it.

    ∂θ/∂τ = B(θ),   θ(0) = terminal value

B does not see a constant added to θ, so a march carries the *bias* θ - level (0 at the target inventory) and
the level apart: quotes are differences of the bias and keep their digits however large the accumulated value
grows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from quotegrid.solver.bellman import GreedyPolicy, greedy_policy
from quotegrid.solver.chain import ControlledChain


class Marching(NamedTuple):
    """Carried from one run of output times to the next."""

    bias: Float[Array, "*state"]  # θ - level, currency
    policy: GreedyPolicy  # at the bias
    level: Float[Array, ""]  # θ at the target inventory, currency
    now: Float[Array, ""]  # time to go reached
    step: Float[Array, ""]  # the next step, time
    steps: Int[Array, ""]  # steps taken, the rejected ones included
    defect: Float[
        Array, ""
    ]  # sum of the estimated errors of the steps, currency: B's flow is a sup-norm contraction
    sound: Bool[Array, ""]  # False once steps became too short, a number infinite, or a policy did not settle

    def moved(self, chain: ControlledChain, theta: Array) -> "Marching":
        """The same march with the bias replaced by θ less its value at the target, which joins the level."""
        shift = theta[chain.target]
        bias = theta - shift
        return self._replace(bias=bias, policy=greedy_policy(chain, bias), level=self.level + shift)

    def if_sound(self, sound: Bool[Array, ""], before: "Marching") -> "Marching":
        """This march, or the one before it with the word that it could not go on."""
        kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), self, before)
        return kept._replace(sound=sound)

    def output(self) -> "Output":
        """What a table keeps of this moment."""
        return Output(self.bias, self.level, self.policy.offsets, self.policy.quoted, self.defect)


class Output(NamedTuple):
    """The solution at one time to go, or stacked along a first axis of times."""

    bias: Float[Array, "*state"]
    level: Float[Array, ""]
    offsets: Float[Array, "flow *state"]  # price units; meaningless where not quoted
    quoted: Bool[Array, "flow *state"]
    defect: Float[Array, ""]  # so far, currency


def start_marching(chain: ControlledChain, theta: Float[Array, "*state"]) -> Marching:
    """At time to go 0 with value θ; the step is left to the scheme."""
    level = theta[chain.target]
    bias = theta - level
    policy = greedy_policy(chain, bias)
    sound = jnp.all(jnp.isfinite(bias)) & jnp.all(jnp.isfinite(policy.operator))
    zero = jnp.zeros(())
    return Marching(bias, policy, level, zero, zero, jnp.zeros((), int), zero, sound)


def fastest_scale(chain: ControlledChain, policy: GreedyPolicy) -> Float[Array, ""]:
    """A tenth of the time between fills, or of that in which the value moves by a quote scale; inf if nothing
    happens.
    """
    pace = (jnp.max(policy.operator) - jnp.min(policy.operator)) / chain.value_scale
    activity = jnp.maximum(jnp.max(jnp.sum(policy.rates, axis=0), initial=0.0), pace)
    return jnp.where(activity > 0.0, 0.1 / activity, jnp.inf)
