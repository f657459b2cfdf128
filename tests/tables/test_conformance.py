"""The conformance files: up to date, answered bit for bit, refused by name."""

import math
import runpy
import struct
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest

from quotegrid.tables.conformance.answers import Answer, Question, SlowTable
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.conformance.questions import questions
from quotegrid.tables.conformance.vectors import ROWS, vectors_file
from quotegrid.tables.lookup import BETWEEN, OUTSIDE, REFUSALS, Market, QuoteError
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.quoter import Quoter
from quotegrid.tables.safetensors_file import table_of_bytes
from quotegrid.tables.table_error import TableError

FOLDER = Path(__file__).resolve().parents[2] / "tables" / "conformance"
TABLES = dict(conformance_tables())
BROKEN = sorted((FOLDER / "refused").glob("*.safetensors"))


def state_of(table: PolicyTable, coordinates: list[float]) -> tuple[list[float], float | None, Market]:
    """Inventories, time and market of a row of coordinates."""
    numbers = list(coordinates)
    regime = None if table.regime_axis is None else int(numbers.pop(table.regime_axis))
    given = dict(zip([axis.name for axis in table.axes], numbers, strict=True))
    market = Market(
        regime,
        {axis.name: given[axis.name] for axis in table.factors},
        {axis.name: given[axis.name] for axis in table.parameter_axes},
    )
    return numbers[-len(table.symbols) :], given.get("time"), market


class Row:
    """One row of a file of vectors, word by word."""

    def __init__(self, words: bytes) -> None:
        self._words, self._place = words, 0

    def integer(self) -> int:
        self._place += 8
        return struct.unpack_from("<q", self._words, self._place - 8)[0]

    def number(self) -> float:
        self._place += 8
        return struct.unpack_from("<d", self._words, self._place - 8)[0]

    def numbers(self, count: int) -> list[float]:
        return [self.number() for _ in range(count)]

    def rest(self) -> bytes:
        return self._words[self._place :]


def bits(numbers: Sequence[float | None]) -> list[int]:
    """Their bits; all that is no number is one."""
    plain = [math.nan if x is None else float(x) for x in numbers]
    return [0x7FF8 << 48 if math.isnan(x) else struct.unpack("<Q", struct.pack("<d", x))[0] for x in plain]


def check_file(file: bytes) -> tuple[int, int]:
    """Every row of a file of vectors against our reader; how many were answered and refused."""
    magic, table_words, rows, width = struct.unpack_from("<8s3q", file)
    assert magic == b"QGVECTOR"
    start = 64 + 8 * table_words
    assert len(file) == start + 8 * rows * width
    table = table_of_bytes(memoryview(file[64:start]), "vectors")
    quoters = {
        (i, j): Quoter(table, between=BETWEEN[i], outside=OUTSIDE[j]) for i, j in product(range(4), range(2))
    }
    parameters = () if table.sensitivity is None else table.sensitivity.parameters
    before = () if table.sensitivity is None else table.sensitivity.numbers.tolist()
    names = [axis.name for axis in table.axes]
    answered = refused = 0
    for number in range(rows):
        row = Row(file[start + 8 * number * width : start + 8 * (number + 1) * width])
        quoter = quoters[row.integer(), row.integer()]
        coordinates = [
            float(row.integer()) if place == table.regime_axis else row.number()
            for place in range(len(table.lattice_shape))
        ]
        changes = row.numbers(len(parameters))
        inventory, time, market = state_of(table, coordinates)
        refusal = row.integer()
        if refusal:
            with pytest.raises(QuoteError) as caught:
                quoter.quote(inventory, time, market=market)
            assert REFUSALS.index(caught.value.rule) + 1 == refusal, (number, coordinates)
            assert not any(row.rest())
            refused += 1
            continue
        answered += 1
        clamped = row.integer()
        quote = quoter.quote(inventory, time, market=market)
        assert [names.index(name) for name in quote.clamped] == [
            n for n in range(len(names)) if clamped >> n & 1
        ]
        mine = [quote.value, *quote.offsets.values()]
        for control in (quote.hedge_rate, quote.market_order):
            mine += [] if control is None else control if isinstance(control, tuple) else [control]
        assert bits(mine) == bits(row.numbers(len(mine))), (number, coordinates)
        if table.sensitivity is not None:
            shifted = quoter.shifted_by(changes, inventory, time, market)
            mine = [shifted.value, shifted.value_error, *shifted.offsets, *shifted.offset_errors]
            mine += [] if table.gain is None else [shifted.gain, shifted.gain_error]
            assert bits(mine) == bits(row.numbers(len(mine))), (number, coordinates, before)
        assert row.rest() == b""
    return answered, refused


