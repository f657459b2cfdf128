"""The root folders are importable as quotegrid.<folder>, data files included, and by no other name."""

import importlib
import importlib.resources
import importlib.util
import shutil
import subprocess
import sys
import tomllib
import zipfile
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
    names = {file.relative_to(folder).parts for pattern in patterns for file in folder.glob(pattern)}
    assert names, f"{patterns} match nothing in {folder}"
    installed = importlib.resources.files(package)
    assert [name for name in names if not installed.joinpath(*name).is_file()] == []


def test_bare_names_import_nothing() -> None:
    names = [name.removeprefix("quotegrid.") for name in SETUPTOOLS["packages"] if name.count(".") == 1]
    code = f"import importlib.util as u; print([n for n in {names!r} if u.find_spec(n) is not None])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout, built from a copy so that nothing is left behind here."""
    copy, out = tmp_path_factory.mktemp("copy") / "quotegrid", tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=unwanted)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "-w", str(out), str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"quotegrid"}
    assert "quotegrid/py.typed" in names
    data = {
        f"{package.replace('.', '/')}/{file.relative_to(folder).as_posix()}"
        for package, patterns in SETUPTOOLS["package-data"].items()
        for folder in (ROOT / SETUPTOOLS["package-dir"][package],)
        for pattern in patterns
        for file in folder.glob(pattern)
        if not file.name.startswith(".")  # settings of the sources' own tools
    }
    assert data <= set(names)
    folders = {str(Path(name).parent).replace("/", ".") for name in names if ".dist-info" not in name}
    of_data = {str(Path(name).parent).replace("/", ".") for name in data}
    assert folders == set(SETUPTOOLS["packages"]) | of_data
    assert not any(name.endswith(".py") for name in data)


def test_wheel_works_where_it_is_unpacked(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import quotegrid, quotegrid.solver\n"
        "from quotegrid.command_line import run\n"
        f"assert quotegrid.solver.__file__.startswith({str(tmp_path)!r}), quotegrid.solver.__file__\n"
        "sys.exit(run(['example', 'eth-perpetual']))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (ROOT / "examples" / "eth-perpetual.toml").read_text(encoding="utf-8")
