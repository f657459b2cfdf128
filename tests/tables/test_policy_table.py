"""The record: what it takes over from a solution, what it refuses, what its hash covers."""

import copy
import dataclasses
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quotegrid.tables import PolicyTable, SolutionProtocol, TableError


@pytest.fixture
def solution(solve_tiny, problems) -> Any:
    return copy.copy(solve_tiny(problems["glft"]))


def test_keeps_what_the_solution_says(solution: Any) -> None:
    taken: SolutionProtocol = solution
    table = PolicyTable.from_solution(taken)
    for name in (
        *(
            "problem_json",
            "problem_hash",
            "package_version",
            "price_unit",
            "time_unit",
            "symbols",
            "lot_sizes",
        ),
        *(
            "times",
            "hedge_rate",
            "market_order",
            "gain",
            "status",
            "status_message",
            "method",
            "method_reason",
        ),
        *("residual", "iterations", "certificate", "lookup_error", "notes"),
    ):
        assert getattr(table, name) == getattr(solution, name), name
    assert table.value.tobytes() == solution.value.tobytes()
    assert np.array_equal(table.offset, solution.offset, equal_nan=True)
    assert [(f.name, f.side, f.size, f.asset, f.sign) for f in table.flows] == [
        ("book", "bid", 1, 0, 1),
        ("book", "ask", 1, 0, -1),
    ]
    assert table.flow_labels == ("book/bid", "book/ask")
    assert table.inventory_names == ("inventory",)
    assert table.lattice_shape == (9,)


def test_is_shown_on_two_lines(solution: Any, table_by_hand, two_assets: PolicyTable) -> None:
    solution.certificate = {"level": "A", "quote_error": 1.2e-9}
    assert (
        repr(PolicyTable.from_solution(solution))
        == f"<PolicyTable of {solution.symbols[0]}: ergodic (inventory: 9, flow: 2)\n"
        f" converged, certified at level A: quotes within 1.2e-09 {solution.price_unit} of the optimum>"
    )
    assert (
        repr(table_by_hand(times=(0.0, 4.0, 10.0), certificate={"level": "none", "reason": "by hand"}))
        == "<PolicyTable of XYZ: finite horizon of 10 s (time: 3, inventory: 9, flow: 2)\n"
        " converged, not certified>"
    )
    names = ", ".join(f"{name}: " for name in two_assets.inventory_names).split(", ")
    assert all(name in repr(two_assets) for name in names) and repr(two_assets).count("\n") == 1


def test_takes_the_reference_price_from_the_problem(solve_tiny, problems) -> None:
    assert PolicyTable.from_solution(solve_tiny(problems["glft"])).reference_prices is None
    assert PolicyTable.from_solution(solve_tiny(problems["proportional-fee"])).reference_prices == (100.0,)


def test_later_changes_of_the_solution_do_not_reach_the_table(solution: Any) -> None:
    table = PolicyTable.from_solution(solution)
    before = table.content_hash
    solution.offset[0, 0] = 99.0
    solution.certificate["level"] = "A"
    assert table.offset[0, 0] != 99.0
    assert table.certificate == {"level": "none", "reason": "made for a test"}
    assert PolicyTable.from_solution(solution).content_hash != before


def test_arrays_are_read_only_and_fields_frozen(solution: Any) -> None:
    table = PolicyTable.from_solution(solution)
    for array in (table.value, table.offset, *table.inventories):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.gain = 1.0  # type: ignore[misc]


def test_one_nan_and_one_zero(solution: Any) -> None:
    """Tables with equal numbers are equal, whatever the bits of NaN and of zero were."""
    before = PolicyTable.from_solution(solution)
    off = np.isnan(solution.offset)
    solution.offset[off] = np.array([0xFFF8000000000001], dtype=np.uint64).view(np.float64)[0]
    solution.value[solution.value == 0.0] = -0.0
    after = PolicyTable.from_solution(solution)
    assert after == before
    assert after.offset.tobytes() == before.offset.tobytes()


def test_float32_and_fortran_order_become_the_one_layout(solution: Any) -> None:
    solution.offset = np.asfortranarray(solution.offset.astype(np.float32))
    table = PolicyTable.from_solution(solution)
    assert table.offset.dtype == np.float64
    assert table.offset.flags.c_contiguous


def test_equality_and_hash_follow_the_content(solution: Any) -> None:
    table, twin = PolicyTable.from_solution(solution), PolicyTable.from_solution(solution)
    assert table == twin
    assert hash(table) == hash(twin)
    assert table != "table"
    assert len({table, twin}) == 1


CHANGES: dict[str, Any] = {
    "problem_json": "{}",
    "problem_hash": "1" * 64,
    "package_version": "9",
    "price_unit": "EUR",
    "time_unit": "h",
    "symbols": ("ABC",),
    "lot_sizes": (2.0,),
    "gain": 7.0,
    "status": "iteration limit",
    "status_message": "Other.",
    "method": "other",
    "method_reason": "Other.",
    "residual": 0.25,
    "iterations": 8,
    "certificate": {"level": "A"},
    "lookup_error": {"offset": 0.0, "value": 0.0},
    "notes": ("a note",),
}


@pytest.mark.parametrize("name", [*CHANGES, "value", "offset", "flows", "inventories"])
def test_content_hash_covers_every_field(solved, name: str) -> None:
    table = solved("glft")
    replaced = CHANGES.get(name)
    if name == "flows":
        replaced = tuple(flow._replace(name="other") for flow in table.flows)
    elif name == "inventories":
        replaced = (table.inventories[0] * 2.0,)
    elif replaced is None:
        replaced = np.nextafter(getattr(table, name), np.inf)
    assert dataclasses.replace(table, **{name: replaced}).content_hash != table.content_hash


