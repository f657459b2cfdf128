"""A folder of published tables: names, pointer and lock (PUBLISHING.md).

    current.safetensors                 a symbolic link to the live generation; replaced by one rename
    generation-0000000042.safetensors   published tables, never changed; the number only grows
    generation-0000000042.signature     beside it, where it is signed
    withdrawn-0000000041.safetensors    what was rolled back, or never became live; nobody follows it
    lock                                held by the publisher at work; never deleted

A reader needs `live_name` and a file reader; all else is the publisher's.
"""

import errno
import os
import re
import stat
from pathlib import Path

from quotegrid.tables.table_error import TableError

POINTER = "current.safetensors"
LOCK = "lock"
LIVE, WITHDRAWN = "generation", "withdrawn"
SIGNATURE = ".signature"

_NAME = re.compile(r"(generation|withdrawn)-([0-9]{10})\.safetensors")


def table_name(number: int, kind: str = LIVE) -> str:
    """The file name of a generation."""
    return f"{kind}-{number:010d}.safetensors"


def signature_path(table: str | os.PathLike[str]) -> Path:
    """The signature of a table lies beside it; of a link, beside what it leads to."""
    return Path(os.path.realpath(table)).with_suffix(SIGNATURE)


def number_of(name: str) -> int:
    """The number in the name of a generation; raises `TableError` for any other name."""
    found = _NAME.fullmatch(name)
    if found is None or found[1] != LIVE:
        raise TableError(
            "pointer-form",
            f"{POINTER} leads to {name!r:.80}; a generation beside it is called like {table_name(42)}",
        )
    return int(found[2])


def live_name(folder: str | os.PathLike[str]) -> str:
    """The file name that the pointer holds: one system call.

    Raises:
        FileNotFoundError: nothing is published there.
        OSError: the pointer cannot be read, or is no link.
    """
    return os.readlink(os.path.join(folder, POINTER))


def require_regular(path: str | os.PathLike[str]) -> None:
    """Raise OSError for what is no regular file: opening a pipe would wait for who writes to it."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def numbers(folder: Path, kind: str) -> list[int]:
    """The numbers of the generations of one kind that are there, ascending."""
    found = (_NAME.fullmatch(name) for name in os.listdir(folder))
    return sorted(int(match[2]) for match in found if match is not None and match[1] == kind)
