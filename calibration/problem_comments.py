"""What stands above each part of a calibrated problem file: what it is, where it is from, what it omits."""

import math
import textwrap
from collections.abc import Callable

import numpy as np

from quotegrid.calibration.calibrated_problem import Choices, flow_path, measured_parameters, significant
from quotegrid.calibration.estimates import Estimates
from quotegrid.calibration.families import FAMILIES
from quotegrid.calibration.side import Form, SideIntensity

SECONDS_PER_HOUR = 3600.0
COMMENT_WIDTH = 98


ADJECTIVE: dict[Form, str] = {
    "exponential": "exponential",
    "logistic": "logistic",
    "power": "a power",
    "linear": "linear",
}
ARTICLE: dict[Form, str] = {
    "exponential": "an exponential",
    "logistic": "a logistic",
    "power": "a power",
    "linear": "a line",
}


def comments(estimates: Estimates, choices: Choices) -> dict[str, str]:
    """Comments by the path of what they are about."""
    unit, asset, volatility = estimates.price_unit, estimates.asset_unit, estimates.volatility
    half, copies = choices.max_inventory / 2.0, estimates.copies
    remarks = {
        "": (
            f"A maker of {estimates.symbol}, written by `quotegrid calibrate` from best bid/ask and trades.",
            "",
            _about_form(estimates, choices.form),
            "",
            _about_touch(estimates),
            "",
            _about_markout(estimates, choices),
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
            f"{unit} per √s, ± {copies.standard_error('volatility', volatility.sigma):.2g}; about "
            f"{volatility.sigma * math.sqrt(SECONDS_PER_HOUR):.3g} {unit} per √hour. Realised kernel of the "
            f"mid, bandwidth {volatility.bandwidth:.2g} s",
        ),
        "preferences.risk_aversion": (
            f"γ, per {unit}: a choice, no measurement. Here one lot's best earnings pay for the risk of "
            f"holding half the limit ({half:g} lots) while one fill is awaited; about {half:g} lots then "
            "move both quotes by one quote scale. Four times as much makes them lean about twice as far.",
        ),
    }
    for side in estimates.sides:
        path = flow_path(estimates, side)
        remarks |= {
            path: (_about_flow(estimates, side),),
            f"{path}.intensity": (_about_intensity(estimates, side, choices.form),),
            f"{path}.fee": (
                f"{unit} per {asset}; 1 basis point would be {significant(1e-4 * estimates.reference, 3):g}, "
                "a rebate is negative",
            ),
            f"{path}.min_offset": (f"{unit}: the touch, the median half-spread; {_about_nearer(side)}",),
        }
        if choices.charge_markout:
            remarks[f"{path}.adverse"] = (_about_charge(estimates, side),)
    remarks["uncertainty"] = (_about_uncertainty(estimates, choices),)
    wrapped = {path: "\n".join(map(_wrapped, paragraphs)) for path, paragraphs in remarks.items()}
    return {path: text for path, text in wrapped.items() if text}


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, COMMENT_WIDTH, break_long_words=False, break_on_hyphens=False)


def _about_form(estimates: Estimates, form: Form) -> str:
    verdict = "Λ is tabulated" if form == "table" else f"Λ is {ADJECTIVE[form]}"
    if form != estimates.recommended:
        better = estimates.recommended
        verdict += (
            f", though {'a table' if better == 'table' else ARTICLE[better]} would be the better choice"
        )
    gap = _of_sides(estimates, lambda side: f"{side.exponential_fit.gap:.2f}")
    chance = _of_sides(estimates, lambda side: f"{side.exponential_fit.chance:.2f}")
    text = (
        f"{verdict}: the share of orders reaching an offset differs from the exponential's by up to {gap}, "
        f"where chance explains {chance}"
    )
    if form not in ("table", "exponential"):
        own = _of_sides(estimates, lambda side: f"{side.fit_of(form).gap:.2f}")
        text += f", and from the {form}'s by up to {own}"
    return f"{text}."


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


def _about_markout(estimates: Estimates, choices: Choices) -> str:
    markout, unit = estimates.markout, estimates.price_unit
    if not math.isfinite(markout.move):
        return "Adverse selection is left out, and could not be measured."
    if markout.move > markout.offset:
        verdict = "more than such a fill earns. Take the quotes as a model's answer, not as a strategy."
    else:
        verdict = f"{max(0.0, 100 * markout.move / markout.offset):.0f}% of what such a fill earns."
    error = estimates.copies.spread(f"markout.{markout.horizon:g}")
    text = (
        f"After the {markout.orders} orders that reached {markout.offset:.3g} {unit} or more, the mid had "
        f"moved {markout.move:.3g} ± {error:.2g} {unit} with them {markout.horizon:g} s later: {verdict}"
    )
    if estimates.mistimed:
        text += (
            f" Only {100 * estimates.orders.matched.mean():.0f}% of the orders begin at the touch of a quote "
            "just before them: the clocks of quotes and trades differ, or quotes are missing or come late, "
            "and this is not to be trusted."
        )
    if choices.charge_markout:
        return f"{text} Adverse selection is charged to every fill."
    return (
        f"Adverse selection is left out. {text} `quotegrid calibrate --charge-markout` charges it, as "
        "adverse = "
        '{ on = "markout", jump = … } in each flow.'
    )


