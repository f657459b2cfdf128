"""The picture of a table: what is drawn, with which numbers and units. (How it looks was judged by eye.)"""

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quotegrid.analysis.figures import policy_figure


def panel(figure: Figure, title: str) -> Axes:
    """The panel whose title starts so."""
    (found,) = (axes for axes in figure.axes if axes.get_title(loc="left").startswith(title))
    return found


def curves(axes: Axes) -> list[np.ndarray]:
    """The y values of the drawn curves, leaving out straight marks."""
    lines = (np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines())
    return [line for line in lines if line.size > 2]


def test_stationary_quotes_stand_around_the_reference(table_by_hand) -> None:
    table = table_by_hand()
    figure = policy_figure(table)
    bid, ask = curves(panel(figure, "Quotes over inventory"))
    np.testing.assert_array_equal(bid, -table.offset[:, 0])
    np.testing.assert_array_equal(ask, table.offset[:, 1])
    (half_spread,) = curves(panel(figure, "Half-spread (USD)"))
    np.testing.assert_allclose(half_spread[1:-1], 0.51, rtol=1e-14)
    (skew,) = curves(panel(figure, "Skew (USD): centre of quotes minus mid"))
    np.testing.assert_allclose(skew[1:-1], -0.02 * table.inventories[0][1:-1], atol=1e-15)
    (value,) = curves(panel(figure, "Value beyond the mark (USD)"))
    np.testing.assert_array_equal(value, table.value)


def test_limits_units_and_gain_are_written(table_by_hand) -> None:
    figure = policy_figure(table_by_hand(tick=0.05))
    quotes = panel(figure, "Quotes over inventory")
    assert quotes.get_xlabel() == "inventory (lots of 0.1)"
    assert quotes.get_ylabel() == "quote minus mid (USD)"
    assert [axis.get_ylabel() for axis in quotes.child_axes] == ["in ticks of 0.05 USD"]
    words = [text.get_text() for text in quotes.texts]
    assert words == ["ask", "bid", "limit \N{MINUS SIGN}4", "limit +4"]
    assert figure.get_suptitle() == "XYZ   ·   gain 0.25 USD per s = 900 USD per h"


def test_finite_horizon_is_shown_at_a_few_times_up_to_its_end(table_by_hand) -> None:
    table = table_by_hand(times=tuple(np.linspace(0.0, 60.0, 7)), units=("tick", "min"))
    figure = policy_figure(table)
    legend = panel(figure, "Quotes over inventory").get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [f"t = {t} min" for t in (0, 30, 50, 60)]
    values = curves(panel(figure, "Value beyond the mark (tick × unit)"))
    np.testing.assert_array_equal(values, table.value[[0, 3, 5, 6]])
    assert figure.get_suptitle() == "XYZ   ·   horizon 60 min"


def test_ladder_shows_every_size_at_the_start(table_by_hand) -> None:
    table = table_by_hand(limit=6, sizes=(1, 2, 5), times=(0.0, 1.0))
    figure = policy_figure(table)
    quotes = panel(figure, "Quotes over inventory")
    legend = quotes.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "at t = 0 s"
    assert [text.get_text() for text in legend.get_texts()] == [
        "size1 (1 lot)",
        "size2 (2 lots)",
        "size5 (5 lots)",
    ]
    assert len(curves(quotes)) == 6
    assert len(curves(panel(figure, "Half-spread (USD) by size, darker is larger"))) == 3
    (value,) = curves(panel(figure, "Value beyond the mark (USD) at t = 0 s"))
    np.testing.assert_array_equal(value, table.value[0])


def test_rounding_is_not_magnified(table_by_hand) -> None:
    low, high = panel(policy_figure(table_by_hand()), "Half-spread").get_ylim()
    assert high - low > 0.01


def test_failed_solve_says_so(table_by_hand) -> None:
    assert "iteration limit" in policy_figure(table_by_hand(status="iteration limit")).get_suptitle()


def test_drawing_changes_no_global_style(table_by_hand) -> None:
    before = dict(matplotlib.rcParams)
    policy_figure(table_by_hand())
    assert dict(matplotlib.rcParams) == before


def test_several_assets_are_refused(table_by_hand) -> None:
    table = table_by_hand(
        symbols=("AAA", "BBB"),
        lot_sizes=(1.0, 1.0),
        inventories=(np.arange(2.0), np.arange(2.0)),
        value=np.zeros((2, 2)),
        offset=np.zeros((2, 2, 2)),
    )
    with pytest.raises(ValueError, match=r"^A policy figure shows one asset; this table has 2: AAA, BBB\.$"):
        policy_figure(table)
