"""Parametric forms by maximum likelihood: the optimum, its derivatives, its honesty."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import kstest

from quotegrid.calibration.families import FAMILIES, FamilyName
from quotegrid.calibration.fitted import Fit, FittedIntensity, fit, judge, sightings
from quotegrid.calibration.intensity import Reach, Tally
from quotegrid.calibration.likelihood import Sightings, curvature, gradient, maximise, profile, replicate
from quotegrid.calibration.synthetic import SyntheticMarket

HALF_TICK = 0.005
TRUTHS: dict[FamilyName, tuple[float, ...]] = {
    "exponential": (2.0, 10.0),
    "logistic": (2.0, -2.0, 15.0),
    "power": (4.0, 0.1, 3.0),
    "linear": (2.0, 0.4),
}
each_truth = pytest.mark.parametrize(("name", "values"), TRUTHS.items(), ids=TRUTHS)


def found(name: FamilyName, reach: Reach, start: int) -> FittedIntensity:
    fitted = fit(name, reach, start)
    assert fitted is not None
    return fitted


def log_likelihood(reach: Reach, rate: Callable[..., Any], start: int) -> float:
    """The likelihood order by order, as the module states it, on the lattice of each spread."""
    total = 0.0
    for level, count in zip(reach.level, reach.tally.count, strict=True):
        if level >= start:
            total += count * np.log(rate(level * HALF_TICK) - rate((level + 2) * HALF_TICK))
    for spread, seconds in zip(reach.spread, reach.tally.time, strict=True):
        first = next(x for x in range(spread, 1000, 2) if x >= start)
        total -= rate(first * HALF_TICK) * seconds
    return total


@each_truth
def test_a_family_is_consistent(name: FamilyName, values: tuple[float, ...]) -> None:
    family, offset = FAMILIES[name], np.array([0.0, 0.01, 0.1, 0.3])
    rate = family.rate(values, offset)
    assert np.all(np.diff(rate) < 0.0)
    np.testing.assert_allclose(family.offset_at(values, rate), offset, atol=1e-13)
    shape = family.shape(values)
    np.testing.assert_allclose(family.values(shape), values[1:])
    mass = np.exp(family.log_shape(shape, offset)) - np.exp(family.log_shape(shape, offset + 0.01))
    np.testing.assert_allclose(np.exp(family.log_mass(shape, offset, 0.01)), mass, rtol=1e-12)
    best = family.best_offset(values)
    fine = np.linspace(0.5 * best, 1.5 * best, 20_001)
    assert fine[(fine * family.rate(values, fine)).argmax()] == pytest.approx(best, rel=1e-4)


@pytest.mark.parametrize("start", [1, 3, 4])
@pytest.mark.parametrize("name", ["exponential", "logistic", "power"])
def test_the_fit_maximises_its_likelihood(name: FamilyName, start: int, drawn: Callable[..., Reach]) -> None:
    """Against a simplex search on the likelihood as stated, with spreads on both lattices."""
    reach = drawn(SyntheticMarket(family=name, parameters=TRUTHS[name], spreads=(1, 2, 9), duration=600.0), 4)
    fitted, family = found(name, reach, start), FAMILIES[name]
    logs = np.array([np.log(v) if p else v for v, p in zip(fitted.values, family.positive, strict=True)])

    def negative(x: np.ndarray) -> float:
        values = tuple(np.exp(v) if p else v for v, p in zip(x, family.positive, strict=True))
        return -log_likelihood(reach, lambda offset: family.rate(values, np.array(offset)), start)

    best = minimize(
        negative, logs + 0.05, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 6000}
    )
    assert negative(logs) <= best.fun + 1e-7
    np.testing.assert_allclose(logs, best.x, atol=2e-3)  # power and logistic have a flat direction
    assert fitted.start == start * HALF_TICK and fitted.orders == reach.reaching(start)
    judged = judge(fitted, len(fitted.values), reach, start)
    assert judged.log_likelihood == pytest.approx(-negative(logs))
    assert judged.aic == pytest.approx(2.0 * len(fitted.values) + 2.0 * negative(logs))


@pytest.mark.parametrize("name", ["exponential", "logistic", "power"])
def test_derivatives_are_those_of_the_likelihood(name: FamilyName, drawn: Callable[..., Reach]) -> None:
    reach = drawn(SyntheticMarket(family=name, parameters=TRUTHS[name], spreads=(1, 3)), 4)
    family, seen = FAMILIES[name], sightings(reach, 3)
    shape = family.shape(TRUTHS[name]) + 0.1
    for i in range(len(shape)):
        step = np.zeros(len(shape))
        step[i] = 1e-4
        slope = (profile(family, shape + step, seen) - profile(family, shape - step, seen)) / 2e-4
        assert gradient(family, shape, seen)[i] == pytest.approx(slope, rel=1e-5)
        bend = (gradient(family, shape + step, seen) - gradient(family, shape - step, seen)) / 2e-4
        np.testing.assert_allclose(curvature(family, shape, seen)[i], bend, rtol=1e-5, atol=1e-4)


@each_truth
def test_known_parameters_are_found_again(
    name: FamilyName, values: tuple[float, ...], drawn: Callable[..., Reach]
) -> None:
    """20 recordings under spreads of 1, 3 and 9 ticks: the mean is the truth within three of its errors."""
    family, off = FAMILIES[name], []
    for seed in range(20):
        if name == "linear":  # how well an end is known depends on where between two ticks it lies
            values = (2.0, 0.4 + 0.01 * seed / 20)
        fitted = found(
            name, drawn(SyntheticMarket(family=name, parameters=values, spreads=(1, 3, 9)), seed), 3
        )
        assert not fitted.limit
        pairs = zip(fitted.values, values, family.positive, strict=True)
        off.append([np.log(value / true) if positive else value - true for value, true, positive in pairs])
    error = np.std(off, axis=0, ddof=1) / np.sqrt(20)
    # the estimate of a ridge (power) is skewed: its mean is off by a part of its spread
    allowed = 3.0 * error + (0.3 * np.std(off, axis=0) if name == "power" else 0.0)
    assert np.all(np.abs(np.mean(off, axis=0)) < allowed)


@pytest.mark.parametrize("name", ["exponential", "logistic", "power"])
def test_copies_are_fitted_as_if_anew(name: FamilyName, drawn: Callable[..., Reach]) -> None:
    """A few Newton steps from the optimum of the data reach each copy's own optimum."""
    reach = drawn(SyntheticMarket(family=name, parameters=TRUTHS[name]), 6)
    weights = np.random.default_rng(1).multinomial(
        56, np.full(len(reach.by_block.time), 1 / len(reach.by_block.time)), 5
    )
    tally = reach.by_block.weighted(weights.astype(float))
    fitted = found(name, reach, 3)
    columns = replicate(FAMILIES[name], fitted.optimum, sightings(reach, 3, tally))
    for copy in range(5):
        alone = Tally(tally.count[copy][None], tally.time[copy][None])
        again = found(name, Reach("ask", reach.level, reach.spread, alone, HALF_TICK, 1), 3)
        logs = [np.log(v) if p else v for v, p in zip(again.values, FAMILIES[name].positive, strict=True)]
        np.testing.assert_allclose(columns[copy], logs, atol=1e-3)


