"""The one public verb: a problem in, a solution out.

Runs on the host in double precision whatever JAX's settings, and returns NumPy. A problem is one argument of the compiled
kernels: new numbers run the same code, only a new structure (flows, sizes, limits, kinds) compiles again.
"""

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quotegrid.models.problem import Numerics, Problem, ProblemError, TableRequest, canonical_json, problem_hash
from quotegrid.solver.discretise import discretise, inventory_lattices
from quotegrid.solver.finite_horizon import FiniteResult, solve_finite
from quotegrid.solver.methods import EXTRAPOLATED_EULER, IMPLICIT_EULER, Choice, choose_method
from quotegrid.solver.policy_iteration import StationarySolution, policy_iteration
from quotegrid.solver.solution import FlowLabel, Solution
from quotegrid.solver.status import SolveError, Status


def solve(
    problem: Problem,
    *,
    numerics: Numerics | None = None,
    table: TableRequest | None = None,
    throw: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Solution:
    """Solve a market maker's problem: value, optimal offsets, gain, and how well it went.

    Args:
        problem: what is controlled; concrete numbers.
        numerics: method and tolerance; by default chosen by asking the problem, and 1e-10 of the quote scale.
        table: at which times a finite-horizon solution is wanted; 101 well-placed ones by default.
        throw: raise if the solve does not converge; otherwise return the solution with its status.
        progress: called with the fraction done, now and then.

    Returns:
        The solution; value in currency, offsets in price units, gain in currency per time unit.

    Raises:
        SolveError: not converged (typed status, one sentence), if `throw`.
        ValueError: a method or table that does not fit the problem.
    """
    numerics = Numerics() if numerics is None else numerics
    table = TableRequest() if table is None else table
    choice = choose_method(problem, numerics.method)
    with jax.enable_x64(True):
        leaves = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), problem)
        if problem.horizon.kind == "finite":
            solution = _finite(problem, leaves, choice, numerics, table, progress or _ignore)
        else:
            _refuse_times(table, problem.horizon.kind)
            solution = _stationary(problem, leaves, choice, numerics)
    if throw and solution.status is not Status.CONVERGED:
        raise SolveError(f"{solution.status}: {solution.status_message} " + " ".join(solution.notes), solution)
    return solution


def _ignore(_: float) -> None:
    """Nobody watches."""


def _refuse_times(table: TableRequest, kind: str) -> None:
    for key in ("times", "max_lookup_error"):
        if getattr(table, key) is not None:
            raise ValueError(
                f'table.{key} = {getattr(table, key)}: a table of a problem with horizon.kind = "{kind}" has no times; '
                'remove the key or set horizon.kind = "finite".'
            )


def _finite(
    problem: Problem, leaves: Problem, choice: Choice, numerics: Numerics, table: TableRequest, progress: Callable
) -> Solution:
    result = solve_finite(leaves, choice, numerics, table, progress)
    notes: tuple[str, ...] = ()
    status = Status.CONVERGED if result.sound else _finite_failure(result)
    if not result.sound and numerics.method is None and choice.method != IMPLICIT_EULER:
        choice = Choice(IMPLICIT_EULER, f"{choice.method} failed ({status}), and this is the monotone fallback")
        result = solve_finite(leaves, choice, numerics, table, progress)
        status = Status.TOLERANCE_NOT_REACHED if result.sound else _finite_failure(result)
    if choice.method == IMPLICIT_EULER:
        notes = (f"First order in time: the steps' estimated errors add up to {result.defect:.2g} in value.",)
    return _record(
        problem,
        times=result.times,
        value=result.value,
        offset=result.offset,
        gain=None,
        status=status,
        choice=choice,
        residual=result.defect,
        iterations=result.steps,
        lookup_error=result.lookup_error,
        notes=notes,
    )


def _finite_failure(result: FiniteResult) -> Status:
    return Status.TOLERANCE_NOT_REACHED if np.all(np.isfinite(result.value)) else Status.UNBOUNDED_QUOTES


@partial(jax.jit, static_argnums=2)
def _stationary_kernel(problem: Problem, tolerance: Array, ergodic: bool) -> StationarySolution:
    return policy_iteration(discretise(problem), ergodic, tolerance)


def _stationary(problem: Problem, leaves: Problem, choice: Choice, numerics: Numerics) -> Solution:
    ergodic = problem.horizon.kind == "ergodic"
    found = _stationary_kernel(leaves, jnp.asarray(numerics.tolerance, float), ergodic)
    found = jax.tree.map(np.asarray, found)
    status, notes = Status.CONVERGED, ()
    if not bool(found.converged):
        status = Status.ITERATION_LIMIT if np.all(np.isfinite(found.theta)) else Status.UNBOUNDED_QUOTES
    offset = np.moveaxis(np.where(found.policy.quoted, found.policy.offsets, np.nan), 0, -1)
    return _record(
        problem,
        times=None,
        value=found.theta,
        offset=offset,
        gain=float(found.gain) if ergodic else None,
        status=status,
        choice=choice,
        residual=float(found.residual),
        iterations=int(found.iterations),
        lookup_error=None,
        notes=notes,
    )


def _record(problem: Problem, *, choice: Choice, **found) -> Solution:
    """Put the labels of the problem to the arrays."""
    return Solution(
        problem_json=canonical_json(problem),
        problem_hash=problem_hash(problem),
        package_version=version("quotegrid"),
        price_unit=problem.units.price,
        time_unit=problem.units.time,
        symbols=tuple(asset.market.symbol for asset in problem.assets),
        lot_sizes=tuple(float(asset.market.lot_size) for asset in problem.assets),
        inventories=tuple(lattice.lots.astype(float) for lattice in inventory_lattices(problem)),
        flows=tuple(FlowLabel(f.name, f.side, f.size, f.asset) for f in problem.one_sided_flows()),
        method=choice.method,
        method_reason=choice.reason,
        certificate={"level": "none", "reason": "this version does not certify solutions"},
        **found,
    )
