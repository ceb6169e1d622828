"""Inverse roots in float32 against the same matrix in float64, up to condition 1e8."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.double_precision import double_precision
from gradtx.transforms.inverse_roots import inverse_root

N = 64
SPECTRA = {
    "geometric": np.logspace(0, -8, N),
    "one large": np.r_[1.0, np.full(N - 1, 1e-8)],
    "half": np.r_[np.ones(N // 2), np.full(N // 2, 1e-8)],
    "well conditioned": np.linspace(1, 2, N),
}


def matrix(spectrum, seed=0):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(N, N)))[0]
    a = (q * spectrum) @ q.T
    return ((a + a.T) / 2).astype(np.float32)


STACK = np.stack([matrix(spectrum) for spectrum in SPECTRA.values()])
root = jax.jit(inverse_root, static_argnums=(1, 2))


def exact(a, power, eps):
    """The root in float64."""
    values, vectors = np.linalg.eigh(a.astype(np.promote_types(a.dtype, np.float64)))
    return (vectors * (values + eps * values[-1]) ** -power) @ vectors.conj().T


def errors(got, wanted):
    return [np.linalg.norm(x - y) / np.linalg.norm(y) for x, y in zip(np.asarray(got), wanted, strict=True)]


@pytest.mark.parametrize(
    ("power", "eps", "bound"), [(0.25, 1e-6, 4e-4), (0.25, 1e-7, 4e-3), (0.5, 1e-7, 4e-3), (1.0, 1e-6, 4e-4)]
)
def test_condition_1e8(power, eps, bound):
    """The bounds that the docstring states, for a stack of matrices."""
    wanted = [exact(a, power, eps) for a in STACK]
    assert max(errors(root(STACK, power, eps), wanted)) < bound * power


def test_a_plain_decomposition_is_not_as_good():
    """So that the bounds above say something."""
    values, vectors = map(np.asarray, jnp.linalg.eigh(STACK[2]))
    plain = (vectors * (values + 1e-6 * values[-1]) ** -0.25) @ vectors.T
    assert errors([plain], [exact(STACK[2], 0.25, 1e-6)])[0] > 0.02


@pytest.mark.parametrize("size", [2.0**-93, 2.0**120])
def test_sizes(size):
    """(c·A)^(-p) = c^(-p)·A^(-p), for a c that rounds no entry of A."""
    got, wanted = root(STACK * np.float32(size), 0.25, 1e-6), np.float64(size) ** -0.25 * np.asarray(root_of_stack())
    assert max(errors(got, wanted)) < 2e-4


@functools.cache
def root_of_stack():
    return root(STACK, 0.25, 1e-6)


def test_float64():
    spectrum = np.logspace(0, -12, N)
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(N, N)))[0]
    with double_precision():
        got = np.asarray(root((q * spectrum) @ q.T, 0.5, 1e-10))
    assert errors([got], [(q * (spectrum + 1e-10) ** -0.5) @ q.T])[0] < 1e-6


def test_complex_matrices():
    random = np.random.default_rng(0)
    g = (random.normal(size=(12, 20)) + 1j * random.normal(size=(12, 20))).astype(np.complex64)
    a = (g * np.logspace(0, -3, 20, dtype=np.float32)) @ (g * np.logspace(0, -3, 20, dtype=np.float32)).conj().T
    assert errors([root(a, 0.25, 1e-6)], [exact(a, 0.25, 1e-6)])[0] < 1e-4


def test_zero_and_nan_stay_with_their_own():
    """A zero matrix gives zero, one with a NaN gives NaN, and the others of the stack do not notice."""
    stack = STACK.copy()
    stack[0] = 0.0
    stack[1, 3, 5] = np.nan
    got = np.asarray(root(stack, 0.25, 1e-6))
    assert np.all(got[0] == 0)
    assert np.all(np.isnan(got[1]))
    np.testing.assert_allclose(got[2:], root_of_stack()[2:], rtol=1e-5, atol=1e-3)


def test_numbers():
    """Of one number, and of a diagonal matrix."""
    np.testing.assert_allclose(root(jnp.asarray([[16.0]]), 0.25, 1e-6), [[0.5]], rtol=1e-5)
    got = root(jnp.diag(jnp.asarray([1.0, 16.0, 81.0])), 0.25, 1e-9)
    np.testing.assert_allclose(got, np.diag([1, 1 / 2, 1 / 3]), atol=1e-6)


def test_it_is_a_constant_in_derivatives():
    """Where eigenvalues are equal, that of a decomposition is infinite."""
    assert np.all(np.asarray(jax.grad(lambda a: jnp.sum(root(a, 0.25, 1e-6)))(jnp.eye(3))) == 0)
