"""Finite horizons with a smooth equation: series for the Hamiltonians, one march by Runge-Kutta, and a path
through its steps, from which nodes, values and certificate are taken.

The range of reservation offsets is guessed from the end of the horizon and from a closed form of the
stationary state; where the path leaves it, it is widened and the march repeated.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.models.problem import Numerics, Problem, TableRequest
from quotegrid.solver.bellman import greedy_policy, reservation_offsets
from quotegrid.solver.certificate import Certificate, quote_bounds, rounding_allowance
from quotegrid.solver.chain import ControlledChain, in_problem_order, stays_inside
from quotegrid.solver.discretise import discretise
from quotegrid.solver.finite_certificate import DEFECT, REST, reading_error, statement_of
from quotegrid.solver.finite_result import FiniteResult
from quotegrid.solver.hamiltonian_series import (
    ACCURATE,
    DEGREES,
    SeriesOperator,
    offsets_by_series,
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
    CUBIC_MARGIN,
    MOST_PILOT_TIMES,
    Bends,
    calendar_times,
    first_count,
    more_times,
    pilot_times,
    place_nodes,
)

_MOST_STEPS = 60_000  # of a march
_MOST_NUMBERS = 2e7  # of a march: its steps times the states
_PESSIMISM = 5.0  # how many times too many steps the rates of the long run may suggest
_TRIALS = 6  # ranges of reservation offsets
_STRIDE = 2  # from one node of the path to the next, in steps
_MARGIN = 0.25  # of a range, added on both sides of what was seen
_GROWTH = 1.6  # of a range, from one trial to the next
_CHUNK = 64  # nodes are padded to a multiple: few shapes to compile
_TIMES = 104  # times to one of these, which the usual 101 almost fill
_TOGETHER = 16_384  # values whose quotes are taken at once, or so: few calls, and little memory


class _Prepared(NamedTuple):
    """The chain, and what the host should know of it."""

    chain: ControlledChain
    low: Float[Array, " flow"]  # reservation offsets, at the end of the horizon and in the long run, price
    high: Float[Array, " flow"]
    scale: Float[Array, ""]  # of the value, currency
    fastest: Float[Array, ""]  # time scale at the end of the horizon, time
    leaving: Float[Array, ""]  # largest rate of leaving a state, then and then, per time


class _Quotes(NamedTuple):
    offset: Float[Array, "t flow *state"]  # price units, NaN where off
    offset_slope: Float[Array, "t flow *state"]  # per time to go
    value_slope: Float[Array, "t *state"]  # B(θ), currency per time
    error: Float[Array, "t flow *state"]  # certified, price units


class _Found(NamedTuple):
    """A path and the series it was marched with; bounds of its error and of the error's differences at its
    nodes, currency; and how they were found.
    """

    path: Path
    series: SeriesOperator
    value_error: np.ndarray
    span: np.ndarray
    how: str
    steps: int  # of the march

    def errors_at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bounds at times to go: those of the node before and of the interval's own defect."""
        before = self.path.intervals(times)
        past = times > self.path.to_go[before]

        def there(x: np.ndarray) -> np.ndarray:
            return x[before] + np.where(past, np.maximum(np.diff(x)[before], 0.0), 0.0)

        return there(self.value_error), there(self.span)


def solve_smooth(
    problem: Problem,
    choice: Choice,
    numerics: Numerics,
    table: TableRequest,
    progress: Callable[[float], None],
) -> FiniteResult | None:
    """The solution of `problem` (leaves float64); None where its Hamiltonians are not smooth, or it is too
    stiff.

    Runs with double precision on.
    """
    prepared = _prepare(problem)
    duration = float(problem.duration())
    most = int(min(_MOST_STEPS, _MOST_NUMBERS / np.prod(prepared.chain.shape)))
    if 2.0 * float(prepared.leaving) * duration >= _PESSIMISM * STABLE * most:
        return None
    found = _path(prepared, duration, float(numerics.tolerance), most, progress)
    if found is None:
        return None
    if isinstance(table.times, tuple):
        to_go = duration - np.asarray(table.times, float)[::-1]
        looked = _look(prepared.chain, found, to_go)
    else:
        to_go, looked = _place_and_look(prepared, found, duration, table)
    error = np.moveaxis(looked.offset_error[::-1], 1, -1)
    worst = float(np.max(looked.value_error))
    certificate = Certificate(
        level="A",
        statement=statement_of(found.how),
        value_error=worst,
        quote_error=float(np.max(error)),
        regret=2.0 * worst,
        offset_error=error,
    )
    return FiniteResult(
        calendar_times(table, duration, to_go),
        looked.value[::-1],
        np.moveaxis(looked.offset[::-1], 1, -1),
        found.steps,
        float(found.value_error[-1]),
        Status.CONVERGED,
        choice,
        looked.lookup_error,
        certificate,
    )


