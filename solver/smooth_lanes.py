"""Finite horizons with a smooth equation, one or many of one structure: series for the Hamiltonians, one
march by Runge-Kutta, and a path through its steps, from which nodes, values and certificate are taken.

The range of reservation offsets is guessed from the end of the horizon and from a closed form of the
stationary state; where a path leaves it, it is widened and the march repeated.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.models.problem import Numerics, Problem, TableRequest
from quotegrid.solver.bellman import greedy_policy, reservation_offsets
from quotegrid.solver.certificate import Certificate, quote_bounds, rounding_allowance
from quotegrid.solver.chain import ControlledChain, in_problem_order, stays_inside
from quotegrid.solver.discretise import discretise, inventory_lattices
from quotegrid.solver.finite_certificate import DEFECT, REST, reading_error, statement_of
from quotegrid.solver.finite_result import FiniteResult
from quotegrid.solver.hamiltonian_series import (
    ACCURATE,
    DEGREES,
    SeriesOperator,
    reservation_range,
    series_operator,
)
from quotegrid.solver.hermite_path import (
    NEIGHBOURS,
    Path,
    PathDefects,
    SampleWeights,
    path_defects,
    sample_weights,
)
from quotegrid.solver.kernels import kernel
from quotegrid.solver.marching import fastest_scale
from quotegrid.solver.methods import Choice
from quotegrid.solver.resting_path import bound_at_rest, may_rest
from quotegrid.solver.runge_kutta import (
    ATTEMPTS,
    STABLE,
    Nodes,
    Progress,
    march_runge_kutta,
    start_runge_kutta,
)
from quotegrid.solver.starting_values import asinh_start
from quotegrid.solver.status import Status
from quotegrid.solver.time_nodes import (
    MOST_PILOT_TIMES,
    calendar_times,
    first_count,
    more_times,
    off_chord,
    pilot_times,
    place_nodes,
)

_MOST_STEPS = 20_000  # of a march
_TRIALS = 6  # ranges of reservation offsets
_MARGIN = 0.25  # of a range, added on both sides of what was seen
_GROWTH = 1.6  # of a range, from one trial to the next
_CHUNK = 64  # nodes, or times, are padded to a multiple: few shapes to compile


class _Prepared(NamedTuple):
    """What the host should know of the lanes; a first axis of lanes."""

    low: Float[
        Array, "lane flow"
    ]  # reservation offsets, at the end of the horizon and in the long run, price
    high: Float[Array, "lane flow"]
    scale: Float[Array, " lane"]  # of the value, currency
    fastest: Float[Array, " lane"]  # time scale at the end of the horizon, time
    leaving: Float[Array, " lane"]  # largest rate of leaving a state, then and then, per time


class _Quotes(NamedTuple):
    offset: Float[Array, "lane t flow *state"]  # price units, NaN where off
    offset_slope: Float[Array, "lane t flow *state"]  # per time to go
    value_slope: Float[Array, "lane t *state"]  # B(θ), currency per time
    error: Float[Array, "lane t flow *state"]  # certified, price units


class _Lanes(NamedTuple):
    """The lanes, as arrays and as what the host knows of them."""

    stacked: Problem
    shape: tuple[int, ...]  # of the lattice
    target: tuple[int, ...]
    durations: np.ndarray
    scale: np.ndarray  # of the value, currency
    allowed: np.ndarray  # estimated error of a step, currency
    fastest: np.ndarray  # time scale at the end of the horizon, time

    def one(self, lane: int) -> Problem:
        """The problem of a lane."""
        return jax.tree.map(lambda leaf: leaf[lane], self.stacked)


def solve_smooth_lanes(
    stacked: Problem,
    problems: Sequence[Problem],
    choice: Choice,
    numerics: Numerics,
    table: TableRequest,
    progress: Callable[[float], None],
) -> list[FiniteResult | None]:
    """The solutions of `problems`, whose float64 leaves are the lanes of `stacked` (the first axis, which may
    hold more); None for those whose Hamiltonians are not smooth, or that are too stiff.

    A `max_lookup_error` gives all lanes one number of times. Runs with double precision on.
    """
    low, high, scale, fastest, leaving = (np.asarray(x) for x in _prepare(stacked))
    count = len(scale)
    durations = np.array([problem.duration() for problem in problems], float)
    durations = np.pad(durations, (0, count - len(problems)), mode="edge")
    fits = 2.0 * leaving * durations < STABLE * _MOST_STEPS
    fits[len(problems) :] = False
    lattices = inventory_lattices(problems[0])
    lanes = _Lanes(
        stacked,
        tuple(len(lattice.lots) for lattice in lattices),
        tuple((lattice.target - lattice.low) // lattice.step for lattice in lattices),
        durations,
        scale,
        float(numerics.tolerance) * scale,
        fastest,
    )
    found = _paths(lanes, low, high, fits, progress)
    return _results(lanes, found[: len(problems)], choice, table)


class _Found(NamedTuple):
    """The path of a lane; bounds of its error and of the error's differences at its nodes, currency; and how
    they were found.
    """

    path: Path
    value_error: np.ndarray
    span: np.ndarray
    how: str

    def errors_at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bounds at times to go: those of the node before and of the interval's own defect."""
        before = self.path.intervals(times)
        past = times > self.path.to_go[before]

        def there(x: np.ndarray) -> np.ndarray:
            return x[before] + np.where(past, np.maximum(np.diff(x)[before], 0.0), 0.0)

        return there(self.value_error), there(self.span)


