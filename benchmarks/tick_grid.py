"""The ergodic market of Guéant, Lehalle & Fernandez-Tapia as a Markov decision process for quantecon.

Under exponential fills the risk-averse Hamiltonian is the risk-neutral one of another market with the same k,

    H(p) = sup_δ A e^{-kδ} (1 - e^{-γ(δ-p)})/γ = sup_δ' A' e^{-kδ'} (δ' - p),    δ = δ' + ln(1 + γ/k)/γ - 1/k,

A' = e A (1 + γ/k)^-(1 + k/γ), so that policy iteration, which wants expected rewards, applies. Actions are
pairs of a bid and an ask offset, each a whole number of ticks. Fills are uniformised: with u the largest sum
of fill rates, a step takes 1/u, leads to q ± 1 with probabilities Λ'/u, and pays (Λ'δ' of both sides -
½γσ²q²)/u. The average reward is that of a discount β = u/(u + ρ) with a small ρ (whose policy is that of the
average).
"""

from typing import Any

import numpy as np
import scipy.sparse
from glft_routes import LIMIT

_RHO = 1e-6  # per second: an hour's chain has forgotten where it began


class TickGrid:
    """The decision process with offsets from `low` to `high` ticks on each side."""

    def __init__(self, A: float, k: float, gamma: float, sigma: float, low: int, high: int) -> None:
        self.shift = np.log1p(gamma / k) / gamma - 1.0 / k
        self.scale = np.e * A * (1.0 + gamma / k) ** -(1.0 + k / gamma)
        self.k, self.gamma, self.sigma = k, gamma, sigma
        self.ticks = np.arange(low, high + 1.0)

    def build(self) -> Any:
        """quantecon's DiscreteDP from pairs of a state and an action, probabilities sparse."""
        from quantecon.markov import DiscreteDP  # the one contestant that is no dependency of the tests

        neutral = self.ticks - self.shift  # δ'
        rate = self.scale * np.exp(-self.k * neutral)
        q = np.arange(-LIMIT, LIMIT + 1)
        states, own, rewards, arrive = [], [], [], []
        grid = np.arange(len(self.ticks))
        for place, inventory in enumerate(q):
            # at a limit the side that is off has one action, which does nothing
            bid, ask = np.meshgrid(
                grid if inventory < LIMIT else grid[:1], grid if inventory > -LIMIT else grid[:1]
            )
            up = rate[bid.ravel()] * (inventory < LIMIT)
            down = rate[ask.ravel()] * (inventory > -LIMIT)
            paid = up * neutral[bid.ravel()] + down * neutral[ask.ravel()]
            states.append(np.full(bid.size, place))
            own.append(bid.ravel() * len(grid) + ask.ravel())
            rewards.append(paid - 0.5 * self.gamma * self.sigma**2 * inventory**2)
            arrive.append((up, down))
        state = np.concatenate(states)
        up, down = (np.concatenate(x) for x in zip(*arrive, strict=True))
        fastest = float(np.max(up + down))
        pair = np.arange(len(state))
        columns = [np.minimum(state + 1, 2 * LIMIT), np.maximum(state - 1, 0), state]
        probabilities = [up / fastest, down / fastest, 1.0 - (up + down) / fastest]
        moves = scipy.sparse.csr_matrix(
            (np.concatenate(probabilities), (np.tile(pair, 3), np.concatenate(columns))),
            shape=(len(state), 2 * LIMIT + 1),
        )
        discount = fastest / (fastest + _RHO)
        return DiscreteDP(
            np.concatenate(rewards) / fastest, moves, discount, s_indices=state, a_indices=np.concatenate(own)
        )

    def quotes(self, found: Any) -> np.ndarray:
        """Bid and ask offsets [state, side] of a policy, ticks; NaN where off."""
        bid, ask = np.divmod(np.asarray(found.sigma), len(self.ticks))
        out = np.stack([self.ticks[bid], self.ticks[ask]], axis=1)
        out[-1, 0] = out[0, 1] = np.nan
        return out
