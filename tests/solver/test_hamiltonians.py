"""Bounds, ticks, obligations, slopes and errors of H; the digits of its values: test_hamiltonian_digits."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from quotegrid.models.contract import AbstractIntensity
from quotegrid.models.intensities import Exponential, Linear, Logistic, Power
from quotegrid.models.tabulated import Tabulated
from quotegrid.solver import hamiltonian
from quotegrid.solver.hamiltonians import QuoteSet, optimal_quote

ROUNDING = 2.0**-53
DIGITS = 50
KNOTS = ([-1.0, 0.0, 0.6, 1.5, 3.0], [1.0, 0.0, -0.7, -1.9, -4.2])
_CUBICS = PchipInterpolator(*KNOTS)


def table_twin(offset):
    """ln Λ and h: SciPy's cubic between the knots, a straight line outside."""
    inside = min(max(offset, KNOTS[0][0]), KNOTS[0][-1])
    place = min(max(int(np.searchsorted(KNOTS[0], float(inside), side="right")) - 1, 0), len(KNOTS[0]) - 2)
    cubic = [mpmath.mpf(float(x)) for x in _CUBICS.c[:, place]]
    t = inside - mpmath.mpf(KNOTS[0][place])
    slope = (3 * cubic[0] * t + 2 * cubic[1]) * t + cubic[2]
    return ((cubic[0] * t + cubic[1]) * t + cubic[2]) * t + cubic[3] + slope * (offset - inside), -slope


class Case(NamedTuple):
    intensity: AbstractIntensity
    twin: Callable  # δ → (ln Λ, h), in mpmath
    scale: float  # a quote scale, price
    low: float  # lowest and
    high: float  # highest offset that fills
    least_slope: float  # of the first-order condition: 1 - d markup/dδ


CASES = {
    "exponential": Case(Exponential(A=0.9, k=1.5), lambda d: (-1.5 * d + mpmath.log(mpmath.mpf(0.9)), 1.5),
                        1 / 1.5, -np.inf, np.inf, 1.0),
    "logistic": Case(Logistic(A=1.5, a=-0.75, b=2.0),
                     lambda d: (mpmath.log(1.5) - mpmath.log1p(mpmath.exp(2 * d - mpmath.mpf(0.75))),
                                2 / (1 + mpmath.exp(mpmath.mpf(0.75) - 2 * d))),
                     0.5, -np.inf, np.inf, 1.0),
    "power": Case(Power(A=1.0, d=2.0, k=3.0), lambda d: (-3 * mpmath.log1p(d / 2), 3 / (2 + d)),
                  1.0, 0.0, np.inf, 2 / 3),
    "linear": Case(Linear(A=1.0, d=2.0), lambda d: (mpmath.log(1 - d / 2), 1 / (2 - d)),
                   1.0, -np.inf, 2.0, 1.0),
    "table": Case(Tabulated(offset=KNOTS[0], log_rate=KNOTS[1]), table_twin, 0.7, -np.inf, np.inf, 1.0),
}  # fmt: skip
every = pytest.mark.parametrize("name", CASES)
SIZE = 4.0


def twin_offset(case, p, risk, low=None, high=None):
    """Where d ln(ΛG)/dδ = ξz/(e^{ξz(δ-p)} - 1) - h changes its sign (ξ = 0: 1/(δ-p) - h), clipped."""

    def rising(offset):
        margin, (_, hazard) = offset - p, case.twin(offset)
        return (1 / margin if risk == 0 else risk / mpmath.expm1(risk * margin)) > hazard

    left = mpmath.mpf(max(p, case.low))
    if np.isfinite(case.high):
        right = mpmath.mpf(case.high)
    else:
        right = left + 1
        while rising(right):
            right = left + 2 * (right - left)
    for _ in range(int(3.4 * mpmath.mp.dps) + 12):
        middle = (left + right) / 2
        left, right = (middle, right) if rising(middle) else (left, middle)
    root = (left + right) / 2
    return min(max(root, case.low if low is None else low), mpmath.inf if high is None else high)


