"""Finite horizons on the host: march to the times a table asks for, or place them, and measure linear lookup
between them.

The chosen method marches; where the high-order ones cannot, monotone implicit Euler does, with a status that
says so.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.models.problem import DEFAULT_TIMES, Fault, Numerics, Problem, ProblemError, TableRequest
from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.discretise import discretise
from quotegrid.solver.extrapolated_euler import march_extrapolated, start_extrapolated
from quotegrid.solver.implicit_euler import march_implicit_euler
from quotegrid.solver.marching import Marching, Output, start_marching
from quotegrid.solver.methods import EXTRAPOLATED_EULER, IMPLICIT_EULER, UNIFORMISATION, Choice
from quotegrid.solver.status import Status
from quotegrid.solver.time_nodes import interpolation_error, pilot_times, place_nodes, with_checks
from quotegrid.solver.uniformisation import march_uniformised, start_uniformisation

_MOST_TIMES = 20_001  # nodes that a `max_lookup_error` may lead to
_EULER_STEPS = 2000  # implicit Euler, when numerics.time_steps does not say
_CHUNK = 32  # output times per compiled call: progress between calls, one shape for all of them


class Path(NamedTuple):
    """The solution at increasing times to go."""

    to_go: Float[np.ndarray, " t"]
    value: Float[np.ndarray, "t *state"]  # θ, currency
    offset: Float[np.ndarray, "t *state flow"]  # price units, NaN where off
    steps: int
    defect: float  # sum of the steps' estimated errors, currency
    sound: bool


class FiniteResult(NamedTuple):
    """The solution at the times of the table, in calendar time."""

    times: Float[np.ndarray, " t"]
    value: Float[np.ndarray, "t *state"]
    offset: Float[np.ndarray, "t *state flow"]
    steps: int
    defect: float
    status: Status
    choice: Choice  # the method that was used in the end
    lookup_error: dict[str, float]


def solve_finite(
    problem: Problem,
    choice: Choice,
    numerics: Numerics,
    table: TableRequest,
    progress: Callable[[float], None],
) -> FiniteResult:
    """March `problem` (leaves float64) by the chosen method, or by implicit Euler if that fails and may be
    replaced.

    Runs with double precision on.
    """
    result = _solve_by(problem, choice, numerics, table, progress)
    if result.status is Status.CONVERGED or numerics.method is not None:
        return result
    fallback = Choice(
        IMPLICIT_EULER, f"{choice.method} failed ({result.status}), and this is the monotone fallback"
    )
    result = _solve_by(problem, fallback, numerics, table, progress)
    return (
        result._replace(status=Status.TOLERANCE_NOT_REACHED) if result.status is Status.CONVERGED else result
    )


def _solve_by(
    problem: Problem,
    choice: Choice,
    numerics: Numerics,
    table: TableRequest,
    progress: Callable[[float], None],
) -> FiniteResult:
    duration = float(problem.horizon.duration)  # type: ignore[union-attr]
    chain, start, fastest = _begin(problem, choice, numerics, duration)

    def run(to_go: np.ndarray, share: tuple[float, float]) -> Path:
        return _march(
            chain, start, to_go, choice, numerics, lambda f: progress(share[0] + f * (share[1] - share[0]))
        )

    if isinstance(table.times, tuple):
        path = run(with_checks(duration - np.asarray(table.times, float)[::-1]), (0.0, 1.0))
    else:
        pilot = run(pilot_times(duration, fastest), (0.0, 0.2))
        path = _place_and_march(run, pilot, table)
    keep = slice(None, None, 4)  # the nodes, without the checks between them
    times = duration - path.to_go[keep][::-1]
    if isinstance(table.times, tuple):
        times = np.asarray(table.times, float)  # to the last bit what was asked for
    else:
        times[0] = 0.0
    value, offset = path.value[keep][::-1], path.offset[keep][::-1]
    status = Status.CONVERGED if path.sound else _failure(path, chain)
    error = {"offset": interpolation_error(path.offset), "value": interpolation_error(path.value)}
    return FiniteResult(times, value, offset, path.steps, path.defect, status, choice, error)


def _failure(path: Path, chain: ControlledChain) -> Status:
    if not bool(chain.representable):
        return Status.BADLY_SCALED
    return Status.TOLERANCE_NOT_REACHED if np.all(np.isfinite(path.value)) else Status.UNBOUNDED_QUOTES


def _place_and_march(run: Callable, pilot: Path, table: TableRequest) -> Path:
    """Spread the nodes; for a `max_lookup_error`, in growing number until the error is small enough."""
    target = table.max_lookup_error
    count = DEFAULT_TIMES if table.times is None else table.times
    assert isinstance(count, int)
    if target is None:
        return run(with_checks(place_nodes(pilot.to_go, pilot.offset, count)), (0.2, 1.0))
    count = 17
    while True:
        path = run(with_checks(place_nodes(pilot.to_go, pilot.offset, count)), (0.2, 1.0))
        error = interpolation_error(path.offset)
        if error <= target or not path.sound:
            return path
        if count >= _MOST_TIMES:
            sentence = (
                f"{target} cannot be met: with {count} times linear interpolation still errs by {error:.3g} "
                "(quotes on ticks jump, and no number of times helps); ask for a larger error or for a count."
            )
            raise ProblemError([Fault("table.max_lookup_error", sentence)])
        # the error falls like 1/count²; aim a little below the target
        count = min(_MOST_TIMES, max(int(1.1 * count * np.sqrt(error / float(target))), 2 * count))


def _begin(
    problem: Problem, choice: Choice, numerics: Numerics, duration: float
) -> tuple[ControlledChain, Marching, float]:
    """The chain, the march at the terminal condition, and the fastest time scale there."""
    steps = _EULER_STEPS if numerics.time_steps is None else numerics.time_steps
    parameter = {UNIFORMISATION: choice.decay, IMPLICIT_EULER: duration / steps}.get(choice.method, 0.0)
    chain, start, fastest = _start_kernel(problem, jnp.asarray(parameter, float), choice.method)
    return chain, start, float(fastest)


@partial(jax.jit, static_argnums=2)
def _start_kernel(problem: Problem, parameter: Array, method: str) -> tuple[ControlledChain, Marching, Array]:
    chain = discretise(problem)
    if method == UNIFORMISATION:
        start = start_uniformisation(chain, parameter)
    elif method == IMPLICIT_EULER:
        start = start_marching(chain, chain.terminal)._replace(step=parameter)
    else:
        start = start_extrapolated(chain)
    activity = jnp.max(jnp.sum(start.policy.rates, axis=0), initial=0.0)
    return chain, start, jnp.where(activity > 0.0, 0.1 / activity, jnp.inf)


def _march(
    chain: ControlledChain,
    start: Marching,
    to_go: np.ndarray,
    choice: Choice,
    numerics: Numerics,
    progress: Callable,
) -> Path:
    """Run the march through `to_go` (increasing, from 0) in chunks of one shape."""
    count = len(to_go)
    padded = np.concatenate([to_go, np.full(-count % _CHUNK, to_go[-1])])
    parameter = choice.decay if choice.method == UNIFORMISATION else numerics.tolerance
    marching, pieces = start, []
    for begin in range(0, len(padded), _CHUNK):
        outputs = jnp.asarray(padded[begin : begin + _CHUNK])
        marching, piece = _march_kernel(
            chain, marching, outputs, jnp.asarray(parameter, float), choice.method
        )
        pieces.append([np.asarray(part) for part in piece])
        progress(min(1.0, float(to_go[min(begin + _CHUNK, count) - 1]) / float(to_go[-1] or 1.0)))
        if not bool(marching.sound):
            break
    bias, level, offset, quoted = (np.concatenate(parts)[:count] for parts in zip(*pieces, strict=True))
    return Path(
        to_go,
        bias + level.reshape((-1,) + (1,) * (bias.ndim - 1)),
        np.moveaxis(np.where(quoted, offset, np.nan), 1, -1),
        int(marching.steps),
        float(marching.defect),
        bool(marching.sound),
    )


@partial(jax.jit, static_argnums=4)
def _march_kernel(
    chain: ControlledChain, marching: Marching, outputs: Array, parameter: Array, method: str
) -> tuple[Marching, Output]:
    advance = {
        UNIFORMISATION: partial(march_uniformised, decay=parameter),
        EXTRAPOLATED_EULER: partial(march_extrapolated, tolerance=parameter),
        IMPLICIT_EULER: march_implicit_euler,
    }[method]
    return advance(chain, marching, outputs)
