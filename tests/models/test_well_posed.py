"""Fair intensities and the quote scale: what is refused, where, and what stays legal."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from quotegrid.models.assets import Inventory
from quotegrid.models.faults import ProblemError
from quotegrid.models.flows import FillJump, Markout
from quotegrid.models.intensities import Exponential, Linear, Logistic, Power
from quotegrid.models.preferences import Cara, MeanVariance
from quotegrid.models.prices import Brownian
from quotegrid.models.tabulated import Tabulated

NEUTRAL = MeanVariance(running_penalty=0.1)


def fault_of(make_problem, **changes) -> str:
    with pytest.raises(ProblemError) as error:
        make_problem(**changes)
    return str(error.value)


def test_an_unfair_power_is_refused_at_its_lowest_offset(make_problem, make_flow):
    text = fault_of(make_problem, flow=(make_flow(intensity=Power(A=1, d=1, k=0.9)),), preferences=NEUTRAL)
    assert text == (
        "Problem: flow.book.intensity: not fair at offset 0: ΛΛ'' < 2Λ'² - ξzΛΛ' fails there (ξ = 0, "
        "z = 0.01), so no single offset is best; make the fill rate fall faster there, or keep the flow away "
        "from that offset by min_offset or max_offset."
    )


def test_the_same_power_is_fair_under_enough_risk_aversion(make_problem, make_flow):
    """k - 1 + ξz(d + δ) > 0 with ξz = 0.2."""
    flow = make_flow(intensity=Power(A=1, d=1, k=0.9))
    assert make_problem(flow=(flow,), preferences=Cara(risk_aversion=20.0)).xi() == 20.0
    assert "not fair at offset -0.6:" in fault_of(
        make_problem,
        flow=(make_flow(intensity=Power(A=1, d=1, k=0.9), min_offset=-0.6),),
        preferences=Cara(risk_aversion=20.0),
    )


def test_an_unfair_table_is_refused_at_the_offset_and_accepted_away_from_it(make_problem, make_flow):
    table = Tabulated(offset=[0, 1, 2, 3], log_rate=[0, -8, -8.05, -16])
    where = table.unfair_offset(-np.inf, np.inf, 0.01, 0.05)
    assert where is not None
    assert f"flow.book.intensity: not fair at offset {where:.12g}:" in fault_of(
        make_problem, flow=(make_flow(intensity=table),)
    )
    assert make_problem(flow=(make_flow(intensity=table, max_offset=where - 0.01),))


def test_the_side_that_is_unfair_is_named(make_problem, make_flow):
    flows = (make_flow(side="bid"), make_flow(side="ask", intensity=Power(A=1, d=1, k=0.9)))
    assert "Problem: flow.book/ask.intensity: not fair" in fault_of(
        make_problem, flow=flows, preferences=NEUTRAL
    )


@pytest.mark.parametrize(
    ("intensity", "changes", "scale"),
    [
        (Exponential(A=1, k=1.5), {}, 1 / 1.5),
        (Linear(A=1, d=2), {}, 2.0),
        (Power(A=1, d=1, k=3), {}, 1 / 3),
        (Logistic(A=1, a=0, b=2), {}, 1.0),  # h(0) = b/2
        (Power(A=1, d=1, k=3), {"min_offset": 0.5}, 1.5 / 3),  # 0 is out of bounds: the nearest offset
    ],
)
def test_the_quote_scale_is_the_markup_at_the_mid(make_problem, make_flow, intensity, changes, scale):
    """ε·max|q|/z ≤ 1/h(0) at ξ = 0, q and z in the same unit."""

    def problem(jump):
        flow = make_flow(size=2, intensity=intensity, adverse=FillJump(jump=jump), **changes)
        return make_problem(flow=(flow,), inventory=Inventory(max=6, min=-8), preferences=NEUTRAL)

    assert problem(scale * 2 / 8 * 0.999)
    with pytest.raises(ProblemError, match="exceeds the quote scale"):
        problem(scale * 2 / 8 * 1.001)


def test_fills_beyond_the_quote_scale(make_problem, make_flow):
    flow = make_flow(adverse=FillJump(jump=0.2))
    assert fault_of(make_problem, flow=(flow,), preferences=NEUTRAL) == (
        "Problem: flow.book.adverse.jump: ε·max|q|/z = 1.2 exceeds the quote scale 0.666667, so the maker "
        "gains by moving the market with its own fills; lower the jump or the inventory limits, or state the "
        "loss as on = 'markout'."
    )
    assert make_problem(flow=(make_flow(adverse=Markout(jump=0.2)),), preferences=NEUTRAL)


def test_risk_aversion_lowers_the_quote_scale(make_problem, make_flow):
    """ln(1 + ξz/k)/(ξz) with ξz = 15: 0.1599 where 1/k is 0.667."""
    flow = make_flow(adverse=FillJump(jump=0.05))
    assert "exceeds the quote scale 0.15986" in fault_of(
        make_problem, flow=(flow,), preferences=Cara(risk_aversion=1500.0)
    )


def test_reference_cases_with_jumps_stay_legal(make_problem, make_flow, checkout):
    cases = checkout.parent / "shared" / "reference" / "cases.json"
    if not cases.is_file():
        pytest.skip("the reference cases are not beside this checkout")
    with cases.open() as file:
        params = {name: case["params"] for name, case in json.load(file).items() if name.startswith("adv_")}
    assert params
    for case in params.values():
        flow = make_flow(
            intensity=Exponential(A=case["intensity"]["A"], k=case["intensity"]["k"]),
            adverse=FillJump(jump=case["eps"]),
        )
        assert make_problem(
            market={"symbol": "X", "lot_size": 1.0},
            inventory=Inventory(max=case["Q"]),
            price=Brownian(volatility=case["sigma"]),
            flow=(flow,),
            preferences=Cara(risk_aversion=case["gamma"]),
        )


def test_both_checks_leave_numbers_of_jax_alone(make_problem, make_flow):
    flow = make_flow(intensity=Power(A=1, d=1, k=jnp.asarray(0.5)), adverse=FillJump(jump=jnp.asarray(9.0)))
    assert make_problem(flow=(flow,), preferences=NEUTRAL)
