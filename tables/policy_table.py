"""The policy table: what a solution hands over, as a frozen NumPy record.

    axes                         time [t] (finite horizon only), inventory of each asset [q0], [q1], … (lots)
    value                        [t?, q0, …]         θ, currency (price unit × one unit of the asset)
    offset                       [t?, q0, …, flow]   distance of a quote from the reference price, price units
    hedge_rate, market_order     [t?, q0, …, asset]  where they apply

An offset is NaN where its flow is off. With an ergodic horizon the value is the bias, 0 at the target
inventory.
`PolicyTable.from_solution` makes the record of a solution, `quotegrid.tables.table_parts` that of a file.
`content_hash` is the SHA-256 of the runtime file the table makes, so it is the same in every container
(FORMAT.md §5).
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables import table_metadata
from quotegrid.tables.canonical_json import canonical_json, read_strict_json
from quotegrid.tables.safetensors_layout import encode
from quotegrid.tables.solution_protocol import Numbers, SolutionProtocol
from quotegrid.tables.table_error import TableError
from quotegrid.tables.table_sensitivity import TableSensitivity

SIDES = {"bid": 1, "ask": -1}  # the sign of the inventory a fill brings
NO_HASH = "0" * 64


class Flow(NamedTuple):
    """One stream of fills: a side, a size, the asset it trades."""

    name: str
    side: str  # "bid" (the maker buys) or "ask"
    size: int  # lots
    asset: int  # index into the symbols

    @property
    def sign(self) -> int:
        """+1 for a bid, -1 for an ask: the sign of the inventory a fill brings."""
        return SIDES[self.side]


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicyTable:
    """Quotes and values over time and inventory, with everything that says where they come from.

    Two tables are equal when their content hashes are. Arrays are read-only.

    Raises:
        TableError: shapes, axes or fields do not fit together; the error names the rule.
    """

    problem_json: str  # canonical JSON of the problem
    problem_hash: str  # SHA-256 of the problem, hexadecimal
    package_version: str
    price_unit: str
    time_unit: str
    symbols: tuple[str, ...]  # one per asset
    lot_sizes: tuple[float, ...]  # units of the asset in a lot
    times: Numbers | None  # calendar time 0 … T; None unless the horizon is finite
    inventories: tuple[Numbers, ...]  # lots; the first and the last node are the limits
    flows: tuple[Flow, ...]
    value: Numbers
    offset: Numbers
    hedge_rate: Numbers | None = None  # units of the asset per time, + buys
    market_order: Numbers | None = None  # lots, + buys, 0 none
    gain: float | None = None  # currency per time; ergodic horizon only
    status: str
    status_message: str
    method: str
    method_reason: str
    residual: (
        float  # stationary: max |B(θ) - ρθ - g|, currency per time; finite: estimated error of θ, currency
    )
    iterations: int
    certificate: dict[str, Any] = field(repr=False)
    lookup_error: (
        dict[str, float] | None
    )  # of linear interpolation in time: "offset" (price), "value" (currency)
    notes: tuple[str, ...]
    sensitivity: TableSensitivity | None = field(default=None, repr=False)  # how all of this moves

    @classmethod
    def from_solution(
        cls, solution: SolutionProtocol, sensitivity: TableSensitivity | None = None
    ) -> "PolicyTable":
        """The table of a solution; numbers are copied, NaN and zero brought to one bit pattern each."""
        return cls(
            problem_json=str(solution.problem_json),
            problem_hash=str(solution.problem_hash),
            package_version=str(solution.package_version),
            price_unit=str(solution.price_unit),
            time_unit=str(solution.time_unit),
            symbols=tuple(str(symbol) for symbol in solution.symbols),
            lot_sizes=tuple(float(size) for size in solution.lot_sizes),
            times=_canonical_numbers(solution.times),
            inventories=tuple(canonical_numbers(axis) for axis in solution.inventories),
            flows=tuple(Flow(str(f.name), str(f.side), int(f.size), int(f.asset)) for f in solution.flows),
            value=canonical_numbers(solution.value),
            offset=canonical_numbers(solution.offset),
            hedge_rate=_canonical_numbers(solution.hedge_rate),
            market_order=_canonical_numbers(solution.market_order),
            gain=None if solution.gain is None else float(solution.gain) + 0.0,
            status=str(solution.status),
            status_message=str(solution.status_message),
            method=str(solution.method),
            method_reason=str(solution.method_reason),
            residual=float(solution.residual),
            iterations=int(solution.iterations),
            certificate=dict(solution.certificate),
            lookup_error=None
            if solution.lookup_error is None
            else {name: float(error) for name, error in solution.lookup_error.items()},
            notes=tuple(str(note) for note in solution.notes),
            sensitivity=sensitivity,
        )

    def __post_init__(self) -> None:
        table_metadata.check(self.metadata(NO_HASH), "the table")
        object.__setattr__(self, "certificate", read_strict_json(canonical_json(self.certificate)))
        _check_axes(self)
        _check_flows(self)
        _check_arrays(self)
        if self.sensitivity is not None:
            self.sensitivity.check(self.lattice_shape, self.offset, self.gain is not None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolicyTable) and self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256, hexadecimal, of the runtime file with the digits of this very hash set to zero."""
        digest = hashlib.sha256()
        for piece in encode(self.tensors(), canonical_json(self.metadata(NO_HASH))):
            digest.update(piece)
        return digest.hexdigest()

    @property
    def flow_labels(self) -> tuple[str, ...]:
        """`book/bid`, or `<symbol>/book/bid` where there are several assets."""
        if len(self.symbols) == 1:
            return tuple(f"{flow.name}/{flow.side}" for flow in self.flows)
        return tuple(f"{self.symbols[flow.asset]}/{flow.name}/{flow.side}" for flow in self.flows)

    @property
    def inventory_names(self) -> tuple[str, ...]:
        """`inventory`, or `inventory_<symbol>` for each of several assets."""
        if len(self.symbols) == 1:
            return ("inventory",)
        return tuple(f"inventory_{symbol}" for symbol in self.symbols)

    @property
    def axes(self) -> tuple[Numbers, ...]:
        """The axes of `value`, in their order: time if there is one, then each inventory."""
        return self.inventories if self.times is None else (self.times, *self.inventories)

    @property
    def lattice_shape(self) -> tuple[int, ...]:
        """The shape of `value`."""
        return tuple(len(axis) for axis in self.axes)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors of the runtime file, in its order (FORMAT.md §3)."""
        found: dict[str, NDArray[Any]] = {}
        if self.times is not None:
            found["time"] = self.times
        for number, axis in enumerate(self.inventories):
            found[f"inventory_{number}"] = axis
        found["lot_size"] = np.array(self.lot_sizes, dtype=np.float64)
        found["flow_side"] = np.array([flow.sign for flow in self.flows], dtype=np.int64)
        found["flow_size"] = np.array([flow.size for flow in self.flows], dtype=np.int64)
        found["flow_asset"] = np.array([flow.asset for flow in self.flows], dtype=np.int64)
        found["value"] = self.value
        found["offset"] = self.offset
        if self.hedge_rate is not None:
            found["hedge_rate"] = self.hedge_rate
        if self.market_order is not None:
            found["market_order"] = self.market_order
        if self.gain is not None:
            found["gain"] = np.array(self.gain, dtype=np.float64)
        if self.sensitivity is not None:
            found.update(self.sensitivity.tensors())
        return found

    def metadata(self, content_hash: str | None = None) -> dict[str, object]:
        """The metadata entry (FORMAT.md §4), with the table's own content hash unless another is given."""
        told = {} if self.sensitivity is None else {"parameters": list(self.sensitivity.parameters)}
        return {
            **told,
            "format": table_metadata.FORMAT,
            "content_hash": self.content_hash if content_hash is None else content_hash,
            "problem": self.problem_json,
            "problem_hash": self.problem_hash,
            "package_version": self.package_version,
            "price_unit": self.price_unit,
            "time_unit": self.time_unit,
            "symbols": list(self.symbols),
            "flow_names": [flow.name for flow in self.flows],
            "status": self.status,
            "status_message": self.status_message,
            "method": self.method,
            "method_reason": self.method_reason,
            "residual": self.residual,
            "iterations": self.iterations,
            "certificate": self.certificate,
            "lookup_error": self.lookup_error,
            "notes": list(self.notes),
        }


