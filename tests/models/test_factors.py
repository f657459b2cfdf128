"""Factors, correlations, schedules and ambiguity: part of the format from the first day, checked by their "
"own rules."""

import pytest
from pydantic import TypeAdapter

from quotegrid.models.factors import Factor, Regimes, Schedule
from quotegrid.models.faults import ProblemError

FACTOR = TypeAdapter(Factor)
EFFECTS = [{"on": "price.drift", "form": "add"}]


@pytest.mark.parametrize(
    "keys",
    [
        {"kind": "ornstein-uhlenbeck", "mean_reversion": 0.5, "volatility": 0.02, "effects": EFFECTS},
        {"kind": "square-root", "mean": 0.1, "mean_reversion": 0.5, "volatility": 0.02, "effects": EFFECTS},
        {"kind": "geometric", "volatility": 0.02},
        {"kind": "hawkes", "mean_reversion": 0.5, "jump": 0.1, "effects": EFFECTS},
        {"kind": "spread", "half_spread": [0.5, 1.0], "rates": [[-1, 1], [2, -2]]},
        {
            "kind": "regimes",
            "rates": [[-0.05, 0.05], [0.2, -0.2]],
            "state": [{"name": "calm", "set": {}}, {"name": "wild", "set": {"price.volatility": 0.6}}],
        },
    ],
)
def test_every_kind_has_a_class(keys):
    factor = FACTOR.validate_python({"name": "y", **keys})
    assert (factor.kind, factor.name) == (keys["kind"], "y")


def test_regimes_set_parameters_by_path():
    regimes = Regimes.of_table(
        {"name": "mood", "rates": [[0.0]], "state": [{"name": "only", "set": {"price.volatility": 1}}]}
    )
    assert dict(regimes.state[0].set) == {"price.volatility": 1.0}


@pytest.mark.parametrize(
    ("rates", "text"),
    [
        ([[-1, 1]], "rates: expected 2 rows of 2 rates, one for each entry of 'state'."),
        (
            [[-1, 1], [1, -2]],
            "rates.1: expected a row that sums to 0, got [1.0, -2.0]; set its diagonal to -1.0.",
        ),
        (
            [[1, -1], [1, -1]],
            "rates.0: expected rates that are not negative off the diagonal, got [1.0, -1.0].",
        ),
    ],
)
def test_rates_are_a_generator(rates, text):
    states = [{"name": "calm", "set": {}}, {"name": "wild", "set": {}}]
    with pytest.raises(ProblemError) as error:
        Regimes.of_table({"name": "mood", "rates": rates, "state": states})
    assert str(error.value) == f"Regimes: {text}"


def test_settings_of_a_regime_are_numbers_by_path():
    states = [{"name": "calm", "set": {"price.volatility": "high", "price..drift": 0.1}}]
    with pytest.raises(ProblemError) as error:
        Regimes.of_table({"name": "mood", "rates": [[0]], "state": states})
    assert [str(fault) for fault in error.value.faults] == [
        "state.calm.set.price.volatility: expected a number, got the text 'high'.",
        "state.calm.set.price..drift: expected a path such as 'price.drift', got the text 'price..drift'.",
    ]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"values": [1.0]}, "values: expected one for each of the 2 times, got 1."),
        (
            {"times": [0.0, 20.0]},
            "times: expected increasing times from 0.0 to below period = 20.0, got [0.0, 20.0].",
        ),
        (
            {"times": [1.0, 2.0]},
            "times: expected increasing times from 0.0 to below period = 20.0, got [1.0, 2.0].",
        ),
    ],
)
def test_schedules_cover_their_period(changes, text):
    keys = {"on": "price.volatility", "times": [0.0, 10.0], "values": [1.0, 2.0], "period": 20.0}
    with pytest.raises(ProblemError) as error:
        Schedule.of_table(keys | changes)
    assert str(error.value) == f"Schedule: {text}"
