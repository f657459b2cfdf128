"""The bounds that a problem sets to the offsets of each flow, as a table keeps them (FORMAT.md §3)."""

import json
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.solution_protocol import Numbers


def offset_bounds(problem_json: str, parameters: Sequence[str]) -> tuple[Numbers, NDArray[np.int64]]:
    """Lowest and highest offset of every flow of a problem, and which parameters they are.

    Args:
        problem_json: the problem of a table, whose flows are in the table's order.
        parameters: paths into the problem.

    Returns:
        bounds [flow, 2], price units, infinite where there is none; and [flow, 2] the places among the
        parameters, -1 for a bound that is none of them.
    """
    places = {path: place for place, path in enumerate(parameters)}
    problem = json.loads(problem_json)
    assets = problem.get("asset", [problem])
    bounds, found = [], []
    for asset in assets:
        above = f"asset.{asset['market']['symbol']}." if len(assets) > 1 else ""
        for flow in asset.get("flow", ()):
            default = 0.0 if flow.get("intensity", {}).get("kind") == "power" else -math.inf
            low, high = flow.get("min_offset", default), flow.get("max_offset", math.inf)
            for side in ("bid", "ask") if flow["side"] == "both" else (flow["side"],):
                name = f"{above}flow.{flow['name']}"
                bounds.append([float(low), float(high)])
                found.append(
                    [
                        places.get(f"{name}/{side}.{key}", places.get(f"{name}.{key}", -1))
                        for key in ("min_offset", "max_offset")
                    ]
                )
    table, of = np.array(bounds).reshape(-1, 2), np.array(found, dtype=np.int64).reshape(-1, 2)
    table.flags.writeable = of.flags.writeable = False
    return table, of
