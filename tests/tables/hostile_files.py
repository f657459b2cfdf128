"""Mutations of table files for fuzzing: of their bytes, and of their parts, which are put together again.

Random bytes hardly get past the header and never past the content hash. So most mutants are made of the parts
of a file (tensors with type, shape and data; the metadata), and what a change breaks besides, the offsets,
the length of the header, the content hash, is repaired; now and then it is not.
"""

import hashlib
import json
import random
import re
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

HASH = slice(57, 121)
MOST = 16_000  # bytes of a mutant

_OPENING = re.compile(rb'\{"__metadata__":\{"quotegrid":"1","content_hash":"[0-9a-f]{64}","metadata":"')
_TENSOR = re.compile(
    rb',"([^"]*)":\{"dtype":"([^"]*)","shape":\[([0-9,]*)\],"data_offsets":\[(\d+),(\d+)\]\}'
)
_WORDS = (
    *(b"time", b"factor_0", b"factor_1", b"factor_8", b"parameter_axis_0", b"inventory_0", b"inventory_1"),
    *(
        b"box",
        b"reference_price",
        b"price_box",
        b"start",
        b"life",
        b"lot_size",
        b"unit",
        b"symbol",
        b"regime",
    ),
    *(
        b"factor_name",
        b"parameter_axis_name",
        b"flow_name",
        b"flow_side",
        b"flow_size",
        b"flow_asset",
        b"value",
    ),
    *(b"offset", b"hedge_rate", b"market_order", b"gain", b"parameter", b"parameter_name", b"offset_hold"),
    *(
        b"value_sensitivity",
        b"offset_sensitivity",
        b"gain_sensitivity",
        b"value_curvature",
        b"gain_curvature",
    ),
    *(b"offset_curvature", b"offset_bound", b"offset_bound_parameter", b"F64", b"I64", b"F32", b"[]", b"[0]"),
    *(b"[2,1]", b"281474976710656", b"9999999999999999", b"18446744073709551615", b"0", b'\\"', b"\\", b'"}'),
    *(b"]}", b',"', b'"shape":[', b'"dtype":"', b"{", b"}", b" ", b"-1", b"1e9", b"\\u0000", b"\xff"),
)
_NAMES = _WORDS[: _WORDS.index(b"F64")]
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-9, 0.5, 2.0, 5e-324, 1e300, 1.01e300, 1.7976931348623157e308, 1e-310)
_NUMBERS = (
    *(struct.pack("<d", number) for number in _FLOATS),
    *(struct.pack("<d", float(word)) for word in ("nan", "inf", "-inf")),
    *(struct.pack("<Q", bits) for bits in (1, 2, 3, 2**63, 2**64 - 1, 0x7FF0 << 48 | 1, 0xFFF8 << 48)),
    *(
        struct.pack("<q", number)
        for number in (-2, 1000, 1001, 2**53, 2**53 + 1, 2**62, 0x41, 0xC3, 0x2F, 0x2E)
    ),
)
_SIZES = (0, 1, 2, 3, 4, 5, 8, 12, 32, 33, 1000, 1001, 2**24, 2**31, 2**47, 2**48, 2**48 + 1, 10**16 - 1)
# what stands in place of a value in JSON
_PLAIN = (
    *(
        "null",
        "true",
        "-1",
        "0",
        "-0",
        "1",
        "1.5",
        "1e999",
        "-1e999",
        "1e308",
        "NaN",
        "Infinity",
        "1.0e2",
        '""',
    ),
    *("[]", "{}", '"a"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\n\\u0000"', '"\\u00e9"', "1" * 309, "9" * 400),
    *(
        "1" * 5000,
        '{"level":""}',
        '{"level":"none"}',
        '{"level":1}',
        '{"offset":0,"value":0.5}',
        '["x"]',
        "[1]",
    ),
    *(
        '{"offset":-1,"value":0}',
        '{"a":1,"a":2}',
        '{"level":"none","x":[1,null,true,{"y":0.1}]}',
        '"\\u0007"',
    ),
)
_DEPTHS = (2, 50, 97, 98, 99, 100, 101, 300, 900, 980, 985, 990, 995, 1000, 2000)


def sealed(file: bytes) -> bytes:
    """The file with the content hash that fits, so that nothing is refused for that alone."""
    if len(file) < HASH.stop:
        return file
    blank = file[: HASH.start] + b"0" * 64 + file[HASH.stop :]
    return blank[: HASH.start] + hashlib.sha256(blank).hexdigest().encode() + blank[HASH.stop :]


class Tensor(NamedTuple):
    """One tensor as it stands in a file."""

    name: bytes
    dtype: bytes
    shape: bytes
    data: bytes


