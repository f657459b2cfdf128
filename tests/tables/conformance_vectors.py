"""Makes tables/conformance.json: small tables, questions with answers, and one broken file for each rule.

Run it after a change of the format, from anywhere: `python tests/tables/conformance_vectors.py`. The answers
come from the slow twin of FORMAT.md §6 below, which knows nothing of `quotegrid.tables.lookup`.
"""

import base64
import hashlib
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.policy_table import Flow, PolicyTable, canonical_numbers
from quotegrid.tables.safetensors_file import safetensors_bytes

TARGET = Path(__file__).resolve().parents[2] / "tables" / "conformance.json"
SNAP = 1e-9

PROBLEM = canonical_json({"format": 1, "note": "made by hand, solves nothing: Grüße"})


def hand_made(
    inventories: list[list[float]],
    flows: list[Flow],
    times: list[float] | None = None,
    controls: bool = False,
) -> PolicyTable:
    """A table of simple numbers, off exactly where a fill would leave the limits."""
    axes = [np.array(nodes, dtype=np.float64) for nodes in inventories]
    time = None if times is None else np.array(times, dtype=np.float64)
    grid = np.meshgrid(*([] if time is None else [time]), *axes, indexing="ij")
    lots, clock = grid[-len(axes) :], grid[0] if time is not None else 0.0
    value = np.add.reduce([-(0.25 + 0.125 * n) * q**2 for n, q in enumerate(lots)]) + 0.5 * clock
    columns = []
    for number, flow in enumerate(flows):
        after = lots[flow.asset] + flow.sign * flow.size
        inside = (after >= axes[flow.asset][0]) & (after <= axes[flow.asset][-1])
        offset = 0.75 + 0.1 * number + flow.sign * 0.3 * lots[flow.asset] - 0.01 * clock + 0.02 * sum(lots)
        columns.append(np.where(inside, offset, np.nan))
    ordinal = np.arange(value.size * len(axes), dtype=np.float64).reshape(*value.shape, len(axes))
    return PolicyTable(
        problem_json=PROBLEM,
        problem_hash=hashlib.sha256(PROBLEM.encode()).hexdigest(),
        package_version="0",
        price_unit="USD",
        time_unit="s",
        symbols=tuple("XYZ"[: len(axes)]),
        lot_sizes=tuple(0.1 * (number + 1) for number in range(len(axes))),
        times=None if time is None else canonical_numbers(time),
        inventories=tuple(canonical_numbers(axis) for axis in axes),
        flows=tuple(flows),
        value=canonical_numbers(value),
        offset=canonical_numbers(np.stack(columns, axis=-1)),
        hedge_rate=canonical_numbers(0.5 - ordinal) if controls else None,
        market_order=canonical_numbers(np.floor(ordinal / 3)) if controls else None,
        gain=2.5 if time is None else None,
        status="converged",
        status_message="Made by hand.",
        method="by hand",
        method_reason="small numbers are easy to follow",
        residual=0.0,
        iterations=0,
        certificate={"level": "none", "reason": "made by hand"},
        lookup_error=None if time is None else {"offset": 0.001, "value": 0.002},
        notes=("Not a solution.",),
    )


PAIR = [Flow("book", "bid", 1, 0), Flow("book", "ask", 1, 0)]
TABLES = {
    "ergodic": hand_made(
        [[-2, -1, 0, 1, 2]], [*PAIR, Flow("block", "bid", 2, 0), Flow("block", "ask", 2, 0)]
    ),
    "finite": hand_made([[-1, 0, 1, 2]], PAIR, times=[0.0, 6.0, 9.5, 10.0]),
    "coarse": hand_made([[-3, -1, 1, 3]], [Flow("book", "bid", 2, 0), Flow("book", "ask", 2, 0)]),
    "single": hand_made([[0]], PAIR),
    "two-assets": hand_made(
        [[-2, -1, 0, 1, 2], [-1, 0, 1]],
        [Flow(name, side, 1, asset) for asset, name in enumerate("ab") for side in ("bid", "ask")],
        times=[0.0, 1.0],
        controls=True,
    ),
}

POINTS = {
    "ergodic": [-2, -1.5, -0.5, 0, 0.25, 1 + 1e-12, 1.5, 1.75, 2, 2 + 1e-12, 2.5, -7, math.nan, math.inf],
    "finite": [-1, 0.3, 1.5, 2, 3],
    "coarse": [-3, -2, -0.5, 0, 0.5, 2, 2.5, 3.5],
    "single": [0, 1e-10, 0.5],
}
MOMENTS = [0.0, 3.0, 6.0 + 1e-9, 9.75, 10.0 + 1e-10, 11.0, math.nan]
PAIRS = [(0, 0), (0.5, 0), (0.5, -0.25), (-2, 1), (1.5, 0.5), (3, 0), (0, -4)]


class RefusedError(Exception):
    """The twin refuses the question."""


