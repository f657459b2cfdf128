"""An event-driven simulator of the market maker's story: the model-check of what the equations say.

Its inputs are the tree of a problem file and a policy (offsets by time and inventory), nothing of the
solver: no running reward ℓ, no Hamiltonian. It keeps the books of many paths at once, cash x, inventory q
and mid price S:

    between events   S moves by drift·dt + σ√dt·N(0, 1), exactly; holding q costs carry·q per time, and under
                     mean-variance preferences φ(q - target)² or ½γσ²(q - target)² per time besides
    a bid fill       at S - δ: x falls by z(S - δ), by z·fee and by z·f·(S_ref - δ); then q rises by z
    an ask fill      at S + δ: x rises by z(S + δ), less z·fee and z·f·(S_ref + δ); then q falls by z
    markout          a fill costs z·ε besides
    fills            after a fill the mid moves by ε against the side that was hit, meeting the q then held
    market_orders    orders come at rate λ, filled or not, and after each the mid moves in the same way
    the end          costs quadratic·q² + absolute·|q|

Waiting times are exponential with the rate of a ceiling for each flow at each inventory; a candidate is a
fill with probability Λ(δ(t, q))/ceiling (thinning: Lewis & Shedler 1979), which is exact for quotes that move
in time. There is no time step. What a path earns is Σ e^{-ρt}·(change of x + qS, less costs), with ρ = 0
unless the horizon is discounted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Tree = dict[str, Any]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Policy:
    """What is quoted: offsets [time, inventory, flow], NaN where off; linear in time between nodes."""

    labels: tuple[tuple[str, str], ...]  # (name, side) of each flow
    lots: Numbers  # inventories, lots
    times: Numbers  # of the nodes; a single one: the same quotes always
    offset: Numbers
    ticks: bool  # on a tick lattice quotes jump: those of the last node hold

    @classmethod
    def of_table(cls, table: Any, tree: Tree) -> "Policy":
        """The policy of a table (or solution) of a problem with one asset."""
        times = np.zeros(1) if table.times is None else table.times
        labels = tuple((flow.name, flow.side) for flow in table.flows)
        offset = np.reshape(table.offset, (len(times), -1, len(labels)))
        return cls(labels, table.inventories[0], times, offset, any("tick" in flow for flow in tree["flow"]))

    def at(self, flow: int, times: Numbers, places: NDArray[np.int64]) -> Numbers:
        """The offsets of one flow at some times and places of the inventory axis."""
        column = self.offset[:, :, flow]
        if len(self.times) == 1:
            return column[0, places]
        node = np.clip(np.searchsorted(self.times, times, side="right") - 1, 0, len(self.times) - 2)
        left = column[node, places]
        if self.ticks:
            return left
        share = (times - self.times[node]) / (self.times[node + 1] - self.times[node])
        return left + share * (column[node + 1, places] - left)

    def with_offset(self, offset: Numbers) -> "Policy":
        """Other quotes in the same places."""
        return replace(self, offset=offset)


def fill_rate(intensity: Tree) -> Callable[[Any], Any]:
    """Λ(δ) as the problem file states it."""
    kind = intensity["kind"]
    if kind == "exponential":
        return lambda d: intensity["A"] * np.exp(-intensity["k"] * d)
    if kind == "logistic":
        return lambda d: intensity["A"] / (1.0 + np.exp(intensity["a"] + intensity["b"] * d))
    if kind == "power":
        return lambda d: intensity["A"] * (1.0 + d / intensity["d"]) ** -intensity["k"]
    if kind == "linear":
        return lambda d: intensity["A"] * np.maximum(1.0 - d / intensity["d"], 0.0)
    assert kind == "table"
    knots = np.array(intensity["offset"])
    curve = PchipInterpolator(knots, intensity["log_rate"])
    slope = curve.derivative()

    def through_knots(d: Any) -> Any:
        inside = np.clip(d, knots[0], knots[-1])
        return np.exp(curve(inside) + slope(inside) * (d - inside))

    return through_knots


def one_sided_flows(tree: Tree, policy: Policy) -> list[SimpleNamespace]:
    """The flows in the order of the policy, with what their fills cost."""
    found = []
    for name, side in policy.labels:
        stated = next(f for f in tree["flow"] if f["name"] == name and f["side"] in (side, "both"))
        rate = fill_rate(stated["intensity"])
        adverse = stated.get("adverse") or {"on": "nothing", "jump": 0.0}
        always = 0.0
        if adverse["on"] == "market_orders":
            intensity = stated["intensity"]
            default = intensity["A"] if intensity["kind"] == "logistic" else rate(0.0)
            always = adverse.get("arrival_rate", default)
        found.append(
            SimpleNamespace(
                sign=1 if side == "bid" else -1,
                lots=stated.get("size", 1),
                rate=rate,
                fee=stated.get("fee", 0.0),
                proportional_fee=stated.get("proportional_fee", 0.0),
                on=adverse["on"],
                jump=adverse["jump"],
                arrivals=always,
            )
        )
    return found


def ceilings(tree: Tree, policy: Policy) -> Numbers:
    """The largest rate of each flow's events at each inventory, over all times: [inventory, flow]."""
    columns = []
    for place, flow in enumerate(one_sided_flows(tree, policy)):
        rates = np.nan_to_num(flow.rate(policy.offset[:, :, place]), nan=0.0)
        highest = rates.max(axis=0)
        if flow.on == "market_orders":
            assert np.all(highest <= flow.arrivals * (1.0 + 1e-12)), (
                "fills would come more often than the orders that cause them"
            )
            highest = np.full_like(highest, flow.arrivals)
        columns.append(highest)
    return np.stack(columns, axis=1)


