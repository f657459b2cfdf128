"""Finite horizons with a linear equation, one or many of one structure: marched in lockstep and certified.

The time nodes are each problem's own. The error of linear lookup between two of them is that of the cubic
through values and slopes, which the equation gives for nothing.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quotegrid.models.problem import Problem, TableRequest
from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.certificate import UNIT_ROUNDOFF, Certificate, rounding_allowance
from quotegrid.solver.chain import in_problem_order, stays_inside
from quotegrid.solver.discretise import discretise, inventory_lattices
from quotegrid.solver.finite_certificate import SERIES, reading_error, statement_of
from quotegrid.solver.finite_result import FiniteResult
from quotegrid.solver.kernels import kernel
from quotegrid.solver.lockstep import LinearLanes, Moment, march_in_lockstep
from quotegrid.solver.marching import fastest_scale
from quotegrid.solver.methods import Choice, same_decay
from quotegrid.solver.status import Status
from quotegrid.solver.time_nodes import (
    CUBIC_MARGIN,
    MOST_PILOT_TIMES,
    calendar_times,
    first_count,
    more_times,
    off_chord,
    pilot_times,
    place_nodes,
)

_CHUNK = 128  # the times of a single problem are padded to a multiple: few shapes to compile


class _Prepared(NamedTuple):
    """The problems of the lanes as the linear equation sees them; lanes last."""

    lanes: LinearLanes
    decays: Float[Array, "flow lane"]  # κ of each flow, per currency
    offsets: Float[Array, "flow state lane"]  # at equal θ, price units
    sizes: Float[Array, "flow lane"]  # z m, units
    costs: Float[Array, "flow lane"]  # largest |c|/m, price units
    fastest: Float[Array, " lane"]  # time scale at the end of the horizon, time
    uniform: Bool[Array, " lane"]  # does each flow fill at one rate wherever it is on, at equal θ?


class _Marched(NamedTuple):
    value: Float[Array | np.ndarray, "t state lane"]  # currency
    largest: Float[Array | np.ndarray, "t lane"]  # |value|
    offset: Float[Array | np.ndarray, "t flow state lane"]  # price units, NaN where off
    defect: Float[Array | np.ndarray, "t lane"]  # bound on |e|, currency
    offset_error: Float[Array | np.ndarray, "t flow lane"]  # price units
    lookup_error: Float[
        Array | np.ndarray, "t 2 lane"
    ]  # of offsets (price units), values (currency) since the last time


_March = Callable[[np.ndarray], tuple[_Marched, np.ndarray]]  # of times to go [t, lane]; and: sound [lane]


def solve_linear_lanes(
    stacked: Problem, problems: Sequence[Problem], choice: Choice, table: TableRequest
) -> list[FiniteResult | None]:
    """The solutions of `problems`, of one asset each, whose float64 leaves are the lanes of `stacked` (the
    first axis, which may hold more); None for those that do not fit: flows with several κ, or beyond the
    range of doubles.

    A `max_lookup_error` gives all lanes one number of times. Runs with double precision on.
    """
    prepared = _prepare(stacked)
    if np.all(np.asarray(prepared.uniform)):
        rates = np.max(np.asarray(prepared.lanes.rates), axis=1, keepdims=True)
        prepared = prepared._replace(lanes=prepared.lanes._replace(rates=rates))
    shifts = tuple(flow.sign * flow.size for flow in problems[0].one_sided_flows())
    lattice = inventory_lattices(problems[0])[0]
    durations = np.array([problem.duration() for problem in problems], float)
    durations = np.pad(durations, (0, len(prepared.fastest) - len(problems)), mode="edge")

    def march(to_go: np.ndarray) -> tuple[_Marched, np.ndarray]:
        count, lanes = to_go.shape
        padded = np.pad(to_go, ((0, -count % _CHUNK if lanes == 1 else 0), (0, 0)), mode="edge")
        marched, sound = _march(prepared, padded, shifts=shifts, target=lattice.target - lattice.low)
        return jax.tree.map(lambda x: np.asarray(x)[:count], marched), np.asarray(sound)

    if isinstance(table.times, tuple):
        to_go = durations - np.asarray(table.times, float)[::-1, None]
        marched, sound = march(to_go)
    else:
        to_go, marched, sound = _place_and_march(march, durations, np.asarray(prepared.fastest), table)
    lookup_error = np.max(marched.lookup_error[1:], axis=0, initial=0.0)
    reading = reading_error(np.asarray(marched.largest))
    defect = marched.defect + reading
    offset_error = marched.offset_error + 2.0 * reading[:, None] / np.asarray(prepared.sizes)
    fits = same_decay(np.asarray(prepared.decays).T)
    results: list[FiniteResult | None] = []
    for lane, duration in enumerate(durations[: len(problems)]):
        if not (fits[lane] and sound[lane]):
            results.append(None)
            continue
        offset = np.moveaxis(np.asarray(marched.offset)[::-1, :, :, lane], 1, 2)
        worst = float(np.max(defect[:, lane]))
        certificate = Certificate(
            level="A",
            statement=statement_of(SERIES),
            value_error=worst,
            quote_error=float(np.max(offset_error[:, :, lane])),
            regret=2.0 * worst,
            offset_error=np.broadcast_to(offset_error[::-1, None, :, lane], offset.shape),
        )
        results.append(
            FiniteResult(
                calendar_times(table, float(duration), to_go[:, lane]),
                np.asarray(marched.value)[::-1, :, lane],
                offset,
                len(to_go),
                worst,
                Status.CONVERGED,
                choice,
                dict(zip(("offset", "value"), map(float, lookup_error[:, lane]), strict=True)),
                certificate,
            )
        )
    return results


def _place_and_march(
    march: _March, durations: np.ndarray, fastest: np.ndarray, table: TableRequest
) -> tuple[np.ndarray, _Marched, np.ndarray]:
    """Well-placed times to go of each lane, [time, lane], after a first look, and what was found there."""
    pilots = [
        pilot_times(float(duration), float(scale)) for duration, scale in zip(durations, fastest, strict=True)
    ]
    padded = [np.pad(times, (0, MOST_PILOT_TIMES - len(times)), mode="edge") for times in pilots]
    offsets = np.asarray(march(np.stack(padded, axis=1))[0].offset)
    count = first_count(table)
    while True:
        nodes = [
            place_nodes(times, offsets[: len(times), :, :, lane], count) for lane, times in enumerate(pilots)
        ]
        to_go = np.stack(nodes, axis=1)
        marched, sound = march(to_go)
        target = table.max_lookup_error
        error = float(np.max(marched.lookup_error[1:, 0], initial=0.0))
        if target is None or error <= target or not np.all(sound):
            return to_go, marched, sound
        count = more_times(count, error, float(target))


@kernel()
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
        lanes = LinearLanes(
            chain.reward,
            jnp.max(chain.magnitude),
            policy.rates,
            jnp.max(jnp.where(policy.rates > 0.0, error, 0.0)),
            chain.terminal,
            jnp.max(decays),
        )
        inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in chain.shifts])
        highest = jnp.max(policy.rates, axis=1, keepdims=True)
        return _Prepared(
            lanes,
            decays,
            jnp.where(policy.quoted, policy.offsets, jnp.nan),
            size * multiplier,
            costs,
            fastest_scale(chain, at_end),
            jnp.all(policy.rates == jnp.where(inside, highest, 0.0)),
        )

    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), jax.vmap(of_one)(stacked))


@kernel(fetched=True)
def _march(
    prepared: _Prepared, to_go: Float[Array, "t lane"], *, shifts: tuple[int, ...], target: int
) -> tuple[_Marched, Bool[Array, " lane"]]:
    states, sizes = prepared.lanes.reward.shape[0], prepared.sizes
    lengths_of_steps = {abs(shift) for shift in shifts if abs(shift) < states}

    def falls(x: Array) -> dict[int, Array]:
        """x(i) - x(i + n) for each length n of a fill."""
        return {n: x[: states - n] - x[n:] for n in lengths_of_steps}

    def observe(before: Moment, now: Moment, length: Array) -> _Marched:
        fall = falls(now.bias)
        offsets, highest = [], []
        for flow, shift in enumerate(shifts):
            none = jnp.full((min(abs(shift), states), len(length)), jnp.nan)
            if abs(shift) not in fall:
                quoted, ordered = jnp.zeros((1, len(length))), [none]
            elif shift > 0:
                quoted = prepared.offsets[flow, : states - shift] + fall[shift] / sizes[flow][None]
                ordered = [quoted, none]
            else:
                quoted = prepared.offsets[flow, -shift:] - fall[-shift] / sizes[flow][None]
                ordered = [none, quoted]
            offsets.append(jnp.concatenate(ordered))
            highest.append(jnp.max(jnp.where(jnp.isnan(quoted), 0.0, jnp.abs(quoted)), axis=0))
        offset, value = jnp.stack(offsets), now.bias + now.level[None]
        bends = zip(*(falls(x).items() for x in (before.bias, before.slope, now.slope)), strict=True)
        in_falls = {
            n: _lookup_error(start, slope, fall[n], slope_after, length)
            for (n, start), (_, slope), (_, slope_after) in bends
        }
        of_flows = [in_falls[abs(s)] / z for s, z in zip(shifts, sizes, strict=True) if abs(s) in in_falls]
        in_offsets = jnp.max(jnp.stack([*of_flows, jnp.zeros_like(length)]), axis=0)
        in_values = _lookup_error(before.bias + before.level[None], before.slope, value, now.slope, length)
        largest = jnp.max(jnp.abs(now.bias), axis=0)[None] / sizes + prepared.costs
        largest = 4.0 * (largest + jnp.stack(highest))
        error = 2.0 * now.defect[None] / sizes + 4.0 * UNIT_ROUNDOFF * largest
        lookup_error = jnp.stack([in_offsets, in_values])
        return _Marched(value, jnp.max(jnp.abs(value), axis=0), offset, now.defect, error, lookup_error)

    return march_in_lockstep(prepared.lanes, to_go, shifts, target, observe)


def _lookup_error(
    start: Float[Array, "state lane"],
    slope: Float[Array, "state lane"],
    end: Float[Array, "state lane"],
    slope_after: Float[Array, "state lane"],
    length: Float[Array, " lane"],
) -> Float[Array, " lane"]:
    """The largest of linear interpolation in time between two moments, by a cubic."""
    off = map(jnp.abs, off_chord(start, slope, end, slope_after, length[None]))
    return CUBIC_MARGIN * jnp.max(functools.reduce(jnp.maximum, off), axis=0, initial=0.0)
