"""A problem as the verifier sees it: plain JSON turned into numbers, sharing no code with `models`.

With inventory q and size z in units of the asset, s = +1 on the bid and -1 on the ask, f the proportional
fee:

    running reward   ℓ(q) = drift·q - carry·q - ½γσ²(q - target)²   or   … - φ(q - target)²
    terminal value   θ(T, q) = -(quadratic·q² + absolute·|q|)
    cost             c(q) = fee + adverse(q) + f·S_ref,       m = 1 + s·f
    adverse(q)       markout ε;    fills ε·s(q + s·z)/z;    market_orders ε

Jumps at market orders (rate λ each) add λ(1 - e^{-ξx})/ξ to ℓ and multiply H by e^{-ξx}, x = -s·ε·q. MODELS
of the project's documentation, "The reduced problem", gives the derivations. A problem that holds anything
else is refused.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.policy_table import SIDES
from quotegrid.tables.verification.intensity_twins import IntensityTwin, NotVerifiableError, intensity_twin

Numbers = NDArray[np.float64]

_KNOWN = {
    "": {"format", "units", "asset", "preferences", "horizon", "uncertainty", "provenance"},
    "asset": {"market", "inventory", "price", "flow"},
    "units": {"price", "time"},
    "market": {"symbol", "lot_size", "tick_size", "reference"},
    "inventory": {"max", "min", "target"},
    "price": {"kind", "volatility", "drift", "carry", "reference"},
    "preferences": {"kind", "risk_aversion", "running_penalty", "hamiltonian_risk_aversion"},
    "horizon": {"kind", "duration", "terminal", "rate"},
    "flow": {"name", "side", "size", "intensity", "fee", "proportional_fee", "adverse"}
    | {"min_offset", "max_offset", "tick"},
    "adverse": {"on", "jump", "arrival_rate"},
    "terminal": {"quadratic", "absolute"},
}


@dataclass(frozen=True)
class FlowTwin:
    """One flow on one side."""

    name: str
    side: str
    size: int  # lots
    stated: Mapping[str, Any]  # the block of the problem, without name and side
    intensity: IntensityTwin
    units: float  # z, units of the asset
    xi: float  # ξ, per currency
    fixed_cost: float  # fee + f·S_ref, price units
    proportional_fee: float  # f
    convention: str  # markout, fills, market_orders or none
    jump: float  # ε, price units
    arrival_rate: float  # λ, market orders per time
    min_offset: float
    max_offset: float
    tick: float | None

    @property
    def sign(self) -> int:
        """s."""
        return SIDES[self.side]

    @property
    def multiplier(self) -> float:
        """m."""
        return 1.0 + self.sign * self.proportional_fee

    @property
    def effective_units(self) -> float:
        """z·m, which takes the place of z inside H."""
        return self.units * self.multiplier

    def cost(self, q: Numbers) -> Numbers:
        """c(q) in price units, q in units of the asset."""
        if self.convention == "fills":
            return self.fixed_cost + self.jump * self.sign * (q + self.sign * self.units) / self.units
        return np.full(q.shape, self.fixed_cost + self.jump)

    def gain_at_order(self, q: Numbers) -> Numbers:
        """x, what a market order on this side brings the inventory held, currency."""
        moves = self.convention == "market_orders"
        return -self.sign * self.jump * q if moves else np.zeros(q.shape)

    def weight(self, q: Numbers) -> Numbers:
        """e^{-ξx}, the factor of H."""
        return np.exp(-self.xi * self.gain_at_order(q))

    def order_reward(self, q: Numbers) -> Numbers:
        """λ(1 - e^{-ξx})/ξ, currency per time."""
        x = self.gain_at_order(q)
        return self.arrival_rate * (x if self.xi == 0.0 else -np.expm1(-self.xi * x) / self.xi)


@dataclass(frozen=True)
class ProblemTwin:
    """A problem with one asset."""

    price_unit: str
    time_unit: str
    symbol: str
    lot_size: float
    limits: tuple[int, int]  # lots
    target: int  # lots
    flows: tuple[FlowTwin, ...]
    drift: float  # less the carry, price per time
    penalty: float  # of (q - target)², currency per unit² and time
    horizon: str  # finite, discounted or ergodic
    duration: float | None
    discount_rate: float
    terminal_quadratic: float
    terminal_absolute: float

    @classmethod
    def from_json(cls, text: str) -> "ProblemTwin":
        """The twin of a problem; NotVerifiableError where it holds what the verifier does not know."""
        try:
            problem = json.loads(text)
        except ValueError as error:
            raise NotVerifiableError(f"the problem in the table is not JSON: {error}") from None
        try:
            return _read(problem)
        except KeyError as error:
            raise NotVerifiableError(f"the problem in the table does not say {error.args[0]}") from None
        except (TypeError, AttributeError, ValueError) as error:
            if isinstance(error, NotVerifiableError):
                raise
            raise NotVerifiableError(
                f"the problem in the table has a value of the wrong type: {error}"
            ) from None

    @property
    def lots(self) -> Numbers:
        """The inventory lattice."""
        return np.arange(self.limits[0], self.limits[1] + 1.0)

    def running_terms(self, q: Numbers) -> list[Numbers]:
        """The terms of ℓ at q (units of the asset), one by one; currency per time."""
        excess = q - self.target * self.lot_size
        return [self.drift * q, -self.penalty * excess**2, *(flow.order_reward(q) for flow in self.flows)]

    def terminal_value(self, q: Numbers) -> Numbers:
        """θ(T, q), currency."""
        return -(self.terminal_quadratic * q**2 + self.terminal_absolute * np.abs(q))


def _read(problem: Mapping[str, Any]) -> ProblemTwin:
    asset = _the_asset(problem)
    units, market, inventory = _block(problem, "units"), _block(asset, "market"), _block(asset, "inventory")
    price = _block(asset, "price", needed=False)
    if price.get("kind", "brownian") != "brownian":
        raise NotVerifiableError(f"the verifier knows no price of kind {price['kind']!r}; known: brownian")
    horizon = _block(problem, "horizon", needed=False)
    kind = horizon.get("kind", "ergodic")
    if kind not in ("finite", "discounted", "ergodic"):
        raise NotVerifiableError(f"the verifier knows no horizon of kind {kind!r}")
    terminal = _block(horizon, "terminal", needed=False)
    xi, penalty = _preferences(_block(problem, "preferences"), price)
    lot_size = float(market["lot_size"])
    top = int(inventory["max"])
    return ProblemTwin(
        price_unit=str(units["price"]),
        time_unit=str(units["time"]),
        symbol=str(market["symbol"]),
        lot_size=lot_size,
        limits=(int(inventory.get("min", -top)), top),
        target=int(inventory.get("target", 0)),
        flows=tuple(_flows(asset["flow"], xi, lot_size, price.get("reference"))),
        drift=float(price.get("drift", 0.0)) - float(price.get("carry", 0.0)),
        penalty=penalty,
        horizon=kind,
        duration=float(horizon["duration"]) if kind == "finite" else None,
        discount_rate=float(horizon["rate"]) if kind == "discounted" else 0.0,
        terminal_quadratic=float(terminal.get("quadratic", 0.0)),
        terminal_absolute=float(terminal.get("absolute", 0.0)),
    )


def _the_asset(problem: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one asset, whose blocks stand at the top level or in a list of one."""
    single = {name: block for name, block in problem.items() if name in _KNOWN["asset"]}
    rest = {name: block for name, block in problem.items() if name not in single}
    _refuse_unknown(rest, "")
    assets = [single] if single else list(problem["asset"])
    if len(assets) != 1:
        raise NotVerifiableError(f"the verifier checks problems with one asset; this one has {len(assets)}")
    _refuse_unknown(assets[0], "asset")
    return assets[0]


