"""Twenty deliberate faults, one at a time, and what the verifier says of each.

    python benchmarks/planted_faults.py            writes planted_faults.md beside this file

A fault in the solver is planted by solving the problem that the faulty solver would in effect solve, and
storing its values, quotes and certificate under the problem that was asked for. Exit code 1 if one is missed.
"""

import copy
import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from quotegrid.models.problem import TableRequest
from quotegrid.models.problem_file import parse_problem
from quotegrid.solver import solve
from quotegrid.tables import PolicyTable
from quotegrid.tables.policy_table import canonical_numbers
from quotegrid.tables.safetensors_file import safetensors_bytes
from quotegrid.tables.verification import quote_bounds
from quotegrid.tables.verification.bellman_twin import flow_state
from quotegrid.tables.verification.hamiltonian_twin import best_quote
from quotegrid.tables.verification.problem_twin import ProblemTwin
from quotegrid.tables.verification.stationary_bounds import stationary_bounds
from quotegrid.tables.verifier import Verification, verify

Tree = dict[str, Any]

TIMES = TableRequest(times=13)
ERGODIC: Tree = {
    "format": 1,
    "units": {"price": "USD", "time": "s"},
    "market": {"symbol": "XYZ", "lot_size": 0.5},
    "inventory": {"max": 5},
    "price": {"volatility": 0.3, "drift": 0.002, "carry": 0.001, "reference": 100.0},
    "preferences": {"kind": "cara", "risk_aversion": 0.2},
    "flow": [
        {
            "name": "book",
            "side": "both",
            "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5},
            "fee": 0.01,
            "proportional_fee": 0.0002,
            "adverse": {"on": "fills", "jump": 0.05},
        },
        {
            "name": "block",
            "side": "both",
            "size": 2,
            "intensity": {"kind": "exponential", "A": 0.2, "k": 1.0},
        },
    ],
    "horizon": {"kind": "ergodic"},
}
FINITE: Tree = {
    **ERGODIC,
    "horizon": {"kind": "finite", "duration": 6.0, "terminal": {"quadratic": 0.02, "absolute": 0.1}},
}


def problem(base: Tree = ERGODIC, **changes: Any) -> Tree:
    """A copy with keys replaced: `price__drift=…`; `flow__…` is a key of the first flow."""
    tree = copy.deepcopy(base)
    for path, value in changes.items():
        block, _, key = path.partition("__")
        if key:
            (tree["flow"][0] if block == "flow" else tree[block])[key] = value
        else:
            tree[block] = value
    return tree


def solved(tree: Tree) -> PolicyTable:
    finite = tree["horizon"]["kind"] == "finite"
    return PolicyTable.from_solution(solve(parse_problem(tree).problem, table=TIMES if finite else None))


def stored_as(table: PolicyTable, asked: Tree) -> PolicyTable:
    """The numbers of a table under the problem that was asked for."""
    true = solved(asked)
    return dataclasses.replace(
        table,
        problem_json=true.problem_json,
        problem_hash=true.problem_hash,
        lot_sizes=true.lot_sizes,
        flows=true.flows,
    )


def instead(asked: Tree, done: Tree) -> Callable[[], PolicyTable]:
    """A solver that is asked for one problem and solves another."""
    return lambda: stored_as(solved(done), asked)


def with_numbers(table: PolicyTable, **arrays: np.ndarray) -> PolicyTable:
    return dataclasses.replace(table, **{name: canonical_numbers(array) for name, array in arrays.items()})


def greedy(table: PolicyTable, value: np.ndarray) -> PolicyTable:
    """Other values, with the best quotes for them."""
    twin, columns = ProblemTwin.from_json(table.problem_json), []
    for flow in twin.flows:
        state = flow_state(twin, flow, value)
        columns.append(np.where(state.inside, best_quote(flow, state.reservation).offset, np.nan))
    return with_numbers(table, value=value, offset=np.stack(columns, axis=-1))