def _paths(
    lanes: _Lanes, low: np.ndarray, high: np.ndarray, fits: np.ndarray, progress: Callable[[float], None]
) -> list[_Found | None]:
    """March the lanes for which that makes sense (`fits`), with a first guess of the reservation offsets."""
    found: list[_Found | None] = [None] * len(fits)
    for _ in range(_TRIALS):
        middle, half = 0.5 * (low + high), (0.5 + _MARGIN) * (high - low)
        waiting = fits & np.array([one is None for one in found])
        series, start, accurate = _expanded(lanes, middle - half, middle + half, waiting)
        waiting = waiting & accurate
        if not np.any(waiting):
            break
        # lanes that are done, or for which nothing can be done, rest
        paths = _march(
            series, start, lanes._replace(durations=np.where(waiting, lanes.durations, 0.0)), progress
        )
        defects = _defects(series, paths, lanes.shape)
        reach = np.asarray(defects.reach)
        inside = waiting & np.all(np.abs(reach) <= 1.0, axis=(1, 2))
        for lane, path in enumerate(paths):
            if inside[lane] and path is not None and path.to_go[-1] == lanes.durations[lane]:
                found[lane] = _bounded(lanes, path, defects, lane)
        # beyond its range a series means nothing, and so does how far a path went there
        low, high = middle - _GROWTH * half, middle + _GROWTH * half
    return found


def _expanded(
    lanes: _Lanes, low: np.ndarray, high: np.ndarray, waiting: np.ndarray
) -> tuple[SeriesOperator, Progress, np.ndarray]:
    """Series of the least degree that is accurate for all `waiting` lanes, or of the highest; the march's
    start; and for which lanes they are.
    """
    for degree in DEGREES:
        series, start = _begin(lanes.stacked, *map(jax.device_put, (low, high, lanes.fastest)), degree=degree)
        accurate = np.all(np.asarray(series.error) <= ACCURATE, axis=1)  # False where it is NaN
        if np.all(accurate | ~waiting) or degree == DEGREES[-1]:
            return series, start, accurate
    raise AssertionError("there are degrees")


