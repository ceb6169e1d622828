"""Clipping, by value and by norms of the tree and of leaves, from 1e-30 to infinity."""

from functools import partial

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.experimental import checkify

import gradtx
from tests import reference, reference_norms
from tests.transforms import agreement
from tests.transforms.agreement import Case, enable_x64

CASES = [
    Case(gradtx.clip_by_value(1.0), partial(reference.clipped_by_value, largest=1.0), ulp=0, signs_cancel=False),
    Case(gradtx.clip_by_global_norm(1.0), partial(reference.clipped_by_norm, largest=1.0), ulp=4, signs_cancel=False),
    Case(gradtx.clip_by_global_norm(1e12), partial(reference.clipped_by_norm, largest=1e12), ulp=4, signs_cancel=False),
    Case(gradtx.clip_by_leaf_norm(1.0), partial(reference.clipped_by_norm, largest=1.0), ulp=4, signs_cancel=False),
    Case(gradtx.clip_by_block_rms(1.0), partial(reference_norms.clipped_by_rms, threshold=1.0), 4, False),
    Case(gradtx.clip_by_block_rms(1e12), partial(reference_norms.clipped_by_rms, threshold=1e12), 4, False),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.Agreement):
    pass


@pytest.mark.parametrize("case", CASES[1:], ids=repr)
def test_docstring(case):
    agreement.assert_docstring_states(case)


def clip(updates, max_norm=1.0, **how):
    return gradtx.clip_by_global_norm(max_norm, **how).update(updates, gradtx.EmptyState())[0]


def clip_leaves(updates, max_norm=1.0, **how):
    return gradtx.clip_by_leaf_norm(max_norm, **how).update(updates, gradtx.EmptyState())[0]


def clip_rms(updates, threshold=1.0, **how):
    return gradtx.clip_by_block_rms(threshold, **how).update(updates, gradtx.EmptyState())[0]


class TestGlobalNorm:
    @pytest.mark.parametrize("size", [1e20, 1e30, 1e37])
    def test_beyond_the_range_of_squares(self, size):
        u = clip({"a": jnp.array([3 * size, 0.0]), "b": jnp.array(-4 * size)})
        np.testing.assert_allclose(u["a"], [0.6, 0.0], rtol=1e-6)
        np.testing.assert_allclose(u["b"], -0.8, rtol=1e-6)

    def test_small_ones_pass_untouched(self):
        g = jnp.array([3e-30, -4e-30])
        np.testing.assert_array_equal(clip(g), g)

    def test_small_ones_over_a_smaller_bound(self):
        np.testing.assert_allclose(clip(jnp.array([3e-30, -4e-30]), 1e-30), [0.6e-30, -0.8e-30], rtol=1e-6)

    def test_at_the_bound_nothing_changes(self):
        g = jnp.array([3.0, 4.0])
        np.testing.assert_array_equal(clip(g, 5.0), g)

    def test_float16_is_summed_in_float32(self):
        u = clip(jnp.full(10_000, 300.0, jnp.float16))
        assert u.dtype == jnp.float32
        np.testing.assert_allclose(u, 0.01, rtol=1e-5)

    def test_zero_and_its_derivative(self):
        g = jnp.zeros(3)
        np.testing.assert_array_equal(clip(g), g)
        np.testing.assert_array_equal(jax.jacobian(clip)(g), jnp.eye(3))

    def test_the_derivative_of_a_clipped_one(self):
        """u = g/‖g‖: the derivative is what is left of the identity across g."""
        g = jnp.array([3.0, 4.0])
        want = (np.eye(2) - np.outer([0.6, 0.8], [0.6, 0.8])) / 5
        np.testing.assert_allclose(jax.jacobian(clip)(g), want, atol=1e-7)

    def test_infinity_gives_nan_there_and_zero_elsewhere(self):
        u = clip({"a": jnp.array([jnp.inf, 1.0]), "b": jnp.array([-2.0])})
        np.testing.assert_array_equal(u["a"], [np.nan, 0.0])
        np.testing.assert_array_equal(u["b"], [0.0])

    def test_nan_spreads(self):
        u = clip({"a": jnp.array([jnp.nan, 1.0]), "b": jnp.array([2.0])})
        assert np.isnan(u["a"]).all()
        assert np.isnan(u["b"]).all()

    def test_mixed_types_keep_one_norm(self):
        u = clip({"a": jnp.array([2.0], jnp.bfloat16), "b": jnp.array([2.0]), "c": jnp.array([2.0 + 2.0j]), "n": None})
        np.testing.assert_allclose(u["a"], [0.5])
        np.testing.assert_allclose(u["b"], [0.5])
        np.testing.assert_allclose(u["c"], [0.5 + 0.5j])
        assert u["n"] is None

    def test_float64(self):
        with enable_x64(True):
            u = clip({"a": jnp.array([3e200]), "b": jnp.array(4e200)})
            assert u["a"].dtype == jnp.float64
            np.testing.assert_allclose(u["a"], [0.6], rtol=1e-15)
            np.testing.assert_allclose(u["b"], 0.8, rtol=1e-15)

    def test_infinity_switches_it_off(self):
        g = jnp.array([3e30, -4.0])
        np.testing.assert_array_equal(clip(g, np.inf), g)

    @pytest.mark.parametrize("bound", [-1e-30, -1.0, np.nan])
    def test_bounds_that_are_none(self, bound):
        with pytest.raises(ValueError, match="max_norm must be at least 0"):
            gradtx.clip_by_global_norm(bound)


