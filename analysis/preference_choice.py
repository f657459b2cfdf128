"""The inverse problem: which preference gives the inventory, or the P&L, that one can live with?

    find x with measure(optimum of the problem with parameter x) = value,     x on a logarithmic scale

Every trial is a solve and an exact evaluation, so the measure is a smooth function of x (on ticks: of steps).
The search walks outwards from the problem's own parameter, by half decades and to both sides, until the value
is bracketed; then Brent's method closes the bracket. Where the measure is monotone, as the inventory's spread
is in risk aversion, that is the only answer; where it is not, it is the one nearest to the problem's own.
Nothing is extrapolated: a value that no trial reaches is refused with the range that the trials did reach.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from quotegrid.analysis.evaluation import evaluate
from quotegrid.analysis.evaluation_result import Evaluation
from quotegrid.models.faults import Fault, ProblemError, choices, nearest
from quotegrid.models.paths import read, replace
from quotegrid.models.problem import Problem
from quotegrid.solver.solve import solve
from quotegrid.solver.status import SolveError

_DECADES = 8.0  # to each side of the problem's own parameter
_STRIDE = 0.5  # decades of a step of the walk
_CLOSED = 1e-12  # of ln x: what Brent's method leaves
_MET = 1e-8  # relative: a measure this close to its target has met it
_LEVEL = 1e-10  # relative: a measure that changes by less over a stride has stopped moving

MEASURES: dict[str, str] = {
    "inventory_deviation": "standard deviation of the inventory, lots",
    "half_life": "half-life of the inventory, time (ergodic and discounted horizons)",
    "tail": "probability that the inventory is beyond so many lots on either side (beyond=)",
    "pnl_volatility": "standard deviation of the P&L, currency (ergodic: per √time)",
    "pnl": "expected P&L, currency (ergodic: per time)",
}


class InfeasibleTarget(ValueError):
    """No value of the parameter reaches the target; `attainable` is the range that was reached."""

    def __init__(self, message: str, attainable: tuple[float, float]) -> None:
        super().__init__(message)
        self.attainable = attainable


@dataclass(frozen=True, kw_only=True)
class PreferenceChoice:
    """The preference that was looked for."""

    problem: Problem  # with the parameter in its place
    parameter: str  # its path
    value: float  # of the parameter
    target: str
    wanted: float
    reached: float  # the measure at the parameter
    evaluation: Evaluation  # of the optimum there
    solves: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        chosen, reached = f"{self.parameter} = {self.value:.6g}", f"{self.target} = {self.reached:.6g}"
        return (
            f"<PreferenceChoice: {chosen} gives {reached}, after {self.solves} solves\n {self.evaluation!r}>"
        )

    def to_json(self) -> dict[str, object]:
        """The choice and its evaluation as plain JSON."""
        named = {name: getattr(self, name) for name in ("parameter", "value", "target", "wanted", "reached")}
        return {**named, "notes": list(self.notes), "evaluation": self.evaluation.to_json()}


def choose_preference(
    problem: Problem,
    *,
    target: str,
    value: float,
    parameter: str | None = None,
    beyond: float | None = None,
) -> PreferenceChoice:
    """Find the preference under which the optimum has a certain spread of inventory, half-life, or P&L.

    Args:
        problem: the problem; its own parameter is where the search begins.
        target: inventory_deviation, half_life, tail, pnl_volatility or pnl, as in `Evaluation`.
        value: what it should be, in its unit.
        parameter: path of the number to choose; by default the preferences' running_penalty if they have one,
            else their risk_aversion. Positive.
        beyond: lots, for target="tail".

    Returns:
        The choice, with its problem and what it does.

    Raises:
        InfeasibleTarget: no parameter reaches the value; with the range that can be reached.
        ProblemError: an unknown target, or a parameter that is no positive number of this problem.
        ValueError: a measure that this problem does not have.
    """
    measure = _measure(problem, target, beyond)
    path = default_parameter(problem) if parameter is None else parameter
    own = read(problem, path)
    if isinstance(own, bool) or not isinstance(own, int | float) or not own > 0.0:
        raise ProblemError(
            [Fault(path, f"expected a positive number to begin the search at, got {own!r}; give it one.")]
        )
    trials = _Trials(problem, path, measure)
    low, high = _bracket(trials, float(own), value, target)
    if low != high:
        root = brentq(lambda log_x: trials.at(float(log_x)) - value, low, high, xtol=_CLOSED, rtol=1e-14)
    else:
        root = low
    reached = trials.at(root)
    notes = ()
    if abs(reached - value) > _MET * max(abs(value), abs(reached)):
        notes = (
            f"{target} jumps over {value:.6g} here (quotes on ticks change in steps): it is {reached:.6g}.",
        )
    found, evaluation = trials.kept(root)
    return PreferenceChoice(
        problem=found,
        parameter=path,
        value=float(read(found, path)),
        target=target,
        wanted=value,
        reached=reached,
        evaluation=evaluation,
        solves=trials.solves,
        notes=notes,
    )


def default_parameter(problem: Problem) -> str:
    """The path of what the preferences charge risk by."""
    penalty = getattr(problem.preferences, "running_penalty", None)
    return "preferences.risk_aversion" if penalty is None else "preferences.running_penalty"


def _measure(problem: Problem, target: str, beyond: float | None) -> Callable[[Evaluation], float]:
    """The number of an evaluation that a target names."""
    if target not in MEASURES:
        hint = nearest(target, MEASURES)
        raise ProblemError([Fault("target", f"no measure {target!r}{hint}; expected {choices(MEASURES)}.")])
    if (target == "tail") != (beyond is not None):
        raise ValueError('beyond= (lots) goes with target="tail", and only with it.')
    if target == "half_life" and problem.horizon.kind == "finite":
        raise ValueError("a half-life needs a horizon without an end; this problem's is finite.")
    if target == "pnl_volatility" and not problem.volatility_is_known():
        raise ValueError("the P&L's volatility is not known: give the problem a price.volatility.")
    if target in ("inventory_deviation", "half_life", "tail") and len(problem.assets) > 1:
        raise ValueError(f"target={target!r} is for one asset; this problem has {len(problem.assets)}.")

    def of(found: Evaluation) -> float:
        if target == "tail":
            assert beyond is not None
            return found.tail(beyond)
        number = getattr(found, target)
        return float(number[0] if isinstance(number, tuple) else number)

    return of


class _Trials:
    """The measure as a function of the parameter's logarithm; NaN where the problem has no solution."""

    def __init__(self, problem: Problem, path: str, measure: Callable[[Evaluation], float]) -> None:
        self._problem, self._path, self._measure = problem, path, measure
        self._known: dict[float, tuple[float, Problem, Evaluation]] = {}
        self.solves = 0
        self.refusal = ""  # why the last problem without a solution has none

    def at(self, log_x: float) -> float:
        if log_x not in self._known:
            self.solves += 1
            problem = replace(self._problem, {self._path: float(np.exp(log_x))})
            try:
                best = solve(problem)
                found = evaluate(best, problem, optimum=best, name="optimum")
            except SolveError as error:
                self.refusal = str(error)
                return float("nan")
            self._known[log_x] = self._measure(found), problem, found
        return self._known[log_x][0]

    def kept(self, log_x: float) -> tuple[Problem, Evaluation]:
        return self._known[log_x][1:]

    def range(self) -> tuple[float, float]:
        numbers = [number for number, _, _ in self._known.values()]
        return min(numbers), max(numbers)


