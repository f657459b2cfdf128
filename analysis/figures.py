"""Pictures of a policy table.

`policy_figure` shows the quotes as a trader sees them: for every inventory the ask at +ask_offset and the bid
at -bid_offset around the reference price, and beside them half-spread, skew, and the value θ of holding that
inventory beyond its mark. Everything is read from the table, which carries its units; JAX is not needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, MultipleLocator

from quotegrid.analysis.quotes import (
    QuotePair,
    currency,
    inventory_unit,
    market,
    nearest_times,
    per_time,
    quote_pairs,
    reference,
)
from quotegrid.tables.parameter_stack import middle_point, point_name
from quotegrid.tables.policy_table import PolicyTable

Colour = tuple[float, float, float, float] | str

BID, ASK, INK, FAINT, TINT = "#1b6ca8", "#c1432e", "#222222", "#b9b9b9", "#f4f1ea"
STYLE = {
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
FRACTIONS_OF_HORIZON = (0.0, 0.5, 0.9, 0.99, 1.0)
MOST_MARKERS = 70  # more lattice points than this run together
MOST_TICK_MARKS = 100  # and so do more marks on a scale


@dataclass(frozen=True)
class Slice:
    """The table at one stored time, or all of a stationary one.

    offset: float[inventory, flow] in price units, NaN where off; value: float[inventory] in currency.
    """

    label: str
    offset: np.ndarray
    value: np.ndarray


@dataclass(frozen=True)
class Curve:
    """What one pair of flows quotes over inventory at one time, and in which colours."""

    label: str
    offset: np.ndarray
    pair: QuotePair
    bid_colour: Colour
    ask_colour: Colour


def policy_figure(table: PolicyTable) -> Figure:
    """A printable picture of a one-asset table: quotes over inventory, half-spread, skew and value.

    A finite horizon is shown at a few times up to its end, a ladder of sizes at the start, a table over
    parameters at the middle of its parameter axes. Raises ValueError for a table of several assets, or of no
    quotes.
    """
    numbers, table = middle_point(table)
    if len(table.symbols) != 1:
        names = ", ".join(table.symbols)
        raise ValueError(f"A policy figure shows one asset; this table has {len(table.symbols)}: {names}.")
    if not table.flows:
        raise ValueError("A policy figure shows quotes; this table has none.")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 6.4), dpi=150)
        grid = figure.add_gridspec(3, 2, width_ratios=(1.65, 1.0))
        quotes = figure.add_subplot(grid[:, 0])
        panels = [figure.add_subplot(grid[row, 1], sharex=quotes) for row in range(3)]
        slices = tuple(_slices(table))
        _draw_quotes(quotes, table, slices)
        _draw_side_panels(panels, table, slices)
        figure.suptitle(_headline(table, numbers), x=0.01, ha="left", fontsize=12, color=INK)
    return figure


def _slices(table: PolicyTable) -> Iterator[Slice]:
    """The stored times nearest to a few fractions of the horizon, or the one slice of a stationary table."""
    if table.times is None:
        yield Slice("", table.offset, table.value)
        return
    for index in nearest_times(table.times, FRACTIONS_OF_HORIZON):
        label = f"t = {table.times[index]:.4g} {table.time_unit}"
        yield Slice(label, table.offset[index], table.value[index])


def _curves(table: PolicyTable, slices: Sequence[Slice]) -> list[Curve]:
    """A ladder's sizes at the start, or the one size at each time, told apart by shade."""
    pairs, start = quote_pairs(table), slices[0]
    if len(pairs) > 1:
        shades = zip(_shades("Blues", len(pairs)), _shades("Reds", len(pairs)), strict=True)
        return [
            Curve(
                f"{pair.name} ({pair.size} lot{'s' if pair.size > 1 else ''})", start.offset, pair, bid, ask
            )
            for pair, (bid, ask) in zip(pairs, shades, strict=True)
        ]
    if len(slices) > 1:
        shades = _shades("viridis", len(slices))
        return [
            Curve(each.label, each.offset, pairs[0], shade, shade)
            for each, shade in zip(slices, shades, strict=True)
        ]
    return [Curve("", start.offset, pairs[0], BID, ASK)]


