"""H, ln H, d ln H/dp and δ* to 1e-13·max(1, |p|/s), s = 1/h(0) (logistic: 1/b), against 50-digit arithmetic.

The twin knows the intensities by their formulas alone. Of lattice points that tie to this accuracy either may
be quoted. With H < 0 (an obligation) the exponent ξz(p - δ) of the loss is rounded, and the loss with it.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from quotegrid.models.contract import AbstractIntensity
from quotegrid.models.faults import ProblemError
from quotegrid.models.intensities import Exponential, Linear, Logistic, Power
from quotegrid.models.tabulated import Tabulated
from quotegrid.solver import hamiltonian

DIGITS = 50
TOLERANCE = 1e-13
UNIT_ROUNDOFF = 2.0**-53
SLACK = mpf("1e-9")  # of a tick, by which a lattice may step over its bounds
RISKS = [0.0, 1e-12, 1e-6, 1e-2, 1.0, 10.0, 1e3]  # ξz times the quote scale
STEPS = np.array([-1e3, -1e2, -10.0, -1.0, -0.3, 0.0, 0.3, 1.0, 10.0, 1e2, 1e3])  # p in quote scales
KNOTS, EVEN = [-1.0, 0.0, 0.6, 1.5, 3.0], [-2.0, -1.0, 0.0, 1.0, 2.0]
SIZE = 4.0


class Case(NamedTuple):
    intensity: AbstractIntensity
    twin: Callable  # δ ↦ (ln Λ, h) in mpmath
    unit: float  # the quote scale s, price
    low: float = -np.inf  # the lowest offset that may be quoted without bounds,
    high: float = np.inf  # and the offset at which fills end


def exponential(A: float, k: float) -> Case:
    return Case(Exponential(A=A, k=k), lambda d: (mpmath.log(mpf(A)) - k * d, mpf(k)), 1 / k)


def logistic(A: float, a: float, b: float) -> Case:
    def twin(d):
        odds = mpmath.exp(a + b * d)
        return mpmath.log(mpf(A)) - mpmath.log1p(odds), b * odds / (1 + odds)

    return Case(Logistic(A=A, a=a, b=b), twin, 1 / b)


def power(A: float, d: float, k: float, low: float = 0.0) -> Case:
    def twin(offset):
        return mpmath.log(mpf(A)) - k * mpmath.log1p(offset / mpf(d)), k / (d + offset)

    return Case(Power(A=A, d=d, k=k), twin, d / k, low=low)


def linear(A: float, d: float) -> Case:
    def twin(offset):
        return mpmath.log(A * (1 - offset / mpf(d))), 1 / (d - offset)

    return Case(Linear(A=A, d=d), twin, d, high=d)


def table(offsets: list[float], log_rates: list[float]) -> Case:
    """Fritsch & Butland's cubic, straight outside."""
    intensity = Tabulated(offset=offsets, log_rate=log_rates)
    with mpmath.workdps(DIGITS):
        x, y = [mpf(v) for v in offsets], [mpf(v) for v in log_rates]
        w = [b - a for a, b in pairwise(x)]
        m = [(b - a) / c for (a, b), c in zip(pairwise(y), w, strict=True)]
        s = [
            3 * (w[i - 1] + w[i]) / ((2 * w[i] + w[i - 1]) / m[i - 1] + (w[i] + 2 * w[i - 1]) / m[i])
            for i in range(1, len(m))
        ]
        if len(m) == 1:
            s = [m[0], m[0]]
        else:
            first = ((2 * w[0] + w[1]) * m[0] - w[0] * m[1]) / (w[0] + w[1])
            last = ((2 * w[-1] + w[-2]) * m[-1] - w[-1] * m[-2]) / (w[-1] + w[-2])
            s = [first, *s, last]

    def twin(offset):
        inside = min(max(offset, x[0]), x[-1])
        i = max(j for j in range(len(m)) if x[j] <= inside)
        t = (inside - x[i]) / w[i]  # Hermite's basis
        value = (
            y[i] * (1 + 2 * t) * (1 - t) ** 2
            + y[i + 1] * t**2 * (3 - 2 * t)
            + w[i] * t * (1 - t) * (s[i] * (1 - t) - s[i + 1] * t)
        )
        slope = 6 * m[i] * t * (1 - t) + s[i] * (1 - t) * (1 - 3 * t) + s[i + 1] * t * (3 * t - 2)
        return value + slope * (offset - inside), -slope

    return Case(intensity, twin, 1 / float(twin(mpf(0))[1]))


