"""The command line: `quotegrid solve`, `show`, `quote`, `verify`, `evaluate`, `audit`, `choose`,
`sensitivities`, `uncertainty`, `diff`, `document`, `export`, `publish`, `rollback`, `keygen`, `calibrate`,
`example`, `schema`.

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
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from quotegrid.command_arguments import (
    BAD_INPUT,
    DONE,
    NO,
    TableFile,
    file_to_write,
    picture_file,
    progress_bar,
    say_written,
)
from quotegrid.complaints import AnswerIsNo, complain, explain
from quotegrid.handover_commands import diff, document, export
from quotegrid.publish_commands import keygen, publish, rollback, signature_check
from quotegrid.quote_command import quote
from quotegrid.study_commands import audit, choose, evaluate, sensitivities, uncertainty

app = typer.Typer(
    help="Optimal quotes for market makers: a problem file in, a lookup table out.",
    epilog="--debug, anywhere on the line, shows the traceback of an error.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
    problem: Annotated[list[Path], typer.Argument(metavar="PROBLEM.toml", help="One problem file, or many.")],
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
    if output.suffix == "":
        raise typer.BadParameter(
            f"{output} is neither a table (.safetensors or .nc) nor a folder that is there; "
            "name a table, or make the folder first"
        )
    file_to_write(output)
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
    say_written(plot)
    return DONE


app.command()(quote)


@app.command()
def verify(
    table: TableFile,
    public_key: Annotated[
        list[Path] | None,
        typer.Option(metavar="KEY.pub", help="Also ask for a signature by this key; several allowed."),
    ] = None,
) -> int:
    """Check a table: is it intact, are its quotes the best, is its claim proved again? Exit code 1 if not."""
    from quotegrid.tables.verifier import Verification
    from quotegrid.tables.verifier import verify as verify_file

    found = verify_file(table)
    if public_key and found.passed:
        from quotegrid.table_files import read_table

        signature = signature_check(read_table(table), table, public_key)
        found = Verification(found.path, (*found.checks, signature), found.proof)
    print(found)
    return DONE if found.passed else NO


for command in (evaluate, audit, choose, sensitivities, uncertainty):
    app.command()(command)
for command in (diff, document, export, publish, rollback, keygen):
    app.command()(command)


@app.command()
def calibrate(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA",
            help="One market: CSV quotes and trades, LOBSTER pairs, Binance captures, hftbacktest .npz.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", callback=file_to_write, help="The problem file to write.")
    ],
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

    for file in (output, *(() if plot is None else (plot,))):
        if file.is_dir():
            raise typer.BadParameter(f"{file} is a folder; name the file to write")
        if any(file.exists() and each.exists() and file.samefile(each) for each in data):
            raise typer.BadParameter(f"{file} holds the data; name another file to write")
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
        shown = None if form is None else form.value
        if plot is not None:
            found.figure(form=shown).savefig(plot)
    print(found.summary(form=shown, lot_size=lot_size, charge_markout=charge_markout))
    print()
    say_written(plot)
    print(f"written: {output}; next: quotegrid solve {output} -o {output.with_suffix('.safetensors')}")
    return DONE


@app.command()
def example(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Without a name, the examples are listed.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", callback=file_to_write, help="Write it to a new file.")
    ] = None,
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
        say_written(output)
    return DONE


@app.command()
def schema() -> int:
    """Print the JSON schema of the problem file."""
    from quotegrid.models.problem_file import json_schema

    print(json.dumps(json_schema(), indent=2))
    return DONE


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
