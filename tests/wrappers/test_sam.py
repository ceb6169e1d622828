"""`sam` against Foret et al.'s algorithm 1, and what becomes of `grad_fn`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adam, chain, sam, sgd
from tests.reference_averages import sam_sgd, ulps, walk

W = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(3.0)}
SCALE, SHIFT = np.array([4.0, 1.0, 0.25]), np.array([1.0, -0.5, 2.0])


def loss(w):
    """A double well in `a`, a bowl in `b`."""
    return jnp.sum((w["a"] ** 2 - 1) ** 2) + w["b"] ** 2 / 2


GRAD = jax.jit(jax.grad(loss))


def test_agrees_with_the_algorithm():
    want = sam_sgd(lambda w: SCALE * (w - SHIFT), np.zeros(3), 300, 0.125, 0.25)
    scale, shift = jnp.asarray(SCALE, jnp.float32), jnp.asarray(SHIFT, jnp.float32)

    def grad_fn(w):
        return scale * (w - shift)

    def step(carry, _):
        w, state = carry
        updates, state = tx.update(grad_fn(w), state, w, grad_fn=grad_fn)
        w = gradtx.apply_updates(w, updates)
        return (w, state), w

    tx, w = sam(sgd(0.125), 0.25), jnp.zeros(3)
    _, path = jax.jit(lambda: jax.lax.scan(step, (w, tx.init(w)), length=300))()
    assert ulps(path, want, want) <= 40


def test_worked_example():
    """f = w²/2 at (3, 4): the gradient is w, of norm 5; half a unit uphill is at 1.1 w."""
    tx, w = sam(sgd(1.0), 0.5), jnp.array([3.0, 4.0])
    updates, _ = tx.update(w, tx.init(w), w, grad_fn=lambda w: w)
    np.testing.assert_allclose(updates, [-3.3, -4.4], rtol=1e-6)


def test_the_norm_is_that_of_all_leaves():
    seen = []
    tx = sam(sgd(1.0), 2.0)
    grads = {"a": jnp.array([2.0, 3.0]), "b": jnp.array(6.0)}
    tx.update(grads, tx.init(W), W, grad_fn=lambda w: seen.append(w) or GRAD(w))
    np.testing.assert_allclose(seen[0]["a"], W["a"] + grads["a"] * 2 / 7, rtol=1e-6)
    np.testing.assert_allclose(seen[0]["b"], W["b"] + 6 * 2 / 7, rtol=1e-6)


@pytest.mark.parametrize("size", [0.0, 2e-38, 1e-30, 1e25, 8e37, 3e38])
def test_gradients_of_any_size_lead_rho_uphill(size):
    seen = []
    tx, w = sam(sgd(1.0), 3.0), jnp.zeros(2)
    updates, _ = tx.update(jnp.array([0.0, size]), tx.init(w), w, grad_fn=lambda w: seen.append(w) or w + 1)
    np.testing.assert_allclose(seen[0], [0.0, 3.0 if 0 < size < 9e37 else 0.0], rtol=1e-6)
    assert jnp.isfinite(updates).all()


@pytest.mark.parametrize("inner", [sgd(0.1), adam(0.1), chain(gradtx.clip_by_global_norm(1.0), sgd(0.1, 0.9))])
@pytest.mark.parametrize("rho", [0.0, jnp.float32(0.0)])
def test_a_rho_of_zero_changes_nothing_to_the_bit(inner, rho):
    w, tx = W, sam(inner, rho)
    state, alone = tx.init(w), inner.init(w)
    for _ in range(20):
        grads = GRAD(w)
        updates, state = tx.update(grads, state, w, grad_fn=GRAD)
        expected, alone = inner.update(grads, alone, w)
        assert jax.tree.all(jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), updates, expected))
        w = gradtx.apply_updates(w, updates)


def test_it_keeps_no_state_of_its_own():
    assert jax.tree.structure(sam(adam(0.1)).init(W)) == jax.tree.structure(adam(0.1).init(W))


def test_leaves_that_are_not_trained_keep_what_was_given():
    params = {"w": jnp.array([1.0, 2.0]), "n": jnp.array([1, 2]), "none": None, "key": jax.random.key(0)}
    grads = {"w": jnp.ones(2), "n": None, "none": None, "key": None}
    tx = sam(sgd(1.0))

    def grad_fn(p):
        assert p["n"] is params["n"]
        return {"w": 2 * p["w"], "n": np.zeros(2, jax.dtypes.float0), "none": None, "key": None}

    updates, _ = tx.update(grads, tx.init(params), params, grad_fn=grad_fn)
    assert updates["n"] is None
    assert updates["w"].shape == (2,)


def test_half_precision_parameters_stay_so_for_grad_fn():
    seen = []
    w = jnp.ones(2, jnp.bfloat16)
    tx = sam(sgd(1.0), 0.5)
    updates, _ = tx.update(w, tx.init(w), w, grad_fn=lambda w: seen.append(w.dtype) or w)
    assert seen == [jnp.bfloat16]
    assert updates.dtype == jnp.float32


def test_grad_fn_reaches_whoever_needs_it():
    places = []

    def grad_fn(w):
        places.append(w)
        return w

    w = jnp.array([3.0, 4.0])
    tx = gradtx.average(chain(gradtx.identity(), sam(sam(sgd(1.0), 1.0), 0.5)))
    updates, _ = tx.update(w, tx.init(w), w, grad_fn=grad_fn)
    np.testing.assert_allclose(places[0], 1.1 * w, rtol=1e-6)
    np.testing.assert_allclose(places[1], 1.2 * w, rtol=1e-6)
    np.testing.assert_allclose(updates, -1.2 * w, rtol=1e-6)
    other = sam(chain(gradtx.reduce_on_plateau(), sgd(1.0)))
    other.update(w, other.init(w), w, grad_fn=grad_fn, value=1.0)
    with pytest.raises(TypeError, match="reduce_on_plateau needs value"):
        other.update(w, other.init(w), w, grad_fn=grad_fn)


def test_under_a_mask_grad_fn_sees_all_parameters():
    tx = gradtx.masked(sam(sgd(1.0), 0.5), "a")
    updates, _ = tx.update(GRAD(W), tx.init(W), W, grad_fn=GRAD)
    a = GRAD(W)["a"]
    there = {**W, "a": W["a"] + 0.5 * a / jnp.linalg.norm(a)}
    np.testing.assert_allclose(updates["a"], -GRAD(there)["a"], rtol=1e-5)
    np.testing.assert_array_equal(updates["b"], GRAD(W)["b"])


def test_a_sweep_over_rho():
    def last(rho):
        return walk(sam(sgd(0.1), rho), jnp.ones((5, 2)), jnp.ones(2), grad_fn=lambda w: w)[0][-1]

    rhos = jnp.array([0.0, 0.1, 1.0])
    np.testing.assert_allclose(jax.vmap(last)(rhos), [last(float(rho)) for rho in rhos], rtol=1e-6)


@pytest.mark.parametrize("rho", [-0.1, float("inf"), float("nan")])
def test_hostile_rho(rho):
    with pytest.raises(ValueError, match="sam: rho must be finite and at least 0"):
        sam(sgd(0.1), rho)


def test_hostile_calls():
    tx, grads = sam(sgd(0.1)), GRAD(W)
    state = tx.init(W)
    with pytest.raises(TypeError, match=r"sam needs grad_fn: call update\(updates, state, params, grad_fn=...\)"):
        tx.update(grads, state, W)
    with pytest.raises(TypeError, match="sam: grad_fn must be a function from parameters to gradients; got 3"):
        tx.update(grads, state, W, grad_fn=3)
    with pytest.raises(ValueError, match="sam needs the parameters"):
        tx.update(grads, state, grad_fn=GRAD)
    with pytest.raises(ValueError, match=r"gradient of grad_fn at a has shape \(3,\), the parameter \(2,\)"):
        tx.update(grads, state, W, grad_fn=lambda w: {**grads, "a": jnp.ones(3)})
    with pytest.raises((ValueError, TypeError), match="gradient of grad_fn"):  # value and gradients
        tx.update(grads, state, W, grad_fn=jax.value_and_grad(loss))
    with pytest.raises(ValueError, match="there is no gradient at b"):
        tx.update({"a": grads["a"]}, state, W, grad_fn=GRAD)
