"""A nautilus_trader strategy that quotes from a folder of published tables.

    pip install nautilus_trader numpy && pip install --no-deps quotegrid
    python docs/consumers/nautilus_strategy.py live/eth      a backtest on made-up quotes

At every quote of the market the strategy looks for a new table, asks the guarded quoter for prices, and
moves its two orders where they changed; on a refusal it pulls them. It trades one lot a side and shows how
the pieces fit together: it is no trading system. Run with nautilus_trader 1.221 on made-up quotes, as `main`
does; never against an exchange.
"""

import math
import random
import sys
from decimal import Decimal

from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId, Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from quotegrid.tables.guarded_quoter import GuardedQuoter, Moment
from quotegrid.tables.lookup import QuoteError
from quotegrid.tables.publication.generation_follower import GenerationFollower

BEGIN = 1_700_000_000_000_000_000  # nanoseconds; the engine does not survive orders at time 0
SIDES = {"bid": OrderSide.BUY, "ask": OrderSide.SELL}


class TableConfig(StrategyConfig, frozen=True):
    """What the strategy trades, and where its tables are."""

    instrument_id: InstrumentId
    folder: str
    symbol: str  # the table's name of the market
    flow: str = "book"


class TableStrategy(Strategy):
    """One lot on each side, at the prices of the live table."""

    def __init__(self, config: TableConfig) -> None:
        super().__init__(config)
        self.refusals: dict[str, int] = {}
        self.resting: dict[str, tuple[object, int]] = {}  # side → (order, its price in ticks)

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(self.config.instrument_id)
        tick = float(self.instrument.price_increment)
        self.follower = GenerationFollower(
            self.config.folder,
            lambda table: GuardedQuoter(table, (self.config.symbol,), (tick,), between="towards_flat"),
        )
        self.lot = self.follower.held.table.lot_sizes[0]
        self.subscribe_quote_ticks(self.config.instrument_id)

    def on_quote_tick(self, quote: QuoteTick) -> None:
        self.follower.refresh()
        bid, ask = float(quote.bid_price), float(quote.ask_price)
        moment = Moment(
            inventory=float(self.portfolio.net_position(self.config.instrument_id)) / self.lot,
            reference=0.5 * (bid + ask),
            best_bid=bid,
            best_ask=ask,
            now=self.clock.timestamp(),
        )
        try:
            prices = self.follower.held.quoter.prices(moment)
        except QuoteError as error:
            self.refusals[error.rule] = self.refusals.get(error.rule, 0) + 1
            prices = {}
        for side in SIDES:
            self.move(side, prices.get(f"{self.config.flow}/{side}"))

    def move(self, side: str, wanted) -> None:
        """Cancel what rests at another price, and quote at the wanted one."""
        order, ticks = self.resting.get(side, (None, 0))
        if order is not None and not order.is_closed:
            if wanted is not None and wanted.ticks == ticks:
                return
            self.cancel_order(order)
        if wanted is None:
            self.resting.pop(side, None)
            return
        order = self.order_factory.limit(
            instrument_id=self.config.instrument_id,
            order_side=SIDES[side],
            quantity=self.instrument.make_qty(self.lot),
            price=self.instrument.make_price(wanted.price),
            time_in_force=TimeInForce.GTC,
            post_only=True,
        )
        self.resting[side] = (order, wanted.ticks)
        self.submit_order(order)

    def on_stop(self) -> None:
        self.cancel_all_orders(self.config.instrument_id)


def made_up_quotes(instrument, count: int, volatility: float) -> list[QuoteTick]:
    """A random walk of the mid, ten quotes a second, with a spread of one tick now and then of more."""
    draw, mid, quotes = random.Random(1), 2680.0, []
    tick = float(instrument.price_increment)
    for number in range(count):
        mid += volatility * math.sqrt(0.1) * draw.gauss(0.0, 1.0)
        low = math.floor(mid / tick) * tick
        nanoseconds = BEGIN + number * 100_000_000
        size = Quantity(5.0, instrument.size_precision)
        high = low + tick * draw.choice((1, 1, 1, 2))
        places = instrument.price_precision
        quotes.append(
            QuoteTick(
                instrument.id, Price(low, places), Price(high, places), size, size, nanoseconds, nanoseconds
            )
        )
    return quotes


def main(folder: str, symbol: str) -> None:
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    instrument = TestInstrumentProvider.ethusdt_perp_binance()
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=None,
        starting_balances=[Money(1_000_000, USDT)],
        default_leverage=Decimal(10),
    )
    engine.add_instrument(instrument)
    engine.add_data(made_up_quotes(instrument, 20_000, 0.4))
    strategy = TableStrategy(TableConfig(instrument_id=instrument.id, folder=folder, symbol=symbol))
    engine.add_strategy(strategy)
    engine.run()
    orders = engine.cache.orders()
    filled = sum(order.is_closed and order.filled_qty > 0 for order in orders)
    position = engine.portfolio.net_position(instrument.id)
    print(f"{len(orders)} orders, {filled} filled, position {position} ETH at the end")
    print(f"generation {strategy.follower.held.generation}; refusals: {strategy.refusals or 'none'}")
    engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "ETH-PERP")
