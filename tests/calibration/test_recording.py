"""The time in which both files ran: gaps, silences, the tick."""

from collections.abc import Sequence

import numpy as np
import pytest

from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades
from quotegrid.calibration.recording import record
from quotegrid.calibration.strays import found_tick

SECOND = 1_000_000_000


def quotes_at(seconds: Sequence[float]) -> Quotes:
    time = np.rint(np.array(seconds) * SECOND).astype(np.int64)
    return Quotes.clean(time, np.full(len(time), 9.99), np.full(len(time), 10.0))


def trades_at(seconds: Sequence[float]) -> Trades:
    time = np.rint(np.array(seconds) * SECOND).astype(np.int64)
    return Trades.clean(time, np.full(len(time), 10.0), np.ones(len(time)), np.ones(len(time)))


def test_a_recording_without_gaps_is_one_segment() -> None:
    recording = record(quotes_at([1, 2, 3, 4]), trades_at([1.5, 3.5]))
    np.testing.assert_array_equal(recording.segments_ns, [[1 * SECOND, 4 * SECOND]])
    assert recording.duration == 3.0
    assert recording.tick_size == 0.01
    assert recording.repairs == ()


def test_gaps_are_cut_out_and_counted() -> None:
    recording = record(quotes_at([1, 2, 3, 100, 101]), trades_at([1.5, 50.0, 100.5]), max_gap=30.0)
    np.testing.assert_array_equal(recording.segments_ns, [[SECOND, 3 * SECOND], [100 * SECOND, 101 * SECOND]])
    assert recording.duration == 3.0
    assert [str(repair) for repair in recording.repairs] == [
        "quotes: 1 gaps longer than 30 s cut, 97 s in all (recorder off)"
    ]
    at = np.array([1.0, 1.5, 3.0, 50.0, 100.0, 100.5, 102.0])
    inside = recording.within((at * SECOND).astype(np.int64))
    np.testing.assert_array_equal(inside, [False, True, True, False, False, True, False])


def test_stretches_give_each_quote_the_time_it_held() -> None:
    recording = record(quotes_at([1, 2, 3, 100, 101]), trades_at([1.5, 100.5]), max_gap=30.0)
    held = [(np.diff(edges) / SECOND, index) for edges, index in recording.stretches()]
    np.testing.assert_array_equal(held[0][0], [1.0, 1.0])
    np.testing.assert_array_equal(held[0][1], [0, 1])
    np.testing.assert_array_equal(held[1][0], [1.0])
    np.testing.assert_array_equal(held[1][1], [3])


def test_quotes_without_trades_at_an_end_are_cut_where_chance_cannot_explain_it() -> None:
    seconds = list(np.arange(0.0, 301.0))
    recording = record(quotes_at(seconds), trades_at(list(np.arange(100.5, 200.0, 0.5))), max_gap=30.0)
    assert recording.duration == pytest.approx(99.0, abs=1e-6)
    assert [repair.what for repair in recording.repairs] == [
        "stretch of 100.5 s cut, before the first trade",
        "stretch of 100.5 s cut, after the last trade",
    ]
    assert recording.within(np.array([100 * SECOND + SECOND // 2])).all()  # the first trade counts
    rare = record(quotes_at(seconds), trades_at([100.5, 150.0, 200.0]), max_gap=30.0)
    assert rare.duration == 300.0  # three trades: a hundred quiet seconds are nothing unusual


def test_trades_outside_the_quotes_are_left_out_and_counted() -> None:
    recording = record(quotes_at([1, 2, 3]), trades_at([0.5, 1.5, 9.0]))
    assert [str(repair) for repair in recording.repairs] == [
        "trades: 2 trades left out, before the first or after the last quote"
    ]


def test_files_of_different_times_are_refused() -> None:
    with pytest.raises(
        MarketDataError, match=r"trades has no trade in the 2 s of quotes: .* overlap in time"
    ):
        record(quotes_at([1, 2, 3]), trades_at([50.0]))


def test_the_tick_is_free_of_binary_rounding() -> None:
    assert found_tick(Quotes.clean([1, 2], [0.1, 0.3], [0.1 + 0.2, 0.4])) == 0.1


def test_prices_off_the_lattice_are_refused() -> None:
    quotes = Quotes.clean([1, 2, 3], [9.99, 9.98, 9.965], [10.0, 10.01, 10.0])
    with pytest.raises(
        MarketDataError, match=r"no multiple of 0\.01, the tick_size given; the first is 9\.965"
    ):
        record(quotes, trades_at([2e-9]), tick_size=0.01)
    assert record(quotes, trades_at([2e-9]), tick_size=0.005).tick_size == 0.005
    with pytest.raises(MarketDataError, match="the smallest step between quotes"):
        record(Quotes.clean([1, 2, 3], [9.99, 9.98, 9.967], [10.0, 10.01, 10.0]), trades_at([2e-9]))


@pytest.mark.parametrize(
    ("setting", "words"), [({"max_gap": 0.0}, "max_gap is 0.0"), ({"tick_size": -1.0}, "tick_size is -1")]
)
def test_senseless_settings_are_refused(setting: dict[str, float], words: str) -> None:
    with pytest.raises(MarketDataError, match=words):
        record(quotes_at([1, 2, 3]), trades_at([1.5]), **setting)


def test_pauses_of_the_market_are_cut_out() -> None:
    quotes = quotes_at(range(0, 21))
    pauses = np.array([[5, 7], [6, 8], [12, 12], [15, 30]]) * SECOND
    quotes = Quotes(quotes.time_ns, quotes.bid, quotes.ask, pauses_ns=pauses)
    recording = record(quotes, trades_at([1.5, 6.5, 9.5]))
    np.testing.assert_array_equal(recording.segments_ns // SECOND, [[0, 5], [8, 15]])
    assert recording.duration == 12.0
    closed = Quotes(quotes.time_ns, quotes.bid, quotes.ask, pauses_ns=np.array([[0, 20 * SECOND]]))
    with pytest.raises(MarketDataError, match="nothing is left of 20 s once pauses of the market"):
        record(closed, trades_at([1.5]))
