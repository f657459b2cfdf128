"""The runtime file: layout, reproducible bytes, the hash by hand, foreign readers, hostile changes."""

import hashlib
import json
import mmap
from pathlib import Path

import numpy as np
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st

from quotegrid.tables import PolicyTable, TableError, read_safetensors, write_safetensors
from quotegrid.tables.safetensors_file import safetensors_bytes, table_of_bytes


@pytest.fixture(params=["glft", "finite-ladder"])
def table(request: pytest.FixtureRequest, solved) -> PolicyTable:
    return solved(request.param)


@pytest.fixture
def path(table: PolicyTable, tmp_path: Path) -> Path:
    file = tmp_path / "table.safetensors"
    write_safetensors(table, file)
    return file


def test_reads_back_the_same_table(table: PolicyTable, path: Path) -> None:
    read = read_safetensors(path)
    assert read == table
    assert read.metadata() == table.metadata()
    for name, tensor in table.tensors().items():
        mine = read.tensors()[name]
        assert (mine.dtype, mine.shape, mine.tobytes()) == (tensor.dtype, tensor.shape, tensor.tobytes()), (
            name
        )


def test_layout(path: Path, table: PolicyTable) -> None:
    file = path.read_bytes()
    start = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:start])
    assert start % 64 == 0
    bare = file[8:start].rstrip(b" ")
    assert bare.endswith(b"}")
    assert start - 8 - len(bare) < 64
    assert list(header) == ["__metadata__", *table.tensors()]
    assert list(header.pop("__metadata__")) == ["quotegrid", "content_hash", "metadata"]
    end = 0
    for entry in header.values():
        assert entry["dtype"] in ("F64", "I64")
        assert entry["data_offsets"][0] == end
        end = entry["data_offsets"][1]
    assert start + end == len(file)


def test_the_same_table_makes_the_same_bytes(table: PolicyTable, path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    write_safetensors(read_safetensors(path), again)
    assert again.read_bytes() == path.read_bytes() == safetensors_bytes(table)


def test_content_hash_by_hand(table: PolicyTable, path: Path) -> None:
    """FORMAT.md §5, with nothing but a search for 64 digits."""
    file = path.read_bytes()
    digits = table.content_hash.encode()
    assert file.count(digits) == 1
    assert file[57:121] == digits
    assert hashlib.sha256(file.replace(digits, b"0" * 64)).hexdigest() == table.content_hash


def test_foreign_reader_sees_the_same_numbers(table: PolicyTable, path: Path) -> None:
    with safetensors.safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(table.tensors())
        for name, tensor in table.tensors().items():
            assert file.get_tensor(name).tobytes() == tensor.tobytes()
        assert json.loads(file.metadata()["metadata"])["status"] == "converged"
        assert bytes(file.get_tensor("unit")[0]).rstrip(b"\0") == b"USD"


def test_numbers_are_mapped_and_not_copied(path: Path) -> None:
    table = read_safetensors(path)
    owner = table.offset
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, memoryview)
    assert isinstance(owner.obj, mmap.mmap)
    assert not table.offset.flags.writeable


def test_a_mapped_table_outlives_its_replacement(path: Path, solved) -> None:
    old = read_safetensors(path)
    before = old.offset.tobytes()
    write_safetensors(solved("penalty"), path)
    assert old.offset.tobytes() == before
    assert read_safetensors(path) == solved("penalty")


def test_words_outside_of_ascii(solved, solve_tiny, change, problems, tmp_path: Path) -> None:
    problem = change(problems["glft"], units={"price": '€ "quoted" \\ ☃', "time": "µs"})
    table = PolicyTable.from_solution(solve_tiny(problem))
    write_safetensors(table, tmp_path / "t.safetensors")
    assert read_safetensors(tmp_path / "t.safetensors").price_unit == '€ "quoted" \\ ☃'


@settings(max_examples=300)
@given(data=st.data())
def test_no_flipped_bit_goes_unseen(data: st.DataObject, solved) -> None:
    file = bytearray(safetensors_bytes(solved("glft")))
    place = data.draw(st.integers(0, len(file) - 1))
    file[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(TableError):
        table_of_bytes(memoryview(bytes(file)), "t")


@settings(max_examples=200)
@given(data=st.data())
def test_no_cut_goes_unseen(data: st.DataObject, solved) -> None:
    file = safetensors_bytes(solved("glft"))
    cut = file[: data.draw(st.integers(0, len(file) - 1))]
    with pytest.raises(TableError):
        table_of_bytes(memoryview(cut), "t")


WORDS = ["__metadata__", "quotegrid", "value", "dtype", "shape", "data_offsets"]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON_TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS), inner),
    max_leaves=20,
)
OPENING = '{"__metadata__":{"quotegrid":"1","content_hash":"%s","metadata":"{}"}' % ("0" * 64)


