"""The problem that solver tests change, section by section of the file's tree."""

from collections.abc import Callable
from typing import Any

import pytest

from quotegrid.models.problem import Problem
from quotegrid.models.problem_file import parse_problem


@pytest.fixture(scope="session")
def make_problem() -> Callable[..., Problem]:
    """One flow on both sides, CARA, ergodic; `make(price={...})` replaces a section, `intensity=` the flow's.

    Further keys of the flow go in `quote`.
    """

    def make(intensity: dict | None = None, quote: dict | None = None, **sections: Any) -> Problem:
        exponential = {"kind": "exponential", "A": 0.9, "k": 1.5}
        flow = {"name": "book", "side": "both", "intensity": intensity or exponential, **(quote or {})}
        tree = {
            "format": 1,
            "units": {"price": "USD", "time": "s"},
            "market": {"symbol": "X", "lot_size": 1.0},
            "inventory": {"max": 4},
            "price": {"volatility": 0.5},
            "preferences": {"kind": "cara", "risk_aversion": 0.1},
            "flow": [flow],
            "horizon": {"kind": "ergodic"},
        }
        return parse_problem({**tree, **sections}).problem

    return make
