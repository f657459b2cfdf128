"""What the value promises, the policy earns: in simulations of the model's story that know no equation.

For one problem of each ingredient: the value is the mean, or under CARA the certainty equivalent, of what the
table's policy earns, within four standard errors; the simulation would notice the ingredient being misread (a
misreading moves it by more than eight); and other policies earn less. Seeds are fixed.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from quotegrid.models.problem import TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import solve

PATHS = {"finite": 100_000, "discounted": 50_000, "ergodic": 50_000}
DEEPER = 20  # times as many paths
NOISE, NOTICED = 4.0, 8.0  # standard errors
SEED = 8, 5
SHARE = 0.25  # of the paths, where something is compared on common random numbers
# quotes are then linear in time to 1e-3 of a quote scale, and what that loses is of second order
TIMES = TableRequest(times=33)
LIMIT = 5  # lots; with the book of `test_reference_numbers`, so that most kernels are compiled once for both

CARA = {"kind": "cara", "risk_aversion": 0.5}
PENALTY = {"kind": "mean-variance", "running_penalty": 0.3}
VARIANCE = {"kind": "mean-variance", "risk_aversion": 0.6}
FINITE = {"kind": "finite", "duration": 6.0, "terminal": {"quadratic": 0.4, "absolute": 0.2}}
DISCOUNTED = {"kind": "discounted", "rate": 0.4}
ERGODIC = {"kind": "ergodic"}
# the end; where e^{-ρt} is 1e-5; where the start is forgotten and a gain begins to be measured, and an end
STOPS = {"finite": (6.0,), "discounted": (30.0,), "ergodic": (15.0, 40.0)}
KNOTS = [-1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
LOG_RATES = [1.0, 0.75, 0.1, -1.2, -3.2, -6.0, -9.5]
BETWEEN = np.linspace(KNOTS[0], KNOTS[-1], 241)


def book(
    bid: dict | None = None, ask: dict | None = None, name: str = "book", size: int = 1, **both: Any
) -> tuple[dict, dict]:
    """A bid and an ask flow, exponential unless stated, the bid more often hit."""

    def flow(side: str, rate: float, own: dict | None) -> dict:
        intensity = {"kind": "exponential", "A": rate, "k": 1.5}
        return {"name": name, "side": side, "size": size, "intensity": intensity, **both, **(own or {})}

    return flow("bid", 1.5, bid), flow("ask", 1.2, ask)


def shaped(**intensity: Any) -> tuple[dict, dict]:
    """A bid and an ask flow with one intensity, the ask's rate four fifths of the bid's."""
    if intensity["kind"] == "table":
        fewer = {**intensity, "log_rate": [y + np.log(0.8) for y in intensity["log_rate"]]}
    else:
        fewer = {**intensity, "A": 0.8 * intensity["A"]}
    return book({"intensity": intensity}, {"intensity": fewer})


def problem(*flows: dict, **sections: Any) -> dict:
    """The tree of a problem file; lots of half a unit, so that lots are not units."""
    return {
        "format": 1,
        "units": {"price": "USD", "time": "s"},
        "market": {"symbol": "X", "lot_size": 0.5},
        "inventory": {"max": LIMIT},
        "price": {"volatility": 0.8},
        "preferences": CARA,
        "flow": list(flows or book()),
        "horizon": FINITE,
        **sections,
    }


def changed(tree: dict, changes: dict[str, Any]) -> dict:
    """The tree with other entries at dotted paths; `flow.*.fee` is that of all flows, None removes a key."""
    tree = copy.deepcopy(tree)
    for path, value in changes.items():
        blocks, *inner, last = [[tree], *path.split(".")]
        for key in inner:
            blocks = [
                e for b in blocks for e in (b if key == "*" else [b[int(key)] if key.isdigit() else b[key]])
            ]
        for block in blocks:
            if isinstance(block, list):
                block[int(last)] = value
            elif value is None:
                del block[last]
            else:
                block[last] = value
    return tree


@dataclass(frozen=True)
class Case:
    """A problem, and how it might be misread: worlds in which its policy would earn something else."""

    tree: dict
    misread: dict[str, dict[str, Any]] = field(default_factory=dict)  # what → changes of the tree
    dropped: tuple[str, ...] = ()  # keys of the flows without which the optimal value is another
    start: int = -2  # a second inventory to start from, lots


def adverse(on: str, after_bid: float = 0.25, after_ask: float = 0.15, **both: Any) -> tuple[dict, dict]:
    """The book with an adverse move of another size on each side."""
    bid, ask = ({"adverse": {"on": on, "jump": jump}} for jump in (after_bid, after_ask))
    return book(bid, ask, **both)


CASES = {
    "cara": Case(
        problem(price={"volatility": 1.4}),
        {
            "σ in place of σ²": {"price.volatility": 1.4**0.5},
            "no quadratic terminal cost": {"horizon.terminal.quadratic": 0.0},
            "no absolute terminal cost": {"horizon.terminal.absolute": 0.0},
        },
    ),
    "mean-variance": Case(
        problem(preferences=PENALTY, inventory={"max": LIMIT, "target": 1}),
        {
            "half the penalty": {"preferences.running_penalty": 0.15},
            "another target": {"inventory.target": 0},
            "lots in place of units": {"market.lot_size": 1.0},
            "no quadratic terminal cost": {"horizon.terminal.quadratic": 0.0},
            "no absolute terminal cost": {"horizon.terminal.absolute": 0.0},
        },
    ),
    "drift and carry": Case(
        problem(price={"volatility": 0.8, "drift": 0.2, "carry": 0.1}),
        {
            "no drift": {"price.drift": 0.0},
            "no carry": {"price.carry": 0.0},
            "carry that pays": {"price.carry": -0.1},
        },
    ),
    "fees": Case(
        problem(
            *book({"fee": 0.15, "proportional_fee": 0.1}, {"fee": -0.1}),
            price={"volatility": 0.8, "reference": 3.0},
        ),
        {
            "no fixed fee": {"flow.0.fee": 0.0},
            "no rebate": {"flow.1.fee": 0.0},
            "no proportional fee": {"flow.0.proportional_fee": 0.0},
            "charged on the mid": {"flow.0.proportional_fee": 0.0, "flow.0.fee": 0.45},
        },
    ),
    "ladder": Case(
        problem(
            *book(name="one"),
            *book(name="two", size=2, intensity={"kind": "exponential", "A": 0.7, "k": 1.2}),
            inventory={"max": 4},
        ),
        {
            "a flow dropped": {"flow.2.intensity.A": 0.0},
            "sizes of one": {"flow.2.size": 1, "flow.3.size": 1},
        },
    ),
    "markout": Case(
        problem(*adverse("markout")),
        {
            "no markout": {"flow.*.adverse.jump": 0.0},
            "jumps at fills": {"flow.*.adverse.on": "fills"},
        },
    ),
    "jumps at fills": Case(
        problem(*adverse("fills", 0.12, 0.1)),
        {
            "no jump": {"flow.*.adverse.jump": 0.0},
            "a markout": {"flow.*.adverse.on": "markout"},
        },
    ),
    "jumps at market orders": Case(
        problem(*adverse("market_orders", 0.3, 0.1, min_offset=0.0)),
        {
            "no jump": {"flow.*.adverse.jump": 0.0},
            "at fills only": {"flow.*.adverse.on": "fills"},
            "a markout": {"flow.*.adverse.on": "markout"},
            "another rate of orders": {"flow.0.adverse.arrival_rate": 3.0},
        },
    ),
    "bounds": Case(
        problem(*book(min_offset=0.4, max_offset=0.9), preferences={"kind": "cara", "risk_aversion": 0.2}),
        dropped=("min_offset", "max_offset"),
    ),
    "ticks": Case(
        problem(*book(min_offset=-1.0, max_offset=4.0, tick=0.75)),
        dropped=("min_offset", "max_offset", "tick"),
    ),
    "logistic": Case(
        problem(*shaped(kind="logistic", A=2.0, a=-0.7, b=1.8)),
        {"the other sign of a": {"flow.*.intensity.a": 0.7}, "half the decay": {"flow.*.intensity.b": 0.9}},
    ),
    "power": Case(
        problem(*shaped(kind="power", A=1.5, d=2.0, k=4.0), preferences=PENALTY),
        {"another exponent": {"flow.*.intensity.k": 3.0}},
    ),
    "linear, ergodic": Case(
        problem(*shaped(kind="linear", A=1.5, d=1.5), preferences=VARIANCE, horizon=ERGODIC),
        {"another reach": {"flow.*.intensity.d": 1.8}, "no half": {"preferences.risk_aversion": 1.2}},
    ),
    "table": Case(
        problem(*shaped(kind="table", offset=KNOTS, log_rate=LOG_RATES)),
        {
            "linear between the knots": {
                f"flow.{place}": flow
                for place, flow in enumerate(
                    shaped(kind="table", offset=BETWEEN, log_rate=np.interp(BETWEEN, KNOTS, LOG_RATES))
                )
            }
        },
    ),
    "discounted": Case(
        problem(
            *adverse("markout"),
            preferences=PENALTY,
            horizon=DISCOUNTED,
            price={"volatility": 0.8, "drift": 0.2},
        ),
        {
            "another rate": {"horizon.rate": 0.3},
            "no drift": {"price.drift": 0.0},
            "no markout": {"flow.*.adverse.jump": 0.0},
        },
    ),
    "cara, ergodic": Case(
        problem(
            preferences={"kind": "cara", "risk_aversion": 0.15}, price={"volatility": 1.4}, horizon=ERGODIC
        ),
        {
            "σ in place of σ²": {"price.volatility": 1.4**0.5},
            "lots in place of units": {"market.lot_size": 1.0},
        },
    ),
}
each_case = pytest.mark.parametrize("name", CASES)


@pytest.fixture(scope="module")
def solved() -> Any:
    """The solution of a tree, solved once."""
    kept: dict[str, Any] = {}

    def of(tree: dict) -> Any:
        key = repr(tree)
        if key not in kept:
            kept[key] = solve(
                parse_problem(tree).problem, table=TIMES if "duration" in tree["horizon"] else None
            )
        return kept[key]

    return of


def worth(tree: dict, earned: np.ndarray) -> np.ndarray:
    """Numbers of each path whose mean is the mean, or (to first order in the noise) the certainty equivalent.

    With u = e^{-γ·earned}, the certainty equivalent is -ln(mean u)/γ and its derivative -(u/mean - 1)/γ.
    """
    if tree["preferences"]["kind"] != "cara":
        return earned
    gamma = tree["preferences"]["risk_aversion"]
    u = np.exp(-gamma * earned)
    return -(np.log(np.mean(u)) + (u / np.mean(u) - 1.0)) / gamma


def objectives(tree: dict, ledger: Any) -> np.ndarray:
    """The worth of each path: of all it earned, or for an ergodic problem per time between the two stops."""
    worths = [worth(tree, earned) for earned in ledger.earned]
    stops = STOPS[tree["horizon"]["kind"]]
    return worths[0] if len(stops) == 1 else (worths[1] - worths[0]) / (stops[1] - stops[0])


def mean_and_error(numbers: np.ndarray) -> tuple[float, float]:
    return float(np.mean(numbers)), float(np.std(numbers) / np.sqrt(len(numbers)))


class Run:
    """A case solved and ready to be simulated."""

    def __init__(self, name: str, solved: Any, simulator: Any, more: int = 1) -> None:
        self.tree, self.simulator = CASES[name].tree, simulator
        horizon = self.tree["horizon"]["kind"]
        self.paths, self.stops = more * PATHS[horizon], STOPS[horizon]
        self.solution = solved(self.tree)
        self.policy = simulator.Policy.of_table(self.solution, self.tree)

    def ledger(self, seed: int, share: float = 1.0, tree: dict | None = None, **options: Any) -> Any:
        policy = options.pop("policy", self.policy)
        world = self.tree if tree is None else tree
        paths = int(share * self.paths)
        return self.simulator.simulate(world, policy, paths=paths, seed=seed, stops=self.stops, **options)

    def value(self, lots: int) -> float:
        """θ at the start."""
        values = np.atleast_2d(self.solution.value)[0]
        return float(values[np.flatnonzero(self.policy.lots == lots)[0]])

    def claim(self) -> float:
        """What `objectives` should come to, from no inventory."""
        return self.value(0) if self.solution.gain is None else self.solution.gain


def check_value(name: str, solved: Any, simulator: Any, more: int = 1) -> None:
    run, case = Run(name, solved, simulator, more), CASES[name]
    flat = run.ledger(SEED[0])
    mean, error = mean_and_error(objectives(run.tree, flat))
    assert abs(mean - run.claim()) <= NOISE * error, (mean, error, run.claim())
    # at another inventory; for an ergodic problem θ is what that start earns more
    held = worth(run.tree, run.ledger(SEED[1], start=case.start).earned[0])
    mean, error = mean_and_error(held)
    claim = run.value(case.start)
    if run.solution.gain is not None:
        mean_flat, error_flat = mean_and_error(worth(run.tree, flat.earned[0]))
        mean, error, claim = mean - mean_flat, np.hypot(error, error_flat), claim - run.value(0)
    assert abs(mean - claim) <= NOISE * error, (mean, error, claim)


@each_case
def test_value_is_what_the_policy_earns(name, solved, simulator):
    check_value(name, solved, simulator)


@pytest.mark.deep
@each_case
def test_value_is_what_the_policy_earns_on_many_paths(name, solved, simulator):
    check_value(name, solved, simulator, DEEPER)


@each_case
def test_a_misreading_would_be_noticed(name, solved, simulator):
    """Misread, the same policy earns something else, by more than eight standard errors of the check."""
    run, case = Run(name, solved, simulator), CASES[name]
    right = objectives(run.tree, run.ledger(SEED[0], SHARE))
    error = mean_and_error(right)[1] * np.sqrt(SHARE)
    for what, changes in case.misread.items():
        tree = changed(run.tree, changes)
        shift, noise = mean_and_error(objectives(tree, run.ledger(SEED[0], SHARE, tree)) - right)
        assert abs(shift) >= NOTICED * error + NOISE * noise, (what, shift, error, noise)
    if case.dropped:
        without = solved(changed(run.tree, {f"flow.*.{key}": None for key in case.dropped}))
        assert abs(without.value[0, LIMIT] - run.claim()) >= NOTICED * error


@each_case
def test_other_policies_earn_less(name, solved, simulator):
    """Wider quotes, and quotes that lean with the inventory, not against it; on common random numbers."""
    run = Run(name, solved, simulator)
    best = run.policy.offset
    mirrored = best[:, ::-1]
    low, high = (
        run.tree["flow"][0].get(key, end) for key, end in (("min_offset", -np.inf), ("max_offset", np.inf))
    )
    others = {
        "wider": np.clip(best + 0.4, low, high),
        "leaning the wrong way": np.where(np.isnan(mirrored) | np.isnan(best), best, mirrored),
    }
    for what, offset in others.items():
        other = run.policy.with_offset(offset)
        ceiling = np.maximum(simulator.ceilings(run.tree, run.policy), simulator.ceilings(run.tree, other))
        ours, theirs = (
            objectives(run.tree, run.ledger(SEED[0], SHARE, policy=policy, ceiling=ceiling))
            for policy in (run.policy, other)
        )
        gap, error = mean_and_error(ours - theirs)
        assert gap >= NOISE * error, (what, gap, error)
