"""GaLore and APOLLO against loops of their papers in float64, and what their state costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import frames
from gradtx.transforms.seeds import path_hashes
from tests.optimizers.paths import updates_of

STEPS, RANK, EVERY = 1000, 3, 20


def gradients(shape, seed=0):
    """Gradients whose size changes from step to step, and whose spectrum falls."""
    random = np.random.default_rng(seed)
    size = np.exp(random.normal(size=(STEPS, 1, 1)))
    falling = np.exp(-0.3 * np.arange(shape[1]))
    mix = random.normal(size=(shape[1], shape[1]))
    return (random.normal(size=(STEPS, *shape)) * falling @ mix * size).astype(np.float32)


class Adam:
    """Its moments, in float64."""

    def __init__(self, b1=0.9, b2=0.999, eps=1e-8):
        self.b1, self.b2, self.eps, self.t, self.m, self.v = b1, b2, eps, 0, 0.0, 0.0

    def __call__(self, g):
        self.t += 1
        self.m = self.b1 * self.m + (1 - self.b1) * g
        self.v = self.b2 * self.v + (1 - self.b2) * g * g
        return self.m / (1 - self.b1**self.t) / (np.sqrt(self.v / (1 - self.b2**self.t)) + self.eps)


def galore_loop(gradients, rank, every, rate, scale):
    """Algorithm 2 for one matrix; each singular vector points towards the column of the old matrix."""
    m, n = gradients[0].shape
    wide, adam, p, out = m < n, Adam(), np.eye(min(m, n), rank), []
    for t, g in enumerate(gradients.astype(np.float64)):
        if t % every == 0:
            u, _, vt = np.linalg.svd(g, full_matrices=False)
            new = (u if wide else vt.T)[:, :rank]
            p = new * np.where((new * p).sum(axis=0) < 0, -1, 1)
        low = adam(p.T @ g if wide else g @ p)
        out.append(-rate * scale * (p @ low if wide else low @ p.T))
    return np.asarray(out)


def apollo_loop(gradients, bases, every, rate, scale, growth, per):
    """Algorithm 1 for one matrix, with the random matrices given."""
    m, n = gradients[0].shape
    wide, adam, last, out = m < n, Adam(eps=1e-6), 0.0, []
    axis = None if per == "leaf" else 0 if wide else 1
    for t, g in enumerate(gradients.astype(np.float64)):
        p = bases[t // every]
        low = p.T @ g if wide else g @ p
        ratio = np.linalg.norm(adam(low), axis=axis, keepdims=True) / np.linalg.norm(low, axis=axis, keepdims=True)
        u = g * ratio * scale
        norm = np.linalg.norm(u)
        if last and norm > growth * last:
            u = u * (growth * last / norm)
        last = np.linalg.norm(u)
        out.append(-rate * u)
    return np.asarray(out)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def random_bases(frame, shape, count):
    """The matrices of a random basis, one after the other."""
    short, wide = min(shape), shape[0] < shape[1]
    eye = jnp.eye(short, max(shape)) if wide else jnp.eye(max(shape), short)

    def next_one(basis, _):
        basis = frame.refresh(basis, jnp.zeros(shape), jnp.asarray(False))
        p = frame.into(basis, eye)
        return basis, p[:, :short].T if wide else p[:short]

    basis = frame.init(jax.ShapeDtypeStruct(shape, jnp.float32), path_hashes(jnp.zeros(shape))[0])
    return jax.lax.scan(next_one, basis, length=count)[1]


@pytest.mark.parametrize("shape", [(6, 15), (15, 6), (8, 8)], ids=str)
def test_galore(shape):
    g = gradients(shape)
    came = updates_of(gradtx.galore(0.01, rank=RANK, every=EVERY), g)
    expected = galore_loop(g, RANK, EVERY, 0.01, 0.25)
    error = np.abs(came - expected).max(axis=(1, 2)) / 0.01
    assert error.max() < 1e-5
    assert np.median(error) < 1e-6


@pytest.mark.parametrize("setting", [{}, {"per": "leaf", "scale": 128**0.5, "rank": 1}], ids=["apollo", "mini"])
@pytest.mark.parametrize("shape", [(6, 15), (15, 6), (8, 8)], ids=str)
def test_apollo(shape, setting):
    g = gradients(shape)
    setting = {"rank": RANK, "scale": 1.0, "per": "channel", **setting}
    came = updates_of(gradtx.apollo(0.01, every=EVERY, key=5, **setting), g)
    bases = random_bases(frames.low_rank(setting["rank"], EVERY, "random", 5), shape, STEPS // EVERY)
    bases = np.asarray(bases, np.float64)
    expected = apollo_loop(g, bases, EVERY, 0.01, setting["scale"], 1.01, setting["per"])
    error = np.abs(came - expected).max(axis=(1, 2)) / np.abs(expected).max(axis=(1, 2))
    assert error.max() < 30 * 2**-23


@pytest.mark.parametrize("tx", [gradtx.galore(0.01, rank=4), gradtx.apollo(0.01, rank=4)], ids=lambda tx: tx.name)
def test_other_leaves_get_adam(tx):
    """Vectors, and matrices whose shorter side is not longer than the rank."""
    params = {"w": jnp.ones((9, 5)), "small": jnp.ones((4, 30)), "b": jnp.ones(7)}
    grads = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape), params)

    @functools.partial(jax.jit, static_argnums=0)
    def last(tx):
        def step(state, size):
            return tx.update(jax.tree.map(lambda g: g * size, grads), state, params)[::-1]

        return jax.tree.map(lambda u: u[-1], jax.lax.scan(step, tx.init(params), jnp.arange(1.0, 4.0))[1])

    updates, expected = last(tx), last(gradtx.adam(0.01, eps=tx.eps))
    for name in ("small", "b"):
        np.testing.assert_allclose(updates[name], expected[name], rtol=1e-5)
    assert np.max(np.abs(updates["w"] - expected["w"])) > 1e-4


def test_a_random_basis_keeps_lengths_in_the_mean():
    """E‖Pᵀx‖² = ‖x‖². With rank 8, the length of one channel scatters by 22% or so: that is why APOLLO has a scale."""
    frame, shape = frames.low_rank(8, basis="random"), (64, 4000)
    basis = frame.init(jax.ShapeDtypeStruct(shape, jnp.float32), np.zeros(2, np.uint32))
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ratios = np.linalg.norm(frame.into(basis, jnp.asarray(x)), axis=0) / np.linalg.norm(x, axis=0)

    @jax.jit
    def rotated(key):
        other = frame.init(jax.ShapeDtypeStruct(shape, jnp.float32), key)
        return frame.into(other, x[:, :100])

    keys = [np.asarray([k, 1], np.uint32) for k in range(40)]
    rescaled = [np.mean(np.linalg.norm(rotated(key), axis=0) ** 2) for key in keys]
    np.testing.assert_allclose(np.mean(rescaled), np.mean(np.linalg.norm(x[:, :100], axis=0) ** 2), rtol=0.05)
    assert 0.15 < np.std(ratios) < 0.3


def test_another_leaf_or_seed_has_other_directions():
    shape = (6, 9)
    params = {"a": jnp.ones(shape), "b": jnp.ones(shape)}
    first, second = (gradtx.apollo(0.01, rank=2, key=key).init(params)["low_rank"]["graft"] for key in (0, 1))
    keys = [tuple(np.asarray(x.magnitude.basis[name])) for x in (first, second) for name in "ab"]
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("tx", "expected"), [(gradtx.galore(0.01, rank=4), 2 * 4 * 64 + 4 * 16), (gradtx.apollo(0.01, rank=4), 2 * 4 * 64)]
)
def test_numbers_in_the_state(tx, expected):
    """Besides a few scalars."""
    state = jax.eval_shape(tx.init, jnp.zeros((16, 64)))
    assert expected <= sum(x.size for x in jax.tree.leaves(state)) <= expected + 6


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: gradtx.galore(0.01, rank=0), ValueError, "galore: low_rank: rank must be at least 1; got 0"),
        (lambda: gradtx.apollo(0.01, every=0), ValueError, "apollo: low_rank: every must be at least 1"),
        (lambda: gradtx.apollo(0.01, per="entry"), ValueError, "per must be 'tree', 'leaf' or 'channel' with through"),
        (lambda: gradtx.apollo(0.01, growth=0.5), ValueError, "factor must be at least 1; got 0.5"),
        (lambda: gradtx.apollo(0.01, scale=-1.0), ValueError, "apollo: scale must be finite and at least 0"),
        (lambda: gradtx.galore(0.01, scale=-1.0), ValueError, "galore: scale must be finite and at least 0"),
    ],
)
def test_bad_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("recipe", [gradtx.galore, gradtx.apollo], ids=["galore", "apollo"])
def test_the_scale_is_the_factor_of_leaves_in_the_frame(recipe):
    """Not of others; and it may be swept."""
    params = {"w": jnp.ones((9, 5)), "b": jnp.ones(7)}
    grads = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape), params)

    @jax.jit
    def first(scale):
        tx = recipe(0.01, rank=2, scale=scale)
        return tx.update(grads, tx.init(params), params)[0]

    one, four, swept = first(1.0), first(4.0), jax.vmap(first)(jnp.array([1.0, 4.0]))
    np.testing.assert_allclose(four["w"], 4 * one["w"], rtol=1e-6)
    np.testing.assert_array_equal(four["b"], one["b"])
    np.testing.assert_allclose(swept["w"], [one["w"], 4 * one["w"]], rtol=1e-5)
