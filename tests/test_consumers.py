"""The Hummingbot script, on a small stand-in for what it uses of Hummingbot: quotes, moves, pulls its orders.

Whoever has Hummingbot runs the script itself, on its mock exchange (the script says how).
"""

import logging
import runpy
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from quotegrid.tables.publication.generations import POINTER
from quotegrid.tables.publication.publishing import publisher
from quotegrid.tables.validity import with_validity

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "consumers" / "hummingbot_script.py"
NOON = 1777896000.0
BID, ASK = "bid", "ask"


class Exchange:
    """A book whose touch is set by hand, and balances."""

    def __init__(self) -> None:
        self.touch, self.balance = (Decimal("99.90"), Decimal("100.10")), Decimal(5)

    def get_price(self, pair: str, is_buy: bool) -> Decimal:
        return self.touch[is_buy]

    def get_balance(self, asset: str) -> Decimal:
        return self.balance

    def get_maker_order_type(self) -> str:
        return "limit maker"


class StrategyV2Base:
    """Orders rest from when they are placed until they are cancelled."""

    def __init__(self, connectors: dict[str, Exchange], config: Any) -> None:
        self.connectors, self.config, self.current_timestamp = connectors, config, NOON
        self.orders: list[Any] = []
        self.done: list[str] = []

    def buy(self, exchange: str, pair: str, amount: Decimal, kind: str, price: Decimal) -> None:
        self.rest(True, exchange, pair, amount, kind, price)

    def sell(self, exchange: str, pair: str, amount: Decimal, kind: str, price: Decimal) -> None:
        self.rest(False, exchange, pair, amount, kind, price)

    def rest(
        self, is_buy: bool, exchange: str, pair: str, amount: Decimal, kind: str, price: Decimal
    ) -> None:
        assert (exchange, pair, amount, kind) == ("venue", "XYZ-USD", Decimal("0.1"), "limit maker")
        name = f"{price} {is_buy}"
        self.orders.append(SimpleNamespace(is_buy=is_buy, price=price, client_order_id=name))
        self.done.append(f"{BID if is_buy else ASK} {price}")

    def cancel(self, exchange: str, pair: str, order_id: str) -> None:
        (gone,) = (order for order in self.orders if order.client_order_id == order_id)
        self.orders.remove(gone)
        self.done.append(f"cancel {BID if gone.is_buy else ASK}")

    def get_active_orders(self, exchange: str) -> list[Any]:
        return list(self.orders)

    def logger(self) -> logging.Logger:
        return logging.getLogger("stand-in")


class StrategyV2ConfigBase:
    def __init__(self, **fields: Any) -> None:
        self.__dict__ |= fields


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the script defines."""
    names = {
        "hummingbot.core.data_type.common": {"MarketDict": dict},
        "hummingbot.strategy.strategy_v2_base": {
            "StrategyV2Base": StrategyV2Base,
            "StrategyV2ConfigBase": StrategyV2ConfigBase,
        },
    }
    for name, contents in names.items():
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:count]), ModuleType(parts[count - 1]))
        sys.modules[name].__dict__.update(contents)
    return runpy.run_path(str(SCRIPT))


def test_the_hummingbot_script(
    script: dict[str, Any], tmp_path: Path, table_by_hand: Callable[..., Any]
) -> None:
    folder, exchange = tmp_path / "live", Exchange()
    folder.mkdir()
    table = with_validity(table_by_hand(), NOON, 3600.0, [(90.0, 110.0)])
    with publisher(folder) as at_work:
        at_work.publish(table)
    config = script["TableScriptConfig"](
        folder=str(folder), symbol="XYZ", flow="size1", exchange="venue", trading_pair="XYZ-USD"
    )
    bot = script["TableScript"]({"venue": exchange}, config)

    def second() -> list[str]:
        bot.done.clear()
        bot.on_tick()
        return list(bot.done)

    assert second() == ["bid 99.49", "ask 100.51"]  # 0.51 from the mid on both sides
    assert second() == []  # they rest
    exchange.balance = Decimal("5.1")  # a lot was bought
    assert second() == ["cancel bid", "cancel ask"]
    assert second() == ["bid 99.47", "ask 100.49"]
    exchange.touch = (Decimal("119.90"), Decimal("120.10"))  # a price this table is not meant for
    assert second() == ["cancel bid", "cancel ask"] and second() == []
    assert bot.refusals == {"outside-price-box": 2}
    exchange.touch, exchange.balance = (
        (Decimal("99.90"), Decimal("100.10")),
        Decimal("5.6"),
    )  # beyond the limit
    assert second() == ["ask 100.43"]
    exchange.balance = Decimal(5)
    with publisher(folder) as at_work:
        at_work.publish(with_validity(table_by_hand(gain=0.5), NOON, 7200.0))
    assert second() == ["bid 99.49", "cancel ask"] and bot.follower.held.generation == 2
    assert second() == ["ask 100.51"]
    bot.current_timestamp = NOON + 7201.0
    assert second() == ["cancel bid", "cancel ask"] and bot.refusals["expired"] == 1
    (folder / POINTER).unlink()  # nothing to follow: the script goes on with what it holds, which refuses
    assert second() == [] and bot.refusals["expired"] == 2
