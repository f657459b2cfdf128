"""How far is the formula on the desk from the optimum: `audit(problem)`, in money per hour.

Every formula of `closed_forms` at the user's own parameters, and what handing the optimum over costs:
rounding to the market's tick, single precision, a smaller table read between its nodes, quotes that answer
late. Each is evaluated exactly (`evaluate`) under the problem itself; what it loses is the difference of
certainty equivalents to the optimum's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np
from matplotlib.figure import Figure

from quotegrid.analysis.audit_figure import audit_figure
from quotegrid.analysis.closed_forms import formulas
from quotegrid.analysis.evaluation import evaluate
from quotegrid.analysis.evaluation_result import Evaluation
from quotegrid.analysis.policies import (
    Policy,
    PolicyError,
    PolicyLike,
    as_float32,
    interpolated,
    on_ticks,
    policy_of,
    stale,
)
from quotegrid.analysis.textbook import textbook
from quotegrid.analysis.tick_costs import within_bounds
from quotegrid.models.problem import Problem
from quotegrid.solver.discretise import inventory_lattices
from quotegrid.solver.solution import Solution
from quotegrid.solver.solve import parameters, solve

OPTIMUM, FORMULA, HANDLING, OWN = "optimum", "formula", "handling", "own"
_EVERY = 2  # lots between the nodes of the smaller table
_TIMES = 11  # of the smaller table, and of the refreshes of stale quotes


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One policy; without an evaluation, the reason why it does not apply."""

    name: str
    kind: str  # optimum, formula, handling or own
    policy: Policy | None = None
    evaluation: Evaluation | None = None
    reason: str = ""
    assumed: tuple[str, ...] = ()

    @property
    def loss_per_hour(self) -> float | None:
        """Regret, currency per hour (per unit of time where that is not a known one)."""
        return None if self.evaluation is None else self.evaluation.regret_per_hour


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The optimum and what stands in for it, worst last within each kind."""

    problem: Problem
    solution: Solution
    rows: tuple[AuditRow, ...]

    def __repr__(self) -> str:
        return f"<Audit of {len(self.rows) - 1} policies against\n {self.best!r}>"

    @property
    def best(self) -> Evaluation:
        """The optimum's own evaluation."""
        found = self.rows[0].evaluation
        assert found is not None
        return found

    def row(self, name: str) -> AuditRow:
        """The row of a policy by its name.

        Raises:
            ValueError: there is none of that name.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise ValueError(f"no policy {name!r}; there are {', '.join(repr(row.name) for row in self.rows)}.")

    def loss(self, name: str) -> float:
        """What a policy loses, as a fraction of the optimum's certainty equivalent.

        Raises:
            ValueError: there is none of that name, or it does not apply.
        """
        found = self.row(name).evaluation
        if found is None or found.regret is None or found.optimum is None:
            raise ValueError(f"{name!r} does not apply: {self.row(name).reason}.")
        return found.regret / abs(found.optimum)

    def to_json(self) -> dict[str, object]:
        """The table as plain JSON; amounts per hour, or per unit of time where that is not a known one."""
        best = self.best
        return {
            "symbols": [asset.market.symbol for asset in self.problem.assets],
            "horizon": best.horizon,
            "money": best.money,
            "per": best.per,
            "policies": [_plain(row) for row in self.rows],
        }

    def figure(self) -> Figure:
        """One picture: the quotes of each formula against the optimum's, and what each loses."""
        return audit_figure(self)


