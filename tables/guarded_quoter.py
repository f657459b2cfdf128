"""From a moment to prices, or to a refusal with a name: the guards of FORMAT.md §9.

    quoter = GuardedQuoter.load("eth.safetensors", symbols=("ETH-PERP",), ticks=(0.01,))
    prices = quoter.prices(Moment(now=time.time(), inventory=3, reference=2680.0, best_bid=…, best_ask=…))
    prices["book/bid"]            # Price(ticks=267990, price=2679.9), or None: no bid

    bid = reference - offset,  ask = reference + offset,  each a whole number of ticks,

rounded outward or inward as chosen, never through the other side of the book, with post-only not even at it.
An inventory beyond the limits gets the side that brings it back alone. A table that is expired or not meant
for this market, a market that is crossed, a state the table does not know: `QuoteError`, whose `rule` says
which, and no price.
"""

import math
import os
from collections.abc import Sequence, Sized
from numbers import Real
from typing import NamedTuple

from quotegrid.tables.lookup import SNAP, Market, QuoteError, double_of
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.quoter import Quoter
from quotegrid.tables.safetensors_file import read_safetensors

ROUNDING = ("outward", "inward")

ON_TICK = 1e-6  # ticks; a price so close to a tick is on it
EARLIEST, LATEST = 1e8, 1e11  # Unix seconds: of 1973 and 5138; milliseconds of today are beyond
NO_UNIX_TIME = "; is `now` in Unix seconds, not in milliseconds or the time of the table?"
LARGEST_TICK = 1e290  # price units; of larger ones some prices are no doubles
MOST_TICKS = 2.0**50  # beyond, a double no longer tells ticks apart well enough


class Moment(NamedTuple):
    """What is known when prices are asked for. For several assets, a tuple in the order of the symbols."""

    inventory: float | tuple[float, ...]  # lots, signed
    reference: float | tuple[float, ...]  # price units
    best_bid: float | tuple[float, ...] = -math.inf  # of the live book; -inf: none
    best_ask: float | tuple[float, ...] = math.inf
    now: float | None = None  # Unix seconds; needed where the table has a start
    time: float | None = None  # calendar time, where the table has a time axis
    market: Market | None = None  # regime, factors, parameters, where the table has such axes


class Price(NamedTuple):
    """Where to quote."""

    ticks: int
    price: float  # ticks · tick, price units


