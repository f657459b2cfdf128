"""Why this quote: an offset as a sum of what each ingredient of the problem adds to it.

Ingredients are switched off one after the other, in the order of `quotegrid.models.ingredients.ORDER`, and
the problem is solved again each time; an ingredient's part is what the quote changes by as it goes. What is
left in the end, no risk, no drift, no costs and no bounds, is the spread: what the fills alone ask for within
the inventory limits. The parts add up to the quote, to the last bit; another order would split it otherwise.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from quotegrid.models.faults import ProblemError
from quotegrid.models.ingredients import ORDER, without
from quotegrid.models.problem import Problem, TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver.solve import solve
from quotegrid.solver.status import SolveError
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.quoter import Quoter

SPREAD = "spread"
PARTS = (SPREAD, *reversed(ORDER))


class ExplanationError(ValueError):
    """A problem that cannot be solved without one of its ingredients."""


class ExplainedQuote(NamedTuple):
    """The offsets at one state, part by part."""

    offsets: dict[str, float | None]  # flow label → price units, as the table has them; None: not quoted
    parts: dict[str, dict[str, float] | None]  # flow label → ingredient → price units; None: nothing to split
    solved: tuple[str, ...]  # the ingredients that the problem has, in the order they were switched off

    def to_json(self) -> dict[str, object]:
        """The plain form printed by `quote --explain --json`."""
        return {"order": list(PARTS), "parts": self.parts}


def explain_quote(
    table: PolicyTable,
    inventory: float | Sequence[float],
    time: float | None = None,
    *,
    between: str = "exact",
    outside: str = "refuse",
) -> ExplainedQuote:
    """Split the offsets that a table quotes at one state, by solving again without each ingredient.

    Args:
        table: holds the problem it is the solution of.
        inventory, time, between, outside: as for a `Quoter`.

    Raises:
        QuoteError: the table says nothing at this state.
        ExplanationError: without one of its ingredients the problem has no solution; or the table is one
            over parameters.
    """
    if table.parameter_axes:
        over = ", ".join(axis.name for axis in table.parameter_axes)
        raise ExplanationError(
            f"the table holds the quotes of several problems (over {over}), and one is needed to split a "
            "quote; solve for the values in question and split that table's quote"
        )
    quoted = Quoter(table, between, outside).quote(inventory, time).offsets
    problem = problem_of(table)
    request = TableRequest() if table.times is None else TableRequest(times=tuple(table.times.tolist()))
    at: Mapping[str, float | None] = quoted
    steps: list[tuple[str, Mapping[str, float | None]]] = []
    solved = []
    for ingredient in ORDER:
        try:
            simpler = without(problem, ingredient)
            if simpler is not problem:
                again = PolicyTable.from_solution(solve(simpler, table=request))
                at = Quoter(again, between, outside).quote(inventory, time).offsets
                solved.append(ingredient)
        except (ProblemError, SolveError) as error:
            raise ExplanationError(
                f"this quote cannot be split: without {ingredient}, the problem has no solution ({error})"
            ) from error
        steps.append((ingredient, at))
        problem = simpler
    parts = {
        label: _parts(offset, [(name, at[label]) for name, at in steps]) for label, offset in quoted.items()
    }
    return ExplainedQuote(quoted, parts, tuple(solved))


def problem_of(table: PolicyTable) -> Problem:
    """The problem that a table is the solution of."""
    return parse_problem(json.loads(table.problem_json)).problem


def _parts(offset: float | None, steps: list[tuple[str, float | None]]) -> dict[str, float] | None:
    """In the order of PARTS; None where the flow is not quoted, or not without some ingredient."""
    if offset is None or any(after is None for _, after in steps):
        return None
    parts, before = {}, offset
    for name, after in steps:
        assert after is not None
        parts[name] = before - after
        before = after
    return {SPREAD: _rest(offset, list(parts.values())), **dict(reversed(parts.items()))}


def _rest(total: float, parts: list[float]) -> float:
    """What to add to the parts for their sum, rounded once, to be the total to the last bit."""
    rest = math.fsum([total, *(-part for part in parts)])
    for towards in (math.inf, -math.inf):
        near = rest
        for _ in range(4):
            if math.fsum([near, *parts]) == total:
                return near
            near = math.nextafter(near, towards)
    return rest
