"""The contract between models and solvers: what a block of a problem is, and what an intensity must answer.

A `Block` is one table of the problem file, one validated Python object and one JAX pytree at once. Its fields
are the file's keys. Fields named in `static` (words, counts, structure) travel as auxiliary data, all others
(numbers, blocks, tuples of them) are leaves, so that new numbers reuse a compiled function. A list of numbers
is one leaf, its length structure. Rebuilding a block from leaves does not validate: tracers pass.

An intensity Λ(δ) is the rate of fills at an offset δ from the reference price. Solvers ask it only the
questions of `AbstractIntensity`; in terms of the hazard h = -Λ'/Λ the best offset against a reservation
offset p solves

    δ = p + ln(1 + ξz/h(δ))/(ξz)          (at ξ = 0: δ = p + 1/h(δ)),

which has one root where the intensity is fair: h² + ξz·h + h' > 0, that is ΛΛ'' < 2Λ'² - ξzΛΛ' (Guéant 2017).
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Literal, Self, TypeAlias, get_args, get_origin

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from quotegrid.models.faults import Fault, ProblemError, entry, faults_of, join, seen
from quotegrid.models.numbers import NonNegative, Number, NumberList, Positive
from quotegrid.models.stable_ratios import log1p_ratio, phi1

__all__ = [
    "AbstractIntensity",
    "Block",
    "NonNegative",
    "Number",
    "Offsets",
    "Positive",
    "entry",
    "known",
    "log1p_ratio",
    "markup_of",
    "phi1",
    "widened",
]

Offsets: TypeAlias = Float[Array, "..."]
"""Offsets from the reference price, or values at them; price units unless said otherwise; any shape."""


class Block(BaseModel):
    """A table of the problem file: frozen, closed to unknown keys, a pytree.

    Subclasses list their auxiliary fields in `static`; these must be hashable. A block that has something to
    say about its fields taken together overrides `contradictions`.

    Raises:
        ProblemError: from the constructor, naming every field that cannot be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    static: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **data: Any):
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise ProblemError(faults_of(error, type(self), data), source=type(self).__name__) from None

    # pydantic then builds nested blocks without this constructor; their faults keep their place in the tree.
    __init__.__pydantic_base_init__ = True  # pyright: ignore[reportFunctionMemberAccess]

    @model_validator(mode="wrap")
    @classmethod
    def _in_sentences(cls, data: Any, handler: Any) -> Any:
        if isinstance(data, cls):
            return handler(data)
        try:
            block = handler(data)
        except ValidationError as error:
            raise ProblemError(faults_of(error, cls, data)) from None
        faults = tuple(block.contradictions())
        if faults:
            raise ProblemError(faults)
        return block

    @classmethod
    def of_table(cls, table: Any) -> Self:
        """The block in a table of keys, as read from a file; ProblemError for anything else."""
        if not isinstance(table, Mapping):
            raise ProblemError([Fault("", f"expected a table of keys, got {seen(table)}.")])
        return cls(**table)

    def contradictions(self) -> Iterator[Fault]:
        """What is wrong with the fields taken together; paths relative to this block."""
        yield from ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        leaves = tuple(name for name in cls.model_fields if name not in cls.static)
        fixed = tuple(name for name in cls.model_fields if name in cls.static)

        lists = tuple(name for name in leaves if _is_number_list(cls.model_fields[name]))

        values_of_leaves, values_of_fixed = _getter(leaves), _getter(fixed)

        def flatten(block: Block) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            children = values_of_leaves(block)
            if not lists:
                return children, (*values_of_fixed(block), ())
            children = tuple(
                NumberList.as_leaf(value) if name in lists else value
                for name, value in zip(leaves, children, strict=True)
            )
            lengths = tuple(NumberList.length(getattr(block, name)) for name in lists)
            return children, (*values_of_fixed(block), lengths)

        def flatten_with_keys(block: Block) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            children, auxiliary = flatten(block)
            keys = (jax.tree_util.GetAttrKey(name) for name in leaves)
            return tuple(zip(keys, children, strict=True)), auxiliary

        def unflatten(auxiliary: tuple[Any, ...], children: Iterable[Any]) -> Block:
            values = dict(zip((*fixed, *leaves), (*auxiliary[:-1], *children), strict=True))
            for name, length in zip(lists, auxiliary[-1], strict=True):
                values[name] = NumberList.from_leaf(values[name], length)
            return cls.model_construct(**values)

        jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)

    @classmethod
    def field_of(cls, key: str) -> str:
        """The field behind a key of the problem file."""
        return next((name for name, field in cls.model_fields.items() if field.alias == key), key)

    @classmethod
    def key_of(cls, name: str) -> str:
        """The key of a field in the problem file: its name, unless a method of the class has taken that."""
        return cls.model_fields[name].alias or name

    @classmethod
    def file_keys(cls) -> tuple[str, ...]:
        """The keys this block may have in the problem file, in the order they are written."""
        return tuple(cls.key_of(name) for name in cls.model_fields)

    @classmethod
    def path_of(cls, key: str, index: int, data: Any) -> str:
        """The path of an element of a list, by name or position; `data` is a block or the table of one."""
        elements = entry(data, key)
        name = entry(elements[index], "name") if isinstance(elements, Sequence) else None
        return join(key, name if isinstance(name, str) and name else str(index))

    def labels(self) -> tuple[str, ...]:
        """The words by which a path may select this block in a list: its name, if it has one."""
        name = entry(self, "name")
        return () if name is None else (name,)

    @classmethod
    def meaning(cls, key: str) -> str:
        """What a key means, from the description of its field."""
        return cls.model_fields[cls.field_of(key)].description or key

    @classmethod
    def allowed(cls, key: str) -> tuple[Any, ...]:
        """The values a field of a `Literal` type may take."""
        return _literals(cls.model_fields[cls.field_of(key)].annotation)

    @classmethod
    def variant(cls) -> str:
        """` of kind 'brownian'` for one of several classes told apart by a word, else an empty text."""
        kind = cls.model_fields.get("kind")
        return f" of kind {kind.default!r}" if kind else ""


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """A function from a block to its values of some names. (Problems are flattened many times in a solve.)"""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda block: tuple(getattr(block, name) for name in names)


def _is_number_list(field: FieldInfo) -> bool:
    """Is a field a list of numbers, or None?"""
    marks = [*field.metadata, *(mark for part in get_args(field.annotation) for mark in get_args(part)[1:])]
    return any(isinstance(mark, NumberList) for mark in marks)


def _literals(annotation: Any) -> tuple[Any, ...]:
    """The values of a `Literal`, also where it is one of a union."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(value for part in get_args(annotation) for value in _literals(part))


class AbstractIntensity(Block):
    """The fill intensity Λ(δ) of a flow, in fills per time, decreasing in the offset δ (price units).

    Methods without "host" in their docstring are traceable and work in JAX scalars that broadcast over
    `offset` or `p`; double precision is the caller's business. `size` is the effective size z·m, in units of
    the asset (size times 1 ± proportional fee), ξ is per currency.
    """

    @abstractmethod
    def log_rate(self, offset: ArrayLike) -> Offsets:
        """ln Λ(δ); -inf where Λ = 0; shape of `offset`."""

    @abstractmethod
    def hazard(self, offset: ArrayLike) -> Offsets:
        """h = -Λ'/Λ > 0 per price, inside the domain; differentiable by `jax.jvp`; shape of `offset`."""

    @abstractmethod
    def markup(self, offset: ArrayLike, size: ArrayLike, xi: ArrayLike) -> Offsets:
        """ln(1 + ξz/h(δ))/(ξz), `markup_of` the hazard, also where h itself underflows; differentiable by
        `jax.jvp`; shape of `offset`, price units.
        """

    @abstractmethod
    def domain(self) -> tuple[Any, Any]:
        """The open interval of offsets where 0 < Λ < ∞; infinite ends are ±inf."""

    @abstractmethod
    def default_min_offset(self) -> float | None:
        """The lower bound on the offset of a flow that states none; None: no bound."""

    @abstractmethod
    def rate_ceiling(self) -> Any:
        """sup Λ over the domain, fills per time; inf where Λ is unbounded."""

    @abstractmethod
    def arrival_rate(self) -> Any:
        """The rate of market orders where none is given, per time: Λ(0), or a logistic's request rate."""

    @abstractmethod
    def offset_bracket(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> tuple[Offsets, Offsets]:
        """(low, high) around every root of the first-order condition, at reservation offsets p; shape of `p`.

        Both are an end of the domain where the optimum lies there: nothing pays, or no offset is too low.
        """

    @abstractmethod
    def optimal_offset(self, p: ArrayLike, size: ArrayLike, xi: ArrayLike) -> Offsets | None:
        """The unbounded optimum in closed form, shape of `p`; None where the class has none."""

    @abstractmethod
    def constant_hazard(self) -> Any | None:
        """h if it is the same at every offset (then the equation can be linear), per price; else None."""

    def worked_out(self) -> "AbstractIntensity":
        """The same intensity with all computed that depends on its numbers alone: what kernels evaluate."""
        return self

    @abstractmethod
    def unfair_offset(self, low: float, high: float, size: float, xi: float) -> float | None:
        """Host, NumPy: the first offset of [low, high] where h² + ξ·size·h + h' > 0 fails; None if fair."""


def markup_of(hazard: ArrayLike, size: ArrayLike, xi: ArrayLike) -> Offsets:
    """δ - p = ln(1 + ξz/h)/(ξz) at the optimum, 1/h at ξ = 0, price; `size` is the effective size z·m."""
    return log1p_ratio(xi * size / jnp.asarray(hazard)) / hazard


def widened(low: Offsets, high: Offsets, p: Offsets) -> tuple[Offsets, Offsets]:
    """A bracket of the optimum at p, with room for rounding in it and in the first-order condition."""
    room = 8.0 * jnp.finfo(low.dtype).eps * (jnp.abs(low) + jnp.abs(high) + jnp.abs(p))
    return low - room, high + room


def known(*values: Any) -> bool:
    """Have all of these a value to look at? Numbers of JAX, traced or not, are taken on trust."""
    return not any(isinstance(value, jax.Array) for value in values)
