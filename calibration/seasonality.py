"""The time of day: how the rate of market orders and the volatility differ from their mean.

    factor of a bin = (orders, or σ²T, in the bin per second of the bin) / (the same over the recording)

with the error that the blocks of each bin show (the limit of a bootstrap within bins, linearised), and a Wald
test of "every factor is 1". A recording must hold `FEWEST_BINS` bins of half an hour or an hour, each with
`FEWEST_BLOCKS` blocks and `FEWEST_ORDERS` orders; one day tells what that day did, several days tell the
habit. The problem file stays stationary: the factors are reported, and are to be used as one table per part
of the day.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import chi2

from quotegrid.calibration.blocks import Blocks
from quotegrid.calibration.market_orders import MarketOrders
from quotegrid.calibration.recording import NANOSECONDS, Recording

DAY, HOUR = 86_400.0, 3600.0
FEWEST_BINS, FEWEST_BLOCKS, FEWEST_ORDERS = 4, 5, 30


@dataclass(frozen=True, eq=False)
class DayFactor:
    """Factors of the bins of a day, with errors; `…_chance`: the p-value of all being 1.

    begin, width: hours; blocks: how many each bin has (one less are the degrees of freedom of its errors);
    days: how many days the recording touches.
    """

    begin: Float[np.ndarray, "bin"]
    width: float
    rate: Float[np.ndarray, "bin"]
    rate_error: Float[np.ndarray, "bin"]
    rate_chance: float
    volatility: Float[np.ndarray, "bin"]
    volatility_error: Float[np.ndarray, "bin"]
    volatility_chance: float
    blocks: Int[np.ndarray, "bin"]
    days: int


def measure_day(
    recording: Recording,
    orders: MarketOrders,
    blocks: Blocks,
    variance: Float[np.ndarray, "block"],
) -> DayFactor | str:
    """The factors, or the sentence that says why there are none. variance: σ²T of each block."""
    middle = 0.5 * blocks.edge_ns.sum(axis=1) / NANOSECONDS
    hour = (middle % DAY) / HOUR
    width = 0.5 if np.ptp(hour) < 9.0 else 1.0
    place = (hour / width).astype(int)
    arrivals = blocks.sums(orders.time_ns)
    enough = [
        each
        for each in np.unique(place)
        if (place == each).sum() >= FEWEST_BLOCKS and arrivals[place == each].sum() >= FEWEST_ORDERS
    ]
    if len(enough) < FEWEST_BINS:
        bin_name = "half hour" if width == 0.5 else "hour"
        found = f"{len(enough) or 'no'} {bin_name}{'s' if len(enough) > 1 else ''}"
        return (
            f"not estimated: {found} with enough orders in {recording.duration:.0f} s, {FEWEST_BINS} are "
            "needed: record for longer."
        )
    member = (place[:, None] == np.array(enough)).astype(np.float64)
    rate, rate_error, rate_chance = _factors(arrivals, blocks, member, 1.0)
    volatility, volatility_error, volatility_chance = _factors(variance, blocks, member, 0.5)
    return DayFactor(
        begin=width * np.array(enough, dtype=np.float64),
        width=width,
        rate=rate,
        rate_error=rate_error,
        rate_chance=rate_chance,
        volatility=volatility,
        volatility_error=volatility_error,
        volatility_chance=volatility_chance,
        blocks=member.sum(axis=0).astype(np.int64),
        days=len(np.unique(middle // DAY)),
    )


def _factors(
    amount: Float[np.ndarray, "block"],
    blocks: Blocks,
    member: Float[np.ndarray, "block bin"],
    power: float,
) -> tuple[Float[np.ndarray, "bin"], Float[np.ndarray, "bin"], float]:
    """(amount per s in each bin ÷ overall)^power, its error, and the p-value of all being 1."""
    seconds = blocks.seconds
    overall = amount.sum() / seconds.sum()
    factor = (amount @ member / (seconds @ member) / overall) ** power
    count = member.sum(axis=0)
    # the spread of a ratio of sums over the blocks of a bin (linearised)
    ratio = amount @ member / (seconds @ member)
    excess = (amount[:, None] - ratio * seconds[:, None]) * member / (seconds @ member)
    variance = (excess**2).sum(axis=0) * count / (count - 1.0)
    relative = power * np.sqrt(variance) / ratio
    share = seconds @ member / seconds.sum()
    # ln factor_j = power (ln ratio_j - ln Σ share·ratio): its Jacobian
    pull = share * ratio / overall
    jacobian = np.eye(len(ratio)) - pull[None, :]
    covariance = jacobian @ np.diag(relative**2) @ jacobian.T
    inverse = np.linalg.pinv(covariance, rcond=1e-10)
    wald = float(np.log(factor) @ inverse @ np.log(factor))
    rank = int(np.linalg.matrix_rank(covariance, tol=1e-10 * float(np.trace(covariance))))
    return factor, factor * np.sqrt(np.diag(covariance)), float(chi2.sf(wald, rank))
