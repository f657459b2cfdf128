"""Every number says what it is measured in, and ingredients how they are switched off."""

from pathlib import Path

import pytest

from quotegrid.models.dimensions import Dimension, dimension_of
from quotegrid.models.ingredients import ORDER, Ingredient, without
from quotegrid.models.paths import marked_fields, read, scalar_places
from quotegrid.models.problem import Problem
from quotegrid.models.problem_file import parse_problem, read_problem_file

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def full_problem() -> Problem:
    """Every optional number that this version knows, on one flow or another."""
    flows = [
        {"intensity": {"kind": "exponential", "A": 1.0, "k": 1.0}, "fee": 0.1, "proportional_fee": 0.001},
        {"intensity": {"kind": "logistic", "A": 1.0, "a": 0.1, "b": 1.0}, "tick": 0.1, "max_offset": 9.0},
        {"intensity": {"kind": "power", "A": 1.0, "d": 1.0, "k": 3.0}, "min_offset": 0.1},
        {"intensity": {"kind": "linear", "A": 1.0, "d": 2.0}, "adverse": {"on": "markout", "jump": 0.1}},
        {
            "intensity": {"kind": "table", "offset": [0.0, 1.0], "log_rate": [0.0, -1.0]},
            "adverse": {"on": "market_orders", "jump": 0.1, "arrival_rate": 2.0},
        },
    ]
    return parse_problem(
        {
            "format": 1,
            "units": {"price": "USD", "time": "s"},
            "market": {"symbol": "X", "lot_size": 1.0, "tick_size": 0.1},
            "inventory": {"max": 3},
            "price": {"volatility": 0.5, "drift": 0.1, "carry": 0.1, "reference": 50.0},
            "preferences": {"kind": "mean-variance", "running_penalty": 0.1},
            "flow": [{"name": f"f{i}", "side": "bid", **flow} for i, flow in enumerate(flows)],
            "horizon": {"kind": "finite", "duration": 1.0, "terminal": {"quadratic": 0.1, "absolute": 0.1}},
        }
    ).problem


def problems() -> list[Problem]:
    return [full_problem(), *(read_problem_file(file).problem for file in sorted(EXAMPLES.glob("*.toml")))]


@pytest.mark.parametrize("problem", problems(), ids=lambda problem: problem.assets[0].market.symbol)
def test_every_number_has_a_dimension(problem: Problem) -> None:
    for path, place in scalar_places(problem).items():
        words = dimension_of(problem, place).in_words("USD", "s", "USD")
        assert words and "{" not in words, path


def test_dimensions_in_words() -> None:
    problem = full_problem()
    places = scalar_places(problem)

    def words(path: str) -> str:
        return dimension_of(problem, places[path]).in_words("tick", "s", "tick × unit")

    assert words("price.volatility") == "tick per √s"
    assert words("preferences.running_penalty") == "tick × unit per unit² and s"
    assert words("flow.f4.intensity.log_rate.1") == "ln of fills per s"
    assert dimension_of(problem, places["flow.f4.intensity.log_rate.0"]).logarithm


def test_a_field_without_a_dimension_is_named() -> None:
    with pytest.raises(
        LookupError, match=r"format: no dimension is stated for this field; add a Dimension beside it"
    ):
        dimension_of(full_problem(), ("format",))
    assert Dimension().in_words("USD", "s", "USD") == "1"


def test_ingredients_are_switched_off_one_by_one() -> None:
    problem = full_problem()
    named = {mark.name for _, mark in marked_fields(problem, Ingredient)}
    assert named == set(ORDER)
    assert read(without(problem, "fees"), "flow.f0.proportional_fee") == 0.0
    assert without(problem, "adverse selection").assets[0].flow[3].adverse is None
    free = without(problem, "bounds and ticks").assets[0].flow
    assert [flow.tick for flow in free] == [None] * 5 and free[2].min_offset is None
    calm = without(problem, "inventory risk")
    assert read(calm, "price.volatility") == read(calm, "horizon.terminal.absolute") == 0.0
    assert without(calm, "inventory risk") is calm
