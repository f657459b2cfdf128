"""Estimates into a commented problem: what was measured, and the choices that data cannot make.

Measured: σ, Λ per side, the tick, the touch. Chosen, each by a rule that the file states:

 form           the exponential where it describes both sides, else the table lot            the largest 1, 2,
 5·10^n that half of the market orders reach limit          20 lots preferences    mean-variance: data say
 nothing about ξ, and at ξ = 0 quotes see γ only through the cost ½γσ²q²,
                which is what CARA charges too
 risk aversion  one lot's best earnings pay for holding half the limit while one fill is awaited. With δ0 the
                offset that maximises δΛ(δ), z the lot and n lots half the limit,

                    ½γσ²(nz)² / Λ(δ0) = δ0 z,    so    γ = 2 δ0 Λ(δ0) / (σ² n² z).

                For the exponential this is the γ at which n lots move the reservation price by one quote
                scale 1/k: stationary quotes lean by z√(γσ²e/(2kAz)) per lot (Guéant, Lehalle &
                Fernandez-Tapia 2013, ξ → 0)
 bounds         offsets from the touch outwards: nothing nearer to the mid was observed, and it keeps quotes
                passive
 horizon        ergodic: no closing time
"""

import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from quotegrid.calibration.estimates import Estimates, Form, SideIntensity
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.models.problem_file import ProblemFile, parse_problem

SECONDS_PER_HOUR = 3600.0
COMMENT_WIDTH = 98


@dataclass(frozen=True)
class Choices:
    """What data cannot say: the form of Λ, the lot (asset units), the limit (lots), γ (per price unit)."""

    form: Form
    lot_size: float
    max_inventory: int
    risk_aversion: float


def choose(
    estimates: Estimates,
    *,
    form: Form | None = None,
    lot_size: float | None = None,
    max_inventory: int = 20,
    risk_aversion: float | None = None,
) -> Choices:
    """The choices above, where they are not given."""
    if form not in ("table", "exponential", None):
        raise MarketDataError(
            f"form is {form!r}; it is 'table', 'exponential', or None for the one that fits."
        )
    if max_inventory < 2:
        raise MarketDataError(f"max_inventory is {max_inventory!r}; it is a number of lots, 2 or more.")
    if lot_size is not None and not (math.isfinite(lot_size) and lot_size > 0.0):
        raise MarketDataError(f"lot_size is {lot_size!r}; it is a size in units of the asset, above 0.")
    form = form or estimates.recommended
    lot = estimates.sizes.lot() if lot_size is None else float(lot_size)
    gain = 0.5 * (estimates.bid.best_quote(form)[1] + estimates.ask.best_quote(form)[1])
    aversion = 2.0 * gain / (estimates.volatility.sigma**2 * (0.5 * max_inventory) ** 2 * lot)
    return Choices(
        form, lot, max_inventory, significant(aversion, 3) if risk_aversion is None else risk_aversion
    )


def significant(number: float, digits: int) -> float:
    """Rounded to significant digits: no file should claim more than the data gave."""
    return float(f"{number:.{digits}g}")


def calibrated_problem(estimates: Estimates, choices: Choices) -> ProblemFile:
    """The problem. Raises quotegrid.models.ProblemError for choices that no problem allows."""
    recording, (begin, end) = estimates.recording, estimates.window
    sides = (
        {"both": estimates.bid} if estimates.sides_pooled else {"bid": estimates.bid, "ask": estimates.ask}
    )
    return parse_problem(
        {
            "format": 1,
            "units": {"price": estimates.price_unit, "time": "s"},
            "market": {
                "symbol": estimates.symbol,
                "lot_size": choices.lot_size,
                "tick_size": recording.tick_size,
                "reference": "mid",
            },
            "inventory": {"max": choices.max_inventory},
            "price": {"kind": "brownian", "volatility": significant(estimates.volatility.sigma, 3)},
            "preferences": {"kind": "mean-variance", "risk_aversion": choices.risk_aversion},
            "flow": [
                {
                    "name": "book",
                    "side": side,
                    "size": 1,
                    "intensity": _intensity(intensity, choices.form),
                    "min_offset": significant(intensity.reach.touch_offset, 12),
                }
                for side, intensity in sides.items()
            ],
            "horizon": {"kind": "ergodic"},
            "provenance": {
                "source": f"{recording.quotes.source}, {recording.trades.source}",
                "date": f"{begin:%Y-%m-%d}",
                "begin": f"{begin:%Y-%m-%d %H:%M:%S} UTC",
                "end": f"{end:%Y-%m-%d %H:%M:%S} UTC",
                "recorded": f"{recording.duration:.0f} s",
                "quotes": f"{len(recording.quotes.time_ns):,}",
                "trades": f"{len(recording.trades.time_ns):,} in {len(estimates.orders):,} market orders",
                "repairs": "; ".join(map(str, recording.repairs)) or "none",
            },
        },
        source=f"the problem made from {recording.quotes.source}",
    )


