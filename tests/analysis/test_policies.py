"""Policies: what reads as one, what happens to tables on their way, and what does not fit a problem."""

import re
from typing import Any

import numpy as np
import pytest

from quotegrid.analysis.policies import (
    Policy,
    PolicyError,
    as_float32,
    clamped,
    interpolated,
    policy_of,
    rounded_to_ticks,
    stale,
)
from quotegrid.models.problem import Problem
from quotegrid.models.problem_file import parse_problem

LIMIT = 4
LOTS = np.arange(-LIMIT, LIMIT + 1.0)
FINITE = {"kind": "finite", "duration": 2.0}
UP: Any = "up"  # no direction


def problem_with(horizon: dict | None = None, limit: int = LIMIT, **quote: Any) -> Problem:
    flow = {"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": 1.0, "k": 1.5}, **quote}
    tree = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 1.0},
        "inventory": {"max": limit},
        "price": {"volatility": 0.5},
        "preferences": {"kind": "cara", "risk_aversion": 0.1},
        "flow": [flow],
        "horizon": horizon or {"kind": "ergodic"},
    }
    return parse_problem(tree).problem


def leaning(inventory: np.ndarray, time: float = 0.0) -> dict[str, np.ndarray]:
    """Bid and ask lean with inventory, by less and less as time goes by; off at the limits."""
    lean = 0.1 * (2.0 - time) * inventory
    return {
        "book/bid": np.where(inventory < LIMIT, 1.03 + lean, np.nan),
        "book/ask": np.where(inventory > -LIMIT, 1.03 - lean, np.nan),
    }


def as_array(time: float = 0.0) -> np.ndarray:
    quotes = leaning(LOTS, time)
    return np.stack([quotes["book/bid"], quotes["book/ask"]], axis=-1)


def test_functions_arrays_and_mappings_read_alike() -> None:
    problem = problem_with()
    for quotes in (leaning, as_array(), leaning(LOTS)):
        np.testing.assert_array_equal(policy_of(quotes, problem).offset, as_array())
    timed = policy_of(leaning, problem_with(FINITE), times=[0.0, 0.5, 2.0])
    np.testing.assert_array_equal(timed.offset, np.stack([as_array(t) for t in (0.0, 0.5, 2.0)]))
    np.testing.assert_allclose(timed.at(np.array([1.25]))[0], as_array(1.25), rtol=1e-14)
    assert policy_of(leaning, problem_with(FINITE)).offset.shape == (257, 9, 2)


@pytest.fixture
def policy() -> Policy:
    return policy_of(as_array(), problem_with())


def test_rounding_goes_to_the_nearest_tick_or_one_way(policy: Policy) -> None:
    bids = {
        way: rounded_to_ticks(policy, 0.25, way).offset[4, 0] for way in ("nearest", "outwards", "inwards")
    }  # type: ignore[arg-type]
    assert bids == {"nearest": 1.0, "outwards": 1.25, "inwards": 1.0}
    exact = rounded_to_ticks(policy, 0.01, "outwards")
    np.testing.assert_allclose(exact.offset, policy.offset, rtol=1e-14)


def test_single_precision_changes_the_eighth_digit(policy: Policy) -> None:
    change = np.abs(as_float32(policy).offset / policy.offset - 1.0)
    assert 0.0 < np.nanmax(change) < 2.0**-24 * 1.0001


def test_clamping_takes_the_edge_of_what_is_known(policy: Policy) -> None:
    found = clamped(policy, inventory=(-2, 1))
    np.testing.assert_array_equal(found.offset[:3, 0], policy.offset[2, 0])
    np.testing.assert_array_equal(found.offset[6:8, 0], policy.offset[5, 0])
    assert np.isnan(found.offset[-1, 0]) and np.isnan(found.offset[0, 1])
    bounded = clamped(policy, offset=(0.9, np.inf))
    assert np.nanmin(bounded.offset) == 0.9


def test_a_smaller_table_is_read_by_the_rules_of_the_lookup(policy: Policy) -> None:
    linear = interpolated(policy, every=2)
    np.testing.assert_allclose(linear.offset[1:7, 0], policy.offset[1:7, 0], rtol=1e-14)  # it is a line
    assert np.isnan(linear.offset[7, 0])  # between a node and one that is off, as in a table
    flat = interpolated(policy, every=2, between="towards_flat")
    np.testing.assert_array_equal(flat.offset[[3, 5, 7], 0], policy.offset[[4, 4, 6], 0])
    near = interpolated(policy, every=3, between="nearest")  # nodes -4, -3, 0, 3, 4
    np.testing.assert_array_equal(near.offset[[2, 3, 5, 6], 0], policy.offset[[1, 4, 4, 7], 0])
    timed = policy_of(leaning, problem_with(FINITE), times=np.linspace(0.0, 2.0, 9).tolist())
    assert interpolated(timed, times=3).offset.shape == (3, 9, 2)


def test_stale_quotes_hold_those_of_the_last_refresh() -> None:
    timed = policy_of(leaning, problem_with(FINITE), times=np.linspace(0.0, 2.0, 9).tolist())
    late = stale(timed, refreshed=[0.0, 1.0])
    for moment, seen in ((0.0, 0.0), (0.9, 0.0), (1.0, 1.0), (1.9, 1.0), (2.0, 1.0)):
        np.testing.assert_allclose(late.at(np.array([moment]))[0], as_array(seen), rtol=1e-14)


