"""Quotes that answer to an inventory seen some time ago, as a Markov chain.

The state is (inventory, inventory seen); fills move the first, at the rates of the quotes for the second, and
a refresh, at rate 1/mean delay, sets the second to the first. Both axes are the inventory's lattice, so the
chain is exact; it is a `PolicyChain` like any other.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.solver.account import Account
from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.policy_chain import PolicyChain, policy_chain


def seen_late(
    chain: ControlledChain, money: Account, offsets: Float[Array, "flow lots"], mean_delay: Float[Array, ""]
) -> PolicyChain:
    """The chain of one asset's inventory and the inventory seen; traceable."""
    (count,) = chain.shape

    def twice(on_lattice: Array) -> Array:
        return jnp.repeat(on_lattice[..., None], count, axis=-1)

    channels = tuple(
        replace(
            channel,
            cost=twice(channel.cost),
            weight=twice(channel.weight),
            shifts=tuple((*shift, 0) for shift in channel.shifts),
        )
        for channel in chain.channels
    )
    wide = replace(
        chain,
        reward=twice(chain.reward),
        magnitude=twice(chain.magnitude),
        terminal=twice(chain.terminal),
        channels=channels,
        shape=(count, count),
        target=chain.target * 2,
    )
    books = replace(
        money,
        holding=jax.tree.map(twice, money.holding),
        variance=twice(money.variance),
        risk_cost=twice(money.risk_cost),
        level=jax.tree.map(twice, money.level),
        order_gain=twice(money.order_gain),
    )
    fills = policy_chain(wide, books, jnp.repeat(offsets[:, None, :], count, axis=1))
    steps = [step for step in range(1 - count, count) if step != 0]
    held, seen = np.indices((count, count))
    refresh = jnp.asarray(np.stack([held - seen == step for step in steps]), float) / mean_delay
    none = jnp.zeros(refresh.shape)
    return replace(
        fills,
        rates=jnp.concatenate([fills.rates, refresh]),
        weight=jnp.concatenate([fills.weight, none + 1.0]),
        jump=jnp.concatenate([fills.jump, none]),
        alongside=jnp.concatenate([fills.alongside, none]),
        shifts=(*fills.shifts, *((0, step) for step in steps)),
    )
