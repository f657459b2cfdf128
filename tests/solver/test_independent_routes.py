"""One answer by independent routes: every pair agrees to 1e-9 of the quote scale, on every family.

uniformisation      finite, where the equation is linear in exp(κθ)
runge-kutta         finite, smooth families: explicit, with series for the Hamiltonians
implicit            finite: extrapolated linearly implicit Euler
fully implicit      finite: implicit Euler by 64, 128, … steps, extrapolated (smooth families)
twin                finite and stationary: other code, in extended precision
matrix exponential  finite, where linear: in 40 digits
policy iteration    stationary
long horizon        stationary: θ(0) - θ(0, target), -dθ/dT and the quotes of a long finite horizon
"""

import runpy
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from quotegrid.models.problem import Numerics, TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import solve
from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.discretise import discretise
from quotegrid.solver.implicit_euler import march_implicit_euler
from quotegrid.solver.kernels import kernel
from quotegrid.solver.marching import start_marching

AGREED = 1e-9  # of the quote scale; of it times the size for values
CLOSE = 1e-12  # tolerance of the marches, per step: their hundreds of steps add up
DURATION, TIMES = 4.0, (0.0, 2.0, 3.5, 4.0)
ERGODIC, DISCOUNTED = {"kind": "ergodic"}, {"kind": "discounted", "rate": 0.2}
LONG = 150.0  # time in which the slowest of the families forgets its start
TWIN = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("extended_precision_twin.py"))))

CARA = {"kind": "cara", "risk_aversion": 0.3}
PENALTY = {"kind": "mean-variance", "running_penalty": 0.05}
VARIANCE = {"kind": "mean-variance", "risk_aversion": 0.3}
KNOTS = [-0.5, 0.0, 0.3, 0.7, 1.2, 2.0, 3.0]
LOG_RATES = [0.35, 0.0, -0.28, -0.75, -1.45, -2.85, -5.0]


def exponential(A: float = 1.1, k: float = 1.5) -> dict:
    return {"kind": "exponential", "A": A, "k": k}


def book(bid: dict | None = None, ask: dict | None = None, **both: Any) -> list[dict]:
    """A bid and an ask of one size with these intensities."""
    intensities = exponential() if bid is None else bid, exponential(0.8) if ask is None else ask
    return [
        {"name": "book", "side": side, "intensity": intensity, **both}
        for side, intensity in zip(("bid", "ask"), intensities, strict=True)
    ]


class Family(NamedTuple):
    """A kind of problem, without its horizon."""

    flows: list[dict]
    preferences: dict = CARA
    price: dict = {"volatility": 0.6, "drift": 0.05}  # noqa: RUF012
    limit: int = 5
    linear: bool = False
    smooth: bool = True  # θ has all its derivatives in time: no ticks, knots, or quotes that meet a bound
    positive: bool = True  # no Hamiltonian comes near 0, where its logarithm has no series
    scale: float = 1 / 1.5  # the quote scale

    @property
    def series(self) -> bool:
        """Does runge-kutta take it?"""
        return self.smooth and self.positive

    def tree(self, horizon: dict) -> dict:
        return {
            "format": 1,
            "units": {"price": "USD", "time": "s"},
            "market": {"symbol": "X", "lot_size": 1.0},
            "inventory": {"max": self.limit},
            "price": self.price,
            "preferences": self.preferences,
            "flow": self.flows,
            "horizon": horizon,
        }


