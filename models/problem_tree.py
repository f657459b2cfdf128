"""The file's tree: a problem as plain tables, its canonical JSON and its hash.

A single asset has its keys (market, inventory, price, flow, …) at the top level; several stand in a list
`asset`. What has a value is written, defaults too; what has none has no key.

The canonical JSON has sorted keys, no white space, only ASCII characters, and numbers in the shortest digits
that read back to the same double. The hash is the SHA-256 of the canonical JSON without `uncertainty` and
`provenance`: these say where a problem comes from and how well it is known, and change nothing in its
solution.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from quotegrid.models.contract import Block
from quotegrid.models.paths import as_keys

ABOUT = ("uncertainty", "provenance")
"""The keys that are about a problem: no part of its hash."""

ORDER = (
    "format",
    "units",
    "asset",
    "market",
    "inventory",
    "price",
    "preferences",
    "flow",
    "horizon",
    "market_orders",
    "hedging",
    "factor",
    "correlation",
    "schedule",
    "ambiguity",
    "uncertainty",
    "provenance",
)
"""The keys at the top of a problem file, in the order they are written."""


def problem_tree(problem: Block) -> dict[str, Any]:
    """A problem as plain tables, lists, texts and numbers, in the order of the file.

    Raises:
        jax.errors.ConcretizationTypeError: a number is being traced and has no value.
    """
    tree = tree_of(problem)
    assets = tree.pop("assets")
    tree |= assets[0] if len(assets) == 1 else {"asset": assets}
    return {key: tree[key] for key in ORDER if key in tree and tree[key] != []}


def tree_of(block: Block) -> dict[str, Any]:
    """A block as plain tables, lists, texts and numbers."""
    return _plain(as_keys(block))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, tuple):
        return [_plain(child) for child in value]
    return value.tolist() if isinstance(value, jax.Array | np.ndarray) else value


def canonical_json(problem: Block) -> str:
    """The whole problem as canonical JSON: equal problems, equal texts."""
    return _canonical(problem_tree(problem))


def problem_hash(problem: Block) -> str:
    """SHA-256 (hexadecimal) of what defines the solution: the canonical JSON without the keys in `ABOUT`."""
    tree = {key: value for key, value in problem_tree(problem).items() if key not in ABOUT}
    return hashlib.sha256(_canonical(tree).encode("ascii")).hexdigest()


def _canonical(tree: dict[str, Any]) -> str:
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
