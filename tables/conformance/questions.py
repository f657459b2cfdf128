"""Questions about a table: states on nodes, between them, on edges, just outside and a hair beside them."""

import math
import random
import struct
from collections.abc import Iterator

from quotegrid.tables.conformance.answers import Question
from quotegrid.tables.policy_table import PolicyTable

BETWEEN = ("exact", "nearest", "towards_flat", "linear")
OUTSIDE = ("refuse", "clamp")
SNAP = 1e-9


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


def integer_word(number: int) -> bytes:
    """A number as a word of a conformance file; there is one NaN."""
    return struct.pack("<q", number)


def number_word(number: float) -> bytes:
    """A number as a word of a conformance file; there is one NaN."""
    return struct.pack("<Q", 0x7FF8 << 48) if math.isnan(number) else struct.pack("<d", number)