def twin_value(case, p, risk, offset):
    """Λ(δ)(1 - e^{-ξz(δ-p)})/ξ."""
    margin = offset - p
    gain = margin if risk == 0 else -mpmath.expm1(-risk * margin) / risk
    return mpmath.exp(case.twin(offset)[0]) * SIZE * gain


def reservations(case):
    steps = np.array([-1e3, -20.0, -2.5, -0.3, 0.0, 0.4, 1.3, 2.9, 20.0, 1e3]) * case.scale
    return steps[steps < 0.99 * case.high]


def offset_error(case, p, offset, room=0.0):
    """Rounding of δ, p, the markup (`room`) and the intensity's own scale, over the condition's slope."""
    return 16 * ROUNDING * (abs(p) + abs(offset) + room + case.scale) / case.least_slope


def log_error(case, offset):
    """Relative error of Λ: that of the exponent, whose terms are of the size of ln Λ, h·δ and 1."""
    log_rate, hazard = case.twin(offset)
    return 8 * ROUNDING * (2 + abs(log_rate) + hazard * abs(offset))


@every
def test_bounds_are_part_of_the_sup(name):
    """Inside the bounds nothing changes, outside the nearer bound is best, also where it loses (H < 0)."""
    case = CASES[name]
    low, high = 0.25, 1.75
    points = reservations(case)
    risk = 0.5 / case.scale
    values, offsets, *_ = hamiltonian(
        case.intensity, points, size=SIZE, xi=risk / SIZE, min_offset=low, max_offset=high
    )
    with mpmath.workdps(DIGITS):
        for p, value, offset in zip(map(mpmath.mpf, points.tolist()), values, offsets, strict=True):
            exact = twin_offset(case, p, risk, low, high)
            assert low <= offset <= high
            assert abs(offset - exact) <= offset_error(case, p, exact, exact - p)
            best = twin_value(case, p, risk, exact)
            # at a bound δ is exact, and ξz(δ - p) is rounded in the exponent of G
            if abs(best) > 1e300:
                assert value == -np.inf
            else:
                allowed = log_error(case, exact) + 8 * ROUNDING * risk * abs(exact - p)
                assert abs(value - best) <= allowed * abs(best)
    assert values[-1] < 0.0 or points[-1] < high
    alone = hamiltonian(case.intensity, points, size=SIZE, xi=risk / SIZE)
    assert np.all(values <= alone.value * (1 + 64 * ROUNDING))


@every
@pytest.mark.parametrize("scaled_risk", [0.0, 30.0])
@pytest.mark.parametrize("bounds", [(None, None), (0.26, 1.1), (-0.3, 0.3)])
def test_ticks_by_brute_force(name, scaled_risk, bounds, rng, x64):
    case, tick = CASES[name], 0.1
    risk = scaled_risk / case.scale
    points = rng.uniform(-4.0, min(6.0, case.high - 2 * tick), 60)
    low, high = bounds
    values, offsets, *_ = hamiltonian(
        case.intensity, points, size=SIZE, xi=risk / SIZE, min_offset=low, max_offset=high, tick=tick
    )
    floor = max(case.low if low is None else low, -8.0)
    lattice = np.arange(
        np.ceil(floor / tick - 1e-9), np.floor((20.0 if high is None else high) / tick + 1e-9) + 1
    )
    lattice = lattice * tick
    log_rate = np.asarray(case.intensity.log_rate(lattice))
    for p, value, offset in zip(points, values, offsets, strict=True):
        margin = lattice - p
        gain = SIZE * (margin if risk == 0.0 else -np.expm1(np.minimum(-risk * margin, 700.0)) / risk)
        worth = np.where(log_rate > -np.inf, np.exp(log_rate) * gain, 0.0)
        best = np.max(worth)
        first = np.flatnonzero(worth >= best - 16 * ROUNDING * abs(best))[0]  # ties: the smaller
        assert abs(offset - lattice[first]) <= 4 * ROUNDING * abs(offset)  # n·tick, rounded once or twice
        assert value == pytest.approx(
            best, rel=64 * ROUNDING * (1.0 + risk * abs(margin[first]))
        )  # of the exponent


