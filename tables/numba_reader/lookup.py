"""Where a state falls between the nodes of a table, and what the table says there, inside compiled code.

On each axis a coordinate x between the nodes x_i and x_{i+1} has the corners

    x_i with weight 1 - w,   x_{i+1} with weight w,   w = (x - x_i)/(x_{i+1} - x_i),

or one of them alone, by the rules of FORMAT.md §6; a number of the table is the sum over the corners of all
axes, products of weights times the number there. Each operation is one rounding, in the order stated there,
whatever the flags of the function these become part of: LLVM fuses and reorders what is marked for it, and
nothing here is, in a function with `fastmath` neither.

    corners = new_corners()                        once: room for the answer to "where"
    refusal = look_up(table, corners, lots, time)  0, or one of the numbers below
    bid = reference - offset(table, corners, 0)    NaN: not quoted

`corners` is the only thing written to. After a refusal it holds no corners and all numbers are NaN.
"""

import math
from typing import Any

import numpy as np

from quotegrid.tables.lookup import BETWEEN, SNAP
from quotegrid.tables.numba_reader.coordinates import coordinate, count_of, jitted, regime_number
from quotegrid.tables.numba_reader.jitted_table import MOST_AXES, NONE, JittedTable, asked

# refusals, by their numbers in FORMAT.md §6; `quotegrid.tables.lookup.REFUSALS` has the names
NOT_A_NUMBER, OUTSIDE_BOX, BETWEEN_NODES, UNKNOWN_REGIME, WRONG_COORDINATES = 1, 2, 3, 4, 5

CORNERS = np.dtype(
    [
        ("count", np.int64),  # 0: refused
        ("clamped", np.int64),  # bit i: axis i was outside of the box and moved to its edge
        ("near_limit", np.int64),  # 1: nearest or towards_flat, and a fill may leave the limits
        ("first", np.int64),  # state of the first corner
        ("inventory", np.float64, (MOST_AXES,)),  # as given, but clamped and snapped to nodes
        ("beyond", np.int64, (MOST_AXES,)),  # of prices: the inventory was above (1) or below (-1) its box
        ("state", np.int64, (2**MOST_AXES,)),  # of each corner, counted from the first
        ("weight", np.float64, (2**MOST_AXES,)),
    ],
    align=True,
)

_EXACT, _NEAREST, _TOWARDS_FLAT, _LINEAR = range(len(BETWEEN))
_CLAMP = 1


def new_corners() -> Any:
    """Room for the corners of a state: one for each thread, used again and again."""
    return np.zeros(1, CORNERS).view(np.recarray)[0]


@jitted
def look_up(
    table: JittedTable,
    corners: Any,
    inventory: Any,
    time: Any = None,
    regime: Any = None,
    factors: Any = None,
    parameters: Any = None,
) -> int:
    """Find the corners of a state; all other numbers follow from them. 0, or why there are none.

    Args:
        table: from `jitted_table`.
        corners: from `new_corners`; written to.
        inventory: lots, signed; for several assets a tuple or an array, in the order of the symbols.
        time: calendar time, where the table has a time axis.
        regime: its number, from 0, where the table has regimes.
        factors, parameters: in the order of the table, where it has such axes; each a number, a tuple or an
            array.
    """
    for asset in range(min(count_of(inventory), MOST_AXES)):
        corners.inventory[asset] = coordinate(inventory, asset)
    return look_up_inventory(table, corners, count_of(inventory), time, regime, factors, parameters)


@jitted
def look_up_inventory(
    table: JittedTable, corners: Any, assets: int, time: Any, regime: Any, factors: Any, parameters: Any
) -> int:
    """`look_up` of the inventory that is in `corners` already."""
    corners.count = 0
    corners.clamped = 0
    given = asked(count_of(time), count_of(regime), count_of(factors), count_of(parameters), assets)
    if given != table.asked:
        return WRONG_COORDINATES
    corners.state[0] = 0
    count, first, axis = 1, 0, 0
    for _ in range(count_of(time)):
        refusal, count, first, taken = _along(
            table, corners, count, first, axis, coordinate(time, 0), _LINEAR
        )
        if refusal:
            return refusal
        axis += 1
    for _ in range(count_of(regime)):
        number = regime_number(regime)
        if number < 0 or number >= table.layout.regimes:
            return UNKNOWN_REGIME
        first += number * table.layout.regime_stride
    for place in range(count_of(factors)):
        x = coordinate(factors, place)
        refusal, count, first, taken = _along(table, corners, count, first, axis, x, _LINEAR)
        if refusal:
            return refusal
        axis += 1
    for place in range(count_of(parameters)):
        x = coordinate(parameters, place)
        refusal, count, first, taken = _along(table, corners, count, first, axis, x, _LINEAR)
        if refusal:
            return refusal
        axis += 1
    near_limit = False
    for asset in range(assets):
        x = corners.inventory[asset]
        refusal, count, first, taken = _along(table, corners, count, first, axis, x, table.between)
        if refusal:
            return refusal
        corners.inventory[asset] = taken
        near_limit |= (taken < table.layout.axes[axis].free_low) | (taken > table.layout.axes[axis].free_high)
        axis += 1
    corners.near_limit = near_limit & ((table.between == _NEAREST) | (table.between == _TOWARDS_FLAT))
    corners.first = first
    corners.count = count
    return 0


@jitted
def inventory_axis(table: Any, asset: int) -> Any:
    """The axis of the inventory of an asset."""
    layout = table.layout
    return layout.axes[layout.times + layout.factors + layout.parameter_axes + asset]


