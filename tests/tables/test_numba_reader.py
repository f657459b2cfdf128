"""The Numba reader: bit for bit inside compiled functions, refusals as numbers, nothing allocated."""

import importlib
import random
import re
import struct
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.conformance.prices import TABLES as PRICED
from quotegrid.tables.conformance.prices import prices_file
from quotegrid.tables.conformance.vectors import vectors_file
from quotegrid.tables.guarded_quoter import ROUNDING, GuardedQuoter, Moment
from quotegrid.tables.lookup import BETWEEN, OUTSIDE, REFUSALS, QuoteError
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.quoter import Quoter
from quotegrid.tables.safetensors_file import (
    read_safetensors,
    safetensors_bytes,
    table_of_bytes,
    write_safetensors,
)

numba: Any = pytest.importorskip("numba", reason="no Numba here to compile the reader with")
qn: Any = pytest.importorskip("quotegrid.tables.numba_reader")

CONFORMANCE = Path(__file__).resolve().parents[2] / "tables" / "conformance"
TABLES = dict(conformance_tables())
NAN = 0x7FF8 << 48


def bits(numbers: Any) -> list[int]:
    """Their bits; all that is no number is one."""
    plain = np.array([np.nan if x is None else x for x in numbers])
    return np.where(np.isnan(plain), NAN, plain.view(np.int64)).tolist()


def of_row(column: Any, row: int) -> Any:
    return None if column is None else column[row]


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
            factors[row],
            parameters[row],
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
        rows.append(numbers[:, place : place + count].copy())  # of no axes, none: one type for all tables
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
            factors[row],
            parameters[row],
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


@pytest.mark.parametrize("name", ["ergodic", "box", "two-assets", "three-assets", "everything"])
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


def test_one_wrong_bit_is_seen() -> None:
    file = bytearray((CONFORMANCE / "finite.vectors").read_bytes())
    _, words, rows, width = struct.unpack_from("<8s3q", file)
    answered = next(
        place
        for place in range(64 + 8 * words, 64 + 8 * (words + rows * width), 8 * width)
        if struct.unpack_from("<q", file, place + 32)[0] == 0
    )
    file[answered + 48] ^= 1  # the value
    with pytest.raises(AssertionError):
        check_file(bytes(file))


def quoted_offsets(table: Any, corners: Any, lots: Any, times: Any, found: Any) -> None:
    """[state, flow]; 1e9 where a flow is not quoted."""
    for state in range(len(lots)):
        qn.look_up(table, corners, lots[state], times[state])
        for flow in range(found.shape[1]):
            number = qn.offset(table, corners, flow)
            found[state, flow] = number if qn.is_quoted(number) else 1e9


def test_fast_maths_of_a_strategy_changes_no_bit_and_nothing_is_allocated() -> None:
    table, draw = TABLES["finite"], random.Random(7)
    axes = dict(table.axes)
    (low, high), (start, end) = ((axes[name][0], axes[name][-1]) for name in ("inventory", "time"))
    lots = np.array([draw.uniform(low, high) for _ in range(500)])
    times = np.array([draw.uniform(start, end) for _ in range(500)])
    found = np.zeros((500, len(table.flows)))
    fast = numba.njit(fastmath=True)(quoted_offsets)
    fast(qn.jitted_table(table, "linear"), qn.new_corners(), lots, times, found)
    quoter = Quoter(table, "linear")
    wanted = [quoter.offsets(x, t) for x, t in zip(lots.tolist(), times.tolist(), strict=True)]
    assert np.array_equal(found, np.where(np.isnan(wanted), 1e9, wanted))
    assert (found == 1e9).any() and not (found == 1e9).all()
    (compiled,) = fast.inspect_llvm().values()
    inside = compiled[compiled.index("define") :].split("\n}")[0]
    assert "quoted_offsets" in inside and " fmul double" in inside
    assert "NRT_Allocate" not in inside and "NRT_incref" not in inside


def test_strategies_can_be_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cached_strategy.py").write_text(
        "import numba\n"
        "import quotegrid.tables.numba_reader as qn\n"
        "@numba.njit(cache=True)\n"
        "def strategy(table, corners, lots):\n"
        "    return qn.look_up(table, corners, lots), qn.offset(table, corners, 0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    table = qn.jitted_table(TABLES["ergodic"])
    for hits in (0, 1):
        module = importlib.import_module("cached_strategy")
        refusal, bid = module.strategy(table, qn.new_corners(), 0)
        assert (refusal, bid) == (0, Quoter(TABLES["ergodic"]).offsets(0)[0])
        assert sum(module.strategy.stats.cache_hits.values()) == hits
        del sys.modules["cached_strategy"]


