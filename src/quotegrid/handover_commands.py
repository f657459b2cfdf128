"""The commands that say what is handed over: `diff`, `document`."""

from pathlib import Path
from typing import Annotated

import typer

from quotegrid.command_arguments import DONE, NO, AsJson, PictureOutput, TableFile, print_json


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
    from quotegrid.tables.difference import compare
    from quotegrid.tables.verifier import verify_table

    found = compare(read_table(old), read_table(new))
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
    if max_quote_change is None or found.largest_quote_change <= max_quote_change:
        return DONE
    if not as_json:
        print(f"a quote moved by more than {max_quote_change:g} {found.new.price_unit}")
    return NO


def document(
    table: TableFile,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page: .md or .html; else Markdown on the screen."),
    ] = None,
) -> int:
    """Write the model-risk page of a table: purpose, assumptions, parameters, checks, limits, weaknesses."""
    if output is not None and output.suffix not in (".md", ".html"):
        raise typer.BadParameter(f"{output}: the page's file ends in .md or .html")
    from quotegrid.table_files import read_table
    from quotegrid.tables.atomic_file import write_atomically
    from quotegrid.tables.document import document as page_of
    from quotegrid.tables.document_formats import html_page, markdown
    from quotegrid.tables.verifier import verify as verify_file

    found = page_of(read_table(table), verify_file(table))
    if output is None:
        print(markdown(found), end="")
        return DONE
    text = html_page(found) if output.suffix == ".html" else markdown(found)
    write_atomically(output, [text.encode()])
    return DONE
