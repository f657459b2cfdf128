"""Ingredients that the problem file knows and this version cannot solve: refused, never ignored."""

from collections.abc import Iterator
from typing import Any

from quotegrid.models.assets import Asset
from quotegrid.models.faults import NOT_IN_THIS_VERSION, Fault, join
from quotegrid.models.preferences import Crra


def not_in_this_version(problem: Any) -> Iterator[Fault]:
    """One fault for each such ingredient of a problem; paths from the top of the file."""
    if len(problem.assets) > 1:
        yield Fault("asset", f"more than one asset is {NOT_IN_THIS_VERSION}")
    if isinstance(problem.preferences, Crra):
        yield Fault("preferences.kind", f"'crra' is {NOT_IN_THIS_VERSION}")
    for index, asset in enumerate(problem.assets):
        for fault in _of_asset(asset):
            yield fault.below(problem.asset_path(index))
    for factor in problem.factor:
        yield Fault(join("factor", factor.name), f"a factor is {NOT_IN_THIS_VERSION}")
    for key, what in (
        ("correlation", "a correlation"),
        ("schedule", "a schedule"),
        ("ambiguity", "ambiguity"),
    ):
        if getattr(problem, key):
            yield Fault(key, f"{what} is {NOT_IN_THIS_VERSION}")


def _of_asset(asset: Asset) -> Iterator[Fault]:
    if asset.price.kind != "brownian":
        yield Fault("price.kind", f"{asset.price.kind!r} is {NOT_IN_THIS_VERSION}")
    for key, what in (("market_orders", "trading by market orders"), ("hedging", "hedging")):
        if getattr(asset, key) is not None:
            yield Fault(key, f"{what} is {NOT_IN_THIS_VERSION}")
    for place, flow in enumerate(asset.flow):
        for key, what in (("latency", "latency"), ("last_look", "last look")):
            if getattr(flow, key) is not None:
                yield Fault(join(asset.flow_path(place), key), f"{what} is {NOT_IN_THIS_VERSION}")
