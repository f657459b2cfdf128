"""Stationary problems on the host: policy iteration, and a diagnosis where it does not converge."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from quotegrid.models.problem import Numerics, Problem
from quotegrid.solver.certificate import Certificate, not_certified
from quotegrid.solver.chain import ControlledChain, in_problem_order, stays_inside
from quotegrid.solver.discretise import Lattice, discretise, inventory_lattices
from quotegrid.solver.kernels import kernel
from quotegrid.solver.policy_iteration import policy_iteration
from quotegrid.solver.starting_values import asinh_start
from quotegrid.solver.stationary_certificate import StationaryBounds, certificate_of, stationary_bounds
from quotegrid.solver.status import Status


class StationaryResult(NamedTuple):
    """The solution on the lattice and how it went; NumPy."""

    value: Float[np.ndarray, "*state"]
    offset: Float[np.ndarray, "*state flow"]  # price units, NaN where off
    gain: float | None
    residual: float
    iterations: int
    status: Status
    notes: tuple[str, ...]
    certificate: Certificate


def solve_stationary(
    problem: Problem, numerics: Numerics, start: Float[np.ndarray, "*state"] | None = None
) -> StationaryResult:
    """Policy iteration for `problem` (leaves float64) from a value near the solution, where one is known
    (currency); runs with double precision on.

    If that leads nowhere, the iteration starts anew as if nothing had been known.
    """
    ergodic = problem.horizon.kind == "ergodic"
    tolerance = np.float64(numerics.tolerance)
    unknown = np.full(tuple(len(lattice.lots) for lattice in inventory_lattices(problem)), np.nan)

    found = _kernel(problem, tolerance, unknown if start is None else start, ergodic=ergodic)
    if start is not None and not found.converged:
        found = _kernel(problem, tolerance, unknown, ergodic=ergodic)
    return _result(problem, found, ergodic)


def solve_stationary_lanes(
    lanes: Problem, problems: Sequence[Problem], numerics: Numerics
) -> list[StationaryResult]:
    """The same for many problems of one structure; the leaves of `lanes` have a first axis of lanes, of which
    there may be more than problems.
    """
    ergodic = problems[0].horizon.kind == "ergodic"
    tolerance = np.float64(numerics.tolerance)
    found = _lanes_kernel(lanes, tolerance, ergodic=ergodic)
    return [
        _result(problem, jax.tree.map(lambda x, lane=lane: x[lane], found), ergodic)
        for lane, problem in enumerate(problems)
    ]


def _result(problem: Problem, found: "_Found", ergodic: bool) -> StationaryResult:
    status, notes = Status.CONVERGED, ()
    if found.converged:
        certificate = certificate_of(found.bounds, None if ergodic else float(problem.discount_rate()))
    else:
        certificate = not_certified("the solve did not converge")
        status, notes = (
            _diagnosis(problem, found, ergodic) if found.representable else (Status.BADLY_SCALED, ())
        )
    return StationaryResult(
        value=found.value,
        offset=found.offset,
        gain=float(found.gain) if ergodic else None,
        residual=float(found.residual),
        iterations=int(found.iterations),
        status=status,
        notes=notes,
        certificate=certificate,
    )


class _Found(NamedTuple):
    """What the host wants to know of a solve, and of one that failed."""

    value: Float[Array, "*state"]  # currency
    offset: Float[Array, "*state flow"]  # price units, NaN where off
    gain: Float[Array, ""]
    residual: Float[Array, ""]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]
    quoted: Bool[Array, "flow *state"]
    rates: Float[Array, "flow *state"]  # fills per time
    operator: Float[Array, "*state"]  # B(θ), currency per time
    ceiling: Float[Array, "*state"]  # of B
    representable: Bool[Array, ""]
    bounds: StationaryBounds


@kernel(fetched=True)
def _kernel(
    problem: Problem, tolerance: Array, known: Float[Array, "*state"] | None, *, ergodic: bool
) -> _Found:
    """`known`: a value near the solution, NaN or None where there is none."""
    chain = discretise(problem)
    start = asinh_start(chain)
    if known is not None:
        start = jnp.where(jnp.all(jnp.isfinite(known)), known, start)
    solution = policy_iteration(chain, ergodic, tolerance, start)
    bounds = stationary_bounds(chain, solution.bias, solution.level, ergodic)
    policy = solution.policy
    offset = jnp.where(policy.quoted, policy.offsets, jnp.nan)
    return _Found(
        solution.bias + solution.level,
        jnp.moveaxis(offset, 0, -1),
        solution.gain,
        solution.residual,
        solution.iterations,
        solution.converged,
        policy.quoted,
        policy.rates,
        policy.operator,
        most_earned(chain),
        chain.representable,
        bounds,
    )


@kernel(hot=True, fetched=True)
def _lanes_kernel(lanes: Problem, tolerance: Array, *, ergodic: bool) -> _Found:
    return jax.vmap(lambda problem: _kernel(problem, tolerance, None, ergodic=ergodic))(lanes)


def most_earned(chain: ControlledChain) -> Float[Array, "*state"]:
    """ℓ(i) + Σ_f a_f Λ_max/ξ over the flows on at i: B(θ)(i) stays below it whatever θ; inf at ξ = 0.

    Under risk aversion a bounded rate of fills can pay only so much: an ergodic gain above this bound at any
    state is impossible, and then no bias exists (currency per time).
    """
    if not chain.channels:
        return chain.reward
    ceilings = [jax.vmap(_highest_rate)(channel.intensity, channel.low) for channel in chain.channels]
    paid = in_problem_order(
        chain.channels,
        [
            c.weight * rate.reshape((-1,) + (1,) * len(chain.shape))
            for c, rate in zip(chain.channels, ceilings, strict=True)
        ],
    )
    paid = jnp.where(chain.xi > 0.0, paid / jnp.where(chain.xi > 0.0, chain.xi, 1.0), jnp.inf)
    inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in chain.shifts])
    return chain.reward + jnp.sum(jnp.where(inside, paid, 0.0), axis=0)


def _highest_rate(intensity, low: Array) -> Array:
    bounded = jnp.isfinite(low)
    at_bound = jnp.exp(intensity.log_rate(jnp.where(bounded, low, 0.0)))
    return jnp.where(bounded, at_bound, jnp.asarray(intensity.rate_ceiling(), float))


def _diagnosis(problem: Problem, found: _Found, ergodic: bool) -> tuple[Status, tuple[str, ...]]:
    """Why policy iteration did not converge, with the inventories at which it shows."""
    lots = inventory_lattices(problem)
    if ergodic:
        never = _cut_off(problem, found.quoted, lots)
        lost = (found.ceiling <= found.gain) & ~_obliged(problem, found.ceiling.shape)
        if never is None and np.any(lost) and np.isfinite(found.gain):
            return Status.ILL_POSED, (f"It shows at {_inventories(lost, lots)}.",)
        hardly = never or _cut_off(problem, found.rates > 0.0, lots)
        if hardly is not None:
            return Status.NOT_COMMUNICATING, (hardly,)
    if not np.all(np.isfinite(found.operator)):
        return Status.UNBOUNDED_QUOTES, ()
    return Status.ITERATION_LIMIT, (
        f"{int(found.iterations)} iterations, residual {float(found.residual):.3g}.",
    )


def _cut_off(
    problem: Problem, moves: Bool[np.ndarray, "flow *state"], lots: tuple[Lattice, ...]
) -> str | None:
    """The inventories from which `moves` do not lead to the target, in a sentence, if there are any."""
    stranded = ~_reaches_target(problem, moves)
    return f"The target is out of reach from {_inventories(stranded, lots)}." if np.any(stranded) else None


def _obliged(problem: Problem, shape: tuple[int, ...]) -> Bool[np.ndarray, "*state"]:
    """Where every flow that is on has a highest offset: quotes are compact, so that a solution exists."""
    free = np.zeros(shape, dtype=bool)
    lattices = inventory_lattices(problem)
    for flow in problem.one_sided_flows():
        if flow.max_offset is None:
            steps = flow.sign * flow.size // lattices[flow.asset].step
            free |= stays_inside(shape, tuple(steps if a == flow.asset else 0 for a in range(len(shape))))
    return ~free


def _reaches_target(problem: Problem, moves: Bool[np.ndarray, "flow *state"]) -> Bool[np.ndarray, "*state"]:
    """The states from which fills lead to the target inventory."""
    lattices = inventory_lattices(problem)
    reached = np.zeros(moves.shape[1:], dtype=bool)
    reached[tuple((x.target - x.low) // x.step for x in lattices)] = True
    flows = problem.one_sided_flows()
    while True:
        before = reached.copy()
        for flow, fills in zip(flows, moves, strict=True):
            step = (1 if flow.side == "bid" else -1) * flow.size // lattices[flow.asset].step
            arrived = np.roll(reached, -step, axis=flow.asset)  # fills are off where they would wrap around
            reached = reached | (fills & arrived)
        if np.array_equal(before, reached):
            return reached


def _inventories(where: Bool[np.ndarray, "*state"], lattices: tuple[Lattice, ...]) -> str:
    """`-10 … -7, 3, 8 … 10 lots` (of the first asset, where there are several)."""
    places = np.unique(np.nonzero(where)[0])
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    lots = lattices[0].lots
    named = [f"{lots[run[0]]}" if len(run) == 1 else f"{lots[run[0]]} … {lots[run[-1]]}" for run in runs]
    return f"inventory {', '.join(named[:6])}{' and others' if len(named) > 6 else ''} lots"
