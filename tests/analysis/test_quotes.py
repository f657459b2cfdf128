"""A table read as quotes: pairs of flows, spread and skew, units."""

import numpy as np
import pytest

from quotegrid.analysis.quotes import (
    QuotePair,
    currency,
    inventory_unit,
    market,
    nearest_times,
    per_time,
    quote_pairs,
    reference,
)


def test_pairs_are_bid_and_ask_of_one_name_smallest_first(table_by_hand) -> None:
    assert quote_pairs(table_by_hand(sizes=(3, 1))) == (
        QuotePair("size1", 1, bid=2, ask=3),
        QuotePair("size3", 3, bid=0, ask=1),
    )


def test_a_missing_side_reads_as_off() -> None:
    offset = np.array([[0.1], [0.2]])
    pair = QuotePair("book", 1, bid=0, ask=None)
    np.testing.assert_array_equal(pair.bid_offset(offset), [0.1, 0.2])
    assert np.isnan(pair.ask_offset(offset)).all()
    assert np.isnan(pair.spread(offset)).all()
    assert np.isnan(pair.skew(offset)).all()


def test_spread_and_skew_of_a_parabola(table_by_hand) -> None:
    table = table_by_hand(limit=4)
    (pair,) = quote_pairs(table)
    inside = slice(1, -1)
    lots = table.inventories[0][inside]
    # value -c q²: a fill on either side changes it by -c (1 ± 2q), so spread = 2 (w + c) and skew = -2 c q
    np.testing.assert_allclose(pair.spread(table.offset)[inside], 1.02, rtol=1e-14)
    np.testing.assert_allclose(pair.skew(table.offset)[inside], -0.02 * lots, atol=1e-15)
    assert np.isnan(pair.skew(table.offset)[[0, -1]]).all()


def test_nearest_times_come_once_and_in_order() -> None:
    times = np.array([0.0, 1.0, 8.0, 10.0])
    np.testing.assert_array_equal(nearest_times(times, (0.0, 0.01, 0.5, 0.9, 1.0)), [0, 2, 3])


@pytest.mark.parametrize(
    ("price_unit", "expected"),
    [("USD", "USD"), ("USDT", "USDT"), ("bp", "bp × unit"), ("tick", "tick × unit")],
)
def test_currency_is_the_price_unit_where_that_is_money(
    table_by_hand, price_unit: str, expected: str
) -> None:
    assert currency(table_by_hand(units=(price_unit, "s"))) == expected


def test_market_words(table_by_hand) -> None:
    table = table_by_hand(tick=0.05)
    assert market(table)["tick_size"] == 0.05
    assert reference(table) == "mid"
    assert inventory_unit(table) == "lots of 0.1"
    assert inventory_unit(table_by_hand(lot_sizes=(1.0,))) == "lots"


@pytest.mark.parametrize(
    ("time_unit", "expected"),
    [
        ("s", "0.5 USD per s = 1800 USD per h"),
        ("min", "0.5 USD per min = 30 USD per h"),
        ("h", "0.5 USD per h"),
        ("day", "0.5 USD per day = 0.0208333 USD per h"),
        ("session", "0.5 USD per session"),
    ],
)
def test_amounts_per_hour_where_the_time_unit_is_known(time_unit: str, expected: str) -> None:
    assert per_time(0.5, "USD", time_unit) == expected
