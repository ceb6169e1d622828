"""The plan of an optimizer: which rule each leaf has, and the bytes of its state, before training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

import gradtx
from gradtx.sharding import state_shardings, zero_shardings
from tests.sharding.meshes import mesh_of, params_on

PAPER = AbstractMesh((4, 2), ("data", "model"))

PARAMS = {
    "body": [{"w": jnp.ones((64, 8)), "b": jnp.ones(8)}, {"w": jnp.ones((8, 8), jnp.bfloat16), "b": None}],
    "head": jnp.ones(8),
    "steps": jnp.asarray(0),
}


def rows(tx, params=PARAMS):
    return {row.leaf: (row.rule, row.state_bytes) for row in gradtx.plan(tx, params).rows}


def test_the_bytes_are_those_of_the_state():
    for tx in (
        gradtx.sgd(0.1),
        gradtx.adam(gradtx.constant_schedule(0.1)),
        gradtx.rmsprop(0.1, centered=True, momentum=0.9),
    ):
        plan = gradtx.plan(tx, PARAMS)
        assert plan.state_bytes == sum(x.nbytes for x in jax.tree.leaves(tx.init(PARAMS)))
        assert plan.size == 64 * 8 + 8 + 64 + 8 + 1
    assert rows(gradtx.adam(0.1))["body/1/w"] == ("", 2 * 4 * 64)  # moments of bfloat16 leaves are float32
    assert rows(gradtx.adam(0.1))["body/1/b"] == ("not trained", 0)
    assert rows(gradtx.adam(0.1))["steps"] == ("not trained", 0)


def test_rules_from_the_outside_in():
    tx = gradtx.route(
        {"body/0": gradtx.freeze(gradtx.adam(0.1), "**/b"), "head": gradtx.partition({"x": gradtx.sgd(0.1)}, "x")},
        default=gradtx.chain(gradtx.masked(gradtx.add_decayed_weights(0.1), "body/1/w"), gradtx.add_momentum(0.9)),
    )
    assert rows(gradtx.accumulate(gradtx.skip_nonfinite(tx), 2)) == {
        "body/0/b": ("body/0 > frozen", 4 * 8),
        "body/0/w": ("body/0", 3 * 4 * 512),
        "body/1/b": ("not trained", 0),
        "body/1/w": ("default > add_decayed_weights", 2 * 4 * 64),
        "head": ("head > x", 4 * 8),
        "steps": ("not trained", 0),
    }


def test_what_one_member_freezes_another_may_move():
    tx = gradtx.chain(gradtx.freeze(gradtx.sgd(0.1), "head"), gradtx.add_decayed_weights(0.1))
    assert rows(tx)["head"] == ("frozen in freeze", 0)


def test_shapes_are_enough_and_nothing_is_computed():
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct((2**20, *p.shape), p.dtype), PARAMS)
    assert gradtx.plan(gradtx.adam(0.1), shapes).state_bytes == 2 * 4 * 2**20 * (512 + 8 + 64 + 8) + 4
    assert "4.6 GiB" in str(gradtx.plan(gradtx.adam(0.1), shapes))


def test_a_bare_parameter_and_no_parameters():
    assert rows(gradtx.adam(0.1), jnp.ones(3)) == {"(the tree itself)": ("", 24)}
    assert gradtx.plan(gradtx.adam(0.1), {}).state_bytes == 4


def test_it_prints_a_table():
    lines = str(gradtx.plan(gradtx.freeze(gradtx.adam(0.1), "body"), PARAMS)).splitlines()
    assert len(set(map(len, lines))) == 1
    assert lines[0].split() == ["leaf", "shape", "dtype", "rule", "state"]
    assert lines[3].split() == ["body/0/w", "64", "x", "8", "float32", "frozen", "0", "B"]
    assert lines[-1].split() == ["total", "593", "numbers", "68", "B"]


def test_errors_are_those_of_the_rules():
    with pytest.raises(ValueError, match="the rule 'tail' matches no leaf"):
        gradtx.plan(gradtx.freeze(gradtx.adam(0.1), "tail"), PARAMS)
    with pytest.raises(TypeError, match="tx must be a transformation"):
        gradtx.plan(PARAMS, gradtx.adam(0.1))


def shape(*sizes, spec=None):
    """A float32 parameter on paper."""
    sharding = None if spec is None else NamedSharding(PAPER, PartitionSpec(*spec))
    return jax.ShapeDtypeStruct(sizes, jnp.float32, sharding=sharding)


class TestOnManyDevices:
    def test_bytes_are_those_on_the_devices(self):
        mesh, tx = mesh_of(4, 2), gradtx.adam(gradtx.constant_schedule(0.1))
        params = params_on(mesh)
        for shardings in (state_shardings(tx, params), zero_shardings(tx, params, mesh, "model")):
            plan = gradtx.plan(tx, params, shardings)
            state = jax.jit(tx.init, out_shardings=shardings)(params)
            on_first = [x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state)]
            assert plan.device_bytes == sum(on_first) < plan.state_bytes == gradtx.plan(tx, params).state_bytes

    def test_it_says_what_stayed_whole(self):
        tx, mesh = gradtx.adam(0.1), AbstractMesh((4,), ("data",))
        params = {"even": shape(8, 3), "odd": shape(5), "scalar": shape(), "none": None, "count": jnp.arange(4)}
        plan = gradtx.plan(tx, params, zero_shardings(tx, params, mesh, "data"))
        rows = {row.leaf: (row.state_bytes, row.device_bytes, row.whole_bytes) for row in plan.rows}
        assert rows == {
            "even": (192, 48, 0),
            "odd": (40, 40, 40),
            "scalar": (8, 8, 8),
            "none": (0, 0, 0),
            "count": (0, 0, 0),
        }
        assert (plan.state_bytes, plan.device_bytes, plan.whole_bytes) == (244, 100, 52)
        lines = [line.split() for line in str(plan).splitlines()]
        assert lines[0] == ["leaf", "shape", "dtype", "rule", "state", "per", "device"]
        assert [line[-1] for line in lines if "odd" in line or "scalar" in line] == ["whole", "whole"]
        assert next(line for line in lines if "even" in line)[-4:] == ["192", "B", "48", "B"]
        assert lines[-1][-7:] == ["244", "B", "100", "B", "52", "B", "whole"]

    def test_a_leaf_of_which_a_part_is_whole(self):
        """The rows of a factored matrix, beside its momentum."""

        def init(params):
            return {"rows": {"w": jnp.zeros(8)}, "trace": gradtx.zeros(params)}

        params, tx = {"w": shape(8, 4)}, (init, lambda updates, state, params=None: (updates, state))
        (row,) = gradtx.plan(tx, params, zero_shardings(tx, params, PAPER, "data")).rows
        assert (row.state_bytes, row.device_bytes, row.whole_bytes) == (160, 64, 32)
        assert "32 B whole" in str(gradtx.plan(tx, params, zero_shardings(tx, params, PAPER, "data")))

    def test_where_nothing_is_split_nothing_is_called_whole(self):
        tx, params = gradtx.adam(0.1), {"w": shape(8, spec=())}
        plan = gradtx.plan(tx, params, state_shardings(tx, params))
        assert plan.whole_bytes == 0
        assert plan.device_bytes == plan.state_bytes

    def test_seven_billion_parameters_on_paper(self):
        """Llama-2's 7B, bfloat16, on 256 devices: 50 GiB of Adam's moments, an 256th of it on each; no memory."""
        d, h, layers, words, mesh = 4096, 11008, 32, 32000, AbstractMesh((256,), ("data",))
        sizes = {"q": (d, d), "k": (d, d), "v": (d, d), "o": (d, d), "gate": (d, h), "up": (d, h), "down": (h, d)}
        layer = sizes | {"norm": (d,), "norm_mlp": (d,)}
        tree = {"embed": (words, d), "head": (d, words), "norm": (d,), "layers": [layer] * layers}
        params = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(s, jnp.bfloat16), tree, is_leaf=lambda s: isinstance(s, tuple)
        )
        tx = gradtx.adamw(1e-4)
        plan = gradtx.plan(tx, params, zero_shardings(tx, params, mesh, "data"))
        assert plan.size == 6_738_415_616
        assert plan.state_bytes == 8 * plan.size + 4
        assert plan.device_bytes == 8 * plan.size // 256 + 4
        assert plan.whole_bytes == 4  # the count

    def test_shardings_that_are_none_of_the_state(self):
        params = {"w": shape(8)}
        for wrong in ({"w": "data"}, state_shardings(gradtx.adam(0.1), {"w": shape(8, spec=())}), jnp.ones(8)):
            with pytest.raises(ValueError, match="shardings must be a tree like the state"):
                gradtx.plan(gradtx.add_momentum(0.9), params, wrong)


def test_a_store_that_encodes_nothing_is_said():
    tx, small, large = gradtx.store(gradtx.adam(0.1), gradtx.storage.int8()), shape(8), shape(64, 64)
    note = "store encodes no leaf: its codec takes none, or all have fewer than min_size"
    plan = gradtx.plan(tx, {"w": small})
    assert plan.notes == (f"the state: {note}",)
    assert str(plan).endswith(plan.notes[0])
    by_group = gradtx.route({"w": tx, "b": tx})
    assert gradtx.plan(by_group, {"w": large, "b": small}).notes == (f"b: {note}",)
    for params in ({"w": small, "b": large}, {}, {"n": jnp.int32(1)}):
        assert gradtx.plan(tx, params).notes == ()
    assert gradtx.plan(gradtx.store(gradtx.sgd(0.1), gradtx.storage.int8()), {"w": small}).notes == ()


def test_a_count_is_no_part_of_a_parameter_of_that_name():
    class Params(NamedTuple):
        count: jax.Array
        w: jax.Array

    of = gradtx.plan(gradtx.adam(0.1), Params(jnp.ones(7), jnp.ones(3)))
    assert [row.state_bytes for row in of.rows] == [56, 24]
    assert of.other_state_bytes == 4


def test_equal_leaves_of_numbered_layers_are_one_row_of_the_table():
    deep = {f"block_{n}": {"w": [jnp.ones((4, 2))] * 4, "b": jnp.ones(2)} for n in range(12)}
    deep["block_5"]["b"], deep["norm1"], deep["norm2"] = jnp.ones(3), jnp.ones(2), jnp.ones(2)
    plan = gradtx.plan(gradtx.freeze(gradtx.adam(0.1), "block_1/w"), deep)
    assert len(plan.rows) == 62
    assert [line.split() for line in str(plan).splitlines()[2:-3]] == [
        ["block_0..4/b", "5", "of", "2", "float32", "-", "80", "B"],
        ["block_0/w/0..3", "4", "of", "4", "x", "2", "float32", "-", "256", "B"],
        ["block_1/w/0..3", "4", "of", "4", "x", "2", "float32", "frozen", "0", "B"],
        ["block_6..11/b", "6", "of", "2", "float32", "-", "96", "B"],
        ["block_2..11/w/0..3", "40", "of", "4", "x", "2", "float32", "-", "2.5", "KiB"],
        ["block_5/b", "3", "float32", "-", "24", "B"],
        ["norm1", "2", "float32", "-", "16", "B"],
        ["norm2", "2", "float32", "-", "16", "B"],
    ]
