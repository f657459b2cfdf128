"""How large market orders are, in units of the asset, and the lot that follows from it.

A venue may count contracts. A linear contract is `contract_size` units of the asset. An inverse contract is
worth `contract_size` in the price currency and settles in the asset: n contracts held from price S0 to S earn

    n·c·(1/S0 - 1/S) units of the asset = n·c/S0 · (S - S0)/S,   worth n·c/S0 · (S - S0) in the price currency
    at S.

So at a frozen reference price S0 one inverse contract is c/S0 units of the asset, and profit is counted in
the price currency, exactly, for a position opened at S0 and converted at the end. What the freezing neglects
is that a contract traded elsewhere is c/S units: a relative error of (S - S0)/S0.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from quotegrid.calibration.market_data import MarketDataError


@dataclass(frozen=True)
class Contract:
    """What the venue counts: `size` units of the asset, or, inverse, `size` of the price currency."""

    size: float = 1.0
    inverse: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.size) and self.size > 0.0):
            raise MarketDataError(
                f"contract_size is {self.size!r}; it is a size above 0 (1 where sizes are in units)."
            )

    def units(self, reference: float) -> float:
        """Units of the asset in one contract, at the frozen reference price."""
        return self.size / reference if self.inverse else self.size


@dataclass(frozen=True, eq=False)
class OrderSizes:
    """Sizes of market orders, float64[order], sorted, in units of the asset."""

    size: Float[np.ndarray, "order"]

    @classmethod
    def measure(cls, counted: Float[np.ndarray, "order"], unit: float) -> "OrderSizes":
        """From sizes as the venue counts them; `unit` is what one of them is in units of the asset."""
        return cls(np.sort(counted) * unit)

    def quantile(self, share: float) -> float:
        """The size that a `share` of the orders does not exceed."""
        return float(np.quantile(self.size, share))

    def share_of_at_least(self, size: float) -> float:
        """The share of orders not smaller than `size`."""
        return float(1.0 - np.searchsorted(self.size, size * (1.0 - 1e-9), side="left") / len(self.size))

    def ladder(self) -> tuple[float, ...]:
        """The lot and larger round sizes, as far as ten orders reach them."""
        lot = self.lot()
        steps = (float(f"{step * lot:.12g}") for step in (1, 2, 5, 10, 20, 50, 100))
        return tuple(size for size in steps if self.share_of_at_least(size) * len(self.size) >= 10)

    def lot(self) -> float:
        """The largest of …, 0.1, 0.2, 0.5, 1, 2, 5, … that half of the orders or more reach."""
        return round_down(self.quantile(0.5))


def round_down(size: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that does not exceed `size`."""
    power = int(np.floor(np.log10(size)))
    leading = max(step for step in (1, 2, 5) if step <= size / 10.0**power * (1.0 + 1e-9))
    return float(f"{leading}e{power}")
