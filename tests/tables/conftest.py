"""True solutions of small problems, made by a slow twin in plain NumPy that shares nothing with the package.

The twin is written from the equations: fill rates as formulas of complex numbers, hazards by the complex
step, best quotes by bracketing and bisection in plain Python, stationary values by Newton's method with dense
matrices, finite horizons by an eighth-order Runge-Kutta method. It is slow and obvious.
"""

import cmath
import copy
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.interpolate import PchipInterpolator

from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.policy_table import PolicyTable

Problem = dict[str, Any]


def _log_rate(stated: Problem) -> Callable[[complex], complex]:
    """ln Λ as a function of a complex offset."""
    log_a = math.log(stated["A"]) if stated.get("A") else -math.inf
    match stated["kind"]:
        case "exponential":
            return lambda d: log_a - stated["k"] * d
        case "logistic":
            return lambda d: log_a - cmath.log(1 + cmath.exp(stated["a"] + stated["b"] * d))
        case "power":
            return lambda d: log_a - stated["k"] * cmath.log(1 + d / stated["d"])
        case "linear":
            return lambda d: log_a + cmath.log(1 - d / stated["d"])
    knots = stated["offset"]
    curve = PchipInterpolator(knots, stated.get("log_rate") or np.log(stated["rate"]))
    slope = curve.derivative()

    def along(d: complex) -> complex:
        inside = min(max(d.real, knots[0]), knots[-1])
        return float(curve(inside)) + float(slope(inside)) * (d - inside)  # right to first order in the step

    return along


class TinyFlow:
    """One flow on one side."""

    def __init__(self, block: Problem, side: str, xi: float, lot: float, reference: float) -> None:
        self.name, self.side, self.size, self.asset = block["name"], side, block["size"], 0
        self.s, self.z, self.xi = (1 if side == "bid" else -1), block["size"] * lot, xi
        self.m = 1 + self.s * block.get("proportional_fee", 0.0)
        self.base = block.get("fee", 0.0) + block.get("proportional_fee", 0.0) * reference
        adverse = block.get("adverse") or {"on": None, "jump": 0.0}
        self.on, self.eps = adverse["on"], adverse["jump"]
        self.log_rate, self.off = _log_rate(block["intensity"]), block["intensity"].get("A") == 0
        self.top = block["intensity"]["d"] if block["intensity"]["kind"] == "linear" else math.inf
        power = block["intensity"]["kind"] == "power"
        self.low = block.get("min_offset", 0.0 if power else -math.inf)
        self.high, self.tick = block.get("max_offset", math.inf), block.get("tick")
        orders = {"logistic": block["intensity"].get("A")}.get(block["intensity"]["kind"])
        self.lam = adverse.get("arrival_rate", orders if orders else self.rate(0.0) if not self.off else 0.0)

    def rate(self, d: float) -> float:
        return math.exp(self.log_rate(d).real) if d < self.top and not self.off else 0.0

    def worth(self, d: float, p: float) -> float:
        x = self.z * self.m * (d - p)
        return self.rate(d) * (x if self.xi == 0 else -math.expm1(-self.xi * x) / self.xi)

    def markup(self, d: float) -> float:
        h = -self.log_rate(complex(d, 1e-30)).imag / 1e-30
        u = self.xi * self.z * self.m
        return 1 / h if u == 0 else math.log1p(u / h) / u

    def best(self, p: float) -> float:
        """The best offset, NaN where off."""
        if self.off:
            return math.nan
        low, high = p, p + 1e-3
        if self.low > -math.inf:
            low = max(low, self.low) if p + self.markup(max(p, self.low)) > self.low else self.low
        while high < self.top and high - p - self.markup(high) < 0:
            high = p + 2 * (high - p)
        high = min(high, self.top)
        for _ in range(200):
            middle = 0.5 * (low + high)
            if middle < self.top and middle - p - self.markup(middle) < 0:
                low = middle
            else:
                high = middle
        free = self.top if p >= self.top else max(high, self.low)
        if self.tick is None:
            found = min(max(free, self.low), self.high)
        else:
            ticks = [
                n * self.tick
                for n in range(math.floor(free / self.tick) - 2, math.ceil(free / self.tick) + 3)
            ]
            ticks = [t for t in ticks if self.low - 1e-12 <= t <= self.high + 1e-12]
            if not ticks:
                ends = (math.ceil(self.low / self.tick - 1e-9), math.floor(self.high / self.tick + 1e-9))
                ticks = [(ends[0] if free < self.low else ends[1]) * self.tick]
            found = max(ticks, key=lambda t: (self.worth(t, p), -t))
        return found if self.rate(found) > 0 else math.nan

    def cost(self, q: float) -> float:
        jump = self.eps * self.s * (q + self.s * self.z) / self.z if self.on == "fills" else self.eps
        return self.base + jump

    def order_gain(self, q: float) -> float:
        return -self.s * self.eps * q if self.on == "market_orders" else 0.0


