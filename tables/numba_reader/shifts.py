"""Quotes after small changes of the problem's parameters, inside compiled code (FORMAT.md §6, Shifts).

    after = before + s,   s = ((0 + h₀·d₀) + h₁·d₁) + …,   error = e · e,   e = ((0 + |h₀|·√(0.5·|c₀|)) + …

with changes h, derivatives d and curvatures c at the corners of a state. An offset stops at its bounds. Every
function gives a number and an estimate of what the first order leaves out, NaN where nothing is said; two NaN
where the table has no sensitivities, or where the changes are not one finite number for each parameter.
"""

import math
from typing import Any

from quotegrid.tables.numba_reader.coordinates import coordinate, count_of, jitted
from quotegrid.tables.numba_reader.jitted_table import JittedTable
from quotegrid.tables.numba_reader.lookup import offset, sum_over_corners, value


@jitted
def _can_shift(table: JittedTable, changes: Any) -> bool:
    count = table.sensitivity.parameters
    if count == 0 or count_of(changes) != count:
        return False
    finite = True
    for i in range(count):
        finite &= math.isfinite(coordinate(changes, i))
    return finite


@jitted
def _first_order(
    slopes: Any, bends: Any, states: int, row: int, column: int, corners: Any, changes: Any
) -> tuple[float, float]:
    """s and e · e of a number that has `row` to a state."""
    moved, left_out = 0.0, 0.0
    for i in range(count_of(changes)):
        change, first = coordinate(changes, i), i * states * row
        moved += change * sum_over_corners(slopes, first, row, column, corners)
        bend = sum_over_corners(bends, first, row, column, corners)
        left_out += abs(change) * math.sqrt(0.5 * abs(bend))
    return moved, left_out * left_out


@jitted
def shifted_value(table: JittedTable, corners: Any, changes: Any) -> tuple[float, float]:
    """The value after changes of all parameters, in their order, and its error."""
    if not _can_shift(table, changes):
        return math.nan, math.nan
    known = table.sensitivity
    moved, error = _first_order(known.value, known.value_curvature, table.states, 1, 0, corners, changes)
    return value(table, corners) + moved, error


@jitted
def shifted_offset(table: JittedTable, corners: Any, flow: int, changes: Any) -> tuple[float, float]:
    """An offset after such changes, and its error; NaN: not quoted."""
    flows = len(table.flows)
    if flow < 0 or flow >= flows or not _can_shift(table, changes):
        return math.nan, math.nan
    known = table.sensitivity
    moved, error = _first_order(
        known.offset, known.offset_curvature, table.states, flows, flow, corners, changes
    )
    low, high = known.bounds[2 * flow], known.bounds[2 * flow + 1]
    if known.bound_parameters[2 * flow] >= 0:
        low += coordinate(changes, known.bound_parameters[2 * flow])
    if known.bound_parameters[2 * flow + 1] >= 0:
        high += coordinate(changes, known.bound_parameters[2 * flow + 1])
    after = offset(table, corners, flow) + moved
    if not (low <= after and after <= high):
        error = math.nan
    for corner in range(corners.count):
        if known.hold[(corners.first + corners.state[corner]) * flows + flow] != 0:
            error = math.nan
    if after < low:
        after = low
    if after > high:
        after = high
    return after, error


@jitted
def shifted_gain(table: JittedTable, changes: Any) -> tuple[float, float]:
    """The gain after such changes, and its error; two NaN where the table has none."""
    known = table.sensitivity
    if len(known.gain) == 0 or not _can_shift(table, changes):
        return math.nan, math.nan
    moved, left_out = 0.0, 0.0
    for i in range(known.parameters):
        change = coordinate(changes, i)
        moved += change * known.gain[i]
        left_out += abs(change) * math.sqrt(0.5 * abs(known.gain_curvature[i]))
    return table.gain + moved, left_out * left_out
