"""Ingredients of a problem, and how each is switched off: said beside the field that holds it.

    drift: Annotated[Number, Field(…), Ingredient("drift", off=0.0)]

A quote is explained by switching ingredients off one after the other, in the order of `ORDER`, and solving
again: what the quote changes by is that ingredient's part, and what is left in the end is the spread. A new
ingredient states its name beside its fields, with the value at which it does nothing; a new name joins
`ORDER`.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from quotegrid.models.contract import Block
from quotegrid.models.paths import marked_fields, rebuilt, value_at, with_value

P = TypeVar("P", bound=Block)

# the last ones to be put on a quote are the first to be taken off
ORDER = ("bounds and ticks", "fees", "adverse selection", "drift", "inventory risk")


@dataclass(frozen=True)
class Ingredient:
    """The ingredient that a field belongs to, and the value of the field without it."""

    name: str
    off: Any = None

    def __post_init__(self) -> None:
        if self.name not in ORDER:
            raise ValueError(f"the ingredient {self.name!r} has no place in ORDER; add it there.")


def without(problem: P, ingredient: str) -> P:
    """The problem with an ingredient switched off; the problem itself where it has none of it.

    Raises:
        ProblemError: without it, the problem is none.
    """
    found = problem
    for place, mark in marked_fields(problem, Ingredient):
        if mark.name == ingredient and value_at(problem, place) not in (None, mark.off):
            found = with_value(found, place, mark.off)
    return problem if found is problem else rebuilt(found)
