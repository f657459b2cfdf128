"""Picture of two tables: the quotes of both over inventory, and how far each flow moved."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quotegrid.analysis.figures import ASK, BID, INK, STYLE
from quotegrid.analysis.quotes import inventory_unit, quote_pairs, reference
from quotegrid.tables.documents.difference import Difference, common_axes, on_axes
from quotegrid.tables.policy_table import NamedAxis, PolicyTable


def difference_figure(found: Difference) -> Figure:
    """A printable picture for one asset with quotes; ValueError for several assets, or without quotes.

    Quotes are shown at the start, in the first regime and in the middle of the other axes; the bands on the
    right reach over all of these.
    """
    if len(found.new.symbols) != 1:
        raise ValueError(f"A figure of two tables shows one asset; these have {len(found.new.symbols)}.")
    if not found.new.flows:
        raise ValueError("A figure of two tables shows their quotes; these have none.")
    axes = common_axes(found.old, found.new)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 5.0), dpi=150)
        quotes, moves = figure.subplots(1, 2)
        _draw_quotes(quotes, found, axes)
        _draw_moves(moves, found, axes)
        figure.suptitle(_headline(found), x=0.01, ha="left", fontsize=12, color=INK)
    return figure


def _draw_quotes(panel: Axes, found: Difference, axes: tuple[NamedAxis, ...]) -> None:
    pair, lots, shown = quote_pairs(found.new)[0], axes[-1].nodes, _shown(found.new, axes)
    for table, name, line, width in ((found.old, "old", "--", 1.1), (found.new, "new", "-", 1.7)):
        offset = on_axes(table, table.offset, axes)[shown]
        panel.plot(lots, pair.ask_offset(offset), line, color=ASK, lw=width, label=f"ask, {name}")
        panel.plot(lots, -pair.bid_offset(offset), line, color=BID, lw=width, label=f"bid, {name}")
    panel.axhline(0.0, color=INK, linewidth=0.9)
    panel.legend(loc="upper right", ncols=2)
    panel.set_title(f"Quotes of {pair.name} over inventory{_where(found.new, axes)}")
    panel.set_xlabel(f"inventory ({inventory_unit(found.new)})")
    panel.set_ylabel(f"quote minus {reference(found.new)} ({found.new.price_unit})")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    panel.margins(y=0.18)


def _draw_moves(panel: Axes, found: Difference, axes: tuple[NamedAxis, ...]) -> None:
    """The change of each flow, with a band over what is not on the page."""
    change = on_axes(found.new, found.new.offset, axes) - on_axes(found.old, found.old.offset, axes)
    lots, shown = axes[-1].nodes, _shown(found.new, axes)
    flows = [(number, flow) for number, flow in enumerate(found.new.flows)]
    for number, flow in flows:
        colour = BID if flow.side == "bid" else ASK
        faint = 1.0 if flow.size == min(each.size for _, each in flows) else 0.45
        moves = change[..., number]
        if moves.ndim > 1:
            every = moves.reshape(-1, lots.size)
            known = np.isfinite(every).any(axis=0)
            low, high = np.nanmin(every[:, known], axis=0), np.nanmax(every[:, known], axis=0)
            panel.fill_between(lots[known], low, high, color=colour, alpha=0.15 * faint, linewidth=0)
        label = found.new.flow_labels[number]
        panel.plot(
            lots, moves[shown], color=colour, lw=1.6, alpha=faint, label=label if len(flows) < 7 else None
        )
    panel.axhline(0.0, color=INK, linewidth=0.9)
    if len(flows) < 7:
        panel.legend(loc="best")
    panel.set_title(f"New minus old distance{_over(found.new)}")
    panel.set_xlabel(f"inventory ({inventory_unit(found.new)})")
    panel.set_ylabel(f"change ({found.new.price_unit})")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _shown(table: PolicyTable, axes: tuple[NamedAxis, ...]) -> tuple[int, ...]:
    """The place on all axes but the inventory of what is drawn: start, first regime, middle of factors."""
    middle = [_place(table, number, axis) for number, axis in enumerate(axes[:-1])]
    if table.regime_axis is not None:
        middle.insert(table.regime_axis, 0)
    return tuple(middle)


def _place(table: PolicyTable, number: int, axis: NamedAxis) -> int:
    return 0 if number == 0 and table.times is not None else axis.nodes.size // 2


def _where(table: PolicyTable, axes: tuple[NamedAxis, ...]) -> str:
    """The state that is drawn, in words."""
    words = [f"{axis.name} {axis.nodes[_place(table, n, axis)]:.4g}" for n, axis in enumerate(axes[:-1])]
    if table.regimes:
        words.append(table.regimes[0])
    return f"\nat {', '.join(words)}" if words else ""


def _over(table: PolicyTable) -> str:
    """What the bands reach over."""
    others = [axis.name for axis in table.axes[:-1]] + (["regime"] if table.regimes else [])
    return f"; bands: over {', '.join(others)}" if others else ""


def _headline(found: Difference) -> str:
    largest, words = found.largest_quote_change, [found.new.symbols[0]]
    if np.isinf(largest):
        words.append("some quotes appeared or vanished")
    else:
        words.append(f"largest change of a quote {largest:.3g} {found.new.price_unit}")
    words.append(f"{len(found.parameters)} parameter{'' if len(found.parameters) == 1 else 's'} changed")
    return "   ·   ".join(words)