def canonical_numbers(array: NDArray[Any]) -> Numbers:
    """A read-only, row-major float64 copy with one NaN and no negative zero."""
    numbers = np.array(array, dtype=np.float64, order="C") + 0.0
    numbers = np.where(np.isnan(numbers), np.nan, numbers)
    numbers.flags.writeable = False
    return numbers


def _canonical_numbers(array: NDArray[Any] | None) -> Numbers | None:
    return None if array is None else canonical_numbers(array)


def _check_axes(table: PolicyTable) -> None:
    if not (0 < len(table.symbols) == len(table.inventories) == len(table.lot_sizes)):
        raise TableError(
            "asset-count",
            f"{len(table.symbols)} symbols, {len(table.inventories)} inventory axes and "
            f"{len(table.lot_sizes)} "
            "lot sizes: there must be one of each for each asset",
        )
    if len(set(table.symbols)) < len(table.symbols):
        raise TableError("symbol-repeated", f"the symbols {', '.join(table.symbols)} are not all different")
    if not all(0 < size < np.inf for size in table.lot_sizes):
        raise TableError("lot-size", f"lot sizes {table.lot_sizes} are not all positive and finite")
    names = table.inventory_names if table.times is None else ("time", *table.inventory_names)
    for name, axis in zip(names, table.axes, strict=True):
        nodes = axis.tolist()
        if not nodes or not np.isfinite(axis).all():
            raise TableError("axis-order", f"the axis {name} is empty or not finite")
        for low, high in pairwise(nodes):
            if low >= high:
                raise TableError("axis-order", f"on the axis {name}, {low:.12g} is followed by {high:.12g}")


