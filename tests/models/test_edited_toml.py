"""One number of a problem file's text: what is changed, and that all else stays as it was written."""

from pathlib import Path

import pytest

from quotegrid.models.edited_toml import with_number

REMARK = "chosen for pnl = 3, was 1"


@pytest.mark.parametrize(
    ("example", "path", "before", "after"),
    [
        ("eth-perpetual", "preferences.risk_aversion", "0.00594\n", f"2.5  # {REMARK}\n"),
        (
            "cartea-jaimungal",
            "preferences.running_penalty",
            "0.0001      # φ, USD per unit² and s\n",
            f"2.5      # φ, USD per unit² and s; {REMARK}\n",
        ),
        ("cartea-jaimungal", "horizon.terminal.quadratic", "{ quadratic = 0.0001,", "{ quadratic = 2.5,"),
        ("eth-perpetual", "flow.book/ask.intensity.rate.7", "0.049516, 0.038626]", "0.049516, 2.5]"),
    ],
)
def test_one_number_changes(checkout: Path, example: str, path: str, before: str, after: str) -> None:
    text = (checkout / "examples" / f"{example}.toml").read_text(encoding="utf-8")
    assert text.count(before) == 1
    assert with_number(text, path, 2.5, REMARK) == text.replace(before, after)


def test_every_flow_of_a_name_changes_and_assets_go_by_symbol(checkout: Path) -> None:
    text = (checkout / "examples" / "eth-perpetual.toml").read_text(encoding="utf-8")
    changed = with_number(text, "flow.book.min_offset", 2.5)
    assert changed is not None and changed == text.replace("min_offset = 0.005", "min_offset = 2.5")
    two = '[[asset]]\nmarket = { symbol = "A" }\nprice = { drift = 0 }\n'
    two += '[[asset]]\n[asset.market]\nsymbol = "B"\n[asset.price]\ndrift = 0  # none\n'
    changed = with_number(two, "asset.B.price.drift", 2.5)
    assert changed == two.replace("drift = 0  # none", "drift = 2.5  # none")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# per USD; chosen for pnl = 9, was 4", f"# per USD; {REMARK}"),
        ("# chosen for pnl = 9, was 4", f"# {REMARK}"),
    ],
)
def test_a_later_choice_replaces_the_remark(before: str, after: str) -> None:
    text = "[preferences]\nrisk_aversion = 1.0  {}\n"
    assert with_number(text.format(before), "preferences.risk_aversion", 1.0, REMARK) == text.format(after)


@pytest.mark.parametrize("path", ["flow.book/bid.intensity.A", "price.volatility", "nothing.there"])
def test_what_is_not_written_there_is_not_changed(checkout: Path, path: str) -> None:
    text = (checkout / "examples" / "cartea-jaimungal.toml").read_text(encoding="utf-8")
    assert with_number(text, path, 2.5) is None
