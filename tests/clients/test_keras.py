"""Keras on JAX: the training loop with `stateless_call`, in which the optimizer is a plain pair of functions."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.clients.agreement import ALGORITHMS, Client, X, Y, agrees, difference, follow

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras", reason="pip install -e '.[peers]'")
pytestmark = pytest.mark.peers

keras.utils.set_random_seed(0)
MODEL = keras.Sequential(
    [
        keras.Input((2,)),
        keras.layers.Dense(8, use_bias=False, name="body"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Activation("tanh"),
        keras.layers.Dropout(0.1, seed=1),
        keras.layers.Dense(1, name="head"),
    ],
    name="net",
)
START = [v.value for v in MODEL.trainable_variables], [v.value for v in MODEL.non_trainable_variables]


def train(tx):
    """The state that is not trained holds the means of the batch norm and the seed of the dropout."""

    def loss(trainable, rest):
        out, rest = MODEL.stateless_call(trainable, rest, X, training=True)
        return jnp.mean((out - Y) ** 2), rest

    def step(carry):
        trainable, rest, state = carry
        (value, rest), grads = jax.value_and_grad(loss, has_aux=True)(trainable, rest)
        updates, state = tx.update(grads, state, trainable)
        return (gradtx.apply_updates(trainable, updates), rest, state), value

    return follow(step, (*START, tx.init(START[0])), lambda carry: carry[:2])


CLIENTS = [Client("keras", "`stateless_call` loop on JAX", train)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_trains_as_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


def test_what_was_trained_goes_back_into_the_model():
    trainable, rest = train(gradtx.adam(0.05)).params
    try:
        for variable, value in zip(MODEL.trainable_variables, trainable, strict=True):
            variable.assign(value)
        for variable, value in zip(MODEL.non_trainable_variables, rest, strict=True):
            variable.assign(value)
        np.testing.assert_allclose(MODEL(X), MODEL.stateless_call(trainable, rest, X)[0], rtol=1e-6)
    finally:
        for variable, value in zip(MODEL.variables, _in_order(), strict=True):
            variable.assign(value)


def _in_order():
    start = dict(zip([v.path for v in MODEL.trainable_variables], START[0], strict=True))
    start |= zip([v.path for v in MODEL.non_trainable_variables], START[1], strict=True)
    return [start[v.path] for v in MODEL.variables]


def test_rules_by_the_paths_of_variables():
    """Keras's lists have no names; a dict by the variables' paths has them."""
    names = [v.path for v in MODEL.trainable_variables]
    params = dict(zip(names, START[0], strict=True))
    tx = gradtx.route({"net/body": gradtx.set_to_zero(), "**/bias": gradtx.sgd(0.1)}, default=gradtx.adam(0.05))

    @jax.jit
    def step(params, state):
        def loss(params):
            out, _ = MODEL.stateless_call([params[name] for name in names], START[1], X, training=True)
            return jnp.mean((out - Y) ** 2)

        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return gradtx.apply_updates(params, updates)

    after = step(params, tx.init(params))
    assert difference(after["net/body/kernel"], params["net/body/kernel"]) == 0
    assert all(difference(after[f"net/{k}"], params[f"net/{k}"]) > 0 for k in ("head/bias", "norm/gamma"))
