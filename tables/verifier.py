"""The independent verifier: is this file a table that can be trusted?

    pip install numpy scipy && pip install --no-deps quotegrid
    python -m quotegrid.tables.verifier TABLE          exit code 0 where it passed, 1 where not

is all it takes (for a NetCDF archive also h5netcdf). Six groups of checks, none of which shares code with
the models or the solver:

    integrity     container, content hash, canonical bytes, the problem's own hash
    invariants    what any table of this problem must show (`invariants`)
    equation      each quote is the best one for the stored values; ergodic and discounted values solve theirs
    lookup        what linear lookup between the stored times adds (`lookup_error_check`)
    sensitivities do stored derivatives solve the tangent equation? (`sensitivity_check`)
    certificate   the claimed distance to the optimum, derived again (`certificate_check`)

`verify` never raises for what it finds in a file: every finding is a named check with a sentence, and a table
passes when no check fails. What cannot be checked is said, and where that concerns the problem itself it is a
failure: "not verifiable". What was proved follows the checks (`proof_text`). A table over parameters is
checked point by point (`stack_check`).
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.canonical_json import canonical_json, read_strict_json
from quotegrid.tables.check import Check, at_state, first_state, judged
from quotegrid.tables.container import is_archive
from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.safetensors_file import read_safetensors, safetensors_bytes
from quotegrid.tables.table_error import TableError
from quotegrid.tables.verification.bellman_twin import ROUNDING, bellman_operator, flow_state
from quotegrid.tables.verification.certificate_check import certificate_check
from quotegrid.tables.verification.frame import frame_checks, statement_checks
from quotegrid.tables.verification.hamiltonian_twin import best_quote, quote_scale
from quotegrid.tables.verification.intensity_twins import NotVerifiableError
from quotegrid.tables.verification.invariants import invariant_checks
from quotegrid.tables.verification.lookup_error_check import lookup_error_check
from quotegrid.tables.verification.problem_twin import ProblemTwin
from quotegrid.tables.verification.proof_text import proof_lines
from quotegrid.tables.verification.sensitivity_check import sensitivity_check
from quotegrid.tables.verification.stack_check import Proved, stack_checks, stack_proof_lines

Numbers = NDArray[np.float64]

# A stored quote may be this far from the best one, in quote scales: ten times the solver's default tolerance.
# Its worth differs by half the square of that, far below rounding.
QUOTE_TOLERANCE = 1e-9
# A residual larger than this part of the rewards it is made of is no solution, whatever the table says of
# itself.
LARGEST_RESIDUAL = 1e-6
_ABOUT = ("provenance", "uncertainty")  # parts of a problem that do not change its solution, nor its hash


@dataclass(frozen=True)
class Verification:
    """All checks of one file, in the order they were made."""

    path: str
    checks: tuple[Check, ...]
    proof: tuple[str, ...] = ()  # what was proved, as lines

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.outcome != "fail" for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome == "fail")

    def __str__(self) -> str:
        """One line for each check, what was proved, and one line for the verdict."""
        width = max(len(check.name) for check in self.checks)
        lines = [f"{check.outcome:<14}  {check.name:<{width}}  {check.sentence}" for check in self.checks]
        counts = f"{len(self.failures)} of {len(self.checks)} checks failed"
        return "\n".join([*lines, *self.proof, f"{self.path}: {'passed' if self.passed else counts}"])


def verify(path: str | os.PathLike[str]) -> Verification:
    """Check a table in either container.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    where = os.fspath(path)
    archive = is_archive(path)
    try:
        table = _read_archive(path) if archive else read_safetensors(path)
    except TableError as error:
        return Verification(where, (Check("container", "fail", str(error)),))
    kind = "NetCDF archive" if archive else "runtime file"
    read = [
        Check("container", "pass", f"a {kind} of format 1, {table.offset.size} quotes"),
        Check("content hash", "pass", f"{table.content_hash[:12]}…, as written"),
    ]
    if not archive:
        same = Path(path).read_bytes() == safetensors_bytes(table)
        read.append(
            judged(
                "canonical bytes",
                same,
                "the file is byte for byte what this table makes",
                "the file holds this table in other bytes than FORMAT.md prescribes",
            )
        )
    found = verify_table(table)
    return Verification(where, (*read, *found.checks), found.proof)


def _read_archive(path: str | os.PathLike[str]) -> PolicyTable:
    try:
        from quotegrid.tables.archive import read_archive
    except ModuleNotFoundError as error:
        raise TableError(
            "archive-unreadable",
            f"{os.fspath(path)}: NetCDF archives are read with {error.name}, which is not installed here; "
            f"install it, or verify the runtime file (.safetensors) of the same table",
        ) from None
    return read_archive(path)


def verify_table(table: PolicyTable, where: str = "the table") -> Verification:
    """The checks on what a table says, wherever it came from."""
    proved: list[Proved] = []
    if table.parameter_axes:
        checks = (_problem_hash(table), *stack_checks(table, _table_checks, proved))
        passed = all(check.outcome != "fail" for check in checks)
        return Verification(where, checks, stack_proof_lines(table, proved) if passed and proved else ())
    checks = tuple(_table_checks(table, proved))
    return Verification(where, checks, proof_lines(*proved[0]) if proved else ())


