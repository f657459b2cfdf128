"""Tables over parameters: the solutions of one problem at several values of its numbers, in one table.

    points      all combinations of the nodes of the parameter axes, row-major
    midpoints   half-way between neighbours on at least one axis; solved only to measure linear lookup

What is certified holds at the points. The certificate of the stack states the worst of them and keeps in
`points` what each one says of itself, in their order, so that each is an ordinary table again (`points`):

    problem_hash, gain, residual, lookup_error,
    value_error, gain_interval, quote_error, uncertain_ticks, regret

`lookup_error` of the stack is the largest of its points, between their times, and on top the largest
difference at a midpoint between the solution and linear lookup. A stack has no single gain.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import NamedAxis, PolicyTable, canonical_numbers
from quotegrid.tables.problem_changes import with_numbers
from quotegrid.tables.solution_protocol import Numbers, SolutionProtocol

_CLAIMS = ("value_error", "gain_interval", "quote_error", "uncertain_ticks", "regret")
_OWN = ("problem_hash", "gain", "residual", "lookup_error")


class StackError(ValueError):
    """The certificate of a table over parameters does not say what holds at each point."""


class TablePoint(NamedTuple):
    """One point of a table over parameters."""

    numbers: dict[str, float]  # path → number of the problem
    table: PolicyTable  # an ordinary one


def stack(
    problem_json: str,
    problem_hash: str,
    axes: Sequence[NamedAxis],
    solutions: Sequence[SolutionProtocol],
) -> PolicyTable:
    """The table over some parameters of a problem, all points converged and certified.

    Args:
        problem_json, problem_hash: of the problem whose numbers vary.
        axes: the paths with their nodes, two or more each.
        solutions: at all points and midpoints, row-major; every second place on each axis is a node.

    Raises:
        ValueError: the solutions do not have the same times, inventories and flows.
    """
    fine = tuple(2 * len(axis.nodes) - 1 for axis in axes)
    nodes = [
        PolicyTable.from_solution(solutions[int(np.ravel_multi_index([2 * i for i in place], fine))])
        for place in product(*(range(len(axis.nodes)) for axis in axes))
    ]
    first = nodes[0]
    if not all(_same_frame(first, each) for each in (*nodes, *solutions)):
        raise ValueError("tables over parameters need the same times, inventories and flows at all points")
    coarse = tuple(len(axis.nodes) for axis in axes)
    value, offset, hedge_rate, market_order = (
        None if getattr(first, name) is None else _stacked([getattr(each, name) for each in nodes], coarse)
        for name in ("value", "offset", "hedge_rate", "market_order")
    )
    assert value is not None and offset is not None
    between = _lookup_error(solutions, fine, offset=offset, value=value)
    at_points = [each.lookup_error or {"offset": 0.0, "value": 0.0} for each in nodes]
    place = 0 if first.times is None else 1
    return replace(
        first,
        problem_json=problem_json,
        problem_hash=problem_hash,
        parameter_axes=tuple(NamedAxis(axis.name, canonical_numbers(axis.nodes)) for axis in axes),
        value=_behind(value, len(axes), place),
        offset=_behind(offset, len(axes), place),
        hedge_rate=None if hedge_rate is None else _behind(hedge_rate, len(axes), place),
        market_order=None if market_order is None else _behind(market_order, len(axes), place),
        gain=None,
        method=_all_of([each.method for each in nodes]),
        method_reason=_all_of([each.method_reason for each in nodes]),
        residual=max(each.residual for each in nodes),
        iterations=sum(each.iterations for each in nodes),
        certificate=_certificate(nodes),
        lookup_error={
            name: max(error[name] for error in at_points) + between[name] for name in ("offset", "value")
        },
        notes=(*_notes(nodes, axes), *_notes_between(between, len(solutions) - len(nodes), nodes)),
    )


def points(table: PolicyTable) -> Iterator[TablePoint]:
    """The ordinary tables that a table over parameters holds, with what it says of each.

    Raises:
        StackError: the certificate does not say what holds at each point.
        NoSuchNumberError: a path leads to no number of the problem.
    """
    claims = _claims_of_points(table)
    places = product(*(range(len(axis.nodes)) for axis in table.parameter_axes))
    for place, claim in zip(places, claims, strict=True):
        numbers, found = numbers_at(table, place), slice_at(table, place)
        own = {name: claim[name] for name in _OWN}
        certificate = {name: table.certificate.get(name, "") for name in ("level", "statement")}
        certificate |= {name: claim[name] for name in _CLAIMS}
        try:
            yield TablePoint(numbers, replace(found, **own, certificate=certificate))
        except (TypeError, ValueError) as error:
            raise StackError(f"at {point_name(numbers)}: {error}") from None


def slice_at(table: PolicyTable, place: Sequence[int]) -> PolicyTable:
    """The numbers of a table over parameters at one point, and the problem there; `place` counts nodes.

    What it says of itself is still that of the whole table, and there is no gain.

    Raises:
        NoSuchNumberError: a path leads to no number of the problem.
    """
    first = (table.times is not None) + bool(table.regimes) + len(table.factors)
    here = (*(slice(None),) * first, *place)
    numbers, box = numbers_at(table, place), table.box
    if box is not None:  # a row for each axis but the regimes
        before = first - bool(table.regimes)
        box = canonical_numbers(np.delete(box, range(before, before + len(place)), axis=0))
    return replace(
        table,
        problem_json=with_numbers(table.problem_json, numbers),
        parameter_axes=(),
        box=box,
        sensitivity=None,
        **{
            name: None if getattr(table, name) is None else canonical_numbers(getattr(table, name)[here])
            for name in ("value", "offset", "hedge_rate", "market_order")
        },
    )


def middle_point(table: PolicyTable) -> TablePoint:
    """The point in the middle of all parameter axes (`slice_at`); a table without such axes as it is."""
    if not table.parameter_axes:
        return TablePoint({}, table)
    place = tuple(len(axis.nodes) // 2 for axis in table.parameter_axes)
    return TablePoint(numbers_at(table, place), slice_at(table, place))


def numbers_at(table: PolicyTable, place: Sequence[int]) -> dict[str, float]:
    """Path → number at a point."""
    return {axis.name: float(axis.nodes[i]) for axis, i in zip(table.parameter_axes, place, strict=True)}


def point_name(numbers: Mapping[str, float]) -> str:
    """`price.volatility = 0.3, flow.book.intensity.A = 1.2`."""
    return ", ".join(f"{path} = {number:.6g}" for path, number in numbers.items())


def _claims_of_points(table: PolicyTable) -> list[dict[str, Any]]:
    """What the certificate says of each point, its fields there but not yet checked."""
    count = int(np.prod([len(axis.nodes) for axis in table.parameter_axes]))
    claims = table.certificate.get("points")
    wanted = {*_OWN, *_CLAIMS}
    if not isinstance(claims, list) or len(claims) != count:
        seen = f"{len(claims)} of" if isinstance(claims, list) else "none of"
        raise StackError(f"the certificate says what holds at {seen} the {count} points")
    for claim in claims:
        if not isinstance(claim, dict) or claim.keys() != wanted:
            raise StackError(f"what the certificate says of a point is not {', '.join(sorted(wanted))}")
        gain = claim["gain"]
        if gain is not None and type(gain) is not float:
            raise StackError(f"the certificate's gain of a point is {gain!r}, not a number")
    return claims


def _certificate(nodes: Sequence[PolicyTable]) -> dict[str, Any]:
    """The worst of the points, and what each one says of itself."""
    claims = [each.certificate for each in nodes]
    level = max(str(claim["level"]) for claim in claims)  # A before B before C
    statements = list(dict.fromkeys(str(claim["statement"]) for claim in claims))
    return {
        "level": level,
        "statement": f"Holds at each of the {len(nodes)} points of the parameter axes, not between them: "
        + " ".join(statements),
        **{name: max(claim[name] for claim in claims) for name in ("value_error", "quote_error", "regret")},
        "uncertain_ticks": sum(claim["uncertain_ticks"] for claim in claims),
        "gain_interval": None,
        "points": [
            {
                **{name: getattr(each, name) for name in _OWN},
                **{name: claim[name] for name in _CLAIMS},
            }
            for each, claim in zip(nodes, claims, strict=True)
        ],
    }


def _lookup_error(
    solutions: Sequence[SolutionProtocol], fine: tuple[int, ...], *, offset: Numbers, value: Numbers
) -> dict[str, float]:
    """The largest difference at a midpoint; `on_off` counts quotes that only one of the two makes."""
    found = {}
    for name, coarse in (("offset", offset), ("value", value)):
        looked_up = coarse
        for axis in range(len(fine)):
            looked_up = _with_middles(looked_up, axis)
        difference = np.abs(looked_up - _stacked([getattr(each, name) for each in solutions], fine))
        found[name] = float(np.max(np.nan_to_num(difference, nan=0.0), initial=0.0))
        if name == "offset":
            solved = _stacked([each.offset for each in solutions], fine)
            found["on_off"] = float(np.sum(np.isnan(looked_up) != np.isnan(solved)))
    return found


def _with_middles(array: Numbers, axis: int) -> Numbers:
    """Linear lookup at the nodes of an axis and half-way between neighbours."""
    nodes = np.moveaxis(array, axis, 0)
    fine = np.empty((2 * len(nodes) - 1, *nodes.shape[1:]))
    fine[::2], fine[1::2] = nodes, 0.5 * nodes[:-1] + 0.5 * nodes[1:]
    return np.moveaxis(fine, 0, axis)


def _stacked(arrays: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> Numbers:
    return np.stack([np.asarray(array, np.float64) for array in arrays]).reshape(*shape, *arrays[0].shape)


def _behind(array: Numbers, count: int, place: int) -> Numbers:
    """The first `count` axes moved behind the next `place` ones: parameters stand after the time."""
    return canonical_numbers(np.moveaxis(array, range(count), range(place, place + count)))


def _same_frame(one: PolicyTable, other: PolicyTable | SolutionProtocol) -> bool:
    times = [None if each.times is None else np.asarray(each.times).tolist() for each in (one, other)]
    lots = [[np.asarray(axis).tolist() for axis in each.inventories] for each in (one, other)]
    flows = [[(f.name, f.side, f.size, f.asset) for f in each.flows] for each in (one, other)]
    return all(first == second for first, second in (times, lots, flows))


def _all_of(words: Sequence[str]) -> str:
    """The one word of all points, or all words that occur."""
    return ", ".join(dict.fromkeys(words))


def _notes(nodes: Sequence[PolicyTable], axes: Sequence[NamedAxis]) -> Iterator[str]:
    """Notes of the points: those of all as they are, the others with the first point that has them."""
    places = product(*(axis.nodes.tolist() for axis in axes))
    first: dict[str, str] = {}
    for numbers, each in zip(places, nodes, strict=True):
        where = point_name(dict(zip((axis.name for axis in axes), numbers, strict=True)))
        for note in each.notes:
            first.setdefault(note, where)
    for note, where in first.items():
        everywhere = all(note in each.notes for each in nodes)
        yield note if everywhere else f"At {where}: {note}"


def _notes_between(
    between: Mapping[str, float], midpoints: int, nodes: Sequence[PolicyTable]
) -> Iterator[str]:
    first, gains_there = nodes[0], [each.gain for each in nodes if each.gain is not None]
    worth = money_unit(first.price_unit)
    yield (
        f"Between the points of the parameter axes linear lookup errs by up to {between['offset']:.2g} "
        f"{first.price_unit} in quotes and {between['value']:.2g} {worth} in value, measured at {midpoints} "
        "midpoints; nothing is proved there."
    )
    if between["on_off"]:
        yield (
            f"At {between['on_off']:.0f} states of the midpoints a quote is on in the solution and off in "
            "the lookup, or the other way round: a flow is looked up as off where it is off at a neighbour."
        )
    if gains_there:
        yield (
            f"Over the points the gain is from {min(gains_there):.6g} to {max(gains_there):.6g} {worth} per "
            f"{first.time_unit} (certificate.points has each); the value is up to a constant, 0 at the "
            "target inventory."
        )
