"""When and where a table may be used: what was stated is in the file, in words, and in what guards refuse."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from quotegrid.tables import GuardedQuoter, Moment, TableError
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.lookup import QuoteError
from quotegrid.tables.safetensors_file import safetensors_bytes, table_of_bytes
from quotegrid.tables.validity import (
    ValidityError,
    axis_ranges,
    life_check,
    moment,
    validity_lines,
    with_validity,
)

TABLES = dict(conformance_tables())
NOON = 1777896000.0  # 4 May 2026, 12:00 UTC


def test_what_is_stated_is_in_the_file() -> None:
    table = TABLES["ergodic"]
    found = with_validity(table, NOON, 3600.0, [(90.0, 110.0)], {"inventory": (-1.0, 2.0)})
    assert table_of_bytes(memoryview(safetensors_bytes(found)), "t") == found != table
    assert (found.start, found.life) == (NOON, 3600.0)
    assert found.price_box is not None and found.box is not None
    np.testing.assert_array_equal(found.price_box, [[90.0, 110.0]])
    np.testing.assert_array_equal(found.box, [[-1.0, 2.0]])
    assert with_validity(table) is table
    again = with_validity(found, life=60.0)
    assert (again.start, again.life, again.price_box) == (NOON, 60.0, found.price_box)
    assert list(validity_lines(found)) == [
        "ASSET0: meant for reference prices from 90 to 110 USD.",
        "May be used from 2026-05-04 12:00:00 UTC to 2026-05-04 13:00:00 UTC (3600 s).",
    ]
    assert moment(1e300) == "Unix second 1e+300"


def test_a_box_is_stated_by_the_names_of_axes() -> None:
    table = TABLES["everything"]
    assert list(axis_ranges(table)) == [
        *("time", "alpha", "beta", "price.volatility", "inventory_ASSET0", "inventory_ASSET1")
    ]
    found = with_validity(table, box={"beta": (12.0, 13.0), "inventory_ASSET1": (0.0, 1.0)})
    assert axis_ranges(found) == axis_ranges(table) | {"beta": (12.0, 13.0), "inventory_ASSET1": (0.0, 1.0)}
    wider = with_validity(found, box={"beta": (10.0, 20.0)})
    assert axis_ranges(wider)["inventory_ASSET1"] == (0.0, 1.0)


def test_guards_refuse_by_what_was_stated(table_by_hand) -> None:
    table = with_validity(table_by_hand(), NOON, 3600.0, [(90.0, 110.0)], {"inventory": (-1.0, 1.0)})
    quoter = GuardedQuoter(table, ("XYZ",), (0.01,))
    good = Moment(now=NOON + 1, inventory=0, reference=100.0)
    assert all(quoter.prices(good).values())
    for change, rule in (
        ({"now": NOON - 1}, "too-early"),
        ({"now": NOON + 3601}, "expired"),
        ({"reference": 10_000.0}, "outside-price-box"),
    ):
        with pytest.raises(QuoteError) as caught:
            quoter.prices(good._replace(**change))
        assert caught.value.rule == rule
    long = quoter.prices(good._replace(inventory=2))
    assert long["size1/bid"] is None and long["size1/ask"] is not None


def test_what_does_not_fit_the_table() -> None:
    table = TABLES["two-assets"]
    with pytest.raises(
        ValidityError, match="1 ranges of prices were given; one is needed for each of ASSET0"
    ):
        with_validity(table, prices=[(1.0, 2.0)])
    with pytest.raises(ValidityError, match="no axis 'alpha'; it has time, inventory_ASSET0"):
        with_validity(table, box={"alpha": (0.0, 1.0)})
    priced = dataclasses.replace(table, reference_prices=(100.0, 5.0))
    with pytest.raises(
        TableError,
        match=r"inventory_ASSET0 ends at -0\.5, between two nodes; allowed: a node, such as -1 or 0 \[box",
    ):
        with_validity(table, box={"inventory_ASSET0": (-0.5, 1.0)})
    with pytest.raises(
        TableError, match=r"holds time from 0\.5 to 0; allowed: from a lower to a higher end within its axis"
    ):
        with_validity(table, box={"time": (0.5, 0.0)})
    cases: list[tuple[dict[str, Any], str]] = [
        ({"prices": [(90.0, 110.0), (6.0, 7.0)]}, "reference-price"),
        ({"box": {"time": (0.5, 2.0)}}, "box-form"),
        ({"box": {"inventory_ASSET0": (-0.5, 1.0)}}, "box-form"),
        ({"life": 60.0}, "life-time"),
        ({"start": 0.0, "life": -1.0}, "life-time"),
        ({"start": float("nan")}, "life-time"),
    ]
    for changes, rule in cases:
        with pytest.raises(TableError) as caught:
            with_validity(priced, **changes)
        assert caught.value.rule == rule


def test_an_expired_table_is_found_before_it_is_published() -> None:
    table = with_validity(TABLES["ergodic"], NOON, 3600.0)
    assert life_check(TABLES["ergodic"], NOON).outcome == "not applicable"
    assert life_check(table, NOON - 60.0) == life_check(table, NOON + 60.0)
    assert life_check(table, NOON).sentence == (
        "it may be used from 2026-05-04 12:00:00 UTC to 2026-05-04 13:00:00 UTC"
    )
    late = life_check(table, NOON + 3600.0)
    assert (late.outcome, late.sentence[:40]) == ("fail", "the table expired on 2026-05-04 13:00:00")
    assert "without end" in life_check(with_validity(TABLES["ergodic"], NOON), NOON).sentence