def _check_flows(table: PolicyTable) -> None:
    for flow in table.flows:
        if flow.side not in SIDES:
            raise TableError("flow-side", f"flow {flow.name!r} has side {flow.side!r}; allowed: bid, ask")
        if flow.size < 1:
            raise TableError(
                "flow-size", f"flow {flow.name!r} has size {flow.size}; at least 1 lot is needed"
            )
        if not 0 <= flow.asset < len(table.symbols):
            raise TableError(
                "flow-asset", f"flow {flow.name!r} trades asset {flow.asset} of {len(table.symbols)} assets"
            )
    labels = table.flow_labels
    for label in labels:
        if labels.count(label) > 1:
            raise TableError("flow-repeated", f"there are two flows {label}: name and side must be unique")


def _check_arrays(table: PolicyTable) -> None:
    lattice = table.lattice_shape
    shapes = {"value": lattice, "offset": (*lattice, len(table.flows))}
    for name in ("hedge_rate", "market_order"):
        if getattr(table, name) is not None:
            shapes[name] = (*lattice, len(table.symbols))
    for name, shape in shapes.items():
        array: Numbers = getattr(table, name)
        if array.dtype != np.float64 or not array.flags.c_contiguous:
            raise TableError("tensor-type", f"{name} is not a row-major array of float64")
        if array.shape != shape:
            raise TableError("table-shape", f"{name} has shape {array.shape}, the axes ask for {shape}")
        if np.isinf(array).any():
            raise TableError("infinite-number", f"{name} holds an infinity; a quote that is off is NaN")
    if np.isnan(table.value).any():
        raise TableError("value-missing", "value holds NaN: every state of a table has a value")
    if table.gain is not None and not np.isfinite(table.gain):
        raise TableError("value-missing", f"the gain is {table.gain}")
