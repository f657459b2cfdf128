"""Shifts: what may be asked for, what a table answers to first order, and what it says of the error."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quotegrid.tables.archive import read_archive, write_archive
from quotegrid.tables.lookup import QuoteError
from quotegrid.tables.offset_bounds import offset_bounds
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.quoter import Quoter
from quotegrid.tables.safetensors_file import read_safetensors, safetensors_bytes, write_safetensors
from quotegrid.tables.shifts import estimate, moves, read_shift
from quotegrid.tables.table_error import TableError
from quotegrid.tables.table_sensitivity import TableSensitivity

PATHS = (
    "price.volatility",
    "price.drift",
    "flow.size1/bid.intensity.rate.0",
    "flow.size1/bid.intensity.rate.1",
    "flow.size1/bid.intensity.k",
    "flow.size1/ask.intensity.k",
    "flow.size1.min_offset",
)
NUMBERS = (0.4, 0.0, 1.0, 0.5, 8.0, 9.0, 0.4)


PROBLEM = json.dumps(
    {
        "market": {"symbol": "XYZ", "lot_size": 0.1},
        "flow": [{"name": "size1", "side": "both", "min_offset": 0.4}],
    }
)


@pytest.fixture
def table(table_by_hand: Callable[..., PolicyTable]) -> PolicyTable:
    """Derivatives 1, 2, … by the parameters, second derivatives a tenth of them; one quote is held."""
    return with_sensitivity(table_by_hand(problem_json=PROBLEM))


def with_sensitivity(plain: PolicyTable, **changes: Any) -> PolicyTable:
    weights = np.arange(1.0, len(PATHS) + 1.0)
    off = np.isnan(plain.offset)
    offset = np.where(off, np.nan, weights.reshape(-1, *(1,) * off.ndim))
    value = np.broadcast_to(weights.reshape(-1, *(1,) * plain.value.ndim), (len(PATHS), *plain.value.shape))
    hold = np.zeros(off.shape, np.int64)
    hold[..., 0, 0] = 1
    bounds, bound_parameters = offset_bounds(PROBLEM, PATHS)
    fields = {
        "bounds": bounds,
        "bound_parameters": bound_parameters,
        "parameters": PATHS,
        "numbers": np.array(NUMBERS),
        "value": value.copy(),
        "offset": offset,
        "gain": None if plain.gain is None else weights,
        "value_curvature": 0.1 * value,
        "offset_curvature": 0.1 * offset,
        "gain_curvature": None if plain.gain is None else 0.1 * weights,
        "hold": hold,
    }
    return PolicyTable.from_solution(plain, TableSensitivity(**{**fields, **changes}))


def test_words_are_read() -> None:
    assert read_shift("price.volatility=+10%") == ("price.volatility", "+10%")
    assert read_shift(" price.drift = -0.02 ") == ("price.drift", -0.02)


@pytest.mark.parametrize(
    "words", ["price.volatility", "=+10%", "price.volatility=", "a=b", "a=+0.1", "a=nan", "a=inf"]
)
def test_malformed_words_are_refused(words: str) -> None:
    with pytest.raises(
        QuoteError, match=r"shift '.*': (expected PARAMETER=CHANGE|'.*' is neither a relative)"
    ):
        read_shift(words)


def test_first_order_and_its_error(table: PolicyTable) -> None:
    plain = Quoter(table).quote(1)
    found = Quoter(table).quote(1, shift={"price.volatility": "+10%", "price.drift": -0.02})
    change = 0.04 * 1.0 - 0.02 * 2.0
    for label, offset in plain.offsets.items():
        assert offset is not None and found.offsets[label] == pytest.approx(offset + change)
    assert plain.gain is not None and found.gain == pytest.approx(plain.gain + change)
    assert plain.value is not None and found.value == pytest.approx(plain.value + change)
    said = (0.04 * math.sqrt(0.05) + 0.02 * math.sqrt(0.1)) ** 2
    assert found.shifted is not None
    assert found.shifted.parameters == {
        "price.volatility": (0.4, pytest.approx(0.44)),
        "price.drift": (0.0, -0.02),
    }
    assert found.shifted.offset_error == {label: pytest.approx(said) for label in plain.offsets}
    assert found.shifted.value_error == pytest.approx(said) == found.shifted.gain_error
    assert found.to_json()["shift"] == found.shifted.to_json()
    assert "shift" not in plain.to_json()
    # of one parameter it is the second-order term of Taylor's series
    assert estimate([0.3], [-2.0]) == pytest.approx(0.5 * 2.0 * 0.3**2)


def test_held_quotes_and_bounds(table: PolicyTable) -> None:
    held = Quoter(table).quote(-4, shift={"price.volatility": "+10%"})
    assert held.shifted is not None
    assert held.shifted.offset_error == {"size1/bid": None, "size1/ask": None}  # held; off
    assert held.offsets["size1/ask"] is None
    stopped = Quoter(table).quote(1, shift={"price.volatility": 0.1})
    assert stopped.offsets["size1/bid"] == 0.4  # its min_offset
    assert stopped.shifted is not None and stopped.shifted.offset_error["size1/bid"] is None
    lower = Quoter(table).quote(1, shift={"price.volatility": 0.1, "flow.size1.min_offset": 0.35})
    assert lower.offsets["size1/bid"] == pytest.approx(max(0.35, 0.53 - 0.3 - 7 * 0.05))


def test_groups_of_parameters(table: PolicyTable) -> None:
    sensitivity = table.sensitivity
    assert [move.path for move in moves(sensitivity, {"flow.size1.intensity.k": "+1%"})] == list(PATHS[4:6])
    assert [move.change for move in moves(sensitivity, {"flow.size1.intensity.k": 10.0})] == [2.0, 1.0]
    rates = moves(sensitivity, {"flow.size1/bid.intensity.rate": "-10%"})
    assert [move.change for move in rates] == pytest.approx([-0.1, -0.05])


@pytest.mark.parametrize(
    ("shift", "text"),
    [
        ({"price.volatilty": "+1%"}, "no sensitivity to it; did you mean 'price.volatility'"),
        (
            {"zzz": "+1%"},
            "no sensitivity to it; it has: price.volatility, price.drift, flow.size1/bid.intensity.rate, ",
        ),
        ({"price.volatility": "10%"}, "'10%' is no relative change; write .10% or -2.5%, with its sign"),
        ({"price.volatility": "+x%"}, "is no relative change"),
        ({"price.volatility": "-100%"}, "leaves nothing of it"),
        ({"price.volatility": math.nan}, "nan is no value; give a finite number"),
        ({"price.drift": "+10%"}, "it is 0, and so is every part of it; give its new value"),
        ({"flow.size1/bid.min_offset": 0.1}, "knows flow.size1.min_offset for both sides together only"),
        ({"flow.size1/bid.intensity.rate": 0.1}, "this is a list of numbers; change them all by"),
        ({"flow.size1.intensity.k": "+1%", "flow.size1/bid.intensity.k": "+1%"}, "is shifted twice"),
    ],
    ids=repr,
)
def test_shifts_that_are_refused(table: PolicyTable, shift: dict, text: str) -> None:
    with pytest.raises(QuoteError, match=text):
        Quoter(table).quote(1, shift=shift)


def test_a_table_without_sensitivities_cannot_be_shifted(table_by_hand: Callable[..., PolicyTable]) -> None:
    with pytest.raises(
        QuoteError, match=r"this table holds no sensitivities.*solve it with --with-sensitivities"
    ):
        Quoter(table_by_hand()).quote(1, shift={"price.volatility": "+1%"})


@pytest.mark.parametrize("times", [None, (0.0, 1.0, 2.0)], ids=["stationary", "finite"])
def test_both_containers_keep_them(
    table_by_hand: Callable[..., PolicyTable], tmp_path: Any, times: Any
) -> None:
    table = with_sensitivity(table_by_hand(times=times, problem_json=PROBLEM))
    write_safetensors(table, tmp_path / "t.safetensors")
    write_archive(table, tmp_path / "t.nc")
    for read in (read_safetensors(tmp_path / "t.safetensors"), read_archive(tmp_path / "t.nc")):
        assert read == table
        assert read.sensitivity is not None and read.sensitivity.parameters == PATHS
    assert (tmp_path / "t.safetensors").read_bytes() == safetensors_bytes(table)
    assert table != table_by_hand(times=times, problem_json=PROBLEM)
    time = None if times is None else 0.5
    assert Quoter(table).quote(1, time, shift={"price.volatility": "+10%"}).shifted is not None


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"numbers": np.zeros(3)}, "parameter-count"),
        ({"bounds": np.zeros((1, 2))}, "table-shape"),
        ({"bounds": np.array([[0.0, np.nan], [0.0, 1.0]])}, "bound-form"),
        ({"bound_parameters": np.full((2, 2), 7)}, "bound-form"),
        ({"hold": np.full((9, 2), 3)}, "hold-form"),
        ({"gain": None}, "table-shape"),
        ({"value": np.full((7, 9), np.nan)}, "value-missing"),
        ({"offset": np.zeros((7, 9, 2))}, "value-missing"),
        ({"value_curvature": np.full((7, 9), np.inf)}, "infinite-number"),
    ],
    ids=repr,
)
def test_what_does_not_fit_the_table_is_refused(
    table_by_hand: Callable[..., PolicyTable], changes: dict, rule: str
) -> None:
    with pytest.raises(TableError) as caught:
        with_sensitivity(table_by_hand(), **changes)
    assert caught.value.rule == rule
