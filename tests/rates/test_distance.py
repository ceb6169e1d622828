"""DoG, L-DoG and DoWG against the equations of their papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adapt_learning_rate, rates, sgd
from tests.rates.paths import STEPS, W0, along, assert_agrees, assert_scale_free, falls, gradient, stated, walked
from tests.transforms.agreement import enable_x64


def dog_loop(w0, reps_rel=1e-6, eps=1e-8):
    """Ivgi et al. 2023, equations 1 to 3."""
    w, r, squares, path = w0.copy(), reps_rel * (1 + np.linalg.norm(w0)), 0.0, []
    for t in range(STEPS):
        g, r = gradient(t, w), max(r, np.linalg.norm(w - w0))
        squares += np.sum(g**2)
        w = w - r / np.sqrt(squares + eps) * g
        path.append(w)
    return np.array(path)


def l_dog_loop(w0, reps_rel=1e-6, eps=1e-8):
    """The same for each leaf by itself: here for each third of the entries."""

    def norms(x):
        return np.repeat(np.linalg.norm(x.reshape(3, -1), axis=1), x.size // 3)

    w, r, squares, path = w0.copy(), reps_rel * (1 + norms(w0)), 0.0, []
    for t in range(STEPS):
        g, r = gradient(t, w), np.maximum(r, norms(w - w0))
        squares = squares + norms(g) ** 2
        w = w - r / np.sqrt(squares + eps) * g
        path.append(w)
    return np.array(path)


def dowg_loop(w0, init_dist=1e-2, eps=1e-4):
    """Khaled et al. 2023, algorithm 1; eps as optax has it."""
    w, r, v, path = w0.copy(), init_dist, 0.0, []
    for t in range(STEPS):
        g, r = gradient(t, w), max(r, np.linalg.norm(w - w0))
        v += r**2 * np.sum(g**2)
        w = w - r**2 / (np.sqrt(v) + eps) * g
        path.append(w)
    return np.array(path)


def thirds(tx):
    """The transformation of one leaf, for the parameters in three leaves."""

    def split(w):
        return dict(zip("abc", jnp.split(w, 3), strict=True))

    def update(g, state, w, **extra):
        u, state = tx.update(split(g), state, split(w))
        return jnp.concatenate([u[k] for k in "abc"]), state

    return gradtx.GradientTransformation(lambda w: tx.init(split(w)), update)


def test_dog():
    assert_agrees(gradtx.dog(reps_rel=1e-2), lambda w: dog_loop(w, 1e-2), stated(rates.distance))


def test_l_dog():
    tx = thirds(gradtx.l_dog(reps_rel=1e-2))
    assert_agrees(tx, lambda w: l_dog_loop(w, 1e-2), stated(rates.distance))


def test_dowg():
    assert_agrees(gradtx.dowg(), dowg_loop, stated(rates.weighted_distance))


FREE = [gradtx.dog(reps_rel=0.01, eps=0.0), gradtx.l_dog(reps_rel=0.01, eps=0.0), gradtx.dowg(eps=0.0)]


@pytest.mark.parametrize("tx", FREE, ids=repr)
def test_the_objective_times_1000_changes_no_step(tx):
    assert_scale_free(tx)


@pytest.mark.parametrize(("tx", "most"), [(gradtx.dog(reps_rel=0.01), 1e-7), (gradtx.dowg(), 0.1)], ids=repr)
def test_with_eps_it_changes_little(tx, most):
    """DoWG's first steps have √v = 0.01·‖g‖, which is not far above its eps."""
    assert_scale_free(tx, bound=most)


@pytest.mark.parametrize("tx", [gradtx.dog(), gradtx.l_dog(), gradtx.dowg()], ids=repr)
def test_no_rate_is_needed(tx):
    """On curvatures from 1 to 100, from distances of a tenth to a thousand."""
    for far in (0.1, 1e3):
        path = falls(tx, [1.0, 10.0, 100.0], far * np.array([1.0, -2.0, 0.5]), 3000)
        assert np.linalg.norm(path[-1]) < 0.05 * far


@pytest.mark.parametrize("tx", [gradtx.dog(), gradtx.l_dog(), gradtx.dowg(), gradtx.dog(eps=0.0)], ids=repr)
def test_gradients_of_zero(tx):
    """A first gradient of zero moves nothing and is forgotten."""
    gs = np.concatenate([np.zeros((3, W0.size)), np.ones((5, W0.size))]).astype(np.float32)
    path, rate = along(tx, gs, read=lambda state: state.rate)
    np.testing.assert_array_equal(path[:3], np.broadcast_to(W0, (3, W0.size)))
    np.testing.assert_array_equal(path[3:], along(tx, gs[3:])[0])
    assert np.isfinite(rate).all()


@pytest.mark.parametrize("tx", [gradtx.dog(), gradtx.l_dog(), gradtx.dowg()], ids=repr)
def test_huge_gradients(tx):
    """Their squares would overflow; the first step has the length of the first distance."""
    gs = np.full((3, 2), 1e25, np.float32)
    path, _ = along(tx, gs, np.zeros(2, np.float32))
    first = {"dog": 1e-6, "l_dog": 1e-6, "dowg": 1e-2}[tx.name]
    np.testing.assert_allclose(np.linalg.norm(path[0]), first, rtol=1e-5)
    assert np.isfinite(path).all()


def test_the_start_is_a_copy():
    """So parameters and state can be donated together."""
    w = jnp.ones(3)
    state = gradtx.dog().init(w)
    assert state.estimator.init_params.unsafe_buffer_pointer() != w.unsafe_buffer_pointer()
    step = jax.jit(lambda w, state, g: gradtx.dog().step(g, state, w), donate_argnums=(0, 1))
    w, state = step(w, state, jnp.ones(3))
    assert np.isfinite(w).all()


def test_the_distance_is_that_from_the_start_in_half_precision():
    """The copy has the numbers of the parameters, so the first distance is 0."""
    w = jnp.array([1.0, 1.0 / 3.0], jnp.bfloat16)
    tx = adapt_learning_rate(sgd(1.0), rates.distance(1e-8))
    _, state = tx.update(jnp.ones(2, jnp.bfloat16), tx.init(w), w)
    np.testing.assert_allclose(state.estimator.max_dist, 1e-8 * (1 + np.linalg.norm([1.0, 0.333984375])), rtol=1e-5)


def test_another_library_by_leaves():
    """The same as optax's, which makes a direction uphill of it."""
    optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")
    theirs = optax.scale_by_distance_over_gradients(param_dtype=np.float64)
    theirs = gradtx.chain(thirds(gradtx.chain(theirs)), gradtx.scale(-1.0))
    with jax.numpy_dtype_promotion("standard"):
        want, _ = walked(theirs, np.float64)
    got, _ = walked(thirds(gradtx.l_dog()), np.float64)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (lambda: rates.distance(0.0), "reps_rel must be greater than 0"),
        (lambda: rates.distance(eps=-1.0), "eps must be finite and at least 0"),
        (lambda: rates.weighted_distance(-1.0), "init_dist must be greater than 0"),
        (lambda: rates.weighted_distance(eps=np.inf), "eps must be finite"),
    ],
)
def test_numbers_out_of_range(bad, word):
    with pytest.raises(ValueError, match=word):
        bad()


def test_float64_is_kept():
    with enable_x64(True):
        state = gradtx.dog().init(jnp.ones(2, jnp.float64))
        assert state.rate.dtype == state.estimator.max_dist.dtype == jnp.float64
