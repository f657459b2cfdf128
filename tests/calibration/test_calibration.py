"""From files to a problem: the choices, the words, the file, and quotes one would recognise."""

import math
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quotegrid.calibration import Calibration, MarketDataError, calibrate, write_problem
from quotegrid.calibration.calibrated_problem import rounded_correlation
from quotegrid.calibration.calibration import symbol_of
from quotegrid.calibration.families import FamilyName
from quotegrid.calibration.synthetic import SyntheticMarket
from quotegrid.models.paths import read as read_path
from quotegrid.models.problem_file import ProblemError, problem_tree, read_problem_file
from quotegrid.solver.solve import solve


def tree_of(calibration: Calibration, **choices: Any) -> dict[str, Any]:
    return tomllib.loads(calibration.problem_text(**choices))


def test_an_exponential_market_gets_an_exponential_with_its_parameters(plain: Calibration) -> None:
    tree = tree_of(plain)
    assert plain.estimates.recommended == "exponential"
    assert tree["market"]["symbol"] == "PLAIN" and tree["market"]["tick_size"] == 0.01
    for flow in tree["flow"]:
        assert flow["intensity"]["kind"] == "exponential"
        # some 4,000 orders a side go through the touch: k is known to 1/√4000, A with it
        assert flow["intensity"]["k"] == pytest.approx(10.0, rel=0.06)
        assert flow["intensity"]["A"] == pytest.approx(4.0, rel=0.06)
        assert flow["min_offset"] == 0.005
    assert tree["price"]["volatility"] == pytest.approx(
        0.4, abs=4 * plain.estimates.volatility.standard_error
    )


def test_the_text_and_the_object_are_the_same_problem(plain: Calibration, heavy: Calibration) -> None:
    for calibration in (plain, heavy):
        for form in ("table", "exponential"):
            file = calibration.problem_file(form=form)
            assert read_problem_file(calibration.problem_text(form=form)) == file
            assert {flow.intensity.kind for flow in file.problem.assets[0].flow} == {form}


def test_risk_aversion_is_the_rule_the_file_states(plain: Calibration) -> None:
    """½γσ²(nz)²/Λ(δ0) = δ0 z with δ0 = 1/k, n half the limit; for any lot and limit."""
    for lot, limit in ((0.05, 20), (0.2, 20), (0.2, 50)):
        tree = tree_of(plain, form="exponential", lot_size=lot, max_inventory=limit)
        assert tree["market"]["lot_size"] == lot and tree["inventory"]["max"] == limit
        gains = [flow["intensity"]["A"] / (math.e * flow["intensity"]["k"]) for flow in tree["flow"]]
        sigma, n = tree["price"]["volatility"], limit / 2
        rule = 2.0 * np.mean(gains) / (sigma**2 * n**2 * lot)
        assert tree["preferences"]["risk_aversion"] == pytest.approx(rule, rel=0.01)  # written to 3 digits
    assert tree_of(plain, risk_aversion=0.25)["preferences"]["risk_aversion"] == 0.25


def test_half_the_limit_moves_the_quotes_by_about_one_quote_scale(plain: Calibration) -> None:
    solution = solve(plain.problem_file(form="exponential", max_inventory=40).problem)
    lots, bid = solution.inventories[0], solution.offset[:, 0]
    moved = bid[lots == 20] - bid[lots == 0]
    assert moved == pytest.approx(0.1, rel=0.25)  # 1/k; the rule is its limit for small moves


def test_the_lot_is_round_and_reached_by_half_of_the_orders(plain: Calibration) -> None:
    lot = tree_of(plain)["market"]["lot_size"]
    assert 0.5 <= plain.estimates.sizes.share_of_at_least(lot) < 0.8


def test_every_section_says_where_its_numbers_come_from(plain: Calibration) -> None:
    text = plain.problem_text()
    for words in (
        "# A maker of PLAIN, written by `quotegrid calibrate` from best bid/ask and trades.",
        "# Λ is exponential: the share of orders reaching an offset differs from the exponential's by up to",
        "# A quote that joins the touch (0.005 USD from the mid) stands last in its queue",
        "# Adverse selection is left out. After the ",
        "% of the market orders are at least as large",
        "# USD per √s, ± ",
        "# γ, per USD: a choice, no measurement.",
        "maximum likelihood on the",
        'source = "synthetic_quotes, synthetic_trades"',
        'recorded = "1200 s"',
    ):
        assert words in text or words in text.replace("\n# ", " "), words
    assert max(len(line) for line in text.splitlines()) <= 102


