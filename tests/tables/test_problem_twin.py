"""The verifier's own reading of a problem: the conventions by hand, and against the models."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from quotegrid.models.problem_file import parse_problem
from quotegrid.tables.verification.intensity_twins import NotVerifiableError
from quotegrid.tables.verification.problem_twin import ProblemTwin


def twin_of(tree: dict[str, Any]) -> ProblemTwin:
    return ProblemTwin.from_json(json.dumps(tree))


def test_units_of_the_running_reward(problems, change) -> None:
    """ℓ = drift·q - carry·q - ½γσ²q² with q in units of the asset, not in lots."""
    tree = change(
        problems["glft"], market__lot_size=0.5, price={"volatility": 2.0, "drift": 0.3, "carry": 0.1}
    )
    problem = twin_of(tree)
    q = problem.lots * problem.lot_size
    np.testing.assert_allclose(sum(problem.running_terms(q)), 0.2 * q - 0.1 * q**2, rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(problem.lots, np.arange(-4.0, 5.0))


def test_target_and_limits(problems) -> None:
    problem = twin_of(problems["drift-carry-target"])
    assert problem.limits == (-2, 5)
    assert problem.running_terms(np.array([1.0]))[1] == 0.0


@pytest.mark.parametrize(
    ("preferences", "xi", "penalty"),
    [
        ({"kind": "cara", "risk_aversion": 0.2}, 0.2, 0.5 * 0.2 * 0.09),
        ({"kind": "cara", "risk_aversion": 0.2, "hamiltonian_risk_aversion": 0.0}, 0.0, 0.5 * 0.2 * 0.09),
        ({"kind": "mean-variance", "risk_aversion": 0.2}, 0.0, 0.5 * 0.2 * 0.09),
        ({"kind": "mean-variance", "running_penalty": 0.2}, 0.0, 0.2),
        ({"kind": "mean-variance", "running_penalty": 0.2, "hamiltonian_risk_aversion": 0.1}, 0.1, 0.2),
    ],
)
def test_preferences(preferences: dict[str, Any], xi: float, penalty: float, problems, change) -> None:
    problem = twin_of(change(problems["glft"], preferences=preferences))
    assert problem.flows[0].xi == xi
    assert problem.penalty == pytest.approx(penalty, rel=1e-15)


@pytest.mark.parametrize(
    ("adverse", "bid", "ask"),
    [
        # at q = 3 with z = 2 and ε = 0.1
        ({"on": "markout", "jump": 0.1}, 0.1, 0.1),
        ({"on": "fills", "jump": 0.1}, 0.1 * (3 + 2) / 2, -0.1 * (3 - 2) / 2),
        ({"on": "market_orders", "jump": 0.1}, 0.1, 0.1),
        (None, 0.0, 0.0),
    ],
)
def test_adverse_conventions(adverse, bid: float, ask: float, problems, change) -> None:
    tree = change(problems["glft"], flow__size=2, flow__adverse=adverse, flow__fee=0.01)
    costs = [float(flow.cost(np.array([3.0]))[0]) for flow in twin_of(tree).flows]
    assert costs == pytest.approx([bid + 0.01, ask + 0.01], rel=1e-14)


def test_jumps_at_market_orders(problems) -> None:
    """The ask side gains λ(1 - e^{-ξεq})/ξ and its H weighs e^{-ξεq}; the bid side has the signs turned
    round.
    """
    bid, ask = twin_of(problems["market-orders"]).flows
    q = np.array([3.0])
    x = 0.05 * 0.03 * 3.0
    assert ask.weight(q)[0] == pytest.approx(np.exp(-x), rel=1e-15)
    assert bid.weight(q)[0] == pytest.approx(np.exp(x), rel=1e-15)
    assert ask.order_reward(q)[0] == pytest.approx(1.4 * -np.expm1(-x) / 0.05, rel=1e-14)
    assert bid.order_reward(q)[0] == pytest.approx(1.4 * -np.expm1(x) / 0.05, rel=1e-14)


def test_arrival_rate_by_default_is_the_rate_at_zero(problems, change) -> None:
    tree = change(problems["glft"], flow__adverse={"on": "market_orders", "jump": 0.01})
    assert twin_of(tree).flows[0].arrival_rate == pytest.approx(0.9, rel=1e-15)


def test_proportional_fee(problems) -> None:
    bid, ask = twin_of(problems["proportional-fee"]).flows
    assert (bid.multiplier, ask.multiplier) == (1.0005, 0.9995)
    assert bid.fixed_cost == ask.fixed_cost == pytest.approx(0.05, rel=1e-15)


def test_defaults_of_what_is_not_said(problems, change) -> None:
    tree = change(problems["glft"], price={"volatility": 0.3}, inventory={"max": 2, "min": None})
    tree["flow"][0].pop("size")
    tree.pop("horizon")
    problem = twin_of(tree)
    assert (problem.horizon, problem.limits, problem.target, problem.drift) == ("ergodic", (-2, 2), 0, 0.0)
    assert problem.flows[0].size == 1
    assert problem.flows[0].tick is None


def test_one_asset_in_a_list(problems) -> None:
    tree = {key: problems["glft"][key] for key in ("format", "units", "preferences", "horizon")}
    tree["asset"] = [{key: problems["glft"][key] for key in ("market", "inventory", "price", "flow")}]
    assert twin_of(tree).symbol == "XYZ"


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"factor": [{"name": "alpha"}]}, "the verifier does not know what 'factor' does to a problem"),
    ({"schedule": [{"on": "x"}]}, "the verifier does not know what 'schedule' does to a problem"),
    ({"ambiguity": {"drift": 0.1}}, "the verifier does not know what 'ambiguity' does to a problem"),
    ({"hedging": {"quadratic_cost": 0.1}}, "the verifier does not know what 'hedging' does to a problem"),
    (
        {"market_orders": {"cost_per_unit": 1}},
        "the verifier does not know what 'market_orders' does to a problem",
    ),
    ({"price__kind": "geometric"}, "the verifier knows no price of kind 'geometric'; known: brownian"),
    ({"price__jump": 1.0}, "the verifier does not know what 'price.jump' does to a problem"),
    (
        {"preferences": {"kind": "crra", "risk_aversion": 2.0}},
        "the verifier knows no preferences of kind 'crra'; known: cara, mean-variance",
    ),
    ({"horizon": {"kind": "random"}}, "the verifier knows no horizon of kind 'random'"),
    ({"flow__latency": 0.1}, "the verifier does not know what 'flow.latency' does to a problem"),
    (
        {"flow__last_look": {"window": 1}},
        "the verifier does not know what 'flow.last_look' does to a problem",
    ),
    ({"flow__adverse": {"on": "news", "jump": 1.0}}, "the verifier knows no adverse selection on 'news'"),
    ({"flow__intensity": {"kind": "odd"}}, "the verifier knows no intensity of kind 'odd'"),
    ({"market": {"symbol": "XYZ"}}, "the problem in the table does not say lot_size"),
    ({"inventory": {"max": "many"}}, "the problem in the table has a value of the wrong type"),
    ({"units": None}, "the problem in the table does not say price"),
]


@pytest.mark.parametrize(
    ("changes", "text"), CHANGES, ids=lambda each: next(iter(each)) if isinstance(each, dict) else ""
)
def test_what_it_does_not_know_it_refuses(changes: dict[str, Any], text: str, problems, change) -> None:
    with pytest.raises(NotVerifiableError) as caught:
        twin_of(change(problems["glft"], **changes))
    assert str(caught.value).startswith(text)


def test_other_refusals(problems) -> None:
    with pytest.raises(NotVerifiableError, match="the problem in the table is not JSON"):
        ProblemTwin.from_json("{")
    asset = {key: problems["glft"][key] for key in ("market", "inventory", "price", "flow")}
    tree = {key: problems["glft"][key] for key in ("format", "units", "preferences", "horizon")}
    with pytest.raises(NotVerifiableError) as caught:
        twin_of(tree | {"asset": [asset, asset]})
    assert str(caught.value) == "the verifier checks problems with one asset; this one has 2"


def test_agrees_with_the_models(problem_name: str, problems, x64: None) -> None:
    """Two readings without a common line, of every small problem: rewards, costs, weights, bounds."""
    tree = json.loads(json.dumps(problems[problem_name]))
    model, twin = parse_problem(tree).problem, twin_of(problems[problem_name])
    q = twin.lots * twin.lot_size
    states = jnp.asarray(q)[:, None]
    close: Any = {"rtol": 1e-13, "atol": 1e-15}
    np.testing.assert_allclose(np.asarray(model.running_reward(states)), sum(twin.running_terms(q)), **close)
    assert float(model.discount_rate()) == twin.discount_rate
    if twin.horizon == "finite":
        np.testing.assert_allclose(np.asarray(model.terminal_value(states)), twin.terminal_value(q), **close)
    flows = model.one_sided_flows()
    assert [flow.label for flow in flows] == [f"{flow.name}/{flow.side}" for flow in twin.flows]
    for mine, theirs in zip(twin.flows, flows, strict=True):
        assert (mine.size, mine.sign, mine.tick) == (theirs.size, theirs.sign, theirs.tick)
        assert mine.units == pytest.approx(float(theirs.units), rel=1e-15)
        assert mine.multiplier == pytest.approx(float(theirs.multiplier), rel=1e-15)
        assert mine.min_offset == (-np.inf if theirs.min_offset is None else theirs.min_offset)
        assert mine.max_offset == (np.inf if theirs.max_offset is None else theirs.max_offset)
        np.testing.assert_allclose(np.asarray(theirs.cost(states)), mine.cost(q), **close)
        np.testing.assert_allclose(np.asarray(theirs.weight(states)), mine.weight(q), **close)
    assert float(model.xi()) == twin.flows[0].xi
