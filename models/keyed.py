"""Tables of the problem file whose keys are free, such as `[provenance]` or the settings of a regime."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax
from pydantic_core import core_schema

from quotegrid.models.faults import Fault, ProblemError, seen

V = TypeVar("V")


class FrozenTable(Mapping[str, V]):
    """A mapping that cannot change, hashable if its values are; as a pytree its values are the leaves."""

    def __init__(self, entries: Mapping[str, V]):
        self._entries = dict(entries)

    def __getitem__(self, key: str) -> V:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def __repr__(self) -> str:
        return repr(self._entries)


def _flatten(table: FrozenTable[Any]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    return tuple(table.values()), tuple(table)


def _flatten_with_keys(table: FrozenTable[Any]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    return tuple((jax.tree_util.DictKey(key), value) for key, value in table.items()), tuple(table)


def _unflatten(keys: tuple[str, ...], values: Any) -> FrozenTable[Any]:
    return FrozenTable(dict(zip(keys, values, strict=True)))


jax.tree_util.register_pytree_with_keys(FrozenTable, _flatten_with_keys, _unflatten, _flatten)


@dataclass(frozen=True)
class TableOf:
    """Annotation: a table of free keys; `key` and `value` check (raising ProblemError) and convert."""

    key: Callable[[Any], str]
    value: Callable[[Any], Any]
    # JSON schema of a value, as pairs; not hashed, as its own parts need not be hashable
    schema: tuple[tuple[str, Any], ...] = field(compare=False)

    def check(self, entries: Any) -> FrozenTable[Any]:
        """The entries, converted; ProblemError with every entry that cannot be used."""
        if not isinstance(entries, Mapping):
            raise ProblemError([Fault("", f"expected a table of keys, got {seen(entries)}.")])
        faults: list[Fault] = []
        table = {}
        for key, value in entries.items():
            try:
                table[self.key(key)] = self.value(value)
            except ProblemError as error:
                faults += [fault.below(str(key)) for fault in error.faults]
        if faults:
            raise ProblemError(faults)
        return FrozenTable(table)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": dict(self.schema)}
