"""What is asked beside the problem: which table to hand over, and how to compute it. Neither is hashed."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import jax
import numpy as np
from pydantic import Field
from pydantic_core import core_schema

from quotegrid.models.contract import Block, known
from quotegrid.models.faults import NOT_IN_THIS_VERSION, Fault, ProblemError, seen
from quotegrid.models.horizons import Discounted, Ergodic, Finite
from quotegrid.models.keyed import FrozenTable, TableOf
from quotegrid.models.numbers import Limits, Positive, RealNumber, WholeNumber, is_name

DEFAULT_TIMES = 101
Method: TypeAlias = Literal[
    "uniformisation", "runge-kutta", "extrapolated-euler", "implicit-euler", "policy-iteration"
]


class _Times:
    """Annotation: a count of times, or the times themselves."""

    _count = WholeNumber(Limits("a count of times, 2 or more, or a list of times", at_least=2))
    _time = RealNumber(Limits("a time, 0 or later", at_least=0.0))

    def check(self, times: Any) -> int | tuple[float, ...]:
        """The count, or the times as floats; ProblemError if they are neither, or do not increase."""
        if isinstance(times, str) or not isinstance(times, list | tuple | np.ndarray | jax.Array):
            return self._count.check(times)
        listed = tuple(
            self._time.check(time.item() if isinstance(time, jax.Array) else time) for time in times
        )
        if len(listed) < 2:
            raise ProblemError(
                [Fault("", f"expected two times or more, got {seen(listed)}; or give a count.")]
            )
        for before, after in pairwise(listed):
            if not after > before:
                raise ProblemError(
                    [Fault("", f"expected increasing times, got {after} after {before}; sort them.")]
                )
        return listed

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        time = self._time.limits.json_schema("number")
        count = self._count.limits.json_schema("integer")
        return {"oneOf": [count, {"type": "array", "items": time, "minItems": 2}]}


def _grid(values: Any) -> tuple[float, float, int]:
    """[low, high, count] of a factor's grid."""
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise ProblemError([Fault("", f"expected a list [low, high, count], got {seen(values)}.")])
    number = RealNumber(Limits("a number"))
    low, high = number.check(values[0]), number.check(values[1])
    if known(low, high) and not low < high:
        raise ProblemError([Fault("", f"expected low below high, got [{low}, {high}].")])
    return low, high, WholeNumber(Limits("a count of 2 or more", at_least=2)).check(values[2])


_GRID_SCHEMA = (("type", "array"), ("minItems", 3), ("maxItems", 3))
FactorGrids: TypeAlias = Annotated[
    FrozenTable[tuple[float, float, int]], TableOf(is_name.check, _grid, _GRID_SCHEMA)
]


def _path(word: Any) -> str:
    """A path of the problem; whether it leads to a number is asked of the problem (`parameter_axes`)."""
    if not isinstance(word, str) or not word:
        raise ProblemError([Fault("", f"expected a path such as 'price.volatility', got {seen(word)}.")])
    return word


_NODE = RealNumber(Limits("a number from -1e300 to 1e300", at_least=-1e300, at_most=1e300))


def _nodes(values: Any) -> tuple[float, ...]:
    """The numbers that a parameter takes, finite and increasing."""
    if isinstance(values, Mapping):
        advice = 'write the whole path in quotes, such as "price.volatility" = [0.2, 0.3]'
        raise ProblemError([Fault("", f"expected a list of numbers, got {seen(values)}; {advice}.")])
    if not isinstance(values, list | tuple | np.ndarray | jax.Array) or np.ndim(values) != 1:
        raise ProblemError([Fault("", f"expected a list of numbers, got {seen(values)}.")])
    listed = tuple(_NODE.check(value.item() if isinstance(value, jax.Array) else value) for value in values)
    if len(listed) < 2:
        raise ProblemError([Fault("", f"expected two numbers or more, got {seen(listed)}; or leave it out.")])
    for before, after in pairwise(listed):
        if not after > before:
            sentence = f"expected increasing numbers, got {after} after {before}; sort them, each once."
            raise ProblemError([Fault("", sentence)])
    return listed


