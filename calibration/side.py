"""Λ of one side in every form, and what its fills lose afterwards."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from quotegrid.calibration.fair_table import FairTable, fit_fair_table
from quotegrid.calibration.families import FAMILIES, FamilyName
from quotegrid.calibration.fitted import Fit, FittedIntensity, fit, judge
from quotegrid.calibration.intensity import (
    FEWEST_ORDERS,
    MeasuredIntensity,
    Queue,
    Reach,
    measured_intensity,
)
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.market_orders import MarketOrders
from quotegrid.calibration.markout import Markout, measure_markout, reached, signed_moves
from quotegrid.calibration.recording import Recording

Form = Literal["table", "exponential", "logistic", "power", "linear"]
CHARGES = 20


@dataclass(frozen=True, eq=False)
class NetGain:
    """What a fill at some offsets loses to the mid's move `horizon` s later, and what quoting there earns.

    offset, markout: price units; gain: Λ̂(δ)(δ - markout), price units per s and unit.
    """

    horizon: float
    offset: Float[np.ndarray, "vertex"]
    markout: Float[np.ndarray, "vertex"]
    gain: Float[np.ndarray, "vertex"]


@dataclass(frozen=True, eq=False)
class SideIntensity:
    """Λ of one side: measured, in each parametric form, as a table, and how well each describes the orders.

    start: the distance, in half ticks, from which orders are described: the touch, or one tick behind it for
    a quote that stands last in its queue. measured: all orders, from the touch. fits, judged, table and
    table_fit: the orders from `start`. whole, whole_fit: an exponential of all orders, to show what it makes
    of the touch. net: fills at the table's vertices after a markout. adverse: the markout to charge. streams:
    2 where the orders of both sides are pooled, else 1.
    """

    reach: Reach
    start: int
    streams: int
    measured: MeasuredIntensity
    fits: dict[FamilyName, FittedIntensity]
    judged: dict[FamilyName, Fit]
    table: FairTable
    table_fit: Fit
    whole: FittedIntensity
    whole_fit: Fit
    net: NetGain
    adverse: Markout

    @property
    def exponential(self) -> FittedIntensity:
        """The exponential of the orders from `start`."""
        return self.fits["exponential"]

    @property
    def exponential_fit(self) -> Fit:
        """How well it describes them."""
        return self.judged["exponential"]

    def fit_of(self, form: Form) -> Fit:
        """How well a form describes the orders from `start`."""
        return self.table_fit if form == "table" else self.judged[form]

    def usable(self, form: FamilyName) -> bool:
        """Whether a parametric form describes the orders by chance, is held by them, and has a best quote."""
        fitted = self.fits[form]
        return self.judged[form].by_chance and not fitted.limit and np.isfinite(fitted.best_quote()[0])

    @property
    def touch_excess(self) -> float:
        """Orders at the touch, seen ÷ said by the exponential."""
        reach = self.reach
        said = reach.tally.time @ self.exponential(reach.half_tick * reach.first_reached(reach.touch))
        return reach.reaching(reach.touch) / float(said)

    def best_quote(self, form: Form) -> tuple[float, float]:
        """(offset, gain per unit and s) that maximise δΛ(δ): the scale of quotes, and the most they earn."""
        return self.table.best_quote() if form == "table" else self.fits[form].best_quote()

    def measured_best_quote(self) -> tuple[float, float]:
        """The same on the measured curve, from `start`."""
        return measured_intensity(self.reach, self.start).best_quote()

    def filled_by(self, orders: MarketOrders) -> Bool[np.ndarray, "order"]:
        """The orders that fill this side, or both where they are pooled."""
        return filling(self.reach, self.streams, orders)


def filling(reach: Reach, streams: int, orders: MarketOrders) -> Bool[np.ndarray, "order"]:
    """The orders that fill a side (sellers fill bids), or both where they are pooled."""
    if streams == 2:
        return np.ones(len(orders), dtype=bool)
    return orders.aggressor == (-1 if reach.side == "bid" else 1)


def describe_side(
    recording: Recording, orders: MarketOrders, reach: Reach, *, pooled: bool, queue: Queue, horizon: float
) -> SideIntensity:
    """Fit every form to a side; raises MarketDataError where its orders are too few."""
    start = reach.touch + (2 if queue == "last" else 0)
    whole = fit("exponential", reach, reach.touch)
    tried: dict[FamilyName, FittedIntensity | None] = {name: fit(name, reach, start) for name in FAMILIES}
    fits: dict[FamilyName, FittedIntensity] = {
        name: fitted for name, fitted in tried.items() if fitted is not None
    }
    judged: dict[FamilyName, Fit] = {
        name: judge(fitted, len(fitted.values), reach, start) for name, fitted in fits.items()
    }
    if whole is None or not fits:
        seen, beyond = reach.reaching(start), reach.reaching(start + 1)
        raise MarketDataError(
            f"on the {reach.side} side {seen} of {reach.reaching(0)} market orders reached "
            f"{start * reach.half_tick:g} or more from the mid, {beyond} of them further: too few to tell "
            f"how their rate decays ({FEWEST_ORDERS} and some further are needed). Record for longer."
        )
    curve = measured_intensity(reach, start)
    table = fit_fair_table(curve)
    streams = 2 if pooled else 1
    return SideIntensity(
        reach=reach,
        start=start,
        streams=streams,
        measured=measured_intensity(reach, reach.touch),
        fits=fits,
        judged=judged,
        table=table,
        table_fit=judge(table, len(table.vertices), reach, start),
        whole=whole,
        whole_fit=judge(whole, 2, reach, reach.touch),
        net=_net_gain(recording, orders, filling(reach, streams, orders), curve, table, horizon),
        adverse=_charge(recording, orders, reach, streams, curve, horizon),
    )


def _net_gain(
    recording: Recording,
    orders: MarketOrders,
    mine: Bool[np.ndarray, "order"],
    curve: MeasuredIntensity,
    table: FairTable,
    horizon: float,
) -> NetGain:
    move = signed_moves(recording, orders, horizon)
    known = mine & np.isfinite(move)
    loss = np.array(
        [_mean(move[known & reached(recording, orders, offset)]) for offset in table.vertices.tolist()]
    )
    return NetGain(horizon, table.vertices, loss, curve(table.vertices) * (table.vertices - loss))


def _mean(values: Float[np.ndarray, "order"]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _charge(
    recording: Recording,
    orders: MarketOrders,
    reach: Reach,
    streams: int,
    curve: MeasuredIntensity,
    horizon: float,
) -> Markout:
    """The markout ε of the orders that fill the best quote δ against ε itself, δ = argmax Λ̂(δ)(δ - ε(δ')).

    Repeated from ε = 0 until δ stays, or until fewer than 30 orders reach it: the one before is taken then.
    """
    aggressor = None if streams == 2 else (-1 if reach.side == "bid" else 1)
    offset = curve.best_quote()[0]
    charge = measure_markout(recording, orders, offset, horizon, aggressor)
    for _ in range(CHARGES):
        if not np.isfinite(charge.move) or charge.move >= float(curve.offset[-1]):
            return charge
        again = curve.best_quote(charge.move)[0]
        if again == offset or reach.reaching(round(again / reach.half_tick)) < FEWEST_ORDERS:
            return charge
        offset = again
        charge = measure_markout(recording, orders, offset, horizon, aggressor)
    return charge
