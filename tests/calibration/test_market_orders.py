"""Prints into market orders, and how far each reached from the mid before it."""

from pathlib import Path

import numpy as np

from quotegrid.calibration.csv_files import read_quotes, read_trades
from quotegrid.calibration.market_data import Quotes, Trades
from quotegrid.calibration.market_orders import first_prints, market_orders
from quotegrid.calibration.recording import record

MS = 1_000_000


def trades(rows: list[tuple[float, int, float, float, int]]) -> Trades:
    """Rows of local ms, exchange ms, price, size, aggressor."""
    local, exchange, price, size, aggressor = (np.array(column) for column in zip(*rows, strict=True))
    return Trades.clean(np.rint(local * MS).astype(np.int64), price, size, aggressor, exchange)


def quotes(rows: list[tuple[float, float, float]]) -> Quotes:
    """Rows of local ms, bid, ask."""
    local, bid, ask = (np.array(column) for column in zip(*rows, strict=True))
    return Quotes.clean(np.rint(local * MS).astype(np.int64), bid, ask)


def test_prints_of_one_exchange_time_and_aggressor_are_one_order() -> None:
    rows = [(1, 7, 10, 1, 1), (9, 7, 11, 1, 1), (9.5, 7, 9, 1, -1), (9.6, 8, 9, 1, -1)]
    np.testing.assert_array_equal(first_prints(trades(rows)), [0, 2, 3])


def test_without_exchange_times_contiguous_prints_are_one_order() -> None:
    rows = [(1, 0, 10, 1, 1), (1.8, 0, 11, 1, 1), (2.6, 0, 11, 1, 1), (4.0, 0, 11, 1, 1), (4.1, 0, 9, 1, -1)]
    np.testing.assert_array_equal(first_prints(trades(rows)), [0, 3, 4])
    np.testing.assert_array_equal(first_prints(trades(rows), order_gap=2e-3), [0, 4])


def test_reach_is_the_half_spread_and_the_sweep() -> None:
    book = quotes([(0, 9.98, 10.0), (100, 9.97, 10.01)])
    tape = trades([(50, 1, 10.0, 2, 1), (50, 1, 10.02, 3, 1), (60, 2, 9.98, 1, -1)])
    orders = market_orders(record(book, tape))
    np.testing.assert_array_equal(
        orders.touch, [2, 2]
    )  # half ticks: a spread of 0.02 is a half-spread of 0.01
    np.testing.assert_array_equal(orders.reach, [6, 2])  # 0.03 from 9.99, and the touch
    np.testing.assert_allclose(orders.mid, 9.99)
    np.testing.assert_array_equal(orders.size, [5.0, 1.0])
    assert orders.matched.all()


def test_a_quote_that_already_shows_the_order_is_not_the_quote_before_it() -> None:
    """The quote after the sweep arrives 2 ms before the prints: taken as prior, it would hide the depth."""
    book = quotes([(0, 9.98, 9.99), (48, 10.02, 10.03), (100, 10.02, 10.03)])
    tape = trades([(50, 1, 9.99, 1, 1), (50, 1, 10.03, 1, 1)])
    orders = market_orders(record(book, tape, tick_size=0.01))
    np.testing.assert_array_equal(orders.reach, [1 + 8])
    assert orders.matched.all()


def test_a_quote_at_the_very_time_of_the_order_is_not_before_it() -> None:
    book = quotes([(0, 9.98, 9.99), (50, 9.97, 10.03), (100, 10.02, 10.03)])
    orders = market_orders(record(book, trades([(50, 1, 9.99, 1, 1)]), tick_size=0.01))
    np.testing.assert_array_equal(orders.touch, [1])


def test_looking_back_ends() -> None:
    book = quotes([(0, 9.98, 9.99), (40, 9.98, 10.03), (200, 9.98, 10.03)])
    tape = trades([(150, 1, 9.99, 1, 1)])
    near = market_orders(record(book, tape, tick_size=0.01), lookback=0.05)
    np.testing.assert_array_equal((near.touch, near.matched), [[5], [False]])
    far = market_orders(record(book, tape, tick_size=0.01), lookback=0.12)
    np.testing.assert_array_equal((far.touch, far.matched), [[1], [True]])


def test_the_nearest_touch_serves_an_order_that_matches_none() -> None:
    book = quotes([(0, 9.90, 9.98), (10, 9.98, 10.05), (200, 9.98, 10.05)])
    orders = market_orders(record(book, trades([(30, 1, 9.99, 1, 1)]), tick_size=0.01))
    np.testing.assert_array_equal((orders.touch, orders.matched), [[8], [False]])


def test_orders_in_a_gap_are_left_out() -> None:
    book = quotes([(0, 9.98, 9.99), (10, 9.98, 9.99), (90_000, 9.98, 9.99), (90_010, 9.98, 9.99)])
    tape = trades([(5, 1, 9.99, 1, 1), (50_000, 2, 9.99, 1, 1), (90_005, 3, 9.98, 1, -1)])
    assert len(market_orders(record(book, tape, tick_size=0.01))) == 2


def test_the_spot_feed_shows_the_order_in_its_quotes_first(spot: tuple[Path, Path]) -> None:
    """Why orders are matched: the latest earlier quote is past the order's first price one time in four."""
    recording = record(read_quotes(spot[0]), read_trades(spot[1]))
    orders = market_orders(recording)
    assert len(orders) == 4955  # as counted in the data's own description
    latest = np.searchsorted(recording.quotes.time_ns, orders.time_ns, side="left") - 1
    best = orders.mid + orders.aggressor * orders.touch * 0.5 * recording.tick_size
    touch = np.where(orders.aggressor > 0, recording.quotes.ask[latest], recording.quotes.bid[latest])
    past = (touch - best) * orders.aggressor > 0.25 * recording.tick_size
    assert 0.2 < past.mean() < 0.3
    assert orders.matched.mean() > 0.97


def test_the_perpetual_has_the_orders_its_description_counts(perpetual: tuple[Path, Path]) -> None:
    orders = market_orders(record(read_quotes(perpetual[0]), read_trades(perpetual[1])))
    assert len(orders) == 1587
    assert orders.matched.mean() > 0.99
