"""A table over parameters: the problem at all points of `[table] parameters`, solved together and stacked.

Points and midpoints go through one `solve_many`, so their structure is compiled once. A finite horizon is
first solved at the middle of the axes, to place the times that all points then share. These suit the other
points less well, so every point is solved at three moments between any two of them too, where linear lookup
in time is compared with the solution itself.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from quotegrid.models.parameter_axes import parameter_faults, points_of, problem_at, with_midpoints
from quotegrid.models.problem import (
    Numerics,
    Problem,
    ProblemError,
    TableRequest,
    canonical_json,
    problem_hash,
)
from quotegrid.solver.many import solve_many
from quotegrid.solver.solution import Solution
from quotegrid.solver.solve import solve
from quotegrid.solver.status import SolveError, Status
from quotegrid.solver.time_nodes import with_checks
from quotegrid.tables.parameter_stack import point_name, stack
from quotegrid.tables.policy_table import NamedAxis, PolicyTable, canonical_numbers


def solve_over_parameters(
    problem: Problem, numerics: Numerics, table: TableRequest, progress: Callable[[float], None] | None
) -> PolicyTable:
    """The table of a problem over the parameters that the request names.

    Raises:
        ProblemError: a path or number that cannot be used; nothing is solved.
        SolveError: a point that did not converge or is not certified; the sentence names it.
    """
    parameters = table.parameters or {}
    faults = [
        fault.below("table")
        for fault in (*table.misfits(problem.horizon), *parameter_faults(problem, parameters))
    ]
    if faults:
        raise ProblemError(faults)
    points = points_of({path: with_midpoints(nodes) for path, nodes in parameters.items()})
    problems = [problem_at(problem, point) for point in points]
    request = table.model_copy(update={"parameters": None})
    times = None
    if problem.horizon.kind == "finite":
        times = table.times
        if not isinstance(times, tuple):
            middle = {path: nodes[len(nodes) // 2] for path, nodes in parameters.items()}
            found = solve(problem_at(problem, middle), numerics=numerics, table=request, throw=False)
            _check_solved(found, middle)
            times = found.times
        times = np.asarray(times)
        request = TableRequest(times=tuple(np.unique(with_checks(times)).tolist()))
    solutions = solve_many(problems, numerics=numerics, table=request, progress=progress)
    for point, solution in zip(points, solutions, strict=True):
        _check_solved(solution, point)
    if times is not None:
        solutions = [_at_times(solution, times) for solution in solutions]
    axes = [NamedAxis(path, canonical_numbers(np.array(nodes))) for path, nodes in parameters.items()]
    return stack(canonical_json(problem), problem_hash(problem), axes, solutions)


def _check_solved(solution: Solution, point: dict[str, float]) -> None:
    where, wanted = f"at {point_name(point)}", "a table over parameters needs all its points"
    if solution.status is not Status.CONVERGED:
        said = " ".join([solution.status.sentence, *solution.notes])
        raise SolveError(f"{where}: {solution.status}: {said} ({wanted} and midpoints)", solution)
    if solution.certificate["level"] == "none":
        said = f"no certificate: {solution.certificate['reason']}"
        raise SolveError(f"{where}: {said} ({wanted} and midpoints certified)", solution)


def _at_times(solution: Solution, times: np.ndarray) -> Solution:
    """The solution at some of its times, with the error of linear lookup at all others."""
    assert solution.times is not None
    kept = np.searchsorted(solution.times, times)
    low = np.minimum(np.searchsorted(times, solution.times, side="right") - 1, len(times) - 2)
    weight = (solution.times - times[low]) / (times[low + 1] - times[low])

    def error(numbers: np.ndarray) -> float:
        share = weight.reshape((-1,) + (1,) * (numbers.ndim - 1))
        looked_up = (1.0 - share) * numbers[kept][low] + share * numbers[kept][low + 1]
        return float(np.max(np.nan_to_num(np.abs(looked_up - numbers), nan=0.0), initial=0.0))

    bounds = solution.offset_error
    return replace(
        solution,
        times=times,
        value=solution.value[kept],
        offset=solution.offset[kept],
        offset_error=None if bounds is None else bounds[kept],
        lookup_error={"offset": error(solution.offset), "value": error(solution.value)},
    )
