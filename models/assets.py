"""An asset: its market, the limits on holding it, its price, its flows, and other ways to trade it."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from quotegrid.models.contract import Block, entry
from quotegrid.models.dimensions import PRICE, UNITS
from quotegrid.models.faults import Fault, join
from quotegrid.models.flows import Flow
from quotegrid.models.numbers import Label, LotLimit, Lots, Name, NonNegative, Positive, Size
from quotegrid.models.prices import Brownian, Price


class Market(Block):
    """What is traded, and in which lots."""

    static: ClassVar[frozenset[str]] = frozenset({"symbol", "reference"})

    symbol: Annotated[Name, Field(description="name of the asset")]
    lot_size: Annotated[Positive, Field(description="units of the asset in a lot"), UNITS]
    tick_size: Annotated[
        Positive | None, Field(description="smallest step of the market's prices, price"), PRICE
    ] = None
    reference: Annotated[Label, Field(description="the price that offsets are measured from")] = "mid"


class Inventory(Block):
    """Limits and target of the inventory, in lots. Limits that are symmetric are kept as `min = None`."""

    static: ClassVar[frozenset[str]] = frozenset({"max", "min", "target"})

    max: Annotated[LotLimit, Field(description="highest inventory, lots")]
    min: Annotated[Lots | None, Field(description="lowest inventory, lots; -max unless given")] = None
    target: Annotated[Lots, Field(description="inventory without penalty, lots")] = 0

    @field_validator("min", mode="after")
    @classmethod
    def _symmetric_is_unstated(cls, value: int | None, info: ValidationInfo) -> int | None:
        """-max said and unsaid are one problem, with one hash."""
        return None if value is not None and value == -info.data.get("max", value) else value

    def contradictions(self) -> Iterator[Fault]:
        low, high, target = self.lots_range()
        if low > high:
            yield Fault("min", f"expected a limit not above max = {high}, got {low}.")
        elif not low <= target <= high:
            yield Fault("target", f"expected an inventory within [{low}, {high}], got {target}.")

    def lots_range(self) -> tuple[int, int, int]:
        """(min, max, target), lots."""
        return (-self.max if self.min is None else self.min), self.max, self.target


class MarketOrders(Block):
    """The maker's own market orders. Not in this version."""

    static: ClassVar[frozenset[str]] = frozenset({"max_size"})

    cost_per_unit: Annotated[NonNegative, Field(description="half-spread plus fee, price per unit")]
    fixed_cost: Annotated[NonNegative, Field(description="currency per order")] = 0.0
    max_size: Annotated[Size | None, Field(description="largest order, lots")] = None


class Hedging(Block):
    """Trading at a rate on an outside venue. Not in this version."""

    proportional_cost: Annotated[NonNegative, Field(description="ψ, price per unit")] = 0.0
    quadratic_cost: Annotated[Positive, Field(description="η, currency per (units per time)² and time")]
    permanent_impact: Annotated[NonNegative, Field(description="κ, price per unit")] = 0.0


class Asset(Block):
    """One asset; in a file with a single one its keys stand at the top level."""

    market: Annotated[Market, Field(description="what is traded, a table [market]")]
    inventory: Annotated[Inventory, Field(description="limits on the inventory, a table [inventory]")]
    price: Annotated[Price, Field(description="how the price moves, a table [price]")] = Brownian()
    flow: Annotated[tuple[Flow, ...], Field(min_length=1, description="streams of fills, blocks [[flow]]")]
    market_orders: Annotated[MarketOrders | None, Field(description="not in this version")] = None
    hedging: Annotated[Hedging | None, Field(description="not in this version")] = None

    def contradictions(self) -> Iterator[Fault]:
        taken: set[tuple[str, str]] = set()
        for place, flow in enumerate(self.flow):
            for side in flow.sides():
                if (flow.name, side) in taken:
                    yield Fault(
                        self.flow_path(place),
                        f"a second flow named {flow.name!r} on the {side}; give each (name, side) once.",
                    )
                taken.add((flow.name, side))
            if self.price.reference is None and not _is_zero(flow.proportional_fee):
                yield Fault(
                    join(self.flow_path(place), "proportional_fee"),
                    "a fee on the price needs price.reference (the price it is charged at); add it.",
                )

    def flow_path(self, place: int) -> str:
        """The path of a flow: `flow.book`, or `flow.book/bid` where one name has several blocks."""
        return self.path_of("flow", place, self)

    @classmethod
    def path_of(cls, key: str, index: int, data: Any) -> str:
        path, elements = super().path_of(key, index, data), entry(data, key)
        names = [entry(element, "name") for element in elements] if key == "flow" else []
        if names.count(entry(elements[index], "name")) > 1:
            return f"{path}/{entry(elements[index], 'side')}"
        return path


def _is_zero(number: Any) -> bool:
    return isinstance(number, float) and number == 0.0
