"""Finite horizons on the host: march to the times a table asks for, or place them, and measure linear lookup
between them.

The chosen method marches; where the high-order ones cannot, monotone implicit Euler does, with a status that
says so.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.models.problem import Numerics, Problem, TableRequest
from quotegrid.solver.certificate import not_certified
from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.discretise import discretise
from quotegrid.solver.extrapolated_euler import march_extrapolated, with_first_step
from quotegrid.solver.finite_certificate import (
    DEFECT,
    REST,
    SERIES,
    certify_path,
    path_defects,
    reading_error,
)
from quotegrid.solver.finite_result import FiniteResult
from quotegrid.solver.implicit_euler import march_implicit_euler
from quotegrid.solver.kernels import kernel
from quotegrid.solver.linear_lanes import solve_linear
from quotegrid.solver.marching import Marching, Output, fastest_scale, start_marching
from quotegrid.solver.methods import EXTRAPOLATED_EULER, IMPLICIT_EULER, RUNGE_KUTTA, UNIFORMISATION, Choice
from quotegrid.solver.resting_path import bound_at_rest, may_rest
from quotegrid.solver.smooth_horizon import solve_smooth
from quotegrid.solver.status import Status
from quotegrid.solver.time_nodes import (
    calendar_times,
    first_count,
    interpolation_error,
    layer_times,
    more_times,
    pilot_times,
    place_nodes,
    with_checks,
)
from quotegrid.solver.uniformisation import march_uniformised, start_uniformisation

_EULER_STEPS = 2000  # implicit Euler, when numerics.time_steps does not say
_DEFECT_AIM = 1e-8  # of the certificate's dense path in all, in units of the value scale
_REFINEMENTS, _MOST_PARTS = 8, 8  # of the dense path, and parts of an interval in one of them
_MOST_NODES = 3000  # of the dense path
_MOST_NUMBERS = 300_000  # times × states of a dense path, beyond which it is not refined again
_WORTHWHILE = 0.5  # a refinement that leaves more of the defects is the last
_CHUNK = 32  # output times per compiled call: progress between calls, one shape for all of them


class Path(NamedTuple):
    """The solution at increasing times to go."""

    to_go: Float[np.ndarray, " t"]
    bias: Float[np.ndarray, "t *state"]  # θ less its value at the target, currency
    level: Float[np.ndarray, " t"]  # θ at the target, currency
    offset: Float[np.ndarray, "t *state flow"]  # price units, NaN where off
    defects: Float[np.ndarray, " t"]  # the steps' estimated errors up to each time, currency
    steps: int
    sound: bool  # did it reach the last of the times asked for?
    bounded: bool  # are all its fill rates finite?

    @property
    def value(self) -> Float[np.ndarray, "t *state"]:
        """θ, currency."""
        return self.bias + self.level.reshape((-1,) + (1,) * (self.bias.ndim - 1))

    def at(self, places: np.ndarray) -> "Path":
        """The path at some of its times."""
        return self._replace(**{name: getattr(self, name)[places] for name in Path._fields[:5]})


Run = Callable[[np.ndarray], Path]


def solve_finite(
    problem: Problem,
    choice: Choice,
    numerics: Numerics,
    table: TableRequest,
    progress: Callable[[float], None],
) -> FiniteResult:
    """March `problem` (leaves float64) by the chosen method, or by implicit Euler if it fails and may be
    replaced.

    Runs with double precision on.
    """
    found = None
    if choice.method == UNIFORMISATION and len(problem.assets) == 1:
        found = solve_linear(problem, choice, table)
    elif choice.method == RUNGE_KUTTA:
        found = solve_smooth(problem, choice, numerics, table, progress)
    if found is not None:
        progress(1.0)
        return found
    if choice.method == RUNGE_KUTTA:
        if numerics.method is not None:
            return _not_for_runge_kutta(problem, choice, numerics)
        choice = Choice(
            EXTRAPOLATED_EULER, "the equation is not linear, and not smooth or too stiff for runge-kutta"
        )
    result = _solve_by(problem, choice, numerics, table, progress)
    if result.status is Status.CONVERGED or numerics.method is not None:
        return result
    reason = f"{choice.method} failed ({result.status}), and this is the monotone fallback"
    result = _solve_by(problem, Choice(IMPLICIT_EULER, reason), numerics, table, progress)
    return (
        result
        if result.status is not Status.CONVERGED
        else result._replace(status=Status.TOLERANCE_NOT_REACHED)
    )


def _solve_by(
    problem: Problem,
    choice: Choice,
    numerics: Numerics,
    table: TableRequest,
    progress: Callable[[float], None],
) -> FiniteResult:
    duration = float(problem.duration())
    chain, start, at_end, fastest = _begin(problem, choice, numerics, duration)
    share = _Halving(progress)

    def run(to_go: np.ndarray) -> Path:
        return _march(chain, start, at_end, to_go, choice, numerics, share)

    pilot = pilot_times(duration, fastest)
    if isinstance(table.times, tuple):
        nodes = duration - np.asarray(table.times, float)[::-1]
        path = run(with_checks(nodes))
    else:
        path = run(pilot)
        path = _place_and_march(run, path, table) if path.sound else path
        nodes = path.to_go[::4]
    if not path.sound:
        share.done()
        return _broken_off(path, chain, choice, duration)
    lookup_error = {"offset": interpolation_error(path.offset), "value": interpolation_error(path.value)}
    early = np.union1d(pilot, layer_times(fastest, pilot))
    path, value_error, span, how = _with_bounds(chain, run, path, early, choice)
    stored = np.searchsorted(path.to_go, nodes)
    path = path.at(stored)
    reading = reading_error(np.max(np.abs(path.value), axis=tuple(range(1, path.bias.ndim))))
    certificate = certify_path(
        chain, path.bias, value_error[stored] + reading, span[stored] + 2.0 * reading, how
    )
    share.done()
    return FiniteResult(
        calendar_times(table, duration, path.to_go),
        path.value[::-1],
        path.offset[::-1],
        path.steps,
        float(path.defects[-1]),
        Status.CONVERGED,
        choice,
        lookup_error,
        certificate.backwards(),
    )


def _with_bounds(
    chain: ControlledChain, run: Run, path: Path, early: np.ndarray, choice: Choice
) -> tuple[Path, np.ndarray, np.ndarray, str]:
    """A path through the same times and more, bounds on its error and on the error's differences, and how."""
    if choice.method == UNIFORMISATION:
        return path, path.defects, 2.0 * path.defects, SERIES
    early = early[early <= path.to_go[-1]]
    path, value_error, span = _dense_path(chain, run, path, early, refine=choice.method == EXTRAPOLATED_EULER)
    if not may_rest(float(chain.value_scale), path.to_go, path.bias, span):
        return path, value_error, span, DEFECT
    value_error, span = bound_at_rest(chain, path.to_go, path.bias, path.level, value_error, span)
    return path, value_error, span, DEFECT + REST


