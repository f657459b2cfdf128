"""Lookups of many states: bit for bit the slow answers of FORMAT.md's words; refusals name the state."""

import math
from typing import Any

import numpy as np
import pytest

from quotegrid.tables import PolicyTable, QuoteError, Quoter
from quotegrid.tables.conformance.answers import Answer, SlowTable
from quotegrid.tables.conformance.made_up_tables import PAIR, conformance_tables, made_up_table
from quotegrid.tables.conformance.questions import BETWEEN, OUTSIDE, questions
from quotegrid.tables.lookup import Lookup, Market
from quotegrid.tables.many_lookups import BLOCK, Markets, Quotes

TABLES = dict(conformance_tables())


def ask(quoter: Quoter, coordinates: list[tuple[float, ...]]) -> Quotes:
    """Coordinates in the order of the axes of the table, regimes among them."""
    table = quoter.table
    columns = [np.array(column) for column in zip(*coordinates, strict=True)]
    time = None if table.times is None else columns.pop(0)
    regime = columns.pop(0) if table.regimes else None
    factors = {axis.name: columns.pop(0) for axis in table.factors}
    parameters = {axis.name: columns.pop(0) for axis in table.parameter_axes}
    lots: Any = columns if len(columns) > 1 else columns[0]
    return quoter.quotes(lots, time, Markets(regime, factors, parameters))


def check(name: str, rows: int) -> None:
    """All questions that have answers, by their rules, with the answers of `SlowTable`."""
    table = TABLES[name]
    slow, groups = SlowTable(table), {}
    for question in questions(name, table, rows):
        answer = slow.answer(question)
        if isinstance(answer, Answer):
            groups.setdefault((question.between, question.outside), []).append((question.coordinates, answer))
    assert len(groups) == len(BETWEEN) * len(OUTSIDE)
    for (between, outside), asked in groups.items():
        quotes = ask(Quoter(table, between, outside), [coordinates for coordinates, _ in asked])
        answers = [answer for _, answer in asked]
        same(quotes.value, [answer.value for answer in answers])
        same(quotes.offsets, [answer.offsets for answer in answers])
        for found, wanted in (
            (quotes.hedge_rate, [answer.hedge_rate for answer in answers]),
            (quotes.market_order, [answer.market_order for answer in answers]),
        ):
            assert (found is None) == (table.hedge_rate is None)
            if found is not None:
                same(found, wanted)
        if outside == "clamp":
            assert list(quotes.clamped) == [axis.name for axis in table.axes]
            for axis, where in enumerate(quotes.clamped.values()):
                assert where.tolist() == [axis in answer.clamped for answer in answers]
        else:
            assert quotes.clamped == {}


def same(found: np.ndarray, wanted: Any) -> None:
    """Equal to the last bit, with one NaN."""
    expected = np.array(wanted, dtype=np.float64).reshape(found.shape)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    there = ~np.isnan(found)
    assert np.array_equal(found[there].view(np.int64), expected[there].view(np.int64))


@pytest.mark.parametrize("name", TABLES)
def test_bit_for_bit(name: str) -> None:
    check(name, 400)


