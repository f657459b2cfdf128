"""Passage times and the state they lead to: against linear algebra, closed forms, and chains that break."""

from dataclasses import replace

import numpy as np
import pytest

from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.verification.passage_times import destinations, often_visited, slowest_passage
from quotegrid.tables.verification.problem_twin import ProblemTwin

FLOW = {"name": "book", "side": "both", "size": 1, "intensity": {"kind": "exponential", "A": 1.0, "k": 1.0}}


def chain(limit: int, *sizes: int) -> ProblemTwin:
    """A lattice of 2·limit + 1 states with flows of these sizes on both sides."""
    tree = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "XYZ", "lot_size": 1.0},
        "inventory": {"max": limit},
        "preferences": {"kind": "mean-variance", "running_penalty": 0.1},
        "flow": [{**FLOW, "name": f"of {size}", "size": size} for size in sizes],
    }
    return ProblemTwin.from_json(canonical_json(tree))


def random_rates(problem: ProblemTwin, seed: int) -> np.ndarray:
    """[flow, inventory], 0 where a fill would leave the limits."""
    after = destinations(problem)
    rates = np.random.default_rng(seed).lognormal(0.0, 1.5, after.shape)
    return np.where(after == np.arange(after.shape[1]), 0.0, rates)


def generator(problem: ProblemTwin, rates: np.ndarray) -> np.ndarray:
    after = destinations(problem)
    matrix = np.zeros((after.shape[1], after.shape[1]))
    for row, to in zip(rates, after, strict=True):
        for state, target in enumerate(to):
            matrix[state, target] += row[state]
            matrix[state, state] -= row[state]
    return matrix


@pytest.mark.parametrize("sizes", [(1,), (2,), (1, 3), (3, 2, 5)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_times_and_visits_of_one_chain(sizes: tuple[int, ...], seed: int) -> None:
    problem = chain(6, *sizes)
    rates = random_rates(problem, seed)
    matrix = generator(problem, rates)
    if sizes != (2,):  # with steps of two, odd and even inventories never meet
        weight = np.linalg.lstsq(
            np.vstack([matrix.T, np.ones(13)]), np.append(np.zeros(13), 1.0), rcond=None
        )[0]
        to = often_visited(problem, rates)
        assert to == np.argmax(weight)
        others = np.delete(np.arange(13), to)
        expected = np.linalg.solve(matrix[np.ix_(others, others)], -np.ones(12))
        times = slowest_passage(problem, rates, rates, to)
        assert times is not None
        assert times[to] == 0.0
        np.testing.assert_allclose(times[others], expected, rtol=2e-4)
        assert np.all(times[others] >= expected)
    else:
        assert slowest_passage(problem, rates, rates, 6) is None


def test_the_slowest_chain_of_a_box_is_slower_than_any_other() -> None:
    problem = chain(5, 1, 2)
    rates = random_rates(problem, 3)
    slowest = slowest_passage(problem, 0.8 * rates, 1.25 * rates, 5)
    assert slowest is not None
    random = np.random.default_rng(4)
    for _ in range(200):
        inside = rates * random.choice([0.8, 1.0, 1.25], rates.shape)
        times = slowest_passage(problem, inside, inside, 5)
        assert times is not None
        assert np.all(times <= slowest * (1.0 + 1e-3))


def test_rare_states_keep_all_digits() -> None:
    """Up at rate 1, down at rate 1e-12: the top is where the chain is; from below it takes one step each."""
    problem = chain(30, 1)
    rates = random_rates(problem, 0)
    up, down = np.where(rates[0] > 0.0, 1.0, 0.0), np.where(rates[1] > 0.0, 1e-12, 0.0)
    rates = np.stack([up, down])
    to = often_visited(problem, rates)
    assert to == 60
    times = slowest_passage(problem, rates, rates, to)
    assert times is not None
    np.testing.assert_allclose(times, 60.0 - np.arange(61.0), rtol=2e-4)
    # to the bottom instead: D_q = (1 + up·D_{q+1})/down, 1e12^60 in all, which a double holds no more
    assert slowest_passage(problem, rates, rates, 0) is None


def test_where_nothing_leads_back() -> None:
    """Below the middle nothing fills on the ask: what is recurrent lies above, or at the state that traps."""
    problem = chain(3, 1)
    rates = random_rates(problem, 1)
    rates[1, 4:] = 0.0  # no way down from above
    to = often_visited(problem, rates)
    assert to == 6
    assert slowest_passage(problem, rates, rates, to) is not None
    assert slowest_passage(problem, rates, rates, 3) is None


def test_a_thousand_lots() -> None:
    problem = replace(chain(3, 1), limits=(-1000, 1000))
    q = problem.lots
    rates = np.stack([np.exp(-0.01 * q) * (q < 1000), np.exp(0.01 * q) * (q > -1000)])
    to = often_visited(problem, rates)
    assert to == 1000
    assert slowest_passage(problem, 0.99 * rates, 1.01 * rates, to) is not None