def _intensity(intensity: SideIntensity, form: Form) -> dict[str, Any]:
    if form == "exponential":
        fit = intensity.exponential
        return {"kind": "exponential", "A": significant(fit.A, 4), "k": significant(fit.k, 4)}
    table = intensity.table
    return {
        "kind": "table",
        "offset": [float(offset) for offset in table.offset],
        "rate": [significant(float(rate), 5) for rate in np.exp(table.log_rate)],
    }


def comments(estimates: Estimates, choices: Choices) -> dict[str, str]:
    """What stands above each part of the file: what it is, where it comes from, what it leaves out."""
    unit, asset, volatility = estimates.price_unit, estimates.asset_unit, estimates.volatility
    half = choices.max_inventory / 2.0
    remarks = {
        "": (
            f"A maker of {estimates.symbol}, written by `quotegrid calibrate` from best bid/ask and trades.",
            "",
            _about_form(estimates, choices.form),
            "",
            _about_touch(estimates),
            "",
            _about_markout(estimates),
        ),
        "market": (_about_contract(estimates, choices.lot_size),),
        "market.lot_size": (
            f"{asset}; {100 * estimates.sizes.share_of_at_least(choices.lot_size):.0f}% of the market orders "
            f"are at least as large (their median is {estimates.sizes.quantile(0.5):.3g})",
        ),
        "market.tick_size": (unit,),
        "inventory.max": (
            f"lots: {significant(choices.max_inventory * choices.lot_size, 6):g} {asset} long, and as much "
            "short",
        ),
        "price.volatility": (
            f"{unit} per √s, ± {volatility.standard_error:.2g}; about "
            f"{volatility.sigma * math.sqrt(SECONDS_PER_HOUR):.3g} {unit} per √hour. Realised kernel of the "
            f"mid, bandwidth {volatility.bandwidth:.2g} s",
        ),
        "preferences.risk_aversion": (
            f"γ, per {unit}: a choice, no measurement. Here one lot's best earnings pay for the risk of "
            f"holding half the limit ({half:g} lots) while one fill is awaited; about {half:g} lots then "
            "move both quotes by one quote scale. Four times as much makes them lean about twice as far.",
        ),
    }
    for path, intensity in _flow_paths(estimates):
        remarks |= {
            path: (_about_flow(path, intensity),),
            f"{path}.intensity": (_about_intensity(intensity, choices.form, unit),),
            f"{path}.fee": (
                f"{unit} per {asset}; 1 basis point would be {significant(1e-4 * estimates.reference, 3):g}, "
                "a rebate is negative",
            ),
            f"{path}.min_offset": (
                f"{unit}: the touch, the median half-spread; nothing nearer to the mid was observed",
            ),
        }
    wrapped = {path: "\n".join(map(_wrapped, paragraphs)) for path, paragraphs in remarks.items()}
    return {path: text for path, text in wrapped.items() if text}


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, COMMENT_WIDTH, break_long_words=False, break_on_hyphens=False)


def _flow_paths(estimates: Estimates) -> Iterator[tuple[str, SideIntensity]]:
    if estimates.sides_pooled:
        yield "flow.book", estimates.bid
    else:
        yield "flow.book/bid", estimates.bid
        yield "flow.book/ask", estimates.ask


def _about_form(estimates: Estimates, form: Form) -> str:
    if form == estimates.recommended:
        verdict = "Λ is tabulated" if form == "table" else "Λ is exponential"
    elif form == "table":
        verdict = "Λ is tabulated, though an exponential would do"
    else:
        verdict = "Λ is exponential, though a table describes these orders better"
    gap = _of_sides(estimates, lambda side: f"{side.exponential_fit.gap:.2f}")
    chance = _of_sides(estimates, lambda side: f"{side.exponential_fit.chance:.2f}")
    return (
        f"{verdict}: the share of orders reaching an offset differs from the exponential's by up to {gap}, "
        f"where chance explains {chance}."
    )


