"""When trading ends, and what is left worth then.

    finite       θ(T, q) = -(quadratic·q² + absolute·|q|)       until the time T = duration
    discounted   rewards at time t count e^{-rate·t}            no end
    ergodic      the gain per unit of time                      no end, no discounting; the default

q in units of the asset (summed over assets), quadratic in currency per unit², absolute in currency per unit,
duration in time, rate per time.
"""

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from quotegrid.models.contract import Block
from quotegrid.models.dimensions import PER_TIME, PRICE, TIME, Dimension
from quotegrid.models.ingredients import Ingredient
from quotegrid.models.kinds import ByKind
from quotegrid.models.numbers import NonNegative, Positive

_KIND = frozenset({"kind"})


class Terminal(Block):
    """The cost of ending with inventory."""

    quadratic: Annotated[
        NonNegative,
        Field(description="currency per unit²"),
        Dimension("{currency} per unit²", price=1, unit=-1),
        Ingredient("inventory risk", off=0.0),
    ] = 0.0
    absolute: Annotated[
        NonNegative,
        Field(description="currency per unit, such as half a spread"),
        PRICE,
        Ingredient("inventory risk", off=0.0),
    ] = 0.0


class Finite(Block):
    """Trading stops at `duration`."""

    static: ClassVar[frozenset[str]] = _KIND

    kind: Literal["finite"] = "finite"
    duration: Annotated[Positive, Field(description="time from start to end"), TIME]
    terminal: Annotated[Terminal, Field(description="cost of ending with inventory")] = Terminal()

    def discount_rate(self) -> float:
        """Per time."""
        return 0.0

    def terminal_value(self, q: Float[Array, "... asset"]) -> Array:
        """θ(T, q), currency."""
        return -jnp.sum(self.terminal.quadratic * q**2 + self.terminal.absolute * jnp.abs(q), axis=-1)


class Discounted(Block):
    """Trading goes on for ever, rewards are discounted."""

    static: ClassVar[frozenset[str]] = _KIND

    kind: Literal["discounted"] = "discounted"
    rate: Annotated[Positive, Field(description="discount rate, per time"), PER_TIME]

    def discount_rate(self) -> Any:
        """Per time."""
        return self.rate

    def terminal_value(self, q: Float[Array, "... asset"]) -> Array:
        """No end: 0."""
        return jnp.zeros(q.shape[:-1])


class Ergodic(Block):
    """Trading goes on for ever; what counts is the gain per unit of time."""

    static: ClassVar[frozenset[str]] = _KIND

    kind: Literal["ergodic"] = "ergodic"

    def discount_rate(self) -> float:
        """Per time."""
        return 0.0

    def terminal_value(self, q: Float[Array, "... asset"]) -> Array:
        """No end: 0."""
        return jnp.zeros(q.shape[:-1])


Horizon: TypeAlias = Annotated[Finite | Discounted | Ergodic, ByKind(default="ergodic")]
