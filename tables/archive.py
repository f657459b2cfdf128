"""The archive of a table: NetCDF 4, for xarray, pandas, MATLAB and R.

The numbers are those of the runtime file to the last bit, every variable says its units and what it is, and
the metadata entry of the runtime file travels along verbatim, so that reading gives the same `PolicyTable`
with the same content hash. The time of creation and the facts of the machine are attributes of their own,
outside that hash.

`variables` says what an archive holds; it is written with h5netcdf alone.
"""

import io
import os
import platform
from datetime import UTC, datetime
from typing import Any, NamedTuple

import h5netcdf
import h5py
import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.atomic_file import write_atomically
from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import SIDES, PolicyTable
from quotegrid.tables.table_error import TableError
from quotegrid.tables.table_parts import table_of_parts
from quotegrid.tables.table_sensitivity import TENSORS, TableSensitivity
from quotegrid.tables.words import words_tensor

_LABELS = ("name", "side", "size", "symbol")  # coordinates along the axis of flows
METADATA = "metadata"  # the attribute that holds the metadata entry, as in the runtime file


class Variable(NamedTuple):
    """One variable of the archive."""

    dimensions: tuple[str, ...]
    data: NDArray[Any]  # float64, int64 or strings
    attributes: dict[str, str]  # units and description


def coordinates(table: PolicyTable) -> dict[str, Variable]:
    """The axes of a table, by name."""
    found: dict[str, Variable] = {}
    if table.times is not None:
        found["time"] = Variable(
            ("time",), table.times, _about(table.time_unit, "calendar time, from 0 to the end of the horizon")
        )
    if table.regimes:
        found["regime"] = Variable(
            ("regime",), _texts(list(table.regimes)), _about("1", "names of the regimes")
        )
    for axis in table.factors:
        name = f"factor_{axis.name}"
        found[name] = Variable((name,), axis.nodes, _about("unit of the factor", f"the factor {axis.name}"))
    for number, axis in enumerate(table.parameter_axes):
        name = f"parameter_axis_{number}"
        found[name] = Variable((name,), axis.nodes, _about("as in the problem", axis.name))
    for name, symbol, axis in zip(table.inventory_names, table.symbols, table.inventories, strict=True):
        found[name] = Variable(
            (name,), axis, _about("lots", f"inventory of {symbol}; the first and the last are its limits")
        )
    flows = table.flows
    found["flow"] = Variable(
        ("flow",), _texts(list(table.flow_labels)), _about("1", "stream of fills: name and side")
    )
    found["name"] = Variable(("flow",), _texts([f.name for f in flows]), _about("1", "name of the flow"))
    found["side"] = Variable(
        ("flow",), _texts([f.side for f in flows]), _about("1", "bid: a fill is bought; ask: a fill is sold")
    )
    found["size"] = Variable(
        ("flow",), np.array([f.size for f in flows], dtype=np.int64), _about("lots", "size of a fill")
    )
    found["symbol"] = Variable(
        ("flow",), _texts([table.symbols[f.asset] for f in flows]), _about("1", "asset that the flow trades")
    )
    found["asset"] = Variable(("asset",), _texts(list(table.symbols)), _about("1", "symbols of the assets"))
    if table.sensitivity is not None:
        paths = _texts(list(table.sensitivity.parameters))
        found["parameter"] = Variable(("parameter",), paths, _about("1", "paths of the parameters"))
    return found


def variables(table: PolicyTable) -> dict[str, Variable]:
    """What a table says over its axes, by name."""
    lattice = _lattice(table)
    price, time = table.price_unit, table.time_unit
    stationary = " up to a constant, 0 at the target inventory" if table.gain is not None else ""
    found = {
        "offset": Variable(
            (*lattice, "flow"),
            table.offset,
            _about(
                price, "distance of the quote from the reference price, per unit; NaN where the flow is off"
            ),
        ),
        "value": Variable(
            lattice,
            table.value,
            _about(money_unit(price), f"value of the inventory above its marked price{stationary}"),
        ),
        "lot_size": Variable(
            ("asset",), np.array(table.lot_sizes), _about("units of the asset", "size of one lot")
        ),
    }
    if table.hedge_rate is not None:
        about = _about(f"units of the asset per {time}", "rate of hedging on an outside venue; positive buys")
        found["hedge_rate"] = Variable((*lattice, "asset"), table.hedge_rate, about)
    if table.market_order is not None:
        about = _about("lots", "order to send at once; positive buys, 0 none")
        found["market_order"] = Variable((*lattice, "asset"), table.market_order, about)
    if table.gain is not None:
        about = _about(f"{money_unit(price)} per {time}", "long-run gain per time")
        found["gain"] = Variable((), np.array(table.gain), about)
    if table.sensitivity is not None:
        found.update(_sensitivities(table.sensitivity, lattice))
    found.update(_validity(table))
    return found