@pytest.mark.deep
@pytest.mark.parametrize("name", TABLES)
def test_a_million_states_bit_for_bit(name: str) -> None:
    check(name, 1_400_000 // len(TABLES))  # a third of the questions is refused


@pytest.mark.parametrize("spread", ["even", "uneven"])
@pytest.mark.parametrize("between", BETWEEN[1:])
def test_more_states_than_a_block(spread: str, between: str) -> None:
    """Against single lookups, over axes long enough for the guess of a node to miss."""
    draw = np.random.default_rng(5)
    times = np.linspace(0.0, 7.0, 90) if spread == "even" else np.cumsum(draw.uniform(0.001, 1.0, 90))
    table = made_up_table("long", [np.arange(-30.0, 31.0).tolist()], PAIR, times=times.tolist())
    count = 2 * BLOCK + 77
    lots, time = draw.uniform(-30.0, 30.0, count), draw.uniform(times[0], times[-1], count)
    time[::7], lots[::5] = times[draw.integers(90, size=len(time[::7]))], np.round(lots[::5])
    quoter = Quoter(table, between)
    quotes = quoter.quotes(lots, time)
    for place in [*range(0, count, 83), count - 1]:
        alone = quoter.quote(float(lots[place]), float(time[place]))
        same(quotes.value[place], alone.value)
        same(quotes.offsets[place], [math.nan if x is None else x for x in alone.offsets.values()])


def test_shapes(two_assets: PolicyTable) -> None:
    quoter = Quoter(two_assets)
    quotes = quoter.quotes(([[-1.0], [0.0]], [0, 1, -1]), 0.0)
    assert (quotes.offsets.shape, quotes.value.shape) == ((2, 3, 4), (2, 3))
    assert quotes.hedge_rate is not None
    assert quotes.hedge_rate.shape == (2, 3, 2)
    same(quotes.offsets[1, 2], list(quoter.offsets((0, -1), 0.0)))
    assert quoter.quotes((0, 1), 0.0).offsets.shape == (4,)
    none = quoter.quotes(([], []), 0.0)
    assert (none.offsets.shape, none.value.shape) == ((0, 4), (0,))


def test_one_market_for_all_states() -> None:
    table = TABLES["everything"]
    factors, parameters = {"alpha": 0.3, "beta": 12.0}, {"price.volatility": 0.15}
    quoter = Quoter(table)
    quotes = quoter.quotes(([0, 1], [-2, 0]), [0.25, 2.0], Markets("wild", factors, parameters))
    for place, (lots, time) in enumerate((((0, -2), 0.25), ((1, 0), 2.0))):
        same(quotes.offsets[place], quoter.offsets(lots, time, Market("wild", factors, parameters)))


@pytest.mark.parametrize(
    ("inventory", "time", "words", "rule"),
    [
        ([0, 1, 1.5], 2.0, "state 2: inventory 1.5 lots is between the nodes 1 and 2", "between-nodes"),
        ([[0, 1], [7, 9]], 2.0, "state 1, 0: inventory 7 lots is outside the table", "outside-box"),
        (0, [1.0, math.nan], "state 1: time nan is not a finite number", "not-a-number"),
        ([7], 99.0, "state 0: time 99 µs is outside the table", "outside-box"),
        (1.5, 2.0, "state asked for: inventory 1.5", "between-nodes"),
        ([0, 1], None, "this table needs a time, from 0 to 10 µs", "wrong-coordinates"),
        ([0, 1], [1.0, 2.0, 3.0], r"shapes \(2,\), \(3,\) do not fit together", "wrong-question"),
        (["none"], 2.0, r"inventory \['none'\] is no array of numbers", "not-a-number"),
    ],
)
def test_refusals(inventory: Any, time: Any, words: str, rule: str) -> None:
    with pytest.raises(QuoteError, match=words) as caught:
        Quoter(TABLES["finite"]).quotes(inventory, time)
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("regime", "words", "rule"),
    [
        ([0, 3], r"state 1: regime 3 is unknown; allowed: calm, wild", "unknown-regime"),
        ([0, -1], r"state 1: regime -1 is unknown", "unknown-regime"),
        ("windy", "regime 'windy' is unknown; allowed: calm, wild, größer", "unknown-regime"),
        ([0.0, 1.0], "regimes must be whole numbers from 0, or one name for all states", "unknown-regime"),
        (None, "this table needs a regime, one of calm, wild", "wrong-coordinates"),
    ],
)
def test_refused_regimes(regime: Any, words: str, rule: str) -> None:
    with pytest.raises(QuoteError, match=words) as caught:
        Quoter(TABLES["regimes"]).quotes([0, 1], market=Markets(regime))
    assert caught.value.rule == rule


def test_what_a_table_has_no_axis_for() -> None:
    quoter = Quoter(TABLES["ergodic"])
    for market, words in (
        (Markets(regime=0), "regime 0 was given, but this table has no regimes"),
        (Markets("calm"), "regime 'calm' is unknown; allowed: none, this table has no regimes"),
        (Markets(factors={"alpha": 0.0}), "factor 'alpha' was given; this table has no factor axes"),
    ):
        with pytest.raises(QuoteError, match=words):
            quoter.quotes([0, 1], market=market)
    with pytest.raises(QuoteError, match="the quotes of this table do not depend on time"):
        quoter.quotes([0, 1], 0.0)


def test_a_state_that_only_arrays_refuse_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lookup, "corners", lambda *_: ())
    with pytest.raises(AssertionError, match="refused in an array, but not alone"):
        Quoter(TABLES["ergodic"]).quotes([0, 99])
