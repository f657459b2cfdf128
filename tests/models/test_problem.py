"""The problem: its terms against hand-written formulas, its defaults, and the order of its flows."""

import jax.numpy as jnp
import numpy as np
import pytest

from quotegrid.models.assets import Inventory, Market
from quotegrid.models.horizons import Discounted, Ergodic, Finite, Terminal
from quotegrid.models.intensities import Exponential
from quotegrid.models.preferences import Cara, MeanVariance
from quotegrid.models.prices import Brownian
from quotegrid.models.problem import Problem, Units

Q = np.arange(-6.0, 7.0)[:, None] * 0.01
PRICE = Brownian(volatility=0.3, drift=0.05, carry=0.02)


@pytest.mark.parametrize(
    ("preferences", "cost"),
    [
        (Cara(risk_aversion=0.5), lambda q: 0.5 * 0.5 * 0.09 * q**2),
        (Cara(risk_aversion=0.5, hamiltonian_risk_aversion=0.1), lambda q: 0.5 * 0.5 * 0.09 * q**2),
        (MeanVariance(risk_aversion=0.5), lambda q: 0.5 * 0.5 * 0.09 * q**2),
        (MeanVariance(running_penalty=0.7), lambda q: 0.7 * q**2),
    ],
)
def test_running_reward(make_problem, preferences, cost, x64):
    problem = make_problem(price=PRICE, preferences=preferences)
    q = Q[:, 0]
    np.testing.assert_allclose(problem.running_reward(Q), (0.05 - 0.02) * q - cost(q), rtol=1e-14)


@pytest.mark.parametrize(
    ("preferences", "factor"),
    [(MeanVariance(risk_aversion=0.5), 0.5 * 0.5 * 0.09), (MeanVariance(running_penalty=0.7), 0.7)],
)
def test_a_target_moves_the_penalty(make_problem, preferences, factor, x64):
    problem = make_problem(price=PRICE, preferences=preferences, inventory=Inventory(max=6, target=2))
    q = Q[:, 0]
    expected = 0.03 * q - factor * (q - 0.02) ** 2
    np.testing.assert_allclose(problem.running_reward(Q), expected, rtol=1e-14)


def test_rewards_of_one_state_and_of_many(make_problem, x64):
    problem = make_problem()
    assert problem.running_reward(jnp.array([0.03])).shape == ()
    assert problem.running_reward(jnp.zeros((4, 5, 1))).shape == (4, 5)
    assert problem.terminal_value(jnp.zeros((4, 5, 1))).shape == (4, 5)


@pytest.mark.parametrize(
    ("preferences", "xi"),
    [
        (Cara(risk_aversion=0.5), 0.5),
        (Cara(risk_aversion=0.5, hamiltonian_risk_aversion=0.0), 0.0),
        (MeanVariance(risk_aversion=0.5), 0.0),
        (MeanVariance(running_penalty=0.5, hamiltonian_risk_aversion=0.3), 0.3),
    ],
)
def test_xi(make_problem, preferences, xi):
    assert make_problem(preferences=preferences).xi() == xi


@pytest.mark.parametrize(
    ("horizon", "rate", "terminal"),
    [
        (Finite(duration=3, terminal=Terminal(quadratic=2.0, absolute=0.5)), 0.0, (2.0, 0.5)),
        (Finite(duration=3), 0.0, (0.0, 0.0)),
        (Discounted(rate=0.1), 0.1, (0.0, 0.0)),
        (Ergodic(), 0.0, (0.0, 0.0)),
    ],
)
def test_horizons(make_problem, horizon, rate, terminal, x64):
    problem = make_problem(horizon=horizon)
    assert problem.discount_rate() == rate
    q = Q[:, 0]
    expected = -(terminal[0] * q**2 + terminal[1] * np.abs(q))
    np.testing.assert_allclose(problem.terminal_value(Q), expected, rtol=1e-15)


def test_flows_come_in_the_order_of_the_file_bid_before_ask(make_problem, make_flow):
    flows = (
        make_flow(name="small"),
        make_flow(name="large", side="ask", size=5),
        make_flow(name="large", side="bid", size=5, intensity=Exponential(A=0.2, k=1.0)),
    )
    labels = [(flow.label, flow.size) for flow in make_problem(flow=flows).one_sided_flows()]
    assert labels == [("small/bid", 1), ("small/ask", 1), ("large/ask", 5), ("large/bid", 5)]


def test_lattice(make_problem):
    assert make_problem().lattice == ((-6, 6, 0),)
    limits = Inventory(max=4, min=-2, target=1)
    problem = make_problem(inventory=limits, preferences=MeanVariance(running_penalty=1.0))
    assert problem.lattice == ((-2, 4, 1),)


def test_symmetric_limits_are_one_problem_said_or_unsaid(make_problem):
    said, unsaid = (make_problem(inventory=limits) for limits in (Inventory(max=6, min=-6), Inventory(max=6)))
    assert said == unsaid and said.assets[0].inventory.min is None


def test_halving_the_lot_while_doubling_the_counts_changes_no_term(make_problem, make_flow, x64):
    coarse = make_problem(flow=(make_flow(size=2),))
    fine = make_problem(
        market=Market(symbol="ETH-PERP", lot_size=0.005),
        inventory=Inventory(max=12),
        flow=(make_flow(size=4),),
    )
    np.testing.assert_array_equal(coarse.running_reward(Q), fine.running_reward(Q))
    for ours, theirs in zip(coarse.one_sided_flows(), fine.one_sided_flows(), strict=True):
        assert ours.units == theirs.units
        np.testing.assert_array_equal(ours.cost(Q), theirs.cost(Q))


def test_plain_tables_make_blocks(make_problem):
    problem = make_problem(
        units={"price": "USD", "time": "s"},
        preferences={"kind": "cara", "risk_aversion": 0.05},
        horizon={"kind": "finite", "duration": 30, "terminal": {"quadratic": 0.02}},
        price={"volatility": 0.3},
    )
    assert problem == make_problem()


def test_defaults(make_asset):
    problem = Problem(
        units=Units(price="USD", time="s"),
        assets=(make_asset(price=Brownian()),),
        preferences=MeanVariance(running_penalty=0.0),
    )
    assert problem.horizon == Ergodic() and problem.format == 1
    flow = problem.assets[0].flow[0]
    assert (flow.fee, flow.proportional_fee, flow.adverse) == (0.0, 0.0, None)
    assert problem.assets[0].market.reference == "mid" and problem.assets[0].market.tick_size is None


def test_the_essence_is_the_problem_without_what_is_about_it(make_problem):
    uncertainty = {"parameters": ["price.volatility"], "standard_error": [0.01]}
    noted = make_problem(provenance={"source": "a book"}, uncertainty=uncertainty)
    assert noted != make_problem() and noted.essence() == make_problem()
