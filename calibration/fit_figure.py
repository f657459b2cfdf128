"""The fit as one picture: Λ and its residuals, what quotes earn, markouts, the signature plot, order
sizes."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from quotegrid.calibration.estimates import Estimates
from quotegrid.calibration.seasonality import DayFactor
from quotegrid.calibration.side import Form, SideIntensity

BID, ASK, INK, FAINT = "#1b6ca8", "#c1432e", "#222222", "#8a8a8a"
DASHED = (0, (4, 3))
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
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
    "legend.handlelength": 1.6,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.1,
}


def fit_figure(estimates: Estimates, *, form: Form | None = None) -> Figure:
    """Six panels, and two more over the day where the recording is long enough for it.

    form: of the problem file, where it is not the one that fits.
    """
    shown = form or estimates.recommended
    recording, unit, day = estimates.recording, estimates.price_unit, estimates.day
    begin, _ = estimates.window
    error = estimates.copies.standard_error("volatility", estimates.volatility.sigma)
    with matplotlib.rc_context(STYLE):
        rows = 2 if isinstance(day, str) else 3
        picture = Figure(figsize=(15.0, 4.3 * rows + 0.5), dpi=130)
        grid = picture.add_gridspec(rows, 6)
        places = [(row, slice(2 * column, 2 * column + 2)) for row in range(2) for column in range(3)]
        panels = [picture.add_subplot(grid[place]) for place in places]
        for axes, of_form in zip(panels, (_draw_intensity, _draw_residuals, _draw_gain), strict=False):
            of_form(axes, estimates, shown)
        for axes, panel in zip(panels[3:], (_draw_markouts, _draw_signature, _draw_sizes), strict=True):
            panel(axes, estimates)
        if not isinstance(day, str):
            _draw_day(picture.add_subplot(grid[2, :3]), day, "rate")
            _draw_day(picture.add_subplot(grid[2, 3:]), day, "volatility")
        picture.suptitle(
            f"{estimates.symbol}: {recording.duration:,.0f} s from {begin:%Y-%m-%d %H:%M} "
            f"{recording.quotes.clock}, {len(estimates.orders):,} market orders, σ = "
            f"{estimates.volatility.sigma:.3g} ± {error:.2g} {unit}/√s.  Bars: 95 % intervals",
            x=0.008,
            ha="left",
            fontsize=12.5,
            color=INK,
        )
    return picture


def _sides(estimates: Estimates) -> tuple[tuple[str, SideIntensity, str], ...]:
    if estimates.sides_pooled:
        return (("both sides", estimates.bid, BID),)
    return ("bid", estimates.bid, BID), ("ask", estimates.ask, ASK)


def _furthest(estimates: Estimates) -> float:
    """Where the pictures of Λ end: a little beyond the last knot."""
    return 1.3 * max(side.table.offset[-1] for _, side, _ in _sides(estimates))


def _bars(
    axes: Axes, x: Any, y: Any, low: Any, high: Any, colour: str, marker: str = "o", **more: Any
) -> None:
    """Points with their intervals."""
    y, low, high = np.asarray(y), np.asarray(low), np.asarray(high)
    axes.errorbar(
        x,
        y,
        np.maximum([y - low, high - y], 0.0),
        fmt=marker,
        color=colour,
        markersize=4,
        elinewidth=1.0,
        **more,
    )


def _note(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    coordinates: tuple[str, str],
    away: tuple[float, float],
    colour: str,
) -> None:
    """Words that end beside a line, so many points away from a place on it."""
    axes.annotate(
        text,
        place,
        xycoords=coordinates,
        xytext=away,
        textcoords="offset points",
        ha="right",
        color=colour,
        fontsize=8.5,
    )


def _draw_intensity(axes: Axes, estimates: Estimates, form: Form) -> None:
    """Λ on a logarithmic scale: measured steps with intervals, the form of the file, the exponential."""
    end, unit = _furthest(estimates), estimates.price_unit
    for name, side, colour in _sides(estimates):
        measured, table = side.measured, side.table
        fine = np.linspace(side.reach.touch_offset, end, 600)
        shown = measured.offset <= end
        offset, rate = measured.offset[shown], measured.rate[shown]
        axes.step(offset, rate, where="pre", color=colour, linewidth=0.9, alpha=0.5)
        axes.plot(offset[:1], rate[:1], "o", color=colour, markersize=4, markerfacecolor="white")
        at = table.vertices
        intervals = [
            estimates.copies.interval(f"{side.reach.side}.measured.{i}", value)
            for i, value in enumerate(measured(at).tolist())
        ]
        _bars(axes, at, measured(at), *zip(*intervals, strict=True), colour=colour)
        chosen = table if form == "table" else side.fits[form]
        axes.plot(fine, chosen(fine), color=colour, linewidth=1.7, label=f"{name}: {form}")
        if form != "exponential":
            tail = np.linspace(side.reach.touch_offset, end, 2)
            axes.plot(tail, side.exponential(tail), color=colour, linewidth=1.0, linestyle=DASHED)
    axes.plot([], [], color=FAINT, linewidth=0.9, marker="o", markersize=4, label="measured")
    if form != "exponential":
        what = "orders through the touch" if estimates.queue == "last" else "all orders"
        axes.plot([], [], color=FAINT, linewidth=1.0, linestyle=DASHED, label=f"exponential of {what}")
    curves = [side.measured for _, side, _ in _sides(estimates)]
    top = max(float(curve.rate[0]) for curve in curves)
    lowest = min(float(curve.rate[curve.offset <= end].min()) for curve in curves)
    touch = estimates.bid.reach.touch_offset
    axes.annotate("touch", (touch, top), xytext=(5, 3), textcoords="offset points", color=FAINT, fontsize=8.5)
    axes.set_yscale("log")
    axes.set_ylim(0.4 * lowest, 2.2 * top)
    axes.set_xlim(0.0, end)
    axes.set_title("Fill rate Λ: how often orders reach an offset")
    axes.set_xlabel(f"offset from the mid ({unit})")
    axes.set_ylabel("orders per s")
    axes.legend(loc="upper right")


def _draw_residuals(axes: Axes, estimates: Estimates, form: Form) -> None:
    """(seen - said)/√said of the orders in each cell, for the exponential and the form of the file."""
    unit = estimates.price_unit
    largest = 3.0
    axes.axhspan(-2.0, 2.0, color="#f0f0f0", zorder=0)
    axes.axhline(0.0, color=FAINT, linewidth=0.8)
    for name, side, colour in _sides(estimates):
        if form != "exponential":
            fit = side.fit_of(form)
            label = f"{name}: {form}, p = {fit.p_value:.2g}"
            axes.plot(fit.offset, fit.residual, "o-", color=colour, markersize=4, linewidth=0.8, label=label)
            largest = max(largest, float(np.abs(fit.residual).max()))
        fit = side.exponential_fit
        axes.plot(
            fit.offset,
            fit.residual,
            "o" if form == "exponential" else "s",
            color=colour,
            markersize=4,
            markerfacecolor="white",
            linestyle=DASHED,
            linewidth=0.8,
            label=f"{name}: exponential, p = {fit.p_value:.2g}",
        )
        largest = max(largest, float(np.abs(fit.residual).max()))
    axes.set_ylim(-1.15 * largest, 1.6 * largest)
    axes.set_title("Residuals: orders seen against said (±2 by chance)")
    axes.set_xlabel(f"offset from the mid ({unit})")
    axes.set_ylabel("(seen − said) / √said")
    axes.legend(loc="upper right", ncols=1 if form == "exponential" else 2, columnspacing=1.0)


def _draw_gain(axes: Axes, estimates: Estimates, form: Form) -> None:
    """δΛ(δ), what a quote earns against the mid at the fill, and against the mid some time later."""
    end, unit = _furthest(estimates), estimates.price_unit
    values = [0.0]
    for name, side, colour in _sides(estimates):
        fine = np.linspace(side.reach.touch_offset, end, 600)
        chosen = side.table if form == "table" else side.fits[form]
        axes.plot(fine, fine * chosen(fine), color=colour, linewidth=1.7, label=f"{name}: at the fill")
        shown = side.measured.offset <= end
        offset, rate = side.measured.offset[shown], side.measured.rate[shown]
        axes.plot(offset, offset * rate, ".", color=colour, markersize=3.5, alpha=0.5)
        half = estimates.copies.blocks.quantile * np.array(
            [estimates.copies.spread(f"{side.reach.side}.net.{i}") for i in range(len(side.net.offset))]
        )
        net = side.net
        _bars(
            axes, net.offset, net.gain, net.gain - half, net.gain + half, colour, "s", markerfacecolor="white"
        )
        axes.plot(net.offset, net.gain, color=colour, linewidth=0.9, linestyle=DASHED)
        values += [side.measured_best_quote()[1], *net.gain[np.isfinite(net.gain)].tolist()]
    horizon = estimates.horizon
    axes.plot(
        [],
        [],
        color=FAINT,
        marker="s",
        markersize=4,
        markerfacecolor="white",
        linestyle=DASHED,
        label=f"the same {horizon:g} s later",
    )
    axes.axhline(0.0, color=INK, linewidth=0.8)
    top, bottom = max(values), min(values)
    axes.set_xlim(0.0, end)
    axes.set_ylim(bottom - 0.15 * (top - bottom), top + 0.4 * (top - bottom))
    axes.set_title("What a quote earns: fill rate × (offset − move after it)")
    axes.set_xlabel(f"offset from the mid ({unit})")
    axes.set_ylabel(f"{unit} per {estimates.asset_unit} and s")
    axes.legend(loc="upper right")


def _draw_markouts(axes: Axes, estimates: Estimates) -> None:
    """The mean move of the mid with an order, by horizon, against what a fill earns."""
    unit, copies = estimates.price_unit, estimates.copies
    quantile = copies.blocks.quantile
    for name, found, colour, marker, what in (
        ("markout", estimates.markouts, INK, "o", f"that reached {estimates.markout.offset:.3g}"),
        ("touch", estimates.touch_markouts, FAINT, "s", "that reached the touch"),
    ):
        move = np.array([each.move for each in found])
        half = quantile * np.array([copies.spread(f"{name}.{each.horizon:g}") for each in found])
        label = f"orders {what} ({found[0].orders:,})"
        place = np.array([each.horizon for each in found]) * (1.0 if name == "touch" else 1.06)
        _bars(axes, place, move, move - half, move + half, colour, marker, label=label)
        axes.plot(place, move, color=colour, linewidth=0.8)
    offset = estimates.markout.offset
    axes.axhline(offset, color=ASK, linewidth=1.0, linestyle=DASHED)
    _note(axes, f"a fill at {offset:.3g} earns this", (1.0, offset), ("axes fraction", "data"), (-4, 4), ASK)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xticks([each.horizon for each in estimates.markouts])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(LogLocator(subs=()))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.25 * (high - low))
    axes.set_title("Markout: how the mid moves with an order")
    axes.set_xlabel("s after the order")
    axes.set_ylabel(unit)
    axes.legend(loc="upper left")


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
    wide = 1.96 * volatility.kernel_error
    sigma = volatility.kernel_sigma
    label = "realised kernel of a bandwidth (bars: of a diffusion)"
    _bars(axes, volatility.bandwidths, sigma, sigma - wide, sigma + wide, INK, "s", label=label)
    low, high = estimates.copies.interval("volatility", volatility.sigma)
    axes.axhspan(low, high, color=ASK, alpha=0.12, linewidth=0.0)
    axes.axhline(volatility.sigma, color=ASK, linewidth=1.0)
    axes.plot(
        [volatility.bandwidth], [volatility.sigma], "o", color=ASK, markersize=9, markerfacecolor="none"
    )
    axes.annotate(
        f"σ = {volatility.sigma:.3g}",
        (0.0, volatility.sigma),
        xycoords=("axes fraction", "data"),
        xytext=(5, 4),
        textcoords="offset points",
        color=ASK,
    )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0.0)
    axes.set_title("Volatility: signature plot and chosen bandwidth")
    axes.set_xlabel("interval or bandwidth (s)")
    axes.set_ylabel(f"{estimates.price_unit} per √s")
    axes.legend(loc="lower right")


def _draw_sizes(axes: Axes, estimates: Estimates) -> None:
    """How often market orders of at least a size come."""
    unit, lot = estimates.contract.units(estimates.reference), estimates.sizes.lot()
    for name, side, colour in _sides(estimates):
        sizes = np.sort(estimates.orders.size[side.filled_by(estimates.orders)] * unit)
        seconds = side.streams * estimates.recording.duration
        rate = np.arange(len(sizes), 0, -1) / seconds
        axes.step(sizes, rate, where="post", color=colour, linewidth=1.2, label=name)
        rungs = estimates.rates(side)
        intervals = [
            estimates.copies.interval(f"{side.reach.side}.size.{i}", value) for i, value in enumerate(rungs)
        ]
        _bars(axes, estimates.ladder, rungs, *zip(*intervals, strict=True), colour=colour)
    axes.axvline(lot, color=INK, linewidth=1.0)
    suggested = f"suggested lot: {lot:g} {estimates.asset_unit}"
    _note(axes, suggested, (lot, 0.03), ("data", "axes fraction"), (-5, 0), INK)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title("Market orders of at least a size")
    axes.set_xlabel(f"size ({estimates.asset_unit})")
    axes.set_ylabel("orders per s")
    axes.legend(loc="upper right")


def _draw_day(axes: Axes, day: DayFactor, what: str) -> None:
    """Factors of one kind over the day."""
    rate = what == "rate"
    factor, error = (day.rate, day.rate_error) if rate else (day.volatility, day.volatility_error)
    colour = BID if rate else ASK
    middle = day.begin + 0.5 * day.width
    wide = np.exp(1.96 * error / factor)
    axes.bar(middle, factor, width=0.92 * day.width, color=colour, alpha=0.25)
    _bars(axes, middle, factor, factor / wide, factor * wide, colour)
    axes.axhline(1.0, color=INK, linewidth=0.8)
    axes.set_title(
        "Rate of market orders over the day, ÷ its mean" if rate else "Volatility over the day, ÷ its mean"
    )
    axes.set_xlabel("hour of the day")
    axes.set_xticks(np.arange(np.floor(day.begin[0]), np.ceil(day.begin[-1] + day.width) + 0.5))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0.0)
