"""From the parts of a file, tensors and metadata, to the table they make."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from quotegrid.tables import table_metadata
from quotegrid.tables.policy_table import SIDES, Flow, NamedAxis, PolicyTable
from quotegrid.tables.table_error import TableError
from quotegrid.tables.table_rules import MAX_AXES
from quotegrid.tables.table_sensitivity import TENSORS, TableSensitivity
from quotegrid.tables.words import MAX_NAMES, read_words

# every name of a tensor, in the order of the file (FORMAT.md §3)
ORDER = (
    "time",
    *(f"{axis}_{number}" for axis in ("factor", "parameter_axis", "inventory") for number in range(MAX_AXES)),
    *("box", "reference_price", "price_box", "start", "life", "lot_size", "unit", "symbol", "regime"),
    *("factor_name", "parameter_axis_name", "flow_name", "flow_side", "flow_size", "flow_asset"),
    *("value", "offset", "hedge_rate", "market_order", "gain"),
    *TENSORS,
)


def table_of_parts(tensors: Mapping[str, NDArray[Any]], metadata: str, where: str) -> PolicyTable:
    """The table of a file's tensors and metadata entry.

    Args:
        tensors: name → float64 or int64 array, as `PolicyTable.tensors` gives them.
        metadata: the metadata entry, canonical JSON.
        where: what the errors call the file.

    Raises:
        TableError: a tensor or a field is missing, unknown or of the wrong form, or they do not fit together.
    """
    fields = table_metadata.read(metadata, where)
    try:
        _check_order(list(tensors))
        return _Parts(tensors).table(fields)
    except TableError as error:
        raise TableError(error.rule, f"{where}: {error.args[0].removesuffix(f' [{error.rule}]')}") from None


def _check_order(names: list[str]) -> None:
    places = {name: place for place, name in enumerate(ORDER)}
    last = -1
    for name in names:
        if name not in places:
            raise TableError("tensor-unknown", f"unknown tensor {name!r}: format 1 has no such tensor")
        if places[name] < last:
            raise TableError("tensor-order", f"tensor {name!r} stands behind {ORDER[last]!r}")
        last = places[name]


class _Parts:
    """The tensors of a file, each with its type and number of axes when it is asked for."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._tensors = tensors

    def take(self, name: str, kind: str = "f", rank: int | None = 1) -> NDArray[Any]:
        if name not in self._tensors:
            raise TableError("tensor-missing", f"there is no tensor {name!r}")
        array = self._tensors[name]
        if array.dtype.kind != kind or (rank is not None and array.ndim != rank):
            wanted = ("I64" if kind == "i" else "F64") + ("" if rank is None else f" with {rank} axes")
            found = ("I64" if array.dtype.kind == "i" else "F64") + f" with {array.ndim} axes"
            raise TableError("tensor-type", f"{name!r} is {found}; needed: {wanted}")
        return array

    def maybe(self, name: str, rank: int | None = None) -> NDArray[Any] | None:
        return self.take(name, rank=rank) if name in self._tensors else None

    def number(self, name: str) -> float | None:
        array = self.maybe(name, 0)
        return None if array is None else float(array)

    def words(self, name: str) -> tuple[str, ...]:
        return read_words(self.take(name, "i", 2), name)

    def axes(self, kind: str) -> list[NDArray[Any]]:
        """The numbered axes of one kind: all from 0 on."""
        count = sum(f"{kind}_{number}" in self._tensors for number in range(MAX_AXES))
        return [self.take(f"{kind}_{number}") for number in range(count)]

    def named_axes(self, kind: str) -> tuple[NamedAxis, ...]:
        nodes = self.axes(kind)
        if not nodes and f"{kind}_name" not in self._tensors:
            return ()
        names = self.words(f"{kind}_name")
        if len(names) != len(nodes):
            raise TableError("axis-count", f"{len(names)} names of {kind} axes, but {len(nodes)} such axes")
        return tuple(map(NamedAxis, names, nodes))

    def flows(self) -> tuple[Flow, ...]:
        names = self.words("flow_name")
        columns = [self.take(f"flow_{name}", "i").tolist() for name in ("side", "size", "asset")]
        if len(names) > MAX_NAMES or any(len(column) != len(names) for column in columns):
            raise TableError(
                "flow-count",
                f"{len(names)} flow names (at most {MAX_NAMES} are allowed), "
                f"{', '.join(str(len(c)) for c in columns)} sides, sizes, assets",
            )
        words = {sign: side for side, sign in SIDES.items()}
        flows = []
        for name, sign, size, asset in zip(names, *columns, strict=True):
            if sign not in words:
                raise TableError("flow-side", f"flow {name!r} has side {sign}; allowed: 1 (bid), -1 (ask)")
            flows.append(Flow(name, words[sign], size, asset))
        return tuple(flows)

    def regimes(self) -> tuple[str, ...]:
        if "regime" not in self._tensors:
            return ()
        found = self.words("regime")
        if not found:
            raise TableError("regime-count", "there is an axis of regimes, but no regime")
        return found

    def sensitivity(self) -> TableSensitivity | None:
        if "parameter" not in self._tensors:
            for name in TENSORS:
                if name in self._tensors:
                    raise TableError("tensor-missing", f"there is {name!r}, but no tensor 'parameter'")
            return None
        whole: dict[str, Any] = {"gain": None, "gain_curvature": None}
        for name, field in TENSORS.items():
            if name == "parameter_name":
                whole[field] = self.words(name)
            elif "gain" in self._tensors or not name.startswith("gain_"):
                integers = name in ("offset_hold", "offset_bound_parameter")
                whole[field] = self.take(name, "i" if integers else "f", rank=None)
            elif name in self._tensors:
                raise TableError("tensor-missing", f"there is {name!r}, but no tensor 'gain'")
        return TableSensitivity(**whole)

    def table(self, fields: Mapping[str, Any]) -> PolicyTable:
        units = self.words("unit")
        if len(units) != 2:
            raise TableError("table-shape", f"'unit' has {len(units)} rows, not that of prices and of times")
        prices = self.maybe("reference_price", 1)
        return PolicyTable(
            times=self.maybe("time", 1),
            factors=self.named_axes("factor"),
            parameter_axes=self.named_axes("parameter_axis"),
            inventories=tuple(self.axes("inventory")),
            box=self.maybe("box", 2),
            reference_prices=None if prices is None else tuple(prices.tolist()),
            price_box=self.maybe("price_box", 2),
            start=self.number("start"),
            life=self.number("life"),
            lot_sizes=tuple(self.take("lot_size").tolist()),
            price_unit=units[0],
            time_unit=units[1],
            symbols=self.words("symbol"),
            regimes=self.regimes(),
            flows=self.flows(),
            value=self.take("value", rank=None),
            offset=self.take("offset", rank=None),
            hedge_rate=self.maybe("hedge_rate"),
            market_order=self.maybe("market_order"),
            gain=self.number("gain"),
            sensitivity=self.sensitivity(),
            problem_json=fields["problem"],
            notes=tuple(fields["notes"]),
            **{name: fields[name] for name in table_metadata.PLAIN_FIELDS},
        )
