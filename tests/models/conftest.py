"""A small problem that tests change: as Python blocks and as the text of a file."""

from collections.abc import Callable
from typing import Any

import pytest

from quotegrid.models.assets import Asset, Inventory, Market
from quotegrid.models.flows import Flow
from quotegrid.models.horizons import Finite, Terminal
from quotegrid.models.intensities import Exponential
from quotegrid.models.preferences import Cara
from quotegrid.models.prices import Brownian
from quotegrid.models.problem import Problem, Units

FILE = """\
format = 1

[units]
price = "USD"
time = "s"

[market]
symbol = "ETH-PERP"
lot_size = 0.01

[inventory]
max = 6

[price]
volatility = 0.3

[preferences]
kind = "cara"
risk_aversion = 0.05

[[flow]]
name = "book"
side = "both"
size = 1
intensity = { kind = "exponential", A = 1.0, k = 1.5 }

[horizon]
kind = "finite"
duration = 30.0
terminal = { quadratic = 0.02, absolute = 0.0 }
"""


@pytest.fixture
def file_text() -> str:
    """A problem file; tests replace parts of it."""
    return FILE


@pytest.fixture
def make_flow() -> Callable[..., Flow]:
    """A flow with some fields changed."""

    def make(**changes: Any) -> Flow:
        fields = {"name": "book", "side": "both", "size": 1, "intensity": Exponential(A=1.0, k=1.5)}
        return Flow(**(fields | changes))

    return make


@pytest.fixture
def make_asset(make_flow: Callable[..., Flow]) -> Callable[..., Asset]:
    """An asset with some fields changed."""

    def make(**changes: Any) -> Asset:
        fields = {
            "market": Market(symbol="ETH-PERP", lot_size=0.01),
            "inventory": Inventory(max=6),
            "price": Brownian(volatility=0.3),
            "flow": (make_flow(),),
        }
        return Asset(**(fields | changes))

    return make


@pytest.fixture
def make_problem(make_asset: Callable[..., Asset]) -> Callable[..., Problem]:
    """The problem of `FILE` with some fields changed; those of an asset go to its only asset."""

    def make(**changes: Any) -> Problem:
        of_asset = {key: changes.pop(key) for key in tuple(changes) if key in Asset.model_fields}
        fields = {
            "units": Units(price="USD", time="s"),
            "assets": (make_asset(**of_asset),),
            "preferences": Cara(risk_aversion=0.05),
            "horizon": Finite(duration=30.0, terminal=Terminal(quadratic=0.02)),
        }
        return Problem(**(fields | changes))

    return make
