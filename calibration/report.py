"""The fit on one screen of text."""

import math
from collections.abc import Iterator

import numpy as np

from quotegrid.calibration.error_text import with_error
from quotegrid.calibration.estimates import Estimates
from quotegrid.calibration.families import FAMILIES
from quotegrid.calibration.fitted import LEAST_CHANCE, Fit
from quotegrid.calibration.seasonality import DayFactor
from quotegrid.calibration.side import Form, SideIntensity

COLUMNS = 4  # of horizons that fit on the screen


def summary(
    estimates: Estimates,
    *,
    form: Form | None = None,
    lot_size: float | None = None,
    charge_markout: bool = False,
) -> str:
    """What was measured, on one screen of at most 110 columns, with units and standard errors.

    form, lot_size, charge_markout: what the problem file was asked to do, if anything.
    """
    parts = (
        _head(estimates, lot_size or estimates.sizes.lot()),
        _forms(estimates),
        _afterwards(estimates),
        _verdict(estimates, form, charge_markout),
    )
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts)


def _head(estimates: Estimates, lot: float) -> Iterator[str]:
    recording, unit, asset = estimates.recording, estimates.price_unit, estimates.asset_unit
    volatility, sizes, contract, copies = (
        estimates.volatility,
        estimates.sizes,
        estimates.contract,
        estimates.copies,
    )
    begin, end = estimates.window
    window = f"{begin:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} {recording.quotes.clock}"
    yield f"{estimates.symbol}   {window}, {recording.duration:.0f} s"
    yield _row(
        "data",
        f"{len(recording.quotes.time_ns):,} quotes, {len(recording.trades.time_ns):,} trades in "
        f"{len(estimates.orders):,} market orders; tick {recording.tick_size:g} {unit}",
    )
    for repair in recording.repairs or ("nothing to repair",):
        yield _row("", str(repair))
    yield _row(
        "",
        f"{100 * estimates.orders.matched.mean():.1f}% of the orders begin at the touch of a quote before "
        "them",
    )
    error = copies.standard_error("volatility", volatility.sigma)
    yield _row(
        "volatility",
        f"σ = {with_error(volatility.sigma, error)} {unit}/√s, {60 * volatility.sigma:.3g} {unit}/√h "
        f"(realised kernel, bandwidth {volatility.bandwidth:.2g} s)",
    )
    yield _row(
        "",
        f"moves over {volatility.intervals[0]:.3g} s alone would say {volatility.realised_sigma[0]:.3g}, "
        f"over {volatility.intervals[-1]:.3g} s {volatility.realised_sigma[-1]:.3g}",
    )
    yield _row(
        "sizes",
        f"median order {sizes.quantile(0.5):.3g} {asset} (quartiles {sizes.quantile(0.25):.3g}, "
        f"{sizes.quantile(0.75):.3g}); {100 * sizes.share_of_at_least(lot):.0f}% are {lot:g} {asset} or "
        "more: the lot",
    )
    yield _row(
        "", f"orders per s of at least   {'  '.join(f'{size:>7g}' for size in estimates.ladder)}  {asset}"
    )
    for side in estimates.sides:
        rates = "  ".join(f"{rate:>7.3g}" for rate in estimates.rates(side))
        yield _row("", f"    {_name(side, estimates):22} {rates}")
    if contract.inverse:
        yield _row(
            "contract",
            f"inverse: {contract.size:g} {unit} = {contract.units(estimates.reference):.5g} {asset} at the "
            f"frozen mid {estimates.reference_text} {unit}; profit counted in {unit}",
        )
    yield _row(
        "errors",
        f"± one standard error, from {len(copies.blocks)} blocks of {np.median(copies.blocks.seconds):.3g} s "
        f"drawn with replacement; 95 % are ± {copies.blocks.quantile:.2f} of them",
    )


def _forms(estimates: Estimates) -> Iterator[str]:
    """Each form on each side: parameters with errors, and how well it describes the orders."""
    unit = estimates.price_unit
    for side in estimates.sides:
        reach = side.reach
        yield (
            f"{_name(side, estimates)}: {reach.reaching(reach.touch):,} orders reach the touch, "
            f"{reach.touch_offset:g} {unit} from the mid ({side.measured.rate[0]:.3g} per s); "
            f"{side.exponential.orders:,} reach {side.start * reach.half_tick:g} {unit}:"
        )
        yield f"  {'form':13}{'parameters (per s, ' + unit + ')':58}{'ΔAIC':>7}{'gap':>7}{'p':>8}"
        for name, fitted in side.fits.items():
            judged = side.judged[name]
            if fitted.limit:
                yield f"  {name:13}is its limit here, {fitted.limit}"
                continue
            family = FAMILIES[fitted.name]
            words = [
                f"{key} = {with_error(value, _error(estimates, side, name, key, value, positive))}"
                f"{'?' if key in estimates.undetermined(side, fitted.name) else ''}"
                for key, value, positive in zip(
                    family.parameters, fitted.values, family.positive, strict=True
                )
            ]
            yield f"  {name:13}{', '.join(words):58}{_judged(judged, side)}"
        table = side.table
        moved = f"within {100 * table.moved:.2g}%"
        words = f"{len(table.offset)} knots near {len(table.vertices)} measured rates ({moved})"
        yield f"  {'table':13}{words:58}{_judged(side.table_fit, side)}"
        if side is not estimates.sides[-1]:
            yield ""
    yield "  * more than chance explains      ? these data hold it to no better than a factor of e"


def _error(
    estimates: Estimates, side: SideIntensity, form: str, key: str, value: float, positive: bool
) -> float:
    return estimates.copies.standard_error(f"{side.reach.side}.{form}.{key}", value, positive=positive)