def sign_of_the_skew() -> PolicyTable:
    """p from θ(q) - θ(q - s·z): at each inventory the quotes of the opposite one, off where they must be."""
    table = solved(ERGODIC)
    mirrored = np.where(np.isfinite(table.offset), table.offset[::-1], np.nan)
    return with_numbers(table, offset=np.where(np.isfinite(mirrored), mirrored, table.offset))


def off_by_one_at_the_limits() -> PolicyTable:
    """The lattice has a state too many on each side; the table is cut to size."""
    wide = solved(problem(inventory__max=6))
    true = solved(ERGODIC)
    cut = with_numbers(true, value=wide.value[1:-1], offset=wide.offset[1:-1])
    return dataclasses.replace(cut, gain=wide.gain, certificate=wide.certificate, residual=wide.residual)


def a_flow_dropped() -> PolicyTable:
    """The larger size is left out of the equation, its quotes are then made for the values found."""
    table, poor = solved(ERGODIC), solved(problem(flow=ERGODIC["flow"][:1]))
    found = greedy(table, poor.value)
    return dataclasses.replace(found, gain=poor.gain, certificate=poor.certificate, residual=poor.residual)


def stale_values() -> PolicyTable:
    """One iteration too few: an error of 1e-6, the residual of the last one."""
    table = solved(ERGODIC)
    value = table.value * (1.0 + 1e-6)
    return greedy(table, value)


def stale_values_with_their_residual() -> PolicyTable:
    """The same, the residual stated as it is: only the certificate is false."""
    return dataclasses.replace(stale_values(), residual=3e-7)


def a_later_time_repeated() -> PolicyTable:
    """One stored time is that of the step before, with its best quotes."""
    table = solved(FINITE)
    value = table.value.copy()
    value[5] = value[6]
    return greedy(table, value)


def horizon_too_long() -> PolicyTable:
    """Values of 6.006 s to go where there are 6, and so on."""
    table = solved(problem(FINITE, horizon={**FINITE["horizon"], "duration": 6.006}))
    assert table.times is not None
    times = table.times / 1.001
    times[-1] = 6.0
    return stored_as(with_numbers(table, times=times), FINITE)


def lambda_for_the_tilted_rate() -> PolicyTable:
    """Passage times of Λ, not of Λe^{-ξZ(δ - p)}: 21 times too short where ξZ/k = 20."""
    book = {"name": "book", "side": "both", "intensity": {"kind": "exponential", "A": 0.9, "k": 1.5}}
    table = solved(problem(preferences__risk_aversion=60.0, price={"volatility": 0.02}, flow=[book]))
    table = greedy(table, table.value + 1e-9 * table.inventories[0] ** 2)
    twin = ProblemTwin.from_json(table.problem_json)

    def untilted(flow: Any, p: np.ndarray) -> Any:
        best = best_quote(flow, p)
        return best._replace(slope=flow.effective_units * np.exp(best.log_rate))

    with mock.patch.object(quote_bounds, "best_quote", untilted):
        claim = stationary_bounds(table, twin)
    assert claim.gain is not None
    stated = {"value_error": claim.value, "quote_error": claim.quote, "regret": claim.regret}
    certificate = {**table.certificate, **stated, "gain_interval": list(claim.gain)}
    return dataclasses.replace(
        table, certificate=certificate, residual=claim.regret, gain=sum(claim.gain) / 2
    )


def rounding_left_out() -> PolicyTable:
    """A certificate of exactly no error."""
    table = solved(ERGODIC)
    value = greedy(table, table.value + 1e-11 * table.inventories[0] ** 2)
    return dataclasses.replace(value, residual=1e-9, certificate={**table.certificate, "value_error": 0.0})


