"""The problem files that come with the package (`quotegrid.examples`, the folder `examples/`)."""

import difflib
from importlib import resources


class UnknownExampleError(ValueError):
    """There is no shipped example of that name."""


def example_names() -> tuple[str, ...]:
    """The names of the shipped problem files, without `.toml`, in alphabetical order."""
    entries = resources.files("quotegrid.examples").iterdir()
    return tuple(
        sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))
    )


def example_text(name: str) -> str:
    """The text of a shipped problem file; raises `UnknownExampleError`, which names the nearest one."""
    known = example_names()
    stem = name.removesuffix(".toml")
    if stem not in known:
        nearest = difflib.get_close_matches(stem, known, n=1, cutoff=0.4)
        hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
        raise UnknownExampleError(
            f"No shipped example is called {name!r}. {hint}There are {', '.join(known)}."
        )
    return resources.files("quotegrid.examples").joinpath(f"{stem}.toml").read_text(encoding="utf-8")


def example_title(name: str) -> str:
    """What an example is, in the words of its first line."""
    return example_text(name).splitlines()[0].lstrip("# ")
