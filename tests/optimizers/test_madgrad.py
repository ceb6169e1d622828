"""MADGRAD against the loop of its paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.optimizers.chains import RATE, assert_same_chain
from tests.optimizers.paths import error, path


def dual_averages(gs, w, rate=0.01, momentum=0.9, eps=1e-6):
    x0, s, v, out = w, 0, 0, []
    for t, g in enumerate(gs, 1):
        weight = (rate + eps) * np.sqrt(gs.dtype.type(t))
        s, v = s + weight * g, v + weight * g**2
        z = x0 - s / (np.cbrt(v) + eps)
        w = momentum * w + (1 - momentum) * z
        out.append(w)
    return np.stack(out)


def test_against_the_paper():
    assert error(gradtx.scale_by_madgrad(), dual_averages) <= 5e-6
    assert error(gradtx.scale_by_madgrad(), dual_averages, np.float64) <= 1e-12
    assert "Within 5e-6 of exact arithmetic" in " ".join(gradtx.scale_by_madgrad.__doc__.split())


def test_chains():
    numbers = {"momentum": 0.8, "eps": 1e-4}
    assert_same_chain(gradtx.madgrad(RATE, **numbers), gradtx.scale_by_madgrad(RATE, **numbers))
    decayed = [gradtx.add_decayed_weights(0.1), gradtx.scale_by_madgrad(RATE, **numbers)]
    assert_same_chain(gradtx.madgrad(RATE, weight_decay=0.1, **numbers), *decayed)


def test_one_step_by_hand():
    """s = .1·8, v = .1·64, z = 1 - .8/∛6.4, a fifth of the way."""
    w = path(gradtx.madgrad(0.1, 0.8, eps=0.0), [[8.0, 0.0]], [1.0, -1.0])
    np.testing.assert_allclose(w, [[1 - 0.2 * 0.8 / np.cbrt(6.4), -1.0]], rtol=1e-6)


def test_the_copy_of_the_parameters_is_a_copy():
    """So that parameters may be donated."""
    w = jnp.ones(3)
    tx = gradtx.madgrad(0.1)
    state = tx.init(w)
    jax.jit(lambda w: w + 1, donate_argnums=0)(w)
    np.testing.assert_array_equal(state["scale_by_madgrad"].x0, 1.0)


def test_zero_and_huge():
    for eps in (1e-6, 0.0):
        ws = path(gradtx.madgrad(0.01, eps=eps), [[0.0, 1e25], [0.0, -1e25], [0.0, 1.0]], [1.0, 2.0])
        np.testing.assert_array_equal(ws[:, 0], 1.0)
        assert np.isfinite(ws).all()


@pytest.mark.parametrize(("name", "value"), [("learning_rate", -0.1), ("momentum", 1.0), ("eps", -1.0)])
def test_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        gradtx.scale_by_madgrad(**{name: value})
