"""What `solve` returns: value, quotes, gain, status and residual, in NumPy float64."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from quotegrid.models.problem import Problem, canonical_json, problem_hash
from quotegrid.solver.status import Status


class FlowLabel(NamedTuple):
    """One flow of fills."""

    name: str
    side: str  # "bid" or "ask"
    size: int  # lots
    asset: int  # index of its asset


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The solved problem on its inventory lattice (and, for a finite horizon, at the times of the table).

    Satisfies the protocol of `quotegrid.tables.policy_table`, which makes a table of it.
    """

    problem: Problem
    package_version: str
    price_unit: str
    time_unit: str
    symbols: tuple[str, ...]
    lot_sizes: tuple[float, ...]
    times: Float[np.ndarray, " time"] | None  # calendar time 0 … T, finite horizon only
    inventories: tuple[Float[np.ndarray, " lots"], ...]  # lots, one axis per asset
    flows: tuple[FlowLabel, ...]
    value: Float[np.ndarray, "*time_and_state"]  # θ, currency; ergodic: the bias, 0 at the target inventory
    offset: Float[np.ndarray, "*time_and_state flow"]  # price units; NaN where a flow is off
    gain: float | None  # ergodic only, currency per time
    status: Status
    method: str
    method_reason: str
    # stationary: max |B(θ) - ρθ - g|, currency per time; finite: sum of the steps' estimated errors, currency
    residual: float
    iterations: int  # policy iterations, or time steps
    certificate: dict  # the bounds of the certificate, as plain JSON
    # certified bound of each offset, price units
    offset_error: Float[np.ndarray, "*time_and_state flow"] | None
    # of linear interpolation in time, the largest at three moments between any two times: offset (price),
    # value (currency)
    lookup_error: dict | None
    notes: tuple[str, ...] = ()
    hedge_rate: None = None
    market_order: None = None

    def __repr__(self) -> str:
        """Market, horizon and shape, how the solve ended, and how far the quotes are from the best."""
        shape, claim = " × ".join(map(str, self.offset.shape)), "not certified"
        if (level := self.certificate["level"]) != "none":
            within = f"{self.certificate['quote_error']:.2g} {self.price_unit}"
            claim = f"certified at level {level}: quotes within {within} of the optimum"
        return (
            f"<Solution of {', '.join(self.symbols)}: {self.problem.horizon.kind}, {shape} offsets\n"
            f" {self.status} by {self.method}, {claim}>"
        )

    @property
    def problem_json(self) -> str:
        """The problem as canonical JSON."""
        return canonical_json(self.problem)

    @property
    def problem_hash(self) -> str:
        """SHA-256 of what matters of the problem, hexadecimal."""
        return problem_hash(self.problem)

    @property
    def status_message(self) -> str:
        """The status as a sentence."""
        return self.status.sentence
