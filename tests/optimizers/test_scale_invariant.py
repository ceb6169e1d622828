"""AdamP and SGDP against their algorithms in float64, where gradients are orthogonal and where they are not."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adamp, project_scale_invariant, sgdp
from tests.reference_averages import assert_path_is
from tests.transforms.agreement import gradients

W0 = np.linspace(-3, 3, 48).reshape(6, 8).astype(np.float32)
GS = np.tanh(gradients()).reshape(-1, 6, 8)  # of both signs, many near 1 in size, some tiny, some 0


def projected(u, g, w, delta, ratio):
    """The published rule, for a kernel of shape (outputs, inputs): by rows, or else as one vector."""
    for shape in ((w.shape[0], -1), (1, -1)):
        wv, gv, uv = (x.reshape(shape) for x in (w, g, u))
        length = np.linalg.norm(wv, axis=1, keepdims=True)
        cosines = np.abs(np.sum(wv * gv, 1)) / (np.linalg.norm(wv, axis=1) * np.linalg.norm(gv, axis=1) + 1e-300)
        if cosines.max() < delta / np.sqrt(wv.shape[1]):
            return (uv - wv / length * np.sum(wv / length * uv, 1, keepdims=True)).reshape(w.shape), ratio
    return u, 1.0


def adamp_loop(gs, w, eta, lam, delta, ratio, b1=0.9, b2=0.999, eps=1e-8):
    m = v = np.zeros_like(w)
    for t, g in enumerate(gs, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        u, share = projected(m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps), g, w, delta, ratio)
        w = w * (1 - eta * lam * share) - eta * u
        yield w, share


def sgdp_loop(gs, w, eta, lam, delta, ratio, mu, nesterov):
    b = np.zeros_like(w)
    for g in gs:
        b = mu * b + g
        u, share = projected(g + mu * b if nesterov else b, g, w, delta, ratio)
        w = w * (1 - eta * lam * share / (1 - mu)) - eta * u
        yield w, share


COMMON = {"weight_decay": 0.01, "output_axis": 0}
CASES = {
    "adamp": (adamp(0.003, delta=0.5, **COMMON), adamp_loop, (0.003, 0.01, 0.5, 0.1)),
    "sgdp": (sgdp(0.01, delta=0.5, **COMMON), sgdp_loop, (0.01, 0.01, 0.5, 0.1, 0.9, False)),
    "sgdp nesterov": (
        sgdp(0.01, 0.5, delta=0.5, nesterov=True, **COMMON),
        sgdp_loop,
        (0.01, 0.01, 0.5, 0.1, 0.5, True),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_paper(name):
    """Some steps are projected."""
    tx, loop, arguments = CASES[name]
    # Every third gradient is 0, which counts as orthogonal; of the others some are nearly so.
    gs = np.where(np.arange(len(GS))[:, None, None] % 3 == 0, 0, GS.astype(np.float64)).astype(np.float32)
    path, shares = zip(*loop(gs.astype(np.float64), W0.astype(np.float64), *arguments), strict=True)
    assert 0.2 < np.mean(np.array(shares) < 1) < 0.8
    assert_path_is(tx, np.stack(path), gs, W0)


def test_by_output_or_as_a_whole():
    """Each column is an output: if one is not orthogonal, the leaf may be as a whole; else nothing is projected."""
    w = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    tx = project_scale_invariant(gradtx.identity(), delta=1e-3)

    def left(g):
        return np.asarray(tx.update(jnp.array(g), tx.init(w), w)[0])

    np.testing.assert_array_equal(left([[0.0, 2.0], [3.0, 0.0]]), [[0, 2], [3, 0]])
    np.testing.assert_allclose(left([[1.0, 2.0], [3.0, -1.0]]), [[1, 2], [3, -1]], rtol=1e-6)
    np.testing.assert_array_equal(left([[1.0, 2.0], [3.0, 1.0]]), [[1, 2], [3, 1]])
    momentum = project_scale_invariant(gradtx.add_momentum(0.5), delta=1e-3)
    _, state = momentum.update(jnp.eye(2), momentum.init(w), w)
    second, _ = momentum.update(jnp.array([[0.0, 2.0], [3.0, 0.0]]), state, w)
    np.testing.assert_allclose(second, [[0, 2], [3, 0]], atol=1e-7)


def test_vectors_are_left_alone_and_decay():
    w, g = jnp.array([3.0, 4.0]), jnp.array([4.0, -3.0])
    tx = project_scale_invariant(gradtx.identity(), weight_decay=0.5)
    np.testing.assert_array_equal(tx.update(g, tx.init(w), w)[0], [5.5, -1.0])


def test_delta_of_zero_is_the_inner_transformation():
    w, g = jnp.asarray(W0), jnp.asarray(GS[0])
    tx = project_scale_invariant(gradtx.scale_by_adam(), 0.0)
    np.testing.assert_array_equal(tx.update(g, tx.init(w), w)[0], gradtx.scale_by_adam().update(g, tx.init(w).inner)[0])


@pytest.mark.parametrize("w", [jnp.zeros((2, 3)), jnp.ones((2, 3)), 1e25 * jnp.ones((2, 3))])
def test_zeros_are_finite(w):
    u, _ = adamp(0.1).update(jnp.zeros((2, 3)), adamp(0.1).init(w), w)
    assert np.isfinite(u).all()


def test_hostile():
    with pytest.raises(ValueError, match="delta must be finite and at least 0"):
        adamp(0.1, delta=-1.0)
    with pytest.raises(ValueError, match=r"decay_ratio must be in \[0, 1\]"):
        adamp(0.1, decay_ratio=2.0)
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\)"):
        sgdp(0.1, 1.0)
    with pytest.raises(TypeError, match="output_axis must be a whole number"):
        adamp(0.1, output_axis=0.5)
    w = {"dense": {"kernel": jnp.ones((2, 3))}}
    tx = adamp(0.1, output_axis=2)
    with pytest.raises(ValueError, match=r"the update at dense/kernel has shape \(2, 3\), no axis 2"):
        tx.update(w, tx.init(w), w)
    with pytest.raises(ValueError, match=r"inner must be a direction, .*: adam has its learning rate already"):
        project_scale_invariant(gradtx.adam(0.1), weight_decay=0.01)
    with pytest.raises(ValueError, match="changes the updates of project_onto"):
        project_scale_invariant(gradtx.project_onto(gradtx.sgd(0.1), gradtx.sets.nonnegative()))
