"""Picture of uncertain quotes: 95 % bands around bid and ask over inventory, and what to measure better."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from quotegrid.analysis.figures import ASK, BID, INK, STYLE
from quotegrid.analysis.quotes import hourly, inventory_unit, quote_pairs, reference
from quotegrid.analysis.uncertain_quotes import TWO_SIDED_95, ResolvedErrors, UncertainQuotes
from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable

MOST_BARS = 8


def uncertainty_figure(found: UncertainQuotes, resolved: ResolvedErrors | None = None) -> Figure:
    """A printable picture for one asset, at the start of a finite horizon; ValueError for several.

    With `resolved`, the bands of solutions with drawn parameters are drawn as dotted lines.
    """
    solution = found.solution
    if len(solution.symbols) != 1:
        raise ValueError(f"An uncertainty figure shows one asset; this problem has {len(solution.symbols)}.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 5.6), dpi=150)
        quotes, bars = figure.subplots(1, 2, width_ratios=(1.5, 1.0))
        _draw_bands(quotes, found, resolved)
        _draw_sources(bars, found)
        figure.suptitle(_headline(found), x=0.01, ha="left", fontsize=12, color=INK)
    return figure


def _draw_bands(axes: Axes, found: UncertainQuotes, resolved: ResolvedErrors | None) -> None:
    table = PolicyTable.from_solution(found.solution)
    start = () if table.times is None else (0,)
    pair, (low, high) = quote_pairs(table)[0], found.band()
    inventory = table.inventories[0]
    for offset, sign, colour, name in ((pair.ask_offset, 1, ASK, "ask"), (pair.bid_offset, -1, BID, "bid")):
        below, middle, above = (sign * offset(x[start]) for x in (low, table.offset, high))
        axes.fill_between(inventory, below, above, color=colour, alpha=0.22, linewidth=0)
        axes.plot(inventory, middle, color=colour, linewidth=1.6, label=name)
        if resolved is not None:
            room = TWO_SIDED_95 * offset(resolved.offset[start])
            for edge in (middle - room, middle + room):
                axes.plot(inventory, edge, color=INK, linewidth=1.1, linestyle=(0, (1, 1.5)))
    if resolved is not None:
        label = f"95 % of {len(resolved.solutions)} solutions"
        axes.plot([], [], color=INK, linewidth=1.1, linestyle=(0, (1, 1.5)), label=label)
    axes.axhline(0.0, color=INK, linewidth=0.9)
    axes.legend(loc="upper right")
    axes.set_title("Quotes over inventory, with 95 % bands from the parameters' errors")
    axes.set_xlabel(f"inventory ({inventory_unit(table)})")
    axes.set_ylabel(f"quote minus {reference(table)} ({table.price_unit})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _draw_sources(axes: Axes, found: UncertainQuotes) -> None:
    """Bars: what part of the variance would go if a parameter were known exactly."""
    shown = found.ranking[:MOST_BARS]
    rows = np.arange(len(shown))[::-1]
    both = found.gain_error is not None
    height = 0.3 if both else 0.5
    axes.barh(
        rows + (height / 2 if both else 0),
        [s.of_quotes for s in shown],
        height,
        color=INK,
        label="of the quotes",
    )
    if both:
        axes.barh(
            rows - height / 2, [s.of_gain or 0.0 for s in shown], height, color="#c9a227", label="of the gain"
        )
        axes.legend(loc="lower right")
    axes.set_yticks(rows, [source.name for source in shown])
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y", visible=False)
    axes.set_title("Variance that would go if known exactly")


def _headline(found: UncertainQuotes) -> str:
    solution = found.solution
    words = [solution.symbols[0]]
    if solution.gain is not None and found.gain_error is not None:
        per, times = hourly(solution.time_unit)
        money = money_unit(solution.price_unit)
        room = TWO_SIDED_95 * found.gain_error * times
        words.append(f"gain {solution.gain * times:.4g} ± {room:.2g} {money} per {per}")
    if solution.times is not None:
        words.append(f"at t = {solution.times[0]:g} {solution.time_unit}")
    return "   ·   ".join(words)