class Parts(NamedTuple):
    """A file, taken apart."""

    metadata: bytes  # with its escapes
    tensors: tuple[Tensor, ...]


@lru_cache(1024)
def parts_of(file: bytes) -> Parts | None:
    """The parts of a file; None where its header is of another form."""
    start = 8 + int.from_bytes(file[:8], "little")
    header = file[8:start]
    opening = _OPENING.match(header)
    end = header.find(b'"},"') if opening is None else header.find(b'"},"', opening.end())
    if opening is None or end < 0:
        return None
    tensors = []
    for found in _TENSOR.finditer(header, end + 2):
        name, dtype, shape, first, last = found.groups()
        tensors.append(Tensor(name, dtype, shape, file[start + int(first) : start + int(last)]))
    return Parts(header[opening.end() : end], tuple(tensors))


def joined(parts: Parts) -> bytes:
    """The file of some parts: offsets, padding and content hash fit."""
    header = [
        b'{"__metadata__":{"quotegrid":"1","content_hash":"%s","metadata":"%s"}' % (b"0" * 64, parts.metadata)
    ]
    end = 0
    for name, dtype, shape, data in parts.tensors:
        entry = b',"%s":{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}'
        header.append(entry % (name, dtype, shape, end, end + len(data)))
        end += len(data)
    text = b"".join(header) + b"}"
    text += b" " * (-(8 + len(text)) % 64)
    file = b"".join((len(text).to_bytes(8, "little"), text, *(tensor.data for tensor in parts.tensors)))
    return file[: HASH.start] + hashlib.sha256(file).hexdigest().encode() + file[HASH.stop :]


