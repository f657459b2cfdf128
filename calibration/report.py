"""The fit on one screen of text."""

import math
from collections.abc import Callable, Iterator

from quotegrid.calibration.estimates import Estimates, SideIntensity
from quotegrid.calibration.intensity import Fit


def summary(estimates: Estimates) -> str:
    """What was measured, on one screen of at most 100 columns, with units."""
    lines = [*_head(estimates), "", *_intensities(estimates), "", *_verdict(estimates)]
    return "\n".join(line.rstrip() for line in lines)


def _head(estimates: Estimates) -> Iterator[str]:
    recording, unit, asset = estimates.recording, estimates.price_unit, estimates.asset_unit
    volatility, sizes, contract = estimates.volatility, estimates.sizes, estimates.contract
    begin, end = estimates.window
    window = f"{begin:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC"
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
    yield _row(
        "volatility",
        f"σ = {volatility.sigma:.3g} ± {volatility.standard_error:.2g} {unit}/√s, "
        f"{60 * volatility.sigma:.3g} {unit}/√h (realised kernel, bandwidth {volatility.bandwidth:.2g} s)",
    )
    yield _row(
        "",
        f"moves over {volatility.intervals[0]:.2g} s alone would say {volatility.realised_sigma[0]:.3g}, "
        f"over {volatility.intervals[-1]:.2g} s {volatility.realised_sigma[-1]:.3g}",
    )
    lot = sizes.lot()
    yield _row(
        "sizes",
        f"median order {sizes.quantile(0.5):.3g} {asset} (quartiles {sizes.quantile(0.25):.3g}, "
        f"{sizes.quantile(0.75):.3g}); {100 * sizes.share_of_at_least(lot):.0f}% are {lot:g} {asset} or "
        "more: the lot",
    )
    if contract.inverse:
        yield _row(
            "contract",
            f"inverse: {contract.size:g} {unit} = {contract.units(estimates.reference):.5g} {asset} at the "
            f"frozen mid {estimates.reference:.2f} {unit}; profit counted in {unit}",
        )


def _intensities(estimates: Estimates) -> Iterator[str]:
    unit, bid, ask = estimates.price_unit, estimates.bid, estimates.ask

    def row(label: str, of: Callable[[SideIntensity], str], units: str = "") -> str:
        return f"{label:50}{of(bid):>14}{of(ask):>14}  {units}"

    title = "Λ(δ): orders that reach δ from the mid"
    yield f"{title:50}{'bid':>14}{'ask':>14}" + ("  (pooled)" if estimates.sides_pooled else "")
    yield row("touch (median half-spread)", lambda side: f"{side.reach.touch_offset:g}", unit)
    yield row("  orders that reach it", lambda side: f"{side.measured.rate[0]:.3g}", "per s")
    yield row(
        "described: orders that reach",
        lambda side: f"{side.start * side.reach.half_tick:g}",
        f"{unit} or more",
    )
    yield row("  orders", lambda side: f"{side.exponential.orders:,}")
    yield row("exponential: A", lambda side: f"{side.exponential.A:.3g}", "per s")
    yield row("             k", lambda side: f"{side.exponential.k:.3g}", f"per {unit}")
    yield row("  largest gap (chance explains)", lambda side: _gap(side.exponential_fit))
    yield row("  orders at the touch, seen ÷ said", lambda side: f"{side.touch_excess:.1f}")
    yield row("table: knots (measured rates it follows)", _knots)
    yield row("  largest gap (chance explains)", lambda side: _gap(side.table_fit))
    yield row(
        "  AIC, less the exponential's", lambda side: f"{side.table_fit.aic - side.exponential_fit.aic:,.1f}"
    )
    yield row("  differs from measured: rates, best gain", _moved)
    yield row(
        "best offset, flat and patient: measured", lambda side: f"{side.measured_best_quote()[0]:.3g}", unit
    )
    yield row(
        "  what it earns",
        lambda side: f"{side.measured_best_quote()[1]:.3g}",
        f"{unit} per {estimates.asset_unit} and s",
    )


def _verdict(estimates: Estimates) -> Iterator[str]:
    unit, markout = estimates.price_unit, estimates.markout
    sides = (estimates.bid,) if estimates.sides_pooled else (estimates.bid, estimates.ask)
    if estimates.recommended == "exponential":
        yield "FORM    An exponential describes these orders as well as chance allows: the file uses it."
    else:
        worse = " and ".join(_name(side, estimates) for side in sides if not side.exponential_fit.by_chance)
        yield f"FORM    An exponential does not describe {worse}: the problem file uses the table."
    if not all(side.whole_fit.by_chance for side in sides):
        gap = max(side.whole_fit.gap for side in sides)
        decay = " and ".join(f"{side.whole.k:.3g}" for side in sides)
        yield f"TOUCH   An exponential of all orders (k {decay} per {unit}) misplaces {100 * gap:.0f}%:"
        last = " A quote joining it counts as last in its queue: orders through it fill it."
        yield f"        it misstates the touch.{last if estimates.queue == 'last' else ''}"
    for side in sides:
        for bridge in side.table.bridges:
            yield (
                f"BRIDGE  {_name(side, estimates)}: from {bridge.low:g} to {bridge.high:g} {unit} the table "
                f"says up to {bridge.excess:.1f} times the fills seen."
            )
    if math.isfinite(markout.move):
        verdict = " more than such a fill earns." if markout.move > markout.offset else ""
        yield (
            f"ADVERSE {markout.orders} orders reached {markout.offset:.3g} {unit}; {markout.horizon:g} s "
            f"later the mid had moved {markout.move:.3g} with them:"
        )
        yield f"       {verdict} The problem file leaves this out; see its comments."


def _name(side: SideIntensity, estimates: Estimates) -> str:
    return "both sides" if estimates.sides_pooled else f"the {side.reach.side}"


def _row(label: str, text: str) -> str:
    return f"{label:12}{text}"


def _gap(fit: Fit) -> str:
    return f"{fit.gap:.2f} ({fit.chance:.2f})"


def _knots(side: SideIntensity) -> str:
    return f"{len(side.table.offset)} ({len(side.table.vertices)})"


def _moved(side: SideIntensity) -> str:
    return f"{100 * side.table.moved:.0f}%, {100 * side.table.gain_error:.0f}%"