def slow_lookup(
    table: PolicyTable, between: str, outside: str, inventory: list[float], time: float | None
) -> dict[str, Any]:
    """FORMAT.md §6, word for word."""
    if (time is None) != (table.times is None):
        raise RefusedError
    coordinates = inventory if time is None else [time, *inventory]
    names = table.inventory_names if time is None else ("time", *table.inventory_names)
    choices, clamped, lots = [], [], []
    for name, nodes, x in zip(names, table.axes, coordinates, strict=True):
        if not math.isfinite(x):
            raise RefusedError
        snap = SNAP * (nodes[-1] - nodes[0]) if name == "time" else SNAP
        if nodes[0] - x > snap or x - nodes[-1] > snap:
            if outside == "refuse":
                raise RefusedError
            clamped.append(name)
            x = float(nodes[0] if x < nodes[0] else nodes[-1])
        near = [i for i in range(len(nodes)) if abs(x - nodes[i]) <= snap]
        if name != "time":
            lots.append(float(nodes[near[0]]) if near else x)
        if near:
            choices.append([(near[0], 1.0)])
            continue
        i = max(i for i in range(len(nodes)) if nodes[i] < x)
        low, high = float(nodes[i]), float(nodes[i + 1])
        if name == "time" or between == "linear":
            w = (x - low) / (high - low)
            choices.append([(i, 1 - w), (i + 1, w)])
        elif between == "exact":
            raise RefusedError
        else:
            measures = [(x - low, abs(low), 0), (high - x, abs(high), 1)]
            if between == "towards_flat":
                measures = [(flat, near, node) for near, flat, node in measures]
            choices.append([(i + min(measures)[2], 1.0)])
    offsets, value = np.zeros(len(table.flows)), 0.0
    for corner in itertools.product(*choices):
        index, weight = tuple(node for node, _ in corner), math.prod(w for _, w in corner)
        offsets = offsets + weight * table.offset[index]
        value += weight * float(table.value[index])
    for number, flow in enumerate(table.flows):
        nodes = table.inventories[flow.asset]
        after = lots[flow.asset] + flow.sign * flow.size
        if nodes[0] - after > SNAP or after - nodes[-1] > SNAP:
            offsets[number] = math.nan
    return {
        "offsets": [None if math.isnan(x) else float(x) for x in offsets],
        "value": float(value),
        "clamped": clamped,
    }


def lookups() -> list[dict[str, Any]]:
    """Every question under every rule; numbers that JSON does not have are written as words."""
    found = []
    for name, table in TABLES.items():
        states: list[tuple[list[float], float | None]] = []
        if name == "two-assets":
            states = [(list(pair), time) for pair in PAIRS for time in (0.0, 0.25)]
        elif table.times is not None:
            states = [([x], time) for x in POINTS[name] for time in MOMENTS]
            states.append(([0], None))
        else:
            states = [([x], None) for x in POINTS[name]]
            states.append(([0], 0.0))
        for between, outside in itertools.product(
            ("exact", "nearest", "towards_flat", "linear"), ("refuse", "clamp")
        ):
            for inventory, time in states:
                question = {"table": name, "between": between, "outside": outside}
                try:
                    answer = slow_lookup(table, between, outside, inventory, time)
                except RefusedError:
                    answer = {"refused": True}
                words = [repr(x) if not math.isfinite(x) else x for x in inventory]
                when = repr(time) if time is not None and not math.isfinite(time) else time
                found.append(question | {"inventory": words, "time": when} | answer)
    return found


