"""A smooth path through the steps of a march, its Bellman defect, and its values at any time.

On an interval between two nodes the path is the polynomial of degree 11 that has the values, the slopes B(θ)
and the second derivatives L B(θ) of four nodes, the two ends among them: Hermite's interpolation. Its defect
R = B(θ̂) - ∂_τ θ̂ is zero at the nodes; between the samples of an interval R is bounded by the largest sample
and an eighth of the largest second difference (taken one and a half times). How defects bound errors stands
in `finite_certificate`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.solver.certificate import UNIT_ROUNDOFF
from quotegrid.solver.chain import destination
from quotegrid.solver.hamiltonian_series import SeriesOperator, operator_and_reach, policy_by_series

_SAMPLES = 12  # subintervals of an interval at whose ends R is evaluated
_CURVATURE_SAFETY = 1.5
NEIGHBOURS = 4  # nodes of a piece
_DATA = 3 * NEIGHBOURS
_OTHERS = np.array([[j for j in range(NEIGHBOURS) if j != i] for i in range(NEIGHBOURS)])


class Weights(NamedTuple):
    """What the data of a piece count: for each node its value, slope and second derivative, in this order."""

    value: Float[np.ndarray, "... point 12"]
    slope: Float[np.ndarray, "... point 12"]


def hermite_weights(nodes: Float[np.ndarray, "... 4"], points: Float[np.ndarray, "... point"]) -> Weights:
    """The weights of the interpolating polynomial and of its slope; places in any one unit of time.

    With t = x - x_i and w = Π_{j≠i} ((x - x_j)/(x_i - x_j))³, the value at x_i counts w times the first terms
    of 1/w = 1 - s₁t + (s₁² + s₂)t²/2 - …, s_n = Σ_{j≠i} 3/(x_i - x_j)ⁿ; the slope there t times two of them,
    and the second derivative t²/2 times one.
    """
    # [node, …] and [point, …]: NumPy is quick along the last axis
    nodes, points = np.moveaxis(nodes, -1, 0), np.moveaxis(points, -1, 0)
    per = 1.0 / (nodes[:, None] - nodes[_OTHERS])  # [node, other, …]
    s1, s2 = 3.0 * np.sum(per, axis=1), 3.0 * np.sum(per**2, axis=1)
    t = points[:, None] - nodes  # [point, node, …]
    first, second, third = np.moveaxis(t[:, _OTHERS] * per, 2, 0)
    per_first, per_second, per_third = np.moveaxis(per, 1, 0)
    pair = first * second
    root = pair * third
    slope_of_root = (per_first * second + first * per_second) * third + pair * per_third
    square = root * root
    w, slope_of_w = square * root, 3.0 * square * slope_of_root
    bend = s1**2 + s2
    terms = 1.0 + t * (0.5 * bend * t - s1), t * (1.0 - s1 * t), 0.5 * t**2
    slopes = bend * t - s1, 1.0 - 2.0 * s1 * t, t
    value = np.stack([w * x for x in terms], axis=2)
    slope = np.stack([slope_of_w * x + w * dx for x, dx in zip(terms, slopes, strict=True)], axis=2)
    shape = len(points), _DATA, *nodes.shape[1:]
    return Weights(*(np.moveaxis(x.reshape(shape), (0, 1), (-2, -1)) for x in (value, slope)))


class Path(NamedTuple):
    """The nodes of a march; NumPy."""

    to_go: Float[np.ndarray, " node"]  # increasing from 0
    bias: Float[np.ndarray, "node *state"]  # currency
    level: Float[np.ndarray, " node"]  # currency
    slope: Float[np.ndarray, "node *state"]  # B(θ), currency per time
    bend: Float[np.ndarray, "node *state"]  # L B(θ), currency per time squared
    target: tuple[int, ...]

    def intervals(self, times: Float[np.ndarray, " t"]) -> np.ndarray:
        """The interval in which each time to go lies."""
        return np.clip(np.searchsorted(self.to_go, times, side="right") - 1, 0, len(self.to_go) - 2)

    def at(self, times: Float[np.ndarray, " t"]) -> tuple[np.ndarray, np.ndarray]:
        """Bias [t, *state] and level [t], currency, at times to go."""
        here = self.intervals(times)
        length = np.diff(self.to_go)[here]
        members, nodes = _pieces(self.to_go, here)
        weights = hermite_weights(nodes, ((times - self.to_go[here]) / length)[:, None]).value[:, 0]
        weights = weights.reshape(-1, NEIGHBOURS, 3) * length[:, None, None] ** np.arange(3)
        value, slope, bend = np.moveaxis(weights, 2, 0)
        wide = (...,) + (None,) * (self.bias.ndim - 1)
        rise = np.einsum("tn,tn->t", value, self.level[members] - self.level[here][:, None])[wide]
        rise = rise + np.einsum("tn,tn...->t...", value, self.bias[members] - self.bias[here][:, None])
        rise = rise + np.einsum("tn,tn...->t...", slope, self.slope[members])
        rise = rise + np.einsum("tn,tn...->t...", bend, self.bend[members])
        at_target = rise[(slice(None), *self.target)]
        return self.bias[here] + rise - at_target[wide], self.level[here] + at_target


def _pieces(to_go: np.ndarray, intervals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nodes of the pieces of intervals, [interval, 4]: their numbers, and their places in the interval's
    own time, in which it goes from 0 to 1.
    """
    members = np.clip(intervals - 1, 0, len(to_go) - NEIGHBOURS)[:, None] + np.arange(NEIGHBOURS)
    length = to_go[intervals + 1] - to_go[intervals]
    return members, (to_go[members] - to_go[intervals][:, None]) / length[:, None]


