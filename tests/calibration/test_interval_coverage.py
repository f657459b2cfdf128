"""The study of coverage: it runs, and, on demand, its intervals hold the truth in 95 % ± 3 % of the cases."""

import importlib.util
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def study(checkout: Path) -> ModuleType:
    """`benchmarks/interval_coverage.py`, which is no part of the package."""
    script = checkout / "benchmarks" / "interval_coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_study", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_estimate_is_studied(study: ModuleType) -> None:
    found = {row[0] for row in study.one_run(study.MARKETS["logistic"], 0)}
    assert {"σ", "A", "a", "b", "markout after 1 s", "orders per s, by size"} < found
    rows = [("x", 1.0, 1.1, 0.9, 1.3), ("x", 2.0, 1.0, 0.5, 1.5)]
    assert study.coverage(rows) == (2, 0.5, pytest.approx(-0.2), pytest.approx(0.45))


@pytest.mark.deep
def test_intervals_hold_the_truth_as_often_as_they_say(study: ModuleType) -> None:
    """400 runs of every market; counts of one run hang together, so runs are what is counted."""
    for market in (*study.MARKETS.values(), study.DAY_MARKET):
        rows = defaultdict(list)
        for seed in range(400):
            for row in (study.one_day if market is study.DAY_MARKET else study.one_run)(market, seed):
                rows[row[0]].append(row)
        for what, found in rows.items():
            if what != "Λ of the table, at its knots":  # which is smoothed: interval_coverage.md
                assert study.coverage(found)[1] == pytest.approx(0.95, abs=0.03), what
