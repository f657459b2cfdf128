"""Shifts of parameters, to be applied to a table's quotes without solving again (FORMAT.md §6).

    price.volatility=+10%          by so much of itself
    price.volatility=0.45          to a new value
    flow.book.intensity.A=-5%      of both sides, where the table knows them one by one
    flow.book.intensity.rate=+3%   all numbers of a list

To first order in the changes h of the parameters, δ → δ + Σ h_i ∂_i δ, likewise values and gain. What is left
out begins with ½ Σ h_i h_j ∂_ij δ; the table holds the ∂_ii alone, so the error is estimated by

    ( Σ_i |h_i| sqrt(½ |∂_ii δ|) )²,

the second-order term with every mixed derivative as large as those along the axes would let a definite
form's be, all of one sign. For a single parameter it is that term itself. It is an estimate, no bound: third
and higher orders are not in it, nor what a kink on the way does (a knot of a tabulated intensity, a bound). A
quote that a tick or a bound holds keeps its offset, and whether it jumps is not said: no estimate, and none
at a kink. A quote that a shift would take beyond its bound stops there, and has no estimate either.
"""

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from quotegrid.tables.lookup import Corners, QuoteError, number_reader, row_reader
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.solution_protocol import Numbers
from quotegrid.tables.table_sensitivity import FREE, TableSensitivity

Change = float | str
"""A new value, or a relative change such as "+10%"."""


class Move(NamedTuple):
    """One parameter of a table, and by how much it changes."""

    place: int  # among the table's parameters
    path: str
    before: float
    change: float

    @property
    def after(self) -> float:
        """The new value."""
        return self.before + self.change


def read_shift(words: str) -> tuple[str, Change]:
    """`price.volatility=+10%` as a path and a change.

    Raises:
        QuoteError: the words are not of that form.
    """
    path, equals, change = (part.strip() for part in words.partition("="))
    if not (path and equals and change):
        raise QuoteError(
            f"shift {words!r}: expected PARAMETER=CHANGE, such as price.volatility=+10% or "
            "price.volatility=0.45"
        )
    if change.endswith("%"):
        return path, change
    try:
        value = float(change)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or change.startswith("+"):
        raise QuoteError(
            f"shift {words!r}: {change!r} is neither a relative change (+10%, -2.5%) nor a new value (0.45)"
        )
    return path, value


def moves(sensitivity: TableSensitivity | None, shift: Mapping[str, Change]) -> tuple[Move, ...]:
    """The parameters that a shift moves.

    Raises:
        QuoteError: the table has no sensitivities, or not to such a path; or a change that is none.
    """
    sensitivity = _known(sensitivity)
    found: dict[int, Move] = {}
    for path, change in shift.items():
        places = _places(sensitivity.parameters, path, relative=isinstance(change, str))
        for place in places:
            if place in found:
                raise QuoteError(f"shift {path}: {sensitivity.parameters[place]} is shifted twice")
            before = float(sensitivity.numbers[place])
            by = _change(sensitivity.parameters[place], before, change)
            found[place] = Move(place, sensitivity.parameters[place], before, by)
    return tuple(found[place] for place in sorted(found))


def changes_of(sensitivity: TableSensitivity | None, changes: Sequence[float]) -> tuple[Move, ...]:
    """All parameters of a table, each with its change; 0 for those that have not changed.

    Raises:
        QuoteError: the table has no sensitivities, or to another number of parameters.
    """
    sensitivity = _known(sensitivity)
    if len(changes) != len(sensitivity.parameters) or not all(map(math.isfinite, changes)):
        raise QuoteError(
            f"changes {tuple(changes)!r}: give one finite number for each of the "
            f"{len(sensitivity.parameters)} parameters of this table"
        )
    known = zip(sensitivity.parameters, sensitivity.numbers.tolist(), changes, strict=True)
    return tuple(Move(place, *move) for place, move in enumerate(known))


def _known(sensitivity: TableSensitivity | None) -> TableSensitivity:
    if sensitivity is None:
        raise QuoteError(
            "this table holds no sensitivities, so its quotes cannot be shifted; "
            "solve it with --with-sensitivities (Python: with_sensitivities=True)"
        )
    return sensitivity


def _places(known: tuple[str, ...], path: str, relative: bool) -> list[int]:
    """A parameter, the sides of a flow, or, for a relative change, the numbers of a list."""
    places = [
        place
        for place, parameter in enumerate(known)
        if path == parameter
        or path == _without_side(parameter)
        or (relative and path in (_list_of(parameter), _without_side(_list_of(parameter))))
    ]
    if places:
        return places
    both = _without_side(path)
    if both != path and any(both in (parameter, _list_of(parameter)) for parameter in known):
        raise QuoteError(f"shift {path}: this table knows {both} for both sides together only")
    if any(path == _list_of(parameter) for parameter in known):
        raise QuoteError(f"shift {path}: this is a list of numbers; change them all by +1%, or one of them")
    close = get_close_matches(path, known, n=1, cutoff=0.4)
    lists = list(dict.fromkeys(map(_list_of, known)))
    hint = f"; did you mean {close[0]!r}?" if close else f"; it has: {', '.join(lists)}"
    raise QuoteError(f"shift {path}: this table has no sensitivity to it{hint}")


