"""What whoever quotes from a table relies on, beyond its numbers: market, units, flows, axes.

A quoter that was set up for one table can take another one only where these agree; the nodes of axes, and
with them the limits, may differ.
"""

from quotegrid.tables.policy_table import PolicyTable


def interface(table: PolicyTable) -> dict[str, object]:
    """The parts of a table that its users rely on, by what they are called."""
    return {
        "symbols": table.symbols,
        "price unit": table.price_unit,
        "time unit": table.time_unit,
        "lot sizes": table.lot_sizes,
        "flows": tuple(
            f"{label} of {flow.size}" for label, flow in zip(table.flow_labels, table.flows, strict=True)
        ),
        "regimes": table.regimes,
        "axes": tuple(axis.name for axis in table.axes),
    }


def interface_changes(old: PolicyTable, new: PolicyTable) -> list[str]:
    """Sentences that say what of the interface differs; none where `new` may take the place of `old`."""
    before, after = interface(old), interface(new)
    return [
        f"{word} changed from {_said(before[word])} to {_said(after[word])}"
        for word in before
        if before[word] != after[word]
    ]


def _said(part: object) -> str:
    return (", ".join(map(str, part)) or "none") if isinstance(part, tuple) else str(part)
