"""When the problem of a flow is well posed: a fair intensity, and jumps of the mid not worth trading for.

Fairness. The objective Λ(δ)(1 - e^{-ξz(δ-p)})/ξ has one maximum for every p where h² + ξz·h + h' > 0 (see
`quotegrid.models.contract`), so this is asked of all offsets the flow may quote.

The quote scale. Under the convention `fills` a bid fill moves the mid by -ε and an ask fill by +ε, and the
move meets the inventory q' held after the fill: to a maker who is long, selling z units is worth ε·q' on what
is left, ε·q'/z per unit sold. This lowers the reservation offset of the ask from p to p - ε·q'/z (mirrored
for the bid of one who is short). The best offset δ*(p) never decreases in p, and it is 0 at p = -u with

    u = markup(h(0)) = ln(1 + ξz/h(0))/(ξz),

the quote scale: what a maker wants to earn on a unit. So as soon as ε·|q'|/z > u the maker trades *through*
the mid, at a loss on every unit, for nothing but the move of the mid that its own fill makes. In a ladder
this is a pump: sell 2z at once (one jump up) and buy z twice (two jumps down), and a maker short of q gains
about ε(|q| - z) each round, at every round. With one size the value stays finite (the problem equals one with
markout ε/2 and a terminal penalty raised by ε/(2z) per unit²), but its quotes are still those of somebody who
pushes the mark. Both are refused: ε·max|q|/z ≤ u is required. Where bounds exclude offset 0, u is taken at
the nearest offset that may be quoted.
"""

from collections.abc import Iterator

import jax
import numpy as np

from quotegrid.models.contract import known
from quotegrid.models.faults import Fault
from quotegrid.models.flows import OneSidedFlow


def unfairness(flow: OneSidedFlow) -> Iterator[Fault]:
    """The fault of an intensity that is not fair on the flow's offsets; numbers of JAX are not looked at."""
    low, high = _offsets(flow)
    size = flow.units * flow.multiplier
    if not known(*jax.tree.leaves(flow.intensity), low, high, size, flow.xi):
        return
    offset = flow.intensity.unfair_offset(low, high, size, flow.xi)
    if offset is not None:
        yield Fault(
            "intensity",
            f"not fair at offset {offset:.12g}: ΛΛ'' < 2Λ'² - ξzΛΛ' fails there (ξ = {flow.xi:.6g}, "
            f"z = {size:.6g}), so no single offset is best; make the fill rate fall faster there, or keep "
            "the flow away from that offset by min_offset or max_offset.",
        )


def beyond_quote_scale(flow: OneSidedFlow, limit: int) -> Iterator[Fault]:
    """The fault of a jump at fills that is worth trading for; `limit` is the largest |q|, in lots."""
    low, high = _offsets(flow)
    size = flow.units * flow.multiplier
    if flow.convention != "fills" or not known(
        *jax.tree.leaves(flow.intensity), low, high, size, flow.xi, flow.jump
    ):
        return
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        scale = float(flow.intensity.markup(float(np.clip(0.0, low, high)), size, flow.xi))
    pushed = flow.jump * limit / flow.size
    if pushed > scale:
        yield Fault(
            "adverse.jump",
            f"ε·max|q|/z = {pushed:.6g} exceeds the quote scale {scale:.6g}, so the maker gains by moving "
            "the market with its own fills; lower the jump or the inventory limits, or state the loss as "
            "on = 'markout'.",
        )


def _offsets(flow: OneSidedFlow) -> tuple[float, float]:
    """The ends of what the flow may quote, price."""
    return (
        -np.inf if flow.min_offset is None else flow.min_offset,
        np.inf if flow.max_offset is None else flow.max_offset,
    )
