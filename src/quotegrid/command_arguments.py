"""What commands have in common: exit codes, arguments and options, numbers on the line, the progress bar."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

DONE, NO, BAD_INPUT = 0, 1, 2


def file_to_write(path: Path | None) -> Path | None:
    """Refuse a file in a folder that is not there, before any work is done."""
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"{path}: there is no folder {path.parent}; make it first")
    return path


def picture_file(path: Path | None) -> Path | None:
    """Refuse a picture's file that names no format or no folder, before any work is done."""
    if path is not None and path.suffix not in (".png", ".svg", ".pdf"):
        raise typer.BadParameter(f"{path}: a picture's file ends in .png, .svg or .pdf")
    return file_to_write(path)


TableFile = Annotated[Path, typer.Argument(metavar="TABLE", help="A table: .safetensors or .nc.")]
ProblemPath = Annotated[Path, typer.Argument(metavar="PROBLEM.toml", help="A problem file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PictureOutput = Annotated[
    Path | None,
    typer.Option("--output", "-o", callback=picture_file, help="Also draw it: .png, .svg or .pdf."),
]


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


def numerals(words: str, option: str) -> list[float]:
    """Numbers with commas between them, one for each asset."""
    return [numeral(word, option) for word in words.split(",")]


def named_numbers(words: Sequence[str], option: str, form: str) -> dict[str, float]:
    """The numbers of words such as `PATH=VALUE`, by path; `form` is how the option writes them."""
    found: dict[str, float] = {}
    for word in words:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not (name and equals):
            raise typer.BadParameter(f"{word!r}: expected {form}", param_hint=option)
        if name in found:
            raise typer.BadParameter(f"{name} is given twice", param_hint=option)
        found[name] = float(numeral(value, option))
    return found


def print_json(entry: object) -> None:
    """One JSON object on one line."""
    print(json.dumps(entry, allow_nan=False))


def say_written(path: Path | None, as_json: bool = False, note: str = "") -> None:
    """One line that names the file written, if one was; on stderr where stdout is one JSON object."""
    if path is not None:
        print(f"written: {path}{note}", file=sys.stderr if as_json else sys.stdout)


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
