"""An evaluation by brute force: dense matrices in NumPy and SciPy, from the tree of a problem file.

Nothing of the solver is used: the generator of a policy is written down entry by entry from the story (fills
move inventory by a lot count and wealth by what they earn), and everything follows from matrix exponentials,
null vectors and eigenvalues.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg


def rate_of(intensity: dict, offset: float) -> float:
    """Λ(δ)."""
    if intensity["kind"] == "exponential":
        return intensity["A"] * np.exp(-intensity["k"] * offset)
    assert intensity["kind"] == "logistic"
    return intensity["A"] / (1.0 + np.exp(intensity["a"] + intensity["b"] * offset))


@dataclass
class DenseChain:
    """Fixed offsets [inventory, flow]: who goes where, how fast, and what wealth does on the way."""

    lots: np.ndarray
    rates: np.ndarray  # [from, to], fills per time
    events: list[tuple[int, int, float, float, int]]  # (from, to, rate, jump of wealth, flow); to = from too
    drift: np.ndarray  # of wealth while nothing happens, per time
    diffusion: np.ndarray  # its variance per time
    cost: np.ndarray  # the preferences' charge, per time

    @property
    def generator(self) -> np.ndarray:
        return self.rates - np.diag(self.rates.sum(axis=1))

    @property
    def pnl(self) -> np.ndarray:
        found = self.drift.copy()
        for i, _, rate, jump, _ in self.events:
            found[i] += rate * jump
        return found

    def square(self, h: np.ndarray) -> np.ndarray:
        found = self.diffusion.copy()
        for i, j, rate, jump, _ in self.events:
            found[i] += rate * (jump + h[j] - h[i]) ** 2
        return found

    def utility_matrix(self, gamma: float) -> np.ndarray:
        """M with E[e^{-γ(W_T - W_0)} f(q_T)] = e^{MT} f, for a risk-averse maker (no other cost)."""
        found = np.diag(-gamma * self.drift + 0.5 * gamma**2 * self.diffusion)
        for i, j, rate, jump, _ in self.events:
            found[i, j] += rate * np.exp(-gamma * jump)
            found[i, i] -= rate
        return found

    def stationary(self) -> np.ndarray:
        null = scipy.linalg.null_space(self.generator.T)[:, 0]
        return null / null.sum()


def dense_chain(tree: dict[str, Any], offset: np.ndarray) -> DenseChain:
    """The chain of one asset under offsets [inventory, flow] (flows: bid before ask of each block)."""
    lot, price, preferences = tree["market"]["lot_size"], tree["price"], tree["preferences"]
    limit = tree["inventory"]["max"]
    lots = np.arange(tree["inventory"].get("min", -limit), limit + 1)
    q = lots * lot
    sigma, reference = price.get("volatility", 0.0), price.get("reference", 0.0)
    cost = np.zeros(len(q))
    if preferences["kind"] == "mean-variance":
        phi = preferences.get("running_penalty")
        phi = 0.5 * preferences["risk_aversion"] * sigma**2 if phi is None else phi
        cost = phi * (q - tree["inventory"].get("target", 0) * lot) ** 2
    rates, events, place = np.zeros((len(q), len(q))), [], 0
    for block in tree["flow"]:
        for side in ("bid", "ask") if block["side"] == "both" else (block["side"],):
            s, size = (1 if side == "bid" else -1), block.get("size", 1)
            z = size * lot
            adverse = block.get("adverse", {"on": "none", "jump": 0.0})
            eps = adverse["jump"]
            for i in range(len(q)):
                j, fills = i + s * size, 0.0
                if not np.isnan(offset[i, place]):
                    delta = offset[i, place]
                    fills = rate_of(block["intensity"], delta)
                    jump = z * delta - z * block.get("fee", 0.0)
                    jump -= z * block.get("proportional_fee", 0.0) * (reference - s * delta)
                    if adverse["on"] == "markout":
                        jump -= z * eps
                    elif adverse["on"] in ("fills", "market_orders"):
                        jump -= s * eps * q[j]
                    rates[i, j] += fills
                    events.append((i, j, fills, jump, place))
                if adverse["on"] == "market_orders":
                    events.append((i, i, adverse["arrival_rate"] - fills, -s * eps * q[i], -1))
            place += 1
    drift = (price.get("drift", 0.0) - price.get("carry", 0.0)) * q
    return DenseChain(lots, rates, events, drift, sigma**2 * q**2, cost)
