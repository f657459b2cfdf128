"""A market with every part of money that there is, and quotes for it that no solver would find.

    tree_of(preferences, horizon)     two sizes a side, fees, two kinds of adverse selection, drift, carry
crooked(shift)                    offsets [inventory, flow], price units
"""

from typing import Any

import numpy as np

LIMIT = 5
CARA = {"kind": "cara", "risk_aversion": 0.5}
FINITE = {"kind": "finite", "duration": 4.0, "terminal": {"quadratic": 0.1, "absolute": 0.2}}
LADDER = [
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


def tree_of(preferences: dict = CARA, horizon: dict | None = None, **sections: Any) -> dict[str, Any]:
    """Two sizes a side, with every part of money that there is."""
    return {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 0.5},
        "inventory": {"max": LIMIT},
        "price": {"volatility": 0.6, "drift": 0.03, "carry": 0.01, "reference": 100.0},
        "preferences": preferences,
        "flow": LADDER,
        "horizon": horizon or {"kind": "ergodic"},
        **sections,
    }


def crooked(shift: float = 0.0) -> np.ndarray:
    """Offsets [inventory, flow] that no solver would find: off where a fill would leave the limits."""
    lots = np.arange(-LIMIT, LIMIT + 1)
    columns = []
    for place, (sign, size) in enumerate(((1, 1), (-1, 1), (1, 2), (-1, 2))):
        offset = 0.8 + shift + 0.1 * place + 0.12 * sign * lots + 0.05 * np.sin(3.0 * lots + place)
        columns.append(np.where(np.abs(lots + sign * size) <= LIMIT, offset, np.nan))
    return np.stack(columns, axis=1)
