"""`to_optax(tx, like_params=True)`: half-precision parameters in clients that add updates by hand."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.compat import to_optax
from gradtx.optional_imports import MissingExtraError

RNG = np.random.default_rng(3)


def landed(dtype, sizes):
    """Parameters, the sum by hand and that of apply_updates, for updates of some sizes relative to them."""
    params = jnp.asarray(RNG.normal(size=2000) * 10.0 ** RNG.uniform(-2, 2, 2000), dtype)
    grads = -params.astype(jnp.float32) * jnp.asarray(RNG.uniform(-sizes, sizes, 2000), jnp.float32)
    tx = gradtx.sgd(1.0)
    wide, _ = tx.update(grads, tx.init(params), params)
    pair = to_optax(tx, like_params=True)
    update, _ = jax.jit(pair.update)(grads, pair.init(params), params)
    assert update.dtype == dtype
    return params, params + update, gradtx.apply_updates(params, wide)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_sum_by_hand_lands_where_apply_updates_does(dtype):
    _, by_hand, rounded_once = landed(dtype, 0.5)
    np.testing.assert_array_equal(by_hand, rounded_once)
    params, by_hand, rounded_once = (np.asarray(x, np.float32) for x in landed(dtype, 30.0))
    place = np.spacing(np.maximum(np.abs(params), np.abs(rounded_once - params))) * 2.0 ** (23 - jnp.finfo(dtype).nmant)
    assert np.all(np.abs(by_hand - rounded_once) <= place)


def test_wide_parameters_and_what_is_not_trained_are_as_without():
    params = {"w": jnp.array([1.0, -2.0]), "z": jnp.array([1.0 + 1.0j]), "n": jnp.arange(2), "none": None}
    grads = {"w": jnp.ones(2), "z": jnp.ones(1, complex), "n": jnp.zeros(2, jnp.int32), "none": None}
    tx = gradtx.adam(0.1)
    got, state = to_optax(tx, like_params=True).update(grads, tx.init(params), params)
    expected, same = tx.update(grads, tx.init(params), params)
    jax.tree.map(np.testing.assert_array_equal, (got, state), (expected, same))
    with pytest.raises(ValueError, match="needs the parameters"):
        to_optax(tx, like_params=True).update(grads, tx.init(params))


def test_equinox_adds_by_hand():
    eqx = pytest.importorskip("equinox", reason="pip install -e '.[testing]'")
    model = eqx.nn.MLP(2, 1, 4, 1, dtype=jnp.bfloat16, key=jax.random.key(0))
    params = eqx.filter(model, eqx.is_inexact_array)

    def dtypes(tx):
        updates, _ = jax.jit(tx.update)(params, jax.jit(tx.init)(params), params)
        return {x.dtype.name for x in jax.tree.leaves(eqx.filter(eqx.apply_updates(model, updates), eqx.is_array))}

    assert dtypes(to_optax(gradtx.adam(0.1), like_params=True)) == dtypes(optax.adam(0.1)) == {"bfloat16"}
    assert dtypes(gradtx.adam(0.1)) == {"float32"}


@pytest.mark.peers
def test_optimistix_adds_by_hand():
    optimistix = pytest.importorskip("optimistix", reason="pip install -e '.[peers]'")

    def solve(tx):
        solver = optimistix.OptaxMinimiser(tx, rtol=0.0, atol=0.0)
        start = jnp.array([3.0, -2.0], jnp.bfloat16)
        return optimistix.minimise(lambda w, _: jnp.sum(w**2), solver, start, max_steps=30, throw=False).value

    end = solve(to_optax(gradtx.sgd(0.1), like_params=True))
    assert end.dtype == jnp.bfloat16
    assert np.all(np.abs(np.asarray(end, np.float32)) < 0.1)
    with pytest.raises(ValueError, match="same input and output structure"):
        solve(gradtx.sgd(0.1))


@pytest.mark.nightly
def test_blackjax_adds_by_hand():
    blackjax = pytest.importorskip("blackjax", reason="pip install -e '.[clients]'")

    def types(tx):
        vi = blackjax.meanfield_vi(lambda x: -jnp.sum(x**2), tx, 4)
        state, _ = vi.step(jax.random.key(0), vi.init(jnp.zeros(2, jnp.bfloat16)))
        return {state.mu.dtype.name, state.rho.dtype.name}

    assert types(to_optax(gradtx.adam(0.1), like_params=True)) == types(optax.adam(0.1)) == {"bfloat16"}
    assert types(gradtx.adam(0.1)) == {"float32"}


def test_without_optax_the_error_names_it_alone(monkeypatch):
    """The extra with optax also has torch and Keras, which nobody needs for this."""
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(MissingExtraError, match=r"optax is not installed: pip install optax$"):
        to_optax(gradtx.sgd(0.1))
