"""Stacks of made-up solutions, whose lookup error is known: shapes, claims, notes, points taken out again."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quotegrid.tables.parameter_stack import middle_point, points, slice_at, stack
from quotegrid.tables.policy_table import Flow, NamedAxis

PROBLEM = '{"horizon":{"kind":"finite"},"price":{"drift":0.0,"volatility":1.0}}'
AXES = [
    NamedAxis("price.volatility", np.array([1.0, 2.0, 4.0])),
    NamedAxis("price.drift", np.array([-1.0, 1.0])),
]
FINE = list(product((1.0, 1.5, 2.0, 3.0, 4.0), (-1.0, 0.0, 1.0)))


def solution(sigma: float, drift: float, **more: Any) -> Any:
    """θ = σ² + drift + t·q, offsets σ·drift: linear lookup errs by a quarter of the square of an interval."""
    times, lots = np.array([0.0, 1.0]), np.array([-1.0, 0.0, 1.0])
    value = sigma**2 + drift + times[:, None] * lots
    offset = np.stack([np.full((2, 3), sigma * drift), np.full((2, 3), np.nan)], axis=-1)
    said = {
        "level": "A",
        "statement": "Proved.",
        "value_error": 0.1 * sigma,
        "gain_interval": None,
        "quote_error": 0.2,
        "uncertain_ticks": 1,
        "regret": 0.3 - 0.1 * drift,
    }
    return SimpleNamespace(
        **{
            "problem_json": PROBLEM,
            "problem_hash": "0" * 64,
            "package_version": "1",
            "price_unit": "USD",
            "time_unit": "s",
            "symbols": ("X",),
            "lot_sizes": (1.0,),
            "times": times,
            "inventories": (lots,),
            "flows": (Flow("book", "bid", 1, 0), Flow("book", "ask", 1, 0)),
            "value": value,
            "offset": offset,
            "hedge_rate": np.full((2, 3, 1), sigma),
            "market_order": np.full((2, 3, 1), drift),
            "gain": None,
            "status": "converged",
            "status_message": "Done.",
            "method": "one" if sigma < 4.0 else "other",
            "method_reason": "",
            "residual": sigma,
            "iterations": 2,
            "certificate": said,
            "lookup_error": {"offset": 0.5, "value": 0.25 * sigma},
            "notes": ("Of all.", *(("Of one.",) if (sigma, drift) == (2.0, 1.0) else ())),
        }
        | more
    )


def test_the_whole_says_the_worst_of_its_points() -> None:
    table = stack(PROBLEM, "f" * 64, AXES, [solution(*at) for at in FINE])
    assert table.value.shape == (2, 3, 2, 3) and table.offset.shape == (2, 3, 2, 3, 2)
    assert table.hedge_rate is not None and table.market_order is not None
    for i, sigma in enumerate(AXES[0].nodes):
        for j, drift in enumerate(AXES[1].nodes):
            alone = solution(float(sigma), float(drift))
            for name in ("value", "offset", "hedge_rate", "market_order"):
                np.testing.assert_array_equal(getattr(table, name)[:, i, j], getattr(alone, name))
    assert (table.problem_hash, table.residual, table.iterations) == ("f" * 64, 4.0, 12)
    assert table.method == "one, other" and table.gain is None
    claims = {name: part for name, part in table.certificate.items() if name != "points"}
    assert claims == {
        "level": "A",
        "statement": "Holds at each of the 6 points of the parameter axes, not between them: Proved.",
        "value_error": 0.4,
        "quote_error": 0.2,
        "regret": 0.4,
        "uncertain_ticks": 6,
        "gain_interval": None,
    }
    # in time, and on top along the axes: σ² over an interval of 2; offsets are linear in each number
    assert table.lookup_error == {"offset": 0.5, "value": 0.25 * 4.0 + 1.0}
    assert table.notes[:2] == ("Of all.", "At price.volatility = 2, price.drift = 1: Of one.")
    assert "errs by up to 0 USD in quotes and 1 USD in value, measured at 9 midpoints" in table.notes[2]


def test_its_points_are_ordinary_tables() -> None:
    table = stack(PROBLEM, "f" * 64, AXES, [solution(*at) for at in FINE])
    found = list(points(table))
    assert found[5].numbers == {"price.volatility": 4.0, "price.drift": 1.0}
    there = found[5].table
    assert there.problem_json == '{"horizon":{"kind":"finite"},"price":{"drift":1.0,"volatility":4.0}}'
    assert (there.problem_hash, there.residual, there.parameter_axes) == ("0" * 64, 4.0, ())
    assert there.lookup_error == {"offset": 0.5, "value": 1.0}
    own = solution(4.0, 1.0).certificate | {"statement": table.certificate["statement"]}
    assert there.certificate == own
    np.testing.assert_array_equal(there.value, solution(4.0, 1.0).value)
    assert middle_point(table).numbers == {"price.volatility": 2.0, "price.drift": 1.0}
    assert middle_point(there).table is there


def test_a_box_is_taken_apart() -> None:
    table = stack(PROBLEM, "f" * 64, AXES, [solution(*at) for at in FINE])
    box = np.array([[0.0, 0.5], [1.0, 3.0], [-1.0, 0.0], [-1.0, 1.0]])
    found = slice_at(replace(table, box=box), (0, 0)).box
    assert found is not None and found.tolist() == [[0.0, 0.5], [-1.0, 1.0]]


def test_quotes_that_are_off_at_a_neighbour_are_counted() -> None:
    solutions = [solution(*at) for at in FINE]
    solutions[0].offset[0, 1, 0] = np.nan  # a node: off in the lookup at the three midpoints around it
    table = stack(PROBLEM, "f" * 64, AXES, solutions)
    assert table.notes[3].startswith(
        "At 3 states of the midpoints a quote is on in the solution and off in the"
    )


def test_other_frames_are_refused() -> None:
    for more in (
        {"times": np.array([0.0, 2.0])},
        {"inventories": (np.array([-1.0, 0.0, 2.0]),)},
        {"flows": (Flow("book", "bid", 1, 0), Flow("book", "ask", 2, 0))},
    ):
        solutions = [solution(*at) for at in FINE]
        solutions[7] = solution(*FINE[7], **more)
        with pytest.raises(ValueError, match="need the same times, inventories and flows at all points"):
            stack(PROBLEM, "f" * 64, AXES, solutions)
