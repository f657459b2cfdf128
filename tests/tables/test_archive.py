"""The NetCDF archive: bit-equal numbers, the same table back, units, what the hash leaves out, xarray."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import pytest
import xarray

from quotegrid.tables import PolicyTable, TableError
from quotegrid.tables.archive import read_archive, write_archive
from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.container import is_archive
from quotegrid.tables.dataset import to_xarray
from quotegrid.tables.safetensors_file import safetensors_bytes, table_of_bytes

NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)


@pytest.fixture(params=["glft", "finite-ladder"])
def table(request: pytest.FixtureRequest, solved) -> PolicyTable:
    return solved(request.param)


@pytest.fixture
def path(table: PolicyTable, tmp_path: Path) -> Path:
    file = tmp_path / "table.nc"
    write_archive(table, file, created=NOON)
    return file


def test_reads_back_the_same_table(table: PolicyTable, path: Path) -> None:
    read = read_archive(path)
    assert read == table
    assert safetensors_bytes(read) == safetensors_bytes(table)


def test_both_containers_hold_the_same_bits(table: PolicyTable, path: Path) -> None:
    runtime = table_of_bytes(memoryview(safetensors_bytes(table)), "t").tensors()
    archived = read_archive(path).tensors()
    assert {name: tensor.tobytes() for name, tensor in archived.items()} == {
        name: tensor.tobytes() for name, tensor in runtime.items()
    }


def test_several_assets_and_controls(tmp_path: Path, two_assets: PolicyTable) -> None:
    write_archive(two_assets, tmp_path / "two.nc")
    assert read_archive(tmp_path / "two.nc") == two_assets
    dataset = to_xarray(two_assets)
    assert dataset["offset"].dims == ("time", "inventory_ASSET0", "inventory_ASSET1", "flow")
    assert dataset["hedge_rate"].dims == ("time", "inventory_ASSET0", "inventory_ASSET1", "asset")
    assert dataset["hedge_rate"].attrs["units"] == "units of the asset per µs"
    assert dataset["market_order"].attrs["units"] == "lots"
    assert list(dataset["symbol"].values) == ["ASSET0", "ASSET0", "ASSET1", "ASSET1"]


@pytest.mark.parametrize("name", list(dict(conformance_tables())))
def test_tables_of_every_shape(name: str, tmp_path: Path) -> None:
    table = dict(conformance_tables())[name]
    write_archive(table, tmp_path / "t.nc")
    read = read_archive(tmp_path / "t.nc")
    assert safetensors_bytes(read) == safetensors_bytes(table)
    assert to_xarray(table)["value"].shape == table.lattice_shape
    with xarray.open_dataset(tmp_path / "t.nc", engine="h5netcdf") as opened:
        assert opened["value"].shape == table.lattice_shape


def test_every_variable_has_units_and_a_description(path: Path) -> None:
    with h5netcdf.File(path, "r") as file:
        for name, variable in file.variables.items():
            assert variable.attrs["units"], name
            assert variable.attrs["description"], name
        assert file["offset"].attrs["units"] == "USD"
        assert file["value"].attrs["units"] == "USD"
        assert file["inventory"].attrs["units"] == "lots"


def test_creation_and_machine_are_outside_the_hash(table: PolicyTable, path: Path, tmp_path: Path) -> None:
    write_archive(table, tmp_path / "later.nc")
    hashes = set()
    for file in (path, tmp_path / "later.nc"):
        with h5netcdf.File(file, "r") as archive:
            hashes.add(archive.attrs["content_hash"])
            assert "Python" in str(archive.attrs["machine"])
    assert hashes == {table.content_hash}
    with h5netcdf.File(path, "r") as archive:
        assert archive.attrs["created"] == "2024-05-17T12:00:00+00:00"


def test_xarray_opens_what_to_xarray_gives(table: PolicyTable, path: Path) -> None:
    with xarray.open_dataset(path, engine="h5netcdf") as opened:
        dataset = opened.load()
    del dataset.attrs["created"], dataset.attrs["machine"]
    xarray.testing.assert_identical(dataset, to_xarray(table))


def test_dataset_answers_by_name(solved) -> None:
    table = solved("finite")
    dataset = to_xarray(table)
    assert dataset["offset"].dims == ("time", "inventory", "flow")
    assert set(dataset.coords) == {"time", "inventory", "flow", "name", "side", "size", "symbol", "asset"}
    bid = dataset["offset"].sel(inventory=2, flow="book/bid").isel(time=0)
    assert float(bid) == table.offset[0, 6, 0]
    asks = dataset["offset"].isel(time=0).where(dataset["side"] == "ask", drop=True)
    assert asks.shape == (9, 1)
    assert to_xarray(solved("glft"))["gain"].attrs["units"] == "USD per s"
    assert "time" not in to_xarray(solved("glft")).dims


def test_long_texts(solve_tiny, change, problems, tmp_path: Path) -> None:
    """HDF5 keeps attributes beyond 64 kB elsewhere; a problem with a long table must still fit."""
    offsets = np.linspace(0.0, 3.0, 6000)
    intensity = {"kind": "table", "offset": offsets.tolist(), "rate": np.exp(-1.5 * offsets).tolist()}
    solution = solve_tiny(problems["glft"])
    solution.problem_json = canonical_json(change(problems["glft"], flow__intensity=intensity))
    assert len(solution.problem_json) > 200_000
    table = PolicyTable.from_solution(solution)
    write_archive(table, tmp_path / "long.nc")
    assert read_archive(tmp_path / "long.nc") == table


def altered(path: Path, change: Callable[[Any], None]) -> None:
    """Change an archive in place, as a careless program would."""
    memory = io.BytesIO(path.read_bytes())
    with h5netcdf.File(memory, "a") as file:
        change(file)
    path.write_bytes(memory.getvalue())


def refusal(path: Path) -> TableError:
    with pytest.raises(TableError) as caught:
        read_archive(path)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value


def test_changed_number_is_refused(path: Path) -> None:
    def change(file: Any) -> None:
        file["value"][...] = np.asarray(file["value"][...]) + 1e-9

    altered(path, change)
    error = refusal(path)
    assert error.rule == "content-hash"
    assert "it was changed after it was written" in str(error)


def test_changed_word_is_refused(path: Path) -> None:
    def change(file: Any) -> None:
        file["side"][...] = np.array(["ask", "bid", *["bid"] * (file["side"].shape[0] - 2)], dtype=object)

    altered(path, change)
    assert refusal(path).rule in ("content-hash", "flow-repeated")


def test_unknown_words_are_refused(path: Path) -> None:
    def change(file: Any) -> None:
        file["side"][...] = np.array(["buy"] * file["side"].shape[0], dtype=object)

    altered(path, change)
    error = refusal(path)
    assert str(error) == f"{path}: flow_side is 'buy'; allowed: bid, ask [flow-side]"


def test_strangers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "stranger.nc"
    path.write_bytes(b"no table at all")
    assert refusal(path).rule == "archive-unreadable"
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {"x": 1}
        file.create_variable("x", ("x",), float)
    error = refusal(path)
    assert error.rule == "metadata-entry"
    assert "there is no attribute 'metadata': no table of quotegrid" in str(error)


def rewritten(path: Path, **replaced: np.ndarray | None) -> None:
    """Write an archive again with some variables replaced, or left out where None."""
    with h5netcdf.File(path, "r") as file:
        attributes = dict(file.attrs)
        held = {name: (v.dimensions, np.asarray(v[...]), v.dtype) for name, v in file.variables.items()}
    with h5netcdf.File(path, "w") as file:
        file.attrs.update(attributes)
        file.dimensions = {
            d: n for dims, data, _ in held.values() for d, n in zip(dims, data.shape, strict=True)
        }
        for name, (dimensions, data, dtype) in held.items():
            other = replaced.get(name, data)
            if other is not None:
                kind = dtype if other is data else other.dtype
                file.create_variable(name, dimensions, kind)[...] = other


@pytest.mark.parametrize("name", ["offset", "value", "side", "size", "lot_size", "inventory", "asset"])
def test_missing_variables_are_named(path: Path, name: str) -> None:
    rewritten(path, **{name: None})
    assert str(refusal(path)) == f"{path}: there is no variable {name!r} [tensor-missing]"


def test_float32_archive_is_refused(path: Path, table: PolicyTable) -> None:
    rewritten(path, value=table.value.astype(np.float32))
    assert str(refusal(path)) == f"{path}: variable 'value' is float32, not float64 [tensor-dtype]"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_archive(tmp_path / "none.nc")


def test_archives_are_told_apart_by_their_first_bytes(path: Path, tmp_path: Path, table: PolicyTable) -> None:
    runtime = tmp_path / "table.safetensors"
    runtime.write_bytes(safetensors_bytes(table))
    assert is_archive(path)
    assert not is_archive(runtime)
