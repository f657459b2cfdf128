"""Blocks: numbers are checked and become leaves, words and counts are structure, JAX numbers pass."""

import pickle
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quotegrid.models.assets import Asset, Inventory, Market
from quotegrid.models.contract import Block
from quotegrid.models.faults import ProblemError
from quotegrid.models.flows import Flow, Markout
from quotegrid.models.horizons import Finite, Terminal
from quotegrid.models.intensities import Exponential, Linear
from quotegrid.models.keyed import FrozenTable
from quotegrid.models.numbers import Number, Numbers, Size
from quotegrid.models.paths import read, replace, scalar_paths
from quotegrid.models.prices import Brownian
from quotegrid.models.tabulated import Tabulated
from quotegrid.models.uncertainty import Uncertainty


class Sample(Block):
    static: ClassVar[frozenset[str]] = frozenset({"count"})

    count: Size = 1
    number: Number
    numbers: Numbers | None = None


@pytest.mark.parametrize("value", [3, 3.0, np.float64(3.0), np.float32(3.0), np.int64(3), np.array(3.0)])
def test_plain_numbers_become_floats(value):
    number = Sample(number=value).number
    assert type(number) is float and number == 3.0


def test_one_zero():
    assert str(Sample(number=-0.0).number) == "0.0"


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("0.3", "expected a number, got the text '0.3'; write it without quotes."),
        ("fast", "expected a number, got the text 'fast'."),
        (True, "expected a number, got true."),
        (None, "expected a number, got None."),
        (float("nan"), "expected a finite number, got nan."),
        (float("inf"), "expected a finite number, got inf."),
        (10**400, "expected a number that fits a double, got 1000"),
        ([1.0], "expected a number, got a list of 1."),
        ({"a": 1}, "expected a number, got a table of keys."),
        (np.ones(2), "expected a number, got an object of type ndarray."),
    ],
)
def test_what_is_no_number(value, seen):
    with pytest.raises(ProblemError) as error:
        Sample(number=value)
    assert str(error.value).startswith(f"Sample: number: {seen}")


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (
            0.5,
            "expected a whole number of lots, 1 or more, got 0.5; sizes and inventories count lots, "
            "so choose a smaller market.lot_size.",
        ),
        (2.0, "expected a whole number of lots, 1 or more, got 2.0; write 2."),
        (0, "expected a whole number of lots, 1 or more, got 0."),
        (True, "expected a whole number of lots, 1 or more, got true."),
        ("2", "expected a whole number of lots, 1 or more, got the text '2'."),
    ],
)
def test_what_is_no_count(value, seen):
    with pytest.raises(ProblemError) as error:
        Sample(number=1.0, count=value)
    assert str(error.value) == f"Sample: count: {seen}"


def test_numpy_counts_are_counts():
    assert type(Sample.of_table({"number": 1, "count": np.int64(4)}).count) is int


def test_lists_of_numbers():
    for given in ([1, 2.5], (1, 2.5), np.array([1.0, 2.5])):
        assert Sample(number=0, numbers=given).numbers == (1.0, 2.5)
    with pytest.raises(ProblemError, match=r"^Sample: numbers.1: expected a number, got the text 'x'.$"):
        Sample.of_table({"number": 0, "numbers": [1, "x"]})


def test_all_faults_at_once():
    with pytest.raises(ProblemError) as error:
        Exponential.of_table({"A": -1, "k": "8.0", "decay": 2})
    assert str(error.value).splitlines() == [
        "Exponential: 3 faults.",
        "  A: expected a number that is not negative, got -1.0.",
        "  k: expected a number greater than 0, got the text '8.0'; write it without quotes.",
        "  decay: unknown key of kind 'exponential'; known here: kind, A, k.",
    ]
    assert [fault.path for fault in error.value.faults] == ["A", "k", "decay"]


def test_errors_survive_a_pickle():
    with pytest.raises(ProblemError) as error:
        Sample.of_table({"number": "x"})
    copy = pickle.loads(pickle.dumps(error.value))
    assert str(copy) == str(error.value) and copy.faults == error.value.faults


def test_blocks_are_frozen_and_compare_by_value():
    block = Sample(number=1.0)
    with pytest.raises(ValueError, match="frozen"):
        block.number = 2.0
    assert block == Sample(number=1) and hash(block) == hash(Sample(number=1))


def test_a_python_block_in_place_of_a_list():
    flow = Flow(name="book", side="bid", intensity=Linear(A=1, d=1))
    with pytest.raises(ProblemError) as error:
        Asset.of_table(
            {"market": Market(symbol="X", lot_size=1), "inventory": Inventory(max=1), "flow": flow}
        )
    assert str(error.value) == "Asset: flow: expected a list, got one Flow; write it in brackets."


