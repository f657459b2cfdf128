"""What happens to money on a controlled chain: the account that the running reward ℓ and the costs c add up.

Wealth is cash plus inventory at the reference price. In state i, under offsets δ_f,

    holding          Σ_parts h(i) dt + √v(i) dB         drift, carry, …; v = Σσ²q²
    a fill of f      J_f = Σ_parts (slope_f·δ_f + level_f(i)) = z(m·δ_f - c_f(i)),     at rate Λ_f(δ_f)
    an order of f    x_f(i), filled or not, at rate λ_f (0 unless the mid jumps at market orders)

and ℓ charges the risk cost besides, which is no money. Each ingredient states its parts beside its equations
(`Problem.holding_money`, `OneSidedFlow.fill_money`); whoever adds one with parts of its own names them there,
and every evaluation lists them. Units: currency, currency per time, currency² per time.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from quotegrid.models.problem import Problem
from quotegrid.solver.discretise import inventory_lattices


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Account:
    """The parts of money on the lattice; flows in the order of the problem."""

    holding: dict[str, Float[Array, "*state"]]  # h by part, currency per time
    variance: Float[Array, "*state"]  # v, currency² per time
    risk_cost: Float[Array, "*state"]  # currency per time
    slope: dict[str, Float[Array, " flow"]]  # by part, units of the asset
    level: dict[str, Float[Array, "flow *state"]]  # by part, currency
    order_gain: Float[Array, "flow *state"]  # x, currency
    arrivals: Float[Array, " flow"]  # λ, per time


def account(problem: Problem) -> Account:
    """The account of a problem on the lattice of its chain; traceable."""
    lattices = inventory_lattices(problem)
    sizes = [asset.market.lot_size for asset in problem.assets]
    axes = [jnp.asarray(x.lots, float) * lot for x, lot in zip(lattices, sizes, strict=True)]
    states = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)  # [*state, asset], units of the asset
    flows = problem.one_sided_flows()
    fills = [flow.fill_money(states) for flow in flows]
    parts = fills[0].keys() if fills else ()
    return Account(
        holding=problem.holding_money(states),
        variance=problem.holding_variance(states),
        risk_cost=problem.risk_cost(states),
        slope={part: jnp.stack([jnp.asarray(fill[part][0], float) for fill in fills]) for part in parts},
        level={part: jnp.stack([fill[part][1] for fill in fills]) for part in parts},
        order_gain=jnp.stack([flow.order_gain(states) for flow in flows]),
        arrivals=jnp.stack([jnp.asarray(flow.arrival_rate, float) for flow in flows]),
    )
