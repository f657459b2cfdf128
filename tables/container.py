"""Which of the two containers of a table a file is, by its first bytes; loads neither of their libraries."""

import os

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a file starts as NetCDF 4 files do."""
    with open(path, "rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE
