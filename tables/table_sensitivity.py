"""What a table knows of how it moves with the numbers of its problem (FORMAT.md §3): first derivatives of
values, offsets and gain by each parameter, and second ones along it, which say how far the first ones reach.

The first axis is that of the parameters; the others are the table's own. A quote that a tick or a bound holds
has derivatives 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.solution_protocol import Numbers
from quotegrid.tables.table_error import TableError
from quotegrid.tables.words import MAX_NAMES, words_tensor

FREE, HELD, KINKED = 0, 1, 2

# tensor of the runtime file -> field of the record, in the order of the file
TENSORS = {
    "parameter": "numbers",
    "parameter_name": "parameters",
    "value_sensitivity": "value",
    "offset_sensitivity": "offset",
    "gain_sensitivity": "gain",
    "value_curvature": "value_curvature",
    "offset_curvature": "offset_curvature",
    "gain_curvature": "gain_curvature",
    "offset_hold": "hold",
    "offset_bound": "bounds",
    "offset_bound_parameter": "bound_parameters",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class TableSensitivity:
    """Derivatives by each parameter; arrays are read-only."""

    parameters: tuple[str, ...]  # paths into the problem
    numbers: Numbers  # [parameter]: as they are in the problem
    value: Numbers  # [parameter, *state], currency per unit of the parameter
    offset: Numbers  # [parameter, *state, flow], price units per unit of the parameter; NaN where off
    gain: Numbers | None  # [parameter], where the table has a gain
    value_curvature: Numbers  # second derivatives along each parameter, as above
    offset_curvature: Numbers
    gain_curvature: Numbers | None
    hold: NDArray[np.int64]  # [*state, flow]: 0 moves freely or off, 1 held by a tick or a bound, 2 at a kink
    bounds: Numbers  # [flow, 2]: lowest and highest offset, price units, infinite where there is none
    bound_parameters: NDArray[np.int64]  # [flow, 2]: the parameter that this bound is, or -1

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.offset.shape[1:]))
        return f"<TableSensitivity by {len(self.parameters)} parameters, of {shape} offsets>"

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors of the runtime file, in its order."""
        found = {name: getattr(self, field) for name, field in TENSORS.items()}
        found["parameter_name"] = words_tensor(self.parameters)
        return {name: array for name, array in found.items() if array is not None}

    def check(self, lattice: tuple[int, ...], offset: Numbers, ergodic: bool) -> None:
        """Refuse what does not fit a table with these offsets.

        Raises:
            TableError: the name of the first rule found broken.
        """
        count = len(self.parameters)
        if count > MAX_NAMES or self.numbers.shape != (count,):
            raise TableError(
                "parameter-count",
                f"{count} paths of parameters (at most {MAX_NAMES} are allowed), numbers of shape "
                f"{self.numbers.shape}",
            )
        if (self.gain is not None) != ergodic or (self.gain_curvature is not None) != ergodic:
            raise TableError("table-shape", "sensitivities of the gain are there if and only if the gain is")
        flows = offset.shape[-1:]
        shapes: dict[str, tuple[int, ...]] = {
            "parameter": (count,),
            "value_sensitivity": (count, *lattice),
            "value_curvature": (count, *lattice),
            "offset_sensitivity": (count, *offset.shape),
            "offset_curvature": (count, *offset.shape),
            "offset_hold": offset.shape,
            "gain_sensitivity": (count,),
            "gain_curvature": (count,),
            "offset_bound": (*flows, 2),
            "offset_bound_parameter": (*flows, 2),
        }
        off = np.isnan(offset)
        for name, array in self.tensors().items():
            if name == "parameter_name":
                continue
            if array.shape != shapes[name]:
                raise TableError(
                    "table-shape", f"{name} has shape {array.shape}, the table asks for {shapes[name]}"
                )
            if name.startswith("offset_bound"):
                continue
            if np.isinf(array).any():
                raise TableError("infinite-number", f"{name} holds an infinity")
            missing = np.isnan(array)
            if name in ("offset_sensitivity", "offset_curvature"):
                missing = missing ^ off
            if missing.any():
                raise TableError(
                    "value-missing", f"{name} holds NaN where the table has a number, or a number where not"
                )
        if not np.isin(self.hold, (FREE, HELD, KINKED)).all():
            raise TableError("hold-form", "offset_hold holds something besides 0, 1 and 2")
        low, high = self.bounds[:, 0], self.bounds[:, 1]
        if not ((low <= high) & (low < np.inf) & (high > -np.inf)).all():
            raise TableError("bound-form", "offset_bound holds no lowest and highest offset of each flow")
        if not ((self.bound_parameters >= -1) & (self.bound_parameters < count)).all():
            raise TableError("bound-form", f"offset_bound_parameter is not everywhere -1 to {count - 1}")