def test_refusals_have_the_numbers_of_the_document() -> None:
    for number, name in enumerate(REFUSALS, 1):
        if name not in ("wrong-symbol", "wrong-tick"):  # at load, by their names
            assert getattr(qn, name.upper().replace("-", "_")) == number


def test_a_refusal_leaves_no_number() -> None:
    """The functions as plain Python, which they are where they are not compiled."""
    table, corners = qn.jitted_table(TABLES["two-assets"]), qn.new_corners()

    def numbers() -> list[float]:
        found = [qn.value(table, corners), qn.offset(table, corners, 0)]
        return [*found, qn.hedge_rate(table, corners, 1), qn.market_order(table, corners, 1)]

    assert np.isnan(numbers()).all()  # nothing was asked
    assert qn.look_up(table, corners, (1.0, 0.0), time=0.0) == 0
    assert np.isfinite(numbers()).all()
    for flow in (-1, len(TABLES["two-assets"].flows)):
        assert np.isnan(qn.offset(table, corners, flow))
    for asset in (-1, 2):
        assert np.isnan([qn.hedge_rate(table, corners, asset), qn.market_order(table, corners, asset)]).all()
    assert qn.look_up(table, corners, (0.0, np.nan), time=0.0) == qn.NOT_A_NUMBER
    assert np.isnan(numbers()).all()
    assert np.isnan(qn.shifted_value(table, corners, (0.1,))).all()
    assert np.isnan(qn.shifted_gain(table, (0.1,))).all()


def test_shifts_want_one_finite_change_for_each_parameter() -> None:
    table, corners = qn.jitted_table(TABLES["sensitivities"]), qn.new_corners()
    count, coordinates = table.layout.sensitivities, {}
    if table.layout.times:
        coordinates["time"] = 0.0
    assert qn.look_up(table, corners, 0.0, **coordinates) == 0
    assert np.isfinite(qn.shifted_value(table, corners, np.full(count, 1e-3))).all()
    for changes in ((), np.zeros(count + 1), np.full(count, np.nan), np.full(count, np.inf)):
        assert np.isnan(qn.shifted_value(table, corners, changes)).all()
        assert np.isnan(qn.shifted_offset(table, corners, 0, changes)).all()
    assert np.isnan(qn.shifted_offset(table, corners, len(table.flows), np.zeros(count))).all()


@pytest.mark.parametrize("name", list(TABLES))
def test_coordinates_are_those_of_the_axes(name: str) -> None:
    table, corners = TABLES[name], qn.new_corners()
    jitted = qn.jitted_table(table)
    middle = {axis.name: axis.nodes[0] for axis in table.axes} | (
        {} if table.box is None else dict(zip([a.name for a in table.axes], table.box[:, 0], strict=True))
    )
    right: dict[str, Any] = {
        "inventory": [middle[axis] for axis in table.inventory_names],
        "time": middle.get("time"),
        "regime": 0 if table.regimes else None,
        "factors": [middle[axis.name] for axis in table.factors] or None,
        "parameters": [middle[axis.name] for axis in table.parameter_axes] or None,
    }
    assert qn.look_up(jitted, corners, **right) == 0
    for key, given in right.items():
        others = [None, [1.0] * 9] if isinstance(given, list) else [1 if given is None else None]
        for other in others:
            assert qn.look_up(jitted, corners, **(right | {key: other})) == qn.WRONG_COORDINATES
    if table.regimes:
        for regime in (-1, len(table.regimes)):
            assert qn.look_up(jitted, corners, **(right | {"regime": regime})) == qn.UNKNOWN_REGIME


def test_what_is_no_coordinate_does_not_compile() -> None:
    table, corners = qn.jitted_table(TABLES["regimes"]), qn.new_corners()

    @numba.njit
    def ask(table: Any, corners: Any, lots: Any, regime: Any) -> int:
        return qn.look_up(table, corners, lots, regime=regime)

    error = numba.core.errors.TypingError
    with pytest.raises(error, match=r"a regime of type float64: give its number, an integer from 0"):
        ask(table, corners, 1.0, 1.0)
    with pytest.raises(error, match=r"a coordinate of type .*: give a number, or for several a tuple"):
        ask(table, corners, (1, 2.0), 1)
    with pytest.raises(TypeError, match="float"):
        qn.look_up(table, corners, 1.0, regime=1.0)


