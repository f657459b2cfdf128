"""A table of the same market with logistic fills, by NumPy and SciPy: the opponents' best.

    ∂θ/∂τ (q) = -½ γ σ² q² + H(θ(q) - θ(q+1)) + H(θ(q) - θ(q-1)),
    H(p) = sup_δ Λ(δ) (1 - e^{-γ(δ - p)})/γ,

Λ = A/(1 + e^{bδ}). H has no closed form. A vectorised Newton iteration (`best_offset`) is the plain way; to
march, H is worked out beforehand at the nodes of a fine grid of p with its slope -w(p), and read as a cubic
in between: some ten operations on arrays, which is what NumPy can do fastest.
"""

from typing import Any

import numpy as np
from glft_routes import COUNT, DURATION, LIMIT, TIMES, market_problem, offsets_of
from scipy.integrate import odeint, solve_ivp

from quotegrid.models.problem import Problem

NUMBERS = {"A": 1.8, "b": 0.3, "gamma": 0.01, "sigma": 0.3}  # per tick and second
_REACH, _CELLS = 80.0, 16_384  # ticks on both sides of 0, and cells of the grid of p


def logistic_problem(A: float, b: float, gamma: float, sigma: float) -> Problem:
    return market_problem({"kind": "logistic", "A": A, "a": 0.0, "b": b}, gamma, sigma)


class LogisticRoutes:
    """The equation of one problem, and ways through it; all return θ [time, state]."""

    def __init__(self, A: float, b: float, gamma: float, sigma: float) -> None:
        self.A, self.b, self.gamma = A, b, gamma
        q = np.arange(-LIMIT, LIMIT + 1.0)
        self.reward = -0.5 * gamma * sigma**2 * q**2
        nodes, width = np.linspace(-_REACH, _REACH, _CELLS + 1, retstep=True)
        value, slope = self.hamiltonian(nodes)
        slope = slope * width
        rise = np.diff(value)
        cubes = slope[:-1] + slope[1:] - 2.0 * rise
        squares = 3.0 * rise - 2.0 * slope[:-1] - slope[1:]
        self.cubic = [np.ascontiguousarray(x) for x in (cubes, squares, slope[:-1], value[:-1])]
        self.per_width = 1.0 / width
        self.p, self.gain = np.empty(4 * LIMIT), 0.0

    def best_offset(self, p: np.ndarray) -> np.ndarray:
        """δ* = p + ln(1 + γ/h(δ*))/γ with 1/h = (1 + e^{-bδ})/b, to rounding; the right side falls in δ."""
        offset = p + 1.0 / self.b
        for _ in range(60):
            tail = np.exp(-self.b * offset)
            inside = 1.0 + self.gamma * (1.0 + tail) / self.b
            move = (offset - p - np.log(inside) / self.gamma) / (1.0 + tail / inside)
            offset = offset - move
            if np.max(np.abs(move)) < 1e-14 * (1.0 + np.max(np.abs(offset))):
                break
        return offset

    def hamiltonian(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """H and its slope -Λ(δ*) e^{-γ(δ* - p)}."""
        margin = (offset := self.best_offset(p)) - p
        rate = self.A / (1.0 + np.exp(self.b * offset))
        return -rate * np.expm1(-self.gamma * margin) / self.gamma, -rate * np.exp(-self.gamma * margin)

    def offsets(self, theta: np.ndarray) -> np.ndarray:
        reservation = offsets_of(theta, 0.0)
        known = np.isfinite(reservation)
        reservation[known] = self.best_offset(reservation[known])
        return reservation

    def slope(self, _: float, theta: np.ndarray) -> np.ndarray:
        """∂θ/∂τ less a constant, from the table of cubics."""
        half = 2 * LIMIT
        np.subtract(theta[:-1], theta[1:], out=self.p[:half])
        np.negative(self.p[:half], out=self.p[half:])
        place = (self.p + _REACH) * self.per_width
        cell = place.astype(np.intp)
        place -= cell
        cubes, squares, lines, values = self.cubic
        worth = ((cubes[cell] * place + squares[cell]) * place + lines[cell]) * place + values[cell]
        out = self.reward - self.gain
        out[:-1] += worth[:half]
        out[1:] += worth[half:]
        return out

    def newton_slope(self, _: float, theta: np.ndarray) -> np.ndarray:
        """The same without the table."""
        fall = -np.diff(theta)
        worth, _ = self.hamiltonian(np.concatenate([fall, -fall]))
        out = self.reward - self.gain
        out[:-1] += worth[: 2 * LIMIT]
        out[1:] += worth[2 * LIMIT :]
        return out

    def by_odeint(self, relative: float, absolute: float) -> np.ndarray:
        """scipy.integrate.odeint: LSODA, banded, its loop compiled."""
        start, to_go = np.zeros(2 * LIMIT + 1), DURATION - TIMES[::-1]
        band = {"ml": 1, "mu": 1, "rtol": relative, "atol": absolute, "mxstep": 100_000}
        found: Any = odeint(self.slope, start, to_go, tfirst=True, **band)
        return found[::-1]

    def by_ivp(self, method: str, relative: float, absolute: float, slope: Any = None) -> np.ndarray:
        """scipy.integrate.solve_ivp; LSODA with its band."""
        band: dict[str, Any] = {"lband": 1, "uband": 1} if method == "LSODA" else {}
        found = solve_ivp(
            self.slope if slope is None else slope,
            (0.0, DURATION),
            np.zeros(2 * LIMIT + 1),
            method=method,
            t_eval=DURATION - TIMES[::-1],
            rtol=relative,
            atol=absolute,
            **band,
        )
        return found.y.T[::-1]

    def subtract_gain(self) -> None:
        """March θ less the long-run gain times the time to go: relative tolerances are then of use."""
        self.gain = 0.0
        start = self.by_odeint(1e-6, 1e-6)
        self.gain = float(start[0, LIMIT] - start[COUNT // 2, LIMIT]) / (TIMES[COUNT // 2] - TIMES[0])

    def exact_offsets(self) -> np.ndarray:
        """[time, state, side]: DOP853 with steps of 0.2 s, Hamiltonians by Newton's method."""
        found: Any = solve_ivp(
            self.newton_slope,
            (0.0, DURATION),
            np.zeros(2 * LIMIT + 1),
            method="DOP853",
            t_eval=DURATION - TIMES[::-1],
            rtol=1e-12,
            atol=1e-12,
            max_step=0.2,
        )
        return self.offsets(found.y.T[::-1])
