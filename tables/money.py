"""The unit of values and gains: price × unit of the asset.

Prices are per unit of the asset. So where they are in a currency, the product is in that currency; where they
are in ticks or basis points, it is "tick × unit" or "bp × unit".
"""

import re


def money_unit(price_unit: str) -> str:
    """The unit of values where prices are in `price_unit`: USD for USD, "tick × unit" for ticks."""
    is_currency = re.fullmatch(r"[A-Z]{3,5}", price_unit) is not None
    return price_unit if is_currency else f"{price_unit} × unit"
