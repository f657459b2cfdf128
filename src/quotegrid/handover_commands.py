"""The commands about tables that are handed over: `diff`, `document`, `export`."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from quotegrid.command_arguments import (
    DONE,
    NO,
    AsJson,
    PictureOutput,
    TableFile,
    file_to_write,
    print_json,
    say_written,
)


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A table.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="A later table of the same market.")],
    max_quote_change: Annotated[
        float | None, typer.Option(help="Exit code 1 if a quote moved by more, price units.", min=0.0)
    ] = None,
    output: PictureOutput = None,
    as_json: AsJson = False,
) -> int:
    """What changed between two tables: parameters, where quotes moved most, value, and what verify says."""
    from quotegrid.table_files import read_table
    from quotegrid.tables.documents.difference import NotComparableError, compare
    from quotegrid.tables.verifier import verify_table

    try:
        found = compare(read_table(old), read_table(new))
    except NotComparableError as error:
        raise NotComparableError(
            f"{old}, {new}: {error}; give two tables of one market, with the same units, flows and axes"
        ) from error
    verified = verify_table(found.old, str(old)), verify_table(found.new, str(new))
    if output is not None:
        from quotegrid.analysis.difference_figure import difference_figure

        difference_figure(found).savefig(output)
    if as_json:
        checks = [{check.name: check.outcome for check in each.checks} for each in verified]
        print_json({**found.to_json(), "checks": {"old": checks[0], "new": checks[1]}})
    else:
        from rich.console import Console

        from quotegrid.difference_report import difference_report

        Console().print(difference_report(found, verified))
    say_written(output, as_json)
    if max_quote_change is None or found.largest_quote_change <= max_quote_change:
        return DONE
    if not as_json:
        print(f"a quote moved by more than {max_quote_change:g} {found.new.price_unit}")
    return NO


def document(
    table: TableFile,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            callback=file_to_write,
            help="The page: .md or .html; else Markdown on the screen.",
        ),
    ] = None,
) -> int:
    """Write the model-risk page of a table: purpose, assumptions, parameters, checks, limits, weaknesses."""
    if output is not None and output.suffix not in (".md", ".html"):
        raise typer.BadParameter(f"{output}: the page's file ends in .md or .html")
    from quotegrid.table_files import read_table
    from quotegrid.tables.atomic_file import write_atomically
    from quotegrid.tables.documents.document import document as page_of
    from quotegrid.tables.documents.formats import html_page, markdown
    from quotegrid.tables.verifier import verify as verify_file

    found = page_of(read_table(table), verify_file(table))
    if output is None:
        print(markdown(found), end="")
        return DONE
    text = html_page(found) if output.suffix == ".html" else markdown(found)
    write_atomically(output, [text.encode()])
    say_written(output)
    return DONE


def export(
    table: TableFile,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            callback=file_to_write,
            help="Ends in .csv, .parquet (long form), .npz or .h (C header).",
        ),
    ],
) -> int:
    """Write a table for other programs: CSV, Parquet, NumPy's .npz, or a C header."""
    pieces = EXPORTS.get(output.suffix)
    if pieces is None:
        raise typer.BadParameter(f"{output}: tables are exported to files that end in {', '.join(EXPORTS)}")
    from quotegrid.table_files import read_table
    from quotegrid.tables.atomic_file import write_atomically

    found = read_table(table)
    write_atomically(output, pieces(found))
    units = f"prices in {found.price_unit}, times in {found.time_unit}, inventories and sizes in lots"
    print(f"written: {output}; {units}; an offset that is missing is a flow that is off")
    return DONE


def _as_csv(table: Any) -> Iterable[bytes]:
    from quotegrid.tables.exports.long_form import csv_pieces

    return csv_pieces(table)


def _as_parquet(table: Any) -> Iterable[bytes]:
    try:
        from quotegrid.tables.exports.parquet import parquet_bytes
    except ModuleNotFoundError:
        raise typer.BadParameter(
            "Parquet files need the package pyarrow; install quotegrid[parquet], or export to .csv"
        ) from None
    return [parquet_bytes(table)]


def _as_npz(table: Any) -> Iterable[bytes]:
    from quotegrid.tables.exports.arrays import npz_bytes

    return [npz_bytes(table)]


def _as_c_header(table: Any) -> Iterable[bytes]:
    from quotegrid.tables.exports.c_header import c_header

    return [c_header(table).encode()]


EXPORTS: dict[str, Callable[[Any], Iterable[bytes]]] = {
    ".csv": _as_csv,
    ".parquet": _as_parquet,
    ".npz": _as_npz,
    ".h": _as_c_header,
}
