"""Quotes after small changes of the problem's parameters, inside compiled code (FORMAT.md §6, Shifts).

    after = before + s,   s = ((0 + h₀·d₀) + h₁·d₁) + …,   error = e · e,   e = ((0 + |h₀|·√(0.5·|c₀|)) + …

with changes h, derivatives d and curvatures c at the corners of a state. An offset stops at its bounds. Every
function gives a number and an estimate of what the first order leaves out, NaN where nothing is said; two NaN
where the table has no sensitivities, or where the changes are not one finite number for each parameter.
"""

import math
from typing import Any

from quotegrid.tables.numba_reader.coordinates import coordinate, count_of, jitted
from quotegrid.tables.numba_reader.jitted_table import NONE, JittedTable
from quotegrid.tables.numba_reader.lookup import offset, sum_over_corners, value


@jitted
def _can_shift(table: JittedTable, changes: Any) -> bool:
    count = table.layout.sensitivities
    if count == 0 or count_of(changes) != count:
        return False
    finite = True
    for i in range(count):
        finite &= math.isfinite(coordinate(changes, i))
    return finite


@jitted
def _first_order(
    table: Any, slopes: int, bends: int, row: int, column: int, corners: Any, changes: Any
) -> tuple[float, float]:
    """s and e · e of a number that has `row` to a state; derivatives and curvatures begin at these places."""
    moved, left_out = 0.0, 0.0
    for i in range(count_of(changes)):
        change, skipped = coordinate(changes, i), i * table.layout.states * row
        moved += change * sum_over_corners(table, slopes + skipped, row, column, corners)
        bend = sum_over_corners(table, bends + skipped, row, column, corners)
        left_out += abs(change) * math.sqrt(0.5 * abs(bend))
    return moved, left_out * left_out


@jitted
def shifted_value(table: JittedTable, corners: Any, changes: Any) -> tuple[float, float]:
    """The value after changes of all parameters, in their order, and its error."""
    if not _can_shift(table, changes):
        return math.nan, math.nan
    slopes, bends = table.layout.value_sensitivity, table.layout.value_curvature
    moved, error = _first_order(table, slopes, bends, 1, 0, corners, changes)
    return value(table, corners) + moved, error


@jitted
def shifted_offset(table: Any, corners: Any, flow: int, changes: Any) -> tuple[float, float]:
    """An offset after such changes, and its error; NaN: not quoted."""
    layout, flows = table.layout, len(table.flows)
    if flow < 0 or flow >= flows or not _can_shift(table, changes):
        return math.nan, math.nan
    slopes, bends = layout.offset_sensitivity, layout.offset_curvature
    moved, error = _first_order(table, slopes, bends, flows, flow, corners, changes)
    low = table.numbers[layout.offset_bound + 2 * flow]
    high = table.numbers[layout.offset_bound + 2 * flow + 1]
    of_low = table.integers[layout.offset_bound_parameter + 2 * flow]
    of_high = table.integers[layout.offset_bound_parameter + 2 * flow + 1]
    if of_low >= 0:
        low += coordinate(changes, of_low)
    if of_high >= 0:
        high += coordinate(changes, of_high)
    after = offset(table, corners, flow) + moved
    if not (low <= after and after <= high):
        error = math.nan
    for corner in range(corners.count):
        state = corners.first + corners.state[corner]
        if table.integers[layout.offset_hold + state * flows + flow] != 0:
            error = math.nan
    if after < low:
        after = low
    if after > high:
        after = high
    return after, error


@jitted
def shifted_gain(table: Any, changes: Any) -> tuple[float, float]:
    """The gain after such changes, and its error; two NaN where the table has none."""
    layout = table.layout
    if layout.gain_sensitivity == NONE or not _can_shift(table, changes):
        return math.nan, math.nan
    moved, left_out = 0.0, 0.0
    for i in range(layout.sensitivities):
        change = coordinate(changes, i)
        moved += change * table.numbers[layout.gain_sensitivity + i]
        left_out += abs(change) * math.sqrt(0.5 * abs(table.numbers[layout.gain_curvature + i]))
    return layout.gain + moved, left_out * left_out