def test_a_heavy_touch_is_tabulated_and_warned_of(heavy: Calibration) -> None:
    text = " ".join(heavy.problem_text().replace("\n# ", " ").split())
    assert heavy.estimates.recommended == "table"
    assert "Λ is tabulated: the share of orders reaching an offset differs" in text
    assert "A quote at the touch (0.005 USD from the mid) counts as filled by every order" in text
    assert "times the fills measured: the measured curve jumps across" in text
    assert "BRIDGE  the bid: from 0.005 to" in heavy.summary()
    contrary = " ".join(heavy.problem_text(form="exponential").replace("\n# ", " ").split())
    assert "Λ is exponential, though a table would be the better choice" in contrary


def test_an_inverse_contract_says_its_currency_and_frozen_price(heavy: Calibration) -> None:
    text = " ".join(heavy.problem_text().replace("\n# ", " ").split())
    reference = heavy.estimates.reference
    assert "The contract is inverse: 10 USD each, settled in unit. Profit is counted in USD." in text
    assert (
        f"frozen reference price {reference:.2f} USD, the mean mid: 1 contract = 10/{reference:.2f} = "
        in text
    )
    assert "profit counted in USD" in heavy.summary()


def test_the_frozen_price_of_a_cheap_coin_keeps_its_digits(market: Callable[..., Any]) -> None:
    drawn = market(duration=300.0, price=0.1, tick=0.00001, volatility=0.0002, A=4.0, k=10_000.0).draw(5)
    calibration = calibrate(*drawn, contract_size=10.0, inverse=True)
    reference = f"{calibration.estimates.reference:.6f}"
    assert reference.startswith(("0.09", "0.10"))
    assert f"1 contract = 10/{reference} = " in calibration.problem_text().replace("\n# ", " ")
    assert f"at the frozen mid {reference} USD" in calibration.summary()


def test_the_report_tells_what_the_file_was_asked_to_do(
    plain: Calibration, market: Callable[..., Any]
) -> None:
    power = "as well as chance allows.\n        The problem file uses the power, as asked.\n"
    assert power in plain.summary(form="power") and "as asked" not in plain.summary(form="exponential")
    assert "are 2 coin or more: the lot" in plain.summary(lot_size=2.0)
    moved = calibrate(*market(adverse_move=0.2, duration=600.0, touch_orders=4.0).draw(2), tick_size=0.01)
    assert "The problem file leaves this out unless asked to charge it" in moved.summary()
    assert "The problem file charges every fill what the mid does" in moved.summary(charge_markout=True)
    assert "bid: power" in plain.figure(form="power").axes[0].get_legend_handles_labels()[1]


def test_clocks_that_differ_are_told(market: Callable[..., Any], plain: Calibration) -> None:
    """Trades half a second late begin at prices that no quote before them shows."""
    quotes, trades = market(duration=600.0, volatility=1.0).draw(5)
    late = calibrate(quotes, replace(trades, time_ns=trades.time_ns + 500_000_000), tick_size=0.01)
    assert late.estimates.orders.matched.mean() < 0.2 and late.estimates.mistimed
    assert "CLOCK   Only 1" in late.summary() and "CLOCK" not in plain.summary()
    told = "the clocks of quotes and trades differ, or quotes are missing or come late"
    assert told in " ".join(late.problem_text().replace("\n# ", " ").split())
    assert told not in " ".join(plain.problem_text().replace("\n# ", " ").split())


def test_the_comment_on_the_touch_tells_what_was_nearer(
    market: Callable[..., Any], plain: Calibration
) -> None:
    assert (
        "# USD: the touch, the median half-spread; nothing nearer to the mid was observed"
        in plain.problem_text()
    )
    wide = calibrate(*market(duration=600.0, spreads=(1, 3, 3)).draw(5), tick_size=0.01)
    text = " ".join(wide.problem_text().replace("\n# ", " ").split())
    assert re.search(r"the median half-spread; the market stood nearer to the mid 3[2-5]% of the time", text)


