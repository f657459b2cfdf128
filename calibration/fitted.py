"""Λ(δ) in a parametric form: fitted to the orders of a side, and how well it describes them.

Two looks at the fit of a form to the orders that reached at least c:

    gap        the largest difference between the observed and the expected share that reach at least δ
               (Kolmogorov-Smirnov); chance alone exceeds 1.36/√n once in twenty for a form that was not
               fitted to these orders, and a fitted one should stay well below
    deviance   G² = 2 Σ O ln(O/E) over cells of five expected orders or more, the likelihood ratio against the
               form that says of every cell what was seen there; χ² with (cells - parameters) degrees of
               freedom by chance (one is spent on the total, which every fit gets right)

A form that both leave standing describes the orders "by chance". Among forms, the smaller AIC is the better.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2

from quotegrid.calibration.families import FAMILIES, FamilyName
from quotegrid.calibration.intensity import FEWEST_ORDERS, Reach, Tally
from quotegrid.calibration.likelihood import Optimum, Sightings, maximise

Rate = Callable[[Float[np.ndarray, "offset"]], Float[np.ndarray, "offset"]]
LEAST_EXPECTED = 5.0
LEAST_CHANCE = 0.01


@dataclass(frozen=True, eq=False)
class FittedIntensity:
    """A family with the parameters of greatest likelihood, of the `orders` that reached `start` (price
    units).

    limit: what the fit has run into where the data do not hold it ("an exponential"), else "".
    """

    name: FamilyName
    values: tuple[float, ...]
    start: float
    orders: int
    limit: str
    optimum: Optimum

    def __getitem__(self, parameter: str) -> float:
        return self.values[FAMILIES[self.name].parameters.index(parameter)]

    def __call__(self, offset: Float[np.ndarray, "offset"]) -> Float[np.ndarray, "offset"]:
        return FAMILIES[self.name].rate(self.values, np.asarray(offset, dtype=np.float64))

    def best_quote(self) -> tuple[float, float]:
        """(offset, gain per unit and s) that maximise δΛ(δ); an infinite offset where nothing does."""
        best = FAMILIES[self.name].best_offset(self.values)
        return best, float(best * self(np.array([best]))[0]) if math.isfinite(best) else math.inf


@dataclass(frozen=True, eq=False)
class Fit:
    """How well a form of Λ describes the orders that reached at least some distance.

    log_likelihood and parameters give AIC = 2·parameters - 2·log_likelihood; gap and chance, deviance and
    freedom as above; offset, observed, expected: the cells, price units and orders.
    """

    log_likelihood: float
    parameters: int
    gap: float
    chance: float
    deviance: float
    freedom: int
    offset: Float[np.ndarray, "cell"]
    observed: Float[np.ndarray, "cell"]
    expected: Float[np.ndarray, "cell"]

    @property
    def aic(self) -> float:
        return 2.0 * self.parameters - 2.0 * self.log_likelihood

    @property
    def p_value(self) -> float:
        """How often chance alone gives a larger deviance."""
        return float(chi2.sf(self.deviance, self.freedom)) if self.freedom > 0 else 1.0

    @property
    def residual(self) -> Float[np.ndarray, "cell"]:
        """(O - E)/√E: about standard normal where the form is right."""
        return (self.observed - self.expected) / np.sqrt(self.expected)

    @property
    def by_chance(self) -> bool:
        """Whether chance explains what the form misses."""
        return self.gap <= self.chance and self.p_value >= LEAST_CHANCE


def sightings(reach: Reach, start: int, tally: Tally | None = None) -> Sightings:
    """What the likelihood needs; with a `tally`, of each weighted copy."""
    seen = reach.tally if tally is None else tally
    far = reach.level >= start
    return Sightings(
        level=reach.level[far] * reach.half_tick,
        count=seen.count[..., far],
        entry=reach.first_reached(start) * reach.half_tick,
        time=seen.time,
        tick=2.0 * reach.half_tick,
        start=start * reach.half_tick,
    )


def fit(name: FamilyName, reach: Reach, start: int) -> FittedIntensity | None:
    """Maximum likelihood on orders that reached `start` half ticks or more; None when they are too few."""
    seen, family = sightings(reach, start), FAMILIES[name]
    orders = float(seen.orders)
    if orders < FEWEST_ORDERS or len(seen.level) < 2:
        return None
    # the exponential of the mean distance, as if the touch had always been at the start
    excess = float(seen.count @ seen.level) / orders - seen.start
    decay = math.log1p(seen.tick / excess) / seen.tick
    optimum = maximise(family, seen, decay)
    values = (math.exp(optimum.log_scale), *(float(value) for value in family.values(optimum.shape)))
    limit = family.limit(optimum.shape, seen.start, float(seen.level[-1]))
    return FittedIntensity(name, values, seen.start, int(orders), limit, optimum)


def judge(rate: Rate, parameters: int, reach: Reach, start: int) -> Fit:
    """How a form of Λ describes the orders that reached at least `start` half ticks."""
    far = reach.level >= start
    level, count = reach.level[far], reach.tally.count[far]
    time, half_tick = reach.tally.time, reach.half_tick
    mass = rate(level * half_tick) - rate((level + 2) * half_tick)
    expected_orders = float(time @ rate(reach.first_reached(start) * half_tick))
    reaching = np.cumsum(count[::-1])[::-1]
    said = np.array([time @ rate(reach.first_reached(x) * half_tick) for x in level.tolist()])
    cells = _cells(count, said - np.append(said[1:], 0.0))
    offset = level[cells] * half_tick
    observed = np.add.reduceat(count, cells)
    expected = np.add.reduceat(said - np.append(said[1:], 0.0), cells)
    seen = observed > 0
    deviance = 2.0 * float(observed[seen] @ np.log(observed[seen] / expected[seen]))
    deviance += 2.0 * float(expected.sum() - observed.sum())
    return Fit(
        log_likelihood=float(count @ np.log(mass)) - expected_orders,
        parameters=parameters,
        gap=float(np.abs(reaching / reaching[0] - said / expected_orders).max()),
        chance=1.36 / math.sqrt(reaching[0]),
        deviance=max(deviance, 0.0),
        freedom=max(len(cells) - parameters, 0),
        offset=offset,
        observed=observed,
        expected=expected,
    )


def _cells(count: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Where cells begin: levels put together from the first on until five orders are expected in each."""
    begins, held = [0], 0.0
    for i, orders in enumerate(expected.tolist()):
        if held >= LEAST_EXPECTED and float(expected[i:].sum()) >= LEAST_EXPECTED:
            begins.append(i)
            held = 0.0
        held += orders
    return np.array(begins)