def _without_side(path: str) -> str:
    return ".".join(part.partition("/")[0] for part in path.split("."))


def _list_of(path: str) -> str:
    head, _, last = path.rpartition(".")
    return head if last.isdecimal() else path


def _change(path: str, before: float, change: Change) -> float:
    if not isinstance(change, str):
        value = float(change)
        if not math.isfinite(value):
            raise QuoteError(f"shift {path}: {change!r} is no value; give a finite number")
        return value - before
    number = change.strip().removesuffix("%").strip()
    try:
        fraction = float(number) / 100.0
    except ValueError:
        fraction = math.nan
    if not change.strip().endswith("%") or number[:1] not in ("+", "-") or not math.isfinite(fraction):
        raise QuoteError(
            f"shift {path}: {change!r} is no relative change; write +10% or -2.5%, with its sign"
        )
    if before == 0.0:
        raise QuoteError(f"shift {path}: it is 0, and so is every part of it; give its new value")
    if fraction <= -1.0:
        raise QuoteError(f"shift {path}: {change} leaves nothing of it; a relative change is above -100%")
    return fraction * before


class ShiftedNumbers(NamedTuple):
    """What a shift makes of one state of a table."""

    offsets: tuple[float, ...]  # price units, NaN where off
    offset_errors: tuple[float, ...]  # NaN where nothing is said
    value: float
    value_error: float
    gain: float | None
    gain_error: float | None


def shifted_numbers(
    table: PolicyTable, moved: tuple[Move, ...], corners: Corners, offsets: tuple[float, ...], value: float
) -> ShiftedNumbers:
    """The state at these corners of the table after the moves, to first order."""
    sensitivity = table.sensitivity
    assert sensitivity is not None  # `moves` asked for it
    changes = [move.change for move in moved]

    def rows(array: Numbers) -> list[tuple[float, ...]]:
        return [row_reader(array[move.place])(corners) for move in moved]

    def numbers(array: Numbers) -> list[float]:
        return [number_reader(array[move.place])(corners) for move in moved]

    slopes, bends = rows(sensitivity.offset), rows(sensitivity.offset_curvature)
    hold = sensitivity.hold.reshape(-1, sensitivity.hold.shape[-1])
    free = (hold[[state for state, _ in corners]] == FREE).all(axis=0).tolist()
    by_place = {move.place: move.change for move in moved}
    after, errors = [], []
    for flow, offset in enumerate(offsets):
        moved_to = offset + _sum(changes, [slope[flow] for slope in slopes])
        low, high = (
            bound + by_place.get(parameter, 0.0)
            for bound, parameter in zip(
                sensitivity.bounds[flow].tolist(), sensitivity.bound_parameters[flow].tolist(), strict=True
            )
        )
        after.append(_between(moved_to, low, high))
        said = free[flow] and low <= moved_to <= high
        errors.append(estimate(changes, [bend[flow] for bend in bends]) if said else math.nan)
    gain, gain_error = table.gain, None
    if gain is not None and sensitivity.gain is not None and sensitivity.gain_curvature is not None:
        places = [move.place for move in moved]
        gain += _sum(changes, sensitivity.gain[places].tolist())
        gain_error = estimate(changes, sensitivity.gain_curvature[places].tolist())
    value += _sum(changes, numbers(sensitivity.value))
    value_error = estimate(changes, numbers(sensitivity.value_curvature))
    return ShiftedNumbers(tuple(after), tuple(errors), value, value_error, gain, gain_error)


def _sum(changes: list[float], slopes: list[float]) -> float:
    """Σ h_i d_i from 0, in the order of the parameters."""
    total = 0.0
    for change, slope in zip(changes, slopes, strict=True):
        total += change * slope
    return total


def _between(number: float, low: float, high: float) -> float:
    """The number, stopped at its bounds; NaN stays NaN."""
    number = low if number < low else number
    return high if number > high else number


def estimate(changes: list[float], curvatures: list[float]) -> float:
    """(Σ |h| sqrt(½|c|))², see the top of this file; in the unit of the quantity."""
    total = 0.0
    for change, curvature in zip(changes, curvatures, strict=True):
        total += abs(change) * math.sqrt(0.5 * abs(curvature))
    return total * total