FAMILIES = {
    "exponential, cara": Family(book(), linear=True),
    "exponential, mean-variance": Family(book(), PENALTY, linear=True),
    "unequal decays": Family(book(exponential(1.1, 1.1))),
    "logistic": Family(
        book(*({"kind": "logistic", "A": A, "a": -0.7, "b": 1.8} for A in (1.5, 1.2))), scale=1 / 1.8
    ),
    "power": Family(
        book(*({"kind": "power", "A": A, "d": 1.0, "k": 3.0} for A in (1.0, 0.8))),
        PENALTY,
        smooth=False,
        scale=0.5,
    ),
    "linear": Family(
        book(*({"kind": "linear", "A": A, "d": 2.0} for A in (1.0, 0.8))), VARIANCE, positive=False, scale=1.0
    ),
    "table": Family(
        book(
            *(
                {"kind": "table", "offset": KNOTS, "log_rate": [y + ln for y in LOG_RATES]}
                for ln in (0.0, -0.2)
            )
        ),
        smooth=False,
    ),
    "bounds": Family(book(min_offset=0.45, max_offset=1.0), {**CARA, "risk_aversion": 0.1}, smooth=False),
    "ticks": Family(book(min_offset=-1.0, max_offset=4.0, tick=0.4), smooth=False),
    "ladder": Family(
        [
            {"name": f"s{size}", "side": side, "size": size, "intensity": exponential(A, k)}
            for size, A, k in ((1, 0.9, 1.5), (2, 0.5, 1.2))
            for side in ("bid", "ask")
        ],
        limit=4,
    ),
    "fees and markout": Family(
        book(fee=-0.05, proportional_fee=0.002, adverse={"on": "markout", "jump": 0.1}),
        price={"volatility": 0.6, "drift": 0.05, "reference": 50.0},
    ),
    "jumps at fills": Family(book(adverse={"on": "fills", "jump": 0.08}), linear=True),
    "jumps at market orders": Family(
        book(adverse={"on": "market_orders", "jump": 0.1, "arrival_rate": 9.0}), linear=True
    ),
}


class Answer(NamedTuple):
    """What one route finds."""

    value: np.ndarray  # [time?, state], currency; ergodic: the bias
    offset: np.ndarray  # [time?, state, flow], price
    gain: float | None = None


def finite(duration: float) -> dict:
    return {"kind": "finite", "duration": duration, "terminal": {"quadratic": 0.1}}


def marched(tree: dict, times: tuple[float, ...], method: str | None = None, **numerics: Any) -> Any:
    asked = Numerics.model_validate({"method": method, **numerics})
    return solve(parse_problem(tree).problem, numerics=asked, table=TableRequest(times=times))


def finite_answers(family: Family, all_routes: bool) -> dict[str, Answer]:
    """Values and offsets at `TIMES`, by every route there is."""
    tree = family.tree(finite(DURATION))
    found = {}
    methods = ["uniformisation"] * family.linear + ["runge-kutta"] * family.series + ["extrapolated-euler"]
    for method in methods:
        solution = marched(tree, TIMES, method, tolerance=CLOSE)
        found[method] = Answer(solution.value, solution.offset)
    twin = TWIN.ExtendedTwin(tree)
    to_go = DURATION - np.array(TIMES)[::-1]
    value, offset = twin.march(to_go, 1e-15 if family.smooth else 1e-13)
    found["twin"] = Answer(value[::-1].astype(float), offset[::-1].astype(float))
    if family.linear:
        value = TWIN.linear_twin(tree, to_go)[::-1]
        offset = np.stack([twin.evaluate(TWIN.real(theta)).offset for theta in value])
        found["matrix exponential"] = Answer(value, offset.astype(float))
    if all_routes and family.smooth:
        found["fully implicit"] = richardson(tree)
    return found


def richardson(tree: dict) -> Answer:
    """Implicit Euler's error has an expansion in its step: seven runs, each with half the steps of the next.

    The times cut the horizon into multiples of ½, so the runs take 8, 16, … steps of one length to each ½.
    """
    to_go = DURATION - np.array(TIMES[-2::-1])
    column: list[np.ndarray] = []
    with jax.enable_x64(True):
        problem = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), parse_problem(tree).problem)
        chain = kernel()(discretise)(problem)
        start = start_marching(chain, chain.terminal)
        march = kernel()(march_implicit_euler)
        for level in range(7):
            step = jnp.asarray(0.5 / (8 * 2**level))
            after, found = march(chain, start._replace(step=step), jnp.asarray(to_go))
            assert after.sound
            row = [np.asarray(found.bias + found.level[:, None])]
            for place, coarser in enumerate(column):
                row.append(row[place] + (row[place] - coarser) / (2.0 ** (place + 1) - 1.0))
            column = row
        values = np.concatenate([column[-1][::-1], np.asarray(chain.terminal)[None]])
        greedy = kernel()(greedy_policy)
        policies = [greedy(chain, jnp.asarray(value)) for value in values]
        offset = [np.where(policy.quoted, policy.offsets, np.nan).T for policy in policies]
    return Answer(values, np.stack(offset))


