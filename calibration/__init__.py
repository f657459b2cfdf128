"""Where the parameters come from: market data to intensities and volatility."""
