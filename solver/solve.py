"""The one public verb: a problem in, a solution out.

Runs on the host in double precision whatever JAX's settings, and returns NumPy. A problem is one argument of
the compiled kernels: new numbers run the same code, only a new structure (flows, sizes, limits, kinds)
compiles again.
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from quotegrid.models.problem import Fault, Numerics, OneSidedFlow, Problem, ProblemError, TableRequest
from quotegrid.solver.discretise import Lattice, inventory_lattices
from quotegrid.solver.finite_horizon import solve_finite
from quotegrid.solver.finite_result import FiniteResult
from quotegrid.solver.methods import IMPLICIT_EULER, Choice, choose_method
from quotegrid.solver.solution import FlowLabel, Solution
from quotegrid.solver.stationary import StationaryResult, solve_stationary
from quotegrid.solver.status import SolveError, Status


def solve(
    problem: Problem,
    *,
    numerics: Numerics | None = None,
    table: TableRequest | None = None,
    start: np.ndarray | None = None,
    throw: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Solution:
    """Solve a market maker's problem: value, optimal offsets, gain, and how well it went.

    Args:
        problem: what is controlled; concrete numbers.
        numerics: method and tolerance; by default chosen by asking the problem, and 1e-10 of the quote scale.
        table: at which times a finite-horizon solution is wanted; 101 well-placed ones by default.
        start: ergodic and discounted horizons only: a value near the solution on the same lattice, such as
            that of yesterday's table, currency [*state]; it saves iterations and changes nothing beyond
            tolerance.
        throw: raise if the solve does not converge; otherwise return the solution with its status.
        progress: called with the fraction done, now and then.

    Returns:
        The solution; value in currency, offsets in price units, gain in currency per time unit.

    Raises:
        SolveError: not converged (typed status, one sentence), if `throw`.
        ProblemError: a method, table or start that does not fit the problem.
    """
    numerics = Numerics() if numerics is None else numerics
    table = TableRequest() if table is None else table
    progress = _ignore if progress is None else progress
    choice = check_requests(problem, numerics, table)
    _check_start(problem, start)
    with jax.enable_x64(True):
        leaves = parameters(problem)
        if problem.horizon.kind == "finite":
            result = solve_finite(leaves, choice, numerics, table, progress)
        else:
            result = solve_stationary(leaves, numerics, start)
            progress(1.0)
        solution = assemble(problem, choice, result)
    if throw and solution.status is not Status.CONVERGED:
        raise SolveError(
            " ".join([f"{solution.status}: {solution.status.sentence}", *solution.notes]), solution
        )
    return solution


def check_requests(problem: Problem, numerics: Numerics, table: TableRequest) -> Choice:
    """The method for a problem; ProblemError if a request does not fit it."""
    check_table(problem, table)
    return choose_method(problem, numerics.method)


def check_table(problem: Problem, table: TableRequest) -> None:
    """ProblemError if a table of this kind cannot be had of a problem."""
    misfits = [fault.below("table") for fault in table.misfits(problem.horizon)]
    if table.parameters:
        sentence = "a solution is that of one problem; solve_table stacks several into one table."
        misfits.append(Fault("table.parameters", sentence))
    if misfits:
        raise ProblemError(misfits)


def _check_start(problem: Problem, start: np.ndarray | None) -> None:
    """ProblemError if `start` is no value on the problem's lattice, or there is nothing to iterate."""
    if start is None:
        return
    if problem.horizon.kind == "finite":
        wanted = "only ergodic and discounted problems start from a value; a finite horizon starts at its end"
        raise ProblemError([Fault("start", f"{wanted}; leave it out.")])
    shape = tuple(len(lattice.lots) for lattice in inventory_lattices(problem))
    if start.shape != shape or not np.all(np.isfinite(start)):
        seen = f"shape {start.shape}" if start.shape != shape else "some that are not finite"
        raise ProblemError([Fault("start", f"expected finite values of shape {shape}, got {seen}.")])


def assemble(problem: Problem, choice: Choice, result: FiniteResult | StationaryResult) -> Solution:
    """The solution of a problem from what a solver found."""
    if isinstance(result, FiniteResult):
        choice, notes = result.choice, ()
        if choice.method == IMPLICIT_EULER and result.lookup_error is not None:
            notes = (f"First order in time: the steps' errors add up to about {result.defect:.2g} in value.",)
        found: dict[str, Any] = {
            "times": result.times,
            "gain": None,
            "residual": result.defect,
            "iterations": result.steps,
            "lookup_error": result.lookup_error,
        }
    else:
        notes = result.notes
        found = {
            "times": None,
            "gain": result.gain,
            "residual": result.residual,
            "iterations": result.iterations,
            "lookup_error": None,
        }
    lattices, flows = inventory_lattices(problem), problem.one_sided_flows()
    return Solution(
        problem=problem,
        package_version=_package_version(),
        price_unit=problem.units.price,
        time_unit=problem.units.time,
        symbols=tuple(asset.market.symbol for asset in problem.assets),
        lot_sizes=tuple(float(asset.market.lot_size) for asset in problem.assets),
        inventories=tuple(lattice.lots.astype(float) for lattice in lattices),
        flows=tuple(FlowLabel(f.name, f.side, f.size, f.asset) for f in flows),
        value=result.value,
        offset=result.offset,
        status=result.status,
        method=choice.method,
        method_reason=choice.reason,
        certificate=result.certificate.summary(),
        offset_error=result.certificate.offset_error,
        notes=(*notes, *_remarks(problem, lattices, flows, result.offset)),
        **found,
    )


@cache
def _package_version() -> str:
    return version("quotegrid")


def _ignore(_: float) -> None:
    """Nobody watches."""


def parameters(problem: Problem) -> Problem:
    """The numbers as doubles, without what is only about the problem (new texts compile again)."""
    essence = problem.essence()
    if all(isinstance(leaf, float) for leaf in jax.tree.leaves(essence)):
        return essence
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), essence)


def _remarks(
    problem: Problem, lattices: Sequence[Lattice], flows: Sequence[OneSidedFlow], offset: np.ndarray
) -> tuple[str, ...]:
    """What a user of this solution should know beyond its status."""
    remarks = []
    for lattice, asset in zip(lattices, problem.assets, strict=True):
        if lattice.step > 1:
            remarks.append(
                f"All sizes of {asset.market.symbol} are multiples of {lattice.step} lots, so from the target"
                f" only inventories {lattice.step} lots apart are ever visited; the others are left out."
            )
    for place, flow in enumerate(flows):
        if flow.convention != "market_orders":
            continue
        rates = np.exp(np.asarray(flow.intensity.log_rate(jnp.asarray(offset[..., place]))))
        if np.any(rates > float(flow.arrival_rate) * (1.0 + 1e-9)):
            remarks.append(
                f"{flow.label}: at some inventories the best offset is so low that fills come more often "
                f"({np.nanmax(rates):.3g} per time) than the market orders that cause them (arrival_rate "
                f"{float(flow.arrival_rate):.3g}); raise min_offset or arrival_rate."
            )
    return tuple(remarks)