def stationary_answers(family: Family, horizon: dict, long_horizon: bool) -> dict[str, Answer]:
    """Bias, offsets and gain of an ergodic problem, θ and offsets of a discounted one, by every route."""
    tree = family.tree(horizon)
    solution = solve(parse_problem(tree).problem, numerics=Numerics(tolerance=CLOSE))
    found = {"policy iteration": Answer(solution.value, solution.offset, solution.gain)}
    value, gain, offset = TWIN.ExtendedTwin(tree).stationary(30.0)
    ergodic = horizon["kind"] == "ergodic"
    found["twin"] = Answer(value.astype(float), offset.astype(float), float(gain) if ergodic else None)
    if ergodic and long_horizon:
        long = marched(family.tree(finite(2 * LONG)), (0.0, LONG, 2 * LONG), tolerance=CLOSE)
        level = long.value[:, family.limit]
        bias = long.value[0] - level[0]
        found["long horizon"] = Answer(bias, long.offset[0], (level[0] - level[1]) / LONG)
    return found


def assert_all_agree(answers: dict[str, Answer], family: Family, routes: int) -> None:
    assert len(answers) >= routes
    for (name, one), (other_name, other) in combinations(answers.items(), 2):
        room, names = (
            AGREED * family.scale,
            f"{name} and {other_name}",
        )  # the smallest size is 1, A is about 1
        np.testing.assert_allclose(one.offset, other.offset, rtol=0, atol=room, err_msg=names)
        np.testing.assert_allclose(one.value, other.value, rtol=0, atol=room, err_msg=names)
        if one.gain is not None and other.gain is not None:
            assert abs(one.gain - other.gain) <= room, names


# the kernels of these are compiled for other tests too (not those of "linear"), and their twins take a second
QUICK = [name for name in FAMILIES if name not in ("linear", "table")]


@pytest.mark.parametrize("name", QUICK)
def test_finite_horizon(name):
    family = FAMILIES[name]
    assert_all_agree(finite_answers(family, False), family, 2 + 2 * family.linear + family.series)


@pytest.mark.deep
@pytest.mark.parametrize("name", FAMILIES)
def test_finite_horizon_by_all_routes(name):
    family = FAMILIES[name]
    assert_all_agree(
        finite_answers(family, True), family, 2 + 2 * family.linear + family.series + family.smooth
    )


@pytest.mark.parametrize(
    ("name", "horizon", "long_horizon"),
    [
        ("exponential, cara", ERGODIC, True),
        ("linear", ERGODIC, False),
        ("exponential, mean-variance", DISCOUNTED, False),
    ],
    ids=["exponential", "linear", "discounted"],
)
def test_stationary(name, horizon, long_horizon):
    family = FAMILIES[name]
    assert_all_agree(stationary_answers(family, horizon, long_horizon), family, 2 + long_horizon)


@pytest.mark.deep
@pytest.mark.parametrize("horizon", [ERGODIC, DISCOUNTED], ids=["ergodic", "discounted"])
@pytest.mark.parametrize("name", FAMILIES)
def test_stationary_by_all_routes(name, horizon):
    family = FAMILIES[name]
    assert_all_agree(stationary_answers(family, horizon, True), family, 2 + (horizon is ERGODIC))


@pytest.mark.parametrize("kind", ["logistic", "power", "linear", "table"])
def test_the_twin_knows_its_intensities(kind):
    """Its hazard is the derivative of its ln Λ, that of the table the one of SciPy's monotone cubics."""
    stated = FAMILIES[kind].flows[0]["intensity"]
    shape, d, step = TWIN.Shape(stated), TWIN.real([0.05, 0.6, 1.4, 1.9]), TWIN.real(1e-6)
    slope = (shape.log_rate(d + step) - shape.log_rate(d - step)) / (2 * step)
    turn = (shape.hazard(d + step)[0] - shape.hazard(d - step)[0]) / (2 * step)
    # the quotients err by step²/6 times derivatives up to 1e4, and by rounding, 1e-16/step at worst
    np.testing.assert_allclose(np.array([-slope, turn], float), np.array(shape.hazard(d), float), atol=1e-8)
    if kind == "table":
        curve = PchipInterpolator(stated["offset"], stated["log_rate"])
        np.testing.assert_allclose(shape.log_rate(d).astype(float), curve(d.astype(float)), rtol=1e-14)
