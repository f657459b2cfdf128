"""What the errors of the parameters do to quotes and gain: the delta method.

With J the derivatives of a quantity by the uncertain parameters, and Σ their joint covariance from the
problem's [uncertainty], its variance is, to first order,

    V = Jᵀ Σ J,        and what is left of it when the parameters of a set G are known exactly is
    V - Jᵀ Σ_{·G} Σ_{GG}⁻¹ Σ_{G·} J     (the conditional variance of jointly normal errors).

So the ranking of what to measure better takes the correlation of the errors into account: knowing one
parameter also teaches about those that err with it, and the parts need not add up to one. The numbers of a
list (the rates of a tabulated intensity) are taken together.

`resolved_errors` draws parameters and solves again, for comparison.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from quotegrid.analysis.sensitivities import Sensitivities, sensitivities
from quotegrid.models.faults import Fault, ProblemError
from quotegrid.models.paths import read, replace
from quotegrid.models.problem import Numerics, Problem, TableRequest
from quotegrid.solver.many import solve_many
from quotegrid.solver.solution import Solution
from quotegrid.solver.status import Status

_LEVEL = 1e-9  # relative: a smaller step against the order of quotes is rounding
TWO_SIDED_95 = 1.959963984540054  # standard errors on either side of a 95 % band of a normal error


class Source(NamedTuple):
    """A parameter, or the numbers of a list: what part of a variance would go if it were known exactly."""

    name: str  # path of the number or the list
    of_quotes: float  # of the variances of all quotes at the start, added up
    of_gain: float | None  # of the gain's variance; None unless the horizon is ergodic


@dataclass(frozen=True, kw_only=True)
class UncertainQuotes:
    """Standard errors of everything a solution says."""

    solution: Solution
    sensitivities: Sensitivities  # by the uncertain parameters
    covariance: Float[np.ndarray, "parameter parameter"]
    offset_error: Float[np.ndarray, "*time_and_state flow"]  # price; NaN where off, 0 where held
    value_error: Float[np.ndarray, "*time_and_state"]  # currency
    gain_error: float | None  # currency per time
    bounds: tuple[Float[np.ndarray, " flow"], Float[np.ndarray, " flow"]]  # of the offsets, price
    ranking: tuple[Source, ...]  # the most worth measuring better first, by the quotes

    def __repr__(self) -> str:
        largest = float(np.nanmax(self.offset_error, initial=0.0))
        return (
            f"<UncertainQuotes: standard errors of up to {largest:.3g} {self.solution.price_unit} from "
            f"{len(self.covariance)} parameters, of\n {self.solution!r}>"
        )

    def band(
        self, errors: float = TWO_SIDED_95
    ) -> tuple[Float[np.ndarray, "*time_and_state flow"], Float[np.ndarray, "*time_and_state flow"]]:
        """The offsets so many standard errors below and above; 95 % unless said otherwise.

        Within the bounds of their flows, and in the order of the quotes: where bids retreat and asks approach
        with every lot more, they do so for other parameters too. So an edge at one inventory limits those at
        the inventories beside it, where the first order may reach further than it holds.
        """
        room, (low, high) = errors * self.offset_error, self.bounds
        below = np.maximum(self.solution.offset - room, low)
        above = np.minimum(self.solution.offset + room, high)
        for place, flow in enumerate(self.solution.flows):
            axis = flow.asset - len(self.solution.symbols)
            upwards = flow.side == "bid"  # offsets rise with inventory; those of asks fall
            if _rises(self.solution.offset[..., place], axis, upwards):
                below[..., place] = _running(np.fmax, below[..., place], axis, upwards)
                above[..., place] = _running(np.fmin, above[..., place], axis, not upwards)
        return below, above


def uncertain_quotes(
    problem: Problem,
    *,
    numerics: Numerics | None = None,
    table: TableRequest | None = None,
    solution: Solution | None = None,
) -> UncertainQuotes:
    """The errors that a problem's [uncertainty] makes in its quotes, values and gain, and their sources.

    Args:
        problem: concrete numbers, with an `uncertainty`.
        numerics, table, solution: as for `sensitivities`.

    Raises:
        ProblemError: the problem states no uncertainty.
        SolveError: it does not converge.
    """
    if problem.uncertainty is None:
        sentence = (
            "this problem does not say how well its parameters are known; `quotegrid calibrate` writes that, "
            "or add a table [uncertainty] with parameters and standard_error."
        )
        raise ProblemError([Fault("uncertainty", sentence)])
    found = sensitivities(
        problem, parameters=problem.uncertainty.parameters, numerics=numerics, table=table, solution=solution
    )
    covariance = covariance_of(problem)
    quotes = found.offset if found.solution.times is None else found.offset[:, 0]
    at_start = quotes.reshape(len(found.parameters), -1)
    at_start = at_start[:, np.isfinite(at_start).all(axis=0)]
    gain_variance = None if found.gain is None else float(found.gain @ covariance @ found.gain)
    return UncertainQuotes(
        solution=found.solution,
        sensitivities=found,
        covariance=covariance,
        offset_error=_standard_error(found.offset, covariance),
        value_error=_standard_error(found.value, covariance),
        gain_error=None if gain_variance is None else float(np.sqrt(gain_variance)),
        bounds=_bounds(problem),
        ranking=_ranking(found, at_start, covariance),
    )


def _bounds(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    flows = problem.one_sided_flows()
    low = [-np.inf if flow.min_offset is None else float(flow.min_offset) for flow in flows]
    return np.array(low), np.array([np.inf if f.max_offset is None else float(f.max_offset) for f in flows])


def _rises(offset: np.ndarray, axis: int, upwards: bool) -> bool:
    """Whether offsets never fall along an axis, or never rise; NaN, where a flow is off, is passed over."""
    best = _running(np.fmax, offset, axis, upwards)
    return bool(np.all(np.isnan(offset) | (offset >= best - _LEVEL * np.abs(best))))


def _running(extreme: np.ufunc, numbers: np.ndarray, axis: int, forwards: bool) -> np.ndarray:
    """The extreme of each number and all before it (or behind it) along an axis; NaN stays NaN."""
    ordered = numbers if forwards else np.flip(numbers, axis)
    found = extreme.accumulate(ordered, axis=axis)
    return np.where(np.isnan(numbers), np.nan, found if forwards else np.flip(found, axis))


def covariance_of(problem: Problem) -> Float[np.ndarray, "parameter parameter"]:
    """The joint covariance of the errors of the uncertain parameters, in their units."""
    uncertainty = problem.uncertainty
    assert uncertainty is not None
    errors = np.asarray(uncertainty.standard_error, float)
    count = len(errors)
    correlation = (
        np.eye(count) if uncertainty.correlation is None else np.asarray(uncertainty.correlation, float)
    )
    return errors[:, None] * correlation * errors[None, :]


def _standard_error(derivative: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """sqrt(Jᵀ Σ J) of every number; derivative: float[parameter, …]."""
    variance = np.einsum("i...,i...->...", derivative, np.tensordot(covariance, derivative, axes=1))
    return np.sqrt(np.maximum(variance, 0.0))


def _ranking(
    found: Sensitivities, quotes: Float[np.ndarray, "parameter quote"], covariance: np.ndarray
) -> tuple[Source, ...]:
    def removed(derivative: Float[np.ndarray, "parameter quantity"], group: list[int]) -> float:
        total = float(np.sum(derivative * (covariance @ derivative)))
        if total <= 0.0:
            return 0.0
        known = covariance[group] @ derivative
        inverse = np.linalg.pinv(covariance[np.ix_(group, group)], hermitian=True)
        return float(np.sum(known * (inverse @ known))) / total

    groups: dict[str, list[int]] = {}
    for row, path in enumerate(found.parameters):
        head, _, last = path.rpartition(".")
        groups.setdefault(head if last.isdecimal() else path, []).append(row)
    sources = [
        Source(
            name, removed(quotes, rows), None if found.gain is None else removed(found.gain[:, None], rows)
        )
        for name, rows in groups.items()
    ]
    return tuple(sorted(sources, key=lambda source: -source.of_quotes))


class ResolvedErrors(NamedTuple):
    """Standard deviations over solutions with drawn parameters."""

    offset: Float[np.ndarray, "*time_and_state flow"]  # price; NaN where off
    gain: float | None  # currency per time
    solutions: list[Solution]
    refused: int  # draws that make no valid problem, left out


def resolved_errors(
    problem: Problem,
    samples: int = 200,
    *,
    seed: int = 0,
    table: TableRequest | None = None,
    draws: Float[np.ndarray, "sample parameter"] | None = None,
) -> ResolvedErrors:
    """The same errors by brute force: solve again with parameters drawn from their joint normal errors.

    What is positive is drawn on the logarithm, so that it stays so. A finite horizon needs explicit times in
    `table`, the same for all.

    Args:
        samples, seed: how many draws, and of which stream.
        draws: standard normal numbers to use instead, one row for each draw.

    Raises:
        ValueError: no draw makes a problem that can be solved.
    """
    assert problem.uncertainty is not None
    paths = problem.uncertainty.parameters
    covariance = covariance_of(problem)
    if draws is None:
        draws = np.random.default_rng(seed).standard_normal((samples, len(paths)))
    values, vectors = np.linalg.eigh(covariance)
    errors = draws @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    now = np.array([float(read(problem, path)) for path in paths])
    drawn, refused = [], 0
    for error in errors:
        with np.errstate(divide="ignore", invalid="ignore"):
            after = np.where(now > 0.0, now * np.exp(error / np.where(now > 0.0, now, 1.0)), now + error)
        try:
            drawn.append(replace(problem, dict(zip(paths, after.tolist(), strict=True))))
        except ProblemError:
            refused += 1
    solved = [each for each in solve_many(drawn, table=table) if each.status is Status.CONVERGED]
    if not solved:
        raise ValueError(
            f"none of {len(errors)} draws makes a problem that can be solved (numbers of a table that err "
            "one by one seldom leave it decreasing and fair); draw smaller errors."
        )
    offsets = np.stack([solution.offset for solution in solved])
    gains = [solution.gain for solution in solved if solution.gain is not None]
    return ResolvedErrors(
        np.std(offsets, axis=0),
        float(np.std(gains)) if gains else None,
        solved,
        refused + len(drawn) - len(solved),
    )
