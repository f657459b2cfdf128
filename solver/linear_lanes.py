"""Finite horizons with a linear equation, one or many of one structure: marched in lockstep and certified.

The time nodes are each problem's own. The error of linear lookup between two of them is that of the cubic
through values and slopes, which the equation gives for nothing.
"""

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
from quotegrid.solver.lockstep import TOGETHER, LinearLanes, Moment, Observe, march_alone, march_in_lockstep
from quotegrid.solver.marching import fastest_scale
from quotegrid.solver.methods import Choice, same_decay
from quotegrid.solver.status import Status
from quotegrid.solver.time_nodes import (
    CUBIC_MARGIN,
    MOST_PILOT_TIMES,
    Bends,
    calendar_times,
    first_count,
    more_times,
    pilot_times,
    place_nodes,
)

# the times of a single problem are padded to a multiple: few shapes to compile; the usual 101 almost fill one
_CHUNK = 7 * TOGETHER


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
    """What a table holds, or is told of it: a first axis of times to go, lanes last."""

    value: Float[Array | np.ndarray, "t state lane"]  # currency
    offset: Float[Array | np.ndarray, "t flow state lane"]  # price units, NaN where off
    defect: Float[Array | np.ndarray, "t lane"]  # bound on |e| of the stored values, currency
    offset_error: Float[Array | np.ndarray, "t flow lane"]  # of the stored offsets, price units
    lookup_error: Float[
        Array | np.ndarray, "t 2 lane"
    ]  # of offsets (price units), values (currency) since the last time


class _Observed(NamedTuple):
    """The same before numbers are rounded to be stored; a first axis of times to go, or none."""

    value: Float[Array, "*t state lane"]
    largest: Float[Array, "*t lane"]  # |value|
    offset: Float[Array, "*t flow state lane"]
    defect: Float[Array, "*t lane"]
    offset_error: Float[Array, "*t flow lane"]
    lookup_error: Float[Array, "*t 2 lane"]

    def stored(self, sizes: Float[Array, "*t flow lane"]) -> _Marched:
        reading = reading_error(self.largest)
        offset_error = self.offset_error + 2.0 * jnp.expand_dims(reading, -2) / sizes
        return _Marched(self.value, self.offset, self.defect + reading, offset_error, self.lookup_error)


_March = Callable[[np.ndarray], tuple[_Marched, np.ndarray]]  # of times to go [t, lane]; and: sound [lane]


def solve_linear(problem: Problem, choice: Choice, table: TableRequest) -> FiniteResult | None:
    """The solution of a problem of one asset whose flows have one κ; None beyond the range of doubles.

    Runs with double precision on.
    """
    shifts, target = _geometry(problem)

    def march(to_go: np.ndarray) -> tuple[_Marched, np.ndarray]:
        count = len(to_go)
        last = np.repeat(to_go[-1:, 0], -count % _CHUNK)
        padded = np.concatenate([to_go[:, 0], last])
        found, sound = _march_alone(problem, padded, shifts=shifts, target=target)
        times_first = (x.transpose(-1, *range(x.ndim - 1))[:count, ..., None] for x in found)
        return _Marched(*times_first), sound[None]

    def fastest() -> np.ndarray:
        return np.asarray(_prepare(jax.tree.map(lambda x: np.asarray(x)[None], problem)).fastest)

    to_go, marched, sound = _at_times(march, np.array([float(problem.duration())]), fastest, table)
    return _results([problem], choice, table, to_go, marched)[0] if sound[0] else None


def solve_linear_lanes(
    stacked: Problem, problems: Sequence[Problem], choice: Choice, table: TableRequest
) -> list[FiniteResult | None]:
    """The solutions of `problems`, of one asset each, whose float64 leaves are the lanes of `stacked` (the
    first axis, which may hold more); None for those that do not fit: flows with several κ, or beyond the
    range of doubles.

    A `max_lookup_error` gives all lanes one number of times. Runs with double precision on.
    """
    shifts, target = _geometry(problems[0])
    prepared = _prepare(stacked)
    if np.all(np.asarray(prepared.uniform)):
        rates = np.max(np.asarray(prepared.lanes.rates), axis=1, keepdims=True)
        prepared = prepared._replace(lanes=prepared.lanes._replace(rates=rates))
    durations = np.array([problem.duration() for problem in problems], float)
    durations = np.pad(durations, (0, len(prepared.fastest) - len(problems)), mode="edge")

    def march(to_go: np.ndarray) -> tuple[_Marched, np.ndarray]:
        return _march(prepared, to_go, shifts=shifts, target=target)

    to_go, marched, sound = _at_times(march, durations, lambda: np.asarray(prepared.fastest), table)
    fits = same_decay(np.asarray(prepared.decays).T) & sound
    results = _results(problems, choice, table, to_go, marched)
    return [result if fits[lane] else None for lane, result in enumerate(results)]


