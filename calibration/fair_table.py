"""A tabulated intensity: the measured curve at a few knots, made fair where it is not.

A table is *fair* when ΛΛ'' < 2Λ'², that is when 1/Λ is convex: then each reservation offset p has one best
quote. (For ξ > 0 the condition is weaker, 1/Λ convex as a function of -e^{-ξzδ}; fair at ξ = 0 is fair for
all.) Measured curves are not: they have steps and noise, and where the touch takes most orders and counts,
1/Λ rises steeply behind it and then flattens. But a maker who maximises Λ(δ)(δ - p) minimises (1/Λ)/(δ - p),
the slope of a ray from (p, 0) to the curve 1/Λ, and such a ray meets the curve only on its greatest convex
minorant. Hence:

    Replacing 1/Λ by its greatest convex minorant changes no Hamiltonian sup_δ Λ(δ)(δ - p), and only adds
    fills at offsets that were best for no p.

So the table follows the measured curve at the vertices of the minorant, and bridges between them; on a bridge
it says more fills than were measured. Steps, each with its reason:

 1. candidate knots: the first offset, then those at each of which the rate has fallen by a further factor and
    `fewest` more orders have stopped, down to `fewest` orders (a knot's rate is known to about 1/√fewest);
 2. the minorant of (1/Λ)^(1-ε) instead of 1/Λ: strictly fair, so that the best quote moves continuously with
    p (it crosses a bridge while p moves by about ε times the bridge);
 3. further knots where ln Λ falls by more than `STRIDE` between two vertices;
 4. the cubics in ln Λ, as the model reads them, can be unfair between points that are not: the values at the
    knots are moved by as little as possible, weighted by their orders, until (1 - margin)h² + h' ≥ 0
    throughout.

How much steps 2 to 4 change is measured and reported: `moved` at the knots, `gain_error` in the Hamiltonian.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize

from quotegrid.calibration.intensity import MeasuredIntensity
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.models.tabulated import Cubics, Tabulated, pchip

ROOM = 0.05
STRIDE = 0.2
MOST_KNOTS = 12
SMALLEST_FACTOR = 1.25
MARGINS = (0.01, 0.03, 0.1)


@dataclass(frozen=True, eq=False)
class Bridge:
    """Offsets between two measured knots where the table says up to `excess` times the fills measured."""

    low: float
    high: float
    excess: float


@dataclass(frozen=True, eq=False)
class FairTable:
    """Knots of a tabulated Λ, and how they relate to the measured curve.

    offset: price units, increasing; log_rate: ln of fills per s, decreasing; measured: whether the knot
    stands for a measured rate (the others bridge); moved: the largest relative change of a measured rate that
    fairness asked for; gain_error: the largest relative difference of sup Λ(δ)(δ - p) from the measured
    curve's, for reservation offsets p within one best offset of 0; bridges: where the table exceeds the
    measured curve by more than half.
    """

    offset: Float[np.ndarray, "knot"]
    log_rate: Float[np.ndarray, "knot"]
    measured: Bool[np.ndarray, "knot"]
    moved: float
    gain_error: float
    bridges: tuple[Bridge, ...]

    def __call__(self, offset: Float[np.ndarray, "offset"]) -> Float[np.ndarray, "offset"]:
        """Λ(δ), per s: as the model reads the knots."""
        return np.exp(
            interpolate(pchip(np, self.offset, self.log_rate), np.asarray(offset, dtype=np.float64))
        )

    def best_quote(self, reservation: float = 0.0) -> tuple[float, float]:
        """(offset, gain) that maximise Λ(δ)(δ - reservation) from the first knot to the last."""
        offset = np.linspace(self.offset[0], self.offset[-1], 4001)
        gain = self(offset) * (offset - reservation)
        best = int(gain.argmax())
        return float(offset[best]), float(gain[best])


def interpolate(cubics: Cubics, x: Float[np.ndarray, "offset"]) -> Float[np.ndarray, "offset"]:
    """ln Λ at x: the cubics between the knots, the end tangents outside."""
    inside = np.clip(x, cubics.knots[0], cubics.knots[-1])
    i = np.clip(np.searchsorted(cubics.knots, inside, side="right") - 1, 0, len(cubics.second) - 1)
    t = inside - cubics.knots[i]
    value = cubics.values[i] + t * (cubics.slopes[i] + t * (cubics.second[i] + t * cubics.third[i]))
    return value + np.where(x < inside, cubics.slopes[0], cubics.slopes[-1]) * (x - inside)


def fit_fair_table(curve: MeasuredIntensity, *, fewest: int = 15) -> FairTable:
    """A fair table through the measured curve; `fewest` orders must reach the last knot.

    Raises MarketDataError when fewer than two distances have that many orders.
    """
    candidates = candidate_knots(curve, fewest)
    if len(candidates) < 2:
        raise MarketDataError(
            f"{len(candidates)} distance(s) are reached by {fewest} or more of the {curve.count[0]} market "
            "orders on a "
            "side; a table needs two knots or more. Record for longer."
        )
    steepness = (1.0 / curve.rate[candidates]) ** (1.0 - ROOM)
    vertices = candidates[lower_hull(curve.offset[candidates], steepness)]
    offset, target, measured = _with_bridges(curve, vertices)
    weight = np.interp(offset, curve.offset[vertices], curve.count[vertices]) * np.where(measured, 1.0, 0.1)
    scale, _ = curve.best_quote()
    log_rate = nearest_fair(offset / scale, target, weight)
    moved = float(np.abs(np.expm1(log_rate - target))[measured].max())
    table = FairTable(offset, log_rate, measured, moved, np.nan, ())
    return replace(table, gain_error=_gain_error(table, curve, scale), bridges=_bridges(table, curve))


def candidate_knots(curve: MeasuredIntensity, fewest: int) -> Int[np.ndarray, "knot"]:
    """Levels, from the first, at each of which the rate has fallen by a factor."""
    enough = np.flatnonzero(curve.count >= fewest)
    if enough.size < 2:
        return enough
    whole = (
        curve.rate[enough[1]] / curve.rate[enough[-1]]
    )  # the first step may be the touch, far above the others
    factor = max(SMALLEST_FACTOR, float(whole) ** (1.0 / MOST_KNOTS))
    knots = [enough[0]]
    for level in enough[1:]:
        fallen = curve.rate[knots[-1]] >= factor * curve.rate[level]
        if fallen and curve.count[knots[-1]] - curve.count[level] >= fewest:
            knots.append(level)
    return np.array(knots)


def lower_hull(x: Float[np.ndarray, "point"], y: Float[np.ndarray, "point"]) -> list[int]:
    """Indices of the vertices of the greatest convex minorant of points (x increasing)."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) >= 2:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[i] - x[b]) < (y[i] - y[b]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return hull


