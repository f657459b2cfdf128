"""Reading and cleaning: every repair is counted, what cannot be repaired is refused with a sentence."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from quotegrid.calibration.csv_files import read_quotes, read_trades
from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades

QUOTES = """local_ts_ns,exch_ts_ms,bid_px,bid_qty,ask_px,ask_qty
1720000001000000000,0,99.5,1.0,100.5,2.0
1720000002000000000,0,99.0,1.0,100.0,2.0
"""
TRADES = """local_ts_ns,exch_ts_ms,price,qty,aggressor
1720000001500000000,1720000000007,100.5,0.25,1
1720000001600000000,1720000000008,99.5,0.5,-1
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def told(repairs: tuple) -> list[tuple[int, str]]:
    return [(repair.count, repair.what) for repair in repairs]


def test_quotes_are_read_by_the_names_of_their_columns(tmp_path: Path) -> None:
    shuffled = (
        "ask_px,note,local_ts_ns,bid_px\n100.5,x,1720000001000000000,99.5\n100.0,y,1720000002000000000,99.0\n"
    )
    for text in (QUOTES, shuffled, "\ufeff" + QUOTES, QUOTES.replace("\n", "\r\n")):
        quotes = read_quotes(write(tmp_path / "quotes.csv", text))
        np.testing.assert_array_equal(quotes.time_ns, [1_720_000_001_000_000_000, 1_720_000_002_000_000_000])
        np.testing.assert_array_equal(quotes.mid, [100.0, 99.5])
        assert quotes.repairs == () and quotes.source == "quotes.csv"


def test_nanoseconds_keep_every_digit(tmp_path: Path) -> None:
    stamps = 1723161256188217466, 1723161256188217467
    text = f"local_ts_ns,bid_px,ask_px\n{stamps[0]},1,2\n{stamps[1]},1,3\n"
    assert tuple(read_quotes(write(tmp_path / "q.csv", text)).time_ns) == stamps


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "trades.csv").write_bytes(gzip.compress(TRADES.encode()))
    trades = read_trades(tmp_path / "trades.csv")
    np.testing.assert_array_equal(trades.aggressor, [1, -1])
    np.testing.assert_array_equal(trades.exchange_ns, [1_720_000_000_007_000_000, 1_720_000_000_008_000_000])
    np.testing.assert_array_equal(trades.size, [0.25, 0.5])


def test_exchange_times_may_be_absent(tmp_path: Path) -> None:
    text = "local_ts_ns,price,qty,aggressor\n1720000001500000000,100.5,0.25,1\n"
    np.testing.assert_array_equal(read_trades(write(tmp_path / "t.csv", text)).exchange_ns, [0])


def test_an_empty_number_is_missing_and_its_row_is_dropped_and_counted(tmp_path: Path) -> None:
    text = QUOTES + "1720000003000000000,0,,1.0,100.0,2.0\n1720000004000000000,0,nan,1.0,100.0,2.0\n\n"
    quotes = read_quotes(write(tmp_path / "q.csv", text))
    assert len(quotes.time_ns) == 2
    assert told(quotes.repairs) == [
        (2, "rows dropped whose bid or ask is missing, not a number, or not above 0")
    ]
    assert str(quotes.repairs[0]).startswith("q.csv: 2 rows dropped")


def test_unsorted_crossed_locked_and_repeated_quotes_are_repaired_and_counted() -> None:
    quotes = Quotes.clean([3, 1, 1, 2, 4], [9.0, 9.0, 9.0, 11.0, 10.0], [10.0, 10.0, 10.0, 10.0, 10.0])
    np.testing.assert_array_equal(quotes.time_ns, [1, 3])
    assert told(quotes.repairs) == [
        (2, "rows dropped whose bid is at or above the ask (crossed or locked)"),
        (1, "rows earlier than the row before; sorted by local_ts_ns"),
        (1, "rows dropped that repeat the time and both prices of the row before"),
    ]


def test_sorting_is_stable_so_the_last_of_simultaneous_quotes_holds() -> None:
    quotes = Quotes.clean([5, 2, 2, 1], [1.0, 2.0, 3.0, 4.0], [9.0, 9.0, 9.0, 9.0])
    np.testing.assert_array_equal(quotes.bid, [4.0, 2.0, 3.0, 1.0])


def test_bad_trades_are_dropped_and_counted() -> None:
    trades = Trades.clean(
        [1, 2, 3, 3, 5, 6], [10, 10, 10, 10, -1, 10], [1, 1, 2, 2, 1, np.inf], [1, 0, -1, -1, 1, 1]
    )
    np.testing.assert_array_equal(trades.time_ns, [1, 3])
    assert told(trades.repairs) == [
        (2, "rows dropped whose price or size is missing, not a number, or not above 0"),
        (1, "rows dropped whose aggressor is neither 1 nor -1"),
        (1, "rows dropped that repeat an earlier row in every column"),
    ]


