"""A table over parameters: the problem at all points of `[table] parameters`, solved together and stacked.

Points and midpoints go through one `solve_many`, so their structure is compiled once. A finite horizon is
first solved at the middle of the axes, to place the times that all points then share.
"""

from collections.abc import Callable

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
    if problem.horizon.kind == "finite" and not isinstance(table.times, tuple):
        middle = {path: nodes[len(nodes) // 2] for path, nodes in parameters.items()}
        found = solve(problem_at(problem, middle), numerics=numerics, table=request, throw=False)
        _check_solved(found, middle)
        assert found.times is not None
        request = TableRequest(times=tuple(found.times.tolist()))
    solutions = solve_many(problems, numerics=numerics, table=request, progress=progress)
    for point, solution in zip(points, solutions, strict=True):
        _check_solved(solution, point)
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