def test_an_exponential_market_drives_logistic_and_power_to_their_limit_or_lets_them_bend_a_little() -> None:
    """On exact exponential counts neither can do better than its limit, and says which it is."""
    level = np.arange(1, 200, 2)
    count = np.maximum(1e5 * np.exp(-10.0 * level * HALF_TICK), 1e-3)
    reach = Reach("bid", level, np.array([1]), Tally(count[None], np.array([[1000.0]])), HALF_TICK, 1)
    for name in ("logistic", "power"):
        assert found(name, reach, 1).limit == "an exponential"
    assert found("exponential", reach, 1)["k"] == pytest.approx(10.0, rel=1e-3)


def test_a_pure_power_is_called_infinite_at_the_mid() -> None:
    level = np.arange(1, 400, 2)
    reaching = level**-1.5
    count = reaching - np.append(reaching[1:], 0.0)
    tally = Tally(1e6 * count[None], np.array([[1000.0]]))
    reach = Reach("bid", level, np.array([1]), tally, HALF_TICK, 1)
    assert found("power", reach, 1).limit == "a pure power, infinite at the mid"


def test_the_end_of_a_linear_intensity_has_its_textbook_posterior() -> None:
    """Uniform distances and a fine tick: with x the furthest of n, ln(d/x) is exponential with mean 1/n."""
    rng, family = np.random.default_rng(7), FAMILIES["linear"]
    pivots = []
    for _ in range(300):
        distance = np.sort(rng.uniform(0.0, 1.0, 200))
        seen = Sightings(distance, np.ones(200), np.array([1e-9]), np.array([100.0]), 1e-7, 1e-9)
        optimum = maximise(family, seen, decay=2.0)
        spread = 1.0 / np.sqrt(-optimum.curvature[0, 0])
        assert optimum.shape[0] - np.log(distance[-1]) == pytest.approx(1 / 200, rel=0.02)
        assert spread == pytest.approx(1 / 200, rel=0.02)
        pivots.append(-optimum.shape[0] / spread + 1.0)
    assert kstest(pivots, "expon").pvalue > 0.01
    held = np.abs(np.array(pivots) - 1.0) < 1.96
    assert np.mean(held) == pytest.approx(1.0 - np.exp(-2.96), abs=0.04)


