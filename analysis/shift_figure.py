"""Picture of a change: the quotes as they were, solved again, and shifted to first order without a solve."""

from dataclasses import dataclass

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quotegrid.analysis.figures import ASK, BID, INK, STYLE
from quotegrid.analysis.quotes import QuotePair, inventory_unit, quote_pairs, reference
from quotegrid.analysis.sensitivities import Sensitivities, for_table
from quotegrid.models.paths import replace
from quotegrid.solver.solution import Solution
from quotegrid.solver.solve import solve
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.quoter import Quoter
from quotegrid.tables.shifts import Change

_ROUNDING = 1e-9  # of the largest offset: a smaller move is none


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Quotes before and after some parameters changed; offsets in price units, NaN where off."""

    parameters: dict[str, tuple[float, float]]  # path → (before, after)
    table: PolicyTable  # before
    solved: Solution  # after
    shifted: Float[np.ndarray, "inventory flow"]  # to first order
    estimate: Float[np.ndarray, "inventory flow"]  # of the shift's error; NaN where none is made

    def __repr__(self) -> str:
        changes = ", ".join(f"{path} {old:.4g} → {new:.4g}" for path, (old, new) in self.parameters.items())
        return (
            f"<Shift of {changes}: quotes move up to {self.largest_move:.3g} {self.table.price_unit}, "
            f"the first order is up to {self.largest_miss:.3g} off>"
        )

    @property
    def largest_move(self) -> float:
        """How far any quote moves, price."""
        return _largest(self.solved.offset - self.table.offset)

    @property
    def largest_miss(self) -> float:
        """How far the first order is off anywhere, price."""
        return _largest(self.shifted - self.solved.offset)


def shift(found: Sensitivities, **changes: Change) -> Shift:
    """Solve again with other parameters, and shift to first order, for comparison.

    Args:
        found: sensitivities with curvature, of one asset and a horizon without an end.
        changes: by path, a new value or a relative change such as "+10%"; as paths hold dots:
            `shift(found, **{"price.volatility": "+10%"})`.

    Raises:
        ValueError: several assets, a finite horizon, or sensitivities without curvature.
        QuoteError: a parameter whose derivative is not among the sensitivities.
        ProblemError, SolveError: there is no problem, or no solution, with these changes.
    """
    before = found.solution
    if len(before.symbols) != 1 or before.times is not None:
        raise ValueError("A shift is compared for one asset and a horizon without an end only.")
    table = PolicyTable.from_solution(before, for_table(found))
    quoter = Quoter(table)
    quotes = [quoter.quote(float(lots), shift=changes) for lots in table.inventories[0]]
    about = quotes[0].shifted
    assert about is not None
    numbers = {path: after for path, (_, after) in about.parameters.items()}
    return Shift(
        parameters=about.parameters,
        table=table,
        solved=solve(replace(before.problem, numbers), start=before.value),
        shifted=np.array([[_number(x) for x in quote.offsets.values()] for quote in quotes]),
        estimate=np.array(
            [[_number(x) for x in quote.shifted.offset_error.values()] for quote in quotes if quote.shifted]
        ),
    )


def shift_figure(found: Sensitivities, **changes: Change) -> Figure:
    """A printable picture of `shift`: quotes before and after on the left, on the right what the shift misses
    and what it says it misses. Arguments and errors as for `shift`.
    """
    moved = shift(found, **changes)
    pair = quote_pairs(moved.table)[0]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 5.2), dpi=150)
        quotes, misses = figure.subplots(1, 2, width_ratios=(1.5, 1.0))
        _draw_quotes(quotes, moved, pair)
        _draw_misses(misses, moved, pair)
        figure.suptitle(_headline(moved), x=0.01, ha="left", fontsize=12, color=INK)
    return figure


def _draw_quotes(axes: Axes, moved: Shift, pair: QuotePair) -> None:
    table, lots = moved.table, moved.table.inventories[0]
    for offset, sign, colour, side in ((pair.ask_offset, 1, ASK, "ask"), (pair.bid_offset, -1, BID, "bid")):
        axes.plot(lots, sign * offset(table.offset), color="#a8a8a8", linewidth=1.4, label=f"{side} before")
        axes.plot(
            lots,
            sign * offset(moved.solved.offset),
            color=colour,
            linewidth=1.8,
            label=f"{side}, solved again",
        )
        axes.plot(
            lots,
            sign * offset(moved.shifted),
            color=INK,
            linewidth=1.1,
            linestyle=(0, (2, 2)),
            label="shifted",
        )
    axes.axhline(0.0, color=INK, linewidth=0.8)
    handles, labels = axes.get_legend_handles_labels()
    chosen = [1, 4, 0, 2]  # one entry for what is drawn on both sides
    words = [*(labels[i] for i in chosen[:2]), "before", "shifted, without a solve"]
    axes.legend([handles[i] for i in chosen], words, loc="lower left")
    axes.set_title("Quotes over inventory: ask above, bid below")
    axes.set_xlabel(f"inventory ({inventory_unit(table)})")
    axes.set_ylabel(f"quote minus {reference(table)} ({table.price_unit})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _draw_misses(axes: Axes, moved: Shift, pair: QuotePair) -> None:
    lots, miss = moved.table.inventories[0], np.abs(moved.shifted - moved.solved.offset)
    for offset, colour, side in ((pair.ask_offset, ASK, "ask"), (pair.bid_offset, BID, "bid")):
        axes.plot(lots, offset(miss), color=colour, linewidth=1.6, label=f"{side}: missed")
        axes.plot(
            lots,
            offset(moved.estimate),
            color=colour,
            linewidth=1.1,
            linestyle=(0, (2, 2)),
            label=f"{side}: as estimated",
        )
    reach = max(moved.largest_miss, _ROUNDING * _largest(moved.table.offset))
    axes.set_ylim(0.0, 1.7 * reach)  # an estimate may leave the picture, what is missed does not
    axes.legend(
        loc="upper center", ncols=2, frameon=True, facecolor="white", edgecolor="none", framealpha=0.9
    )
    axes.set_title(f"What the shift misses ({moved.table.price_unit})")
    axes.set_xlabel(f"inventory ({inventory_unit(moved.table)})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _headline(moved: Shift) -> str:
    unit = moved.table.price_unit
    words = [f"{path} {before:.4g} → {after:.4g}" for path, (before, after) in moved.parameters.items()]
    shown = ", ".join(words) if len(words) <= 2 else f"{len(words)} numbers changed"
    move, miss = moved.largest_move, moved.largest_miss
    effect = f"quotes move by up to {move:.2g} {unit}, the shift misses up to {miss:.2g}"
    return f"{moved.table.symbols[0]}: {shown}\n{effect}"


def _largest(numbers: np.ndarray) -> float:
    known = np.abs(numbers[np.isfinite(numbers)])
    return float(known.max()) if known.size else 0.0


def _number(x: float | None) -> float:
    return float("nan") if x is None else x
