"""Linear equations: v = exp(κ(θ - level)) and its derivatives by many parameters, by one positive series.

    v' = M v,    (dv)' = M dv + dM v,    (d²v)' = M d²v + 2 dM dv + d²M v,    M = P - c,  P ≥ 0,

where M = κ diag(ℓ) + (fill rates at equal θ), as in `lockstep`. A derivative of e^{hP} v is the derivative of
its series, and in Horner's order the sums s and their derivatives go side by side,

    s_{n-1} = v + (h/n) P s_n,      ds_{n-1} = dv + (h/n) (P ds_n + dP s_n),      …

After each step v is divided by its target component, derivatives alike, so that what is left are differences
of θ. This holds for parameters that leave the equation linear: the κ = k/(z m) of all flows must move as one.
The others, and what leaves the range of doubles, are left to `finite_tangents`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quotegrid.solver.chain import ControlledChain
from quotegrid.solver.exponential_flows import exponential_flows
from quotegrid.solver.tangents import ChainTangents, moving_part

_LONGEST = 12.0  # hx of a step, x the largest (Pv)/v
_MOST_TERMS = 96
_TAIL = 1e-17
_SMALLEST = 1e-280  # of v: below, relative accuracy is lost
_MOST_STEPS = 100_000  # between two outputs
_SAME = 1e-13  # derivatives of κ that differ by less, relative to the largest, are one


class Columns(NamedTuple):
    """Numbers with their first and second derivatives by each parameter, along a last axis."""

    value: Float[Array, "*rest 1"]
    first: Float[Array, "*rest parameter"]
    second: Float[Array, "*rest bent"]  # no columns where they are not wanted

    def through(self, value: Array, slope: Array, bend: Array) -> "Columns":
        """A function of these numbers, from its value, its slope and its second derivative."""
        square = self.first[..., : self.second.shape[-1]] ** 2
        return Columns(value, slope * self.first, bend * square + slope * self.second)

    def times(self, other: "Columns") -> "Columns":
        """The product."""
        both = 2.0 * (self.first * other.first)[..., : self.second.shape[-1]]
        return Columns(
            self.value * other.value,
            self.value * other.first + self.first * other.value,
            self.value * other.second + both + self.second * other.value,
        )

    def over(self, other: "Columns") -> "Columns":
        """The quotient."""
        x = other.value
        return self.times(other.through(1.0 / x, -(x**-2.0), 2.0 * x**-3.0))

    def log(self) -> "Columns":
        """The logarithm."""
        x = self.value
        return self.through(jnp.log(x), 1.0 / x, -(x**-2.0))

    def exp(self) -> "Columns":
        """The exponential."""
        grown = jnp.exp(self.value)
        return self.through(grown, grown, grown)

    def widened(self) -> "Columns":
        """With a first axis of length 1, to stand for all states."""
        return Columns(*(x[None] for x in self))

    def plus(self, other: "Columns") -> "Columns":
        """The sum."""
        return Columns(*(x + y for x, y in zip(self, other, strict=True)))


class LinearEquation(NamedTuple):
    """κ, M and the terminal condition, with derivatives."""

    decay: Columns  # κ, per currency
    diagonal: Columns  # κℓ, per time
    rates: Columns  # [flow, state]: fills per time at equal θ
    terminal: Columns  # κ(θ(T) - level), no unit
    level: Columns  # θ(T) at the target, currency


def linear_equation(
    moving: ChainTangents[ControlledChain],
) -> tuple[LinearEquation, Bool[Array, " parameter"]]:
    """The equation of a chain of one axis, and which parameters leave it linear."""

    def parts(chain: ControlledChain) -> dict[str, Array]:
        flows = exponential_flows(chain)
        level = chain.terminal[chain.target]
        return {
            "decays": flows.decays,
            "decay": flows.decays[0],
            "diagonal": flows.decays[0] * flows.reward,
            "rates": flows.rates,
            "terminal": flows.decays[0] * (chain.terminal - level),
            "level": level,
        }

    found = moving_part(parts, moving)
    first = found.direction(found.first)
    second = None if found.second is None else found.direction(found.second)

    def columns(name: str) -> Columns:
        slopes = jnp.moveaxis(first[name], 0, -1)
        bends = slopes[..., :0] if second is None else jnp.moveaxis(second[name], 0, -1)
        return Columns(found.chain[name][..., None], slopes, bends)

    moves = first["decays"]
    largest = jnp.max(jnp.abs(moves), axis=1, initial=0.0)
    linear = jnp.ptp(moves, axis=1) <= _SAME * largest
    return LinearEquation(*(columns(name) for name in LinearEquation._fields)), linear


def march_linear_tangents(
    equation: LinearEquation, outputs: Float[Array, " t"], *, shifts: tuple[int, ...], target: int
) -> tuple[Columns, Columns, Bool[Array, ""]]:
    """Bias and level at the increasing times to go `outputs`, first axis, and whether v stayed in range."""
    states = equation.diagonal.value.shape[0]
    ghosts = max((abs(shift) for shift in shifts), default=0)
    offset = -jnp.min(equation.diagonal.value)  # c
    matrix = equation.diagonal._replace(value=equation.diagonal.value + offset), equation.rates

    def product(order: str, x: Array) -> Array:
        """P x, dP x or d²P x."""
        diagonal, rates = (getattr(part, order) for part in matrix)
        padded = jnp.pad(x, ((ghosts, ghosts), (0, 0)))
        total = diagonal * x
        for flow, shift in enumerate(shifts):
            total = total + rates[flow] * padded[ghosts + shift : ghosts + shift + states]
        return total

    def series(v: Columns, length: Array, terms: Array) -> Columns:
        wanted = v.second.shape[-1]

        def term(place: Array, s: Columns) -> Columns:
            weight = length / (terms - place)
            first = product("value", s.first) + product("first", s.value)
            second = product("value", s.second)
            if wanted:
                second = second + 2.0 * product("first", s.first) + product("second", s.value)
            change = Columns(weight * product("value", s.value), weight * first, weight * second)
            return v.plus(change)

        return jax.lax.fori_loop(0, terms.astype(int), term, v)

    def interval(carry: tuple, length: Array) -> tuple[tuple, tuple[Columns, Columns]]:
        v, gained, sound = carry
        largest = jnp.max(product("value", v.value) / v.value)
        reach = jnp.where(sound, length * largest, 0.0)
        steps = jnp.clip(jnp.ceil(reach / _LONGEST), 1.0, _MOST_STEPS)
        terms = jnp.searchsorted(jnp.asarray(_REACH_OF_ORDER), reach / steps).astype(float) + 1.0

        def advance(_: Array, state: tuple[Columns, Columns]) -> tuple[Columns, Columns]:
            v, gained = state
            v = series(v, length / steps, terms)
            middle = jax.tree.map(lambda x: x[target], v)
            return v.over(middle.widened()), gained.plus(middle.log())

        v, gained = jax.lax.fori_loop(0, steps.astype(int), advance, (v, gained))
        gained = gained._replace(value=gained.value - offset * length)
        sound = sound & (jnp.min(v.value) > _SMALLEST) & jnp.all(jnp.isfinite(v.value))
        sound = sound & (reach <= _LONGEST * _MOST_STEPS)
        level = equation.level.plus(gained.over(equation.decay))
        return (v, gained, sound), (v.log().over(equation.decay.widened()), level)

    start = equation.terminal.exp()
    nothing = jax.tree.map(jnp.zeros_like, equation.level)
    sound = (jnp.min(start.value) > _SMALLEST) & jnp.all(jnp.isfinite(start.value))
    lengths = jnp.diff(outputs, prepend=0.0)
    (_, _, sound), (bias, level) = jax.lax.scan(interval, (start, nothing, sound), lengths)
    return bias, level, sound


def _orders() -> np.ndarray:
    """The largest hx that N = 1, 2, … terms are enough for, of the second derivative (terms grow with n²)."""
    reach = np.linspace(0.0, 2.0 * _LONGEST, 24_001)[1:]
    n = np.arange(1, _MOST_TERMS + 1)
    tails = n[:, None] * np.log(reach) + (2.0 * np.log(n) - np.cumsum(np.log(n)))[:, None]
    return np.array([reach[row <= np.log(_TAIL)].max(initial=0.0) for row in tails])


_REACH_OF_ORDER = _orders()
