"""The fit as one picture: Λ per side, what a quote earns, the signature plot, order sizes."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quotegrid.calibration.estimates import Estimates, SideIntensity

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


def fit_figure(estimates: Estimates) -> Figure:
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
            table.vertices,
            table(table.vertices),
            "o",
            color=colour,
            markersize=3.5,
        )
        tail = np.linspace(0.0, end, 2)
        axes.plot(tail, side.exponential(tail), color=colour, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.plot([], [], color=FAINT, linewidth=0.9, label="measured (steps), ● where the table follows")
    what = "orders through the touch" if estimates.queue == "last" else "all orders"
    axes.plot([], [], color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)), label=f"exponential, {what}")
    curves = [side.measured for _, side, _ in _sides(estimates)]
    top = max(float(curve.rate[0]) for curve in curves)
    lowest = min(float(curve.rate[curve.offset <= end].min()) for curve in curves)
    axes.annotate(
        "touch",
        (estimates.bid.reach.touch_offset, top),
        xytext=(6, 2),
        textcoords="offset points",
        color=FAINT,
        fontsize=8.5,
    )
    axes.set_yscale("log")
    axes.set_ylim(0.4 * lowest, 2.0 * top)
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
