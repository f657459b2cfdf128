"""The bytes of a safetensors container, as FORMAT.md §2 states them.

    8 bytes     N, the length of the header, little endian
    N bytes     the header: ASCII text of one fixed form, padded with spaces until 8 + N is a multiple of 64
    the rest    the tensors, row-major and little endian, in the order of the header, without gaps

The header is JSON, but of a form fixed to the last byte: it is matched, not parsed. `encode` makes a file,
`decode` reads it; neither knows what the tensors mean. Everything is checked before anything is used, each
broken rule has its own name, and no memory is taken in proportion to a number found in the file.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.table_error import TableError

VERSION = 1
ALIGNMENT = 64  # bytes; of the data section
MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors format
MAX_RANK = 12  # axes of a tensor
MAX_TENSORS = 100  # more than there are names for (FORMAT.md §3)
MAX_ITEMS = 2**48  # numbers in a tensor, empty axes counted as 1
ITEM_SIZE = 8  # bytes; F64 and I64 are the only types
NO_HASH = "0" * 64
START = b'{"__metadata__":{"quotegrid":"'
HASH_PLACE = slice(57, 57 + len(NO_HASH))  # of the digits of the content hash in the file

_DTYPES = {"F64": np.dtype("<f8"), "I64": np.dtype("<i8")}
_NAMES = {"f": "F64", "i": "I64"}
# repeats are possessive (*+): others keep their steps in memory, a hundred bytes for one of the header
_OPENING = re.compile(
    rb'\{"__metadata__":\{"quotegrid":"1","content_hash":"([0-9a-f]{64})",'
    rb'"metadata":"([ !#-\[\]-~]*+(?:\\["\\][ !#-\[\]-~]*+)*+)"\}'
)
_NUMBER = rb"(?:0|[1-9][0-9]{0,15}+)"
_ENTRY = re.compile(
    rb',"([a-z0-9_]{1,64})":\{"dtype":"([A-Z0-9_]{1,8})","shape":\[((?:N(?:,N)*+)?+)\],'
    rb'"data_offsets":\[(N),(N)\]\}'.replace(b"N", _NUMBER)
)


class Contents(NamedTuple):
    """What is in a file."""

    tensors: dict[str, NDArray[Any]]  # read-only views of the file, native byte order
    metadata: str  # JSON text
    content_hash: str  # as it stands in the file


def encode(tensors: Mapping[str, NDArray[Any]], metadata: str, content_hash: str) -> list[bytes]:
    """The file as pieces to be written one after the other: the header, then each tensor.

    Args:
        tensors: name → float64 or int64 array of any shape, in the order of the file.
        metadata: canonical JSON.
        content_hash: 64 hexadecimal digits.
    """
    about = {"quotegrid": f"{VERSION}", "content_hash": content_hash, "metadata": metadata}
    header: dict[str, object] = {"__metadata__": about}
    pieces = []
    end = 0
    for name, array in tensors.items():
        dtype = _NAMES[array.dtype.kind]
        piece = array.astype(_DTYPES[dtype], copy=False).tobytes(order="C")
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [end, end + len(piece)]}
        end += len(piece)
        pieces.append(piece)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise TableError("header-too-large", f"the header would be {len(text)} bytes, more than {MAX_HEADER}")
    return [len(text).to_bytes(8, "little") + text, *pieces]


def decode(buffer: memoryview, where: str) -> Contents:
    """The contents of a file.

    Args:
        buffer: all bytes of the file.
        where: what the errors call the file.

    Raises:
        TableError: the file breaks a rule of FORMAT.md §2.
    """
    header = _header(buffer, where)
    opening = _opening(header, where)
    start, place, expected = 8 + len(header), opening.end(), 0
    tensors: dict[str, NDArray[Any]] = {}
    while entry := _ENTRY.match(header, place):
        place = entry.end()
        name = entry[1].decode()
        dtype, shape, begin, end = _tensor_entry(name, entry, where)
        if begin != expected:
            raise TableError(
                "tensor-offsets",
                f"{where}: tensor {name!r} begins at byte {begin} of the data, where {expected} is next: "
                "tensors follow each other in the order of the header, without gap or overlap",
            )
        if end > len(buffer) - start:
            raise TableError(
                "data-too-short",
                f"{where}: tensor {name!r} ends at byte {end} of the data, but there are only "
                f"{len(buffer) - start}: the file is cut off",
            )
        if name in tensors:
            raise TableError("tensor-order", f"{where}: there are two tensors {name!r}")
        if len(tensors) == MAX_TENSORS:
            raise TableError("tensor-unknown", f"{where}: there are more than {MAX_TENSORS} tensors")
        flat = np.frombuffer(buffer, dtype=dtype, count=(end - begin) // ITEM_SIZE, offset=start + begin)
        tensors[name] = flat.astype(dtype.newbyteorder("="), copy=False).reshape(shape)
        tensors[name].flags.writeable = False
        expected = end
    if header[place:].rstrip(b" ") != b"}":
        raise _malformed(header, place, where)
    if expected != len(buffer) - start:
        raise TableError(
            "data-too-long",
            f"{where}: the tensors take {expected} bytes, the data section has {len(buffer) - start}: "
            "something was appended",
        )
    return Contents(tensors, _without_escapes(opening[2]), opening[1].decode("ascii"))


def _without_escapes(text: bytes) -> str:
    r"""The text in which `\"` stands for `"` and `\\` for `\`; no zero byte is in it."""
    return text.replace(rb"\\", b"\0").replace(rb"\"", b'"').replace(b"\0", b"\\").decode("ascii")


def _looks_like(buffer: memoryview) -> str:
    """What was given in place of a table, as far as its first bytes tell."""
    first = bytes(buffer[:64])
    if first.startswith((b"\x89HDF\r\n\x1a\n", b"CDF")):
        return "this is a NetCDF file; `quotegrid.read_table` reads an archive that is called so, NAME.nc"
    if first.startswith(b"PK\x03\x04"):
        return "this is a ZIP file, such as an .npz, and no table"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in first):
        return "this is text; if it is a problem file, `quotegrid solve` makes a table of it"
    return "no safetensors file"


def _header(buffer: memoryview, where: str) -> bytes:
    """The text of the header, padding included."""
    if len(buffer) < 8:
        raise TableError("file-too-short", f"{where}: {len(buffer)} bytes are too few for a table")
    length = int.from_bytes(buffer[:8], "little")
    if length > MAX_HEADER:
        raise TableError(
            "header-too-large",
            f"{where}: the header claims {length} bytes, more than the {MAX_HEADER} allowed: "
            f"{_looks_like(buffer)}",
        )
    if 8 + length > len(buffer):
        raise TableError(
            "header-too-long",
            f"{where}: the header claims {length} bytes, the file has {len(buffer)} in all: it is cut off",
        )
    if (8 + length) % ALIGNMENT:
        raise TableError(
            "data-alignment",
            f"{where}: the data section starts at byte {8 + length}, no multiple of {ALIGNMENT}: "
            "the file was rewritten by another program",
        )
    return bytes(buffer[8 : 8 + length])


def _opening(header: bytes, where: str) -> re.Match[bytes]:
    """Version, content hash and metadata at the start of the header."""
    if not header.startswith(START):
        raise TableError(
            "metadata-entry",
            f"{where}: the header starts with {header[:32]!r}, not with {START!r}: no table of quotegrid",
        )
    version, closed, _ = header[len(START) : len(START) + 32].partition(b'"')
    if not closed or version != b"%d" % VERSION:
        raise TableError(
            "format-version",
            f"{where}: table format {version.decode('ascii', 'replace')!r}; this version of quotegrid reads "
            f"format {VERSION}: use the version that wrote the table, or one that is newer",
        )
    opening = _OPENING.match(header)
    if opening is None:
        raise _malformed(header, len(START), where)
    return opening


def _malformed(header: bytes, place: int, where: str) -> TableError:
    return TableError(
        "header-form",
        f"{where}: the header is not of the form of FORMAT.md §2 behind byte {8 + place}: "
        f"{header[place : place + 40]!r}",
    )


def _tensor_entry(
    name: str, entry: re.Match[bytes], where: str
) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    """dtype, shape, first byte and byte after the last one, each checked."""
    dtype = entry[2].decode()
    if dtype not in _DTYPES:
        raise TableError(
            "tensor-dtype", f"{where}: tensor {name!r} has dtype {dtype!r}; allowed: {', '.join(_DTYPES)}"
        )
    sizes = entry[3].split(b",") if entry[3] else []
    shape = tuple(map(int, sizes[: MAX_RANK + 1]))
    if len(shape) > MAX_RANK or math.prod([size or 1 for size in shape]) > MAX_ITEMS:
        raise TableError(
            "tensor-shape",
            f"{where}: tensor {name!r} has shape {shape}, not at most {MAX_RANK} sizes for at most "
            f"{MAX_ITEMS} numbers",
        )
    begin, end = int(entry[4]), int(entry[5])
    size = ITEM_SIZE * math.prod(shape)
    if end - begin != size:
        raise TableError(
            "tensor-size",
            f"{where}: tensor {name!r} of shape {shape} takes {size} bytes, its data_offsets give "
            f"{end - begin}",
        )
    return _DTYPES[dtype], shape, begin, end
