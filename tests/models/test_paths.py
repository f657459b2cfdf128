"""The path language: reading, replacing, listing; and what a wrong path says."""

import pytest

from quotegrid.models.faults import ProblemError
from quotegrid.models.flows import Markout
from quotegrid.models.intensities import Exponential, Linear
from quotegrid.models.paths import read, replace, scalar_paths
from quotegrid.models.preferences import MeanVariance
from quotegrid.models.tabulated import Tabulated


@pytest.fixture
def ladder(make_problem, make_flow):
    """Two flows named book, one a side, that differ in A; and a table for both sides."""
    return make_problem(
        flow=(
            make_flow(side="bid", intensity=Exponential(A=1.0, k=1.5)),
            make_flow(side="ask", intensity=Exponential(A=2.0, k=1.5)),
            make_flow(name="rfq", intensity=Tabulated(offset=[0, 1, 2], rate=[3, 2, 1])),
        )
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("price.volatility", 0.3),
        ("asset.ETH-PERP.price.volatility", 0.3),
        ("horizon.terminal.quadratic", 0.02),
        ("inventory.max", 6),
        ("flow.book.intensity.k", 1.5),
        ("flow.book/ask.intensity.A", 2.0),
        ("flow.rfq.intensity.rate.1", 2.0),
        ("flow.rfq/bid.intensity.rate", (3.0, 2.0, 1.0)),
        ("flow.book.intensity.kind", "exponential"),
        ("units.price", "USD"),
    ],
)
def test_read(ladder, path, value):
    assert read(ladder, path) == value


def test_a_path_without_a_side_sets_all_flows_of_the_name(ladder):
    changed = replace(ladder, {"flow.book.intensity.A": 5.0})
    assert [flow.intensity.A for flow in changed.assets[0].flow[:2]] == [5.0, 5.0]
    assert read(changed, "flow.book.intensity.A") == 5.0
    assert read(ladder, "flow.book/bid.intensity.A") == 1.0  # the first problem is untouched


def test_a_side_of_a_block_for_both_splits_it(make_problem):
    problem = make_problem()
    changed = replace(problem, {"flow.book/ask.intensity.A": 5.0})
    assert [(flow.side, flow.intensity.A) for flow in changed.assets[0].flow] == [("bid", 1.0), ("ask", 5.0)]
    labels = [[flow.label for flow in each.one_sided_flows()] for each in (problem, changed)]
    assert labels[0] == labels[1] == ["book/bid", "book/ask"]
    assert read(problem, "flow.book/ask.intensity.A") == 1.0


def test_several_changes_are_checked_together(make_problem):
    problem = make_problem(preferences=MeanVariance(risk_aversion=0.1))
    changed = replace(problem, {"preferences.risk_aversion": None, "preferences.running_penalty": 0.2})
    assert changed.preferences == MeanVariance(running_penalty=0.2)
    with pytest.raises(ProblemError, match=r"^Problem: preferences: expected exactly one of .* got both"):
        replace(problem, {"preferences.running_penalty": 0.2})


def test_blocks_words_and_counts_can_be_replaced(make_problem):
    changed = replace(
        make_problem(),
        {
            "flow.book.intensity": Linear(A=1, d=2),
            "inventory.max": 9,
            "market.symbol": "BTC",
            "price.drift": 0.1,
        },
    )
    assert changed.assets[0].flow[0].intensity == Linear(A=1, d=2)
    assert changed.lattice == ((-9, 9, 0),) and changed.assets[0].market.symbol == "BTC"


def test_an_entry_of_a_list_can_be_replaced(ladder):
    changed = replace(ladder, {"flow.rfq.intensity.rate.1": 1.9})
    assert read(changed, "flow.rfq.intensity.rate") == (3.0, 1.9, 1.0)


def test_an_optional_number_can_be_set(make_problem):
    assert read(replace(make_problem(), {"price.reference": 2680}), "price.reference") == 2680.0


def test_replaced_values_are_checked_and_the_error_names_the_path(ladder):
    with pytest.raises(ProblemError) as error:
        replace(ladder, {"flow.book/ask.intensity.k": -1.0, "price.volatility": "0.2"})
    assert [str(fault) for fault in error.value.faults] == [
        "price.volatility: expected a number that is not negative, got the text '0.2'; write it without "
        "quotes.",
        "flow.book/ask.intensity.k: expected a number greater than 0, got -1.0.",
    ]


