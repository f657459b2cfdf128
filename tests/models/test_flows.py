"""One-sided flows: costs of the three adverse conventions, fees, weights, each against its own accounting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quotegrid.models.faults import ProblemError
from quotegrid.models.flows import FillJump, MarketOrderJump, Markout
from quotegrid.models.intensities import Exponential, Linear, Logistic, Power
from quotegrid.models.preferences import Cara, MeanVariance
from quotegrid.models.prices import Brownian

Q = np.arange(-3.0, 4.0)[:, None] * 0.02  # two lots of 0.01 a step
XI = 0.05


def theta(q):
    """Some value function, to account with."""
    return -2.0 * q**2 + 0.7 * q


def utility(change):
    """G_ξ(x) = (1 - e^{-ξx})/ξ."""
    return -np.expm1(-XI * change) / XI


@pytest.fixture
def sides(make_problem, make_flow):
    """(bid, ask) of a problem with one flow of 2 lots, some fields of the flow changed."""

    def make(preferences=None, price=None, **changes):
        problem = make_problem(
            flow=(make_flow(size=2, **changes),),
            price=price or Brownian(volatility=0.3, reference=100.0),
            preferences=preferences or Cara(risk_aversion=0.05),
        )
        return problem.one_sided_flows()

    return make


def test_labels_signs_and_units(sides):
    bid, ask = sides()
    assert (bid.label, bid.side, bid.sign, bid.size, bid.asset) == ("book/bid", "bid", 1, 2, 0)
    assert (ask.label, ask.side, ask.sign) == ("book/ask", "ask", -1)
    assert bid.units == 0.02 and bid.multiplier == ask.multiplier == 1.0


def test_without_adverse_selection_a_fill_costs_the_fee(sides, x64):
    for flow in sides(fee=-0.1):
        np.testing.assert_array_equal(flow.cost(Q), np.full(7, -0.1))
        np.testing.assert_array_equal(flow.weight(Q), np.ones(7))
        np.testing.assert_array_equal(flow.jump_reward(Q), np.zeros(7))


def test_markout_is_a_loss_on_filled_units(sides, x64):
    for flow in sides(fee=0.1, adverse=Markout(jump=0.05)):
        np.testing.assert_allclose(flow.cost(Q), np.full(7, 0.15), rtol=1e-15)


def marked_to_market(side: int, q: np.ndarray, z: float, jump: float) -> np.ndarray:
    """What a fill at the mid earns per unit filled when the mid then jumps against it; by accounting."""
    mid, moved = 100.0, 100.0 - side * jump
    before, after = q * mid, (q + side * z) * moved - side * z * mid
    return (after - before) / z


def test_fills_move_the_inventory_held(sides, x64):
    for flow in sides(adverse=FillJump(jump=0.05)):
        loss = -marked_to_market(flow.sign, Q[:, 0], 0.02, 0.05)
        np.testing.assert_allclose(flow.cost(Q), loss, rtol=1e-10, atol=1e-10)


def test_fills_equal_markout_of_half_the_jump_after_a_shift_of_the_value(sides, x64):
    """With θ = θ̃ + εq²/(2z) the reservation offsets are those of markout ε/2: MODELS.md, traps."""
    jump, z = 0.05, 0.02
    for flow in sides(adverse=FillJump(jump=jump)):
        before, after = (jump * q[:, 0] ** 2 / (2 * z) for q in (Q, Q + flow.sign * z))
        shifted = (before - after) / z + np.asarray(flow.cost(Q))
        np.testing.assert_allclose(shifted, jump / 2, rtol=1e-12)


@pytest.mark.parametrize("rate", [None, 3.0])
def test_jumps_at_market_orders_average_filled_and_unfilled(sides, x64, rate):
    """λ E[G_ξ(Δ)] over filled (probability Λ/λ) and unfilled orders, Δ the change of wealth and of θ."""
    jump, z, offset = 0.04, 0.02, 0.3
    for flow in sides(adverse=MarketOrderJump(jump=jump, arrival_rate=rate)):
        s, q = flow.sign, Q[:, 0]
        fills, orders = np.exp(-1.5 * offset), 1.0 if rate is None else rate
        unfilled = -s * jump * q
        filled = z * offset - s * jump * (q + s * z) + theta(q + s * z) - theta(q)
        expected = fills * utility(filled) + (orders - fills) * utility(unfilled)
        p = (theta(q) - theta(q + s * z)) / z + np.asarray(flow.cost(Q))
        ours = flow.jump_reward(Q) + flow.weight(Q) * fills * utility(z * (offset - p))
        np.testing.assert_allclose(ours, expected, rtol=1e-10)
        assert flow.arrival_rate == orders


def test_jumps_at_market_orders_without_risk_aversion(sides, x64):
    """At ξ = 0 ℓ gains (λ_a ε_a - λ_b ε_b) q, and the weight is 1."""
    preferences = MeanVariance(running_penalty=0.1)
    bid, ask = sides(preferences, adverse=MarketOrderJump(jump=0.04, arrival_rate=3.0))
    np.testing.assert_allclose(bid.jump_reward(Q), -0.12 * Q[:, 0], rtol=1e-15)
    np.testing.assert_allclose(ask.jump_reward(Q), 0.12 * Q[:, 0], rtol=1e-15)
    np.testing.assert_array_equal(bid.weight(Q), np.ones(7))


def test_market_orders_of_a_logistic_arrive_at_the_request_rate(sides):
    (bid, _) = sides(adverse=MarketOrderJump(jump=0.04), intensity=Logistic(A=1.5, a=-0.7, b=1.8))
    assert bid.arrival_rate == 1.5


def test_proportional_fee_is_charged_on_the_fill_price(sides, x64):
    """z·m·(δ - p) is what the fill earns: spread, less fee on S_ref ∓ δ, plus the change of θ."""
    f, z, offset = 0.002, 0.02, 0.3
    for flow in sides(proportional_fee=f, fee=0.01):
        s, q = flow.sign, Q[:, 0]
        earned = z * offset - z * 0.01 - f * z * (100.0 - s * offset) + theta(q + s * z) - theta(q)
        p = ((theta(q) - theta(q + s * z)) / z + np.asarray(flow.cost(Q))) / flow.multiplier
        np.testing.assert_allclose(z * flow.multiplier * (offset - p), earned, rtol=1e-12)
        assert flow.multiplier == 1.0 + s * f


def test_bounds_and_defaults(sides):
    for flow in sides(min_offset=-1.0, max_offset=2.0, tick=0.1):
        assert (flow.min_offset, flow.max_offset, flow.tick) == (-1.0, 2.0, 0.1)
    for flow in sides():
        assert flow.min_offset is flow.max_offset is flow.tick is None
    for flow in sides(intensity=Power(A=1, d=1, k=3)):
        assert flow.min_offset == 0.0


def test_costs_broadcast_over_states(sides, x64):
    (bid, _) = sides(adverse=FillJump(jump=0.01))
    assert bid.cost(jnp.zeros(1)).shape == () and bid.weight(jnp.zeros((2, 3, 1))).shape == (2, 3)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"min_offset": 2.0, "max_offset": 1.0},
            "max_offset: expected an offset not below min_offset 2.0, got 1.0.",
        ),
        (
            {"intensity": Power(A=1, d=1, k=3), "max_offset": -0.1},
            "max_offset: expected an offset not below the default min_offset of this intensity, 0.0, "
            "got -0.1.",
        ),
        (
            {"intensity": Power(A=1, d=1, k=3), "min_offset": -1.0},
            "min_offset: expected an offset above -1.0, where this intensity is infinite, got -1.0.",
        ),
        (
            {"min_offset": 0.11, "max_offset": 0.19, "tick": 0.1},
            "tick: no multiple of 0.1 lies in [0.11, 0.19], so nothing can be quoted; widen the bounds.",
        ),
    ],
)
def test_bounds_that_leave_nothing(make_flow, changes, fault):
    with pytest.raises(ProblemError) as error:
        make_flow(**changes)
    assert str(error.value) == f"Flow: {fault}"


def test_a_bound_on_a_tick_holds_it(make_flow):
    assert make_flow(min_offset=0.3, max_offset=0.3, tick=0.1).tick == 0.1  # 3·0.1 is above 0.3 in doubles
    assert (
        make_flow(intensity=Linear(A=1, d=1), min_offset=2.0, max_offset=3.0).max_offset == 3.0
    )  # never fills


def test_signs_of_jumps():
    assert Markout(jump=-0.1).jump == -0.1
    for convention in (FillJump, MarketOrderJump):
        with pytest.raises(ProblemError, match=r"jump: expected a number that is not negative, got -0.1.$"):
            convention(jump=-0.1)


def test_a_one_sided_flow_is_a_pytree(sides):
    bid, _ = sides()
    assert jax.tree.map(lambda leaf: leaf, bid) == bid
    assert isinstance(bid.intensity, Exponential)