class GuardedQuoter:
    """Prices from one table, or typed refusals.

    Args:
        table: the table.
        symbols: what is traded with it; must be the table's own, in its order.
        ticks: price units, one for each asset.
        rounding: outward (away from the reference price) or inward.
        post_only: prices never meet the other side of the book.
        between: exact, nearest, towards_flat or linear, as for a `Quoter`.
        outside: refuse or clamp: time, factors and parameters outside of the validity box. (Inventories are
            moved to its edge, and only the side that brings them back is quoted.)

    Raises:
        QuoteError: wrong-symbol, wrong-tick, or a choice that is none.
    """

    __slots__ = ("_flows", "_limits", "_outward", "_post_only", "_quoter", "_ticks", "table")

    def __init__(
        self,
        table: PolicyTable,
        symbols: Sequence[str],
        ticks: Sequence[float],
        rounding: str = "outward",
        post_only: bool = True,
        between: str = "exact",
        outside: str = "refuse",
    ) -> None:
        if isinstance(symbols, str):
            raise QuoteError(
                f"symbols={symbols!r} is one word; give a list, such as [{symbols!r}]", "wrong-symbol"
            )
        if tuple(symbols) != table.symbols:
            raise QuoteError(
                f"symbols {', '.join(symbols) or 'none'}: this table is for {', '.join(table.symbols)}",
                "wrong-symbol",
            )
        tick_of_each = isinstance(ticks, Sized) and len(ticks) == len(table.symbols)
        if not tick_of_each or not all(0 < double_of(tick) <= LARGEST_TICK for tick in ticks):
            raise QuoteError(
                f"ticks {ticks!r}: give one positive number of {table.price_unit}, at most {LARGEST_TICK:g}, "
                f"for each of {', '.join(table.symbols)}",
                "wrong-tick",
            )
        if rounding not in ROUNDING:
            raise QuoteError(f"rounding={rounding!r} is no choice; allowed: {', '.join(ROUNDING)}")
        self.table = table
        self._quoter = Quoter(table, between, outside)
        self._ticks = tuple(map(float, ticks))
        self._outward, self._post_only = rounding == "outward", post_only
        self._flows = tuple((flow.asset, flow.sign) for flow in table.flows)
        first = len(table.axes) - len(table.symbols)
        self._limits = tuple(
            (float(nodes[0]), float(nodes[-1]))
            if table.box is None
            else tuple(table.box[first + place].tolist())
            for place, nodes in enumerate(table.inventories)
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        symbols: Sequence[str],
        ticks: Sequence[float],
        rounding: str = "outward",
        post_only: bool = True,
        between: str = "exact",
        outside: str = "refuse",
    ) -> "GuardedQuoter":
        """Map a runtime file and check it.

        Raises:
            OSError: there is no such file, or it cannot be read.
            TableError: it is no table, or it was changed after it was written.
            QuoteError: wrong-symbol, wrong-tick, or a choice that is none.
        """
        return cls(read_safetensors(path), symbols, ticks, rounding, post_only, between, outside)

    def prices(self, moment: Moment) -> dict[str, Price | None]:
        """Flow label → price; None: not quoted.

        Raises:
            QuoteError: there are no prices at this moment; `rule` says why.
        """
        self._check_life(moment.now)
        reference, bids, asks, inventory = (
            self._per_asset(name, numbers)
            for name, numbers in (
                ("reference", moment.reference),
                ("best_bid", moment.best_bid),
                ("best_ask", moment.best_ask),
                ("inventory", moment.inventory),
            )
        )
        for asset, numbers in enumerate(zip(reference, bids, asks, strict=True)):
            self._check_market(asset, *numbers)
        lots, beyond = self._within_limits(inventory)
        offsets = self._quoter.offsets(lots, moment.time, moment.market)
        worths = [
            None
            if offset != offset or sign * beyond[asset] > 0
            else self._in_ticks(asset, reference[asset] - offset if sign > 0 else reference[asset] + offset)
            for offset, (asset, sign) in zip(offsets, self._flows, strict=True)
        ]
        rounded = [self._rounded(worths, asset) for asset in range(len(lots))]
        prices = {}
        for place, (label, (asset, sign)) in enumerate(zip(self._quoter.flows, self._flows, strict=True)):
            ticks = rounded[asset][place]
            if ticks is not None:
                ticks = self._in_book(ticks, sign, bids[asset] if sign < 0 else asks[asset], asset)
            prices[label] = None if ticks is None else Price(ticks, ticks * self._ticks[asset])
        return prices

    def _per_asset(self, name: str, numbers: float | tuple[float, ...]) -> tuple[float, ...]:
        found = tuple(numbers) if isinstance(numbers, tuple | list) else (numbers,)
        if len(found) != len(self._ticks):
            raise QuoteError(
                f"{name} {numbers!r}: give one number for each of {', '.join(self.table.symbols)}",
                "wrong-coordinates",
            )
        doubles = tuple(map(double_of, found))
        for given, number in zip(found, doubles, strict=True):
            if number != number and (isinstance(given, bool) or not isinstance(given, Real)):
                raise QuoteError(
                    f"{name} {numbers!r:.80} is not a number; give one, or for several assets a tuple",
                    "not-a-number",
                )
        return doubles

    def _check_life(self, now: float | None) -> None:
        start, life = self.table.start, self.table.life
        if start is None:
            return
        if now is None:
            raise QuoteError("this table has a start: give the time now, Unix seconds", "wrong-coordinates")
        if not math.isfinite(double_of(now)):
            raise QuoteError(f"now {now!r:.80} is not a finite number", "not-a-number")
        if now < start:
            raise QuoteError(
                f"now is {start - now:.6g} s before the table may be used (Unix second {start:.12g})"
                f"{NO_UNIX_TIME if now < EARLIEST else ''}",
                "too-early",
            )
        if life is not None and now - start > life:
            raise QuoteError(
                f"the table expired {now - start - life:.6g} s ago: its life is {life:.6g} s; publish a new "
                f"one{NO_UNIX_TIME if now > LATEST else ''}",
                "expired",
            )

    def _check_market(self, asset: int, reference: float, bid: float, ask: float) -> None:
        symbol, unit = self.table.symbols[asset], self.table.price_unit
        if not math.isfinite(reference) or bid != bid or ask != ask:
            raise QuoteError(
                f"{symbol}: reference price {reference!r}, best bid {bid!r}, best ask {ask!r} are not all "
                "numbers",
                "not-a-number",
            )
        if self.table.price_box is not None:
            low, high = self.table.price_box[asset].tolist()
            if reference < low or reference > high:
                raise QuoteError(
                    f"{symbol}: the reference price {reference:.12g} {unit} is outside of {low:.12g} to "
                    f"{high:.12g}, for which this table is meant; are prices in {unit}, not in ticks?",
                    "outside-price-box",
                )
        if not bid < ask:
            raise QuoteError(
                f"{symbol}: the market is crossed: best bid {bid:.12g}, best ask {ask:.12g} {unit}",
                "crossed-market",
            )

    def _within_limits(self, inventory: tuple[float, ...]) -> tuple[list[float], list[int]]:
        """Lots inside the box, and for each asset 1 if it was above, -1 if below, 0 if inside."""
        lots, beyond = [], []
        for symbol, x, (low, high) in zip(self.table.symbols, inventory, self._limits, strict=True):
            if not math.isfinite(x):
                raise QuoteError(f"{symbol}: inventory {x!r} is not a finite number", "not-a-number")
            side = -1 if low - x > SNAP else 1 if x - high > SNAP else 0
            lots.append(low if side < 0 else high if side > 0 else x)
            beyond.append(side)
        return lots, beyond

    def _in_ticks(self, asset: int, worth: float) -> float:
        ticks = worth / self._ticks[asset]
        if not abs(ticks) <= MOST_TICKS:
            raise QuoteError(
                f"{self.table.symbols[asset]}: a price of {worth:.12g} {self.table.price_unit} is "
                f"{ticks:.6g} ticks: more than numbers can tell apart",
                "not-a-number",
            )
        return ticks

    def _rounded(self, worths: list[float | None], asset: int) -> list[int | None]:
        """Whole ticks of the flows of an asset, outward where inward would make them meet."""
        for outward in (self._outward, True):
            found = [
                None if worth is None or of != asset else _whole(worth, up=(sign < 0) == outward)
                for worth, (of, sign) in zip(worths, self._flows, strict=True)
            ]
            bids = [k for k, (_, sign) in zip(found, self._flows, strict=True) if k is not None and sign > 0]
            asks = [k for k, (_, sign) in zip(found, self._flows, strict=True) if k is not None and sign < 0]
            if not bids or not asks or max(bids) < min(asks):
                return found
        high, low = max(bids) * self._ticks[asset], min(asks) * self._ticks[asset]
        raise QuoteError(
            f"{self.table.symbols[asset]}: the highest bid, {high:.12g}, would meet the lowest ask, "
            f"{low:.12g} {self.table.price_unit}",
            "crossed-quotes",
        )

    def _in_book(self, ticks: int, sign: int, other: float, asset: int) -> int:
        """A price that does not go through the best price of the other side."""
        u = other / self._ticks[asset]
        if not abs(u) <= MOST_TICKS:
            return ticks
        limit = _whole(u, up=sign < 0)
        on_tick = _whole(u, up=sign > 0) == limit
        if self._post_only and on_tick:
            limit -= sign
        return min(ticks, limit) if sign > 0 else max(ticks, limit)


def _whole(ticks: float, up: bool) -> int:
    """The tick itself if a price is on one, else the next one up or down."""
    below = math.floor(ticks)
    if ticks - below <= ON_TICK:
        return below
    if (below + 1) - ticks <= ON_TICK:
        return below + 1
    return below + up
