"""What `orthogonalize` divides matrices by before its iteration, against loops in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.transforms.newton_schulz import COEFFICIENTS, PRECONDITIONINGS
from tests.double import enable_x64

SHAPES = {"wide": (4, 9), "tall": (9, 4), "stack": (3, 4, 5)}


def divided(x, preconditioning):
    """A wide matrix, divided as the papers say."""
    if preconditioning == "aol":
        gram = x @ x.conj().T
        return x / np.sqrt(np.abs(gram).sum(axis=1))[:, None]
    s = np.linalg.svd(x, compute_uv=False)
    return x / {"frobenius": np.sqrt(np.sum(s**2)), "schatten": np.sum(s**4) ** 0.25, "spectral": s[0]}[preconditioning]


def polar(x, preconditioning, name="keller"):
    y = divided(x.T if x.shape[0] > x.shape[1] else x, preconditioning)
    for a, b, c in COEFFICIENTS[name]:
        gram = y @ y.conj().T
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y.T if x.shape[0] > x.shape[1] else y


@functools.partial(jax.jit, static_argnums=0)
def applied(tx, g):
    return tx.update(g, tx.init(g))[0]


def made(x, **words):
    return np.asarray(applied(gradtx.orthogonalize(**words), x))


@pytest.mark.parametrize("preconditioning", PRECONDITIONINGS)
def test_against_the_loop(preconditioning):
    random = np.random.default_rng(0)
    tree = {name: random.normal(size=shape) for name, shape in SHAPES.items()}
    tree["complex"] = random.normal(size=(3, 5)) + 1j * random.normal(size=(3, 5))
    with enable_x64(True):
        found = applied(gradtx.orthogonalize(eps=0.0, preconditioning=preconditioning), tree)
    for name, x in tree.items():
        want = np.stack([polar(m, preconditioning) for m in x]) if x.ndim == 3 else polar(x, preconditioning)
        np.testing.assert_allclose(found[name], want, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("preconditioning", PRECONDITIONINGS[1:])
def test_sizes_zeros_and_derivatives(preconditioning):
    """In float32: the size of a matrix does not matter, zeros stay zeros, a zero row too, derivatives are finite."""
    x = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    x[1] = 0.0
    want = polar(np.delete(x, 1, axis=0).astype(float), preconditioning)
    for scale in (1e-30, 1.0, 1e30):
        u = made(x * np.float32(scale), eps=0.0, preconditioning=preconditioning)
        np.testing.assert_allclose(np.delete(u, 1, axis=0), want, rtol=0, atol=1e-5)
        assert not np.any(u[1])
    zero = np.zeros_like(x)
    assert not np.any(made(zero, preconditioning=preconditioning))
    tx = gradtx.orthogonalize(preconditioning=preconditioning)
    derivative = jax.jit(jax.grad(lambda g: jnp.sum(applied(tx, g) ** 2)))
    for at in (zero, np.eye(3, 6, dtype=np.float32), x):
        assert np.all(np.isfinite(derivative(at)))


def test_smaller_norms_bring_small_singular_values_further():
    """After few steps of the same coefficients."""
    x = np.random.default_rng(2).normal(size=(16, 16)) * np.geomspace(1.0, 0.05, 16)[:, None]
    least = {}
    for name in PRECONDITIONINGS:
        u = made(x.astype(np.float32), coefficients=COEFFICIENTS["keller"][:3], preconditioning=name)
        least[name] = float(np.linalg.svd(u, compute_uv=False)[-1])
    assert least["frobenius"] < least["schatten"] < least["spectral"]
    assert least["frobenius"] < least["aol"]


def test_bad_input():
    with pytest.raises(ValueError, match="preconditioning must be"):
        gradtx.orthogonalize(preconditioning="other")
    with pytest.raises(ValueError, match='"svd" needs no preconditioning'):
        gradtx.orthogonalize("svd", preconditioning="aol")
