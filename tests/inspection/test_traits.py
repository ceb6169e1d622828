"""The traits that explain and watch go by, tried on the transformations that declare them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.catalog import ENTRIES

CLIPS = {
    "value": gradtx.clip_by_value(1.0),
    "global_norm": gradtx.clip_by_global_norm(1.0),
    "leaf_norm": gradtx.clip_by_leaf_norm(1.0),
    "block_rms": gradtx.clip_by_block_rms(1.0),
    "adaptive": gradtx.adaptive_grad_clip(0.1),
    "z_score": gradtx.clip_by_z_score(warmup_steps=4),
}
PARAMS = {"a": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "b": jnp.ones(4)}


def updates_of(tx, grads):
    """The updates after ten steps with small gradients."""
    state = tx.init(PARAMS)
    for k in range(10):
        _, state = tx.update(jax.tree.map(lambda g, k=k: g * (1e-2 + 1e-3 * (k % 3)), PARAMS), state, PARAMS)
    return tx.update(grads, state, PARAMS)[0]


def test_these_are_all_that_declare_it():
    declared = {name for name in gradtx.__all__ if "clip" in name.split("_") and callable(getattr(gradtx, name))}
    declared.remove("clip_by_running_max")  # its bound is no number of the user's, and it lets the first update pass
    declared.remove("qk_clip")  # it clips attention logits, by the weights behind them
    assert declared == {tx.name for tx in CLIPS.values()}


@pytest.mark.parametrize("name", CLIPS)
def test_what_clips_makes_updates_smaller_and_never_larger(name):
    tx = CLIPS[name]
    assert tx.traits.clips
    large = jax.tree.map(lambda p: 100.0 * p, PARAMS)
    new = updates_of(tx, large)
    for leaf in PARAMS:
        assert np.linalg.norm(new[leaf]) < np.linalg.norm(large[leaf])
        assert (np.abs(new[leaf]) <= np.abs(large[leaf])).all()
    small = jax.tree.map(lambda p: 1e-2 * p, PARAMS)
    jax.tree.map(np.testing.assert_array_equal, updates_of(tx, small), small)


@pytest.mark.parametrize("name", CLIPS)
def test_what_looks_at_the_whole_tree_depends_on_other_leaves(name):
    one, other = ({"a": 10.0 * PARAMS["a"], "b": size * PARAMS["b"]} for size in (1.0, 1000.0))
    same = np.array_equal(updates_of(CLIPS[name], one)["a"], updates_of(CLIPS[name], other)["a"])
    assert same != CLIPS[name].own_traits.whole_tree


PIECES = [entry.make(setting) for entry in ENTRIES.values() if entry.kind == "piece" for setting in entry.settings]
DIVIDES = [tx for tx in PIECES if tx.own_traits.divides]


def test_all_that_are_tried():
    assert len(DIVIDES) >= 12


@pytest.mark.parametrize("tx", DIVIDES, ids=lambda tx: repr(tx)[:60])
def test_updates_are_divided_as_the_trait_says(tx):
    """At constant gradients the first moment is the gradient; two states differ in the declared moment alone."""
    grads = jax.tree.map(lambda p: 0.3 * p + 0.1, PARAMS)
    state = tx.init(PARAMS)
    for _ in range(5):
        _, state = tx.update(grads, state, PARAMS)
    (field,) = tx.own_traits.divides(tx.arguments, state)
    old = state._replace(**{field: jax.tree.map(lambda v: 1e4 * v, getattr(state, field))})
    (small, after), (large, after_large) = (tx.update(grads, s, PARAMS) for s in (state, old))

    def divisor(s):
        use = tx.own_traits.divides(tx.arguments, s)[field]
        v = np.asarray(getattr(s, field)["b"], np.float64) / np.asarray(use.weight, np.float64)
        return np.sqrt(v + use.eps_inside) + use.eps_outside

    wanted = divisor(after_large) / divisor(after)
    np.testing.assert_allclose(np.asarray(small["b"]) / np.asarray(large["b"]), wanted, rtol=1e-4)