def _table_checks(table: PolicyTable, proved: list[Proved]) -> Iterator[Check]:
    yield _problem_hash(table)
    try:
        problem = ProblemTwin.from_json(table.problem_json)
    except NotVerifiableError as error:
        yield Check("problem", "fail", f"not verifiable: {error}")
        return
    if table.hedge_rate is not None or table.market_order is not None:
        yield Check("problem", "fail", "not verifiable: the verifier knows no hedging and no market orders")
        return
    if table.regimes or table.factors or table.parameter_axes:
        yield Check("problem", "fail", "not verifiable: the verifier knows no axes but time and inventory")
        return
    frame = frame_checks(table, problem)
    yield from frame
    if all(check.outcome == "pass" for check in frame):
        yield from statement_checks(table, problem)
        yield from invariant_checks(table, problem)
        yield _best_quotes(table, problem)
        yield _bellman_equation(table, problem)
        yield lookup_error_check(table, problem)
        yield sensitivity_check(table)
        check, bounds = certificate_check(table, problem)
        if check.outcome == "pass" and bounds is not None:
            proved.append(Proved(table, problem, bounds))
        yield check


def _problem_hash(table: PolicyTable) -> Check:
    """SHA-256 of the stored problem's canonical JSON, without what is only said about it."""
    name = "problem hash"
    try:
        stored = read_strict_json(table.problem_json)
    except ValueError as error:
        return Check(name, "fail", f"the problem in the table is not JSON: {error}")
    if not isinstance(stored, dict) or canonical_json(stored) != table.problem_json:
        return Check(name, "fail", "the problem in the table is not in canonical form")
    defining = {key: value for key, value in stored.items() if key not in _ABOUT}
    digest = hashlib.sha256(canonical_json(defining).encode()).hexdigest()
    return judged(
        name,
        digest == table.problem_hash,
        f"{digest[:12]}…, that of the problem stored in the table",
        f"the stored problem has hash {digest[:12]}…, the table says {table.problem_hash[:12]}…",
    )


def _best_quotes(table: PolicyTable, problem: ProblemTwin) -> Check:
    """Every stored offset maximises the Hamiltonian at the reservation offset of the stored values.

    The reservation offset p is known up to rounding r. The best offset never falls with p, so the stored one
    must lie between the best ones at p - r and p + r, widened by `QUOTE_TOLERANCE`; on ticks those are ticks.
    """
    name = "best quotes"
    worst = 0.0
    for number, (label, flow) in enumerate(zip(table.flow_labels, problem.flows, strict=True)):
        stored = table.offset[..., number]
        state = flow_state(problem, flow, table.value)
        low, high = (best_quote(flow, state.reservation + side * state.allowance).offset for side in (-1, 1))
        quoted, must, may = (
            np.isfinite(stored),
            np.isfinite(low) & np.isfinite(high),
            np.isfinite(low) | np.isfinite(high),
        )
        wrong = state.inside & ((must & ~quoted) | (quoted & ~may))
        if wrong.any():
            where = first_state(wrong)
            word = "quoted, but no quote pays" if quoted[where] else "off, but a quote pays"
            return Check(name, "fail", f"{label} at {at_state(table, where)} is {word}")
        scale = quote_scale(flow, stored)
        room = QUOTE_TOLERANCE * np.where(np.isfinite(scale), scale, 0.0) + 8 * ROUNDING * np.abs(stored)
        wrong = state.inside & ((stored < low - room) | (stored > high + room))  # False for NaN
        if wrong.any():
            where = first_state(wrong)
            best = best_quote(flow, state.reservation).offset[where]
            return Check(
                name,
                "fail",
                f"{label} at {at_state(table, where)} is {stored[where]:.9g}, but {best:.9g} "
                f"{table.price_unit} is best "
                "for the stored values",
            )
        both = state.inside & quoted & must
        gap = np.maximum(np.maximum(low - stored, stored - high), 0.0)[both]
        worst = max(worst, float(np.max(gap, initial=0.0)))
    beyond = f"to {worst:.1g} {table.price_unit} beyond rounding" if worst else "to the last bits"
    return Check(name, "pass", f"every quote is the best one for the stored values, {beyond}")


def _bellman_equation(table: PolicyTable, problem: ProblemTwin) -> Check:
    """B(θ) = ρθ + g at every state, within the stated residual and rounding."""
    name = "Bellman equation"
    if problem.horizon == "finite":
        return Check(
            name, "not applicable", "a finite horizon is checked between its times by the certificate"
        )
    operator, allowance, size = bellman_operator(problem, table.value)
    gain = 0.0 if table.gain is None else table.gain
    residual = np.abs(operator - problem.discount_rate * table.value - gain)
    allowance = allowance + 4 * ROUNDING * abs(gain)
    unit = f"{money_unit(table.price_unit)} per {table.time_unit}"
    wrong = residual > table.residual + allowance
    if wrong.any():
        where = first_state(wrong)
        return Check(
            name,
            "fail",
            f"at {at_state(table, where)} the residual is {residual[where]:.3g} {unit}, the table states "
            f"{table.residual:.3g}",
        )
    largest = LARGEST_RESIDUAL * float(np.max(size))
    return judged(
        name,
        table.residual <= largest,
        f"the residual is {float(np.max(residual)):.2g} {unit}, stated {table.residual:.2g} plus rounding",
        f"the stated residual {table.residual:.3g} {unit} is no solution: it may be {largest:.3g} at most",
    )


def main(arguments: list[str]) -> int:
    """Verify the table named on the command line and print what was found."""
    if len(arguments) != 1:
        print("usage: python -m quotegrid.tables.verifier TABLE", file=sys.stderr)
        return 2
    try:
        found = verify(arguments[0])
    except OSError as error:
        print(f"{arguments[0]}: {error.strerror or error}", file=sys.stderr)
        return 2
    print(found)
    return 0 if found.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