_NODES_SCHEMA = (("type", "array"), ("minItems", 2), ("items", _NODE.limits.json_schema("number")))
ParameterNodes: TypeAlias = Annotated[Mapping[str, Sequence[float]], TableOf(_path, _nodes, _NODES_SCHEMA)]


class TableRequest(Block):
    """What is handed over: the stored times of a finite horizon, and numbers of the problem to stack over.

    Unless said otherwise, `DEFAULT_TIMES` of them, placed so that linear lookup errs least. With `parameters`
    one table holds the solutions at all points of the product of their lists, at the same times.
    """

    static: ClassVar[frozenset[str]] = frozenset({"times", "factors", "parameters"})

    times: Annotated[
        int | tuple[float, ...] | None,
        _Times(),
        Field(description="a count of times, or an increasing list of them"),
    ] = None
    max_lookup_error: Annotated[
        Positive | None,
        Field(description="as many times as keep the offsets' lookup error below this, price"),
    ] = None
    factors: Annotated[FactorGrids | None, Field(description="not in this version")] = None
    parameters: Annotated[
        ParameterNodes | None,
        Field(description="lists of numbers by path: the table is stacked over all their combinations"),
    ] = None

    def contradictions(self) -> Iterator[Fault]:
        if self.parameters and self.max_lookup_error is not None:
            yield Fault(
                "max_lookup_error",
                "a table over 'parameters' has the same times at all their points, and this would ask for "
                "others at each; give a count of 'times'.",
            )
        if self.times is not None and self.max_lookup_error is not None:
            yield Fault("", "'times' and 'max_lookup_error' both choose the stored times; leave out one.")
        if self.factors:
            yield Fault("factors", f"grids of factors are {NOT_IN_THIS_VERSION}")

    def misfits(self, horizon: Finite | Discounted | Ergodic) -> Iterator[Fault]:
        """What of this request does not fit a horizon; paths relative to the request."""
        if horizon.kind != "finite":
            for key in ("times", "max_lookup_error"):
                if getattr(self, key) is not None:
                    yield Fault(
                        key,
                        f"a table has times only where horizon.kind = 'finite', here it is {horizon.kind!r}; "
                        "leave it out.",
                    )
        elif isinstance(self.times, tuple) and known(horizon.duration) and self.times[-1] > horizon.duration:
            yield Fault(
                "times", f"expected times up to horizon.duration = {horizon.duration}, got {self.times[-1]}."
            )


class Numerics(Block):
    """How to compute: a method, where one is insisted on, and how exactly."""

    static: ClassVar[frozenset[str]] = frozenset({"method", "time_steps", "factors"})

    method: Annotated[
        Method | None, Field(description="solution method; chosen by the solver unless given")
    ] = None
    tolerance: Annotated[
        float | jax.Array,
        RealNumber(Limits("a number between 0 and 1, ends excluded", above=0.0, below=1.0)),
        Field(description="error aimed at, as a fraction of the quote scale"),
    ] = 1e-10
    time_steps: Annotated[
        int | None,
        WholeNumber(Limits("a whole number, 1 or more", at_least=1)),
        Field(description="steps of method 'implicit-euler'"),
    ] = None
    inventory_step: Annotated[Positive | None, Field(description="not in this version")] = None
    factors: Annotated[FactorGrids | None, Field(description="not in this version")] = None

    def contradictions(self) -> Iterator[Fault]:
        if self.time_steps is not None and self.method != "implicit-euler":
            yield Fault(
                "time_steps",
                "only method = 'implicit-euler' takes a number of steps, "
                f"got {'none' if self.method is None else repr(self.method)}; name it or leave this out.",
            )
        if self.inventory_step is not None:
            yield Fault("inventory_step", f"a step of the inventory grid is {NOT_IN_THIS_VERSION}")
        if self.factors:
            yield Fault("factors", f"grids of factors are {NOT_IN_THIS_VERSION}")
