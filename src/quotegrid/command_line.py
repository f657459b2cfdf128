"""The command line: `quotegrid solve`, `show`, `quote`, `verify`, `evaluate`, `audit`, `choose`,
`sensitivities`, `uncertainty`, `calibrate`, `example`, `schema`.

Each command imports what it needs when it runs, so that reading a table never loads JAX, and `quote` loads
little more than NumPy. Exit codes: 0 done, 1 the answer is no (not converged, verification failed), 2 bad
input. Errors go to stderr as one paragraph; `--debug`, anywhere on the line, shows the traceback instead.
"""

import atexit
import gc
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from quotegrid.complaints import AnswerIsNo, complain, explain

DONE, NO, BAD_INPUT = 0, 1, 2

app = typer.Typer(
    help="Optimal quotes for market makers: a problem file in, a lookup table out.",
    epilog="--debug, anywhere on the line, shows the traceback of an error.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def picture_file(path: Path | None) -> Path | None:
    """Refuse a picture's file that names no format, before any work is done."""
    if path is not None and path.suffix not in (".png", ".svg", ".pdf"):
        raise typer.BadParameter(f"{path}: a picture's file ends in .png, .svg or .pdf")
    return path


TableFile = Annotated[Path, typer.Argument(metavar="TABLE", help="A table: .safetensors or .nc.")]


ProblemPath = Annotated[Path, typer.Argument(metavar="PROBLEM.toml", help="A problem file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class Between(StrEnum):
    """What an inventory between the table's lattice points means."""

    EXACT = "exact"
    NEAREST = "nearest"
    TOWARDS_FLAT = "towards_flat"
    LINEAR = "linear"


class Outside(StrEnum):
    """What a state outside the table means."""

    REFUSE = "refuse"
    CLAMP = "clamp"


class Queue(StrEnum):
    """Where a quote that joins the touch stands among those already there."""

    LAST = "last"
    FIRST = "first"


class DataFormat(StrEnum):
    """How market data are written."""

    CSV = "csv"
    LOBSTER = "lobster"
    BINANCE = "binance"
    HFTBACKTEST = "hftbacktest"


class Form(StrEnum):
    """What a fitted intensity looks like."""

    TABLE = "table"
    EXPONENTIAL = "exponential"
    LOGISTIC = "logistic"
    POWER = "power"
    LINEAR = "linear"


@app.command()
def solve(
    problem: Annotated[
        list[Path], typer.Argument(metavar="PROBLEM.toml…", help="One problem file, or many.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The table: .safetensors or .nc; else a folder, for many."),
    ],
    warm_start: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="Iterate from the value of an earlier table.")
    ] = None,
    with_sensitivities: Annotated[
        bool, typer.Option("--with-sensitivities", help="Also store how quotes move, for quote --shift.")
    ] = False,
) -> int:
    """Solve a problem, write its table, report on one screen; or many, into a folder with a manifest."""
    if output.suffix not in (".safetensors", ".nc") and (len(problem) > 1 or output.is_dir()):
        if warm_start is not None:
            raise typer.BadParameter("--warm-start goes with one problem and one table, not with a folder")
        if with_sensitivities:
            raise typer.BadParameter("--with-sensitivities goes with one problem and one table")
        return solve_into_folder(problem, output)
    if len(problem) > 1:
        raise typer.BadParameter(
            f"{output} is one table, and there are {len(problem)} problems; name a folder"
        )
    from rich.console import Console

    from quotegrid.compiler_cache import set_up_jax

    started = time.perf_counter()
    with progress_bar(f"solving {problem[0].name}") as progress:
        set_up_jax()
        from quotegrid.pipeline import solve_file
        from quotegrid.solver.status import SolveError

        try:
            table = solve_file(problem[0], output, progress, warm_start, with_sensitivities)
        except SolveError as error:
            raise AnswerIsNo(f"{problem[0]}: {error}") from error
    from quotegrid.report import report

    Console().print(report(table, written=str(output), seconds=time.perf_counter() - started))
    return DONE


def solve_into_folder(problems: list[Path], folder: Path) -> int:
    """Solve many problem files; exit code 1 if one of them got no table."""
    from rich.console import Console

    from quotegrid.compiler_cache import set_up_jax

    started = time.perf_counter()
    with progress_bar(f"solving {len(problems)} problems") as progress:
        set_up_jax()
        from quotegrid.pipeline import solve_files

        entries = solve_files(problems, folder, progress)
    from quotegrid.report import folder_report

    Console().print(folder_report(entries, folder=str(folder), seconds=time.perf_counter() - started))
    return DONE if all("table" in entry for entry in entries) else NO


@app.command()
def show(
    table: TableFile,
    plot: Annotated[
        Path | None, typer.Option(callback=picture_file, help="Also draw the quotes: .png, .svg or .pdf.")
    ] = None,
) -> int:
    """Say what is in a table, and draw its quotes over inventory."""
    from rich.console import Console

    from quotegrid.report import report
    from quotegrid.table_files import read_table

    found = read_table(table)
    Console().print(report(found))
    if plot is not None:
        from quotegrid.analysis.figures import policy_figure

        policy_figure(found).savefig(plot)
    return DONE


@app.command()
def quote(
    table: TableFile,
    inventory: Annotated[str, typer.Option(help="Lots, signed; 3,-2 for several assets.")],
    at: Annotated[
        float | None, typer.Option("--time", help="For a finite horizon, from 0 to its end.")
    ] = None,
    between: Annotated[Between, typer.Option(help="Between lattice points.")] = Between.EXACT,
    outside: Annotated[Outside, typer.Option(help="Outside the table.")] = Outside.REFUSE,
    shift: Annotated[
        list[str] | None,
        typer.Option(metavar="PARAMETER=CHANGE", help="price.volatility=+10%, or =0.45; several allowed."),
    ] = None,
    explain_it: Annotated[
        bool, typer.Option("--explain", help="Split the offsets into spread, risk, costs, …")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Look up the quotes at one inventory."""
    from quotegrid.table_files import read_table
    from quotegrid.tables.quoter import Quoter

    quoter = Quoter(read_table(table), between=between.value, outside=outside.value)
    lots = [numeral(word, "--inventory") for word in inventory.split(",")]
    state = lots[0] if len(lots) == 1 else lots
    if explain_it:
        if shift:
            raise typer.BadParameter("--explain splits the table's own quote: leave out --shift")
        return explain_lookup(quoter.table, state, at, between, outside, as_json)
    from quotegrid.tables.shifts import read_shift

    found = quoter.quote(state, at, dict(map(read_shift, shift)) if shift else None)
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))
        return DONE
    from quotegrid.quote_text import quote_lines

    for line in quote_lines(quoter.table, found):
        print(line)
    return DONE


def explain_lookup(
    table: Any, state: Any, at: float | None, between: Between, outside: Outside, as_json: bool
) -> int:
    """Split a quote into its parts, by solving the table's problem again without each ingredient."""
    from quotegrid.compiler_cache import set_up_jax

    with progress_bar("solving without each ingredient"):
        set_up_jax()
        from quotegrid.analysis.explained_quote import explain_quote

        found = explain_quote(table, state, at, between=between.value, outside=outside.value)
    if as_json:
        print(json.dumps({"offsets": found.offsets, **found.to_json()}, allow_nan=False))
        return DONE
    from quotegrid.quote_text import explanation_lines

    for line in explanation_lines(table, found.parts, found.solved):
        print(line)
    return DONE


@app.command()
def verify(table: TableFile) -> int:
    """Check a table: is it intact, are its quotes the best, is its claim proved again? Exit code 1 if not."""
    from quotegrid.tables.verifier import verify as verify_file

    found = verify_file(table)
    print(found)
    return DONE if found.passed else NO


@app.command()
def evaluate(
    table: TableFile,
    problem: ProblemPath,
    start: Annotated[str | None, typer.Option(help="Inventory at the start, lots; 3,-2 for two.")] = None,
    as_json: AsJson = False,
) -> int:
    """What a table's quotes earn, risk and lose against the optimum, under any problem of its flows."""
    from rich.console import Console

    from quotegrid.compiler_cache import set_up_jax

    with progress_bar(f"evaluating {table.name}"):
        set_up_jax()
        from quotegrid.analysis.evaluation import evaluate as evaluate_policy
        from quotegrid.models.problem_file import read_problem_file
        from quotegrid.table_files import read_table

        begin = None if start is None else [numeral(word, "--start") for word in start.split(",")]
        world = read_problem_file(problem).problem
        found = evaluate_policy(read_table(table), world, start=begin, name=table.name)
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))
        return DONE
    from quotegrid.evaluation_report import evaluation_report

    Console().print(evaluation_report(found))
    return DONE


@app.command()
def audit(
    problem: ProblemPath,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", callback=picture_file, help="Also draw it: .png, .svg or .pdf."),
    ] = None,
    table: Annotated[
        list[Path] | None, typer.Option(help="Tables of one's own to compare as well.", metavar="TABLE")
    ] = None,
    session: Annotated[
        float | None, typer.Option(help="What Avellaneda-Stoikov takes for the time to the end.")
    ] = None,
    delay: Annotated[
        float | None, typer.Option(help="Also quotes that see the inventory so late on average.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """How far textbook formulas and rounded tables are from the optimum, in money."""
    from rich.console import Console

    from quotegrid.compiler_cache import set_up_jax

    with progress_bar(f"auditing {problem.name}"):
        set_up_jax()
        from quotegrid.analysis.audit import audit as audit_problem
        from quotegrid.models.problem_file import read_problem_file
        from quotegrid.table_files import read_table

        own = {each.name: read_table(each) for each in table or ()}
        world = read_problem_file(problem).problem
        found = audit_problem(world, policies=own, session=session, delay=delay)
        if output is not None:
            found.figure().savefig(output)
    if as_json:
        print(json.dumps(found.to_json(), allow_nan=False))
        return DONE
    from quotegrid.evaluation_report import audit_report

    Console().print(audit_report(found))
    return DONE


@app.command()
def choose(
    problem: ProblemPath,
    target: Annotated[str, typer.Option(help="inventory_deviation, half_life, tail, pnl_volatility or pnl.")],
    value: Annotated[float, typer.Option(help="What it should be, in its unit.")],
    beyond: Annotated[float | None, typer.Option(help="Lots, for the tail.")] = None,
    parameter: Annotated[
        str | None, typer.Option(help="Path of the number to choose; else the preferences' own.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the problem file with it.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Find the risk aversion or penalty whose optimum has this inventory or P&L."""
    from rich.console import Console

    from quotegrid.compiler_cache import set_up_jax

    with progress_bar(f"searching with {problem.name}"):
        set_up_jax()
        from quotegrid.analysis.preference_choice import InfeasibleTarget, choose_preference
        from quotegrid.models.problem_file import ProblemFile, read_problem_file, write_problem_file

        file = read_problem_file(problem)
        try:
            found = choose_preference(
                file.problem, target=target, value=value, parameter=parameter, beyond=beyond
            )
        except InfeasibleTarget as error:
            raise AnswerIsNo(f"{problem}: {error}") from error
        if output is not None:
            chosen = ProblemFile(problem=found.problem, table=file.table, numerics=file.numerics)
            write_problem_file(output, chosen)
    if as_json:
        entry = {
            "parameter": found.parameter,
            "value": found.value,
            "target": target,
            "reached": found.reached,
        }
        print(json.dumps({**entry, "evaluation": found.evaluation.to_json()}, allow_nan=False))
        return DONE
    from quotegrid.evaluation_report import choice_report

    Console().print(choice_report(found))
    return DONE


@app.command()
def sensitivities(
    problem: ProblemPath,
    inventory: Annotated[str | None, typer.Option(help="Where to look, lots; else at the target.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", callback=picture_file, help="Also draw it: .png, .svg or .pdf."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """How quotes, value and gain move with every number of a problem."""
    from rich.console import Console

    from quotegrid.compiler_cache import set_up_jax

    with progress_bar(f"differentiating {problem.name}"):
        set_up_jax()
        from quotegrid.analysis.sensitivities import sensitivities as differentiate
        from quotegrid.models.problem_file import read_problem_file

        file = read_problem_file(problem)
        found = differentiate(file.problem, numerics=file.numerics, table=file.table)
        if output is not None:
            from quotegrid.analysis.sensitivity_figure import sensitivity_figure

            sensitivity_figure(found).savefig(output)
    from quotegrid.sensitivities_report import sensitivities_report, state_of, to_json

    if as_json:
        print(json.dumps(to_json(found), allow_nan=False))
        return DONE
    lots = None if inventory is None else [numeral(word, "--inventory") for word in inventory.split(",")]
    Console().print(sensitivities_report(found, state_of(found, file.problem, lots)))
    return DONE


@app.command()
def uncertainty(
    problem: ProblemPath,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", callback=picture_file, help="Also draw it: .png, .svg or .pdf."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """What the errors of the parameters do to quotes and gain, and which to measure better."""
    from rich.console import Console

    from quotegrid.compiler_cache import set_up_jax

    with progress_bar(f"differentiating {problem.name}"):
        set_up_jax()
        from quotegrid.analysis.uncertain_quotes import uncertain_quotes
        from quotegrid.models.problem_file import read_problem_file

        file = read_problem_file(problem)
        found = uncertain_quotes(file.problem, numerics=file.numerics, table=file.table)
        if output is not None:
            from quotegrid.analysis.uncertainty_figure import uncertainty_figure

            uncertainty_figure(found).savefig(output)
    from quotegrid.uncertainty_report import to_json, uncertainty_report

    if as_json:
        print(json.dumps(to_json(found), allow_nan=False))
        return DONE
    Console().print(uncertainty_report(found))
    return DONE


@app.command()
def calibrate(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA…",
            help="One market: CSV quotes and trades, LOBSTER pairs, Binance captures, hftbacktest .npz.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The problem file to write.")],
    plot: Annotated[
        Path | None, typer.Option(callback=picture_file, help="Also draw the fit: .png, .svg or .pdf.")
    ] = None,
    data_format: Annotated[
        DataFormat | None, typer.Option("--format", help="Format of the data; else told by their content.")
    ] = None,
    instrument: Annotated[str | None, typer.Option(help="Which one, in a capture of several.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Name of the market; else from the file's name.")] = None,
    price_unit: Annotated[str, typer.Option(help="What prices are in.")] = "USD",
    asset_unit: Annotated[str, typer.Option(help="What the asset is counted in.")] = "unit",
    contract_size: Annotated[
        float, typer.Option(help="Units of the asset in one of the data's quantity.")
    ] = 1.0,
    inverse: Annotated[
        bool, typer.Option("--inverse", help="A contract is worth a fixed sum of money.")
    ] = False,
    tick_size: Annotated[float | None, typer.Option(help="Smallest step of prices; else found.")] = None,
    pool_sides: Annotated[
        bool, typer.Option("--pool-sides", help="Fit one intensity to both sides.")
    ] = False,
    queue: Annotated[Queue, typer.Option(help="Where a quote that joins the touch stands.")] = Queue.LAST,
    max_gap: Annotated[
        float, typer.Option(help="Seconds without a quote after which the recorder counts as off.")
    ] = 30.0,
    form: Annotated[Form | None, typer.Option(help="Form of the intensity; else the one that fits.")] = None,
    lot_size: Annotated[
        float | None, typer.Option(help="Units of the asset in a lot; else from order sizes.")
    ] = None,
    max_inventory: Annotated[int, typer.Option(help="Limit on either side, lots.")] = 20,
    risk_aversion: Annotated[
        float | None, typer.Option(help="Per currency; else explained in the file.")
    ] = None,
    horizon: Annotated[float, typer.Option(help="Seconds after a fill at which its markout is taken.")] = 1.0,
    charge_markout: Annotated[
        bool, typer.Option("--charge-markout", help="Charge every fill what the mid does after it.")
    ] = False,
) -> int:
    """Fit volatility and fill intensities to market data, and write a commented problem file."""
    from quotegrid.compiler_cache import set_up_jax

    with progress_bar(f"reading {data[0].name}"):
        set_up_jax()
        from quotegrid.calibration.calibration import calibrate as fit
        from quotegrid.calibration.calibration import write_problem

        found = fit(
            *data,
            format=None if data_format is None else data_format.value,
            instrument=instrument,
            symbol=symbol,
            price_unit=price_unit,
            asset_unit=asset_unit,
            contract_size=contract_size,
            inverse=inverse,
            tick_size=tick_size,
            pool_sides=pool_sides,
            queue=queue.value,
            max_gap=max_gap,
            horizon=horizon,
        )
        write_problem(
            found,
            output,
            form=None if form is None else form.value,
            lot_size=lot_size,
            max_inventory=max_inventory,
            risk_aversion=risk_aversion,
            charge_markout=charge_markout,
        )
        if plot is not None:
            found.figure().savefig(plot)
    print(found.summary())
    print(f"\nwritten: {output}; next: quotegrid solve {output} -o {output.with_suffix('.safetensors')}")
    return DONE


@app.command()
def example(
    name: Annotated[str | None, typer.Argument(help="Without a name, the examples are listed.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to a new file.")] = None,
) -> int:
    """List the shipped problem files, or print or write one."""
    from quotegrid.shipped_examples import example_names, example_text, example_title

    if name is None:
        width = max(map(len, example_names()))
        for each in example_names():
            print(f"{each:{width}}  {example_title(each)}")
    elif output is None:
        print(example_text(name), end="")
    else:
        with open(output, "x", encoding="utf-8") as file:
            file.write(example_text(name))
    return DONE


@app.command()
def schema() -> int:
    """Print the JSON schema of the problem file."""
    from quotegrid.models.problem_file import json_schema

    print(json.dumps(json_schema(), indent=2))
    return DONE


def numeral(word: str, option: str) -> float:
    """A number from the command line, whole ones as int, so that 3 is printed as 3."""
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise typer.BadParameter(
            f"{word!r} is not a number; allowed: 3, -2.5, or 3,-2", param_hint=option
        ) from None


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr while the work goes on, if somebody watches; call what it gives with the part done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)  # pulses until the first fraction is known
        yield lambda fraction: bar.update(task, total=1.0, completed=fraction)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    try:
        code = app(words or ["--help"], prog_name="quotegrid", standalone_mode=False) or DONE
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output has seen enough, as in `quotegrid example … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if debug:
            raise
        complain(explain(error))
        return NO if isinstance(error, AnswerIsNo) else BAD_INPUT


def main() -> NoReturn:
    """The entry point of the `quotegrid` program."""
    # importing makes many objects that live on and no garbage: looking for it there takes 5 % of a solve
    gc.set_threshold(100_000)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # an example written by `>` stays a TOML file, whatever the terminal's encoding
            stream.reconfigure(encoding="utf-8", errors="replace")
    code = run(sys.argv[1:])
    # what is left is taking JAX's modules apart, a fifth of the time of importing them
    atexit._run_exitfuncs()
    os._exit(code)
