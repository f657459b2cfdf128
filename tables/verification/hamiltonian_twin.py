"""The Hamiltonian once more, for the verifier: bisection on the first-order condition, for any intensity.

    H(p) = sup_δ Λ(δ) G(Z(δ - p)),   G(x) = (1 - e^{-ξx})/ξ, at ξ = 0 G(x) = x,   Z = z·m
    δ*   = p + ln(1 + ξZ/h(δ*))/(ξZ),   at ξ = 0  δ* = p + 1/h(δ*)

The objective rises below δ* and falls above it (that is what a fair intensity means), so bounds clip δ*, and
on ticks one of its two neighbours is best, the smaller where they tie. A flow whose best offset has Λ = 0 is
off.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.verification.problem_twin import FlowTwin

Numbers = NDArray[np.float64]

_DOUBLINGS = 1100  # enough to cross the range of double precision
_BISECTIONS = 200  # more than it takes to reach neighbouring doubles from a bracket of that making
_TICK_SLACK = 1e-9  # a bound this close to a tick (in ticks) allows that tick


class BestQuote(NamedTuple):
    """The maximiser of the Hamiltonian, and what it is worth there."""

    offset: Numbers  # price units, NaN where off
    worth: Numbers  # H, currency per time, 0 where off
    slope: Numbers  # -dH/dp = Z Λ e^{-ξZ(δ - p)} ≥ 0, units of the asset per time
    log_rate: Numbers  # ln Λ(δ*), -∞ where off


def best_quote(flow: FlowTwin, p: Numbers) -> BestQuote:
    """Maximise over the offsets that the flow may quote, for reservation offsets p of any shape."""
    return quote_at(flow, p, _unbounded_optimum(flow, p))


def quote_worth(flow: FlowTwin, p: Numbers, free: Numbers) -> tuple[Numbers, Numbers]:
    """H and -dH/dp at p, given the unbounded optimum, or an offset near it."""
    if flow.tick is not None or np.isfinite(flow.intensity.high):
        best = quote_at(flow, p, free)
        return best.worth, best.slope
    offset = np.minimum(np.maximum(free, flow.min_offset), flow.max_offset)
    with np.errstate(over="ignore", invalid="ignore"):
        rate = np.exp(flow.intensity.log_rate(offset))
        earned = flow.effective_units * (offset - p)
        tilt = 1.0 if flow.xi == 0.0 else np.exp(-flow.xi * earned)
        return rate * _utility(earned, flow.xi), flow.effective_units * rate * tilt


def stated_worth(flow: FlowTwin, p: Numbers, offset: Numbers) -> Numbers:
    """Λ(δ) G(Z(δ - p)) at any offset, 0 where off; currency per time."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        earned = flow.effective_units * (offset - p)
        worth = np.exp(flow.intensity.log_rate(offset)) * _utility(earned, flow.xi)
    return np.where(np.isfinite(worth), worth, 0.0)


def quote_at(flow: FlowTwin, p: Numbers, free: Numbers) -> BestQuote:
    """The quote that the unbounded optimum, or an offset near it, leads to: inside the bounds, on a tick."""
    offset = (
        np.clip(free, flow.min_offset, flow.max_offset) if flow.tick is None else _best_tick(flow, p, free)
    )
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        log_rate = flow.intensity.log_rate(offset)
        on = np.isfinite(log_rate)
        rate = np.where(on, np.exp(log_rate), 0.0)
        earned = flow.effective_units * (offset - p)
        return BestQuote(
            offset=np.where(on, offset, np.nan),
            worth=np.where(on, rate * _utility(earned, flow.xi), 0.0),
            slope=np.where(on, flow.effective_units * rate * np.exp(-flow.xi * earned), 0.0),
            log_rate=np.where(on, log_rate, -np.inf),
        )


def quote_scale(flow: FlowTwin, offset: Numbers) -> Numbers:
    """ln(1 + ξZ/h)/(ξZ) at an offset: the length over which the worth of a quote changes; NaN for NaN."""
    with np.errstate(all="ignore"):
        return _markup(flow, np.clip(offset, flow.intensity.low, flow.intensity.high))


