"""The notebooks: each runs anywhere, shows its pictures, holds no logic, and is stored without outputs."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any

import nbformat
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.util import run_sync

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
SECONDS_PER_CELL = 600  # generous: a solve compiles first, and machines that run tests are busy

# What the kernel's machinery warns of (event loops, sockets, folders) depends on the machine.
pytestmark = pytest.mark.filterwarnings("ignore")
Kernel = tuple[AsyncKernelManager, dict[str, str]]  # and its environment
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


class WatchedChannel(AsyncZMQSocketChannel):
    """Looks for messages every second: on busy machines, wake-ups were missed, and seen only at a timeout."""

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:
        end = float("inf") if timeout is None else monotonic() + timeout
        while True:
            left = end - monotonic()
            try:
                return await super().get_msg(timeout=min(max(left, 0.0), 1.0))
            except Empty:
                if left <= 0.0:
                    raise


class WatchedClient(AsyncKernelClient):
    shell_channel_class = WatchedChannel
    iopub_channel_class = WatchedChannel


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_of(notebook: nbformat.NotebookNode) -> str:
    """All code cells as one program, without the lines meant for IPython."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return "\n".join(line for cell in cells for line in cell.splitlines() if not line.startswith("%"))


@pytest.fixture(scope="module")
def kernel(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for all notebooks, as importing and compiling take longer than most of them; and its
    environment: what it compiles is kept beside pytest's own cache.
    """
    cache = pytestconfig.cache
    folder = tmp_path_factory.mktemp("cache") if cache is None else cache.mkdir("notebooks")
    manager = AsyncKernelManager(kernel_name="python3", client_factory=WatchedClient)
    yield manager, os.environ | {"XDG_CACHE_HOME": str(folder)}
    if manager.has_kernel:
        run_sync(manager.shutdown_kernel)(now=True)


def executed(path: Path, folder: Path, kernel: Kernel) -> nbformat.NotebookNode:
    """The notebook and its outputs, run in `folder` by this interpreter; raises where a cell does."""
    notebook = read(path)
    # names of the notebook before are gone, so each must define and import what it uses
    begin = nbformat.v4.new_code_cell(f"%reset -f\nimport os\nos.chdir({str(folder)!r})\ndel os")
    notebook.cells.insert(0, begin)
    manager, environment = kernel
    client = NotebookClient(notebook, km=manager, timeout=SECONDS_PER_CELL)
    client.execute(env=environment)
    assert client.kc is not None
    client.kc.stop_channels()
    del notebook.cells[0]
    return notebook


def found_in(notebook: nbformat.NotebookNode) -> str:
    """All that was printed or shown as text."""
    return "\n".join([printed(notebook), *shown(notebook, "text/plain")])


def slid(notebook: nbformat.NotebookNode) -> int:
    """How many pictures stand below sliders, at their first position."""
    models = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    outputs = [output for model in models for output in model["state"].get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    return len([output for output in outputs if "image/png" in output.get("data", {})])


def check_answer(notebook: nbformat.NotebookNode, *numbers: str) -> None:
    """The last cell is the answer, and the numbers it states came out of the cells before."""
    answer, said = notebook.cells[-1].source, found_in(notebook)
    assert answer.startswith("## The answer")
    for number in numbers:
        assert number in answer and number in said, number


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


def test_from_data_to_table_runs(tmp_path: Path, kernel: Kernel) -> None:
    notebook = executed(NOTEBOOKS[0], tmp_path, kernel)
    assert len(notebook.cells) == 10
    assert len(shown(notebook, "image/png")) == 2  # the fit and the policy
    text = printed(notebook)
    assert "Proved, of the problem stored in the table:" in text and "demo.safetensors: passed" in text
    assert "[uncertainty]" in text
    assert "describes these orders as well as chance allows" in text  # the recording is drawn from one
    assert 'kind = "ergodic"' in text
    assert "10 lots {'book/bid': None," in text  # at the limit nothing more is bought
    assert list(tmp_path.iterdir()) == []  # a notebook leaves nothing behind in the folder it runs in


def test_sensitivities_of_a_perpetual(tmp_path: Path, kernel: Kernel) -> None:
    notebook = executed(NOTEBOOKS[1], tmp_path, kernel)
    assert len(shown(notebook, "image/png")) == 2 and slid(notebook) == 1  # +10 % of each; doubled
    check_answer(notebook, "0.127 → 0.134", "0.274", "0.425", "13.50", "12.92", "0.012 USD", "0.158 USD")
    text = printed(notebook)
    assert "+10%: quotes move up to 0.033 USD, the shift misses up to 0.012 USD" in text
    assert "a warm solve: " in text
    assert "ETH-PERP: sensitivities at inventory 10" in found_in(notebook)
    assert list(tmp_path.iterdir()) == []


def test_how_far_is_the_formula(tmp_path: Path, kernel: Kernel) -> None:
    notebook = executed(NOTEBOOKS[2], tmp_path, kernel)
    assert len(shown(notebook, "image/png")) == 1 and slid(notebook) == 1
    check_answer(notebook, "4.26%", "27.55%", "+78%", "0.09%", "0.10%", "1.74%", "10.40%", "74.52%", "0.03%")
    text = printed(notebook)
    assert "γ = 0.1: worth 61.403 USD a day of 64.133, loses 4.26%" in text
    for lots, error in ((5, 9), (10, 33), (19, 78)):  # the published errors of GLFT's bid
        assert f"{lots:2d} lots long: the bid offset is +{error}% off" in text
    assert list(tmp_path.iterdir()) == []


def test_choosing_risk_aversion(tmp_path: Path, kernel: Kernel) -> None:
    notebook = executed(NOTEBOOKS[3], tmp_path, kernel)
    assert len(shown(notebook, "image/png")) == 1 and slid(notebook) == 1
    check_answer(notebook, "2.08 lots", "13.807", "γ = 0.00152", "13.97 USD per h", "γ = 0.07482", "7.81766")
    text = printed(notebook)
    assert "γ = 0.07482, P&L 12.99 USD per h" in text
    assert "no parameter gives inventory_deviation = 15: " in text and "stays between 0 and 7.81766" in text
    assert list(tmp_path.iterdir()) == []


def test_what_calibration_errors_do(tmp_path: Path, kernel: Kernel) -> None:
    notebook = executed(NOTEBOOKS[4], tmp_path, kernel)
    assert len(shown(notebook, "image/png")) == 1 and slid(notebook) == 1
    check_answer(notebook, "± 0.0022 USD", "80%", "43%", "0.025 USD per h", "0.06%")
    assert "over all inventories the two differ by up to 9%" in printed(notebook)  # of 200: ± 5 % each
    assert list(tmp_path.iterdir()) == []


def test_what_rounding_costs(tmp_path: Path, kernel: Kernel) -> None:
    notebook = executed(NOTEBOOKS[5], tmp_path, kernel)
    assert len(shown(notebook, "image/png")) == 2 and slid(notebook) == 1
    check_answer(notebook, "0.0034 USD per h", "7.2636 USD per h", "1.9640", "0.3735 USD per h", "0.1458")
    text = printed(notebook)
    assert "tick 0.01 USD: 0.0034 USD per h if rounded to the nearest, 0.0034 if solved for" in text
    assert "float32                      0.0000 USD per h" in text
    assert list(tmp_path.iterdir()) == []
