"""The picture of an audit: quotes of the formulas against the optimum's, and what each policy loses."""

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quotegrid.analysis.figures import INK, STYLE
from quotegrid.analysis.losses_figure import draw_losses
from quotegrid.analysis.policies import Policy
from quotegrid.models.problem import Problem

if TYPE_CHECKING:
    from quotegrid.analysis.audit import Audit, AuditRow

_COLOURS = ("#1b6ca8", "#c1432e", "#3a8f4d", "#8a5ab0", "#c98a1b", "#4aa3a2", "#7b6d5d", "#b04f83")
_DASHES = ("-", "--", "-.", (0, (1, 1.2)))  # where two formulas agree, both are seen
_HANDLED, _OWN = "#9a9a9a", "#222222"


def audit_figure(audit: "Audit") -> Figure:
    """Quotes over the first asset's inventory (at the start) on the left, losses on the right."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11.5, 5.6), dpi=150)
        quotes, losses = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
        drawn = [row for row in audit.rows if row.evaluation is not None]
        colours = _colours(drawn)
        _draw_quotes(quotes, audit, drawn, colours)
        _draw_losses(losses, audit, drawn, colours)
        best = audit.best
        symbol = audit.problem.assets[0].market.symbol
        worth = f"{best.per_hour(best.certainty_equivalent):.4g} {best.money} per {best.per}"
        figure.suptitle(
            f"{symbol}   ·   the optimum is worth {worth}{_best_formula(drawn)}",
            x=0.01,
            ha="left",
            fontsize=12,
            color=INK,
        )
    return figure


def _best_formula(rows: list["AuditRow"]) -> str:
    """Which formula loses least, in words."""
    formulas = [row for row in rows if row.kind == "formula" and row.loss_per_hour is not None]
    if not formulas:
        return ""
    least = min(formulas, key=lambda row: row.loss_per_hour or 0.0)
    return f"; of the formulas, {least.name} loses least: {least.loss_per_hour or 0.0:.3g}"


def _colours(rows: list["AuditRow"]) -> dict[str, str]:
    """Formulas get colours of their own, the user's policies black, what happens to tables grey."""
    formulas = [row.name for row in rows if row.kind == "formula"]
    found = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(formulas)}
    for row in rows:
        found.setdefault(row.name, _HANDLED if row.kind == "handling" else _OWN)
    return found


def _draw_quotes(axes: Axes, audit: "Audit", rows: list["AuditRow"], colours: dict[str, str]) -> None:
    """Ask above and bid below the reference, the smallest flow of each side, at the start."""
    best = audit.rows[0].policy
    assert best is not None
    lots = best.inventories[0]
    bid, ask = _smallest(audit.problem, 1), _smallest(audit.problem, -1)
    reach = 0.0
    shown = [row for row in rows if row.policy is not None and row.kind != "handling"]
    for number, row in enumerate(shown):
        assert row.policy is not None
        optimum = row.kind == "optimum"
        for flow, sign in ((bid, -1.0), (ask, 1.0)):
            if flow is None:
                continue
            line = sign * _line(row.policy, flow)
            if optimum and np.any(np.isfinite(line)):
                reach = max(reach, float(np.nanmax(np.abs(line))))
            axes.plot(
                lots,
                line,
                color=INK if optimum else colours[row.name],
                linewidth=2.6 if optimum else 1.4,
                linestyle="-" if optimum else _DASHES[number % len(_DASHES)],
                zorder=2 if optimum else 3,
                label=row.name if flow == (bid if bid is not None else ask) else None,
            )
    axes.axhline(0.0, color=INK, linewidth=0.8)
    if reach > 0.0:
        axes.set_ylim(-1.6 * reach, 1.6 * reach)  # formulas may leave the picture, the optimum does not
    axes.set_title("Quotes over inventory" + (" at the start" if best.times is not None else ""))
    axes.set_xlabel("inventory (lots)")
    reference = audit.problem.assets[0].market.reference
    axes.set_ylabel(f"quote minus {reference} ({audit.problem.units.price})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.legend(loc="lower left")


def _smallest(problem: Problem, sign: int) -> int | None:
    """The position of the smallest flow of the first asset on one side."""
    flows = [
        (f.size, place)
        for place, f in enumerate(problem.one_sided_flows())
        if f.asset == 0 and f.sign == sign
    ]
    return min(flows)[1] if flows else None


def _line(policy: Policy, flow: int) -> np.ndarray:
    """A flow's offsets over the first asset's inventory, the others flat, at the start."""
    offset = policy.offset if policy.times is None else policy.offset[0]
    flat = tuple(int(np.abs(axis).argmin()) for axis in policy.inventories[1:])
    return offset[(slice(None), *flat, flow)]


def _draw_losses(axes: Axes, audit: "Audit", rows: list["AuditRow"], colours: dict[str, str]) -> None:
    """A bar for each policy but the optimum."""
    best = audit.best
    rows = [row for row in rows if row.kind != "optimum"]
    draw_losses(
        axes,
        [row.name for row in rows],
        [row.loss_per_hour or 0.0 for row in rows],
        [colours[row.name] for row in rows],
        best.per_hour(best.certainty_equivalent),
    )
    axes.set_title(f"What it loses ({best.money} per {best.per}), and of the optimum")
