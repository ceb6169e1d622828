"""Muon of torch, Keras and optax, on a tall and on a wide matrix: the same steps, and the stated differences."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.double import enable_x64
from tests.peers.agreement import ours

os.environ["KERAS_BACKEND"] = "jax"
optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")
torch = pytest.importorskip("torch", reason="install the extra: pip install -e '.[peers]'")
keras = pytest.importorskip("keras", reason="install the extra: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers

STEPS = 20
SHAPES = pytest.mark.parametrize("shape", [(6, 4), (4, 9)])


def setting(shape, steps=STEPS):
    random = np.random.default_rng(0)
    return random.normal(size=shape), random.normal(size=(steps, *shape))


def in_torch(w, gs, **arguments):
    w = torch.tensor(w, requires_grad=True)
    optimizer, out = torch.optim.Muon([w], **arguments), []
    for g in gs:
        w.grad = torch.tensor(g)
        optimizer.step()
        out.append(w.detach().numpy().copy())
    return np.stack(out)


@SHAPES
@pytest.mark.parametrize(("theirs", "rule"), [("original", "keller"), ("match_rms_adamw", "moonlight")])
def test_torch(shape, theirs, rule, monkeypatch):
    """In float64 to 1e-12 where its iteration is not rounded to bfloat16; its weights are outputs × inputs."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    w, gs = setting(shape)
    came = in_torch(w, gs, lr=0.1, weight_decay=0.1, momentum=0.95, eps=1e-30, adjust_lr_fn=theirs)
    tx = gradtx.muon(0.1, polar=gradtx.orthogonalize(eps=0.0), shape_rule=rule, outputs=-2)
    np.testing.assert_allclose(ours(tx, w0=w, gs=gs), came, rtol=0, atol=1e-12)


@SHAPES
def test_torch_as_it_is(shape):
    """Both iterate in bfloat16, rounded in another order: ours is as near to exact arithmetic as torch's."""
    w, gs = setting(shape)
    arguments = {"shape_rule": "keller", "outputs": -2, "weight_decay": 0.0}
    exact = steps_of(gradtx.muon(1.0, **arguments), w, gs)
    half = gradtx.muon(1.0, polar=gradtx.orthogonalize(iterate_in="bfloat16"), **arguments)
    came = in_torch(w.astype(np.float32), gs.astype(np.float32), lr=1.0, weight_decay=0.0)
    theirs = np.diff(np.concatenate([w[None].astype(np.float32), came]), axis=0)
    mine, other = (np.abs(steps - exact).max(axis=(1, 2)) for steps in (steps_of(half, w, gs), theirs))
    print(f"{shape}: mean of the largest errors {mine.mean():.4f}, torch {other.mean():.4f}")
    assert mine.mean() < 1.5 * other.mean() < 0.15


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])  # its root of the longer side is float32
def test_keras(shape, monkeypatch):
    """In float64 to 1e-12, with a norm that is not float32; its momentum is 20 times as long, so its eps is."""
    monkeypatch.setattr(
        keras.src.ops, "norm", lambda x, axis, keepdims: jnp.linalg.norm(x, axis=axis, keepdims=keepdims)
    )
    w, gs = setting(shape)
    with enable_x64(True):
        variable = keras.Variable(w, dtype="float64")
        optimizer = keras.optimizers.Muon(0.125, weight_decay=0.125, rms_rate=0.25)
        optimizer.build([variable])
        came = []
        for g in gs:
            optimizer.apply([jnp.asarray(g)], [variable])
            came.append(np.asarray(variable.value))
    tx = gradtx.muon(0.125, polar=gradtx.orthogonalize(eps=0.05 * 1e-7), weight_decay=0.0)
    scaled = gradtx.chain(gradtx.nesterov_ema(0.95), tx.polar, gradtx.scale_by_shape("moonlight"), gradtx.scale(1.25))
    tx = gradtx.chain(scaled, gradtx.add_decayed_weights(0.125), gradtx.scale_by_learning_rate(0.125))
    np.testing.assert_allclose(ours(tx, w0=w, gs=gs), np.stack(came), rtol=0, atol=1e-12)


@SHAPES
def test_optax(shape):
    """In float64 to 1e-12 without its eps, and without nesterov; with it the first directions differ."""
    w, gs = setting(shape, 400)
    for nesterov in (False, True):
        theirs = optax.contrib.muon(0.1, eps=0.0, weight_decay=0.1, nesterov=nesterov)
        polar = gradtx.orthogonalize(eps=0.0)
        tx = gradtx.muon(0.1, polar=polar, shape_rule="keller", nesterov=nesterov)
        off = np.abs(steps_of(tx, w, gs) - steps_of(theirs, w, gs)).max(axis=(1, 2))
        if nesterov:
            assert off[0] < 1e-12  # both are the gradient
            assert off[1:5].max() > 1e-3
            assert off[-1] < 1e-6
        else:
            assert off.max() < 1e-12


def steps_of(tx, w, gs):
    """The updates at parameters that stay where they are."""
    with enable_x64(True):
        w = jnp.asarray(w)
        return np.asarray(
            jax.jit(lambda gs: jax.lax.scan(lambda s, g: tx.update(g, s, w)[::-1], tx.init(w), gs)[1])(jnp.asarray(gs))
        )
