"""What remains of a quote and of its fill rate when the reservation offset is known up to a radius.

    w(p') = Λ(δ*(p')) e^{-ξZ(δ*(p') - p')},     |p' - p| ≤ r,   δ± = δ*(p ± r)
    Λ(δ⁺) e^{-ξZ(δ⁺ - p + r)} ≤ w(p') ≤ Λ(δ⁻) e^{-ξZ(δ⁻ - p - r)},     δ⁻ ≤ δ*(p') ≤ δ⁺

because δ* never falls with p. The root of δ - p - markup(δ), found with an error of η in that equation, is
the exact one for p + η: so the rounding of the root is another part of the radius, whatever the curvature.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.verification.bellman_twin import ROUNDING, flow_state
from quotegrid.tables.verification.hamiltonian_twin import best_quote
from quotegrid.tables.verification.problem_twin import FlowTwin, ProblemTwin

Numbers = NDArray[np.float64]

_RATE_MARGIN = 1e-9  # of a rate: far above its rounding


class QuoteBounds(NamedTuple):
    """One flow over the states of a table, [time?, inventory]."""

    lowest_rate: Numbers  # a·w at least, per time
    highest_rate: Numbers
    error: Numbers  # of the stored offset, price units; 0 where off


def quote_bounds(
    problem: ProblemTwin, flow: FlowTwin, value: Numbers, stored: Numbers, radius: Numbers
) -> QuoteBounds:
    """Rates and offsets that reservation offsets within `radius` (price units) of those of `value` allow."""
    state = flow_state(problem, flow, value)
    p, units = state.reservation, flow.effective_units
    wide = radius + state.allowance + 8.0 * ROUNDING * (np.abs(p) + np.nan_to_num(np.abs(stored)))
    below, above = best_quote(flow, p - wide), best_quote(flow, p + wide)
    weight = np.where(state.inside, flow.weight(problem.lots * problem.lot_size), 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        twist = np.exp(np.minimum(2.0 * flow.xi * units * wide, 700.0))
        lowest = (1.0 - _RATE_MARGIN) * weight * above.slope / units / twist
        highest = (1.0 + _RATE_MARGIN) * weight * below.slope / units * twist
    quoted = state.inside & np.isfinite(stored)
    high = np.where(np.isfinite(above.offset), above.offset, flow.intensity.high)
    low = np.where(np.isfinite(below.offset), below.offset, flow.intensity.high)
    return QuoteBounds(lowest, highest, np.where(quoted, np.maximum(high - stored, stored - low), 0.0))


def worst_quote(
    problem: ProblemTwin, value: Numbers, offset: Numbers, radii: list[Numbers]
) -> tuple[float, int]:
    """The largest error of the stored offsets [time?, inventory, flow] but uncertain ticks, and how many
    these are at an eighth of the radii.
    """
    worst, uncertain = 0.0, 0
    for number, (flow, radius) in enumerate(zip(problem.flows, radii, strict=True)):
        stored = offset[..., number]
        error = quote_bounds(problem, flow, value, stored, radius).error
        if flow.tick is not None:
            error = np.where(error > 0.5 * flow.tick, 0.0, error)
            narrow = quote_bounds(problem, flow, value, stored, radius / 8.0).error
            uncertain += int(np.sum(narrow > 0.5 * flow.tick))
        worst = max(worst, float(np.max(error, initial=0.0)))
    return worst, uncertain
