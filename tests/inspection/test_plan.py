"""The plan of an optimizer: which rule each leaf has, and the bytes of its state, before training."""

import jax
import jax.numpy as jnp
import pytest

import gradtx

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
    with pytest.raises(ValueError, match="the rule 'tail' fits no trained leaf"):
        gradtx.plan(gradtx.freeze(gradtx.adam(0.1), "tail"), PARAMS)
    with pytest.raises(TypeError, match="tx must be a transformation"):
        gradtx.plan(PARAMS, gradtx.adam(0.1))
