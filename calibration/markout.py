"""What the mid does after a market order: the loss on a fill that the offset must pay for.

    markout(x, τ) = mean over orders that reached at least x of aggressor · (mid(t + τ) - mid before the
    order)

A fill at an offset δ is worth δ minus its markout. At τ = 0⁺ it is mostly the order's own push on the quotes;
a markout that stays with τ is information. A problem file without an `adverse` entry says that it is 0; with
`adverse = { on = "markout", jump = ε }` the model charges ε to every fill, whatever its offset. Measured
markouts change with x; what is earned at each offset, Λ̂(δ)(δ - markout(δ, τ)), is `NetGain` in
`quotegrid.calibration.side`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from quotegrid.calibration.market_orders import MarketOrders
from quotegrid.calibration.recording import NANOSECONDS, Recording

HORIZONS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
SHARE_OF_RECORDING = 0.01  # the longest horizon


@dataclass(frozen=True)
class Markout:
    """The mean move of the mid with the aggressor: `move` price units, `horizon` s, over `orders` orders.

    The orders are those that reached at least `offset` price units from the mid before them.
    """

    offset: float
    horizon: float
    move: float
    orders: int


def horizons(duration: float, stretch: float, asked: float) -> tuple[float, ...]:
    """The horizons for which a recording and its stretches without a pause have room, and the one asked."""
    longest = min(SHARE_OF_RECORDING * duration, 0.5 * stretch)
    return tuple(sorted({asked, *(each for each in HORIZONS if each <= longest)}))


def signed_moves(recording: Recording, orders: MarketOrders, horizon: float) -> Float[np.ndarray, "order"]:
    """The move of the mid with each aggressor after `horizon` s; NaN where the later mid is not recorded."""
    later_ns = orders.time_ns + round(horizon * NANOSECONDS)
    segment = np.searchsorted(recording.segments_ns[:, 0], orders.time_ns, side="left") - 1
    known = later_ns <= recording.segments_ns[segment, 1]
    quote = np.searchsorted(recording.quotes.time_ns, later_ns, side="right") - 1
    move = orders.aggressor * (recording.quotes.mid[quote] - orders.mid)
    return np.where(known, move, np.nan)


def reached(recording: Recording, orders: MarketOrders, offset: float) -> Bool[np.ndarray, "order"]:
    """Which orders reached at least an offset."""
    return orders.reach * 0.5 * recording.tick_size >= offset * (1.0 - 1e-9)


def measure_markout(
    recording: Recording,
    orders: MarketOrders,
    offset: float,
    horizon: float = 1.0,
    aggressor: int | None = None,
) -> Markout:
    """The markout of orders of both sides, or of one; those whose later mid is not recorded are left out."""
    move = signed_moves(recording, orders, horizon)
    used = np.isfinite(move) & reached(recording, orders, offset)
    if aggressor is not None:
        used &= orders.aggressor == aggressor
    return Markout(offset, horizon, float(move[used].mean()) if used.any() else float("nan"), int(used.sum()))
