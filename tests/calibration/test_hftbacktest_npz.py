"""Event arrays by hand: flags, snapshots, clears, best prices, and what is no event array."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.calibration.hftbacktest_npz import BUY, LOCAL, SELL, read_hftbacktest
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.calibration.synthetic_files import EVENT

EXCHANGE = 1 << 31
BEGIN = 1_720_000_000_000_000_000


def saved(folder: Path, rows: list[tuple[int, int, float, float]], flags: int = LOCAL | EXCHANGE) -> Path:
    """Rows of event with side, local time after BEGIN, price, quantity; the exchange is 5 ns ahead."""
    events = np.zeros(len(rows), dtype=EVENT)
    for event, (what, time, price, quantity) in zip(events, rows, strict=True):
        event["ev"], event["exch_ts"], event["local_ts"] = what | flags, BEGIN + time - 5, BEGIN + time
        event["px"], event["qty"] = price, quantity
    path = folder / "e.npz"
    np.savez_compressed(path, data=events)
    return path


BOOK = [(4 | BUY, 10, 9.0, 1.0), (4 | BUY, 10, 8.0, 1.0), (4 | SELL, 10, 10.0, 1.0)]


def test_the_book_is_followed_message_by_message(tmp_path: Path) -> None:
    rows = [
        *BOOK,
        (2 | SELL, 15, 9.0, 0.5),
        (1 | BUY, 20, 9.0, 0.0),  # both in one message: never a moment without the new bid
        (1 | BUY, 20, 8.5, 2.0),
        (3 | BUY, 30, 8.5, 0.0),  # cleared down to 8.5
        (1 | SELL, 40, 9.5, 1.0),
    ]
    quotes, trades = read_hftbacktest(saved(tmp_path, rows))
    assert (quotes.time_ns - BEGIN).tolist() == [10, 20, 30, 40]
    assert quotes.bid.tolist() == [9.0, 8.5, 8.0, 8.0] and quotes.ask.tolist() == [10.0, 10.0, 10.0, 9.5]
    assert (trades.time_ns[0] - BEGIN, trades.exchange_ns[0] - BEGIN, trades.aggressor[0]) == (15, 10, -1)


def test_only_what_is_valid_locally_counts_unless_nothing_says_so(tmp_path: Path) -> None:
    rows = [*BOOK, (2 | BUY, 15, 10.0, 1.0), (1 | BUY, 20, 9.5, 1.0)]
    path = saved(tmp_path, rows)
    events = np.load(path)["data"]
    events["ev"][-1] &= ~np.uint64(LOCAL)
    events = np.concatenate([events, events[:1]])
    events[-1]["local_ts"] = BEGIN + 30
    np.savez(path, data=events)
    assert read_hftbacktest(path)[0].bid.tolist() == [9.0, 9.0]
    assert read_hftbacktest(saved(tmp_path, rows, flags=0))[0].bid.tolist() == [9.0, 9.5]
    plain = tmp_path / "e.npy"
    np.save(plain, events)
    assert read_hftbacktest(plain)[0].bid.tolist() == [9.0, 9.0]


@pytest.mark.parametrize("kinds", [(5 | BUY, 5 | SELL), (103, 104)])
def test_best_prices_are_taken_where_they_are_told(tmp_path: Path, kinds: tuple[int, int]) -> None:
    rows = [
        *BOOK,
        (kinds[0], 12, 9.1, 1.0),
        (kinds[1], 12, 9.9, 1.0),
        (2 | BUY, 15, 9.9, 1.0),
        (kinds[0], 20, 9.2, 1.0),
    ]
    quotes, _ = read_hftbacktest(saved(tmp_path, rows))
    assert quotes.bid.tolist() == [9.1, 9.2] and quotes.ask.tolist() == [9.9, 9.9]


def test_disorder_bad_levels_and_empty_sides_are_repaired_and_counted(tmp_path: Path) -> None:
    rows = [
        *BOOK,
        (1 | BUY, 30, np.nan, 1.0),
        (2 | BUY, 25, 10.0, 1.0),
        (1 | SELL, 40, 10.0, 0.0),  # nobody asks
        (1 | SELL, 60, 11.0, 1.0),
        (1 | SELL, 70, 11.5, 1.0),
    ]
    quotes, _ = read_hftbacktest(saved(tmp_path, rows))
    assert (quotes.pauses_ns - BEGIN).tolist() == [[40, 60]]
    assert [(repair.count, repair.what) for repair in quotes.repairs] == [
        (1, "events earlier than the one before; sorted by local_ts"),
        (1, "levels dropped whose price or quantity is no number, or not above 0"),
        (1, "times with an empty side of the book cut, 2e-08 s in all"),
    ]


def array(folder: Path, **arrays: Any) -> Path:
    path = folder / "e.npz"
    np.savez(path, **arrays)
    return path


def test_what_is_no_event_array_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        MarketDataError, match=r"holds other; hftbacktest keeps its events under the name data"
    ):
        read_hftbacktest(array(tmp_path, other=np.zeros(3)))
    with pytest.raises(
        MarketDataError, match="the array has no field ev, exch_ts, local_ts, px, qty; it has none"
    ):
        read_hftbacktest(array(tmp_path, data=np.zeros(3)))
    with pytest.raises(MarketDataError, match="the event array is empty"):
        read_hftbacktest(array(tmp_path, data=np.zeros(0, dtype=EVENT)))
    with pytest.raises(MarketDataError, match="of 3 events none is a trade"):
        read_hftbacktest(saved(tmp_path, BOOK))
    with pytest.raises(MarketDataError, match="of 1 events none tells a level of the book"):
        read_hftbacktest(saved(tmp_path, [(2 | BUY, 1, 9.0, 1.0)]))
    with pytest.raises(MarketDataError, match="no such file"):
        read_hftbacktest(tmp_path / "absent.npz")
    cut = saved(tmp_path, BOOK)
    cut.write_bytes(cut.read_bytes()[:200])
    with pytest.raises(MarketDataError, match="cannot be read, it may be cut off or damaged"):
        read_hftbacktest(cut)
    pickled = array(tmp_path, data=np.array([{}], dtype=object))
    with pytest.raises(MarketDataError, match="cannot be read"):
        read_hftbacktest(pickled)
    with pytest.raises(MarketDataError, match=r"local_ts of event 1 .* is 1720000000000000; .* by 1,000"):
        read_hftbacktest(saved(tmp_path, [BOOK[0], (4 | BUY, BEGIN // 1000 - BEGIN, 8.0, 1.0)]))
    with pytest.raises(MarketDataError, match="the field ev, px holds <U30, not numbers"):
        odd = [(name, "U30" if name in ("ev", "px") else "f8") for name in EVENT.names or ()]
        read_hftbacktest(array(tmp_path, data=np.zeros(3, dtype=odd)))
    with pytest.raises(MarketDataError, match="holds no list of events"):
        read_hftbacktest(array(tmp_path, data=np.zeros(3, dtype=EVENT)[0]))


def test_damage_inside_a_compressed_array_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(1 | BUY, i, float(price), 1.0) for i, price in enumerate(rng.uniform(8.0, 9.0, 2000))]
    whole = saved(tmp_path, rows).read_bytes()
    for begin in range(300, len(whole) - 300, 1000):
        (tmp_path / "e.npz").write_bytes(whole[:begin] + rng.bytes(50) + whole[begin + 50 :])
        with pytest.raises(MarketDataError, match=r"e\.npz: cannot be read, it may be cut off or damaged"):
            read_hftbacktest(tmp_path / "e.npz")