def test_a_form_is_told_from_another_by_gap_and_deviance(drawn: Callable[..., Reach]) -> None:
    verdicts: dict[str, list[Fit]] = {"plain": [], "heavy": [], "behind": []}
    for seed in range(20):
        for what, market, start in (
            ("plain", SyntheticMarket(duration=600.0), 1),
            ("heavy", SyntheticMarket(duration=600.0, touch_orders=4.0), 1),
            ("behind", SyntheticMarket(duration=600.0, touch_orders=4.0), 3),
        ):
            reach = drawn(market, seed)
            verdicts[what].append(judge(found("exponential", reach, start), 2, reach, start))
    assert np.mean([each.by_chance for each in verdicts["plain"]]) >= 0.9
    assert not any(each.by_chance for each in verdicts["heavy"])
    assert np.mean([each.by_chance for each in verdicts["behind"]]) >= 0.9
    # p-values of the right form are uniform
    assert kstest([each.p_value for each in verdicts["plain"]], "uniform").pvalue > 0.01


def test_gap_deviance_and_residuals_are_what_they_say(hand_made: Callable[..., Reach]) -> None:
    reach = hand_made([1] * 60 + [3] * 40, spread=[1], seconds=[10.0])

    def rate(offset: np.ndarray) -> np.ndarray:
        return 20.0 * np.exp(-30.0 * np.asarray(offset))

    judged = judge(rate, 2, reach, 1)
    assert judged.gap == pytest.approx(abs(0.4 - np.exp(-30.0 * 0.01)))  # share reaching 0.015, seen and said
    assert judged.chance == pytest.approx(0.136)
    said = 10.0 * rate(np.array([0.005, 0.015]))
    expected = np.array([said[0] - said[1], said[1]])
    np.testing.assert_allclose(judged.expected, expected)
    np.testing.assert_allclose(judged.residual, (np.array([60, 40]) - expected) / np.sqrt(expected))
    deviance = 2.0 * (60 * np.log(60 / expected[0]) + 40 * np.log(40 / expected[1]) - 100 + expected.sum())
    assert judged.deviance == pytest.approx(deviance)
    assert judged.freedom == 0 and judged.p_value == 1.0


def test_too_few_orders_or_one_distance_make_no_form(hand_made: Callable[..., Reach]) -> None:
    assert fit("exponential", hand_made([1, 3] * 14, [1], [10.0]), 1) is None
    assert fit("exponential", hand_made([1] * 40, [1], [10.0]), 1) is None