def test_trades_appended_to_themselves_count_once() -> None:
    """Two prints of one order: the second print of one copy comes before the first print of the other."""
    trades = Trades.clean([1, 1, 2] * 2, [10.0, 10.5, 10.0] * 2, [1, 2, 2] * 2, [1, 1, -1] * 2)
    assert trades.size.tolist() == [1.0, 2.0, 2.0]
    assert (3, "rows dropped that repeat an earlier row in every column") in told(trades.repairs)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty; expected a first line with local_ts_ns, bid_px, ask_px"),
        ("local_ts_ns,bid_px,ask_px\n", "there is no row below the header"),
        (
            "time,bid,ask\n1,2,3\n",
            "line 1 names no column local_ts_ns, bid_px, ask_px; it reads 'time,bid,ask'",
        ),
        (QUOTES + "1720000003000000000,0,abc,1.0,100.0,2.0\n", "line 4: bid_px is 'abc', not a number"),
        (QUOTES + "3.5,0,99.0,1.0,100.0,2.0\n", "line 4: local_ts_ns is '3.5', not a whole number"),
        (QUOTES + ",0,99.0,1.0,100.0,2.0\n", "line 4: local_ts_ns is '', not a whole number"),
        (
            QUOTES + "1720000003000000000,0,99.0\n",
            "line 4: 3 fields where the header names 6; the file may have been cut off",
        ),
        (
            QUOTES.replace("1720000002000000000,0", "1720000002000000,0"),
            "line 3: local_ts_ns is 1720000002000000; times are nanoseconds since 1970, in the years 1990 to "
            "2100. Multiply the column by 1,000.",
        ),
        (
            QUOTES + "0,0,99.0,1.0,100.0,2.0\n",
            "line 4: local_ts_ns is 0; times are nanoseconds since 1970, in the years 1990 to 2100. Correct",
        ),
        (
            QUOTES + "17200000030000000000000,0,99.0,1.0,100.0,2.0\n",
            "line 4: local_ts_ns is 17200000030000000000000; times are nanoseconds since 1970, in the years",
        ),
        (
            QUOTES + "1720000003000000000,0,99.0,1.0,100\n",  # the ask may once have been 100.5
            "line 4: 5 fields where the header names 6; the file may have been cut off",
        ),
        (
            "local_ts_ns,ask_px,bid_px\n1720000001000000000,99,100\n1720000002000000000,99,100\n",
            "the bid is at or above the ask in 2 of 2 rows; a best bid lies below the best ask. Check",
        ),
        (
            "local_ts_ns,bid_px,ask_px\n1720000001000000000,99,100\n1720000002000000000,0,100\n",
            "1 usable quotes; at least 2 are needed. 1 rows dropped whose bid or ask is missing",
        ),
    ],
)
def test_unusable_quotes_are_refused_with_what_and_where(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(MarketDataError) as refusal:
        read_quotes(write(tmp_path / "quotes.csv", text))
    assert words in str(refusal.value) and "quotes.csv" in str(refusal.value)


def test_trades_without_a_usable_row_are_refused() -> None:
    with pytest.raises(
        MarketDataError, match=r"trades: no usable trades\. 1 rows dropped whose aggressor is"
    ):
        Trades.clean([1], [10.0], [1.0], [0])


def test_times_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(
        MarketDataError, match="quotes: local_ts_ns holds float64, not whole numbers; give nano"
    ):
        Quotes.clean([1.0, np.nan], [1.0, 2.0], [3.0, 3.0])
    with pytest.raises(MarketDataError, match="trades: exchange_ns holds float64, not whole numbers"):
        Trades.clean([1], [10.0], [1.0], [1], [0.5])
    with pytest.raises(MarketDataError, match="0 usable quotes"):
        Quotes.clean([], [], [])


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(MarketDataError, match="flat and of equal length"):
        Quotes.clean([1, 2], [1.0, 2.0], [3.0])


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"absent\.csv: no such file"):
        read_quotes(tmp_path / "absent.csv")
    (tmp_path / "cut.csv.gz").write_bytes(
        gzip.compress((QUOTES + QUOTES.split("\n", 1)[1] * 100).encode())[:-12]
    )
    with pytest.raises(MarketDataError, match=r"cut\.csv\.gz: cannot be read to its end, it may be cut off"):
        read_quotes(tmp_path / "cut.csv.gz")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        MarketDataError, match=r"binary\.csv: byte 0 is not text \(line 1\); expected text in"
    ):
        read_quotes(tmp_path / "binary.csv")
    latin = QUOTES.encode() + "1720000003000000000,0,99.0,é".encode("latin-1")
    (tmp_path / "latin.csv").write_bytes(gzip.compress(latin))
    with pytest.raises(MarketDataError, match=rf"latin\.csv: byte {len(latin) - 1} is not text \(line 4\)"):
        read_quotes(tmp_path / "latin.csv")


def test_an_exchange_time_in_another_unit_is_refused_and_0_is_unknown(tmp_path: Path) -> None:
    text = TRADES.replace("1720000000008,", "1720000000008000,")
    with pytest.raises(
        MarketDataError, match=r"line 3: exch_ts_ms is 1720000000008000; .* Divide the column by"
    ):
        read_trades(write(tmp_path / "t.csv", text))
    unknown = read_trades(write(tmp_path / "t.csv", TRADES.replace("1720000000008,", "0,")))
    np.testing.assert_array_equal(unknown.exchange_ns, [1_720_000_000_007_000_000, 0])
