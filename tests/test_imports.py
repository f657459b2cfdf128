"""Which way the arrows point: every import, those inside functions too, against the permitted ones."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# folder -> what its files may import of the project; the folder itself is always permitted
PERMITTED = {
    "models": (),
    "solver": ("quotegrid.models.contract", "quotegrid.models.problem"),
    "tables": (),
    "calibration": ("quotegrid.models",),
    "simulation": ("quotegrid.models", "quotegrid.tables"),
    "analysis": ("quotegrid.models", "quotegrid.solver", "quotegrid.tables"),
}

# folder inside tables/ -> the other such folders its files may import; what stands beside them is common
PERMITTED_IN_TABLES = {
    "conformance": (),
    "documents": (),
    "exports": (),
    "numba_reader": (),
    "publication": ("documents",),
    "verification": (),
}
ABOVE_THEM = "verifier.py"  # asks `verification`; nothing else beside the folders looks into one

# folder -> packages of others it must do without
FORBIDDEN = {
    "models": ("typer", "rich", "matplotlib", "xarray", "h5netcdf", "h5py"),
    "solver": ("typer", "rich", "matplotlib", "xarray", "h5netcdf", "h5py", "pydantic"),
    "tables": ("typer", "rich", "matplotlib", "jax", "jaxtyping", "pydantic"),
}


@dataclass(frozen=True)
class Import:
    """One imported module: where it stands, and whether inside a function."""

    file: Path
    line: int
    module: str
    lazy: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def imports_of(file: Path) -> Iterator[Import]:
    """Every import statement of a file, and every `import_module("…")` with a constant name."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, lazy)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} is a relative import"
            assert node.module is not None
            if is_package(node.module):
                for alias in node.names:
                    yield Import(file, node.lineno, f"{node.module}.{alias.name}", lazy)
            else:
                yield Import(file, node.lineno, node.module, lazy)
        elif isinstance(node, ast.Call) and called_name(node) in ("import_module", "__import__"):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield Import(file, node.lineno, argument.value, True)
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(ast.parse(file.read_text(encoding="utf-8")), False)


def called_name(call: ast.Call) -> str:
    """The last word of what is called: `import_module` for `importlib.import_module(…)`."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def is_package(module: str) -> bool:
    """Whether a name is one of the project's packages, from which names of modules may be imported."""
    parts = module.split(".")
    return parts[0] == "quotegrid" and (len(parts) == 1 or ROOT.joinpath(*parts[1:]).is_dir())


def files_of(folder: str) -> list[Path]:
    """The Python files of a top-level folder."""
    return sorted((ROOT / folder).rglob("*.py"))


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


FOLDERS = [folder for folder in PERMITTED if (ROOT / folder).is_dir()]


def test_every_package_has_a_rule(checkout: Path) -> None:
    packages = {file.parent.name for file in checkout.glob("*/__init__.py")}
    assert packages == set(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_arrows_point_one_way(folder: str) -> None:
    permitted = (f"quotegrid.{folder}", *PERMITTED[folder])
    wrong = [
        str(found)
        for file in files_of(folder)
        for found in imports_of(file)
        if within(found.module, "quotegrid") and not any(within(found.module, name) for name in permitted)
    ]
    assert not wrong, f"{folder}/ may import {permitted} of the project"


@pytest.mark.parametrize("folder", PERMITTED_IN_TABLES)
def test_arrows_inside_tables_point_one_way(folder: str) -> None:
    others = {other for other in PERMITTED_IN_TABLES if other not in (folder, *PERMITTED_IN_TABLES[folder])}
    files = files_of(f"tables/{folder}")
    wrong = [
        str(found)
        for file in files
        for found in imports_of(file)
        if any(within(found.module, f"quotegrid.tables.{other}") for other in others)
    ]
    assert files and not wrong


def test_what_is_common_to_tables_looks_into_none_of_its_folders() -> None:
    assert {path.parent.name for path in (ROOT / "tables").glob("*/__init__.py")} == set(PERMITTED_IN_TABLES)
    common = [path for path in (ROOT / "tables").glob("*.py") if path.name != ABOVE_THEM]
    wrong = [
        str(found)
        for file in common
        for found in imports_of(file)
        if any(within(found.module, f"quotegrid.tables.{folder}") for folder in PERMITTED_IN_TABLES)
    ]
    assert common and not wrong


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder in FORBIDDEN])
def test_packages_of_others_stay_in_their_rooms(folder: str) -> None:
    wrong = [
        str(found)
        for file in files_of(folder)
        for found in imports_of(file)
        if found.module.split(".")[0] in FORBIDDEN[folder]
    ]
    assert not wrong


@pytest.mark.parametrize("folder", FOLDERS)
def test_lazy_imports_live_in_the_front_door_alone(folder: str) -> None:
    """And where a machine with NumPy and SciPy alone verifies tables, which may lack what archives need."""
    lazy = [str(found) for file in files_of(folder) for found in imports_of(file) if found.lazy]
    bare_machine = [word for word in lazy if re.fullmatch(r"tables/verifier.py:\d+ .*tables.archive", word)]
    assert lazy == bare_machine


def test_nothing_imports_the_rooms_for_people() -> None:
    rooms = ("tests", "notebooks", "paper", "benchmarks", "docs")
    files = [file for folder in (*FOLDERS, "src/quotegrid") for file in files_of(folder)]
    wrong = [
        str(found) for file in files for found in imports_of(file) if found.module.split(".")[0] in rooms
    ]
    assert not wrong


def test_the_walk_sees_what_is_hidden(tmp_path: Path) -> None:
    file = tmp_path / "hidden.py"
    file.write_text(
        "from quotegrid import solver\n"
        "def f():\n    import quotegrid.tables\n"
        "async def g():\n    from quotegrid.models.problem import Problem\n"
        "h = lambda: importlib.import_module('quotegrid.analysis')\n"
    )
    found = {(each.module, each.lazy) for each in imports_of(file)}
    assert found == {
        ("quotegrid.solver", False),
        ("quotegrid.tables", True),
        ("quotegrid.models.problem", True),
        ("quotegrid.analysis", True),
    }