class TestValue:
    def test_nan_and_infinity(self):
        u, _ = gradtx.clip_by_value(1.0).update(jnp.array([jnp.nan, jnp.inf, -jnp.inf, -0.5]), gradtx.EmptyState())
        np.testing.assert_array_equal(u, [np.nan, 1.0, -1.0, -0.5])

    def test_complex_entries_keep_their_argument(self):
        u, _ = gradtx.clip_by_value(1.0).update(jnp.array([3.0 - 4.0j, 0.1j, 0.0j]), gradtx.EmptyState())
        np.testing.assert_allclose(u, [0.6 - 0.8j, 0.1j, 0.0], rtol=1e-6)

    def test_bounds_that_are_none(self):
        with pytest.raises(ValueError, match="max_delta must be at least 0"):
            gradtx.clip_by_value(-1.0)


FAULTS = {
    "NaN": {"a": [np.nan, 1.0], "b": {"c": [3.0, 4.0]}},
    "infinity": {"a": [-np.inf, 1.0], "b": {"c": [3.0, 4.0]}},
    "both": {"a": [np.inf, 1.0], "b": {"c": [3.0, np.nan]}},
}


def tree(name, dtype=jnp.float32):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), FAULTS[name], is_leaf=lambda x: isinstance(x, list))


class TestNonfinite:
    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("bound", [1.0, np.inf])
    def test_skip_makes_the_whole_step_zero(self, fault, bound):
        u = jax.jit(partial(clip, max_norm=bound, nonfinite="skip"))(tree(fault))
        assert all(np.array_equal(x, np.zeros(2)) for x in jax.tree.leaves(u))

    def test_zero_clips_the_rest_by_its_own_norm(self):
        u = jax.jit(partial(clip, max_norm=2.0, nonfinite="zero"))(tree("NaN"))
        factor = 2.0 / np.sqrt(1 + 9 + 16)
        np.testing.assert_allclose(u["a"], [0.0, factor], rtol=1e-6)
        np.testing.assert_allclose(u["b"]["c"], [3 * factor, 4 * factor], rtol=1e-6)
        u = clip({**tree("both"), "z": jnp.array([1.0 + 2.0j, complex(1.0, np.inf)])}, 100.0, nonfinite="zero")
        np.testing.assert_array_equal(u["a"], [0.0, 1.0])
        np.testing.assert_array_equal(u["b"]["c"], [3.0, 0.0])
        np.testing.assert_array_equal(u["z"], [1.0 + 2.0j, 0.0])

    @pytest.mark.parametrize("fault", FAULTS)
    def test_raise_names_the_first_leaf_at_once(self, fault):
        with pytest.raises(FloatingPointError, match="update at a has an infinite or NaN entry"):
            clip(tree(fault), nonfinite="raise")
        with pytest.raises(FloatingPointError, match="update at b/c has"):
            clip({**tree(fault), "a": None, "b": {"c": jnp.array(np.nan)}}, nonfinite="raise")

    def test_raise_is_a_check_under_checkify(self):
        step = partial(clip, nonfinite="raise")
        for checked in (jax.jit(checkify.checkify(step)), checkify.checkify(jax.jit(step))):
            assert "the update at b/{c} has an infinite" in checked({"a": jnp.ones(2), "b": {"{c}": jnp.inf}})[0].get()
            error, u = checked({"a": jnp.array([3.0, 4.0])})
            assert error.get() is None
            np.testing.assert_allclose(u["a"], [0.6, 0.8], rtol=1e-6)

    def test_raise_under_checkify_in_a_scan_or_a_derivative(self):
        step, g = partial(clip, nonfinite="raise"), jnp.array([1.0, jnp.nan])
        for run in (
            lambda gs: jax.lax.scan(lambda c, g: (c + step(g), None), 0.0, gs)[0],
            jax.grad(lambda g: jnp.sum(step(g))),
            jax.vmap(step),
        ):
            assert "the update at (the tree itself)" in jax.jit(checkify.checkify(run))(g)[0].get()

    @pytest.mark.parametrize("fault", FAULTS)
    def test_raise_propagates_elsewhere(self, fault):
        for way in (
            jax.jit,
            lambda f: lambda g: jax.tree.map(lambda x: x[0], jax.vmap(f)(jax.tree.map(lambda x: x[None], g))),
        ):
            got, want = (way(partial(clip, nonfinite=how))(tree(fault)) for how in ("raise", "propagate"))
            jax.tree.map(np.testing.assert_array_equal, got, want)

    def test_what_is_not_used_costs_nothing(self):
        """Outside checkify the checks leave nothing in the program."""
        sizes = [
            jax.jit(partial(clip, nonfinite=how)).lower(tree("NaN")).compile().cost_analysis()["bytes accessed"]
            for how in ("raise", "propagate")
        ]
        assert sizes[0] == sizes[1]

    @hypothesis.given(st.lists(st.floats(-(2.0**120), 2.0**120, width=32), min_size=6, max_size=6))
    @pytest.mark.parametrize("how", ["skip", "zero", "raise"])
    def test_without_faults_all_are_one(self, how, entries):
        g = jnp.asarray(entries, jnp.float32)
        np.testing.assert_array_equal(clip(g, nonfinite=how), clip(g))

    @pytest.mark.parametrize("how", ["skip", "zero", "raise"])
    def test_derivatives_are_those_of_propagate(self, how):
        g = jnp.array([3.0, 4.0, 0.0])
        derivative, plain = jax.jit(jax.jacobian(partial(clip, nonfinite=how))), jax.jit(jax.jacobian(clip))
        np.testing.assert_array_equal(derivative(g), plain(g))
        assert np.isfinite(derivative(jnp.zeros(3))).all()

    def test_half_precision(self):
        u = clip(tree("both", jnp.float16), nonfinite="zero")
        assert u["a"].dtype == jnp.float32
        np.testing.assert_allclose(u["b"]["c"], [3 / np.sqrt(10), 0.0], rtol=1e-6)

    def test_a_policy_that_is_none(self):
        with pytest.raises(ValueError, match=r"nonfinite must be one of .*; got 'skp' \(did you mean 'skip'"):
            gradtx.clip_by_global_norm(1.0, nonfinite="skp")

    def test_all_devices_skip(self):
        step = partial(clip, nonfinite="skip", axis_name="x")
        step = reference_norms.over_devices(step)
        np.testing.assert_array_equal(step(jnp.arange(8.0).at[3].set(jnp.nan)), np.zeros(8))
        np.testing.assert_allclose(step(jnp.full(8, 3.0)), np.full(8, 1 / np.sqrt(8)), rtol=1e-6)


