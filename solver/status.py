"""How a solve ended: typed sentences, never a NaN array."""

from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """The name is for programs, `sentence` for people."""

    CONVERGED = "converged"
    ITERATION_LIMIT = "iteration limit"
    TOLERANCE_NOT_REACHED = "tolerance not reached"
    UNBOUNDED_QUOTES = "unbounded quotes"
    NOT_COMMUNICATING = "not communicating"
    ILL_POSED = "ill-posed"
    BADLY_SCALED = "badly scaled"

    @property
    def sentence(self) -> str:
        """What happened and what to do about it."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.CONVERGED: "The equation is solved to the tolerance asked for.",
    Status.ITERATION_LIMIT: (
        "Policy iteration did not settle within its limit; loosen numerics.tolerance, or ease what is "
        "extreme in the problem (penalties, limits, rates)."
    ),
    Status.TOLERANCE_NOT_REACHED: (
        "The time steps could not be made small enough for the tolerance; loosen numerics.tolerance, or "
        "take method = 'implicit-euler' with time_steps."
    ),
    Status.UNBOUNDED_QUOTES: (
        "The best quotes run away: a fill is worth so much at some inventory that the intensity overflows "
        "there; bound the offsets (min_offset), lower the penalties or narrow the inventory limits."
    ),
    Status.NOT_COMMUNICATING: (
        "The target inventory cannot be reached from every inventory, so there is no long-run average that "
        "all of them share; let both sides trade, or use a finite or discounted horizon."
    ),
    Status.ILL_POSED: (
        "The ergodic problem has no solution: at some inventory the risk grows faster than any quote can "
        "pay; narrow the inventory limits, lower the risk aversion, or use a finite horizon."
    ),
    Status.BADLY_SCALED: (
        "The problem leaves the range of double precision; check the units of time, price and lot size."
    ),
}


class SolveError(ArithmeticError):
    """A solve that did not converge; `solution` holds what there is, with its status."""

    def __init__(self, message: str, solution: Any) -> None:
        super().__init__(message)
        self.solution = solution
