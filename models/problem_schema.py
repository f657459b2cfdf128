"""The JSON schema of the problem file, made from the classes that read it.

It describes the file's tree: the keys of a single asset at the top level, or a list `asset` of several. What
a schema cannot say (limits in order, fair intensities, one of two keys) the reader checks.
"""

from typing import Any

from pydantic.json_schema import models_json_schema

from quotegrid.models.problem import Problem
from quotegrid.models.problem_tree import ORDER
from quotegrid.models.requests import Numerics, TableRequest


def json_schema() -> dict[str, Any]:
    """The schema of the problem file, draft 2020-12."""
    parts = (Problem, TableRequest, Numerics)
    _, made = models_json_schema([(part, "validation") for part in parts], ref_template="#/$defs/{model}")
    classes = {name: _tidied(schema) for name, schema in made["$defs"].items()}
    whole, asset = classes.pop("Problem"), classes["Asset"]
    keys = {
        **whole["properties"],
        **asset["properties"],
        "asset": {
            "type": "array",
            "minItems": 1,
            "items": {"$ref": "#/$defs/Asset"},
            "description": "assets, blocks [[asset]]; the keys of a single one may stand at the top level",
        },
    }
    single, several = {"required": asset["required"]}, {"required": ["asset"]}
    none_beside = {"not": {"anyOf": [{"required": [key]} for key in asset["properties"]]}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "quotegrid problem file",
        "type": "object",
        "properties": {
            **{key: keys[key] for key in ORDER},
            "table": {"$ref": "#/$defs/TableRequest"},
            "numerics": {"$ref": "#/$defs/Numerics"},
        },
        "required": [key for key in whole["required"] if key != "assets"],
        "oneOf": [single, {**several, **none_beside}],
        "additionalProperties": False,
        "$defs": classes,
    }


def _tidied(schema: Any) -> Any:
    """Without null (an absent key has no value) and without the titles that only repeat keys."""
    if isinstance(schema, list):
        return [_tidied(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: _tidied(value)
        for key, value in schema.items()
        if value is not None and not (key == "title" and isinstance(value, str))
    }
    variants = kept.get("anyOf", [])
    if {"type": "null"} in variants:
        rest = [variant for variant in variants if variant != {"type": "null"}]
        del kept["anyOf"]
        kept |= rest[0] if len(rest) == 1 else {"anyOf": rest}
    return kept
