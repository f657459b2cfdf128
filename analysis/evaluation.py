"""What a policy earns and risks under a problem, by linear equations: `evaluate(policy, problem)`.

The problem may be the one the policy was made for or any other with its flows and limits, so also the world
in which it is wrong. Wealth is cash plus inventory at the reference price; P&L is its change, by part:
spread, fees, adverse (what the price does at fills and market orders), drift, carry, and for a finite horizon
the cost of ending with inventory (liquidation). The certainty equivalent is what the policy is worth to the
problem's preferences, which is what `solve` maximises; regret is what it falls short of the maximum.

    ergodic       per unit of time, in the long run
    discounted    totals ∫e^{-ρt}dW from the start; fill rates and inventory in the long run
    finite        totals over the horizon, from the start

No simulation: see `evaluation_stationary` and `evaluation_march` for the equations.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from quotegrid.analysis.evaluation_finite import distribution_over_time, evaluate_finite
from quotegrid.analysis.evaluation_result import Evaluation, heading, in_order, remarks
from quotegrid.analysis.evaluation_stationary import RISK_COST, StationaryNumbers, evaluate_stationary
from quotegrid.analysis.inventory_places import (
    at_limits,
    flat_place,
    indicator,
    recurrent_state,
    starting_place,
)
from quotegrid.analysis.policies import Policy, PolicyLike, policy_of
from quotegrid.analysis.policy_faults import PolicyError
from quotegrid.analysis.seen_late import seen_late
from quotegrid.models.problem import Problem, TableRequest, problem_hash
from quotegrid.solver.account import account
from quotegrid.solver.discretise import discretise, inventory_lattices
from quotegrid.solver.kernels import kernel
from quotegrid.solver.policy_chain import PolicyChain, policy_chain
from quotegrid.solver.solution import Solution
from quotegrid.solver.solve import parameters, solve
from quotegrid.solver.status import SolveError
from quotegrid.tables.policy_table import PolicyTable

_WIDE = 1e-7  # relative: an interval of the certainty equivalent that deserves a word


def evaluate(
    policy: PolicyLike,
    problem: Problem,
    *,
    start: float | Sequence[float] | None = None,
    optimum: Solution | bool = True,
    name: str | None = None,
    times: Sequence[float] | None = None,
) -> Evaluation:
    """What a policy earns, risks and is worth under a problem: exactly, by linear equations.

    Args:
        policy: anything that quotes the problem's flows on its inventories: a table, a solution, an array, a
            function; see `policy_of`.
        problem: the world it quotes in.
        start: the inventory it starts from, lots (one number per asset); by default 0, or the target where 0
            is outside the limits.
        optimum: the problem's solution, where it is known; True: solve it; False: regret is not asked for.
        name: what reports call the policy.
        times: see `policy_of`.

    Returns:
        The evaluation; amounts per time (ergodic), or totals (discounted, finite).

    Raises:
        PolicyError: the policy does not fit the problem; or it cuts the inventories into parts that never
            meet, so that there is no long-run average; or its certainty equivalent does not exist.
    """
    found = policy_of(policy, problem, name=name, times=times)
    begin = starting_place(problem, start)
    with jax.enable_x64(True):
        leaves = parameters(problem)
        if problem.horizon.kind == "finite":
            evaluation = evaluate_finite(found, problem, leaves, begin)
        else:
            evaluation = _stationary(found, problem, leaves, begin)
    best, notes = _best_value(policy, problem, begin, optimum)
    return replace(evaluation, optimum=best, notes=(*evaluation.notes, *notes))


def best_solution(problem: Problem) -> Solution:
    """The optimum to compare with; of a finite horizon only its two ends."""
    table = None
    if problem.horizon.kind == "finite":
        table = TableRequest(times=(0.0, float(problem.duration())))
    return solve(problem, table=table)


def _best_value(
    policy: PolicyLike, problem: Problem, begin: tuple[int, ...], optimum: Solution | bool
) -> tuple[float | None, tuple[str, ...]]:
    """The optimal certainty equivalent from the start, and why there is none."""
    if optimum is False:
        return None, ()
    best: Any = optimum
    if optimum is True:
        best = policy if isinstance(policy, Solution | PolicyTable) else None
        if best is None or best.problem_hash != problem_hash(problem) or best.status != "converged":
            try:
                best = best_solution(problem)
            except SolveError as error:
                return None, (f"There is no optimum to compare with: {error}",)
    elif best.problem_hash != problem_hash(problem):
        raise PolicyError(
            "evaluate: optimum= holds the solution of another problem; give this problem's, or optimum=True."
        )
    if problem.horizon.kind == "ergodic":
        return float(best.gain), ()
    value = best.value if best.times is None else best.value[0]
    return float(value[begin]), ()


@kernel()
def _under_policy(leaves: Problem, offsets: Any) -> PolicyChain:
    return policy_chain(discretise(leaves), account(leaves), offsets)


@kernel()
def _under_late_policy(leaves: Problem, offsets: Any, mean_delay: Any) -> PolicyChain:
    return seen_late(discretise(leaves), account(leaves), offsets, mean_delay)


_stationary_kernel = kernel()(evaluate_stationary)


def _flows_first(offset: np.ndarray, start: int = 0) -> Any:
    return jnp.asarray(np.moveaxis(offset, -1, start))


def _stationary(policy: Policy, problem: Problem, leaves: Problem, begin: tuple[int, ...]) -> Evaluation:
    """Ergodic and discounted horizons."""
    ergodic = problem.horizon.kind == "ergodic"
    offsets = _flows_first(policy.offset)
    late = policy.mean_delay > 0.0
    if late and len(begin) > 1:
        raise PolicyError("stale: mean_delay is for one asset; this problem has several.")
    if late:
        chain = _under_late_policy(leaves, offsets, jnp.asarray(policy.mean_delay))
    else:
        chain = _under_policy(leaves, offsets)
    assets, shape = len(begin), chain.shape
    reference, notes, everywhere = recurrent_state(policy, chain, assets)
    lattices = inventory_lattices(problem)
    sizes = [float(asset.market.lot_size) for asset in problem.assets]
    places = np.indices(shape)
    held = tuple(
        jnp.asarray(x.lots[places[axis]] * lot, float)
        for axis, (x, lot) in enumerate(zip(lattices, sizes, strict=True))
    )
    flat = flat_place(problem)
    reachable = everywhere[flat].any()
    goal = jnp.asarray(indicator(shape, flat) if reachable else reference)
    guess = jnp.zeros(shape)
    numbers = jax.tree.map(
        np.asarray, _stationary_kernel(chain, held, goal, jnp.asarray(reference), guess, ergodic=ergodic)
    )
    return _stationary_evaluation(policy, problem, leaves, chain, numbers, begin, notes, bool(reachable))


def _stationary_evaluation(
    policy: Policy,
    problem: Problem,
    leaves: Problem,
    chain: PolicyChain,
    numbers: StationaryNumbers,
    begin: tuple[int, ...],
    notes: tuple[str, ...],
    reachable: bool,
) -> Evaluation:
    ergodic, assets, shape = problem.horizon.kind == "ergodic", len(begin), chain.shape
    seen = tuple(range(assets, len(shape)))
    distribution = np.sum(numbers.distribution, axis=seen)

    def by_inventory(of: np.ndarray) -> np.ndarray:
        """At inventories that were just seen."""
        return np.einsum("ii->i", of) if seen else of

    if not np.all(np.isfinite(numbers.value)) or not np.all(np.isfinite(numbers.bounds)):
        raise PolicyError(
            f"the policy {policy.name!r} has no certainty equivalent here: Newton's method left the range of "
            "double precision; its quotes are too extreme for these preferences."
        )
    value = by_inventory(numbers.value)
    low, high = numbers.bounds
    if ergodic:
        worth, bounds = float(numbers.gain), (float(low), float(high))
        pnl, variance = float(numbers.pnl), float(numbers.variance)
        parts = {part: float(x) for part, x in numbers.earned.items()}
        risk, rate = float(numbers.risk_cost), 1.0
    else:
        place = begin + begin[:1] * len(seen)
        worth = float(numbers.value[place])
        bounds = (worth - float(high), worth - float(low))
        pnl, variance = float(numbers.wealth[place]), float(numbers.wealth_variance[place])
        parts = {part: float(x[place]) for part, x in numbers.discounted.items()}
        risk, rate = parts.pop(RISK_COST), float(problem.discount_rate())
    if bounds[1] - bounds[0] > _WIDE * (abs(pnl) + abs(risk) + abs(worth)):
        notes = (
            *notes,
            f"The certainty equivalent is only known to lie in [{bounds[0]:.6g}, {bounds[1]:.6g}].",
        )
    fills = [float(np.sum(numbers.distribution * numbers.rates[place])) for place in range(chain.flows)]
    limits = at_limits(problem, distribution.shape)
    error = max(bounds[1] - bounds[0], 1e-13 * sum(abs(x) for x in parts.values()))
    times = by_inventory(numbers.time_to_flat) if reachable else np.full(distribution.shape, np.inf)
    return Evaluation(
        **heading(policy.name, problem, begin),
        duration=None,
        pnl=pnl,
        pnl_variance=variance if problem.volatility_is_known() else None,
        parts=in_order(parts),
        risk_cost=risk,
        certainty_equivalent=worth,
        certainty_bounds=bounds,
        optimum=None,
        fills=dict(zip(policy.labels, fills, strict=True)),
        distribution=distribution,
        final_distribution=None,
        time_at_limits=float(np.sum(distribution[limits])),
        time_to_flat=times,
        half_life=tuple(float(np.log(2.0) * x) for x in numbers.autocorrelation_time),
        value=value,
        error=error,
        notes=(*policy.notes, *notes, *remarks(problem)),
        _over_time=partial(distribution_over_time, policy, problem, leaves),
        _rate=rate,
    )
