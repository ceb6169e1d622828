"""optax's L-BFGS: the same directions, about as many points tried, and the differences that the docstrings state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.peers.agreement import enable_x64
from tests.transforms.along import run

optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")


def directions(tx, ws, gs):
    """The updates of all steps, from any (init, update)."""
    return np.asarray(run(tx, ws, gs)[0])


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("memory_size", [1, 3, 10])
def test_directions_are_the_same_where_the_curvature_is_positive(memory_size, scaled):
    """A walk on a quadratic whose curvatures span 1e3, 200 steps, float64: to 1e-13 of the length of the step."""
    rng = np.random.default_rng(1)
    q, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    ws = np.cumsum(rng.standard_normal((200, 12)), 0)
    gs = ws @ (q @ np.diag(np.logspace(0, 3, 12)) @ q.T)
    with enable_x64(True):
        got = directions(gradtx.scale_by_lbfgs(memory_size, scaled), ws, gs)
        want = directions(optax.scale_by_lbfgs(memory_size, scaled), ws, gs)
    assert np.max(np.linalg.norm(got - want, axis=1) / np.linalg.norm(want, axis=1)) <= 1e-13


def test_optax_goes_uphill_after_a_negative_curvature():
    ws = np.array([[1.0, 1.0], [2.0, 1.0]], np.float32)
    gs = np.array([[1.0, 0.0], [0.5, 0.0]], np.float32)
    assert directions(optax.scale_by_lbfgs(), ws, gs)[1] @ gs[1] < 0
    assert directions(gradtx.scale_by_lbfgs(), ws, gs)[1] @ gs[1] > 0


def test_optax_has_nan_for_gradients_of_1e20():
    ws = 1e20 * np.array([[1.0, 1.0], [2.0, 1.0]], np.float32)
    gs = 1e20 * np.array([[1.0, 0.0], [1.5, 0.5]], np.float32)
    assert np.isnan(directions(optax.scale_by_lbfgs(), ws, gs)[1]).any()
    assert np.isfinite(directions(gradtx.scale_by_lbfgs(), ws, gs)).all()


def test_optax_keeps_its_memory_where_nothing_moves():
    ws, gs = np.array([[0.0], [1.0], [1.0]], np.float32), np.array([[0.0], [4.0], [4.0]], np.float32)
    np.testing.assert_allclose(directions(optax.scale_by_lbfgs(), ws, gs)[:, 0], [0.0, 1.0, 1.0])
    gs = np.array([[0.0], [0.5], [0.5]], np.float32)
    np.testing.assert_allclose(directions(optax.scale_by_lbfgs(), ws, gs)[:, 0], [0.0, 1.0, 1.0])
    np.testing.assert_allclose(directions(gradtx.scale_by_lbfgs(), ws, gs)[:, 0], [0.0, 1.0, 0.5])


def rosenbrock(w):
    return jnp.sum(100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2)


def ridge(w):
    """A logistic regression of random classes, with a little l2."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((60, 20)) * np.logspace(0, 1, 20), w.dtype)
    y = jnp.asarray(np.sign(rng.standard_normal(60)), w.dtype)
    return jnp.mean(jax.nn.softplus(-y * (x @ w))) + 5e-3 * jnp.sum(w * w)


def barrier(w):
    """Minus logarithms: no value where an entry is negative."""
    return jnp.sum(jnp.arange(1, w.size + 1, dtype=w.dtype) * w - jnp.log(w))


PROBLEMS = {
    "rosenbrock-2": (rosenbrock, [-1.2, 1.0]),
    "rosenbrock-10": (rosenbrock, [0.0] * 10),
    "ridge": (ridge, [0.0] * 20),
    "barrier": (barrier, [3.0] * 10),
}


def iterations(package, tx, f, start):
    """How many updates and points it takes to a gradient of 1e-8 of the first, in float64."""
    with enable_x64(True):
        value_and_grad = package.value_and_grad_from_state(f)

        @jax.jit
        def step(w, state):
            value, grad = value_and_grad(w, state=state)
            updates, state = tx.update(grad, state, w, value=value, grad=grad, value_fn=f)
            last = state["scale_by_zoom_linesearch"] if package is gradtx else state[-1]
            return package.apply_updates(w, updates), state, jnp.max(jnp.abs(grad)), last.info.num_linesearch_steps

        w, points, first = jnp.asarray(np.array(start)), 0, None
        state = tx.init(w)
        for k in range(200):
            w, state, size, tried = step(w, state)
            first = float(size) if first is None else first
            if float(size) <= 1e-8 * first:
                return k, points
            points += int(tried)
    raise AssertionError("200 steps were not enough")


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_takes_about_as_many_steps_as_optax(name):
    ours = iterations(gradtx, gradtx.lbfgs(), *PROBLEMS[name])
    theirs = iterations(optax, optax.lbfgs(), *PROBLEMS[name])
    assert ours[0] <= 1.15 * theirs[0] + 3
    assert ours[1] <= 1.15 * theirs[1] + 3
