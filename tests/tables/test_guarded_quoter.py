"""The guards: shared moments to the last bit, and each refusal with its words."""

import dataclasses
import math
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quotegrid.tables.canonical_json import canonical_json
from quotegrid.tables.conformance.made_up_tables import conformance_tables
from quotegrid.tables.conformance.prices import TABLES as PRICED
from quotegrid.tables.conformance.prices import prices_file
from quotegrid.tables.conformance.vectors import ROWS
from quotegrid.tables.guarded_quoter import GuardedQuoter, Moment, Price
from quotegrid.tables.lookup import BETWEEN, OUTSIDE, REFUSALS, Market, QuoteError
from quotegrid.tables.policy_table import PolicyTable, canonical_numbers
from quotegrid.tables.safetensors_file import safetensors_bytes, table_of_bytes

TESTS = Path(__file__).resolve().parent
FOLDER = TESTS.parents[1] / "tables"
TABLES = dict(conformance_tables())
START = 1.7e9


def check_prices(file: bytes) -> Counter[int]:
    """Every row of a file of moments against our quoter; how many there were of each refusal."""
    magic, words, rows, width = struct.unpack_from("<8s3q", file)
    assert magic == b"QGPRICES"
    start = 64 + 8 * words
    table = table_of_bytes(memoryview(file[64:start]), "moments")
    axes, assets = len(table.lattice_shape), len(table.symbols)
    kinds = "".join("q" if place == table.regime_axis else "d" for place in range(axes))
    form = struct.Struct(f"<4q{kinds}d{4 * assets}dq" + "qqd" * len(table.flows))
    assert form.size == 8 * width
    found: Counter[int] = Counter()
    for number in range(rows):
        row = list(form.unpack_from(file, start + 8 * width * number))
        (between, outside, inward, post_only), coordinates = row[:4], row[4 : 4 + axes]
        now, numbers = row[4 + axes], row[5 + axes : 5 + axes + 4 * assets]
        refusal, answer = row[5 + axes + 4 * assets], row[6 + axes + 4 * assets :]
        regime = None if table.regime_axis is None else coordinates.pop(table.regime_axis)
        given = dict(zip([axis.name for axis in table.axes], coordinates, strict=True))
        market = Market(
            regime,
            {axis.name: given[axis.name] for axis in table.factors},
            {axis.name: given[axis.name] for axis in table.parameter_axes},
        )
        quoter = GuardedQuoter(
            table,
            table.symbols,
            numbers[0::4],
            "inward" if inward else "outward",
            bool(post_only),
            BETWEEN[between],
            OUTSIDE[outside],
        )
        moment = Moment(
            tuple(coordinates[-assets:]),
            tuple(numbers[1::4]),
            tuple(numbers[2::4]),
            tuple(numbers[3::4]),
            now,
            given.get("time"),
            market,
        )
        found[refusal] += 1
        if refusal:
            with pytest.raises(QuoteError) as caught:
                quoter.prices(moment)
            assert caught.value.rule == REFUSALS[refusal - 1], (number, moment)
            continue
        for price, place in zip(quoter.prices(moment).values(), range(0, len(answer), 3), strict=True):
            quoted, ticks, worth = answer[place : place + 3]
            assert (price is not None) == quoted, (number, moment)
            assert price is None or (price.ticks, price.price) == (ticks, worth), (number, moment)
    return found


def test_shared_moments() -> None:
    """Every file, and together every refusal that needs no other program to be loaded."""
    found: Counter[int] = Counter()
    for name in PRICED:
        file = (FOLDER / "conformance" / f"{name}.prices").read_bytes()
        assert file == b"".join(prices_file(name, TABLES[name], ROWS))
        counts = check_prices(file)
        assert counts[0] > 20, name
        found += counts
    assert {REFUSALS[number - 1] for number in found if number} == set(REFUSALS) - {
        *("wrong-symbol", "wrong-tick", "wrong-coordinates")
    }


@pytest.mark.deep
def test_many_moments() -> None:
    for name in PRICED:
        assert sum(check_prices(b"".join(prices_file(name, TABLES[name], 20_000))).values()) == 20_000


