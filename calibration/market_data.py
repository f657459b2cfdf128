"""Best bid/ask quotes and trades: what was recorded, checked and cleaned, every repair counted.

Whatever the files, this is what they become: two tables of one market from one recorder, so that their local
clocks are the same clock. Prices are in the price unit of the market, sizes in whatever the venue counts
(coins, contracts, shares), times in nanoseconds. A quote holds from its local time until the next quote,
except in a pause: a trading halt, or a time in which one side of the book is empty or unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

MOST_BETWEEN = 1.5  # the factor between the last mid of a recording and the first of the next
EARLIEST, LATEST = 631_152_000 * 10**9, 4_102_444_800 * 10**9  # 1990 and 2100, ns since 1970


class MarketDataError(ValueError):
    """Market data that no repair can make usable; the text names the file, the place, and what to do."""


@dataclass(frozen=True)
class Repair:
    """Something found in the data and dealt with: how many rows (or gaps) of what."""

    source: str
    count: int
    what: str

    def __str__(self) -> str:
        return f"{self.source}: {self.count:,} {self.what}"


def wrong_unit(time_ns: float, unit: str) -> str:
    """What a time that lies outside the years 1990 to 2100 may be instead, in words."""
    text = f"times are {unit} since 1970, in the years 1990 to 2100."
    for power in (3, 6, 9):
        if EARLIEST <= time_ns * 10**power < LATEST:
            return f"{text} Multiply the column by {10**power:,}."
        if EARLIEST <= time_ns / 10**power < LATEST:
            return f"{text} Divide the column by {10**power:,}."
    return f"{text} Correct such rows, or delete them."


def no_pauses() -> Int[np.ndarray, "pause 2"]:
    """A market that never stops."""
    return np.empty((0, 2), dtype=np.int64)


def pauses_where(
    missing: Bool[np.ndarray, "row"], time_ns: Int[np.ndarray, "row"]
) -> Int[np.ndarray, "pause 2"]:
    """From the first of some missing rows to the next that is there, or to the last row; rows in order of
    time."""
    edge = np.diff(np.concatenate([[False], missing, [False]]).astype(np.int8))
    begin, end = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
    return np.column_stack([time_ns[begin], time_ns[np.minimum(end, len(time_ns) - 1)]])


@dataclass(frozen=True, eq=False)
class Quotes:
    """Cleaned best bid/ask quotes, sorted by local time; make them with `Quotes.clean` or a reader.

    time_ns: local time, ns since 1970; bid, ask: price units, 0 < bid < ask; pauses_ns: begin and end of
    times without a market (halts, an empty side); clock: the time zone of the times, as reports name it.
    """

    time_ns: Int[np.ndarray, "quote"]
    bid: Float[np.ndarray, "quote"]
    ask: Float[np.ndarray, "quote"]
    source: str = "quotes"
    repairs: tuple[Repair, ...] = ()
    pauses_ns: Int[np.ndarray, "pause 2"] = field(default_factory=no_pauses)
    clock: str = "UTC"

    @property
    def mid(self) -> Float[np.ndarray, "quote"]:
        return 0.5 * (self.bid + self.ask)

    @classmethod
    def clean(
        cls,
        time_ns: ArrayLike,
        bid: ArrayLike,
        ask: ArrayLike,
        source: str = "quotes",
        *,
        pauses_ns: ArrayLike = (),
        repairs: Iterable[Repair] = (),
        clock: str = "UTC",
    ) -> "Quotes":
        """Quotes from columns of equal length; raises MarketDataError when nothing usable remains.

        repairs: what the reader has dealt with before; they come first.
        """
        columns = {
            "local_ts_ns": _whole(time_ns, "local_ts_ns", source),
            "bid_px": np.asarray(bid, dtype=np.float64),
            "ask_px": np.asarray(ask, dtype=np.float64),
        }
        cleaning = _Cleaning(columns, source)
        cleaning.drop(
            ~(_is_price(cleaning["bid_px"]) & _is_price(cleaning["ask_px"])),
            "rows dropped whose bid or ask is missing, not a number, or not above 0",
        )
        crossed = cleaning["bid_px"] >= cleaning["ask_px"]
        if crossed.size and crossed.mean() > 0.5:
            raise MarketDataError(
                f"{source}: the bid is at or above the ask in {crossed.sum():,} of {crossed.size:,} rows; a "
                "best bid lies below the best ask. Check that bid and ask are not exchanged, and that no "
                "update of the book is missing."
            )
        cleaning.drop(crossed, "rows dropped whose bid is at or above the ask (crossed or locked)")
        cleaning.sort()
        cleaning.drop_repeated("rows dropped that repeat the time and both prices of the row before")
        if len(cleaning) < 2:
            raise MarketDataError(
                f"{source}: {len(cleaning)} usable quotes; at least 2 are needed.{cleaning.history(repairs)}"
            )
        return cls(
            cleaning["local_ts_ns"],
            cleaning["bid_px"],
            cleaning["ask_px"],
            source,
            (*repairs, *cleaning.repairs),
            np.asarray(pauses_ns, dtype=np.int64).reshape(-1, 2),
            clock,
        )


@dataclass(frozen=True, eq=False)
class Trades:
    """Cleaned trades, sorted by local time; make them with `Trades.clean` or a reader.

    time_ns: local time, ns since 1970; exchange_ns: the exchange's time, ns, 0 where unknown: prints of one
    order share it; price: price units; size: as the venue counts; aggressor: +1 a buyer took, -1 a seller
    took.
    """

    time_ns: Int[np.ndarray, "trade"]
    exchange_ns: Int[np.ndarray, "trade"]
    price: Float[np.ndarray, "trade"]
    size: Float[np.ndarray, "trade"]
    aggressor: Int[np.ndarray, "trade"]
    source: str = "trades"
    repairs: tuple[Repair, ...] = ()

    @classmethod
    def clean(
        cls,
        time_ns: ArrayLike,
        price: ArrayLike,
        size: ArrayLike,
        aggressor: ArrayLike,
        exchange_ns: ArrayLike | None = None,
        source: str = "trades",
        *,
        number: ArrayLike | None = None,
        repairs: Iterable[Repair] = (),
    ) -> "Trades":
        """Trades from columns of equal length; raises MarketDataError when nothing usable remains.

        number: the exchange's own numbers of the trades, where it gives them: two trades of one number are
        one trade, seen twice. Without numbers a row that repeats an earlier one in every column, its time
        included, counts as seen twice.
        repairs: what the reader has dealt with before; they come first.
        """
        time = _whole(time_ns, "local_ts_ns", source)
        columns = {
            "local_ts_ns": time,
            "exchange_ns": np.zeros_like(time)
            if exchange_ns is None
            else _whole(exchange_ns, "exchange_ns", source),
            "price": np.asarray(price, dtype=np.float64),
            "qty": np.asarray(size, dtype=np.float64),
            "aggressor": np.asarray(aggressor, dtype=np.float64),
        }
        if number is not None:
            columns["number"] = np.asarray(number)
        cleaning = _Cleaning(columns, source)
        cleaning.drop(
            ~(_is_price(cleaning["price"]) & _is_price(cleaning["qty"])),
            "rows dropped whose price or size is missing, not a number, or not above 0",
        )
        cleaning.drop(
            np.abs(cleaning["aggressor"]) != 1.0, "rows dropped whose aggressor is neither 1 nor -1"
        )
        cleaning.sort()
        if number is None:
            cleaning.drop_seen(tuple(columns), "rows dropped that repeat an earlier row in every column")
        else:
            cleaning.drop_seen(("number",), "trades dropped whose number came before")
        if not len(cleaning):
            raise MarketDataError(f"{source}: no usable trades.{cleaning.history(repairs)}")
        return cls(
            cleaning["local_ts_ns"],
            cleaning["exchange_ns"],
            cleaning["price"],
            cleaning["qty"],
            cleaning["aggressor"].astype(np.int8),
            source,
            (*repairs, *cleaning.repairs),
        )


def _whole(values: ArrayLike, name: str, source: str) -> Int[np.ndarray, "row"]:
    """Times as whole numbers: a double holds those of today to 256 ns, and no NaN is a time."""
    found = np.asarray(values)
    if found.size and found.dtype.kind not in "iu":
        raise MarketDataError(
            f"{source}: {name} holds {found.dtype}, not whole numbers; give nanoseconds since 1970 as int64."
        )
    return found.astype(np.int64)


def _is_price(values: Float[np.ndarray, "row"]) -> Bool[np.ndarray, "row"]:
    return np.isfinite(values) & (values > 0.0)


class _Cleaning:
    """Columns under repair, and the count of everything repaired so far."""

    def __init__(self, columns: Mapping[str, np.ndarray], source: str):
        lengths = {name: values.shape for name, values in columns.items()}
        if len(set(lengths.values())) != 1 or any(len(shape) != 1 for shape in lengths.values()):
            raise MarketDataError(
                f"{source}: columns must be flat and of equal length; their shapes are {lengths}."
            )
        self.columns = dict(columns)
        self.source = source
        self.repairs: list[Repair] = []

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["local_ts_ns"])

    def drop(self, unusable: Bool[np.ndarray, "row"], what: str) -> None:
        if count := int(unusable.sum()):
            self.columns = {name: values[~unusable] for name, values in self.columns.items()}
            self.repairs.append(Repair(self.source, count, what))

    def sort(self) -> None:
        time = self.columns["local_ts_ns"]
        if early := int((np.diff(time) < 0).sum()):
            order = np.argsort(time, kind="stable")
            self.columns = {name: values[order] for name, values in self.columns.items()}
            self.repairs.append(
                Repair(self.source, early, "rows earlier than the row before; sorted by local_ts_ns")
            )

    def drop_repeated(self, what: str) -> None:
        repeated = np.zeros(len(self), dtype=bool)
        if len(self) > 1:
            repeated[1:] = np.logical_and.reduce(
                [values[1:] == values[:-1] for values in self.columns.values()]
            )
        self.drop(repeated, what)

    def drop_seen(self, names: Sequence[str], what: str) -> None:
        """Drop the rows that agree with an earlier one in some columns."""
        order = np.lexsort([self.columns[name] for name in names])  # stable: the first of equals stays first
        repeated = np.zeros(len(self), dtype=bool)
        if len(self) > 1:
            same = [self.columns[name][order[1:]] == self.columns[name][order[:-1]] for name in names]
            repeated[order[1:]] = np.logical_and.reduce(same)
        self.drop(repeated, what)

    def history(self, before: Iterable[Repair]) -> str:
        return "".join(f" {repair.count:,} {repair.what}." for repair in (*before, *self.repairs))


def joined(markets: Sequence[tuple[Quotes, Trades]]) -> tuple[Quotes, Trades]:
    """Recordings of one market one after the other; the time between two is a pause.

    Raises MarketDataError where two overlap, or their clocks differ.
    """
    markets = sorted(markets, key=lambda market: int(market[0].time_ns[0]))
    if len(markets) == 1:
        return markets[0]
    quotes, trades = (list(each) for each in zip(*markets, strict=True))
    if clocks := {each.clock for each in quotes if each.clock != quotes[0].clock}:
        raise MarketDataError(
            f"{quotes[0].source} is timed in {quotes[0].clock}, others in {', '.join(sorted(clocks))}; "
            "calibrate them apart."
        )
    between = []
    for before, after in pairwise(quotes):
        end, begin = int(before.time_ns[-1]), int(after.time_ns[0])
        if begin < end:
            raise MarketDataError(
                f"{before.source} and {after.source} overlap in time: the first ends at {end}, the second "
                f"begins at {begin} (ns). Give recordings that follow each other."
            )
        last, first = float(before.mid[-1]), float(after.mid[0])
        if not 1.0 / MOST_BETWEEN < first / last < MOST_BETWEEN:
            raise MarketDataError(
                f"{before.source} ends at a mid of {last:g} and {after.source} begins at {first:g}: two "
                "markets, or one whose prices were rescaled. Calibrate them apart."
            )
        between.append([end, begin])
    source = f"{quotes[0].source} and {len(quotes) - 1} more"
    return (
        Quotes(
            np.concatenate([each.time_ns for each in quotes]),
            np.concatenate([each.bid for each in quotes]),
            np.concatenate([each.ask for each in quotes]),
            source,
            tuple(repair for each in quotes for repair in each.repairs),
            np.concatenate([*(each.pauses_ns for each in quotes), np.array(between, dtype=np.int64)]),
            quotes[0].clock,
        ),
        Trades(
            np.concatenate([each.time_ns for each in trades]),
            np.concatenate([each.exchange_ns for each in trades]),
            np.concatenate([each.price for each in trades]),
            np.concatenate([each.size for each in trades]),
            np.concatenate([each.aggressor for each in trades]),
            f"{trades[0].source} and {len(trades) - 1} more",
            tuple(repair for each in trades for repair in each.repairs),
        ),
    )
