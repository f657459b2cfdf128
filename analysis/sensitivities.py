"""Sensitivities: how every quote, value and gain moves with every number of a problem.

    ∂δ/∂x,  ∂θ/∂x,  ∂g/∂x        in the unit of the quantity per unit of x, exact
    x ∂δ/∂x                      per relative change: a hundredth of it is what +1 % does
    (x/δ) ∂δ/∂x                  the elasticity

by implicit differentiation of the stationary equation, or tangent equations for a finite horizon
(`quotegrid.solver.derivatives`); no differences of solutions are taken. Paths name parameters as everywhere
(`price.volatility`, `flow.book/bid.intensity.k`); a path without a side moves all flows of the name together,
so its derivative is the sum of theirs.

A quote that a tick or a bound holds does not move, unless the bound or the tick itself does: its derivative
is 0, and `held` says so. At a kink, where two ways to move meet, derivatives are one-sided, and `kinked` says
so. With a finite horizon, derivatives are at fixed calendar times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float

from quotegrid.models.contract import Block
from quotegrid.models.dimensions import dimension_of
from quotegrid.models.faults import Fault, ProblemError, nearest
from quotegrid.models.paths import Place, places, scalar_places, value_at, with_sides_apart, with_value
from quotegrid.models.problem import Numerics, Problem, TableRequest
from quotegrid.solver.derivatives import Derivatives, finite_derivatives, stationary_derivatives
from quotegrid.solver.solution import Solution
from quotegrid.solver.solve import parameters as leaves_of
from quotegrid.solver.solve import solve
from quotegrid.tables.money import money_unit
from quotegrid.tables.offset_bounds import offset_bounds
from quotegrid.tables.policy_table import canonical_numbers
from quotegrid.tables.table_sensitivity import FREE, HELD, KINKED, TableSensitivity

_NEAR_ZERO = 1e-6  # a number that is 0 is tried with this, to see whether the problem lets it move


@dataclass(frozen=True, kw_only=True)
class Sensitivities:
    """Derivatives by each parameter; arrays have a first axis of parameters, then those of the solution."""

    solution: Solution
    parameters: tuple[str, ...]  # paths
    values: Float[np.ndarray, " parameter"]  # as they are; NaN where the flows of a path differ
    units: tuple[str, ...]  # of the parameters
    value: Float[np.ndarray, "parameter *time_and_state"]  # currency per unit of the parameter
    offset: Float[np.ndarray, "parameter *time_and_state flow"]  # price per unit; NaN where a flow is off
    gain: Float[np.ndarray, " parameter"] | None  # currency per time and unit; ergodic only
    held: Bool[np.ndarray, "*time_and_state flow"]  # on a tick or a bound
    kinked: Bool[np.ndarray, "*time_and_state flow"]  # at a kink: derivatives are one-sided
    # second derivatives along each parameter, where asked for
    value_curvature: Float[np.ndarray, "parameter *time_and_state"] | None = None
    offset_curvature: Float[np.ndarray, "parameter *time_and_state flow"] | None = None
    gain_curvature: Float[np.ndarray, " parameter"] | None = None

    def __repr__(self) -> str:
        return f"<Sensitivities by {len(self.parameters)} parameters, of\n {self.solution!r}>"

    def place(self, parameter: str) -> int:
        """The position of a path among `parameters`; ProblemError that names the nearest if it is none."""
        if parameter not in self.parameters:
            raise _not_there(parameter, self.parameters)
        return self.parameters.index(parameter)

    def relative(self, quantity: np.ndarray) -> np.ndarray:
        """x ∂/∂x of `value`, `offset` or `gain`: what a relative change of each parameter does, in the unit
        of the quantity. NaN where the flows of a path differ.
        """
        return self.values.reshape((-1,) + (1,) * (quantity.ndim - 1)) * quantity

    def elasticity_of_offset(self) -> Float[np.ndarray, "parameter *time_and_state flow"]:
        """(x/δ) ∂δ/∂x; NaN where a flow is off, infinite where an offset is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.relative(self.offset) / self.solution.offset

    def elasticity_of_gain(self) -> Float[np.ndarray, " parameter"] | None:
        """(x/g) ∂g/∂x; None unless the horizon is ergodic."""
        if self.gain is None or self.solution.gain is None:
            return None
        return self.relative(self.gain) / self.solution.gain