@pytest.mark.parametrize("name", list(TABLES))
def test_files_are_what_their_generator_makes(name: str) -> None:
    assert (FOLDER / f"{name}.vectors").read_bytes() == b"".join(vectors_file(name, TABLES[name], ROWS))


def test_there_is_one_file_for_each_table() -> None:
    assert {file.stem for file in FOLDER.glob("*.vectors")} == set(TABLES)


def test_broken_files_are_what_their_generator_makes() -> None:
    made = runpy.run_path(str(Path(__file__).parent / "broken_files.py"))["broken_files"]()
    assert {file.stem: file.read_bytes() for file in BROKEN} == made


@pytest.mark.parametrize("name", list(TABLES))
def test_every_row_bit_for_bit(name: str) -> None:
    answered, refused = check_file((FOLDER / f"{name}.vectors").read_bytes())
    assert answered > 30
    assert refused > 2


@pytest.mark.deep
@pytest.mark.parametrize("name", list(TABLES))
def test_a_million_rows_bit_for_bit(name: str) -> None:
    rows = 1_000_000 // len(TABLES) + 1
    assert sum(check_file(b"".join(vectors_file(name, TABLES[name], rows)))) == rows


@pytest.mark.parametrize("name", [name for name in TABLES if name != "extreme"])
def test_answers_are_those_of_exact_arithmetic(name: str) -> None:
    """Values and offsets by rational numbers, nothing rounded at all: as close as rounding allows.

    A weight is made by at most 4 roundings, a product of 6 weights and a number by 6 more, a sum of 2⁶
    corners by 64: below 128 half units in the last place of the largest corner in all.
    """
    table, slow = TABLES[name], SlowTable(TABLES[name])
    lattice = table.value.reshape(-1)
    checked = 0
    for question in questions(f"exact {name}", table, 40):
        question = question._replace(between="linear", outside="refuse")
        answer = slow.answer(question)
        if not isinstance(answer, Answer):
            continue
        exact, largest = Fraction(0), 0.0
        for state, weight in exact_corners(table, question):
            exact += weight * Fraction(float(lattice[state]))
            largest = max(largest, abs(float(lattice[state])))
        assert abs(Fraction(answer.value) - exact) <= 64 * Fraction(math.ulp(largest)), question
        checked += 1
    assert checked > 10


def exact_corners(table: PolicyTable, question: Question) -> list[tuple[int, Fraction]]:
    """The corners of a state inside the box, with exact weights."""
    choices: list[list[tuple[int, Fraction]]] = []
    axes = [axis.nodes.tolist() for axis in table.axes]
    if table.regime_axis is not None:
        axes.insert(table.regime_axis, list(range(len(table.regimes))))
    first_lots = len(axes) - len(table.inventories)
    for place, (nodes, x) in enumerate(zip(axes, question.coordinates, strict=True)):
        snap = 1e-9 * (1.0 if place >= first_lots else nodes[-1] - nodes[0])
        near = [i for i, node in enumerate(nodes) if abs(x - node) <= snap]
        if place == table.regime_axis or near:
            choices.append([(int(x) if place == table.regime_axis else near[0], Fraction(1))])
            continue
        i = max(i for i, node in enumerate(nodes) if node < x)
        low, high = Fraction(nodes[i]), Fraction(nodes[i + 1])
        w = (Fraction(x) - low) / (high - low)
        choices.append([(i, 1 - w), (i + 1, w)])
    found = []
    for corner in product(*choices):
        state, weight = 0, Fraction(1)
        for (node, w), size in zip(corner, table.lattice_shape, strict=True):
            state, weight = state * size + node, weight * w
        found.append((state, weight))
    return found


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken_files_are_refused_by_name(path: Path) -> None:
    with pytest.raises(TableError) as caught:
        table_of_bytes(memoryview(path.read_bytes()), "broken.safetensors")
    assert caught.value.rule == path.stem
    assert str(caught.value).endswith(f"[{path.stem}]")
    assert "broken.safetensors" in str(caught.value)


def test_the_command_makes_its_folder_and_says_how_it_is_called(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "quotegrid.tables.conformance.vectors"]
    subprocess.run([*command, str(tmp_path / "new" / "folder"), "2"], check=True)
    assert {path.stem for path in (tmp_path / "new" / "folder").iterdir()} == set(TABLES)
    for words in ([], ["--help"]):
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr.startswith("usage: ") and done.stderr.count("\n") == 1
