"""The quoter: a table in memory and one question, "what do I quote at this inventory, at this time?".

    quoter = Quoter.load("eth.safetensors", between="towards_flat")
    quote = quoter.quote(inventory=3)
    quote.offsets["book/bid"]     # bid price = reference price - offset; None: no bid here

Nothing but NumPy and the standard library is loaded, and nothing is computed before the first question. The
rules between and outside the lattice are those of `lookup`, chosen once at load.
"""

import math
import os
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from quotegrid.tables.lookup import Corners, Lookup, Market, number_reader, row_reader
from quotegrid.tables.many_lookups import ManyLookups, Markets, Quotes
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.safetensors_file import read_safetensors
from quotegrid.tables.shifts import Change, ShiftedNumbers, changes_of, moves, shifted_numbers


class Quote(NamedTuple):
    """What a table says at one state."""

    inventory: float | tuple[float, ...]  # lots, as asked; one number per asset where there are several
    time: float | None
    offsets: dict[str, float | None]  # flow label → price units from the reference price; None: not quoted
    value: float  # θ in currency; ergodic: the bias
    gain: float | None  # currency per time; ergodic horizon only
    hedge_rate: float | tuple[float, ...] | None  # units of the asset per time, + buys
    market_order: float | tuple[float, ...] | None  # lots, + buys
    clamped: tuple[
        str, ...
    ]  # axes outside of which the state was and was moved to the edge (outside="clamp")
    shifted: "Shifted | None" = None  # where parameters were shifted

    def to_json(self) -> dict[str, object]:
        """The plain form printed by `quote --json`; null stands for not quoted and not applicable."""
        shifted = {} if self.shifted is None else {"shift": self.shifted.to_json()}
        return {
            **shifted,
            "inventory": _plain(self.inventory),
            "offsets": self.offsets,
            "value": self.value,
            "gain": self.gain,
            "hedge_rate": _plain(self.hedge_rate),
            "market_order": _plain(self.market_order),
        }


class Shifted(NamedTuple):
    """Which parameters a quote was shifted by, and how far the first-order answer may be off (`shifts`)."""

    parameters: dict[str, tuple[float, float]]  # path → (value in the table's problem, new value)
    # estimates of what the first order leaves out
    offset_error: dict[str, float | None]  # price units; None: held by a tick or a bound, at a kink, or off
    value_error: float  # currency
    gain_error: float | None  # currency per time

    def to_json(self) -> dict[str, object]:
        """The plain form printed by `quote --json`."""
        return {
            "parameters": {path: list(values) for path, values in self.parameters.items()},
            "offset_error": self.offset_error,
            "value_error": self.value_error,
            "gain_error": self.gain_error,
        }


