"""Publishing: a new generation of a table becomes the live one, in one rename, whatever happens meanwhile.

One publisher at a time holds the lock of the folder; the system lets go of it when its process ends, however
that ends. With the lock held, in this order:

    1. clear away what a killed publisher left behind     3. rename a new link over the pointer: it is live
    2. write signature and table, sync, read them back    4. sync the folder, delete the oldest generations

Killed before 3, the old generation stays live; after it, the new one is. A generation above the live one is
never live again: it was rolled back, or its publisher was killed between 2 and 3. It is renamed, so that
`rollback` goes to what was live before, and its number is not used twice.
"""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # no POSIX system
    fcntl = None

from quotegrid.tables.atomic_file import sync_folder, write_atomically
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.publication.generations import (
    LIVE,
    LOCK,
    POINTER,
    SIGNATURE,
    WITHDRAWN,
    live_name,
    number_of,
    numbers,
    signature_path,
    table_name,
)
from quotegrid.tables.safetensors_file import read_safetensors, write_safetensors
from quotegrid.tables.table_error import TableError

LEAST_KEPT = 2  # the live generation, and one to return to


class PublishingError(ValueError):
    """Nothing was published or rolled back, and the sentence says why."""


class Publisher:
    """The folder, while its lock is held (`publisher`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def live(self) -> int | None:
        """The number of the live generation; None where nothing is published yet.

        Raises:
            TableError: the pointer leads to no generation.
        """
        try:
            return number_of(live_name(self.folder))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise TableError(
                "pointer-form",
                f"{self.folder / POINTER} is no link; delete it, if nothing reads it, and publish again",
            ) from None

    def read(self, number: int) -> PolicyTable:
        """A generation, checked.

        Raises:
            OSError, TableError: it is not there, or not intact.
        """
        return read_safetensors(self.folder / table_name(number))

    def is_signed(self, number: int) -> bool:
        """Whether a signature lies beside a generation."""
        return signature_path(self.folder / table_name(number)).exists()

    def publish(
        self, table: PolicyTable, signature: bytes | None = None, keep: int = 5, unsigned: bool = False
    ) -> int:
        """Make the next generation of a table and let the pointer lead to it; returns its number.

        signature: what `signing` made for this table. keep: generations that stay, the live one among them.
        unsigned: even if it is not signed and the live one is.

        Raises:
            PublishingError: fewer than two generations would stay, or it is not signed and the live one is.
            OSError: it could not be written; the generation that was live still is.
        """
        if keep < LEAST_KEPT:
            raise PublishingError(
                f"{keep} generations would be kept; at least {LEAST_KEPT} are needed: the live one, "
                "and one to return to"
            )
        live = self.live
        if signature is None and live is not None and self.is_signed(live) and not unsigned:
            raise PublishingError(
                f"{self.folder}: generation {live} is signed and this table is not, so quoters that ask for "
                f"signatures would refuse it and go on with {live}; sign it (quotegrid publish: --sign KEY), "
                "or publish it without (--unsigned; Python: unsigned=True)"
            )
        self._clear()
        found = (*numbers(self.folder, LIVE), *numbers(self.folder, WITHDRAWN))
        number = 1 + max([self.live or 0, *found])  # of the pointer too, where its file was deleted
        path = self.folder / table_name(number)
        if signature is not None:
            write_atomically(path.with_suffix(SIGNATURE), [signature])
        write_safetensors(table, path)
        if read_safetensors(path).content_hash != table.content_hash:
            raise PublishingError(f"{path} does not read back as it was written; nothing was published")
        self._point_to(number)
        # what cannot be deleted now is deleted by the next publisher: the new table is live already
        with contextlib.suppress(OSError):
            self._prune(keep)
        return number

    def rollback(self, unsigned: bool = False) -> tuple[int, int]:
        """Return to the generation that was live before: (withdrawn number, live number).

        unsigned: even if it is not signed and the live one is.

        Raises:
            PublishingError: there is none before, or it is not signed and the live one is.
            OSError, TableError: it is not intact; the generation that was live still is.
        """
        self._clear()
        live = self.live
        earlier = [] if live is None else [number for number in numbers(self.folder, LIVE) if number < live]
        if live is None or not earlier:
            what = "nothing is published" if live is None else f"generation {live} is the oldest"
            raise PublishingError(
                f"{self.folder}: {what} here, so there is none to return to; publish the table that shall be "
                "live (quotegrid publish)"
            )
        before = earlier[-1]
        self.read(before)
        if self.is_signed(live) and not self.is_signed(before) and not unsigned:
            raise PublishingError(
                f"{self.folder}: generation {before} is not signed and the live generation {live} is, so "
                f"quoters that ask for signatures would refuse it and go on with {live}; publish "
                f"{table_name(before)} again with --sign KEY, or return to it all the same (quotegrid "
                "rollback: --unsigned; Python: unsigned=True)"
            )
        self._point_to(before)
        self._clear()
        return live, before

    def _clear(self) -> None:
        """Delete unfinished files; rename generations above the live one, which shall never be live again."""
        live = self.live or 0
        for number in numbers(self.folder, LIVE):
            if number > live:
                name, aside = table_name(number), table_name(number, WITHDRAWN)
                (self.folder / name).with_suffix(SIGNATURE).unlink(missing_ok=True)
                os.rename(self.folder / name, self.folder / aside)
        for name in os.listdir(self.folder):
            path = self.folder / name
            unfinished = name.startswith(".") and name.endswith(".tmp")
            if unfinished or (path.suffix == SIGNATURE and not path.with_suffix(".safetensors").exists()):
                path.unlink(missing_ok=True)

    def _point_to(self, number: int) -> None:
        link = self.folder / f".{POINTER}.{secrets.token_hex(4)}.tmp"
        os.symlink(table_name(number), link)
        try:
            os.replace(link, self.folder / POINTER)
        except BaseException:
            link.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)

    def _prune(self, keep: int) -> None:
        for kind in (LIVE, WITHDRAWN):
            for number in numbers(self.folder, kind)[:-keep]:
                path = self.folder / table_name(number, kind)
                path.unlink(missing_ok=True)
                path.with_suffix(SIGNATURE).unlink(missing_ok=True)


@contextmanager
def publisher(folder: str | os.PathLike[str], wait: float = 10.0) -> Iterator[Publisher]:
    """The folder's publisher, with its lock held; another one is waited for, at most `wait` seconds.

    Raises:
        PublishingError: another publisher did not finish, or this system cannot lock files.
        OSError: there is no such folder, or it cannot be written to.
    """
    where = Path(folder)
    if fcntl is None:
        raise PublishingError(f"{where}: tables are published from POSIX systems only; this is {os.name}")
    if not where.is_dir():
        if where.exists():
            raise NotADirectoryError(errno.ENOTDIR, "No folder; name the one that quoters follow", str(where))
        raise FileNotFoundError(errno.ENOENT, "No such folder; `quotegrid publish` makes one", str(where))
    handle = os.open(where / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait_for(handle, where, time.monotonic() + wait)
        with contextlib.suppress(
            OSError
        ):  # a courtesy to whoever waits; a full disk must not stop a rollback
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        yield Publisher(where)
    finally:
        os.close(handle)  # lets go of the lock


def _wait_for(handle: int, folder: Path, deadline: float) -> None:
    assert fcntl is not None
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
                raise PublishingError(
                    f"{folder}: {holder} is publishing here and has not finished; wait for it, or end it: "
                    "its lock goes with it"
                ) from None
            time.sleep(0.01)