def mutated(file: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """A mutant of a file; parts may come from others."""
    parts = parts_of(file) if draw.random() < 0.8 else None
    if parts is None or not parts.tensors:
        return _repaired(_other_bytes(bytearray(file), draw), draw)
    while True:
        parts = _other_parts(parts, others, draw)
        if draw.random() < 0.5:
            break
    new = joined(parts)
    if draw.random() < 0.05:
        new = _repaired(_other_bytes(bytearray(new), draw), draw)
    return new if len(new) <= MOST else file


def _other_parts(parts: Parts, others: Sequence[bytes], draw: random.Random) -> Parts:
    tensors, kind = list(parts.tensors), draw.random()
    if kind < 0.12 or not tensors:
        return parts._replace(metadata=_other_metadata(parts.metadata, draw))
    place = draw.randrange(len(tensors))
    if kind < 0.55:
        tensors[place] = _other_data(tensors[place], draw)
    elif kind < 0.75:
        tensors[place] = _other_shape(tensors[place], draw)
    elif kind < 0.78:
        tensors[place] = tensors[place]._replace(name=draw.choice(_NAMES))
    elif kind < 0.81:
        tensors[place] = tensors[place]._replace(dtype=draw.choice((b"F64", b"I64", b"I64", b"F32", b"")))
    elif kind < 0.86:
        del tensors[place]
    elif kind < 0.89:
        where = draw.randrange(len(tensors))
        tensors[place], tensors[where] = tensors[where], tensors[place]
    else:
        tensors = _with_others(tensors, place, parts_of(draw.choice(others)), draw)
    return parts._replace(tensors=tuple(tensors))


def _with_others(tensors: list[Tensor], place: int, other: Parts | None, draw: random.Random) -> list[Tensor]:
    """Some tensors of another file: in place of those of their names, or beside their neighbours there."""
    if other is None or not other.tensors:
        return tensors
    first = draw.randrange(len(other.tensors))
    for number in range(first, min(first + draw.choice((1, 1, 2, 4, 9)), len(other.tensors))):
        names = [tensor.name for tensor in tensors]
        new = other.tensors[number]
        if new.name in names:
            tensors[names.index(new.name)] = new
            continue
        before = other.tensors[number - 1].name if number else None
        tensors.insert(names.index(before) + 1 if before in names else place, new)
    return tensors


def _other_data(tensor: Tensor, draw: random.Random) -> Tensor:
    data = bytearray(tensor.data)
    if not data:
        return tensor
    at = 8 * draw.randrange(len(data) // 8 or 1)
    match draw.randrange(5):
        case 0 | 1:
            data[at : at + 8] = draw.choice(_NUMBERS)
        case 2:
            source = 8 * draw.randrange(len(data) // 8 or 1)
            data[at : at + 8] = data[source : source + 8]
        case 3:
            data[draw.randrange(len(data))] = draw.choice(
                (0, 1, 0x1F, 0x20, 0x2E, 0x2F, 0x7F, 0x80, 0xED, 0xFF)
            )
        case _:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return tensor._replace(data=bytes(data[: len(tensor.data)]))


def _other_shape(tensor: Tensor, draw: random.Random) -> Tensor:
    sizes = [int(size) for size in tensor.shape.split(b",") if size][:14]
    data, place = tensor.data, draw.randrange(len(sizes) or 1)
    match draw.randrange(7):
        case 0:
            sizes.insert(place, 1)
        case 1 if sizes:
            del sizes[place]
        case 2 if sizes:
            sizes[place] = draw.choice(_SIZES)
        case 3 if sizes:  # longer or shorter along one axis, and the data with it
            row = len(data) // sizes[0] if sizes[0] else 8
            most = 2000 if draw.random() < 0.02 else 30
            sizes[0] = draw.choice((0, 1, 2, 3, sizes[0] + 1, max(sizes[0] - 1, 0), 2 * sizes[0], 1001))
            sizes[0] = min(sizes[0], most)
            data = ((data or bytes(8)) * (1 + sizes[0]))[: row * sizes[0]]
        case 4:
            draw.shuffle(sizes)
        case 5:  # nothing, of a shape that says much
            sizes, data = [*(draw.choice(_SIZES) for _ in range(draw.randrange(1, 4))), 0], b""
            draw.shuffle(sizes)
        case _:
            sizes = [draw.choice((0, 1, 1, 2)) for _ in range(draw.choice((0, 1, 2, 3, 12, 13)))]
    return tensor._replace(shape=b",".join(b"%d" % size for size in sizes), data=data)


def _other_metadata(raw: bytes, draw: random.Random) -> bytes:
    text = raw.replace(rb"\\", b"\0").replace(rb"\"", b'"').replace(b"\0", b"\\").decode("latin-1")
    if draw.random() < 0.3:
        return bytes(_other_bytes(bytearray(raw), draw))
    try:
        fields: Any = json.loads(text)
        fields = dict(fields)
        name = draw.choice(sorted(fields))
        match draw.randrange(6):
            case 0:
                del fields[name]
            case 1:
                fields[draw.choice(("a", "problem", "notes", "é", "\ud800"))] = fields[name]
            case 2:
                fields[name] = {"level": "none", "x": [fields[name], "@"]}
            case _:
                fields[name] = "@"
        separators = (",", ":") if draw.random() < 0.97 else (", ", ":")
        text = json.dumps(fields, sort_keys=draw.random() < 0.97, separators=separators)
    except (ValueError, TypeError, LookupError, RecursionError):
        return raw
    if draw.random() < 0.15:
        depth = draw.choice(_DEPTHS)
        opening, closing = draw.choice((("[", "]"), ('{"a":', "}")))
        value = opening * (depth - 1) + draw.choice(("[]", "{}", "1")) + closing * (depth - 1)
    else:
        value = draw.choice(_PLAIN)
    text = text.replace('"@"', value, 1) if draw.random() < 0.98 else value
    return text.replace("\\", "\\\\").replace('"', '\\"').encode("latin-1")


def _other_bytes(new: bytearray, draw: random.Random) -> bytearray:
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(new) or 1)
        if draw.random() < 0.5:
            at = draw.randrange(at + 1)
        match draw.randrange(7):
            case 0 if new:
                new[at] = draw.randrange(256)
                if draw.random() < 0.05:
                    new[:8] = draw.choice(
                        (b"\x89HDF\r\n\x1a\n", b"CDF\1\0\0\0\0", b"PK\3\4\0\0\0\0", b"{       ")
                    )
            case 1 if new:
                new[at] ^= 1 << draw.randrange(8)
            case 2:
                word = draw.choice(_WORDS)
                new[at : at + draw.choice((0, len(word)))] = word
            case 3:
                new[at - at % 8 : at - at % 8 + 8] = draw.choice(_NUMBERS)
            case 4:
                del new[at : at + draw.randrange(16)]
            case 5:
                source = draw.randrange(len(new) or 1)
                new[at:at] = new[source : source + draw.randrange(24)]
            case _ if draw.random() < 0.1:
                del new[at:]
    return new


def _repaired(new: bytearray, draw: random.Random) -> bytes:
    """Often with a length of the header and a content hash that fit again."""
    end = new.rfind(b"]}}") + 3
    if draw.random() < 0.7 and end > 3:
        new[end:end] = b" " * (-end % 64)
        new[:8] = (end + -end % 64 - 8).to_bytes(8, "little")
    return sealed(bytes(new)) if draw.random() < 0.9 else bytes(new)