def split(file: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data section of a file."""
    end = 8 + int.from_bytes(file[:8], "little")
    return json.loads(file[8:end]), file[end:]


def join(header: object, data: bytes, pad: bytes = b" ", text: bytes | None = None) -> bytes:
    """A file from a header (or its text) and a data section, with the content hash that fits."""
    raw = json.dumps(header, separators=(",", ":")).encode() if text is None else text
    raw += pad * (-(8 + len(raw)) % 64)
    return sealed(len(raw).to_bytes(8, "little") + raw + data)


def sealed(file: bytes) -> bytes:
    """The file with the content hash that fits, if it has a place for one."""
    mark = rb"\"content_hash\":\""
    first = file.find(mark) + len(mark)
    if first < len(mark):
        return file
    blank = file[:first] + b"0" * 64 + file[first + 64 :]
    return blank[:first] + hashlib.sha256(blank).hexdigest().encode() + blank[first + 64 :]


def refused() -> dict[str, bytes]:
    """Name of an error → a file that breaks that rule, and none that is checked before it."""
    good = safetensors_bytes(TABLES["ergodic"])
    header, data = split(good)
    text = json.dumps(header, separators=(",", ":")).encode()
    metadata = json.loads(header["__metadata__"]["quotegrid"])

    def entry(tensor: str, **changes: Any) -> bytes:
        return join(header | {tensor: header[tensor] | changes}, data)

    def fields(**changes: Any) -> bytes:
        kept = {key: value for key, value in (metadata | changes).items() if value is not ...}
        return join(header | {"__metadata__": {"quotegrid": canonical_json(kept)}}, data)

    def numbers(tensor: str, change: Callable[[np.ndarray], None]) -> bytes:
        begin, end = header[tensor]["data_offsets"]
        dtype = "<i8" if header[tensor]["dtype"] == "I64" else "<f8"
        array = np.frombuffer(data[begin:end], dtype=dtype).copy()
        change(array)
        return join(header, data[:begin] + array.tobytes() + data[end:])

    def put(index: int, number: float) -> Callable[[np.ndarray], None]:
        return lambda array: array.__setitem__(index, number)

    def renamed(old: str, new: str) -> bytes:
        return join({new if name == old else name: value for name, value in header.items()}, data)

    two = TABLES["two-assets"]
    repeated = text.replace(b'"flow_size":', b'"flow_side":', 1)
    return {
        "file-too-short": good[:7],
        "header-too-large": (100_000_001).to_bytes(8, "little") + good[8:],
        "header-too-long": (len(good)).to_bytes(8, "little") + good[8:],
        "header-start": join(None, data, text=b" " + text),
        "header-ascii": join(None, data, text=text.replace(b'"lot_size"', '"löt_size"'.encode())),
        "header-json": join(None, data, text=text[:-1] + b",}"),
        "header-repeated-key": join(None, data, text=repeated),
        "data-alignment": sealed(
            (len(text) + (-(8 + len(text)) % 64) + 8).to_bytes(8, "little")
            + text
            + b" " * (-(8 + len(text)) % 64 + 8)
            + data
        ),
        "metadata-entry": join(header | {"__metadata__": {"other": "table"}}, data),
        "metadata-json": join(header | {"__metadata__": {"quotegrid": '{"format":NaN}'}}, data),
        "metadata-canonical": join(header | {"__metadata__": {"quotegrid": json.dumps(metadata)}}, data),
        "metadata-field": fields(residual=-1.0),
        "format-version": fields(format=2),
        "symbol-repeated": join(
            split(safetensors_bytes(two))[0]
            | {
                "__metadata__": {
                    "quotegrid": canonical_json(two.metadata("0" * 64) | {"symbols": ["X", "X"]})
                }
            },
            split(safetensors_bytes(two))[1],
        ),
        "tensor-entry": entry("value", unit="USD"),
        "tensor-dtype": entry("value", dtype="F32"),
        "tensor-shape": entry("value", shape=[-5]),
        "tensor-offsets": join(dict(reversed(header.items())), data),
        "tensor-size": entry("value", shape=[6]),
        "data-too-short": join(header, data[:-8]),
        "data-too-long": join(header, data + bytes(8)),
        "tensor-missing": renamed("value", "lost"),
        "tensor-type": entry("value", dtype="I64"),
        "tensor-unknown": renamed("gain", "loss"),
        "asset-count": numbers_of_lots(header, data),
        "axis-order": numbers("inventory_0", put(1, 0.0)),
        "lot-size": numbers("lot_size", put(0, -0.1)),
        "flow-count": fields(flow_names=["book", "book", "block"]),
        "flow-side": numbers("flow_side", put(0, 0)),
        "flow-size": numbers("flow_size", put(0, 0)),
        "flow-asset": numbers("flow_asset", put(0, 1)),
        "flow-repeated": numbers("flow_side", put(1, 1)),
        "table-shape": entry("value", shape=[1, 5]),
        "infinite-number": numbers("offset", put(0, math.inf)),
        "value-missing": numbers("value", put(0, math.nan)),
        "content-hash": good[:-8] + replaced_gain(2.75),
    }


def numbers_of_lots(header: dict[str, Any], data: bytes) -> bytes:
    """Two lot sizes for one asset: the data of `lot_size` twice, all that follows moved by 8 bytes."""
    begin, end = header["lot_size"]["data_offsets"]
    moved = {}
    for name, entry in header.items():
        if name == "lot_size":
            moved[name] = entry | {"shape": [2], "data_offsets": [begin, end + 8]}
        elif name != "__metadata__" and entry["data_offsets"][0] >= end:
            moved[name] = entry | {"data_offsets": [byte + 8 for byte in entry["data_offsets"]]}
        else:
            moved[name] = entry
    return join(moved, data[:end] + data[begin:end] + data[end:])


def replaced_gain(gain: float) -> bytes:
    """Eight bytes for the end of the file, where the gain stands."""
    return np.array(gain, dtype="<f8").tobytes()


def vectors() -> str:
    """The text of the file."""

    def text_of(file: bytes) -> str:
        return base64.b64encode(file).decode()

    parts = {
        "format": 1,
        "tables": {name: text_of(safetensors_bytes(table)) for name, table in TABLES.items()},
        "lookups": lookups(),
        "refused": {rule: text_of(file) for rule, file in refused().items()},
    }
    lines = [f'"format": {parts["format"]}']
    for key in ("tables", "refused"):
        rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(file)}" for name, file in parts[key].items())
        lines.append(f'"{key}": {{\n{rows}\n}}')
    rows = ",\n".join(json.dumps(row, allow_nan=False) for row in parts["lookups"])
    lines.append(f'"lookups": [\n{rows}\n]')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(vectors(), encoding="utf-8")
    print(f"{TARGET}: {len(TABLES)} tables, {len(lookups())} questions, {len(refused())} broken files")
