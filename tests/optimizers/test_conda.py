"""Conda against a loop of the paper in float64, and the frame that it uses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import frames
from tests.optimizers.paths import matrix_gradients, updates_of


def conda_loop(gradients, rate, every, b1=0.9, b2=0.99, eps=1e-8):
    """Singular vectors of the momentum; Adam's quotient along them, whose squares stay when they change."""
    m, n = gradients.shape[1:]
    mean, nu, out = np.zeros((m, n)), np.zeros((m, n)), []
    for t, g in enumerate(gradients.astype(np.float64)):
        mean = b1 * mean + (1 - b1) * g
        if t % every == 0:
            u, _, vt = np.linalg.svd(mean, full_matrices=False)
        y, z = (u.T @ g, u.T @ mean) if m <= n else (g @ vt.T, mean @ vt.T)
        nu = b2 * nu + (1 - b2) * y * y
        step = z / (1 - b1 ** (t + 1)) / (np.sqrt(nu / (1 - b2 ** (t + 1))) + eps)
        out.append(-rate * (u @ step if m <= n else step @ vt))
    return np.asarray(out)


@pytest.mark.parametrize(("shape", "every"), [((5, 9), 50), ((9, 5), 50), ((6, 6), 2000)])
def test_conda(shape, every):
    g = matrix_gradients(shape)
    error = (
        np.abs(updates_of(gradtx.conda(0.01, every=every, scale=1.0), g) - conda_loop(g, 0.01, every)).max(axis=(1, 2))
        / 0.01
    )
    assert error.max() < 2e-5
    assert np.median(error) < 1e-6


def test_the_factor_is_that_of_matrices():
    """Vectors are Adam's."""
    params = {"w": jnp.ones((3, 4)), "b": jnp.ones(4)}
    g = {"w": jnp.asarray(matrix_gradients((3, 4))[0]), "b": jnp.arange(4.0)}
    plain, small = gradtx.conda(0.1, scale=1.0), gradtx.conda(0.1)
    one, quarter = (tx.update(g, tx.init(params), params)[0] for tx in (plain, small))
    np.testing.assert_allclose(quarter["w"], 0.25 * one["w"], rtol=1e-6)
    np.testing.assert_array_equal(quarter["b"], one["b"])
    adam = gradtx.adam(0.1, b2=0.99)
    np.testing.assert_allclose(one["b"], adam.update(g, adam.init(params), params)[0]["b"], rtol=1e-6)


@pytest.mark.parametrize("bad", [jnp.zeros((3, 4)), jnp.full((3, 4), jnp.nan), jnp.full((3, 4), 1e25)])
def test_gradients_that_make_no_mean(bad):
    """Zeros keep the coordinates, NaN leaves the basis as it was and is counted; a huge one overflows nowhere."""
    tx = gradtx.in_frame(gradtx.identity(), frames.singular_vectors(every=1))
    state = tx.update(bad, tx.init(bad))[1]
    assert jax.tree.all(jax.tree.map(lambda x: jnp.isfinite(x).all(), state.basis))
    assert int(state.basis.skipped.sum()) == int(jnp.isnan(bad).all())
    g = jnp.asarray(matrix_gradients((3, 4))[0])
    np.testing.assert_allclose(tx.update(g, state)[0], g, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: gradtx.conda(0.1, b1=1.5), ValueError, r"b1 must be in \[0, 1\]; got 1.5"),
        (lambda: gradtx.conda(0.1, every=0), ValueError, "every must be at least 1; got 0"),
        (lambda: gradtx.conda(0.1, scale=-1.0), ValueError, "scale must be"),
        (lambda: frames.singular_vectors(decay=-1.0), ValueError, r"singular_vectors: decay must be in \[0, 1\]"),
        (lambda: frames.singular_vectors(every=2.5), TypeError, "singular_vectors: every must be a whole number"),
    ],
)
def test_bad_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()