def changed(place: tuple[int, int], value: float) -> np.ndarray:
    offset = as_array()
    offset[place] = value
    return offset


@pytest.mark.parametrize(
    ("quotes", "problem", "text"),
    [
        (
            leaning(LOTS) | {"deep/bid": LOTS},
            problem_with(),
            "the flows 'book/bid', 'book/ask': give offsets",
        ),
        (as_array()[1:], problem_with(), "offsets have shape (8, 2); this problem needs (9, 2)"),
        (
            changed((8, 0), 1.0),
            problem_with(),
            "book/bid: quoted at 1 USD at inventory 4 lots, where a fill of 1",
        ),
        (
            as_array(),
            problem_with(min_offset=0.5),
            "quoted at 0.23 USD at inventory -4 lots; the problem allows",
        ),
        (
            as_array(),
            problem_with(tick=0.5),
            "multiples of its tick 0.5 only. Put the policy through rounded_to",
        ),
        (
            changed((5, 1), np.nan),
            problem_with(max_offset=9.0),
            "book/ask: NaN at inventory 1 lots, where a quote",
        ),
        (
            changed((5, 1), np.inf),
            problem_with(),
            "book/ask: offset inf at inventory 1 lots; offsets are finite",
        ),
    ],
    ids=["flows", "shape", "limit", "bound", "tick", "owed", "infinite"],
)
def test_what_does_not_fit_is_refused(quotes: Any, problem: Problem, text: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(text)):
        policy_of(quotes, problem)


def test_a_table_of_another_market_or_in_other_units_is_refused(table_by_hand) -> None:
    table = table_by_hand(limit=LIMIT, sizes=(1,))
    own, symbol, lot = (
        {"price": table.price_unit, "time": table.time_unit},
        table.symbols[0],
        table.lot_sizes[0],
    )
    for units, name, lot_size, text in (
        (own, "ABC", lot, f"the table is for {symbol}, the problem for ABC"),
        ({**own, "price": "bp"}, symbol, lot, f"prices of {table.price_unit}, the problem prices of bp"),
        (own, symbol, 7.0, f"lots of {lot}, the problem lots of 7.0"),
    ):
        tree = {
            "format": 1,
            "units": units,
            "market": {"symbol": name, "lot_size": lot_size},
            "inventory": {"max": LIMIT},
            "price": {"volatility": 0.5},
            "preferences": {"kind": "cara", "risk_aversion": 0.1},
            "flow": [
                {"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": 1.0, "k": 1.5}}
            ],
        }
        with pytest.raises(PolicyError, match=re.escape(text)):
            policy_of(table, parse_problem(tree).problem)


def test_a_policy_for_other_flows_limits_or_times_is_refused(policy: Policy) -> None:
    with pytest.raises(
        PolicyError, match=r"quotes the flows book/bid, book/ask; the problem has rfq/bid, rfq/ask"
    ):
        policy_of(policy, problem_with(name="rfq"))
    with pytest.raises(
        PolicyError, match=r"knows inventories -4 … 4 \(9 of them\) of X; .* are -5 … 5 \(11\)"
    ):
        policy_of(policy, problem_with(limit=5))
    timed = policy_of(leaning, problem_with(FINITE), times=[0.0, 2.0])
    with pytest.raises(PolicyError, match=r"depends on time, and the problem's horizon is 'ergodic'"):
        policy_of(timed, problem_with())
    with pytest.raises(
        PolicyError, match=r"knows times 0 … 2; the problem runs from 0 to horizon.duration = 3 s"
    ):
        policy_of(timed, problem_with({**FINITE, "duration": 3.0}))


def test_a_missing_quote_that_nobody_owes_is_noted() -> None:
    found = policy_of(changed((5, 1), np.nan), problem_with())
    assert found.notes == (
        "book/ask is not quoted at 1 of 9 states, though a fill would stay inside the limits",
    )


@pytest.mark.parametrize(
    ("wrap", "text"),
    [
        (lambda p: rounded_to_ticks(p, 0.0), "tick=0.0 must be a positive price"),
        (
            lambda p: rounded_to_ticks(p, 0.1, UP),
            "direction='up'; allowed: nearest, outwards, inwards",
        ),
        (lambda p: clamped(p, inventory=(7, 9)), "no inventory of the policy lies within inventory=(7, 9)"),
        (lambda p: clamped(p, offset=(1.0, 0.0)), "offset=(1.0, 0.0) holds no offset"),
        (
            lambda p: interpolated(p, **{"every": 2, "between": "exact"}),
            "between one of nearest, towards_flat, linear",
        ),
        (lambda p: interpolated(p, times=3), "this policy does not depend on time"),
        (lambda p: stale(p), "give either refreshed (times) or mean_delay (time)"),
        (lambda p: stale(p, mean_delay=-1.0), "mean_delay=-1.0 must be a positive time"),
        (lambda p: stale(p, refreshed=[0.0]), "this policy does not depend on time"),
    ],
)
def test_wrappers_say_what_they_need(policy: Policy, wrap: Any, text: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(text)):
        wrap(policy)
