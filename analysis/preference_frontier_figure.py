"""The picture of a frontier: expected P&L against the spread of the inventory, and the inventories held."""

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from quotegrid.analysis.evaluation_result import Evaluation
from quotegrid.analysis.figures import ASK, BID, FAINT, INK, STYLE
from quotegrid.models.paths import read

if TYPE_CHECKING:
    from quotegrid.analysis.preference_frontier import PreferenceFrontier

_NAMED = 6  # points of the frontier that carry their parameter's value
_ROOM = 0.08  # of the axis: points nearer than this to a marked one go without


def preference_frontier_figure(frontier: "PreferenceFrontier", value: float | None = None) -> Figure:
    """See `PreferenceFrontier.figure`."""
    own = float(read(frontier.problem, frontier.parameter))
    marked = [("now", own, frontier.at(own), INK)]
    if value is not None:
        marked.append(("then", value, frontier.at(value), ASK))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 5.2), dpi=150)
        trade, held = figure.subplots(1, 2, width_ratios=(1.2, 1.0))
        _draw_trade(trade, frontier, marked)
        _draw_held(held, marked)
        figure.suptitle(_headline(frontier, marked), x=0.01, ha="left", fontsize=12, color=INK)
    return figure


Marked = list[tuple[str, float, Evaluation, str]]


def _risk_and_money(found: Evaluation) -> tuple[float, float]:
    return found.inventory_deviation[0], found.per_hour(found.pnl)


def _draw_trade(axes: Axes, frontier: "PreferenceFrontier", marked: Marked) -> None:
    points = np.array([_risk_and_money(found) for found in frontier.evaluations])
    axes.plot(points[:, 0], points[:, 1], color=BID, linewidth=1.8, zorder=2)
    taken = [_risk_and_money(found)[0] for _, _, found, _ in marked]
    for place in _apart(points, _NAMED):
        if min(abs(points[place, 0] - x) for x in taken) < _ROOM * np.ptp(points[:, 0]):
            continue
        axes.plot(*points[place], marker="o", markersize=4, color=BID, zorder=2)
        _name(axes, points[place], f"{frontier.values[place]:.2g}", BID, (6, -11))
    for word, value, found, colour in marked:
        point = np.array(_risk_and_money(found))
        axes.plot(*point, marker="o", markersize=9, color=colour, zorder=3)
        _name(axes, point, f"{word}: {value:.3g}", colour, (-8, 7))
    found = frontier.evaluations[0]
    axes.set_title(f"What each {frontier.parameter} earns and holds")
    axes.set_xlabel("standard deviation of the inventory (lots)")
    axes.set_ylabel(f"expected P&L ({found.money} per {found.per})")
    axes.margins(x=0.12, y=0.12)


def _name(axes: Axes, point: np.ndarray, text: str, colour: str, away: tuple[float, float]) -> None:
    axes.annotate(
        text,
        (float(point[0]), float(point[1])),
        xytext=away,
        textcoords="offset points",
        ha="left" if away[0] > 0 else "right",
        fontsize=8.5 if away[1] < 0 else 10,
        color=colour,
    )


def _apart(points: np.ndarray, count: int) -> list[int]:
    """Places of so many points that stand evenly apart along the first axis."""
    wanted = np.linspace(points[:, 0].min(), points[:, 0].max(), count)
    return sorted({int(np.abs(points[:, 0] - x).argmin()) for x in wanted})


def _draw_held(axes: Axes, marked: Marked) -> None:
    for word, value, found, colour in marked:
        lots, shares = found.inventories[0], found.marginal()
        first = word == "now"
        axes.bar(
            lots,
            shares,
            width=0.9 * float(np.min(np.diff(lots))),
            color=FAINT if first else "none",
            edgecolor="none" if first else colour,
            linewidth=0.0 if first else 1.4,
            label=f"{word}: {value:.3g}",
        )
    axes.set_title("Share of time at each inventory")
    axes.set_xlabel("inventory (lots)")
    axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="upper right")


def _headline(frontier: "PreferenceFrontier", marked: Marked) -> str:
    symbol = frontier.problem.assets[0].market.symbol
    (risk, money) = _risk_and_money(marked[0][2])
    unit = f"{marked[0][2].money} per {marked[0][2].per}"
    if len(marked) == 1:
        return f"{symbol}: now {money:.4g} {unit} with ± {risk:.3g} lots"
    (risk_then, money_then) = _risk_and_money(marked[1][2])
    return (
        f"{symbol}: from ± {risk:.3g} to ± {risk_then:.3g} lots   ·   "
        f"from {money:.4g} to {money_then:.4g} {unit}"
    )
