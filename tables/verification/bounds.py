"""How far a table may be from the optimum of its problem, as the verifier proves it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Bounds(NamedTuple):
    """Bounds on the distance to the optimum; `rounding` is the part that any table would show.

    Units: value in currency, gain in currency per time, quotes in price, regret in currency (per time if
    ergodic).
    """

    value: float
    quote: float  # the largest over all stored offsets but the uncertain ticks
    regret: float
    uncertain_ticks: int  # at an eighth of the proved radius, so that only plain ties count
    gain: tuple[float, float] | None
    value_rounding: float
    quote_rounding: float
    regret_rounding: float
    how: str  # what the proof rests on


class NotProvedError(Exception):
    """No bound can be derived; the sentence says why."""