def test_pooled_sides_are_one_flow(market: Callable[..., Any]) -> None:
    drawn = market(duration=300.0, touch_orders=8.0).draw(5)
    calibration = calibrate(*drawn, tick_size=0.01, pool_sides=True)
    (flow,) = tree_of(calibration)["flow"]
    assert flow["side"] == "both"
    assert "Both sides, pooled: " in calibration.problem_text()
    assert "both sides: " in calibration.summary() and "the bid" not in calibration.summary()
    assert "(bid)" not in calibration.problem_text()


def test_the_uncertainty_block_holds_each_measured_parameter(plain: Calibration, heavy: Calibration) -> None:
    """Standard errors and their correlation, of paths that the problem has."""
    tried: tuple[tuple[Calibration, dict[str, Any]], ...] = (
        (plain, {}),
        (plain, {"form": "power"}),
        (heavy, {"charge_markout": True}),
        (heavy, {"form": "table"}),
    )
    for calibration, choices in tried:
        file = calibration.problem_file(**choices)
        stated = file.problem.uncertainty
        assert stated is not None and stated.correlation is not None
        values = [read_path(file.problem, path) for path in stated.parameters]
        assert len(values) == len(set(stated.parameters)) == len(stated.standard_error)
        assert all(error > 0.0 for error in stated.standard_error)
        assert np.linalg.eigvalsh(np.array(stated.correlation))[0] > -1e-9
        assert ("adverse.jump" in stated.parameters[-1]) == bool(choices.get("charge_markout"))
    stated = plain.problem_file().problem.uncertainty
    assert stated is not None
    assert stated.parameters[:3] == (
        "price.volatility",
        "flow.book/bid.intensity.A",
        "flow.book/bid.intensity.k",
    )
    # some 4,200 orders a side: k is known to 1/√4200 = 1.5 %, σ to about 3 %
    assert stated.standard_error[2] == pytest.approx(10.0 / np.sqrt(4200), rel=0.25)
    assert stated.standard_error[0] == pytest.approx(0.4 * 0.031, rel=0.5)


def test_a_correlation_stays_semidefinite_when_it_is_rounded() -> None:
    rng = np.random.default_rng(5)
    for count in (2, 9, 40):
        loads = rng.normal(size=(count, 3))
        matrix = np.corrcoef(loads) if count > 2 else np.array([[1.0, 0.99996], [0.99996, 1.0]])
        rounded = rounded_correlation(np.asarray(matrix))
        assert np.linalg.eigvalsh(rounded)[0] >= 0.0 and np.all(np.diag(rounded) == 1.0)
        assert np.abs(rounded - matrix).max() < 0.001 * count


def test_the_markout_is_charged_when_asked_for(market: Callable[..., Any]) -> None:
    """Every order moves the mid by 0.03 for good: that is the jump, and the quotes move out by it."""
    calibration = calibrate(*market(adverse_move=0.03, duration=1200.0).draw(2), tick_size=0.01)
    plain, charged = tree_of(calibration), tree_of(calibration, charge_markout=True)
    assert all("adverse" not in flow for flow in plain["flow"])
    sides = calibration.estimates.sides
    for flow, side in zip(charged["flow"], sides, strict=True):
        assert flow["adverse"]["on"] == "markout"
        error = calibration.estimates.copies.spread(f"{side.reach.side}.adverse")
        assert flow["adverse"]["jump"] == pytest.approx(0.03, abs=3.0 * error)
        # the fills charged for are those of a quote against the charge: at 1/k + ε
        assert side.adverse.offset == pytest.approx(0.1 + side.adverse.move, abs=0.05)
    text = " ".join(calibration.problem_text(charge_markout=True).replace("\n# ", " ").split())
    assert "Adverse selection is charged to every fill." in text
    assert (
        "The model charges it to fills at every offset. Measured fills earn more than they lose from" in text
    )
    assert "Adverse selection is left out" in calibration.problem_text()


