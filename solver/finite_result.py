"""What the solvers of finite horizons hand over, in calendar time."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from quotegrid.solver.certificate import Certificate
from quotegrid.solver.methods import Choice
from quotegrid.solver.status import Status


class FiniteResult(NamedTuple):
    """The solution at the times of the table."""

    times: Float[np.ndarray, " t"]
    value: Float[np.ndarray, "t *state"]
    offset: Float[np.ndarray, "t *state flow"]
    steps: int
    defect: float
    status: Status
    choice: Choice  # the method that was used in the end
    lookup_error: dict[str, float] | None
    certificate: Certificate