def test_the_map_is_shared(tmp_path: Path) -> None:
    write_safetensors(TABLES["everything"], tmp_path / "table.safetensors")
    table = read_safetensors(tmp_path / "table.safetensors")
    jitted = qn.jitted_table(table)
    for array in (table.value, table.offset, table.axes[0].nodes):
        assert np.shares_memory(jitted.numbers, array) and np.shares_memory(jitted.integers, array)
    assert not any(array.flags.writeable for array in jitted[4:])


def test_a_table_of_no_file_is_copied_together() -> None:
    jitted, corners = qn.jitted_table(TABLES["everything"]), qn.new_corners()
    mapped = qn.jitted_table(table_of_bytes(memoryview(safetensors_bytes(TABLES["everything"])), "bytes"))
    assert not np.shares_memory(jitted.numbers, TABLES["everything"].value)
    assert not any(array.flags.writeable for array in jitted[4:])
    found = []
    for table in (jitted, mapped):
        layout = table.layout
        low = [layout.axes[n].low for n in range(layout.times + layout.factors + layout.parameter_axes)]
        time, *rest = low if layout.times else (None, *low)
        lots = [qn.lookup.inventory_axis(table, asset).low for asset in range(layout.assets)]
        factors, parameters = rest[: layout.factors], rest[layout.factors :]
        assert qn.look_up(table, corners, lots, time, 0, factors, parameters) == 0
        changes = np.full(layout.sensitivities, 1e-3)
        found.append([qn.value(table, corners), *qn.shifted_value(table, corners, changes)])
        for flow in range(len(table.flows)):
            found[-1] += qn.shifted_offset(table, corners, flow, changes)
    assert bits(found[0]) == bits(found[1])


def test_wrong_choices_are_refused_at_load() -> None:
    table = TABLES["ergodic"]
    with pytest.raises(
        QuoteError, match=r"^between='near' is no rule; allowed: exact, nearest, towards_flat"
    ):
        qn.jitted_table(table, between="near")
    with pytest.raises(QuoteError, match=r"^outside='warn' is no rule; allowed: refuse, clamp$"):
        qn.jitted_table(table, outside="warn")
    with pytest.raises(QuoteError) as caught:
        qn.jitted_quoter(table, ["OTHER"], [0.01])
    assert caught.value.rule == "wrong-symbol"
    with pytest.raises(QuoteError) as caught:
        qn.jitted_quoter(table, table.symbols, [0.0])
    assert caught.value.rule == "wrong-tick"


def test_prices_want_room_for_each_flow_and_numbers_for_each_asset() -> None:
    quoter = qn.jitted_quoter(TABLES["two-assets"], TABLES["two-assets"].symbols, [0.01, 0.01])
    corners, prices = qn.new_corners(), qn.new_prices(quoter)

    def refusal(reference: Any = (9.0, 9.0), bid: Any = None, ask: Any = None, lots: Any = (0, 0)) -> int:
        return qn.look_up_prices(quoter, corners, prices, reference, bid, ask, lots, time=0.0)

    assert refusal() == 0
    assert not np.isnan(prices.price).all()
    assert refusal(reference=9.0) == qn.WRONG_COORDINATES
    assert np.isnan(prices.price).all() and not prices.ticks.any()
    assert refusal(bid=8.0) == refusal(ask=(10.0,)) == refusal(lots=0) == qn.WRONG_COORDINATES
    prices = prices[:-1]
    assert refusal() == qn.WRONG_COORDINATES
    quoter = qn.jitted_quoter(TABLES["box"], TABLES["box"].symbols, [0.01])
    prices = qn.new_prices(quoter)
    assert refusal(reference=9.0, lots=0) == qn.WRONG_COORDINATES  # `now` is not said


def test_tables_alone_need_no_numba() -> None:
    code = "import quotegrid.tables, sys; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture
def page(tmp_path: Path, solve_tiny, change, problems) -> list[str]:
    """The programs of the section on Numba, and the table they quote from."""
    problem = change(problems["glft"], market__symbol="ETH-PERP")
    write_safetensors(PolicyTable.from_solution(solve_tiny(problem)), tmp_path / "eth.safetensors")
    text = (CONFORMANCE.parent / "readers" / "README.md").read_text(encoding="utf-8")
    path = repr(str(tmp_path / "eth.safetensors"))
    return [block.replace('"eth.safetensors"', path) for block in re.findall(r"```py\n(.*?)```", text, re.S)]


