"""The model-risk page: it says what the table says, in the units of the models; its formats are safe."""

import html.parser
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from quotegrid.models.dimensions import dimension_of
from quotegrid.models.paths import scalar_places
from quotegrid.models.problem_file import canonical_json, parse_problem
from quotegrid.shipped_examples import example_names, example_text
from quotegrid.tables import PolicyTable
from quotegrid.tables.documents.document import Bullets, Grid, Section, document
from quotegrid.tables.documents.formats import html_page, markdown
from quotegrid.tables.documents.parameters import parameters, unit_of
from quotegrid.tables.problem_paths import problem_entries
from quotegrid.tables.verifier import verify_table

VARIED = """
format = 1
units = { price = "USD", time = "s" }
market = { symbol = "X", lot_size = 1.0, tick_size = 0.01 }
inventory = { max = 4 }
price = { volatility = 0.5, drift = 0.1, carry = 0.1, reference = 100.0 }
preferences = { kind = "mean-variance", running_penalty = 0.1, hamiltonian_risk_aversion = 0.1 }
horizon = { kind = "finite", duration = 10.0, terminal = { quadratic = 0.1, absolute = 0.1 } }
[[flow]]
side = "both"
name = "a"
intensity = { kind = "exponential", A = 0.9, k = 1.5 }
adverse = { on = "market_orders", jump = 0.01, arrival_rate = 3.0 }
[[flow]]
side = "both"
name = "b"
intensity = { kind = "logistic", A = 0.9, a = 0.1, b = 1.5 }
fee = 0.1
proportional_fee = 0.001
[[flow]]
side = "both"
name = "c"
intensity = { kind = "power", A = 0.9, d = 1.5, k = 3.0 }
min_offset = 0.0
max_offset = 9.0
[[flow]]
side = "both"
name = "d"
intensity = { kind = "linear", A = 0.9, d = 1.5 }
tick = 0.01
[[flow]]
side = "both"
name = "e"
intensity = { kind = "table", offset = [0.0, 1.0], log_rate = [0.0, -1.0] }
"""


def page(table: PolicyTable) -> tuple[Section, ...]:
    return document(table, verify_table(table))


@pytest.mark.parametrize("text", [VARIED, *map(example_text, example_names())])
def test_units_are_those_of_the_models(text: str) -> None:
    problem = parse_problem(text).problem
    entries = problem_entries(canonical_json(problem))
    for path, place in scalar_places(problem).items():
        own = path if path in entries else path.rpartition(".")[0]
        assert own in entries
        stated = dimension_of(problem, place).in_words("USD", "s", "money")
        found = unit_of(own, entries).format(price="USD", time="s", money="money")
        assert found.removeprefix("1") == stated.removeprefix("1"), path


def test_the_page_says_what_the_table_says(solved: Callable[[str], PolicyTable], table_by_hand) -> None:
    text = markdown(page(solved("glft")))
    for words in (
        "# Model documentation: quotes for XYZ",
        "arithmetic Brownian motion",
        "Bids and asks of book, of 1 lot each, fill at the rate A·exp(-k·offset); adverse selection: none.",
        "| flow.book.intensity.k | 1.5 | per USD | stated |",
        "| preferences.risk\\_aversion | 0.05 | per USD | stated |",
        "| Bellman equation | pass | ",
        "inventory: -4 to 4 lots; outside of it the table says nothing.",
        "Nothing is certified: made for a test.",
        "Where the parameters come from is not stated.",
        "SR 26-2",
        "it is no statement that any organisation meets the guidance",
        "| Independent validation, by and when |  |",
    ):
        assert words in text, words
    assert "| Verification | failed: " in markdown(page(table_by_hand()))


def test_what_was_proved_stands_under_its_headline(table_by_hand) -> None:
    table = table_by_hand()
    proof = ("Proved, of a table:", "  value   within 1 USD", "          of the best", "  by      the paper")
    text = markdown(document(table, replace(verify_table(table), proof=proof)))
    assert "\nProved, of a table:\n\n- value: within 1 USD of the best\n- by: the paper\n" in text


def test_uncertainty_and_provenance_are_sources(table_by_hand) -> None:
    problem = {
        "flow": [{"name": "book", "side": "bid", "intensity": {"kind": "table", "rate": [2.0, 1.0]}}],
        "price": {"volatility": 0.5},
        "provenance": {"source": "made up", "purpose": "a test"},
        "uncertainty": {
            "parameters": ["price.volatility", "flow.book/bid.intensity.rate.1", "flow.gone.intensity.A"],
            "standard_error": [0.025, 0.1, 0.5],
        },
    }
    table = table_by_hand(problem_json=json.dumps(problem, sort_keys=True))
    rows = {row.path: row[1:] for row in parameters(table, "USD")}
    assert rows["price.volatility"] == ("0.5 ± 0.025", "USD per √s", "estimated, ± one standard error")
    assert rows["flow.book/bid.intensity.rate"][0] == "2, 1 ± 0.1"
    sections = {section.title: section.parts for section in page(table)}
    assert Bullets(("flow.gone.intensity.A: standard error 0.5",)) in sections["Parameters"]
    assert Grid(("", ""), (("purpose", "a test"), ("source", "made up"))) in sections["Parameters"]
    assert "Purpose stated in the problem: a test" in sections["Purpose"]
    weak = sections["Known weaknesses"][0]
    assert isinstance(weak, Bullets) and not any("is not stated" in said for said in weak.sentences)


def test_limits_of_use(table_by_hand) -> None:
    sections = {section.title: section.parts for section in page(table_by_hand(times=(0.0, 10.0)))}
    limits = sections["Limits of use"][0]
    assert isinstance(limits, Bullets) and "time: 0 to 10 s." in limits.sentences
    assert any("states no life time" in said for said in limits.sentences)


def test_formats_let_nothing_through() -> None:
    """What stands in a problem file is text: no markup, no cell or line of its own."""
    evil = "<script>x</script> | a `b` *c* [d](e)\n# f"
    sections = (Section(evil, (evil, Bullets((evil,)), Grid(("a", "b"), ((evil, evil),)))),)
    text = markdown(sections)
    assert len(text.split("\n")) == 10 and "`" not in text.replace("\\`", "")
    seen: list[str] = []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attrs: seen.append(tag)
    parser.feed(html_page(sections))
    assert "script" not in seen and seen.count("td") == 2 and seen.count("h1") == 1
