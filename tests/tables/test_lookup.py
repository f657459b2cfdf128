"""The rules between and outside the lattice, one by one, and against the slow twin of FORMAT.md §6."""

import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotegrid.tables import QuoteError, Quoter
from quotegrid.tables.conformance.answers import Question, Refusal, SlowTable
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.lookup import BETWEEN, OUTSIDE, REFUSALS, Axis, Lookup, Market

TABLES = dict(conformance_tables())


def axis(*nodes: float, between: str = "exact", outside: str = "refuse") -> Axis:
    return Axis("inventory", "lots", list(nodes), (nodes[0], nodes[-1]), 1, between, outside, 1e-9)


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


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, "1", None, [1], True, 1j, 10**400])
@pytest.mark.parametrize("outside", OUTSIDE)
def test_what_is_no_number_is_refused_even_when_clamping(x: Any, outside: str) -> None:
    if x is True:
        x = np.bool_(True)
    with pytest.raises(QuoteError) as caught:
        axis(-2, 0, 2, between="linear", outside=outside).corners(x)
    assert str(caught.value) == f"inventory {x!r:.80} is not a finite number"


def test_error_between_nodes_says_what_to_do() -> None:
    with pytest.raises(QuoteError) as caught:
        axis(-1, 0, 1).corners(0.25)
    assert str(caught.value) == (
        "inventory 0.25 lots is between the nodes 0 and 1 of the table; load it with between= "
        "(quotegrid quote: --between) one of nearest, towards_flat, linear to get quotes there"
    )


def test_error_outside_says_what_to_do() -> None:
    with pytest.raises(QuoteError) as caught:
        axis(-1, 0, 1, between="linear").corners(1.01)
    assert str(caught.value) == (
        "inventory 1.01 lots is outside the table, which runs from -1 to 1; "
        'load it with outside="clamp" (quotegrid quote: --outside clamp) to get the quotes '
        "of the nearest edge"
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
    assert str(caught.value) == "this table needs a time, from 0 to 10 µs (quotegrid quote: --time 0)"
    with pytest.raises(QuoteError) as caught:
        Quoter(TABLES["ergodic"]).quote(0, 1.0)
    assert str(caught.value) == "time 1.0 was given, but the quotes of this table do not depend on time"
    with pytest.raises(QuoteError) as caught:
        Quoter(TABLES["finite"]).quote(0, 10.5)
    assert str(caught.value).startswith("time 10.5 µs is outside the table, which runs from 0 to 10;")


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
        f"inventory {inventory!r} does not fit this table: give the lots of ASSET0, ASSET1, in this order"
    )


@pytest.mark.parametrize("inventory", ["1", "12", b"1", b"\x02"])
def test_text_and_bytes_are_no_inventory(inventory: Any) -> None:
    with pytest.raises(QuoteError) as caught:
        Quoter(TABLES["ergodic"]).quote(inventory)
    assert str(caught.value) == f"inventory {inventory!r} is not a finite number"


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


SLOW = {name: SlowTable(table) for name, table in TABLES.items()}


@settings(max_examples=400)
@given(data=st.data())
def test_agrees_with_the_slow_twin(data: st.DataObject) -> None:
    """Bit for bit, NaN and the zeros apart; the conformance files hold the other axes."""
    name = data.draw(st.sampled_from(["ergodic", "finite", "coarse", "two-assets", "three-assets"]))
    table = TABLES[name]
    between, outside = data.draw(st.sampled_from(BETWEEN)), data.draw(st.sampled_from(OUTSIDE))
    number = st.one_of(st.integers(-4, 4), st.floats(-4, 4), st.sampled_from([0.5, -1.5, 1e-10, 2 + 1e-9]))
    inventory = [data.draw(number) for _ in table.symbols]
    time = None if table.times is None else data.draw(st.floats(-1.0, 11.0))
    quoter = Quoter(table, between=between, outside=outside)
    state = tuple(map(float, inventory)) if time is None else (time, *map(float, inventory))
    expected = SLOW[name].answer(Question(between, outside, state))
    if isinstance(expected, Refusal):
        with pytest.raises(QuoteError) as caught:
            quoter.quote(inventory, time)
        assert caught.value.rule == REFUSALS[expected.number - 1]
        return
    quote = quoter.quote(inventory, time)
    assert quote.value == expected.value
    assert list(quote.offsets.values()) == [None if math.isnan(x) else x for x in expected.offsets]
    assert quote.clamped == tuple(table.axes[axis].name for axis in expected.clamped)
    fast = quoter.offsets(inventory, time)
    assert [None if math.isnan(x) else x for x in fast] == list(quote.offsets.values())


