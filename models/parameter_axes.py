"""Numbers of a problem as axes of a table: `[table] parameters`, and the problems at all their points.

    parameters = { "price.volatility" = [0.2, 0.3, 0.4], "flow.book.intensity.A" = [1.0, 2.0] }

is the product of the lists, here 3 × 2 points; the first path is the slowest. A path must lead to a number
that the solution may depend on, and not to one that makes the axes of the table: those are the same at all
points. Midpoints lie half-way between neighbours: there linear lookup between the points is measured.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise, product

import jax

from quotegrid.models.contract import Block
from quotegrid.models.faults import Fault, ProblemError, seen
from quotegrid.models.paths import Place, places, replace, value_at, with_sides_apart
from quotegrid.models.problem import Problem
from quotegrid.models.problem_tree import ABOUT

MOST_SOLVES = 10_000  # points and midpoints of one table
_OF_AXES = (("horizon", "duration"), ("market", "lot_size"))  # ends of places


def parameter_faults(problem: Problem, parameters: Mapping[str, Sequence[float]]) -> Iterator[Fault]:
    """What is wrong with the paths of a table's parameters; paths relative to the table's request."""
    taken: dict[Place, str] = {}
    apart = problem
    for path in parameters:
        try:
            apart = with_sides_apart(apart, path)
        except ProblemError as error:
            yield from (fault.below("parameters") for fault in error.faults)
            return
    for path in parameters:
        try:
            found = places(apart, path)
        except ProblemError as error:
            yield from (fault.below("parameters") for fault in error.faults)
            continue
        sentence = next(filter(None, (_refusal(apart, place) for place in found)), "")
        other = next((taken[place] for place in found if place in taken), None)
        if other is not None:
            sentence = f"sets the same number as {other!r}; leave one of them out."
        if sentence:
            yield Fault(f"parameters.{path}", sentence)
        taken.update(dict.fromkeys(found, path))
    solves = math.prod(2 * len(values) - 1 for values in parameters.values())
    if solves > MOST_SOLVES:
        yield Fault(
            "parameters",
            f"their points and the midpoints between them are {solves:,} problems, at most {MOST_SOLVES:,} "
            "are solved for one table; shorten the lists.",
        )


def with_midpoints(nodes: Sequence[float]) -> tuple[float, ...]:
    """The nodes of an axis and the middles between neighbours, in order: every second one is a node."""
    middles = [0.5 * low + 0.5 * high for low, high in pairwise(nodes)]
    return (nodes[0], *chain.from_iterable(zip(middles, nodes[1:], strict=True)))


def points_of(axes: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """All combinations of the numbers of some axes, the last one running fastest."""
    return [dict(zip(axes, numbers, strict=True)) for numbers in product(*axes.values())]


def problem_at(problem: Problem, point: Mapping[str, float]) -> Problem:
    """The problem with the numbers of a point.

    Raises:
        ProblemError: they make no valid problem.
    """
    try:
        return replace(problem, point)
    except ProblemError as error:
        where = ", ".join(f"{path} = {number:.6g}" for path, number in point.items())
        raise ProblemError(
            Fault("table.parameters", f"at {where} there is no valid problem: {fault}")
            for fault in error.faults
        ) from None


def _refusal(problem: Problem, place: Place) -> str:
    """Why a value is no axis of a table; empty where it may be one."""
    value = value_at(problem, place)
    if place[0] in ABOUT:
        return f"'{place[0]}' is only about the problem, quotes do not depend on it; leave it out."
    if value is None:
        return "this key is not set in this problem; give it a number first."
    if isinstance(value, bool | int):
        return (
            f"expected a number that may vary, got {seen(value)}: whole numbers, such as lots, make the axes "
            "and flows of a table, which are the same at all points; leave it out."
        )
    if not isinstance(value, float | jax.Array):
        what = "a block of keys" if isinstance(value, Block) else seen(value)
        return f"expected a path to a number, got {what}; name a number."
    if place[-2:] in _OF_AXES:
        return (
            f"'{place[-2]}.{place[-1]}' makes the axes of a table, which are the same at all points; "
            "leave it out."
        )
    return ""
