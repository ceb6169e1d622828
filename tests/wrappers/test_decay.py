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


def test_a_mask_says_which_leaves_decay():
    params = {"kernel": jnp.ones(2), "bias": jnp.ones(2)}
    for mask in ("**/kernel", {"kernel": True, "bias": False}):
        tx = gradtx.add_decayed_weights(0.5, mask)
        updates, _ = tx.update(params, tx.init(params), params)
        np.testing.assert_array_equal([updates["kernel"], updates["bias"]], [[1.5, 1.5], [1.0, 1.0]])
        assert tx.piece == gradtx.masked(gradtx.add_decayed_weights(0.5), mask)
        assert eval(repr(tx), vars(gradtx).copy()) == tx
    scheduled = gradtx.add_decayed_weights(gradtx.linear_schedule(0.5, 1.0, 1), "**/kernel")
    state = scheduled.init(params)
    for decay in (0.5, 1.0):
        updates, state = scheduled.update(params, state, params)
        np.testing.assert_array_equal([updates["kernel"], updates["bias"]], [[1 + decay] * 2, [1.0, 1.0]])


def test_a_negative_factor_behind_the_rate_names_the_way():
    with pytest.raises(ValueError, match=r"behind a learning rate.*flip_sign=False.*scale\(-1.0\)\); got -0.1"):
        gradtx.chain(gradtx.adam(1e-3), gradtx.add_decayed_weights(-0.1))
    rate, w = gradtx.scale_by_learning_rate(0.1, flip_sign=False), jnp.array([2.0])
    tx = gradtx.chain(rate, gradtx.add_decayed_weights(0.5), gradtx.scale(-1.0))
    np.testing.assert_allclose(tx.update(jnp.array([1.0]), tx.init(w), w)[0], [-1.1], rtol=1e-6)


def test_cautious_decay_where_the_step_makes_an_entry_smaller_or_leaves_it_alone():
    g, w = jnp.array([1.0, 1.0, 0.0, -1e-30, 2.0]), jnp.array([2.0, -2.0, 2.0, 1e-30, 0.0])
    u, _ = gradtx.add_decayed_weights(0.5, cautious=True).update(g, gradtx.EmptyState(), w)
    np.testing.assert_allclose(u, [2.0, 1.0, 1.0, -1e-30, 2.0], rtol=1e-6)
    masked = gradtx.add_decayed_weights(0.5, "**", cautious=True)
    np.testing.assert_array_equal(masked.update(g, masked.init(w), w)[0], u)
    z, turned = jnp.array([2.0 + 1j]), jnp.array([1j])
    np.testing.assert_allclose(gradtx.add_decayed_weights(0.5, cautious=True).update(z, (), turned)[0], [2 + 1.5j])


def test_corrected_decay_is_a_schedule():
    """AdamC: w loses the share decay·rate²/largest of itself, beside Adam's step."""
    largest, decay, w = 0.4, 0.1, np.array([1.0, -2.0, 3.0])
    rate = gradtx.linear_schedule(largest, 0.0, 8)
    tx, plain = gradtx.adamw(rate, weight_decay=decay / largest * rate), gradtx.adam(rate)
    state, plain_state = tx.init(w), plain.init(w)
    for t in range(8):
        g = np.cos(w + t)
        u, state = tx.update(jnp.asarray(g, jnp.float32), state, jnp.asarray(w, jnp.float32))
        step, plain_state = plain.update(jnp.asarray(g, jnp.float32), plain_state)
        eta = largest * (1 - t / 8)
        want = np.asarray(step) - decay * eta**2 / largest * w
        np.testing.assert_allclose(u, want, rtol=1e-5, atol=1e-6)
        w = w + want