def test_forms_that_fit_better_than_an_exponential_are_advised() -> None:
    """A logistic market with a flat top, and a power with a fat tail, each known well enough."""
    truths: dict[FamilyName, tuple[float, ...]] = {"logistic": (3.0, -2.0, 15.0), "power": (6.0, 0.05, 2.5)}
    for family, parameters in truths.items():
        market = SyntheticMarket(family=family, parameters=parameters, duration=3600.0)
        calibration = calibrate(*market.draw(1), tick_size=0.01, pool_sides=True)
        assert calibration.estimates.recommended == family
        assert f"describe both sides: the problem file uses the {family}." in calibration.summary()
        (flow,) = tree_of(calibration)["flow"]
        assert flow["intensity"]["kind"] == family


def test_a_form_that_the_data_do_not_hold_is_not_advised_and_says_so(plain: Calibration) -> None:
    bid = plain.estimates.bid
    assert bid.fits["logistic"].limit == "an exponential"
    assert plain.estimates.undetermined(bid, "logistic") == ("A", "a", "b")
    assert "is its limit here, an exponential" in plain.summary()
    text = " ".join(plain.problem_text(form="logistic").replace("\n# ", " ").split())
    assert "The data do not tell it from its limit, an exponential." in text


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (
            {"form": "cubic"},
            "form is 'cubic'; it is 'table', 'exponential', 'logistic', 'power', 'linear', or",
        ),
        ({"max_inventory": 1}, "max_inventory is 1; it is a number of lots, 2 or more"),
        ({"lot_size": 0.0}, "lot_size is 0.0; it is a size in units of the asset, above 0"),
    ],
)
def test_choices_that_make_no_problem_are_refused(
    plain: Calibration, choice: dict[str, Any], words: str
) -> None:
    with pytest.raises(MarketDataError, match=words.replace("(", r"\(")):
        plain.problem_file(**choice)


def test_a_symbol_that_no_file_may_hold_is_refused_by_the_problem(market: Callable[..., Any]) -> None:
    calibration = calibrate(*market(duration=300.0).draw(5), tick_size=0.01, symbol="ETH/USD")
    with pytest.raises(ProblemError, match="symbol"):
        calibration.problem_file()


def test_too_little_data_is_refused_with_what_is_missing(market: Callable[..., Any]) -> None:
    with pytest.raises(
        MarketDataError, match=r"market orders reached the bid side in 10 s; .* Record for longer"
    ):
        calibrate(*market(duration=10.0, A=1.0).draw(1), tick_size=0.01)
    with pytest.raises(MarketDataError, match=r"on the bid side .* too few to tell how their rate decays"):
        calibrate(*market(duration=60.0, A=0.2, touch_orders=3.0).draw(1), tick_size=0.01)
    with pytest.raises(MarketDataError, match="queue is 'middle'; it is 'last' or 'first'"):
        neither: Any = "middle"
        calibrate(*market(duration=60.0).draw(1), tick_size=0.01, queue=neither)


@pytest.mark.parametrize(
    ("source", "symbol"),
    [
        ("binance_spot_ethusdt_20240808_09_quotes.csv.gz", "binance_spot_ethusdt_20240808_09"),
        ("EUR.USD-quotes.csv", "EUR-USD"),
        ("quotes.csv", "MARKET"),
        ("quotes", "MARKET"),
    ],
)
def test_a_symbol_is_made_of_the_files_name(source: str, symbol: str) -> None:
    assert symbol_of(source) == symbol


def test_the_summary_fits_a_screen_with_units(plain: Calibration, heavy: Calibration) -> None:
    for calibration in (plain, heavy):
        lines = calibration.summary().splitlines()
        assert len(lines) <= 48 and max(map(len, lines)) <= 112
        for words in ("USD/√s", "per s", " ± ", "market orders; tick 0.01 USD", "begin at the touch"):
            assert words in calibration.summary()
    assert "An exponential describes these orders as well as chance allows" in plain.summary()
    assert (
        "An exponential does not describe the bid and the ask: the problem file uses the table."
        in heavy.summary()
    )


