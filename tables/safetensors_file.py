"""The runtime form of a table: one safetensors file, memory-mapped when it is read (FORMAT.md).

The same table always makes the same bytes. Reading maps the file and copies no numbers, checks the container,
the shapes and the content hash, and gives a `PolicyTable` whose arrays are views of the map: processes that
read the same file share its pages. A file that is mapped must not be changed in place; `write_safetensors`
never does, it renames.
"""

import hashlib
import mmap
import os

from quotegrid.tables.atomic_file import write_atomically
from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.safetensors_layout import HASH_PLACE, NO_HASH, decode, encode
from quotegrid.tables.table_error import TableError
from quotegrid.tables.table_parts import table_of_parts


def write_safetensors(table: PolicyTable, path: str | os.PathLike[str]) -> None:
    """Write the runtime file of a table: all of it or nothing, whatever happens (`write_atomically`)."""
    write_atomically(path, _pieces(table))


def safetensors_bytes(table: PolicyTable) -> bytes:
    """The bytes of the runtime file of a table."""
    return b"".join(_pieces(table))


def _pieces(table: PolicyTable) -> list[bytes]:
    return encode(table.tensors(), canonical_json(table.metadata()), table.content_hash)


def read_safetensors(path: str | os.PathLike[str]) -> PolicyTable:
    """Map the runtime file of a table.

    Raises:
        OSError: there is no such file, or it cannot be read.
        TableError: the file breaks a rule of FORMAT.md; the error names it.
    """
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise TableError("file-too-short", f"{os.fspath(path)}: the file is empty")
        buffer = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return table_of_bytes(buffer, os.fspath(path))


def table_of_bytes(buffer: memoryview, where: str) -> PolicyTable:
    """The table in the bytes of a runtime file; `where` is what the errors call it."""
    contents = decode(buffer, where)
    table = table_of_parts(contents.tensors, contents.metadata, where)
    _check_content_hash(buffer, contents.content_hash, where)
    return table


def _check_content_hash(buffer: memoryview, stored: str, where: str) -> None:
    """SHA-256 over the file with the 64 digits of the hash set to zero must give those digits."""
    digest = hashlib.sha256(buffer[: HASH_PLACE.start])
    digest.update(NO_HASH.encode())
    digest.update(buffer[HASH_PLACE.stop :])
    if digest.hexdigest() != stored:
        raise TableError(
            "content-hash",
            f"{where}: the content hash is {digest.hexdigest()[:12]}…, the file says {stored[:12]}…: "
            "it was changed after it was written; write the table again",
        )
