"""The commands that study: `evaluate`, `audit`, `choose`, `sensitivities`, `uncertainty`.

Each computes with JAX under a progress bar, then prints a screen or one JSON object.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from quotegrid.command_arguments import (
    DONE,
    AsJson,
    PictureOutput,
    ProblemPath,
    TableFile,
    file_to_write,
    numerals,
    print_json,
    progress_bar,
    say_written,
)
from quotegrid.complaints import AnswerIsNo


def evaluate(
    table: TableFile,
    problem: ProblemPath,
    start: Annotated[str | None, typer.Option(help="Inventory at the start, lots; 3,-2 for two.")] = None,
    as_json: AsJson = False,
) -> int:
    """What a table's quotes earn, risk and lose against the optimum, under any problem of its flows."""
    from rich.console import Console

    with jax_at_work(f"evaluating {table.name}", problem):
        from quotegrid.analysis.evaluation import evaluate as evaluate_policy
        from quotegrid.models.problem_file import read_problem_file
        from quotegrid.table_files import read_table

        begin = None if start is None else numerals(start, "--start")
        world = read_problem_file(problem).problem
        found = evaluate_policy(read_table(table), world, start=begin, name=table.name)
    if as_json:
        print_json(found.to_json())
        return DONE
    from quotegrid.evaluation_report import evaluation_report

    Console().print(evaluation_report(found))
    return DONE


