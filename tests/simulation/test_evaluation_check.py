"""What an evaluation says, a simulation of the story does: one crooked policy, every part of money."""

from typing import Any

import numpy as np

from quotegrid.analysis.evaluation import evaluate
from quotegrid.models.problem_file import parse_problem

LIMIT, PATHS, SEED = 5, 20_000, 31
NOISE = 4.0  # standard errors
FLOWS = [
    {
        "name": "book",
        "side": "both",
        "fee": 0.05,
        "intensity": {"kind": "exponential", "A": 1.5, "k": 1.5},
        "adverse": {"on": "market_orders", "jump": 0.1, "arrival_rate": 3.0},
    },
    {
        "name": "block",
        "side": "both",
        "size": 2,
        "proportional_fee": 0.001,
        "intensity": {"kind": "logistic", "A": 0.8, "a": -0.5, "b": 1.2},
        "adverse": {"on": "fills", "jump": 0.07},
    },
]
TREE: dict[str, Any] = {
    "format": 1,
    "units": {"price": "USD", "time": "s"},
    "market": {"symbol": "X", "lot_size": 0.5},
    "inventory": {"max": LIMIT},
    "price": {"volatility": 0.6, "drift": 0.03, "carry": 0.01, "reference": 100.0},
    "preferences": {"kind": "cara", "risk_aversion": 0.5},
    "flow": FLOWS,
    "horizon": {"kind": "finite", "duration": 4.0, "terminal": {"quadratic": 0.1, "absolute": 0.2}},
}


def test_a_simulation_earns_fills_and_holds_what_the_evaluation_says(simulator) -> None:
    lots = np.arange(-LIMIT, LIMIT + 1.0)
    columns = []
    for place, (sign, size) in enumerate(((1, 1), (-1, 1), (1, 2), (-1, 2))):
        offset = 0.8 + 0.1 * place + 0.12 * sign * lots + 0.05 * np.sin(3.0 * lots + place)
        columns.append(np.where(np.abs(lots + sign * size) <= LIMIT, offset, np.nan))
    late = np.stack(columns, axis=1)
    times, offsets = np.array([0.0, 4.0]), np.stack([late + 0.3, late])
    found = evaluate(offsets, parse_problem(TREE).problem, start=2, times=times.tolist(), optimum=False)
    labels = (("book", "bid"), ("book", "ask"), ("block", "bid"), ("block", "ask"))
    policy = simulator.Policy(labels, lots, times, offsets, False)
    ledger = simulator.simulate(TREE, policy, paths=PATHS, seed=SEED, start=2)
    earned = ledger.earned[-1]
    spread = np.std(earned)
    assert abs(np.mean(earned) - found.pnl) <= NOISE * spread / np.sqrt(PATHS)
    assert found.pnl_variance is not None
    fourth = np.mean((earned - earned.mean()) ** 4)
    assert abs(spread**2 - found.pnl_variance) <= NOISE * np.sqrt((fourth - spread**4) / PATHS)
    utility = np.exp(-0.5 * earned)
    worth = -np.log(np.mean(utility)) / 0.5
    error = np.std(utility) / np.mean(utility) / 0.5 / np.sqrt(PATHS)
    assert abs(worth - found.certainty_equivalent) <= NOISE * error
    for fills, expected in zip(ledger.fills / PATHS, found.fills.values(), strict=True):
        assert abs(fills - expected) <= NOISE * np.sqrt(expected / PATHS)
    assert found.final_distribution is not None
    for place, q in enumerate(0.5 * lots):
        share, p = np.mean(np.isclose(ledger.inventory[-1], q)), found.final_distribution[place]
        assert abs(share - p) <= NOISE * np.sqrt(p / PATHS) + 1.0 / PATHS
