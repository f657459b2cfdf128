"""The command `quote`: one lookup, in words or as JSON, or split into its parts."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from quotegrid.command_arguments import (
    DONE,
    AsJson,
    TableFile,
    named_numbers,
    numerals,
    print_json,
    progress_bar,
)


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


def quote(
    table: TableFile,
    inventory: Annotated[str, typer.Option(help="Lots, signed; 3,-2 for several assets.")],
    at: Annotated[
        float | None, typer.Option("--time", help="For a finite horizon, from 0 to its end.")
    ] = None,
    between: Annotated[Between, typer.Option(help="What to quote between lattice points.")] = Between.EXACT,
    outside: Annotated[Outside, typer.Option(help="What to quote outside the table.")] = Outside.REFUSE,
    factor: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="One for each factor of the table.")
    ] = None,
    regime: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a table with regimes; or its number, from 0.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH=VALUE", help="Of a table over parameters; one for each of its axes."),
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option(metavar="PARAMETER=CHANGE", help="price.volatility=+10%, or =0.45; several allowed."),
    ] = None,
    explain_it: Annotated[
        bool, typer.Option("--explain", help="Split the offsets into spread, risk, costs, …")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Look up the quotes at one inventory."""
    from quotegrid.table_files import read_table
    from quotegrid.tables.lookup import Market
    from quotegrid.tables.quoter import Quoter

    quoter = Quoter(read_table(table), between=between.value, outside=outside.value)
    lots = numerals(inventory, "--inventory")
    state = lots[0] if len(lots) == 1 else lots
    if explain_it:
        given = {"--shift": shift, "--factor": factor, "--regime": regime, "--parameter": parameter}
        if extra := ", ".join(option for option, words in given.items() if words):
            raise typer.BadParameter(f"--explain splits the table's own quote: leave out {extra}")
        return explain_lookup(quoter.table, state, at, between, outside, as_json)
    from quotegrid.tables.shifts import read_shift

    numbered = regime is not None and regime.isdecimal() and regime not in quoter.table.regimes
    market = Market(
        int(regime) if regime is not None and numbered else regime,
        named_numbers(factor or (), "--factor", "NAME=VALUE"),
        named_numbers(parameter or (), "--parameter", "PATH=VALUE"),
    )
    found = quoter.quote(state, at, dict(map(read_shift, shift)) if shift else None, market)
    if as_json:
        print_json(found.to_json())
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
        print_json({"offsets": found.offsets, **found.to_json()})
        return DONE
    from quotegrid.quote_text import explanation_lines

    for line in explanation_lines(table, found.parts, found.solved):
        print(line)
    return DONE
