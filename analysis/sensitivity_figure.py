"""Picture of sensitivities: what a few per cent more of each number does to the quotes over inventory.

On the left the moves of ask and bid offsets (x ∂δ/∂x times the change), a curve for each of the parameters
that move them most, in the same colour on both; on the right the moves of the gain, or of the value at the
target inventory, for the same parameters.
"""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quotegrid.analysis.figures import INK, STYLE
from quotegrid.analysis.quotes import hourly, inventory_unit, quote_pairs
from quotegrid.analysis.sensitivities import Moves, Sensitivities, moves_of
from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable

CHANGE = 0.1  # of each parameter
MOST_CURVES = 6


def sensitivity_figure(found: Sensitivities) -> Figure:
    """A printable picture of a one-asset problem's sensitivities, at the start of a finite horizon.

    Raises ValueError for several assets.
    """
    solution = found.solution
    if len(solution.symbols) != 1:
        raise ValueError(f"A sensitivity figure shows one asset; this problem has {len(solution.symbols)}.")
    table, moves = PolicyTable.from_solution(solution), moves_of(found)
    start = () if solution.times is None else (0,)
    order = moves.strongest_first(*start)[:MOST_CURVES]
    colours = matplotlib.colormaps["tab10"](np.arange(max(len(order), 1)))
    shifts = CHANGE * moves.offset[(slice(None), *start)]
    pair = quote_pairs(table)[0]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 6.0), dpi=150)
        grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1.0))
        ask = figure.add_subplot(grid[0, 0])
        bid = figure.add_subplot(grid[1, 0], sharex=ask)
        for axes, side, offset in ((ask, "ask", pair.ask_offset), (bid, "bid", pair.bid_offset)):
            for place, colour in zip(order, colours, strict=False):
                axes.plot(solution.inventories[0], offset(shifts[place]), color=colour, linewidth=1.6)
            axes.axhline(0.0, color=INK, linewidth=0.8)
            axes.set_title(f"{side} offset ({solution.price_unit})")
        ask.tick_params(labelbottom=False)
        bid.set_xlabel(f"inventory ({inventory_unit(table)})")
        bid.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        _draw_gain(figure.add_subplot(grid[:, 1]), found, moves, order, colours)
        when = "" if solution.times is None else f" at t = {solution.times[0]:g} {solution.time_unit}"
        most = ""
        if order:
            reach = np.nanmax(np.abs(shifts[order[0]]))
            most = f"   ·   {moves.names[order[0]]} moves quotes most: {reach:.2g} {solution.price_unit}"
        figure.suptitle(
            f"{solution.symbols[0]}: {CHANGE:+.0%} of each parameter{when}{most}",
            x=0.01,
            ha="left",
            fontsize=12,
            color=INK,
        )
    return figure


def _draw_gain(axes: Axes, found: Sensitivities, moves: Moves, order: list[int], colours: np.ndarray) -> None:
    """Bars: the move of the gain, or of the value at the target, in the colours of the curves."""
    solution, money = found.solution, money_unit(found.solution.price_unit)
    if moves.gain is not None:
        per, times = hourly(solution.time_unit)
        widths = CHANGE * moves.gain * times
        axes.set_title(f"gain ({money} per {per})")
    else:
        flat = int(np.abs(solution.inventories[0]).argmin())
        widths = CHANGE * (moves.value[:, flat] if solution.times is None else moves.value[:, 0, flat])
        axes.set_title(f"value at inventory {solution.inventories[0][flat]:g} ({money})")
    rows = np.arange(len(order))[::-1]
    axes.barh(rows, widths[order], color=colours[: len(order)], height=0.6)
    axes.set_yticks(rows, [moves.names[row] for row in order])
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