class TinyChain:
    """The controlled chain of a problem with one asset."""

    def __init__(self, problem: Problem) -> None:
        market, inventory, price = problem["market"], problem["inventory"], problem["price"]
        preferences = problem["preferences"]
        self.horizon, self.lot = problem["horizon"], market["lot_size"]
        self.lots = list(range(inventory.get("min", -inventory["max"]), inventory["max"] + 1))
        self.target = inventory.get("target", 0)
        gamma = preferences.get("risk_aversion", 0.0)
        default = gamma if preferences["kind"] == "cara" else 0.0
        self.xi = preferences.get("hamiltonian_risk_aversion", default)
        self.drift = price.get("drift", 0.0) - price.get("carry", 0.0)
        self.penalty = preferences.get("running_penalty", 0.5 * gamma * price.get("volatility", 0.0) ** 2)
        self.flows = [
            TinyFlow(block, side, self.xi, self.lot, price.get("reference", 0.0))
            for block in problem["flow"]
            for side in (("bid", "ask") if block["side"] == "both" else (block["side"],))
        ]

    def reward(self, q: float) -> float:
        total = self.drift * q - self.penalty * (q - self.target * self.lot) ** 2
        for flow in self.flows:
            x = flow.order_gain(q)
            total += flow.lam * (x if self.xi == 0 else -math.expm1(-self.xi * x) / self.xi)
        return total

    def evaluate(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """B(θ), its derivative, the offsets."""
        n = len(self.lots)
        operator, slope = np.zeros(n), np.zeros((n, n))
        offset = np.full((n, len(self.flows)), math.nan)
        for i, lots in enumerate(self.lots):
            q = lots * self.lot
            operator[i] = self.reward(q)
            for f, flow in enumerate(self.flows):
                j = i + flow.s * flow.size
                if not 0 <= j < n:
                    continue
                p = ((theta[i] - theta[j]) / flow.z + flow.cost(q)) / flow.m
                d = offset[i, f] = flow.best(p)
                if math.isnan(d):
                    continue
                weight = math.exp(-self.xi * flow.order_gain(q))
                operator[i] += weight * flow.worth(d, p)
                moves = weight * flow.rate(d) * math.exp(-self.xi * flow.z * flow.m * (d - p))
                slope[i, j] += moves
                slope[i, i] -= moves
        return operator, slope, offset

    def stationary(self) -> tuple[np.ndarray, float, np.ndarray, float]:
        """θ, gain (0 if discounted), offsets, residual: Newton's method, halving steps that do not help."""
        n, here = len(self.lots), self.lots.index(self.target)
        rho = self.horizon.get("rate", 0.0)
        theta, gain = np.zeros(n), 0.0
        best = math.inf
        for _ in range(200):
            operator, slope, offset = self.evaluate(theta)
            defect = operator - rho * theta - gain
            residual = float(np.max(np.abs(defect)))
            if residual >= best * (1 - 1e-6) and best < 1e-11:
                break
            best = min(best, residual)
            matrix = slope - rho * np.eye(n)
            if rho == 0.0:  # the unknown at the target is the gain
                matrix[:, here] = -1.0
            step = np.linalg.solve(matrix, -defect)
            if rho == 0.0:
                gain, step[here] = gain + step[here], 0.0
            theta = theta + step * min(1.0, 5.0 / max(np.max(np.abs(step)), 1e-300))
        operator, _, offset = self.evaluate(theta)
        residual = float(np.max(np.abs(operator - rho * theta - gain)))
        return theta, gain, offset, residual

    def marched(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """θ and offsets at the times."""
        terminal = self.horizon.get("terminal", {})
        q = np.array(self.lots) * self.lot
        last = -(terminal.get("quadratic", 0.0) * q**2 + terminal.get("absolute", 0.0) * np.abs(q))
        to_go = times[-1] - times[::-1]
        solved = solve_ivp(
            lambda _, theta: self.evaluate(theta)[0],
            (0.0, to_go[-1]),
            last,
            method="DOP853",
            t_eval=to_go,
            rtol=1e-10,
            atol=1e-12,
        )
        value = solved.y.T[::-1].copy()
        value[-1] = last
        return value, np.stack([self.evaluate(theta)[2] for theta in value])


def _error_of_lookup(numbers: np.ndarray) -> float:
    """The largest error of taking every second entry for the mean of its neighbours."""
    error = np.abs(0.5 * (numbers[:-2:2] + numbers[2::2]) - numbers[1::2])
    return float(np.max(np.nan_to_num(error)))


def tiny_solution(problem: Problem, times: tuple[float, ...] | None = None) -> Any:
    """A solution of a problem given as its file's tree, satisfying the protocol of tables."""
    chain = TinyChain(problem)
    finite = problem["horizon"]["kind"] == "finite"
    gain, residual, lookup_error = 0.0, 0.0, None
    if finite:
        nodes = np.array(times or (0.0, 0.5 * problem["horizon"]["duration"], problem["horizon"]["duration"]))
        middles = 0.5 * (nodes[1:] + nodes[:-1])
        value, offset = chain.marched(np.sort(np.concatenate([nodes, middles])))
        lookup_error = {"offset": _error_of_lookup(offset), "value": _error_of_lookup(value)}
        value, offset = value[::2], offset[::2]
        residual = 1e-9
    else:
        nodes = None
        value, gain, offset, residual = chain.stationary()
    text = json.dumps(problem, sort_keys=True, separators=(",", ":"))
    return SimpleNamespace(
        problem_json=text,
        problem_hash=hashlib.sha256(text.encode()).hexdigest(),
        package_version="0.1.0",
        price_unit=problem["units"]["price"],
        time_unit=problem["units"]["time"],
        symbols=(problem["market"]["symbol"],),
        lot_sizes=(problem["market"]["lot_size"],),
        times=nodes,
        inventories=(np.array(chain.lots, dtype=np.float64),),
        flows=tuple(chain.flows),
        value=value,
        offset=offset,
        hedge_rate=None,
        market_order=None,
        gain=gain if problem["horizon"]["kind"] == "ergodic" else None,
        status="converged",
        status_message="The equation is solved to the tolerance asked for.",
        method="policy-iteration" if not finite else "runge-kutta",
        method_reason="the twin of the tests",
        residual=residual,
        iterations=7,
        certificate={"level": "none", "reason": "made for a test"},
        lookup_error=lookup_error,
        notes=(),
    )


GLFT: Problem = {
    "format": 1,
    "units": {"price": "USD", "time": "s"},
    "market": {"symbol": "XYZ", "lot_size": 1.0, "reference": "mid"},
    "inventory": {"max": 4},
    "price": {"kind": "brownian", "volatility": 0.3},
    "preferences": {"kind": "cara", "risk_aversion": 0.05},
    "flow": [
        {
            "name": "book",
            "side": "both",
            "size": 1,
            "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5},
        }
    ],
    "horizon": {"kind": "ergodic"},
}


def changed(problem: Problem, **changes: Any) -> Problem:
    """A copy with blocks replaced; `flow__…` replaces keys of the one flow block, `block__key` one key."""
    copied = copy.deepcopy(problem)
    for path, value in changes.items():
        block, _, key = path.partition("__")
        if not key:
            copied[block] = value
        elif block == "flow":
            copied["flow"][0][key] = value
        else:
            copied[block][key] = value
    return copied


_ORDERS = {"on": "market_orders", "jump": 0.03, "arrival_rate": 1.4}
_KNOTS = {
    "kind": "table",
    "offset": [-0.5, 0.0, 0.3, 0.7, 1.2, 2.0],
    "log_rate": [0.35, 0.0, -0.28, -0.75, -1.45, -2.85],
}
_LADDER = [
    {
        "name": "one",
        "side": "both",
        "size": 1,
        "intensity": {"kind": "logistic", "A": 0.5, "a": -1.0, "b": 3.0},
    },
    {
        "name": "three",
        "side": "both",
        "size": 3,
        "intensity": {"kind": "logistic", "A": 0.2, "a": -0.8, "b": 2.0},
    },
    {
        "name": "odd",
        "side": "ask",
        "size": 2,
        "intensity": {"kind": "exponential", "A": 0.1, "k": 2.0},
        "fee": 0.01,
    },
]
_MEAN_VARIANCE = {"kind": "mean-variance", "running_penalty": 0.01}
_FINITE = {"kind": "finite", "duration": 8.0, "terminal": {"quadratic": 0.02, "absolute": 0.1}}

# name → problem; together they use everything the verifier knows
PROBLEMS: dict[str, Problem] = {
    "glft": GLFT,
    "small-lots": changed(GLFT, market__lot_size=0.1, preferences__risk_aversion=0.5),
    "penalty": changed(GLFT, preferences=_MEAN_VARIANCE),
    "separate-xi": changed(
        GLFT, preferences={"kind": "mean-variance", "risk_aversion": 0.1, "hamiltonian_risk_aversion": 0.02}
    ),
    "drift-carry-target": changed(
        GLFT,
        preferences=_MEAN_VARIANCE,
        price={"drift": 0.02, "carry": 0.005},
        inventory={"max": 5, "min": -2, "target": 1},
    ),
    "logistic": changed(GLFT, flow__intensity={"kind": "logistic", "A": 1.5, "a": -0.7, "b": 1.8}),
    "power": changed(
        GLFT, preferences=_MEAN_VARIANCE, flow__intensity={"kind": "power", "A": 1.0, "d": 1.0, "k": 3.0}
    ),
    "linear": changed(GLFT, flow__intensity={"kind": "linear", "A": 1.0, "d": 2.0}),
    "linear-goes-off": changed(
        GLFT,
        preferences={"kind": "mean-variance", "running_penalty": 0.6},
        flow__intensity={"kind": "linear", "A": 1.0, "d": 0.5},
    ),
    "table": changed(GLFT, flow__intensity=_KNOTS),
    "table-of-rates": changed(
        GLFT, flow__intensity={"kind": "table", "offset": [0.0, 1.0, 2.0], "rate": [1.0, 0.4, 0.1]}
    ),
    "markout": changed(GLFT, flow__adverse={"on": "markout", "jump": 0.05}, flow__fee=-0.02),
    "fills": changed(GLFT, flow__adverse={"on": "fills", "jump": 0.05}),
    "market-orders": changed(GLFT, flow__adverse=_ORDERS),
    "market-orders-neutral": changed(
        GLFT, preferences=_MEAN_VARIANCE, flow__adverse={**_ORDERS, "arrival_rate": 0.9}
    ),
    "proportional-fee": changed(GLFT, price__reference=100.0, flow__proportional_fee=0.0005),
    "bounds": changed(GLFT, flow__min_offset=0.55, flow__max_offset=0.8),
    "tick": changed(GLFT, flow__tick=0.1, flow__min_offset=-1.0, flow__max_offset=4.0),
    "linear-tick": changed(
        GLFT,
        preferences={"kind": "mean-variance", "running_penalty": 0.6},
        flow__intensity={"kind": "linear", "A": 1.0, "d": 0.55},
        flow__tick=0.1,
    ),
    "ladder": changed(GLFT, flow=_LADDER, inventory={"max": 5}),
    "one-side-never-fills": changed(
        GLFT,
        horizon={"kind": "discounted", "rate": 0.05},
        flow=[
            {
                "name": "book",
                "side": "bid",
                "size": 1,
                "intensity": {"kind": "exponential", "A": 0.0, "k": 1.5},
            },
            {
                "name": "book",
                "side": "ask",
                "size": 1,
                "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5},
            },
        ],
    ),
    "discounted": changed(GLFT, horizon={"kind": "discounted", "rate": 0.05}),
    "finite": changed(GLFT, horizon=_FINITE),
    "finite-ladder": changed(GLFT, flow=_LADDER, horizon=_FINITE, inventory={"max": 5}),
    "finite-tick": changed(GLFT, horizon=_FINITE, flow__tick=0.1),
}


RUST = Path(__file__).resolve().parents[2] / "tables" / "readers" / "rust"


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where cargo builds: outside of the checkout."""
    return tmp_path_factory.mktemp("target")


@pytest.fixture(scope="session")
def cargo(target: Path) -> Callable[..., str]:
    """Runs cargo on the Rust reader, or in a folder, with arithmetic that checks for overflow; skips where
    there is none.
    """
    beside_home = Path.home() / ".cargo" / "bin" / "cargo"
    program = shutil.which("cargo") or (str(beside_home) if beside_home.exists() else None)
    if program is None:
        pytest.skip("no cargo here to build the Rust reader with")
    path = f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {
        "CARGO_TARGET_DIR": str(target),
        "CARGO_PROFILE_DEV_OPT_LEVEL": "1",
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "CARGO_INCREMENTAL": "0",
        "PATH": path,
    }

    def run(command: str, *arguments: object, flags: str = "-D warnings", folder: Path = RUST) -> str:
        words = [program, command, *map(str, arguments)]
        environment = {**os.environ, **settings, "RUSTFLAGS": flags}
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
        if command in ("clippy", "fmt") and re.search(r"no such command|is not installed", done.stderr):
            pytest.skip(f"no cargo {command} here")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def problems() -> dict[str, Problem]:
    """Small problems by name."""
    return PROBLEMS


@pytest.fixture(scope="session")
def solve_tiny() -> Callable[..., Any]:
    """The slow twin: a solution of a problem tree."""
    return tiny_solution


@pytest.fixture(scope="session")
def change() -> Callable[..., Problem]:
    """A problem with some blocks or keys replaced."""
    return changed


@pytest.fixture(scope="session")
def solved() -> Callable[[str], PolicyTable]:
    """The table of one of the small problems; each is solved once."""
    found: dict[str, PolicyTable] = {}

    def table(name: str) -> PolicyTable:
        if name not in found:
            found[name] = PolicyTable.from_solution(tiny_solution(PROBLEMS[name]))
        return found[name]

    return table


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`problem_name` runs a test for every small problem."""
    if "problem_name" in metafunc.fixturenames:
        metafunc.parametrize("problem_name", list(PROBLEMS))


@pytest.fixture(scope="session")
def two_assets() -> PolicyTable:
    """The table of two assets with hedging and market orders that the conformance vectors use."""
    return dict(conformance_tables())["two-assets"]
