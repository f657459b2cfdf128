"""`quotegrid export`: the format by the file's suffix, units on the screen, nothing half-written."""

import sys
from pathlib import Path

import pytest

import quotegrid.tables.exports
from quotegrid.command_line import BAD_INPUT, DONE, run
from quotegrid.table_files import write_table


def test_export(tmp_path: Path, table_by_hand, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    table = str(tmp_path / "table.safetensors")
    write_table(table_by_hand(), table)
    begins = {
        ".csv": b"inventory,flow,",
        ".parquet": b"PAR1",
        ".npz": b"PK\x03\x04",
        ".h": b"/* Quotes for XYZ",
    }
    for suffix, content in begins.items():
        path = tmp_path / f"out{suffix}"
        assert run(["export", table, "-o", str(path)]) == DONE
        assert path.read_bytes().startswith(content)
        assert "prices in USD, times in s, inventories and sizes in lots" in capsys.readouterr().out
    (tmp_path / "folder.csv").mkdir()
    for place, message in (("none/out.csv", "there is no folder "), ("folder.csv", "it is a folder")):
        assert run(["export", table, "-o", str(tmp_path / place)]) == BAD_INPUT
        shown = capsys.readouterr().err
        assert message in shown and "internal error" not in shown
    assert run(["export", table, "-o", "out.xlsx"]) == BAD_INPUT
    assert "exported to files that end in .csv, .parquet, .npz, .h" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "quotegrid.tables.exports.parquet", raising=False)
    monkeypatch.delattr(quotegrid.tables.exports, "parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run(["export", table, "-o", str(tmp_path / "none.parquet")]) == BAD_INPUT
    assert "install quotegrid[parquet], or export to .csv" in capsys.readouterr().err
    assert not (tmp_path / "none.parquet").exists()
