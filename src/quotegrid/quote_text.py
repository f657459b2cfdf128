"""One lookup in words, for `quotegrid quote`: every number with its unit."""

import math
from collections.abc import Iterator, Mapping, Sequence

from quotegrid.analysis.quotes import currency, reference
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.quoter import Quote, Shifted


def quote_lines(table: PolicyTable, quote: Quote) -> Iterator[str]:
    """The quotes as sums with the reference price, then value and gain, a line each."""
    money, width = currency(table), max(map(len, table.flow_labels))
    for flow, (label, offset) in zip(table.flows, quote.offsets.items(), strict=True):
        if offset is None:
            yield f"{label:{width}}  not quoted"
        else:
            distance = -offset if flow.side == "bid" else offset
            sign = "-" if distance < 0 else "+"
            yield f"{label:{width}}  {reference(table)} {sign} {abs(distance):.6g} {table.price_unit}"
    yield f"{'value':{width}}  {quote.value:.6g} {money}"
    if quote.gain is not None:
        yield f"{'gain':{width}}  {quote.gain:.6g} {money} per {table.time_unit}"
    if quote.shifted is not None:
        yield from _shift_lines(table, quote.shifted, width)
    for axis in quote.clamped:
        yield f"{'note':{width}}  {axis} lies outside the table: these are the quotes of its nearest edge"


def _shift_lines(table: PolicyTable, shifted: Shifted, width: int) -> Iterator[str]:
    """What was shifted, and how far the first-order answer may be off."""
    for path, (before, after) in shifted.parameters.items():
        yield f"{'shift':{width}}  {path} from {before:.6g} to {after:.6g}"
    yield f"{'error':{width}}  to first order in the shift; estimates of what that leaves out:"
    for label, error in shifted.offset_error.items():
        said = (
            "none, as a tick, a bound or a kink holds it"
            if error is None
            else f"{error:.2g} {table.price_unit}"
        )
        yield f"{'':{width}}  {label} {said}"
    yield f"{'':{width}}  value {shifted.value_error:.2g} {currency(table)}"
    if shifted.gain_error is not None:
        yield f"{'':{width}}  gain {shifted.gain_error:.2g} {currency(table)} per {table.time_unit}"


def explanation_lines(
    table: PolicyTable, parts: Mapping[str, Mapping[str, float] | None], solved: Sequence[str]
) -> Iterator[str]:
    """The parts of each offset, a line for each ingredient and a column for each flow that is quoted."""
    quoted = {label: numbers for label, numbers in parts.items() if numbers is not None}
    if not quoted:
        yield "nothing is quoted here that could be split"
        return
    names = list(next(iter(quoted.values())))
    width, column = max(map(len, names)), max(12, *map(len, quoted))
    yield f"{'':{width}}  {'  '.join(f'{label:>{column}}' for label in quoted)}   ({table.price_unit})"
    for name in names:
        if name == names[0] or name in solved:
            cells = (f"{numbers[name]:>+{column}.6g}" for numbers in quoted.values())
            yield f"{name:{width}}  {'  '.join(cells)}"
    sums = (f"{math.fsum(numbers.values()):>+{column}.6g}" for numbers in quoted.values())
    yield f"{'offset':{width}}  {'  '.join(sums)}"
    absent = [name for name in names[1:] if name not in solved]
    if absent:
        yield f"not in this problem: {', '.join(absent)}"
