"""Everything measured from one recording, side by side: what reports and problem files are made from."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from quotegrid.calibration.blocks import Copies, cut_into_blocks
from quotegrid.calibration.copies import make_copies
from quotegrid.calibration.families import FAMILIES, FamilyName
from quotegrid.calibration.intensity import Queue, measure_reach, pooled
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.market_orders import MarketOrders, market_orders
from quotegrid.calibration.markout import Markout, horizons, measure_markout
from quotegrid.calibration.recording import NANOSECONDS, Recording
from quotegrid.calibration.seasonality import DayFactor, measure_day
from quotegrid.calibration.side import Form, SideIntensity, describe_side
from quotegrid.calibration.sizes import Contract, OrderSizes
from quotegrid.calibration.volatility import Volatility, block_variances, estimate_volatility

PARSIMONY: tuple[FamilyName, ...] = ("exponential", "linear", "logistic", "power")
WORTH_A_PARAMETER = 4.0  # of AIC, over both sides: a form must gain that much over the exponential
LEAST_MATCHED = 0.9  # of the orders; 0.98 and 0.99 on the sample markets, 0.73 with clocks 50 ms apart
BLOCKS_PER_MARKOUT = 3.0  # a block lasts as many of the longest markouts


@dataclass(frozen=True, eq=False)
class Estimates:
    """What was measured, with the words needed to report it.

    reference: the mean mid over time, price units, frozen for the conversion of inverse contracts. markouts,
    touch_markouts: by horizon, of the orders that reached a good quote's offset, and the touch. ladder: sizes
    in units of the asset, whose rates are among the `copies` as `bid.size.0`, …; day: by time of day, or why
    not.
    """

    symbol: str
    price_unit: str
    asset_unit: str
    contract: Contract
    recording: Recording
    orders: MarketOrders
    reference: float
    volatility: Volatility
    bid: SideIntensity
    ask: SideIntensity
    sides_pooled: bool
    queue: Queue
    sizes: OrderSizes
    ladder: tuple[float, ...]
    horizon: float
    markouts: tuple[Markout, ...]
    touch_markouts: tuple[Markout, ...]
    day: DayFactor | str
    copies: Copies

    @property
    def markout(self) -> Markout:
        """The markout at the horizon that was asked for."""
        return next(each for each in self.markouts if each.horizon == self.horizon)

    @property
    def reference_text(self) -> str:
        """The reference price to the cent, or to six digits where it is small."""
        return f"{self.reference:.{max(2, 5 - math.floor(math.log10(self.reference)))}f}"

    @property
    def mistimed(self) -> bool:
        """Whether many orders begin at prices that no quote just before them showed."""
        return float(self.orders.matched.mean()) < LEAST_MATCHED

    @property
    def sides(self) -> tuple[SideIntensity, ...]:
        """Bid and ask, or one for both where they are pooled."""
        return (self.bid,) if self.sides_pooled else (self.bid, self.ask)

    def rates(self, side: SideIntensity) -> tuple[float, ...]:
        """Orders per s on a side that are at least as large as each rung of the ladder."""
        unit = self.contract.units(self.reference)
        mine = self.orders.size[side.filled_by(self.orders)] * unit
        seconds = side.streams * self.recording.duration
        return tuple(float((mine >= size * (1.0 - 1e-9)).sum()) / seconds for size in self.ladder)

    def undetermined(self, side: SideIntensity, name: FamilyName) -> tuple[str, ...]:
        """The parameters of a form that the data hold to no better than a factor of e."""
        family = FAMILIES[name]
        prefix = f"{side.reach.side}.{name}"
        if side.fits[name].limit:
            return family.parameters
        return tuple(
            parameter
            for parameter in family.parameters
            if self.copies.blocks.quantile * self.copies.spread(f"{prefix}.{parameter}") > 1.0
        )

    @property
    def recommended(self) -> Form:
        """The parametric form that describes the orders of both sides by chance, else the table.

        Of several the exponential, unless another is better by more than its parameter is worth.
        """
        aic: dict[Form, float] = {
            name: sum(side.judged[name].aic for side in self.sides)
            for name in PARSIMONY
            if all(side.usable(name) and not self.undetermined(side, name) for side in self.sides)
        }
        if not aic:
            return "table"
        best = min(aic, key=lambda name: aic[name])
        if "exponential" in aic and aic["exponential"] - aic[best] <= WORTH_A_PARAMETER:
            return "exponential"
        return best

    @property
    def window(self) -> tuple[datetime, datetime]:
        """Begin and end in local time of the recorder, read as UTC."""
        ends = self.recording.segments_ns[[0, -1], [0, 1]]
        begin, end = (datetime.fromtimestamp(float(ns) / NANOSECONDS, tz=UTC) for ns in ends)
        return begin, end


def estimate(
    recording: Recording,
    *,
    symbol: str,
    price_unit: str,
    asset_unit: str,
    contract: Contract,
    pool_sides: bool,
    queue: Queue,
    order_gap: float,
    horizon: float,
) -> Estimates:
    """Measure everything once; raises MarketDataError where the recording is too short for an estimate."""
    if queue not in ("last", "first"):
        raise MarketDataError(
            f"queue is {queue!r}; it is 'last' or 'first', where a quote stands that joins the touch."
        )
    if not 0.0 < horizon <= recording.duration / 10.0:
        raise MarketDataError(
            f"the markout horizon is {horizon!r} s; it is above 0 and at most a tenth of the recording, "
            f"{recording.duration / 10.0:.6g} s."
        )
    orders = market_orders(recording, order_gap=order_gap)
    terms = horizons(recording.duration, recording.stretch, horizon)
    blocks = cut_into_blocks(recording, BLOCKS_PER_MARKOUT * terms[-1])
    bid_reach, ask_reach = (measure_reach(recording, orders, side, blocks) for side in ("bid", "ask"))
    reaches = pooled(bid_reach, ask_reach) if pool_sides else (bid_reach, ask_reach)
    bid, ask = (
        describe_side(recording, orders, reach, pooled=pool_sides, queue=queue, horizon=horizon)
        for reach in reaches
    )
    volatility = estimate_volatility(recording)
    variance = block_variances(recording, volatility.bandwidth, blocks)
    reference = _mean_mid(recording)
    sizes = OrderSizes.measure(orders.size, contract.units(reference))
    offset = math.sqrt(bid.measured_best_quote()[0] * ask.measured_best_quote()[0])
    markouts, touch_markouts = (
        tuple(measure_markout(recording, orders, at, term) for term in terms)
        for at in (offset, bid.reach.touch_offset)
    )
    ladder = sizes.ladder()
    return Estimates(
        symbol=symbol,
        price_unit=price_unit,
        asset_unit=asset_unit,
        contract=contract,
        recording=recording,
        orders=orders,
        reference=reference,
        volatility=volatility,
        bid=bid,
        ask=ask,
        sides_pooled=pool_sides,
        queue=queue,
        sizes=sizes,
        ladder=ladder,
        horizon=horizon,
        markouts=markouts,
        touch_markouts=touch_markouts,
        day=measure_day(recording, orders, blocks, variance),
        copies=make_copies(
            recording,
            orders,
            blocks,
            variance,
            (bid,) if pool_sides else (bid, ask),
            markouts,
            touch_markouts,
            tuple(size / contract.units(reference) for size in ladder),
        ),
    )


def _mean_mid(recording: Recording) -> float:
    weighted = seconds = 0.0
    for edge_ns, index in recording.stretches():
        held = (edge_ns[1:] - edge_ns[:-1]) / NANOSECONDS
        weighted += float(held @ recording.quotes.mid[index])
        seconds += float(held.sum())
    return weighted / seconds
