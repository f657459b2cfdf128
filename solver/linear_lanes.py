"""Finite horizons with a linear equation, many of one structure: prepared, marched in lockstep and certified.

The time nodes are each problem's own. The error of linear lookup between two of them is bounded by the
tangents at its ends, which the equation gives for nothing: where a function's slope goes from s₀ to s₁
monotonically and the chord's is c, it stays within Δ (s₁ - c)(c - s₀)/(s₁ - s₀) of the chord.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quotegrid.models.problem import DEFAULT_TIMES, Problem, TableRequest
from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.certificate import UNIT_ROUNDOFF, Certificate, rounding_allowance
from quotegrid.solver.chain import in_problem_order, stays_inside
from quotegrid.solver.discretise import discretise
from quotegrid.solver.finite_certificate import SERIES, reading_error, statement_of
from quotegrid.solver.finite_horizon import FiniteResult
from quotegrid.solver.lockstep import LinearLanes, Moment, march_in_lockstep
from quotegrid.solver.methods import UNIFORMISATION, Choice, same_decay
from quotegrid.solver.status import Status
from quotegrid.solver.time_nodes import pilot_times, place_nodes

_PILOT = 128  # times to go of a first look
_REASON = "the equation is linear in exp(κθ): exponential fills with one k per unit of size"


class _Prepared(NamedTuple):
    """The problems of the lanes as the linear equation sees them; lanes last."""

    lanes: LinearLanes
    decays: Float[Array, "flow lane"]  # κ of each flow, per currency
    offsets: Float[Array, "flow state lane"]  # at equal θ, price units
    sizes: Float[Array, "flow lane"]  # z m, units
    costs: Float[Array, "flow lane"]  # largest |c|/m, price units
    pace: Float[Array, " lane"]  # of the fastest change at the end of the horizon, per time


class _Marched(NamedTuple):
    value: Float[Array, "t state lane"]  # currency
    offset: Float[Array, "t flow state lane"]  # price units, NaN where off
    defect: Float[Array, "t lane"]  # bound on |e|, currency
    offset_error: Float[Array, "t flow lane"]  # price units
    lookup_error: Float[Array, "t 2 lane"]  # of offsets (price units), values (currency) since the last time


def solve_linear_lanes(
    stacked: Problem, problems: Sequence[Problem], table: TableRequest
) -> list[FiniteResult | None]:
    """The solutions of `problems`, whose float64 leaves are the lanes of `stacked` (the first axis, which may
    hold more); None for those that do not fit: flows with several κ, or beyond the range of doubles.

    Runs with double precision on.
    """
    prepared = _prepare(stacked)
    flows = problems[0].one_sided_flows()
    shifts, target = tuple(flow.sign * flow.size for flow in flows), _target(problems[0])
    durations = np.asarray(stacked.horizon.duration)  # type: ignore[union-attr]
    fits = same_decay(np.asarray(prepared.decays).T)
    march = partial(_march, prepared, shifts=shifts, target=target)
    if isinstance(table.times, tuple):
        to_go = durations - np.asarray(table.times, float)[::-1, None]
    else:
        to_go = _place(march, durations, np.asarray(prepared.pace), table.times or DEFAULT_TIMES)
    marched, sound = jax.tree.map(np.asarray, march(jnp.asarray(to_go)))
    lookup_error = np.max(marched.lookup_error[1:], axis=0, initial=0.0)
    reading = reading_error(np.max(np.abs(marched.value), axis=1))
    defect = marched.defect + reading
    offset_error = marched.offset_error + 2.0 * reading[:, None] / np.asarray(prepared.sizes)
    results: list[FiniteResult | None] = []
    for lane in range(len(problems)):
        if not (fits[lane] and sound[lane]):
            results.append(None)
            continue
        if isinstance(table.times, tuple):
            times = np.asarray(table.times, float)
        else:
            times = float(durations[lane]) - to_go[::-1, lane]
            times[0] = 0.0
        offset = np.moveaxis(marched.offset[::-1, :, :, lane], 1, 2)
        worst = float(np.max(defect[:, lane]))
        error = np.broadcast_to(offset_error[::-1, None, :, lane], offset.shape)
        certificate = Certificate(
            level="A",
            statement=statement_of(SERIES),
            value_error=worst,
            quote_error=float(np.max(offset_error[:, :, lane])),
            regret=2.0 * worst,
            offset_error=error,
        )
        results.append(
            FiniteResult(
                times,
                marched.value[::-1, :, lane],
                offset,
                len(to_go),
                worst,
                Status.CONVERGED,
                Choice(UNIFORMISATION, _REASON),
                dict(zip(("offset", "value"), map(float, lookup_error[:, lane]), strict=True)),
                certificate,
            )
        )
    return results


def _target(problem: Problem) -> int:
    low, _, target = problem.lattice[0]
    return target - low


def _place(march, durations: np.ndarray, pace: np.ndarray, count: int) -> np.ndarray:
    """Well-placed times to go of each lane, [time, lane], after a first look."""
    pilots = []
    for duration, fastest in zip(durations, np.where(pace > 0.0, 0.1 / pace, np.inf), strict=True):
        times = pilot_times(float(duration), float(fastest))
        pilots.append(np.concatenate([times, np.full(_PILOT - len(times), times[-1])]))
    offsets = np.asarray(march(jnp.asarray(np.stack(pilots, axis=1)))[0].offset)
    nodes = []
    for lane, times in enumerate(pilots):
        distinct = np.concatenate([[True], np.diff(times) > 0.0])
        nodes.append(place_nodes(times[distinct], offsets[distinct, :, :, lane], count))
    return np.stack(nodes, axis=1)


@jax.jit
def _prepare(stacked: Problem) -> _Prepared:
    def of_one(problem: Problem) -> _Prepared:
        chain = discretise(problem)
        policy = greedy_policy(chain, jnp.zeros(chain.shape))
        at_end = greedy_policy(chain, chain.terminal - chain.terminal[chain.target])
        channels = chain.channels
        k = in_problem_order(
            channels, [jax.vmap(lambda i: i.constant_hazard())(c.intensity) for c in channels]
        )
        size, multiplier = (
            in_problem_order(channels, [getattr(c, n) for c in channels]) for n in ("size", "multiplier")
        )
        costs = in_problem_order(channels, [jnp.max(jnp.abs(c.cost), axis=1) for c in channels]) / multiplier
        decays = k / (size * multiplier)
        # of a rate A e^{-kδ}e^{-ξz(δ - p)}: k times the errors of p and δ, and the exponentials'
        _, in_p = rounding_allowance(chain, jnp.zeros(chain.shape), policy)
        logs = jnp.abs(jnp.log(jnp.where(policy.rates > 0.0, policy.rates, 1.0)))
        largest = jnp.abs(policy.reservation) + jnp.abs(policy.offsets)
        error = k[:, None] * (in_p + 4.0 * UNIT_ROUNDOFF * largest) + UNIT_ROUNDOFF * (8.0 + 4.0 * logs)
        spread = jnp.max(at_end.operator) - jnp.min(at_end.operator)
        fastest = jnp.max(jnp.sum(at_end.rates, axis=0), initial=0.0)
        lanes = LinearLanes(
            chain.reward,
            jnp.max(chain.magnitude),
            policy.rates,
            jnp.max(jnp.where(policy.rates > 0.0, error, 0.0)),
            chain.terminal,
            jnp.max(decays),
        )
        pace = jnp.maximum(fastest, spread / chain.value_scale)
        offsets = jnp.where(policy.quoted, policy.offsets, jnp.nan)
        return _Prepared(lanes, decays, offsets, size * multiplier, costs, pace)

    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), jax.vmap(of_one)(stacked))


@partial(jax.jit, static_argnames=("shifts", "target"))
def _march(
    prepared: _Prepared, to_go: Float[Array, "t lane"], *, shifts: tuple[int, ...], target: int
) -> tuple[_Marched, Bool[Array, " lane"]]:
    states, sizes = prepared.lanes.reward.shape[0], prepared.sizes

    def falls(x: Array, flow: int, shift: int) -> tuple[Array, int]:
        """(x(i) - x(j))/Z where the flow is on, and the first such state."""
        here = np.flatnonzero(stays_inside((states,), (shift,)))
        first, last = (int(here[0]), int(here[-1]) + 1) if len(here) else (0, 0)
        return (x[first:last] - x[first + shift : last + shift]) / sizes[flow][None], first

    def observe(before: Moment, now: Moment, length: Array) -> _Marched:
        offsets, lookup = [], []
        for flow, shift in enumerate(shifts):
            fall, first = falls(now.bias, flow, shift)
            offset = prepared.offsets[flow, first : first + len(fall)] + fall
            rest = ((first, states - first - len(fall)), (0, 0))
            offsets.append(jnp.pad(offset, rest, constant_values=jnp.nan))
            earlier = falls(before.bias, flow, shift)[0], falls(before.slope, flow, shift)[0]
            lookup.append(_lookup_error(*earlier, fall, falls(now.slope, flow, shift)[0], length))
        value = now.bias + now.level[None]
        worst = _lookup_error(before.bias + before.level[None], before.slope, value, now.slope, length)
        offset = jnp.stack(offsets)
        largest = jnp.max(jnp.abs(now.bias), axis=0)[None] / sizes + prepared.costs
        largest = 4.0 * (largest + jnp.nanmax(jnp.abs(offset), axis=1, initial=0.0))
        error = 2.0 * now.defect[None] / sizes + 4.0 * UNIT_ROUNDOFF * largest
        return _Marched(
            value, offset, now.defect, error, jnp.stack([jnp.max(jnp.stack(lookup), axis=0), worst])
        )

    return march_in_lockstep(prepared.lanes, to_go, shifts, target, observe)


def _lookup_error(
    start: Float[Array, "state lane"],
    slope: Float[Array, "state lane"],
    end: Float[Array, "state lane"],
    slope_after: Float[Array, "state lane"],
    length: Float[Array, " lane"],
) -> Float[Array, " lane"]:
    """The largest of linear interpolation in time between two moments."""
    chord = (end - start) / jnp.where(length > 0.0, length, 1.0)[None]
    bend = slope_after - slope
    error = length[None] * (slope_after - chord) * (chord - slope) / jnp.where(bend == 0.0, 1.0, bend)
    return jnp.max(jnp.abs(error), axis=0, initial=0.0)
