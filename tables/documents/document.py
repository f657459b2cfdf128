"""The model-risk page of a table: what it is for, what it assumes, how it was checked, where it ends.

Everything is read from the table and from the verifier's checks of it, so the page says of a table what the
table says of itself; what only its users know is left to be filled in. The topics follow the revised guidance
on model risk management of the US agencies, 17 April 2026 (Federal Reserve SR 26-2, OCC Bulletin 2026-13),
which supersedes SR 11-7 of 2011, as far as the agencies' letter and bulletin describe it. `formats`
writes the page as Markdown or HTML.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from quotegrid.tables.documents.parameters import parameters, unmatched_errors
from quotegrid.tables.documents.sentences import assumptions, weaknesses
from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.validity import axis_ranges, validity_lines
from quotegrid.tables.verifier import Verification

GUIDANCE = (
    ("Federal Reserve, SR 26-2", "https://www.federalreserve.gov/supervisionreg/srletters/SR2602.htm"),
    ("OCC Bulletin 2026-13", "https://www.occ.gov/news-issuances/bulletins/2026/bulletin-2026-13.html"),
)
# topics as the bulletin lists them, where this page speaks to them, and what it cannot say
TOPICS = (
    (
        "Model development and model use",
        "Purpose; Assumptions; Parameters; Method and accuracy; Limits of use; Known weaknesses",
        "why this model was chosen over others; how suitable the data are for today's market",
    ),
    (
        "Model validation and monitoring",
        "Checks that were run; the independent verifier shares no code with the solver",
        "validation by people independent of development; outcomes against the quotes really made; "
        "thresholds that "
        "call for a new table",
    ),
    (
        "Governance and controls",
        "content hash and signature identify what is in use; publish and rollback leave numbered generations",
        "inventory of models, materiality, roles, approval, limits of use within the organisation",
    ),
    (
        "Vendor and other third-party products",
        "quotegrid's source, format and verifier are open; a table is checked without its vendor's program",
        "the organisation's own assessment of quotegrid and of the sources of market data",
    ),
)


class Bullets(NamedTuple):
    """Sentences, one beside the other."""

    sentences: tuple[str, ...]


class Grid(NamedTuple):
    """A table of words."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Section(NamedTuple):
    """A heading and what stands below it."""

    title: str
    parts: tuple[str | Bullets | Grid, ...]


def document(table: PolicyTable, verified: Verification) -> tuple[Section, ...]:
    """The page of a table, given what `verify_table` or `verify` found; the first section is the title."""
    return (
        Section(
            f"Model documentation: quotes for {', '.join(table.symbols)}",
            (Grid(("", ""), tuple(_identity(table, verified))),),
        ),
        Section("Purpose", tuple(_purpose(table))),
        Section("Assumptions", (Bullets(tuple(assumptions(table))),)),
        Section("Parameters", tuple(_parameters(table))),
        Section("Method and accuracy", (Bullets(tuple(_accuracy(table))),)),
        Section("Checks that were run", tuple(_checks(verified))),
        Section("Limits of use", (Bullets(tuple(_limits(table))),)),
        Section("Known weaknesses", (Bullets(tuple(weaknesses(table))),)),
        Section("To be filled in by those who use it", (_left_open(),)),
        Section("What current guidance asks for", tuple(_guidance())),
    )


def _identity(table: PolicyTable, verified: Verification) -> Iterator[tuple[str, str]]:
    yield "Content hash", table.content_hash
    yield "Problem hash", table.problem_hash
    yield "Made by", f"quotegrid {table.package_version}, {table.method}"
    yield "Status", f"{table.status}: {table.status_message}" if table.status_message else table.status
    failed = len(verified.failures)
    yield "Verification", "passed" if not failed else f"failed: {failed} of {len(verified.checks)} checks"
    yield "Certificate", f"level {table.certificate['level']}"


def _purpose(table: PolicyTable) -> Iterator[str]:
    units = ", ".join(
        f"{s} in lots of {size:g}" for s, size in zip(table.symbols, table.lot_sizes, strict=True)
    )
    yield (
        f"The table says, for every {_states(table)}, at which "
        "distance from the reference "
        f"price a market maker quotes {units}, so that expected profit is best weighed against the risk of "
        "the "
        f"inventory. Its output is {len(table.flows)} distances in {table.price_unit} (one for each flow: "
        f"{', '.join(table.flow_labels) or 'none'}) and a value in {money_unit(table.price_unit)}. It is "
        "meant as an "
        "input of a quoting program that has limits of its own."
    )
    problem = json.loads(table.problem_json)
    provenance = problem.get("provenance")
    if isinstance(provenance, dict) and "purpose" in provenance:
        yield f"Purpose stated in the problem: {provenance['purpose']}"