FILLS = {"on": "fills", "jump": 0.05}
SIGMA_FOR_ITS_SQUARE = problem(price__volatility=0.3**0.5)
LOTS_FOR_UNITS = problem(price__volatility=0.6)  # q in lots makes the penalty 1/0.5² times as large
WRONG_INVENTORY = problem(flow__fee=0.01 - 0.05)  # ε·s·q/z, not ε·s·(q + s·z)/z
NO_MULTIPLIER = problem(flow__proportional_fee=0.0, flow__fee=0.01 + 0.0002 * 100.0)
NO_TERMINAL = problem(FINITE, horizon={"kind": "finite", "duration": 6.0})
DISCOUNTED = problem(horizon={"kind": "discounted", "rate": 0.05})
TICK = problem(flow__tick=0.1)

# what goes wrong → the table it leaves behind
FAULTS: dict[str, Callable[[], PolicyTable]] = {
    "the skew has the wrong sign": sign_of_the_skew,
    "the fee is missing": instead(ERGODIC, problem(flow__fee=0.0)),
    "the proportional fee is a cost, but does not scale the size": instead(ERGODIC, NO_MULTIPLIER),
    "the jump at fills falls on the inventory before the fill": instead(ERGODIC, WRONG_INVENTORY),
    "jumps at fills are taken for markouts": instead(
        ERGODIC, problem(flow__adverse={**FILLS, "on": "markout"})
    ),
    "the lattice is off by one at the limits": off_by_one_at_the_limits,
    "σ for σ² in the penalty": instead(ERGODIC, SIGMA_FOR_ITS_SQUARE),
    "ξ = 0 in the Hamiltonian where it is γ": instead(
        ERGODIC, problem(preferences__hamiltonian_risk_aversion=0.0)
    ),
    "a flow is dropped from the equation": a_flow_dropped,
    "the terminal condition is ignored": instead(FINITE, NO_TERMINAL),
    "stale values, their quotes the best for them": stale_values,
    "stale values, their residual stated": stale_values_with_their_residual,
    "one stored time holds the values of the next": a_later_time_repeated,
    "Λ for the tilted rate in the certificate": lambda_for_the_tilted_rate,
    "the certificate leaves out an error of 1e-11": rounding_left_out,
    "lots for units in the penalty": instead(ERGODIC, LOTS_FOR_UNITS),
    "the carry has the wrong sign": instead(ERGODIC, problem(price__carry=-0.001)),
    "the discount rate is ten per cent too small": instead(
        DISCOUNTED, problem(DISCOUNTED, horizon={"kind": "discounted", "rate": 0.045})
    ),
    "the horizon is a tenth of a per cent too long": horizon_too_long,
}
FLIPPED_BYTE = "one byte of the file is flipped"
SOUND = "no fault"


def verification_of(fault: str) -> Verification:
    """Plant a fault, write the table, verify the file."""
    table = solved(ERGODIC) if fault in (FLIPPED_BYTE, SOUND) else FAULTS[fault]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.safetensors"
        file = bytearray(safetensors_bytes(table))
        if fault == FLIPPED_BYTE:
            file[-200] ^= 4
        path.write_bytes(file)
        return verify(path)


def main() -> int:
    """Plant all of them, write what was found, and say how many were missed."""
    names = [*FAULTS, FLIPPED_BYTE]
    lines = [
        "# Planted faults",
        "",
        f"Written by `python benchmarks/planted_faults.py`. {len(names)} faults, planted one at a time;",
        "the checks of `quotegrid verify` that found each, and what the first of them says.",
        "",
        "| fault | found by | in its words |",
        "| --- | --- | --- |",
    ]
    missed = 0
    for name in names:
        failures = verification_of(name).failures
        missed += not failures
        words = failures[0].sentence.split("table.safetensors: ")[-1] if failures else "**missed**"
        lines.append(f"| {name} | {', '.join(check.name for check in failures)} | {words} |")
        print(lines[-1], flush=True)
    sound = verification_of(SOUND).passed
    lines += [
        "",
        f"The table without a fault {'passes' if sound else 'FAILS'}; {missed} faults are missed.",
        "",
    ]
    Path(__file__).with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")
    return int(missed > 0 or not sound)


if __name__ == "__main__":
    sys.exit(main())
