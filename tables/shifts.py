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

import json
import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import NamedTuple

from quotegrid.tables.lookup import Corners, QuoteError, number_reader, row_reader
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.solution_protocol import Numbers
from quotegrid.tables.table_sensitivity import TableSensitivity

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
    if sensitivity is None:
        raise QuoteError(
            "this table holds no sensitivities, so its quotes cannot be shifted; "
            "solve it with --with-sensitivities (Python: with_sensitivities=True)"
        )
    found: dict[int, Move] = {}
    for path, change in shift.items():
        places = _places(sensitivity.parameters, path, relative=isinstance(change, str))
        for place in places:
            if place in found:
                raise QuoteError(f"shift {path}: {sensitivity.parameters[place]} is shifted twice")
            before = float(sensitivity.numbers[place])
            by = _change(sensitivity.parameters[place], before, change)
            found[place] = Move(place, sensitivity.parameters[place], before, by)
    return tuple(found.values())


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


class OffsetBounds(NamedTuple):
    """Of one flow, with the paths that move them; price units, infinite where there is none."""

    low: float
    high: float
    paths: tuple[str, str]  # the flow's, with and without its side

    def shifted(self, moved: tuple[Move, ...]) -> tuple[float, float]:
        """The bounds after the shift."""
        return self._end("min_offset", self.low, moved), self._end("max_offset", self.high, moved)

    def _end(self, key: str, value: float, moved: tuple[Move, ...]) -> float:
        names = {f"{path}.{key}" for path in self.paths}
        return next((move.after for move in moved if move.path in names), value)


def offset_bounds(problem_json: str) -> tuple[OffsetBounds, ...]:
    """The bounds of every flow in the problem of a table, in its order."""
    problem = json.loads(problem_json)
    assets = problem.get("asset", [problem])
    found = []
    for asset in assets:
        above = f"asset.{asset['market']['symbol']}." if len(assets) > 1 else ""
        for flow in asset.get("flow", ()):
            default = 0.0 if flow.get("intensity", {}).get("kind") == "power" else -math.inf
            low, high = flow.get("min_offset", default), flow.get("max_offset", math.inf)
            for side in ("bid", "ask") if flow["side"] == "both" else (flow["side"],):
                name = f"{above}flow.{flow['name']}"
                found.append(OffsetBounds(float(low), float(high), (name, f"{name}/{side}")))
    return tuple(found)


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
    holds = row_reader(sensitivity.hold.astype(float))(corners)
    bounds = offset_bounds(table.problem_json)
    after, errors = [], []
    for flow, offset in enumerate(offsets):
        free = offset + sum(change * slope[flow] for change, slope in zip(changes, slopes, strict=True))
        low, high = bounds[flow].shifted(moved)
        after.append(min(max(free, low), high) if free == free else math.nan)
        said = holds[flow] == 0.0 and low <= free <= high
        errors.append(estimate(changes, [bend[flow] for bend in bends]) if said else math.nan)
    gain, gain_error = table.gain, None
    if gain is not None and sensitivity.gain is not None and sensitivity.gain_curvature is not None:
        gain += sum(move.change * float(sensitivity.gain[move.place]) for move in moved)
        gain_error = estimate(changes, [float(sensitivity.gain_curvature[move.place]) for move in moved])
    total = sum(change * slope for change, slope in zip(changes, numbers(sensitivity.value), strict=True))
    value_error = estimate(changes, numbers(sensitivity.value_curvature))
    return ShiftedNumbers(tuple(after), tuple(errors), value + total, value_error, gain, gain_error)


def estimate(changes: list[float], curvatures: list[float]) -> float:
    """(Σ |h| sqrt(½|c|))², see the top of this file; in the unit of the quantity."""
    pairs = zip(changes, curvatures, strict=True)
    return sum(abs(change) * math.sqrt(0.5 * abs(curvature)) for change, curvature in pairs) ** 2