def audit(
    problem: Problem,
    *,
    policies: Mapping[str, PolicyLike] | None = None,
    session: float | None = None,
    delay: float | None = None,
    solution: Solution | None = None,
) -> Audit:
    """Evaluate the textbook formulas, and what happens to a table on its way, at the user's own parameters.

    Args:
        problem: the user's problem.
        policies: further policies by name, such as the desk's own table.
        session: what the Avellaneda-Stoikov formula takes for the time to the end where the horizon has none.
        delay: mean time between two refreshes of the inventory that quotes answer to (see `stale`): one more
            row, where the horizon has no end. Its chain has the square of the inventories for states.
        solution: the problem's solution, where it is known.

    Returns:
        The audit: a row for each policy, with its evaluation or the reason why it does not apply.

    Raises:
        SolveError: the problem itself cannot be solved.
        PolicyError: one of `policies` does not fit the problem.
    """
    best = solve(problem) if solution is None else solution
    optimum = evaluate(best, problem, optimum=best, name=OPTIMUM)
    first = policy_of(best, problem, name=OPTIMUM)
    rows = [AuditRow(name=OPTIMUM, kind=OPTIMUM, policy=first, evaluation=optimum)]
    with jax.enable_x64(True):
        leaves = parameters(problem)
        at_start = best.offset if best.times is None else best.offset[0]
        found = formulas(problem, leaves, textbook(problem, leaves, at_start), at_start, session)
    evaluated = [
        _row(formula.name, FORMULA, formula.policy, problem, best, formula.reason, formula.assumed)
        for formula in found
    ]
    rows += _worst_last(evaluated)
    rows += [
        _row(name, OWN, policy_of(policy, problem, name=name), problem, best)
        for name, policy in (policies or {}).items()
    ]
    rows += _worst_last(
        [
            _row(name, HANDLING, policy, problem, best, reason)
            for name, policy, reason in _handled(first, problem, delay)
        ]
    )
    return Audit(problem=problem, solution=best, rows=tuple(rows))


def _row(
    name: str,
    kind: str,
    policy: Policy | None,
    problem: Problem,
    best: Solution,
    reason: str = "",
    assumed: tuple[str, ...] = (),
) -> AuditRow:
    """A policy's row; one that the evaluation refuses gets its sentence as the reason."""
    evaluation = None
    if policy is not None:
        try:
            evaluation = evaluate(policy, problem, optimum=best, name=name)
        except PolicyError as error:
            if kind == OWN:
                raise
            reason = str(error)
    return AuditRow(
        name=name, kind=kind, policy=policy, evaluation=evaluation, reason=reason, assumed=assumed
    )


def _worst_last(rows: list[AuditRow]) -> list[AuditRow]:
    return sorted(rows, key=lambda row: np.inf if row.loss_per_hour is None else row.loss_per_hour)


def _handled(policy: Policy, problem: Problem, delay: float | None) -> list[tuple[str, Policy | None, str]]:
    """What happens to the optimum's table on its way to the market: (name, policy, why there is none)."""
    found: list[tuple[str, Policy | None, str]] = []
    lattices = inventory_lattices(problem)
    tick = problem.assets[0].market.tick_size
    same = all(asset.market.tick_size == tick for asset in problem.assets)
    if tick is not None and same and not on_ticks(problem):
        found.append(("on the market's ticks", within_bounds(policy, problem, float(tick)), ""))
    found.append(("float32", as_float32(policy), ""))
    if all(len(lattice.lots) > 4 * _EVERY for lattice in lattices):
        smaller = interpolated(policy, every=_EVERY, between="towards_flat")
        found.append((f"every {_EVERY} lots", smaller, ""))
    if policy.times is not None:
        found.append((f"{_TIMES} times, linear", interpolated(policy, times=_TIMES), ""))
        refreshed = np.linspace(policy.times[0], policy.times[-1], _TIMES)[:-1]
        found.append((f"refreshed {_TIMES - 1} times", stale(policy, refreshed=refreshed.tolist()), ""))
    if delay is not None:
        found.append((f"seen {delay:g} {problem.units.time} late", stale(policy, mean_delay=delay), ""))
    return found


def _plain(row: AuditRow) -> dict[str, object]:
    """A row as plain JSON; null where the policy does not apply."""
    found = row.evaluation
    entry: dict[str, object] = {"policy": row.name, "kind": row.kind}
    if found is None:
        return {**entry, "not_applicable": row.reason}
    return {
        **entry,
        "certainty_equivalent": found.per_hour(found.certainty_equivalent),
        "regret": row.loss_per_hour,
        "pnl": found.per_hour(found.pnl),
        "inventory_deviation": list(found.inventory_deviation),
        "time_at_limits": found.time_at_limits,
        "assumed": list(row.assumed),
        "notes": list(found.notes),
    }
