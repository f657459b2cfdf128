"""Three of the twenty planted faults; `benchmarks/planted_faults.py` plants them all."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "planted_faults.py"


@pytest.fixture(scope="module")
def planted() -> dict:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("the fee is missing", "Bellman equation"),
        ("Λ for the tilted rate in the certificate", "certificate"),
        ("one byte of the file is flipped", "container"),
    ],
)
def test_planted_faults_are_caught(fault: str, check: str, planted: dict) -> None:
    found = planted["verification_of"](fault)
    assert not found.passed
    assert check in {failure.name for failure in found.failures}


def test_the_table_without_a_fault_passes(planted: dict) -> None:
    assert planted["verification_of"](planted["SOUND"]).passed


def test_there_are_twenty(planted: dict) -> None:
    assert len(planted["FAULTS"]) + 1 == 20
    written = SCRIPT.with_suffix(".md").read_text(encoding="utf-8")
    assert all(f"| {fault} | " in written for fault in planted["FAULTS"])
    assert "passes; 0 faults are missed." in written