def _march(
    series: SeriesOperator, start: Progress, lanes: _Lanes, progress: Callable[[float], None]
) -> list[Path | None]:
    """The steps of each lane as far as it got; None where there are too few."""
    at = start
    pieces = [[np.asarray(x)[None] for x in (start.now, start.bias, start.level, start.slope, start.sound)]]
    durations = lanes.durations
    ends, tolerances, moving = jax.device_put(durations), jax.device_put(lanes.allowed), durations > 0.0
    for _ in range(0, _MOST_STEPS, ATTEMPTS):
        at, nodes = _march_kernel(series, at, ends, tolerances, target=lanes.target)
        pieces.append([np.asarray(x) for x in nodes])
        now, sound = np.asarray(at.now), np.asarray(at.sound)
        progress(float(np.min(now[moving] / durations[moving])))
        if np.all((now >= durations) | ~sound):
            break
    to_go, bias, level, slope, accepted = (np.concatenate(x) for x in zip(*pieces, strict=True))
    paths: list[Path | None] = []
    for lane in range(len(durations)):
        kept = np.flatnonzero(accepted[:, lane])
        own = [x[kept, lane] for x in (to_go, bias, level, slope)]
        paths.append(
            Path(*own, bend=np.zeros_like(own[1]), target=lanes.target) if len(kept) > NEIGHBOURS else None
        )
    return paths


def _defects(series: SeriesOperator, paths: list[Path | None], shape: tuple[int, ...]) -> PathDefects:
    """Of all lanes; their nodes padded to one number. Lanes without a path have none."""
    longest = max((len(path.to_go) for path in paths if path is not None), default=NEIGHBOURS)
    count = longest + -longest % _CHUNK
    still, moments = np.zeros((NEIGHBOURS, *shape)), np.arange(float(NEIGHBOURS))
    none = Path(moments, still, np.zeros(NEIGHBOURS), still, still, ())
    there = [none if path is None else path for path in paths]

    def padded(arrays: list[np.ndarray]) -> Array:
        return jax.device_put(
            np.stack([np.pad(x, [(0, count - len(x))] + [(0, 0)] * (x.ndim - 1)) for x in arrays])
        )

    weights = [sample_weights(path.to_go, count - 1) for path in there]
    return _defect_kernel(
        series,
        padded([path.bias for path in there]),
        padded([path.level for path in there]),
        padded([path.slope for path in there]),
        jax.tree.map(lambda *x: np.stack(x), *weights),
    )


def _bounded(lanes: _Lanes, path: Path, defects: PathDefects, lane: int) -> _Found:
    """A path with the bounds of its error."""
    count = len(path.to_go)
    path = path._replace(bend=np.asarray(defects.bend[lane, :count]))
    value_error, span = (
        np.concatenate([[0.0], np.cumsum(np.asarray(x[lane, : count - 1]))])
        for x in (defects.largest, defects.span)
    )
    if not may_rest(float(lanes.scale[lane]), path.to_go, path.bias, span):
        return _Found(path, value_error, span, DEFECT)
    chain = _chain_kernel(lanes.one(lane))
    value_error, span = bound_at_rest(chain, path.to_go, path.bias, path.level, value_error, span)
    return _Found(path, value_error, span, DEFECT + REST)


class _Looked(NamedTuple):
    """A table's worth of moments of all lanes."""

    value: Float[np.ndarray, "lane t *state"]  # currency
    value_error: Float[np.ndarray, "lane t"]  # bound, currency
    offset: Float[np.ndarray, "lane t flow *state"]  # price units, NaN where off
    offset_error: Float[np.ndarray, "lane t flow *state"]  # certified, price units
    lookup_error: dict[str, Float[np.ndarray, " lane"]]  # price, currency


