"""From a problem file to a table, on one page:

problem.toml ─► Problem ─► Solution ─► PolicyTable ─► file

and from many of them to a folder of tables with a manifest.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from quotegrid.models.faults import Fault
from quotegrid.models.problem import Numerics, Problem, ProblemError, TableRequest
from quotegrid.models.problem_file import ProblemFile, read_problem_file
from quotegrid.parameter_tables import solve_over_parameters
from quotegrid.solver.discretise import inventory_lattices
from quotegrid.solver.many import solve_many
from quotegrid.solver.solution import Solution
from quotegrid.solver.solve import solve
from quotegrid.solver.status import SolveError, Status
from quotegrid.table_files import RUNTIME, read_table, table_format, write_table
from quotegrid.tables.atomic_file import write_atomically
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.table_sensitivity import TableSensitivity

MANIFEST = "manifest.json"


class WarmStartError(ValueError):
    """A table does not live where the solution of a problem does."""


def solve_table(
    problem: Problem,
    *,
    numerics: Numerics | None = None,
    table: TableRequest | None = None,
    progress: Callable[[float], None] | None = None,
) -> PolicyTable:
    """The table of a problem, over parameters if the request asks for some; arguments as for `solve`.

    Raises:
        SolveError: not converged, at a point that the sentence names; or a point that is not certified.
        ProblemError: a method or table that does not fit the problem.
    """
    numerics, table = numerics or Numerics(), table or TableRequest()
    if table.parameters:
        return solve_over_parameters(problem, numerics, table, progress)
    return PolicyTable.from_solution(solve(problem, numerics=numerics, table=table, progress=progress))


def solve_file(
    problem_path: str | Path,
    table_path: str | Path,
    progress: Callable[[float], None] | None = None,
    warm_start: str | Path | None = None,
    with_sensitivities: bool = False,
) -> PolicyTable:
    """Solve the problem in a TOML file and write its table; the suffix chooses between the two formats.

    progress: called with the fraction of the solve that is done, now and then.
    warm_start: the table of a problem with other numbers on the same inventories, to start from its value;
        ergodic and discounted horizons only.
    with_sensitivities: also store how everything moves with the problem's numbers, so that quotes can be
        shifted without solving again.

    Raises:
        UnknownTableFormatError: the table's suffix is neither `.safetensors` nor `.nc`; nothing is solved.
        WarmStartError: the table to start from is one of another horizon or of other inventories.
        ProblemError: the problem file is wrong; the text says where and what to do.
        SolveError: not converged; nothing is written.
        OSError: a file cannot be read or written.
    """
    table_format(table_path)
    file = read_problem_file(Path(problem_path))
    if file.table.parameters:
        _check_alone(problem_path, warm_start, with_sensitivities)
        table = _over_parameters(problem_path, file, progress)
        write_table(table, table_path)
        return table
    start = None if warm_start is None else _value_to_start_from(warm_start, file.problem)
    solution = solve(file.problem, numerics=file.numerics, table=file.table, start=start, progress=progress)
    table = PolicyTable.from_solution(
        solution, _sensitivity(file.problem, solution) if with_sensitivities else None
    )
    write_table(table, table_path)
    return table


def _check_alone(path: str | Path, warm_start: str | Path | None, with_sensitivities: bool) -> None:
    """ProblemError where a table over parameters is asked for what it cannot have."""
    asked = "warm start" if warm_start is not None else "sensitivities" if with_sensitivities else ""
    if asked:
        sentence = f"a table over parameters takes no {asked}; leave one of the two out."
        raise ProblemError([Fault("table.parameters", sentence)], source=str(path))


def _over_parameters(
    path: str | Path, file: ProblemFile, progress: Callable[[float], None] | None
) -> PolicyTable:
    """The table over parameters that a problem file asks for; errors name the file."""
    try:
        return solve_over_parameters(file.problem, file.numerics, file.table, progress)
    except ProblemError as error:
        raise ProblemError(error.faults, source=str(path)) from None


def _sensitivity(problem: Problem, solution: Solution) -> TableSensitivity:
    from quotegrid.analysis.sensitivities import for_table, sensitivities

    return for_table(sensitivities(problem, solution=solution, curvature=True))


def _value_to_start_from(path: str | Path, problem: Problem) -> np.ndarray:
    """The value in a table, if it lives where the problem's solution does."""
    old = read_table(path)
    if old.parameter_axes:
        raise WarmStartError(
            f"{path}: a table over parameters has many values; start from one of a single problem."
        )
    ergodic = old.gain is not None
    horizon = "finite" if old.times is not None else "ergodic" if ergodic else "discounted"
    if problem.horizon.kind == "finite":
        raise WarmStartError(
            f"{path}: a problem with a finite horizon is solved from its end, not by iteration, so no table "
            "can help; leave the warm start out."
        )
    if horizon != problem.horizon.kind:
        raise WarmStartError(
            f"{path}: its horizon is {horizon}, the problem's {problem.horizon.kind}; start from a table of "
            "the same kind, or leave the warm start out."
        )
    ours, theirs = [lattice.lots for lattice in inventory_lattices(problem)], old.inventories
    if len(ours) != len(theirs) or not all(map(np.array_equal, ours, theirs)):
        raise WarmStartError(
            f"{path}: its inventories are {_lots(theirs)}, the problem's {_lots(ours)}; start from a table "
            "of the same ones, or leave the warm start out."
        )
    return old.value


