"""Unions of blocks told apart by a word: `kind = "exponential"`, `on = "markout"`.

Unlike pydantic's own discriminator this lets the word be left out where a default is stated, and its errors
name the nearest word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic_core import core_schema

from quotegrid.models.faults import Fault, ProblemError, choices, nearest, seen


@dataclass(frozen=True)
class ByKind:
    """Annotation of a union of block classes: `Annotated[Brownian | Geometric, ByKind(default="brownian")]`.

    Each class states its word as the default of the field `key`.
    """

    key: str = "kind"
    default: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        classes = get_args(source)
        words = [word_of(block, self.key) for block in classes]

        def check(value: Any) -> Any:
            if isinstance(value, classes):
                return value
            if not isinstance(value, Mapping):
                wanted = f"expected a table with the key {self.key!r}, got {seen(value)}."
                raise ProblemError([Fault("", wanted)])
            word = value.get(self.key, self.default)
            if word is None:
                missing = f"this key is missing; give it one of {choices(words)}."
                raise ProblemError([Fault(self.key, missing)])
            if word not in words:
                hint = nearest(word, words) if isinstance(word, str) else ""
                raise ProblemError([Fault(self.key, f"expected {choices(words)}, got {seen(word)}{hint}.")])
            return value

        def tag(value: Any) -> str | None:
            table = isinstance(value, Mapping)
            return value.get(self.key, self.default) if table else word_of(type(value), self.key)

        schemas = {word: handler.generate_schema(block) for word, block in zip(words, classes, strict=True)}
        return core_schema.no_info_before_validator_function(
            check, core_schema.tagged_union_schema(schemas, tag)
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        variants = zip(schema["schema"]["choices"], handler(schema)["oneOf"], strict=True)
        return {
            "oneOf": [
                variant if word == self.default else {**variant, "required": [self.key]}
                for word, variant in variants
            ]
        }


def word_of(block: Any, key: str) -> str:
    """The word by which a block class is told apart."""
    return block.model_fields[key].default