def _results(
    lanes: _Lanes, found: list[_Found | None], choice: Choice, table: TableRequest
) -> list[FiniteResult | None]:
    """Tables of the paths."""
    first = next((lane for lane, one in enumerate(found) if one is not None), None)
    if first is None:
        return [None] * len(found)
    # a lane without a path repeats one that has, and is left out at the end
    source = np.full(len(lanes.durations), first)
    there = [lane for lane, one in enumerate(found) if one is not None]
    source[there] = there
    lanes = lanes._replace(
        stacked=jax.tree.map(lambda leaf: leaf[source], lanes.stacked),
        durations=lanes.durations[source],
        fastest=lanes.fastest[source],
    )
    whole = [one for one in (found[lane] for lane in source) if one is not None]
    if isinstance(table.times, tuple):
        to_go = [end - np.asarray(table.times, float)[::-1] for end in lanes.durations]
        looked = _look(lanes, whole, to_go)
    else:
        to_go, looked = _place_and_look(lanes, whole, table)
    results: list[FiniteResult | None] = []
    for lane, one in enumerate(found):
        if one is None:
            results.append(None)
            continue
        error = np.moveaxis(looked.offset_error[lane, ::-1], 1, -1)
        worst = float(np.max(looked.value_error[lane]))
        certificate = Certificate(
            level="A",
            statement=statement_of(one.how),
            value_error=worst,
            quote_error=float(np.max(error)),
            regret=2.0 * worst,
            offset_error=error,
        )
        results.append(
            FiniteResult(
                calendar_times(table, float(lanes.durations[lane]), to_go[lane]),
                looked.value[lane, ::-1],
                np.moveaxis(looked.offset[lane, ::-1], 1, -1),
                len(one.path.to_go) - 1,
                float(one.value_error[-1]),
                Status.CONVERGED,
                choice,
                {what: float(error[lane]) for what, error in looked.lookup_error.items()},
                certificate,
            )
        )
    return results


def _place_and_look(
    lanes: _Lanes, found: list[_Found], table: TableRequest
) -> tuple[list[np.ndarray], _Looked]:
    """Well-placed times to go of each lane, and the moments there."""
    scales = zip(lanes.durations.tolist(), lanes.fastest.tolist(), strict=True)
    pilots = [pilot_times(duration, fastest) for duration, fastest in scales]
    biases = [one.path.at(times)[0] for one, times in zip(found, pilots, strict=True)]
    bends = np.asarray(_reservation_kernel(lanes.stacked, _stacked(biases, MOST_PILOT_TIMES)))
    count, target = first_count(table), table.max_lookup_error
    while True:
        to_go = [place_nodes(times, p[: len(times)], count) for times, p in zip(pilots, bends, strict=True)]
        looked = _look(lanes, found, to_go)
        error = float(np.max(looked.lookup_error["offset"]))
        if target is None or error <= target:
            return to_go, looked
        count = more_times(count, error, float(target))