def _lots(axes: Sequence[np.ndarray]) -> str:
    """`-20 … 20 lots (41 points)`, for each asset."""
    return " × ".join(f"{axis[0]:g} … {axis[-1]:g} lots ({axis.size} points)" for axis in axes)


def solve_files(
    problem_paths: Sequence[str | Path], folder: str | Path, progress: Callable[[float], None] | None = None
) -> list[dict[str, Any]]:
    """Solve many problem files: NAME.safetensors for each NAME.toml, and a manifest of all, in one folder.

    A file that is wrong, or a solve that does not converge, gets no table and an entry that says why; the
    others go on. The folder is made if need be.

    Returns:
        The entries of the manifest, in the order of the files: `problem` (path as given), `status`
        ("converged", another status of a solve, or "refused" for a file), `message`, and for what was solved
        `hash` (of the problem), `gain` and `certificate`, and the `table`'s file name where there is one.

    Raises:
        ValueError: two files have one name; nothing is solved.
        OSError: the folder or a table cannot be written.
    """
    paths = [Path(path) for path in problem_paths]
    twice = [stem for stem, count in Counter(path.stem for path in paths).items() if count > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} names occur twice among the problem files, such as {twice[0]!r}, and each would "
            f"write {twice[0]}{RUNTIME}; rename one, or solve them into different folders."
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    entries: dict[Path, dict[str, Any]] = {}
    files = {}
    for path in paths:
        try:
            files[path] = read_problem_file(path)
        except (ProblemError, OSError) as error:
            entries[path] = {"problem": str(path), "status": "refused", "message": str(error)}
    stacks = {path: files.pop(path) for path in list(files) if files[path].table.parameters}
    solutions = solve_many(
        [file.problem for file in files.values()],
        numerics=[file.numerics for file in files.values()],
        table=[file.table for file in files.values()],
        progress=progress,
    )
    for path, solution in zip(files, solutions, strict=True):
        entries[path] = _entry(path, solution)
        if solution.status is Status.CONVERGED:
            entries[path]["table"] = f"{path.stem}{RUNTIME}"
            write_table(PolicyTable.from_solution(solution), folder / f"{path.stem}{RUNTIME}")
    for path, file in stacks.items():
        entries[path] = _stack_entry(path, file, folder)
    listed = [entries[path] for path in paths]
    text = json.dumps({"tables": listed}, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(folder / MANIFEST, [text.encode()])
    return listed


def _entry(path: Path, solution: Solution) -> dict[str, Any]:
    return {
        "problem": str(path),
        "status": str(solution.status),
        "message": " ".join([solution.status.sentence, *solution.notes]),
        "hash": solution.problem_hash,
        "gain": None if solution.gain is None or not np.isfinite(solution.gain) else solution.gain,
        "certificate": solution.certificate,
    }


def _stack_entry(path: Path, file: ProblemFile, folder: Path) -> dict[str, Any]:
    """The entry of a file that asks for a table over parameters, which is written if there is one."""
    try:
        table = _over_parameters(path, file, None)
    except ProblemError as error:
        return {"problem": str(path), "status": "refused", "message": str(error)}
    except SolveError as error:
        status = error.solution.status
        said = "refused" if status is Status.CONVERGED else str(status)  # converged, but not certified
        return _entry(path, error.solution) | {"status": said, "message": str(error)}
    write_table(table, folder / f"{path.stem}{RUNTIME}")
    return {
        "problem": str(path),
        "status": table.status,
        "message": " ".join([table.status_message, *table.notes]),
        "hash": table.problem_hash,
        "gain": None,
        "certificate": table.certificate,
        "table": f"{path.stem}{RUNTIME}",
    }
