"""Both eliminations against 40-digit arithmetic: relative accuracy in every component, however stiff."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from quotegrid.solver.chain import stays_inside
from quotegrid.solver.linear_systems import factorise, solve_factored, solve_with_reference

ROUNDING = 2.0**-53
CHAINS = {
    "one step": ((1,), (-1,)),
    "two flows a side": ((1,), (-1,), (1,), (-1,)),
    "band 2": ((1,), (-1,), (2,), (-2,)),
    "band 5, one way up": ((5,), (-1,), (-2,)),
    "two axes": ((1, 0), (-1, 0), (0, 1), (0, -1)),
    "two axes, diagonal and wide": ((1, 1), (-1, 0), (0, -1), (-2, 0), (1, -1)),
}


def cases(one_axis, two_axes):
    return [
        pytest.param(shape, shifts, id=f"{name}, {'x'.join(map(str, shape))}")
        for name, shifts in CHAINS.items()
        for shape in (one_axis if len(shifts[0]) == 1 else two_axes)
    ]


def random_rates(rng, shape, shifts, decades):
    """Rates over `decades` orders of magnitude, 0 where a shift leaves the lattice."""
    rates = 10.0 ** rng.uniform(-decades / 2, decades / 2, (len(shifts), *shape))
    return rates * np.stack([stays_inside(shape, shift) for shift in shifts])


def matrix(rates, shifts, killing):
    """κ + Σ r on the diagonal, -r off it, entry by entry in 40 digits."""
    index = np.arange(killing.size).reshape(killing.shape)
    dense = mpmath.diag([mpmath.mpf(float(x)) for x in killing.flat])
    for rate, shift in zip(rates, shifts, strict=True):
        for place in zip(*np.nonzero(rate), strict=True):
            row, to = index[place], index[tuple(np.add(place, shift))]
            dense[row, row] += mpmath.mpf(float(rate[place]))
            dense[row, to] -= mpmath.mpf(float(rate[place]))
    return dense


def exact_solution(dense, right):
    return np.array([*mpmath.lu_solve(dense, mpmath.matrix([mpmath.mpf(float(x)) for x in right.flat]))])


def allowed(shape, shifts):
    """Relative error of a component.

    2n times that of the rates (O'Cinneide 1993), which are rewritten by at most two eliminated states per
    diagonal of the band, with a product, a quotient and two sums each time, over log2(n) rounds or once.
    """
    flat = [abs(np.dot(shift, [np.prod(shape[a + 1 :]) for a in range(len(shape))])) for shift in shifts]
    return 2 * np.prod(shape) * 4 * 2 * max(1, *flat) * ROUNDING


@pytest.mark.parametrize(("shape", "shifts"), cases([(1,), (2,), (7,), (67,)], [(5, 4), (1, 3)]))
def test_componentwise_relative_accuracy(shape, shifts, rng, x64):
    rates = random_rates(rng, shape, shifts, 16)
    killing = 1e-13 * 10.0 ** rng.uniform(-1, 1, shape)  # nearly singular: condition 1e13 and more
    right = 10.0 ** rng.uniform(-8, 0, shape)
    ours = jax.jit(lambda r, k, b: solve_factored(factorise(r, shifts, k), b))(rates, killing, right)
    with mpmath.workdps(60):
        exact = exact_solution(matrix(rates, shifts, killing), right)
        error = np.max(np.abs(np.asarray(ours).ravel() / exact - 1))
    assert error <= allowed(shape, shifts)


def test_elimination_with_subtractions_would_not_pass(rng):
    """The difficulty is real: Gaussian elimination loses every digit on such a system."""
    shape, shifts = (61,), CHAINS["one step"]
    rates, killing = random_rates(rng, shape, shifts, 16), np.full(shape, 1e-13)
    with mpmath.workdps(60):
        dense = matrix(rates, shifts, killing)
        exact = exact_solution(dense, np.ones(shape)).astype(float)
    gauss = np.linalg.solve(np.array(dense.tolist(), dtype=float), np.ones(shape))
    assert np.max(np.abs(gauss / exact - 1.0)) > 1e-3


@pytest.mark.parametrize(("shape", "shifts"), cases([(7,)], [(5, 4)]))
def test_many_right_hand_sides_of_any_sign(shape, shifts, rng, x64):
    rates, killing = random_rates(rng, shape, shifts, 1), rng.uniform(0.5, 2.0, shape)
    right = rng.normal(size=(3, *shape))
    solve = jax.jit(jax.vmap(solve_factored, (None, 0)))
    ours = solve(jax.jit(lambda r, k: factorise(r, shifts, k))(rates, killing), right)
    dense = np.array(matrix(rates, shifts, killing).tolist(), dtype=float)
    theirs = np.linalg.solve(dense, right.reshape(3, -1).T).T
    # diagonally dominant by 0.5, diagonal at most 2 + 5·√10: condition below 80, |x| at most 2|b|
    atol = allowed(shape, shifts) * 80 * 2 * np.max(np.abs(right))
    np.testing.assert_allclose(ours.reshape(3, -1), theirs, rtol=0, atol=atol)


@pytest.mark.parametrize("killed", [0.0, 0.3])
@pytest.mark.parametrize(
    ("shape", "shifts", "reference"),
    [
        ((1,), CHAINS["one step"], (0,)),
        ((2,), CHAINS["one step"], (1,)),
        ((7,), CHAINS["one step"], (0,)),
        ((61,), CHAINS["one step"], (30,)),
        ((61,), CHAINS["band 2"], (57,)),
        ((5, 4), CHAINS["two axes"], (2, 1)),
        ((5, 4), CHAINS["two axes, diagonal and wide"], (0, 3)),
    ],
)
def test_reference_state(shape, shifts, reference, killed, rng, x64):
    """κx - Lx + γ = b with x = 0 at the reference, as one bordered system in 60 digits."""
    if killed and shape == (1,):
        killed = 0.0  # x = 0 is all there is: γ = b
    rates, right = random_rates(rng, shape, shifts, 3), rng.normal(size=shape)
    killing = np.full(shape, killed)
    mark = jnp.zeros(shape).at[reference].set(1.0)
    solve = jax.jit(lambda r, k, b: solve_with_reference(r, shifts, k, b, mark))
    x, level = solve(rates, killing, right)
    count, place = killing.size, int(np.ravel_multi_index(reference, shape))
    with mpmath.workdps(60):
        bordered = mpmath.zeros(count + 1)
        bordered[:count, :count] = matrix(rates, shifts, killing)
        for row in range(count):
            bordered[row, count] = 1
        bordered[count, place] = 1
        exact = exact_solution(bordered, np.append(right.ravel(), 0.0)).astype(float)
    # x = x⁰ - γτ with |x⁰| ≤ max|b|·τ and |γ| ≤ max|b|, τ the times to the reference: either's accuracy
    others = np.delete(
        np.delete(np.array(bordered[:count, :count].tolist(), dtype=float), place, 0), place, 1
    )
    longest = np.max(np.linalg.solve(others, np.ones(count - 1)), initial=0.0)
    atol = allowed(shape, shifts) * np.max(np.abs(right)) * (1.0 + 2.0 * longest)
    np.testing.assert_allclose(np.ravel(x), exact[:-1], rtol=0, atol=atol)
    assert abs(float(level) - exact[-1]) <= allowed(shape, shifts) * np.max(np.abs(right))
    assert x[reference] == 0.0


@pytest.mark.parametrize("count", [131, 260, 261])
def test_a_long_chain_that_falls_apart_is_solved_where_it_can_be(count, rng, x64):
    """The lower half is never killed and has no solution, which the upper one ignores."""
    shifts, half = ((1,), (-1,)), count // 2
    rates = random_rates(rng, (count,), shifts, 4)
    rates[0, half - 1] = rates[1, half] = 0.0
    killing = np.where(np.arange(count) < half, 0.0, 1e-3)
    right = rng.uniform(1.0, 2.0, count)
    solved = jax.jit(lambda r, k, b: solve_factored(factorise(r, shifts, k), b))
    found = np.asarray(solved(rates, killing, right))
    alone = np.asarray(solved(rates[:, half:], killing[half:], right[half:]))
    assert not np.any(np.isfinite(found[:half]))
    np.testing.assert_allclose(found[half:], alone, rtol=allowed((count,), shifts))
