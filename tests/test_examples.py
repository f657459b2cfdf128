"""The shipped problem files: all can be read, and the numbers their comments promise come out."""

from pathlib import Path

import numpy as np
import pytest

import quotegrid as qg
from quotegrid.shipped_examples import UnknownExampleError, example_names, example_text, example_title

FOLDER = Path(__file__).resolve().parents[1] / "examples"


def at_start(name: str) -> tuple[dict[str, float], dict[str, float], float]:
    """Offsets at zero inventory and at one lot, and the value at zero, all at the first stored time."""
    file = qg.read_problem_file(FOLDER / f"{name}.toml")
    solution = qg.solve(file.problem, numerics=file.numerics, table=file.table)
    flat = int(np.flatnonzero(solution.inventories[0] == 0.0)[0])
    labels = [f"{flow.name}/{flow.side}" for flow in solution.flows]
    zero, one = (dict(zip(labels, solution.offset[0, flat + lots], strict=True)) for lots in (0, 1))
    return zero, one, float(solution.value[0, flat])


def test_the_folder_is_what_is_shipped() -> None:
    assert example_names() == tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@pytest.mark.parametrize("name", example_names())
def test_each_example_is_a_problem_with_a_title_and_a_source(name: str) -> None:
    file = qg.read_problem_file(FOLDER / f"{name}.toml")
    assert file.problem.provenance is not None
    assert 20 <= len(example_title(name)) <= 80
    assert example_text(f"{name}.toml") == (FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def test_avellaneda_stoikov_asks_for_what_its_comment_says() -> None:
    zero, one, _ = at_start("avellaneda-stoikov-2008")
    spread = zero["book/bid"] + zero["book/ask"]
    skew = (one["book/ask"] - one["book/bid"]) / 2
    assert round(spread, 2) == 1.34
    assert round(-skew, 3) == 0.052


def test_glft_is_stationary_at_the_start() -> None:
    zero, one, _ = at_start("glft-2013")
    # the stationary offsets of the paper's first parameter set, to every digit known
    assert round(zero["book/bid"], 6) == round(zero["book/ask"], 6) == 3.313045
    assert round(one["book/bid"], 6) == 3.381168


def test_dealer_ladder_meets_the_paper() -> None:
    zero, _, value = at_start("fx-dealer-ladder")
    # arXiv 2603.07752, toxicity 0.1 bp and no rejection: spread 0.89 bp, value 195.1
    assert round(zero["1M/bid"] + zero["1M/ask"], 2) == 0.89
    assert round(value, 1) == 195.1


def test_the_readme_tells_what_the_perpetual_gives(solved_example) -> None:
    table = qg.read_table(solved_example[0])
    (flat,) = np.flatnonzero(table.inventories[0] == 0.0)
    bid, ask = table.offset[flat]
    assert table.gain is not None
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert f"| {bid:.3f} below, {ask:.3f} above the mid |" in readme
    assert f"| {table.gain * 3600:.1f} USD/h |" in readme


def test_unknown_example_names_the_nearest() -> None:
    with pytest.raises(UnknownExampleError, match=r"^No shipped example is called 'eth'\. There are avell"):
        example_text("eth")
    with pytest.raises(UnknownExampleError, match=r"Did you mean 'cartea-jaimungal'\?"):
        example_text("cartea-jaimungall")
