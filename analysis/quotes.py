"""A policy table read as a trader reads quotes: bid and ask side by side, in named units.

    spread = ask_offset + bid_offset          what a round trip earns
    skew   = (ask_offset - bid_offset) / 2    where the middle of the quotes stands, relative to the reference

Offsets are in price units, positive away from the reference, NaN where a side is off.
"""

import json
from dataclasses import dataclass

import numpy as np

from quotegrid.tables.money import money_unit
from quotegrid.tables.policy_table import PolicyTable

SECONDS_IN = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}


@dataclass(frozen=True)
class QuotePair:
    """The bid and the ask flow of one name and size (lots), as positions among the table's flows.

    A side that does not exist is None; its offsets read as NaN.
    """

    name: str
    size: int
    bid: int | None
    ask: int | None

    def bid_offset(self, offset: np.ndarray) -> np.ndarray:
        """float[…] out of offsets float[…, flow]."""
        return _side(offset, self.bid)

    def ask_offset(self, offset: np.ndarray) -> np.ndarray:
        """float[…] out of offsets float[…, flow]."""
        return _side(offset, self.ask)

    def spread(self, offset: np.ndarray) -> np.ndarray:
        """float[…] out of offsets float[…, flow]; NaN where either side is off."""
        return self.ask_offset(offset) + self.bid_offset(offset)

    def skew(self, offset: np.ndarray) -> np.ndarray:
        """float[…] out of offsets float[…, flow]; NaN where either side is off."""
        return (self.ask_offset(offset) - self.bid_offset(offset)) / 2


def _side(offset: np.ndarray, flow: int | None) -> np.ndarray:
    return np.full(offset.shape[:-1], np.nan) if flow is None else offset[..., flow]


def quote_pairs(table: PolicyTable) -> tuple[QuotePair, ...]:
    """Flows of equal name and size as bid and ask, the smallest size first."""
    found: dict[tuple[int, str], dict[str, int]] = {}
    for position, flow in enumerate(table.flows):
        found.setdefault((flow.size, flow.name), {})[flow.side] = position
    in_order = sorted(found.items(), key=lambda item: item[0][0])
    return tuple(
        QuotePair(name, size, sides.get("bid"), sides.get("ask")) for (size, name), sides in in_order
    )


def nearest_times(times: np.ndarray, fractions: tuple[float, ...]) -> np.ndarray:
    """Positions of the stored times nearest to some fractions of the horizon, each once, in order."""
    wanted = np.array(fractions) * times[-1]
    return np.unique(np.abs(times[:, None] - wanted).argmin(axis=0))


def market(table: PolicyTable) -> dict:
    """The market block of the first asset of a table's problem: symbol, lot_size, and what its file gives
    besides; empty where the problem has none.
    """
    problem = json.loads(table.problem_json)
    (first, *_) = problem.get("asset", [problem])
    return first.get("market", {})


def reference(table: PolicyTable) -> str:
    """What offsets are measured from, such as "mid"."""
    return market(table).get("reference", "mid")


def inventory_unit(table: PolicyTable) -> str:
    """The unit inventories are counted in, such as "lots of 0.1"."""
    lot = table.lot_sizes[0]
    return "lots" if lot == 1 else f"lots of {lot:g}"


def currency(table: PolicyTable) -> str:
    """The unit of values: a price unit times one unit of the asset, which is USD where prices are in USD."""
    return money_unit(table.price_unit)


def hourly(time_unit: str) -> tuple[str, float]:
    """ "h" and how many units of time make one; the unit itself and 1 where it is not a known one."""
    seconds = SECONDS_IN.get(time_unit)
    return (time_unit, 1.0) if seconds is None else ("h", 3600.0 / seconds)


def per_time(amount: float, money: str, time_unit: str) -> str:
    """An amount per time unit in words, and per hour where the time unit is a known one."""
    seconds = SECONDS_IN.get(time_unit)
    per_hour = "" if seconds in (None, 3600.0) else f" = {amount * 3600.0 / seconds:.6g} {money} per h"
    return f"{amount:.6g} {money} per {time_unit}{per_hour}"