@dataclass(frozen=True)
class Moves:
    """What a relative change does, x ∂/∂x, a row each; the numbers of a list move in one proportion."""

    names: tuple[str, ...]  # paths of numbers and of lists, without those that are 0
    now: tuple[str, ...]  # the number with its unit, or how many there are in the list
    value: Float[np.ndarray, "row *time_and_state"]  # currency
    offset: Float[np.ndarray, "row *time_and_state flow"]  # price; NaN where a flow is off
    gain: Float[np.ndarray, " row"] | None  # currency per time

    def strongest_first(self, *at: int) -> list[int]:
        """Rows that move something, those first that move the quotes most, at some place of the first axes of
        the solution or, without one, on the average.
        """
        moves = np.nan_to_num(self.offset[(slice(None), *at)]).reshape(len(self.names), -1)
        size = np.sqrt(np.mean(moves**2, axis=1)) if moves.shape[1] else np.zeros(len(moves))
        moving = np.any(np.nan_to_num(self.value).reshape(len(self.names), -1), axis=1) | (size > 0.0)
        return [int(row) for row in np.argsort(-size, kind="stable") if moving[row]]


def moves_of(found: Sensitivities) -> Moves:
    """The relative moves of all parameters that are not 0, lists taken together."""
    groups: dict[str, list[int]] = {}
    for row, path in enumerate(found.parameters):
        head, _, last = path.rpartition(".")
        if np.isfinite(found.values[row]) and found.values[row] != 0.0:
            groups.setdefault(head if last.isdecimal() else path, []).append(row)

    def summed(quantity: np.ndarray) -> np.ndarray:
        each = found.relative(quantity)
        return np.stack([each[rows].sum(axis=0) for rows in groups.values()] or [each[:0].sum(axis=0)])

    now = tuple(
        f"{found.values[rows[0]]:.4g} {found.units[rows[0]]}".removesuffix(" 1")
        if path in found.parameters
        else f"{len(rows)} numbers"
        for path, rows in groups.items()
    )
    gain = None if found.gain is None else summed(found.gain)
    return Moves(tuple(groups), now, summed(found.value), summed(found.offset), gain)


def sensitivities(
    problem: Problem,
    *,
    parameters: Sequence[str] | None = None,
    numerics: Numerics | None = None,
    table: TableRequest | None = None,
    solution: Solution | None = None,
    curvature: bool = False,
) -> Sensitivities:
    """Derivatives of every offset, value and gain with respect to every number of a problem, or to some.

    Args:
        problem: what is controlled; concrete numbers.
        parameters: paths; unless given, all numbers that the problem lets move one by one.
        numerics, table: as for `solve`.
        solution: the problem's own, if it has been solved already.
        curvature: also the second derivatives along each parameter.

    Raises:
        ProblemError: a path that does not exist or is no number, with the nearest names.
        SolveError: the problem's solve does not converge.
        MarchError: the tangents of a finite horizon could not be marched to its end.
    """
    numbers = scalar_places(problem)
    chosen = _movable(problem, numbers) if parameters is None else tuple(dict.fromkeys(parameters))
    apart = _with_sides_apart(problem, chosen)
    moved, weights = _weights(apart, numbers if apart is problem else scalar_places(apart), chosen)
    if parameters is not None:
        _check_movable(apart, chosen, moved)
    used = np.flatnonzero(weights.any(axis=0))
    solved = solve(problem, numerics=numerics, table=table) if solution is None else solution
    with jax.enable_x64(True):
        leaves = leaves_of(apart)
        if solved.times is None:
            found = stationary_derivatives(leaves, used, solved.value, second=curvature)
        else:
            found = finite_derivatives(leaves, used, solved.times, second=curvature)
    return _of_paths(apart, chosen, moved, weights[:, used], solved, found)


def movable_parameters(problem: Problem) -> tuple[str, ...]:
    """The numbers of a problem that can move by themselves, in the order of the file.

    Not among them: a number that is 0 because another one is missing, such as a fee on the price where the
    price is not given.
    """
    return _movable(problem, scalar_places(problem))


def _movable(problem: Problem, numbers: dict[str, Place]) -> tuple[str, ...]:
    return tuple(path for path, place in numbers.items() if next(_held_at_zero(problem, place), None) is None)


def _check_movable(problem: Problem, paths: Sequence[str], moved: Sequence[tuple[Place, ...]]) -> None:
    """ProblemError for a path to a number that cannot move by itself."""
    for path, own in zip(paths, moved, strict=True):
        for place in own:
            for fault in _held_at_zero(problem, place):
                raise ProblemError([Fault(path, fault.sentence)])


def _held_at_zero(problem: Problem, place: Place) -> Iterator[Fault]:
    """Why a number that is 0 cannot be anything else, as the blocks around it say."""
    if value_at(problem, place) != 0.0:
        return
    moved: Any = with_value(problem, place, _NEAR_ZERO)
    for step in place[:-1]:
        moved = value_at(moved, (step,))
        if isinstance(moved, Block):
            yield from moved.contradictions()


def _with_sides_apart(problem: Problem, paths: Sequence[str]) -> Problem:
    """The same problem with blocks for both sides split in two where a path names one side."""
    for path in paths:
        if any(path.startswith(f"{flow}/") for flow in _flows_of_both_sides(problem)):
            problem = with_sides_apart(problem, path)
    return problem


