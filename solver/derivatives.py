"""Derivatives of a solution by every number of its problem, on the host; NumPy.

Stationary problems by `tangents`; finite horizons by `linear_tangents` where the equation is linear and stays
so as the parameter moves, else by `finite_tangents`. The end of the horizon is a parameter of its own: at a
fixed calendar time a longer horizon is a longer time to go.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from quotegrid.models.problem import Problem
from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.discretise import inventory_lattices
from quotegrid.solver.exponential_flows import exponential_flows
from quotegrid.solver.finite_tangents import (
    Moving,
    MovingOutput,
    Stages,
    march_tangents,
    moving_output,
    start_moving,
)
from quotegrid.solver.kernels import kernel
from quotegrid.solver.linear_tangents import Columns, linear_equation, march_linear_tangents
from quotegrid.solver.methods import linear_decay, obstacle_to_linearity
from quotegrid.solver.tangents import (
    ChainTangents,
    Holds,
    Tangents,
    chain_tangents,
    moving_part,
    stationary_tangents,
)

_MANY_FILLS = 2e4  # in a horizon: beyond, implicit steps are fewer
_LONGEST_CHUNK = 32  # output times per compiled call of the general march


class Derivatives(NamedTuple):
    """By each parameter, first axis; second ones along each parameter where they were asked for."""

    value: Float[np.ndarray, "parameter *time_and_state"]
    offset: Float[np.ndarray, "parameter *time_and_state flow"]  # meaningless where a flow is off
    gain: Float[np.ndarray, " parameter"] | None
    value_second: Float[np.ndarray, "parameter *time_and_state"] | None
    offset_second: Float[np.ndarray, "parameter *time_and_state flow"] | None
    gain_second: Float[np.ndarray, " parameter"] | None
    held: Bool[np.ndarray, "*time_and_state flow"]  # on a tick or a bound
    kinked: Bool[np.ndarray, "*time_and_state flow"]  # derivatives are one-sided


class MarchError(ArithmeticError):
    """A march of tangents could not go on: its steps became too short, or a number infinite."""


def unit_directions(problem: Problem, numbers: Int[np.ndarray, " parameter"]) -> Problem:
    """The tangents of some of the problem's numbers, given by their positions among its leaves, stacked along
    a first axis.
    """
    leaves, structure = jax.tree.flatten(problem)
    sizes = [int(np.size(leaf)) for leaf in leaves]
    ones, place, stacked = np.eye(sum(sizes))[numbers], 0, []
    for leaf, size in zip(leaves, sizes, strict=True):
        stacked.append(ones[:, place : place + size].reshape(-1, *np.shape(leaf)))
        place += size
    return jax.tree.unflatten(structure, stacked)


def stationary_derivatives(
    problem: Problem,
    numbers: Int[np.ndarray, " parameter"],
    value: Float[np.ndarray, "*state"],
    *,
    second: bool,
) -> Derivatives:
    """Of the converged `value` of a stationary problem (leaves float64), by the numbers at some positions
    among its leaves; runs with double precision on.
    """
    ergodic = problem.horizon.kind == "ergodic"
    level = value[_target(problem)]
    start = value - level, np.float64(0.0 if ergodic else level)
    first, bends, holds = _stationary(problem, *start, ergodic=ergodic, second=second)
    first, bends = jax.tree.map(lambda x: x[numbers], (first, bends))

    def parts(tangents: Any) -> tuple[Any, Any, Any]:
        if tangents is None:
            return None, None, None
        level = tangents.level.reshape((-1,) + (1,) * value.ndim)
        return tangents.bias + level, np.moveaxis(tangents.offsets, 1, -1), tangents.gain if ergodic else None

    return Derivatives(*parts(first), *parts(bends), *(np.moveaxis(x, 0, -1) for x in holds))


@kernel(fetched=True)
def _stationary(
    problem: Problem, bias: Array, level: Array, *, ergodic: bool, second: bool
) -> tuple[Tangents, Tangents | None, Holds]:
    """Along all numbers, so that another choice of them compiles nothing."""
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(problem))
    directions = jax.tree.map(jnp.asarray, unit_directions(problem, np.arange(count)))
    return stationary_tangents(chain_tangents(problem, directions, second), bias, level, ergodic)


def finite_derivatives(
    problem: Problem,
    numbers: Int[np.ndarray, " parameter"],
    times: Float[np.ndarray, " time"],
    *,
    second: bool,
) -> Derivatives:
    """Of a finite-horizon problem (leaves float64) at calendar times, by the numbers at some positions among
    its leaves; runs with double precision on.

    Raises:
        MarchError: the march did not reach the end of the horizon.
    """
    directions = unit_directions(problem, numbers)
    to_go = (float(problem.duration()) - times)[::-1]
    count = len(numbers)
    linear = np.zeros(count, bool)
    pieces: list[tuple[np.ndarray, MovingOutput]] = []
    if linear_decay(problem)[0] is not None and len(problem.assets) == 1:
        shifts = tuple(x.sign * x.size for x in problem.one_sided_flows())
        (target,) = _target(problem)
        found, stays, sound = _linear(problem, directions, to_go, shifts=shifts, target=target, second=second)
        if sound:
            linear = stays
            pieces.append((np.flatnonzero(linear), found))
    if not linear.all():
        chosen = np.flatnonzero(~linear)
        own = jax.tree.map(lambda x: x[chosen], directions)
        pieces.append((chosen, _march(problem, own, to_go, second, more=not pieces)))
        if linear.any():  # the linear march went along all directions
            places, found = pieces[0]
            both = np.concatenate([places, places + count]) if second else places
            pieces[0] = places, _only(found, both)
    return _assembled(problem, directions, pieces, second)


def _only(found: MovingOutput, places: np.ndarray) -> MovingOutput:
    names = ("d_bias", "d_level", "d_offsets")
    return found._replace(**{name: getattr(found, name)[:, places] for name in names})


def _assembled(
    problem: Problem, directions: Problem, pieces: list[tuple[np.ndarray, MovingOutput]], second: bool
) -> Derivatives:
    """The tangents of all directions in their order, in calendar time."""
    orders = 2 if second else 1
    count = sum(len(places) for places, _ in pieces)
    common = pieces[0][1]
    assert common.later is not None and common.holds is not None  # of the first piece all is kept
    shape = common.d_bias.shape[2:]
    values = np.zeros((orders, count, len(common.level), *shape))
    offsets = np.zeros((orders, count, len(common.level), *common.d_offsets.shape[2:]))
    for places, found in pieces:
        level = found.d_level.reshape(*found.d_level.shape, *(1,) * len(shape))
        value = (found.d_bias + level).reshape(-1, orders, len(places), *shape)
        values[:, places] = np.moveaxis(np.asarray(value), 0, 2)
        own = found.d_offsets.reshape(-1, orders, len(places), *found.d_offsets.shape[2:])
        offsets[:, places] = np.moveaxis(np.asarray(own), 0, 2)
    ends = np.asarray(directions.duration())
    for order in range(orders):
        by_end = (ends ** (order + 1)).reshape(-1, *(1,) * (values.ndim - 2))
        values[order] += by_end * common.later.value[None, :, order]
        offsets[order] += by_end[..., None] * common.later.offsets[None, :, order]
    values, offsets = values[:, :, ::-1], np.moveaxis(offsets, 3, -1)[:, :, ::-1]
    held, kinked = (np.moveaxis(np.asarray(x), 1, -1)[::-1] for x in common.holds)
    bends = (values[1], offsets[1]) if second else (None, None)
    return Derivatives(values[0], offsets[0], None, *bends, None, held, kinked)


@kernel(hot=True, fetched=True)
def _linear(
    problem: Problem,
    directions: Problem,
    to_go: Array,
    *,
    shifts: tuple[int, ...],
    target: int,
    second: bool,
) -> tuple[MovingOutput, Array, Array]:
    moving = chain_tangents(problem, directions, second)
    equation, stays = linear_equation(moving)
    bias, level, sound = march_linear_tangents(equation, to_go, shifts=shifts, target=target)

    def tangents(columns: Columns) -> Array:
        return jnp.moveaxis(jnp.concatenate([columns.first, columns.second], axis=-1), -1, 1)

    arguments = bias.value[..., 0], level.value[..., 0], tangents(bias), tangents(level)
    return jax.lax.map(lambda at: moving_output(moving, *at, more=True), arguments), stays, sound


def _march(
    problem: Problem, directions: Problem, to_go: np.ndarray, second: bool, more: bool
) -> MovingOutput:
    """The general march, in chunks of one shape."""
    count = len(to_go)
    chunk = -(-count // -(-count // _LONGEST_CHUNK))
    padded = np.concatenate([to_go, np.full(-count % chunk, to_go[-1])])
    closed = obstacle_to_linearity(problem) is None
    moving, stages, state, fills = _start(problem, directions, second=second, closed=closed)
    explicit = float(fills) * float(to_go[-1]) <= _MANY_FILLS
    pieces = []
    for outputs in padded.reshape(-1, chunk):
        state, piece = _chunk(moving, stages, state, outputs, explicit=explicit, more=more)
        if not bool(state.sound):
            raise MarchError(
                f"the tangents reached {float(state.now):.6g} of {float(to_go[-1]):.6g} to go, in "
                f"{int(state.steps)} steps: the quotes move too fast there; bound them."
            )
        pieces.append(jax.tree.map(np.asarray, piece))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *pieces)


@kernel()
def _start(
    problem: Problem, directions: Problem, *, second: bool, closed: bool
) -> tuple[ChainTangents[ControlledChain], Stages, Moving, Array]:
    """And how many fills there are per time, at most, where θ does not depend on inventory; `closed`: B has a
    closed form.
    """
    moving = chain_tangents(problem, directions, second)
    rates = greedy_policy(moving.chain, jnp.zeros(moving.chain.shape)).rates
    stages = moving_part(exponential_flows, moving) if closed else moving
    return moving, stages, start_moving(moving), jnp.max(jnp.sum(rates, axis=0), initial=0.0)


@kernel()
def _chunk(
    moving: ChainTangents[ControlledChain],
    stages: Stages,
    state: Moving,
    to_go: Array,
    *,
    explicit: bool,
    more: bool,
) -> tuple[Moving, MovingOutput]:
    return march_tangents(moving, state, to_go, explicit, more, stages)


def _target(problem: Problem) -> tuple[int, ...]:
    return tuple((x.target - x.low) // x.step for x in inventory_lattices(problem))