def test_what_the_data_hardly_hold_is_marked(plain: Calibration, heavy: Calibration) -> None:
    marked = 0
    for calibration in (plain, heavy):
        estimates, words = calibration.estimates, calibration.summary()
        assert "? these data hold it to no better than a factor of e" in words
        for side in estimates.sides:
            for name, fitted in side.fits.items():
                if fitted.limit:
                    continue
                _, _, below = words.partition(f"the {side.reach.side}: ")
                (line,) = [line for line in below.splitlines() if line.startswith(f"  {name} ")][:1]
                loose = estimates.undetermined(side, name)
                found = re.findall(r"(\w) = -?[\d.]+ ± [\d.]+(\??)", line)
                assert [key for key, mark in found if mark] == list(loose)
                marked += len(loose)
    assert marked > 0


def test_repairs_are_reported(market: Callable[..., Any]) -> None:
    quotes, trades = market(duration=300.0).draw(5)
    trades = type(trades).clean(
        np.append(trades.time_ns, trades.time_ns[-1] + 1),
        np.append(trades.price, np.nan),
        np.append(trades.size, 1.0),
        np.append(trades.aggressor, 1),
    )
    calibration = calibrate(quotes, trades, tick_size=0.01)
    words = "trades: 1 rows dropped whose price or size is missing, not a number, or not above 0"
    assert words in calibration.summary()
    assert tree_of(calibration)["provenance"]["repairs"] == words


def test_the_figure_has_six_named_panels(plain: Calibration, heavy: Calibration, tmp_path: Path) -> None:
    for calibration in (plain, heavy):
        figure = calibration.figure()
        assert len(figure.axes) == 6
        for axes in figure.axes:
            assert axes.get_title(loc="left") and axes.get_xlabel() and axes.get_ylabel()
        assert "USD" in figure.axes[0].get_xlabel()
        figure.savefig(tmp_path / "fit.png")
        assert (tmp_path / "fit.png").stat().st_size > 50_000


def test_a_problem_file_is_written_whole_or_not_at_all(
    plain: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "problem.toml"
    write_problem(plain, target)
    assert target.read_text(encoding="utf-8") == plain.problem_text()
    assert os.listdir(tmp_path) == ["problem.toml"]

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_problem(plain, target, form="table")
    assert target.read_text(encoding="utf-8") == plain.problem_text()
    assert os.listdir(tmp_path) == ["problem.toml"]


def test_the_recorded_markets_run_end_to_end(recorded: tuple[Path, Path]) -> None:
    """Data to a table and an exponential, each solved: quotes outside the touch, skewed, with a gain."""
    calibration = calibrate(*recorded, asset_unit="ETH")
    assert calibration.estimates.recommended == "table"
    assert "TOUCH   An exponential of all orders" in calibration.summary()
    for form in ("table", "exponential"):
        file = calibration.problem_file(form=form)
        solution = solve(file.problem, numerics=file.numerics, table=file.table)
        assert solution.status == "converged" and solution.gain is not None and solution.gain > 0.0
        lots, (bid, ask) = solution.inventories[0], solution.offset.T
        assert np.all(np.diff(bid[:-1]) >= -1e-9) and np.all(np.diff(ask[1:]) <= 1e-9)  # the skew is monotone
        flat = lots == 0.0
        for offset in (bid[flat], ask[flat]):
            assert (
                0.05 < offset < 0.2
            )  # around the best measured offset, 0.085 to 0.135; half a tick is 0.005
        assert np.nanmin(bid) >= 0.005 and np.nanmin(ask) >= 0.005


def test_the_shipped_perpetual_is_this_calibration(perpetual: tuple[Path, Path], checkout: Path) -> None:
    """The numbers of the example come from the recorded data by this code."""
    calibration = calibrate(*perpetual, symbol="ETH-PERP", asset_unit="ETH", contract_size=10.0, inverse=True)
    shipped = problem_tree(read_problem_file(checkout / "examples" / "eth-perpetual.toml").problem)
    made = problem_tree(calibration.problem_file().problem)
    for section in ("market", "inventory", "price", "preferences", "flow", "horizon"):
        assert shipped[section] == made[section], section