def nearest_fair(
    knots: Float[np.ndarray, "knot"], target: Float[np.ndarray, "knot"], weight: Float[np.ndarray, "knot"]
) -> Float[np.ndarray, "knot"]:
    """Values at the knots, nearest to `target` (ln Λ) in weighted squares, whose interpolant is fair.

    The straight line between the end knots, an exponential, is fair; so there is an answer.
    """

    def is_fair(values: Float[np.ndarray, "knot"]) -> bool:
        if not np.all(np.diff(values) < 0.0):
            return False
        ends = pchip(np, knots, values).slopes[[0, -1]]
        table = Tabulated.model_construct(offset=tuple(knots), log_rates=tuple(values), rate=None)
        return bool(np.all(ends < 0.0)) and table.unfair_offset(-np.inf, np.inf, 1.0, 0.0) is None

    if is_fair(target):
        return target
    weight = weight / weight.sum()
    straight = np.interp(knots, knots[[0, -1]], target[[0, -1]])
    steps = np.diff(np.eye(len(knots)), axis=0)
    for margin in MARGINS:
        fair = {"type": "ineq", "fun": fairness, "args": (knots, margin)}
        decreasing = {"type": "ineq", "fun": lambda y: -steps @ y - 0.01, "jac": lambda y: -steps}
        found = minimize(
            lambda y: float(weight @ (y - target) ** 2),
            target,
            jac=lambda y: 2.0 * weight * (y - target),
            method="SLSQP",
            constraints=[fair, decreasing],
            options={"maxiter": 300, "ftol": 1e-12},
        )
        if is_fair(found.x):
            return found.x
    return straight


def fairness(
    values: Float[np.ndarray, "knot"], knots: Float[np.ndarray, "knot"], margin: float, points: int = 13
) -> Float[np.ndarray, "point"]:
    """(1 - margin)h² + h' over the squared mean hazard of its segment; fair where not negative."""
    cubics = pchip(np, knots, values)
    width = np.diff(knots)
    t = np.linspace(0.0, 1.0, points)[:, None] * width
    hazard = -(cubics.slopes[:-1] + t * (2.0 * cubics.second + 3.0 * t * cubics.third))
    slope = -(2.0 * cubics.second + 6.0 * t * cubics.third)
    mean = np.maximum(-np.diff(values) / width, 1e-3)
    return (((1.0 - margin) * hazard**2 + slope) / mean**2).ravel()


def _with_bridges(
    curve: MeasuredIntensity, vertices: Int[np.ndarray, "vertex"]
) -> tuple[Float[np.ndarray, "knot"], Float[np.ndarray, "knot"], Bool[np.ndarray, "knot"]]:
    """Offsets, ln Λ and whether measured: the vertices, and points between where (1/Λ)^(1-ε) is linear."""
    x, log_rate = curve.offset[vertices], np.log(curve.rate[vertices])
    offsets, targets, measured = [x[:1]], [log_rate[:1]], [np.array([True])]
    for i in range(len(vertices) - 1):
        pieces = max(1, round((log_rate[i] - log_rate[i + 1]) / STRIDE))
        values = np.linspace(log_rate[i], log_rate[i + 1], pieces + 1)[1:]
        height = np.exp(-(1.0 - ROOM) * (values - log_rate[i]))
        share = (height - 1.0) / (height[-1] - 1.0)
        offsets.append(x[i] + share * (x[i + 1] - x[i]))
        targets.append(values)
        measured.append(np.arange(1, pieces + 1) == pieces)
    return np.concatenate(offsets), np.concatenate(targets), np.concatenate(measured)


def _gain_error(table: FairTable, curve: MeasuredIntensity, scale: float) -> float:
    """Largest relative difference of sup Λ(δ)(δ - p) from the measured curve's, |p| up to `scale`."""
    known = curve.offset <= table.offset[-1]
    errors = []
    for p in np.linspace(-scale, scale, 41):
        measured = float((curve.rate * (curve.offset - p))[known].max())
        errors.append(abs(table.best_quote(p)[1] / measured - 1.0))
    return max(errors)


def _bridges(table: FairTable, curve: MeasuredIntensity) -> tuple[Bridge, ...]:
    """Where the table exceeds the measured curve by more than half, from a measured knot to the next."""
    ends = table.offset[table.measured]
    found = []
    for low, high in pairwise(ends):
        between = curve.offset[(curve.offset > low) & (curve.offset < high)]
        if between.size and (excess := float((table(between) / curve(between)).max())) > 1.5:
            found.append(Bridge(float(low), float(high), excess))
    return tuple(found)