def test_survives_pickling_and_copying(solved) -> None:
    table = solved("finite")
    assert pickle.loads(pickle.dumps(table)) == table
    assert copy.deepcopy(table) == table


def test_labels_of_several_assets() -> None:
    table = two_assets()
    assert table.flow_labels == ("A/book/bid", "B/book/ask")
    assert table.inventory_names == ("inventory_A", "inventory_B")
    assert table.lattice_shape == (3, 2)


def two_assets(**changes: Any) -> PolicyTable:
    """Two assets, 3 by 2 inventories."""
    fields: dict[str, Any] = {
        "problem_json": "{}",
        "problem_hash": "0" * 64,
        "package_version": "0",
        "price_unit": "USD",
        "time_unit": "s",
        "symbols": ("A", "B"),
        "lot_sizes": (1.0, 2.0),
        "times": None,
        "inventories": (np.array([-1.0, 0.0, 1.0]), np.array([0.0, 1.0])),
        "flows": (
            SimpleNamespace(name="book", side="bid", size=1, asset=0),
            SimpleNamespace(name="book", side="ask", size=1, asset=1),
        ),
        "value": np.zeros((3, 2)),
        "offset": np.ones((3, 2, 2)),
        "hedge_rate": None,
        "market_order": None,
        "gain": None,
        "status": "converged",
        "status_message": "",
        "method": "by hand",
        "method_reason": "",
        "residual": 0.0,
        "iterations": 0,
        "certificate": {"level": "none"},
        "lookup_error": None,
        "notes": (),
    }
    solution: Any = SimpleNamespace(**{**fields, **changes})
    return PolicyTable.from_solution(solution)


def flows(*stated: tuple[str, str, int, int]) -> tuple[SimpleNamespace, ...]:
    return tuple(SimpleNamespace(name=n, side=s, size=z, asset=a) for n, s, z, a in stated)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"symbols": ("A",)},
            "1 symbols, 2 inventory axes and 2 lot sizes: there must be one of each for each asset "
            "[asset-count]",
        ),
        ({"symbols": ("A", "A")}, "the symbols A, A are not all different [name-repeated]"),
        ({"lot_sizes": (1.0, 0.0)}, "lot sizes (1.0, 0.0) are not all positive and finite [lot-size]"),
        (
            {"inventories": (np.array([-1.0, 0.0, 0.0]), np.array([0.0, 1.0]))},
            "on the axis inventory_A, 0 is followed by 0 [axis-order]",
        ),
        (
            {"inventories": (np.array([-1.0, 0.0, np.inf]), np.array([0.0, 1.0]))},
            "the axis inventory_A is empty or not finite, or beyond 1e300 [axis-order]",
        ),
        (
            {
                "times": np.array([0.0, 2.0, 1.0]),
                "value": np.zeros((3, 3, 2)),
                "offset": np.ones((3, 3, 2, 2)),
            },
            "on the axis time, 2 is followed by 1 [axis-order]",
        ),
        ({"flows": flows(("b", "buy", 1, 0))}, "flow 'b' has side 'buy'; allowed: bid, ask [flow-side]"),
        ({"flows": flows(("b", "bid", 0, 0))}, "flow 'b' has size 0; at least 1 lot is needed [flow-size]"),
        ({"flows": flows(("b", "bid", 1, 2))}, "flow 'b' trades asset 2 of 2 assets [flow-asset]"),
        (
            {"flows": flows(("b", "bid", 1, 0), ("b", "bid", 2, 0))},
            "there are two flows A/b/bid: name and side must be unique [flow-repeated]",
        ),
        ({"value": np.zeros((2, 3))}, "value has shape (2, 3), the axes ask for (3, 2) [table-shape]"),
        ({"offset": np.ones((3, 2))}, "offset has shape (3, 2), the axes ask for (3, 2, 2) [table-shape]"),
        (
            {"hedge_rate": np.ones((3, 2, 1))},
            "hedge_rate has shape (3, 2, 1), the axes ask for (3, 2, 2) [table-shape]",
        ),
        (
            {"offset": np.full((3, 2, 2), np.inf)},
            "offset holds an infinity; a quote that is off is NaN [infinite-number]",
        ),
        (
            {"value": np.full((3, 2), np.nan)},
            "value holds NaN: every state of a table has a value [value-missing]",
        ),
        ({"gain": np.nan}, "the gain is nan [value-missing]"),
        (
            {"residual": np.inf},
            "the metadata field 'residual' is inf, not a finite number, 0 or more [metadata-field]",
        ),
        (
            {"certificate": {"level": "none", "at": np.ones(1)}},
            "not an object of plain JSON with a level [metadata-field]",
        ),
    ],
)
def test_refuses_what_does_not_fit_together(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(TableError) as caught:
        two_assets(**changes)
    assert str(caught.value).endswith(text)
    assert text.endswith(f"[{caught.value.rule}]")


def test_refuses_arrays_of_another_layout(solved) -> None:
    table = solved("glft")
    with pytest.raises(TableError, match=r"value is not a row-major array of float64 \[tensor-type\]"):
        dataclasses.replace(table, value=table.value.astype(np.float32))


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(TableError("axis-order", "wrong")))
    assert (error.rule, str(error)) == ("axis-order", "wrong [axis-order]")