def test_nothing_replaced_is_the_same_problem(ladder):
    assert replace(ladder, {}) == ladder
    assert replace(ladder, {path: read(ladder, path) for path in scalar_paths(ladder)}) == ladder


def test_scalar_paths(ladder):
    assert scalar_paths(ladder) == (
        "market.lot_size",
        "price.volatility",
        "price.drift",
        "price.carry",
        "flow.book/bid.intensity.A",
        "flow.book/bid.intensity.k",
        "flow.book/bid.fee",
        "flow.book/bid.proportional_fee",
        "flow.book/ask.intensity.A",
        "flow.book/ask.intensity.k",
        "flow.book/ask.fee",
        "flow.book/ask.proportional_fee",
        *(f"flow.rfq.intensity.offset.{place}" for place in range(3)),
        *(f"flow.rfq.intensity.rate.{place}" for place in range(3)),
        "flow.rfq.fee",
        "flow.rfq.proportional_fee",
        "preferences.risk_aversion",
        "horizon.duration",
        "horizon.terminal.quadratic",
        "horizon.terminal.absolute",
    )


def test_logarithms_in_a_table_keep_the_key_of_the_file(make_problem, make_flow):
    table = Tabulated(offset=[0, 1], log_rate=[0, -1])
    problem = make_problem(flow=(make_flow(intensity=table, adverse=Markout(jump=0.1)),))
    assert read(problem, "flow.book.intensity.log_rate.1") == -1.0
    assert {"flow.book.intensity.log_rate.0", "flow.book.adverse.jump"} <= set(scalar_paths(problem))
    assert (
        read(replace(problem, {"flow.book.intensity.log_rate.1": -2}), "flow.book.intensity.log_rate.1")
        == -2.0
    )


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (
            "flow.book.intensity.A",
            "the flows of this name differ (book/bid: 1.0, book/ask: 2.0); name the side.",
        ),
        ("price.reference", "this key is not set in this problem."),
        (
            "flow.book.adverse.jump",
            "this problem has no 'adverse' block here; add one to give it parameters.",
        ),
        (
            "hedging.quadratic_cost",
            "this problem has no 'hedging' block here; add one to give it parameters.",
        ),
        (
            "price.volatilty",
            "no key 'volatilty' here (did you mean 'volatility'?); known: kind, volatility, drift, carry, "
            "reference.",
        ),
        (
            "prices.volatility",
            "no key 'prices' (did you mean 'price'?); known: market, inventory, price, flow, market_orders, "
            "hedging, "
            "format, units, preferences, horizon, factor, correlation, schedule, ambiguity, uncertainty, "
            "provenance.",
        ),
        (
            "flow.bok.intensity.A",
            "nothing is named 'bok' here (did you mean 'book'?); expected 'book', 'book/bid', 'book/ask', "
            "'rfq', "
            "'rfq/bid' or 'rfq/ask'.",
        ),
        (
            "flow.rfq/both.fee",
            "nothing is named 'rfq/both' here (did you mean 'rfq/bid'?); expected 'book', 'book/bid', "
            "'book/ask', "
            "'rfq', 'rfq/bid' or 'rfq/ask'.",
        ),
        ("flow.rfq.intensity.rate.3", "expected a position below 3, counted from 0, got '3'."),
        ("price.volatility.value", "nothing lies below 'value': the path ends before it."),
        ("asset.BTC.price.drift", "no asset 'BTC'; expected 'ETH-PERP'."),
    ],
)
def test_wrong_paths(ladder, path, sentence):
    with pytest.raises(ProblemError) as error:
        read(ladder, path)
    assert str(error.value) == f"{path}: {sentence}"


def test_an_absent_block_cannot_be_written_into(ladder):
    with pytest.raises(ProblemError, match="this problem has no 'adverse' block here"):
        replace(ladder, {"flow.book.adverse.jump": 0.1})
    with pytest.raises(ProblemError, match="this problem has no 'adverse' block here"):
        replace(ladder, {"flow.rfq/bid.adverse.jump": 0.1})
