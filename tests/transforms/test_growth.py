"""`limit_growth` against its formula in float64, and where there is nothing to compare with; `hold_still`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx


def growth_loop(gradients, factor):
    """Norms of one leaf that grow by the factor at most; steps of zero do not count."""
    last, out = 0.0, []
    for g in gradients.astype(np.float64):
        norm = np.linalg.norm(g)
        u = g * (factor * last / norm) if last and norm > factor * last else g
        last = np.linalg.norm(u) or last
        out.append(u)
    return np.asarray(out)


def updates_of(tx, gradients):
    run = jax.jit(lambda state: jax.lax.scan(lambda s, g: tx.update(g, s)[::-1], state, jnp.asarray(gradients)))
    return np.asarray(run(tx.init(jnp.zeros(gradients.shape[1:])))[1])


@pytest.mark.parametrize("factor", [1.01, 1.5])
def test_a_thousand_steps(factor):
    random = np.random.default_rng(0)
    gradients = (random.normal(size=(1000, 3, 4)) * np.exp(2 * random.normal(size=(1000, 1, 1)))).astype(np.float32)
    gradients[::7] = 0
    expected = growth_loop(gradients, factor)
    error = np.abs(updates_of(gradtx.limit_growth(factor), gradients) - expected).max(axis=(1, 2))
    size = np.abs(expected).max(axis=(1, 2))
    assert np.max(error / np.where(size == 0, 1, size)) < 60 * 2**-23
    norms = np.linalg.norm(expected.reshape(1000, -1), axis=1)
    norms = norms[norms > 0]
    assert np.max(norms[1:] / norms[:-1]) < factor * (1 + 1e-9)


def test_each_leaf_has_its_own_norm():
    tx = gradtx.limit_growth(2.0)
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    _, state = tx.update({"a": jnp.ones(2), "b": 100 * jnp.ones(2)}, tx.init(params))
    updates, _ = tx.update({"a": 50 * jnp.ones(2), "b": 50 * jnp.ones(2)}, state)
    np.testing.assert_allclose(updates["a"], 2.0, rtol=1e-6)
    np.testing.assert_array_equal(updates["b"], 50.0)


@pytest.mark.parametrize("size", [1e25, 1e-30])
def test_extreme_norms(size):
    """Norms neither overflow nor underflow; a complex leaf keeps its phase."""
    tx = gradtx.limit_growth(2.0)
    g = np.asarray([3.0 + 4.0j], np.complex64) * np.float32(size)
    _, state = tx.update(g, tx.init(g))
    updates, _ = tx.update(8 * g, state)
    np.testing.assert_allclose(updates, 2 * g, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_leaves_no_trace(bad):
    tx = gradtx.limit_growth(2.0)
    _, state = tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    updates, after = tx.update(jnp.asarray([bad, 1.0]), state)
    np.testing.assert_array_equal(updates, [bad, 1.0])
    np.testing.assert_array_equal(after.norm, state.norm)


def test_a_spike_does_not_lift_the_bound():
    """Its factor underflows: the update is 0, and the bound stays."""
    got = updates_of(gradtx.limit_growth(2.0), np.asarray([[1e-5], [1e34], [1e3]], np.float32))
    np.testing.assert_allclose(got, [[1e-5], [0.0], [2e-5]], rtol=1e-6)


def test_an_infinite_factor_changes_nothing():
    gradients = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    np.testing.assert_array_equal(updates_of(gradtx.limit_growth(np.inf), gradients), gradients)


def test_shrinking_is_refused():
    with pytest.raises(ValueError, match=r"limit_growth: factor must be at least 1; got 0.9"):
        gradtx.limit_growth(0.9)


def test_nothing_moves_at_first():
    """NaN neither, and then every update is what it was, to the bit."""
    gradients = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    gradients[0, 1] = np.nan
    came = updates_of(gradtx.hold_still(2), gradients)
    np.testing.assert_array_equal(came[:2], 0)
    np.testing.assert_array_equal(came[2:], gradients[2:])


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="hold_still: steps must be finite and at least 1; got 0"):
        gradtx.hold_still(0)
