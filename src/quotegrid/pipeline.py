"""From a problem file to a table, on one page:

problem.toml ─► Problem ─► Solution ─► PolicyTable ─► file
"""

from collections.abc import Callable
from pathlib import Path

from quotegrid.models.problem_file import read_problem_file
from quotegrid.solver.solve import solve
from quotegrid.table_files import table_format, write_table
from quotegrid.tables.policy_table import PolicyTable


def solve_file(
    problem_path: str | Path, table_path: str | Path, progress: Callable[[float], None] | None = None
) -> PolicyTable:
    """Solve the problem in a TOML file and write its table; the suffix chooses between the two formats.

    progress: called with the fraction of the solve that is done, now and then.

    Raises:
        UnknownTableFormatError: the table's suffix is neither `.safetensors` nor `.nc`; nothing is solved.
        ProblemError: the problem file is wrong; the text says where and what to do.
        SolveError: not converged; nothing is written.
        OSError: a file cannot be read or written.
    """
    table_format(table_path)
    file = read_problem_file(Path(problem_path))
    solution = solve(file.problem, numerics=file.numerics, table=file.table, progress=progress)
    table = PolicyTable.from_solution(solution)
    write_table(table, table_path)
    return table
