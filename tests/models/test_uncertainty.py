"""Uncertainty of parameters: paths that lead somewhere, one error each, a correlation that can be one."""

import numpy as np
import pytest

from quotegrid.models.faults import ProblemError
from quotegrid.models.uncertainty import Uncertainty

TWO = {"parameters": ["price.volatility", "flow.book.intensity.A"], "standard_error": [0.01, 0.02]}


def test_a_full_uncertainty(make_problem):
    uncertainty = Uncertainty.of_table(TWO | {"correlation": [[1.0, 0.5], [0.5, 1.0]]})
    problem = make_problem(uncertainty=uncertainty)
    assert problem.uncertainty == uncertainty and uncertainty.standard_error == (0.01, 0.02)


def test_estimated_correlations_are_taken_to_rounding():
    rows = np.array([[1.0, 0.5], [0.5 + 1e-12, 1.0]])
    assert Uncertainty.of_table(TWO | {"correlation": rows.tolist()})
    assert Uncertainty.of_table(TWO | {"correlation": np.ones((2, 2)).tolist()})  # singular


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"standard_error": [0.1]}, "standard_error: expected one for each of the 2 parameters, got 1."),
        ({"standard_error": [0.1, -1]}, "standard_error: expected numbers that are not negative, got -1.0."),
        (
            {"parameters": ["price.drift", "price.drift"]},
            "parameters: 'price.drift' is named more than once; name each parameter once.",
        ),
        (
            {"parameters": ["price.drift", "price..drift"]},
            "parameters.1: expected a path such as 'price.drift', got the text 'price..drift'.",
        ),
        (
            {"parameters": [], "standard_error": []},
            "parameters: expected at least one entry, got none; add one.",
        ),
        ({"correlation": [[1.0]]}, "correlation: expected 2 rows of 2 numbers, one for each parameter."),
        (
            {"correlation": [[1.0, 0.0], [0.0, 0.9]]},
            "correlation: expected 1.0 on the diagonal, got 0.9 in row 2.",
        ),
        (
            {"correlation": [[1.0, 0.2], [0.3, 1.0]]},
            "correlation: expected a symmetric matrix, got 0.2 in row 1, column 2 but 0.3 across the "
            "diagonal.",
        ),
        (
            {"correlation": [[1.0, 1.5], [1.5, 1.0]]},
            "correlation: expected a positive semidefinite matrix, got one with eigenvalue -0.5.",
        ),
    ],
)
def test_what_cannot_be(changes, text):
    with pytest.raises(ProblemError) as error:
        Uncertainty.of_table(TWO | changes)
    assert str(error.value) == f"Uncertainty: {text}"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("flow.book.intensity.B", "flow.book.intensity.B: no key 'B' here; known: kind, A, k."),
        (
            "flow.book.adverse.jump",
            "flow.book.adverse.jump: this problem has no 'adverse' block here; add one to give it "
            "parameters.",
        ),
        ("market.symbol", "'market.symbol' is no number of this problem; leave it out."),
        ("price.reference", "'price.reference' is no number of this problem; leave it out."),
    ],
)
def test_parameters_must_be_numbers_of_the_problem(make_problem, path, sentence):
    with pytest.raises(ProblemError) as error:
        make_problem(uncertainty={"parameters": [path], "standard_error": [0.1]})
    assert str(error.value) == f"Problem: uncertainty.parameters: {sentence}"


def test_parameters_may_be_named_with_or_without_a_side(make_problem):
    paths = ["flow.book.intensity.A", "flow.book/bid.intensity.k", "asset.ETH-PERP.price.drift"]
    assert make_problem(uncertainty={"parameters": paths, "standard_error": [0.1, 0.1, 0.1]})
