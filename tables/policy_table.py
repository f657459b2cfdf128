"""The policy table: what a solution hands over, as a frozen NumPy record.

    axes                         time [t], regime [r], factors [n0], …, parameter axes [n], … (each where it
                                 applies), inventory of each asset [q0], [q1], … (lots)
    value                        [*axes]             θ, currency (price unit × one unit of the asset)
    offset                       [*axes, flow]       distance of a quote from the reference price, price units
    hedge_rate, market_order     [*axes, asset]      where they apply

An offset is NaN where its flow is off. With an ergodic horizon the value is the bias, 0 at the target
inventory.
`PolicyTable.from_solution` makes the record of a solution, `quotegrid.tables.table_parts` that of a file;
`quotegrid.tables.table_rules` says what must fit together.
`content_hash` is the SHA-256 of the runtime file the table makes, so it is the same in every container
(FORMAT.md §5).
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables import table_metadata, table_rules
from quotegrid.tables.canonical_json import canonical_json, read_strict_json
from quotegrid.tables.safetensors_layout import NO_HASH, encode
from quotegrid.tables.solution_protocol import Numbers, SolutionProtocol
from quotegrid.tables.table_sensitivity import TableSensitivity
from quotegrid.tables.words import words_tensor

SIDES = {"bid": 1, "ask": -1}  # the sign of the inventory a fill brings


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


class NamedAxis(NamedTuple):
    """An observed factor, or a number of the problem over which tables are stacked."""

    name: str  # of a factor, or a path into the problem
    nodes: Numbers  # strictly increasing


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
    regimes: tuple[str, ...] = ()  # of the axis of regimes, if there is one
    factors: tuple[NamedAxis, ...] = ()
    parameter_axes: tuple[NamedAxis, ...] = ()
    inventories: tuple[Numbers, ...]  # lots; the first and the last node are the limits
    box: Numbers | None = None  # [axis, 2], without regimes: where the table holds; None: on its axes
    reference_prices: tuple[float, ...] | None = None  # price units, one per asset
    price_box: Numbers | None = None  # [asset, 2]: reference prices for which the table is meant
    start: float | None = None  # Unix seconds: from when the table may be used
    life: float | None = None  # seconds: for how long
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
    )  # of linear lookup in time and parameters: "offset" (price), "value" (currency)
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
            reference_prices=_reference_prices(str(solution.problem_json)),
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
        table_metadata.check(self.metadata(), "the table")
        object.__setattr__(self, "certificate", read_strict_json(canonical_json(self.certificate)))
        table_rules.check(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolicyTable) and self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __repr__(self) -> str:
        """Market, horizon and shape, then how far the quotes are from the best."""
        return (
            f"<PolicyTable of {', '.join(self.symbols)}: {self._horizon} {self._shape}\n"
            f" {self.status}, {self._distance}>"
        )

    @property
    def _horizon(self) -> str:
        if self.times is not None:
            return f"finite horizon of {self.times[-1]:g} {self.time_unit}"
        return "stationary" if self.gain is None else "ergodic"

    @property
    def _shape(self) -> str:
        """`(inventory: 41, flow: 2)`, the axes of `offset`."""
        names = [axis.name for axis in self.axes]
        if self.regime_axis is not None:
            names.insert(self.regime_axis, "regime")
        sizes = zip((*names, "flow"), (*self.lattice_shape, len(self.flows)), strict=True)
        return f"({', '.join(f'{name}: {size}' for name, size in sizes)})"

    @property
    def _distance(self) -> str:
        level, error = self.certificate["level"], self.certificate.get("quote_error")
        if level == "none":
            return "not certified"
        if not isinstance(error, float):
            return f"certified at level {level}"
        return f"certified at level {level}: quotes within {error:.2g} {self.price_unit} of the optimum"

    @cached_property
    def content_hash(self) -> str:
        """SHA-256, hexadecimal, of the runtime file with the digits of this very hash set to zero."""
        digest = hashlib.sha256()
        for piece in encode(self.tensors(), canonical_json(self.metadata()), NO_HASH):
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
    def axes(self) -> tuple[NamedAxis, ...]:
        """All axes but that of the regimes, in their order."""
        inventories = map(NamedAxis, self.inventory_names, self.inventories)
        time = () if self.times is None else (NamedAxis("time", self.times),)
        return (*time, *self.factors, *self.parameter_axes, *inventories)

    @property
    def regime_axis(self) -> int | None:
        """The place of the regimes among the axes of `value`, if there are any."""
        return None if not self.regimes else 0 if self.times is None else 1

    @property
    def lattice_shape(self) -> tuple[int, ...]:
        """The shape of `value`."""
        shape = [len(axis.nodes) for axis in self.axes]
        if self.regime_axis is not None:
            shape.insert(self.regime_axis, len(self.regimes))
        return tuple(shape)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors of the runtime file, in its order (FORMAT.md §3)."""
        found: dict[str, NDArray[Any] | None] = {
            "time": self.times,
            **{f"factor_{number}": axis.nodes for number, axis in enumerate(self.factors)},
            **{f"parameter_axis_{number}": axis.nodes for number, axis in enumerate(self.parameter_axes)},
            **{f"inventory_{number}": nodes for number, nodes in enumerate(self.inventories)},
            "box": self.box,
            "reference_price": _numbers(self.reference_prices),
            "price_box": self.price_box,
            "start": _numbers(self.start),
            "life": _numbers(self.life),
            "lot_size": _numbers(self.lot_sizes),
            "unit": words_tensor((self.price_unit, self.time_unit)),
            "symbol": words_tensor(self.symbols),
            "regime": words_tensor(self.regimes) if self.regimes else None,
            "factor_name": words_tensor([axis.name for axis in self.factors]) if self.factors else None,
            "parameter_axis_name": words_tensor([axis.name for axis in self.parameter_axes])
            if self.parameter_axes
            else None,
            "flow_name": words_tensor([flow.name for flow in self.flows]),
            "flow_side": np.array([flow.sign for flow in self.flows], dtype=np.int64),
            "flow_size": np.array([flow.size for flow in self.flows], dtype=np.int64),
            "flow_asset": np.array([flow.asset for flow in self.flows], dtype=np.int64),
            "value": self.value,
            "offset": self.offset,
            "hedge_rate": self.hedge_rate,
            "market_order": self.market_order,
            "gain": _numbers(self.gain),
            **({} if self.sensitivity is None else self.sensitivity.tensors()),
        }
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def metadata(self) -> dict[str, object]:
        """The metadata entry (FORMAT.md §4)."""
        return {
            "problem": self.problem_json,
            "notes": list(self.notes),
            **{name: getattr(self, name) for name in table_metadata.PLAIN_FIELDS},
        }


def canonical_numbers(array: NDArray[Any]) -> Numbers:
    """A read-only, row-major float64 copy with one NaN and no negative zero."""
    numbers = np.array(array, dtype=np.float64, order="C") + 0.0
    numbers = np.where(np.isnan(numbers), np.nan, numbers)
    numbers.flags.writeable = False
    return numbers


def _canonical_numbers(array: NDArray[Any] | None) -> Numbers | None:
    return None if array is None else canonical_numbers(array)


def _reference_prices(problem_json: str) -> tuple[float, ...] | None:
    """`price.reference` of every asset of a problem, where all of them have one."""
    problem = read_strict_json(problem_json)
    prices = [asset.get("price", {}).get("reference") for asset in problem.get("asset", [problem])]
    return None if None in prices else tuple(map(float, prices))


def _numbers(numbers: float | tuple[float, ...] | None) -> Numbers | None:
    return None if numbers is None else np.array(numbers, dtype=np.float64)
