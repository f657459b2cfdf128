"""Small tables of every shape that the format knows, made up so that readers can be tried on them.

They solve nothing. Numbers come from `random.Random`, whose `random()` is the same everywhere; a flow is off
where its fill would leave the limits, and here and there besides.
"""

import dataclasses
import hashlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.policy_table import Flow, NamedAxis, PolicyTable, canonical_numbers
from quotegrid.tables.solution_protocol import Numbers
from quotegrid.tables.table_sensitivity import TableSensitivity

PROBLEM = canonical_json({"format": 1, "note": 'made by hand, solves nothing: Grüße, "quotes", \\'})
PAIR = (Flow("book", "bid", 1, 0), Flow("book", "ask", 1, 0))
BLOCKS = (*PAIR, Flow("block", "bid", 2, 0), Flow("block", "ask", 2, 0))


def both_sides(assets: int) -> tuple[Flow, ...]:
    """A bid and an ask of one lot in each asset."""
    return tuple(Flow(f"flow{n}", side, 1, n) for n in range(assets) for side in ("bid", "ask"))


def made_up_table(
    name: str,
    inventories: Sequence[Sequence[float]],
    flows: Sequence[Flow],
    times: Sequence[float] | None = None,
    regimes: Sequence[str] = (),
    factors: Mapping[str, Sequence[float]] = {},
    parameter_axes: Mapping[str, Sequence[float]] = {},
    controls: bool = False,
    gain: bool = False,
    sensitivities: int = 0,
    scale: float = 1.0,
    **fields: Any,
) -> PolicyTable:
    """A table with these axes.

    Args:
        name: seeds its numbers.
        inventories, flows, times, regimes, factors, parameter_axes: as in `PolicyTable`.
        controls: with hedging rates and market orders.
        gain: with a gain.
        sensitivities: number of parameters with derivatives.
        scale: of all numbers.
        fields: more fields of the table.
    """
    draw = random.Random(name)
    lots = [canonical_numbers(np.array(nodes, float)) for nodes in inventories]
    outer = [] if times is None else [len(times)]
    outer += [len(regimes)] if regimes else []
    outer += [len(nodes) for nodes in (*factors.values(), *parameter_axes.values())]
    lattice = (*outer, *map(len, lots))

    def numbers(*shape: int) -> NDArray[np.float64]:
        drawn = [scale * (2.0 * draw.random() - 1.0) for _ in range(math.prod(shape))]
        return np.array(drawn).reshape(shape)

    offset = numbers(*lattice, len(flows))
    for place in np.ndindex(lattice):
        for number, flow in enumerate(flows):
            nodes = lots[flow.asset]
            after = nodes[place[len(outer) + flow.asset]] + flow.sign * flow.size
            if not nodes[0] <= after <= nodes[-1] or draw.random() < 0.03:
                offset[(*place, number)] = math.nan
    sensitivity = _sensitivity(sensitivities, offset, lattice, gain, numbers, draw) if sensitivities else None
    return PolicyTable(
        problem_json=PROBLEM,
        problem_hash=hashlib.sha256(PROBLEM.encode()).hexdigest(),
        package_version="0",
        price_unit="USD",
        time_unit="µs",
        symbols=tuple(f"ASSET{number}" for number in range(len(lots))),
        lot_sizes=tuple(0.1 * (number + 1) for number in range(len(lots))),
        times=None if times is None else canonical_numbers(np.array(times, float)),
        regimes=tuple(regimes),
        factors=tuple(NamedAxis(key, canonical_numbers(np.array(x, float))) for key, x in factors.items()),
        parameter_axes=tuple(
            NamedAxis(key, canonical_numbers(np.array(x, float))) for key, x in parameter_axes.items()
        ),
        inventories=tuple(lots),
        flows=tuple(flows),
        value=canonical_numbers(numbers(*lattice)),
        offset=canonical_numbers(offset),
        hedge_rate=canonical_numbers(numbers(*lattice, len(lots))) if controls else None,
        market_order=canonical_numbers(np.round(4 * numbers(*lattice, len(lots)))) if controls else None,
        gain=scale * draw.random() if gain else None,
        status="converged",
        status_message="Made by hand.",
        method="by hand",
        method_reason="every shape is wanted",
        residual=0.0,
        iterations=0,
        certificate={"level": "none", "reason": "made by hand"},
        lookup_error=None if times is None else {"offset": 0.001, "value": 0.002},
        notes=("Not a solution.",),
        sensitivity=sensitivity,
        **fields,
    )