def _bracket(trials: _Trials, own: float, value: float, target: str) -> tuple[float, float]:
    """Two logarithms between which the measure passes the value, walking outwards from the own one."""
    centre = float(np.log(own))
    first = trials.at(centre)
    if np.isnan(first):
        raise ProblemError(
            [Fault("", f"the problem has no solution at its own parameter {own:g}: {trials.refusal}")]
        )
    if first == value:
        return centre, centre
    ends = {-1: (centre, first), 1: (centre, first)}
    going = [-1, 1]
    stride = _STRIDE * float(np.log(10.0))
    for _ in range(round(_DECADES / _STRIDE)):
        for side in tuple(going):
            at, before = ends[side]
            now = trials.at(at + side * stride)
            if np.isnan(now):
                going.remove(side)
                continue
            if (now - value) * (before - value) <= 0.0:
                return min(at, at + side * stride), max(at, at + side * stride)
            if abs(now - before) <= _LEVEL * abs(before):
                going.remove(side)
            ends[side] = at + side * stride, now
    low, high = trials.range()
    raise InfeasibleTarget(
        f"no parameter gives {target} = {value:.6g}: over values from {np.exp(ends[-1][0]):.3g} to "
        f"{np.exp(ends[1][0]):.3g} it stays between {low:.6g} and {high:.6g}. Choose a target in between, or "
        "change the inventory limits.",
        (low, high),
    )
