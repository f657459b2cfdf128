"""Where a finite-horizon table keeps its times, and what linear interpolation between them costs.

The error of linear interpolation on an interval of length Δ is at most Δ²/8·|δ''|, so for a given count the
largest error is least when every interval holds the same share of ∫ sqrt|δ''| dt (de Boor 1973). The offsets
turn fastest shortly before the end, on the time scale of the fills there, while far from it they stand still:
uniform times waste their nodes.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from quotegrid.models.problem import DEFAULT_TIMES, Fault, ProblemError, TableRequest

_GEOMETRIC, _EVEN = 96, 32
MOST_PILOT_TIMES = _GEOMETRIC + _EVEN
_MOST_TIMES = 20_001  # that a `max_lookup_error` may lead to
_PER_DECADE = 4
CUBIC_MARGIN = 1.05  # of the lookup errors that cubics tell (`Bends`), for what they miss
_EVEN_SHARE = 0.05  # of the nodes spread evenly, so that no interval is left without


def pilot_times(duration: float, fastest: float) -> Float[np.ndarray, " t"]:
    """Times to go at which to look first: geometric from the fastest time scale on, and evenly spaced; at
    most `MOST_PILOT_TIMES`.
    """
    shortest = min(max(fastest, 1e-12 * duration), 0.1 * duration)
    return np.unique(
        np.concatenate(
            [np.geomspace(shortest, duration, _GEOMETRIC), np.linspace(0.0, duration, _EVEN, endpoint=False)]
        )
    )


def layer_times(fastest: float, pilot: Float[np.ndarray, " t"]) -> Float[np.ndarray, " m"]:
    """Geometric times to go from the fastest time scale to the pilot's first, too short for a table."""
    first = float(pilot[pilot > 0.0][0])
    decades = np.log10(first / fastest) if 0.0 < fastest < first else 0.0
    return np.geomspace(fastest, first, int(_PER_DECADE * decades) + 2) if decades else pilot[:0]


def place_nodes(
    times: Float[np.ndarray, " t"], offsets: Float[np.ndarray, "t *rest"], count: int
) -> Float[np.ndarray, " count"]:
    """`count` times to go from times[0] to times[-1] that share out the curvature of the pilot's offsets
    evenly.

    Each is to the last bit that of its calendar time, which is what a table keeps: shortly before the end
    that has fewer digits, and values may move by a fraction of themselves meanwhile.
    """
    flat = offsets.reshape(len(times), -1)
    widths = np.diff(times)
    slopes = np.diff(flat, axis=0) / widths[:, None]
    turn = np.abs(np.diff(slopes, axis=0)) / (0.5 * (widths[1:] + widths[:-1]))[:, None]
    curvature = np.max(np.nan_to_num(turn, nan=0.0), axis=1, initial=0.0)
    density = np.sqrt(
        np.concatenate([curvature[:1], np.maximum(curvature[1:], curvature[:-1]), curvature[-1:]])
    )
    mass = density * widths
    total = mass.sum()
    span = times[-1] - times[0]
    even = widths / span
    share = even if total <= 0.0 else (1.0 - _EVEN_SHARE) * mass / total + _EVEN_SHARE * even
    cumulative = np.concatenate([[0.0], np.cumsum(share)])
    nodes = np.interp(np.linspace(0.0, 1.0, count), cumulative / cumulative[-1], times)
    nodes = times[-1] - (times[-1] - nodes)
    nodes[0], nodes[-1] = times[0], times[-1]
    return nodes


def with_checks(nodes: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """The nodes with three points inside each interval."""
    if len(nodes) < 2:
        return nodes
    inner = nodes[:-1, None] + np.diff(nodes)[:, None] * np.array([0.0, 0.25, 0.5, 0.75])
    return np.concatenate([inner.reshape(-1), nodes[-1:]])


def interpolation_error(values: Float[np.ndarray, "m *rest"]) -> float:
    """The largest error of interpolating linearly from every fourth value to the three between
    (`with_checks`).
    """
    whole = (len(values) - 1) // 4 * 4 + 1  # (a march that broke off leaves part of an interval)
    if whole < 5:
        return 0.0
    values = values[:whole]
    left, right = values[:-1:4], values[4::4]
    worst = 0.0
    for step, weight in ((1, 0.25), (2, 0.5), (3, 0.75)):
        error = np.abs((1.0 - weight) * left + weight * right - values[step:-1:4])
        worst = max(worst, float(np.max(np.nan_to_num(error, nan=0.0), initial=0.0)))
    return worst


def first_count(table: TableRequest) -> int:
    """How many well-placed times to begin with: those asked for, or few where an error decides."""
    if table.max_lookup_error is not None:
        return 17
    assert not isinstance(table.times, tuple)
    return DEFAULT_TIMES if table.times is None else table.times


def more_times(count: int, error: float, target: float) -> int:
    """How many times to try after `count` of them left an offset's lookup error above `target`, price.

    Raises:
        ProblemError: there are too many already.
    """
    if count >= _MOST_TIMES:
        sentence = (
            f"{target} cannot be met: with {count} times linear interpolation still errs by {error:.3g} "
            "(quotes on ticks jump, and no number of times helps); ask for a larger error or for a count."
        )
        raise ProblemError([Fault("table.max_lookup_error", sentence)])
    # the error falls like 1/count²; aim a little below the target
    return min(_MOST_TIMES, max(int(1.1 * count * np.sqrt(error / target)), 2 * count))


def calendar_times(
    table: TableRequest, duration: float, to_go: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " t"]:
    """The times of a table, from 0 on, for increasing times to go; to the last bit what was asked for."""
    if isinstance(table.times, tuple):
        return np.asarray(table.times, float)
    times = duration - to_go[::-1]
    times[0] = 0.0
    return times


class Bends(NamedTuple):
    """Of the cubic through values and slopes at two moments; linear in both. NumPy or JAX arrays.

    At the share u of the way it is u(1 - u)((1 - u)x - uy) off its chord, with x and y how much the slopes at
    both ends exceed that of the chord, times the length; kept are x - y and x + y.
    """

    even: Any
    odd: Any

    @classmethod
    def between(cls, start: Any, slope: Any, end: Any, slope_after: Any, length: Any) -> "Bends":
        """`length` of time, broadcast against the others."""
        chord = end - start
        return cls(length * (slope - slope_after), length * (slope + slope_after) - 2.0 * chord)

    def off_chord(self) -> tuple[Any, Any]:
        """|off| in the middle; and at a quarter or three quarters of the way, the larger one."""
        return abs(self.even) / 8.0, (6.0 * abs(self.even) + 3.0 * abs(self.odd)) / 64.0
