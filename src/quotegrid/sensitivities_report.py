"""Sensitivities on one screen and as JSON, for `quotegrid sensitivities`."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quotegrid.analysis.sensitivities import Sensitivities, moves_of
from quotegrid.models.problem import Problem
from quotegrid.tables.money import money_unit

MOST_ROWS = 16
PER_CENT = 0.01


class NoSuchStateError(ValueError):
    """An inventory that is not on the lattice of a solution."""


def state_of(found: Sensitivities, problem: Problem, lots: Sequence[float] | None) -> tuple[int, ...]:
    """The position of an inventory (the target, unless given) on the axes of a solution, at its start.

    Raises:
        NoSuchStateError: it is not on the lattice.
    """
    wanted = [target for _, _, target in problem.lattice] if lots is None else lots
    axes = found.solution.inventories
    if len(wanted) != len(axes):
        raise NoSuchStateError(
            f"--inventory: expected {len(axes)} numbers, one for each asset, got {len(wanted)}"
        )
    place = [] if found.solution.times is None else [0]
    for number, axis in zip(wanted, axes, strict=True):
        (here,) = np.nonzero(axis == number)
        if not len(here):
            raise NoSuchStateError(
                f"--inventory: {number:g} lots is not on the lattice from {axis[0]:g} to {axis[-1]:g} lots"
            )
        place.append(int(here[0]))
    return tuple(place)


def sensitivities_report(found: Sensitivities, place: tuple[int, ...]) -> RenderableType:
    """What +1 % of each number does to the quotes at one state (`place`: its position on the axes)."""
    solution = found.solution
    money = money_unit(solution.price_unit)
    parts: list[RenderableType] = [
        Text(f"{_symbols(found)}: sensitivities {_where(found, place)}", style="bold")
    ]
    labels = [f"{flow.name}/{flow.side}" for flow in solution.flows[:2]]
    last = "value" if found.gain is None else "gain"
    last_unit = money if found.gain is None else f"{money} per {solution.time_unit}"
    changes_of = _empty_table("what +1 % of a number changes", labels, last, solution.price_unit, last_unit)
    elasticities = _empty_table("in per cent of itself", labels, last, "%", "%", beside="now")
    moves = moves_of(found)
    order = moves.strongest_first(*place)
    own = np.array([*solution.offset[place][: len(labels)], _own(found, place)])
    for row in order[:MOST_ROWS]:
        money_move = moves.value[(row, *place)] if moves.gain is None else moves.gain[row]
        changes = PER_CENT * np.array([*moves.offset[(row, *place)][: len(labels)], money_move])
        with np.errstate(divide="ignore", invalid="ignore"):
            fractions = np.where(own == 0.0, np.nan, 100.0 * changes / own)
        changes_of.add_row(moves.names[row], *map(_signed, changes))
        elasticities.add_row(moves.names[row], moves.now[row], *(_signed(x, 2) for x in fractions))
    parts += [changes_of, elasticities]
    parts += [Text(line) for line in _notes(found, order, place)]
    zeros = [row for row in range(len(found.parameters)) if found.values[row] == 0.0 and _moves(found, row)]
    if zeros:
        parts.append(_of_zeros(found, zeros, place, labels, last, last_unit))
    return Group(*parts)


def _empty_table(
    title: str, labels: list[str], last: str, unit: str, last_unit: str, beside: str | None = None
) -> Table:
    """A column for the parameter, perhaps one beside it, one for each flow and one for gain or value."""
    shown = Table(
        title=title,
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),  # so that paths of lists stay whole in 80 columns
    )
    shown.add_column("parameter", overflow="fold")
    if beside is not None:
        shown.add_column(beside, max_width=14)  # for the same end
    for label in labels:
        shown.add_column(f"{label}\n({unit})", justify="right", no_wrap=True)
    shown.add_column(f"{last}\n({last_unit})", justify="right", no_wrap=True)
    return shown


def _of_zeros(
    found: Sensitivities,
    rows: list[int],
    place: tuple[int, ...],
    labels: list[str],
    last: str,
    last_unit: str,
) -> Table:
    unit = found.solution.price_unit
    shown = _empty_table("what is 0 now, per unit of it", labels, last, unit, last_unit, beside="unit")
    for row in rows:
        numbers = _at(found, row, place)
        shown.add_row(found.parameters[row], found.units[row], *map(_signed, numbers))
    return shown


def _notes(found: Sensitivities, order: list[int], place: tuple[int, ...]) -> Iterator[str]:
    labels = [f"{flow.name}/{flow.side}" for flow in found.solution.flows]
    held = [label for label, is_held in zip(labels, found.held[place], strict=True) if is_held]
    if held:
        yield f"{', '.join(held)}: held by a tick or a bound here, which alone can move it."
    kinked = [label for label, is_kinked in zip(labels, found.kinked[place], strict=True) if is_kinked]
    if kinked:
        yield f"{', '.join(kinked)}: at a kink here, so its derivatives are one-sided."
    if len(order) > MOST_ROWS:
        yield f"and {len(order) - MOST_ROWS} more that move quotes less (--json has all)"
    still = [
        path
        for row, path in enumerate(found.parameters)
        if not _moves(found, row) and not np.isnan(found.value[row]).all()
    ]
    if still:
        yield f"without effect here: {', '.join(still)}"
    born = [path for row, path in enumerate(found.parameters) if np.isnan(found.value[row]).all()]
    if born:
        yield f"without a derivative, as its flow begins only where it differs from 0: {', '.join(born)}"


def to_json(found: Sensitivities) -> dict[str, Any]:
    """Everything, by parameter; offsets by flow, then over time (if any) and inventory; null: off."""
    solution = found.solution
    labels = [f"{flow.name}/{flow.side}" for flow in solution.flows]
    if len(solution.symbols) > 1:
        labels = [
            f"{solution.symbols[f.asset]}/{label}" for f, label in zip(solution.flows, labels, strict=True)
        ]
    elasticity = found.elasticity_of_gain()
    by_flow = found.elasticity_of_offset()
    return {
        "inventory": [_plain(axis) for axis in solution.inventories],
        "time": None if solution.times is None else _plain(solution.times),
        "price_unit": solution.price_unit,
        "time_unit": solution.time_unit,
        "held": {label: found.held[..., flow].tolist() for flow, label in enumerate(labels)},
        "kinked": {label: found.kinked[..., flow].tolist() for flow, label in enumerate(labels)},
        "parameters": {
            path: {
                "now": _plain(found.values[row]),
                "unit": found.units[row],
                "offset": {label: _plain(found.offset[row, ..., flow]) for flow, label in enumerate(labels)},
                "value": _plain(found.value[row]),
                "gain": None if found.gain is None else _plain(found.gain[row]),
                "elasticity": {
                    "offset": {label: _plain(by_flow[row, ..., flow]) for flow, label in enumerate(labels)},
                    "gain": None if elasticity is None else _plain(elasticity[row]),
                },
            }
            for row, path in enumerate(found.parameters)
        },
    }


def _plain(numbers: Any) -> Any:
    """Numbers as lists, null for what is not finite."""
    if np.ndim(numbers):
        return [_plain(number) for number in numbers]
    return float(numbers) if np.isfinite(numbers) else None


def _at(found: Sensitivities, row: int, place: tuple[int, ...]) -> list[float]:
    """Derivatives of the first two quotes and of the gain, or the value, at a state."""
    last = found.value[(row, *place)] if found.gain is None else found.gain[row]
    return [*found.offset[(row, *place)][:2].tolist(), float(last)]


def _own(found: Sensitivities, place: tuple[int, ...]) -> float:
    solution = found.solution
    return float(solution.value[place] if solution.gain is None else solution.gain)


def _moves(found: Sensitivities, row: int) -> bool:
    return bool(np.any(np.nan_to_num(found.offset[row])) or np.any(np.nan_to_num(found.value[row])))


def _signed(number: float, digits: int = 3) -> str:
    if math.isnan(number):
        return "\N{EN DASH}"
    return f"{number:+.{digits}g}" if number else "0"


def _symbols(found: Sensitivities) -> str:
    return ", ".join(found.solution.symbols)


def _where(found: Sensitivities, place: tuple[int, ...]) -> str:
    solution = found.solution
    axes = place if solution.times is None else place[1:]
    lots = ", ".join(f"{axis[i]:g}" for axis, i in zip(solution.inventories, axes, strict=True))
    when = "" if solution.times is None else f" and t = {solution.times[place[0]]:g} {solution.time_unit}"
    return f"at inventory {lots}{when}"