def _about_charge(estimates: Estimates, side: SideIntensity) -> str:
    charge, unit = side.adverse, estimates.price_unit
    error = estimates.copies.spread(f"{side.reach.side}.adverse")
    earning = [
        float(offset)
        for vertex, (offset, gain) in enumerate(zip(side.net.offset, side.net.gain, strict=True))
        if gain > 2.0 * estimates.copies.spread(f"{side.reach.side}.net.{vertex}")
    ]
    text = (
        f"{unit}, ± {error:.2g}: how far the mid had moved with an order that reached {charge.offset:.3g} or "
        f"more, {charge.horizon:g} s later ({charge.orders} orders). The model charges it to fills at every "
        "offset. "
    )
    if earning:
        return f"{text}Measured fills earn more than they lose from {min(earning):.3g} {unit} on."
    return (
        f"{text}At none of the offsets measured (up to {side.net.offset[-1]:.3g}) do fills earn more than "
        "they lose: quotes beyond these stand on an extrapolated rate."
    )


def _about_uncertainty(estimates: Estimates, choices: Choices) -> str:
    copies = estimates.copies
    count = len(measured_parameters(estimates, choices))
    text = (
        f"Standard errors of the {count} measured parameters and their correlation, from "
        f"{len(copies.blocks)} blocks of {np.median(copies.blocks.seconds):.3g} s drawn with replacement. 95 "
        f"% intervals are {copies.blocks.quantile:.2f} of them to either side, on the logarithm of what is "
        "positive."
    )
    form = choices.form
    if form != "table":
        loose = [
            f"{side.reach.side} {key}"
            for side in estimates.sides
            for key in estimates.undetermined(side, form)
        ]
        if loose:
            text += f" Hardly held by these data: {', '.join(loose)}."
    return text


def _about_contract(estimates: Estimates, lot_size: float) -> str:
    contract, asset, unit = estimates.contract, estimates.asset_unit, estimates.price_unit
    per_contract = contract.units(estimates.reference)
    if contract.inverse:
        return (
            f"The contract is inverse: {contract.size:g} {unit} each, settled in {asset}. Profit is counted "
            f"in {unit}. Contracts are converted at the frozen reference price {estimates.reference_text} "
            f"{unit}, the mean mid: 1 contract = {contract.size:g}/{estimates.reference_text} = "
            f"{per_contract:.6g} {asset}, so a lot is {lot_size / per_contract:.4g} contracts."
        )
    return f"1 contract = {contract.size:g} {asset}." if contract.size != 1.0 else ""


def _about_flow(estimates: Estimates, side: SideIntensity) -> str:
    who = {"bid": "Sellers fill the bid", "ask": "Buyers fill the ask"}[side.reach.side]
    reach, asset = side.reach, estimates.asset_unit
    rates = ", ".join(
        f"{rate:.2g} of {size:g}" for size, rate in zip(estimates.ladder, estimates.rates(side), strict=True)
    )
    return (
        f"{'Both sides, pooled' if estimates.sides_pooled else who}: {reach.reaching(reach.touch):,} orders, "
        f"{side.exponential.orders:,} of them reached {side.start * reach.half_tick:g} or more. Orders per s "
        f"of at least a size ({asset}): {rates}."
    )


def _about_nearer(side: SideIntensity) -> str:
    """How much was seen nearer to the mid than the touch."""
    reach = side.reach
    share = float(reach.tally.time[reach.spread < reach.touch].sum() / reach.tally.time.sum())
    if share == 0.0:
        return "nothing nearer to the mid was observed"
    percent = "less than 1" if share < 0.01 else f"{100 * share:.0f}"
    return f"the market stood nearer to the mid {percent}% of the time"


def _about_intensity(estimates: Estimates, side: SideIntensity, form: Form) -> str:
    unit = estimates.price_unit
    if form != "table":
        fitted = side.fits[form]
        words = {
            "A": "A in fills per s",
            "k": f"k per {unit}",
            "d": f"d in {unit}",
            "a": "a",
            "b": f"b per {unit}",
        }
        if form == "power":
            words["k"] = "k a number"
        named = ", ".join(words[key] for key in FAMILIES[fitted.name].parameters)
        text = (
            f"{named}: maximum likelihood on the {fitted.orders:,} orders that reached {fitted.start:g} "
            f"{unit} or more."
        )
        return f"{text} The data do not tell it from its limit, {fitted.limit}." if fitted.limit else text
    table = side.table
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
