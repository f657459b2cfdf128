"""LOBSTER files by hand: halts, hidden orders, empty levels, and what is wrong named with its line."""

from pathlib import Path

import numpy as np
import pytest

from quotegrid.calibration.lobster import read_lobster
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.recording import record

SECOND = 1_000_000_000
DAY = 1_340_236_800 * SECOND  # 2012-06-21
BOOK = "1000500,100,1000000,100"


def files(folder: Path, messages: list[str], books: list[str]) -> tuple[Path, Path]:
    paths = (
        folder / "AAPL_2012-06-21_34200000_57600000_message_1.csv",
        folder / "AAPL_2012-06-21_34200000_57600000_orderbook_1.csv",
    )
    for path, lines in zip(paths, (messages, books), strict=True):
        path.write_text("".join(f"{line}\n" for line in lines))
    return paths


def test_prices_times_and_directions(tmp_path: Path) -> None:
    quotes, trades = read_lobster(
        *files(
            tmp_path,
            [
                "34200.000000001,1,11,100,1000000,1",
                "34201.5,4,12,50,1000500,-1",  # a sell order is executed: a buyer took
                "34201.5,4,13,50,1000600,-1",
                "34202.25,4,11,30,1000000,1",
            ],
            [BOOK, BOOK, "1000700,1,1000000,100", BOOK],
        )
    )
    np.testing.assert_array_equal(trades.aggressor, [1, 1, -1])
    np.testing.assert_array_equal(trades.price, [100.05, 100.06, 100.0])
    np.testing.assert_array_equal(trades.time_ns - DAY, np.array([34_201.5, 34_201.5, 34_202.25]) * SECOND)
    assert quotes.time_ns[0] == DAY + 34_200 * SECOND + 1
    np.testing.assert_array_equal(quotes.ask, [100.05, 100.07, 100.05])  # after all messages of one time
    assert quotes.clock == "exchange time" and quotes.repairs == () == trades.repairs


def test_halts_and_empty_sides_are_no_exposure(tmp_path: Path) -> None:
    messages = [
        "34200,1,1,100,1000000,1",
        "34205,4,1,10,1000000,1",
        "34210,7,0,0,-1,-1",  # halted
        "34215,7,0,0,0,-1",  # quoting resumes
        "34220,7,0,0,1,-1",  # trading resumes
        "34230,3,2,100,1000500,-1",  # the ask is empty
        "34235,1,3,100,1000500,-1",
        "34240,4,1,10,1000000,1",
    ]
    books = [BOOK] * 5 + ["9999999999,0,1000000,100"] + [BOOK] * 2
    quotes, trades = read_lobster(*files(tmp_path, messages, books))
    recording = record(quotes, trades)
    np.testing.assert_array_equal(
        (recording.segments_ns - DAY) // SECOND, [[34200, 34210], [34220, 34230], [34235, 34240]]
    )
    told = [str(repair) for repair in recording.repairs]
    assert any("1 trading halts cut, 10 s in all" in text for text in told)
    assert any("1 times with an empty side of the book cut, 5 s in all" in text for text in told)


def test_a_halt_without_an_end_lasts(tmp_path: Path) -> None:
    messages = [
        "34200,1,1,100,1000000,1",
        "34205,4,1,10,1000000,1",
        "34210,7,0,0,-1,-1",
        "34300,1,2,1,1000000,1",
    ]
    quotes, _ = read_lobster(*files(tmp_path, messages, [BOOK] * 4))
    np.testing.assert_array_equal((quotes.pauses_ns - DAY) // SECOND, [[34210, 34300]])


def test_hidden_executions_auctions_and_repeated_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    messages = [
        "34200,1,1,100,1000000,1",
        "34201,5,0,70,1000300,-1",
        "34202,6,-1,900,1000200,-1",
        "34203,4,1,10,1000000,1",
        "34203,4,1,10,1000000,1",
        "34202.5,4,1,20,1000000,1",
    ]
    quotes, trades = read_lobster(*files(tmp_path, messages, [BOOK] * 6))
    np.testing.assert_array_equal(trades.size, [20.0, 10.0])
    assert [(repair.count, repair.what) for repair in trades.repairs] == [
        (1, "messages dropped that repeat the one before"),
        (1, "executions of hidden orders left out"),
        (1, "cross trades (auctions) left out"),
        (1, "rows earlier than the row before; sorted by local_ts_ns"),
    ]
    assert [repair.what for repair in quotes.repairs] == [
        "messages earlier than the one before; sorted by time"
    ]


@pytest.mark.parametrize(
    ("messages", "books", "words"),
    [
        ([], [BOOK], "message_1.csv: the file is empty; expected rows of time, type, order id"),
        (["34200,1,1,1,1000000,1"] * 2, [BOOK], "message_1.csv has 2 rows and"),
        (
            ["34200,1,1,1,1000000,1", "34201,9,1,1,1000000,1"],
            [BOOK] * 2,
            "line 2: type is 9; LOBSTER's types",
        ),
        (
            ["34200,1,1,1,1000000,1", "34200000,1,1,1,1000000,1"],
            [BOOK] * 2,
            "line 2: time is 3.42e+07; LOBSTER's times are seconds after midnight, from 0 to 90000.",
        ),
        (["inf,1,1,1,1000000,1"], [BOOK], "line 1: time is inf; LOBSTER's times are seconds after"),
        (["-1,1,1,1,1000000,1"], [BOOK], "line 1: time is -1; LOBSTER's times are seconds after"),
        (["34200,4,1,1,1000000,0"], [BOOK], "line 1: direction is 0; it is 1 (a buy order) or -1"),
        (["34200,4,1,1,1000000,1", "342"], [BOOK] * 2, "line 2: 1 fields, expected 6 or more"),
        (["34200,4,1,1,cheap,1"], [BOOK], "line 1: price is 'cheap', not a number"),
        (["34200,4,1,1,1000000,1"], ["1000500,100,nan,100"], "line 1: bid price 1 is 'nan', not a number"),
        (["34200,1,1,1,1000000,1"] * 2, ["990000,1,1000000,1"] * 2, "a best bid lies below the best ask"),
        (["34200,1,1,1,1000000,1", "34201,1,2,1,1000000,1"], [BOOK] * 2, "no usable trades"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, messages: list[str], books: list[str], words: str) -> None:
    with pytest.raises(MarketDataError) as refusal:
        read_lobster(*files(tmp_path, messages, books))
    assert words in str(refusal.value)


def test_a_byte_order_mark_is_no_part_of_a_number(tmp_path: Path) -> None:
    messages = ["34200,1,1,1,1000000,1", "34201,4,2,1,1000000,1", "34202,1,3,1,1000000,1"]
    paths = files(tmp_path, messages, [BOOK] * 3)
    for path in paths:
        path.write_text("\ufeff" + path.read_text())
    assert len(read_lobster(*paths)[0].time_ns) == 3
