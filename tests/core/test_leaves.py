"""The one door for leaf mathematics: precision, which leaves, how often it is traced; and apply_updates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx
from gradtx import apply_updates, full, map_leaves, scale, scale_by_adam, zeros
from tests.double import enable_x64

FLOATS = [jnp.float16, jnp.bfloat16, jnp.float32]


def test_zeros_are_wide_and_none_where_nothing_is_trained():
    params = {
        "half": jnp.ones(2, jnp.bfloat16),
        "single": jnp.ones((2, 1)),
        "complex": jnp.ones(2, jnp.complex64),
        "int": jnp.arange(3),
        "bool": jnp.array(True),
        "key": jax.random.key(0),
        "nothing": None,
        "number": 1.0,
        "abstract": jax.ShapeDtypeStruct((3,), jnp.float16),
    }
    state = zeros(params)
    types = {name: None if leaf is None else (leaf.shape, leaf.dtype.name) for name, leaf in state.items()}
    assert types == {
        "half": ((2,), "float32"),
        "single": ((2, 1), "float32"),
        "complex": ((2,), "complex64"),
        "int": None,
        "bool": None,
        "key": None,
        "nothing": None,
        "number": ((), "float32"),
        "abstract": ((3,), "float32"),
    }
    assert zeros(params, real=True)["complex"].dtype == jnp.float32
    np.testing.assert_array_equal(full(params, 0.5)["single"], [[0.5], [0.5]])
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("g", FLOATS)
@pytest.mark.parametrize("s", FLOATS)
def test_arithmetic_is_float32_and_each_tree_keeps_its_type(g, s):
    def leaf(g, s):
        assert g.dtype == s.dtype == jnp.float32
        return g * s, s + g

    u, new = map_leaves(leaf, jnp.ones(3, g), jnp.ones(3, s))
    assert (u.dtype, new.dtype) == (jnp.float32, s)


def test_the_widest_leaf_decides():
    with enable_x64(True):
        u, s = map_leaves(lambda g, s: (g + s, s + g), jnp.ones(2, jnp.float32), jnp.ones(2, jnp.float64))
        assert (u.dtype, s.dtype) == (jnp.float64, jnp.float64)
        u, s = map_leaves(lambda g, s: (g + s, s + g), jnp.ones(2, jnp.float64), jnp.ones(2, jnp.float32))
        assert (u.dtype, s.dtype) == (jnp.float64, jnp.float32)
        rate = jnp.float32(0.5)
        assert map_leaves(lambda g: rate * g, jnp.ones(2, jnp.float64)).dtype == jnp.float64


def test_complex_leaves_stay_complex_and_real_ones_real():
    u, s = map_leaves(lambda g, s: (g * s, s + g.real), jnp.ones(2, jnp.complex64), jnp.ones(2, jnp.float16))
    assert (u.dtype, s.dtype) == (jnp.complex64, jnp.float16)


def test_leaves_that_are_not_trained_pass_untouched():
    key, zero = jax.random.key(0), np.zeros(2, jax.dtypes.float0)
    updates = {"w": jnp.ones(2), "n": jnp.arange(2), "key": key, "zero": zero, "none": None, "flag": True}
    out = scale(2.0).update(updates, scale(2.0).init(updates))[0]
    for name in ("n", "key", "zero", "none", "flag"):
        assert out[name] is updates[name]
    np.testing.assert_array_equal(out["w"], [2.0, 2.0])


@pytest.mark.parametrize("empty", [{}, [], None, {"a": None}, {"n": 3}], ids=str)
def test_trees_with_nothing_to_train(empty):
    out = map_leaves(lambda g, s: (g + s, s), empty, zeros(empty))
    assert jax.tree.structure(out[0]) == jax.tree.structure(empty)
    tx = scale_by_adam()
    updates, state = tx.update(empty, tx.init(empty), empty)
    assert jax.tree.structure(updates) == jax.tree.structure(empty)
    assert int(state.count) == 1
    assert apply_updates(empty, updates) == empty


def test_traced_once_for_each_shape_and_type():
    traced = []

    def leaf(g, s):
        traced.append((g.shape, g.dtype))
        return g + s, s

    tree = [jnp.ones((2, 3))] * 20 + [jnp.ones(4)] * 20 + [jnp.ones(4, jnp.bfloat16)] * 20
    jax.jit(lambda t: map_leaves(leaf, t, t)).trace(tree)
    assert len(traced) == 3


def test_a_leaf_function_that_returns_too_much_or_another_shape():
    def sums(g):
        return g.sum()

    with pytest.raises(ValueError, match=r"sums returned shape \(\) for a leaf of shape \(3,\)"):
        map_leaves(sums, jnp.ones(3))
    with pytest.raises(ValueError, match="returned 2 arrays for 1 trees: one new value each at most"):
        map_leaves(lambda g: (g, g), jnp.ones(3))


def test_a_mismatch_is_named_after_the_argument_of_the_leaf_function():
    with pytest.raises(ValueError, match=r"update at a/0 has shape \(3,\), the velocity \(2,\)"):
        map_leaves(lambda g, velocity: g + velocity, {"a": [jnp.ones(3)]}, {"a": [jnp.ones(2)]})


@given(
    p=st.sampled_from(FLOATS),
    u=st.sampled_from(FLOATS),
    values=st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=4),
)
def test_apply_updates_rounds_once(p, u, values):
    w, step = jnp.asarray(values, p), jnp.asarray(values[::-1], u) / jnp.asarray(3, u)
    out = apply_updates(w, step)
    exact = np.asarray(w, np.float64) + np.asarray(step, np.float64)
    assert out.dtype == p
    np.testing.assert_array_equal(np.asarray(out, np.float64), np.asarray(jnp.asarray(exact, jnp.float32).astype(p)))


def test_apply_updates_keeps_what_is_not_trained_and_refuses_what_does_not_fit():
    params = {"w": jnp.ones(2), "n": 3, "key": jax.random.key(0), "none": None}
    out = apply_updates(params, {"w": jnp.ones(2), "n": jnp.int32(5), "key": None, "none": None})
    assert out["n"] == 3
    assert out["key"] is params["key"]
    np.testing.assert_array_equal(out["w"], [2.0, 2.0])
    with pytest.raises(TypeError, match="update at n is float32, the parameter int64: only real and complex"):
        apply_updates({"n": np.arange(3)}, {"n": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"update at w has shape \(1,\), the parameter \(2,\)"):
        apply_updates({"w": jnp.ones(2)}, {"w": jnp.ones(1)})
    with pytest.raises(TypeError, match="update at w is complex64, the parameter float32: its imaginary part"):
        apply_updates({"w": jnp.ones(2)}, {"w": jnp.ones(2, jnp.complex64)})
    with pytest.raises(ValueError, match=r"update at w has shape .*, where the parameter is None"):
        apply_updates({"w": None}, {"w": jnp.ones(2)})
    assert apply_updates(1.0, jnp.float32(0.5)) == 1.5


def test_numpy_doubles_are_single_precision_where_jax_has_no_other():
    """No warning about float64, and the state that a jitted step has."""
    g, tx = {"w": np.array([3e-7, 4e-7])}, gradtx.chain(gradtx.clip_by_global_norm(1e-7), gradtx.adam(0.1))
    updates, state = tx.update(g, tx.init(g), g)
    assert {x.dtype.name for x in jax.tree.leaves((updates, state))} == {"float32", "int32"}
