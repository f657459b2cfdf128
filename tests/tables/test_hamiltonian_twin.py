"""The verifier's own Hamiltonian: numbers to 1e-13, closed forms, bounds, ticks and extremes."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.tables.verification.hamiltonian_twin import best_quote, quote_scale
from quotegrid.tables.verification.problem_twin import FlowTwin, ProblemTwin

# High-precision values by golden-section sup and first-order condition; the file names its source.
CASES = {
    name: case
    for name, case in json.loads(
        (Path(__file__).resolve().parents[1] / "reference" / "cases.json").read_text(encoding="utf-8")
    )["cases"].items()
    if name.startswith("hamiltonian_")
}


@pytest.fixture
def make_flow(problems, change):
    """A flow of one problem with some keys of its block replaced."""

    def make(xi: float = 0.05, size: int = 1, side: str = "bid", **keys: Any) -> FlowTwin:
        changes = {f"flow__{key}": value for key, value in keys.items()}
        preferences = {"kind": "mean-variance", "running_penalty": 0.0, "hamiltonian_risk_aversion": xi}
        tree = change(
            problems["glft"],
            preferences=preferences,
            inventory={"max": 100},
            price={"volatility": 0.3, "reference": 100.0},
            flow__size=size,
            **changes,
        )
        (flow,) = (flow for flow in ProblemTwin.from_json(json.dumps(tree)).flows if flow.side == side)
        return flow

    return make


@pytest.mark.parametrize("name", list(CASES))
def test_reference_numbers(name: str, make_flow) -> None:
    parameters = CASES[name]["params"]
    kind = parameters.get("kind", "exponential")
    stated = {key: parameters[key] for key in ("A", "k", "a", "b") if key in parameters} | {"kind": kind}
    if "d0" in parameters:
        stated["d"] = parameters["d0"]
    flow = make_flow(xi=parameters["xi"], size=parameters["z"], intensity=stated)
    for row in CASES[name]["values"]:
        best = best_quote(flow, np.array([row["point"]["p"]]))
        found = best.worth if row["quantity"] == "H(p)" else best.offset
        # both round the objective a few times
        assert found[0] == pytest.approx(row["value"], abs=row["abs_error"] + 1e-14, rel=4e-15)


@pytest.mark.parametrize("xi", [0.0, 1e-12, 0.05, 3.0])
def test_exponential_in_closed_form(xi: float, make_flow) -> None:
    """δ* = p + ln(1 + ξz/k)/(ξz)."""
    flow = make_flow(xi=xi, size=2)
    p = np.linspace(-50.0, 50.0, 101)
    markup = 1 / 1.5 if xi == 0 else math.log1p(xi * 2 / 1.5) / (xi * 2)
    np.testing.assert_allclose(best_quote(flow, p).offset, p + markup, rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(quote_scale(flow, p), markup, rtol=1e-15)


def test_slope_is_the_derivative(make_flow) -> None:
    """-dH/dp by central differences; the error of step 1e-5 is of order 1e-10."""
    flow = make_flow(intensity={"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8})
    p, step = np.linspace(-3.0, 3.0, 25), 1e-5
    change = best_quote(flow, p + step).worth - best_quote(flow, p - step).worth
    np.testing.assert_allclose(best_quote(flow, p).slope, -change / (2 * step), atol=1e-9)


@pytest.mark.parametrize("kind", ["logistic", "power", "linear", "table"])
@pytest.mark.parametrize("tick", [None, 0.1])
@pytest.mark.parametrize(("low", "high"), [(None, None), (0.2, 0.9)])
def test_no_offset_is_better(
    kind: str, tick: float | None, low: float | None, high: float | None, make_flow
) -> None:
    """Against every offset of a fine grid that may be quoted."""
    stated = {
        "logistic": {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8},
        "power": {"kind": "power", "A": 1.0, "d": 1.0, "k": 3.0},
        "linear": {"kind": "linear", "A": 1.0, "d": 1.5},
        "table": {"kind": "table", "offset": [0.0, 0.5, 1.5], "log_rate": [0.0, -0.6, -2.2]},
    }[kind]
    flow = make_flow(intensity=stated, min_offset=low, max_offset=high, tick=tick)
    offsets = np.arange(-30, 66) * 0.1 if tick else np.linspace(-3.0, 6.5, 1901)
    offsets = offsets[(offsets >= flow.min_offset - 1e-12) & (offsets <= flow.max_offset + 1e-12)]
    for p in np.linspace(-1.5, 2.5, 17):
        with np.errstate(invalid="ignore"):
            rate = np.exp(flow.intensity.log_rate(offsets))
        worth = rate * -np.expm1(-flow.xi * (offsets - p)) / flow.xi
        best = best_quote(flow, np.array([p]))
        assert best.worth[0] >= np.max(worth) - 1e-14
        if np.isfinite(best.offset[0]):
            assert np.min(np.abs(offsets - best.offset[0])) <= 0.005


def test_ties_go_to_the_smaller_tick(make_flow) -> None:
    """At p = 0.5, (1 - δ/2)(δ - p) is symmetric about 1.25: the ticks 1.0 and 1.5 are worth the same."""
    flow = make_flow(xi=0.0, intensity={"kind": "linear", "A": 1.0, "d": 2.0}, tick=0.5)
    assert best_quote(flow, np.array([0.5])).offset[0] == 1.0


def test_linear_goes_off_where_no_quote_pays(make_flow) -> None:
    flow = make_flow(intensity={"kind": "linear", "A": 1.0, "d": 2.0})
    best = best_quote(flow, np.array([1.9, 2.0, 2.1]))
    assert best.offset[0] == pytest.approx(1.95, abs=1e-3)
    np.testing.assert_array_equal(best.offset[1:], np.nan)
    np.testing.assert_array_equal(best.worth[1:], 0.0)
    obliged = make_flow(intensity={"kind": "linear", "A": 1.0, "d": 2.0}, max_offset=1.5)
    assert best_quote(obliged, np.array([2.1])).offset[0] == 1.5
    assert best_quote(obliged, np.array([2.1])).worth[0] < 0.0


def test_extremes(make_flow) -> None:
    """Reservation offsets far out on both sides, where naive formulas overflow."""
    flow = make_flow(xi=0.05, intensity={"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8})
    p = np.array([-1000.0, 1000.0])
    best = best_quote(flow, p)
    assert np.isfinite(best.offset).all()
    # far above, Λ is an exponential with k = b; far below, the optimum solves δ = p + ln(1 + ξ/h(δ))/ξ
    assert best.offset[1] == pytest.approx(1000.0 + math.log1p(0.05 / 1.8) / 0.05, rel=1e-14)
    hazard = 1.8 * math.exp(-0.7 + 1.8 * best.offset[0])
    assert best.offset[0] == pytest.approx(-1000.0 + math.log1p(0.05 / hazard) / 0.05, rel=1e-12)


def test_power_below_its_domain(make_flow) -> None:
    """For p ≤ -d a lower offset is always better: the bound decides."""
    flow = make_flow(intensity={"kind": "power", "A": 1.0, "d": 1.0, "k": 3.0})
    np.testing.assert_array_equal(best_quote(flow, np.array([-5.0, -1.0])).offset, 0.0)


def test_proportional_fee_enters_the_effective_size(make_flow) -> None:
    bid, ask = (make_flow(size=3, side=side, proportional_fee=0.01) for side in ("bid", "ask"))
    assert bid.effective_units == 3 * 1.01
    assert ask.effective_units == 3 * 0.99
    offset = best_quote(bid, np.array([0.2])).offset[0]
    assert offset == pytest.approx(0.2 + math.log1p(0.05 * 3.03 / 1.5) / (0.05 * 3.03), rel=1e-14)