@jitted
def _along(
    table: Any, corners: Any, count: int, first: int, number: int, x: float, between: int
) -> tuple[int, int, int, float]:
    """Multiply the corners so far by those of x on an axis: refusal or 0, how many, the first, x as taken."""
    axis = table.layout.axes[number]
    if not (axis.low - x <= axis.snap and x - axis.high <= axis.snap):  # true of NaN as well
        if not math.isfinite(x):
            return NOT_A_NUMBER, count, first, x
        if table.outside != _CLAMP:
            return OUTSIDE_BOX, count, first, x
        x = axis.low if x < axis.low else axis.high
        corners.clamped |= 1 << number
    i = _node_below(table, axis, x)
    low = _node(table, axis, i)
    if abs(x - low) <= axis.snap or i + 1 == axis.count:
        return 0, count, first + i * axis.stride, low
    high = _node(table, axis, i + 1)
    below, above = x - low, high - x
    if above <= axis.snap:
        return 0, count, first + (i + 1) * axis.stride, high
    if between == _LINEAR:
        return (
            0,
            _between_nodes(corners, count, axis.stride, below / (high - low)),
            first + i * axis.stride,
            x,
        )
    if between == _EXACT:
        return BETWEEN_NODES, count, first, x
    nearer, halfway = above < below, above == below
    flatter, as_flat = abs(high) < abs(low), abs(high) == abs(low)
    # without branches, which no processor could foresee
    upper = (nearer | (halfway & flatter)) if between == _NEAREST else (flatter | (as_flat & nearer))
    return 0, count, first + (i + upper) * axis.stride, x


@jitted
def _node(table: Any, axis: Any, i: int) -> float:
    return table.numbers[np.uint64(axis.first + i)]  # unsigned, and nothing is counted from the end


@jitted
def _node_below(table: Any, axis: Any, x: float) -> int:
    """The last node that is not above x, or 0: guessed, as if nodes were evenly spread, or searched for."""
    guess = (x - axis.lowest) * axis.nodes_per_unit
    if guess >= 0.0 and guess < axis.steps:
        i = int(guess)
        if _node(table, axis, i) <= x and x < _node(table, axis, i + 1):
            return i
    low, high = 0, axis.count
    while high - low > 1:
        middle = low + (high - low) // 2
        if _node(table, axis, middle) <= x:
            low = middle
        else:
            high = middle
    return low


@jitted
def _between_nodes(corners: Any, count: int, stride: int, w: float) -> int:
    state, weight = corners.state, corners.weight
    if count == 1:  # as in the loop below, but known when it is compiled
        state[1] = stride
        weight[0], weight[1] = 1.0 - w, w
        return 2
    if count == 2:
        low, high, step = weight[0], weight[1], state[1]
        state[1], state[2], state[3] = stride, step, step + stride
        weight[0], weight[1], weight[2], weight[3] = low * (1.0 - w), low * w, high * (1.0 - w), high * w
        return 4
    for corner in range(count - 1, -1, -1):  # backwards: corner c becomes 2c and 2c + 1
        step, of = state[corner], weight[corner]
        state[2 * corner], state[2 * corner + 1] = step, step + stride
        weight[2 * corner], weight[2 * corner + 1] = of * (1.0 - w), of * w
    return 2 * count


@jitted
def sum_over_corners(table: Any, start: int, row: int, column: int, corners: Any) -> float:
    """Σ weight · number; a state has `row` numbers, from `start` on, of which this is number `column`."""
    numbers, count, state, weight = table.numbers, corners.count, corners.state, corners.weight
    if count == 0:
        return math.nan
    start += corners.first * row + column
    if count == 1:
        return numbers[np.uint64(start)]
    total = weight[0] * numbers[np.uint64(start)] + weight[1] * numbers[np.uint64(start + state[1] * row)]
    if count == 2:
        return total
    total += weight[2] * numbers[np.uint64(start + state[2] * row)]
    total += weight[3] * numbers[np.uint64(start + state[3] * row)]
    for corner in range(4, count):
        total += weight[corner] * numbers[np.uint64(start + state[corner] * row)]
    return total


@jitted
def value(table: JittedTable, corners: Any) -> float:
    """θ at the corners, in price unit · unit of the asset."""
    return sum_over_corners(table, table.layout.value, 1, 0, corners)


@jitted
def offset(table: JittedTable, corners: Any, flow: int) -> float:
    """The offset of a flow, price units: bid = reference - offset, ask = reference + offset. NaN: not quoted.

    A flow that the table does not have is not quoted.
    """
    if flow < 0 or flow >= len(table.flows):
        return math.nan
    if corners.near_limit:  # a fill must not leave the limits from the inventory that was given
        about = table.flows[flow]
        after = corners.inventory[about.asset] + about.move
        if about.first - after > SNAP or after - about.last > SNAP:
            return math.nan
    return sum_over_corners(table, table.layout.offset, len(table.flows), flow, corners)


@jitted
def is_quoted(number: float) -> bool:
    """Whether an offset or a price is a number: with `fastmath`, a strategy's own test of NaN finds none."""
    return not math.isnan(number)


@jitted
def hedge_rate(table: JittedTable, corners: Any, asset: int = 0) -> float:
    """Units of the asset per time, + buys; NaN where the table has no hedging, or no such asset."""
    if table.layout.hedge_rate == NONE or asset < 0 or asset >= table.layout.assets:
        return math.nan
    return sum_over_corners(table, table.layout.hedge_rate, table.layout.assets, asset, corners)


@jitted
def market_order(table: JittedTable, corners: Any, asset: int = 0) -> float:
    """Lots to trade at once, + buys, 0 none; NaN where the table has no market orders, or no such asset."""
    if table.layout.market_order == NONE or asset < 0 or asset >= table.layout.assets:
        return math.nan
    return sum_over_corners(table, table.layout.market_order, table.layout.assets, asset, corners)
