"""What the file format knows and this version cannot solve is refused, in a file and in Python alike."""

import pytest

from quotegrid.models.assets import Hedging, MarketOrders
from quotegrid.models.factors import Ambiguity, OrnsteinUhlenbeck, PairCorrelation, Schedule
from quotegrid.models.faults import ProblemError
from quotegrid.models.flows import LastLook
from quotegrid.models.preferences import Crra
from quotegrid.models.prices import Bounded, Geometric
from quotegrid.models.problem_file import parse_problem
from quotegrid.models.requests import Numerics, TableRequest

# (what is added to the file, what its Python twin changes, the text of the error)
LATER = {
    "latency": (
        "latency = 0.1\n",
        lambda flow: {"flow": (flow(latency=0.1),)},
        "flow.book.latency: latency is",
    ),
    "last look": (
        'last_look = { window = 1.0, rejection = "free" }\n',
        lambda flow: {"flow": (flow(last_look=LastLook(window=1.0, rejection="free")),)},
        "flow.book.last_look: last look is",
    ),
    "market orders": (
        "[market_orders]\ncost_per_unit = 0.5\n",
        lambda flow: {"market_orders": MarketOrders(cost_per_unit=0.5)},
        "market_orders: trading by market orders is",
    ),
    "hedging": (
        "[hedging]\nquadratic_cost = 0.5\n",
        lambda flow: {"hedging": Hedging(quadratic_cost=0.5)},
        "hedging: hedging is",
    ),
    "a factor": (
        '[[factor]]\nname = "alpha"\nkind = "ornstein-uhlenbeck"\nmean_reversion = 0.5\nvolatility = 0.02\n'
        'effects = [ { on = "price.drift", form = "add", coefficient = 1.0 } ]\n',
        lambda flow: {"factor": (OrnsteinUhlenbeck(name="alpha", mean_reversion=0.5, volatility=0.02),)},
        "factor.alpha: a factor is",
    ),
    "regimes": (
        '[[factor]]\nname = "mood"\nkind = "regimes"\nrates = [[-0.05, 0.05], [0.2, -0.2]]\n'
        'state = [ { name = "calm", set = { "price.volatility" = 0.2 } }, { name = "wild", set = {} } ]\n',
        lambda flow: {
            "factor": (
                {
                    "kind": "regimes",
                    "name": "mood",
                    "rates": [[-0.05, 0.05], [0.2, -0.2]],
                    "state": [
                        {"name": "calm", "set": {"price.volatility": 0.2}},
                        {"name": "wild", "set": {}},
                    ],
                },
            )
        },
        "factor.mood: a factor is",
    ),
    "a correlation": (
        '[[correlation]]\nbetween = ["price", "alpha"]\nvalue = 0.5\n',
        lambda flow: {"correlation": (PairCorrelation(between=("price", "alpha"), value=0.5),)},
        "correlation: a correlation is",
    ),
    "a schedule": (
        '[[schedule]]\non = "price.volatility"\ntimes = [0.0, 10.0]\nvalues = [0.3, 0.4]\nperiod = 20.0\n',
        lambda flow: {
            "schedule": (Schedule(on="price.volatility", times=[0, 10], values=[0.3, 0.4], period=20),)
        },
        "schedule: a schedule is",
    ),
    "ambiguity": (
        "[ambiguity]\ndrift = 0.1\n",
        lambda flow: {"ambiguity": Ambiguity(drift=0.1)},
        "ambiguity: ambiguity is",
    ),
}
NOT_YET = "not in this version of quotegrid; leave it out."


@pytest.mark.parametrize("ingredient", LATER)
def test_what_comes_later_is_refused_in_file_and_python(ingredient, file_text, make_problem, make_flow):
    added, changes, text = LATER[ingredient]
    with pytest.raises(ProblemError) as error:
        parse_problem(file_text.replace("[horizon]", f"{added}[horizon]"))
    assert str(error.value) == f"{text} {NOT_YET}"
    with pytest.raises(ProblemError) as error:
        make_problem(**changes(make_flow))
    assert str(error.value) == f"Problem: {text} {NOT_YET}"