def _about_touch(estimates: Estimates) -> str:
    touch = f"the touch ({estimates.bid.reach.touch_offset:g} {estimates.price_unit} from the mid)"
    rates = _of_sides(estimates, lambda side: f"{side.measured.rate[0]:.3g}")
    rates += " orders per s on each side" if estimates.sides_pooled else " orders per s"
    if estimates.queue == "first":
        return (
            f"A quote at {touch} counts as filled by every order, {rates}, as if it stood first in its queue."
        )
    text = f"A quote that joins {touch} stands last in its queue and is filled by orders that go through it."
    if estimates.bid.whole_fit.by_chance and estimates.ask.whole_fit.by_chance:
        return text
    excess = _of_sides(estimates, lambda side: f"{side.touch_excess:.1f}")
    return (
        f"{text} In all {rates} reach the touch, {excess} times what the exponential of those that go "
        "through it says: no exponential describes them all."
    )


def _of_sides(estimates: Estimates, of: Callable[[SideIntensity], str]) -> str:
    """What each side has, or both have where they are pooled."""
    return (
        of(estimates.bid)
        if estimates.sides_pooled
        else f"{of(estimates.bid)} (bid) and {of(estimates.ask)} (ask)"
    )


def _about_markout(estimates: Estimates) -> str:
    markout, unit = estimates.markout, estimates.price_unit
    if not math.isfinite(markout.move):
        return "Adverse selection is left out, and could not be measured."
    if markout.move > markout.offset:
        verdict = "more than such a fill earns. Take the quotes as a model's answer, not as a strategy."
    else:
        verdict = f"{max(0.0, 100 * markout.move / markout.offset):.0f}% of what such a fill earns."
    return (
        f"Adverse selection is left out. After the {markout.orders} orders that reached {markout.offset:.3g} "
        f"{unit} or more, the mid had moved {markout.move:.3g} {unit} with them {markout.horizon:g} s later: "
        f"{verdict} To charge "
        'it, add adverse = { on = "markout", jump = … } to each flow.'
    )


def _about_contract(estimates: Estimates, lot_size: float) -> str:
    contract, asset, unit = estimates.contract, estimates.asset_unit, estimates.price_unit
    per_contract = contract.units(estimates.reference)
    if contract.inverse:
        return (
            f"The contract is inverse: {contract.size:g} {unit} each, settled in {asset}. Profit is counted "
            f"in {unit}. Contracts are converted at the frozen reference price {estimates.reference:.2f} "
            f"{unit}, the mean mid: 1 contract = {contract.size:g}/{estimates.reference:.2f} = "
            f"{per_contract:.6g} {asset}, so a lot is {lot_size / per_contract:.4g} contracts."
        )
    return f"1 contract = {contract.size:g} {asset}." if contract.size != 1.0 else ""


def _about_flow(path: str, intensity: SideIntensity) -> str:
    who = {"flow.book/bid": "Sellers fill the bid", "flow.book/ask": "Buyers fill the ask"}
    reach = intensity.reach
    return (
        f"{who.get(path, 'Both sides, pooled')}: {int((reach.distance >= reach.touch).sum()):,} orders, "
        f"{intensity.exponential.orders:,} of them reached {intensity.start * reach.half_tick:g} or more."
    )


def _about_intensity(intensity: SideIntensity, form: Form, unit: str) -> str:
    if form == "exponential":
        fit = intensity.exponential
        return (
            f"A in fills per s at the mid, k per {unit}: maximum likelihood on the {fit.orders:,} orders "
            f"that reached {fit.start:g} {unit} or more."
        )
    table = intensity.table
    text = (
        f"Offsets in {unit}, rates in fills per s. A smooth curve near {len(table.vertices)} measured rates "
        f"(within {100 * table.moved:.0f}%), such that each reservation price has one best quote: 1/Λ is "
        "convex. "
    )
    for bridge in table.bridges:
        text += (
            f"From {bridge.low:g} to {bridge.high:g} {unit} the table says up to {bridge.excess:.1f} times "
            "the fills measured: the measured curve jumps across, no offset well inside is anybody's best. "
        )
    return f"{text}What a best quote earns differs by at most {100 * table.gain_error:.0f}%, noise included."
