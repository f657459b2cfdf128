"""The rules between and outside the lattice, one by one, and against the slow twin of FORMAT.md §6."""

import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotegrid.tables import PolicyTable, QuoteError, Quoter
from quotegrid.tables.lookup import BETWEEN, OUTSIDE, Axis, Lookup

VECTORS: dict[str, Any] = runpy.run_path(str(Path(__file__).parent / "conformance_vectors.py"))
TABLES: dict[str, PolicyTable] = VECTORS["TABLES"]


def axis(*nodes: float, between: str = "exact", outside: str = "refuse") -> Axis:
    return Axis("inventory", "lots", list(nodes), 1, between, outside, 1e-9)


@pytest.mark.parametrize(
    ("between", "x", "node"),
    [
        ("nearest", 1.4, 1),
        ("nearest", 1.6, 2),
        ("nearest", 1.5, 1),
        ("nearest", -1.5, -1),
        ("nearest", 0.5, 0),
        ("nearest", -1.6, -2),
        ("towards_flat", 1.9, 1),
        ("towards_flat", -1.9, -1),
        ("towards_flat", 0.9, 0),
        ("towards_flat", -0.9, 0),
        ("exact", 1.0, 1),
        ("exact", 1.0 + 1e-12, 1),
        ("linear", 2.0 - 1e-12, 2),
        ("linear", 3.0 + 1e-12, 3),
        ("exact", -3.0 - 1e-12, -3),
    ],
)
def test_one_node(between: str, x: float, node: int) -> None:
    assert axis(-3, -2, -1, 0, 1, 2, 3, between=between).corners(x) == ((node + 3, 1.0),)


@pytest.mark.parametrize(
    ("between", "x", "node"),
    [
        ("nearest", 0.0, -1),  # equally near, equally far from flat: the lower one
        ("nearest", 0.1, 1),
        ("towards_flat", 0.1, 1),  # equally far from flat: the nearer one
        ("towards_flat", -0.1, -1),
        ("towards_flat", 0.0, -1),
        ("towards_flat", 2.9, 1),
    ],
)
def test_ties_on_a_lattice_without_zero(between: str, x: float, node: int) -> None:
    nodes = (-3, -1, 1, 3)
    assert axis(*nodes, between=between).corners(x) == ((nodes.index(node), 1.0),)


def test_linear_weights() -> None:
    assert axis(0, 1, 3, between="linear").corners(1.5) == ((1, 0.75), (2, 0.25))


def test_coordinates_of_other_number_types() -> None:
    line = axis(0, 1, 2, between="linear")
    ones: list[Any] = [1, 1.0, np.float64(1), np.float32(1), np.int64(1)]
    assert {line.corners(one) for one in ones} == {((1, 1.0),)}
    half: Any = np.float32(0.5)
    assert line.corners(half) == ((0, 0.5), (1, 0.5))


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, "1", None, [1], True, 1j])
@pytest.mark.parametrize("outside", OUTSIDE)
def test_what_is_no_number_is_refused_even_when_clamping(x: Any, outside: str) -> None:
    if x is True:
        x = np.bool_(True)
    with pytest.raises(QuoteError) as caught:
        axis(-2, 0, 2, between="linear", outside=outside).corners(x)
    assert str(caught.value) == f"inventory {x!r} is not a finite number"


def test_error_between_nodes_says_what_to_do() -> None:
    with pytest.raises(QuoteError) as caught:
        axis(-1, 0, 1).corners(0.25)
    assert str(caught.value) == (
        "inventory 0.25 lots is between the nodes 0 and 1 of the table; load it with between= one of "
        "nearest, towards_flat, linear to get quotes there"
    )


def test_error_outside_says_what_to_do() -> None:
    with pytest.raises(QuoteError) as caught:
        axis(-1, 0, 1, between="linear").corners(1.01)
    assert str(caught.value) == (
        "inventory 1.01 lots is outside the table, which runs from -1 to 1; "
        'load it with outside="clamp" to get the quotes of the nearest edge'
    )


def test_clamping_moves_to_the_edge() -> None:
    line = axis(-1, 0, 1, outside="clamp")
    assert line.corners(7.5) == ((2, 1.0),)
    assert line.corners(-7) == ((0, 1.0),)
    assert [line.settled(x) for x in (7.5, 0.5, -1e-10, 1e-10, 1 - 1e-10)] == [1, 0.5, 0, 0, 1]
    assert [line.is_outside(x) for x in (1.0, 1 + 1e-10, 1.1, math.nan)] == [False, False, True, True]


def test_rules_are_checked_at_load() -> None:
    with pytest.raises(QuoteError) as caught:
        Lookup(TABLES["ergodic"], between="cubic")
    assert str(caught.value) == "between='cubic' is no rule; allowed: exact, nearest, towards_flat, linear"
    with pytest.raises(QuoteError) as caught:
        Lookup(TABLES["ergodic"], outside="warn")
    assert str(caught.value) == "outside='warn' is no rule; allowed: refuse, clamp"


