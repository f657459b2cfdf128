"""The screens of `evaluate`, `audit` and `choose`: what policies earn and risk, numbers with units."""

import math
from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quotegrid.analysis.audit import Audit
from quotegrid.analysis.evaluation_result import NOTHING, Evaluation
from quotegrid.analysis.preference_choice import MEASURES, PreferenceChoice


def evaluation_report(found: Evaluation) -> RenderableType:
    """One policy under one problem, on one screen."""
    per, hours = _per(found), found.hours is not None
    money = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="")
    money.add_column("")
    money.add_column(f"{found.money}\n{per}", justify="right")
    if hours:
        money.add_column(f"{found.money}\nper h", justify="right")

    def row(word: str, amount: float | None, style: str = "") -> None:
        cells = ["unknown"] if amount is None else [_number(amount)]
        if hours:
            cells.append("" if amount is None else _number(found.per_hour(amount)))
        money.add_row(word, *cells, style=style)

    for part, amount in found.parts.items():
        if amount != 0.0 or part == "spread":
            row(f"  {part}", amount)
    row("P&L", found.pnl, "bold")
    row("  risk cost", -found.risk_cost)
    row("certainty equivalent", found.certainty_equivalent, "bold")
    if found.optimum is not None:
        row("optimum", found.optimum)
        row("regret", _at_least_rounding(found))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for word, text in _facts(found):
        facts.add_row(word, Text(text))
    headline = f"{found.policy}: {found.horizon}"
    if found.duration is not None:
        headline += f" horizon of {found.duration:g} {found.time_unit}"
    return Group(Text(headline, style="bold"), money, facts)


def audit_report(audit: Audit) -> RenderableType:
    """What stands in for the optimum and what it loses, a row a policy."""
    best = audit.best
    per = "h" if best.hours is not None else best.time_unit
    title = f"Amounts are {best.money} per {per}"
    shown = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("policy", no_wrap=True)
    for word in ("loses", "worth", "P&L", "of the\noptimum", "inventory\n(sd, lots)"):
        shown.add_column(word, justify="right")
    before = "optimum"
    for row in audit.rows:
        if row.kind != before:
            shown.add_section()
            before = row.kind
        found = row.evaluation
        if found is None:
            shown.add_row(row.name, "n/a", "", "", "", "")
            continue
        loss, worth = row.loss_per_hour or 0.0, found.per_hour(found.certainty_equivalent)
        share = loss / abs(best.per_hour(best.certainty_equivalent))
        none = share <= NOTHING
        shown.add_row(
            row.name,
            "" if row.kind == "optimum" else "none" if none else _number(loss),
            _number(worth),
            _number(found.per_hour(found.pnl)),
            "" if none else f"{share:.2%}" if share >= 5e-5 else f"{share:.1e}",
            ", ".join(f"{each:.3g}" for each in found.inventory_deviation),
            style="bold" if row.kind == "optimum" else "",
        )
    notes: list[RenderableType] = []
    for row in audit.rows:
        if row.evaluation is None:
            notes.append(Text(f"{row.name} does not apply: {row.reason}."))
        notes += [Text(f"{row.name}: {each}.", style="dim") for each in row.assumed]
    symbols = ", ".join(asset.market.symbol for asset in audit.problem.assets)
    return Group(Text(f"{symbols}: formulas and tables against the optimum", style="bold"), shown, *notes)


def choice_report(choice: PreferenceChoice) -> RenderableType:
    """The preference that was looked for, and what its optimum does."""
    found = choice.evaluation
    unit = {
        "inventory_deviation": " lots",
        "half_life": f" {found.time_unit}",
        "tail": "",
        "pnl_volatility": f" {found.money}{_per_root(found)}",
        "pnl": f" {found.money} {_per(found)}",
    }[choice.target]
    lines: list[RenderableType] = [
        Text(f"{choice.parameter} = {choice.value:.6g}", style="bold"),
        Text(f"{choice.target} = {choice.reached:.6g}{unit} ({MEASURES[choice.target].split(',')[0]})"),
        *(Text(note) for note in choice.notes),
        Text(""),
    ]
    return Group(*lines, evaluation_report(found))


def _at_least_rounding(found: Evaluation) -> float:
    """Regret; 0 where it is rounding."""
    regret, optimum = found.regret or 0.0, found.optimum or 0.0
    return 0.0 if abs(regret) <= NOTHING * abs(optimum) else regret


def _per(found: Evaluation) -> str:
    return {
        "ergodic": f"per {found.time_unit}",
        "discounted": "discounted total",
        "finite": "over the horizon",
    }[found.horizon]


def _per_root(found: Evaluation) -> str:
    return f" per √{found.time_unit}" if found.horizon == "ergodic" else ""


def _facts(found: Evaluation) -> Iterator[tuple[str, str]]:
    volatility = found.pnl_volatility
    if volatility is not None:
        yield "P&L volatility", f"{_number(volatility)} {found.money}{_per_root(found)}"
    over = "in all" if found.horizon == "finite" else f"per {found.time_unit}"
    yield "fills", ", ".join(f"{label} {rate:.4g}" for label, rate in found.fills.items()) + f" {over}"
    means, spreads = found.inventory_mean, found.inventory_deviation
    held = ", ".join(
        f"mean {0.0 if abs(m) <= NOTHING * s else m:.3g}, standard deviation {s:.3g} lots"
        for m, s in zip(means, spreads, strict=True)
    )
    yield "inventory", f"{held}; at a limit {found.time_at_limits:.2%} of the time"
    half_lives = [x for x in found.half_life if not math.isnan(x)]
    if half_lives:
        yield "half-life", ", ".join(f"{x:.4g}" for x in half_lives) + f" {found.time_unit}"
    first, last = found.time_to_flat.reshape(-1)[[0, -1]]
    yield (
        "time to flat",
        f"from the lowest inventory {first:.4g} {found.time_unit}, from the highest {last:.4g} "
        f"{found.time_unit}",
    )
    yield "error", f"about {found.error:.1g} {found.money} {_per(found)}, of the arithmetic"
    for note in found.notes:
        yield "note", note


def _number(amount: float) -> str:
    return f"{amount + 0.0:.5g}"
