"""A tabulated intensity: the measured curve at a few offsets, made smooth, and fair where it is not.

A table is *fair* when ΛΛ'' < 2Λ'², that is when 1/Λ is convex: then each reservation offset p has one best
quote. (For ξ > 0 the condition is weaker, 1/Λ convex as a function of -e^{-ξzδ}; fair at ξ = 0 is fair for
all.) Measured curves are not: they have steps and noise, and where the touch takes most orders and counts,
1/Λ rises steeply behind it and then flattens. But a maker who maximises Λ(δ)(δ - p) minimises (1/Λ)/(δ - p),
the slope of a ray from (p, 0) to the curve 1/Λ, and such a ray meets the curve only on its greatest convex
minorant. Hence:

    Replacing 1/Λ by its greatest convex minorant changes no Hamiltonian sup_δ Λ(δ)(δ - p), and only adds
    fills at offsets that were best for no p.

So the table follows the measured curve near the vertices of the minorant, and bridges between them; on a
bridge it says more fills than were measured. Steps, each with its reason:

 1. candidates: the first offset, then those at each of which the rate has fallen by a further factor and
    `fewest` more orders have stopped, down to `fewest` orders (a rate is then known to about 1/√fewest);
 2. the minorant of (1/Λ)^(1-ε) instead of 1/Λ: strictly fair, so that the best quote moves continuously with
    p. In s = -ln Λ and g = ln(1/h) a curve is fair where

        h² + h' > 0   ⇔   (1/h)' < 1   ⇔   dg/ds < 1,        since ds = h dδ,

    and that minorant has dg/ds = 1 - ε between its vertices and falls at each;
 3. g is averaged over a window of s, which keeps every bound on its slope and takes off the corners, and
    δ(s) = δ_0 + c∫e^g ds, with c such that the last offset stays where it was;
 4. knots at equal steps of ln Λ, rounded as they will be written. The cubics in ln Λ that the model reads can
    be unfair between points of a fair curve: shorter steps, then more room ε and wider windows are tried
    until it finds none (a very wide window leaves an exponential, which is fair);
 5. smoothing moves the curve off the vertices by some percent, always to the same side: so it is done again
    with what was missed added to what is aimed at ("twicing", Tukey 1977). The first table is taken that is
    near enough to the vertices and to the measured Hamiltonian, or the nearest of the first choices.

How much this changes is measured and reported: `moved` at the vertices, `gain_error` in the Hamiltonian.
"""

from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np
from jaxtyping import Float, Int

from quotegrid.calibration.intensity import MeasuredIntensity
from quotegrid.calibration.market_data import MarketDataError
from quotegrid.models.tabulated import Cubics, Tabulated, pchip

MOST_VERTICES = 12
SMALLEST_FACTOR = 1.25
ROOM_AND_WINDOW = (
    (0.1, 0.3),
    (0.15, 0.4),
    (0.2, 0.5),
    (0.3, 0.7),
    (0.5, 1.0),
    (0.7, 1.5),
    (0.9, 2.5),
    (1.0, 5.0),
)
STEPS = (0.25, 0.15, 0.1)  # of ln Λ between knots
TWICINGS = 3
FIRST_CHOICES = 3  # of room and window: wider ones are tried only where none of these is fair
NEAR_ENOUGH = 0.1  # of ln Λ at the vertices and of what a best quote earns, together: about what noise does
FINE = 4000  # points of the curve the knots are taken from


@dataclass(frozen=True)
class Bridge:
    """Offsets between two vertices where the table says up to `excess` times the fills measured."""

    low: float
    high: float
    excess: float