def _path(
    prepared: _Prepared, duration: float, tolerance: float, most: int, progress: Callable[[float], None]
) -> _Found | None:
    """March, in so many steps at most, within a range of reservation offsets that holds what is visited."""
    chain, low, high = prepared.chain, np.asarray(prepared.low), np.asarray(prepared.high)
    allowed = tolerance * float(prepared.scale)
    for _ in range(_TRIALS):
        middle, half = 0.5 * (low + high), (0.5 + _MARGIN) * (high - low)
        expanded = _expanded(prepared, middle - half, middle + half)
        if expanded is None:
            return None
        series, start = expanded
        marched = _march(series, start, chain.target, duration, allowed, most, progress)
        if marched is not None:
            path, steps = marched
            defects = _defects(series, path)
            if float(defects.reach) <= 1.0:
                return (
                    _bounded(prepared, series, path, steps, defects) if path.to_go[-1] == duration else None
                )
        # beyond its range a series means nothing, and so does how far a path went there
        low, high = middle - _GROWTH * half, middle + _GROWTH * half
    return None


def _expanded(
    prepared: _Prepared, low: np.ndarray, high: np.ndarray
) -> tuple[SeriesOperator, Progress] | None:
    """Series of the least degree that is accurate, and the march's start."""
    for degree in DEGREES:
        series, start = _begin(prepared.chain, low, high, prepared.fastest, degree=degree)
        if np.all(np.asarray(series.flows.error) <= ACCURATE):  # False where it is NaN
            return series, start
    return None


def _march(
    series: SeriesOperator,
    start: Progress,
    target: tuple[int, ...],
    duration: float,
    allowed: float,
    most: int,
    progress: Callable[[float], None],
) -> tuple[Path, int] | None:
    """Every second step as far as the march got, and how many there were; None where there are too few.

    Steps are short for the sake of stability: the path through every second one has much the same defect, and
    half as many intervals to bound it on.
    """
    at = start
    pieces = [[np.asarray(x)[None] for x in (start.now, start.bias, start.level, start.slope, start.sound)]]
    end, tolerance = np.float64(duration), np.float64(allowed)
    for _ in range(0, most, ATTEMPTS):
        at, nodes = _march_kernel(series, at, end, tolerance, target=target)
        pieces.append([np.asarray(x) for x in nodes])
        progress(float(at.now) / duration)
        if float(at.now) >= duration or not bool(at.sound):
            break
    *arrays, accepted = (np.concatenate(x) for x in zip(*pieces, strict=True))
    steps = np.flatnonzero(accepted)
    nodes = steps[:: _STRIDE if len(steps) > _STRIDE * NEIGHBOURS else 1]
    nodes = np.append(nodes, steps[-1:][nodes[-1] < steps[-1]])
    to_go, bias, level, slope = (x[nodes] for x in arrays)
    if len(to_go) <= NEIGHBOURS:
        return None
    return Path(to_go, bias, level, slope, np.zeros_like(bias), target), len(steps) - 1


def _defects(series: SeriesOperator, path: Path) -> PathDefects:
    """Of all intervals; the nodes padded to few shapes."""
    count = len(path.to_go) + -len(path.to_go) % _CHUNK
    weights = sample_weights(path.to_go, count - 1)
    return _defect_kernel(
        series, *(_padded(x, count, "constant") for x in (path.bias, path.level, path.slope)), weights
    )


def _bounded(
    prepared: _Prepared, series: SeriesOperator, path: Path, steps: int, defects: PathDefects
) -> _Found:
    """A path with the bounds of its error."""
    count = len(path.to_go)
    path = path._replace(bend=np.asarray(defects.bend)[:count])
    value_error, span = (
        np.concatenate([[0.0], np.cumsum(np.asarray(x)[: count - 1])])
        for x in (defects.largest, defects.span)
    )
    if not may_rest(float(prepared.scale), path.to_go, path.bias, span):
        return _Found(path, series, value_error, span, DEFECT, steps)
    value_error, span = bound_at_rest(prepared.chain, path.to_go, path.bias, path.level, value_error, span)
    return _Found(path, series, value_error, span, DEFECT + REST, steps)


class _Looked(NamedTuple):
    """A table's worth of moments."""

    value: Float[np.ndarray, "t *state"]  # currency
    value_error: Float[np.ndarray, " t"]  # bound, currency
    offset: Float[np.ndarray, "t flow *state"]  # price units, NaN where off
    offset_error: Float[np.ndarray, "t flow *state"]  # certified, price units
    lookup_error: dict[str, float]  # price, currency


def _place_and_look(
    prepared: _Prepared, found: _Found, duration: float, table: TableRequest
) -> tuple[np.ndarray, _Looked]:
    """Well-placed times to go, and the moments there."""
    pilot = pilot_times(duration, float(prepared.fastest))
    bias = _padded(found.path.at(pilot)[0], MOST_PILOT_TIMES, "edge")
    reservations = np.asarray(_reservation_kernel(prepared.chain, bias))[: len(pilot)]
    count, target = first_count(table), table.max_lookup_error
    while True:
        to_go = place_nodes(pilot, reservations, count)
        looked = _look(prepared.chain, found, to_go)
        error = looked.lookup_error["offset"]
        if target is None or error <= target:
            return to_go, looked
        count = more_times(count, error, float(target))


