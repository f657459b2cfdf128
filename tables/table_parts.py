"""From the parts of a file, tensors and metadata, to the table they make."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from quotegrid.tables import table_metadata
from quotegrid.tables.policy_table import SIDES, Flow, PolicyTable
from quotegrid.tables.table_error import TableError
from quotegrid.tables.table_sensitivity import TENSORS, TableSensitivity


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
    tensors = dict(tensors)

    def take(name: str, kind: str = "f", rank: int | None = 1) -> NDArray[Any]:
        if name not in tensors:
            raise TableError("tensor-missing", f"{where}: there is no tensor {name!r}")
        array = tensors.pop(name)
        if array.dtype.kind != kind or (rank is not None and array.ndim != rank):
            wanted = ("I64" if kind == "i" else "F64") + ("" if rank is None else f" with {rank} axes")
            found = ("I64" if array.dtype.kind == "i" else "F64") + f" with {array.ndim} axes"
            raise TableError("tensor-type", f"{where}: {name!r} is {found}; needed: {wanted}")
        return array

    def take_if_there(name: str, rank: int | None = None) -> NDArray[Any] | None:
        return take(name, rank=rank) if name in tensors else None

    times = take_if_there("time", 1)
    inventories = tuple(take(f"inventory_{number}") for number in range(len(fields["symbols"])))
    columns = [take(f"flow_{name}", "i").tolist() for name in ("side", "size", "asset")]
    names = fields["flow_names"]
    if any(len(column) != len(names) for column in columns):
        raise TableError(
            "flow-count",
            f"{where}: {len(names)} flow names, but {', '.join(str(len(c)) for c in columns)} sides, sizes, "
            "assets",
        )
    words = {sign: side for side, sign in SIDES.items()}
    flows = []
    for name, sign, size, asset in zip(names, *columns, strict=True):
        if sign not in words:
            raise TableError(
                "flow-side", f"{where}: flow {name!r} has side {sign}; allowed: 1 (bid), -1 (ask)"
            )
        flows.append(Flow(name, words[sign], size, asset))
    gain = take_if_there("gain", 0)
    lot_sizes = tuple(take("lot_size").tolist())
    value, offset = take("value", rank=None), take("offset", rank=None)
    hedge_rate, market_order = take_if_there("hedge_rate"), take_if_there("market_order")
    sensitivity = None
    if "parameters" in fields:
        found: dict[str, Any] = {
            field: take(name, "i" if name == "offset_hold" else "f", rank=None)
            for name, field in TENSORS.items()
            if gain is not None or not name.startswith("gain_")
        }
        whole: dict[str, Any] = {"gain": None, "gain_curvature": None} | found
        sensitivity = TableSensitivity(parameters=tuple(fields["parameters"]), **whole)
    if tensors:
        raise TableError(
            "tensor-unknown",
            f"{where}: unknown tensor {min(tensors)!r}: format {table_metadata.FORMAT} has no such tensor",
        )
    try:
        return PolicyTable(
            times=times,
            inventories=inventories,
            lot_sizes=lot_sizes,
            flows=tuple(flows),
            value=value,
            offset=offset,
            hedge_rate=hedge_rate,
            market_order=market_order,
            gain=None if gain is None else float(gain),
            problem_json=fields["problem"],
            symbols=tuple(fields["symbols"]),
            notes=tuple(fields["notes"]),
            sensitivity=sensitivity,
            **{name: fields[name] for name in table_metadata.PLAIN_FIELDS},
        )
    except TableError as error:
        raise TableError(error.rule, f"{where}: {error.args[0].removesuffix(f' [{error.rule}]')}") from None