def _broken_off(path: Path, chain: ControlledChain, choice: Choice, duration: float) -> FiniteResult:
    """What there is of a march that did not reach the end: the times up to which it is sound."""
    if not bool(chain.representable):
        status = Status.BADLY_SCALED
    else:
        status = Status.TOLERANCE_NOT_REACHED if path.bounded else Status.UNBOUNDED_QUOTES
    return FiniteResult(
        duration - path.to_go[::-1],
        path.value[::-1],
        path.offset[::-1],
        path.steps,
        float(path.defects[-1]),
        status,
        choice,
        None,
        not_certified("the march did not reach the end of the horizon"),
    )


def _not_for_runge_kutta(problem: Problem, choice: Choice, numerics: Numerics) -> FiniteResult:
    """The end of the horizon, and a status that says that there is no more."""
    duration = float(problem.duration())
    chain, _, at_end, _ = _begin(problem, Choice(EXTRAPOLATED_EULER, ""), numerics, duration)
    bias, level, offsets, quoted, defect = (np.asarray(x)[None] for x in at_end)
    offset = np.moveaxis(np.where(quoted, offsets, np.nan), 1, -1)
    return _broken_off(
        Path(np.zeros(1), bias, level, offset, defect, 0, False, True), chain, choice, duration
    )