BLOCKS = [
    Sample(number=1.0, count=3, numbers=[1, 2, 3]),
    Tabulated(offset=[0, 1, 2.5], rate=[3, 2, 1]),
    Flow(name="book", side="both", intensity=Exponential(A=1, k=2), adverse=Markout(jump=0.1), tick=0.5),
    Finite(duration=3.0, terminal=Terminal(absolute=1.0)),
    Inventory(max=3, min=-2, target=1),
    Brownian(),
    Uncertainty(parameters=("price.drift",), standard_error=[0.1], correlation=((1.0,),)),
    FrozenTable({"a": 1.0, "b": 2.0}),
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: type(block).__name__)
def test_flattening_loses_nothing(block):
    leaves, structure = jax.tree.flatten(block)
    assert jax.tree.unflatten(structure, leaves) == block
    assert all(isinstance(leaf, float | np.ndarray) for leaf in leaves)
    assert hash(structure) == hash(jax.tree.structure(block))


def test_leaves_are_the_parameters(make_problem):
    """Every leaf has a path, and every path leads to the value of its leaf."""
    problem = make_problem(flow=(Flow(name="quotes", side="bid", intensity=BLOCKS[1], max_offset=2.0),))
    numbers = [number for leaf in jax.tree.leaves(problem) for number in np.ravel(leaf).tolist()]
    paths = scalar_paths(problem)
    assert numbers == [read(problem, path) for path in paths]
    assert {"price.volatility", "flow.quotes.intensity.rate.2", "preferences.risk_aversion"} <= set(paths)


def test_leaves_carry_their_names(make_problem):
    paths = [
        jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(make_problem())[0]
    ]
    assert ".assets[0].flow[0].intensity.A" in paths and ".preferences.risk_aversion" in paths


def test_new_numbers_do_not_trace_again(make_problem, make_flow):
    traces = []

    @jax.jit
    def reward(problem):
        traces.append(1)
        (flow, *_) = problem.one_sided_flows()
        return problem.running_reward(jnp.ones(1)) + flow.intensity.hazard(0.1)

    problem = make_problem()
    reward(problem)
    changes = {"price.volatility": 0.9, "flow.book.intensity.k": 2.0, "preferences.risk_aversion": 0.2}
    reward(replace(problem, changes))
    reward(make_problem(flow=(make_flow(intensity=Exponential(A=0.3, k=0.2), fee=0.1),)))
    assert len(traces) == 1
    reward(make_problem(flow=(make_flow(size=2),)))  # structure: another number of lots
    assert len(traces) == 2


def test_tables_of_equal_length_share_a_trace():
    traces = []

    @jax.jit
    def hazard(table):
        traces.append(1)
        return table.hazard(0.3)

    hazard(Tabulated(offset=[0, 1, 2], rate=[3, 2, 1]))
    hazard(Tabulated(offset=[0, 2, 3], rate=[9, 2, 1]))
    assert len(traces) == 1


def test_the_number_of_knots_is_structure_whatever_holds_them(x64):
    table = Tabulated(offset=[0, 1, 2], rate=[3, 2, 1])
    structure = jax.tree.structure(table)
    assert structure != jax.tree.structure(Tabulated(offset=[0, 1], rate=[3, 2]))
    for hold in (np.asarray, jnp.asarray, lambda leaf: np.stack([leaf, leaf])):
        assert jax.tree.structure(jax.tree.map(hold, table)) == structure
    axes = jax.tree.map(lambda _: 0, table)
    assert jax.tree.structure(axes) == structure and jax.tree.leaves(axes) == [0, 0]
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), table)
    assert jax.vmap(lambda each: each.hazard(0.5), in_axes=(axes,))(batch).shape == (2,)
    shapes = jax.eval_shape(lambda each: jax.tree.map(jnp.exp, each), table)
    assert jax.tree.structure(shapes) == structure


def test_problems_can_be_built_and_differentiated_inside_jax(make_problem, x64):
    problem = make_problem()

    def reward(volatility):
        return replace(problem, {"price.volatility": volatility}).running_reward(jnp.array([2.0]))

    # ℓ = -½γσ²q², γ = 0.05, q = 2: dℓ/dσ = -γσq² = -0.06
    assert float(jax.jit(jax.grad(reward))(0.3)) == pytest.approx(-0.06, rel=1e-14)


def test_problems_can_be_batched(make_problem, x64):
    many = jax.tree.map(lambda leaf: np.stack([leaf, 2.0 * leaf]), make_problem())
    rewards = jax.vmap(lambda problem: problem.running_reward(jnp.array([2.0])))(many)
    np.testing.assert_allclose(rewards, [-0.009, -0.072], rtol=1e-14)
