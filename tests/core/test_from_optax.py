"""What people who come from optax write first: it works, or the message has the next step."""

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