@cache
def root(case: Case, p, risk, low, high):
    """δ = p + ln(1 + ξz/h)/(ξz) between the bounds, or the bound nearer to it, by bisection and then regula
    falsi (Illinois); d of a linear intensity where nothing pays.
    """

    def excess(offset):
        hazard = case.twin(offset)[1]
        return offset - p - (1 / hazard if risk == 0 else mpmath.log1p(risk / hazard) / risk)

    left, reach = max(p, low), mpf(case.unit)
    if left >= min(high, case.high):
        return mpf(min(high, case.high))
    if left > p and excess(left) >= 0:
        return left
    right = left
    while excess(right := min(right + reach, high, (right + case.high) / 2)) <= 0:
        if right == high:
            return right
        left, reach = right, 2 * reach
    for _ in range(30):
        middle = (left + right) / 2
        left, right = (middle, right) if excess(middle) < 0 else (left, middle)
    f_left, f_right = excess(left), excess(right)
    while right - left > mpf(10) ** (4 - DIGITS) * (abs(left) + abs(right)):
        middle = (left * f_right - right * f_left) / (f_right - f_left)
        f = excess(middle)
        if f == 0 or not left < middle < right:
            return middle
        if f < 0:
            left, f_left, f_right = middle, f, f_right / 2
        else:
            right, f_right, f_left = middle, f, f_left / 2
    return (left + right) / 2


def worth(case: Case, p, risk, offset):
    """(sign of H, ln|H|, H'/H) of an offset."""
    margin, log_rate = offset - p, case.twin(offset)[0]
    if margin == 0:
        return 0, -mpmath.inf, -mpmath.inf
    gain = SIZE * margin if risk == 0 else -mpmath.expm1(-risk * margin) * SIZE / risk
    slope = -1 / margin if risk == 0 else -risk / mpmath.expm1(risk * margin)
    return mpmath.sign(gain), log_rate + mpmath.log(abs(gain)), slope


def lattice_near(offset, low, high, tick):
    """The two multiples of the tick around an offset, moved inside the bounds."""
    tick = mpf(tick)
    least = -mpmath.inf if low == -np.inf else mpmath.ceil(mpf(low) / tick - SLACK)
    most = mpmath.inf if high == np.inf else mpmath.floor(mpf(high) / tick + SLACK)
    below = mpmath.floor(offset / tick)
    return {min(max(n, least), most) * tick for n in (below, below + 1)}


def errors(case: Case, points: np.ndarray, risk: float, bounds=(None, None), tick=None) -> dict[str, float]:
    """The largest errors over points p of value, offset, ln H and slope, in units of what is allowed."""
    low, high = bounds
    xi = risk / SIZE
    least = case.low if low is None else low
    found = hamiltonian(
        case.intensity,
        points,
        size=SIZE,
        xi=xi,
        min_offset=None if least == -np.inf else least,
        max_offset=high,
        tick=tick,
    )
    largest = dict.fromkeys(found._fields, 0.0)
    limits = mpf(least), mpf(np.inf if high is None else high)

    def note(name, error, allowed):
        largest[name] = max(largest[name], float(error / allowed) if np.isfinite(float(error)) else np.inf)

    with mpmath.workdps(DIGITS):
        risk = SIZE * mpf(xi)
        scale = mpf(case.unit)
        for p, value, offset, log_value, log_slope in zip(map(mpf, points.tolist()), *found, strict=True):
            allowed = TOLERANCE * max(1, abs(p) / scale)
            best = root(case, p, risk, *limits)
            quotes = [best] if tick is None else lattice_near(best, *limits, tick)
            ranked = [(worth(case, p, risk, q), q) for q in quotes if q < case.high]
            if all(sign < 0 for (sign, *_), _ in ranked) and len(ranked) < len(quotes):  # better not to fill
                assert value == 0.0 and np.isnan(offset) and log_value == -np.inf and np.isnan(log_slope)
                continue
            (sign, log_best, _), _ = best = max(ranked, key=lambda pair: pair[0][0] * mpmath.exp(pair[0][1]))
            ties = [r for r in ranked if r[0][0] == sign and abs(r[0][1] - log_best) <= allowed] or [best]
            (_, _, slope), quote = min(ties, key=lambda pair: abs(pair[1] - offset))
            note("offset", abs(offset - quote), allowed * scale + 4 * UNIT_ROUNDOFF * abs(quote))
            if sign == 0:
                assert value == 0.0 and log_value == -np.inf == log_slope
                continue
            note("log_slope", abs(log_slope - slope) * scale, allowed * max(1, abs(slope) * scale))
            if sign > 0:
                note("log_value", abs(log_value - log_best), allowed)
            else:
                assert np.isnan(log_value)
                allowed += 4 * UNIT_ROUNDOFF * risk * abs(quote - p)
            if log_best > 709.7:
                assert value == float(sign) * np.inf or log_best < 709.8
            elif log_best > -708:
                note("value", abs(value / (sign * mpmath.exp(log_best)) - 1), allowed)
            else:
                assert abs(value) < 1e-307
    return largest


