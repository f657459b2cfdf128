"""The verifier passes true solutions and finds planted faults, each by the check that is meant to."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.tables import PolicyTable, write_safetensors
from quotegrid.tables.archive import write_archive
from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.check import Check
from quotegrid.tables.policy_table import canonical_numbers
from quotegrid.tables.safetensors_file import safetensors_bytes
from quotegrid.tables.verifier import Verification, main, verify, verify_table


def failed(checks: tuple[Check, ...]) -> dict[str, str]:
    """Name → sentence of the checks that failed."""
    return {check.name: check.sentence for check in checks if check.outcome == "fail"}


def outcome(checks: tuple[Check, ...], name: str) -> str:
    return next(check.outcome for check in checks if check.name == name)


def with_numbers(table: PolicyTable, **arrays: np.ndarray) -> PolicyTable:
    return dataclasses.replace(table, **{name: canonical_numbers(array) for name, array in arrays.items()})


def with_problem(table: PolicyTable, tree: dict[str, Any]) -> PolicyTable:
    """The table of another problem, hash and all: only the numbers are stale."""
    text = canonical_json(tree)
    return dataclasses.replace(
        table, problem_json=text, problem_hash=hashlib.sha256(text.encode()).hexdigest()
    )


def test_true_solutions_pass(problem_name: str, solved) -> None:
    checks = verify_table(solved(problem_name)).checks
    assert failed(checks) == {}
    assert outcome(checks, "best quotes") == "pass"
    assert outcome(checks, "off where it must be") == "pass"


def test_what_applies_is_checked(solved) -> None:
    """Nothing hides behind "not applicable": where each check is made, and why not elsewhere."""
    by_problem = {
        name: {check.name: check.outcome for check in verify_table(solved(name)).checks}
        for name in ("glft", "bounds", "tick", "ladder", "finite", "discounted", "market-orders", "fills")
    }
    assert by_problem["glft"] == {
        "problem hash": "pass",
        "axes": "pass",
        "flows": "pass",
        "units": "pass",
        "status": "pass",
        "stated errors": "pass",
        "off where it must be": "pass",
        "bounds and ticks": "not applicable",
        "mirror": "pass",
        "order of quotes": "pass",
        "bias at the target": "pass",
        "terminal value": "not applicable",
        "best quotes": "pass",
        "Bellman equation": "pass",
        "lookup between times": "not applicable",
        "certificate": "not applicable",
        "sensitivities": "not applicable",
    }
    passing = {
        "bounds and ticks": {"bounds", "tick"},
        "mirror": {"glft", "bounds", "tick", "finite", "discounted", "market-orders", "fills"},
        "order of quotes": {"glft", "tick", "finite", "discounted", "fills"},
        "bias at the target": {"glft", "bounds", "tick", "ladder", "market-orders", "fills"},
        "terminal value": {"finite"},
        "lookup between times": {"finite"},
        "Bellman equation": set(by_problem) - {"finite"},
    }
    for check, names in passing.items():
        assert {name for name, found in by_problem.items() if found[check] == "pass"} == names, check


# name → problem, the fault, the check that must find it, and words of its sentence
Fault = Callable[[PolicyTable], PolicyTable]


def flipped_skew(table: PolicyTable) -> PolicyTable:
    return with_numbers(table, offset=table.offset[::-1])


def swapped_sides(table: PolicyTable) -> PolicyTable:
    return with_numbers(table, offset=table.offset[..., ::-1])


def shifted_by_one(table: PolicyTable) -> PolicyTable:
    return with_numbers(table, offset=np.roll(table.offset, 1, axis=-2))


def quoted_at_the_limit(table: PolicyTable) -> PolicyTable:
    offset = table.offset.copy()
    offset[..., -1, 0] = offset[..., -2, 0]
    return with_numbers(table, offset=offset)


def off_within_the_limits(table: PolicyTable) -> PolicyTable:
    offset = table.offset.copy()
    offset[..., 3, 0] = np.nan
    return with_numbers(table, offset=offset)


def slightly_wrong_quote(table: PolicyTable) -> PolicyTable:
    offset = table.offset.copy()
    offset[..., 3, 0] += 1e-7
    return with_numbers(table, offset=offset)


def off_the_tick(table: PolicyTable) -> PolicyTable:
    offset = table.offset.copy()
    offset[..., 3, 0] += 0.01
    return with_numbers(table, offset=offset)


def one_tick_away(table: PolicyTable) -> PolicyTable:
    offset = table.offset.copy()
    offset[..., 3, 0] = np.rint(offset[..., 3, 0] / 0.1 + 1) * 0.1
    return with_numbers(table, offset=offset)


def outside_the_bounds(table: PolicyTable) -> PolicyTable:
    offset = table.offset.copy()
    offset[..., 3, 0] = 0.85
    return with_numbers(table, offset=offset)


def stale_value(table: PolicyTable) -> PolicyTable:
    """The value of one more iteration than the quotes."""
    lots = table.inventories[0]
    return with_numbers(table, value=table.value - 1e-3 * lots**2)


def other_gain(table: PolicyTable) -> PolicyTable:
    assert table.gain is not None
    return dataclasses.replace(table, gain=table.gain * (1 + 1e-9))


def shifted_bias(table: PolicyTable) -> PolicyTable:
    return with_numbers(table, value=table.value + 0.5)


def understated_residual(table: PolicyTable) -> PolicyTable:
    """Values and quotes agree, but they do not solve the equation as well as the table says."""
    value = table.value.copy()
    value[0] += 1e-6
    return with_numbers(table, value=value)


def honest_but_no_solution(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, residual=1.0)


def hours_for_seconds(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, time_unit="h")


def cents_for_dollars(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, price_unit="cent")


def other_lot(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, lot_sizes=(0.01,))


def other_symbol(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, symbols=("ABC",))


def without_fee(table: PolicyTable) -> PolicyTable:
    """The numbers of a solver that forgot the fee."""
    tree = json.loads(table.problem_json)
    tree["flow"][0]["fee"] = 0.05
    return with_problem(table, tree)


def without_proportional_fee_in_the_size(table: PolicyTable) -> PolicyTable:
    """Fee in the reservation offset, but z where z·m belongs."""
    offset = table.offset.copy()
    for column, m in ((0, 1.0005), (1, 0.9995)):
        right = np.log1p(0.05 * m / 1.5) / (0.05 * m)
        offset[..., column] += np.log1p(0.05 / 1.5) / 0.05 - right
    return with_numbers(table, offset=offset)


def fills_taken_for_markout(table: PolicyTable) -> PolicyTable:
    tree = json.loads(table.problem_json)
    tree["flow"][0]["adverse"]["on"] = "fills"
    return with_problem(table, tree)


def other_xi(table: PolicyTable) -> PolicyTable:
    """The numbers of ξ = γ in the table of a problem with ξ = 0."""
    tree = json.loads(table.problem_json)
    tree["preferences"]["hamiltonian_risk_aversion"] = 0.0
    return with_problem(table, tree)


def other_order_of_flows(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, flows=table.flows[::-1])


def missing_flow(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(
        table, flows=table.flows[:-1], offset=canonical_numbers(table.offset[..., :-1])
    )


def other_inventories(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, inventories=(canonical_numbers(table.inventories[0] + 1),))


def gain_of_a_discounted_problem(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, gain=1.0)


def stopped_early(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, status="iteration limit", status_message="Not settled.")


def other_terminal_value(table: PolicyTable) -> PolicyTable:
    tree = json.loads(table.problem_json)
    tree["horizon"]["terminal"]["quadratic"] *= 2
    return with_problem(table, tree)


def reversed_time(table: PolicyTable) -> PolicyTable:
    return with_numbers(table, value=table.value[::-1], offset=table.offset[::-1])


def shorter_horizon(table: PolicyTable) -> PolicyTable:
    assert table.times is not None
    return dataclasses.replace(table, times=canonical_numbers(table.times * 0.5))


def no_lookup_error(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, lookup_error=None)


def lookup_error_without_time(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, lookup_error={"offset": 0.0, "value": 0.0})


def understated_lookup_error(table: PolicyTable) -> PolicyTable:
    assert table.lookup_error is not None
    return dataclasses.replace(
        table, lookup_error={**table.lookup_error, "offset": 0.9 * table.lookup_error["offset"]}
    )


def understated_lookup_error_of_values(table: PolicyTable) -> PolicyTable:
    assert table.lookup_error is not None
    return dataclasses.replace(
        table, lookup_error={**table.lookup_error, "value": 0.9 * table.lookup_error["value"]}
    )


def other_problem_hash(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, problem_hash="0" * 64)


def problem_with_spaces(table: PolicyTable) -> PolicyTable:
    return dataclasses.replace(table, problem_json=json.dumps(json.loads(table.problem_json)))


def quoted_where_nothing_fills(table: PolicyTable) -> PolicyTable:
    offset = table.offset.copy()
    offset[3, 0] = 0.5
    return with_numbers(table, offset=offset)


def quoted_where_no_quote_pays(table: PolicyTable) -> PolicyTable:
    offset = table.offset.copy()
    offset[6, 0] = 0.49
    return with_numbers(table, offset=offset)


def off_where_a_quote_pays(table: PolicyTable) -> PolicyTable:
    offset = table.offset.copy()
    offset[2, 0] = np.nan
    return with_numbers(table, offset=offset)


def asymmetric_values(table: PolicyTable) -> PolicyTable:
    return with_numbers(table, value=table.value + 1e-4 * table.inventories[0])


FAULTS: list[tuple[str, Fault, str, str]] = [
    (
        "glft",
        flipped_skew,
        "off where it must be",
        "book/bid is quoted at inventory 4 lots, where a fill would leave",
    ),
    ("glft", swapped_sides, "off where it must be", "book/bid is quoted at inventory 4 lots"),
    ("glft", swapped_sides, "order of quotes", "book/bid falls with inventory above inventory -3 lots"),
    ("glft", shifted_by_one, "off where it must be", "inventory"),
    ("glft", shifted_by_one, "best quotes", "book/bid at inventory -4 lots is off, but a quote pays"),
    ("ladder", quoted_at_the_limit, "off where it must be", "one/bid is quoted at inventory 5 lots"),
    (
        "ladder",
        off_within_the_limits,
        "off where it must be",
        "one/bid is off at inventory -2 lots, within the limits",
    ),
    ("glft", slightly_wrong_quote, "best quotes", "book/bid at inventory -1 lots is"),
    ("glft", slightly_wrong_quote, "mirror", "book/ask at the opposite inventory"),
    ("finite", slightly_wrong_quote, "best quotes", "book/bid at inventory -1 lots, time 0 s is"),
    ("tick", off_the_tick, "bounds and ticks", "no multiple of the tick 0.1"),
    ("tick", one_tick_away, "best quotes", "book/bid at inventory -1 lots is"),
    (
        "bounds",
        outside_the_bounds,
        "bounds and ticks",
        "book/bid is 0.85 USD at inventory -1 lots, outside of its bounds",
    ),
    ("glft", stale_value, "best quotes", "is best for the stored values"),
    ("glft", stale_value, "Bellman equation", "the residual is"),
    ("glft", other_gain, "Bellman equation", "the table states"),
    (
        "glft",
        shifted_bias,
        "bias at the target",
        "the bias at the target inventory, 0 lots, is 0.5 and not 0",
    ),
    ("discounted", shifted_bias, "Bellman equation", "the residual is 0.025 USD per s"),
    ("power", understated_residual, "Bellman equation", "at inventory -4 lots the residual is"),
    (
        "glft",
        honest_but_no_solution,
        "Bellman equation",
        "the stated residual 1 USD per s is no solution",
    ),
    ("glft", hours_for_seconds, "units", "the time unit is h, the problem says s"),
    ("glft", cents_for_dollars, "units", "the price unit is cent, the problem says USD"),
    ("glft", other_lot, "units", "the lot size is 0.01, the problem says 1.0"),
    ("glft", other_symbol, "units", "the symbol is ABC, the problem says XYZ"),
    ("glft", without_fee, "best quotes", "is best for the stored values"),
    ("finite", without_fee, "best quotes", "is best for the stored values"),
    (
        "proportional-fee",
        without_proportional_fee_in_the_size,
        "best quotes",
        "is best for the stored values",
    ),
    ("markout", fills_taken_for_markout, "best quotes", "is best for the stored values"),
    ("glft", other_xi, "best quotes", "is best for the stored values"),
    (
        "glft",
        other_order_of_flows,
        "flows",
        "the table has book/ask of 1 lots where the problem has book/bid of 1",
    ),
    ("glft", missing_flow, "flows", "1 flows, the problem has 2"),
    (
        "glft",
        other_inventories,
        "axes",
        "the inventory axis is not every lot from -4 to 4, as the problem says",
    ),
    (
        "discounted",
        gain_of_a_discounted_problem,
        "axes",
        "the horizon is discounted, but the table has no time axis and a gain",
    ),
    ("finite", shorter_horizon, "axes", "the time axis runs from 0 to 4, the problem from 0 to 8 s"),
    ("glft", stopped_early, "status", "the solver ended with 'iteration limit': Not settled."),
    (
        "finite",
        other_terminal_value,
        "terminal value",
        "at the end, inventory -4 lots is worth -0.72, the problem says -1.04",
    ),
    ("finite", reversed_time, "terminal value", "at the end, inventory -4 lots is worth"),
    (
        "finite",
        no_lookup_error,
        "stated errors",
        "the error of linear lookup between the stored times is not stated",
    ),
    ("finite", understated_lookup_error, "lookup between times", "quotes looked up between stored times err"),
    (
        "finite-ladder",
        understated_lookup_error_of_values,
        "lookup between times",
        "values looked up between stored times err by",
    ),
    ("glft", lookup_error_without_time, "stated errors", "the table has no time axis"),
    ("glft", other_problem_hash, "problem hash", "the table says 000000000000…"),
    ("glft", problem_with_spaces, "problem hash", "the problem in the table is not in canonical form"),
    ("one-side-never-fills", quoted_where_nothing_fills, "off where it must be", "where its rate is 0"),
    (
        "linear-goes-off",
        quoted_where_no_quote_pays,
        "best quotes",
        "book/bid at inventory 2 lots is quoted, but no quote pays",
    ),
    (
        "linear-goes-off",
        off_where_a_quote_pays,
        "best quotes",
        "book/bid at inventory -2 lots is off, but a quote pays",
    ),
    (
        "glft",
        asymmetric_values,
        "mirror",
        "the value at inventory -4 lots is not that at the opposite inventory",
    ),
]


@pytest.mark.parametrize(
    ("name", "fault", "check", "words"), FAULTS, ids=[f"{f[0]}-{f[1].__name__}-{f[2]}" for f in FAULTS]
)
def test_planted_faults_are_found(name: str, fault: Fault, check: str, words: str, solved) -> None:
    found = failed(verify_table(fault(solved(name))).checks)
    assert check in found
    assert words in found[check]


def test_faults_by_hundredths_of_the_promised_accuracy_pass(solved) -> None:
    """A quote that is off by 1e-10 quote scales is as good as exact; the checks are no tighter than the
    promise.
    """
    table = solved("glft")
    assert failed(verify_table(with_numbers(table, offset=table.offset + 1e-10)).checks) == {}


def test_rounded_residuals_are_no_faults(problem_name: str, solved) -> None:
    """The last bits of the values may be others: rounding is allowed for, term by term."""
    table = solved(problem_name)
    value = table.value * (1 + np.finfo(float).eps)
    if table.times is not None:
        value[-1] = table.value[-1]
    assert failed(verify_table(with_numbers(table, value=value)).checks) == {}


def test_not_verifiable(solved) -> None:
    table = solved("glft")
    tree = json.loads(table.problem_json)
    tree["flow"][0]["intensity"] = {"kind": "cauchy", "A": 1.0}
    assert failed(verify_table(with_problem(table, tree)).checks) == {
        "problem": "not verifiable: the verifier knows no intensity of kind 'cauchy'; "
        "known: exponential, logistic, power, linear, table"
    }
    hedged = dataclasses.replace(table, hedge_rate=np.zeros((9, 1)))
    assert failed(verify_table(hedged).checks) == {
        "problem": "not verifiable: the verifier knows no hedging and no market orders"
    }


def test_lookup_is_not_judged_where_the_equation_cannot_be_followed(
    solved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quotegrid.tables.verification.reintegration.MOST_PIECES", 1)
    checks = verify_table(solved("finite-ladder")).checks
    assert outcome(checks, "lookup between times") == "not applicable"
    assert failed(checks) == {}


def test_problems_may_say_where_they_come_from(solved) -> None:
    """Provenance travels in the problem and is no part of its hash."""
    table = solved("glft")
    tree = json.loads(table.problem_json) | {"provenance": {"source": "by hand"}}
    assert failed(verify_table(dataclasses.replace(table, problem_json=canonical_json(tree))).checks) == {}


@pytest.fixture(params=["table.safetensors", "table.nc"])
def path(request: pytest.FixtureRequest, solved, tmp_path: Path) -> Path:
    file = tmp_path / request.param
    (write_archive if file.suffix == ".nc" else write_safetensors)(solved("glft"), file)
    return file


def test_verify_reads_both_containers(path: Path) -> None:
    found = verify(path)
    assert found.passed
    assert found.failures == ()
    assert [check.name for check in found.checks[:2]] == ["container", "content hash"]
    assert str(found).splitlines()[-1] == f"{path}: passed"
    assert all(check.name in str(found) for check in found.checks)


def test_verify_of_a_faulty_table(path: Path, solved) -> None:
    write = write_archive if path.suffix == ".nc" else write_safetensors
    write(stale_value(solved("glft")), path)
    found = verify(path)
    assert not found.passed
    assert {check.name for check in found.failures} == {"best quotes", "Bellman equation"}
    assert str(found).splitlines()[-1].startswith(f"{path}: 2 of ")


def test_flipped_byte(tmp_path: Path, solved) -> None:
    path = tmp_path / "t.safetensors"
    file = bytearray(safetensors_bytes(solved("glft")))
    file[-200] ^= 4
    path.write_bytes(file)
    found = verify(path)
    assert [check.name for check in found.checks] == ["container"]
    assert "it was changed after it was written" in found.checks[0].sentence


def test_other_bytes_of_the_same_table(tmp_path: Path, solved) -> None:
    """A file of another writer may keep the rules and still not be what FORMAT.md prescribes."""
    path = tmp_path / "t.safetensors"
    file = safetensors_bytes(solved("glft"))
    end = 8 + int.from_bytes(file[:8], "little")
    header = file[8:end] + b" " * 64  # more padding than is needed
    digits = solved("glft").content_hash.encode()
    other = (len(header).to_bytes(8, "little") + header + file[end:]).replace(digits, b"0" * 64)
    path.write_bytes(other.replace(b"0" * 64, hashlib.sha256(other).hexdigest().encode(), 1))
    assert {check.name for check in verify(path).failures} == {"canonical bytes"}


def test_axes_that_the_verifier_does_not_know(solved) -> None:
    table = solved("glft")
    more = dataclasses.replace(
        table,
        regimes=("calm",),
        value=canonical_numbers(table.value[None]),
        offset=canonical_numbers(table.offset[None]),
    )
    (failure,) = verify_table(more).failures
    assert failure.sentence == "not verifiable: the verifier knows no axes but time and inventory"


def test_strangers(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(b"hello")
    assert verify(path) == Verification(
        str(path), (Check("container", "fail", f"{path}: 5 bytes are too few for a table [file-too-short]"),)
    )
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "none")


ONLY_NUMPY_AND_SCIPY = """
import runpy, sys
for name in 'jax jaxlib jaxtyping pydantic xarray typer rich h5netcdf h5py tomlkit matplotlib'.split():
    sys.modules[name] = None
