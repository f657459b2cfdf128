"""From a moment to prices, or to a refusal, inside compiled code: the guards of FORMAT.md §9.

    bid = reference - offset,  ask = reference + offset,  each a whole number of ticks,

rounded outward or inward as chosen, never through the other side of the book, with post-only not even at it.
An inventory beyond the limits gets the side that brings it back alone.

    quoter = jitted_quoter(read_safetensors("eth.safetensors"), symbols=("ETH-PERP",), ticks=(0.01,))
    corners, prices = new_corners(), new_prices(quoter)          once
    refusal = look_up_prices(quoter, corners, prices, reference, best_bid, best_ask, lots)
    prices[0].price                                              NaN: not quoted; prices[0].ticks ticks
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from quotegrid.tables.guarded_quoter import MOST_TICKS, ON_TICK, GuardedQuoter
from quotegrid.tables.lookup import SNAP
from quotegrid.tables.numba_reader.coordinates import coordinate, count_of, jitted
from quotegrid.tables.numba_reader.jitted_table import NONE, JittedTable, jitted_table
from quotegrid.tables.numba_reader.lookup import (
    NOT_A_NUMBER,
    WRONG_COORDINATES,
    inventory_axis,
    look_up_inventory,
    offset,
)
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.solution_protocol import Numbers

# refusals, by their numbers in FORMAT.md §9
TOO_EARLY, EXPIRED, OUTSIDE_PRICE_BOX, CROSSED_MARKET, CROSSED_QUOTES = 8, 9, 10, 11, 12

PRICE = np.dtype([("ticks", np.int64), ("price", np.float64)], align=True)


class JittedQuoter(NamedTuple):
    """A table with what it is traded with: an argument of compiled functions."""

    table: JittedTable
    ticks: Numbers  # price units, one for each asset
    outward: bool
    post_only: bool


def jitted_quoter(
    table: PolicyTable,
    symbols: Sequence[str],
    ticks: Sequence[float],
    rounding: str = "outward",
    post_only: bool = True,
    between: str = "exact",
    outside: str = "refuse",
) -> JittedQuoter:
    """A `GuardedQuoter` for compiled code, with the same arguments.

    Raises:
        QuoteError: wrong-symbol, wrong-tick, or a choice that is none.
    """
    GuardedQuoter(table, symbols, ticks, rounding, post_only, between, outside)  # refuses what it must
    own = np.array(ticks, np.float64)
    own.flags.writeable = False
    return JittedQuoter(jitted_table(table, between, outside), own, rounding == "outward", bool(post_only))


def new_prices(quoter: JittedQuoter) -> Any:
    """Room for a price of each flow, in the order of the table."""
    return np.zeros(len(quoter.table.flows), PRICE).view(np.recarray)


@jitted
def look_up_prices(
    quoter: JittedQuoter,
    corners: Any,
    prices: Any,
    reference: Any,
    best_bid: Any,
    best_ask: Any,
    inventory: Any,
    now: Any = None,
    time: Any = None,
    regime: Any = None,
    factors: Any = None,
    parameters: Any = None,
) -> int:
    """The price of every flow, NaN where it is not quoted: 0, or why there are none; then all are NaN.

    Args:
        quoter: from `jitted_quoter`.
        corners: from `new_corners`; written to.
        prices: from `new_prices`; written to.
        reference: reference price; for several assets a tuple or an array, as all that follow.
        best_bid, best_ask: of the live book; -inf, inf or None where there is none.
        inventory: lots, signed.
        now: Unix seconds; needed where the table has a start.
        time, regime, factors, parameters: as for `look_up`.
    """
    _no_prices(prices)
    table, assets = quoter.table, quoter.table.layout.assets
    refusal = _check_life(table, now)
    if refusal == 0:
        refusal = _check_markets(table, prices, reference, best_bid, best_ask, inventory)
    if refusal == 0:
        refusal = _within_limits(table, corners, inventory)
    if refusal == 0:
        refusal = look_up_inventory(table, corners, assets, time, regime, factors, parameters)
    if refusal == 0:
        refusal = _in_ticks(quoter, corners, prices, reference)
    for asset in range(assets):
        if refusal == 0:
            refusal = _round(quoter, prices, asset)
    if refusal:
        _no_prices(prices)
        return refusal
    for flow in range(len(prices)):
        about, price = table.flows[flow], prices[flow]
        if not math.isnan(price.price):
            tick = quoter.ticks[about.asset]
            bid, ask = _best(best_bid, about.asset, -math.inf), _best(best_ask, about.asset, math.inf)
            price.ticks = _in_book(
                price.ticks, about.side, (ask if about.side > 0 else bid) / tick, quoter.post_only
            )
            price.price = price.ticks * tick
    return 0


@jitted
def _no_prices(prices: Any) -> None:
    for flow in range(len(prices)):
        price = prices[flow]
        price.ticks = 0
        price.price = math.nan


@jitted
def _best(best: Any, asset: int, none: float) -> float:
    return coordinate(best, asset) if count_of(best) > 0 else none


@jitted
def _check_life(table: Any, now: Any) -> int:
    """Step 1."""
    if math.isnan(table.layout.start):
        return 0
    if count_of(now) != 1:
        return WRONG_COORDINATES
    moment = coordinate(now, 0)
    if not math.isfinite(moment):
        return NOT_A_NUMBER
    if moment < table.layout.start:
        return TOO_EARLY
    return EXPIRED if moment - table.layout.start > table.layout.life else 0


@jitted
def _check_markets(
    table: Any, prices: Any, reference: Any, best_bid: Any, best_ask: Any, inventory: Any
) -> int:
    """Step 2."""
    if (
        len(prices) != len(table.flows)
        or count_of(reference) != table.layout.assets
        or count_of(inventory) != table.layout.assets
        or (count_of(best_bid) > 0 and count_of(best_bid) != table.layout.assets)
        or (count_of(best_ask) > 0 and count_of(best_ask) != table.layout.assets)
    ):
        return WRONG_COORDINATES
    for asset in range(table.layout.assets):
        price = coordinate(reference, asset)
        bid, ask = _best(best_bid, asset, -math.inf), _best(best_ask, asset, math.inf)
        if not math.isfinite(price) or math.isnan(bid) or math.isnan(ask):
            return NOT_A_NUMBER
        if table.layout.price_box != NONE:
            box = table.layout.price_box + 2 * asset
            if price < table.numbers[box] or price > table.numbers[box + 1]:
                return OUTSIDE_PRICE_BOX
        if not bid < ask:
            return CROSSED_MARKET
    return 0


@jitted
def _within_limits(table: Any, corners: Any, inventory: Any) -> int:
    """Step 3: lots inside the box, and for each asset 1 if it was above, -1 if below, 0 if inside."""
    for asset in range(table.layout.assets):
        axis, x = inventory_axis(table, asset), coordinate(inventory, asset)
        if not math.isfinite(x):
            return NOT_A_NUMBER
        side = -1 if axis.low - x > SNAP else 1 if x - axis.high > SNAP else 0
        corners.beyond[asset] = side
        corners.inventory[asset] = axis.low if side < 0 else axis.high if side > 0 else x
    return 0


@jitted
def _in_ticks(quoter: Any, corners: Any, prices: Any, reference: Any) -> int:
    """Step 4: what each flow is worth, in ticks that are not yet whole; NaN: off."""
    for flow in range(len(prices)):
        about, delta = quoter.table.flows[flow], offset(quoter.table, corners, flow)
        if math.isnan(delta) or about.side * corners.beyond[about.asset] > 0:
            continue
        middle = coordinate(reference, about.asset)
        worth = middle - delta if about.side > 0 else middle + delta
        ticks = worth / quoter.ticks[about.asset]
        if not abs(ticks) <= MOST_TICKS:
            return NOT_A_NUMBER
        prices[flow].price = ticks
    return 0


@jitted
def _round(quoter: Any, prices: Any, asset: int) -> int:
    """Steps 5 and 6: whole ticks, outward where inward would make bids and asks of an asset meet."""
    outward = quoter.outward
    for _ in range(2):
        highest_bid, lowest_ask = -math.inf, math.inf
        for flow in range(len(prices)):
            about, price = quoter.table.flows[flow], prices[flow]
            if about.asset != asset or math.isnan(price.price):
                continue
            price.ticks = _whole(price.price, (about.side < 0) == outward)
            if about.side > 0:
                highest_bid = max(highest_bid, float(price.ticks))
            else:
                lowest_ask = min(lowest_ask, float(price.ticks))
        if highest_bid < lowest_ask:
            return 0
        outward = True
    return CROSSED_QUOTES


@jitted
def _whole(ticks: float, up: bool) -> int:
    """The tick itself if a price is on one, else the next one up or down."""
    below = math.floor(ticks)
    if ticks - below <= ON_TICK:
        return below
    if (below + 1) - ticks <= ON_TICK:
        return below + 1
    return below + 1 if up else below


@jitted
def _in_book(ticks: int, side: int, other: float, post_only: bool) -> int:
    """Step 7: not through the best price of the other side, in ticks, nor, post-only, at it."""
    if not abs(other) <= MOST_TICKS:
        return ticks
    limit = _whole(other, side < 0)
    if post_only and _whole(other, side > 0) == limit:
        limit -= side
    return min(ticks, limit) if side > 0 else max(ticks, limit)
