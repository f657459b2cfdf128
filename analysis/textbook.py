"""The numbers that textbook formulas ask for, read off a controlled chain around flat inventory.

    κ = -ℓ''        inventory risk: γσ², or 2φ; currency per unit² and time
    μ = ℓ'          drift less carry, and what market orders do to inventory; price per time
    A, k            of each flow: the exponential A·e^{-kδ} that touches ln Λ at the best quote when flat
    H', H''         of each flow at θ = 0: the quadratic that touches its Hamiltonian there

For an exponential flow A and k are its own. Where the flow is something else the tangent is what a desk that
fits around its own quotes would find. Nothing here asks which model made the chain.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.analysis.inventory_places import flat_place
from quotegrid.models.problem import Problem
from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.chain import ControlledChain, in_problem_order
from quotegrid.solver.discretise import discretise, inventory_lattices
from quotegrid.solver.hamiltonians import QuoteSet, optimal_quote
from quotegrid.solver.kernels import kernel


@dataclass(frozen=True)
class FlowNumbers:
    """One flow; price units, time and units of the asset."""

    label: str
    asset: int
    sign: int  # + on the bid
    lots: int
    size: float  # z
    multiplier: float  # m
    cost: float  # fee, adverse move: c/m at flat inventory, price
    exponential: bool  # is the flow exponential, or only fitted?
    rate: float  # A, per time
    decay: float  # k, per price
    offset: float  # the best one at θ = 0: the one without any inventory risk
    slope: float  # H' at θ = 0
    curvature: float  # H''

    def markup(self, xi: float) -> float:
        """ln(1 + ξz/k)/(ξz), at ξ = 0 1/k: price."""
        x = xi * self.size / self.decay
        return float((np.log1p(x) / x if x > 0.0 else 1.0) / self.decay)

    def stiffness(self, xi: float) -> float:
        """H'' of the exponential: A·k·z·(1 + ξz/k)^{-(1 + k/(ξz))}·e^{-k·cost}, per price and time."""
        x = xi * self.size / self.decay
        power = (1.0 + 1.0 / x) * np.log1p(x) if x > 0.0 else 1.0
        return float(self.rate * self.decay * self.size * np.exp(-power - self.decay * self.cost))


@dataclass(frozen=True)
class Textbook:
    """What the formulas know of a problem; one entry for each asset where there are several."""

    xi: float  # per currency
    discount: float  # per time
    risk: tuple[float, ...]  # κ
    drift: tuple[float, ...]  # μ
    terminal: tuple[float, ...]  # second derivative of the terminal cost, currency per unit²
    units: tuple[np.ndarray, ...]  # inventories, units of the asset less the target
    limit: tuple[float, ...]  # the largest |inventory|, units
    flows: tuple[FlowNumbers, ...]


def textbook(problem: Problem, leaves: Problem, offset: Float[np.ndarray, "*state flow"]) -> Textbook:
    """The numbers of a problem whose best quotes are `offset` (at the start); double precision must be on."""
    chain, found = _read(leaves, jnp.asarray(np.moveaxis(offset, -1, 0)))
    lattices, place = inventory_lattices(problem), flat_place(problem)
    reward, terminal = np.asarray(chain.reward), np.asarray(chain.terminal)
    risk, drift, ends, units, limits = [], [], [], [], []
    for axis, (lattice, asset) in enumerate(zip(lattices, problem.assets, strict=True)):
        lot = float(asset.market.lot_size)
        line = tuple(slice(None) if other == axis else at for other, at in enumerate(place))
        middle = int(np.clip(place[axis], 1, max(len(lattice.lots) - 2, 1)))
        step = lattice.step * lot
        risk.append(-_second(reward[line], middle) / step**2)
        drift.append(_first(reward[line], middle) / step)
        ends.append(-_second(terminal[line], middle) / step**2)
        units.append((lattice.lots - lattice.target) * lot)
        limits.append(float(np.max(np.abs(lattice.lots))) * lot)
    labels = problem.one_sided_flows()
    flows = []
    for number, flow in enumerate(labels):
        numbers = {name: float(column[number]) for name, column in found.items()}
        flows.append(
            FlowNumbers(
                label=flow.label,
                asset=flow.asset,
                sign=flow.sign,
                lots=flow.size,
                size=numbers["size"],
                multiplier=numbers["multiplier"],
                cost=numbers["cost"],
                exponential=flow.intensity.constant_hazard() is not None,
                rate=numbers["rate"],
                decay=numbers["decay"],
                offset=numbers["offset"],
                slope=numbers["slope"],
                curvature=numbers["curvature"],
            )
        )
    return Textbook(
        float(chain.xi),
        float(problem.discount_rate()),
        tuple(risk),
        tuple(drift),
        tuple(ends),
        tuple(units),
        tuple(limits),
        tuple(flows),
    )


def greedy_offsets(leaves: Problem, theta: Float[np.ndarray, "time *state"]) -> Float[np.ndarray, "..."]:
    """The best offsets [time, *state, flow] against some values θ, NaN where off: bounds and ticks kept."""
    offsets, quoted = _greedy(leaves, jnp.asarray(theta))
    return np.moveaxis(np.where(quoted, offsets, np.nan), 1, -1)


def _first(values: np.ndarray, at: int) -> float:
    return float(values[at + 1] - values[at - 1]) / 2.0 if len(values) > 2 else 0.0


def _second(values: np.ndarray, at: int) -> float:
    return float(values[at + 1] - 2.0 * values[at] + values[at - 1]) if len(values) > 2 else 0.0


@kernel()
def _greedy(leaves: Problem, thetas: Array) -> tuple[Array, Array]:
    chain = discretise(leaves)

    def at(theta: Array) -> tuple[Array, Array]:
        policy = greedy_policy(chain, theta)
        return policy.offsets, policy.quoted

    return jax.lax.map(at, thetas)


@kernel()
def _read(leaves: Problem, offsets: Array) -> tuple[ControlledChain, dict[str, Any]]:
    """The chain, and for each flow in the problem's order its numbers at the target."""
    chain = discretise(leaves)
    place = (slice(None), *chain.target)
    grouped: dict[str, list[Array]] = {}
    for channel in chain.channels:
        here = jnp.stack([offsets[order] for order in channel.order])[place]
        size = channel.size * channel.multiplier
        cost = channel.cost[place] / channel.multiplier
        quotes = QuoteSet(channel.low, channel.high, None)
        best = jax.vmap(optimal_quote, in_axes=(0, 0, 0, None, 0))(
            channel.intensity, cost, size, chain.xi, quotes
        )
        here = jnp.where(jnp.isfinite(here), here, best.offset)

        def of_flow(intensity, here: Array, best: Array, size: Array, low: Array, high: Array) -> tuple:
            def markup(offset: Array) -> Array:
                return intensity.markup(offset, size, chain.xi)

            _, turn = jax.jvp(markup, (best,), (jnp.ones(()),))
            moves = jnp.where((best > low) & (best < high), 1.0 / (1.0 - turn), 0.0)  # dδ*/dp
            hazard = intensity.hazard(best)
            curvature = (hazard + chain.xi * size) * moves - chain.xi * size
            decay = intensity.hazard(here)
            rate = jnp.exp(intensity.log_rate(here) + decay * here)
            return decay, rate, curvature

        decay, rate, bend = jax.vmap(of_flow)(
            channel.intensity, here, best.offset, size, channel.low, channel.high
        )
        numbers = {
            "size": channel.size,
            "multiplier": channel.multiplier,
            "cost": cost,
            "decay": decay,
            "rate": rate,
            "offset": best.offset,
            "slope": -size * best.tilted_rate,
            "curvature": size * best.tilted_rate * bend,
        }
        for name, column in numbers.items():
            grouped.setdefault(name, []).append(column)
    return chain, {name: in_problem_order(chain.channels, columns) for name, columns in grouped.items()}