def _lattice(table: PolicyTable) -> tuple[str, ...]:
    """The dimensions of `value`."""
    return (
        *(() if table.times is None else ("time",)),
        *(("regime",) if table.regimes else ()),
        *(f"factor_{axis.name}" for axis in table.factors),
        *(f"parameter_axis_{number}" for number in range(len(table.parameter_axes))),
        *table.inventory_names,
    )


def _validity(table: PolicyTable) -> dict[str, Variable]:
    """Where and when a table may be used, by the names of the runtime file."""
    price = table.price_unit
    over = {
        "box": (("axis", "end"), "as the axis", "lowest and highest coordinate on each axis but the regimes"),
        "reference_price": (("asset",), price, "reference price for which the table was solved"),
        "price_box": (("asset", "end"), price, "lowest and highest reference price the table is meant for"),
        "start": ((), "Unix seconds", "from when the table may be used"),
        "life": ((), "seconds of time", "for how long the table may be used"),
    }
    tensors = table.tensors()
    return {
        name: Variable(dimensions, tensors[name], _about(units, description))
        for name, (dimensions, units, description) in over.items()
        if name in tensors
    }


def _sensitivities(sensitivity: TableSensitivity, lattice: tuple[str, ...]) -> dict[str, Variable]:
    """The derivatives, by their names in the runtime file; units are those of the quantity per parameter."""
    over = {"value": lattice, "offset": (*lattice, "flow"), "gain": ()}
    said = {
        "sensitivity": "derivative of {} by each parameter",
        "curvature": "second derivative of {} along it",
    }
    found = {}
    for name, array in sensitivity.tensors().items():
        quantity, _, kind = name.partition("_")
        if name == "parameter_name":
            continue
        if name == "parameter":
            about = _about("as in the problem", "the parameters' values in the problem")
            found["parameter_value"] = Variable(("parameter",), array, about)
        elif name == "offset_hold":
            about = _about("1", "0: moves freely, 1: held by a tick or a bound, 2: at a kink")
            found[name] = Variable(over["offset"], array, about)
        elif name == "offset_bound":
            about = _about("unit of offset", "lowest and highest offset that the problem allows the flow")
            found[name] = Variable(("flow", "end"), array, about)
        elif name == "offset_bound_parameter":
            about = _about("1", "the parameter that this bound is, counted from 0; -1: none")
            found[name] = Variable(("flow", "end"), array, about)
        else:
            power = "parameter" if kind == "sensitivity" else "parameter²"
            about = _about(
                f"unit of {quantity} per unit of the {power}", said[kind].format(f"the {quantity}")
            )
            found[name] = Variable(("parameter", *over[quantity]), array, about)
    return found


def attributes(table: PolicyTable) -> dict[str, str | float]:
    """What a table says about itself; nested parts as canonical JSON."""
    return {
        "title": f"quotegrid policy table for {', '.join(table.symbols)}",
        "status": table.status,
        "status_message": table.status_message,
        "method": table.method,
        "method_reason": table.method_reason,
        "residual": table.residual,
        "iterations": table.iterations,
        "lookup_error": canonical_json(table.lookup_error),
        "notes": "\n".join(table.notes),
        "package_version": table.package_version,
        "problem": table.problem_json,
        "problem_hash": table.problem_hash,
        "certificate": canonical_json(table.certificate),
        "content_hash": table.content_hash,
        "price_unit": table.price_unit,
        "time_unit": table.time_unit,
        METADATA: canonical_json(table.metadata()),
    }


def write_archive(table: PolicyTable, path: str | os.PathLike[str], created: datetime | None = None) -> None:
    """Write the archive of a table: all of it or nothing, whatever happens (`write_atomically`).

    Args:
        table: the table.
        path: the file, by custom with the suffix `.nc`.
        created: time of creation to be written down; now, unless given.
    """
    facts = {
        "created": (created or datetime.now(UTC)).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, h5netcdf {h5netcdf.__version__}, HDF5 {h5py.version.hdf5_version}",
    }
    memory = io.BytesIO()
    with h5netcdf.File(memory, "w") as file:
        contents = {**coordinates(table), **variables(table)}
        file.dimensions = {
            name: size
            for variable in contents.values()
            for name, size in zip(variable.dimensions, variable.data.shape, strict=True)
        }
        for name, variable in contents.items():
            words = variable.data.dtype.kind == "U"
            written = file.create_variable(
                name, variable.dimensions, h5py.string_dtype() if words else variable.data.dtype
            )
            if variable.data.size:
                written[...] = variable.data.astype(object) if words else variable.data
            written.attrs.update(variable.attributes)
        file["offset"].attrs["coordinates"] = " ".join(_LABELS)  # by convention, what else belongs to an axis
        file.attrs.update({**attributes(table), **facts})
    write_atomically(path, [memory.getvalue()])


