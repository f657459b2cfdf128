"""The Numba reader: bit for bit inside compiled functions, refusals as numbers, nothing allocated."""

import struct
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.tables.conformance_prices import TABLES as PRICED
from quotegrid.tables.conformance_prices import prices_file
from quotegrid.tables.conformance_tables import conformance_tables
from quotegrid.tables.conformance_vectors import vectors_file
from quotegrid.tables.guarded_quoter import ROUNDING
from quotegrid.tables.lookup import BETWEEN, OUTSIDE
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.safetensors_file import table_of_bytes

numba: Any = pytest.importorskip("numba", reason="no Numba here to compile the reader with")
qn: Any = pytest.importorskip("quotegrid.tables.numba_reader")

CONFORMANCE = Path(__file__).resolve().parents[2] / "tables" / "conformance"
TABLES = dict(conformance_tables())
NAN = 0x7FF8 << 48


def of_row(column: Any, row: int) -> Any: ...


@numba.extending.overload(of_row)
def _of_row(column, row) -> Any:
    if isinstance(column, numba.types.NoneType):
        return lambda column, row: None
    return lambda column, row: column[row]


@numba.njit
def ask(table: Any, corners: Any, given: Any, changes: Any, controls: Any, whole: Any, numbers: Any) -> None:
    """The words after the question of each row; refusal and clamped axes in `whole`."""
    inventory, time, regime, factors, parameters = given
    for row in range(len(whole)):
        whole[row, 0] = qn.look_up(
            table,
            corners,
            inventory[row],
            of_row(time, row),
            of_row(regime, row),
            of_row(factors, row),
            of_row(parameters, row),
        )
        whole[row, 1] = corners.clamped
        if whole[row, 0]:
            whole[row, 1] = 0
        else:
            answer(table, corners, changes[row], controls, numbers[row])


@numba.njit
def answer(table: Any, corners: Any, changes: Any, controls: Any, numbers: Any) -> None:
    """The numbers of one row."""
    flows, (hedges, orders, shifts, gains) = len(table.flows), controls
    numbers[0] = qn.value(table, corners)
    place = 1
    for flow in range(flows):
        numbers[place + flow] = qn.offset(table, corners, flow)
    place += flows
    for asset in range(hedges):
        numbers[place + asset] = qn.hedge_rate(table, corners, asset)
    place += hedges
    for asset in range(orders):
        numbers[place + asset] = qn.market_order(table, corners, asset)
    place += orders
    if shifts:
        numbers[place], numbers[place + 1] = qn.shifted_value(table, corners, changes)
        place += 2
        for flow in range(flows):
            after = qn.shifted_offset(table, corners, flow, changes)
            numbers[place + flow], numbers[place + flows + flow] = after
        place += 2 * flows
    if gains:
        numbers[place], numbers[place + 1] = qn.shifted_gain(table, changes)


def columns(table: PolicyTable, words: Any) -> tuple[tuple[Any, ...], Any, int]:
    """Coordinates as the reader takes them, changes of the parameters, and where the answers begin."""
    numbers, place = words.view(np.float64), 2
    time = regime = None
    if table.times is not None:
        time, place = numbers[:, place].copy(), place + 1
    if table.regimes:
        regime, place = words[:, place].copy(), place + 1
    rows = []
    for count in (len(table.factors), len(table.parameter_axes), len(table.symbols)):
        rows.append(numbers[:, place : place + count].copy() if count else None)
        place += count
    factors, parameters, inventory = rows
    count = 0 if table.sensitivity is None else len(table.sensitivity.parameters)
    changes = numbers[:, place : place + count].copy()
    return (inventory, time, regime, factors, parameters), changes, place + count


def check_file(file: bytes) -> tuple[int, int]:
    """Every row of a file of vectors; how many were answered and refused."""
    magic, table_words, rows, width = struct.unpack_from("<8s3q", file)
    assert magic == b"QGVECTOR"
    start = 64 + 8 * table_words
    table = table_of_bytes(memoryview(file[64:start]), "vectors")
    words = np.frombuffer(file, np.int64, rows * width, start).reshape(rows, width)
    assets = len(table.symbols)
    shifts = table.sensitivity is not None
    controls = (
        assets * (table.hedge_rate is not None),
        assets * (table.market_order is not None),
        int(shifts),
        int(shifts and table.gain is not None),
    )
    corners = qn.new_corners()
    refused = 0
    for i, j in product(range(4), range(2)):
        asked = words[(words[:, 0] == i) & (words[:, 1] == j)]
        given, changes, first = columns(table, asked)
        found = np.zeros((len(asked), width - first), np.int64)
        numbers = np.zeros((len(asked), width - first - 2))
        jitted = qn.jitted_table(table, BETWEEN[i], OUTSIDE[j])
        ask(jitted, corners, given, changes, controls, found[:, :2], numbers)
        found[:, 2:] = np.where(np.isnan(numbers), NAN, numbers.view(np.int64))
        assert np.array_equal(found, asked[:, first:]), (i, j)
        refused += int(np.count_nonzero(found[:, 0]))
    return rows - refused, refused


