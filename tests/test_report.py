"""The words and numbers of the one-screen report."""

from typing import Any

import numpy as np
import pytest
from rich.console import Console

from quotegrid.report import certificate_text, report


def shown(table, **about: Any) -> list[str]:
    """The report's lines as printed on a screen of 80 columns, without trailing blanks."""
    console = Console(width=80)
    with console.capture() as capture:
        console.print(report(table, **about))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_certificate_bounds_have_units() -> None:
    certificate = {"level": "A", "value_error": 1e-12, "quote_error": 2e-13, "uncertain_ticks": 0}
    text = "level A: value within 1e-12 bp × unit, quotes within 2e-13 bp of the optimum"
    assert certificate_text(certificate, "bp", "bp × unit") == text
    doubtful = certificate_text({**certificate, "uncertain_ticks": 2}, "bp", "bp × unit")
    assert doubtful == f"{text} (2 on a tick whose neighbour may be as good)"
    assert certificate_text({"level": "none", "reason": "no bound"}, "bp", "bp") == "none: no bound"


def test_quotes_over_inventory(table_by_hand) -> None:
    lines = shown(table_by_hand(limit=2))
    assert lines[0] == "XYZ: cara, ergodic"
    rows = [line.split() for line in lines if line.split() and line.split()[0] in ("-2", "-1", "0", "1", "2")]
    # offsets 0.5 + 0.01 (1 ± 2q) off a value of -0.01 q²
    assert rows == [
        ["-2", "0.4700", "off", "off", "off"],
        ["-1", "0.4900", "0.5300", "1.0200", "+0.0200"],
        ["0", "0.5100", "0.5100", "1.0200", "0.0000"],
        ["1", "0.5300", "0.4900", "1.0200", "-0.0200"],
        ["2", "off", "0.4700", "off", "off"],
    ]


def test_time_taken_and_file_are_told_when_known(table_by_hand) -> None:
    told = [line.split(maxsplit=2) for line in shown(table_by_hand(), written="t.nc", seconds=1.234)]
    assert ["time", "taken", "1.23 s"] in told
    assert ["written", "t.nc"] in told
    assert not any(line.startswith(("time taken", "written")) for line in shown(table_by_hand()))


def test_a_failed_solve_says_what_happened(table_by_hand) -> None:
    table = table_by_hand(status="iteration limit", status_message="It did not settle.", notes=("Look out.",))
    lines = [line.split(maxsplit=1) for line in shown(table)]
    assert ["status", "iteration limit: It did not settle."] in lines
    assert ["note", "Look out."] in lines


def test_quotes_over_time_at_a_finite_horizon(table_by_hand) -> None:
    lines = shown(table_by_hand(times=tuple(np.linspace(0.0, 10.0, 11)), units=("tick", "h")))
    assert "Quotes at t = 0 h, as distances from the mid" in lines
    start = lines.index("The same at inventory 0 as time passes")
    assert [line.split()[0] for line in lines[start + 5 : start + 9]] == ["0", "5", "9", "10"]
    assert "lookup error  quotes 0.001 tick, value 0.002 tick × unit between stored times" in lines


def test_ladder_has_a_row_for_every_flow(table_by_hand) -> None:
    lines = shown(table_by_hand(limit=8, sizes=(1, 2, 5)))
    rows = [line.split() for line in lines if "/bid" in line or "/ask" in line]
    assert [row[0] for row in rows] == [f"size{n}/{side}" for n in (1, 2, 5) for side in ("bid", "ask")]
    assert rows[4][1:] == ["5", "0.3900", "0.4700", "0.5500", "off", "off"]
    assert len(lines) <= 40


def test_several_assets_are_refused(table_by_hand) -> None:
    table = table_by_hand(
        symbols=("AAA", "BBB"),
        lot_sizes=(1.0, 1.0),
        inventories=(np.arange(2.0), np.arange(2.0)),
        value=np.zeros((2, 2)),
        offset=np.zeros((2, 2, 2)),
    )
    with pytest.raises(ValueError, match=r"^The report shows one asset; this table has 2: AAA, BBB\.$"):
        report(table)
