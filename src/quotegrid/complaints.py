"""Errors for the person who typed a command: one paragraph on stderr, and what the exit code is."""

import sys

from typer.exceptions import TyperException


class AnswerIsNo(Exception):
    """The input was good and the answer is no: exit code 1."""


def explain(error: Exception) -> str:
    """An error as one paragraph for the person who typed the command."""
    if isinstance(error, TyperException):
        said, place = error.format_message(), getattr(error, "ctx", None)
        stop = "" if said.endswith((".", "?", "!")) else "."
        if place is None or place.parent is None:
            return f"{said}{stop} `quotegrid --help` lists the commands."
        return f"{said}{stop} `quotegrid {place.info_name} --help` lists the options."
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    if isinstance(error, AnswerIsNo | ValueError | OSError) and is_ours(error):
        return str(error)
    what = f"internal error, {type(error).__name__}: {error}"
    return f"{what}. Run it again with --debug, and report what it shows."


def is_ours(error: Exception) -> bool:
    """Whether our own code raised the error, and so wrote its text for the reader; else it is a bug."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("quotegrid.")


def complain(message: str) -> None:
    """One paragraph on stderr."""
    print(f"quotegrid: {' '.join(message.split())}", file=sys.stderr)