@numba.njit
def price_rows(
    table: Any, choices: Any, corners: Any, prices: Any, given: Any, market: Any, whole: Any, numbers: Any
) -> None:
    """The words after the question of each moment; the prices themselves in `numbers`."""
    inventory, time, regime, factors, parameters = given
    ticks, reference, bid, ask, now = market
    for row in range(len(whole)):
        whole[row, 0] = qn.look_up_prices(
            qn.JittedQuoter(table, ticks[row], choices[0], choices[1]),
            corners,
            prices,
            reference[row],
            bid[row],
            ask[row],
            inventory[row],
            now[row],
            of_row(time, row),
            of_row(regime, row),
            of_row(factors, row),
            of_row(parameters, row),
        )
        for flow in range(len(prices)):
            whole[row, 1 + 3 * flow] = not np.isnan(prices[flow].price)
            whole[row, 2 + 3 * flow] = prices[flow].ticks
            numbers[row, flow] = prices[flow].price


def check_prices(file: bytes) -> tuple[int, int]:
    """Every row of a file of moments; how many had prices and how many were refused."""
    magic, table_words, rows, width = struct.unpack_from("<8s3q", file)
    assert magic == b"QGPRICES"
    start = 64 + 8 * table_words
    table = table_of_bytes(memoryview(file[64:start]), "prices")
    words = np.frombuffer(file, np.int64, rows * width, start).reshape(rows, width)
    assets, corners, refused = len(table.symbols), qn.new_corners(), 0
    for i, j, inward, post_only in product(range(4), range(2), range(2), range(2)):
        asked = words[(words[:, :4] == (i, j, inward, post_only)).all(axis=1)]
        given, _, first = columns(table, np.ascontiguousarray(asked[:, 2:]))
        first += 2
        numbers = asked[:, first : first + 1 + 4 * assets].copy().view(np.float64)
        market = (*(numbers[:, 1 + kind :: 4].copy() for kind in range(4)), numbers[:, 0].copy())
        quoter = qn.jitted_quoter(
            table,
            table.symbols,
            [1.0] * assets,
            ROUNDING[inward],
            bool(post_only),
            BETWEEN[i],
            OUTSIDE[j],
        )
        answers = asked[:, first + 1 + 4 * assets :]
        found, found_prices = np.zeros_like(answers), np.zeros((len(asked), len(table.flows)))
        prices, choices = qn.new_prices(quoter), (quoter.outward, quoter.post_only)
        price_rows(quoter.table, choices, corners, prices, given, market, found, found_prices)
        found[:, 3::3] = np.where(np.isnan(found_prices), NAN, found_prices.view(np.int64))
        no_price = np.tile([0, 0, NAN], len(table.flows))
        assert (found[found[:, 0] > 0, 1:] == no_price).all()
        found[found[:, 0] > 0, 1:] = 0
        assert np.array_equal(found, answers), (i, j, inward, post_only)
        refused += int(np.count_nonzero(found[:, 0]))
    return rows - refused, refused


@pytest.mark.parametrize("name", list(TABLES))
def test_every_row_bit_for_bit(name: str) -> None:
    answered, refused = check_file((CONFORMANCE / f"{name}.vectors").read_bytes())
    assert answered > 30
    assert refused > 2


@pytest.mark.parametrize("name", PRICED)
def test_every_price(name: str) -> None:
    priced, refused = check_prices((CONFORMANCE / f"{name}.prices").read_bytes())
    assert priced > 20
    assert refused > 10


@pytest.mark.deep
@pytest.mark.parametrize("name", list(TABLES))
def test_a_million_rows_bit_for_bit(name: str) -> None:
    rows = 1_000_000 // len(TABLES) + 1
    assert sum(check_file(b"".join(vectors_file(name, TABLES[name], rows)))) == rows
    if name in PRICED:
        assert sum(check_prices(b"".join(prices_file(name, TABLES[name], rows // 4)))) == rows // 4
