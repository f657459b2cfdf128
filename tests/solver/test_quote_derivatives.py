"""The derivative of the Hamiltonian and of its best offset, against differences of both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from quotegrid.models.contract import AbstractIntensity
from quotegrid.models.intensities import Exponential, Linear, Logistic, Power
from quotegrid.models.tabulated import Tabulated
from quotegrid.solver.hamiltonians import QuoteSet, optimal_quote

INTENSITIES = {
    "exponential": Exponential(A=0.9, k=1.5),
    "logistic": Logistic(A=1.5, a=-0.7, b=1.8),
    "power": Power(A=1.0, d=1.0, k=3.0),
    "linear": Linear(A=1.0, d=2.0),
    "table": Tabulated(offset=(0.0, 0.5, 1.0, 2.0), rate=(1.0, 0.6, 0.3, 0.08)),
}
SETS = {"free": (-0.9, 9.0, None), "bounded": (0.0, 0.3, None), "ticks": (-0.9, 9.0, 0.1)}
STEP = 1e-6


def outcome(arguments) -> jax.Array:
    found = optimal_quote(*arguments)
    return jnp.stack([found.offset, found.value, found.tilted_rate])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("quotes", SETS.values(), ids=SETS)
@pytest.mark.parametrize("intensity", INTENSITIES.values(), ids=INTENSITIES)
def test_derivatives_are_those_of_differences(intensity: AbstractIntensity, quotes: tuple) -> None:
    """First ones to the rounding of a central difference, 1e-16/1e-6, and its curvature, 1e-12."""
    leaves = jax.tree.map(lambda x: jnp.asarray(x, float), intensity)
    low, high, tick = quotes
    quote_set = QuoteSet(jnp.asarray(low), jnp.asarray(high), None if tick is None else jnp.asarray(tick))
    flat, restore = ravel_pytree((leaves, jnp.asarray(0.13), jnp.asarray(2.0), jnp.asarray(0.1), quote_set))

    def at(numbers):
        return outcome(restore(numbers))

    slope = jax.jit(lambda numbers, along: jax.jvp(at, (numbers,), (along,))[1])
    slopes = jnp.stack([slope(flat, along) for along in jnp.eye(flat.size)], axis=1)
    at = jax.jit(at)
    for place in range(flat.size):
        move = np.zeros(flat.size)
        move[place] = STEP
        difference = (at(flat + move) - at(flat - move)) / (2.0 * STEP)
        np.testing.assert_allclose(slopes[:, place], difference, rtol=1e-8, atol=2e-9)


@pytest.mark.usefixtures("x64")
def test_risk_neutral_is_an_ordinary_point() -> None:
    """At ξ = 0, H = ΛZm(1 - ξZm/2 + ξ²Z²m²/6 - …) at a fixed margin m: both derivatives in ξ."""
    bounds = QuoteSet(jnp.asarray(0.5), jnp.asarray(0.5), None)
    intensity = jax.tree.map(jnp.asarray, INTENSITIES["exponential"])

    def worth(xi):
        return optimal_quote(intensity, jnp.asarray(0.2), jnp.asarray(2.0), xi, bounds).value

    value, slope, bend = (
        f(jnp.asarray(0.0)) for f in (worth, jax.jacfwd(worth), jax.jacfwd(jax.jacfwd(worth)))
    )
    earned = 2.0 * 0.3
    np.testing.assert_allclose(slope, -0.5 * earned * value, rtol=1e-14)
    np.testing.assert_allclose(bend, earned**2 / 3.0 * value, rtol=1e-14)


@pytest.mark.usefixtures("x64")
def test_a_side_that_never_fills_does_not_spoil_the_others() -> None:
    intensity = jax.tree.map(jnp.asarray, Exponential(A=0.0, k=1.5))
    free = QuoteSet(jnp.asarray(-jnp.inf), jnp.asarray(jnp.inf), None)

    def worth(p):
        return optimal_quote(intensity, p, jnp.asarray(1.0), jnp.asarray(0.1), free).value

    assert jax.jacfwd(worth)(jnp.asarray(0.2)) == 0.0
