"""Weight decay: the parameters times a factor, added to the updates."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASE = Case(gradtx.add_decayed_weights(0.01), None, ulp=2)


def test_float32_and_float64():
    """One product, one sum: two ulp of the sum of their sizes."""
    gs = agreement.gradients()
    w = np.random.default_rng(1).standard_normal(gs.shape[1:]).astype(np.float32)
    ws = np.broadcast_to(w, gs.shape)
    want = reference.decayed(gs.astype(float), ws.astype(float), 0.01)
    size = reference.decayed(np.abs(gs).astype(float), np.abs(ws).astype(float), 0.01)
    got, _ = agreement.run(CASE.tx, gs, jnp.asarray(w))
    assert agreement.ulps(got, want, size) <= CASE.ulp
    with agreement.enable_x64(True):
        got, _ = agreement.run(CASE.tx, gs.astype(float), jnp.asarray(w, jnp.float64))
    np.testing.assert_array_less(np.abs(np.asarray(got) - want), 1e-15 * size + 1e-300)


def test_docstring():
    agreement.assert_docstring_states(CASE)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_parameters_decay_in_float32(dtype):
    """0.01 of a parameter is lost in its own type where the gradient is large; not here."""
    u, _ = CASE.tx.update(jnp.full(1, 256.0, dtype), gradtx.EmptyState(), jnp.full(1, 3.0, dtype))
    assert u.dtype == jnp.float32
    np.testing.assert_allclose(u, 256.03, rtol=1e-7)


def test_zero_passes_the_updates_on():
    g = jnp.array([1.0, -2.0])
    np.testing.assert_array_equal(gradtx.add_decayed_weights(0.0).update(g, gradtx.EmptyState(), g)[0], g)


def test_errors():
    with pytest.raises(ValueError, match="needs the parameters"):
        CASE.tx.update(jnp.array(1.0), gradtx.EmptyState())
    with pytest.raises(ValueError, match="weight_decay must be finite and at least 0"):
        gradtx.add_decayed_weights(-0.1)
