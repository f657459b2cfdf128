"""What every risk aversion would earn and hold: the frontier of P&L against inventory risk.

For each value of the parameter the problem is solved and its optimum evaluated exactly; no other policy earns
more at that price of risk. `choose_preference` finds a point on it, this shows all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from quotegrid.analysis.evaluation import evaluate
from quotegrid.analysis.evaluation_result import Evaluation
from quotegrid.analysis.preference_choice import default_parameter
from quotegrid.analysis.preference_frontier_figure import preference_frontier_figure
from quotegrid.models.faults import Fault, ProblemError
from quotegrid.models.paths import read, replace
from quotegrid.models.problem import Problem
from quotegrid.solver.solve import solve

_DECADES, _POINTS = 2.0, 25  # to either side of the problem's own value, and in all


@dataclass(frozen=True, kw_only=True)
class PreferenceFrontier:
    """The optimum's evaluation at each value of one parameter."""

    problem: Problem
    parameter: str  # its path
    values: tuple[float, ...]  # increasing
    evaluations: tuple[Evaluation, ...]

    def __repr__(self) -> str:
        low, high = self.values[0], self.values[-1]
        return (
            f"<PreferenceFrontier: {len(self.values)} optima, {self.parameter} from {low:.4g} to {high:.4g}>"
        )

    @property
    def own(self) -> Evaluation:
        """The optimum's evaluation at the problem's own value."""
        return self.at(float(read(self.problem, self.parameter)))

    def at(self, value: float) -> Evaluation:
        """The optimum's evaluation at any value of the parameter."""
        return _evaluated(replace(self.problem, {self.parameter: value}), f"{self.parameter} = {value:.4g}")

    def figure(self, value: float | None = None) -> Figure:
        """The frontier with the problem's own point and, where one is given, that of another value; beside it
        how long which inventory is held.
        """
        return preference_frontier_figure(self, value)


def preference_frontier(
    problem: Problem, *, parameter: str | None = None, values: Sequence[float] | None = None
) -> PreferenceFrontier:
    """Solve and evaluate a problem for many values of one parameter.

    Args:
        problem: one asset.
        parameter: a path; by default the risk aversion, or the running penalty where the problem has one.
        values: of the parameter; by default 25 from a hundredth to a hundred times its own, evenly on the
            logarithm.

    Raises:
        ValueError: several assets.
        ProblemError: a parameter that does not exist, or is not positive where no values are given.
        SolveError: the problem has no solution at one of the values.
    """
    if len(problem.assets) > 1:
        raise ValueError(f"A frontier is for one asset; this problem has {len(problem.assets)}.")
    path = default_parameter(problem) if parameter is None else parameter
    own = read(problem, path)
    if values is None:
        if isinstance(own, bool) or not isinstance(own, int | float) or not own > 0.0:
            sentence = f"expected a positive number to spread values around, got {own!r}; give values=."
            raise ProblemError([Fault(path, sentence)])
        values = (float(own) * np.logspace(-_DECADES, _DECADES, _POINTS)).tolist()
    chosen: tuple[float, ...] = tuple(sorted(values))
    found = tuple(_evaluated(replace(problem, {path: x}), f"{path} = {x:.4g}") for x in chosen)
    return PreferenceFrontier(problem=problem, parameter=path, values=chosen, evaluations=found)


def _evaluated(problem: Problem, name: str) -> Evaluation:
    best = solve(problem)
    return evaluate(best, problem, optimum=best, name=name)