def _states(table: PolicyTable) -> str:
    """What a lookup is told: `inventory and time`, with the names of factors and parameters."""
    kinds = ("inventory", "time" if table.times is not None else "", "regime" if table.regimes else "")
    named = (axis.name for axis in (*table.factors, *table.parameter_axes))
    *words, last = (word for word in (*kinds, *named) if word)
    return f"{', '.join(words)} and {last}" if words else last


def _parameters(table: PolicyTable) -> Iterator[str | Bullets | Grid]:
    rows = tuple(tuple(each) for each in parameters(table, money_unit(table.price_unit)))
    yield Grid(("parameter", "value", "unit", "source"), rows)
    unmatched = tuple(unmatched_errors(table))
    if unmatched:
        yield Bullets(unmatched)
    provenance = json.loads(table.problem_json).get("provenance")
    if provenance:
        yield "Provenance, as the problem file states it:"
        yield Grid(("", ""), tuple((str(key), str(value)) for key, value in provenance.items()))
    else:
        yield "The problem file states no provenance."


def _accuracy(table: PolicyTable) -> Iterator[str]:
    certificate, price, money = table.certificate, table.price_unit, money_unit(table.price_unit)
    yield f"Solved by {table.method}{f': {table.method_reason}' if table.method_reason else ''}."
    if certificate["level"] == "none":
        yield f"Certificate: none ({certificate.get('reason', 'no reason is given')})."
    else:
        yield (
            f"Certificate, level {certificate['level']}: at the nodes of the table quotes are within "
            f"{certificate['quote_error']:.2g} {price} and values within {certificate['value_error']:.2g} "
            f"{money} of the "
            f"optimum of the model{f' ({said})' if (said := certificate.get('statement')) else ''}."
        )
    if table.lookup_error is not None:
        yield (
            f"Between the nodes linear lookup adds at most {table.lookup_error['offset']:.2g} {price} "
            "to quotes and "
            f"{table.lookup_error['value']:.2g} {money} to values, as measured by the solver."
        )
    if table.gain is not None:
        yield f"Gain of the model in the long run: {table.gain:.6g} {money} per {table.time_unit}."
    yield "Level A is a proof for the model, rounding included; level B an estimate; level C an interval."


def _checks(verified: Verification) -> Iterator[str | Bullets | Grid]:
    yield "By the independent verifier, which shares no code with the solver (quotegrid verify):"
    yield Grid(
        ("check", "outcome", "what was found"),
        tuple((c.name, c.outcome, c.sentence) for c in verified.checks),
    )
    if verified.proof:
        headline, *lines = verified.proof
        yield headline
        yield Bullets(tuple(_proved(lines)))


def _proved(lines: list[str]) -> list[str]:
    """What the verifier proved, as `name: text`; a line without a name continues the one before."""
    said: list[str] = []
    for line in lines:
        if line.startswith("   "):
            said[-1] += f" {line.strip()}"
        else:
            said.append(": ".join(line.split(maxsplit=1)))
    return said


def _limits(table: PolicyTable) -> Iterator[str]:
    for name, (low, high) in axis_ranges(table).items():
        if name in table.inventory_names:
            yield f"{name}: {low:g} to {high:g} lots; outside of it the table says nothing."
        else:
            yield f"{name}: {low:g} to {high:g}{f' {table.time_unit}' if name == 'time' else ''}."
    yield from validity_lines(table)
    yield f"Prices are in {table.price_unit}, times in {table.time_unit}, inventories in lots."
    yield "A flow that is off (NaN) is not to be quoted."


def _left_open() -> Grid:
    rows = (
        "Owner",
        "Business use and products",
        "Materiality",
        "Data used and their quality",
        "Independent validation, by and when",
        "Monitoring: measures, thresholds, how often",
        "Approved by and when",
        "Next review",
    )
    return Grid(("", ""), tuple((row, "") for row in rows))


def _guidance() -> Iterator[str | Bullets | Grid]:
    yield (
        "The revised guidance of 17 April 2026 supersedes SR 11-7. It sets out principles, to be applied "
        "by risk and size, and its letter "
        "expects it to be most relevant to banking organisations with more than 30 billion USD of assets. "
        "The topics are "
        "those that the OCC's bulletin lists. This page supports documentation; it is no statement that "
        "any organisation meets the guidance."
    )
    yield Grid(("topic of the guidance", "on this page", "left to the organisation"), TOPICS)
    yield Bullets(tuple(f"{name}: {address}" for name, address in GUIDANCE))
