"""The bytes of a safetensors container, as FORMAT.md §2 states them.

    8 bytes     N, the length of the header, little endian
    N bytes     the header: a JSON object, padded with spaces until 8 + N is a multiple of 64
    the rest    the tensors, row-major and little endian, in the order of the header, without gaps

`encode` makes them, `decode` reads them; neither knows what the tensors mean. Everything is checked before
anything is used, each broken rule has its own name, and no memory is taken in proportion to a number found in
the file.
"""

import json
import math
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.canonical_json import RepeatedKeyError, read_strict_json
from quotegrid.tables.table_error import TableError

ALIGNMENT = 64  # bytes; of the data section
MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors format
METADATA_KEY = "quotegrid"
MAX_RANK = 16  # axes of a tensor
MAX_ITEMS = 2**48  # numbers in a tensor, empty axes counted as 1
ITEM_SIZE = 8  # bytes; F64 and I64 are the only types of version 1

_DTYPES = {"F64": np.dtype("<f8"), "I64": np.dtype("<i8")}
_NAMES = {"f": "F64", "i": "I64"}


def encode(tensors: Mapping[str, NDArray[Any]], metadata: str) -> list[bytes]:
    """The file as pieces to be written one after the other: the header, then each tensor.

    Args:
        tensors: name → float64 or int64 array of any shape, in the order of the file.
        metadata: the one metadata entry, canonical JSON.
    """
    header: dict[str, object] = {"__metadata__": {METADATA_KEY: metadata}}
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


def decode(buffer: memoryview, where: str) -> tuple[dict[str, NDArray[Any]], str]:
    """The tensors (read-only views of `buffer`, native byte order) and the metadata entry of a file.

    Args:
        buffer: all bytes of the file.
        where: what the errors call the file.

    Raises:
        TableError: the file breaks a rule of FORMAT.md §2.
    """
    start, header = _read_header(buffer, where)
    metadata = _metadata_entry(header.pop("__metadata__", None), where)
    tensors = {}
    expected = 0
    for name, entry in header.items():
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
                f"{len(buffer) - start}: "
                "the file is cut off",
            )
        flat = np.frombuffer(buffer, dtype=dtype, count=(end - begin) // ITEM_SIZE, offset=start + begin)
        tensors[name] = flat.astype(dtype.newbyteorder("="), copy=False).reshape(shape)
        tensors[name].flags.writeable = False
        expected = end
    if expected != len(buffer) - start:
        raise TableError(
            "data-too-long",
            f"{where}: the tensors take {expected} bytes, the data section has {len(buffer) - start}: "
            "something was appended",
        )
    return tensors, metadata


def _read_header(buffer: memoryview, where: str) -> tuple[int, dict[str, Any]]:
    """Where the data section starts, and the header as JSON."""
    if len(buffer) < 8:
        raise TableError("file-too-short", f"{where}: {len(buffer)} bytes are too few for a table")
    length = int.from_bytes(buffer[:8], "little")
    if length > MAX_HEADER:
        raise TableError(
            "header-too-large",
            f"{where}: the header claims {length} bytes, more than the {MAX_HEADER} allowed: no safetensors "
            "file",
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
    raw = bytes(buffer[8 : 8 + length])
    if not raw.startswith(b"{"):
        raise TableError("header-start", f"{where}: the header starts with {raw[:1]!r}, not with '{{'")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise TableError(
            "header-ascii", f"{where}: the header has the byte {raw[error.start]:#04x}, outside of ASCII"
        ) from None
    try:
        if not text.rstrip(" ").endswith("}"):
            raise ValueError("it does not end with '}' and spaces")
        header = read_strict_json(text.rstrip(" "))
    except RepeatedKeyError as error:
        raise TableError("header-repeated-key", f"{where}: in the header {error}") from None
    except ValueError as error:
        raise TableError("header-json", f"{where}: the header is not JSON: {error}") from None
    return 8 + length, header


def _metadata_entry(found: object, where: str) -> str:
    """The text under the one key of `__metadata__`."""
    if not (
        isinstance(found, dict) and list(found) == [METADATA_KEY] and isinstance(found[METADATA_KEY], str)
    ):
        raise TableError(
            "metadata-entry",
            f"{where}: __metadata__ is not an object with the one entry {METADATA_KEY!r}: no table of "
            "quotegrid",
        )
    return found[METADATA_KEY]


def _tensor_entry(name: str, entry: object, where: str) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    """dtype, shape, first byte and byte after the last one, each checked."""
    if not (isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}):
        raise TableError(
            "tensor-entry", f"{where}: tensor {name!r} does not have dtype, shape and data_offsets alone"
        )
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and dtype in _DTYPES):
        raise TableError(
            "tensor-dtype", f"{where}: tensor {name!r} has dtype {dtype!r}; allowed: {', '.join(_DTYPES)}"
        )
    if not _is_size(shape):
        raise TableError(
            "tensor-shape",
            f"{where}: tensor {name!r} has shape {reprlib.repr(shape)}, not a list of at most {MAX_RANK} "
            "sizes "
            f"for at most {MAX_ITEMS} numbers",
        )
    if not (_whole_numbers(offsets) and len(offsets) == 2):
        raise TableError(
            "tensor-offsets",
            f"{where}: tensor {name!r} has data_offsets {reprlib.repr(offsets)}, not [first, end]",
        )
    begin, end = offsets
    size = ITEM_SIZE * math.prod(shape)
    if end - begin != size:
        raise TableError(
            "tensor-size",
            f"{where}: tensor {name!r} of shape {shape!r} takes {size} bytes, its data_offsets give "
            f"{end - begin}",
        )
    return _DTYPES[dtype], tuple(shape), begin, end


def _whole_numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _is_size(shape: object) -> bool:
    """Few enough axes, and few enough numbers even if no axis were empty."""
    if not (isinstance(shape, list) and len(shape) <= MAX_RANK and _whole_numbers(shape)):
        return False
    return math.prod(max(size, 1) for size in shape) <= MAX_ITEMS
