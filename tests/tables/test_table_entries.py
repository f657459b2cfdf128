"""The entries of a problem, with the nodes of a table's axes in place of numbers that lookups do not use."""

import json
from dataclasses import replace

import numpy as np

from quotegrid.tables.documents.difference import compare
from quotegrid.tables.documents.parameters import parameters
from quotegrid.tables.documents.sentences import assumptions
from quotegrid.tables.documents.table_entries import Nodes, table_entries
from quotegrid.tables.policy_table import NamedAxis, PolicyTable, canonical_numbers

PROBLEM = {
    "flow": [
        {"fee": 0.5, "name": "book", "side": "both"},
        {
            "intensity": {"kind": "table", "offset": [0.0, 1.0], "rate": [2.0, 1.0]},
            "name": "far",
            "side": "ask",
        },
    ],
    "price": {"volatility": 0.25},
}


def over(table: PolicyTable, **axes: tuple[float, ...]) -> PolicyTable:
    """The table, the same at all nodes of some axes; `__` stands for a dot, `_of_` for a slash."""
    named = {name.replace("__", ".").replace("_of_", "/"): nodes for name, nodes in axes.items()}
    shape = tuple(map(len, named.values()))
    return replace(
        table,
        problem_json=json.dumps(PROBLEM, sort_keys=True, separators=(",", ":")),
        parameter_axes=tuple(NamedAxis(path, canonical_numbers(np.array(x))) for path, x in named.items()),
        value=canonical_numbers(np.broadcast_to(table.value, shape + table.value.shape)),
        offset=canonical_numbers(np.broadcast_to(table.offset, shape + table.offset.shape)),
    )


def test_axes_stand_in_place_of_numbers(table_by_hand) -> None:
    table = over(
        table_by_hand(),
        price__volatility=(0.2, 1.0),
        flow__book_of_bid__fee=(0.5, 0.6, 0.7),
        flow__far__intensity__rate__1=(1.0, 3.0),
    )
    entries = table_entries(table)
    assert entries["price.volatility"] == Nodes((0.2, 1.0)) and isinstance(entries["price.volatility"], Nodes)
    assert entries["flow.book/bid.fee"] == Nodes((0.5, 0.6, 0.7)) and entries["flow.book/ask.fee"] == 0.5
    assert entries["flow.far/ask.intensity.rate"] == [2.0, Nodes((1.0, 3.0))]
    assert "flow.book.fee" not in entries
    rows = {row.path: row for row in parameters(table, "USD")}
    assert rows["price.volatility"][1:] == ("0.2, 1 (axis)", "USD per √s", "told at each lookup")
    assert rows["flow.book/bid.fee"].value == "0.5, 0.6, 0.7 (axis)"
    assert rows["flow.book/ask.fee"][1:] == ("0.5", "USD", "stated")
    assert rows["flow.far/ask.intensity.rate"].value == "2, 1, 3 (axis)"
    said = [sentence for sentence in assumptions(table) if "is told at each lookup" in sentence]
    assert [sentence.split()[0] for sentence in said] == [axis.name for axis in table.parameter_axes]


def test_many_nodes_are_not_all_said() -> None:
    assert str(Nodes(range(1, 7))) == "1, 2, 3, 4, 5, 6 (axis)"
    assert str(Nodes(range(1, 8))) == "1, 2, …, 6, 7 (axis)"


def test_an_axis_of_both_sides_and_one_that_leads_nowhere(table_by_hand) -> None:
    both = table_entries(over(table_by_hand(), flow__book__fee=(0.0, 0.5)))
    assert both["flow.book.fee"] == Nodes((0.0, 0.5)) and both["price.volatility"] == 0.25
    nowhere = table_entries(over(table_by_hand(), price__colour=(0.0, 0.5), price__volatility=(0.1, 0.2)))
    assert nowhere["price.colour"] == Nodes((0.0, 0.5))
    assert table_entries(table_by_hand())["preferences.risk_aversion"] == 0.1


def test_what_changed_is_the_axis(table_by_hand) -> None:
    old, new = (over(table_by_hand(), price__volatility=nodes) for nodes in ((0.2, 0.4), (0.3, 0.5)))
    ((path, before, after),) = compare(old, new).parameters
    assert (path, before, after) == ("price.volatility", Nodes((0.2, 0.4)), Nodes((0.3, 0.5)))
    assert compare(old, old).parameters == ()