def test_time_is_needed_where_there_is_a_time_axis_and_only_there() -> None:
    with pytest.raises(QuoteError) as caught:
        Quoter(TABLES["finite"]).quote(0)
    assert str(caught.value) == "this table needs a time, from 0 to 10 s"
    with pytest.raises(QuoteError) as caught:
        Quoter(TABLES["ergodic"]).quote(0, 1.0)
    assert str(caught.value) == "time 1.0 was given, but the quotes of this table do not depend on time"
    with pytest.raises(QuoteError) as caught:
        Quoter(TABLES["finite"]).quote(0, 10.5)
    assert str(caught.value).startswith("time 10.5 s is outside the table, which runs from 0 to 10;")


@pytest.mark.parametrize("inventory", [(0, 0), (), [1, 2, 3], None])
def test_number_of_inventories(inventory: Any) -> None:
    with pytest.raises(QuoteError) as caught:
        Quoter(TABLES["ergodic"]).quote(inventory)
    assert str(caught.value) == f"inventory {inventory!r} does not fit this table: give one number"


@pytest.mark.parametrize("inventory", [0, (0,), (0, 0, 0)])
def test_number_of_inventories_of_several_assets(inventory: Any) -> None:
    with pytest.raises(QuoteError) as caught:
        Quoter(TABLES["two-assets"]).quote(inventory, 0.0)
    assert str(caught.value) == (
        f"inventory {inventory!r} does not fit this table: give the lots of X, Y, in this order"
    )


def test_text_is_no_inventory() -> None:
    with pytest.raises(QuoteError, match="inventory '1' is not a finite number"):
        Quoter(TABLES["ergodic"]).quote("1")  # type: ignore[arg-type]


def test_rounding_does_not_switch_a_flow_off() -> None:
    """0.07/0.01 is 7.000000000000001: with a weight of 1e-15 on a NaN corner the bid would vanish."""
    assert 0.07 / 0.01 > 7
    lookup = axis(6, 7, 8, between="linear")
    assert lookup.corners(0.07 / 0.01) == ((1, 1.0),)


@pytest.mark.parametrize(
    ("between", "inventory", "on"),
    [
        # limits -2 … 2; "block" trades 2 lots
        ("nearest", 1.4, {"book/bid": False, "book/ask": True, "block/bid": False, "block/ask": True}),
        ("towards_flat", 1.9, {"book/bid": False, "book/ask": True, "block/bid": False, "block/ask": True}),
        ("towards_flat", 0.5, {"book/bid": True, "book/ask": True, "block/bid": False, "block/ask": True}),
        ("towards_flat", -0.5, {"book/bid": True, "book/ask": True, "block/bid": True, "block/ask": False}),
        ("linear", 0.5, {"book/bid": True, "book/ask": True, "block/bid": False, "block/ask": True}),
        ("linear", 1.5, {"book/bid": False, "book/ask": True, "block/bid": False, "block/ask": True}),
        ("nearest", -1.4, {"book/bid": True, "book/ask": False, "block/bid": True, "block/ask": False}),
    ],
)
def test_limits_hold_from_the_callers_inventory(between: str, inventory: float, on: dict[str, bool]) -> None:
    quote = Quoter(TABLES["ergodic"], between=between).quote(inventory)
    assert {label: offset is not None for label, offset in quote.offsets.items()} == on


@settings(max_examples=400)
@given(data=st.data())
def test_agrees_with_the_slow_twin(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(TABLES)))
    table = TABLES[name]
    between, outside = data.draw(st.sampled_from(BETWEEN)), data.draw(st.sampled_from(OUTSIDE))
    number = st.one_of(st.integers(-4, 4), st.floats(-4, 4), st.sampled_from([0.5, -1.5, 1e-10, 2 + 1e-9]))
    inventory = [data.draw(number) for _ in table.symbols]
    time = None if table.times is None else data.draw(st.floats(-1.0, 11.0))
    quoter = Quoter(table, between=between, outside=outside)
    try:
        expected = VECTORS["slow_lookup"](table, between, outside, [float(x) for x in inventory], time)
    except VECTORS["RefusedError"]:
        with pytest.raises(QuoteError):
            quoter.quote(inventory, time)
        return
    quote = quoter.quote(inventory, time)
    tolerance = 2 * 8 * math.ulp(8.0)  # as in the conformance vectors
    assert quote.value == pytest.approx(expected["value"], abs=tolerance, rel=0)
    for mine, theirs in zip(quote.offsets.values(), expected["offsets"], strict=True):
        assert mine == (None if theirs is None else pytest.approx(theirs, abs=tolerance, rel=0))
    assert list(quote.clamped) == expected["clamped"]
    fast = quoter.offsets(inventory, time)
    assert [None if math.isnan(x) else x for x in fast] == list(quote.offsets.values())