def _geometry(problem: Problem) -> tuple[tuple[int, ...], int]:
    """The shifts of the flows, and the place of the target on the lattice."""
    lattice = inventory_lattices(problem)[0]
    return tuple(flow.sign * flow.size for flow in problem.one_sided_flows()), lattice.target - lattice.low


def _at_times(
    march: _March, durations: np.ndarray, fastest: Callable[[], np.ndarray], table: TableRequest
) -> tuple[np.ndarray, _Marched, np.ndarray]:
    """Times to go of each lane, [time, lane], and what was found there."""
    if isinstance(table.times, tuple):
        to_go = durations - np.array(table.times)[::-1, None]
        return to_go, *march(to_go)
    return _place_and_march(march, durations, fastest(), table)


def _results(
    problems: Sequence[Problem], choice: Choice, table: TableRequest, to_go: np.ndarray, marched: _Marched
) -> list[FiniteResult]:
    lookup_error = np.max(marched.lookup_error[1:], axis=0, initial=0.0)
    worst, worst_offset = marched.defect.max(axis=0), marched.offset_error.max(axis=(0, 1))
    results = []
    for lane, problem in enumerate(problems):
        offset = marched.offset[::-1, :, :, lane].swapaxes(1, 2)
        certificate = Certificate(
            level="A",
            statement=statement_of(SERIES),
            value_error=float(worst[lane]),
            quote_error=float(worst_offset[lane]),
            regret=2.0 * float(worst[lane]),
            offset_error=np.broadcast_to(marched.offset_error[::-1, None, :, lane], offset.shape),
        )
        results.append(
            FiniteResult(
                calendar_times(table, float(problem.duration()), to_go[:, lane]),
                marched.value[::-1, :, lane],
                offset,
                len(to_go),
                float(worst[lane]),
                Status.CONVERGED,
                choice,
                {"offset": float(lookup_error[0, lane]), "value": float(lookup_error[1, lane])},
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
    marched, sound = march(np.stack(padded, axis=1))
    offsets = np.where(sound, marched.offset, 0.0)  # (of a lane beyond the range of doubles nothing is kept)
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
def _march_alone(
    problem: Problem, to_go: Float[Array, " t"], *, shifts: tuple[int, ...], target: int
) -> tuple[_Marched, Bool[Array, ""]]:
    """From the numbers of one problem; its times stand last, in the place of the lanes."""
    prepared = _prepare(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], problem))
    found, sound = march_alone(prepared.lanes, to_go, shifts, target, _observer(prepared, shifts))
    return found.stored(prepared.sizes), sound


@kernel(fetched=True)
def _march(
    prepared: _Prepared, to_go: Float[Array, "t lane"], *, shifts: tuple[int, ...], target: int
) -> tuple[_Marched, Bool[Array, " lane"]]:
    found, sound = march_in_lockstep(prepared.lanes, to_go, shifts, target, _observer(prepared, shifts))
    return found.stored(prepared.sizes[None]), sound


def _observer(prepared: _Prepared, shifts: tuple[int, ...]) -> Observe:
    """What a table keeps of moments."""
    states, sizes = prepared.lanes.reward.shape[0], prepared.sizes
    lengths_of_steps = sorted({abs(shift) for shift in shifts if abs(shift) < states})

    def observe(before: Moment, now: Moment, length: Array) -> _Observed:
        fall = {n: now.bias[: states - n] - now.bias[n:] for n in lengths_of_steps}
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
        bends = Bends.between(before.bias + before.level[None], before.slope, value, now.slope, length[None])
        in_falls = {n: _largest(Bends(*(x[: states - n] - x[n:] for x in bends))) for n in fall}
        of_flows = [in_falls[abs(s)] / z for s, z in zip(shifts, sizes, strict=True) if abs(s) in in_falls]
        in_offsets = jnp.max(jnp.stack([*of_flows, jnp.zeros_like(length)]), axis=0)
        largest = jnp.max(jnp.abs(now.bias), axis=0)[None] / sizes + prepared.costs
        largest = 4.0 * (largest + jnp.stack(highest))
        error = 2.0 * now.defect[None] / sizes + 4.0 * UNIT_ROUNDOFF * largest
        lookup_error = CUBIC_MARGIN * jnp.stack([in_offsets, _largest(bends)])
        return _Observed(value, jnp.max(jnp.abs(value), axis=0), offset, now.defect, error, lookup_error)

    return observe


def _largest(bends: Bends) -> Float[Array, " lane"]:
    """Off the chord, of all states."""
    return jnp.max(jnp.maximum(*bends.off_chord()), axis=0, initial=0.0)