sys.argv[0] = 'verifier'
runpy.run_module('quotegrid.tables.verifier', run_name='__main__')
"""


def run_without_the_rest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m quotegrid.tables.verifier` where nothing but NumPy and SciPy is installed."""
    command = [sys.executable, "-c", ONLY_NUMPY_AND_SCIPY, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_needs_only_numpy_and_scipy(tmp_path: Path, solved) -> None:
    path = tmp_path / "table.safetensors"
    write_safetensors(solved("glft"), path)
    done = run_without_the_rest(str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{path}: passed"
    write_safetensors(stale_value(solved("glft")), path)
    failing = run_without_the_rest(str(path))
    assert failing.returncode == 1
    assert failing.stdout.splitlines()[-1].startswith(f"{path}: 2 of ")


def test_archives_need_their_library(tmp_path: Path, solved) -> None:
    path = tmp_path / "table.nc"
    write_archive(solved("glft"), path)
    done = run_without_the_rest(str(path))
    assert done.returncode == 1
    assert "are read with h5netcdf, which is not installed here; install it, or verify" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "usage: python -m quotegrid.tables.verifier TABLE"),
        (("a", "b"), "usage: "),
        (("/no/such/table",), "/no/such/table: No such file or directory"),
    ],
)
def test_command_line_of_the_module(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(arguments)) == 2
    assert words in capsys.readouterr().err


def test_the_report_fits_one_screen(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checks, proof, verdict: no more than 32 lines of no more than 132 characters, and exit codes."""
    assert main([str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 32
    assert max(map(len, lines)) <= 132
