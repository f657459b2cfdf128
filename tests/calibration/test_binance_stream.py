"""Captures by hand: times, kinds of messages, snapshots and holes, and lines that are none."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.calibration.binance_stream import read_binance
from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades
from quotegrid.calibration.market_files import told_format

MS = 1_000_000
BEGIN = 1_723_161_256_000  # ms


def ticker(bid: float, ask: float, **more: Any) -> dict[str, Any]:
    return {"s": "ETHUSDT", "b": str(bid), "B": "1", "a": str(ask), "A": "2"} | more


def trade(number: int, price: float = 10.0, at: int = 0, **more: Any) -> dict[str, Any]:
    own = {"e": "trade", "E": BEGIN + at, "T": BEGIN + at, "s": "ETHUSDT", "t": number}
    return own | {"p": str(price), "q": "0.5", "m": False} | more


def update(first: int, last: int, bids: list, asks: list, **more: Any) -> dict[str, Any]:
    return {"e": "depthUpdate", "s": "ETHUSDT", "U": first, "u": last, "b": bids, "a": asks} | more


def capture(folder: Path, messages: list[tuple[Any, dict[str, Any]]]) -> Path:
    """Messages with what stands before them on their line."""
    path = folder / "c.raw"
    path.write_text("".join(f"{before}{json.dumps(message)}\n" for before, message in messages))
    return path


def read(folder: Path, messages: list[dict[str, Any]]) -> tuple[Quotes, Trades]:
    """A capture with one message every 10 ms, timed by the recorder in ns."""
    return read_binance(
        capture(folder, [(f"{(BEGIN + 10 * i) * MS} ", message) for i, message in enumerate(messages)])
    )


def plain(side: str, quotes: Quotes) -> list[float]:
    return getattr(quotes, side).tolist()


@pytest.mark.parametrize(("digits", "unit"), [(10, 10**9), (13, 10**6), (16, 10**3), (19, 1)])
def test_local_times_are_what_their_digits_say(tmp_path: Path, digits: int, unit: int) -> None:
    stamp = str(BEGIN * MS)[:digits]
    later = str(int(stamp) + 1)
    quotes, _ = read_binance(
        capture(
            tmp_path, [(f"{stamp} ", ticker(9, 10)), (f"{later} ", ticker(9, 10)), (f"{later} ", trade(1))]
        )
    )
    np.testing.assert_array_equal(quotes.time_ns, [int(stamp) * unit, int(later) * unit])


def test_without_local_times_the_exchange_tells_them(tmp_path: Path) -> None:
    timed = [ticker(9, 10, e="bookTicker", E=BEGIN + i, T=BEGIN + i) for i in (3, 5)]
    quotes, trades = read_binance(capture(tmp_path, [("", timed[0]), ("", timed[1]), ("", trade(1, at=4))]))
    np.testing.assert_array_equal(quotes.time_ns, [(BEGIN + 3) * MS, (BEGIN + 5) * MS])
    assert trades.time_ns[0] == (BEGIN + 4) * MS == trades.exchange_ns[0]
    with pytest.raises(MarketDataError, match="nobody knows the best prices"):
        read_binance(capture(tmp_path, [("", ticker(9, 10)), ("", trade(1))]))


def test_the_buyer_as_maker_means_that_a_seller_took(tmp_path: Path) -> None:
    _, trades = read(tmp_path, [ticker(9, 10), trade(1), trade(2, m=True), ticker(9, 10)])
    np.testing.assert_array_equal(trades.aggressor, [1, -1])
    np.testing.assert_array_equal(trades.size, [0.5, 0.5])


def test_trades_of_the_venue_and_trades_seen_twice_are_left_out(tmp_path: Path) -> None:
    quotes, trades = read(
        tmp_path,
        [
            ticker(9, 10),
            trade(1),
            trade(2, X="INSURANCE_FUND"),
            trade(1),
            trade(3, X="MARKET"),
            ticker(9, 10),
        ],
    )
    assert len(trades.time_ns) == 2
    assert [str(repair) for repair in trades.repairs] == ["c.raw: 1 trades dropped whose number came before"]
    assert [str(repair) for repair in quotes.repairs] == [
        "c.raw: 1 trades left out that are no market order's (X is not MARKET)"
    ]


def test_aggregated_trades_serve_where_there_are_no_others(tmp_path: Path) -> None:
    aggregated = trade(0, e="aggTrade", a=77)
    _, trades = read(tmp_path, [ticker(9, 10), aggregated, ticker(9, 10)])
    assert len(trades.time_ns) == 1
    _, trades = read(tmp_path, [ticker(9, 10), aggregated, trade(1), ticker(9, 10)])
    assert [str(repair) for repair in trades.repairs] == [
        "c.raw: 1 aggTrade messages left aside, as there are trades"
    ]


def test_a_book_follows_its_snapshot_and_updates_that_came_before_its_answer(tmp_path: Path) -> None:
    quotes, _ = read(
        tmp_path,
        [
            update(1, 4, [["9.5", "1"]], []),  # older than the snapshot
            update(5, 8, [["9.7", "1"]], []),  # newer than it, but seen before its answer
            {"lastUpdateId": 6, "bids": [["9.6", "1"], ["9", "1"]], "asks": [["10", "1"]]},
            update(9, 9, [["9.7", "0"]], [["9.8", "2"]]),
            trade(1),
        ],
    )
    assert plain("bid", quotes) == [9.6, 9.7, 9.6] and plain("ask", quotes) == [10.0, 10.0, 9.8]


def test_a_hole_in_the_updates_is_a_pause_until_the_next_snapshot(tmp_path: Path) -> None:
    book = {"lastUpdateId": 10, "bids": [["9", "1"]], "asks": [["10", "1"]]}
    for after_hole in (
        update(20, 21, [["9.5", "1"]], []),  # spot counts on: 11 was to come
        update(12, 13, [["9.5", "1"]], [], pu=11),  # futures say which was before
    ):
        messages = [
            book,
            after_hole,
            update(22, 23, [], []),
            book | {"lastUpdateId": 30},
            update(31, 31, [], []),
            trade(1),
        ]
        quotes, _ = read(tmp_path, messages)
        np.testing.assert_array_equal((quotes.pauses_ns // MS) - BEGIN, [[10, 30]])
        assert plain("bid", quotes) == [9.0, 9.0, 9.0]
        assert "1 holes in the numbers of depth updates; cut until a snapshot" in str(quotes.repairs[0])


def test_the_time_after_a_hole_is_counted_as_cut_to_its_end(tmp_path: Path) -> None:
    book = {"lastUpdateId": 10, "bids": [["9", "1"]], "asks": [["10", "1"]]}
    rest = [update(20 + i, 20 + i, [], []) for i in range(100)]
    quotes, _ = read(tmp_path, [book, update(11, 11, [], []), *rest, trade(1)])
    assert quotes.repairs[1].what == "times with an empty side of the book cut, 0.99 s in all"


def test_an_older_snapshot_is_no_news(tmp_path: Path) -> None:
    """As when a capture is appended to itself."""
    book = {"lastUpdateId": 10, "bids": [["9", "1"]], "asks": [["10", "1"]]}
    updates = [update(11 + i, 11 + i, [["9.5", str(i)]], []) for i in range(3)]
    quotes, _ = read(tmp_path, [book, *updates, trade(1), book, *updates])
    assert quotes.repairs == () and plain("bid", quotes) == [9.0, 9.0, 9.5, 9.5]


def test_a_snapshot_without_a_time_came_after_the_message_before(tmp_path: Path) -> None:
    """The answer of the spot market to a request carries no time."""
    book = {"lastUpdateId": 10, "bids": [["9", "1"]], "asks": [["10", "1"]]}
    messages = [trade(1, at=5), book, update(11, 11, [["9.5", "1"]], [], E=BEGIN + 7)]
    quotes, _ = read_binance(capture(tmp_path, [("", message) for message in messages]))
    assert ((quotes.time_ns // MS) - BEGIN).tolist() == [5, 7] and plain("bid", quotes) == [9.0, 9.5]
    with pytest.raises(MarketDataError, match="1 snapshot messages dropped that carry no time, local or the"):
        read_binance(capture(tmp_path, [("", message) for message in messages[1:]]))


def test_levels_that_are_none_are_dropped_and_counted(tmp_path: Path) -> None:
    book = {"lastUpdateId": 10, "bids": [["9", "1"]], "asks": [["10", "1"]]}
    bad = update(11, 11, [["NaN", "1"], ["9.5", "1"], ["-3", "1"]], [["9.6", "1e999"]])
    quotes, _ = read(tmp_path, [book, bad, trade(1)])
    assert plain("bid", quotes) == [9.0, 9.5] and plain("ask", quotes) == [10.0, 10.0]
    assert [(each.count, each.what) for each in quotes.repairs] == [
        (3, "levels dropped whose price or quantity is no number, or not above 0")
    ]


def test_exchange_times_may_be_in_microseconds(tmp_path: Path) -> None:
    messages = [ticker(9, 10, E=(BEGIN + i) * 1000) for i in range(2)]
    late = trade(1, at=1) | {"E": (BEGIN + 1) * 1000, "T": (BEGIN + 1) * 1000}
    quotes, trades = read_binance(capture(tmp_path, [("", each) for each in [*messages, late]]))
    assert quotes.time_ns[0] == BEGIN * MS and trades.exchange_ns[0] == (BEGIN + 1) * MS
    text = trade(1) | {"T": str(BEGIN)}
    assert read(tmp_path, [ticker(9, 10), ticker(9, 10), text])[1].exchange_ns.tolist() == [BEGIN * MS]


def test_messages_about_many_instruments_are_passed_over(tmp_path: Path) -> None:
    array = {"stream": "!miniTicker@arr", "data": [{"e": "24hrMiniTicker", "s": "BTCUSDT"}]}
    nothing = {"stream": "ethusdt@trade", "data": None}
    messages = [array, nothing, ticker(9, 10), trade(1), ticker(9, 10)]
    assert len(read(tmp_path, messages)[0].time_ns) == 2


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    path = capture(tmp_path, [(f"{BEGIN * MS} ", ticker(9, 10)), (f"{(BEGIN + 1) * MS} ", ticker(9, 10))])
    path.write_text("\ufeff" + path.read_text() + f"{BEGIN * MS} {json.dumps(trade(1))}\n")
    assert told_format(path) == "binance" and len(read_binance(path)[0].time_ns) == 2


def test_partial_depth_is_a_snapshot_each_time(tmp_path: Path) -> None:
    rows = [([["9", "1"]], [["10", "1"]]), ([["9.2", "1"]], [["10.1", "1"]])]
    wrapped = [
        {"stream": "ethusdt@depth5@100ms", "data": {"lastUpdateId": i, "bids": bids, "asks": asks}}
        for i, (bids, asks) in enumerate(rows)
    ]
    futures = [
        {"stream": "ethusdt@depth5", "data": update(0, i, bids, asks, pu=-5)}
        for i, (bids, asks) in enumerate(rows)
    ]
    for messages in (wrapped, futures):
        quotes, _ = read(tmp_path, [*messages, trade(1)])
        assert plain("bid", quotes) == [9.0, 9.2] and plain("ask", quotes) == [10.0, 10.1]


def test_answers_of_the_venue_are_passed_over(tmp_path: Path) -> None:
    messages = [{"result": None, "id": 1}, {"code": -1, "msg": "no"}, ticker(9, 10), trade(1), ticker(9, 10)]
    assert len(read(tmp_path, messages)[0].time_ns) == 2


def test_one_instrument_is_taken_of_several(tmp_path: Path) -> None:
    other = [ticker(90, 100, s="BTCUSDT"), trade(9, 99.0, s="BTCUSDT")]
    mixed = [ticker(9, 10), *other, trade(1), ticker(9, 10)]
    with pytest.raises(
        MarketDataError, match=r"line 2: the capture holds several instruments, ETHUSDT, BTCUSDT"
    ):
        read(tmp_path, mixed)
    path = capture(tmp_path, [(f"{(BEGIN + i) * MS} ", message) for i, message in enumerate(mixed)])
    quotes, trades = read_binance(path, instrument="ethusdt")
    assert len(quotes.time_ns) == 2 and trades.price.tolist() == [10.0]
    with pytest.raises(MarketDataError, match="no message about XRPUSDT; there are ETHUSDT, BTCUSDT"):
        read_binance(path, instrument="XRPUSDT")


def test_a_recorder_that_was_stopped_leaves_what_it_had(tmp_path: Path) -> None:
    lines = [f"{(BEGIN + i) * MS} {json.dumps(ticker(9 + i / 1000, 10))}\n" for i in range(2000)]
    lines.insert(5, f"{(BEGIN + 4) * MS} {json.dumps(trade(1))}\n")
    path = tmp_path / "c.raw.gz"
    path.write_bytes(gzip.compress("".join(lines).encode())[:-400])
    quotes, _ = read_binance(path)
    assert 500 < len(quotes.time_ns) < 2000
    assert any(
        "last line dropped, which is cut off" in str(repair) or "end of the compressed file" in str(repair)
        for repair in quotes.repairs
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "c.raw: the file is empty; expected one JSON message a line"),
        ("{}\nhello\n{}\n", "line 2: not a message: 'hello'"),
        ('12345 {"e":"trade"}\n{}\n', "line 1: not a message"),
        (
            '{"e":"trade","E":1,"s":"X","T":1}\n',
            "line 1: the message lacks something or holds something else",
        ),
        ('{"e":"bookTicker","E":1,"s":"X","b":"nine","a":"10"}\n', "line 1: the message lacks something"),
        ('{"e":"trade","E":1,"s":"X","T":Infinity,"t":1}\n', "line 1: the message lacks something"),
        (
            '{"e":"trade","E":1,"s":"X","T":1,"t":1,"p":"9","q":"1","m":"no"}\n',
            "m is 'no', not true or false",
        ),
        (
            '{"lastUpdateId":1,"bids":[["9","1"]],"asks":[["9"]],"E":1,"s":"X"}\n',
            "line 1: the message lacks something",
        ),
        ('0000000000000000000 {"e":"trade"}\n{}\n', "line 1: not a message"),
        ('{"e":"bookTicker","E":1,"s":"X","b":"9","a":"10"}\n', "no trade and no aggTrade messages"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.raw"
    path.write_text(text * (2 if "no trade" in words else 1))
    if "no trade" in words:
        path.write_text(text + text.replace('"E":1', '"E":2'))
    with pytest.raises(MarketDataError) as refusal:
        read_binance(path)
    assert words in str(refusal.value)
