"""What people who come from optax write first: it works, or the message has the next step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

PARAMS = {"w": jnp.ones(2)}
GRADS = {"w": jnp.array([1.0, -1.0])}


def test_optax_constructor_makes_a_transformation():
    def init(params):
        return gradtx.EmptyState()

    def update(updates, state, params=None):
        return jax.tree.map(lambda g: -g, updates), state

    for made in (
        gradtx.GradientTransformation(init, update),
        gradtx.GradientTransformation(init=init, update=update),
        gradtx.GradientTransformationExtraArgs(init, update),
    ):
        assert isinstance(made, gradtx.GradientTransformation)
        tx = gradtx.chain(gradtx.clip_by_global_norm(10.0), made)
        updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
        np.testing.assert_array_equal(updates["w"], [-1.0, 1.0])
    with pytest.raises(TypeError, match=r"takes two functions; got 0\.1"):
        gradtx.GradientTransformation(0.1, update)


def test_a_transformation_is_indexed_like_the_pair():
    tx = gradtx.sgd(0.1)
    assert tx[0] == tx.init
    assert tx[1] == tx.update
    with pytest.raises(IndexError):
        tx[2]


def test_replace_of_named_tuples_points_to_replace():
    with pytest.raises(AttributeError, match="use replace"):
        gradtx.sgd(0.1)._replace(update=None)


@pytest.mark.parametrize("state", [None, {}, (), gradtx.EmptyState()], ids=str)
def test_pieces_without_state_accept_any_empty_state(state):
    updates, after = gradtx.scale(2.0).update(GRADS, state)
    np.testing.assert_array_equal(updates["w"], [2.0, -2.0])
    assert not jax.tree.leaves(after)
    with pytest.raises(TypeError, match="the state must be a EmptyState"):
        gradtx.scale(2.0).update(GRADS, {"w": jnp.ones(2)})


@pytest.mark.parametrize("state", [None, {}, (), gradtx.EmptyState(), ((), ())], ids=str)
@pytest.mark.parametrize(
    "tx", [gradtx.sgd(0.5), gradtx.chain(), gradtx.add(gradtx.scale(-1.0), gradtx.scale(0.5))], ids=["sgd", "", "add"]
)
def test_so_do_chains_of_such_pieces(tx, state):
    updates, after = tx.update(GRADS, state, PARAMS)
    expected, empty = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    assert after == empty == {}
    np.testing.assert_array_equal(updates["w"], expected["w"])
    np.testing.assert_array_equal(tx.step(GRADS, state, PARAMS)[0]["w"], PARAMS["w"] + expected["w"])
    for wrong in ({"w": jnp.ones(2)}, (jnp.ones(2),)):
        with pytest.raises(TypeError, match="the state"):
            tx.update(GRADS, wrong, PARAMS)


@pytest.mark.parametrize("state", [None, (), (1, 2)], ids=str)
def test_a_chain_with_state_needs_its_own(state):
    with pytest.raises(TypeError, match=r"must be a dict; got .*Make the state with this transformation's own init"):
        gradtx.adam(0.1).update(GRADS, state, PARAMS)


def test_a_state_of_the_same_name_says_whose_it_is():
    class ScaleByAdamState(NamedTuple):
        count: jax.Array
        mu: dict
        nu: dict

    theirs = ScaleByAdamState(*gradtx.scale_by_adam().init(PARAMS))
    with pytest.raises(TypeError, match=r"must be a ScaleByAdamState; got the ScaleByAdamState of tests\..*own init"):
        gradtx.scale_by_adam().update(GRADS, theirs, PARAMS)


def test_the_state_of_a_chain_is_a_plain_dict():
    """A class of its own could say more than `KeyError: 0`, but serializers and `{**new, **old}` know dicts."""
    state = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1)).init(PARAMS)
    assert type(state) is dict
    with pytest.raises(KeyError):
        state[0]
    assert 'state["scale_by_adam"]' in gradtx.chain.__doc__
    assert '`state["scale_by_adam"]`; `state[0]` is a KeyError' in gradtx.compat.optax.__doc__


def test_the_pair_of_value_and_grad_is_recognized():
    tx = gradtx.adam(0.1)
    pair = jax.value_and_grad(lambda p: jnp.sum(p["w"] ** 2))(PARAMS)
    with pytest.raises(TypeError, match=r"value_and_grad returns \(value, grads\); give update the grads alone"):
        tx.update(pair, tx.init(PARAMS), PARAMS)


@pytest.mark.parametrize(
    ("factory", "argument", "hint"),
    [
        (gradtx.adam, "mu_dtype", "store"),
        (gradtx.add_momentum, "accumulator_dtype", "store"),
        (gradtx.scale, "mask", "masked"),
    ],
)
def test_arguments_that_are_transformations_here(factory, argument, hint):
    with pytest.raises(TypeError, match=f"no argument '{argument}'.*{hint}\\("):
        factory(0.1, **{argument: None})


def test_the_names_for_annotations_exist():
    def step(params: gradtx.Params, state: gradtx.OptState, rate: gradtx.ScalarOrSchedule) -> gradtx.Updates:
        return params

    assert step(1, 2, 3) == 1
    assert jax.tree.leaves(gradtx.MaskedNode()) == []
