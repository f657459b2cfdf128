"""Ratios and inverse functions that stay exact where their textbook forms cancel or overflow.

    phi1(u)        = (e^u - 1)/u                 1 at u = 0
    log1p_ratio(u) = ln(1 + u)/u                 1 at u = 0
    wright_omega(x): the root ω > 0 of           ω + ln ω = x
    log_sum_root(x): the root v ≥ 0 of           v + ln(1 + v) = x,  x ≥ 0   (v = ω(1 + x) - 1)

With them the limit ξ → 0 of the CARA formulas is an ordinary point, in value and in every derivative: (1 -
e^{-ξx})/ξ = x·phi1(-ξx) and ln(1 + ξz/h)/(ξz) = log1p_ratio(ξz/h)/h. The Wright omega function solves the
first-order condition of the logistic intensity at ξ = 0, the second root that of the linear one at every ξ.

All take and give JAX values of any shape in the caller's precision, and agree with 40-digit arithmetic to a
few units in the last place of a double (tests).
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

_NEAR = 0.3  # below it, series; above it, no digit worth speaking of is lost in the quotient's derivative
_EXPM1_TERMS = tuple(1.0 / math.factorial(n + 1) for n in range(15))  # 0.3^15/16! < 1e-21
_ATANH_TERMS = tuple(1.0 / (2 * n + 1) for n in range(10))  # |u/(2 + u)| ≤ 0.177: 0.177^20/21 < 1e-16
_NEWTON_STEPS = 4  # from the starting values below, three reach the last bit; one to spare


def phi1(u: ArrayLike) -> Float[Array, "..."]:
    """(e^u - 1)/u, 1 at 0; any shape."""
    u = jnp.asarray(u, float)
    near = jnp.abs(u) < _NEAR
    small, large = jnp.where(near, u, 0.0), jnp.where(near, 1.0, u)
    return jnp.where(near, _polynomial(_EXPM1_TERMS, small), jnp.expm1(large) / large)


def log1p_ratio(u: ArrayLike) -> Float[Array, "..."]:
    """ln(1 + u)/u for u > -1, 1 at 0; any shape. Near 0 it is 2 artanh(s)/u with s = u/(2 + u)."""
    u = jnp.asarray(u, float)
    near = jnp.abs(u) < _NEAR
    small, large = (
        jnp.where(near, u, 0.0),
        jnp.where(near, 1.0, u),
    )  # (XLA's log1p loses two digits near -0.4)
    s = small / (2.0 + small)
    return jnp.where(
        near, 2.0 / (2.0 + small) * _polynomial(_ATANH_TERMS, s * s), jnp.log(1.0 + large) / large
    )


def _polynomial(coefficients: tuple[float, ...], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Horner's scheme, constant term first in `coefficients`."""
    value = jnp.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


@jax.custom_jvp
def wright_omega(x: ArrayLike) -> Float[Array, "..."]:
    """The root ω > 0 of ω + ln ω = x; any shape, every finite x (it underflows to 0 below x = -745).

    For x ≤ 1 Newton's method runs on ω - e^x e^{-ω} = 0, which keeps the relative accuracy of e^x (with
    expm1, because XLA merges a product of two exponentials and loses it); above, on ω + ln ω - x = 0. Named
    by Corless & Jeffrey 2002.
    """
    x = jnp.asarray(x, float)
    power = jnp.exp(jnp.minimum(x, 1.0))
    log = jnp.log1p(power)
    small = log * (1.0 - jnp.log1p(log) / (2.0 + log))
    above = jnp.maximum(x, 1.0)
    large = above - jnp.log(above) * (1.0 - 1.0 / (1.0 + above))

    def newton(_: int, roots: tuple) -> tuple:
        small, large = roots
        small = small - (small - power - power * jnp.expm1(-small)) / (1.0 + small)
        return small, large + (above - large - jnp.log(large)) * (large / (1.0 + large))

    small, large = jax.lax.fori_loop(0, _NEWTON_STEPS, newton, (small, large))
    return jnp.where(x <= 1.0, small, large)


@wright_omega.defjvp
def _wright_omega_jvp(primals, tangents):
    omega = wright_omega(*primals)
    return omega, omega / (1.0 + omega) * tangents[0]


@jax.custom_jvp
def log_sum_root(x: ArrayLike) -> Float[Array, "..."]:
    """The root v ≥ 0 of v + ln(1 + v) = x for x ≥ 0; any shape; relatively accurate down to v ≈ x/2 at 0."""
    x = jnp.asarray(x, float)

    def newton(_: int, root: Array) -> Array:
        return root + (x - root - jnp.log1p(root)) * ((1.0 + root) / (2.0 + root))

    return jax.lax.fori_loop(0, _NEWTON_STEPS, newton, x - jnp.log1p(0.5 * x))


@log_sum_root.defjvp
def _log_sum_root_jvp(primals, tangents):
    root = log_sum_root(*primals)
    return root, (1.0 + root) / (2.0 + root) * tangents[0]