def read_archive(path: str | os.PathLike[str]) -> PolicyTable:
    """The table in an archive, with the content hash it was written with.

    Raises:
        OSError: there is no such file, or it is not NetCDF 4.
        TableError: it is no table, or it was changed after it was written; the error names the rule.
    """
    where = os.fspath(path)
    with open(path, "rb") as file, _opened(file, where) as archive:
        metadata = archive.attrs.get(METADATA)
        if not isinstance(metadata, str):
            raise TableError(
                "metadata-entry", f"{where}: there is no attribute {METADATA!r}: no table of quotegrid"
            )
        table = table_of_parts(_tensors(archive, where), metadata, where)
        stored = str(archive.attrs.get("content_hash"))
    if table.content_hash != stored:
        raise TableError(
            "content-hash",
            f"{where}: the content hash is {table.content_hash[:12]}…, the file says {stored[:12]}…: "
            "it was changed after it was written; write the table again",
        )
    return table


def _opened(file: Any, where: str) -> h5netcdf.File:
    try:
        return h5netcdf.File(file, "r")
    except (
        Exception
    ) as error:  # h5py and h5netcdf have no common exception for a file they cannot make sense of
        raise TableError("archive-unreadable", f"{where}: no NetCDF 4 file: {error}") from None


def _tensors(archive: h5netcdf.File, where: str) -> dict[str, NDArray[Any]]:
    """The tensors of the runtime file, from the variables of an archive."""

    def numbers(name: str, dtype: type[np.generic]) -> NDArray[Any]:
        if name not in archive.variables:
            raise TableError("tensor-missing", f"{where}: there is no variable {name!r}")
        array = np.asarray(archive.variables[name][...])
        if array.dtype != dtype:
            raise TableError(
                "tensor-dtype", f"{where}: variable {name!r} is {array.dtype}, not {np.dtype(dtype)}"
            )
        array = np.ascontiguousarray(array).reshape(array.shape)
        array.flags.writeable = False
        return array

    def words(name: str) -> list[str]:
        if name not in archive.variables:
            raise TableError("tensor-missing", f"{where}: there is no variable {name!r}")
        found = np.asarray(archive.variables[name][...]).tolist()
        return [word.decode() if isinstance(word, bytes) else str(word) for word in found]

    symbols = words("asset")
    lattice = archive.variables["value"].dimensions if "value" in archive.variables else ()
    factors = [name for name in lattice if name.startswith("factor_")]
    stacked = [name for name in lattice if name.startswith("parameter_axis_")]
    names = ["inventory"] if len(symbols) == 1 else [f"inventory_{symbol}" for symbol in symbols]
    tensors = {"time": numbers("time", np.float64)} if "time" in archive.variables else {}
    tensors.update({f"factor_{i}": numbers(name, np.float64) for i, name in enumerate(factors)})
    tensors.update({name: numbers(name, np.float64) for name in stacked})
    tensors.update({f"inventory_{i}": numbers(name, np.float64) for i, name in enumerate(names)})
    for name in ("box", "reference_price", "price_box", "start", "life"):
        if name in archive.variables:
            tensors[name] = numbers(name, np.float64)
    tensors["lot_size"] = numbers("lot_size", np.float64)
    tensors["unit"] = words_tensor([str(archive.attrs.get(f"{of}_unit")) for of in ("price", "time")])
    tensors["symbol"] = words_tensor(symbols)
    if "regime" in archive.variables:
        tensors["regime"] = words_tensor(words("regime"))
    if factors:
        tensors["factor_name"] = words_tensor([name.removeprefix("factor_") for name in factors])
    if stacked:
        paths = [str(archive.variables[name].attrs.get("description")) for name in stacked]
        tensors["parameter_axis_name"] = words_tensor(paths)
    tensors["flow_name"] = words_tensor(words("name"))
    sides_and_assets = {}
    for name, found, codes in (
        ("flow_side", words("side"), SIDES),
        ("flow_asset", words("symbol"), {symbol: i for i, symbol in enumerate(symbols)}),
    ):
        unknown = [word for word in found if word not in codes]
        if unknown:
            raise TableError(
                name.replace("_", "-"), f"{where}: {name} is {unknown[0]!r}; allowed: {', '.join(codes)}"
            )
        sides_and_assets[name] = np.array([codes[word] for word in found], dtype=np.int64)
    tensors["flow_side"] = sides_and_assets["flow_side"]
    tensors["flow_size"] = numbers("size", np.int64)
    tensors["flow_asset"] = sides_and_assets["flow_asset"]
    for name in ("value", "offset"):
        tensors[name] = numbers(name, np.float64)
    for name in ("hedge_rate", "market_order", "gain"):
        if name in archive.variables:
            tensors[name] = numbers(name, np.float64)
    if "parameter" in archive.variables:
        tensors["parameter"] = numbers("parameter_value", np.float64)
        tensors["parameter_name"] = words_tensor(words("parameter"))
        for name in TENSORS:
            if name in archive.variables and not name.startswith("parameter"):
                integers = name in ("offset_hold", "offset_bound_parameter")
                tensors[name] = numbers(name, np.int64 if integers else np.float64)
    return tensors


def _about(units: str, description: str) -> dict[str, str]:
    return {"units": units, "description": description}


def _texts(words: list[str]) -> NDArray[Any]:
    return np.array(words, dtype=np.str_)
