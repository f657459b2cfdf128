"""The quoter: its answers, its JSON form, what it loads and what it does without."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quotegrid.tables import PolicyTable, QuoteError, Quoter, TableError, write_safetensors


@pytest.fixture
def path(solved, tmp_path: Path) -> Path:
    file = tmp_path / "glft.safetensors"
    write_safetensors(solved("glft"), file)
    return file


def test_every_node_gives_the_stored_numbers(solved) -> None:
    for name in ("glft", "ladder"):
        table = solved(name)
        quoter = Quoter(table)
        for row, lots in enumerate(table.inventories[0]):
            quote = quoter.quote(int(lots))
            stored = [None if math.isnan(x) else x for x in table.offset[row].tolist()]
            assert list(quote.offsets.values()) == stored
            assert list(quote.offsets) == list(table.flow_labels) == list(quoter.flows)
            assert quote.value == table.value[row]
            assert quote.gain == table.gain


def test_every_node_and_time_gives_the_stored_numbers(solved) -> None:
    table = solved("finite-ladder")
    quoter = Quoter(table)
    assert table.times is not None
    for step, time in enumerate(table.times):
        for row, lots in enumerate(table.inventories[0]):
            np.testing.assert_array_equal(quoter.offsets(float(lots), float(time)), table.offset[step, row])
            assert quoter.quote(float(lots), float(time)).value == table.value[step, row]


def test_load_maps_a_file(path: Path, solved) -> None:
    quoter = Quoter.load(path)
    assert quoter.table == solved("glft")
    assert quoter.quote(3) == Quoter(solved("glft")).quote(3)


def test_load_refuses_a_changed_file(path: Path) -> None:
    file = bytearray(path.read_bytes())
    file[-100] ^= 1
    path.write_bytes(file)
    with pytest.raises(TableError) as caught:
        Quoter.load(path)
    assert caught.value.rule == "content-hash"


def test_load_takes_the_rules(path: Path) -> None:
    assert Quoter.load(path, between="linear", outside="clamp").quote(9.5).clamped == ("inventory",)
    with pytest.raises(QuoteError):
        Quoter.load(path).quote(9.5)


def test_is_shown_with_its_rules_and_its_table(solved) -> None:
    shown = repr(Quoter(solved("glft"), between="linear"))
    assert shown == f"<Quoter, between='linear', outside='refuse', from\n {solved('glft')!r}>"


def test_json_form(path: Path, solved) -> None:
    """Key by key as the command prints it; the last stored inventory is a limit, where the bid is off."""
    quoter, table = Quoter.load(path), solved("glft")
    assert list(quoter.quote(4).to_json()) == [
        *("inventory", "offsets", "value", "gain", "hedge_rate", "market_order"),
    ]
    text = json.dumps(quoter.quote(4).to_json(), allow_nan=False)
    ask, value, gain = float(table.offset[-1, 1]), float(table.value[-1]), table.gain
    assert text == (
        f'{{"inventory": 4, "offsets": {{"book/bid": null, "book/ask": {ask!r}}}, "value": {value!r}, '
        f'"gain": {gain!r}, "hedge_rate": null, "market_order": null}}'
    )


@pytest.mark.parametrize(
    ("inventory", "text"),
    [
        (3, "3"),
        (3.0, "3"),
        (-2, "-2"),
        (2.5, "2.5"),
        (np.int64(1), "1"),
        (np.float64(0.5), "0.5"),
        ([2], "2"),
    ],
)
def test_json_form_of_inventories(solved, inventory, text: str) -> None:
    quote = Quoter(solved("glft"), between="linear").quote(inventory)
    assert json.dumps(quote.to_json()["inventory"]) == text


def test_gain_is_null_without_an_ergodic_horizon(solved) -> None:
    assert Quoter(solved("discounted")).quote(0).to_json()["gain"] is None
    assert Quoter(solved("finite")).quote(0, 1.0).to_json()["gain"] is None


def test_several_assets(two_assets: PolicyTable) -> None:
    quoter = Quoter(two_assets, between="linear", outside="clamp")
    quote = quoter.quote((1, -1), 0.0)
    assert list(quote.offsets) == [f"ASSET{n}/flow{n}/{side}" for n in range(2) for side in ("bid", "ask")]
    assert two_assets.hedge_rate is not None
    assert two_assets.market_order is not None
    assert quote.hedge_rate == tuple(two_assets.hedge_rate[0, 3, 0])
    assert quote.market_order == tuple(two_assets.market_order[0, 3, 0])
    plain = quote.to_json()
    assert plain["inventory"] == [1, -1]
    assert plain["market_order"] == [int(x) for x in two_assets.market_order[0, 3, 0]]
    assert quoter.quote([1.5, 7], 2.0).clamped == ("time", "inventory_ASSET1")


def test_the_answer_names_what_was_clamped(solved) -> None:
    quoter = Quoter(solved("finite"), outside="clamp")
    assert quoter.quote(4, 8.0).clamped == ()
    assert quoter.quote(5, 8.0).clamped == ("inventory",)
    assert quoter.quote(5, 8.5).clamped == ("time", "inventory")
    assert quoter.quote(5, 8.5).offsets == quoter.quote(4, 8.0).offsets


def test_a_question_changes_nothing(solved) -> None:
    quoter = Quoter(solved("glft"))
    first = quoter.quote(1)
    first.offsets["book/bid"] = 99.0
    assert quoter.quote(1).offsets["book/bid"] != 99.0


# What `import quotegrid.tables` may load besides the standard library.
ALONE = """
import sys, sysconfig

class NumpyOnly:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names | {"numpy", "quotegrid"}:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, NumpyOnly())
from quotegrid.tables.quoter import Quoter
import quotegrid.tables
quote = Quoter.load(sys.argv[1], between="linear").quote(0.5)
print(quote.to_json())
loaded = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(sorted(name for name in loaded if not name.startswith("_")))
"""


def test_quotes_with_numpy_alone(path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", ALONE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer, loaded = done.stdout.splitlines()
    assert answer == str(Quoter.load(path, between="linear").quote(0.5).to_json())
    assert set(json.loads(loaded.replace("'", '"'))) <= {
        "numpy",
        "quotegrid",
        "sitecustomize",
        "distutils-precedence",
    }
