"""Where the parameters come from: best bid/ask quotes and trades to volatility, fill intensities and sizes.

    calibration = calibrate("quotes.csv.gz", "trades.csv.gz", symbol="ETH-PERP", asset_unit="ETH")
    print(calibration.summary())
    calibration.figure().savefig("fit.png")
    write_problem(calibration, "problem.toml")

The command `quotegrid calibrate` does these four lines.
"""

from quotegrid.calibration.calibration import Calibration, calibrate, write_problem
from quotegrid.calibration.market_data import MarketDataError, Quotes, Trades
from quotegrid.calibration.market_files import read_market

__all__ = [
    "Calibration",
    "MarketDataError",
    "Quotes",
    "Trades",
    "calibrate",
    "read_market",
    "write_problem",
]
