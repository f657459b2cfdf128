"""The notebooks: each runs anywhere, shows its pictures, holds no logic, and is stored without outputs."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
SECONDS_PER_CELL = 600  # generous: a solve compiles first, and machines that run tests are busy

# What the kernel's machinery warns of (event loops, sockets, folders) depends on the machine.
pytestmark = pytest.mark.filterwarnings("ignore")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_of(notebook: nbformat.NotebookNode) -> str:
    """All code cells as one program, without the lines meant for IPython."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return "\n".join(line for cell in cells for line in cell.splitlines() if not line.startswith("%"))


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook and its outputs, run in `folder` by this interpreter; raises where a cell does."""
    notebook = read(path)
    NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return notebook


def shown(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """What cells displayed of one kind, in order."""
    return [
        output.data[kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def printed(notebook: nbformat.NotebookNode) -> str:
    """Everything that was written to standard output."""
    return "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
    )


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@each_notebook
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@each_notebook
def test_a_notebook_holds_no_logic(path: Path) -> None:
    """What deserves a name and a definition deserves a package and tests."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert not [
        node.name for node in ast.walk(ast.parse(code_of(read(path)))) if isinstance(node, definitions)
    ]


def test_from_data_to_table_runs(tmp_path: Path) -> None:
    notebook = executed(NOTEBOOKS[0], tmp_path)
    assert len(notebook.cells) == 10
    assert len(shown(notebook, "image/png")) == 2  # the fit and the policy
    text = printed(notebook)
    assert "Proved, of the problem stored in the table:" in text and "demo.safetensors: passed" in text
    assert "[uncertainty]" in text
    assert "describes these orders as well as chance allows" in text  # the recording is drawn from one
    assert 'kind = "ergodic"' in text
    assert "10 lots {'book/bid': None," in text  # at the limit nothing more is bought
    assert list(tmp_path.iterdir()) == []  # a notebook leaves nothing behind in the folder it runs in