def first_order_excess(flow: FlowTwin, offset: Numbers, p: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """δ - p - markup(δ), roughly its derivative, and the markup; NaN or ∞ beyond the domain."""
    with np.errstate(all="ignore"):
        markup = _markup(flow, offset)
        nudge = 1e-6 * markup
        beside = offset - nudge  # from below: the markup of a linear intensity ends at its upper end
        steepness = 1.0 - (markup - _markup(flow, beside)) / (offset - beside)
        return offset - p - markup, steepness, markup


def _unbounded_optimum(flow: FlowTwin, p: Numbers) -> Numbers:
    """The root of δ - p - markup(δ), or the lower end of the domain where all of it is beyond the optimum."""
    low_end, high_end = flow.intensity.low, flow.intensity.high
    low = np.clip(p, np.nextafter(low_end, np.inf), np.nextafter(high_end, -np.inf))
    inside = _excess(flow, low, p) <= 0.0
    high = np.full(p.shape, high_end) if np.isfinite(high_end) else _beyond_optimum(flow, low, p)
    for _ in range(_BISECTIONS):
        middle = 0.5 * low + 0.5 * high
        below = _excess(flow, middle, p) < 0.0
        low, high = np.where(below, middle, low), np.where(below, high, middle)
        if np.all(high - low <= np.spacing(np.abs(high))):
            break
    return np.where(inside, high, low_end)


def _beyond_optimum(flow: FlowTwin, low: Numbers, p: Numbers) -> Numbers:
    """Offsets above the optimum, by doubling the distance from `low`; ∞ where there is no optimum."""
    # the markup at p bounds the distance where h rises, but may be astronomic: take the smaller of the two
    step = np.minimum(_markup(flow, low), 1.0 + np.abs(low))
    for _ in range(_DOUBLINGS):
        short = _excess(flow, low + step, p) < 0.0
        if not short.any():
            break
        with np.errstate(over="ignore"):
            step = np.where(short, 2.0 * step, step)
    return low + step


def _excess(flow: FlowTwin, offset: Numbers, p: Numbers) -> Numbers:
    """δ - p - markup(δ): negative below the optimum."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return offset - p - _markup(flow, offset)


def _markup(flow: FlowTwin, offset: Numbers) -> Numbers:
    """ln(1 + ξZ/h)/(ξZ), at ξ = 0 1/h."""
    xz = flow.xi * flow.effective_units
    with np.errstate(over="ignore", divide="ignore"):
        margin = 1.0 / flow.intensity.hazard(offset)
        return margin if xz == 0.0 else np.log1p(xz * margin) / xz


def _best_tick(flow: FlowTwin, p: Numbers, free: Numbers) -> Numbers:
    assert flow.tick is not None
    first = np.ceil(flow.min_offset / flow.tick - _TICK_SLACK)
    last = np.floor(flow.max_offset / flow.tick + _TICK_SLACK)
    lower = np.clip(np.floor(free / flow.tick), first, last)
    upper = np.clip(lower + 1.0, first, last)
    with np.errstate(over="ignore", invalid="ignore"):
        log_lower = flow.intensity.log_rate(lower * flow.tick)
        log_upper = flow.intensity.log_rate(upper * flow.tick)
        utility_lower = _utility(flow.effective_units * (lower * flow.tick - p), flow.xi)
        utility_upper = _utility(flow.effective_units * (upper * flow.tick - p), flow.xi)
        # the common factor Λ(lower) leaves the comparison; Λ = 0 at the upper one makes it worth nothing
        ratio = np.where(np.isfinite(log_upper), np.exp(log_upper - log_lower), 0.0)
        worth_upper = np.where(ratio > 0.0, ratio * utility_upper, 0.0)
    return np.where(worth_upper > utility_lower, upper, lower) * flow.tick


def _utility(earned: Numbers, xi: float) -> Numbers:
    """G."""
    return earned if xi == 0.0 else -np.expm1(-xi * earned) / xi
