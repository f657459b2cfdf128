"""What the maker minds: risk in utility (CARA), or a penalty on inventory (mean-variance).

    cara            running cost ½γσ²q²,                       Hamiltonians with ξ = γ
    mean-variance   ½γσ²(q - target)²  or  φ(q - target)²,     Hamiltonians with ξ = 0

`hamiltonian_risk_aversion` sets ξ apart from γ (the family of Guéant 2017); it replaces γ in the Hamiltonians
(and in the jumps at market orders, which are part of the same expectation) only. γ and ξ per currency, φ in
currency per unit² and time, q in units of the asset.
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from quotegrid.models.contract import Block
from quotegrid.models.dimensions import PER_CURRENCY, Dimension
from quotegrid.models.faults import Fault
from quotegrid.models.ingredients import Ingredient
from quotegrid.models.kinds import ByKind
from quotegrid.models.numbers import NonNegative, Positive

_XI = Field(description="ξ, per currency, in place of γ (cara) or 0 (mean-variance) in the Hamiltonians only")


class Cara(Block):
    """Exponential utility -exp(-γ(x + qS + θ))."""

    static: ClassVar[frozenset[str]] = frozenset({"kind"})

    kind: Literal["cara"] = "cara"
    risk_aversion: Annotated[Positive, Field(description="γ, per currency"), PER_CURRENCY]
    hamiltonian_risk_aversion: Annotated[NonNegative | None, _XI, PER_CURRENCY] = None

    def xi(self) -> Any:
        """ξ of the Hamiltonians, per currency."""
        return (
            self.risk_aversion if self.hamiltonian_risk_aversion is None else self.hamiltonian_risk_aversion
        )

    def holding_cost(self, excess: Float[Array, "... asset"], variance: Float[Array, " asset"]) -> Array:
        """½γΣσ²(q - target)², currency per time, of `excess` = q - target and `variance` = σ²."""
        return _variance_cost(self.risk_aversion, excess, variance)

    def uses_volatility(self) -> bool:
        """Does the holding cost depend on σ?"""
        return True

    def allows_target(self) -> bool:
        """May the inventory target differ from 0? Not here: the variance of wealth is that of q itself."""
        return False


class MeanVariance(Block):
    """Expected wealth less a penalty on inventory; exactly one of `risk_aversion` and `running_penalty`."""

    static: ClassVar[frozenset[str]] = frozenset({"kind"})

    kind: Literal["mean-variance"] = "mean-variance"
    risk_aversion: Annotated[
        NonNegative | None, Field(description="γ of ½γσ²(q - target)², per currency"), PER_CURRENCY
    ] = None
    running_penalty: Annotated[
        NonNegative | None,
        Field(description="φ of φ(q - target)², currency per unit² and time"),
        Dimension("{currency} per unit² and {time}", price=1, time=-1, unit=-1),
        Ingredient("inventory risk", off=0.0),
    ] = None
    hamiltonian_risk_aversion: Annotated[NonNegative | None, _XI, PER_CURRENCY] = None

    def contradictions(self) -> Iterator[Fault]:
        if (self.risk_aversion is None) == (self.running_penalty is None):
            yield Fault(
                "",
                "expected exactly one of 'risk_aversion' (γ of ½γσ²q²) and 'running_penalty' (φ of φq²), "
                f"got {'neither; add' if self.risk_aversion is None else 'both; leave out'} one.",
            )

    def xi(self) -> Any:
        """ξ of the Hamiltonians, per currency."""
        return 0.0 if self.hamiltonian_risk_aversion is None else self.hamiltonian_risk_aversion

    def holding_cost(self, excess: Float[Array, "... asset"], variance: Float[Array, " asset"]) -> Array:
        """½γΣσ²(q - target)² or φΣ(q - target)², currency per time; arguments as for `Cara`."""
        if self.running_penalty is None:
            return _variance_cost(self.risk_aversion, excess, variance)
        return self.running_penalty * jnp.sum(excess**2, axis=-1)

    def uses_volatility(self) -> bool:
        """Does the holding cost depend on σ?"""
        return self.running_penalty is None

    def allows_target(self) -> bool:
        """May the inventory target differ from 0?"""
        return True


class Crra(Block):
    """Power utility of wealth; wealth stays a state. Part of the file format, not in this version."""

    static: ClassVar[frozenset[str]] = frozenset({"kind"})

    kind: Literal["crra"] = "crra"
    risk_aversion: Annotated[Positive, Field(description="relative risk aversion, no unit")]


def _variance_cost(gamma: Any, excess: Float[Array, "... asset"], variance: Float[Array, " asset"]) -> Array:
    """½γΣσ²(q - target)², of assets that move independently."""
    return 0.5 * gamma * jnp.sum(excess**2 * jnp.broadcast_to(variance, excess.shape), axis=-1)


Preferences: TypeAlias = Annotated[Cara | MeanVariance | Crra, ByKind()]