def _draw_quotes(axes: Axes, table: PolicyTable, slices: Sequence[Slice]) -> None:
    """Ask above and bid below the reference, at every inventory."""
    inventory, curves = table.inventories[0], _curves(table, slices)
    marker = "o" if inventory.size <= MOST_MARKERS else ""
    axes.axhline(0.0, color=INK, linewidth=0.9)
    for curve in curves:
        bid, ask = -curve.pair.bid_offset(curve.offset), curve.pair.ask_offset(curve.offset)
        for quote, colour in ((bid, curve.bid_colour), (ask, curve.ask_colour)):
            axes.plot(inventory, quote, color=colour, linewidth=1.6, marker=marker, markersize=2.6)
    if len(curves) == 1:
        _name_sides(axes, inventory, curves[0])
    else:
        is_ladder = curves[0].pair != curves[1].pair
        _add_legend(axes, curves, title=f"at {slices[0].label}" if is_ladder and slices[0].label else None)
    axes.set_title("Quotes over inventory: ask above, bid below")
    axes.set_xlabel(f"inventory ({inventory_unit(table)})")
    axes.set_ylabel(f"quote minus {reference(table)} ({table.price_unit})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.margins(x=0.04, y=0.08)
    _mark_limits(axes, inventory)
    _mark_ticks(axes, table)


def _name_sides(axes: Axes, inventory: np.ndarray, curve: Curve) -> None:
    """Write "ask" and "bid" at their lines and tint what lies between them."""
    bid, ask = -curve.pair.bid_offset(curve.offset), curve.pair.ask_offset(curve.offset)
    middle = inventory.size // 2
    for name, quote, colour, outwards in (("ask", ask, ASK, 1), ("bid", bid, BID, -1)):
        if np.isfinite(quote[middle]):
            axes.annotate(
                name,
                (inventory[middle], quote[middle]),
                xytext=(7 * outwards, 7 * outwards),
                textcoords="offset points",
                color=colour,
                ha="left" if outwards > 0 else "right",
                va="bottom" if outwards > 0 else "top",
                fontsize=10.5,
            )
    axes.fill_between(inventory, bid, ask, color=TINT, zorder=0)


def _add_legend(axes: Axes, curves: Sequence[Curve], title: str | None) -> None:
    handles = []
    for curve in curves:
        colours = dict.fromkeys((curve.bid_colour, curve.ask_colour))
        handles.append(tuple(Line2D([], [], color=colour) for colour in colours))
    labels = [curve.label for curve in curves]
    axes.legend(
        handles,
        labels,
        handler_map={tuple: HandlerTuple(ndivide=None)},
        title=title,
        loc="lower left",  # bids rise to the left, so there is room; a little inwards of the limit
        bbox_to_anchor=(0.07, 0.0),
    )


def _mark_limits(axes: Axes, inventory: np.ndarray) -> None:
    """Dashed lines at the inventory limits, named where quotes leave room: bottom left and top right."""
    for limit, height, side, inwards in ((inventory[0], 0.0, "left", 4), (inventory[-1], 1.0, "right", -4)):
        axes.axvline(limit, color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)
        axes.annotate(
            f"limit {limit:+g}".replace("-", "\N{MINUS SIGN}"),
            (limit, height),
            xycoords=("data", "axes fraction"),
            xytext=(inwards, inwards),
            textcoords="offset points",
            rotation=90,
            ha=side,
            va="bottom" if side == "left" else "top",
            fontsize=8.5,
            color="#777777",
        )


def _mark_ticks(axes: Axes, table: PolicyTable) -> None:
    """A second scale in ticks where the market has a tick size and prices are not in ticks already."""
    tick = market(table).get("tick_size")
    if tick is None or tick == 1.0:
        return
    scale = axes.secondary_yaxis("right", functions=(lambda price: price / tick, lambda ticks: ticks * tick))
    scale.set_ylabel(f"in ticks of {tick:g} {table.price_unit}")
    scale.spines["right"].set_visible(True)
    low, high = axes.get_ylim()
    if (high - low) / tick <= MOST_TICK_MARKS:
        scale.yaxis.set_minor_locator(MultipleLocator(1.0))


def _draw_side_panels(panels: Sequence[Axes], table: PolicyTable, slices: Sequence[Slice]) -> None:
    """Half-spread, skew and value: of each size at the start, or of the one size at the times shown."""
    half_spread, skew, value = panels
    inventory, pairs = table.inventories[0], quote_pairs(table)
    by, when = "", ""
    if len(pairs) > 1:
        slices = slices[:1]
        by, when = " by size, darker is larger", f" at {slices[0].label}" if slices[0].label else ""
        curves = zip(pairs, [slices[0]] * len(pairs), _shades("Greys", len(pairs)), strict=True)
    else:
        shades = [INK] if len(slices) == 1 else _shades("viridis", len(slices))
        curves = zip(pairs * len(slices), slices, shades, strict=True)
    for pair, each, shade in curves:
        half_spread.plot(inventory, pair.spread(each.offset) / 2, color=shade, linewidth=1.4)
        skew.plot(inventory, pair.skew(each.offset), color=shade, linewidth=1.4)
    for each, shade in zip(
        slices, [INK] if len(slices) == 1 else _shades("viridis", len(slices)), strict=True
    ):
        value.plot(inventory, each.value, color=shade, linewidth=1.4)
    half_spread.set_title(f"Half-spread ({table.price_unit}){by}")
    skew.set_title(f"Skew ({table.price_unit}): centre of quotes minus {reference(table)}")
    skew.axhline(0.0, color=INK, linewidth=0.8)
    value.set_title(f"Value beyond the mark ({currency(table)}){when}")
    value.set_xlabel(f"inventory ({inventory_unit(table)})")
    for axes in (half_spread, skew):
        axes.tick_params(labelbottom=False)
    for axes in panels:
        axes.ticklabel_format(axis="y", useOffset=False)
        _leave_flat_lines_flat(axes)


def _leave_flat_lines_flat(axes: Axes) -> None:
    """Do not magnify rounding: a curve that varies by less than 1 % of its size gets that much room."""
    low, high = axes.get_ylim()
    middle, least = (low + high) / 2, 0.01 * max(abs(low), abs(high))
    if high - low < least:
        axes.set_ylim(middle - least, middle + least)


def _shades(name: str, count: int) -> list[Colour]:
    """That many colours, from light to dark or dark to light, without the palest end of the map."""
    low, high = (0.0, 0.9) if name == "viridis" else (0.35, 0.95)
    colours = matplotlib.colormaps[name]
    return [colours(position) for position in np.linspace(low, high, count)]


def _headline(table: PolicyTable, numbers: Mapping[str, float]) -> str:
    words = [table.symbols[0]]
    if numbers:
        words.append(point_name(numbers))
    if table.times is not None:
        words.append(f"horizon {table.times[-1]:g} {table.time_unit}")
    if table.gain is not None:
        words.append(f"gain {per_time(table.gain, currency(table), table.time_unit)}")
    if table.status != "converged":
        words.append(table.status)
    return "   ·   ".join(words)
