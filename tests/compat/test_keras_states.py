"""Variables of Keras' optimizers become states: every form of them, by hand; and errors that name the entry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.compat import keras
from gradtx.testing.compare import error_of

PARAMS = {"head": {"bias": jnp.zeros(3), "kernel": jnp.zeros((2, 3))}}
LIST = [PARAMS["head"]["kernel"], PARAMS["head"]["bias"]]
ADAM = {
    "adam/iteration": np.int32(7),
    "adam/learning_rate": np.float32(0.1),
    "adam/head_kernel_momentum": np.full((2, 3), 1.0, "float32"),
    "adam/head_kernel_velocity": np.full((2, 3), 2.0, "float32"),
    "adam/head_bias_momentum": np.full(3, 3.0, "float32"),
    "adam/head_bias_velocity": np.full(3, 4.0, "float32"),
}
SAVED = list(ADAM.values())


class Variable:
    def __init__(self, path, value):
        self.path, self.value = path, value

    def numpy(self):
        return self.value


class Optimizer:
    def __init__(self):
        self.variables = [Variable(*item) for item in ADAM.items()]


class Model:
    def __init__(self):
        self.optimizer, self.trainable_variables, self.variables = Optimizer(), LIST, LIST


def firsts(tree):
    return [float(jnp.ravel(x)[0]) for x in jax.tree.leaves(tree)]


@pytest.mark.parametrize(
    ("variables", "params", "mu"),
    [
        (SAVED, LIST, [1.0, 3.0]),
        ({str(k): x for k, x in enumerate(SAVED)}, LIST, [1.0, 3.0]),
        (ADAM, PARAMS, [3.0, 1.0]),
        (Optimizer(), PARAMS, [3.0, 1.0]),
        (Optimizer().variables, LIST, [1.0, 3.0]),
        ([SAVED[0], *SAVED[2:]], LIST, [1.0, 3.0]),  # with a schedule there is no rate among the variables
        (SAVED[:4], {"kernel": LIST[0]}, [1.0]),
    ],
    ids=["saved", "numbered", "by path", "optimizer", "variables", "schedule", "one parameter"],
)
def test_every_form_of_the_variables(variables, params, mu):
    state = keras.import_state(keras.Adam(0.1), variables, params)
    adam = state["scale_by_adam"].inner
    assert (int(adam.count), firsts(adam.mu)) == (7, mu)
    assert firsts(adam.nu) == [x + 1.0 for x in mu]
    back = keras.export_state(keras.Adam(0.1), state, variables, params)
    values = getattr(variables, "variables", variables)
    values = list(values.values()) if isinstance(values, dict) else [getattr(x, "value", x) for x in values]
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(back, values, strict=True))


def renamed(old, new):
    return {name.replace(old, new): x for name, x in ADAM.items()}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: keras.import_state(keras.Adam, ADAM, PARAMS),
            "import_state takes an optimizer of gradtx",
        ),
        (lambda: keras.import_state(keras.Adam(), Model(), PARAMS), "a Keras model, Model: give model.optimizer"),
        (
            lambda: keras.import_state(keras.Adam(), SAVED[:-1], LIST),
            "entry 1 (momentum of 0) has shape (); it should have (2, 3). Is it the same optimizer, with all of its "
            "variables? Here are 5, and tx has 5, or 6 with the learning rate",
        ),
        (
            lambda: keras.import_state(keras.Adam(), [*SAVED, SAVED[-1]], LIST),
            "the optimizer of Keras has 7 variables; tx, with 2 parameters, has 6: iteration, learning_rate, momentum",
        ),
        (lambda: keras.import_state(keras.Adam(), 3, PARAMS), "is the optimizer itself, its variables"),
        (lambda: keras.import_state(keras.Adam(), [], PARAMS), "the optimizer has no variables yet"),
        (lambda: keras.import_state(gradtx.adan(0.1), ADAM, PARAMS), "tx must be one of the optimizers of gradtx"),
        (
            lambda: keras.import_state(keras.Adam(), SAVED, PARAMS),
            "so the parameters must be a list in the order of model.trainable_variables; got a dict",
        ),
        (
            lambda: keras.import_state(keras.Adam(amsgrad=True), ADAM, PARAMS),
            "has 6 variables; tx, with 2 parameters, has 8: iteration, learning_rate, momentum, velocity, velocity_hat",
        ),
        (
            lambda: keras.import_state(keras.Adamax(), ADAM, PARAMS),
            "head_kernel_velocity (norm of head/kernel) should be called ...head_kernel_norm: is tx the same",
        ),
        (
            lambda: keras.import_state(keras.Adam(), renamed("bias", "gain"), PARAMS),
            "no variable is called head_bias_momentum, for the parameter head/bias; there is head_kernel_momentum",
        ),
        (
            lambda: keras.import_state(keras.Adam(), SAVED, LIST[::-1]),
            "entry 2 (momentum of 0) has shape (2, 3); it should have (3,)",
        ),
        (
            lambda: keras.import_state(keras.Adam(), ADAM | {"adam/head_bias_velocity": np.ones(3)}, PARAMS),
            "head_bias_velocity (velocity of head/bias) is float64, and float32 here",
        ),
        (
            lambda: keras.import_state(keras.LossScaleOptimizer(keras.Adam()), ADAM, PARAMS),
            "the variables of a LossScaleOptimizer begin with four numbers",
        ),
        (
            lambda: keras.export_state(keras.Adam(), {}, ADAM, PARAMS),
            "the state is not one of tx: give the state that its own update returned",
        ),
        (
            lambda: keras.export_state(keras.SGD(), {}, SAVED[:2], LIST),
            "the state of tx does not count its updates: give steps=, their number",
        ),
    ],
    ids=range(16),
)
def test_errors_name_the_entry(call, words):
    error = error_of(call)
    assert isinstance(error, TypeError | ValueError), error
    assert words in str(error)


def test_what_is_around_an_optimizer():
    """SGD, 11 updates, gradients for 4 collected, by hand: 2 steps, 3 gradients since; 7 parameters in the average."""
    tx = keras.SGD(keras.schedules.ExponentialDecay(0.1, 10, 0.5), 0.9, use_ema=True, gradient_accumulation_steps=4)
    average, collected, momentum = jnp.full(2, 5.0), jnp.full(2, 6.0), jnp.full(2, 7.0)
    state = keras.import_state(tx, [np.int32(11), average, collected, momentum], [jnp.zeros(2)])
    assert (int(state.count), int(state.n_averaged), firsts(state.average)) == (11, 7, [5.0])
    inner = state.inner
    assert (int(inner.step), int(inner.mini_step), firsts(inner.accumulated)) == (2, 3, [6.0])
    assert firsts(inner.inner["add_momentum"].trace) == [-7.0]
    assert int(inner.inner["scale_by_learning_rate"].count) == 2
