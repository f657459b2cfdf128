"""What an evaluation says, a simulation of the story does: one crooked policy, every part of money."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from quotegrid.analysis.evaluation import evaluate
from quotegrid.models.problem_file import parse_problem

FOLDER = Path(__file__).resolve().parents[1] / "analysis"
MARKET = SimpleNamespace(**runpy.run_path(str(FOLDER / "crooked_market.py")))
TREE = MARKET.tree_of(MARKET.CARA, MARKET.FINITE)
PATHS, SEED = 20_000, 31
NOISE = 4.0  # standard errors


def test_a_simulation_earns_fills_and_holds_what_the_evaluation_says(simulator) -> None:
    lots = np.arange(-MARKET.LIMIT, MARKET.LIMIT + 1.0)
    times, offsets = np.array([0.0, 4.0]), np.stack([MARKET.crooked(0.3), MARKET.crooked()])
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
