"""Numbers replaced in a stored problem, against the path language of the models."""

import pytest

from quotegrid.models.paths import replace
from quotegrid.models.problem import canonical_json
from quotegrid.models.problem_file import read_problem_file
from quotegrid.shipped_examples import example_text
from quotegrid.tables.problem_changes import NoSuchNumberError, with_numbers, with_step

ETH = read_problem_file(example_text("eth-perpetual")).problem
GLFT = read_problem_file(example_text("glft-2013")).problem
LADDER = read_problem_file(example_text("fx-dealer-ladder")).problem


@pytest.mark.parametrize(
    ("problem", "numbers"),
    [
        (ETH, {"price.volatility": 0.5}),
        (ETH, {"price.drift": -0.0, "preferences.risk_aversion": 0.002}),
        (ETH, {"asset.ETH-PERP.price.carry": 1e-9}),
        (ETH, {"flow.book/bid.fee": 0.25}),
        (GLFT, {"flow.book.intensity.A": 1.25}),
        (GLFT, {"flow.book/bid.intensity.A": 1.25, "flow.book/ask.intensity.k": 0.5}),
        (GLFT, {"flow.book/ask.intensity.A": 1.0, "flow.book.intensity.k": 0.5}),
        (GLFT, {"horizon.terminal.quadratic": 3.0}),
        (LADDER, {"price.volatility": 1e22}),
    ],
)
def test_as_the_models_do(problem, numbers: dict[str, float]) -> None:
    assert with_numbers(canonical_json(problem), numbers) == canonical_json(replace(problem, numbers))


def test_an_entry_of_a_list() -> None:
    stored = '{"flow":[{"intensity":{"rate":[3.0,2.0]},"name":"a","side":"bid"}],"market":{"symbol":"X"}}'
    changed = with_numbers(stored, {"flow.a.intensity.rate.1": 1.5})
    assert changed == stored.replace("2.0", "1.5")


@pytest.mark.parametrize(
    "path",
    [
        *("price", "price.volatilty", "price.kind", "inventory.max", "flow.book", "flow.book.size"),
        *("flow.no.fee", "flow.book.intensity.offset.999", "asset.BTC.price.volatility", "asset", ""),
        "horizon.kind.x",
    ],
)
def test_no_number_there(path: str) -> None:
    with pytest.raises(NoSuchNumberError, match=f"the problem has no number '{path}'"):
        with_numbers(canonical_json(ETH), {path: 1.0})


@pytest.mark.parametrize("stored", ["nonsense", "[1]", "3", '{"asset":3}', '{"asset":[3]}', '{"market":2}'])
def test_no_problem(stored: str) -> None:
    with pytest.raises(NoSuchNumberError):
        with_numbers(stored, {"asset.X.price.volatility": 1.0})


def test_a_step_moves_every_number_that_a_path_leads_to() -> None:
    apart = with_numbers(canonical_json(GLFT), {"flow.book/bid.fee": 0.25, "flow.book/ask.fee": 0.5})
    moved = with_step(apart, "flow.book.fee", 0.125)
    assert moved == with_numbers(apart, {"flow.book/bid.fee": 0.375, "flow.book/ask.fee": 0.625})
    assert with_step(apart, "flow.book.fee", 0.0) == apart
    with pytest.raises(NoSuchNumberError, match=r"the problem has no number 'price\.colour'"):
        with_step(apart, "price.colour", 1.0)