@pytest.mark.parametrize(
    ("price", "kind"),
    [
        (Geometric(volatility=0.01, reference=100.0), "geometric"),
        (Bounded(volatility=0.01, reference=0.5), "bounded"),
    ],
)
def test_later_prices(price, kind, make_problem, file_text):
    text = f"price.kind: {kind!r} is {NOT_YET}"
    with pytest.raises(ProblemError) as error:
        make_problem(price=price)
    assert str(error.value) == f"Problem: {text}"
    keys = f'kind = "{kind}"\nvolatility = 0.01\nreference = {price.reference}'
    with pytest.raises(ProblemError) as error:
        parse_problem(file_text.replace("volatility = 0.3", keys))
    assert str(error.value) == text


def test_later_preferences(make_problem, file_text):
    text = f"preferences.kind: 'crra' is {NOT_YET}"
    with pytest.raises(ProblemError) as error:
        make_problem(preferences=Crra(risk_aversion=2.0))
    assert str(error.value) == f"Problem: {text}"
    with pytest.raises(ProblemError) as error:
        parse_problem(file_text.replace('"cara"', '"crra"'))
    assert str(error.value) == text


ANOTHER_ASSET = """
[[asset]]
[asset.market]
symbol = "BTC"
lot_size = 0.1
[asset.inventory]
max = 3
[asset.price]
volatility = 1.0
[[asset.flow]]
name = "book"
side = "both"
intensity = { kind = "exponential", A = 1.0, k = 1.0 }
"""


def without_its_asset(text: str) -> str:
    """The file less the keys of its only asset."""
    start, end = text.index("[market]"), text.index("[preferences]")
    flow = text[text.index("[[flow]]") : text.index("[horizon]")]
    return (text[:start] + text[end:]).replace(flow, "")


def test_several_assets(file_text, make_problem, make_asset):
    text = f"asset: more than one asset is {NOT_YET}"
    with pytest.raises(ProblemError) as error:
        parse_problem(without_its_asset(file_text) + ANOTHER_ASSET + ANOTHER_ASSET.replace("BTC", "ETH"))
    assert str(error.value) == text
    with pytest.raises(ProblemError) as error:
        make_problem(assets=(make_asset(), make_asset()))
    assert str(error.value) == f"Problem: {text}"


def test_one_asset_block_is_a_file_with_one_asset(file_text):
    problem = parse_problem(without_its_asset(file_text) + ANOTHER_ASSET).problem
    assert [asset.market.symbol for asset in problem.assets] == ["BTC"]


def test_faults_in_several_assets_name_their_asset(file_text):
    wrong = ANOTHER_ASSET.replace("volatility = 1.0", "volatility = -1.0")
    with pytest.raises(ProblemError) as error:
        parse_problem(without_its_asset(file_text) + ANOTHER_ASSET.replace("BTC", "ETH") + wrong)
    assert str(error.value) == "asset.BTC.price.volatility: expected a number that is not negative, got -1.0."


def test_keys_beside_asset_blocks(file_text):
    with pytest.raises(ProblemError) as error:
        parse_problem(file_text + ANOTHER_ASSET)
    assert str(error.value).splitlines() == [
        "4 faults.",
        *(
            f"  {key}: stands beside [[asset]] blocks; move it into one of them."
            for key in ("market", "inventory", "price", "flow")
        ),
    ]


def test_later_requests():
    for make, text in (
        (
            lambda: TableRequest.of_table({"factors": {"alpha": [-0.1, 0.1, 41]}}),
            "factors: grids of factors are",
        ),
        (lambda: Numerics.of_table({"factors": {"alpha": [-0.1, 0.1, 41]}}), "factors: grids of factors are"),
        (lambda: Numerics(inventory_step=0.5), "inventory_step: a step of the inventory grid is"),
    ):
        with pytest.raises(ProblemError) as error:
            make()
        assert str(error.value).endswith(f": {text} {NOT_YET}")
