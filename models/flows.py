"""Flows of fills: a side, a size, an intensity, what a fill costs, and what the price does afterwards.

With s = +1 on the bid and -1 on the ask, z the size in units of the asset, f the proportional fee at the
frozen reference price S_ref and m = 1 + s·f, a fill at offset δ from inventory q is worth

    z·m·(δ - p),    p = ((θ(q) - θ(q + s·z))/z + cost(q))/m,    cost = fee + adverse(q) + f·S_ref,

because the fee on the fill price S_ref - s·δ costs f·S_ref - s·f·δ per unit. The three adverse conventions:

    markout         the filled units lose ε: adverse = ε
    fills           the mid jumps by -s·ε at a fill and meets the inventory after it:
                    adverse = ε·s·(q + s·z)/z
    market_orders   the mid jumps by -s·ε at every order that arrives on this side (rate λ), filled or not.
                    Averaging both outcomes of an arrival, with x = -s·ε·q the inventory's own gain,
                      λ(1 - e^{-ξx})/ξ + e^{-ξx}·Λ(δ)(1 - e^{-ξz(δ - p)})/ξ,   adverse = ε
                    (Cartea, Jaimungal & Penalva 2015, ch. 10, at ξ = 0): a running reward, and a
                    weight e^{-ξx} on H. It needs Λ(δ) ≤ λ where the flow quotes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from quotegrid.models.contract import AbstractIntensity, Block, known, phi1
from quotegrid.models.dimensions import PER_TIME, PLAIN, PRICE
from quotegrid.models.faults import Fault
from quotegrid.models.ingredients import Ingredient
from quotegrid.models.intensities import Intensity
from quotegrid.models.kinds import ByKind
from quotegrid.models.numbers import Fraction, Name, NonNegative, Number, Positive, Size

Side: TypeAlias = Literal["bid", "ask"]
_TICK_SLACK = 1e-9  # a bound within this many ticks of a lattice point includes it


class Markout(Block):
    """The filled units lose `jump`; the inventory held is not moved."""

    static: ClassVar[frozenset[str]] = frozenset({"on"})

    on: Literal["markout"] = "markout"
    jump: Annotated[
        Number,
        Field(description="loss per filled unit, price; negative where fills are followed by gains"),
        PRICE,
    ]


class FillJump(Block):
    """The mid jumps against the maker at each fill and meets the inventory after it."""

    static: ClassVar[frozenset[str]] = frozenset({"on"})

    on: Literal["fills"] = "fills"
    jump: Annotated[
        NonNegative, Field(description="move of the mid at a fill, down on bids, up on asks; price"), PRICE
    ]


class MarketOrderJump(Block):
    """The mid jumps at every market order on this side, filled or not."""

    static: ClassVar[frozenset[str]] = frozenset({"on"})

    on: Literal["market_orders"] = "market_orders"
    jump: Annotated[
        NonNegative,
        Field(description="move of the mid at a market order, down on bids, up on asks; price"),
        PRICE,
    ]
    arrival_rate: Annotated[
        NonNegative | None,
        Field(description="market orders per time on this side; unless given, the intensity at 0"),
        PER_TIME,
    ] = None


Adverse: TypeAlias = Annotated[Markout | FillJump | MarketOrderJump, ByKind("on")]


class LastLook(Block):
    """The maker may reject a fill after watching the price for a while. Not in this version."""

    static: ClassVar[frozenset[str]] = frozenset({"rejection"})

    window: Annotated[Positive, Field(description="time between the fill and the decision")]
    rejection: Annotated[Literal["free", "symmetric"], Field(description="'free' or 'symmetric'")]


class Flow(Block):
    """One stream of fills on one side, or one set of parameters for both."""

    static: ClassVar[frozenset[str]] = frozenset({"name", "side", "size"})

    name: Annotated[Name, Field(description="name of the flow, unique with its side")]
    side: Annotated[Literal["bid", "ask", "both"], Field(description="'bid', 'ask' or 'both'")]
    size: Annotated[Size, Field(description="lots of one fill")] = 1
    intensity: Annotated[Intensity, Field(description="rate of fills by offset, a table with 'kind'")]
    fee: Annotated[
        Number, Field(description="price per unit; negative is a rebate"), PRICE, Ingredient("fees", off=0.0)
    ] = 0.0
    proportional_fee: Annotated[
        Fraction, Field(description="fraction of the traded price"), PLAIN, Ingredient("fees", off=0.0)
    ] = 0.0
    adverse: Annotated[
        Adverse | None,
        Field(description="what the price does after a fill"),
        Ingredient("adverse selection", off=None),
    ] = None
    min_offset: Annotated[
        Number | None,
        Field(description="lowest offset that may be quoted, price"),
        PRICE,
        Ingredient("bounds and ticks", off=None),
    ] = None
    max_offset: Annotated[
        Number | None,
        Field(description="highest offset that may be quoted, price"),
        PRICE,
        Ingredient("bounds and ticks", off=None),
    ] = None
    tick: Annotated[
        Positive | None,
        Field(description="offsets are multiples of this, price"),
        PRICE,
        Ingredient("bounds and ticks", off=None),
    ] = None
    latency: Annotated[
        NonNegative | None, Field(description="delay of quotes, time; not in this version")
    ] = None
    last_look: Annotated[LastLook | None, Field(description="not in this version")] = None

    def contradictions(self) -> Iterator[Fault]:
        low, high = self.lowest_offset(), self.max_offset
        end = self.intensity.domain()[0]
        if known(low, end) and low is not None and not low > end:
            yield Fault(
                "min_offset", f"expected an offset above {end}, where this intensity is infinite, got {low}."
            )
        if low is None or high is None or not known(low, high, self.tick):
            return
        stated = "min_offset" if self.min_offset is not None else "the default min_offset of this intensity,"
        if low > high:
            yield Fault("max_offset", f"expected an offset not below {stated} {low}, got {high}.")
        elif self.tick is not None and not _ticks_between(low, high, self.tick):
            yield Fault(
                "tick",
                f"no multiple of {self.tick} lies in [{low}, {high}], so nothing can be quoted; "
                "widen the bounds.",
            )

    def sides(self) -> tuple[Side, ...]:
        """The sides this block stands for: itself, or bid then ask."""
        return ("bid", "ask") if self.side == "both" else (self.side,)

    def labels(self) -> tuple[str, ...]:
        """`book`, and with its sides: `book/bid`, `book/ask`."""
        return (self.name, *(f"{self.name}/{side}" for side in self.sides()))

    def lowest_offset(self) -> Any:
        """`min_offset`, or the intensity's own default; None without a bound."""
        return self.intensity.default_min_offset() if self.min_offset is None else self.min_offset