def _block(parent: Mapping[str, Any], name: str, needed: bool = True) -> dict[str, Any]:
    """A block without its nulls, every key of it known."""
    found = parent[name] if needed else parent.get(name)
    block = {key: value for key, value in (found or {}).items() if value is not None}
    _refuse_unknown(block, name)
    return block


def _refuse_unknown(block: Mapping[str, Any], name: str) -> None:
    for key, value in block.items():
        if key not in _KNOWN[name] and value not in (None, [], {}):
            path = f"{name}.{key}" if name else key
            raise NotVerifiableError(f"the verifier does not know what {path!r} does to a problem")


def _preferences(stated: Mapping[str, Any], price: Mapping[str, Any]) -> tuple[float, float]:
    """ξ, and the coefficient of (q - target)²."""
    kind = stated["kind"]
    if kind not in ("cara", "mean-variance"):
        raise NotVerifiableError(
            f"the verifier knows no preferences of kind {kind!r}; known: cara, mean-variance"
        )
    if "running_penalty" in stated:
        penalty = float(stated["running_penalty"])
    else:
        gamma = float(stated["risk_aversion"])
        penalty = 0.5 * gamma * float(price["volatility"]) ** 2 if gamma else 0.0
    otherwise = stated["risk_aversion"] if kind == "cara" else 0.0
    return float(stated.get("hamiltonian_risk_aversion", otherwise)), penalty


def _flows(blocks: list[Mapping[str, Any]], xi: float, lot_size: float, reference: Any) -> Iterator[FlowTwin]:
    """Each flow on each side, in the order of the problem, bid before ask."""
    for given in blocks:
        block = _block({"flow": given}, "flow")
        adverse = _block(block, "adverse", needed=False)
        convention = adverse.get("on", "none")
        if convention not in ("none", "markout", "fills", "market_orders"):
            raise NotVerifiableError(f"the verifier knows no adverse selection on {convention!r}")
        intensity = intensity_twin(block["intensity"])
        size, fee = int(block.get("size", 1)), float(block.get("proportional_fee", 0.0))
        default_min = intensity.default_min_offset
        stated = {key: value for key, value in block.items() if key not in ("name", "side")}
        for side in ("bid", "ask") if block["side"] == "both" else (block["side"],):
            yield FlowTwin(
                name=str(block["name"]),
                side=str(side),
                size=size,
                stated=stated,
                intensity=intensity,
                units=size * lot_size,
                xi=xi,
                fixed_cost=float(block.get("fee", 0.0)) + (fee * float(reference) if fee else 0.0),
                proportional_fee=fee,
                convention=convention,
                jump=float(adverse.get("jump", 0.0)),
                arrival_rate=float(adverse.get("arrival_rate", intensity.arrival_rate)),
                min_offset=float(block.get("min_offset", -np.inf if default_min is None else default_min)),
                max_offset=float(block.get("max_offset", np.inf)),
                tick=float(block["tick"]) if "tick" in block else None,
            )
