"""The market of Guéant, Lehalle & Fernandez-Tapia 2013, and SciPy's routes to a table of it.

One table: inventory limit 50, T = 600 s, 101 equal times, exponential fills of one size, value and both
offsets everywhere. With v = exp(kθ) the equation is linear and tridiagonal,

    ∂v/∂τ = M v,    M = -½ k γ σ² q² on the diagonal,  A (1 + γ/k)^-(1 + k/γ) beside it.
"""

from typing import Any

import numpy as np
from scipy.integrate import odeint, solve_ivp
from scipy.linalg import eigh_tridiagonal, expm

from quotegrid.models.problem import Problem, TableRequest
from quotegrid.models.problem_file import parse_problem

LIMIT, DURATION, COUNT = 50, 600.0, 101
TIMES = np.linspace(0.0, DURATION, COUNT)
TABLE = TableRequest(times=tuple(TIMES))
PAPER = {"A": 0.9, "k": 0.3, "gamma": 0.01, "sigma": 0.3}  # per tick and second


def draw(count: int, numbers: dict[str, float] = PAPER) -> list[dict[str, float]]:
    """Numbers around those given."""
    rng = np.random.default_rng(2013)
    return [{name: x * rng.uniform(0.8, 1.25) for name, x in numbers.items()} for _ in range(count)]


def market_problem(
    intensity: dict[str, Any], gamma: float, sigma: float, limit: int = LIMIT, ergodic: bool = False
) -> Problem:
    """A market of one flow on both sides."""
    return parse_problem(
        {
            "format": 1,
            "units": {"price": "tick", "time": "s"},
            "market": {"symbol": "X", "lot_size": 1.0},
            "inventory": {"max": limit},
            "price": {"volatility": sigma},
            "preferences": {"kind": "cara", "risk_aversion": gamma},
            "flow": [{"name": "book", "side": "both", "intensity": intensity}],
            "horizon": {"kind": "ergodic"} if ergodic else {"kind": "finite", "duration": DURATION},
        }
    ).problem


def glft_problem(
    A: float, k: float, gamma: float, sigma: float, limit: int = LIMIT, ergodic: bool = False
) -> Problem:
    return market_problem({"kind": "exponential", "A": A, "k": k}, gamma, sigma, limit, ergodic)


def offsets_of(theta: np.ndarray, markup: Any) -> np.ndarray:
    """Bid and ask offsets [time, state, side] from θ [time, state] and the markup on reservation offsets."""
    out = np.full((*theta.shape, 2), np.nan, dtype=theta.dtype)
    out[:, :-1, 0] = markup + theta[:, :-1] - theta[:, 1:]
    out[:, 1:, 1] = markup + theta[:, 1:] - theta[:, :-1]
    return out


class GlftRoutes:
    """The linear equation of one problem, and ways through it; all return θ [time, state]."""

    def __init__(self, A: float, k: float, gamma: float, sigma: float) -> None:
        self.A, self.gamma, self.sigma = A, gamma, sigma
        q = np.arange(-LIMIT, LIMIT + 1.0)
        self.k = k
        self.diagonal = -0.5 * k * gamma * sigma**2 * q**2
        self.beside = A * (1.0 + gamma / k) ** -(1.0 + k / gamma)
        self.markup = np.log1p(gamma / k) / gamma

    def offsets(self, theta: np.ndarray) -> np.ndarray:
        return offsets_of(theta, self.markup)

    def matrix(self) -> np.ndarray:
        beside = np.full(len(self.diagonal) - 1, self.beside)
        return np.diag(self.diagonal) + np.diag(beside, 1) + np.diag(beside, -1)

    def by_expm(self) -> np.ndarray:
        """scipy.linalg.expm of one interval, then 100 products."""
        step = expm(self.matrix() * (DURATION / (COUNT - 1)))
        v, kept, levels, level = np.ones(len(self.diagonal)), [], [], 0.0
        for _ in range(COUNT):
            kept.append(v)
            levels.append(level)
            v = step @ v
            middle = v[LIMIT]
            level, v = level + np.log(middle), v / middle
        return ((np.log(np.array(kept)) + np.array(levels)[:, None]) / self.k)[::-1]

    def by_eigh(self) -> np.ndarray:
        """scipy.linalg.eigh_tridiagonal of the symmetric generator."""
        values, vectors = eigh_tridiagonal(self.diagonal, np.full(len(self.diagonal) - 1, self.beside))
        weights = np.exp((values - values[-1])[:, None] * (DURATION - TIMES)) * vectors.sum(axis=0)[:, None]
        v = np.maximum(vectors @ weights, 1e-300)
        return ((np.log(v) + values[-1] * (DURATION - TIMES)) / self.k).T

    def slope(self, _: float, theta: np.ndarray) -> np.ndarray:
        """∂θ/∂τ; a good deal better for their error control than the equation of v."""
        up = np.exp(self.k * np.diff(theta))
        out = self.diagonal.copy()
        out[:-1] += self.beside * up
        out[1:] += self.beside / up
        return out / self.k

    def by_ivp(self, method: str, tolerance: float = 1e-12) -> np.ndarray:
        """scipy.integrate.solve_ivp for θ; LSODA with its band."""
        band: dict[str, Any] = {"lband": 1, "uband": 1} if method == "LSODA" else {}
        found = solve_ivp(
            self.slope,
            (0.0, DURATION),
            np.zeros(len(self.diagonal)),
            method=method,
            t_eval=DURATION - TIMES[::-1],
            rtol=tolerance,
            atol=tolerance,
            **band,
        )
        return found.y.T[::-1]

    def by_odeint(self, tolerance: float = 1e-12) -> np.ndarray:
        """scipy.integrate.odeint: LSODA, banded, its loop compiled."""
        start, to_go = np.zeros(len(self.diagonal)), DURATION - TIMES[::-1]
        band = {"ml": 1, "mu": 1, "rtol": tolerance, "atol": tolerance, "mxstep": 100_000}
        found: Any = odeint(self.slope, start, to_go, tfirst=True, **band)
        return found[::-1]


def extended_offsets(numbers: dict[str, float], places: list[int]) -> list[np.ndarray]:
    """Offsets at some times, [state, side], by a positive series with 64 bits of mantissa."""
    q = np.arange(-LIMIT, LIMIT + 1).astype(np.longdouble)
    A, k, gamma, sigma = (np.longdouble(numbers[name]) for name in ("A", "k", "gamma", "sigma"))
    diagonal = -k * gamma * sigma**2 * q**2 / 2
    beside = A * (1 + gamma / k) ** -(1 + k / gamma)
    diagonal = diagonal - diagonal.min()
    length = np.longdouble(DURATION) / (COUNT - 1) / 8
    v, offsets = np.ones(len(q), dtype=np.longdouble), {}
    for step in range(8 * COUNT):
        if step % 8 == 0 and COUNT - 1 - step // 8 in places:
            theta = np.log(v)[None] / k
            offsets[COUNT - 1 - step // 8] = offsets_of(theta, np.log1p(gamma / k) / gamma)[0].astype(float)
        term, total = v, v
        for n in range(1, 60):
            after = diagonal * term
            after[1:] += beside * term[:-1]
            after[:-1] += beside * term[1:]
            term = after * length / n
            total = total + term
        v = total / total[LIMIT]
    return [offsets[place] for place in places]


def largest_error(offset: np.ndarray, places: list[int], truth: list[np.ndarray]) -> float:
    """Of the offsets [time, state, side], at some times, ticks."""
    return max(float(np.nanmax(np.abs(offset[p] - x))) for p, x in zip(places, truth, strict=True))
