"""The front door stays light: no JAX where none is needed, and no setting changed by an import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import quotegrid
from quotegrid.table_files import write_table

WITHOUT_JAX = """
import sys
sys.modules["jax"] = sys.modules["jaxlib"] = None  # any import of them now fails
from quotegrid.command_line import run
sys.exit(run({arguments!r}))
"""


def python(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own, with warnings as errors."""
    command = [sys.executable, "-W", "error", *flags, "-c", code]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        *([command, "--help"] for command in ("solve", "show", "quote", "verify", "calibrate", "schema")),
        ["example"],
        ["example", "glft-2013"],
        ["show", "TABLE"],
        ["show", "TABLE", "--plot", "PICTURE"],
        ["quote", "TABLE", "--inventory", "3"],
        ["quote", "TABLE", "--inventory", "-3", "--json"],
        ["verify", "TABLE"],
    ],
    ids=" ".join,
)
def test_runs_without_jax(arguments: list[str], solved_example, tmp_path: Path) -> None:
    words = {"TABLE": str(solved_example[0]), "PICTURE": str(tmp_path / "quotes.png")}
    done = python(WITHOUT_JAX.format(arguments=[words.get(word, word) for word in arguments]))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_archive_is_shown_without_jax(tmp_path: Path, table_by_hand) -> None:
    path = tmp_path / "table.nc"
    write_table(table_by_hand(), path)
    done = python(WITHOUT_JAX.format(arguments=["show", str(path)]))
    assert done.returncode == 0, done.stderr


def test_quote_loads_little(solved_example) -> None:
    heavy = ("jax", "scipy", "xarray", "h5py", "h5netcdf", "matplotlib", "rich", "safetensors", "tomlkit")
    code = (
        "import sys\nfrom quotegrid.command_line import run\n"
        f"assert run(['quote', {str(solved_example[0])!r}, '--inventory', '0', '--json']) == 0\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = python(code)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_solving_loads_no_scipy() -> None:
    """It takes half as long to load as JAX."""
    done = python("import sys, quotegrid.solver\nprint('scipy' in sys.modules)")
    assert done.stdout == "False\n", done.stderr


def test_importing_changes_no_setting() -> None:
    code = """
import importlib, os, pkgutil
import jax, matplotlib, numpy

def settings():
    return dict(jax.config.values), numpy.geterr(), dict(matplotlib.rcParams), dict(os.environ)

before = settings()
import quotegrid
for module in pkgutil.walk_packages(quotegrid.__path__, "quotegrid."):
    if module.name != "quotegrid.__main__":
        importlib.import_module(module.name)
for name in quotegrid.__all__:
    getattr(quotegrid, name)
assert settings() == before
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_public_names_are_those_type_checkers_see() -> None:
    source = Path(quotegrid.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    told = {
        alias.name: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == {name: f"quotegrid.{module}" for name, module in vars(quotegrid)["_HOME"].items()}
    assert set(vars(quotegrid)["__all__"]) == {*told, "__version__"}
    assert set(vars(quotegrid)["__all__"]) <= set(dir(quotegrid))


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'quotegrid' has no attribute 'nothing'$"):
        _ = quotegrid.nothing  # pyright: ignore[reportAttributeAccessIssue]
