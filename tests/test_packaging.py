"""The root folders are importable as quotegrid.<folder>, data files included, and by no other name."""

import importlib
import importlib.resources
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
NOT_PACKAGED = {"tests", "docs", "notebooks", "paper", "benchmarks", "build", "dist"}


def dotted(folder: Path) -> str:
    return ".".join(("quotegrid", *folder.relative_to(ROOT).parts))


def test_packages_list_names_every_folder_with_code() -> None:
    folders = {
        dotted(file.parent)
        for file in ROOT.glob("*/**/__init__.py")
        if file.relative_to(ROOT).parts[0] not in {*NOT_PACKAGED, "src"}
        and not any(part.startswith(".") for part in file.relative_to(ROOT).parts)
    }
    assert set(SETUPTOOLS["packages"]) == {"quotegrid", "quotegrid.examples", *folders}


@pytest.mark.parametrize("package", SETUPTOOLS["packages"])
def test_each_package_is_mapped_to_its_folder(package: str) -> None:
    folder = (
        "src/quotegrid" if package == "quotegrid" else package.removeprefix("quotegrid.").replace(".", "/")
    )
    mapped = SETUPTOOLS["package-dir"].get(package)
    if mapped is None:  # a package inside a mapped one follows its parent
        assert package.count(".") > 1
    else:
        assert mapped == folder
    assert (ROOT / folder).is_dir()


@pytest.mark.parametrize("package", [name for name in SETUPTOOLS["packages"] if name.count(".") == 1])
def test_editors_reach_each_package_through_a_relative_link(package: str) -> None:
    folder = package.removeprefix("quotegrid.")
    link = ROOT / "src" / "quotegrid" / folder
    assert link.is_symlink()
    assert str(link.readlink()) == f"../../{folder}"


@pytest.mark.parametrize("package", SETUPTOOLS["packages"])
def test_each_package_is_installed(package: str) -> None:
    assert importlib.util.find_spec(package) is not None


@pytest.mark.parametrize(("package", "patterns"), SETUPTOOLS["package-data"].items())
def test_package_data_is_installed(package: str, patterns: list[str]) -> None:
    folder = ROOT / SETUPTOOLS["package-dir"][package]
    names = {file.name for pattern in patterns for file in folder.glob(pattern)}
    assert names, f"{patterns} match nothing in {folder}"
    installed = {entry.name for entry in importlib.resources.files(package).iterdir()}
    assert names <= installed


def test_bare_names_import_nothing() -> None:
    names = [name.removeprefix("quotegrid.") for name in SETUPTOOLS["packages"] if name.count(".") == 1]
    code = f"import importlib.util as u; print([n for n in {names!r} if u.find_spec(n) is not None])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