class Quoter:
    """Answers from one table.

    Args:
        table: the table, for instance from `read_safetensors`. between: what an inventory between the lattice
        points means: exact (an error), nearest, towards_flat, linear. outside: what a state outside the table
        means: refuse (an error) or clamp (its nearest edge).
    """

    __slots__ = (
        "_clamps", "_controls", "_labels", "_lookup", "_many", "_offsets", "_rules", "_value", "table",
    )  # fmt: skip

    def __init__(self, table: PolicyTable, between: str = "exact", outside: str = "refuse") -> None:
        self.table = table
        self._labels = table.flow_labels
        self._lookup = Lookup(table, between, outside)
        self._rules = (between, outside)
        self._many: ManyLookups | None = None  # made when it is first asked for
        self._clamps = outside == "clamp"
        self._offsets = row_reader(table.offset)
        self._value = number_reader(table.value)
        self._controls = tuple(
            None if array is None else row_reader(array) for array in (table.hedge_rate, table.market_order)
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], between: str = "exact", outside: str = "refuse") -> "Quoter":
        """Map a runtime file and check it; an archive is read with `read_archive` and given to `Quoter`.

        Raises:
            OSError: there is no such file, or it cannot be read.
            TableError: it is no table, or it was changed after it was written.
            QuoteError: `between` or `outside` is no rule.
        """
        return cls(read_safetensors(path), between, outside)

    def __repr__(self) -> str:
        between, outside = self._rules
        return f"<Quoter, between={between!r}, outside={outside!r}, from\n {self.table!r}>"

    @property
    def flows(self) -> tuple[str, ...]:
        """The labels of the flows, in the order of `offsets`."""
        return self._labels

    def quote(
        self,
        inventory: float | Sequence[float],
        time: float | None = None,
        shift: Mapping[str, Change] | None = None,
        market: Market | None = None,
    ) -> Quote:
        """Everything the table says at one state.

        Args:
            inventory: lots, signed; for several assets one number each, in the order of `table.symbols`.
            time: calendar time where the table has a time axis, else None.
            shift: parameters of the table's problem that have changed, each with its new value (a number) or
            its relative change (such as "+10%"): the answer follows to first order (`shifts`).
            market: regime, factors and parameters, where the table has such axes.

        Raises:
            QuoteError: the state is outside of the table or between its nodes, and the rules chosen refuse
            that; or the table cannot be shifted so.
        """
        lookup = self._lookup
        corners = lookup.corners(inventory, time, market)
        offsets = lookup.inside_limits(self._offsets(corners), inventory)
        hedge_rate, market_order = self._controls
        found = Quote(
            inventory if type(inventory) is int else _as_asked(inventory),
            time,
            dict(zip(self._labels, [None if x != x else x for x in offsets])),  # noqa: B905 (as in row_reader)
            self._value(corners),
            self.table.gain,
            hedge_rate and _per_asset(hedge_rate(corners)),
            market_order and _per_asset(market_order(corners)),
            lookup.clamped(inventory, time, market) if self._clamps else (),
        )
        return found if shift is None else self._shifted(found, corners, offsets, shift)

    def quotes(
        self, inventory: ArrayLike, time: ArrayLike | None = None, market: Markets | None = None
    ) -> Quotes:
        """Everything the table says at many states, bit for bit as `quote` says it at each of them.

        Args:
            inventory: lots, signed, an array of any shape; for several assets one such array each, in the
            order of `table.symbols`.
            time: calendar times where the table has a time axis, else None.
            market: regimes, factors and parameters, where the table has such axes. All arrays are of one
            shape or broadcast to one; a number stands for all states.

        Raises:
            QuoteError: a state is refused; the error names the first one.
        """
        if self._many is None:
            self._many = ManyLookups(self.table, *self._rules)
        return self._many.quotes(inventory, time, market)

    def shifted_by(
        self,
        changes: Sequence[float],
        inventory: float | Sequence[float],
        time: float | None = None,
        market: Market | None = None,
    ) -> ShiftedNumbers:
        """What the table says at one state after changes of all its parameters, in their order."""
        corners = self._lookup.corners(inventory, time, market)
        offsets = self._lookup.inside_limits(self._offsets(corners), inventory)
        moved = changes_of(self.table.sensitivity, changes)
        return shifted_numbers(self.table, moved, corners, offsets, self._value(corners))

    def _shifted(
        self, found: Quote, corners: Corners, offsets: tuple[float, ...], shift: Mapping[str, Change]
    ) -> Quote:
        moved = moves(self.table.sensitivity, shift)
        after = shifted_numbers(self.table, moved, corners, offsets, found.value)
        said = [None if x != x else x for x in after.offset_errors]
        about = Shifted(
            {move.path: (move.before, move.after) for move in moved},
            dict(zip(self._labels, said, strict=True)),
            after.value_error,
            after.gain_error,
        )
        quoted = [None if x != x else x for x in after.offsets]
        return found._replace(
            offsets=dict(zip(self._labels, quoted, strict=True)),
            value=after.value,
            gain=after.gain,
            shifted=about,
        )

    def offsets(
        self, inventory: float | Sequence[float], time: float | None = None, market: Market | None = None
    ) -> tuple[float, ...]:
        """The offsets alone, in the order of `flows`, NaN where a flow is off: the shortest way."""
        found = self._offsets(self._lookup.corners(inventory, time, market))
        return self._lookup.inside_limits(found, inventory)


def _plain(numbers: float | tuple[float, ...] | None) -> object:
    """A JSON number or list; whole inventories and orders without a decimal point."""
    if numbers is None:
        return None
    if isinstance(numbers, tuple):
        return [_plain(number) for number in numbers]
    if math.isnan(numbers):
        return None
    return int(numbers) if numbers == int(numbers) else float(numbers)


def _as_asked(inventory: Any) -> float | tuple[float, ...]:
    """The inventory as the caller gave it: a number, or a tuple of them for several assets."""
    lots: tuple[Any, ...] = (inventory,) if isinstance(inventory, Real) else tuple(inventory)
    return lots[0] if len(lots) == 1 else lots


def _per_asset(numbers: tuple[float, ...] | None) -> float | tuple[float, ...] | None:
    """One number where there is one asset."""
    return numbers[0] if numbers is not None and len(numbers) == 1 else numbers