@dataclass(frozen=True, eq=False)
class FairTable:
    """Knots of a tabulated Λ, and how they relate to the measured curve.

    offset: price units, increasing; log_rate: ln of fills per s, decreasing; vertices: the measured offsets
    the table is drawn through; moved: the largest relative change of a rate measured there; gain_error: the
    largest relative difference of sup Λ(δ)(δ - p) from the measured curve's, for reservation offsets p within
    one best offset of 0; bridges: where the table exceeds the measured curve by more than half.
    """

    offset: Float[np.ndarray, "knot"]
    log_rate: Float[np.ndarray, "knot"]
    vertices: Float[np.ndarray, "vertex"]
    moved: float = 0.0
    gain_error: float = 0.0
    bridges: tuple[Bridge, ...] = ()

    def __call__(self, offset: Float[np.ndarray, "offset"]) -> Float[np.ndarray, "offset"]:
        """Λ(δ), per s: as the model reads the knots."""
        return np.exp(
            interpolate(pchip(np, self.offset, self.log_rate), np.asarray(offset, dtype=np.float64))
        )

    def best_quote(self, reservation: float = 0.0) -> tuple[float, float]:
        """(offset, gain) that maximise Λ(δ)(δ - reservation) from the first knot to the last."""
        offset = np.linspace(self.offset[0], self.offset[-1], FINE + 1)
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
    """A fair table of the measured curve; `fewest` orders must reach the last knot.

    Raises MarketDataError when fewer than two distances have that many orders.
    """
    candidates = candidate_offsets(curve, fewest)
    if len(candidates) < 2:
        raise MarketDataError(
            f"{len(candidates)} distance(s) are reached by {fewest} or more of the {curve.count[0]} market "
            "orders on a side; a table needs two or more. Record for longer."
        )
    table = _nearest_fair(curve, candidates)
    vertices = table.vertices
    return replace(
        table,
        moved=float(np.abs(table(vertices) / curve(vertices) - 1.0).max()),
        gain_error=_gain_error(table, curve),
        bridges=_bridges(table, curve),
    )


def candidate_offsets(curve: MeasuredIntensity, fewest: int) -> Int[np.ndarray, "candidate"]:
    """Levels, from the first, at each of which the rate has fallen by a factor."""
    enough = np.flatnonzero(curve.count >= fewest)
    if enough.size < 2:
        return enough
    whole = (
        curve.rate[enough[1]] / curve.rate[enough[-1]]
    )  # the first step may be the touch, far above the others
    factor = max(SMALLEST_FACTOR, float(whole) ** (1.0 / MOST_VERTICES))
    chosen = [enough[0]]
    for level in enough[1:]:
        fallen = curve.rate[chosen[-1]] >= factor * curve.rate[level]
        if fallen and curve.count[chosen[-1]] - curve.count[level] >= fewest:
            chosen.append(level)
    return np.array(chosen)


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


def _nearest_fair(curve: MeasuredIntensity, candidates: Int[np.ndarray, "candidate"]) -> FairTable:
    """A table of few knots, fair as the model reads it: the first near enough, or the nearest."""
    best: tuple[float, FairTable] | None = None
    for choices in (ROOM_AND_WINDOW[:FIRST_CHOICES], ROOM_AND_WINDOW[FIRST_CHOICES:]):
        for step, (room, window) in product(STEPS, choices):
            steepness = (curve.rate[candidates[0]] / curve.rate[candidates]) ** (1.0 - room)
            if room == 1.0:
                steepness = -np.log(curve.rate[candidates])  # the limit of (steepness - 1)/(1 - room)
            vertices = candidates[lower_hull(curve.offset[candidates], steepness)]
            offset, measured = curve.offset[vertices], np.log(curve.rate[vertices])
            aimed = measured
            for _ in range(1 + TWICINGS):
                table = _smooth_table(offset, aimed, room, window, step)
                off = np.log(table(offset)) - measured
                moved = float(np.abs(off).max())
                if (best is None or moved < best[0]) and is_fair(table):
                    missed = moved + _gain_error(table, curve)
                    if best is None or missed < best[0]:
                        best = missed, table
                aimed = aimed - off
                if np.any(np.diff(aimed) >= 0.0):
                    break
            if best is not None and best[0] < NEAR_ENOUGH:
                return best[1]
        if best is not None:
            return best[1]
    ends = candidates[[0, -1]]
    rate = rounded(curve.rate[ends], 5)
    return FairTable(rounded(curve.offset[ends], 6), np.log(rate), curve.offset[ends])