def test_exact_ties_go_to_the_smaller_tick():
    """Linear at ξ = 0: (d - δ)(δ - p) is symmetric around (d + p)/2, half a tick of 1/4 from either side."""
    points = np.array([-0.75, -0.25, 0.25, 0.75])
    ours = hamiltonian(Linear(A=3.0, d=2.0), points, tick=0.25)
    np.testing.assert_array_equal(ours.offset, (2.0 + points) / 2 - 0.125)


@every
@pytest.mark.parametrize("scaled_risk", [0.0, 30.0])
@pytest.mark.parametrize("bounds", [(None, None), (0.25, 1.75)])
def test_envelope(name, scaled_risk, bounds, x64):
    """w = -H'/Z, with the slope that is tested digit by digit; the solver's H is the public one."""
    case = CASES[name]
    points, risk = reservations(case)[2:-2], scaled_risk / case.scale
    low, high = bounds
    ours = hamiltonian(case.intensity, points, size=SIZE, xi=risk / SIZE, min_offset=low, max_offset=high)
    quotes = QuoteSet(
        jnp.asarray(case.low if low is None else low), jnp.asarray(np.inf if high is None else high), None
    )
    found = _optimal(case.intensity, jnp.asarray(points), jnp.asarray(risk / SIZE), quotes)
    np.testing.assert_array_equal(found.value, ours.value)
    # e^{-ξZ(δ-p)} is rounded like its exponent, and that like p
    allowed = 32 * ROUNDING * (1.0 + risk * (np.abs(points) + np.abs(ours.offset)))
    assert np.all(np.abs(found.tilted_rate * SIZE / (-ours.value * ours.log_slope) - 1.0) <= allowed)


@jax.jit
def _optimal(intensity, p, xi, quotes, guess=None):
    return optimal_quote(intensity, p, jnp.asarray(SIZE), xi, quotes, guess)


@every
@pytest.mark.parametrize("off", [0.0, 1e-12, 1e-3, 0.3, 40.0])
def test_a_guess_changes_the_way_and_not_the_end(name, off, x64):
    """A good one or a bad one; and nobody looks where it is NaN."""
    case = CASES[name]
    points, xi = jnp.asarray(reservations(case)), jnp.asarray(0.4 / case.scale / SIZE)
    quotes = QuoteSet(jnp.asarray(case.low), jnp.asarray(np.inf), None)
    exact = _optimal(case.intensity, points, xi, quotes)
    margin = exact.offset - points
    guess = (exact.offset + off * margin).at[2].set(jnp.nan)
    found = _optimal(case.intensity, points, xi, quotes, guess)
    missed = jnp.abs(found.offset - exact.offset).at[2].set(0.0)
    assert np.all(missed <= 2e-13 * margin + 4e-15 * (jnp.abs(exact.offset) + jnp.abs(points)))


@every
def test_jax_differentiates_the_value_by_the_envelope(name, x64):
    """Through Newton's loop too: what δ* does to H is of second order."""
    case = CASES[name]
    points = jnp.asarray(reservations(case)[2:-2])
    for risk in (0.0, 0.5):
        xi, quotes = jnp.asarray(risk / SIZE), QuoteSet(jnp.asarray(case.low), jnp.asarray(np.inf), None)
        _, slope = jax.jvp(
            lambda p, xi=xi, quotes=quotes: _optimal(case.intensity, p, xi, quotes).value,
            (points,),
            (jnp.ones_like(points),),
        )
        rates = _optimal(case.intensity, points, xi, quotes).tilted_rate
        np.testing.assert_allclose(slope, -SIZE * rates, rtol=1e-10)


