"""What was proved about a table, in a few lines: of what, how far, by which theorem, assuming what."""

from collections.abc import Iterator

from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.verification.bounds import Bounds
from quotegrid.tables.verification.problem_twin import ProblemTwin

_THEOREMS = {
    "ergodic": "Ergodic problems, Closing the box, Quotes, Rounding",
    "discounted": "Discounted problems, Closing the box, Quotes, Rounding",
    "finite": "Finite horizon (defects add), Quotes, Rounding",
}


def proof_lines(table: PolicyTable, problem: ProblemTwin, bounds: Bounds) -> tuple[str, ...]:
    """The lines, the first of them a headline; the numbers are the verifier's own, not those claimed."""
    rows = list(_rows(table, problem, bounds))
    width = max(len(name) for name, _ in rows)
    return (
        "Proved, of the problem stored in the table:",
        *(f"  {name:<{width}}  {text}" for name, text in rows),
    )


def _rows(table: PolicyTable, problem: ProblemTwin, bounds: Bounds) -> Iterator[tuple[str, str]]:
    price, worth, claimed = table.price_unit, money_unit(table.price_unit), table.certificate
    ergodic, finite = problem.horizon == "ergodic", problem.horizon == "finite"
    flow = f"{worth} per {table.time_unit}" if ergodic else worth
    at = f"at all {len(problem.lots)} inventories"
    if table.times is not None:
        at += f" and {len(table.times)} times"
    said = f"(claimed {claimed['value_error']:.2g})"
    yield "bias" if ergodic else "value", f"within {bounds.value:.2g} {worth} of the true one {at} {said}"
    if bounds.gain is not None:
        low, high = bounds.gain
        yield "gain", f"of the best policy: {low:.15g} {flow}, or up to {high - low:.2g} more"
    ties = f" but for {bounds.uncertain_ticks} ties between ticks" if bounds.uncertain_ticks else ""
    said = f"(claimed {claimed['quote_error']:.2g})"
    yield "quotes", f"each within {bounds.quote:.2g} {price} of the best one{ties} {said}"
    said = f"(claimed {claimed['regret']:.2g})"
    yield "regret", f"at most {bounds.regret:.2g} {flow} below the best policy {said}"
    if finite:
        yield (
            "",
            "of quoting the best for the stored values at every moment: lookup between times not included",
        )
    yield "by", f"paper, section Certificate: {_THEOREMS[problem.horizon]}"
    yield "assuming", "IEEE 754 double arithmetic, exp and log within 2 units in the last place"
    yield "not", f"that the problem describes the market{_between(table)}"


def _between(table: PolicyTable) -> str:
    """What lookup adds, where there is a time axis."""
    if table.lookup_error is None:
        return ""
    found = f"{table.lookup_error['offset']:.2g} {table.price_unit}"
    return f", nor quotes looked up between the times (off by {found}, measured)"
