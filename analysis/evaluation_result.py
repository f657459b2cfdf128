"""What `evaluate` returns: one policy's money, risk and inventory under one problem."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from quotegrid.analysis.quotes import SECONDS_IN
from quotegrid.models.problem import Problem
from quotegrid.solver.discretise import inventory_lattices
from quotegrid.tables.money import money_unit

NOTHING = 1e-9  # of the optimum: a smaller regret is none
_ORDER = ("spread", "fees", "adverse", "drift", "carry", "liquidation")  # of the parts of the P&L


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one policy does under one problem; see the top of the file for what amounts are per.

    Arrays over inventory have one axis per asset; amounts are currency, rates per time.
    """

    policy: str
    horizon: str  # ergodic, discounted or finite
    duration: float | None  # time; finite only
    price_unit: str
    time_unit: str
    inventories: tuple[Float[np.ndarray, " lots"], ...]  # lots
    start: tuple[float, ...]  # lots
    pnl: float
    pnl_variance: float | None  # None where the problem does not say how volatile the price is
    parts: dict[str, float]  # of the P&L
    risk_cost: float  # what the preferences charge for holding inventory: not part of the P&L
    certainty_equivalent: float
    certainty_bounds: tuple[float, float] | None  # stationary: an interval that holds it
    optimum: float | None  # the largest certainty equivalent of all policies
    fills: dict[str, float]  # by flow: per time; finite: over the horizon
    distribution: Float[np.ndarray, "*state"]  # of the inventory: long run; finite: mean over the horizon
    final_distribution: Float[np.ndarray, "*state"] | None  # finite: at the end
    time_at_limits: float  # fraction of time
    time_to_flat: Float[np.ndarray, "*state"]  # mean time to inventory 0; finite: or to the end, if sooner
    half_life: tuple[float, ...]  # of each inventory, time: ln 2 · ∫ autocorrelation; NaN if finite
    value: Float[np.ndarray, "*state"]  # certainty equivalent by starting inventory (ergodic: 0 at target)
    error: float  # estimated numerical error of P&L and certainty equivalent, in their unit
    notes: tuple[str, ...] = ()
    _over_time: Callable[..., np.ndarray] = field(repr=False, compare=False)

    def __repr__(self) -> str:
        amounts = {"P&L": self.pnl, "worth": self.certainty_equivalent}
        if self.regret is not None and self.optimum is not None:
            amounts["regret"] = 0.0 if abs(self.regret) <= NOTHING * abs(self.optimum) else self.regret
        said = ", ".join(f"{word} {self.per_hour(amount):.4g}" for word, amount in amounts.items())
        held = ", ".join(f"{lots:.3g}" for lots in self.inventory_deviation)
        return (
            f"<Evaluation of {self.policy}, {self.horizon}: {said} {self.money} per {self.per}; "
            f"inventory ± {held} lots>"
        )

    @property
    def money(self) -> str:
        """The unit of amounts."""
        return money_unit(self.price_unit)

    @property
    def hours(self) -> float | None:
        """Hours in a unit of time; None where the unit is not a known one."""
        seconds = SECONDS_IN.get(self.time_unit)
        return None if seconds is None else seconds / 3600.0

    @property
    def per(self) -> str:
        """What `per_hour` is per: "h", or the unit of time where that is not a known one."""
        return self.time_unit if self.hours is None else "h"

    @property
    def regret(self) -> float | None:
        """What the certainty equivalent falls short of the optimum, in its unit."""
        return None if self.optimum is None else self.optimum - self.certainty_equivalent

    @property
    def pnl_volatility(self) -> float | None:
        """The standard deviation of the P&L: per √time (ergodic), else of the total."""
        return None if self.pnl_variance is None else float(np.sqrt(self.pnl_variance))

    def per_time(self, amount: float) -> float:
        """An amount of this evaluation as currency per unit of time (finite: spread over the horizon;
        discounted: the perpetual payment of the same worth).
        """
        return amount if self.horizon == "ergodic" else amount * self._rate

    def per_hour(self, amount: float) -> float:
        """The same per hour; per unit of time where the unit is not a known one."""
        return self.per_time(amount) / (self.hours or 1.0)

    @property
    def regret_per_hour(self) -> float | None:
        """Regret as currency per hour."""
        return None if self.regret is None else self.per_hour(self.regret)

    @property
    def inventory_mean(self) -> tuple[float, ...]:
        """The mean inventory of each asset, lots."""
        return tuple(float(np.sum(self.marginal(a) * x)) for a, x in enumerate(self.inventories))

    @property
    def inventory_deviation(self) -> tuple[float, ...]:
        """The standard deviation of the inventory of each asset, lots."""
        means = self.inventory_mean
        return tuple(
            float(np.sqrt(np.sum(self.marginal(a) * (x - means[a]) ** 2)))
            for a, x in enumerate(self.inventories)
        )

    def marginal(self, asset: int = 0) -> Float[np.ndarray, " lots"]:
        """The distribution of one asset's inventory."""
        others = tuple(axis for axis in range(self.distribution.ndim) if axis != asset)
        return np.sum(self.distribution, axis=others)

    def tail(self, lots: float, asset: int = 0) -> float:
        """P(|inventory| > lots) of one asset."""
        return float(np.sum(self.marginal(asset)[np.abs(self.inventories[asset]) > lots + 1e-9]))

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON; amounts as they are here (`per` says per what), null where not known."""
        per = {"ergodic": self.time_unit, "discounted": "total", "finite": "horizon"}[self.horizon]
        found: dict[str, Any] = {
            "policy": self.policy,
            "horizon": self.horizon,
            "money": self.money,
            "per": per,
            "start": list(self.start),
        }
        for name in ("certainty_equivalent", "optimum", "regret", "regret_per_hour", "pnl", "pnl_variance"):
            found[name] = getattr(self, name)
        return {
            **found,
            "parts": self.parts,
            "risk_cost": self.risk_cost,
            "fills": self.fills,
            "inventories": [axis.tolist() for axis in self.inventories],
            "distribution": self.distribution.tolist(),
            "inventory_mean": list(self.inventory_mean),
            "inventory_deviation": list(self.inventory_deviation),
            "half_life": [None if np.isnan(x) else x for x in self.half_life],
            "time_at_limits": self.time_at_limits,
            "time_to_flat": [x if np.isfinite(x) else None for x in self.time_to_flat.reshape(-1).tolist()],
            "error": self.error,
            "notes": list(self.notes),
        }

    def distribution_at(
        self, times: Sequence[float], start: float | Sequence[float] | None = None
    ) -> Float[np.ndarray, "time *state"]:
        """The distribution of the inventory at some times, from a starting inventory (lots).

        Args:
            times: times since the start, not negative and increasing; finite horizon: within it.
            start: lots, one number per asset; by default that of the evaluation.
        """
        return self._over_time(np.asarray(times, float), self.start if start is None else start)

    _rate: float = 1.0  # totals times this are per time


def heading(name: str, problem: Problem, begin: tuple[int, ...]) -> dict[str, Any]:
    """The fields that say what was evaluated; `begin` is the position of the start."""
    axes = tuple(lattice.lots.astype(float) for lattice in inventory_lattices(problem))
    return {
        "policy": name,
        "horizon": problem.horizon.kind,
        "price_unit": problem.units.price,
        "time_unit": problem.units.time,
        "inventories": axes,
        "start": tuple(float(axis[i]) for axis, i in zip(axes, begin, strict=True)),
    }


def in_order(parts: dict[str, float]) -> dict[str, float]:
    """Parts of the P&L: spread first, those of ingredients that came later last."""
    known = [part for part in _ORDER if part in parts]
    return {part: parts[part] for part in (*known, *(p for p in parts if p not in known))}


def remarks(problem: Problem) -> tuple[str, ...]:
    """What the reader of an evaluation should know about the problem."""
    if problem.volatility_is_known():
        return ()
    return ("The variance of the P&L is not known: the problem gives no price.volatility.",)