def _look(chain: ControlledChain, found: _Found, to_go: np.ndarray) -> _Looked:
    """The moments at times to go."""
    bias, level = found.path.at(to_go)
    value_error, span = found.errors_at(to_go)
    value = bias + level.reshape((-1,) + (1,) * len(chain.shape))
    reading = reading_error(np.max(np.abs(value), axis=tuple(range(1, value.ndim))))
    count = len(to_go)
    room = count + -count % _TIMES
    moments = (_padded(x, room, "edge") for x in (bias, span + 2.0 * reading))
    quotes = _quote_kernel(chain, found.series, *moments)
    offset, offset_slope, value_slope, offset_error = (np.asarray(x)[:count] for x in quotes)

    def lookup_error(values: np.ndarray, slopes: np.ndarray) -> float:
        length = np.diff(to_go).reshape((-1,) + (1,) * (values.ndim - 1))
        off = Bends.between(values[:-1], slopes[:-1], values[1:], slopes[1:], length).off_chord()
        return CUBIC_MARGIN * float(np.max(np.nan_to_num(np.stack(off), nan=0.0), initial=0.0))

    errors = {"offset": lookup_error(offset, offset_slope), "value": lookup_error(value, value_slope)}
    return _Looked(value, value_error + reading, offset, offset_error, errors)


def _padded(x: np.ndarray, count: int, mode: Any) -> np.ndarray:
    """`count` rows, the last ones zero ("constant") or like the last one there is ("edge")."""
    return np.pad(x, [(0, count - len(x))] + [(0, 0)] * (x.ndim - 1), mode=mode)


@kernel()
def _prepare(problem: Problem) -> _Prepared:
    chain = discretise(problem)
    ends = jnp.stack([chain.terminal, asinh_start(chain)])
    policies = jax.vmap(lambda theta: greedy_policy(chain, theta))(ends)
    low, high = jax.vmap(lambda p: reservation_range(chain, p))(policies.reservation)
    at_end = jax.tree.map(lambda x: x[0], policies)
    return _Prepared(
        chain,
        jnp.min(low, axis=0),
        jnp.max(high, axis=0),
        chain.value_scale,
        fastest_scale(chain, at_end),
        jnp.max(jnp.sum(policies.rates, axis=1), initial=0.0),
    )


@kernel()
def _begin(
    chain: ControlledChain,
    low: Float[Array, " flow"],
    high: Float[Array, " flow"],
    step: Float[Array, ""],
    *,
    degree: int,
) -> tuple[SeriesOperator, Progress]:
    series = series_operator(chain, low, high, degree)
    return series, start_runge_kutta(series, chain.terminal, chain.target, step)


@kernel(hot=True)
def _march_kernel(
    series: SeriesOperator, at: Progress, duration: Array, allowed: Array, *, target: tuple[int, ...]
) -> tuple[Progress, Nodes]:
    return march_runge_kutta(series, at, duration, allowed, target)


@kernel(hot=True)
def _defect_kernel(
    series: SeriesOperator,
    bias: Float[Array, "node *state"],
    level: Float[Array, " node"],
    slope: Float[Array, "node *state"],
    weights: SampleWeights,
) -> PathDefects:
    return path_defects(series, bias, level, slope, weights)


@kernel()
def _reservation_kernel(
    chain: ControlledChain, bias: Float[Array, "t *state"]
) -> Float[Array, "t flow *state"]:
    """p where a flow is on, else NaN."""
    inside = jnp.asarray([stays_inside(chain.shape, shift) for shift in chain.shifts])
    return jax.vmap(lambda theta: jnp.where(inside, reservation_offsets(chain, theta), jnp.nan))(bias)


@kernel(hot=True)
def _quote_kernel(
    chain: ControlledChain,
    series: SeriesOperator,
    bias: Float[Array, "t *state"],
    difference_error: Float[Array, " t"],
) -> _Quotes:
    wide = (slice(None),) + (None,) * len(chain.shape)
    sizes = in_problem_order(chain.channels, [c.size * c.multiplier for c in chain.channels])[wide]

    def at(moment: tuple[Array, Array]) -> _Quotes:
        theta, difference = moment
        guess = offsets_by_series(series, theta, chain.xi)
        policy, along = jax.linearize(lambda theta: greedy_policy(chain, theta, guess=guess), theta)
        radius = difference / sizes + rounding_allowance(chain, theta, policy)[1]
        return _Quotes(
            jnp.where(policy.quoted, policy.offsets, jnp.nan),
            along(policy.operator).offsets,
            policy.operator,
            quote_bounds(chain, policy, radius).error,
        )

    return jax.lax.map(at, (bias, difference_error), batch_size=max(1, _TOGETHER // bias[0].size))
