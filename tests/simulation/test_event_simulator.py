"""The simulator against what can be worked out by hand."""

import numpy as np
import pytest

PATHS = 100_000
FINITE = {"kind": "finite", "duration": 2.0}


@pytest.fixture
def world():
    """A problem's tree: one flow on either side, and a price that stands still unless stated."""

    def make(price=None, preferences=None, horizon=None, limit=40, **flow):
        intensity = {"kind": "exponential", "A": 1.5, "k": 1.2}
        return {
            "market": {"lot_size": 0.5},
            "inventory": {"max": limit},
            "price": price or {"volatility": 0.0},
            "preferences": preferences or {"kind": "cara", "risk_aversion": 0.1},
            "flow": [{"name": "book", "side": "both", "intensity": intensity, **flow}],
            "horizon": horizon or FINITE,
        }

    return make


@pytest.fixture
def quotes(simulator):
    """A policy: bid and ask offsets over time, the same at all inventories within the limits."""

    def make(bid, ask, limit=40, times=(0.0,), ticks=False):
        lots = np.arange(-limit, limit + 1.0)
        offset = np.empty((len(times), len(lots), 2))
        offset[:, :, 0], offset[:, :, 1] = np.reshape(bid, (-1, 1)), np.reshape(ask, (-1, 1))
        offset[:, -1, 0] = offset[:, 0, 1] = np.nan
        return simulator.Policy((("book", "bid"), ("book", "ask")), lots, np.array(times), offset, ticks)

    return make


def near(sample, mean):
    assert abs(np.mean(sample) - mean) <= 4 * np.std(sample) / np.sqrt(len(sample))


def test_fills_are_a_poisson_process(world, quotes, simulator):
    """Bids alone at a fixed offset: the count is Poisson in mean and variance, a fill earns z(δ - fees)."""
    tree = world(fee=0.1, proportional_fee=0.02, price={"volatility": 0.0, "reference": 10.0})
    ledger = simulator.simulate(tree, quotes(0.4, np.nan), paths=PATHS, seed=1)
    count = ledger.inventory[0] / 0.5
    rate = 1.5 * np.exp(-1.2 * 0.4) * 2.0
    near(count, rate)
    near((count - rate) ** 2, rate)
    assert ledger.fills.tolist() == [count.sum(), 0]
    np.testing.assert_allclose(ledger.earned[0], count * 0.5 * (0.4 - 0.1 - 0.02 * (10.0 - 0.4)), atol=1e-12)


@pytest.mark.parametrize("ticks", [False, True])
def test_quotes_that_move_in_time(ticks, world, quotes, simulator):
    """Offset 1.5 t: ∫Λ dt = A(1 - e^{-kδ(T)})/(k·1.5); held from node to node, the sum over the nodes."""
    times = np.linspace(0.0, 2.0, 5)
    policy = quotes(1.5 * times, np.nan, times=times, ticks=ticks)
    ledger = simulator.simulate(world(), policy, paths=PATHS, seed=2)
    held = 0.5 * np.sum(1.5 * np.exp(-1.2 * 1.5 * times[:-1]))
    near(ledger.inventory[0] / 0.5, held if ticks else 1.5 * (1.0 - np.exp(-1.2 * 3.0)) / (1.2 * 1.5))


def test_holding_inventory(world, quotes, simulator):
    """Nothing quoted: Gaussian, by the drift less the carry; the certainty equivalent is ½γσ²q²T below."""
    price = {"volatility": 0.7, "drift": 0.3, "carry": 0.1}
    horizon = {**FINITE, "terminal": {"quadratic": 0.2, "absolute": 0.5}}
    still = quotes(np.nan, np.nan)
    earned = simulator.simulate(world(price, horizon=horizon), still, paths=PATHS, seed=3, start=-3).earned[0]
    mean, variance = -1.5 * 0.2 * 2.0 - 0.2 * 1.5**2 - 0.5 * 1.5, 0.7**2 * 1.5**2 * 2.0
    near(earned, mean)
    near((earned - mean) ** 2, variance)
    near(np.exp(-0.5 * earned), np.exp(-0.5 * (mean - 0.5 * 0.5 * variance)))


def test_penalties_and_discounting(world, quotes, simulator):
    """(1 - e^{-ρT})/ρ of the drift less the penalty, at any two stops."""
    price = {"volatility": 0.7, "drift": 0.3}
    risk = {"kind": "mean-variance", "risk_aversion": 0.4}
    tree = world(price, risk, {"kind": "discounted", "rate": 0.5})
    ledger = simulator.simulate(tree, quotes(np.nan, np.nan), paths=PATHS, seed=4, start=3, stops=(1.0, 4.0))
    for earned, until in zip(ledger.earned, (1.0, 4.0), strict=True):
        reward = 0.3 * 1.5 - 0.5 * 0.4 * 0.7**2 * 1.5**2
        near(earned, reward * (1.0 - np.exp(-0.5 * until)) / 0.5)
        near((earned - earned.mean()) ** 2, (0.7 * 1.5) ** 2 * (1.0 - np.exp(-1.0 * until)))


@pytest.mark.parametrize(("on", "gain"), [("markout", -0.2), ("fills", 0.1), ("market_orders", 0.4)])
def test_adverse_moves_of_two_bid_fills(on, gain, world, quotes, simulator):
    """From -1 unit to 0 in two fills of ½ at offset ln 2/k, ε = 0.2; every second order is filled.

    A markout loses 2·½ε. A jump at a fill meets q after it: ½ε, then 0. If every order moves the mid, those
    that are not filled, on average one before each fill, earn ε and ½ε besides.
    """
    offset = np.log(2.0) / 1.2
    tree = world(side="bid", adverse={"on": on, "jump": 0.2}, horizon={"kind": "finite", "duration": 60.0})
    policy = quotes(offset, np.nan, limit=2)
    policy = simulator.Policy(policy.labels[:1], policy.lots, policy.times, policy.offset[:, :, :1], False)
    policy.offset[:, 2:] = np.nan
    ledger = simulator.simulate(tree, policy, paths=20_000, seed=5, start=-2)
    assert np.all(ledger.inventory == 0.0)
    if on == "market_orders":
        near(ledger.earned[0], offset + gain)
    else:
        np.testing.assert_allclose(ledger.earned[0], offset + gain, atol=1e-12)