NEAREST = 1e-9  # to the end of a linear intensity that is promised, of that end

CASES = {
    "exponential": exponential(0.9, 1.5),
    "logistic": logistic(1.5, -0.75, 2.0),
    "logistic, far below 0": logistic(1.5, 100.0, 2.0),
    "logistic, far above 0": logistic(1.5, -100.0, 2.0),
    "power": power(1.0, 2.0, 3.0),
    "power, down to its end": power(1.0, 2.0, 3.0, low=-2.0 + 2e-6),
    "power that needs risk aversion": power(1.0, 2.0, 0.9, low=1.0),
    "linear": linear(1.0, 2.0),
    "table": table(KNOTS, [1.0, 0.0, -0.7, -1.9, -4.2]),
    "table, flat then steep": table(EVEN, [2.0, 1.95, 1.85, 1.5, -4.0]),
    "table, steep then flat": table(EVEN, [9.0, 5.0, 2.0, 0.0, -1.5]),
}
QUOTES = {  # lowest and highest offset and tick, in quote scales
    "free": (None, None, None),
    "bounds": (-0.75, 1.3, None),
    "ticks": (None, None, 0.1),
    "both": (-0.77, 1.3, 0.3),
}


def assert_exact(case: Case, points: np.ndarray, risk: float, quotes: tuple) -> None:
    """Of a quote set in quote scales; fair at this risk, or nothing is asserted."""
    low, high, tick = (None if x is None else x * case.unit for x in quotes)
    if low is not None and low < case.low:  # both bounds up, into the domain
        low, high = case.low, None if high is None else high + (case.low - low)
    least = case.low if low is None else low
    points = (
        points[np.abs(points - case.high) >= NEAREST * np.abs(case.high)] if case.high < np.inf else points
    )
    if case.intensity.unfair_offset(least, np.inf if high is None else high, SIZE, risk / SIZE) is None:
        worst = errors(case, points, risk, (low, high), tick)
        assert max(worst.values()) <= 1.0, (quotes, risk, worst)


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_quotes_and_risk(name):
    case = CASES[name]
    for quotes in QUOTES.values():
        for risk in RISKS:
            assert_exact(case, STEPS * case.unit, risk / case.unit, quotes)


@pytest.mark.parametrize("unit", [1e-8, 1e8])
@pytest.mark.parametrize("of", ["exponential", "logistic", "power", "linear", "table"])
def test_other_units_of_price(of, unit):
    case = {
        "exponential": lambda: exponential(0.9, 1.5 / unit),
        "logistic": lambda: logistic(1.5, -0.75, 2.0 / unit),
        "power": lambda: power(1.0, 2.0 * unit, 3.0),
        "linear": lambda: linear(1.0, 2.0 * unit),
        "table": lambda: table([x * unit for x in KNOTS], [1.0, 0.0, -0.7, -1.9, -4.2]),
    }[of]()
    for quotes, risk in (("free", 1.0), ("ticks", 1e-2)):
        assert_exact(case, STEPS * case.unit, risk / case.unit, QUOTES[quotes])


