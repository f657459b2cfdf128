"""Long horizons: a path that has come near its stationary state is compared with that state.

The defects of a path add up over time, so after many relaxation times their sum says little. But let θ* and
g* solve the ergodic equation B(θ*) = g*. Then θ* + g*τ solves the same evolution as θ, whose flow is a
sup-norm contraction: in w(τ) = θ(τ) - θ* - g*τ the largest entry does not rise and the least does not fall.
With a certified approximation b of θ* (|b - θ*| and its differences at most d, |B(b) - g*| ≤ ε), the path θ̂,
its error e and any earlier time to go s ≤ τ,

    span e(τ) ≤ span(θ̂(τ) - b) + d + [span(θ̂(s) - b) + d + span e(s)],
    |e(τ)| ≤ max{max y(τ) - min y(s), max y(s) - min y(τ)} + 2d + |e(s)| + ε(τ - s),

where y(r) = θ̂(r) - b - B(b)(r - s): bounds that no longer grow with τ, but for the gain's own ε.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quotegrid.solver.bellman import greedy_policy
from quotegrid.solver.certificate import UNIT_ROUNDOFF
from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.kernels import kernel
from quotegrid.solver.policy_iteration import to_stationary
from quotegrid.solver.stationary_certificate import StationaryBounds, stationary_bounds

_LOOSE, _MOVES = 1e-9, 1e-3  # in value scales: a bound worth sharpening; a change of the bias that is no rest
_POLISHING = 2  # iterations of policy iteration from the end of the path


def may_rest(
    scale: float,
    to_go: Float[np.ndarray, " t"],
    bias: Float[np.ndarray, "t *state"],
    difference_error: Float[np.ndarray, " t"],
) -> bool:
    """Is a path worth comparing with the stationary state? Not where its bounds are sharp already, or its
    second half moves; `scale` of the value, currency.
    """
    half = np.searchsorted(to_go, 0.5 * to_go[-1])
    return bool(difference_error[-1] > _LOOSE * scale and np.ptp(bias[-1] - bias[half]) <= _MOVES * scale)


def bound_at_rest(
    chain: ControlledChain,
    to_go: Float[np.ndarray, " t"],
    bias: Float[np.ndarray, "t *state"],
    level: Float[np.ndarray, " t"],
    value_error: Float[np.ndarray, " t"],
    difference_error: Float[np.ndarray, " t"],
) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Bounds on |e| and on span e at increasing times to go, nowhere above the ones given (currency).

    Runs with double precision on.
    """
    rest, gain, bounds = jax.tree.map(np.asarray, _kernel(chain, bias[-1]))
    if not bounds.closed:
        return value_error, difference_error
    d, epsilon = float(bounds.value_error), float(bounds.most - bounds.least)
    states = tuple(range(1, bias.ndim))
    largest = np.max(np.abs(bias), axis=states)
    away = bias - rest
    high, low = np.max(away, axis=states), np.min(away, axis=states)
    width = high - low + 8.0 * UNIT_ROUNDOFF * (largest + np.max(np.abs(rest))) + d
    base = width + difference_error
    since = np.maximum.accumulate(np.where(base <= np.minimum.accumulate(base), np.arange(len(base)), 0))
    elapsed = to_go - to_go[since]
    risen = level - level[since] - gain * elapsed
    apart = np.maximum(high + risen - low[since], high[since] - low - risen)
    rounding = 8.0 * UNIT_ROUNDOFF * (np.abs(level) + np.abs(gain) * to_go + largest + largest[since])
    value = np.maximum(apart, 0.0) + 2.0 * d + value_error[since] + epsilon * elapsed + rounding
    return np.minimum(value_error, value), np.minimum(difference_error, width + base[since])


@kernel()
def _kernel(chain: ControlledChain, bias: Array) -> tuple[Array, Array, StationaryBounds]:
    """A stationary bias near the one given, its gain, and what is proved about it."""
    for _ in range(_POLISHING):
        bias = bias + to_stationary(chain, greedy_policy(chain, bias))
    gain = greedy_policy(chain, bias).operator[chain.target]
    return bias, gain, stationary_bounds(chain, bias, jnp.zeros(()), True)
