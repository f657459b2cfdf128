"""Tangents of a finite horizon: three routes to the same derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quotegrid.solver.derivatives import unit_directions
from quotegrid.solver.exponential_flows import exponential_flows
from quotegrid.solver.finite_tangents import march_tangents, start_moving
from quotegrid.solver.kernels import kernel
from quotegrid.solver.linear_tangents import linear_equation, march_linear_tangents
from quotegrid.solver.solve import parameters
from quotegrid.solver.tangents import chain_tangents, moving_part


@pytest.mark.usefixtures("x64")
def test_series_explicit_and_implicit_steps_agree(make_problem) -> None:
    """To the marches' tolerance of 1e-11 a step, over some tens of steps; the closed form as well."""
    horizon = {"kind": "finite", "duration": 6.0, "terminal": {"quadratic": 0.05}}
    problem = parameters(make_problem(inventory={"max": 2}, horizon=horizon))
    leaves = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(problem)])
    moving_numbers = np.flatnonzero(np.isin(leaves, [0.5, 1.5, 0.1]))  # σ, k, γ
    to_go = jnp.asarray([0.0, 0.5, 6.0])

    @kernel()
    def routes(problem, directions):
        moving = chain_tangents(problem, directions, second=False)
        equation, linear = linear_equation(moving)
        bias, level, sound = march_linear_tangents(equation, to_go, shifts=(1, -1), target=2)
        start, closed = start_moving(moving), moving_part(exponential_flows, moving)
        marches = [
            march_tangents(moving, start, to_go, explicit=explicit, more=True, stages=stages)
            for explicit, stages in ((True, moving), (True, closed), (False, moving))
        ]
        return (bias.first, level.first, linear & sound), *marches

    series, *marches = routes(problem, unit_directions(problem, moving_numbers))
    assert series[2].all()
    for state, found in marches:
        assert state.sound
        np.testing.assert_allclose(found.d_bias, np.moveaxis(np.asarray(series[0]), -1, 1), atol=1e-9)
        np.testing.assert_allclose(found.d_level, series[1], atol=1e-9)


@pytest.mark.usefixtures("x64")
def test_parameters_that_leave_the_linear_equations_are_named(make_problem) -> None:
    problem = parameters(
        make_problem(
            price={"volatility": 0.5, "reference": 50.0}, horizon={"kind": "finite", "duration": 1.0}
        )
    )
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(problem))
    directions = unit_directions(problem, np.arange(count))
    linear = jax.jit(lambda *at: linear_equation(chain_tangents(*at, second=False))[1])(problem, directions)
    assert int(np.sum(~np.asarray(linear))) == 1  # proportional_fee, which moves the κ of bid and ask apart
