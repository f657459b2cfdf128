"""A Hummingbot script that quotes from a folder of published tables.

    cp docs/consumers/hummingbot_script.py HUMMINGBOT/scripts/ && pip install --no-deps quotegrid
    python docs/consumers/hummingbot_script.py live/eth      ten minutes on a made-up order book

Once a second the script looks for a new table, asks the guarded quoter for prices, and moves its two orders
where they changed; on a refusal it pulls them. It trades one lot a side of a spot market, counts inventory
from the balance it starts with, and shows how the pieces fit together: it is no trading system. Run with
Hummingbot 20260922, whose scripts are `StrategyV2Base`, on its mock exchange, as `main` does; never against
an exchange, nor from Hummingbot's own console.
"""

import asyncio
import os
import random
import sys
import tempfile
from decimal import Decimal

from hummingbot.core.data_type.common import MarketDict
from hummingbot.strategy.strategy_v2_base import StrategyV2Base, StrategyV2ConfigBase

from quotegrid.tables.guarded_quoter import GuardedQuoter, Moment, Price
from quotegrid.tables.lookup import QuoteError
from quotegrid.tables.publication.generation_follower import GenerationFollower

SIDES = ("bid", "ask")


class TableScriptConfig(StrategyV2ConfigBase):
    """What the script trades, and where its tables are."""

    script_file_name: str = os.path.basename(__file__)
    folder: str = "live/eth"
    symbol: str = "ETH-PERP"  # the table's name of the market
    flow: str = "book"
    exchange: str = "binance_paper_trade"
    trading_pair: str = "ETH-USDT"
    tick: Decimal = Decimal("0.01")

    def update_markets(self, markets: MarketDict) -> MarketDict:
        return markets.add_or_update(self.exchange, self.trading_pair)


class TableScript(StrategyV2Base):
    """One lot on each side, at the prices of the live table."""

    def __init__(self, connectors, config: TableScriptConfig) -> None:
        super().__init__(connectors, config)
        self.refusals: dict[str, int] = {}
        self.placed = self.filled = 0
        self.flat: Decimal | None = None  # the balance that is no inventory
        self.follower = GenerationFollower(
            config.folder,
            lambda table: GuardedQuoter(
                table, (config.symbol,), (float(config.tick),), between="towards_flat"
            ),
        )
        self.lot = Decimal(str(self.follower.held.table.lot_sizes[0]))

    def on_tick(self) -> None:
        if self.follower.refresh():
            self.logger().info(f"generation {self.follower.held.generation} is live")
        prices = self.prices()
        resting = {
            "bid" if order.is_buy else "ask": order for order in self.get_active_orders(self.config.exchange)
        }
        for side in SIDES:
            self.move(side, resting.get(side), prices.get(f"{self.config.flow}/{side}"))

    def prices(self) -> dict[str, Price | None]:
        """The prices of this second; none at a refusal."""
        connector, pair = self.connectors[self.config.exchange], self.config.trading_pair
        balance = connector.get_balance(pair.split("-")[0])
        self.flat = balance if self.flat is None else self.flat
        bid, ask = float(connector.get_price(pair, False)), float(connector.get_price(pair, True))
        moment = Moment(
            inventory=float((balance - self.flat) / self.lot),
            reference=0.5 * (bid + ask),
            best_bid=bid,
            best_ask=ask,
            now=self.current_timestamp,
        )
        try:
            return self.follower.held.quoter.prices(moment)
        except QuoteError as error:
            self.refusals[error.rule] = self.refusals.get(error.rule, 0) + 1
            return {}

    def move(self, side: str, order, wanted: Price | None) -> None:
        """Cancel what rests at another price; once it is gone, quote at the wanted one."""
        price = None if wanted is None else wanted.ticks * self.config.tick
        if order is not None:
            if order.price != price:
                self.cancel(self.config.exchange, self.config.trading_pair, order.client_order_id)
        elif price is not None:
            kind = self.connectors[self.config.exchange].get_maker_order_type()
            place = self.buy if side == "bid" else self.sell
            place(self.config.exchange, self.config.trading_pair, self.lot, kind, price)
            self.placed += 1

    def did_fill_order(self, event) -> None:
        self.filled += 1


async def main(folder: str, symbol: str) -> None:
    """Ten minutes of a random walk on Hummingbot's mock exchange."""
    from hummingbot.client.config.client_config_map import ClientConfigMap
    from hummingbot.client.config.config_helpers import ClientConfigAdapter
    from hummingbot.connector.exchange.paper_trade.paper_trade_exchange import QuantizationParams
    from hummingbot.connector.markets_recorder import MarketsRecorder
    from hummingbot.connector.test_support.mock_paper_exchange import MockPaperExchange
    from hummingbot.core.clock import Clock, ClockMode
    from hummingbot.model.sql_connection_manager import SQLConnectionManager, SQLConnectionType

    begin, seconds, pair = 1_700_000_000.0, 600, "ETH-USDT"
    draw, mid, tick = random.Random(1), 2680.0, 0.01
    exchange = MockPaperExchange()
    exchange.set_balanced_order_book(pair, mid, mid - 1.0, mid + 1.0, 0.02, 5.0)
    exchange.set_quantization_param(QuantizationParams(pair, 8, 2, 8, 4))
    exchange.set_balance("ETH", Decimal(10))
    exchange.set_balance("USDT", Decimal(100_000))
    # what the console sets up before a script
    client = ClientConfigAdapter(ClientConfigMap())
    records = os.path.join(tempfile.mkdtemp(), "records.sqlite")
    sql = SQLConnectionManager(client, SQLConnectionType.TRADE_FILLS, db_path=records)
    MarketsRecorder.get_instance(sql, [exchange], "", "tables", client.market_data_collection)
    config = TableScriptConfig(folder=folder, symbol=symbol, exchange="mock", trading_pair=pair)
    TableScript.init_markets(config)
    script = TableScript({"mock": exchange}, config)
    clock = Clock(ClockMode.BACKTEST, 1.0, begin, begin + seconds)
    with clock:
        clock.add_iterator(exchange)
        clock.add_iterator(script)
        for second in range(1, seconds):
            mid = round((mid + 0.4 * draw.gauss(0.0, 1.0)) / tick) * tick
            exchange.set_balanced_order_book(pair, mid, mid - 1.0, mid + 1.0, 0.02, 5.0)
            clock.backtest_til(begin + second)
            await asyncio.sleep(0)
    position = exchange.get_balance("ETH") - script.flat
    print(f"{script.placed} orders, {script.filled} filled, position {position} ETH at the end")
    print(f"generation {script.follower.held.generation}; refusals: {script.refusals or 'none'}")
    await script.on_stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "ETH-PERP"))
