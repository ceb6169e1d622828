"""Optimizers that Keras has too, where the catalog says that they differ."""

import os

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.double import enable_x64
from tests.optimizers.paths import path
from tests.peers.agreement import gradients

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras", reason="install the extra: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers


def theirs(optimizer, w0):
    with enable_x64(True):
        w = keras.Variable(np.asarray(w0, "float64"), dtype="float64")
        optimizer.build([w])
        out = []
        for g in gradients():
            optimizer.apply([jnp.asarray(g, "float64")], [w])
            out.append(np.asarray(w.value))
        return np.stack(out)


@pytest.mark.parametrize("numbers", [(0.0, 0.0, 0.0), (0.5, 0.125, 1.0)])
def test_ftrl_from_parameters_at_zero(numbers):
    """Keras' state begins as if they were; from there both agree, and from elsewhere Keras jumps."""
    l1, l2, beta = numbers
    arguments = {"l1_regularization_strength": l1, "l2_regularization_strength": l2, "beta": beta}
    mine = path(gradtx.ftrl(0.125, 0.125, l1, l2, beta), gradients(), np.zeros(5), np.float64)
    np.testing.assert_allclose(
        theirs(keras.optimizers.Ftrl(0.125, initial_accumulator_value=0.125, **arguments), np.zeros(5)),
        mine,
        rtol=1e-9,
        atol=1e-12,
    )
    jumped = theirs(keras.optimizers.Ftrl(0.125, initial_accumulator_value=0.125, **arguments), np.full(5, 10.0))
    assert np.abs(jumped[0] - 10.0).max() > 1.0
    assert np.abs(path(gradtx.ftrl(0.125), gradients(), np.full(5, 10.0), np.float64)[0] - 10.0).max() < 0.13
