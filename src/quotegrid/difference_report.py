"""Two tables on one screen, for `quotegrid diff`: what changed, where quotes moved most, value under both."""

import math
from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quotegrid.analysis.quotes import currency, hourly
from quotegrid.tables.documents.difference import Difference
from quotegrid.tables.verifier import Verification

PARAMETERS_SHOWN = 15


def difference_report(found: Difference, verified: tuple[Verification, Verification]) -> RenderableType:
    """Changed parameters, moves of the quotes, value and gain, and what the verifier says of both."""
    unit, money = found.new.price_unit, currency(found.new)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for word, text in _facts(found, verified, money):
        facts.add_row(word, Text(text))
    headline = f"{', '.join(found.new.symbols)}: {_largest(found)}"
    return Group(Text(headline, style="bold"), "", _parameters(found), _moves(found, unit), facts)


def _largest(found: Difference) -> str:
    largest = found.largest_quote_change
    if math.isinf(largest):
        return "quotes appeared or vanished"
    return f"quotes moved by up to {largest:.4g} {found.new.price_unit}" if largest else "no quote moved"


def _parameters(found: Difference) -> RenderableType:
    if not found.parameters:
        return Text("The problems of both tables have the same parameters.\n")
    shown = _table("Parameters that changed")
    for word in ("parameter", "old", "new"):
        shown.add_column(word, overflow="fold")
    for change in found.parameters[:PARAMETERS_SHOWN]:
        shown.add_row(change.path, _entry(change.before), _entry(change.after))
    if len(found.parameters) > PARAMETERS_SHOWN:
        shown.caption = f"and {len(found.parameters) - PARAMETERS_SHOWN} more: see --json"
    return shown


def _moves(found: Difference, unit: str) -> Table:
    shown = _table(f"Where quotes moved most ({unit})")
    shown.add_column("flow")
    for word in ("old", "new", "change", "mean"):
        shown.add_column(word, justify="right")
    shown.add_column("where")
    for flow in found.flows:
        if flow.largest is None:
            shown.add_row(flow.label, "off", "off", "", "", "never quoted by both")
            continue
        move = flow.largest
        numbers = (f"{move.before:.5g}", f"{move.after:.5g}", f"{move.change:+.3g}", f"{flow.mean:.3g}")
        shown.add_row(flow.label, *numbers, move.where)
    return shown


def _facts(
    found: Difference, verified: tuple[Verification, Verification], money: str
) -> Iterator[tuple[str, str]]:
    yield "compared", f"{found.states} states that both tables know"
    for flow in found.flows:
        if flow.appeared or flow.vanished:
            alone = f"the new table alone at {flow.appeared} states, the old one alone at {flow.vanished}"
            yield "on and off", f"{flow.label} is quoted by {alone}; the first is {flow.first_on_or_off}"
    move = found.value
    yield "value", f"moved most at {move.where}: from {move.before:.6g} to {move.after:.6g} {money}"
    if found.old.gain is not None and found.new.gain is not None:
        before, after = found.old.gain, found.new.gain
        per, times = hourly(found.new.time_unit)
        yield "gain", f"from {before * times:.6g} to {after * times:.6g} {money} per {per}"
    for name, checks in zip(("old", "new"), verified, strict=True):
        if checks.passed:
            yield f"verify, {name}", f"all {len(checks.checks)} checks passed or do not apply"
        for check in checks.failures:
            yield f"verify, {name}", f"{check.name} failed: {check.sentence}"
    yield "content", f"{found.old.content_hash[:12]}… → {found.new.content_hash[:12]}…"


def _entry(part: object) -> str:
    text = "not there" if part is None else f"{part:.10g}" if isinstance(part, float) else str(part)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
