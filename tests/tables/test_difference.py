"""What moved between two tables: known changes are found where they are, and counted as lookups see them."""

import json
import math

import numpy as np
import pytest

from quotegrid.tables import Quoter
from quotegrid.tables.documents.difference import NotComparableError, common_axes, compare, on_axes
from quotegrid.tables.problem_paths import problem_entries
from quotegrid.tables.publication.checks import certificate_limit, change_limit


def moved(table_by_hand, change, **about):
    """A table by hand and one whose offsets differ by `change`, an array of their shape."""
    old = table_by_hand(**about)
    return old, table_by_hand(**about, offset=old.offset + change)


def test_a_planted_change_is_found(table_by_hand) -> None:
    change = np.zeros((9, 2))
    change[6, 1], change[2, 1] = 0.25, -0.5  # at inventories 2 and -2
    old, new = moved(table_by_hand, change)
    found = compare(old, new)
    bid, ask = found.flows
    assert bid.largest is not None and bid.largest.change == 0.0 and bid.mean == 0.0
    assert ask.largest is not None and ask.largest.where == "inventory -2 lots"
    assert ask.largest.change == pytest.approx(-0.5) and ask.mean == pytest.approx(0.75 / 8)
    assert found.largest_quote_change == pytest.approx(0.5)
    assert found.value.change == 0.0 and found.states == 9
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["quotes"]["size1/ask"]["appeared"] == 0


def test_times_of_both_are_compared(table_by_hand) -> None:
    """The largest change lies at a node of either table, and is what their quoters say there."""
    old = table_by_hand(times=(0.0, 5.0, 10.0))
    new = table_by_hand(times=(0.0, 2.0, 10.0))
    bent = new.offset.copy()
    bent[1] += 0.125
    new = table_by_hand(times=(0.0, 2.0, 10.0), offset=bent)
    (time, _) = common_axes(old, new)
    assert time.nodes.tolist() == [0.0, 2.0, 5.0, 10.0]
    found = compare(old, new)
    assert found.largest_quote_change == pytest.approx(0.125)
    assert found.flows[0].largest is not None and found.flows[0].largest.where.endswith("time 2 s")
    for table in (old, new):
        offsets = on_axes(table, table.offset, (time, table.axes[1]))
        for row, at in enumerate(time.nodes):
            for column, lots in enumerate(table.inventories[0]):
                said = Quoter(table).offsets(lots, at)
                assert np.allclose(offsets[row, column], said, rtol=1e-15, equal_nan=True)


def test_quotes_that_appear_or_vanish_are_changes_without_bound(table_by_hand) -> None:
    change = np.zeros((9, 2))
    change[4, 0] = np.nan
    old, new = moved(table_by_hand, change)
    for pair, counts in (((old, new), (0, 1)), ((new, old), (1, 0))):
        found = compare(*pair)
        assert (found.flows[0].appeared, found.flows[0].vanished) == counts
        assert found.flows[0].first_on_or_off == "inventory 0 lots"
        assert math.isinf(found.largest_quote_change) and found.to_json()["largest_quote_change"] is None
    check = change_limit(new, old, 1e9)
    assert check.outcome == "fail"
    assert (
        "size1/bid is quoted by one table and off in the other at inventory 0 lots; allowed: 1e+09"
        in check.sentence
    )


def test_limits_may_move(table_by_hand) -> None:
    assert compare(table_by_hand(limit=4), table_by_hand(limit=6)).largest_quote_change < 1e-12


def test_is_shown_on_a_line(table_by_hand) -> None:
    old = table_by_hand()
    found = compare(old, table_by_hand(offset=old.offset + 0.25))
    shown = "<Difference of two tables of XYZ: 0 parameters changed, quotes moved by up to 0.25 USD>"
    assert repr(found) == shown


def test_tables_of_two_markets_are_not_compared(table_by_hand) -> None:
    with pytest.raises(
        NotComparableError, match="price unit changed from USD to EUR; axes changed from inventory to"
    ):
        compare(table_by_hand(), table_by_hand(price_unit="EUR", times=(0.0, 1.0)))
    far = np.arange(20.0, 29.0)
    with pytest.raises(NotComparableError, match="share no inventory: one knows -4 to 4, the other 20 to 28"):
        compare(table_by_hand(), table_by_hand(inventories=(far,)))


def test_parameters_that_changed_by_path(table_by_hand) -> None:
    flows = [
        {"name": "book", "side": "bid", "intensity": {"A": 1.0}},
        {"name": "rfq", "intensity": {"A": 2.0}},
    ]
    before = {"price": {"volatility": 0.5}, "flow": flows, "provenance": {"source": "x"}}
    after = json.loads(json.dumps(before))
    after["flow"][0]["intensity"]["A"] = 1.25
    after["price"]["drift"] = 0.1
    after["provenance"]["source"] = "y"
    found = compare(
        table_by_hand(problem_json=json.dumps(before, sort_keys=True)),
        table_by_hand(problem_json=json.dumps(after, sort_keys=True)),
    )
    assert set(found.parameters) == {("flow.book/bid.intensity.A", 1.0, 1.25), ("price.drift", None, 0.1)}


def test_paths_of_a_problem_with_many_blocks() -> None:
    problem = {
        "asset": [{"market": {"symbol": "ETH"}, "price": {"volatility": 1}}],
        "factor": [{"name": "alpha", "mean": 0, "effects": [{"on": "price.drift"}]}],
        "correlation": [{"between": ["price", "alpha"], "value": 0.1}],
        "uncertainty": {"parameters": []},
        "flow": [{"name": "book", "side": "ask", "sizes": [1, 2]}],
    }
    assert list(problem_entries(json.dumps(problem))) == [
        "asset.ETH.market.symbol",
        "asset.ETH.price.volatility",
        "factor.alpha.name",
        "factor.alpha.mean",
        "factor.alpha.effects.0.on",
        "correlation.price and alpha.between",
        "correlation.price and alpha.value",
        "flow.book/ask.name",
        "flow.book/ask.side",
        "flow.book/ask.sizes",
    ]


def test_certificates_against_a_limit(table_by_hand) -> None:
    certified = table_by_hand(
        times=(0.0, 1.0), certificate={"level": "A", "quote_error": 0.002, "value_error": 1.0}
    )
    assert certificate_limit(certified, 0.0031).outcome == "pass"
    assert (
        "within 0.003 USD of the optimum (0.002 at the nodes, 0.001 between them)"
        in certificate_limit(certified, 1).sentence
    )
    assert certificate_limit(certified, 0.0029).outcome == "fail"
    check = certificate_limit(table_by_hand(), math.inf)
    assert check.outcome == "fail" and "certifies nothing (made by hand)" in check.sentence