@pytest.mark.parametrize(("name", "knots"), [("table", KNOTS), ("table, steep then flat", EVEN)])
def test_where_the_best_offset_is_a_knot(name, knots):
    """h has a kink there: a Newton step from one side must not be trusted on the other."""
    case = CASES[name]
    with mpmath.workdps(DIGITS):
        at_knots = [mpf(x) - 1 / case.twin(mpf(x))[1] for x in knots]
        points = [float(p + shift) for p in at_knots for shift in (-1e-9, -3e-11, -1e-14, 0.0, 3e-11, 1e-9)]
    assert_exact(case, np.array(points), 0.0, QUOTES["free"])


@pytest.mark.parametrize(
    "quotes", [(1.6, None, None), (-3.0, 0.4, None), (1.6, None, 0.25), (-3.0, 0.4, 0.25)]
)
def test_beyond_the_bounds_the_intensity_need_not_be_fair(quotes):
    """A slow segment between two fast ones: there the first-order condition has other roots."""
    case = table([0.0, 1.0, 2.0, 3.0], [0.0, -8.0, -8.05, -16.0])._replace(unit=1.0)
    assert case.intensity.unfair_offset(-np.inf, np.inf, SIZE, 0.0) is not None
    for risk in (0.0, 0.1):
        assert_exact(case, np.linspace(-6.0, 4.0, 11), risk, quotes)


def test_a_power_law_that_decays_slowly_has_a_best_offset_for_p_below_its_end():
    """With k < 1 only risk aversion makes it fair, from x = d + δ = (1 - k)/(ξz) on; for p ≤ -d the best
    offset may still be inside the domain.
    """
    case, risk = power(1.0, 2.0, 0.9, low=-1.7), 0.4
    points = np.array([-2.3, -2.1, -2.02, -2.005, -2.0, -1.999, -1.9, -1.5, 0.0, 5.0, 50.0])
    assert hamiltonian(case.intensity, -2.0, size=SIZE, xi=risk / SIZE, min_offset=-1.7).offset > -1.6
    assert_exact(case, points, risk, QUOTES["free"])


@pytest.mark.parametrize("risk", [0.0, 0.3, 1e3])
def test_near_the_end_of_a_linear_intensity(risk):
    """H, which vanishes there like (d - p)², and its slope, which runs away, keep their digits."""
    case = linear(0.7, 3.3)
    points = 3.3 * (1.0 - 10.0 ** np.arange(-9.0, 0.0))
    assert max(errors(case, points, risk / case.unit).values()) <= 1.0


def test_a_logistic_whose_hazard_underflows_at_its_best_offset():
    """At ξz = 10b and p = -1e3/b the best offset is at x = -910 or so; e^{-910} is no double."""
    case = logistic(2.0, -3.0, 4.0)
    points = np.array([-5e3, -2e3, -1e3, -900.0, -750.0]) * case.unit
    assert np.max(hamiltonian(case.intensity, points[:3], size=SIZE, xi=10.0).offset) < -745 * case.unit
    for risk in (0.2, 1.0, 10.0, 1e3):
        worst = errors(case, points, risk * 4.0)
        assert max(worst.values()) <= 1.0, (risk, worst)


def test_logarithms_where_h_is_no_double():
    """Exponential: ln H = ln H(0) - kp and d ln H/dp = -k, with H = ∞ and 0 at the ends."""
    found = hamiltonian(Exponential(A=1.0, k=2.0), [-1e6, 0.0, 1e6])
    np.testing.assert_array_equal(found.value[[0, 2]], [np.inf, 0.0])
    np.testing.assert_allclose(found.log_value, [2e6, np.log(0.5) - 1.0, -2e6], rtol=1e-6)
    np.testing.assert_array_equal(found.log_slope, -2.0)
    assert found._fields == ("value", "offset", "log_value", "log_slope")