def _judged(fit: Fit, side: SideIntensity) -> str:
    """AIC against the exponential's, gap (marked where chance does not explain it), p-value of the
    deviance."""
    gap = f"{fit.gap:.2f}{'*' if fit.gap > fit.chance else ' '}"
    chance = f"{fit.p_value:.3f}{'*' if fit.p_value < LEAST_CHANCE else ' '}"
    return f"{fit.aic - side.exponential_fit.aic:>+7.1f}{gap:>8}{chance:>8}"


def _afterwards(estimates: Estimates) -> Iterator[str]:
    """Markouts by horizon, and what quotes earn once these are paid."""
    unit, copies = estimates.price_unit, estimates.copies
    shown = [each.horizon for each in estimates.markouts][-COLUMNS:]
    if estimates.horizon not in shown:
        shown[0] = estimates.horizon
    yield f"{'the mid after an order, ' + unit:38}" + "".join(f"{f'{each:g} s':>18}" for each in shown)
    for name, title, every in (
        ("touch", "that reached the touch", estimates.touch_markouts),
        ("markout", f"that reached {estimates.markout.offset:.3g} or more", estimates.markouts),
    ):
        found = [each for each in every if each.horizon in shown]
        cells = (with_error(each.move, copies.spread(f"{name}.{each.horizon:g}"), 1) for each in found)
        yield f"{f'  {title} ({found[0].orders:,})':38}" + "".join(f"{cell:>18}" for cell in cells)
    for side in estimates.sides:
        best, gain = side.measured_best_quote()
        net = side.net
        vertex = int(np.nanargmax(net.gain)) if np.isfinite(net.gain).any() else 0
        error = copies.spread(f"{side.reach.side}.net.{vertex}")
        yield (
            f"  {_name(side, estimates)}: best offset {best:.3g}, earns {gain:.3g} {unit} per "
            f"{estimates.asset_unit} and s; after {net.horizon:g} s at most "
            f"{with_error(net.gain[vertex], error, 1)}, at {net.offset[vertex]:.3g}"
        )


def _verdict(estimates: Estimates, asked: Form | None, charge_markout: bool) -> Iterator[str]:
    unit, markout = estimates.price_unit, estimates.markout
    form, sides = estimates.recommended, estimates.sides
    other = asked not in (None, form)
    if form == "exponential":
        use = "." if other else ": the file uses it."
        yield f"FORM    An exponential describes these orders as well as chance allows{use}"
    else:
        worse = [_name(side, estimates) for side in sides if not side.exponential_fit.by_chance]
        where = (
            f"does not describe {' and '.join(worse)}"
            if worse
            else "describes these orders, another form better"
        )
        use = f"the {form} would." if other else f"the problem file uses the {form}."
        yield f"FORM    An exponential {where}: {use}"
        for name in FAMILIES if form == "table" else ():
            if name not in ("exponential", asked) and all(side.usable(name) for side in sides):
                loose = {key: None for side in sides for key in estimates.undetermined(side, name)}
                yield f"        A {name} would do too, but these data hardly hold its {', '.join(loose)}."
    if other:
        yield f"        The problem file uses the {asked}, as asked."
    if not all(side.whole_fit.by_chance for side in sides):
        gap = max(side.whole_fit.gap for side in sides)
        excess = " and ".join(f"{side.touch_excess:.1f}" for side in sides)
        yield f"TOUCH   An exponential of all orders misplaces {100 * gap:.0f}% and misstates the touch. This"
        last = " A quote joining it counts as last in its queue." if estimates.queue == "last" else ""
        yield f"        takes {excess} times what the orders beyond it say.{last}"
    for side in sides:
        for bridge in side.table.bridges:
            yield (
                f"BRIDGE  {_name(side, estimates)}: from {bridge.low:g} to {bridge.high:g} {unit} the table "
                f"says up to {bridge.excess:.1f} times the fills seen."
            )
    if estimates.mistimed:
        yield (
            f"CLOCK   Only {100 * estimates.orders.matched.mean():.0f}% of the orders begin at the touch of "
            "a quote just before them: the clocks"
        )
        yield "        of quotes and trades differ, or quotes are missing or late. Do not trust the markouts."
    if math.isfinite(markout.move) and markout.move > markout.offset:
        yield (
            f"ADVERSE The mid moves {markout.move:.3g} {unit} with an order that reaches "
            f"{markout.offset:.3g}: more than such a fill earns."
        )
        if charge_markout:
            yield "        The problem file charges every fill what the mid does after it; see its comments."
        else:
            yield "        The problem file leaves this out unless asked to charge it; see its comments."
    yield from _day(estimates.day)


def _day(day: DayFactor | str) -> Iterator[str]:
    if isinstance(day, str):
        yield f"DAY     Seasonality {day}"
        return
    whose = "one day's" if day.days == 1 else f"{day.days} days'"
    yield f"DAY     By time of day ({whose}), of the mean:"
    for what, factor, error, chance in (
        ("the rate of orders", day.rate, day.rate_error, day.rate_chance),
        ("σ", day.volatility, day.volatility_error, day.volatility_chance),
    ):
        low, high = int(factor.argmin()), int(factor.argmax())
        yield (
            f"        {what} from {factor[low]:.2f} ± {error[low]:.2f} ({_clock(day.begin[low])}) to "
            f"{factor[high]:.2f} ± {error[high]:.2f} ({_clock(day.begin[high])}); by chance p = {chance:.2g}"
        )


def _clock(hour: float) -> str:
    return f"{int(hour):02d}:{round(60 * (hour % 1)):02d}"


def _name(side: SideIntensity, estimates: Estimates) -> str:
    return "both sides" if estimates.sides_pooled else f"the {side.reach.side}"


def _row(label: str, text: str) -> str:
    return f"{label:12}{text}"