def _sensitivity(
    count: int,
    offset: NDArray[np.float64],
    lattice: tuple[int, ...],
    gain: bool,
    numbers: Any,
    draw: random.Random,
) -> TableSensitivity:
    """Derivatives by made-up parameters; the first of them is the lowest offset of the first flow."""
    off, flows = np.isnan(offset), offset.shape[-1]

    def of_offsets() -> Numbers:
        return canonical_numbers(np.where(off, np.nan, numbers(count, *offset.shape)))

    hold = np.array([draw.choice((0, 0, 0, 0, 1, 2)) for _ in range(offset.size)]).reshape(offset.shape)
    bounds = np.array([[-math.inf, math.inf] if n % 2 else [-0.6, 0.7] for n in range(flows)])
    held = np.full((flows, 2), -1, dtype=np.int64)
    held[0, 0] = 0
    return TableSensitivity(
        parameters=("flow.book.min_offset", *(f"price.number{n}" for n in range(1, count))),
        numbers=canonical_numbers(np.array([-0.6, *range(1, count)])),
        value=canonical_numbers(numbers(count, *lattice)),
        offset=of_offsets(),
        gain=canonical_numbers(numbers(count)) if gain else None,
        value_curvature=canonical_numbers(numbers(count, *lattice)),
        offset_curvature=of_offsets(),
        gain_curvature=canonical_numbers(numbers(count)) if gain else None,
        hold=np.where(off, 0, hold).astype(np.int64),
        bounds=canonical_numbers(bounds),
        bound_parameters=held,
    )


def _extreme() -> PolicyTable:
    """Numbers at both ends of binary64, nodes as far and as close as they may be."""
    table = made_up_table(
        "extreme",
        [[-2, -1, 0, 1, 1 + 5e-10]],
        PAIR,
        factors={"far": [-1e300, -1.0, 5e-324, 2.0, 1e300], "close": [0.0, 5e-324, 1.5e-323]},
        scale=1.7e308,
    )
    draw = random.Random("extreme numbers")
    sizes = (0.0, 5e-324, 1e-308, 1.0, 1e308, 1.7976931348623157e308)
    value = [draw.choice((-1, 1)) * draw.choice(sizes) for _ in range(table.value.size)]
    return dataclasses.replace(table, value=canonical_numbers(np.array(value).reshape(table.value.shape)))


def conformance_tables() -> Iterator[tuple[str, PolicyTable]]:
    """Name and table, one after the other."""
    five = [-2, -1, 0, 1, 2]
    shapes: dict[str, dict[str, Any]] = {
        "ergodic": {"inventories": [five], "flows": BLOCKS, "gain": True},
        "finite": {"inventories": [[-1, 0, 1, 2]], "flows": PAIR, "times": [0.0, 6.0, 9.5, 10.0]},
        "coarse": {"inventories": [[-3, -1, 1, 3]], "flows": BLOCKS[2:]},
        "single": {"inventories": [[0]], "flows": PAIR, "times": [3.0], "factors": {"still": [0.5]}},
        "no-flows": {"inventories": [five], "flows": ()},
        "two-assets": {
            "inventories": [five, [-1, 0, 1]],
            "flows": both_sides(2),
            "times": [0.0, 1.0],
            "controls": True,
        },
        "three-assets": {
            "inventories": [[-1, 0, 1], [-1.5, 0, 2], [0, 1]],
            "flows": both_sides(3),
            "gain": True,
        },
        "regimes": {
            "inventories": [five],
            "flows": PAIR,
            "regimes": ["calm", "wild", "größer"],
            "gain": True,
        },
        "factor": {"inventories": [five], "flows": PAIR, "factors": {"alpha": [-0.7, -0.1, 0.0, 0.3, 1.1]}},
        "parameters": {
            "inventories": [five],
            "flows": PAIR,
            "parameter_axes": {"price.volatility": [0.1, 0.2, 0.7], "flow.book/bid.intensity.A": [1.0, 3.0]},
        },
        "everything": {
            "inventories": [[-1, 0, 1], [-2, 0, 1]],
            "flows": both_sides(2),
            "times": [0.0, 0.5, 2.0],
            "regimes": ["calm", "wild"],
            "factors": {"alpha": [-1.0, 0.25, 1.0], "beta": [10.0, 20.0]},
            "parameter_axes": {"price.volatility": [0.1, 0.2]},
            "controls": True,
        },
        "box": {
            "inventories": [[-3, -2, -1, 0, 1, 2, 3]],
            "flows": BLOCKS,
            "times": [0.0, 4.0, 10.0],
            "factors": {"alpha": [-1.0, 0.0, 1.0]},
            "box": canonical_numbers(np.array([[1.0, 9.0], [-0.5, 1.0], [-2.0, 2.0]])),
            "reference_prices": (100.0,),
            "price_box": canonical_numbers(np.array([[90.0, 120.0]])),
            "start": 1.7e9,
            "life": 86400.0,
        },
        "sensitivities": {"inventories": [five], "flows": BLOCKS, "gain": True, "sensitivities": 4},
        "all-sensitivities": {
            "inventories": [[-1, 0, 1]],
            "flows": PAIR,
            "times": [0.0, 1.0],
            "regimes": ["calm", "wild"],
            "factors": {"alpha": [-1.0, 0.3, 1.0]},
            "sensitivities": 3,
        },
    }
    for name, shape in shapes.items():
        yield name, made_up_table(name, **shape)
    yield "extreme", _extreme()
