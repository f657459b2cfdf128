"""The problem file: TOML in, a checked `ProblemFile` out, and back.

The file's tree is the public form of a problem (`quotegrid.models.problem_tree`). Reading reports every fault
with its path; writing gives one canonical text: sections in the order of the format, every key that has a
value, numbers in the shortest digits that read back to the same double. So problem → file → problem is equal
to the last bit, and file → problem → file changes nothing the second time.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from quotegrid.models.assets import Asset
from quotegrid.models.contract import Block
from quotegrid.models.faults import Fault, ProblemError, nearest
from quotegrid.models.parameter_axes import parameter_faults
from quotegrid.models.problem import Problem
from quotegrid.models.problem_schema import json_schema
from quotegrid.models.problem_toml import toml_text
from quotegrid.models.problem_tree import ORDER, canonical_json, problem_hash, problem_tree, tree_of
from quotegrid.models.requests import Numerics, TableRequest

__all__ = [
    "Numerics",
    "Problem",
    "ProblemError",
    "ProblemFile",
    "TableRequest",
    "canonical_json",
    "dumps",
    "json_schema",
    "parse_problem",
    "problem_hash",
    "read_problem_file",
    "write_problem_file",
]

T = TypeVar("T")
_KEYS = (*ORDER, "table", "numerics")
_TABLES = (".safetensors", ".nc")  # suffixes of what is solved


class ProblemFile(Block):
    """A problem with what is asked beside it."""

    problem: Annotated[Problem, Field(description="the problem")]
    table: Annotated[TableRequest, Field(description="which table to hand over")] = TableRequest()
    numerics: Annotated[Numerics, Field(description="how to compute")] = Numerics()

    def contradictions(self) -> Iterator[Fault]:
        for fault in self.table.misfits(self.problem.horizon):
            yield fault.below("table")
        for fault in parameter_faults(self.problem, self.table.parameters or {}):
            yield fault.below("table")


def read_problem_file(source: str | Path) -> ProblemFile:
    """Read a problem file, by its path or as its text (a string of more than one line).

    Raises:
        ProblemError: everything that is wrong with it, each fault with its path, after the name of the file.
        OSError: it cannot be read.
    """
    if isinstance(source, str) and "\n" in source:
        return parse_problem(source)
    path = Path(source)
    if path.suffix in _TABLES:
        raise ProblemError(
            [Fault("", "a table, not a problem; name the problem file (.toml) that it was solved from.")],
            str(source),
        )
    try:
        return parse_problem(path.read_text(encoding="utf-8"), source=str(source))
    except UnicodeDecodeError as error:
        raise ProblemError(
            [Fault("", f"not a text in UTF-8 (byte {error.start}); save it as UTF-8.")], str(source)
        ) from None


def parse_problem(content: str | Mapping[str, Any], source: str | None = None) -> ProblemFile:
    """The problem file in a TOML text or in a tree of plain tables; `source` names it in errors.

    Raises:
        ProblemError: everything that is wrong with it.
    """
    try:
        tree = tomllib.loads(content) if isinstance(content, str) else dict(content)
    except tomllib.TOMLDecodeError as error:
        raise ProblemError(
            [Fault("", f"not valid TOML: {str(error)[:1].lower()}{str(error)[1:]}.")], source
        ) from None
    faults: list[Fault] = []

    def part(make: Callable[[Any], T], table: Any, key: str) -> T | None:
        try:
            return make(table)
        except ProblemError as error:
            faults.extend(fault.below(key) for fault in error.faults)
            return None

    beside = {key: tree.pop(key, {}) for key in ("table", "numerics")}
    problem = part(_problem_of, tree, "")
    table = part(TableRequest.of_table, beside["table"], "table")
    numerics = part(Numerics.of_table, beside["numerics"], "numerics")
    if problem is not None and table is not None and numerics is not None:
        file = part(
            lambda parts: ProblemFile(**parts), dict(problem=problem, table=table, numerics=numerics), ""
        )
        if file is not None:
            return file
    raise ProblemError(faults, source)


def _problem_of(tree: dict[str, Any]) -> Problem:
    """The problem in the rest of a file's tree."""
    faults: list[Fault] = []
    assets: Any
    asset_keys = Asset.file_keys()
    if "asset" in tree:
        assets = tree.pop("asset")
        for key in [key for key in asset_keys if key in tree]:
            del tree[key]
            faults.append(Fault(key, "stands beside [[asset]] blocks; move it into one of them."))
    else:
        assets = [{key: tree.pop(key) for key in asset_keys if key in tree}]
    for key in [key for key in tree if key not in ORDER]:
        del tree[key]
        faults.append(Fault(key, f"unknown key{nearest(key, _KEYS)}; known here: {', '.join(_KEYS)}."))
    try:
        problem = Problem(**tree, assets=assets)
    except ProblemError as error:
        named = (fault._replace(path="asset") if fault.path == "assets" else fault for fault in error.faults)
        raise ProblemError((*faults, *named)) from None
    if faults:
        raise ProblemError(faults)
    return problem


def dumps(file: ProblemFile | Problem, comments: Mapping[str, str] | None = None) -> str:
    """The canonical TOML of a problem file, with comments by path (see `quotegrid.models.problem_toml`)."""
    file = file if isinstance(file, ProblemFile) else ProblemFile(problem=file)
    tree = problem_tree(file.problem)
    for key in ("table", "numerics"):
        if getattr(file, key) != ProblemFile.model_fields[key].default:
            tree[key] = tree_of(getattr(file, key))
    return toml_text(tree, comments)


def write_problem_file(
    path: str | Path, file: ProblemFile | Problem, comments: Mapping[str, str] | None = None
) -> None:
    """Write the canonical TOML of a problem file; OSError if that fails."""
    Path(path).write_text(dumps(file, comments), encoding="utf-8")
