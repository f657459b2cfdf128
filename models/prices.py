"""How the reference price of an asset moves, and what holding it costs.

    brownian    dS = drift dt + volatility dW            the default
    geometric   dS = S (drift dt + volatility dW)        part of the file format, not in this version
    bounded     a price that stays within [low, high]    part of the file format, not in this version

Volatility in price per √time (geometric: per √time), drift in price per time (geometric: per time), carry in
price per time: the cost of holding one unit for one time unit, such as funding.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from quotegrid.models.contract import Block, known
from quotegrid.models.dimensions import PRICE, PRICE_PER_TIME, Dimension
from quotegrid.models.faults import Fault
from quotegrid.models.ingredients import Ingredient
from quotegrid.models.kinds import ByKind
from quotegrid.models.numbers import NonNegative, Number, Positive

_KIND = frozenset({"kind"})
_VOLATILITY = Field(description="standard deviation of the price's move in one time unit")
_DRIFT = Field(description="expected move of the price, per time")
_CARRY = Field(description="cost of holding one unit of the asset, price per time")
_REFERENCE = Field(description="the price at which fees on the price are charged")


class Brownian(Block):
    """Arithmetic Brownian motion; the volatility may be left out where nothing uses it."""

    static: ClassVar[frozenset[str]] = _KIND

    kind: Literal["brownian"] = "brownian"
    volatility: Annotated[
        NonNegative | None,
        _VOLATILITY,
        Dimension("{price} per √{time}", price=1, time=-0.5),
        Ingredient("inventory risk", off=0.0),
    ] = None
    drift: Annotated[Number, _DRIFT, PRICE_PER_TIME, Ingredient("drift", off=0.0)] = 0.0
    carry: Annotated[Number, _CARRY, PRICE_PER_TIME, Ingredient("drift", off=0.0)] = 0.0
    reference: Annotated[Positive | None, _REFERENCE, PRICE] = None


class Geometric(Block):
    """Geometric Brownian motion; the price stays a state under CARA."""

    static: ClassVar[frozenset[str]] = _KIND

    kind: Literal["geometric"] = "geometric"
    volatility: Annotated[NonNegative, _VOLATILITY]
    drift: Annotated[Number, _DRIFT] = 0.0
    carry: Annotated[Number, _CARRY] = 0.0
    reference: Annotated[Positive, _REFERENCE]


class Bounded(Block):
    """A price between two bounds, as of a prediction market."""

    static: ClassVar[frozenset[str]] = _KIND

    kind: Literal["bounded"] = "bounded"
    volatility: Annotated[NonNegative, _VOLATILITY]
    drift: Annotated[Number, _DRIFT] = 0.0
    carry: Annotated[Number, _CARRY] = 0.0
    reference: Annotated[Positive, _REFERENCE]
    low: Annotated[Number, Field(description="lower bound of the price")] = 0.0
    high: Annotated[Number, Field(description="upper bound of the price")] = 1.0

    def contradictions(self) -> Iterator[Fault]:
        if known(self.low, self.high, self.reference) and not self.low < self.reference < self.high:
            yield Fault(
                "reference",
                f"expected a price between low = {self.low} and high = {self.high}, got {self.reference}.",
            )


Price: TypeAlias = Annotated[Brownian | Geometric | Bounded, ByKind(default="brownian")]