def quoter(table: PolicyTable, tick: float = 0.01, **choices: Any) -> GuardedQuoter:
    return GuardedQuoter(table, table.symbols, [tick] * len(table.symbols), **choices)


MOMENT = Moment(
    inventory=0, reference=100.0, now=START + 60.0, time=5.0, market=Market(factors={"alpha": 0.0})
)


@pytest.mark.parametrize(
    ("changes", "rule", "text"),
    [
        ({"now": None}, "wrong-coordinates", "this table has a start: give the time now, Unix seconds"),
        ({"now": math.nan}, "not-a-number", "now nan is not a finite number"),
        ({"now": START - 2.0}, "too-early", "now is 2 s before the table may be used"),
        (
            {"now": START + 86401.0},
            "expired",
            "the table expired 1 s ago: its life is 86400 s; publish",
        ),
        ({"reference": math.nan}, "not-a-number", "ASSET0: reference price nan, best bid -inf, best ask inf"),
        ({"best_bid": math.nan}, "not-a-number", "ASSET0: reference price 100.0, best bid nan"),
        (
            {"reference": 10000.0},
            "outside-price-box",
            "ASSET0: the reference price 10000 USD is outside of 90 to 120, for which this table is meant; "
            "are prices in USD, not in ticks?",
        ),
        (
            {"best_bid": 100.1, "best_ask": 100.1},
            "crossed-market",
            "ASSET0: the market is crossed: best bid 100.1, best ask 100.1 USD",
        ),
        ({"best_ask": 10**400}, "not-a-number", "ASSET0: reference price 100.0, best bid -inf, best ask nan"),
        ({"now": 10**400}, "not-a-number", f"now 1{'0' * 79} is not a finite number"),
        ({"inventory": 10**400}, "not-a-number", "ASSET0: inventory nan is not a finite number"),
        ({"inventory": math.inf}, "not-a-number", "ASSET0: inventory inf is not a finite number"),
        ({"inventory": (0, 0)}, "wrong-coordinates", "inventory (0, 0): give one number for each of ASSET0"),
        (
            {"inventory": b"\x01"},
            "not-a-number",
            "inventory b'\\x01' is not a number; give one, or for several",
        ),
        ({"inventory": "0"}, "not-a-number", "inventory '0' is not a number; give one"),
        ({"inventory": True}, "not-a-number", "inventory True is not a number"),
        ({"inventory": np.zeros(1)}, "not-a-number", "inventory array([0.]) is not a number; give one"),
        ({"best_bid": None}, "not-a-number", "best_bid None is not a number; give one"),
        ({"inventory": 0.5}, "between-nodes", "inventory 0.5 lots is between the nodes 0 and 1"),
        ({"time": 0.5}, "outside-box", "time 0.5 µs is outside the table, which runs from 1 to 9"),
        ({"market": Market(factors={"alpha": -0.75})}, "outside-box", "alpha -0.75 is outside the table"),
        ({"market": None}, "wrong-coordinates", "this table needs the factor alpha"),
    ],
)
def test_refusals(changes: dict[str, Any], rule: str, text: str) -> None:
    with pytest.raises(QuoteError) as caught:
        quoter(TABLES["box"]).prices(MOMENT._replace(**changes))
    assert caught.value.rule == rule
    assert str(caught.value).startswith(text)


def test_an_unknown_regime_is_refused() -> None:
    with pytest.raises(QuoteError) as caught:
        quoter(TABLES["regimes"]).prices(Moment(0, 100.0, market=Market(regime=3)))
    assert caught.value.rule == "unknown-regime"


