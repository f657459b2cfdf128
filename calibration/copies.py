"""Every estimate once more for each weighted copy of the recording: errors and their correlation.

Names: `volatility`; `markout.<horizon>` and `touch.<horizon>`; and of each side `bid.<family>.<parameter>`,
`bid.table.<knot>` (ln of its rate), `bid.measured.<vertex>`, `bid.net.<vertex>`, `bid.adverse`,
`bid.size.<rung>`. What is positive is kept as its ln.

A knot of a table lies on a smooth curve near the measured rates at the vertices; its errors are theirs,
interpolated in the offset. Where the curve was smoothed is not drawn anew.
"""

import numpy as np
from jaxtyping import Bool, Float

from quotegrid.calibration.blocks import Blocks, Copies
from quotegrid.calibration.families import FAMILIES
from quotegrid.calibration.fitted import sightings
from quotegrid.calibration.intensity import measured_copies
from quotegrid.calibration.likelihood import replicate
from quotegrid.calibration.market_orders import MarketOrders
from quotegrid.calibration.markout import Markout, reached, signed_moves
from quotegrid.calibration.recording import Recording
from quotegrid.calibration.side import SideIntensity

Weights = Float[np.ndarray, "copy block"]


def make_copies(
    recording: Recording,
    orders: MarketOrders,
    blocks: Blocks,
    variance: Float[np.ndarray, "block"],
    sides: tuple[SideIntensity, ...],
    markouts: tuple[Markout, ...],
    touch_markouts: tuple[Markout, ...],
    sizes: tuple[float, ...],
) -> Copies:
    """Draw the copies, and estimate everything from each.

    variance: σ²T of each block; sizes: of the ladder, as the venue counts.
    """
    weights = blocks.weights()
    seconds = weights @ blocks.seconds
    draws = {"volatility": 0.5 * np.log(np.maximum(weights @ variance, 1e-300) / seconds)}
    for name, found in (("markout", markouts), ("touch", touch_markouts)):
        for markout in found:
            move = signed_moves(recording, orders, markout.horizon)
            used = reached(recording, orders, markout.offset)
            draws[f"{name}.{markout.horizon:g}"] = _mean_copies(blocks, weights, orders, move, used)
    for side in sides:
        draws |= _side_copies(recording, orders, blocks, weights, side, sizes)
    return Copies(blocks, draws)


def _side_copies(
    recording: Recording,
    orders: MarketOrders,
    blocks: Blocks,
    weights: Weights,
    side: SideIntensity,
    sizes: tuple[float, ...],
) -> dict[str, Float[np.ndarray, "copy"]]:
    reach, name = side.reach, side.reach.side
    tally, draws = reach.by_block.weighted(weights), {}
    for family, fitted in side.fits.items():
        if fitted.limit:  # the likelihood has no summit there
            continue
        seen = sightings(reach, side.start, tally)
        columns = replicate(FAMILIES[family], fitted.optimum, seen)
        for parameter, column in zip(FAMILIES[family].parameters, columns.T, strict=True):
            draws[f"{name}.{family}.{parameter}"] = column

    table = side.table
    floor = 0.5 / np.maximum(reach.duration, 1.0)  # half an order: a copy without any there is no ln 0
    rate = np.maximum(measured_copies(reach, table.vertices, tally), floor)
    off = np.log(rate) - np.log(side.measured(table.vertices))
    for knot, offset in enumerate(table.offset.tolist()):
        draws[f"{name}.table.{knot}"] = table.log_rate[knot] + _interpolated(offset, table.vertices, off)
    move = signed_moves(recording, orders, side.net.horizon)
    mine = side.filled_by(orders)
    for vertex, offset in enumerate(table.vertices.tolist()):
        draws[f"{name}.measured.{vertex}"] = np.log(rate[:, vertex])
        used = mine & reached(recording, orders, offset)
        loss = _mean_copies(blocks, weights, orders, move, used)
        draws[f"{name}.net.{vertex}"] = rate[:, vertex] * (offset - loss)
    used = mine & reached(recording, orders, side.adverse.offset)
    draws[f"{name}.adverse"] = _mean_copies(blocks, weights, orders, move, used)
    for rung, size in enumerate(sizes):
        count = weights @ blocks.sums(orders.time_ns[mine & (orders.size >= size * (1.0 - 1e-9))])
        draws[f"{name}.size.{rung}"] = np.log(
            np.maximum(count, 0.5) / (weights @ blocks.seconds) / side.streams
        )
    return draws


def _mean_copies(
    blocks: Blocks,
    weights: Weights,
    orders: MarketOrders,
    move: Float[np.ndarray, "order"],
    used: Bool[np.ndarray, "order"],
) -> Float[np.ndarray, "copy"]:
    """The mean move of some orders in each copy, as the ratio of two weighted sums over blocks."""
    used = used & np.isfinite(move)
    total = weights @ blocks.sums(orders.time_ns[used], move[used])
    count = weights @ blocks.sums(orders.time_ns[used])
    return np.where(count > 0.0, total / np.where(count > 0.0, count, 1.0), np.nan)


def _interpolated(
    offset: float, vertices: Float[np.ndarray, "vertex"], values: Float[np.ndarray, "copy vertex"]
) -> Float[np.ndarray, "copy"]:
    """Values between vertices, linear in the offset."""
    right = int(np.clip(np.searchsorted(vertices, offset), 1, len(vertices) - 1))
    share = float(np.clip((offset - vertices[right - 1]) / (vertices[right] - vertices[right - 1]), 0.0, 1.0))
    return (1.0 - share) * values[:, right - 1] + share * values[:, right]