def _smooth_table(
    offset: Float[np.ndarray, "vertex"],
    log_rate: Float[np.ndarray, "vertex"],
    room: float,
    window: float,
    step: float,
) -> FairTable:
    """The table of steps 2 to 4 near some vertices."""
    s, x = smooth_curve(offset, -log_rate, room, window)
    knots = np.rint(np.linspace(0, FINE, max(2, round((s[-1] - s[0]) / step)) + 1)).astype(int)
    return FairTable(rounded(x[knots], 6), np.log(rounded(np.exp(-s[knots]), 5)), offset)


def rounded(numbers: Float[np.ndarray, "knot"], digits: int) -> Float[np.ndarray, "knot"]:
    """Rounded to significant digits."""
    return np.array([float(f"{number:.{digits}g}") for number in numbers])


def is_fair(table: FairTable) -> bool:
    """Whether the model would take the table: decreasing also beyond its ends, and fair everywhere."""
    ends = pchip(np, table.offset, table.log_rate).slopes[[0, -1]]
    model = Tabulated.model_construct(offset=tuple(table.offset), log_rates=tuple(table.log_rate), rate=None)
    return bool(np.all(ends < 0.0)) and model.unfair_offset(-np.inf, np.inf, 1.0, 0.0) is None


def smooth_curve(
    x: Float[np.ndarray, "vertex"], s: Float[np.ndarray, "vertex"], room: float, window: float
) -> tuple[Float[np.ndarray, "point"], Float[np.ndarray, "point"]]:
    """(s, δ) of steps 2 and 3: through the vertices (x, s = -ln Λ), g averaged over ±`window` of s, twice."""
    step = (s[-1] - s[0]) / FINE
    middle = s[0] + (np.arange(FINE) + 0.5) * step
    i = np.clip(np.searchsorted(s, middle) - 1, 0, len(x) - 2)
    # between vertices (1/Λ)^(1-ε) is linear in δ, so that 1/h = dδ/ds is proportional to e^{(1-ε)(s - s_i)}
    length = np.diff(x)[i]
    rise = np.diff(s)[i] if room == 1.0 else np.expm1((1.0 - room) * np.diff(s)[i]) / (1.0 - room)
    g = np.log(length / rise) + (1.0 - room) * (middle - s[i])
    half = max(1, round(window / step))
    smooth = np.cumsum(np.exp(_averaged(_averaged(g, half), half)))
    offset = x[0] + (x[-1] - x[0]) * np.concatenate([[0.0], smooth / smooth[-1]])
    return s[0] + np.arange(FINE + 1) * step, offset


def _averaged(values: Float[np.ndarray, "point"], half: int) -> Float[np.ndarray, "point"]:
    """Means over 2·half + 1 neighbours; beyond its ends the sequence is constant."""
    padded = np.concatenate([np.full(half, values[0]), values, np.full(half, values[-1])])
    total = np.concatenate([[0.0], np.cumsum(padded)])
    return (total[2 * half + 1 :] - total[: -2 * half - 1]) / (2 * half + 1)


def _gain_error(table: FairTable, curve: MeasuredIntensity) -> float:
    """Largest relative difference of sup Λ(δ)(δ - p) from the measured curve's, |p| up to its best offset."""
    scale, _ = curve.best_quote()
    known = curve.offset <= table.offset[-1] * (1.0 + 1e-9)
    offset = np.linspace(table.offset[0], table.offset[-1], FINE + 1)
    rate = table(offset)
    errors = [0.0]
    for p in np.linspace(-scale, min(scale, 0.9 * float(table.offset[-1])), 41):
        measured = float((curve.rate * (curve.offset - p))[known].max())
        errors.append(abs(float((rate * (offset - p)).max()) / measured - 1.0))
    return max(errors)


def _bridges(table: FairTable, curve: MeasuredIntensity) -> tuple[Bridge, ...]:
    """Where the table exceeds the measured curve by more than half, from a vertex to the next."""
    found = []
    for low, high in pairwise(table.vertices):
        between = curve.offset[(curve.offset > low) & (curve.offset < high)]
        if between.size and (excess := float((table(between) / curve(between)).max())) > 1.5:
            found.append(Bridge(float(low), float(high), excess))
    return tuple(found)
