"""The fit on one screen of text and as one picture."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quotegrid.calibration.estimates import Estimates, SideIntensity
from quotegrid.calibration.intensity import Fit

BID, ASK, INK, FAINT = "#1b6ca8", "#c1432e", "#222222", "#8a8a8a"
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e7e7e7",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.constrained_layout.use": True,
}


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
        f"{60 * volatility.sigma:.3g} {unit}/√h "
        f"(realised kernel, bandwidth {volatility.bandwidth:.2g} s)",
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
        f"{sizes.quantile(0.75):.3g}); "
        f"{100 * sizes.share_of_at_least(lot):.0f}% are {lot:g} {asset} or more: the lot",
    )
    if contract.inverse:
        yield _row(
            "contract",
            f"inverse: {contract.size:g} {unit} = {contract.units(estimates.reference):.5g} {asset} at the "
            "frozen mid "
            f"{estimates.reference:.2f} {unit}; profit counted in {unit}",
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
    yield row("table: knots, measured + bridging", _knots)
    yield row("  largest gap (chance explains)", lambda side: _gap(side.table_fit))
    yield row(
        "  AIC, less the exponential's", lambda side: f"{side.table_fit.aic - side.exponential_fit.aic:,.1f}"
    )
    yield row("  moved to be fair: rates, best gain", _moved)
    yield row(
        "best offset, flat and patient: measured", lambda side: f"{side.measured_best_quote()[0]:.3g}", unit
    )
    yield row(
        "  what it earns",
        lambda side: f"{side.measured_best_quote()[1]:.3g}",
        f"{unit} per {estimates.asset_unit} and s",
    )


def _verdict(estimates: Estimates) -> Iterator[str]:
    unit, bid, ask, markout = estimates.price_unit, estimates.bid, estimates.ask, estimates.markout
    if estimates.recommended == "exponential":
        yield "FORM    An exponential describes these orders as well as chance allows: the file uses it."
    else:
        worse = " and ".join(side.reach.side for side in (bid, ask) if not side.exponential_fit.by_chance)
        yield f"FORM    An exponential does not describe the {worse}: the problem file uses the table."
    if not (bid.whole_fit.by_chance and ask.whole_fit.by_chance):
        yield (
            "TOUCH   Fitted to all orders an exponential is off by "
            f"{max(bid.whole_fit.gap, ask.whole_fit.gap):.2f} of them "
            f"(k {bid.whole.k:.3g} and {ask.whole.k:.3g} per {unit}): it misstates the touch."
        )
        if estimates.queue == "last":
            yield "        A quote joining the touch counts as last in its queue: orders through it fill it."
    for side in (bid,) if estimates.sides_pooled else (bid, ask):
        for bridge in side.table.bridges:
            name = "both sides" if estimates.sides_pooled else side.reach.side
            yield (
                f"BRIDGE  {name}: from {bridge.low:g} to {bridge.high:g} {unit} the table says up to "
                f"{bridge.excess:.1f} times "
                "the fills measured."
            )
    if math.isfinite(markout.move):
        verdict = (
            "more than such a fill earns" if markout.move > markout.offset else "left out of the problem file"
        )
        yield (
            f"ADVERSE {markout.orders} orders reached {markout.offset:.3g} {unit}; {markout.horizon:g} s "
            "later the mid had moved "
            f"{markout.move:.3g} with them:"
        )
        yield f"        {verdict}. The problem file leaves it out; see its comments."


def _row(label: str, text: str) -> str:
    return f"{label:12}{text}"


def _gap(fit: Fit) -> str:
    return f"{fit.gap:.2f} ({fit.chance:.2f})"


def _knots(side: SideIntensity) -> str:
    measured = int(side.table.measured.sum())
    return f"{measured} + {len(side.table.measured) - measured}"


def _moved(side: SideIntensity) -> str:
    return f"{100 * side.table.moved:.0f}%, {100 * side.table.gain_error:.0f}%"


def figure(estimates: Estimates) -> Figure:
    """Four panels: signature plot, Λ per side, what a quote earns, order sizes."""
    recording, unit = estimates.recording, estimates.price_unit
    begin, _ = estimates.window
    with matplotlib.rc_context(STYLE):
        picture = Figure(figsize=(11.0, 8.0), dpi=150)
        panels = picture.subplots(2, 2)
        _draw_intensity(panels[0, 0], estimates)
        _draw_gain(panels[0, 1], estimates)
        _draw_signature(panels[1, 0], estimates)
        _draw_sizes(panels[1, 1], estimates)
        picture.suptitle(
            f"{estimates.symbol}: {recording.duration:.0f} s from {begin:%Y-%m-%d %H:%M} UTC, "
            f"{len(estimates.orders):,} market orders, σ = {estimates.volatility.sigma:.3g} {unit}/√s",
            x=0.01,
            ha="left",
            fontsize=12,
            color=INK,
        )
    return picture


def _sides(estimates: Estimates) -> tuple[tuple[str, SideIntensity, str], ...]:
    if estimates.sides_pooled:
        return (("both sides", estimates.bid, BID),)
    return ("bid", estimates.bid, BID), ("ask", estimates.ask, ASK)


def _furthest(estimates: Estimates) -> float:
    """Where the pictures of Λ end: a little beyond the last knot."""
    return 1.35 * max(side.table.offset[-1] for _, side, _ in _sides(estimates))


def _draw_intensity(axes: Axes, estimates: Estimates) -> None:
    """Λ on a logarithmic scale: measured steps, table, exponential of the tail."""
    end, unit = _furthest(estimates), estimates.price_unit
    for name, side, colour in _sides(estimates):
        measured, table = side.measured, side.table
        fine = np.linspace(side.reach.touch_offset, end, 600)
        shown = measured.offset <= end
        axes.step(
            measured.offset[shown], measured.rate[shown], where="pre", color=colour, linewidth=0.9, alpha=0.55
        )
        axes.plot(fine, table(fine), color=colour, linewidth=1.6, label=f"{name}: table")
        axes.plot(
            table.offset[table.measured],
            np.exp(table.log_rate[table.measured]),
            "o",
            color=colour,
            markersize=3.5,
        )
        tail = np.linspace(0.0, end, 2)
        axes.plot(tail, side.exponential(tail), color=colour, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.plot([], [], color=FAINT, linewidth=0.9, label="measured (steps), ● knots on it")
    what = "orders through the touch" if estimates.queue == "last" else "all orders"
    axes.plot([], [], color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)), label=f"exponential, {what}")
    axes.set_yscale("log")
    axes.set_xlim(0.0, end)
    axes.set_title("Fill rate Λ: how often orders reach an offset")
    axes.set_xlabel(f"offset from the mid ({unit})")
    axes.set_ylabel("orders per s")
    axes.legend(loc="upper right")


def _draw_gain(axes: Axes, estimates: Estimates) -> None:
    """δΛ(δ): what a quote earns per unit and second against the mid, before risk and adverse moves."""
    end, unit = _furthest(estimates), estimates.price_unit
    top = 0.0
    for name, side, colour in _sides(estimates):
        fine = np.linspace(side.reach.touch_offset, end, 600)
        shown = side.measured.offset <= end
        offset, rate = side.measured.offset[shown], side.measured.rate[shown]
        axes.plot(offset, offset * rate, ".", color=colour, markersize=4, alpha=0.6)
        axes.plot(fine, fine * side.table(fine), color=colour, linewidth=1.6, label=f"{name}: table")
        axes.plot(fine, fine * side.exponential(fine), color=colour, linewidth=1.0, linestyle=(0, (4, 3)))
        best, gain = side.measured_best_quote()
        axes.plot([best], [gain], "o", color=colour, markersize=6, markerfacecolor="none")
        top = max(top, gain)
    axes.plot([], [], ".", color=FAINT, markersize=4, label="measured, ○ its best")
    axes.set_xlim(0.0, end)
    axes.set_ylim(0.0, 1.25 * top)
    axes.set_title("What a quote earns: offset times fill rate")
    axes.set_xlabel(f"offset from the mid ({unit})")
    axes.set_ylabel(f"{unit} per {estimates.asset_unit} and s")
    axes.legend(loc="upper right")


def _draw_signature(axes: Axes, estimates: Estimates) -> None:
    """The signature plot, and what each bandwidth of the kernel gives."""
    volatility = estimates.volatility
    axes.plot(
        volatility.intervals,
        volatility.realised_sigma,
        "o-",
        color=FAINT,
        markersize=3.5,
        linewidth=1.0,
        label="squared moves over an interval",
    )
    axes.errorbar(
        volatility.bandwidths,
        volatility.kernel_sigma,
        volatility.kernel_error,
        fmt="s",
        color=INK,
        markersize=4,
        linewidth=1.0,
        capsize=2,
        label="realised kernel of a bandwidth, ± 1 s.e.",
    )
    axes.axhline(volatility.sigma, color=ASK, linewidth=1.0)
    axes.plot(
        [volatility.bandwidth], [volatility.sigma], "o", color=ASK, markersize=9, markerfacecolor="none"
    )
    axes.annotate(
        f"σ = {volatility.sigma:.3g}",
        (1.0, volatility.sigma),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
        color=ASK,
    )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0.0)
    axes.set_title("Volatility: signature plot and chosen bandwidth")
    axes.set_xlabel("interval or bandwidth (s)")
    axes.set_ylabel(f"{estimates.price_unit} per √s")
    axes.legend(loc="lower right")


def _draw_sizes(axes: Axes, estimates: Estimates) -> None:
    """How many market orders are at least as large as a size."""
    sizes, lot = estimates.sizes.size, estimates.sizes.lot()
    share = 1.0 - np.arange(len(sizes)) / len(sizes)
    axes.step(sizes, 100.0 * share, where="pre", color=INK, linewidth=1.4)
    axes.axvline(lot, color=ASK, linewidth=1.0)
    axes.annotate(
        f"suggested lot: {lot:g} {estimates.asset_unit}",
        (lot, 97.0),
        xytext=(5, 0),
        textcoords="offset points",
        color=ASK,
        va="top",
    )
    axes.set_xscale("log")
    axes.set_ylim(0.0, 102.0)
    axes.set_title("Market orders of at least a size")
    axes.set_xlabel(f"size ({estimates.asset_unit})")
    axes.set_ylabel("% of market orders")
