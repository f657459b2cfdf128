"""`quotegrid document`: Markdown on the screen, Markdown or HTML in a file."""

from pathlib import Path

import pytest

from quotegrid.command_line import BAD_INPUT, DONE, run
from quotegrid.table_files import write_table


def test_document(tmp_path: Path, table_by_hand, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.safetensors"
    write_table(table_by_hand(), table)
    assert run(["document", str(table)]) == DONE
    shown = capsys.readouterr().out
    assert shown.startswith("# Model documentation: quotes for XYZ\n")
    assert run(["document", str(table), "-o", str(tmp_path / "page.md")]) == DONE
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == shown
    assert capsys.readouterr().out == f"written: {tmp_path / 'page.md'}\n"
    assert run(["document", str(table), "-o", str(tmp_path / "page.html")]) == DONE
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and "<h1>Model documentation: quotes for XYZ</h1>" in text
    assert "fetch" not in text and "src=" not in text
    assert run(["document", str(table), "-o", "page.pdf"]) == BAD_INPUT
    assert "page.pdf: the page's file ends in .md or .html" in capsys.readouterr().err
