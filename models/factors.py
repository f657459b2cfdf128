"""Exogenous factors, and what depends on them. Part of the file format; not in this version.

A factor moves by itself (a signal, a volatility, a regime) and acts on parameters named by their paths: an
`Effect` adds coefficient·y to a parameter, or scales it by 1 + coefficient·y, by exp(coefficient·y) or by √y;
a regime sets parameters.

    ornstein-uhlenbeck   dy = mean_reversion (mean - y) dt + volatility dB
    square-root          dy = mean_reversion (mean - y) dt + volatility √y dB
    geometric            dy = y (drift dt + volatility dB)
    hawkes               dy = mean_reversion (mean - y) dt + jump at every fill or market order
    spread               a Markov chain over half-spreads
    regimes              a Markov chain over sets of parameters
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from quotegrid.models.contract import Block, known
from quotegrid.models.faults import Fault
from quotegrid.models.keyed import FrozenTable, TableOf
from quotegrid.models.kinds import ByKind
from quotegrid.models.numbers import (
    Correlation,
    Limits,
    Name,
    NonNegative,
    Number,
    Numbers,
    Positive,
    RealNumber,
    Text,
)

is_path = Text(
    "a path such as 'price.drift'",
    lambda text: text.isprintable() and all(part.strip() == part != "" for part in text.split(".")),
    r"^[^.\s]+(\.[^.\s]+)*$",
)
Path: TypeAlias = Annotated[str, is_path]
Matrix: TypeAlias = tuple[Numbers, ...]
Generator = Annotated[
    Matrix, Field(min_length=1, description="rates of the chain, row = from; rows sum to 0")
]
_STATIC = frozenset({"kind", "name"})
_ROW_SUM = (
    1e-9  # rows of a generator sum to 0 within this fraction of their diagonal: numbers are typed by hand
)


class Effect(Block):
    """What a factor does to one parameter."""

    static: ClassVar[frozenset[str]] = frozenset({"on", "form"})

    on: Annotated[Path, Field(description="path of the parameter")]
    form: Annotated[
        Literal["add", "scale", "exp", "sqrt"], Field(description="'add', 'scale', 'exp' or 'sqrt'")
    ]
    coefficient: Annotated[
        Number, Field(description="of the factor, in units of the parameter per factor")
    ] = 1.0


Effects = Annotated[tuple[Effect, ...], Field(description="what the factor acts on")]
FactorName = Annotated[Name, Field(description="name of the factor")]
MeanReversion = Annotated[Positive, Field(description="per time")]
FactorVolatility = Annotated[
    NonNegative, Field(description="standard deviation of the move in one time unit")
]


class OrnsteinUhlenbeck(Block):
    """dy = mean_reversion (mean - y) dt + volatility dB."""

    static: ClassVar[frozenset[str]] = _STATIC

    kind: Literal["ornstein-uhlenbeck"] = "ornstein-uhlenbeck"
    name: FactorName
    mean: Annotated[Number, Field(description="where the factor returns to")] = 0.0
    mean_reversion: MeanReversion
    volatility: FactorVolatility
    effects: Effects = ()


class SquareRoot(Block):
    """dy = mean_reversion (mean - y) dt + volatility √y dB."""

    static: ClassVar[frozenset[str]] = _STATIC

    kind: Literal["square-root"] = "square-root"
    name: FactorName
    mean: Annotated[Positive, Field(description="where the factor returns to")]
    mean_reversion: MeanReversion
    volatility: FactorVolatility
    effects: Effects = ()


class GeometricFactor(Block):
    """dy = y (drift dt + volatility dB)."""

    static: ClassVar[frozenset[str]] = _STATIC

    kind: Literal["geometric"] = "geometric"
    name: FactorName
    drift: Annotated[Number, Field(description="relative, per time")] = 0.0
    volatility: FactorVolatility
    effects: Effects = ()


class Hawkes(Block):
    """A factor that jumps at events and decays between them."""

    static: ClassVar[frozenset[str]] = _STATIC

    kind: Literal["hawkes"] = "hawkes"
    name: FactorName
    mean: Annotated[Number, Field(description="where the factor returns to")] = 0.0
    mean_reversion: MeanReversion
    jump: Annotated[Number, Field(description="move of the factor at an event")]
    effects: Effects = ()


class Spread(Block):
    """A Markov chain over half-spreads."""

    static: ClassVar[frozenset[str]] = _STATIC

    kind: Literal["spread"] = "spread"
    name: FactorName
    half_spread: Annotated[Numbers, Field(description="half-spread in each state, price")]
    rates: Generator
    effects: Effects = ()

    def contradictions(self) -> Iterator[Fault]:
        yield from generator_faults(self.rates, len(self.half_spread), "half_spread")


class RegimeState(Block):
    """A regime: parameters that take other values while it lasts."""

    static: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Annotated[Name, Field(description="name of the regime")]
    set: Annotated[
        FrozenTable[Any],
        TableOf(is_path.check, RealNumber(Limits("a number")).check, (("type", "number"),)),
        Field(description="values of parameters by their paths"),
    ]


class Regimes(Block):
    """A Markov chain over sets of parameters."""

    static: ClassVar[frozenset[str]] = _STATIC

    kind: Literal["regimes"] = "regimes"
    name: FactorName
    rates: Generator
    state: Annotated[
        tuple[RegimeState, ...], Field(min_length=1, description="the regimes, in the order of the rates")
    ]

    def contradictions(self) -> Iterator[Fault]:
        yield from generator_faults(self.rates, len(self.state), "state")


def generator_faults(rates: Matrix, states: int, key: str) -> Iterator[Fault]:
    """What keeps a matrix from being the generator of a chain over `states` states, listed under `key`."""
    if len(rates) != states or any(len(row) != states for row in rates):
        yield Fault("rates", f"expected {states} rows of {states} rates, one for each entry of {key!r}.")
        return
    for place, row in enumerate(rates):
        if not known(*row):
            continue
        off_diagonal = [rate for column, rate in enumerate(row) if column != place]
        if min(off_diagonal, default=0.0) < 0.0:
            yield Fault(
                f"rates.{place}", f"expected rates that are not negative off the diagonal, got {list(row)}."
            )
        elif abs(sum(row)) > _ROW_SUM * abs(row[place]):
            yield Fault(
                f"rates.{place}",
                f"expected a row that sums to 0, got {list(row)}; set its diagonal to {-sum(off_diagonal)}.",
            )


class PairCorrelation(Block):
    """Correlation of two moves: a factor, the price (`price`), or an asset by its symbol."""

    static: ClassVar[frozenset[str]] = frozenset({"between"})

    between: Annotated[tuple[Name, Name], Field(description="two of: 'price', factors, symbols")]
    value: Annotated[Correlation, Field(description="correlation of the two moves")]


class Schedule(Block):
    """A parameter that is piecewise constant over the time of day."""

    static: ClassVar[frozenset[str]] = frozenset({"on"})

    on: Annotated[Path, Field(description="path of the parameter")]
    times: Annotated[
        Numbers, Field(min_length=1, description="increasing, from 0; each value holds until the next time")
    ]
    values: Annotated[Numbers, Field(min_length=1, description="one for each time")]
    period: Annotated[Positive, Field(description="time after which the schedule repeats")]

    def contradictions(self) -> Iterator[Fault]:
        if len(self.times) != len(self.values):
            yield Fault(
                "values", f"expected one for each of the {len(self.times)} times, got {len(self.values)}."
            )
        if known(*self.times, self.period):
            ends = (*self.times, self.period)
            if self.times[0] != 0.0 or not all(before < after for before, after in pairwise(ends)):
                yield Fault(
                    "times",
                    f"expected increasing times from 0.0 to below period = {self.period}, "
                    f"got {list(self.times)}.",
                )


class Ambiguity(Block):
    """How far the true parameters may lie from those stated."""

    drift: Annotated[NonNegative, Field(description="price per time")] = 0.0
    arrival: Annotated[NonNegative, Field(description="fraction of the intensities")] = 0.0
    fill: Annotated[NonNegative, Field(description="fraction of the decay of the intensities")] = 0.0


Factor: TypeAlias = Annotated[
    OrnsteinUhlenbeck | SquareRoot | GeometricFactor | Hawkes | Spread | Regimes, ByKind()
]
