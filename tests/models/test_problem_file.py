"""Problem files: exact round trips, one canonical text, comments, the hash and the schema."""

import json
import math
import tomllib

import hypothesis.strategies as st
import jax.numpy as jnp
import jsonschema
import pytest
from hypothesis import given, settings

from quotegrid.models.assets import Asset, Inventory, Market
from quotegrid.models.faults import ProblemError
from quotegrid.models.flows import Flow, MarketOrderJump, Markout
from quotegrid.models.horizons import Discounted, Ergodic, Finite, Terminal
from quotegrid.models.intensities import Exponential, Linear, Logistic, Power
from quotegrid.models.paths import replace
from quotegrid.models.preferences import Cara, MeanVariance
from quotegrid.models.prices import Brownian
from quotegrid.models.problem import Problem, Units
from quotegrid.models.problem_file import (
    ProblemFile,
    canonical_json,
    dumps,
    json_schema,
    parse_problem,
    problem_hash,
    read_problem_file,
    write_problem_file,
)
from quotegrid.models.problem_tree import ORDER, problem_tree
from quotegrid.models.requests import Numerics, TableRequest
from quotegrid.models.tabulated import Tabulated
from quotegrid.models.uncertainty import Uncertainty

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

# Any double, of any size: what is written must read back to the same bits.
positive = st.floats(min_value=1e-300, max_value=1e300, allow_subnormal=False)
number = st.floats(min_value=-1e300, max_value=1e300)
moderate = st.floats(0.1, 10.0)
word = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="./"), min_size=1, max_size=9)
name = word | st.builds("{} {}".format, word, word)
label = word | st.builds("{} / {}.".format, word, word)
intensity = st.one_of(
    st.builds(Exponential, A=positive, k=positive),
    st.builds(Logistic, A=positive, a=number, b=positive),
    st.builds(Power, A=positive, d=moderate, k=st.floats(1.5, 5.0)),
    st.builds(Linear, A=positive, d=positive),
    st.builds(
        lambda a, b: Tabulated(offset=[-a, 0.0, b, 2.0 * b], log_rate=[a, 0.0, -1.2 * b, -2.7 * b]),
        st.floats(0.5, 3.0),
        st.floats(0.5, 3.0),
    ).filter(lambda table: table.unfair_offset(-math.inf, math.inf, 1.0, 0.0) is None),
)
flows = st.lists(
    st.builds(
        Flow,
        name=name,
        side=st.sampled_from(["bid", "ask", "both"]),
        size=st.integers(1, 100),
        intensity=intensity,
        fee=number,
        proportional_fee=st.floats(-0.5, 0.5),
        adverse=st.none()
        | st.builds(Markout, jump=number)
        | st.builds(MarketOrderJump, jump=positive, arrival_rate=st.none() | positive),
        max_offset=st.none() | st.floats(0.0, 1e300),
        tick=st.none() | st.just(0.25),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda flow: flow.name,
).map(tuple)
assets = st.builds(
    Asset,
    market=st.builds(Market, symbol=name, lot_size=moderate, tick_size=st.none() | positive, reference=label),
    inventory=st.builds(Inventory, max=st.integers(0, 50), min=st.none() | st.integers(-60, 0)),
    price=st.builds(Brownian, volatility=positive, drift=number, carry=number, reference=positive),
    flow=flows,
)
problems = st.builds(
    Problem,
    units=st.builds(Units, price=label, time=label),
    assets=assets.map(lambda asset: (asset,)),
    preferences=st.builds(MeanVariance, risk_aversion=positive)
    | st.builds(Cara, risk_aversion=positive, hamiltonian_risk_aversion=st.just(0.0)),
    horizon=st.builds(Finite, duration=positive, terminal=st.builds(Terminal, quadratic=positive))
    | st.builds(Discounted, rate=positive)
    | st.just(Ergodic()),
    provenance=st.none() | st.dictionaries(name, label, max_size=3),
)


@settings(max_examples=40)
@given(problems)
def test_problem_to_file_to_problem_is_equal_to_the_last_bit(problem):
    text = dumps(problem)
    again = parse_problem(text)
    assert again == ProblemFile(problem=problem)
    assert dumps(again) == text
    assert canonical_json(again.problem) == canonical_json(problem)


@settings(max_examples=40)
@given(problems)
def test_every_problem_fits_the_schema(problem):
    VALIDATOR.validate(json.loads(canonical_json(problem)))
    VALIDATOR.validate(tomllib.loads(dumps(problem)))


@settings(max_examples=40)
@given(problems)
def test_canonical_json_to_problem(problem):
    assert parse_problem(json.loads(canonical_json(problem))).problem == problem


def test_requests_travel_with_the_file(make_problem):
    file = ProblemFile(
        problem=make_problem(),
        table=TableRequest(times=(0.0, 0.1 + 0.2, 30.0)),
        numerics=Numerics(method="implicit-euler", time_steps=7, tolerance=1e-7),
    )
    text = dumps(file)
    assert parse_problem(text) == file and dumps(parse_problem(text)) == text
    assert "[table]\ntimes = [0.0, 0.30000000000000004, 30.0]\n" in text
    VALIDATOR.validate(tomllib.loads(text))


CANONICAL = """\
format = 1

[units]
price = "USD"
time = "s"

[market]
symbol = "ETH-PERP"
lot_size = 0.01
reference = "mid"

[inventory]
max = 6
target = 0

[price]
kind = "brownian"
volatility = 0.3
drift = 0.0
carry = 0.0

[preferences]
kind = "cara"
risk_aversion = 0.05

[[flow]]
name = "book"
side = "both"
size = 1
intensity = { kind = "exponential", A = 1.0, k = 1.5 }
fee = 0.0
proportional_fee = 0.0

[horizon]
kind = "finite"
duration = 30.0
terminal = { quadratic = 0.02, absolute = 0.0 }
"""


def test_the_canonical_text(file_text, make_problem):
    assert dumps(read_problem_file(file_text)) == CANONICAL
    assert dumps(make_problem()) == CANONICAL
    assert dumps(read_problem_file(CANONICAL)) == CANONICAL


def test_order_and_spelling_of_a_file_do_not_matter(file_text):
    spelled = file_text.replace("volatility = 0.3", "drift = 0\nvolatility = 3e-1\nkind = 'brownian'")
    start = spelled.index("[horizon]")
    moved = spelled[start:].replace("terminal = {", "terminal={") + spelled[:start].removeprefix(
        "format = 1\n"
    )
    assert dumps(parse_problem(moved)) == CANONICAL


def test_reading_by_path_and_writing(tmp_path, make_problem):
    path = tmp_path / "problem.toml"
    write_problem_file(path, make_problem())
    assert read_problem_file(path) == read_problem_file(str(path)) == ProblemFile(problem=make_problem())
    with pytest.raises(FileNotFoundError):
        read_problem_file(tmp_path / "absent.toml")


def test_long_tables_get_a_section_of_their_own(make_problem, make_flow):
    offsets = [0.125 * place for place in range(40)]
    table = Tabulated(offset=offsets, log_rate=[-x for x in offsets])
    problem = make_problem(flow=(make_flow(intensity=table), make_flow(name="other")))
    text = dumps(problem)
    assert '[flow.intensity]\nkind = "table"\noffset = [\n  0.0, 0.125, 0.25,' in text
    assert max(map(len, text.splitlines())) <= 100
    assert parse_problem(text).problem == problem


def test_long_lists_of_texts_are_broken_between_them(make_problem, make_flow):
    """A name may hold spaces, even two together."""
    flows = tuple(make_flow(name=f"desk  {place}") for place in range(9))
    paths = tuple(f"flow.desk  {place}.intensity.A" for place in range(9))
    uncertainty = Uncertainty(parameters=paths, standard_error=(0.1,) * 9)
    problem = make_problem(flow=flows, uncertainty=uncertainty)
    assert max(map(len, dumps(problem).splitlines())) <= 100
    assert parse_problem(dumps(problem)).problem == problem


def test_comments_stand_above_what_they_are_about(make_problem, make_flow):
    problem = make_problem(flow=(make_flow(side="bid"), make_flow(side="ask")))
    comments = {
        "": "Two lines\n\nat the head",
        "price": "from 647 s of quotes",
        "price.volatility": "USD per √s",
        "flow.book/ask": "the ask",
        "flow.book.intensity.A": "fills per s",
        "flow.book/bid.fee": "none",
    }
    text = dumps(problem, comments)
    assert text.startswith("# Two lines\n#\n# at the head\nformat = 1\n")
    assert '\n\n# from 647 s of quotes\n[price]\nkind = "brownian"\n# USD per √s\nvolatility = 0.3\n' in text
    assert '\n\n# the ask\n[[flow]]\nname = "book"\nside = "ask"\n' in text
    assert text.count("# A: fills per s\nintensity = {") == 2 and text.count("# none\nfee = 0.0") == 1
    assert parse_problem(text).problem == problem and dumps(parse_problem(text)) == dumps(problem)


def test_comments_on_both_sides_and_sections_written_apart(make_problem, make_flow):
    offsets = [0.125 * place for place in range(40)]
    table = Tabulated(offset=offsets, log_rate=[-x for x in offsets])
    comments = {"flow.book/bid.intensity": "by PCHIP", "flow.book.intensity.offset": "USD"}
    text = dumps(make_problem(flow=(make_flow(intensity=table),)), comments)
    assert '\n# by PCHIP\n[flow.intensity]\nkind = "table"\n# USD\noffset = [\n' in text


def test_a_comment_on_nothing_is_an_error(make_problem):
    with pytest.raises(ProblemError) as error:
        dumps(make_problem(), {"price.volatilty": "typed wrong"})
    assert str(error.value) == "price.volatilty: a comment on something that is not in the file."


def test_canonical_json(make_problem):
    text = canonical_json(make_problem())
    assert text == (
        '{"flow":[{"fee":0.0,"intensity":{"A":1.0,"k":1.5,"kind":"exponential"},"name":"book",'
        '"proportional_fee":0.0,"side":"both","size":1}],"format":1,"horizon":{"duration":30.0,"kind":"finite",'
        '"terminal":{"absolute":0.0,"quadratic":0.02}},"inventory":{"max":6,"target":0},'
        '"market":{"lot_size":0.01,"reference":"mid","symbol":"ETH-PERP"},"preferences":{"kind":"cara",'
        '"risk_aversion":0.05},"price":{"carry":0.0,"drift":0.0,"kind":"brownian","volatility":0.3},'
        '"units":{"price":"USD","time":"s"}}'
    )


def test_numbers_of_jax_are_written_as_numbers(make_problem, x64):
    problem = replace(make_problem(), {"price.volatility": jnp.asarray(0.3)})
    assert canonical_json(problem) == canonical_json(make_problem())


def test_hash(make_problem):
    problem = make_problem()
    assert problem_hash(problem) == "755c40276e24523f121f884260badbc72ec59b13219935a84d6d76f737dd6c84"
    assert problem_hash(replace(problem, {"price.volatility": 0.3000000000000001})) != problem_hash(problem)


def test_what_is_about_a_problem_is_stored_but_not_hashed(make_problem):
    about = {
        "provenance": {"source": "a book", "date": "2024-08-08"},
        "uncertainty": Uncertainty(parameters=("price.volatility",), standard_error=[0.01]),
    }
    problem = make_problem(**about)
    assert problem_hash(problem) == problem_hash(make_problem()) == problem_hash(problem.essence())
    assert '"source":"a book"' in canonical_json(problem)
    assert parse_problem(dumps(problem)).problem == problem


def test_a_date_in_provenance_becomes_text(file_text):
    problem = parse_problem(file_text + "[provenance]\ndate = 2024-08-08\n").problem
    assert dict(problem.provenance or {}) == {"date": "2024-08-08"}


def test_requests_are_not_hashed(file_text):
    more = parse_problem(file_text + "[table]\ntimes = 11\n[numerics]\ntolerance = 1e-6\n")
    assert problem_hash(more.problem) == problem_hash(parse_problem(file_text).problem)


def test_the_order_of_the_file_names_every_key():
    assert sorted(ORDER) == sorted({*Problem.file_keys(), *Asset.file_keys(), "asset"} - {"assets"})


def test_the_schema_is_one_and_describes_every_key():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    objects = [SCHEMA, *SCHEMA["$defs"].values()]
    for schema in objects:
        assert schema["additionalProperties"] is False
        for key, described in schema["properties"].items():
            assert "description" in described or "const" in described or "$ref" in described, key


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("volatility = 0.3", "volatilty = 0.3"),
        ("volatility = 0.3", "volatility = -0.3"),
        ("volatility = 0.3", 'volatility = "0.3"'),
        ("k = 1.5", "k = 0.0"),
        ("max = 6", ""),
        ("max = 6", "max = 6.5"),
        ('"both"', '"bids"'),
        ('kind = "cara"\n', ""),
        ('"exponential"', '"exponental"'),
        ('"book"', '"b/ook"'),
        ("[units]", "[unit]\n[units]"),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(file_text, old, new):
    tree = tomllib.loads(file_text.replace(old, new))
    assert not VALIDATOR.is_valid(tree)
    with pytest.raises(ProblemError):
        parse_problem(tree)


def test_shipped_examples(checkout):
    names = sorted((checkout / "examples").glob("*.toml"))
    assert len(names) >= 5
    for path in names:
        VALIDATOR.validate(tomllib.loads(path.read_text(encoding="utf-8")))
        file = read_problem_file(path)
        assert parse_problem(dumps(file)) == file


def test_the_tree_of_several_assets(make_problem, make_asset):
    """Several assets are refused when solved for; their tree already has its form."""
    one = make_problem()
    other = make_asset(market=Market(symbol="BTC", lot_size=1.0))
    several = one.model_copy(update={"assets": (one.assets[0], other)})
    tree = problem_tree(several)
    assert [asset["market"]["symbol"] for asset in tree["asset"]] == ["ETH-PERP", "BTC"]
    assert not {"market", "inventory", "price", "flow"} & set(tree)
    VALIDATOR.validate(tree)
