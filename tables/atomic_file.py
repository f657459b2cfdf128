"""Writing a file so that it is never half there.

The bytes go to a temporary file in the same folder, are synced to the disk, and the temporary file is renamed
over the target; the folder is synced too. Killed at any moment, the writer leaves the old file or the new one
(and perhaps a temporary file, whose name starts with a dot and ends in .tmp).
"""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], pieces: Iterable[bytes]) -> None:
    """Write `pieces` one after the other as the file `path`, replacing what was there; a link is followed.

    Raises:
        FileNotFoundError: the folder does not exist.
        IsADirectoryError: `path` is a folder.
    """
    target = Path(os.path.realpath(path))
    folder = target.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}")
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _permissions(target))
        os.replace(temporary, target)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)  # a full disk knows no names
        raise
    sync_folder(folder)


def _permissions(target: Path) -> int:
    """Those of the file that is replaced, else those a new file gets here."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def sync_folder(folder: Path) -> None:
    """Make the rename last; only POSIX systems can open a folder for this."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
