"""Following a folder of published tables: what a quoter reads while research publishes (PUBLISHING.md).

    follower = GenerationFollower("live/eth", Quoter)
    while trading:
        follower.refresh()                      # one system call, unless there is a new generation
        follower.held.quoter.quote(inventory=3)

`held` is replaced as a whole: whoever takes it once for a decision has one table. Mapping and checking a new
generation takes milliseconds; a loop that cannot wait for it lets another thread call `refresh`. A generation
that is not intact, not signed as asked, or made for another market is not taken: the one that was held stays,
and `refusal` says why.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from quotegrid.tables.lookup import QuoteError
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.publication.generations import (
    POINTER,
    live_name,
    number_of,
    require_regular,
    signature_path,
)
from quotegrid.tables.safetensors_file import read_safetensors, table_of_bytes
from quotegrid.tables.table_error import TableError
from quotegrid.tables.table_interface import interface_changes

Q = TypeVar("Q")  # what quotes from a table


class SignatureCheck(Protocol):
    """Something that knows which signatures to accept, such as `signing.PublicKeys`."""

    def check(self, content_hash: str, signature: Path) -> None:
        """Raise `TableError` unless the file `signature` holds an accepted signature of this hash."""
        ...


class Held(NamedTuple, Generic[Q]):
    """One generation, whole."""

    generation: int
    table: PolicyTable
    quoter: Q

    def __repr__(self) -> str:
        return f"<Held generation {self.generation} in a {type(self.quoter).__name__}, from\n {self.table!r}>"


class Refusal(NamedTuple):
    """Why the generation that the pointer names was not taken."""

    name: str  # of its file; of the pointer where that could not be read
    rule: str  # a name of FORMAT.md or PUBLISHING.md, or unreadable
    sentence: str


class GenerationFollower(Generic[Q]):
    """Holds the live table of a folder, and takes a new one when it is told to look.

    Args:
        folder: where tables are published.
        make: a quoter from a table: `Quoter`, or a function that also gives it its rules and guards.
        keys: signatures to accept; without it none is asked for.
        in_memory: copy the file instead of mapping it, for a network file system.

    Raises:
        OSError: nothing is published there, or it cannot be read.
        TableError: the live generation breaks a rule.
        QuoteError: `make` refuses it.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        make: Callable[[PolicyTable], Q],
        keys: SignatureCheck | None = None,
        in_memory: bool = False,
    ) -> None:
        self._folder = os.fspath(folder)
        self._make = make
        self._keys = keys
        self._in_memory = in_memory
        self._tried = POINTER
        self._first: PolicyTable | None = None
        self.refusal: Refusal | None = None
        self._name, self.held = self._load()
        self._seen = self._name  # looked at last: it is not looked at twice
        self._first = self.held.table

    def refresh(self) -> bool:
        """Look for a new generation and take it; True if one was taken. Never raises for what it finds.

        What was refused once is looked at again only when the pointer moves, except where it could not be
        read.
        """
        try:
            name = live_name(self._folder)
            if name == self._name:  # as ever, or the pointer is back
                self._seen, self.refusal = name, None
                return False
            if name == self._seen:
                return False
            self._name, self.held = self._load()
        except (TableError, QuoteError) as error:
            self._refuse(error.rule, str(error), final=True)
            return False
        except OSError as error:
            self._refuse(
                "unreadable", f"{error.filename or self._folder}: {error.strerror or error}", final=False
            )
            return False
        self._seen, self.refusal = self._name, None
        return True

    def _load(self) -> tuple[str, Held]:
        """The pointer's text and the generation it names.

        A generation may be deleted between reading the pointer and opening it, or before its signature is
        read: then the pointer has moved on, and what it names now is taken.
        """
        while True:
            self._tried = name = live_name(self._folder)
            try:
                number, path = number_of(name), os.path.join(self._folder, name)
                require_regular(path)
                table = _copied(path) if self._in_memory else read_safetensors(path)
                self._check(table, path)
                return name, Held(number, table, self._make(table))
            except (FileNotFoundError, TableError, QuoteError):
                if live_name(self._folder) == name:
                    raise

    def _check(self, table: PolicyTable, path: str) -> None:
        if self._keys is not None:
            self._keys.check(table.content_hash, signature_path(path))
        changes = [] if self._first is None else interface_changes(self._first, table)
        if changes:
            raise TableError(
                "interface-changed", f"{path}: {'; '.join(changes)}; publish it in another folder"
            )

    def _refuse(self, rule: str, sentence: str, final: bool) -> None:
        self.refusal = Refusal(self._tried, rule, sentence)
        if final:
            self._seen = self._tried


def _copied(path: str) -> PolicyTable:
    with open(path, "rb") as file:
        return table_of_bytes(memoryview(file.read()), path)
