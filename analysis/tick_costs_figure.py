"""The picture of what ticks cost: money per hour over the size of the tick."""

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from quotegrid.analysis.figures import ASK, BID, FAINT, INK, STYLE

if TYPE_CHECKING:
    from quotegrid.analysis.tick_costs import TickCosts

_NOTHING = 1e-9  # of the optimum: a loss below it is rounding of the arithmetic


def tick_costs_figure(costs: "TickCosts") -> Figure:
    """See `TickCosts.figure`."""
    best = costs.best
    worth = best.per_hour(best.certainty_equivalent)
    market = costs.problem.assets[0].market
    lines = (
        ("rounded outwards", costs.rounded["outwards"], "#c98a1b", "-"),
        ("rounded inwards", costs.rounded["inwards"], ASK, "-"),
        ("rounded to the nearest", costs.rounded["nearest"], BID, "-"),
        ("solved on ticks", costs.solved, INK, "--"),
    )
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.5, 5.0), dpi=150)
        axes = figure.subplots()
        for name, losses, colour, dashes in lines:
            shown = np.where(losses > _NOTHING * abs(worth), losses, np.nan)
            axes.plot(
                costs.ticks, shown, color=colour, linestyle=dashes, marker="o", markersize=3.5, label=name
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        if market.tick_size is not None:
            tick = float(market.tick_size)
            axes.axvline(tick, color=FAINT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=0)
            axes.annotate(
                f"the market's tick, {tick:g}",
                (tick, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(-4, -4),
                textcoords="offset points",
                rotation=90,
                ha="right",
                va="top",
                fontsize=8.5,
                color="#777777",
            )
        axes.set_xticks(costs.ticks, [f"{tick:g}" for tick in costs.ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(f"tick ({best.price_unit})")
        axes.set_ylabel(f"loss against quotes without ticks ({best.money} per {best.per})")
        axes.legend(loc="upper left", bbox_to_anchor=(0.06, 1.0))
        first, last = (f"{costs.ticks[place]:g}" for place in (0, -1))
        nearest, solved = costs.rounded["nearest"], costs.solved
        figure.suptitle(
            f"{market.symbol}: what ticks cost, of {worth:.3g} {best.money} per {best.per}\n"
            f"a tick of {first}: {nearest[0]:.2g} rounded, {solved[0]:.2g} solved for;   "
            f"of {last}: {nearest[-1]:.2g} and {solved[-1]:.2g}",
            x=0.01,
            ha="left",
            fontsize=12,
            color=INK,
        )
    return figure