class SampleWeights(NamedTuple):
    """What the samples of an interval need of its piece."""

    first: Any  # its first node
    place: Any  # of the interval's own first node among them
    length: Any  # time
    value: Any  # [sample, 12]
    slope: Any  # [sample, 12], per length


def sample_weights(to_go: Float[np.ndarray, " node"], count: int) -> SampleWeights:
    """For every interval between increasing times to go, stacked; `count` of them, the rest of no length."""
    intervals = np.arange(len(to_go) - 1)
    members, nodes = _pieces(to_go, intervals)
    points = np.broadcast_to(np.arange(1, _SAMPLES) / _SAMPLES, (len(intervals), _SAMPLES - 1))
    weights = hermite_weights(nodes, points)
    found = SampleWeights(
        members[:, 0], intervals - members[:, 0], np.diff(to_go), weights.value, weights.slope
    )
    return SampleWeights(*(np.pad(x, [(0, count - len(x))] + [(0, 0)] * (x.ndim - 1)) for x in found))


class PathDefects(NamedTuple):
    """Bounds of the defect on each interval, times its length; and what the pieces are made of."""

    largest: Float[Array, "interval"]  # of |R|, currency
    span: Float[Array, "interval"]  # of max R - min R, currency
    bend: Float[Array, "node *state"]  # L B(θ), currency per time squared
    reach: Float[Array, ""]  # of the reservation offsets, in half ranges of their series


def path_defects(
    series: SeriesOperator,
    bias: Float[Array, "node *state"],
    level: Float[Array, " node"],
    slope: Float[Array, "node *state"],
    weights: SampleWeights,
) -> PathDefects:
    """The defects of the path through the nodes of one march."""

    def at_node(reach: Array, node: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        theta, speed = node
        policy = policy_by_series(series, theta)
        rises = [destination(speed, shift) - speed for shift in series.shifts]
        bend = sum(map(jnp.multiply, policy.rates, rises), jnp.zeros_like(theta))
        return jnp.maximum(reach, policy.reach), (bend, policy.rounding)

    # (the largest |x| is found state by state first, of many states at a time)
    reach, (bend, rounding) = jax.lax.scan(at_node, jnp.zeros_like(series.flows.weight), (bias, slope))
    states = bias.shape[1:]
    wide = (slice(None),) + (None,) * len(states)

    def on(reach: Array, piece: SampleWeights) -> tuple[Array, tuple[Array, Array]]:
        def members(x: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(x, piece.first, NEIGHBOURS)

        own, length = members(bias)[piece.place], piece.length
        values = members(bias) - own[None] + (members(level) - members(level)[piece.place])[wide]
        data = jnp.stack([values, length * members(slope), length**2 * members(bend)], axis=1)
        data = data.reshape(_DATA, *states)
        turns = jnp.tensordot(piece.slope, data, axes=1) / jnp.where(length > 0.0, length, 1.0)
        path = own[None] + jnp.tensordot(piece.value, data, axes=1)
        operator, between = jax.vmap(lambda theta: operator_and_reach(series, theta))(path)
        zero = jnp.zeros((1, *states))
        samples = jnp.concatenate([zero, operator - turns, zero])
        turn = jnp.max(jnp.abs(samples[2:] - 2.0 * samples[1:-1] + samples[:-2]))
        room = _CURVATURE_SAFETY * turn / 8.0
        most, least = jnp.max(samples) + room, jnp.min(samples) - room
        allowance = 2.0 * jnp.max(members(rounding))
        amplified = jnp.max(jnp.sum(jnp.abs(piece.slope), axis=1))
        reading = 4.0 * UNIT_ROUNDOFF * (amplified * jnp.max(jnp.abs(data)) + jnp.max(jnp.abs(own)))
        reading = reading + 8.0 * UNIT_ROUNDOFF * jnp.max(jnp.abs(members(level)))
        largest = length * (jnp.maximum(jnp.maximum(most, -least), 0.0) + allowance) + reading
        span = length * (jnp.maximum(most - least, 0.0) + 2.0 * allowance) + 2.0 * reading
        return jnp.maximum(reach, jnp.max(between, axis=0)), (largest, span)

    reach, (largest, span) = jax.lax.scan(on, reach, weights)
    return PathDefects(largest, span, bend, jnp.max(reach))
