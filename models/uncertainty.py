"""Where a problem's parameters come from and how well they are known: no part of the solution or the hash."""

from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np
from pydantic import Field

from quotegrid.models.contract import Block, known
from quotegrid.models.factors import Matrix, Path
from quotegrid.models.faults import Fault, ProblemError, seen
from quotegrid.models.keyed import FrozenTable, TableOf
from quotegrid.models.numbers import Numbers, is_name

_ROUNDING = (
    1e-9  # of a correlation: typed or estimated numbers are symmetric and semidefinite only to rounding
)


class Uncertainty(Block):
    """Standard errors of parameters, and how the errors are correlated (not at all, unless said)."""

    static: ClassVar[frozenset[str]] = frozenset({"parameters"})

    parameters: Annotated[
        tuple[Path, ...], Field(min_length=1, description="paths of the uncertain parameters")
    ]
    standard_error: Annotated[Numbers, Field(description="one for each parameter, in its unit")]
    correlation: Annotated[Matrix | None, Field(description="of the errors; a row for each parameter")] = None

    def contradictions(self) -> Iterator[Fault]:
        count = len(self.parameters)
        for path in sorted({path for path in self.parameters if self.parameters.count(path) > 1}):
            yield Fault("parameters", f"{path!r} is named more than once; name each parameter once.")
        if len(self.standard_error) != count:
            yield Fault(
                "standard_error",
                f"expected one for each of the {count} parameters, got {len(self.standard_error)}.",
            )
        elif known(*self.standard_error) and min(self.standard_error) < 0.0:
            yield Fault(
                "standard_error", f"expected numbers that are not negative, got {min(self.standard_error)}."
            )
        if self.correlation is not None:
            yield from self._correlation_faults(self.correlation, count)

    @staticmethod
    def _correlation_faults(rows: Matrix, count: int) -> Iterator[Fault]:
        if len(rows) != count or any(len(row) != count for row in rows):
            yield Fault("correlation", f"expected {count} rows of {count} numbers, one for each parameter.")
            return
        if not known(*(number for row in rows for number in row)):
            return
        matrix = np.array(rows)
        if np.any(np.diag(matrix) != 1.0):
            place = int(np.argmax(np.diag(matrix) != 1.0))
            yield Fault(
                "correlation", f"expected 1.0 on the diagonal, got {matrix[place, place]} in row {place + 1}."
            )
        elif np.any(np.abs(matrix - matrix.T) > _ROUNDING):
            i, j = np.unravel_index(np.argmax(np.abs(matrix - matrix.T)), matrix.shape)
            yield Fault(
                "correlation",
                f"expected a symmetric matrix, got {matrix[i, j]} in row {i + 1}, column {j + 1} "
                f"but {matrix[j, i]} across the diagonal.",
            )
        elif (least := float(np.linalg.eigvalsh(matrix)[0])) < -_ROUNDING * count:
            yield Fault(
                "correlation",
                f"expected a positive semidefinite matrix, got one with eigenvalue {least:.6g}.",
            )


def _text(value: Any) -> str:
    """Free text; dates and times of TOML in their ISO form."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if not isinstance(value, str):
        raise ProblemError([Fault("", f"expected a text, got {seen(value)}; write it in quotes.")])
    return value


Provenance: TypeAlias = Annotated[FrozenTable[str], TableOf(is_name.check, _text, (("type", "string"),))]
"""Free text by key: source, date, version, …"""