def _ticks_between(low: Any, high: Any, tick: Any) -> bool:
    return math.ceil(low / tick - _TICK_SLACK) <= math.floor(high / tick + _TICK_SLACK)


@dataclass(frozen=True)
class OneSidedFlow:
    """One flow on one side as solvers see it; a pytree.

    Inventories q are units of the asset, with one last axis over assets.
    """

    name: str
    side: Side
    asset: int  # index of the asset, and of its inventory axis
    size: int  # lots
    convention: str | None  # "markout", "fills", "market_orders", or None: no adverse selection
    units: Any  # z = size·lot_size
    intensity: AbstractIntensity
    fee: Any  # price per unit
    proportional_fee: Any  # f
    reference: Any  # S_ref, price; 0 where there is no proportional fee
    jump: Any  # ε, price
    arrival_rate: Any  # λ, market orders per time; 0 unless the convention is "market_orders"
    xi: Any  # ξ, per currency
    min_offset: Any  # price; None without a bound
    max_offset: Any
    tick: Any

    @property
    def label(self) -> str:
        """`book/bid`."""
        return f"{self.name}/{self.side}"

    @property
    def sign(self) -> int:
        """s: +1 on the bid, -1 on the ask."""
        return 1 if self.side == "bid" else -1

    @property
    def multiplier(self) -> Any:
        """m = 1 + s·f."""
        return 1.0 + self.sign * self.proportional_fee

    def cost(self, q: Float[Array, "... asset"]) -> Float[Array, "..."]:
        """fee + adverse(q) + f·S_ref, price per unit."""
        return self._fees() + self._adverse(q[..., self.asset])

    def fill_money(self, q: Float[Array, "... asset"]) -> dict[str, tuple[Any, Array]]:
        """What a fill at offset δ from inventory q earns, by part, as slope·δ + level (currency).

        The parts add up to z·(m·δ - cost(q)): `spread` z·δ, `fees`, and `adverse`, which is what the price
        does at the fill. The inventory's own gain at a market order is `order_gain`, filled or not.
        """
        held = q[..., self.asset]
        zero = jnp.zeros(held.shape)
        fees = jnp.broadcast_to(-self.units * self._fees(), held.shape)
        return {
            "spread": (self.units, zero),
            "fees": (self.sign * self.proportional_fee * self.units, fees),
            "adverse": (0.0, -self.units * self._adverse(held)),
        }

    def order_gain(self, q: Float[Array, "... asset"]) -> Float[Array, "..."]:
        """x = -s·ε·q, what the inventory held gains at each market order on this side, currency; else 0."""
        held = q[..., self.asset]
        return self._gain_at_order(held) if self.convention == "market_orders" else jnp.zeros(held.shape)

    def weight(self, q: Float[Array, "... asset"]) -> Float[Array, "..."]:
        """What multiplies H: e^{-ξx} for jumps at market orders, else 1."""
        held = q[..., self.asset]
        if self.convention == "market_orders":
            return jnp.exp(-self.xi * self._gain_at_order(held))
        return jnp.ones(held.shape)

    def jump_reward(self, q: Float[Array, "... asset"]) -> Float[Array, "..."]:
        """λ(1 - e^{-ξx})/ξ, what the jumps at market orders are worth, currency per time; else 0."""
        held = q[..., self.asset]
        if self.convention == "market_orders":
            gain = self._gain_at_order(held)
            return self.arrival_rate * gain * phi1(-self.xi * gain)
        return jnp.zeros(held.shape)

    def _fees(self) -> Array:
        """fee + f·S_ref, price per unit."""
        return jnp.asarray(self.fee + self.proportional_fee * self.reference, float)

    def _adverse(self, held: Float[Array, "..."]) -> Float[Array, "..."]:
        """adverse(q), price per unit."""
        if self.convention == "fills":
            return self.jump * self.sign * (held + self.sign * self.units) / self.units
        return jnp.broadcast_to(jnp.asarray(self.jump, float), held.shape)

    def _gain_at_order(self, held: Float[Array, "..."]) -> Float[Array, "..."]:
        """x = -s·ε·q, currency."""
        return -self.sign * self.jump * held


_WORDS_AND_COUNTS = ["name", "side", "asset", "size", "convention"]
jax.tree_util.register_dataclass(
    OneSidedFlow,
    data_fields=[x.name for x in fields(OneSidedFlow) if x.name not in _WORDS_AND_COUNTS],
    meta_fields=_WORDS_AND_COUNTS,
)