def file_of(header: str, data: bytes = bytes(8)) -> memoryview:
    """A file with this header, padded as it must be."""
    text = header.encode()
    text += b" " * (-(8 + len(text)) % 64)
    return memoryview(len(text).to_bytes(8, "little") + text + data)


@settings(max_examples=200)
@given(header=st.dictionaries(st.sampled_from(WORDS), JSON_TREES), data=st.binary(max_size=64))
def test_headers_of_any_shape_are_refused_by_name(header: object, data: bytes) -> None:
    with pytest.raises(TableError):
        table_of_bytes(file_of(json.dumps(header), data), "t")


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ('{"dtype":"F64","shape":[0,90071992547409930],"data_offsets":[0,0]}', "header-form"),
        ('{"dtype":"F64","shape":[0,900719925474099],"data_offsets":[0,0]}', "tensor-shape"),
        ('{"dtype":"F64","shape":[16777217,16777217],"data_offsets":[0,8]}', "tensor-shape"),
        ('{"dtype":"F64","shape":[%s],"data_offsets":[0,8]}' % ("1," * 12 + "1"), "tensor-shape"),
        ('{"dtype":"F64","shape":[1],"data_offsets":[8,16]}', "tensor-offsets"),
        ('{"dtype":"F64","shape":[1],"data_offsets":[8,0]}', "tensor-size"),
        ('{"dtype":"F16","shape":[1],"data_offsets":[0,8]}', "tensor-dtype"),
        ('{"dtype":"f64","shape":[1],"data_offsets":[0,8]}', "header-form"),
        ('{"dtype":"F64","shape":[01],"data_offsets":[0,8]}', "header-form"),
        ('{"dtype":"F64","shape":[1,],"data_offsets":[0,8]}', "header-form"),
        ('{"dtype":"F64","shape":[1.0],"data_offsets":[0,8]}', "header-form"),
        ('{"dtype":"F64","shape":[-1],"data_offsets":[0,8]}', "header-form"),
        ('{"dtype":"F64","shape":1,"data_offsets":[0,8]}', "header-form"),
        ('{"dtype":"F64","shape":[1],"data_offsets":[8]}', "header-form"),
        ('{"shape":[1],"dtype":"F64","data_offsets":[0,8]}', "header-form"),
        ('{"dtype":"F64","shape":[1]}', "header-form"),
        ("[]", "header-form"),
    ],
)
def test_hostile_entries(entry: str, rule: str) -> None:
    with pytest.raises(TableError) as caught:
        table_of_bytes(file_of(f'{OPENING},"x":{entry}}}'), "t")
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        ('{"__metadata__":{"quotegrid":1}}', "metadata-entry"),
        ('{"__metadata__":{"quotegrid":"1","other":"x"}}', "header-form"),
        ('{"__metadata__":"quotegrid"}', "metadata-entry"),
        ("{}", "metadata-entry"),
        ('{"__metadata__":{"quotegrid":"10"}}', "format-version"),
        ('{"__metadata__":{"quotegrid":"', "format-version"),
        (OPENING, "header-form"),
        (OPENING + "}\n", "header-form"),
        (OPENING + "}{", "header-form"),
        (OPENING.replace("0", "A") + "}", "header-form"),
        (OPENING.replace("{}", "\\n") + "}", "header-form"),
        (OPENING.replace("{}", "\x7f") + "}", "header-form"),
        (OPENING.replace("{}", "ü") + "}", "header-form"),
        (OPENING + "}", "data-too-long"),
    ],
    ids=lambda text: text[-40:],
)
def test_hostile_headers(header: str, rule: str) -> None:
    with pytest.raises(TableError) as caught:
        table_of_bytes(file_of(header), "t")
    assert caught.value.rule == rule


def test_a_promise_of_a_huge_tensor_takes_no_memory() -> None:
    entry = '{"dtype":"F64","shape":[281474976710656],"data_offsets":[0,2251799813685248]}'
    with pytest.raises(TableError) as caught:
        table_of_bytes(file_of(f'{OPENING},"x":{entry}}}'), "t")
    assert caught.value.rule == "data-too-short"


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.safetensors"
    path.touch()
    with pytest.raises(TableError) as caught:
        read_safetensors(path)
    assert str(caught.value) == f"{path}: the file is empty [file-too-short]"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_safetensors(tmp_path / "none.safetensors")
    with pytest.raises(IsADirectoryError):
        read_safetensors(tmp_path)


def test_changed_file_says_so(path: Path) -> None:
    file = bytearray(path.read_bytes())
    file[-1] ^= 1
    path.write_bytes(file)
    with pytest.raises(TableError) as caught:
        read_safetensors(path)
    assert caught.value.rule == "content-hash"
    assert "it was changed after it was written; write the table again" in str(caught.value)
    assert str(caught.value).startswith(str(path))