@pytest.mark.parametrize("of_leaf", [clip_leaves, clip_rms])
class TestLeaves:
    def test_each_by_itself(self, of_leaf):
        g = {"a": jnp.array([3e30, 4e30]), "b": [jnp.array([0.3, 0.4]), jnp.zeros(3), jnp.array(-5e-30)], "n": None}
        u = of_leaf(g)
        np.testing.assert_allclose(of_leaf(g["a"]), u["a"])
        np.testing.assert_allclose(np.linalg.norm(u["a"]), 1.0 if of_leaf is clip_leaves else np.sqrt(2), rtol=1e-6)
        jax.tree.map(np.testing.assert_array_equal, u["b"], g["b"])
        np.testing.assert_allclose(of_leaf(g["b"][2], 1e-30), -1e-30, rtol=1e-6)

    def test_faults_stay_in_their_leaf(self, of_leaf):
        u = of_leaf({"a": jnp.array([jnp.inf, 1.0]), "b": jnp.array([jnp.nan, 1.0]), "c": jnp.array([0.5, 0.5])})
        np.testing.assert_array_equal(u["a"], [np.nan, 0.0])
        np.testing.assert_array_equal(u["b"], [np.nan, np.nan])
        np.testing.assert_array_equal(u["c"], [0.5, 0.5])

    def test_half_precision_is_summed_in_float32(self, of_leaf):
        u = of_leaf(jnp.full(10_000, 300.0, jnp.float16))
        assert u.dtype == jnp.float32
        np.testing.assert_allclose(u, 0.01 if of_leaf is clip_leaves else 1.0, rtol=1e-5)

    def test_derivatives(self, of_leaf):
        np.testing.assert_array_equal(jax.jacobian(of_leaf)(jnp.zeros(3)), jnp.eye(3))
        want = (np.eye(2) - np.outer([0.6, 0.8], [0.6, 0.8])) / 5 * (1 if of_leaf is clip_leaves else np.sqrt(2))
        np.testing.assert_allclose(jax.jacobian(of_leaf)(jnp.array([3.0, 4.0])), want, atol=1e-7)

    def test_infinity_switches_it_off(self, of_leaf):
        g = jnp.array([3e30, -4.0])
        np.testing.assert_array_equal(of_leaf(g, np.inf), g)

    def test_each_over_all_devices(self, of_leaf):
        """Leaves of which one part alone is inside the bound, and those that are inside together."""
        g = {"a": jnp.arange(24.0).reshape(8, 3), "b": jnp.arange(16.0) / 100, "c": jnp.full(8, 1.5e19)}
        u = reference_norms.over_devices(partial(of_leaf, axis_name="x"), "x")(g)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), u, of_leaf(g))
        np.testing.assert_array_equal(u["b"], g["b"])
        parts = jax.vmap(partial(of_leaf, axis_name="x"), axis_name="x")(g["a"])
        np.testing.assert_allclose(parts, u["a"], rtol=1e-6)
        assert not np.allclose(jax.vmap(of_leaf)(g["a"]), u["a"], rtol=0.1)

    @pytest.mark.parametrize("bound", [-1e-30, -1.0, np.nan])
    def test_bounds_that_are_none(self, of_leaf, bound):
        with pytest.raises(ValueError, match=r"(max_norm|threshold) must be (greater than|at least) 0"):
            of_leaf(jnp.ones(2), bound)


@pytest.mark.parametrize("tx", [gradtx.clip_by_value, gradtx.clip_by_leaf_norm, gradtx.clip_by_global_norm])
@pytest.mark.parametrize("jit", [False, True])
def test_a_bound_that_falls_to_zero_gives_zeros(tx, jit):
    tx, g = tx(gradtx.linear_schedule(1.0, 0.0, 2)), jnp.array([3.0, -4.0])
    update, state = jax.jit(tx.update) if jit else tx.update, tx.init(g)
    for expected in (True, True, False, False):
        updates, state = update(g, state)
        assert bool(jnp.all(updates != 0)) is expected


def test_a_schedule_that_leaves_the_range_names_itself_and_the_step():
    tx, g = gradtx.clip_by_global_norm(gradtx.linear_schedule(1.0, -1.0, 4)), jnp.ones(2)
    state = tx.init(g)
    for _ in range(3):
        _, state = tx.update(g, state)
    with pytest.raises(ValueError, match=r"max_norm must be at least 0; got -0.5; max_norm follows linear.* step 3"):
        tx.update(g, state)