CALM = Market("calm", {"alpha": 0.25, "beta": 15.0}, {"price.volatility": 0.1})


def test_regimes_by_name_and_by_number() -> None:
    quoter = Quoter(TABLES["everything"])
    assert quoter.quote((0, 0), 0.5, market=CALM) == quoter.quote((0, 0), 0.5, market=CALM._replace(regime=0))
    wild = quoter.quote((0, 0), 0.5, market=CALM._replace(regime="wild"))
    assert wild.value != quoter.quote((0, 0), 0.5, market=CALM).value


@pytest.mark.parametrize(
    ("market", "rule", "text"),
    [
        (
            None,
            "wrong-coordinates",
            "this table needs the factor alpha, from -1 to 1 (quotegrid quote: --factor alpha=-1)",
        ),
        (
            CALM._replace(regime=None),
            "wrong-coordinates",
            "this table needs a regime, one of calm, wild (quotegrid quote: --regime calm)",
        ),
        (
            CALM._replace(regime="mild"),
            "unknown-regime",
            "regime 'mild' is unknown; allowed: calm, wild, or their numbers from 0",
        ),
        (CALM._replace(regime=2), "unknown-regime", "regime 2 is unknown"),
        (CALM._replace(regime=cast(int, 0.5)), "unknown-regime", "regime 0.5 is unknown"),
        (CALM._replace(regime=True), "unknown-regime", "regime True is unknown"),
        (CALM._replace(factors={"alpha": 0.0}), "wrong-coordinates", "this table needs the factor beta"),
        (
            CALM._replace(factors={"alpha": 0.0, "beta": 15.0, "gamma": 1.0}),
            "wrong-coordinates",
            "factor 'gamma' was given; this table has alpha, beta",
        ),
        (
            CALM._replace(parameters={}),
            "wrong-coordinates",
            "this table needs the parameter price.volatility, from 0.1 to 0.2 (quotegrid quote: --parameter "
            "price.volatility=0.1)",
        ),
        (
            CALM._replace(factors={"alpha": 1.5, "beta": 15.0}),
            "outside-box",
            "alpha 1.5 is outside the table",
        ),
        (CALM._replace(factors={"alpha": 0.5, "beta": math.nan}), "not-a-number", "beta nan is not a finite"),
    ],
)
def test_markets_that_are_refused(market: Market | None, rule: str, text: str) -> None:
    with pytest.raises(QuoteError) as caught:
        Quoter(TABLES["everything"]).quote((0, 0), 0.5, market=market)
    assert str(caught.value).startswith(text)
    assert caught.value.rule == rule


def test_a_market_for_a_table_without_one_is_refused() -> None:
    with pytest.raises(QuoteError, match=r"regime 0 was given, but this table has no regimes"):
        Quoter(TABLES["ergodic"]).quote(0, market=Market(regime=0))
    with pytest.raises(QuoteError, match=r"factor 'alpha' was given; this table has no factor axes"):
        Quoter(TABLES["ergodic"]).quote(0, market=Market(factors={"alpha": 0.0}))


def test_the_box_may_be_narrower_than_the_axes() -> None:
    refuse, clamp = (Quoter(TABLES["box"], between="linear", outside=outside) for outside in OUTSIDE)
    market = Market(factors={"alpha": 0.5})
    with pytest.raises(QuoteError, match=r"time 0.5 µs is outside the table, which runs from 1 to 9"):
        refuse.quote(0, 0.5, market=market)
    with pytest.raises(QuoteError, match=r"inventory 3 lots is outside the table, which runs from -2 to 2"):
        refuse.quote(3, 5.0, market=market)
    clamped = clamp.quote(3, 0.5, market=market._replace(factors={"alpha": -0.75}))
    assert clamped.clamped == ("time", "alpha", "inventory")
    assert clamped.offsets == refuse.quote(2, 1.0, market=market._replace(factors={"alpha": -0.5})).offsets
