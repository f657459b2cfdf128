r"""How far a polynomial path is from solving dθ/dτ = B(θ), proved between its nodes as well as at them.

The path has the slopes b_j at the N + 1 Chebyshev points of its piece, so its slope is their interpolant Q.
Its defect R = B(θ̂) - Q splits into the interpolant of R_j = B(θ̂(τ_j)) - b_j, at most Λ_N max|R_j| with
the Lebesgue constant Λ_N ≤ 1 + 2/π ln(N + 1), and what interpolation of H(p(τ)) leaves out:

    |f - P_N f| ≤ 4 M x^{-N}/(x - 1)                 f analytic and |f - f_0| ≤ M in the ellipse E_x
    |f - P_N f| ≤ (1 + Λ_N) π/2 · L/(N + 1)          f Lipschitz with constant L on [-1, 1]

(Trefethen, Approximation Theory and Approximation Practice, theorems 8.2, 15.1, 15.2; Jackson.) In E_x p is
within r(x) = Σ_{n ≥ 1} |c_n| (x^n + x^{-n})/2 of its mean c_0, c_n its Chebyshev coefficients. With the
hazard h, Z = z·m and F(δ) = δ - markup(δ), δ*(p) is analytic for |p - c_0| < D·f where |δ - δ_0| < D has
Re F' ≥ f > 0 (Noshiro and Warschawski), H' = -Z w there, and

    |d ln w/dp| = |h δ*' + ξZ(δ*' - 1)| ≤ κ = (sup|h| + sup|h'/h|)/f,    M ≤ Z w(c_0) r e^{κr}

Where quotes meet a bound, a tick, a knot or the end of the intensity inside a piece, H is that of the quote
δ_0 held fixed, for which κ = ξZ and D = ∞, and a rest with L ≤ Z|p'|·(max w - min w).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.verification.bellman_twin import ROUNDING
from quotegrid.tables.verification.hamiltonian_twin import quote_at, quote_scale
from quotegrid.tables.verification.running_operator import RunningFlow, RunningOperator, running_quote

Numbers = NDArray[np.float64]

DEGREE = 9  # N
LEBESGUE = 1.0 + 2.0 / np.pi * np.log(DEGREE + 1.0)
_JACKSON = (1.0 + LEBESGUE) * 0.5 * np.pi / (DEGREE + 1.0)
_ELLIPSES = np.array([1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0, 23.0, 32.0, 64.0, 256.0, 1024.0])
_NOISE = 64.0 * ROUNDING  # of Chebyshev coefficients, relative to the slopes they are made of
_RATE_MARGIN = 1.0 + 1e-6  # far above the rounding of a rate, and of a root found to 1e-8 quote scales

NODES = -np.cos(np.pi * np.arange(DEGREE + 1) / DEGREE)  # the Chebyshev points of [-1, 1], increasing


def _matrices() -> tuple[Numbers, Numbers, Numbers]:
    """From values at the nodes: Chebyshev coefficients, those of the integral from -1, its values there."""
    cheb = np.polynomial.chebyshev
    coefficients = np.linalg.inv(cheb.chebvander(NODES, DEGREE)).astype(np.float64)
    integral: Numbers = np.stack([cheb.chebint(column, lbnd=-1.0) for column in coefficients.T], axis=1)
    rises: Numbers = cheb.chebvander(NODES, DEGREE + 1) @ integral
    return coefficients, integral, rises


_COEFFICIENTS, _INTEGRAL, _RISES = _matrices()
_POWERS = _ELLIPSES[:, None] ** np.arange(1.0, DEGREE + 2.0)
_GROWTH = 0.5 * (_POWERS + 1.0 / _POWERS)  # [ellipse, n]: the largest |T_n| there
_TAIL = 4.0 * _ELLIPSES ** (-DEGREE) / (_ELLIPSES - 1.0)


class PathDefect(NamedTuple):
    """One piece of each of several paths."""

    rise: Numbers  # [path, inventory] over the piece, less that of the state in the middle, currency
    level: Numbers  # [path], the rise of the state in the middle, currency
    largest: Numbers  # [path], a bound on |R| over all states and the piece, currency per time; NaN for none
    last: list[Numbers]  # the unbounded optima at the end, price units


def path_defect(
    operator: RunningOperator, start: Numbers, slopes: Numbers, lengths: Numbers, near: list[Numbers]
) -> PathDefect:
    """Bound the defect of the paths from `start` [path, inventory] with `slopes` [path, node, inventory].

    `lengths` [path] are times, `near` guesses of the unbounded optima, [path, state where on] for each flow.
    The bound leaves out the rounding of B, of which it takes `LEBESGUE` times that of one evaluation.
    """
    half = 0.5 * lengths[:, None]
    # B knows differences only, which keep more digits without the level
    levels, turns = slopes[:, :, slopes.shape[-1] // 2], relative(slopes)
    with np.errstate(all="ignore"):
        rises = half[:, :, None] * np.einsum("jk,pki->pji", _RISES, turns)
        found = operator(start[:, None] + rises, [offset[:, None] for offset in near])
        at_nodes = LEBESGUE * np.max(np.abs(found.operator - slopes), axis=1)
        between = _between_nodes(operator, start, turns, half, near)
        largest = np.max(at_nodes + between, axis=1)
    level = half[:, 0] * (levels @ _RISES[-1])
    return PathDefect(rises[:, -1], level, largest, [offset[:, -1] for offset in found.free])


def relative(values: Numbers) -> Numbers:
    """Values [..., inventory] less that of the state in the middle."""
    middle = values.shape[-1] // 2
    return values - values[..., middle : middle + 1]


def _between_nodes(
    operator: RunningOperator, start: Numbers, slopes: Numbers, half: Numbers, near: list[Numbers]
) -> Numbers:
    """A bound on |B(θ̂) - P_N B(θ̂)|, [path, inventory], currency per time, from relative slopes."""
    slope_terms = np.einsum("nk,pki->npi", _COEFFICIENTS, slopes)
    terms = half * np.einsum("nk,pki->npi", _INTEGRAL, slopes)
    noise = half * _NOISE * np.max(np.abs(slopes), axis=1)
    mean = start + terms[0]
    analytic = np.zeros((len(_ELLIPSES), *mean.shape))
    rough = np.zeros(mean.shape)
    for flow, guess in zip(operator.flows, near, strict=True):
        on, after, z = flow.on, flow.after, flow.twin.effective_units
        swings = (np.abs(terms[1:, :, on] - terms[1:, :, after]) + noise[:, on] + noise[:, after]) / abs(z)
        speed = half * np.sum(np.abs(slope_terms[:, :, on] - slope_terms[:, :, after]), axis=0) / abs(z)
        branch = _branch(flow, flow.reservation(mean), np.sum(swings, axis=0), guess)
        reach = np.einsum("xn,npi->xpi", _GROWTH, swings)
        size = flow.weight * branch.slope * reach * np.exp(branch.decay * reach)
        size = np.where(branch.slope > 0.0, size, 0.0)
        analytic[..., on] += np.where(reach < branch.radius, size, np.inf)
        rough[..., on] += flow.weight * branch.slope_range * speed
    return np.min(_TAIL[:, None, None] * analytic, axis=0) + _JACKSON * rough


class _Branch(NamedTuple):
    """What is known of H around the mean of p, [path, state where the flow is on]."""

    radius: Numbers | float  # where it is analytic, price units
    decay: Numbers | float  # κ, per price
    slope: Numbers  # Z w(c_0), units of the asset per time
    slope_range: Numbers | float  # Z (max w - min w), where H is taken for that of a fixed quote


def _branch(flow: RunningFlow, p: Numbers, swing: Numbers, guess: Numbers) -> _Branch:
    """H over the real range p ± swing."""
    twin, z = flow.twin, flow.twin.effective_units
    if flow.plain is not None and twin.intensity.decay is not None:
        slope = twin.intensity.decay * flow.plain * np.exp(-twin.intensity.decay * p)
        return _Branch(np.inf, twin.intensity.decay, _RATE_MARGIN * slope, 0.0)
    _, slope, free = running_quote(twin, p, np.broadcast_to(guess, p.shape))
    slope = _RATE_MARGIN * slope
    disc = twin.intensity.disc(free, twin.xi * twin.effective_units)
    _, _, lowest = running_quote(twin, p - swing, free)
    _, _, highest = running_quote(twin, p + swing, free)
    slack = 1e-7 * quote_scale(twin, free) + 16.0 * ROUNDING * np.abs(free)  # of roots found by Newton
    knots = np.array(twin.intensity.knots)
    same = np.searchsorted(knots, lowest - slack) == np.searchsorted(knots, highest + slack)
    smooth = same & (disc.radius > 0.0) & (twin.tick is None)
    smooth &= lowest - slack > max(twin.min_offset, twin.intensity.low)
    smooth &= highest + slack < min(twin.max_offset, twin.intensity.high)
    below, above = quote_at(twin, p - swing, lowest), quote_at(twin, p + swing, highest)
    twist = np.exp(2.0 * twin.xi * z * swing)  # w(p') for p' = p ± swing, moved to the other end
    slope_range = np.where(
        below.offset == above.offset,
        0.0,
        _RATE_MARGIN * below.slope * twist - above.slope / twist / _RATE_MARGIN,
    )
    return _Branch(
        np.where(smooth, disc.radius * disc.steepness, np.inf),
        np.where(smooth, (disc.hazard + disc.turn) / disc.steepness, twin.xi * z),
        slope,
        np.where(smooth, 0.0, slope_range),
    )