class _Halving:
    """Progress over several marches of which nobody knows how many: each run takes half of what is left."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report, self._begin, self._reached = report, 0.0, 0.0

    def __call__(self, fraction: float) -> None:
        self._reached = self._begin + 0.5 * (1.0 - self._begin) * fraction
        self._report(self._reached)
        if fraction >= 1.0:
            self._begin = self._reached

    def done(self) -> None:
        self._report(1.0)


def _dense_path(
    chain: ControlledChain, run: Run, path: Path, early: np.ndarray, refine: bool
) -> tuple[Path, np.ndarray, np.ndarray]:
    """A path dense enough for its defects to be small, with bounds on e and on its differences.

    Marches through more and more times, all of `path` among them, while that helps and can be done.
    """
    target, least = _DEFECT_AIM * float(chain.value_scale), np.inf
    defects, to_go = None, np.union1d(path.to_go, early)
    for _ in range(_REFINEMENTS):
        denser = run(to_go)
        if not denser.sound:
            break
        found = path_defects(chain, denser.to_go, denser.bias, denser.level)
        curable = np.nan_to_num(found.curable, nan=np.inf, posinf=np.inf)
        total = float(np.sum(curable))
        if defects is None or total < least:
            path, defects = denser, found
        # the errors of the steps themselves, of which more nodes only add up more
        exhausted = np.isfinite(least) and total > _WORTHWHILE * least
        least = min(least, total)
        costly = np.isfinite(total) and denser.bias.size > _MOST_NUMBERS
        if not refine or total <= target or exhausted or costly:
            break
        # the defect of an interval times its length falls like length⁶
        wanted = np.minimum(curable, target * _MOST_PARTS**6) / target * len(curable)
        wanted = (wanted ** (1.0 / 6.0)).clip(1.0, _MOST_PARTS)
        parts = np.ceil(wanted * min(1.0, _MOST_NODES / np.sum(wanted))).astype(int)
        if len(parts) >= _MOST_NODES:
            break
        ends = zip(to_go, to_go[1:], parts, strict=False)
        to_go = np.concatenate([*(np.linspace(a, b, n, endpoint=False) for a, b, n in ends), to_go[-1:]])
    if defects is None:
        defects = path_defects(chain, path.to_go, path.bias, path.level)
    # before the first time of the path there is the march from the terminal condition to it
    value_error = path.defects[0] + np.concatenate([[0.0], np.cumsum(defects.largest)])
    span = 2.0 * path.defects[0] + np.concatenate([[0.0], np.cumsum(defects.span)])
    return path, value_error, span


def _place_and_march(run: Run, pilot: Path, table: TableRequest) -> Path:
    """Spread the nodes; for a `max_lookup_error`, in growing number until the error is small enough."""
    count, target = first_count(table), table.max_lookup_error
    while True:
        path = run(with_checks(place_nodes(pilot.to_go, pilot.offset, count)))
        error = interpolation_error(path.offset)
        if target is None or error <= target or not path.sound:
            return path
        count = more_times(count, error, float(target))


def _begin(
    problem: Problem, choice: Choice, numerics: Numerics, duration: float
) -> tuple[ControlledChain, Marching, Output, float]:
    """The chain, the march's start, the solution at the horizon's end, and the fastest time scale there."""
    steps = _EULER_STEPS if numerics.time_steps is None else numerics.time_steps
    parameter = {UNIFORMISATION: choice.decay, IMPLICIT_EULER: duration / steps}.get(choice.method, 0.0)
    chain, start, at_end, fastest = _start_kernel(
        problem, jnp.asarray(parameter, float), method=choice.method
    )
    return chain, start, at_end, float(fastest)


@kernel()
def _start_kernel(
    problem: Problem, parameter: Array, *, method: str
) -> tuple[ControlledChain, Marching, Output, Array]:
    chain = discretise(problem)
    start = start_marching(chain, chain.terminal)
    at_end = start.output()
    # from an envelope of the terminal condition, which is no part of the solution
    if method == UNIFORMISATION:
        start = start_uniformisation(chain, parameter)
    elif method == IMPLICIT_EULER:
        start = start._replace(step=parameter)
    else:
        start = with_first_step(start)
    return chain, start, at_end, fastest_scale(chain, start.policy)


def _march(
    chain: ControlledChain,
    start: Marching,
    at_end: Output,
    to_go: np.ndarray,
    choice: Choice,
    numerics: Numerics,
    progress: Callable[[float], None],
) -> Path:
    """Run the march through `to_go` (increasing) in chunks of one shape."""
    count = len(to_go)
    padded = np.concatenate([to_go, np.full(-count % _CHUNK, to_go[-1])])
    parameter = choice.decay if choice.method == UNIFORMISATION else numerics.tolerance
    marching, pieces = start, []
    for begin in range(0, len(padded), _CHUNK):
        outputs = jnp.asarray(padded[begin : begin + _CHUNK])
        marching, piece = _march_kernel(
            chain, marching, outputs, jnp.asarray(parameter, float), method=choice.method
        )
        pieces.append([np.asarray(part) for part in piece])
        progress(min(1.0, float(to_go[min(begin + _CHUNK, count) - 1]) / float(to_go[-1] or 1.0)))
        if not bool(marching.sound):
            break
    found = [np.concatenate(x)[:count] for x in zip(*pieces, strict=True)]
    if to_go[0] == 0.0:
        for array, exact in zip(found, at_end, strict=True):
            array[0] = exact
    sound = bool(marching.sound)
    reached = to_go[: len(found[0])]
    if not sound:
        whole = int(np.sum(reached <= float(marching.now)))
        found = [array[:whole] for array in found] if whole else [np.asarray(x)[None] for x in at_end]
        reached = reached[:whole] if whole else np.zeros(1)
    bias, level, offsets, quoted, defects = found
    offset = np.moveaxis(np.where(quoted, offsets, np.nan), 1, -1)
    bounded = bool(np.all(np.isfinite(marching.policy.rates)))
    return Path(reached, bias, level, offset, defects, int(marching.steps), sound, bounded)


@kernel(hot=True)
def _march_kernel(
    chain: ControlledChain, marching: Marching, outputs: Array, parameter: Array, *, method: str
) -> tuple[Marching, Output]:
    advance = {
        UNIFORMISATION: partial(march_uniformised, decay=parameter),
        EXTRAPOLATED_EULER: partial(march_extrapolated, tolerance=parameter),
        IMPLICIT_EULER: march_implicit_euler,
    }[method]
    return advance(chain, marching, outputs)