@pytest.mark.parametrize("xi", [0.0, 0.3])
def test_off_where_nothing_fills(xi):
    points = np.array([1.0, 2.0, 2.5, 1e6])
    value, offset, *_ = hamiltonian(Linear(A=1.0, d=2.0), points, xi=xi)
    np.testing.assert_array_equal(np.isnan(offset), [False, True, True, True])
    np.testing.assert_array_equal(value[1:], 0.0)
    # no tick between p and d
    value, offset, *_ = hamiltonian(Linear(A=1.0, d=2.0), 1.95, xi=xi, tick=0.3)
    assert value == 0.0 and np.isnan(offset)
    value, offset, *_ = hamiltonian(Linear(A=1.0, d=2.0), 0.0, xi=xi, min_offset=2.0)
    assert value == 0.0 and np.isnan(offset)
    value, offset, *_ = hamiltonian(Exponential(A=0.0, k=1.0), points, xi=xi)
    assert np.all(value == 0.0) and np.all(np.isnan(offset))


def test_a_bound_is_an_obligation():
    """With max_offset the maker quotes at a loss rather than not at all."""
    value, offset, *_ = hamiltonian(Linear(A=1.0, d=2.0), 5.0, max_offset=1.5)
    assert offset == 1.5 and value == 0.25 * (1.5 - 5.0)


def test_double_precision_whatever_the_settings():
    assert not jax.config.read("jax_enable_x64")
    value, offset, *_ = hamiltonian(Exponential(A=1.0, k=1.5), np.float32(0.5), xi=0)
    assert value.dtype == offset.dtype == np.float64 and value.shape == ()
    assert offset == 0.5 + 1 / 1.5
    assert hamiltonian(Exponential(A=1, k=1.5), [[0, 1, 2]])[0].shape == (1, 3)
    assert not jax.config.read("jax_enable_x64")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"p": [0.0, -np.inf]},
            "hamiltonian: p must be finite, got -inf.",
        ),
        (
            {"size": 0.0},
            "hamiltonian: size=0.0, tick=None must be positive and xi=0.0 not negative, all finite.",
        ),
        (
            {"xi": -0.1},
            "hamiltonian: size=1.0, tick=None must be positive and xi=-0.1 not negative, all finite.",
        ),
        (
            {"xi": np.nan},
            "hamiltonian: size=1.0, tick=None must be positive and xi=nan not negative, all finite.",
        ),
        (
            {"xi": np.inf},
            "hamiltonian: size=1.0, tick=None must be positive and xi=inf not negative, all finite.",
        ),
        (
            {"tick": 0.0},
            "hamiltonian: size=1.0, tick=0.0 must be positive and xi=0.0 not negative, all finite.",
        ),
        (
            {"min_offset": 1.0, "max_offset": 0.5},
            "hamiltonian: no offset lies within [1.0, 0.5] (tick None); widen the bounds.",
        ),
        (
            {"min_offset": 0.1, "max_offset": 0.2, "tick": 0.3},
            "hamiltonian: no offset lies within [0.1, 0.2] (tick 0.3); widen the bounds.",
        ),
    ],
)
def test_errors(changes, sentence):
    with pytest.raises(ValueError) as error:
        hamiltonian(Exponential(A=1.0, k=1.5), **({"p": 0.0} | changes))
    assert str(error.value) == sentence


def test_a_table_with_a_bend_does_not_make_newton_cycle():
    """From one end of its bracket Newton jumps to the other and back; the search must bisect there."""
    table = Tabulated(offset=[-1.0, 0.0, 0.6, 1.5, 3.0], log_rate=[0.5, 0.0, -0.5, -1.6, -4.0])
    points = np.linspace(-6.0, 2.0, 41)
    values = hamiltonian(table, points, size=4.0).value
    fine = np.linspace(-5.0, 8.0, 130_001)
    with jax.enable_x64(True):
        rates = np.exp(np.asarray(table.log_rate(fine)))
    best = np.max(rates * 4.0 * (fine - points[:, None]), axis=1)
    assert np.all(values >= best * (1.0 - 1e-12))
