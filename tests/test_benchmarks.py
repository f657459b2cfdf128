"""The benchmarks: their scripts import, and README.md names every page. No times are asserted."""

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_scripts_import(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))  # they import their siblings
    spec = importlib.util.spec_from_file_location(f"benchmark_{script.stem}", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.__doc__


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_pages_are_named_in_the_readme(page: Path) -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert page.name == "README.md" or f"({page.name})" in text


def test_pictures_are_shown_on_a_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in FOLDER.glob("*.md"))
    for picture in FOLDER.glob("*.png"):
        assert f"({picture.name})" in pages
