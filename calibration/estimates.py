"""Everything measured from one recording, side by side: what reports and problem files are made from."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from quotegrid.calibration.fair_table import FairTable, fit_fair_table
from quotegrid.calibration.intensity import (
    FEWEST_ORDERS,
    ExponentialFit,
    Fit,
    MeasuredIntensity,
    Queue,
    Reach,
    fit_exponential,
    judge,
    measure_reach,
    measured_intensity,
    pooled,
)
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.market_orders import MarketOrders, market_orders
from quotegrid.calibration.markout import Markout, measure_markout
from quotegrid.calibration.recording import NANOSECONDS, Recording
from quotegrid.calibration.sizes import Contract, OrderSizes
from quotegrid.calibration.volatility import Volatility, estimate_volatility

Form = Literal["table", "exponential"]


@dataclass(frozen=True, eq=False)
class SideIntensity:
    """Λ of one side: measured, as an exponential, as a table, and how well each describes the orders.

    start: the distance, in half ticks, from which orders are described: the touch, or one tick behind it for
    a quote that stands last in its queue. measured: all orders, from the touch. exponential, table and their
    fits: the orders from `start`. whole, whole_fit: an exponential of all orders, to show what it makes of
    the touch.
    """

    reach: Reach
    start: int
    measured: MeasuredIntensity
    exponential: ExponentialFit
    exponential_fit: Fit
    table: FairTable
    table_fit: Fit
    whole: ExponentialFit
    whole_fit: Fit

    @property
    def touch_excess(self) -> float:
        """Orders at the touch, seen ÷ said by the exponential."""
        reach = self.reach
        said = reach.spread_time @ self.exponential(reach.half_tick * reach.spread.clip(min=reach.touch))
        return float((reach.distance >= reach.touch).sum() / said)

    def best_quote(self, form: Form) -> tuple[float, float]:
        """(offset, gain per unit and s) that maximise δΛ(δ): the scale of quotes, and the most they earn."""
        return self.table.best_quote() if form == "table" else self.exponential.best_quote()

    def measured_best_quote(self) -> tuple[float, float]:
        """The same on the measured curve, from `start`."""
        return measured_intensity(self.reach, self.start).best_quote()


@dataclass(frozen=True, eq=False)
class Estimates:
    """What was measured, with the words needed to report it.

    reference: the mean mid over time, price units, frozen for the conversion of inverse contracts.
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
    markout: Markout

    @property
    def recommended(self) -> Form:
        """The exponential where it describes the orders of both sides, else the table."""
        return (
            "exponential"
            if self.bid.exponential_fit.by_chance and self.ask.exponential_fit.by_chance
            else "table"
        )

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
) -> Estimates:
    """Measure everything once; raises MarketDataError where the recording is too short for an estimate."""
    if queue not in ("last", "first"):
        raise MarketDataError(
            f"queue is {queue!r}; it is 'last' or 'first', where a quote stands that joins the touch."
        )
    orders = market_orders(recording, order_gap=order_gap)
    reaches = measure_reach(recording, orders, "bid"), measure_reach(recording, orders, "ask")
    bid, ask = (_side(reach, queue) for reach in (pooled(*reaches) if pool_sides else reaches))
    reference = _mean_mid(recording)
    offset = math.sqrt(bid.measured_best_quote()[0] * ask.measured_best_quote()[0])
    return Estimates(
        symbol=symbol,
        price_unit=price_unit,
        asset_unit=asset_unit,
        contract=contract,
        recording=recording,
        orders=orders,
        reference=reference,
        volatility=estimate_volatility(recording),
        bid=bid,
        ask=ask,
        sides_pooled=pool_sides,
        queue=queue,
        sizes=OrderSizes.measure(orders.size, contract.units(reference)),
        markout=measure_markout(recording, orders, offset),
    )


def _side(reach: Reach, queue: Queue) -> SideIntensity:
    start = reach.touch + (2 if queue == "last" else 0)
    whole, exponential = fit_exponential(reach, reach.touch), fit_exponential(reach, start)
    if whole is None or exponential is None:
        seen = int((reach.distance >= start).sum())
        beyond = int((reach.distance > start).sum())
        raise MarketDataError(
            f"on the {reach.side} side {seen} of {len(reach.distance)} market orders reached "
            f"{start * reach.half_tick:g} or more from the mid, {beyond} of them further: too few to tell "
            f"how their rate decays ({FEWEST_ORDERS} and some further are needed). Record for longer."
        )
    table = fit_fair_table(measured_intensity(reach, start))
    return SideIntensity(
        reach=reach,
        start=start,
        measured=measured_intensity(reach, reach.touch),
        exponential=exponential,
        exponential_fit=judge(exponential, 2, reach, start),
        table=table,
        table_fit=judge(table, len(table.vertices), reach, start),
        whole=whole,
        whole_fit=judge(whole, 2, reach, reach.touch),
    )


def _mean_mid(recording: Recording) -> float:
    weighted = seconds = 0.0
    for edge_ns, index in recording.stretches():
        held = (edge_ns[1:] - edge_ns[:-1]) / NANOSECONDS
        weighted += float(held @ recording.quotes.mid[index])
        seconds += float(held.sum())
    return weighted / seconds
