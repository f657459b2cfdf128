"""Makes tables/conformance/refused: a file for each rule of FORMAT.md, which breaks that rule.

Run it after a change of the format, from anywhere: `python tests/tables/broken_files.py`.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.policy_table import PolicyTable
from quotegrid.tables.safetensors_file import safetensors_bytes
from quotegrid.tables.words import words_tensor

TARGET = Path(__file__).resolve().parents[2] / "tables" / "conformance" / "refused"
HASH = slice(57, 121)


def sealed(file: bytes) -> bytes:
    """The file with the content hash that fits."""
    blank = file[: HASH.start] + b"0" * 64 + file[HASH.stop :]
    return blank[: HASH.start] + hashlib.sha256(blank).hexdigest().encode() + blank[HASH.stop :]


class Editor:
    """A good file, taken apart, from which broken ones are made."""

    def __init__(self, table: PolicyTable) -> None:
        self.file = safetensors_bytes(table)
        self.tensors = dict(table.tensors())
        self.metadata = table.metadata()
        self.end = 8 + int.from_bytes(self.file[:8], "little")
        self.header = json.loads(self.file[8 : self.end])
        self.data = self.file[self.end :]

    def join(self, header: dict[str, Any] | None = None, data: bytes | None = None) -> bytes:
        """A file of another header and data section."""
        text = json.dumps(self.header if header is None else header, separators=(",", ":")).encode()
        return self.of_text(text, data)

    def of_text(self, text: bytes, data: bytes | None = None) -> bytes:
        """A file of a header as text."""
        text += b" " * (-(8 + len(text)) % 64)
        return sealed(len(text).to_bytes(8, "little") + text + (self.data if data is None else data))

    def entry(self, tensor: str, **changes: Any) -> bytes:
        """Something else said about a tensor."""
        return self.join(self.header | {tensor: self.header[tensor] | changes})

    def without(self, tensor: str) -> bytes:
        """A file without a tensor."""
        return self.holding({name: array for name, array in self.tensors.items() if name != tensor})

    def holding(self, tensors: dict[str, Any]) -> bytes:
        """A file of these tensors, in this order."""
        header, data = {"__metadata__": self.header["__metadata__"]}, b""
        for name, array in tensors.items():
            piece = np.ascontiguousarray(array).tobytes()
            kind = "I64" if array.dtype.kind == "i" else "F64"
            header[name] = {"dtype": kind, "shape": list(array.shape)}
            header[name]["data_offsets"] = [len(data), len(data) + len(piece)]
            data += piece
        return self.join(header, data)

    def put(self, tensor: str, array: Any) -> bytes:
        """A file with another tensor in the place of one."""
        return self.holding(self.tensors | {tensor: array})

    def number(self, tensor: str, place: Any, number: float) -> bytes:
        """A file with another number in one place."""
        array = self.tensors[tensor].copy()
        array[place] = number
        return self.put(tensor, array)

    def fields(self, change: Callable[[dict[str, Any]], str]) -> bytes:
        """A file with other metadata."""
        about = self.header["__metadata__"] | {"metadata": change(dict(self.metadata))}
        return self.join(self.header | {"__metadata__": about})


def broken_files() -> dict[str, bytes]:
    """Name of an error → a file that breaks that rule."""
    tables = dict(conformance_tables())
    plain, box, sensitive = (Editor(tables[name]) for name in ("ergodic", "box", "sensitivities"))
    regimes, factor = Editor(tables["regimes"]), Editor(tables["factor"])
    good, text = plain.file, plain.file[8 : plain.end].rstrip(b" ")
    padding = plain.end - 8 - len(text)
    nine_axes = {f"factor_{n}": np.array([0.0]) for n in range(8)}
    names = {"factor_name": words_tensor([f"f{n}" for n in range(8)])}
    swapped = {"flow_side": plain.tensors["flow_size"], **plain.tensors}
    return {
        "file-too-short": good[:7],
        "header-too-large": (100_000_056).to_bytes(8, "little") + good[8:],
        "header-too-long": (len(good) + 56).to_bytes(8, "little") + good[8:],
        "data-alignment": sealed(
            (len(text) + padding + 8).to_bytes(8, "little") + text + b" " * (padding + 8) + plain.data
        ),
        "metadata-entry": plain.of_text(text.replace(b"quotegrid", b"quotegrad", 1)),
        "format-version": plain.of_text(text.replace(b'"quotegrid":"1"', b'"quotegrid":"2"', 1)),
        "header-form": plain.of_text(text.replace(b'"shape":[', b'"shape": [', 1)),
        "tensor-dtype": plain.entry("value", dtype="F32"),
        "tensor-shape": plain.entry("value", shape=[2**24, 2**24, 2]),
        "tensor-offsets": plain.entry("inventory_0", data_offsets=[8, 48]),
        "tensor-size": plain.entry("value", shape=[6]),
        "data-too-short": plain.join(data=plain.data[:-8]),
        "data-too-long": plain.join(data=plain.data + bytes(8)),
        "tensor-unknown": plain.holding(plain.tensors | {"loss": np.array(1.0)}),
        "tensor-order": plain.holding(swapped),
        "tensor-missing": plain.without("value"),
        "tensor-type": plain.put("lot_size", np.array([1])),
        "word-form": plain.number("symbol", (0, 0), -1),
        "name-form": plain.put("symbol", words_tensor(["EUR/USD"])),
        "name-repeated": regimes.put("regime", words_tensor(["calm", "wild", "calm"])),
        "asset-count": plain.put("lot_size", np.array([0.1, 0.1])),
        "axis-count": factor.holding(
            {**nine_axes, **{n: t for n, t in factor.tensors.items() if n != "factor_0"}, **names}
        ),
        "axis-order": plain.number("inventory_0", 1, 0.0),
        "box-form": box.number("box", (2, 0), -2.5),
        "reference-price": box.number("price_box", (0, 0), 101.0),
        "life-time": box.without("start"),
        "lot-size": plain.number("lot_size", 0, -0.1),
        "regime-count": regimes.put("regime", np.zeros((0, 1), dtype=np.int64)),
        "flow-count": plain.put("flow_name", words_tensor(["book", "book", "block"])),
        "flow-side": plain.number("flow_side", 0, 0),
        "flow-size": plain.number("flow_size", 0, 0),
        "flow-asset": plain.number("flow_asset", 0, 1),
        "flow-repeated": plain.number("flow_side", 1, 1),
        "parameter-count": sensitive.put("parameter", np.zeros(3)),
        "table-shape": plain.put("value", plain.tensors["value"].reshape(1, 5)),
        "hold-form": sensitive.number("offset_hold", (0, 0), 3),
        "bound-form": sensitive.number("offset_bound_parameter", (0, 0), 4),
        "infinite-number": plain.number("offset", (0, 0), math.inf),
        "value-missing": plain.number("value", 0, math.nan),
        "metadata-json": plain.fields(lambda _: '{"iterations":NaN}'),
        "metadata-canonical": plain.fields(json.dumps),
        "metadata-field": plain.fields(lambda fields: canonical_json(fields | {"residual": -1.0})),
        "content-hash": good[:-8] + np.array(0.125).tobytes(),
    }


if __name__ == "__main__":
    for rule, file in broken_files().items():
        (TARGET / f"{rule}.safetensors").write_bytes(file)
    print(f"{TARGET}: {len(broken_files())} files", file=sys.stderr)
