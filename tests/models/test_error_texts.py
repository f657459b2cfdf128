"""What a person reads who got a problem wrong: one test for each mistake, on the whole text."""

import pytest

from quotegrid.models.assets import Asset
from quotegrid.models.faults import ProblemError
from quotegrid.models.flows import FillJump
from quotegrid.models.intensities import Exponential, Power
from quotegrid.models.preferences import MeanVariance
from quotegrid.models.prices import Brownian
from quotegrid.models.problem_file import ProblemFile, parse_problem, read_problem_file
from quotegrid.models.requests import TableRequest

EXPONENTIAL = '{ kind = "exponential", A = 1.0, k = 1.5 }'
TOP = (
    "known here: format, units, asset, market, inventory, price, preferences, flow, horizon, market_orders, "
    "hedging, "
    "factor, correlation, schedule, ambiguity, uncertainty, provenance, table, numerics."
)

# (what is replaced in the file, by what, the text of the error after the file's name)
MISTAKES = {
    "unknown key": (
        "volatility = 0.3",
        "volatility = 0.3\nvolatilty = 0.3",
        "price.volatilty: unknown key of kind 'brownian' (did you mean 'volatility'?); known here: kind, "
        "volatility, "
        "drift, carry, reference.",
    ),
    "unknown section": (
        "[units]",
        "[tabel]\ntimes = 3\n[units]",
        f"tabel: unknown key (did you mean 'table'?); {TOP}",
    ),
    "unknown key, nothing near": (
        "max = 6",
        "max = 6\nwhen = 1",
        "inventory.when: unknown key; known here: max, min, target.",
    ),
    "key of another kind": (
        'kind = "finite"\nduration = 30.0\nterminal = { quadratic = 0.02, absolute = 0.0 }',
        "duration = 30.0",
        "horizon.duration: unknown key of kind 'ergodic'; known here: kind.",
    ),
    "missing key": (
        ", k = 1.5",
        "",
        "flow.book.intensity.k: this key is missing (decay of the fill rate, per price); give it a value.",
    ),
    "missing section": (
        "[inventory]\nmax = 6",
        "",
        "inventory: this key is missing (limits on the inventory, a table [inventory]); give it a value.",
    ),
    "missing kind": (
        'kind = "cara"\n',
        "",
        "preferences.kind: this key is missing; give it one of 'cara', 'mean-variance' or 'crra'.",
    ),
    "text for a number": (
        "volatility = 0.3",
        'volatility = "0.3"',
        "price.volatility: expected a number that is not negative, got the text '0.3'; write it without "
        "quotes.",
    ),
    "truth value for a number": (
        "k = 1.5",
        "k = true",
        "flow.book.intensity.k: expected a number greater than 0, got true.",
    ),
    "number for a text": ('price = "USD"', "price = 1", "units.price: expected a text on one line, got 1."),
    "section within a block": (
        "[horizon]",
        "numerics = 3\n[horizon]",
        "flow.book.numerics: unknown key; known here: name, side, size, intensity, fee, proportional_fee, "
        "adverse, "
        "min_offset, max_offset, tick, latency, last_look.",
    ),
    "list for a number": (
        "volatility = 0.3",
        "volatility = [0.3]",
        "price.volatility: expected a number that is not negative, got a list of 1.",
    ),
    "wrong sign": (
        "volatility = 0.3",
        "volatility = -0.3",
        "price.volatility: expected a number that is not negative, got -0.3.",
    ),
    "zero where it must be positive": (
        "k = 1.5",
        "k = 0.0",
        "flow.book.intensity.k: expected a number greater than 0, got 0.0.",
    ),
    "not finite": (
        "volatility = 0.3",
        "volatility = inf",
        "price.volatility: expected a finite number, got inf.",
    ),
    "half a lot": (
        "size = 1",
        "size = 0.5",
        "flow.book.size: expected a whole number of lots, 1 or more, got 0.5; sizes and inventories count "
        "lots, so "
        "choose a smaller market.lot_size.",
    ),
    "float for a count": (
        "max = 6",
        "max = 6.0",
        "inventory.max: expected a whole number of lots, 0 or more, got 6.0; write 6.",
    ),
    "fee of more than the price": (
        "size = 1",
        "size = 1\nproportional_fee = 1.0",
        "flow.book.proportional_fee: expected a fraction between -1 and 1, ends excluded, got 1.0.",
    ),
    "wrong word": (
        'side = "both"',
        'side = "bids"',
        "flow.book.side: expected 'bid', 'ask' or 'both', got the text 'bids' (did you mean 'bid'?).",
    ),
    "wrong kind": (
        '"exponential"',
        '"exponental"',
        "flow.book.intensity.kind: expected 'exponential', 'logistic', 'power', 'linear' or 'table', got "
        "the text "
        "'exponental' (did you mean 'exponential'?).",
    ),
    "wrong convention": (
        "size = 1",
        'size = 1\nadverse = { on = "fill", jump = 0.1 }',
        "flow.book.adverse.on: expected 'markout', 'fills' or 'market_orders', got the text 'fill' (did you "
        "mean "
        "'fills'?).",
    ),
    "number for an intensity": (
        EXPONENTIAL,
        "1.0",
        "flow.book.intensity: expected a table with the key 'kind', got 1.0.",
    ),
    "later format": ("format = 1", "format = 2", "format: expected 1, got 2."),
    "one bracket": (
        "[[flow]]",
        "[flow]",
        "flow: expected a list, got a table of keys; write [[flow]] with two brackets.",
    ),
    "no flow": (
        '[[flow]]\nname = "book"\nside = "both"\nsize = 1\nintensity = ' + EXPONENTIAL,
        "",
        "flow: this key is missing (streams of fills, blocks [[flow]]); give it a value.",
    ),
    "a name with a dot": (
        '"book"',
        '"b.ook"',
        'flow.b.ook.name: expected a name without "." or "/" (paths are made of names), got the text '
        "'b.ook'.",
    ),
    "a symbol with a slash": (
        '"ETH-PERP"',
        '"ETH/USD"',
        'market.symbol: expected a name without "." or "/" (paths are made of names), got the text '
        "'ETH/USD'.",
    ),
    "a flow twice": (
        "[horizon]",
        '[[flow]]\nname = "book"\nside = "ask"\nintensity = ' + EXPONENTIAL + "\n[horizon]",
        "flow.book/ask: a second flow named 'book' on the ask; give each (name, side) once.",
    ),
    "limits the wrong way round": (
        "max = 6",
        "max = 6\nmin = 7",
        "inventory.min: expected a limit not above max = 6, got 7.",
    ),
    "target outside": (
        "max = 6",
        "max = 6\ntarget = -7",
        "inventory.target: expected an inventory within [-6, 6], got -7.",
    ),
    "target under utility": (
        "max = 6",
        "max = 6\ntarget = 2",
        "inventory.target: expected 0 under preferences.kind = 'cara', got 2; a target needs "
        "'mean-variance'.",
    ),
    "volatility left out": (
        "volatility = 0.3",
        "",
        "price.volatility: this key is missing; these preferences weigh risk by it, so give it a number.",
    ),
    "fee without a price": (
        "size = 1",
        "size = 1\nproportional_fee = 0.001",
        "flow.book.proportional_fee: a fee on the price needs price.reference (the price it is charged at); "
        "add it.",
    ),
    "neither penalty": (
        '"cara"\nrisk_aversion = 0.05',
        '"mean-variance"',
        "preferences: expected exactly one of 'risk_aversion' (γ of ½γσ²q²) and 'running_penalty' (φ of "
        "φq²), got "
        "neither; add one.",
    ),
    "both penalties": (
        '"cara"',
        '"mean-variance"\nrunning_penalty = 0.1',
        "preferences: expected exactly one of 'risk_aversion' (γ of ½γσ²q²) and 'running_penalty' (φ of "
        "φq²), got "
        "both; leave out one.",
    ),
    "running penalty under utility": (
        '"cara"',
        '"cara"\nrunning_penalty = 0.1',
        "preferences.running_penalty: unknown key of kind 'cara'; known here: kind, risk_aversion, "
        "hamiltonian_risk_aversion.",
    ),
    "unsorted offsets": (
        EXPONENTIAL,
        '{ kind = "table", offset = [0.0, 2.0, 1.0], rate = [3.0, 2.0, 1.0] }',
        "flow.book.intensity.offset: expected increasing offsets, got 1.0 after 2.0 (number 3); sort the "
        "knots.",
    ),
    "rates that do not decrease": (
        EXPONENTIAL,
        '{ kind = "table", offset = [0.0, 1.0, 2.0], rate = [3.0, 3.0, 1.0] }',
        "flow.book.intensity.rate: expected values that decrease with the offset, got 3.0 after 3.0 at "
        "offset 1.0; "
        "fit a decreasing curve first or leave out a knot.",
    ),
    "a rate of zero": (
        EXPONENTIAL,
        '{ kind = "table", offset = [0.0, 1.0, 2.0], rate = [3.0, 1.0, 0.0] }',
        "flow.book.intensity.rate: expected rates greater than 0, got 0.0; leave out the knots without "
        "fills.",
    ),
    "a flat end": (
        EXPONENTIAL,
        '{ kind = "table", offset = [0.0, 1.0, 2.0], log_rate = [3.0, 1.0, 0.99] }',
        "flow.book.intensity.log_rate: ln Λ turns flat at the last knot (PCHIP slope 0), so it does not "
        "decrease "
        "beyond it; leave out that knot or the one beside it.",
    ),
    "rates of another number": (
        EXPONENTIAL,
        '{ kind = "table", offset = [0.0, 1.0, 2.0], rate = [3.0, 1.0] }',
        "flow.book.intensity.rate: expected one value for each of the 3 offsets, got 2.",
    ),
    "a single knot": (
        EXPONENTIAL,
        '{ kind = "table", offset = [0.0], rate = [3.0] }',
        "flow.book.intensity.offset: expected two knots or more, got 1.",
    ),
    "a table without rates": (
        EXPONENTIAL,
        '{ kind = "table", offset = [0.0, 1.0] }',
        "flow.book.intensity: expected exactly one of 'log_rate' and 'rate', got neither.",
    ),
    "a table with both": (
        EXPONENTIAL,
        '{ kind = "table", offset = [0, 1], rate = [2, 1], log_rate = [2, 1] }',
        "flow.book.intensity: expected exactly one of 'log_rate' and 'rate', got both.",
    ),
    "unfair intensity": (
        EXPONENTIAL,
        '{ kind = "power", A = 1.0, d = 1.0, k = 0.5 }',
        "flow.book.intensity: not fair at offset 0: ΛΛ'' < 2Λ'² - ξzΛΛ' fails there (ξ = 0.05, z = 0.01), "
        "so no single "
        "offset is best; make the fill rate fall faster there, or keep the flow away from that offset by "
        "min_offset "
        "or max_offset.",
    ),
    "fills beyond the quote scale": (
        "size = 1",
        'size = 1\nadverse = { on = "fills", jump = 0.5 }',
        "flow.book.adverse.jump: ε·max|q|/z = 3 exceeds the quote scale 0.666556, so the maker gains by "
        "moving the "
        "market with its own fills; lower the jump or the inventory limits, or state the loss as on = "
        "'markout'.",
    ),
    "bounds the wrong way round": (
        "size = 1",
        "size = 1\nmin_offset = 2.0\nmax_offset = 1.0",
        "flow.book.max_offset: expected an offset not below min_offset 2.0, got 1.0.",
    ),
    "no tick between the bounds": (
        "size = 1",
        "size = 1\nmin_offset = 0.1\nmax_offset = 0.4\ntick = 0.5",
        "flow.book.tick: no multiple of 0.5 lies in [0.1, 0.4], so nothing can be quoted; widen the bounds.",
    ),
    "times of an endless horizon": (
        'kind = "finite"\nduration = 30.0\nterminal = { quadratic = 0.02, absolute = 0.0 }',
        "[table]\ntimes = 11",
        "table.times: a table has times only where horizon.kind = 'finite', here it is 'ergodic'; leave it "
        "out.",
    ),
    "times beyond the end": (
        "[horizon]",
        "[table]\ntimes = [0.0, 31.0]\n[horizon]",
        "table.times: expected times up to horizon.duration = 30.0, got 31.0.",
    ),
    "unsorted times": (
        "[horizon]",
        "[table]\ntimes = [0.0, 2.0, 1.0]\n[horizon]",
        "table.times: expected increasing times, got 1.0 after 2.0; sort them.",
    ),
    "a single time": (
        "[horizon]",
        "[table]\ntimes = 1\n[horizon]",
        "table.times: expected a count of times, 2 or more, or a list of times, got 1.",
    ),
    "times chosen twice": (
        "[horizon]",
        "[table]\ntimes = 11\nmax_lookup_error = 0.1\n[horizon]",
        "table: 'times' and 'max_lookup_error' both choose the stored times; leave out one.",
    ),
    "unknown method": (
        "[horizon]",
        '[numerics]\nmethod = "policy-iterations"\n[horizon]',
        "numerics.method: expected 'uniformisation', 'runge-kutta', 'extrapolated-euler', 'implicit-euler' "
        "or 'policy-iteration', got "
        "the text 'policy-iterations' (did you mean 'policy-iteration'?).",
    ),
    "no tolerance": (
        "[horizon]",
        "[numerics]\ntolerance = 0.0\n[horizon]",
        "numerics.tolerance: expected a number between 0 and 1, ends excluded, got 0.0.",
    ),
    "steps of another method": (
        "[horizon]",
        "[numerics]\ntime_steps = 100\n[horizon]",
        "numerics.time_steps: only method = 'implicit-euler' takes a number of steps, got none; name it or "
        "leave this "
        "out.",
    ),
    "provenance that is no text": (
        "[horizon]",
        "[provenance]\nversion = 3\n[horizon]",
        "provenance.version: expected a text, got 3; write it in quotes.",
    ),
    "not TOML": (
        "[units]",
        "[units",
        "not valid TOML: expected ']' at the end of a table declaration (at line 3, column 7).",
    ),
    "a key twice": (
        "max = 6",
        "max = 6\nmax = 7",
        "not valid TOML: cannot overwrite a value (at line 13, column 8).",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_one_sentence(mistake, file_text):
    old, new, text = MISTAKES[mistake]
    assert file_text.count(old) == 1
    with pytest.raises(ProblemError) as error:
        parse_problem(file_text.replace(old, new), source="problem.toml")
    assert str(error.value) == f"problem.toml: {text}"


def test_all_mistakes_of_a_file_at_once(file_text):
    text = (
        file_text.replace("volatility = 0.3", 'volatility = "x"')
        .replace("max = 6", "")
        .replace("k = 1.5", "k = -1")
    )
    with pytest.raises(ProblemError) as error:
        parse_problem(text + "[table]\ntims = 3\n", source="problem.toml")
    assert str(error.value).splitlines() == [
        "problem.toml: 4 faults.",
        "  inventory.max: this key is missing (highest inventory, lots); give it a value.",
        "  price.volatility: expected a number that is not negative, got the text 'x'.",
        "  flow.book.intensity.k: expected a number greater than 0, got -1.0.",
        "  table.tims: unknown key (did you mean 'times'?); known here: times, max_lookup_error, factors, "
        "parameters.",
    ]


def test_the_error_names_the_file(tmp_path, file_text):
    path = tmp_path / "mine.toml"
    path.write_text(file_text.replace("max = 6", "max = -6"), encoding="utf-8")
    with pytest.raises(ProblemError) as error:
        read_problem_file(path)
    assert str(error.value) == (f"{path}: inventory.max: expected a whole number of lots, 0 or more, got -6.")
    path.write_bytes(file_text.replace("USD", "€").encode("latin-1", errors="replace") + b"\xff")
    with pytest.raises(
        ProblemError, match=r"mine.toml: not a text in UTF-8 \(byte \d+\); save it as UTF-8.$"
    ):
        read_problem_file(path)


# The same mistakes from Python read the same, with the class in the place of the file.
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"price": Brownian()},
            "Problem: price.volatility: this key is missing; these preferences weigh risk by it, so give it "
            "a number.",
        ),
        (
            {"horizon": {"kind": "finite", "duration": -1}},
            "Problem: horizon.duration: expected a number greater than 0, got -1.0.",
        ),
        (
            {"units": {"price": "USD"}},
            "Problem: units.time: this key is missing (unit of time); give it a value.",
        ),
        (
            {"preferences": "cara"},
            "Problem: preferences: expected a table with the key 'kind', got the text 'cara'.",
        ),
        ({"assets": ()}, "Problem: assets: expected at least one entry, got none; add one."),
        ({"assets": None}, "Problem: assets: expected a list, got None; write it in brackets."),
    ],
)
def test_mistakes_in_python(make_problem, changes, text):
    with pytest.raises(ProblemError) as error:
        make_problem(**changes)
    assert str(error.value) == text


def test_mistakes_inside_blocks_given_as_blocks(make_problem, make_flow):
    power = make_flow(intensity=Power(A=1, d=1, k=0.5))
    pushed = make_flow(name="other", adverse=FillJump(jump=9))
    with pytest.raises(ProblemError) as error:
        make_problem(flow=(power, pushed), preferences=MeanVariance(running_penalty=1))
    assert [fault.path for fault in error.value.faults] == ["flow.book.intensity", "flow.other.adverse.jump"]
    with pytest.raises(ProblemError, match=r"^Exponential: k: this key is missing \(decay of the fill rate"):
        Exponential.of_table({"A": 1.0})
    with pytest.raises(ProblemError, match=r"^Asset: 3 faults."):
        Asset.of_table({})


def test_a_request_that_does_not_fit_from_python(make_problem):
    with pytest.raises(ProblemError) as error:
        ProblemFile(problem=make_problem(horizon={"kind": "ergodic"}), table=TableRequest(times=3))
    assert str(error.value) == (
        "ProblemFile: table.times: a table has times only where horizon.kind = 'finite', here it is "
        "'ergodic'; "
        "leave it out."
    )
