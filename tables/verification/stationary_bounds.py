"""The distance of a stationary table to the optimum, derived from nothing but the table and its problem.

R = B(θ̂) - ρθ̂, widened by rounding, ε = max R - min R, τ bounds on the passage times to a state that the
chain keeps coming back to (`passage_times`):

    ergodic      min R ≤ g ≤ max R,                               |e(i) - e(j)| ≤ ε max{τ(i), τ(j)}
    discounted   -max R/ρ ≤ e ≤ -min R/ρ,                         |e(i) - e(j)| ≤ ε min{1/ρ, τ(i) + τ(j)}

The rates behind τ lie in a box of half-width r around the reservation offsets. When the differences that
follow give |p̂ - p| < r everywhere, the solution lies in the box and all of this holds; the box is then taken
as narrow as that. The bias is 0 at the target in the table and in the solution, so its error is a difference,
too. The regret of the stored quotes is max R - min B^π(θ̂) (over ρ), B^π their own operator.
"""

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.verification.bellman_twin import bellman_operator, flow_state
from quotegrid.tables.verification.bounds import Bounds, NotProvedError
from quotegrid.tables.verification.hamiltonian_twin import best_quote, stated_worth
from quotegrid.tables.verification.passage_times import destinations, often_visited, slowest_passage
from quotegrid.tables.verification.problem_twin import ProblemTwin
from quotegrid.tables.verification.quote_bounds import quote_bounds, worst_quote

Numbers = NDArray[np.float64]

_ROUNDS = 8  # boxes tried, each wider than the bounds it gave
_WIDER = 1.5
_ONE_EVALUATION = 0.5  # `bellman_operator` allows for two evaluations, each with a reserve of two


def stationary_bounds(table: PolicyTable, problem: ProblemTwin) -> Bounds:
    """Bounds for an ergodic or discounted table.

    Raises:
        NotProvedError: no box closes.
    """
    value, rho = table.value, problem.discount_rate
    operator, allowance, _ = bellman_operator(problem, value)
    allowance = _ONE_EVALUATION * allowance
    residual = operator - rho * value
    least, most = float(np.min(residual - allowance)), float(np.max(residual + allowance))
    span, rounding = most - least, 2.0 * float(np.max(allowance))
    nothing = [np.zeros(value.shape) for _ in problem.flows]
    to = often_visited(problem, _rates(table, problem, nothing)[1]) if problem.flows else 0
    nominal, _ = _passage_in_box(table, problem, nothing, to)
    times, radii = _closed_box(table, problem, span, nominal, to)
    quote, uncertain = worst_quote(problem, value, table.offset, radii)
    least_radii = _radii(problem, rounding, nominal, table)
    quote_rounding, _ = worst_quote(problem, value, table.offset, least_radii)
    if rho > 0.0:
        bound, part = max(abs(least), abs(most)) / rho, float(np.max(allowance)) / rho
        gain, regret = None, span / rho
    else:
        assert times is not None and nominal is not None
        bound, part = span * float(np.max(times)), rounding * float(np.max(nominal))
        gain, regret = (least, most), span
    loss = _loss(table, problem)
    regret += loss if rho == 0.0 else loss / rho
    how = "Bellman residuals, slowest passage times and rounding"
    share = rounding / rho if rho > 0.0 else rounding
    return Bounds(bound, quote, regret, uncertain, gain, part, quote_rounding, share, how)


def _loss(table: PolicyTable, problem: ProblemTwin) -> float:
    """The largest of B - B^π over the states: what the stored quotes earn less than the best, currency per
    time.
    """
    lost = np.zeros(table.value.shape)
    for number, flow in enumerate(problem.flows):
        state = flow_state(problem, flow, table.value)
        best = best_quote(flow, state.reservation).worth
        earned = stated_worth(flow, state.reservation, table.offset[..., number])
        weight = flow.weight(problem.lots * problem.lot_size)
        lost += np.where(state.inside, weight * np.maximum(best - earned, 0.0), 0.0)
    return float(np.max(lost))


def _closed_box(
    table: PolicyTable, problem: ProblemTwin, span: float, nominal: Numbers | None, to: int
) -> tuple[Numbers | None, list[Numbers]]:
    """Passage times and radii of a box in which the solution must lie."""
    if nominal is None and problem.discount_rate == 0.0:
        raise NotProvedError(
            f"an inventory of {problem.lots[to]:g} lots, where the chain is most often, is not reached from "
            "every other one"
        )
    radii = [_WIDER * radius for radius in _radii(problem, span, nominal, table)]
    for _ in range(_ROUNDS):
        times, proved = _passage_in_box(table, problem, radii, to)
        if not proved:
            break
        found = _radii(problem, span, times, table)
        if all(np.all(new < old) for new, old in zip(found, radii, strict=True)):
            return times, found
        radii = [_WIDER * radius for radius in found]
    raise NotProvedError(f"a residual of {span:.2g} is too large for a box around the solution to close")


def _passage_in_box(
    table: PolicyTable, problem: ProblemTwin, radii: list[Numbers], to: int
) -> tuple[Numbers | None, bool]:
    """Bounds on the passage times to state `to` in a box; a discounted problem can do without."""
    if not problem.flows:
        return None, problem.discount_rate > 0.0
    lowest, highest = _rates(table, problem, radii)
    finite = bool(np.isfinite(highest).all())
    times = slowest_passage(problem, lowest, highest, to) if finite else None
    return times, times is not None or problem.discount_rate > 0.0


def _rates(table: PolicyTable, problem: ProblemTwin, radii: list[Numbers]) -> tuple[Numbers, Numbers]:
    """The lowest and the highest rates in a box, [flow, inventory], per time."""
    bounds = [
        quote_bounds(problem, flow, table.value, table.offset[..., number], radius)
        for number, (flow, radius) in enumerate(zip(problem.flows, radii, strict=True))
    ]
    lowest = np.stack([bound.lowest_rate for bound in bounds])
    return lowest, np.stack([bound.highest_rate for bound in bounds])


def _radii(problem: ProblemTwin, span: float, times: Numbers | None, table: PolicyTable) -> list[Numbers]:
    """The largest |p̂ - p| that residuals of this span make, flow by flow, with the rounding of p̂."""
    rho, found = problem.discount_rate, []
    for flow, after in zip(problem.flows, destinations(problem), strict=True):
        if times is None:
            difference = np.full(table.value.shape, span / rho)
        elif rho > 0.0:
            difference = span * np.minimum(1.0 / rho, times + times[after])
        else:
            difference = span * np.maximum(times, times[after])
        state = flow_state(problem, flow, table.value)
        found.append(difference / flow.effective_units + state.allowance)
    return found