def audit(
    problem: ProblemPath,
    output: PictureOutput = None,
    table: Annotated[
        list[Path] | None, typer.Option(help="Tables of one's own to compare as well.", metavar="TABLE")
    ] = None,
    session: Annotated[
        float | None,
        typer.Option(help="What Avellaneda-Stoikov takes for the time to the end, in the problem's time."),
    ] = None,
    delay: Annotated[
        float | None,
        typer.Option(help="Also quotes that see the inventory so late on average, in the problem's time."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """How far textbook formulas and rounded tables are from the optimum, in money."""
    from rich.console import Console

    with jax_at_work(f"auditing {problem.name}", problem):
        from quotegrid.analysis.audit import audit as audit_problem
        from quotegrid.models.problem_file import read_problem_file
        from quotegrid.table_files import read_table

        own = {each.name: read_table(each) for each in table or ()}
        world = read_problem_file(problem).problem
        found = audit_problem(world, policies=own, session=session, delay=delay)
        if output is not None:
            found.figure().savefig(output)
    if as_json:
        print_json(found.to_json())
        say_written(output, as_json)
        return DONE
    from quotegrid.evaluation_report import audit_report

    Console().print(audit_report(found))
    say_written(output)
    return DONE


def choose(
    problem: ProblemPath,
    target: Annotated[str, typer.Option(help="inventory_deviation, half_life, tail, pnl_volatility or pnl.")],
    value: Annotated[float, typer.Option(help="What it should be, in its unit.")],
    beyond: Annotated[float | None, typer.Option(help="Lots, for the tail.")] = None,
    parameter: Annotated[
        str | None, typer.Option(help="Path of the number to choose; else the preferences' own.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", callback=file_to_write, help="Write the problem file with it, comments kept."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Find the risk aversion or penalty whose optimum has this inventory or P&L."""
    from rich.console import Console

    with jax_at_work(f"searching with {problem.name}", problem):
        from quotegrid.analysis.preference_choice import InfeasibleTarget, choose_preference
        from quotegrid.models.problem_file import read_problem_file

        file, note = read_problem_file(problem), ""
        text = problem.read_text(encoding="utf-8")
        try:
            found = choose_preference(
                file.problem, target=target, value=value, parameter=parameter, beyond=beyond
            )
        except InfeasibleTarget as error:
            raise AnswerIsNo(f"{problem}: {error}") from error
        if output is not None:
            from quotegrid.tables.atomic_file import write_atomically

            written, kept = chosen_text(text, file, found)
            note = "" if kept else f"; without the comments of {problem}, whose blocks are other ones now"
            write_atomically(output, [written.encode()])
    if as_json:
        entry = {
            "parameter": found.parameter,
            "value": found.value,
            "target": target,
            "reached": found.reached,
        }
        print_json({**entry, "evaluation": found.evaluation.to_json()})
        say_written(output, as_json, note)
        return DONE
    from quotegrid.evaluation_report import choice_report

    Console().print(choice_report(found))
    say_written(output, as_json, note)
    return DONE


def chosen_text(text: str, file: Any, found: Any) -> tuple[str, bool]:
    """The problem file with the number that was found, and whether all else is as it was written.

    It is not where a block for both sides had to be split: then the text is the canonical one.
    """
    from quotegrid.models.edited_toml import with_number
    from quotegrid.models.paths import read
    from quotegrid.models.problem_file import dumps, parse_problem

    wanted = dumps(file.model_copy(update={"problem": found.problem}))
    remark = f"chosen for {found.target} = {found.wanted:g}, was {read(file.problem, found.parameter):.6g}"
    edited = with_number(text, found.parameter, found.value, remark)
    if edited is None or dumps(parse_problem(edited)) != wanted:
        return wanted, False
    return edited, True


def sensitivities(
    problem: ProblemPath,
    inventory: Annotated[str | None, typer.Option(help="Where to look, lots; else at the target.")] = None,
    output: PictureOutput = None,
    as_json: AsJson = False,
) -> int:
    """How quotes, value and gain move with every number of a problem."""
    from rich.console import Console

    with jax_at_work(f"differentiating {problem.name}", problem):
        from quotegrid.analysis.sensitivities import sensitivities as differentiate
        from quotegrid.models.problem_file import read_problem_file

        file = read_problem_file(problem)
        found = differentiate(file.problem, numerics=file.numerics, table=file.table)
        if output is not None:
            from quotegrid.analysis.sensitivity_figure import sensitivity_figure

            sensitivity_figure(found).savefig(output)
    from quotegrid.sensitivities_report import sensitivities_report, state_of, to_json

    if as_json:
        print_json(to_json(found))
        say_written(output, as_json)
        return DONE
    lots = None if inventory is None else numerals(inventory, "--inventory")
    Console().print(sensitivities_report(found, state_of(found, file.problem, lots)))
    say_written(output)
    return DONE


def uncertainty(problem: ProblemPath, output: PictureOutput = None, as_json: AsJson = False) -> int:
    """What the errors of the parameters do to quotes and gain, and which to measure better."""
    from rich.console import Console

    with jax_at_work(f"differentiating {problem.name}", problem):
        from quotegrid.analysis.uncertain_quotes import uncertain_quotes
        from quotegrid.models.problem_file import read_problem_file

        file = read_problem_file(problem)
        found = uncertain_quotes(file.problem, numerics=file.numerics, table=file.table)
        if output is not None:
            from quotegrid.analysis.uncertainty_figure import uncertainty_figure

            uncertainty_figure(found).savefig(output)
    from quotegrid.uncertainty_report import to_json, uncertainty_report

    if as_json:
        print_json(to_json(found))
        say_written(output, as_json)
        return DONE
    Console().print(uncertainty_report(found))
    say_written(output)
    return DONE


@contextmanager
def jax_at_work(title: str, problem: Path) -> Iterator[None]:
    """JAX set up for the command line, and a bar while it works; errors name the problem file."""
    from quotegrid.compiler_cache import set_up_jax

    with progress_bar(title):
        set_up_jax()
        from quotegrid.models.faults import ProblemError
        from quotegrid.solver.status import SolveError

        try:
            yield
        except SolveError as error:
            raise AnswerIsNo(f"{problem}: {error}") from error
        except ProblemError as error:
            raise ProblemError(error.faults, error.source or str(problem)) from error
