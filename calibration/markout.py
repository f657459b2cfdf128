"""What the mid does after a market order: the loss on a fill that the offset must pay for.

    markout(x, τ) = mean over orders that reached at least x of  aggressor · (mid(t + τ) - mid before the
    order).

A fill at an offset δ is worth δ minus its markout. A problem file without an `adverse` entry says the markout
is 0.
"""

from dataclasses import dataclass

import numpy as np

from quotegrid.calibration.market_orders import MarketOrders
from quotegrid.calibration.recording import NANOSECONDS, Recording


@dataclass(frozen=True)
class Markout:
    """The mean move of the mid with the aggressor: `move` price units, `horizon` s, over `orders` orders.

    The orders are those that reached at least `offset` price units from the mid before them.
    """

    offset: float
    horizon: float
    move: float
    orders: int


def measure_markout(
    recording: Recording, orders: MarketOrders, offset: float, horizon: float = 1.0
) -> Markout:
    """The markout of both sides' orders; those whose later mid is not recorded are left out."""
    later_ns = orders.time_ns + round(horizon * NANOSECONDS)
    reached = orders.reach * 0.5 * recording.tick_size >= offset * (1.0 - 1e-9)
    segment = np.searchsorted(recording.segments_ns[:, 0], orders.time_ns, side="left") - 1
    used = reached & (later_ns <= recording.segments_ns[segment, 1])
    quote = np.searchsorted(recording.quotes.time_ns, later_ns[used], side="right") - 1
    move = orders.aggressor[used] * (recording.quotes.mid[quote] - orders.mid[used])
    return Markout(offset, horizon, float(move.mean()) if move.size else float("nan"), int(used.sum()))