def test_the_strategy_of_the_page(page: list[str]) -> None:
    known: Any = {}
    exec(page[0], known)
    lots, references = np.array([-4.0, 0.5, 3.0, 7.0]), np.array([2680.0, 2681.25, 2679.5, 2680.0])
    found = np.zeros((4, 2))
    refusal = known["strategy"](known["quoter"], known["corners"], known["prices"], lots, references, found)
    assert refusal == 0
    guarded = GuardedQuoter(known["table"], ["ETH-PERP"], [0.01], between="towards_flat")
    for x, reference, row in zip(lots.tolist(), references.tolist(), found, strict=True):
        prices = guarded.prices(Moment(x, reference, reference - 0.02, reference + 0.02))
        assert bits([price and price.price for price in prices.values()]) == bits(row.tolist())


def test_the_lookup_of_the_page(page: list[str]) -> None:
    known: Any = {"np": np, "njit": numba.njit, "offset": qn.offset, "look_up": qn.look_up}
    exec(page[1], known)
    table = TABLES["finite"]
    ours = known["bid_offset"](qn.jitted_table(table, "linear"), qn.new_corners(), 0.25, 0.5)
    assert bits([ours]) == bits(Quoter(table, "linear").offsets(0.25, 0.5)[:1])


def made_up_feed(hft: Any) -> Any:
    """A book that moves by a tick now and then, with trades on both sides a few ticks from it."""
    draw, events, middle, now = random.Random(3), [], 268_000, 1_000_000_000
    both = hft.EXCH_EVENT | hft.LOCAL_EVENT

    def add(kind: int, side: int, ticks: int, quantity: float) -> None:
        event = kind | side | both
        events.append((event, now, now + 1_000_000, ticks * 0.01, quantity, 0, 0, 0.0))

    for _ in range(4000):
        for side, ticks in ((hft.BUY_EVENT, middle - 1), (hft.SELL_EVENT, middle + 1)):
            add(hft.DEPTH_EVENT, side, ticks, 5.0)
        now += 20_000_000
        side, sign = draw.choice(((hft.BUY_EVENT, 1), (hft.SELL_EVENT, -1)))
        add(hft.TRADE_EVENT, side, middle + sign * draw.randint(1, 150), 3.0)
        now += 20_000_000
        for side, ticks in ((hft.BUY_EVENT, middle - 1), (hft.SELL_EVENT, middle + 1)):
            add(hft.DEPTH_EVENT, side, ticks, 0.0)
        middle += draw.choice((-1, 0, 1))
    return np.array(events, hft.binding.event_dtype)


def made_up_backtest(hft: Any, feed: Any) -> Any:
    """One asset with a tick of 0.01 and lots of 1; the feed is read in place."""
    market = hft.BacktestAsset().data(feed).linear_asset(1.0)
    market = market.constant_order_latency(1_000_000, 1_000_000).risk_adverse_queue_model()
    market = market.no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0).tick_size(0.01).lot_size(1.0)
    return hft.HashMapMarketDepthBacktest([market])


@numba.njit
def watch(hbt: Any, quoter: Any, corners: Any, prices: Any, found: Any) -> None:
    """Best prices, lots and our prices in a backtest, for lots that come and go."""
    for moment in range(len(found)):
        hbt.elapse(100_000_000)
        depth, lots = hbt.depth(0), 0.25 * (moment % 33) - 4.0
        bid, ask = depth.best_bid, depth.best_ask
        qn.look_up_prices(quoter, corners, prices, 0.5 * (bid + ask), bid, ask, lots)
        found[moment, 0], found[moment, 1], found[moment, 2] = bid, ask, lots
        found[moment, 3], found[moment, 4] = prices[0].price, prices[1].price


def test_a_backtest_in_hftbacktest(page: list[str]) -> None:
    """The strategy of the page trades and ends within the limits; prices in the loop are those in Python."""
    hft: Any = pytest.importorskip("hftbacktest", reason="no hftbacktest here to run a strategy in")
    known: Any = {}
    exec(page[0], known)
    exec(page[2], known)
    feed, room = made_up_feed(hft), (known["quoter"], known["corners"], known["prices"])
    backtest = made_up_backtest(hft, feed)
    assert known["make_market"](backtest, *room, 1.0) > 1000
    assert backtest.state_values(0).num_trades > 20
    assert abs(backtest.position(0)) <= 4.0
    found = np.zeros((1000, 5))
    watch(made_up_backtest(hft, feed), *room, found)
    guarded = GuardedQuoter(known["table"], ["ETH-PERP"], [0.01], between="towards_flat")
    for bid, ask, lots, *ours in found.tolist():
        prices = guarded.prices(Moment(lots, 0.5 * (bid + ask), bid, ask))
        assert bits(ours) == bits([price and price.price for price in prices.values()])
