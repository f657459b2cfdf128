"""Questions about tables with their exact answers, as files that a reader in any language can try itself on.

    python -m quotegrid.tables.conformance_vectors FOLDER [ROWS]

writes one file for each table of `conformance_tables`, with so many rows each (100 unless given); FORMAT.md
§8 states their form. The files that come with the package are those of 100 rows.
"""

import math
import random
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from quotegrid.tables.conformance_answers import Answer, Question, Refusal, SlowTable
from quotegrid.tables.conformance_tables import conformance_tables
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.safetensors_file import safetensors_bytes

MAGIC = b"QGVECTOR"
ROWS = 100
BETWEEN = ("exact", "nearest", "towards_flat", "linear")
OUTSIDE = ("refuse", "clamp")
SNAP = 1e-9


def vectors_file(name: str, table: PolicyTable, rows: int) -> Iterator[bytes]:
    """The file of one table, piece by piece."""
    file, slow, width = safetensors_bytes(table), SlowTable(table), row_words(table)
    yield struct.pack("<8s7q", MAGIC, len(file) // 8, rows, width, 0, 0, 0, 0)
    yield file
    for question in questions(name, table, rows):
        yield _row(table, question, slow.answer(question), width)


def row_words(table: PolicyTable) -> int:
    """How many words a row has."""
    flows, assets = len(table.flows), len(table.symbols)
    words = 2 + len(table.lattice_shape) + 2 + 1 + flows
    words += assets * ((table.hedge_rate is not None) + (table.market_order is not None))
    if table.sensitivity is not None:
        words += len(table.sensitivity.parameters) + 2 + 2 * flows + 2 * (table.gain is not None)
    return words


def questions(name: str, table: PolicyTable, rows: int) -> Iterator[Question]:
    """States on nodes, between them, on edges, just outside and a hair beside them, under all rules."""
    draw = random.Random(f"questions about {name}")
    count = 0 if table.sensitivity is None else len(table.sensitivity.parameters)
    first_lots = len(table.axes) - len(table.inventories)
    axes = [axis.nodes.tolist() for axis in table.axes]
    boxes = [(nodes[0], nodes[-1]) for nodes in axes] if table.box is None else table.box.tolist()
    for row in range(rows):
        # most questions stay inside, or tables of many axes would have few answers
        wild = draw.random() < 0.25
        between, outside = BETWEEN[row % 4], OUTSIDE[row // 4 % 2]
        coordinates: list[float] = []
        for number, (nodes, box) in enumerate(zip(axes, boxes, strict=True)):
            snap = SNAP if number >= first_lots else SNAP * (nodes[-1] - nodes[0])
            exact = between == "exact" and number >= first_lots and draw.random() < 0.8
            coordinates.append(_coordinate(draw, nodes, box, snap, wild, exact))
        if table.regime_axis is not None:
            count_of = len(table.regimes)
            regime = draw.choice((-1, count_of, 2**62)) if draw.random() < 0.03 else draw.randrange(count_of)
            coordinates.insert(table.regime_axis, regime)
        sizes = (0.0, 0.0, 0.5, -1.0, 1e-3, -0.3, 4.0)
        changes = tuple(draw.choice(sizes) * draw.random() for _ in range(count))
        yield Question(between, outside, tuple(coordinates), changes)


def _coordinate(
    draw: random.Random, nodes: list[float], box: tuple[float, float], snap: float, wild: bool, exact: bool
) -> float:
    """One number on or beside an axis."""
    low, high = box
    inside = [node for node in nodes if low <= node <= high] or [low]
    node = draw.choice(inside)
    if exact:
        return node + draw.choice((0.0, 0.0, 0.5, -0.5)) * snap
    if wild and draw.random() < 0.4:
        end = draw.choice((low, high))
        beside = end + draw.choice((-1.0, 1.0)) * draw.choice((0.5, 1.0, 1.5, 1e3, 1e9)) * snap
        far = (math.nan, math.inf, -math.inf, 1e308, -7.0, 12.0)
        return draw.choice((beside, beside, beside, draw.choice(far)))
    kind = draw.randrange(8)
    if kind < 2:
        return node
    if kind == 2:
        return node + draw.choice((-1.5, -1.0, -0.5, 0.5, 1.0, 1.5)) * snap
    if kind == 3:
        return math.nextafter(node, draw.choice((-math.inf, math.inf)))
    above = draw.randrange(len(nodes))
    share = 0.5 if kind == 4 else draw.random()
    return min(max(nodes[above - 1] + share * (nodes[above] - nodes[above - 1]), low), high)


def _row(table: PolicyTable, question: Question, answer: Answer | Refusal, width: int) -> bytes:
    """One row of words."""
    words = [_integer(BETWEEN.index(question.between)), _integer(OUTSIDE.index(question.outside))]
    for place, x in enumerate(question.coordinates):
        words.append(_integer(int(x)) if place == table.regime_axis else _number(x))
    words += map(_number, question.changes)
    if isinstance(answer, Refusal):
        words.append(_integer(answer.number))
    else:
        words += [_integer(0), _integer(sum(1 << axis for axis in answer.clamped))]
        numbers = (answer.value, *answer.offsets, *answer.hedge_rate, *answer.market_order, *answer.shifted)
        words += map(_number, numbers)
    return b"".join(words).ljust(8 * width, b"\0")


def _integer(number: int) -> bytes:
    return struct.pack("<q", number)


def _number(number: float) -> bytes:
    return struct.pack("<Q", 0x7FF8 << 48) if math.isnan(number) else struct.pack("<d", number)


def write_vectors(folder: Path, rows: int = ROWS) -> None:
    """Write the files of all tables into a folder."""
    for name, table in conformance_tables():
        with open(folder / f"{name}.vectors", "wb") as file:
            file.writelines(vectors_file(name, table, rows))


if __name__ == "__main__":
    write_vectors(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else ROWS)
