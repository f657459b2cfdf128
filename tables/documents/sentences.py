"""What a problem assumes and where its model is weak, in sentences, for the model-risk page (`document`)."""

import json
from collections.abc import Iterator
from typing import Any

from quotegrid.tables.policy_table import PolicyTable

PRICES = {
    "brownian": "The reference price is an arithmetic Brownian motion with constant volatility and drift: "
    "no jumps, "
    "no mean reversion, no clusters of volatility, and it may become negative.",
    "geometric": "The reference price is a geometric Brownian motion.",
    "bounded": "The reference price stays between two bounds.",
}
PREFERENCES = {
    "cara": "The maker has constant absolute risk aversion: wealth at the end is valued by -exp(-γ·wealth).",
    "mean-variance": "The maker weighs expected profit against a running penalty on the square of the "
    "inventory.",
}
HORIZONS = {
    "ergodic": "The horizon is endless: quotes do not depend on time, and the gain is that of the long run.",
    "finite": "The horizon is finite: quotes depend on the time to its end, and what is left then is "
    "valued as stated.",
    "discounted": "The horizon is endless and discounted: quotes do not depend on time.",
}
INTENSITIES = {
    "exponential": "A·exp(-k·offset)",
    "logistic": "a logistic function of the offset",
    "power": "a power of the offset",
    "linear": "a line that ends at an offset",
    "table": "a decreasing table over the offset, interpolated on its logarithm and continued with its end "
    "slopes",
}
ADVERSE = {
    "markout": "a fixed loss per filled unit",
    "fills": "a move of the price against the maker at each of its own fills",
    "market_orders": "a move of the price with every arriving market order, filled or not",
}
ALWAYS = (
    "Fills of a flow are a Poisson process whose rate depends on this maker's offset alone: not on other "
    "flows, other "
    "makers, the queue, or on what happened before.",
    "Quotes are changed at once and without cost whenever inventory or time change: no latency, no queue "
    "position is lost.",
    "A fill is for the whole size of its flow or does not happen.",
    "All parameters are known and constant over the horizon.",
)
WEAKNESSES = (
    "The table is the optimum of this model, not of the market. The certificate bounds the distance to the "
    "model's "
    "optimum only.",
    "Rates of fills are hardest to know where they matter most, at offsets that were seldom quoted or "
    "reached; what lies outside the "
    "measured range is extrapolation.",
    "Other makers react to quotes; the model's rates do not.",
    "In fast markets volatility, rates and adverse moves rise together, and a table of constant parameters "
    "is then too tight.",
)


def assumptions(table: PolicyTable) -> Iterator[str]:
    """What the model takes for granted, general first."""
    problem = json.loads(table.problem_json)
    yield from ALWAYS
    for asset in _assets(problem):
        of = f" ({asset['market']['symbol']})" if "asset" in problem else ""
        yield (
            PRICES.get(asset.get("price", {}).get("kind", "brownian"), "The price process is named below.")
            + of
        )
        for flow in asset.get("flow", ()):
            yield _flow_sentence(flow) + of
    yield PREFERENCES.get(problem.get("preferences", {}).get("kind", ""), "The preferences are named below.")
    yield HORIZONS.get(problem.get("horizon", {}).get("kind", ""), "The horizon is named below.")
    if table.regimes:
        yield f"The market is always in one known regime of: {', '.join(table.regimes)}."
    for axis in table.factors:
        yield f"The factor {axis.name} is observed without error at every moment."
    for axis in table.parameter_axes:
        yield (
            f"{axis.name} is told at each lookup, and taken to stay what it is then: that it may move is "
            "not weighed."
        )


def weaknesses(table: PolicyTable) -> Iterator[str]:
    """Known weaknesses, those of this table first."""
    problem = json.loads(table.problem_json)
    if table.certificate["level"] == "none":
        yield f"Nothing is certified: {table.certificate.get('reason', 'no reason is given')}."
    if table.certificate["level"] == "B":
        yield "The certificate rests on an estimate of the discretisation's error, not on a proof."
    if not problem.get("uncertainty"):
        yield "How well the parameters are known is not stated, nor what their errors do to the quotes."
    if not problem.get("provenance"):
        yield "Where the parameters come from is not stated."
    flows = [flow for asset in _assets(problem) for flow in asset.get("flow", ())]
    if flows and not any(flow.get("adverse") for flow in flows):
        yield (
            "No adverse selection is charged: if the price moves against fills, the true gain is smaller "
            "than stated, and "
            "may be a loss."
        )
    if flows and not any(flow.get("fee") or flow.get("proportional_fee") for flow in flows):
        yield "No fees are charged."
    if not any("min_offset" in flow for flow in flows):
        yield "Offsets are not bounded from below: quotes may cross the reference price or the book."
    yield from table.notes
    yield from WEAKNESSES


def _assets(problem: dict[str, Any]) -> list[dict[str, Any]]:
    return problem.get("asset", [problem])


def _flow_sentence(flow: dict[str, Any]) -> str:
    side = {"bid": "Bids", "ask": "Asks"}.get(flow.get("side", "both"), "Bids and asks")
    kind = flow.get("intensity", {}).get("kind", "exponential")
    rate = INTENSITIES.get(kind, f"of kind {kind}")
    adverse = flow.get("adverse")
    cost = ADVERSE.get(adverse["on"], adverse["on"]) if adverse else "none"
    return (
        f"{side} of {flow.get('name', 'a flow')}, of {_lots(flow.get('size', 1))} each, fill at the rate "
        f"{rate}; adverse "
        f"selection: {cost}."
    )


def _lots(size: object) -> str:
    return "1 lot" if size == 1 else f"{size} lots"
