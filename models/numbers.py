"""The number types of a problem: finite, of the right sign, and open to JAX.

A plain number is checked and becomes a Python float (or int, for counts): text and truth values are no
numbers, whatever they look like. A `jax.Array`, traced or not, passes untouched, so that a problem can be
built inside `jit` or `grad`; who does that vouches for its value.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import jax
import numpy as np
from pydantic_core import core_schema

from quotegrid.models.faults import Fault, ProblemError, seen


def _wrong(expected: str, value: Any, advice: str = "") -> ProblemError:
    return ProblemError([Fault("", f"expected {expected}, got {seen(value)}{advice}.")])


def _plain(value: Any) -> Any:
    """A NumPy scalar (or array without axes) as the Python number it stands for."""
    return value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value


@dataclass(frozen=True)
class Limits:
    """The numbers between two ends, each open or closed; named in words for error messages."""

    name: str
    above: float = -math.inf  # open ends
    below: float = math.inf
    at_least: float | None = None  # closed ends, where not None
    at_most: float | None = None

    def __contains__(self, value: float) -> bool:
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return self.above < value < self.below and low <= value <= high

    def json_schema(self, kind: str) -> dict[str, Any]:
        """The same limits in JSON schema."""
        ends = {
            "exclusiveMinimum": None if math.isinf(self.above) else self.above,
            "exclusiveMaximum": None if math.isinf(self.below) else self.below,
            "minimum": self.at_least,
            "maximum": self.at_most,
        }
        return {"type": kind, **{key: end for key, end in ends.items() if end is not None}}


@dataclass(frozen=True)
class RealNumber:
    """Annotation: a finite float within limits, or a `jax.Array` taken as it is."""

    limits: Limits

    def check(self, value: Any) -> Any:
        """The number as a float; ProblemError if it is none or lies outside."""
        if isinstance(value, jax.Array):
            return value
        number = _plain(value)
        if isinstance(number, str):
            advice = "; write it without quotes" if _reads_as_number(number) else ""
            raise _wrong(self.limits.name, value, advice)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _wrong(self.limits.name, value)
        try:
            number = float(number)
        except OverflowError:
            raise _wrong("a number that fits a double", value) from None
        if not math.isfinite(number):
            raise _wrong("a finite number", value)
        if number not in self.limits:
            raise _wrong(self.limits.name, number)
        return number + 0.0  # one zero: -0.0 would be an equal problem with another hash

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return self.limits.json_schema("number")


@dataclass(frozen=True)
class WholeNumber:
    """Annotation: an integer within limits; `advice` says what to do with a fraction."""

    limits: Limits
    advice: str = ""

    def check(self, value: Any) -> int:
        """The number as an int; ProblemError if it is none or lies outside."""
        number = _plain(value)
        if isinstance(number, float) and not number.is_integer():
            raise _wrong(self.limits.name, value, self.advice)
        if isinstance(number, float):
            raise _wrong(self.limits.name, value, f"; write {int(number)}")
        if isinstance(number, bool) or not isinstance(number, int):
            raise _wrong(self.limits.name, value)
        if number not in self.limits:
            raise _wrong(self.limits.name, number)
        return number

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return self.limits.json_schema("integer")


@dataclass(frozen=True)
class Text:
    """Annotation: a text that passes a test, described by `name` and, for the JSON schema, by a pattern."""

    name: str
    accepts: Callable[[str], bool]
    pattern: str

    def check(self, value: Any) -> str:
        """The text; ProblemError if it is none or does not pass."""
        if not isinstance(value, str) or not self.accepts(value):
            raise _wrong(self.name, value)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": self.pattern}


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    return text.isprintable() and text == text.strip() != "" and not set("./") & set(text)


@dataclass(frozen=True)
class StandIn:
    """What stands in the place of a list in a tree of something else, such as the axes of `vmap`."""

    value: Any
    length: int | None


class NumberList:
    """Annotation: a list of numbers, kept as a tuple; in the pytree one leaf, an array with one axis."""

    @staticmethod
    def as_leaf(values: Any) -> Any:
        """A tuple of floats as an array, what a stand-in stands for; anything else as it is."""
        if isinstance(values, StandIn):
            return values.value
        plain = isinstance(values, tuple) and all(isinstance(value, float) for value in values)
        return np.array(values, dtype=np.float64) if plain else values

    @staticmethod
    def from_leaf(leaf: Any, length: int | None) -> Any:
        """An array of NumPy with one axis as a tuple of floats, other arrays as they are, else a stand-in."""
        if isinstance(leaf, np.ndarray) and leaf.ndim == 1:
            return tuple(leaf.tolist())
        return leaf if length is None or isinstance(leaf, tuple) or np.ndim(leaf) else StandIn(leaf, length)

    @staticmethod
    def length(values: Any) -> int | None:
        """How many numbers a list holds (in a batch of lists, each of them); None if there is no list."""
        if isinstance(values, StandIn):
            return values.length
        if isinstance(values, tuple):
            return len(values)
        return values.shape[-1] if np.ndim(values) else None

    @staticmethod
    def listed(values: Any) -> Any:
        """An array with one axis as a tuple of its numbers; anything else as it is."""
        return tuple(values) if isinstance(values, np.ndarray | jax.Array) and values.ndim == 1 else values

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        numbers = handler.generate_schema(tuple[Number, ...])
        return core_schema.no_info_before_validator_function(self.listed, numbers)


_LOTS = "; sizes and inventories count lots, so choose a smaller market.lot_size"

Number: TypeAlias = Annotated[float | jax.Array, RealNumber(Limits("a number"))]
Numbers: TypeAlias = Annotated[Sequence[float | jax.Array] | np.ndarray | jax.Array, NumberList()]
Positive: TypeAlias = Annotated[float | jax.Array, RealNumber(Limits("a number greater than 0", above=0.0))]
NonNegative: TypeAlias = Annotated[
    float | jax.Array, RealNumber(Limits("a number that is not negative", at_least=0.0))
]
Fraction: TypeAlias = Annotated[
    float | jax.Array, RealNumber(Limits("a fraction between -1 and 1, ends excluded", above=-1.0, below=1.0))
]
Correlation: TypeAlias = Annotated[
    float | jax.Array, RealNumber(Limits("a correlation from -1 to 1", at_least=-1.0, at_most=1.0))
]
Size: TypeAlias = Annotated[int, WholeNumber(Limits("a whole number of lots, 1 or more", at_least=1), _LOTS)]
Lots: TypeAlias = Annotated[int, WholeNumber(Limits("a whole number of lots"), _LOTS)]
LotLimit: TypeAlias = Annotated[
    int, WholeNumber(Limits("a whole number of lots, 0 or more", at_least=0), _LOTS)
]
is_label = Text("a text on one line", lambda text: text.isprintable() and text.strip() != "", r"\S")
is_name = Text('a name without "." or "/" (paths are made of names)', _is_name, r"^[^./\s]([^./]*[^./\s])?$")
Label: TypeAlias = Annotated[str, is_label]
Name: TypeAlias = Annotated[str, is_name]
