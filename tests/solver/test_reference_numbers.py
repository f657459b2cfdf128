"""Published and high-precision numbers, met to 1e-8 quote scales or ten times their own error."""

import json
from pathlib import Path

import numpy as np
import pytest

from quotegrid.models.problem import TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import hamiltonian, solve

CASES = json.loads((Path(__file__).parents[1] / "reference" / "cases.json").read_text())["cases"]


def _terminal(text):
    """'-0.05*q^2' → the quadratic coefficient 0.05."""
    return {} if text == "0" else {"quadratic": -float(text.replace("*q^2", ""))}


def _preferences(params):
    if params.get("phi") is not None:
        return {"kind": "mean-variance", "running_penalty": params["phi"]}
    tree = {"kind": "cara", "risk_aversion": params["gamma"]}
    if params.get("xi") not in (None, params["gamma"]):
        tree["hamiltonian_risk_aversion"] = params["xi"]
    return tree


def _intensity(given):
    keys = {
        "exponential": ("A", "k"),
        "logistic": ("A", "a", "b"),
        "linear": ("A", "d"),
        "power": ("A", "d", "k"),
    }
    kind = given["kind"]
    if kind == "table_pchip_lnL":
        return {"kind": "table", "offset": given["d"], "log_rate": given["lnL"]}
    values = {**given, "d": given.get("d0")}
    return {"kind": kind, **{key: values[key] for key in keys[kind]}}


def problem_of(case):
    """The problem file's tree of a reference case, and a map from (side, size) to the flow's place."""
    params = case["params"]
    flows = []
    for side, letter in (("bid", "b"), ("ask", "a")):
        if "sizes" in params:
            for size, intensity in zip(params["sizes"], params["intensities"], strict=True):
                flows.append(
                    {"name": f"s{size}", "side": side, "size": size, "intensity": _intensity(intensity)}
                )
            continue
        if f"intensity_{letter}" in params:
            intensity = _intensity(params[f"intensity_{letter}"])
        elif "intensity" in params:
            intensity = _intensity(params["intensity"])
        else:
            intensity = {"kind": "exponential", "A": params[f"A_{letter}"], "k": params[f"k_{letter}"]}
        flow = {"name": "book", "side": side, "intensity": intensity}
        for key, ours in (("delta_min", "min_offset"), ("delta_max", "max_offset"), ("tick", "tick")):
            if params.get(key) is not None:
                flow[ours] = params[key]
        if params.get("eps"):
            flow["adverse"] = {"on": params["adverse"], "jump": params["eps"]}
        if params.get("rebate_per_unit"):
            flow["fee"] = -params["rebate_per_unit"]
        if params.get("proportional_fee"):
            flow["proportional_fee"] = params["proportional_fee"]
        flows.append(flow)
    price = {"volatility": params.get("sigma") or 0.0, "drift": params.get("mu", 0.0)}
    if params.get("S0_for_fee"):
        price["reference"] = params["S0_for_fee"]
    if "T" in params:
        terminal = {"quadratic": params["alpha"]} if "alpha" in params else _terminal(params["terminal"])
        horizon = {"kind": "finite", "duration": params["T"], "terminal": terminal}
    elif "r" in params:
        horizon = {"kind": "discounted", "rate": params["r"]}
    else:
        horizon = {"kind": "ergodic"}
    return {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 1.0},
        "inventory": {"max": params["Q"]},
        "price": price,
        "preferences": _preferences(params),
        "flow": flows,
        "horizon": horizon,
    }


def _at(solution, point, q):
    """Where a state is in the solution's arrays."""
    place = int(np.flatnonzero(solution.inventories[0] == q)[0])
    return (place,) if solution.times is None else (int(np.argmin(abs(solution.times - point["t"]))), place)


def _quote_at(solution, value):
    """Where a quote is in the solution's arrays."""
    point = value["point"]
    side = {"b": "bid", "a": "ask"}[value["quantity"][6]]
    size = point.get("z", 1)
    flow = next(i for i, f in enumerate(solution.flows) if (f.side, f.size) == (side, size))
    return (*_at(solution, point, point["q"]), flow)


def _looked_up(solution, value):
    """Our number for a reference value."""
    point, quantity = value["point"], value["quantity"]
    if quantity == "rho":
        return solution.gain
    if quantity.startswith("delta_"):
        return solution.offset[_quote_at(solution, value)]
    base = solution.value[_at(solution, point, 0)]
    if quantity.endswith(("-theta(t,0)", "-theta(0)", "-psi(0)")):
        return solution.value[_at(solution, point, point["q"])] - base
    return base


def _certified(solution, value):
    """The certified bound on the error of our number."""
    if value["quantity"] == "rho":
        low, high = solution.certificate["gain_interval"]
        return high - low
    if value["quantity"].startswith("delta_"):
        return solution.offset_error[_quote_at(solution, value)]
    return 2.0 * solution.certificate["value_error"]  # of a difference


def _scale(case):
    """The quote scale 1/k of a case: what an error is measured against."""
    params = case["params"]
    if "k_b" in params:
        return 1.0 / max(params["k_b"], params["k_a"])
    intensities = params.get("intensities") or [params.get("intensity") or params["intensity_b"]]
    return min(1.0 / i.get("k", i.get("b", 1.0)) for i in intensities)


FULL = [name for name in CASES if not name.startswith("hamiltonian_")]


@pytest.mark.parametrize("name", FULL)
def test_reference_case(name):
    case = CASES[name]
    problem = parse_problem(problem_of(case)).problem
    times = tuple(sorted({v["point"]["t"] for v in case["values"] if "t" in v["point"]}))
    table = None if not times else TableRequest(times=tuple(sorted({0.0, *times, case["params"]["T"]})))
    solution = solve(problem, table=table)
    checked = 0
    for value in case["values"]:
        if "asymptotic" in value["quantity"]:
            continue
        ours = _looked_up(solution, value)
        allowed = max(1e-8 * _scale(case), 10.0 * value["abs_error"])
        assert abs(ours - value["value"]) <= allowed, (value, ours)
        assert abs(ours - value["value"]) <= _certified(solution, value) + value["abs_error"], (value, ours)
        checked += 1
    assert checked >= 10
    assert solution.certificate["level"] == "A"
    assert solution.certificate["quote_error"] <= 1e-6 * _scale(case)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("hamiltonian_")])
def test_reference_hamiltonian(name):
    from quotegrid.models import intensities

    params = CASES[name]["params"]
    tree = _intensity({"kind": "exponential", **params})
    kinds = {
        "exponential": intensities.Exponential,
        "logistic": intensities.Logistic,
        "power": intensities.Power,
        "linear": intensities.Linear,
    }
    intensity = kinds[tree.pop("kind")](**tree)
    for value in CASES[name]["values"]:
        h, offset, *_ = hamiltonian(intensity, value["point"]["p"], size=params["z"], xi=params["xi"])
        ours = h if value["quantity"].startswith("H") else offset
        assert abs(float(ours) - value["value"]) <= max(1e-13, 10.0 * value["abs_error"])
