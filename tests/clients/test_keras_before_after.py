"""An ordinary program for Keras on JAX, before and after: the stateless loop of its guide, with gradtx's optimizer."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.compat import keras as optimizers
from tests.clients.agreement import X, Y

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras", reason="pip install -e '.[peers]'")
h5py = pytest.importorskip("h5py", reason="it comes with Keras")
pytestmark = pytest.mark.peers

STEPS = 40


def new_model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(8, use_bias=False, name="body"),
            layers.BatchNormalization(name="norm"),
            layers.Activation("tanh"),
            layers.Dense(1, name="head"),
        ]
    )
    trainable, rest = model.trainable_variables, model.non_trainable_variables
    return model, [v.value for v in trainable], [v.value for v in rest]


def loss_of(model):
    def loss(trainable, rest):
        out, rest = model.stateless_call(trainable, rest, X, training=True)
        return jnp.mean((out - Y) ** 2), rest

    return jax.value_and_grad(loss, has_aux=True)


def options(module):
    rate = module.schedules.CosineDecay(0.01, STEPS, warmup_target=0.05, warmup_steps=10)
    return {"learning_rate": rate, "weight_decay": 0.01, "global_clipnorm": 1.0, "use_ema": True}


def before(steps):
    """The losses, the parameters, the other variables, and the optimizer's."""
    model, trainable, rest = new_model()
    optimizer, gradients = keras.optimizers.AdamW(**options(keras.optimizers)), loss_of(model)
    optimizer.build(model.trainable_variables)

    @jax.jit
    def step(trainable, rest, variables):
        (value, rest), grads = gradients(trainable, rest)
        trainable, variables = optimizer.stateless_apply(variables, grads, trainable)
        return value, trainable, rest, variables

    variables, losses = [v.value for v in optimizer.variables], []
    for _ in range(steps):
        value, trainable, rest, variables = step(trainable, rest, variables)
        losses.append(float(value))
    return losses, trainable, rest, variables


def after(steps, moved=None):
    """The same from the beginning, or from where Keras' optimizer stopped."""
    model, trainable, rest = new_model()
    optimizer, gradients = optimizers.AdamW(**options(optimizers)), loss_of(model)
    state = optimizer.init(trainable)
    if moved is not None:
        trainable, rest, variables = moved
        state = optimizers.import_state(optimizer, variables, trainable)

    @jax.jit
    def step(trainable, rest, state):
        (value, rest), grads = gradients(trainable, rest)
        trainable, state = optimizer.step(grads, state, trainable)
        return value, trainable, rest, state

    losses = []
    for _ in range(steps):
        value, trainable, rest, state = step(trainable, rest, state)
        losses.append(float(value))
    return losses, trainable, rest


def test_the_losses_are_those_of_keras():
    losses, trainable, rest, _ = before(STEPS)
    ours, ours_trainable, ours_rest = after(STEPS)
    np.testing.assert_allclose(ours, losses, rtol=1e-4)
    for mine, want in zip(ours_trainable + ours_rest, trainable + rest, strict=True):
        np.testing.assert_allclose(mine, want, rtol=1e-3, atol=1e-4)
    assert losses[-1] < 0.3 * losses[0]


def test_a_training_moves_over_in_the_middle():
    losses, *_ = before(STEPS)
    first, *moved = before(STEPS // 2)
    rest, *_ = after(STEPS // 2, moved)
    np.testing.assert_allclose(first + rest, losses, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras writes its variables so
def test_the_file_of_a_saved_model_moves_over(tmp_path):
    """`model.save_weights` writes the optimizer's variables by number."""
    model, trainable, _ = new_model()
    model.compile(keras.optimizers.AdamW(**options(keras.optimizers)))
    model.optimizer.build(model.trainable_variables)
    model.optimizer.apply([jnp.ones_like(w) for w in trainable])
    model.save_weights(tmp_path / "saved.weights.h5")
    tx, params = optimizers.AdamW(**options(optimizers)), [v.value for v in model.trainable_variables]
    with h5py.File(tmp_path / "saved.weights.h5") as saved:
        state = optimizers.import_state(tx, saved["optimizer"]["vars"], params)
    want = optimizers.import_state(tx, model.optimizer, params)
    assert jax.tree.all(jax.tree.map(np.array_equal, state, want))
    assert int(state.count) == 1