def running_cost(tree: Tree) -> Callable[[Numbers], Numbers]:
    """What holding q units costs per time: the carry, and the penalty of mean-variance preferences."""
    price, preferences = tree["price"], tree["preferences"]
    carry = price.get("carry", 0.0)
    if preferences["kind"] == "cara":  # there the risk is in the utility of what is earned
        return lambda q: carry * q
    target = tree["inventory"].get("target", 0) * tree["market"]["lot_size"]
    penalty = preferences.get("running_penalty")
    if penalty is None:
        penalty = 0.5 * preferences["risk_aversion"] * price["volatility"] ** 2
    return lambda q: carry * q + penalty * (q - target) ** 2


@dataclass(frozen=True)
class Ledger:
    """What the paths had earned (discounted, costs deducted), and held, at each stop."""

    earned: Numbers  # [stop, path], currency, beyond the starting inventory at its starting price
    inventory: Numbers  # [stop, path], units of the asset
    fills: NDArray[np.int64]  # [flow], of all paths together


def simulate(
    tree: Tree,
    policy: Policy,
    *,
    paths: int,
    seed: int,
    start: int = 0,
    stops: tuple[float, ...] | None = None,
    ceiling: Numbers | None = None,
) -> Ledger:
    """Run `paths` paths from `start` lots through the times `stops` (by default the end of a finite horizon).

    The draws of a path depend on the seed and the number of its event alone, so that policies can be compared
    on common random numbers; for that give both the same `ceiling`.
    """
    rng = np.random.default_rng(seed)
    price, horizon = tree["price"], tree["horizon"]
    drift, sigma = price.get("drift", 0.0), price.get("volatility", 0.0)
    reference = price.get("reference", 0.0)
    rho = horizon.get("rate", 0.0)
    lot = tree["market"]["lot_size"]
    step = round(policy.lots[1] - policy.lots[0])
    flows, cost = one_sided_flows(tree, policy), running_cost(tree)
    ceiling = ceilings(tree, policy) if ceiling is None else ceiling
    upto = np.cumsum(ceiling, axis=1)
    until = np.array((horizon["duration"],) if stops is None else stops)

    path, stage = np.arange(paths), np.zeros(paths, dtype=int)
    place = np.full(paths, int(np.flatnonzero(policy.lots == start)[0]))
    t, x, earned = np.zeros(paths), np.zeros(paths), np.zeros(paths)
    q, S = np.full(paths, start * lot), np.full(paths, reference)
    ledger = Ledger(
        np.empty((len(until), paths)), np.empty((len(until), paths)), np.zeros(len(flows), dtype=int)
    )
    while len(path):
        waiting, toss = rng.standard_exponential(paths)[path], rng.random((2, paths))[:, path]
        normal = rng.standard_normal(paths)[path]
        left = until[stage] - t
        total = upto[place, -1]
        happens = waiting < left * total
        dt = np.where(happens, waiting / np.where(total > 0.0, total, 1.0), left)

        S += drift * dt + sigma * np.sqrt(dt) * normal
        once, twice = dt, dt  # ∫e^{-ρt}dt and ∫e^{-2ρt}dt
        if rho > 0.0:
            once = np.exp(-rho * t) * -np.expm1(-rho * dt) / rho
            twice = np.exp(-2.0 * rho * t) * -np.expm1(-2.0 * rho * dt) / (2.0 * rho)
        earned += q * (drift * once + sigma * np.sqrt(twice) * normal) - cost(q) * once
        t = np.where(happens, t + dt, until[stage])

        which = np.sum((toss[0] * total)[:, None] >= upto[place], axis=1)
        for number, flow in enumerate(flows):
            at = np.flatnonzero(happens & (which == number))
            offset = policy.at(number, t[at], place[at])
            filled = toss[1, at] * ceiling[place[at], number] < np.nan_to_num(flow.rate(offset), nan=0.0)
            ledger.fills[number] += np.count_nonzero(filled)
            marked = x[at] + q[at] * S[at]
            f, offset = at[filled], offset[filled]
            z, s = flow.lots * lot, flow.sign
            x[f] -= s * z * (S[f] - s * offset) + z * flow.fee
            x[f] -= z * flow.proportional_fee * (reference - s * offset)
            q[f] += s * z
            place[f] += s * flow.lots // step
            if flow.on == "markout":
                x[f] -= z * flow.jump
            elif flow.on == "fills":
                S[f] -= s * flow.jump
            elif flow.on == "market_orders":
                S[at] -= s * flow.jump
            earned[at] += np.exp(-rho * t[at]) * (x[at] + q[at] * S[at] - marked)

        stopped = np.flatnonzero(~happens)
        ledger.earned[stage[stopped], path[stopped]] = earned[stopped]
        ledger.inventory[stage[stopped], path[stopped]] = q[stopped]
        stage[stopped] += 1
        going = np.flatnonzero(stage < len(until))
        if len(going) < len(path):
            path, stage, place = path[going], stage[going], place[going]
            t, x, q, S, earned = t[going], x[going], q[going], S[going], earned[going]
    if horizon["kind"] == "finite" and until[-1] == horizon["duration"]:
        terminal, left = horizon.get("terminal", {}), ledger.inventory[-1]
        ledger.earned[-1] -= terminal.get("quadratic", 0.0) * left**2
        ledger.earned[-1] -= terminal.get("absolute", 0.0) * np.abs(left)
    return ledger


@pytest.fixture(scope="session")
def simulator() -> SimpleNamespace:
    """The simulator: `Policy`, `simulate` and `ceilings`."""
    return SimpleNamespace(Policy=Policy, simulate=simulate, ceilings=ceilings)
