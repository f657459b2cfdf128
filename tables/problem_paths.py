"""The numbers and words of a stored problem by their paths: `price.volatility`, `flow.book/bid.intensity.A`.

Blocks with a name are called by it, flows of one side with their side, assets by their symbol; a list of
plain numbers is one entry. What is only said about a problem (`provenance`, `uncertainty`) is left out.
"""

import json
from collections.abc import Iterator

ABOUT = ("provenance", "uncertainty")


def problem_entries(problem_json: str) -> dict[str, object]:
    """path → number, word or list, in the order of the problem."""
    problem = json.loads(problem_json)
    return dict(_entries({key: part for key, part in problem.items() if key not in ABOUT}, ""))


def _entries(part: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(part, dict):
        for key, inner in part.items():
            yield from _entries(inner, f"{path}.{key}" if path else key)
    elif isinstance(part, list) and part and all(isinstance(block, dict) for block in part):
        for position, block in enumerate(part):
            yield from _entries(block, f"{path}.{_name(block, position)}")
    else:
        yield path, part


def _name(block: dict[str, object], position: int) -> str:
    """What a block of a list is called in a path."""
    market, between = block.get("market"), block.get("between")
    if isinstance(market, dict) and "symbol" in market:
        return str(market["symbol"])
    if isinstance(between, list):
        return " and ".join(map(str, between))
    if "name" not in block:
        return str(position)
    side = block.get("side", "both")
    return str(block["name"]) if side == "both" else f"{block['name']}/{side}"
