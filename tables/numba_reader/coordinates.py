"""Coordinates as a strategy has them at hand: a number, a tuple or an array of numbers, or none.

What is given is known when the strategy is compiled, so that these questions cost nothing when it runs.
"""

import operator
from typing import Any

from numba.core import errors, types
from numba.extending import overload, register_jitable

# No exceptions (division as IEEE 754 has it), no arrays made and none counted, always part of the caller.
_SETTINGS: Any = {
    "fastmath": False,  # or they would inherit it
    "error_model": "numpy",
    "_nrt": False,
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

jitted: Any = register_jitable(**_SETTINGS)
"""For a function that compiled code may call; from Python it is the plain, slow function that it says."""


def count_of(given: Any) -> int:
    """How many coordinates are given."""
    return 0 if given is None else len(given) if hasattr(given, "__len__") else 1


def coordinate(given: Any, place: int) -> float:
    """One of them, as a double."""
    return float(given[place] if hasattr(given, "__len__") else given)


def regime_number(given: Any) -> int:
    """The number of a regime, where one is given."""
    return operator.index(given)


def _is_none(given: Any) -> bool:
    return isinstance(given, types.NoneType) or (isinstance(given, types.Omitted) and given.value is None)


def _is_row(given: Any) -> bool:
    """Whether it is a tuple or an array of numbers of one type."""
    one_type = isinstance(given, types.UniTuple) or (isinstance(given, types.Array) and given.ndim == 1)
    return one_type and isinstance(given.dtype, types.Integer | types.Float)


def _checked(given: Any) -> None:
    if not (_is_none(given) or _is_row(given) or isinstance(given, types.Integer | types.Float)):
        raise errors.TypingError(
            f"a coordinate of type {given}: give a number, or for several a tuple or a "
            "one-dimensional array of numbers, all integers or all floats"
        )


@overload(count_of, jit_options=_SETTINGS)
def _count_of(given) -> Any:
    _checked(given)
    if _is_none(given):
        return lambda given: 0
    if _is_row(given):
        return lambda given: len(given)
    return lambda given: 1


@overload(coordinate, jit_options=_SETTINGS)
def _coordinate(given, place) -> Any:
    _checked(given)
    if _is_none(given):
        return lambda given, place: 0.0
    if _is_row(given):
        return lambda given, place: float(given[place])
    return lambda given, place: float(given)


@overload(regime_number, jit_options=_SETTINGS)
def _regime_number(given) -> Any:
    if _is_none(given):
        return lambda given: 0
    if not isinstance(given, types.Integer):
        raise errors.TypingError(f"a regime of type {given}: give its number, an integer from 0")
    return lambda given: int(given)