@pytest.mark.parametrize(
    ("symbols", "ticks", "rule", "text"),
    [
        (("ETH",), (0.01,), "wrong-symbol", "symbols ETH: this table is for ASSET0"),
        (("ASSET0", "ASSET0"), (0.01,), "wrong-symbol", "symbols ASSET0, ASSET0: this table is for ASSET0"),
        (
            ("ASSET0",),
            (0.0,),
            "wrong-tick",
            "ticks (0.0,): give one positive number of USD, at most 1e+290, for each of",
        ),
        (("ASSET0",), (math.nan,), "wrong-tick", "ticks (nan,): give one positive number"),
        (("ASSET0",), (0.01, 0.01), "wrong-tick", "ticks (0.01, 0.01): give one positive number"),
        (("ASSET0",), ("0.01",), "wrong-tick", "ticks ('0.01',): give one positive number"),
        (("ASSET0",), (10**400,), "wrong-tick", "ticks (1000"),
        (("ASSET0",), (1.1e290,), "wrong-tick", "ticks (1.1e+290,)"),
    ],
)
def test_refusals_at_load(symbols: tuple[str, ...], ticks: Any, rule: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(safetensors_bytes(TABLES["ergodic"]))
    assert GuardedQuoter.load(path, ("ASSET0",), (0.01,)).table == TABLES["ergodic"]
    with pytest.raises(QuoteError) as caught:
        GuardedQuoter.load(path, symbols, ticks)
    assert caught.value.rule == rule
    assert str(caught.value).startswith(text)


def test_a_choice_that_is_none() -> None:
    with pytest.raises(QuoteError, match=r"rounding='up' is no choice; allowed: outward, inward"):
        quoter(TABLES["ergodic"], rounding="up")


@pytest.mark.parametrize("beyond", [2.5, 7.0, 1e9])
def test_beyond_the_limits_only_the_reducing_side_is_quoted(table_by_hand: Any, beyond: float) -> None:
    """The limits of the box, -2 and 2, are narrower than the axis, so both sides are quoted at its edge."""
    table = dataclasses.replace(table_by_hand(limit=4), box=canonical_numbers(np.array([[-2.0, 2.0]])))
    guarded = quoter(table)
    for inventory, side in ((beyond, "ask"), (-beyond, "bid")):
        found = guarded.prices(Moment(inventory, 100.0))
        edge = guarded.prices(Moment(math.copysign(2.0, inventory), 100.0))
        assert None not in edge.values()
        assert found == {label: price if label.endswith(side) else None for label, price in edge.items()}


def one_state(table_by_hand: Any, half_spread: float) -> PolicyTable:
    """A table that quotes half_spread away from the reference price on both sides when flat."""
    table = table_by_hand(limit=1)
    offset = table.offset.copy()
    offset[1] = half_spread
    return PolicyTable.from_solution(_with_offset(table, offset))


def _with_offset(table: PolicyTable, offset: Any) -> Any:
    fields = {name: getattr(table, name) for name in PolicyTable.__dataclass_fields__}
    return SimpleNamespace(**fields | {"offset": offset})


@pytest.mark.parametrize(
    ("rounding", "post_only", "half", "best_bid", "best_ask", "bid", "ask"),
    [
        ("outward", True, 0.013, -math.inf, math.inf, 9998, 10002),  # 99.987 and 100.013
        ("inward", True, 0.013, -math.inf, math.inf, 9999, 10001),
        ("outward", True, 0.02, -math.inf, math.inf, 9998, 10002),  # on ticks: they stay
        ("inward", True, 0.02, -math.inf, math.inf, 9998, 10002),
        ("inward", True, 0.003, -math.inf, math.inf, 9999, 10001),  # inward they would meet: outward
        ("outward", True, 0.02, 99.9, 99.97, 9996, 10002),  # through the best ask: one tick below it
        ("outward", False, 0.02, 99.9, 99.97, 9997, 10002),  # at it, but never through it
        ("outward", True, 0.02, 100.05, 100.1, 9998, 10006),
        ("outward", False, 0.02, 100.05, 100.1, 9998, 10005),
        ("outward", True, 0.02, 99.9, 99.975, 9997, 10002),  # between ticks: the tick below does not meet it
        ("outward", False, 0.02, 100.055, 100.1, 9998, 10006),
    ],
)
def test_ticks_and_the_book(
    table_by_hand: Any,
    rounding: str,
    post_only: bool,
    half: float,
    best_bid: float,
    best_ask: float,
    bid: int,
    ask: int,
) -> None:
    table = one_state(table_by_hand, half)
    guarded = quoter(table, rounding=rounding, post_only=post_only)
    found = guarded.prices(Moment(0, 100.0, best_bid, best_ask))
    assert list(found.values()) == [Price(bid, bid * 0.01), Price(ask, ask * 0.01)]


def test_quotes_that_cross_each_other_are_refused(table_by_hand: Any) -> None:
    with pytest.raises(QuoteError) as caught:
        quoter(one_state(table_by_hand, -0.02)).prices(Moment(0, 100.0))
    assert caught.value.rule == "crossed-quotes"
    assert str(caught.value) == "XYZ: the highest bid, 100.02, would meet the lowest ask, 99.98 USD"


def test_prices_beyond_what_ticks_can_tell_are_refused() -> None:
    with pytest.raises(QuoteError, match=r"a price of 1e\+18 USD is 1e\+20 ticks"):
        quoter(TABLES["ergodic"]).prices(Moment(0, 1e18))


GUARDS_IN_C = r"""
#include <stdio.h>
#include <stdlib.h>
#include "quotegrid.h"
int main(int count, char **words) {
    static uint64_t bytes[1 << 12];
    static char text[1 << 14];
    FILE *file = fopen(words[1], "rb");
    size_t size = file && count > 1 ? fread(bytes, 1, sizeof bytes, file) : 0;
    qg_table table;
    qg_guarded_quoter quoter;
    qg_rules rules = {QG_EXACT, QG_REFUSE};
    const char *right[] = {"XYZ"}, *wrong[] = {"ETH"};
    double tick = 0.01, none = 0.0, lots = 0, price = 100;
    qg_price prices[4];
    puts(qg_error_name(qg_read(&table, bytes, size, QG_CHECK_ALL)));
    puts(qg_error_name(qg_guard(&quoter, &table, 1, wrong, &tick, rules, QG_OUTWARD, 1)));
    puts(qg_error_name(qg_guard(&quoter, &table, 2, right, &tick, rules, QG_OUTWARD, 1)));
    puts(qg_error_name(qg_guard(&quoter, &table, 1, right, &none, rules, QG_OUTWARD, 1)));
    puts(qg_error_name(qg_guard(&quoter, &table, 1, right, &tick, rules, QG_OUTWARD, 1)));
    qg_moment moment;
    memset(&moment, 0, sizeof moment);
    puts(qg_error_name(qg_prices(&quoter, &moment, prices)));
    moment.state.inventory = &lots;
    moment.reference = &price;
    puts(qg_error_name(qg_prices(&quoter, &moment, prices)));
    for (int f = 0; f < table.flow_count; f++) printf("%lld ", (long long)prices[f].ticks);
    moment.state.time = &price;
    puts(qg_error_name(qg_prices(&quoter, &moment, prices)));
    printf("%d %d %d\n", qg_place(&table, QG_T_SYMBOL, "XYZ"), qg_place(&table, QG_T_SYMBOL, "ETH"),
           qg_place(&table, QG_T_REGIME, "calm"));
    printf("%.64s\n", qg_content_hash(&table));
    size_t length = qg_metadata(&table, text, sizeof text);
    printf("%lu\n%s\n", (unsigned long)length, text);
    qg_metadata(&table, text, 5);
    puts(text);
    return 0;
}
"""


def test_what_shared_moments_do_not_reach_in_c(table_by_hand: Any, tmp_path: Path) -> None:
    """Loading, what is not given, and words."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here to build the C reader with")
    (tmp_path / "guards.c").write_text(GUARDS_IN_C, encoding="utf-8")
    program, table = tmp_path / "guards", table_by_hand()
    (tmp_path / "t.safetensors").write_bytes(safetensors_bytes(table))
    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{FOLDER / 'readers' / 'c'}"]
    command += [str(tmp_path / "guards.c"), "-o", str(program), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([program, tmp_path / "t.safetensors"], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    ticks = [0 if price is None else price.ticks for price in quoter(table).prices(Moment(0, 100.0)).values()]
    assert lines[:7] == [
        *("ok", "wrong-symbol", "wrong-symbol", "wrong-tick", "ok", "wrong-coordinates", "ok"),
    ]
    assert lines[7] == " ".join(map(str, ticks)) + " wrong-coordinates"
    assert lines[8:10] == ["0 -1 -1", table.content_hash]
    plain = canonical_json(table.metadata())
    assert lines[10:] == [str(len(plain)), plain, plain[:4]]
