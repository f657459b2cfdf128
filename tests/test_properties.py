"""What any solution must show, whatever its numbers. Few structures: drawn numbers compile nothing."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotegrid.models.problem import TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import solve

LIMIT = 4
SETTLED = 1e-9  # quote scales: ten times the tolerance 1e-10 of either solve, times small sensitivities
rates, decays = st.floats(0.1, 3.0), st.floats(0.3, 4.0)
risks, volatilities = st.floats(1e-3, 0.5), st.floats(0.0, 1.5)
factors = st.floats(0.05, 20.0)
few = settings(max_examples=20)


def solved(
    bid: tuple[float, float] = (0.9, 1.5),
    ask: tuple[float, float] | None = None,
    gamma: float = 0.1,
    xi: float | None = None,
    sigma: float = 0.5,
    drift: float = 0.0,
    fee: float = 0.0,
    size: int = 1,
    lot_size: float = 1.0,
    limit: int = LIMIT,
    more: tuple[dict, ...] = (),
    quote: dict | None = None,
    horizon: dict | None = None,
    penalty: float | None = None,
) -> Any:  # a Solution
    """Two exponential flows (A, k), bid and ask, with ξ = γ unless given."""
    preferences: dict[str, Any] = {"kind": "mean-variance", "running_penalty": penalty}
    if penalty is None:
        xi = gamma if xi is None else xi
        preferences = {"kind": "cara", "risk_aversion": gamma, "hamiltonian_risk_aversion": xi}
    flows = [
        {
            "name": "book",
            "side": side,
            "size": size,
            "fee": fee,
            "intensity": {"kind": "exponential", "A": A, "k": k},
            **(quote or {}),
        }
        for side, (A, k) in (("bid", bid), ("ask", bid if ask is None else ask))
    ]
    tree = {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": lot_size},
        "inventory": {"max": limit},
        "price": {"volatility": sigma, "drift": drift},
        "preferences": preferences,
        "flow": [*flows, *more],
        "horizon": horizon or {"kind": "ergodic"},
    }
    finite = tree["horizon"]["kind"] == "finite"
    times = TableRequest(times=(0.0, tree["horizon"]["duration"])) if finite else None
    return solve(parse_problem(tree).problem, table=times)


def agree(ours: Any, theirs: Any, scale: float = 1.0) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=SETTLED, atol=SETTLED * scale)


@few
@given(rates, decays, rates, decays, risks, volatilities, st.floats(-0.1, 0.1))
def test_mirror(A, k, B, m, gamma, sigma, drift):
    """Sides exchanged and the drift reversed: bid_offset(q) = ask_offset(-q)."""
    one = solved((A, k), (B, m), gamma, sigma=sigma, drift=drift)
    other = solved((B, m), (A, k), gamma, sigma=sigma, drift=-drift)
    agree(one.offset[:, 0], other.offset[::-1, 1], 1 / min(k, m))
    agree(one.value, other.value[::-1], 1 / min(k, m))
    agree(one.gain, other.gain)


@few
@given(rates, decays, rates, decays, risks, volatilities, st.floats(-0.1, 0.1))
def test_quotes_lean_against_the_inventory(A, k, B, m, gamma, sigma, drift):
    """One size, concave ℓ: bid offsets do not fall and ask offsets do not rise with inventory."""
    offset = solved((A, k), (B, m), gamma, sigma=sigma, drift=drift).offset
    assert np.all(np.diff(offset[:-1, 0]) >= -SETTLED / min(k, m))
    assert np.all(np.diff(offset[1:, 1]) <= SETTLED / min(k, m))


@few
@given(rates, decays, risks, volatilities, st.floats(0.0, 1.0), rates, decays)
def test_more_is_never_worth_less(A, k, gamma, sigma, share, B, m):
    """A smaller penalty, one more flow, wider limits: no less gain."""
    plain = solved((A, k), gamma=gamma, sigma=sigma)
    room = SETTLED * (abs(plain.gain) + A / k)
    assert solved((A, k), gamma=gamma, sigma=share * sigma).gain >= plain.gain - room
    extra = {"name": "extra", "side": "ask", "intensity": {"kind": "exponential", "A": B, "k": m}}
    assert solved((A, k), gamma=gamma, sigma=sigma, more=(extra,)).gain >= plain.gain - room
    assert solved((A, k), gamma=gamma, sigma=sigma, limit=LIMIT + 1).gain >= plain.gain - room


@few
@given(rates, decays, risks, volatilities, st.floats(-0.1, 0.1), st.floats(0.0, 0.5), factors, factors)
def test_scaling(A, k, gamma, sigma, drift, fee, price, time):
    """Prices × c and time × d: offsets and θ × c, gain × c/d."""
    here = solved((A, k), gamma=gamma, sigma=sigma, drift=drift, fee=fee)
    there = solved(
        (A / time, k / price),
        gamma=gamma / price,
        sigma=sigma * price / np.sqrt(time),
        drift=drift * price / time,
        fee=fee * price,
    )
    agree(there.offset, price * here.offset, price / k)
    agree(there.value, price * here.value, price / k)
    agree(there.gain, price / time * here.gain, price / time * A / k)


@few
@given(
    rates,
    decays,
    risks,
    volatilities,
    st.sampled_from([{"kind": "ergodic"}, {"kind": "finite", "duration": 2.0}]),
)
def test_lots_are_only_a_way_to_count(A, k, gamma, sigma, horizon):
    """Half the lot size, twice the lots: the same on the states that can be reached."""
    whole = solved((A, k), gamma=gamma, sigma=sigma, horizon=horizon)
    halves = solved((A, k), gamma=gamma, sigma=sigma, horizon=horizon, size=2, lot_size=0.5, limit=2 * LIMIT)
    shared = np.isin(halves.inventories[0] * 0.5, whole.inventories[0])
    states = (slice(None), shared) if horizon["kind"] == "finite" else (shared,)
    agree(halves.offset[states], whole.offset, 1 / k)
    agree(halves.value[states], whole.value, 1 / k)


@few
@given(rates, decays, risks, volatilities)
def test_small_hamiltonian_risk_aversion_meets_mean_variance(A, k, gamma, sigma):
    """θ is smooth in ξ, on the scale ξ ~ k: a ξ of 1e-8 k moves quotes by some 1e-8 of 1/k."""
    neutral = solved((A, k), gamma=gamma, sigma=sigma, xi=0.0)
    near = solved((A, k), gamma=gamma, sigma=sigma, xi=1e-8 * k)
    # ∂δ/∂ξ: ln(1+u)/u ~ 1 - u/2 directly, and through θ, whose slopes are some 10 quote scales at most
    spread = np.nanmax(np.abs(neutral.offset)) * k
    np.testing.assert_allclose(near.offset, neutral.offset, rtol=0, atol=1e-8 * (1 + spread) ** 2 / k)


@few
@given(rates, decays, risks, volatilities)
def test_slow_discounting_meets_ergodic(A, k, gamma, sigma):
    """ρθ → g and θ - θ(0) → bias, with errors of first order in ρ times the relaxation time."""
    ergodic = solved((A, k), gamma=gamma, sigma=sigma)
    rate = 1e-7 * A * np.exp(-1)
    discounted = solved((A, k), gamma=gamma, sigma=sigma, horizon={"kind": "discounted", "rate": rate})
    # ρθ - g is between ρ·min and ρ·max of the bias; θ - θ(0) - bias is ρ·bias·(time to the target ≲ 100/A)
    span = np.ptp(ergodic.value) + 1 / k
    assert abs(rate * discounted.value[LIMIT] - ergodic.gain) <= rate * span + SETTLED * A / k
    bias = discounted.value - discounted.value[LIMIT]
    np.testing.assert_allclose(bias, ergodic.value, rtol=0, atol=1e-5 * span)


@few
@given(rates, decays, risks, volatilities, st.floats(0.1, 0.9))
def test_flows_that_are_alike_add_up(A, k, gamma, sigma, share):
    """A ladder of one size is the plain model: two streams of A·s and A·(1-s) are one of A."""
    plain = solved((A, k), gamma=gamma, sigma=sigma)
    extra = {
        "name": "extra",
        "side": "ask",
        "intensity": {"kind": "exponential", "A": A * (1 - share), "k": k},
    }
    parts = solved((A, k), (A * share, k), gamma, sigma=sigma, more=(extra,))
    agree(parts.offset[:, :2], plain.offset, 1 / k)
    agree(parts.offset[:, 2], plain.offset[:, 1], 1 / k)
    agree(parts.gain, plain.gain, A / k)


@few
@given(rates, decays, st.floats(0.0, 0.1), st.floats(0.0, 0.5), st.floats(0.0, 0.9))
def test_jumps_at_fills_are_a_markout_of_half_and_a_terminal_penalty(A, k, penalty, quadratic, part):
    """Size 1: `fills` ε is `markout` ε/2 with the terminal coefficient ε/2 higher, and θ shifted by ½εq²."""
    jump = part / (k * LIMIT)  # within the quote scale

    def finite(on, size, terminal):
        return solved(
            (A, k),
            penalty=penalty,
            quote={"adverse": {"on": on, "jump": size}},
            horizon={"kind": "finite", "duration": 3.0, "terminal": {"quadratic": terminal}},
        )

    fills, markout = finite("fills", jump, quadratic), finite("markout", jump / 2, quadratic + jump / 2)
    agree(fills.offset, markout.offset, 1 / k)
    agree(fills.value, markout.value + 0.5 * jump * fills.inventories[0] ** 2, 1 / k)


@settings(max_examples=8)
@given(rates, decays, risks, st.floats(0.1, 1.5))
def test_differential_scaling(A, k, gamma, sigma):
    """∂δ/∂ln σ - ∂δ/∂ln k - ∂δ/∂ln γ = δ,  ∂δ/∂ln A = -½∂δ/∂ln σ,  ∂/∂ln γ = ½∂/∂ln σ + ∂/∂ln ξ."""
    base = {"A": A, "k": k, "gamma": gamma, "sigma": sigma, "xi": gamma}
    step = 1e-3

    def offsets(**log_changes):
        now = {name: value * np.exp(log_changes.get(name, 0.0)) for name, value in base.items()}
        return solved((now["A"], now["k"]), gamma=now["gamma"], sigma=now["sigma"], xi=now["xi"]).offset

    def slope(*names):
        """Five points: the error is step⁴/30 times a fifth derivative, and 2·SETTLED/step of the solves."""
        near, far = (
            offsets(**dict.fromkeys(names, n * step)) - offsets(**dict.fromkeys(names, -n * step))
            for n in (1, 2)
        )
        return (8 * near - far) / (12 * step)

    # fifth derivatives of e^{x/2}-like curves are below 1e3 offsets; tolerance 1e-10 / 1e-3 of a quote scale
    size = np.nanmax(np.abs(offsets())) + 1 / k
    room = (1e3 * step**4 / 30 + 2 * SETTLED / step) * size
    in_sigma, in_gamma, in_xi = slope("sigma"), slope("gamma", "xi"), slope("xi")
    np.testing.assert_allclose(in_sigma - slope("k") - in_gamma, offsets(), rtol=0, atol=3 * room)
    np.testing.assert_allclose(slope("A"), -0.5 * in_sigma, rtol=0, atol=2 * room)
    np.testing.assert_allclose(in_gamma, 0.5 * in_sigma + in_xi, rtol=0, atol=3 * room)


@pytest.mark.deep
@settings(max_examples=2000)
@given(rates, decays, rates, decays, st.floats(1e-6, 5.0), st.floats(0.0, 50.0), st.floats(-5.0, 5.0))
def test_every_problem_converges_and_mirrors(A, k, B, m, gamma, sigma, drift):
    """Two thousand problems far off the usual: solved, mirrored and leaning against the inventory."""
    one = solved((A, k), (B, m), gamma, sigma=sigma, drift=drift)
    other = solved((B, m), (A, k), gamma, sigma=sigma, drift=-drift)
    scale = 1 / min(k, m) + np.nanmax(np.abs(one.offset))
    agree(one.offset[:, 0], other.offset[::-1, 1], scale)
    assert np.all(np.diff(one.offset[:-1, 0]) >= -SETTLED * scale)
