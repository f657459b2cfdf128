"""The problem: everything that is controlled, put together, and the terms of its equation.

    0 = ∂θ/∂t + ℓ(q) - ρθ + Σ_f a_f(q) H_f(p_f),      θ(T, q) = -(quadratic·q² + absolute·|q|)
    ℓ(q) = (drift - carry)·q - holding cost + Σ_f λ_f (1 - e^{-ξx_f})/ξ

with q in units of the asset and θ in currency; H_f, p_f, a_f, λ_f and x_f of each one-sided flow are those of
`quotegrid.models.flows`, the holding cost that of `quotegrid.models.preferences`. Conventions as in Guéant
2017 and Cartea, Jaimungal & Penalva 2015.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from quotegrid.models.assets import Asset
from quotegrid.models.contract import Block, entry
from quotegrid.models.factors import Ambiguity, Factor, PairCorrelation, Schedule
from quotegrid.models.faults import Fault, ProblemError, join
from quotegrid.models.flows import Flow, MarketOrderJump, OneSidedFlow
from quotegrid.models.horizons import Ergodic, Finite, Horizon
from quotegrid.models.not_yet import not_in_this_version
from quotegrid.models.numbers import Label
from quotegrid.models.paths import places, value_at
from quotegrid.models.preferences import Crra, Preferences
from quotegrid.models.problem_tree import ABOUT, canonical_json, problem_hash
from quotegrid.models.requests import DEFAULT_TIMES, Method, Numerics, TableRequest
from quotegrid.models.uncertainty import Provenance, Uncertainty
from quotegrid.models.well_posed import beyond_quote_scale, unfairness

__all__ = [
    "DEFAULT_TIMES",
    "Fault",
    "Method",
    "Numerics",
    "OneSidedFlow",
    "Problem",
    "ProblemError",
    "TableRequest",
    "Units",
    "canonical_json",
    "problem_hash",
]


class Units(Block):
    """What the numbers of the problem are measured in; any text, shared by all assets."""

    static: ClassVar[frozenset[str]] = frozenset({"price", "time"})

    price: Annotated[Label, Field(description="unit of prices and offsets")]
    time: Annotated[Label, Field(description="unit of time")]


class Problem(Block):
    """A market maker's problem, complete and checked. Its numbers are the leaves of a pytree.

    Raises:
        ProblemError: naming by its path everything that is missing, of the wrong sign or type, contradictory,
            not well posed or not in this version.
    """

    static: ClassVar[frozenset[str]] = frozenset({"format", "provenance"})

    format: Annotated[Literal[1], Field(description="version of the problem file's format")] = 1
    units: Annotated[Units, Field(description="what numbers are measured in, a table [units]")]
    assets: Annotated[tuple[Asset, ...], Field(min_length=1, description="the assets")]
    preferences: Annotated[Preferences, Field(description="what the maker minds, a table [preferences]")]
    horizon: Annotated[Horizon, Field(description="when trading ends, a table [horizon]")] = Ergodic()
    factor: Annotated[tuple[Factor, ...], Field(description="not in this version")] = ()
    correlation: Annotated[tuple[PairCorrelation, ...], Field(description="not in this version")] = ()
    schedule: Annotated[tuple[Schedule, ...], Field(description="not in this version")] = ()
    ambiguity: Annotated[Ambiguity | None, Field(description="not in this version")] = None
    uncertainty: Annotated[Uncertainty | None, Field(description="how well the parameters are known")] = None
    provenance: Annotated[Provenance | None, Field(description="free text: source, date, version")] = None

    def contradictions(self) -> Iterator[Fault]:
        later = tuple(not_in_this_version(self))
        if later:
            yield from later
            return
        assert not isinstance(self.preferences, Crra)
        for index, asset in enumerate(self.assets):
            path = self.asset_path(index)
            if self.preferences.uses_volatility() and asset.price.volatility is None:
                yield Fault(
                    join(path, "price.volatility"),
                    "this key is missing; these preferences weigh risk by it, so give it a number.",
                )
            if asset.inventory.target != 0 and not self.preferences.allows_target():
                yield Fault(
                    join(path, "inventory.target"),
                    f"expected 0 under preferences.kind = {self.preferences.kind!r}, "
                    f"got {asset.inventory.target}; a target needs 'mean-variance'.",
                )
        for flow in self.one_sided_flows():
            limits = self.assets[flow.asset].inventory.lots_range()[:2]
            for fault in (*unfairness(flow), *beyond_quote_scale(flow, max(map(abs, limits)))):
                yield fault.below(self._path_of_side(flow))
        for parameter in () if self.uncertainty is None else self.uncertainty.parameters:
            yield from self._not_a_parameter(parameter)

    def _not_a_parameter(self, path: str) -> Iterator[Fault]:
        try:
            for place in places(self, path):
                if not isinstance(value_at(self, place), float | jax.Array):
                    sentence = f"{path!r} is no number of this problem; leave it out."
                    yield Fault("uncertainty.parameters", sentence)
        except ProblemError as error:
            yield Fault("uncertainty.parameters", f"{error}")

    def asset_path(self, index: int) -> str:
        """The path of an asset: nothing where it is the only one, else `asset.<symbol>`."""
        return self.path_of("assets", index, self)

    @classmethod
    def path_of(cls, key: str, index: int, data: Any) -> str:
        if key != "assets":
            return super().path_of(key, index, data)
        assets = entry(data, "assets")
        symbol = entry(entry(assets[index], "market"), "symbol")
        return "" if len(assets) == 1 else join("asset", symbol if isinstance(symbol, str) else str(index))

    def _path_of_side(self, flow: OneSidedFlow) -> str:
        asset = self.assets[flow.asset]
        place = next(at for at, block in enumerate(asset.flow) if flow.label in block.labels())
        return join(self.asset_path(flow.asset), asset.flow_path(place))

    def duration(self) -> Any:
        """T of a problem whose horizon is finite, time."""
        assert isinstance(self.horizon, Finite)
        return self.horizon.duration

    def xi(self) -> Any:
        """ξ of the Hamiltonians, per currency."""
        assert not isinstance(self.preferences, Crra)  # the constructor refuses it
        return self.preferences.xi()

    def running_reward(self, q: Float[Array, "... asset"]) -> Float[Array, "..."]:
        """ℓ(q), currency per time."""
        assert not isinstance(self.preferences, Crra)
        q = jnp.asarray(q, float)
        slope = self._per_asset([asset.price.drift - asset.price.carry for asset in self.assets])
        target = self._per_asset([asset.inventory.target * asset.market.lot_size for asset in self.assets])
        variance = self._variances()
        reward = jnp.sum(q * jnp.broadcast_to(slope, q.shape), axis=-1)
        reward = reward - self.preferences.holding_cost(q - jnp.broadcast_to(target, q.shape), variance)
        for flow in self.one_sided_flows():
            reward = reward + flow.jump_reward(q)
        return reward

    def reward_magnitude(self, q: Float[Array, "... asset"]) -> Float[Array, "..."]:
        """Σ|terms| of ℓ(q), currency per time: what its rounding error is a fraction of."""
        assert not isinstance(self.preferences, Crra)
        q = jnp.asarray(q, float)
        target = self._per_asset([asset.inventory.target * asset.market.lot_size for asset in self.assets])
        size = jnp.abs(q) + jnp.broadcast_to(jnp.abs(target), q.shape)
        slope = self._per_asset([abs(asset.price.drift) + abs(asset.price.carry) for asset in self.assets])
        total = jnp.sum(size * jnp.broadcast_to(slope, q.shape), axis=-1)
        total = total + self.preferences.holding_cost(size, self._variances())
        return sum((jnp.abs(flow.jump_reward(q)) for flow in self.one_sided_flows()), total)

    def holding_money(self, q: Float[Array, "... asset"]) -> dict[str, Float[Array, "..."]]:
        """What holding q earns on average, by part, currency per time: `drift` and `carry` (a cost is
        negative).

        What market orders do to the inventory is with the flows (`OneSidedFlow.order_gain`).
        """
        q = jnp.asarray(q, float)
        drift = self._per_asset([asset.price.drift for asset in self.assets])
        carry = self._per_asset([asset.price.carry for asset in self.assets])
        return {
            "drift": jnp.sum(q * jnp.broadcast_to(drift, q.shape), axis=-1),
            "carry": -jnp.sum(q * jnp.broadcast_to(carry, q.shape), axis=-1),
        }

    def risk_cost(self, q: Float[Array, "... asset"]) -> Float[Array, "..."]:
        """What ℓ charges for holding q beyond the money it costs: the holding cost, currency per time."""
        assert not isinstance(self.preferences, Crra)
        q = jnp.asarray(q, float)
        target = self._per_asset([asset.inventory.target * asset.market.lot_size for asset in self.assets])
        return self.preferences.holding_cost(q - jnp.broadcast_to(target, q.shape), self._variances())

    def holding_variance(self, q: Float[Array, "... asset"]) -> Float[Array, "..."]:
        """Σσ²q²: the variance that the price's diffusion gives to wealth, currency² per time."""
        q = jnp.asarray(q, float)
        return jnp.sum(q**2 * jnp.broadcast_to(self._variances(), q.shape), axis=-1)

    def volatility_is_known(self) -> bool:
        """Is σ given for every asset? Where nothing uses it, it may be left out."""
        return all(asset.price.volatility is not None for asset in self.assets)

    def terminal_value(self, q: Float[Array, "... asset"]) -> Float[Array, "..."]:
        """θ(T, q) of a finite horizon, currency; 0 for the others."""
        return self.horizon.terminal_value(jnp.asarray(q, float))

    def discount_rate(self) -> Any:
        """ρ, per time; 0 unless the horizon is discounted."""
        return self.horizon.discount_rate()

    def one_sided_flows(self) -> tuple[OneSidedFlow, ...]:
        """Every flow on every side: assets and flows in the order of the file, `both` as bid, then ask."""
        xi = self.xi()
        return tuple(
            _one_sided(asset, index, flow, side, xi)
            for index, asset in enumerate(self.assets)
            for flow in asset.flow
            for side in flow.sides()
        )

    def essence(self) -> "Problem":
        """The problem without what is only about it (`uncertainty`, `provenance`); it has the same hash."""
        return self.model_copy(update=dict.fromkeys(ABOUT))

    @property
    def lattice(self) -> tuple[tuple[int, int, int], ...]:
        """(min, max, target) of the inventory of each asset, lots."""
        return tuple(asset.inventory.lots_range() for asset in self.assets)

    def _variances(self) -> Float[Array, " asset"]:
        """σ² of each asset, price² per time; 0 where it is not given."""
        volatility = [asset.price.volatility for asset in self.assets]
        return self._per_asset([0.0 if sigma is None else sigma**2 for sigma in volatility])

    @staticmethod
    def _per_asset(values: list[Any]) -> Float[Array, " asset"]:
        return jnp.stack([jnp.asarray(value, float) for value in values])


def _one_sided(asset: Asset, index: int, flow: Flow, side: Any, xi: Any) -> OneSidedFlow:
    adverse = flow.adverse
    arrivals: Any = 0.0
    if isinstance(adverse, MarketOrderJump):
        arrivals = flow.intensity.arrival_rate() if adverse.arrival_rate is None else adverse.arrival_rate
    return OneSidedFlow(
        name=flow.name,
        side=side,
        asset=index,
        size=flow.size,
        convention=None if adverse is None else adverse.on,
        units=flow.size * asset.market.lot_size,
        intensity=flow.intensity,
        fee=flow.fee,
        proportional_fee=flow.proportional_fee,
        reference=0.0 if asset.price.reference is None else asset.price.reference,
        jump=0.0 if adverse is None else adverse.jump,
        arrival_rate=arrivals,
        xi=xi,
        min_offset=flow.lowest_offset(),
        max_offset=flow.max_offset,
        tick=flow.tick,
    )
