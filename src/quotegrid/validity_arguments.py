"""When and where a published table may be used, as it is written on the command line."""

import math
import re
import time
from datetime import datetime
from typing import Annotated

import typer

from quotegrid.command_arguments import numeral

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

Life = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="How long it may be used, such as 8h; s, min, h or d."),
]
Start = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="From when; else, with --life, from now. 2026-05-04T08:00Z, or Unix."),
]
PriceBox = Annotated[
    str | None,
    typer.Option(
        metavar="LOW:HIGH", help="Reference prices it is meant for; with commas for several assets."
    ),
]
Box = Annotated[
    list[str] | None,
    typer.Option(metavar="AXIS=LOW:HIGH", help="States it is meant for; several allowed."),
]


def duration(words: str, option: str) -> float:
    """Seconds of "8h", "90 min", "1.5 d"."""
    found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(s|min|h|d)\s*", words)
    seconds = numeral(found[1], option) * SECONDS[found[2]] if found else math.nan
    if not 0 < seconds < math.inf:
        raise typer.BadParameter(
            f"{words!r} is no duration; allowed: a positive number with s, min, h or d, such as 8h",
            param_hint=option,
        )
    return seconds


def unix_time(words: str, option: str) -> float:
    """Unix seconds of a time with a zone, or of the number itself."""
    try:
        return float(words)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(words)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise typer.BadParameter(
            f"{words!r} is no time with a zone; allowed: 2026-05-04T08:00Z, 2026-05-04T10:00+02:00, or Unix "
            "seconds",
            param_hint=option,
        )
    return found.timestamp()


def span(words: str, option: str) -> tuple[float, float]:
    """The two ends of LOW:HIGH."""
    low, colon, high = words.partition(":")
    if not colon:
        raise typer.BadParameter(f"{words!r}: expected LOW:HIGH", param_hint=option)
    return float(numeral(low, option)), float(numeral(high, option))


def spans(words: str, option: str) -> list[tuple[float, float]]:
    """One LOW:HIGH for each asset, with commas between them."""
    return [span(word, option) for word in words.split(",")]


def named_spans(words: list[str], option: str) -> dict[str, tuple[float, float]]:
    """AXIS=LOW:HIGH by axis."""
    found: dict[str, tuple[float, float]] = {}
    for word in words:
        name, equals, ends = (part.strip() for part in word.partition("="))
        if not (name and equals):
            raise typer.BadParameter(f"{word!r}: expected AXIS=LOW:HIGH", param_hint=option)
        if name in found:
            raise typer.BadParameter(f"{name} is given twice", param_hint=option)
        found[name] = span(ends, option)
    return found


def start_and_life(start: str | None, life: str | None) -> tuple[float | None, float | None]:
    """Both in seconds; a life without a start begins now, at a whole second."""
    lasts = None if life is None else duration(life, "--life")
    if start is not None:
        return unix_time(start, "--start"), lasts
    return (None if lasts is None else float(math.floor(time.time()))), lasts
