"""A table as a C header: arrays of numbers for programs that can read no file, C99 and C++.

    quotes_<symbols>_offset[(time · inventories + inventory) · flows + flow]     row-major, as in FORMAT.md §3

Numbers are decimal, with as many digits as bring back every bit; an offset that is off is NAN. The header
holds numbers and no rules: how to look up between nodes says FORMAT.md, and the C reader does it. What a
loader refuses, such as a damaged or an old table, nobody refuses here.
"""

import re
from collections.abc import Iterator

import numpy as np

from quotegrid.tables.exports.long_form import named_axes
from quotegrid.tables.policy_table import PolicyTable

MOST_NUMBERS = 1_000_000  # some 20 MB of text, which compilers still take
PER_LINE = 6


class TooLargeError(ValueError):
    """The table has too many numbers for a header."""


def c_header(table: PolicyTable) -> str:
    """The text of the header; names begin with `quotes_` and the symbols.

    Raises:
        TooLargeError: the table has more than a million numbers.
    """
    size = table.value.size + table.offset.size
    if size > MOST_NUMBERS:
        raise TooLargeError(
            f"this table has {size:,} numbers, a C header may hold {MOST_NUMBERS:,}; let the program "
            "read the runtime file with the C reader instead"
        )
    return "\n".join(_lines(table))


def _lines(table: PolicyTable) -> Iterator[str]:
    prefix = "quotes_" + "_".join(map(_identifier, table.symbols))
    guard = f"{prefix.upper()}_H"
    yield f"/* Quotes for {_comment(', '.join(table.symbols))}: a policy table of quotegrid as constants."
    yield f"   content hash {table.content_hash}"
    price, time = _comment(table.price_unit), _comment(table.time_unit)
    yield f"   Offsets in {price} from the reference price, NAN where a flow is off; values in {price} x unit"
    yield f"   of the asset; times in {time}; inventories in lots."
    yield "   Row-major: the last index runs fastest. */"
    yield f"#ifndef {guard}"
    yield f"#define {guard}"
    yield "#include <math.h>"
    yield f"static const char {prefix}_content_hash[] = {_text(table.content_hash)};"
    order = list(named_axes(table))
    if table.regime_axis is not None:
        order.insert(table.regime_axis, "regime")
        yield f"enum {{ {prefix}_regime_count = {len(table.regimes)} }};"
        yield _words(f"{prefix}_regime_name", table.regimes)
    for axis_name, nodes in named_axes(table).items():
        name = f"{prefix}_{_identifier(axis_name)}"
        yield f"enum {{ {name}_count = {nodes.size} }};"
        yield from _numbers(name, nodes)
    yield f"enum {{ {prefix}_flow_count = {len(table.flows)} }};"
    if table.flows:
        yield _words(f"{prefix}_flow_label", table.flow_labels)
        names = [_identifier(label) for label in table.flow_labels]
        for number, name in enumerate(names):
            own = name if names.count(name) == 1 else f"{name}_{number}"
            yield f"enum {{ {prefix}_flow_{own} = {number} }};"
        yield f"static const int {prefix}_flow_side[] = {{{', '.join(str(f.sign) for f in table.flows)}}};"
        sizes = ", ".join(f"{flow.size}LL" for flow in table.flows)
        yield f"static const long long {prefix}_flow_size[] = {{{sizes}}};"
        yield f"/* [{', '.join(map(_comment, order))}, flow] */"
        yield from _numbers(f"{prefix}_offset", table.offset)
    yield f"/* [{', '.join(map(_comment, order))}] */"
    yield from _numbers(f"{prefix}_value", table.value)
    if table.gain is not None:
        yield f"static const double {prefix}_gain = {_number(table.gain)};"
    yield "#endif"
    yield ""


def _numbers(name: str, array: np.ndarray) -> Iterator[str]:
    words = [_number(number) for number in array.ravel().tolist()]
    yield f"static const double {name}[{len(words)}] = {{"
    for start in range(0, len(words), PER_LINE):
        yield f"  {', '.join(words[start : start + PER_LINE])},"
    yield "};"


def _number(number: float) -> str:
    if number != number:
        return "NAN"
    text = repr(float(number))
    return text if any(mark in text for mark in ".e") else f"{text}.0"


def _words(name: str, words: tuple[str, ...]) -> str:
    return f"static const char *const {name}[] = {{{', '.join(map(_text, words))}}};"


def _text(text: str) -> str:
    """A C string literal: what is no plain letter, digit or the like is its UTF-8 bytes in octal."""
    plain = re.compile(rb"[A-Za-z0-9 ./_+-]")
    octets = (bytes([byte]) for byte in text.encode())
    return '"' + "".join(o.decode() if plain.fullmatch(o) else f"\\{o[0]:03o}" for o in octets) + '"'


def _comment(text: str) -> str:
    """Text that cannot end a comment."""
    return re.sub(r"[^A-Za-z0-9 .,_+()-]", "?", text)


def _identifier(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower() or "x"
