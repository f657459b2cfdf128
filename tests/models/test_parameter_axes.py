"""Numbers of a problem as axes of a table: which paths and values are taken, and the points they make."""

import re

import pytest

from quotegrid.models.parameter_axes import points_of, problem_at, with_midpoints
from quotegrid.models.paths import read
from quotegrid.models.problem import ProblemError, TableRequest
from quotegrid.models.problem_file import ProblemFile, dumps, json_schema, parse_problem
from quotegrid.solver.many import solve_many
from quotegrid.solver.solve import solve

PROBLEM = """
format = 1
units = { price = "USD", time = "s" }
market = { symbol = "X", lot_size = 1.0 }
inventory = { max = 4 }
price = { volatility = 0.5 }
preferences = { kind = "cara", risk_aversion = 0.1 }
HORIZON
[[flow]]
name = "book"
side = "both"
intensity = { kind = "exponential", A = 0.9, k = 1.5 }
[table]
"""


def file_with(parameters: str, horizon: str = "", more: str = "") -> ProblemFile:
    text = PROBLEM.replace("HORIZON", horizon)
    return parse_problem(f"{text}parameters = {{ {parameters} }}\n{more}", source="p.toml")


def test_a_file_with_parameters_is_canonical() -> None:
    file = file_with('"price.volatility" = [0.4, 0.5], "flow.book/bid.intensity.A" = [1, 2, 3]')
    lists = {"price.volatility": (0.4, 0.5), "flow.book/bid.intensity.A": (1.0, 2.0, 3.0)}
    assert file.table.parameters == lists
    assert parse_problem(dumps(file)) == file
    assert TableRequest(parameters=lists) == file.table
    assert hash(file.table) == hash(parse_problem(dumps(file)).table)
    assert "parameters" in json_schema()["$defs"]["TableRequest"]["properties"]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (
            '"price.volatilty" = [1, 2]',
            "price.volatilty: no key 'volatilty' here (did you mean 'volatility'?)",
        ),
        (
            '"flow.bok.intensity.A" = [1, 2]',
            "flow.bok.intensity.A: nothing is named 'bok' here (did you mean",
        ),
        ('"flow.bok/bid.intensity.A" = [1, 2]', "nothing is named 'bok/bid' here (did you mean 'book/bid'?)"),
        ("price.volatility = [1, 2]", 'got a table of keys; write the whole path in quotes, such as "price.'),
        ('"horizon.kind" = [1, 2]', "horizon.kind: expected a path to a number, got the text 'ergodic'"),
        (
            '"flow.book.intensity" = [1, 2]',
            "expected a path to a number, got a block of keys; name a number.",
        ),
        ('"inventory.max" = [4, 5]', "inventory.max: expected a number that may vary, got 4: whole numbers"),
        ('"flow.book.size" = [1, 2]', "make the axes and flows of a table, which are the same at all points"),
        ('"market.lot_size" = [1, 2]', "'market.lot_size' makes the axes of a table, which are the same at"),
        (
            '"price.reference" = [1, 2]',
            "price.reference: this key is not set in this problem; give it a number",
        ),
        ('"price.volatility" = [0.4]', "price.volatility: expected two numbers or more, got a list of 1"),
        ('"price.volatility" = 0.4', "price.volatility: expected a list of numbers, got 0.4."),
        ('"price.volatility" = [0.4, nan]', "price.volatility: expected a finite number, got nan."),
        ('"price.volatility" = [0.4, inf]', "price.volatility: expected a finite number, got inf."),
        (
            '"price.volatility" = [0.5, 0.4]',
            "expected increasing numbers, got 0.4 after 0.5; sort them, each",
        ),
        (
            '"price.volatility" = [0.4, 0.4]',
            "expected increasing numbers, got 0.4 after 0.4; sort them, each",
        ),
        ('"price.volatility" = [0.4, "1"]', "expected a number from -1e300 to 1e300, got the text '1'"),
        (
            '"price.drift" = [0, 1], "asset.X.price.drift" = [0, 1]',
            "asset.X.price.drift: sets the same number as 'price.drift'; leave one of them out.",
        ),
        (
            '"flow.book.intensity.A" = [1, 2], "flow.book/bid.intensity.A" = [1, 2]',
            "flow.book/bid.intensity.A: sets the same number as 'flow.book.intensity.A'",
        ),
        (
            f'"price.drift" = {list(range(51))}, "price.carry" = {list(range(51))}',
            "their points and the midpoints between them are 10,201 problems, at most 10,000",
        ),
    ],
)
def test_what_is_refused(parameters: str, text: str) -> None:
    with pytest.raises(ProblemError, match=rf"^p\.toml: table\.parameters.*{re.escape(text)}"):
        file_with(parameters)


def test_the_duration_makes_the_time_axis() -> None:
    with pytest.raises(ProblemError, match=r"'horizon\.duration' makes the axes of a table"):
        file_with('"horizon.duration" = [4, 5]', 'horizon = { kind = "finite", duration = 5.0 }')


def test_a_largest_lookup_error_is_refused() -> None:
    with pytest.raises(
        ProblemError, match=r"table\.max_lookup_error: a table over 'parameters' has the same times"
    ):
        file_with(
            '"price.volatility" = [0.4, 0.5]',
            'horizon = { kind = "finite", duration = 5.0 }',
            "max_lookup_error = 0.1",
        )


def test_what_is_only_about_a_problem() -> None:
    more = '[uncertainty]\nparameters = ["price.volatility"]\nstandard_error = [0.01]\n'
    with pytest.raises(ProblemError, match="'uncertainty' is only about the problem"):
        file_with('"uncertainty.standard_error.0" = [0.1, 0.2]', more=more)


def test_one_solution_is_of_one_problem() -> None:
    file = file_with('"price.volatility" = [0.4, 0.5]')
    for call in (
        lambda: solve(file.problem, table=file.table),
        lambda: solve_many([file.problem], table=file.table),
    ):
        with pytest.raises(
            ProblemError, match=r"table\.parameters: a solution is that of one problem; solve_table"
        ):
            call()


def test_points_and_midpoints() -> None:
    assert with_midpoints((1.0, 2.0, 4.0)) == (1.0, 1.5, 2.0, 3.0, 4.0)
    assert points_of({"a": (1.0, 2.0), "b": (3.0, 4.0)}) == [
        {"a": 1.0, "b": 3.0},
        {"a": 1.0, "b": 4.0},
        {"a": 2.0, "b": 3.0},
        {"a": 2.0, "b": 4.0},
    ]


def test_the_problem_at_a_point() -> None:
    problem = file_with('"price.volatility" = [0.4, 0.5]').problem
    there = problem_at(problem, {"price.volatility": 0.4, "flow.book/ask.intensity.A": 2.0})
    paths = ("price.volatility", "flow.book/bid.intensity.A", "flow.book/ask.intensity.A")
    assert [read(there, path) for path in paths] == [0.4, 0.9, 2.0]
    with pytest.raises(ProblemError) as error:
        problem_at(problem, {"price.volatility": -0.4, "price.drift": 1.0})
    assert str(error.value) == (
        "table.parameters: at price.volatility = -0.4, price.drift = 1 there is no valid problem: "
        "price.volatility: expected a number that is not negative, got -0.4."
    )
