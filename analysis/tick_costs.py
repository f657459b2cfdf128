"""What quoting on ticks costs: rounding the best quotes, or solving for the best multiples of a tick.

The reference price is where it was; only the offsets become multiples of the tick. Rounded quotes are
policies of the problem without ticks, and so is the solution of the problem with them: each is evaluated
exactly, and what it loses is the difference of certainty equivalents to the optimum's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from quotegrid.analysis.evaluation import evaluate
from quotegrid.analysis.evaluation_result import Evaluation
from quotegrid.analysis.policies import Policy, clamped, on_ticks, policy_of, rounded_to_ticks
from quotegrid.analysis.tick_costs_figure import tick_costs_figure
from quotegrid.models.paths import replace
from quotegrid.models.problem import Problem
from quotegrid.solver.solution import Solution
from quotegrid.solver.solve import solve

Direction = Literal["nearest", "outwards", "inwards"]
DIRECTIONS: tuple[Direction, ...] = ("nearest", "outwards", "inwards")


@dataclass(frozen=True, kw_only=True)
class TickCosts:
    """Losses against the optimum without ticks, currency per hour; one for each tick."""

    problem: Problem
    ticks: Float[np.ndarray, " tick"]  # price
    rounded: dict[Direction, Float[np.ndarray, " tick"]]
    solved: Float[np.ndarray, " tick"]  # the best multiples of the tick
    best: Evaluation  # without ticks

    def __repr__(self) -> str:
        ticks = ", ".join(f"{tick:g}" for tick in self.ticks)
        return f"<TickCosts of ticks of {ticks} {self.best.price_unit}, against\n {self.best!r}>"

    def figure(self) -> Figure:
        """Losses over the size of the tick, on logarithmic scales."""
        return tick_costs_figure(self)


def tick_costs(problem: Problem, ticks: Sequence[float], *, solution: Solution | None = None) -> TickCosts:
    """Evaluate the optimum rounded to some ticks, and the best quotes on these ticks.

    Args:
        problem: without ticks in its flows.
        ticks: sizes of a tick, price.
        solution: the problem's solution, where it is known.

    Raises:
        ValueError: the problem quotes on ticks already, or a tick is not positive.
        ProblemError: a tick so large that no multiple of it lies within the bounds of a flow.
        SolveError: the problem cannot be solved.
    """
    if on_ticks(problem):
        raise ValueError("this problem quotes on ticks already; take `tick` out of its flows.")
    sizes = np.sort(np.asarray(ticks, float))
    if not sizes.size or not np.all(sizes > 0.0):
        raise ValueError(f"ticks={list(ticks)}: expected positive prices.")
    best = solve(problem) if solution is None else solution
    quotes = policy_of(best, problem, name="optimum")
    rounded: dict[Direction, np.ndarray] = {
        way: np.array(
            [_loss(within_bounds(quotes, problem, tick, way), problem, best) for tick in sizes.tolist()]
        )
        for way in DIRECTIONS
    }
    paths = {
        f"{problem.asset_path(i)}.flow.{flow.name}.tick".lstrip(".")
        for i, asset in enumerate(problem.assets)
        for flow in asset.flow
    }
    solved = [solve(replace(problem, dict.fromkeys(paths, tick))) for tick in sizes.tolist()]
    return TickCosts(
        problem=problem,
        ticks=sizes,
        rounded=rounded,
        solved=np.array([_loss(each, problem, best) for each in solved]),
        best=evaluate(best, problem, optimum=best, name="optimum"),
    )


def within_bounds(policy: Policy, problem: Problem, tick: float, direction: Direction = "nearest") -> Policy:
    """Offsets on the tick that is wanted, or on the nearest that all flows' bounds allow."""
    lows = [flow.min_offset for flow in problem.one_sided_flows() if flow.min_offset is not None]
    highs = [flow.max_offset for flow in problem.one_sided_flows() if flow.max_offset is not None]
    low = np.ceil(max((float(x) for x in lows), default=-np.inf) / tick - 1e-9) * tick
    high = np.floor(min((float(x) for x in highs), default=np.inf) / tick + 1e-9) * tick
    rounded = rounded_to_ticks(policy, tick, direction)
    return clamped(rounded, offset=(low, high)) if low <= high else rounded


def _loss(policy: Policy | Solution, problem: Problem, best: Solution) -> float:
    found = evaluate(policy, problem, optimum=best).regret_per_hour
    assert found is not None
    return found
