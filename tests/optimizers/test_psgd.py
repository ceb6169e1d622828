"""PSGD against loops of the papers in float64, what it whitens, and what becomes of leaves that are no matrices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.transforms.seeds import leaf_keys
from tests.sharding.meshes import assert_first_update_on_explicit_meshes

STEPS = 1000
FORMS = ("triangular", "inverse_free")


def norm_bound(a):
    """Of the largest singular value from below: the longest row, through two products."""
    x = a[np.argmax((a * a).sum(-1))]
    x = a @ x
    return np.linalg.norm(x @ a) / np.linalg.norm(x)


def triangular(left, right, h, v, bounds, rate):
    """Q ← Q - (rate/ℓ)·triu(A·Aᵀ - B·Bᵀ)·Q on both sides."""
    a = left @ h @ right.T
    b = np.linalg.inv(left).T @ v @ np.linalg.inv(right)
    new = []
    for q, of_h, of_v in ((left, a, b), (right, a.T, b.T)):
        x, y = of_h @ of_h.T, of_v @ of_v.T
        new.append(q - rate / norm_bound(x + y) * np.triu(x - y) @ q)
    return *new, bounds


def inverse_free(left, right, h, v, bounds, rate):
    """Q ← Q - (rate/b)·(P·Pᵀ - c)·Q on both sides, then a rotation towards symmetry."""
    p = left.T @ left @ h @ right.T @ right
    new, raised = [], []
    for q, x, bound in ((left, p, bounds[0]), (right, p.T, bounds[1])):
        t, c = x @ x.T, x.shape[1]
        seen = norm_bound(t) + c
        bound = max(0.9 * bound + 0.1 * seen, seen)
        q = q - rate / bound * (t @ q - c * q)
        r = q.T - q
        if np.any(r):
            r = r / norm_bound(r)
            slope, curvature = np.trace(r @ q), np.trace(r @ r @ q)
            by = np.clip(-slope / curvature, 0, 1 / 8) if curvature < 0 else 1 / 8
            q = q + by * r @ q + by**2 / 2 * r @ r @ q
        new.append(q)
        raised.append(bound)
    return *new, raised


def psgd_loop(gradients, noise, form, rate=0.1, due=lambda t: True):
    left, right, bounds, out = np.eye(gradients.shape[1]), np.eye(gradients.shape[2]), (0.0, 0.0), []
    for t, (g, v) in enumerate(zip(gradients.astype(np.float64), noise, strict=True)):
        if due(t):
            h = g + np.sqrt(2.0**-23) * np.abs(g).mean() * v
            left, right, bounds = globals()[form](left, right, h, v, bounds, rate)
        out.append(left.T @ left @ g @ right.T @ right)
    return np.asarray(out), left, right


def kronecker_noise(steps, m=6, n=4, conditions=(16.0, 15.0)):
    """Gradients mix·Z·mixᵀ, and the two mixes: the covariance has these condition numbers on its sides."""
    random = np.random.default_rng(0)
    mixes = [
        np.linalg.qr(random.normal(size=(k, k)))[0] * np.geomspace(1, c**0.5, k)
        for k, c in zip((m, n), conditions, strict=True)
    ]
    return (mixes[0] @ random.normal(size=(steps, m, n)) @ mixes[1].T).astype(np.float32), *mixes


def noise_of(steps, shape, w):
    """The normal numbers that the piece draws for its first leaf."""

    @jax.jit
    @jax.vmap
    def drawn(t):
        return jax.random.normal(leaf_keys(jax.random.fold_in(jax.random.key(0), t), w)[0], shape)

    return np.asarray(drawn(jnp.arange(STEPS))[:steps], np.float64)


@functools.partial(jax.jit, static_argnums=0)
def scanned(tx, gradients, state=None):
    state = tx.init(jnp.zeros_like(gradients[0])) if state is None else state
    return jax.lax.scan(lambda s, g: tx.update(g, s)[::-1], state, gradients)


def run(tx, gradients):
    """The updates of every step, and the last state."""
    state, updates = scanned(tx, gradients)
    return np.asarray(updates), state


@pytest.mark.parametrize("form", FORMS)
def test_a_thousand_steps(form):
    gradients, *_ = kronecker_noise(STEPS)
    came, state = run(gradtx.scale_by_psgd_kron(form=form), gradients)
    expected, *_ = psgd_loop(gradients, noise_of(STEPS, (6, 4), jnp.zeros((6, 4))), form)
    error = np.abs(came - expected).max(axis=(1, 2))
    assert error.max() < 2e-5
    assert np.median(error) < 2e-6
    np.testing.assert_allclose(np.sqrt(np.mean(came[-300:] ** 2)), 1.0, atol=0.1)
    assert not state.failures


def test_it_whitens():
    """After 6,000 steps: singular values of P·root of the covariance, of which the condition number was 15."""
    gradients, *mixes = kronecker_noise(6 * STEPS)
    tx, parts = gradtx.scale_by_psgd_kron(), np.split(gradients, 6)
    state, _ = scanned(tx, parts[0])
    for part in parts[1:]:
        state, _ = scanned(tx, part, state)
    left, right = (np.asarray(q).T @ np.asarray(q) for q in (state.left, state.right))
    root = np.linalg.svd(np.kron(left @ mixes[0], right @ mixes[1]), compute_uv=False)
    assert root.min() > 0.7
    assert root.max() < 1.7
    assert root.max() / root.min() < 2.1


def test_it_changes_as_often_as_it_is_told():
    """Every fourth step for 0.3; and by the schedule of the recipe: every 34th at last."""
    gradients, *_ = kronecker_noise(12)
    came, state = run(gradtx.scale_by_psgd_kron(probability=0.3), gradients)
    noise = noise_of(12, (6, 4), jnp.zeros((6, 4)))
    expected, *_ = psgd_loop(gradients, noise, "triangular", due=lambda t: t % 4 == 3)
    np.testing.assert_allclose(came, expected, atol=2e-5)
    assert state.waited == 0
    tx = gradtx.psgd_kron(0.1)
    often = tx.piece.members[1].probability
    np.testing.assert_allclose([often(0), often(500), often(1500), often(10_000)], [1, 1, np.exp(-1), 0.03], rtol=1e-6)


def test_which_sides_are_dense():
    params = {"w": jnp.zeros((3, 8, 16)), "b": jnp.zeros(5), "s": jnp.zeros(())}

    def shapes(**given):
        state = jax.eval_shape(gradtx.scale_by_psgd_kron(**given).init, params)
        return {k: tuple(None if x[k] is None else x[k].shape for x in (state.left, state.right)) for k in params}

    assert shapes()["w"] == ((3, 8, 8), (3, 16, 16))
    assert shapes(max_dim=10)["w"] == ((3, 8, 8), (3, 16))
    assert shapes(sides="smaller")["w"] == ((3, 8, 8), (3, 16))
    assert shapes(sides="none")["w"] == ((3, 8), (3, 16))
    assert (shapes()["b"], shapes()["s"]) == ((None, (5,)), (None, (1,)))
    assert shapes(vectors="pass")["b"] == (None, None)


@pytest.mark.parametrize("form", FORMS)
def test_diagonal_factors_whiten_entries(form):
    """Vectors, and matrices whose sides are too long."""
    random, size = np.random.default_rng(0), np.geomspace(0.1, 10, 8)
    for shape in ((8,), (1, 8)):
        gradients = (random.normal(size=(600, *shape)) * size).astype(np.float32)
        came, _ = run(gradtx.scale_by_psgd_kron(form=form, max_dim=0), gradients)
        np.testing.assert_allclose(np.sqrt(np.mean(came[-300:] ** 2, axis=0)).ravel(), 1, atol=0.45)


@pytest.mark.parametrize("form", FORMS)
def test_zero_and_broken_updates_leave_the_factors(form):
    """A thousand zeros would let them grow without a bound; NaN would stay for ever."""
    tx, gradients = gradtx.scale_by_psgd_kron(form=form), kronecker_noise(STEPS)[0]
    _, before = run(tx, gradients)
    step = jax.jit(tx.update)
    zero, after = step(np.zeros((6, 4), np.float32), before)
    assert not np.any(zero)
    np.testing.assert_array_equal(after.left, before.left)
    broken = gradients[0].copy()
    broken[0, 0] = np.nan
    came, after = step(broken, before)
    assert np.any(np.isnan(came))
    np.testing.assert_array_equal(after.right, before.right)
    assert (before.failures, after.failures) == (0, 1)
    assert np.all(np.isfinite(step(gradients[1], after)[0]))


def test_the_size_of_gradients_is_learnt():
    """From one that is small and one that is large."""
    gradients, *_ = kronecker_noise(STEPS)
    for factor in (1e-5, 1e5):
        came, _ = run(gradtx.scale_by_psgd_kron(form="triangular"), gradients * np.float32(factor))
        np.testing.assert_allclose(np.sqrt(np.mean(came[-100:] ** 2)), 1.0, atol=0.2)


def test_leaves_of_one_shape_are_one_stack():
    """Each gets what it gets alone, and the program has one branch for all of a shape."""
    random = np.random.default_rng(0)
    shapes = {f"layer{k}": (4, 6) for k in range(6)} | {"heads": (2, 4, 6)}
    grads = {k: np.float32(random.normal(size=shape)) for k, shape in shapes.items()}
    tx = gradtx.scale_by_psgd_kron()
    first = jax.jit(lambda g: tx.update(g, tx.init(g))[0])
    together = first(grads)
    for k in ("layer3", "heads"):
        np.testing.assert_allclose(together[k], first({k: grads[k]})[k], atol=1e-5)
    text = first.lower(grads).as_text()
    assert text.count("stablehlo.case") == 2


@pytest.mark.parametrize("form", FORMS)
def test_complex_matrices(form):
    """They are whitened too, and each update points along its gradient."""
    random = np.random.default_rng(0)
    gradients = kronecker_noise(600)[0] * np.exp(2j * np.pi * random.uniform(size=(600, 1, 1)))
    u, _ = run(gradtx.scale_by_psgd_kron(form=form), gradients.astype(np.complex64))
    assert np.all(np.sum((u.conj() * gradients).real, axis=(1, 2)) > 0)
    np.testing.assert_allclose(np.sqrt(np.mean(np.abs(u[-100:]) ** 2)), 1.0, atol=0.2)


def test_an_explicit_mesh_gives_the_numbers_of_one_device():
    """And the update is split as the gradient."""
    g, tx = kronecker_noise(1, 16, 24)[0][0], gradtx.scale_by_psgd_kron()
    assert_first_update_on_explicit_meshes(tx, g, atol=1e-5)


def test_the_recipe_clips_and_decays():
    tx, g = gradtx.psgd_kron(0.1, weight_decay=0.5), jnp.full((4, 5), 100.0)
    u, _ = jax.jit(tx.update)(g, tx.init(g), jnp.ones((4, 5)))
    np.testing.assert_allclose(u, -0.1 * (1.1 + 0.5), rtol=5e-3)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"form": "dense"}, ValueError, "form must be one of 'triangular', 'inverse_free'"),
        ({"sides": "left"}, ValueError, "sides must be one of"),
        ({"vectors": "dense"}, ValueError, "vectors must be one of"),
        ({"preconditioner_rate": 1.0}, ValueError, r"preconditioner_rate must be in \[0, 1\)"),
        ({"probability": 1.5}, ValueError, r"probability must be in \[0, 1\]"),
        ({"max_dim": 2.5}, TypeError, "max_dim must be a whole number"),
        ({"initial_scale": 0.0}, ValueError, "initial_scale must be greater than 0"),
        ({"key": "x"}, TypeError, "key must be an integer or a key"),
    ],
)
def test_bad_arguments(given, error, words):
    with pytest.raises(error, match=words):
        gradtx.scale_by_psgd_kron(**given)


def test_bad_leaves():
    params = {"layers": [{"bias": jnp.zeros(3), "w": jnp.zeros((3, 2))}]}
    with pytest.raises(ValueError, match=r"parameter at layers/0/bias has shape \(3,\), and a matrix has two axes"):
        gradtx.scale_by_psgd_kron(vectors="refuse").init(params)
    tx = gradtx.scale_by_psgd_kron()
    state = tx.init(params)
    with pytest.raises(ValueError, match=r"update at layers/0/w has shape \(2, 3\), and left in the state is for"):
        tx.update({"layers": [{"bias": jnp.zeros(3), "w": jnp.zeros((2, 3))}]}, state)
