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
from quotegrid.tables.numba_reader.jitted_table import JittedTable

# refusals, by their numbers in FORMAT.md §6; `quotegrid.tables.lookup.REFUSALS` has the names
NOT_A_NUMBER, OUTSIDE_BOX, BETWEEN_NODES, UNKNOWN_REGIME, WRONG_COORDINATES = 1, 2, 3, 4, 5

MOST_AXES = 8
CORNERS = np.dtype(
    [
        ("count", np.int64),  # 0: refused
        ("clamped", np.int64),  # bit i: axis i was outside of the box and moved to its edge
        ("inventory", np.float64, (MOST_AXES,)),  # as given, but clamped and snapped to nodes
        ("beyond", np.int64, (MOST_AXES,)),  # of prices: the inventory was above (1) or below (-1) its box
        ("state", np.int64, (2**MOST_AXES,)),
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
    if count_of(inventory) != table.assets:
        corners.count = 0
        return WRONG_COORDINATES
    for asset in range(count_of(inventory)):
        corners.inventory[asset] = coordinate(inventory, asset)
    return look_up_inventory(table, corners, time, regime, factors, parameters)


@jitted
def look_up_inventory(
    table: JittedTable, corners: Any, time: Any, regime: Any, factors: Any, parameters: Any
) -> int:
    """`look_up` of the inventory that is in `corners` already."""
    corners.count = 0
    corners.clamped = 0
    if (
        count_of(time) != table.times
        or count_of(regime) != (1 if table.regimes > 0 else 0)
        or count_of(factors) != table.factors
        or count_of(parameters) != table.parameters
    ):
        return WRONG_COORDINATES
    corners.state[0] = 0
    corners.weight[0] = 1.0
    count, axis = 1, 0
    for _ in range(count_of(time)):
        refusal, count, taken = _along(table, corners, count, axis, coordinate(time, 0), _LINEAR)
        if refusal:
            return refusal
        axis += 1
    for _ in range(count_of(regime)):
        number = regime_number(regime)
        if number < 0 or number >= table.regimes:
            return UNKNOWN_REGIME
        count = _at_node(corners, count, number * table.regime_stride)
    for place in range(count_of(factors)):
        refusal, count, taken = _along(table, corners, count, axis, coordinate(factors, place), _LINEAR)
        if refusal:
            return refusal
        axis += 1
    for place in range(count_of(parameters)):
        refusal, count, taken = _along(table, corners, count, axis, coordinate(parameters, place), _LINEAR)
        if refusal:
            return refusal
        axis += 1
    for asset in range(table.assets):
        refusal, count, taken = _along(table, corners, count, axis, corners.inventory[asset], table.between)
        if refusal:
            return refusal
        corners.inventory[asset] = taken
        axis += 1
    corners.count = count
    return 0


@jitted
def _along(
    table: Any, corners: Any, count: int, number: int, x: float, between: int
) -> tuple[int, int, float]:
    """Multiply the corners so far by those of x on one axis: a refusal or 0, how many, x as it was taken."""
    axis = table.axes[number]
    if not math.isfinite(x):
        return NOT_A_NUMBER, count, x
    if axis.low - x > axis.snap or x - axis.high > axis.snap:
        if table.outside != _CLAMP:
            return OUTSIDE_BOX, count, x
        x = axis.low if x < axis.low else axis.high
        corners.clamped |= 1 << number
    i = _node_below(table, axis, x)
    low = table.nodes[axis.first + i]
    if abs(x - low) <= axis.snap or i + 1 == axis.count:
        return 0, _at_node(corners, count, i * axis.stride), low
    high = table.nodes[axis.first + i + 1]
    below, above = x - low, high - x
    if above <= axis.snap:
        return 0, _at_node(corners, count, (i + 1) * axis.stride), high
    if between == _LINEAR:
        return 0, _between_nodes(corners, count, i * axis.stride, axis.stride, below / (high - low)), x
    if between == _EXACT:
        return BETWEEN_NODES, count, x
    flatter, level = abs(high) < abs(low), abs(high) == abs(low)
    if between == _NEAREST:
        upper = above < below or (above == below and flatter)
    else:
        upper = flatter or (level and above < below)
    return 0, _at_node(corners, count, (i + 1 if upper else i) * axis.stride), x


@jitted
def _node_below(table: Any, axis: Any, x: float) -> int:
    """The last node that is not above x, or 0: guessed, as if nodes were evenly spread, or searched for."""
    nodes, first = table.nodes, axis.first
    guess = (x - nodes[first]) * axis.nodes_per_unit
    if guess >= 0.0 and guess < axis.count - 1:
        i = int(guess)
        if nodes[first + i] <= x and x < nodes[first + i + 1]:
            return i
    low, high = 0, axis.count
    while high - low > 1:
        middle = low + (high - low) // 2
        if nodes[first + middle] <= x:
            low = middle
        else:
            high = middle
    return low


@jitted
def _at_node(corners: Any, count: int, step: int) -> int:
    for corner in range(count):
        corners.state[corner] += step
    return count


@jitted
def _between_nodes(corners: Any, count: int, step: int, stride: int, w: float) -> int:
    for corner in range(count - 1, -1, -1):  # backwards: corner c becomes 2c and 2c + 1
        state, weight = corners.state[corner] + step, corners.weight[corner]
        corners.state[2 * corner] = state
        corners.weight[2 * corner] = weight * (1.0 - w)
        corners.state[2 * corner + 1] = state + stride
        corners.weight[2 * corner + 1] = weight * w
    return 2 * count


@jitted
def sum_over_corners(numbers: Any, first: int, row: int, column: int, corners: Any) -> float:
    """Σ weight · number; a state has `row` numbers, from `first` on, of which this is number `column`."""
    if corners.count == 0:
        return math.nan
    total = numbers[first + corners.state[0] * row + column]
    if corners.count == 1:
        return total
    total = corners.weight[0] * total
    for corner in range(1, corners.count):
        total += corners.weight[corner] * numbers[first + corners.state[corner] * row + column]
    return total


@jitted
def value(table: JittedTable, corners: Any) -> float:
    """θ at the corners, in price unit · unit of the asset."""
    return sum_over_corners(table.value, 0, 1, 0, corners)


@jitted
def offset(table: JittedTable, corners: Any, flow: int) -> float:
    """The offset of a flow, price units: bid = reference - offset, ask = reference + offset. NaN: not quoted.

    A flow that the table does not have is not quoted.
    """
    if flow < 0 or flow >= len(table.flows):
        return math.nan
    if table.between == _NEAREST or table.between == _TOWARDS_FLAT:
        # a fill must not leave the limits from the inventory that was given
        about = table.flows[flow]
        after = corners.inventory[about.asset] + about.move
        if about.first - after > SNAP or after - about.last > SNAP:
            return math.nan
    return sum_over_corners(table.offset, 0, len(table.flows), flow, corners)


@jitted
def is_quoted(number: float) -> bool:
    """Whether an offset or a price is a number: with `fastmath`, a strategy's own test of NaN finds none."""
    return not math.isnan(number)


@jitted
def hedge_rate(table: JittedTable, corners: Any, asset: int = 0) -> float:
    """Units of the asset per time, + buys; NaN where the table has no hedging, or no such asset."""
    if len(table.hedge_rate) == 0 or asset < 0 or asset >= table.assets:
        return math.nan
    return sum_over_corners(table.hedge_rate, 0, table.assets, asset, corners)


@jitted
def market_order(table: JittedTable, corners: Any, asset: int = 0) -> float:
    """Lots to trade at once, + buys, 0 none; NaN where the table has no market orders, or no such asset."""
    if len(table.market_order) == 0 or asset < 0 or asset >= table.assets:
        return math.nan
    return sum_over_corners(table.market_order, 0, table.assets, asset, corners)