def test_an_obligation_at_a_loss_has_a_slope_but_no_logarithm():
    """Λ = 1/2 and δ = 1: H = (1 - p)/2, so H'/H = -1/(1 - p); infinite where H = 0."""
    found = hamiltonian(Linear(A=1.0, d=2.0), [0.5, 1.0, 5.0, 1e6], max_offset=1.0)
    np.testing.assert_allclose(found.value, [0.25, 0.0, -2.0, -499999.5], rtol=4 * UNIT_ROUNDOFF)
    np.testing.assert_allclose(
        found.log_value, [np.log(0.25), -np.inf, np.nan, np.nan], rtol=4 * UNIT_ROUNDOFF
    )
    np.testing.assert_allclose(found.log_slope, [-2.0, -np.inf, 0.25, 1 / 999999.0], rtol=4 * UNIT_ROUNDOFF)


def test_h_is_finite_where_it_is_a_double_though_its_factors_are_not():
    """Λ = e^720 and e^-800 at the bounds, gains of 1e-20 and -(e^900 - 1)/ξ."""
    gain = hamiltonian(Exponential(A=1.0, k=1.0), -720.0 - 1e-9, max_offset=-720.0)
    assert gain.value == pytest.approx(np.exp(gain.log_value), rel=1e-12)
    loss = hamiltonian(Exponential(A=1.0, k=1.0), 1700.0, min_offset=800.0, max_offset=800.0, xi=1.0)
    assert loss.value == pytest.approx(-np.exp(100.0), rel=1e-12)


RATES, SCALES = st.floats(-6.0, 6.0), st.floats(-8.0, 8.0)


@st.composite
def cases(draw) -> Case:
    """Any intensity, its numbers of every size."""
    rate, scale = 10.0 ** draw(RATES), 10.0 ** draw(SCALES)
    kind = draw(st.sampled_from(["exponential", "logistic", "power", "linear", "table"]))
    if kind == "exponential":
        return exponential(rate, 1 / scale)
    if kind == "logistic":
        return logistic(rate, draw(st.floats(-100.0, 100.0)), 1 / scale)
    if kind == "power":
        low = scale * draw(st.sampled_from([0.0, -0.5, -0.999, -1.0 + 1e-6, 1.0]))
        return power(rate, scale, draw(st.floats(0.5, 30.0)), low=low)
    if kind == "linear":
        return linear(rate, scale)
    widths = draw(st.lists(st.floats(0.1, 2.0), min_size=4, max_size=4))
    hazards = draw(st.lists(st.floats(0.3, 5.0), min_size=4, max_size=4))
    offsets = scale * (np.cumsum([0.0, *widths]) - draw(st.floats(0.0, 6.0)))
    drops = np.cumsum([0.0, *np.multiply(widths, hazards)])
    try:
        return table(offsets.tolist(), (np.log(rate) - drops).tolist())
    except ProblemError:  # flat at an end
        return table((scale * np.arange(5.0)).tolist(), (np.log(rate) - np.arange(5.0)).tolist())


POINTS = st.lists(
    st.builds(lambda sign, size: sign * 10.0**size, st.sampled_from([-1, 1]), st.floats(-3.0, 3.0)),
    min_size=5,
    max_size=5,
)
QUOTE_SETS = st.builds(
    lambda low, width, tick, kind: {
        "free": (None, None, None),
        "bounds": (low, low + width, None),
        "low": (low, None, None),
        "ticks": (None, None, tick),
        "both": (low, low + width + 1.1 * tick, tick),
    }[kind],
    st.floats(-3.0, 3.0),
    st.floats(0.0, 4.0),
    st.builds(lambda x: 10.0**x, st.floats(-3.0, 1.0)),
    st.sampled_from(["free", "bounds", "low", "ticks", "both"]),
)
RISK = st.one_of(st.just(0.0), st.builds(lambda x: 10.0**x, st.floats(-12.0, 3.0)))


@given(cases(), POINTS, RISK, QUOTE_SETS)
@settings(max_examples=40)
def test_random(case, points, risk, quotes):
    assert_exact(case, np.array(points) * case.unit, risk / case.unit, quotes)


@pytest.mark.deep
@given(cases(), POINTS, RISK, QUOTE_SETS)
@settings(max_examples=3_000)
def test_random_and_many(case, points, risk, quotes):
    assert_exact(case, np.array(points) * case.unit, risk / case.unit, quotes)
