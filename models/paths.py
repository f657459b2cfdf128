"""The path language: one way to name a parameter, in files, overrides, sweeps, sensitivities and errors.

    price.volatility             a key of the problem file
    flow.book.intensity.A        of every flow named book: reading needs them equal, writing sets all
    flow.book/bid.intensity.A    of one side; writing to it splits a block with side = "both" in two
    flow.book.intensity.rate.3   an entry of a list, counted from 0
    factor.alpha.volatility      of a factor, by its name
    asset.ETH.price.drift        of an asset, by its symbol; with a single asset `price.drift` is the same

A path into a block that the problem does not have is an error that says so.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from quotegrid.models.contract import Block, entry
from quotegrid.models.faults import Fault, ProblemError, choices, join, nearest
from quotegrid.models.keyed import FrozenTable

P = TypeVar("P", bound=Block)
M = TypeVar("M")
Place: TypeAlias = tuple[str | int, ...]
"""Steps from a block to one of its values: field names, positions in tuples, keys of tables."""


def read(problem: Block, path: str) -> Any:
    """The value at a path.

    Raises:
        ProblemError: no such path, a value that is not set, or flows of the name that differ.
    """
    found = places(problem, path)
    values = [value_at(problem, place) for place in found]
    if any(value is None for value in values):
        raise _error(path, "this key is not set in this problem.")
    if any(value != values[0] for value in values[1:]):
        listed = ", ".join(
            f"{flow.name}/{flow.side}: {value}"
            for flow, value in zip((value_at(problem, place[:4]) for place in found), values, strict=True)
        )  # places of flows start with "assets", i, "flow", j, and nothing else shares names
        raise _error(path, f"the flows of this name differ ({listed}); name the side.")
    return values[0]


def replace(problem: P, changes: Mapping[str, Any]) -> P:
    """The problem with other values at some paths, checked as a whole once all of them are made.

    A value may be a number (also one of JAX), a word, a block, or None, which unsets an optional key.

    Raises:
        ProblemError: no such path, or a value that makes no valid problem.
    """
    for path, value in changes.items():
        problem = with_sides_apart(problem, path)
        for place in places(problem, path):
            problem = with_value(problem, place, value)
    return rebuilt(problem)


def rebuilt(problem: P) -> P:
    """A problem whose values were changed one by one, checked as a whole.

    Raises:
        ProblemError: the values make no valid problem.
    """
    return type(problem)(**as_keys(problem))


def scalar_paths(problem: Block) -> tuple[str, ...]:
    """The paths of the numbers that the solution may depend on, in the order of the pytree's leaves.

    Not among them: numbers that are not set, counts (lots, sizes), which are structure, and `uncertainty`,
    which is about parameters.
    """
    return tuple(scalar_places(problem))


def scalar_places(problem: Block) -> dict[str, Place]:
    """The same paths, each with the place of its number."""
    found = _scalars(problem, "", ())
    return {path: place for path, place in found if not path.startswith("uncertainty.")}


def places(problem: Block, path: str) -> tuple[Place, ...]:
    """Where a path leads: one place, or one for each flow of a name; ProblemError if nowhere."""
    parts = path.split(".")
    assets = entry(problem, "assets")
    if parts[0] == "asset" and len(parts) > 1:
        symbols = [asset.market.symbol for asset in assets]
        if parts[1] not in symbols:
            raise _error(
                path, f"no asset {parts[1]!r}{nearest(parts[1], symbols)}; expected {choices(symbols)}."
            )
        start: Place = ("assets", symbols.index(parts[1]))
        return tuple(_below(value_at(problem, start), parts[2:], start, path))
    if assets and parts[0] in type(assets[0]).file_keys():
        if len(assets) > 1:
            symbols = choices(f"asset.{asset.market.symbol}.{path}" for asset in assets)
            raise _error(path, f"this problem has several assets; write {symbols}.")
        return tuple(_below(assets[0], parts, ("assets", 0), path))
    if parts[0] == "assets" or parts[0] not in type(problem).file_keys():
        own = [key for key in type(problem).file_keys() if key != "assets"]
        known = (*type(assets[0]).file_keys(), *own) if assets else own
        raise _error(path, f"no key {parts[0]!r}{nearest(parts[0], known)}; known: {', '.join(known)}.")
    return tuple(_below(problem, parts, (), path))


def as_keys(value: Any) -> Any:
    """A block as plain tables by key, whatever is not set left out; numbers stay as they are."""
    if isinstance(value, Block):
        pairs = ((type(value).key_of(name), getattr(value, name)) for name in type(value).model_fields)
        return {key: as_keys(child) for key, child in pairs if child is not None}
    if isinstance(value, tuple):
        return tuple(as_keys(child) for child in value)
    return dict(value) if isinstance(value, Mapping) else value


def _below(value: Any, parts: list[str], place: Place, path: str) -> Iterator[Place]:
    """The places that the remaining parts of a path lead to from a value."""
    if not parts:
        yield place
    elif isinstance(value, Block):
        field = type(value).field_of(parts[0])
        if field not in type(value).model_fields:
            known = type(value).file_keys()
            raise _error(
                path, f"no key {parts[0]!r} here{nearest(parts[0], known)}; known: {', '.join(known)}."
            )
        child = getattr(value, field)
        if child is None and len(parts) > 1:
            raise _error(path, f"this problem has no {parts[0]!r} block here; add one to give it parameters.")
        yield from _below(child, parts[1:], (*place, field), path)
    elif isinstance(value, Mapping):
        key = ".".join(parts)
        if key not in value:
            raise _error(path, f"no entry {key!r}; known: {', '.join(value) or 'none'}.")
        yield (*place, key)
    elif isinstance(value, tuple):
        for index in _selected(value, parts[0], path):
            yield from _below(value[index], parts[1:], (*place, index), path)
    else:
        raise _error(path, f"nothing lies below {parts[0]!r}: the path ends before it.")


def _selected(entries: tuple[Any, ...], word: str, path: str) -> list[int]:
    """The positions in a tuple that a word selects: by name, by name/side, or by position."""
    labels = [element.labels() if isinstance(element, Block) else () for element in entries]
    found = [index for index, names in enumerate(labels) if word in names]
    if found:
        return found
    if any(labels):
        known = list(dict.fromkeys(label for names in labels for label in names))
        raise _error(
            path, f"nothing is named {word!r} here{nearest(word, known)}; expected {choices(known)}."
        )
    if word.isdecimal() and int(word) < len(entries):
        return [int(word)]
    raise _error(path, f"expected a position below {len(entries)}, counted from 0, got {word!r}.")


def mark_at(problem: Block, place: Place, kind: type[M]) -> M | None:
    """What is said of a kind (a class of marks) beside the last field on the way to a place, if it is."""
    value: Any = problem
    found = None
    for step in place:
        if isinstance(value, Block):
            metadata = type(value).model_fields[str(step)].metadata
            found = next((mark for mark in metadata if isinstance(mark, kind)), None)
        value = value_at(value, (step,))
    return found


def marked_fields(value: Any, kind: type[M], place: Place = ()) -> Iterator[tuple[Place, M]]:
    """The places of all fields beside which something of a kind is said, with what is said, in the order of
    the file; those that are not set as well.
    """
    if isinstance(value, Block):
        for name, field in type(value).model_fields.items():
            yield from (((*place, name), mark) for mark in field.metadata if isinstance(mark, kind))
            yield from marked_fields(getattr(value, name), kind, (*place, name))
    elif isinstance(value, tuple):
        for index, child in enumerate(value):
            yield from marked_fields(child, kind, (*place, index))


def value_at(value: Any, place: Place) -> Any:
    """The value at a place."""
    for step in place:
        value = getattr(value, str(step)) if isinstance(value, Block) else value[step]
    return value


def with_value(value: Any, place: Place, new: Any) -> Any:
    """A copy with another value at a place; unchecked."""
    if not place:
        return new
    step = place[0]
    if isinstance(value, Block):
        return value.model_copy(update={str(step): with_value(getattr(value, str(step)), place[1:], new)})
    if isinstance(value, tuple):
        return tuple(with_value(old, place[1:], new) if at == step else old for at, old in enumerate(value))
    return FrozenTable({**value, str(step): new})


def with_sides_apart(problem: P, path: str) -> P:
    """The problem with a block for both sides split in two where a path names one of its sides, unchecked."""
    parts = path.split(".")
    word = next((part for part in parts if "/" in part), None)
    if word is None:
        return problem
    (place,) = places(problem, ".".join(parts[: parts.index(word) + 1]))
    flows, index = value_at(problem, place[:-1]), int(place[-1])
    copies = (flows[index].model_copy(update={"side": side}) for side in flows[index].sides())
    return with_value(problem, place[:-1], (*flows[:index], *copies, *flows[index + 1 :]))


def _scalars(value: Any, path: str, place: Place) -> Iterator[tuple[str, Place]]:
    """The paths and places of the numbers below a value that are leaves of the pytree."""
    if isinstance(value, Block):
        for name in type(value).model_fields:
            child = getattr(value, name)
            if name in type(value).static or child is None:
                continue
            key = type(value).key_of(name)
            if isinstance(child, tuple):
                for index, element in enumerate(child):
                    below = join(path, type(value).path_of(key, index, value))
                    yield from _scalars(element, below, (*place, name, index))
            else:
                yield from _scalars(child, join(path, key), (*place, name))
    elif isinstance(value, tuple):
        for index, child in enumerate(value):
            yield from _scalars(child, join(path, str(index)), (*place, index))
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _scalars(child, join(path, key), (*place, key))
    else:
        yield path, place


def _error(path: str, sentence: str) -> ProblemError:
    return ProblemError([Fault(path, sentence)])
