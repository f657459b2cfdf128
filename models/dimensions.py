"""What a number of a problem is measured in, said beside its field.

    volatility: Annotated[NonNegative | None, Field(…), Dimension("{price} per √{time}", price=1, time=-0.5)]

Under another unit of price, time or the asset a number changes by that unit's factor to the power stated here
(a logarithm by the factor's logarithm), and the solution of the problem is the same in the new units: hence
the units of sensitivities, and the identities that all of them together must meet.
"""

from dataclasses import dataclass

from quotegrid.models.contract import Block
from quotegrid.models.paths import Place, mark_at


@dataclass(frozen=True)
class Dimension:
    """Exponents of the units of price, time and the asset; currency is price × unit of the asset."""

    text: str = "1"  # in words, with {price}, {time}, {currency} in place of the problem's units
    price: float = 0.0
    time: float = 0.0
    unit: float = 0.0
    logarithm: bool = False  # the number is the logarithm of something of this dimension

    def in_words(self, price: str, time: str, currency: str) -> str:
        """The unit of a number of this dimension, such as "USD per √s"."""
        return self.text.format(price=price, time=time, currency=currency)


PRICE = Dimension("{price}", price=1)
PER_PRICE = Dimension("per {price}", price=-1)
PRICE_PER_TIME = Dimension("{price} per {time}", price=1, time=-1)
TIME = Dimension("{time}", time=1)
PER_TIME = Dimension("per {time}", time=-1)
PER_CURRENCY = Dimension("per {currency}", price=-1, unit=-1)
UNITS = Dimension("units of the asset", unit=1)
PLAIN = Dimension()


def dimension_of(problem: Block, place: Place) -> Dimension:
    """The dimension of the number at a place (see `quotegrid.models.paths`).

    Raises:
        LookupError: its field states none; say it beside the field.
    """
    found = mark_at(problem, place, Dimension)
    if found is None:
        field = ".".join(map(str, place))
        raise LookupError(f"{field}: no dimension is stated for this field; add a Dimension beside it.")
    return found
