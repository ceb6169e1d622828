"""Keras: with the arguments that the docstrings name, the same steps; and the stated differences."""

import os

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.peers.agreement import W0, differ, enable_x64, gradients, ours, same
from tests.peers.pairs import RATE, names, needed, pairs, recipe

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras", reason="install the extra: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers


def theirs(optimizer, dtype="float64", w0=W0, gs=None):
    """The parameters after each step of a Keras optimizer under the shared gradients."""
    with enable_x64(dtype == "float64"):
        w = keras.Variable(np.asarray(w0, dtype), dtype=dtype)
        optimizer.build([w])
        out = []
        for g in gradients() if gs is None else gs:
            optimizer.apply([jnp.asarray(g, dtype)], [w])
            out.append(np.asarray(w.value))
        assert out[-1].dtype == dtype
        return np.stack(out)


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1 / (1.0 + keras.ops.cast(step, "float32"))


def falling(step):
    return 0.1 / (1.0 + jnp.float32(step))


def adam_of_keras(eps, b2=0.999):
    """scale_by_adam with eps/√(1 - b2^t), which is eps on the uncorrected root."""
    return gradtx.scale_by_adam(0.9, b2, eps=lambda step: eps / jnp.sqrt(1 - b2 ** (step + 1.0)))


descent = gradtx.scale_by_learning_rate(0.1)
optimizers = keras.optimizers
MORE = {
    "momentum, the rate inside": (
        gradtx.chain(gradtx.scale_by_learning_rate(falling), gradtx.add_momentum(0.9)),
        lambda: optimizers.SGD(Falling(), 0.9),
    ),
    "rmsprop momentum schedule": (
        gradtx.rmsprop(falling, eps=1e-7, momentum=0.9),
        lambda: optimizers.RMSprop(Falling(), momentum=0.9),
    ),
    "adam": (gradtx.chain(adam_of_keras(1e-7), descent), lambda: optimizers.Adam(0.1)),
    "adam, eps seen": (gradtx.chain(adam_of_keras(1e-2), descent), lambda: optimizers.Adam(0.1, epsilon=1e-2)),
    "adamw": (
        gradtx.chain(adam_of_keras(1e-7), gradtx.add_decayed_weights(4e-3), descent),
        lambda: optimizers.AdamW(0.1),
    ),
    "decay placed last": (
        gradtx.chain(gradtx.add_momentum(0.9), gradtx.add_decayed_weights(0.1), descent),
        lambda: optimizers.SGD(0.1, 0.9, weight_decay=0.1),
    ),
    "clip_by_global_norm": (
        gradtx.chain(gradtx.clip_by_global_norm(2.0), gradtx.sgd(0.1)),
        lambda: optimizers.SGD(0.1, global_clipnorm=2.0),
    ),
    "clip_by_value": (
        gradtx.chain(gradtx.clip_by_value(2.0), gradtx.sgd(0.1)),
        lambda: optimizers.SGD(0.1, clipvalue=2.0),
    ),
}


@pytest.mark.parametrize("pair", pairs("keras"))
def test_what_the_catalog_says_is_the_same(pair):
    """Keras computes rates and powers in float32 even where the parameters are float64: 1e-6 of a step."""
    make = getattr(optimizers, pair.peer.name)
    same(pair.tx, theirs(make(RATE, **pair.peer.theirs)), rtol=2e-6)


@pytest.mark.parametrize(("tx", "make"), MORE.values(), ids=MORE.keys())
def test_more_that_is_the_same(tx, make):
    same(tx, theirs(make()), rtol=2e-6)


@pytest.mark.parametrize("name", names("keras"))
def test_names(name):
    assert issubclass(getattr(optimizers, name), optimizers.Optimizer)


class TestDifferent:
    def test_eps_of_adam_is_larger_in_the_first_steps(self):
        """The first step is g/(|g| + eps/√(1 - b2)): 1e-3 is seen as 0.03."""
        w = keras.Variable(np.zeros(1, "float32"))
        optimizer = optimizers.Adam(1.0, epsilon=1e-3)
        optimizer.build([w])
        optimizer.apply([jnp.full(1, 0.01)], [w])
        assert float(w.value[0]) == pytest.approx(-0.01 / (0.01 + 1e-3 / np.sqrt(1e-3)), rel=1e-4)
        mine, _ = gradtx.adam(1.0, eps=1e-3).update(jnp.full(1, 0.01), gradtx.adam(1.0).init(jnp.zeros(1)))
        assert float(mine[0]) == pytest.approx(-0.01 / (0.01 + 1e-3), rel=1e-4)

    @pytest.mark.parametrize("pair", needed("keras"))
    def test_our_arguments_that_the_catalog_names_are_needed(self, pair):
        make = getattr(optimizers, pair.peer.name)
        differ(pair.usual, theirs(make(RATE, **pair.peer.theirs)), by=1e-9)

    def test_eps_is_added_to_the_maximum(self):
        differ(recipe("AdaMax")(0.1, eps=1e-2), theirs(optimizers.Adamax(0.1, epsilon=1e-2)), by=1e-4)
        w = keras.Variable(np.zeros(1, "float32"))
        optimizer = optimizers.Adamax(1.0, epsilon=1.0)
        optimizer.build([w])
        for _ in range(2):
            optimizer.apply([jnp.ones(1)], [w])
        assert float(w.value[0]) == pytest.approx(-2 / 2, rel=1e-5)

    def test_momentum_has_the_rate_inside(self):
        differ(gradtx.sgd(falling, 0.9), theirs(optimizers.SGD(Falling(), 0.9)), by=1e-2)

    def test_b1_is_not_constant(self):
        differ(recipe("NAdam")(0.1, eps=1e-7), theirs(optimizers.Nadam(0.1)), by=1e-3)

    def test_eps_is_added_to_the_uncorrected_root(self):
        tx = recipe("AMSGrad")(0.1, eps=1e-2, maximum_of="raw")
        differ(tx, theirs(optimizers.Adam(0.1, epsilon=1e-2, amsgrad=True)), by=1e-3)
        corrected = recipe("AMSGrad")(0.1, eps=1e-30)
        differ(corrected, theirs(optimizers.Adam(0.1, epsilon=1e-30, amsgrad=True)), by=1e-3)

    def test_defaults(self):
        """Those that the docstrings quote."""
        assert optimizers.Adam().epsilon == optimizers.RMSprop().epsilon == optimizers.Adadelta().epsilon == 1e-7
        assert (optimizers.Adadelta().rho, optimizers.RMSprop().rho) == (0.95, 0.9)
        assert optimizers.AdamW().weight_decay == 4e-3
        assert (optimizers.Adagrad().initial_accumulator_value, optimizers.Adagrad().epsilon) == (0.1, 1e-7)
        assert float(optimizers.Adadelta().learning_rate) == pytest.approx(0.001)


def test_exponential_decay():
    mine, their = gradtx.exponential_decay(1.0, 10, 0.5), optimizers.schedules.ExponentialDecay(1.0, 10, 0.5)
    for step in range(25):
        assert float(mine(step)) == pytest.approx(float(their(step)), rel=1e-5)


def test_ours_moves():
    assert np.all(np.abs(ours(gradtx.adam(0.1))[-1] - W0) > 1e-6)