def _flows_of_both_sides(problem: Problem) -> Iterator[str]:
    for index, asset in enumerate(problem.assets):
        for flow in asset.flow:
            if flow.side == "both":
                yield f"flow.{flow.name}"
                yield f"{problem.asset_path(index)}.flow.{flow.name}"


def _weights(
    problem: Problem, found: dict[str, Place], paths: Sequence[str]
) -> tuple[list[tuple[Place, ...]], Float[np.ndarray, "path number"]]:
    """The places that each path moves, and 1 where it moves one of the problem's numbers (`found`).

    Raises:
        ProblemError: a path that moves none.
    """
    numbers = {place: position for position, place in enumerate(found.values())}
    moved, weights = [], np.zeros((len(paths), len(numbers)))
    for row, path in enumerate(paths):
        own = (found[path],) if path in found else places(problem, path)
        for place in own:
            if place not in numbers:
                raise ProblemError([Fault(path, _no_number(value_at(problem, place)))])
            weights[row, numbers[place]] = 1.0
        moved.append(own)
    return moved, weights


def _no_number(value: Any) -> str:
    if value is None:
        return "this key is not set in this problem, so nothing can be said of how it moves the quotes."
    if isinstance(value, Block | tuple):
        return "this is a block of several numbers; name one of them."
    return f"{value!r} is a count or a word: part of the structure, which has no derivative."


def _not_there(parameter: str, known: Sequence[str]) -> ProblemError:
    sentence = f"no sensitivity to it is known here{nearest(parameter, known)}."
    return ProblemError([Fault(parameter, sentence)])


def _of_paths(
    problem: Problem,
    paths: tuple[str, ...],
    moved: list[tuple[Place, ...]],
    weights: Float[np.ndarray, "path number"],
    solution: Solution,
    found: Derivatives,
) -> Sensitivities:
    def summed(derivative: np.ndarray | None) -> np.ndarray | None:
        return None if derivative is None else np.tensordot(weights, derivative, axes=1) + 0.0

    off = np.isnan(solution.offset)
    shown: dict[str, Any] = {name: summed(getattr(found, name)) for name in ("value", "offset", "gain")}
    shown |= {f"{name}_curvature": summed(getattr(found, f"{name}_second")) for name in shown}
    for name in ("offset", "offset_curvature"):
        if shown[name] is not None:
            shown[name][:, off] = np.nan
    values = [{float(value_at(problem, place)) for place in own} for own in moved]
    dimensions = [dimension_of(problem, own[0]) for own in moved]
    # as the rate of a flow that never fills begins to differ from 0, quotes come from nowhere
    unborn = [
        own == {0.0} and dimension.time == -1.0 and ".intensity." in path
        for path, own, dimension in zip(paths, values, dimensions, strict=True)
    ]
    for array in shown.values():
        if array is not None:
            array[unborn] = np.nan
    units = {"price": solution.price_unit, "time": solution.time_unit}
    units["currency"] = money_unit(solution.price_unit)
    return Sensitivities(
        solution=solution,
        parameters=paths,
        values=np.array([own.pop() if len(own) == 1 else np.nan for own in values]),
        units=tuple(dimension.in_words(**units) for dimension in dimensions),
        held=found.held & ~off,
        kinked=found.kinked & ~off,
        **shown,
    )


def for_table(found: Sensitivities) -> TableSensitivity:
    """What a table keeps of sensitivities with curvature: parameters that have one value and derivatives.

    Raises:
        ValueError: the curvature was not asked for.
    """
    if found.value_curvature is None or found.offset_curvature is None:
        raise ValueError("a table keeps second derivatives too: ask for sensitivities(…, curvature=True).")
    states = (found.value, found.value_curvature)
    kept = np.isfinite(found.values)
    for array in states:
        kept &= np.isfinite(array).all(axis=tuple(range(1, array.ndim)))

    def of_kept(array: np.ndarray | None) -> Any:
        return None if array is None else canonical_numbers(array[kept])

    hold = np.where(found.kinked, KINKED, np.where(found.held, HELD, FREE)).astype(np.int64)
    hold.flags.writeable = False
    parameters = tuple(np.array(found.parameters, dtype=object)[kept].tolist())
    bounds, bound_parameters = offset_bounds(found.solution.problem_json, parameters)
    return TableSensitivity(
        parameters=parameters,
        numbers=canonical_numbers(found.values[kept]),
        value=of_kept(found.value),
        offset=of_kept(found.offset),
        gain=of_kept(found.gain),
        value_curvature=of_kept(found.value_curvature),
        offset_curvature=of_kept(found.offset_curvature),
        gain_curvature=of_kept(found.gain_curvature),
        hold=hold,
        bounds=bounds,
        bound_parameters=bound_parameters,
    )
