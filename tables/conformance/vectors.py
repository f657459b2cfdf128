"""Questions about tables with their exact answers, as files that a reader in any language can try itself on.

    python -m quotegrid.tables.conformance.vectors FOLDER [ROWS]

writes one file for each table of `conformance_tables`, with so many rows each (100 unless given), and for
some one of moments with prices; FORMAT.md §8 and §9 state their form. Those that come with the package have
100 rows.
"""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from quotegrid.tables.conformance.answers import Answer, Question, Refusal, SlowTable
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.conformance.prices import TABLES as PRICED
from quotegrid.tables.conformance.prices import prices_file
from quotegrid.tables.conformance.questions import BETWEEN, OUTSIDE, integer_word, number_word, questions
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.safetensors_file import safetensors_bytes

MAGIC = b"QGVECTOR"
ROWS = 100


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


def _row(table: PolicyTable, question: Question, answer: Answer | Refusal, width: int) -> bytes:
    """One row of words."""
    words = [integer_word(BETWEEN.index(question.between)), integer_word(OUTSIDE.index(question.outside))]
    for place, x in enumerate(question.coordinates):
        words.append(integer_word(int(x)) if place == table.regime_axis else number_word(x))
    words += map(number_word, question.changes)
    if isinstance(answer, Refusal):
        words.append(integer_word(answer.number))
    else:
        words += [integer_word(0), integer_word(sum(1 << axis for axis in answer.clamped))]
        numbers = (answer.value, *answer.offsets, *answer.hedge_rate, *answer.market_order, *answer.shifted)
        words += map(number_word, numbers)
    return b"".join(words).ljust(8 * width, b"\0")


def write_vectors(folder: Path, rows: int = ROWS) -> None:
    """Write the files of all tables into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in conformance_tables():
        with open(folder / f"{name}.vectors", "wb") as file:
            file.writelines(vectors_file(name, table, rows))
        if name in PRICED:
            with open(folder / f"{name}.prices", "wb") as file:
                file.writelines(prices_file(name, table, rows))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m quotegrid.tables.conformance.vectors FOLDER [ROWS]")
    write_vectors(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else ROWS)
