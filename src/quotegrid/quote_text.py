"""One lookup in words, for `quotegrid quote`: every number with its unit."""

from collections.abc import Iterator

from quotegrid.analysis.quotes import currency, reference
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.quoter import Quote


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
    for axis in quote.clamped:
        yield f"{'note':{width}}  {axis} lies outside the table: these are the quotes of its nearest edge"
