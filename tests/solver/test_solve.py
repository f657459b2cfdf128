"""The public verb: double precision of its own, few compilations, methods and their reasons, texts."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quotegrid.models.problem import Numerics, ProblemError, TableRequest
from quotegrid.solver import linear_lanes, solve, solve_traced, stationary

LOGISTIC = {"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}
FINITE = {"kind": "finite", "duration": 2.0}


def test_double_precision_and_no_global_setting(make_problem):
    assert not jax.config.read("jax_enable_x64")
    for horizon in ({"kind": "ergodic"}, FINITE):
        solution = solve(make_problem(horizon=horizon))
        assert solution.value.dtype == solution.offset.dtype == np.float64
        # float32 would have settled at 1e-7
        assert solution.residual < 1e-12
        error = solution.certificate["quote_error"]
        claim = f"certified at level A: quotes within {error:.2g} USD of the optimum"
        assert repr(solution).startswith(f"<Solution of X: {solution.problem.horizon.kind}, ")
        assert repr(solution).endswith(f" offsets\n converged by {solution.method}, {claim}>")
    assert not jax.config.read("jax_enable_x64")
    assert jnp.zeros(()).dtype == jnp.float32


@pytest.fixture
def traces(monkeypatch):
    """How often a problem was traced: Python runs in a kernel only then."""
    count = []
    for module in (stationary, linear_lanes):
        original = module.discretise

        def counting(problem, original=original):
            count.append(problem)
            return original(problem)

        monkeypatch.setattr(module, "discretise", counting)
    march = linear_lanes.march_in_lockstep
    monkeypatch.setattr(
        linear_lanes, "march_in_lockstep", lambda *a, **k: (count.append(None), march(*a, **k))[1]
    )
    return count


@pytest.mark.parametrize("horizon", [{"kind": "ergodic"}, FINITE])
def test_new_numbers_compile_nothing(horizon, traces, make_problem):
    solve(make_problem(horizon=horizon, inventory={"max": 3, "min": -2}))  # no other test has this lattice
    compiled = len(traces)
    assert compiled >= 1
    later = {**horizon, "duration": 3.5} if "duration" in horizon else horizon
    for volatility, k in ((0.7, 1.1), (2.0, 3.0)):
        problem = make_problem(
            {"kind": "exponential", "A": 2.0, "k": k},
            price={"volatility": volatility},
            horizon=later,
            inventory={"max": 3, "min": -2},
        )
        solve(problem, numerics=Numerics(tolerance=1e-8))
        texts = make_problem(
            price={"volatility": volatility},
            horizon=later,
            inventory={"max": 3, "min": -2},
            provenance={"source": f"σ = {volatility}"},
        )
        solve(texts)
    if "duration" in horizon:
        solve(make_problem(horizon=later, inventory={"max": 3, "min": -2}), table=TableRequest(times=17))
    assert len(traces) == compiled


def test_traced_over_a_parameter(make_problem, x64):
    """Under jit and vmap, the numbers of one solve after the other."""
    problem = make_problem()
    volatilities = [0.2, 0.5, 1.0]

    def at(volatility):
        asset = problem.assets[0]
        price = asset.price.model_copy(update={"volatility": volatility})
        return solve_traced(
            problem.model_copy(update={"assets": (asset.model_copy(update={"price": price}),)})
        )

    many = jax.jit(jax.vmap(at))(jnp.asarray(volatilities))
    assert bool(jnp.all(many.converged))
    for place, volatility in enumerate(volatilities):
        one: Any = solve(make_problem(price={"volatility": volatility}))
        np.testing.assert_allclose(many.gain[place], one.gain, rtol=1e-12)
        # both within the tolerance, 1e-10 of a quote scale
        np.testing.assert_allclose(many.offset[place].T, one.offset, rtol=0, atol=1e-10)


def test_traced_finite_horizon(make_problem, x64):
    times = (0.0, 1.0, 2.0)
    problem = make_problem(horizon=FINITE)
    traced = jax.jit(lambda p: solve_traced(p, times=jnp.asarray(times)))(problem)
    solution = solve(problem, table=TableRequest(times=times))
    assert np.max(np.abs(traced.value - solution.value)) <= float(traced.residual) + solution.residual
    assert traced.offset.shape == (3, 2, 9) and bool(traced.converged)


def test_traced_refusals(make_problem, x64):
    with pytest.raises(ValueError) as error:
        solve_traced(make_problem(horizon=FINITE))
    assert str(error.value) == "solve_traced: give times= for a finite horizon, and only for one."
    with pytest.raises(ValueError, match="only for one"):
        solve_traced(make_problem(), times=jnp.zeros(2))
    with jax.enable_x64(False), pytest.raises(RuntimeError) as error:
        solve_traced(make_problem())
    assert str(error.value) == ("solve_traced needs double precision: wrap the call in jax.enable_x64(True).")


@pytest.mark.parametrize(
    ("changes", "method", "reason"),
    [
        ({}, "policy-iteration", "stationary problems are solved by Howard's policy iteration"),
        (
            {"horizon": FINITE},
            "uniformisation",
            "the equation is linear in exp(κθ): exponential fills with one k per unit of size",
        ),
        (
            {"horizon": FINITE, "intensity": LOGISTIC},
            "runge-kutta",
            "the equation is not linear: the intensity of book/bid is not exponential",
        ),
        (
            {"horizon": FINITE, "quote": {"tick": 0.1}},
            "extrapolated-euler",
            "the equation is neither linear nor smooth: book/bid quotes on ticks",
        ),
        (
            {"horizon": FINITE, "quote": {"max_offset": 3.0}},
            "runge-kutta",
            "the equation is not linear: the offsets of book/bid are bounded",
        ),
    ],
)
def test_choice_of_method(changes, method, reason, make_problem):
    from quotegrid.solver.methods import choose_method

    choice = choose_method(make_problem(**changes), None)
    assert (choice.method, choice.reason) == (method, reason)


@pytest.mark.parametrize(
    ("changes", "numerics", "table", "sentence"),
    [
        (
            {},
            Numerics(method="uniformisation"),
            None,
            "numerics.method: 'uniformisation' does not solve a problem with horizon.kind = 'ergodic'; "
            "allowed here: policy-iteration. Leave the key out to let quotegrid choose.",
        ),
        (
            {"horizon": FINITE},
            Numerics(method="policy-iteration"),
            None,
            "numerics.method: 'policy-iteration' does not solve a problem with horizon.kind = 'finite'; "
            "allowed here: uniformisation, runge-kutta, extrapolated-euler, implicit-euler. Leave the key "
            "out to let quotegrid choose.",
        ),
        (
            {"horizon": FINITE, "intensity": LOGISTIC},
            Numerics(method="uniformisation"),
            None,
            "numerics.method: 'uniformisation' needs a linear equation, and here the intensity of book/bid "
            "is not exponential; use 'extrapolated-euler' or leave the key out.",
        ),
        (
            {},
            None,
            TableRequest(times=5),
            "table.times: a table has times only where horizon.kind = 'finite', here it is 'ergodic'; leave "
            "it out.",
        ),
        (
            {"horizon": FINITE},
            None,
            TableRequest(times=(0.0, 2.5)),
            "table.times: expected times up to horizon.duration = 2.0, got 2.5.",
        ),
    ],
)
def test_misfits(changes, numerics, table, sentence, make_problem):
    with pytest.raises(ProblemError) as error:
        solve(make_problem(**changes), numerics=numerics, table=table)
    assert sentence in " ".join(str(error.value).split())


@pytest.mark.parametrize("method", [None, "extrapolated-euler"])
def test_progress_ends_at_one(method, make_problem):
    seen = []
    solve(make_problem(horizon=FINITE), numerics=Numerics(method=method), progress=seen.append)
    assert len(seen) > (5 if method else 0) and seen[-1] == 1.0
    assert all(0.0 <= before <= after for before, after in pairwise(seen))


def test_market_orders_that_arrive_too_rarely_are_remarked(make_problem):
    def notes(rate):
        adverse = {"on": "market_orders", "jump": 0.05, "arrival_rate": rate}
        return solve(make_problem(quote={"adverse": adverse})).notes

    assert notes(50.0) == ()
    bid, ask = notes(0.01)
    assert bid.startswith(
        "book/bid: at some inventories the best offset is so low that fills come more often ("
    )
    assert bid.endswith(
        "per time) than the market orders that cause them (arrival_rate 0.01); raise min_offset or "
        "arrival_rate."
    )
    assert ask.startswith("book/ask: ")