def _look(lanes: _Lanes, found: list[_Found], to_go: list[np.ndarray]) -> _Looked:
    """The moments of each lane at its times to go."""
    moments = [one.path.at(times) for one, times in zip(found, to_go, strict=True)]
    bounds = [one.errors_at(times) for one, times in zip(found, to_go, strict=True)]
    values = [bias + level.reshape((-1,) + (1,) * len(lanes.shape)) for bias, level in moments]
    readings = [reading_error(np.max(np.abs(x), axis=tuple(range(1, x.ndim)))) for x in values]
    spans = [span + 2.0 * reading for (_, span), reading in zip(bounds, readings, strict=True)]
    count = len(to_go[0])
    room = count + -count % _CHUNK
    quotes = _quote_kernel(
        lanes.stacked, _stacked([bias for bias, _ in moments], room), _stacked(spans, room)
    )
    offset, offset_slope, value_slope, offset_error = (np.asarray(x)[:, :count] for x in quotes)
    length, value = np.diff(np.stack(to_go), axis=1), np.stack(values)

    def lookup_error(values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        wide = length.reshape(length.shape + (1,) * (values.ndim - 2))
        off = off_chord(values[:, :-1], slopes[:, :-1], values[:, 1:], slopes[:, 1:], wide)
        off = np.nan_to_num(np.abs(np.stack(off)), nan=0.0)
        return np.max(off, axis=(0, *range(2, off.ndim)), initial=0.0)

    errors = {"offset": lookup_error(offset, offset_slope), "value": lookup_error(value, value_slope)}
    value_error = np.stack([error + reading for (error, _), reading in zip(bounds, readings, strict=True)])
    return _Looked(value, value_error, offset, offset_error, errors)


def _stacked(arrays: list[np.ndarray], count: int) -> Array:
    """[lane, count, …], each padded with its own last entry."""
    return jax.device_put(
        np.stack([np.pad(x, [(0, count - len(x))] + [(0, 0)] * (x.ndim - 1), mode="edge") for x in arrays])
    )


@kernel
def _prepare(stacked: Problem) -> _Prepared:
    def of_one(problem: Problem) -> _Prepared:
        chain = discretise(problem)
        ends = jnp.stack([chain.terminal, asinh_start(chain)])
        policies = jax.vmap(lambda theta: greedy_policy(chain, theta))(ends)
        low, high = jax.vmap(lambda p: reservation_range(chain, p))(policies.reservation)
        at_end = jax.tree.map(lambda x: x[0], policies)
        leaving = jnp.max(jnp.sum(policies.rates, axis=1), initial=0.0)
        return _Prepared(
            jnp.min(low, axis=0),
            jnp.max(high, axis=0),
            chain.value_scale,
            fastest_scale(chain, at_end),
            leaving,
        )

    return jax.vmap(of_one)(stacked)


@kernel
def _begin(
    stacked: Problem,
    low: Float[Array, "lane flow"],
    high: Float[Array, "lane flow"],
    step: Float[Array, " lane"],
    *,
    degree: int,
) -> tuple[SeriesOperator, Progress]:
    def of_one(problem: Problem, low: Array, high: Array, step: Array) -> tuple[SeriesOperator, Progress]:
        chain = discretise(problem)
        series = series_operator(chain, low, high, degree)
        return series, start_runge_kutta(series, chain.terminal, chain.target, step)

    return jax.vmap(of_one)(stacked, low, high, step)


@kernel
def _chain_kernel(problem: Problem) -> ControlledChain:
    return discretise(problem)


@kernel
def _march_kernel(
    series: SeriesOperator, at: Progress, durations: Array, allowed: Array, *, target: tuple[int, ...]
) -> tuple[Progress, Nodes]:
    return march_runge_kutta(series, at, durations, allowed, target)


@kernel
def _defect_kernel(
    series: SeriesOperator,
    bias: Float[Array, "lane node *state"],
    level: Float[Array, "lane node"],
    slope: Float[Array, "lane node *state"],
    weights: SampleWeights,
) -> PathDefects:
    return jax.vmap(path_defects)(series, bias, level, slope, weights)


@kernel
def _reservation_kernel(stacked: Problem, bias: Float[Array, "lane t *state"]) -> Array:
    """p where a flow is on, else NaN: [lane, t, flow, *state]."""

    def of_one(problem: Problem, bias: Array) -> Array:
        chain = discretise(problem)
        inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in chain.shifts])
        return jax.vmap(lambda theta: jnp.where(inside, reservation_offsets(chain, theta), jnp.nan))(bias)

    return jax.vmap(of_one)(stacked, bias)


@kernel
def _quote_kernel(
    stacked: Problem, bias: Float[Array, "lane t *state"], difference_error: Float[Array, "lane t"]
) -> _Quotes:
    def of_one(problem: Problem, bias: Array, difference_error: Array) -> _Quotes:
        chain = discretise(problem)
        wide = (slice(None),) + (None,) * len(chain.shape)
        sizes = in_problem_order(chain.channels, [c.size * c.multiplier for c in chain.channels])[wide]

        def at(moment: tuple[Array, Array]) -> _Quotes:
            theta, difference = moment
            policy, along = jax.linearize(lambda theta: greedy_policy(chain, theta), theta)
            radius = difference / sizes + rounding_allowance(chain, theta, policy)[1]
            return _Quotes(
                jnp.where(policy.quoted, policy.offsets, jnp.nan),
                along(policy.operator).offsets,
                policy.operator,
                quote_bounds(chain, policy, radius).error,
            )

        return jax.lax.map(at, (bias, difference_error))

    return jax.vmap(of_one)(stacked, bias, difference_error)
