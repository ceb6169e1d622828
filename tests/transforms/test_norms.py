"""Norms: their range and derivatives, of leaves and their parts too, and across the devices of a mesh."""

from functools import partial

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import gradtx
from gradtx.transforms.norms import leaf_norm, within
from tests.double import enable_x64
from tests.reference_norms import over_devices


def norm(v):
    return gradtx.global_norm({"w": v})


@partial(jax.jit, static_argnums=0)
def derivatives(of, v, factor):
    return [derivative(lambda v: factor * of(v))(v) for derivative in (jax.jacfwd, jax.jacrev)]


@pytest.mark.parametrize("of", [norm, leaf_norm])
@pytest.mark.parametrize("size", [1.0, 1e-37, 1e-30, 6e-17, 1e-15, 3e18, 4e18, 1e20, 1e37])
def test_the_derivative_is_the_direction(of, size):
    """Also next to where the second pass begins, and with numbers before and behind that are not 1."""
    for factor in (1e-6, 1.0, 1e6):
        for derivative in derivatives(of, np.float32([3.0 * size, 4.0 * size]), np.float32(factor)):
            np.testing.assert_allclose(derivative, [0.6 * factor, 0.8 * factor], rtol=1e-5)


@pytest.mark.parametrize("of", [norm, leaf_norm])
def test_second_derivatives_of_every_mode_agree(of):
    unit, modes = np.array([0.6, 0.8]), (jax.jacfwd, jax.jacrev)
    hessians = jax.jit(lambda v: [outer(inner(of))(v) for inner in modes for outer in modes])
    for hessian in hessians(np.float32([3.0, 4.0])):
        np.testing.assert_allclose(hessian, (np.eye(2) - np.outer(unit, unit)) / 5, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("of", [norm, leaf_norm])
@pytest.mark.parametrize("v", [[0.0, 0.0], [1e-45, 0.0]], ids=str)
def test_the_derivative_at_nothing_is_finite(of, v):
    assert np.isfinite(jax.grad(of)(jnp.array(v))).all()
    assert float(of(jnp.array(v))) <= 1e-30


@pytest.mark.parametrize(
    "of", [norm, leaf_norm, partial(leaf_norm, axes=(0,)), lambda v: leaf_norm(v.astype("complex64"))]
)
def test_the_norm_of_a_constant_under_jit(of):
    """XLA rearranges products of constants: 0² times the square of a large unit was NaN."""
    constants = [np.full((2, 3), entry, np.float32) for entry in (0.0, 1e-30, 1.0, 1e19, 1e25, 3e38)]
    came = jax.jit(lambda: [(of(jnp.asarray(v[0])), jax.vmap(of)(jnp.asarray(v))) for v in constants])()
    for v, (one, batch) in zip(constants, came, strict=True):
        expected = np.asarray(of(jnp.asarray(v[0])))
        np.testing.assert_allclose(one, expected, rtol=1e-6)
        np.testing.assert_allclose(batch, np.stack([expected] * 2), rtol=1e-6)


@pytest.mark.parametrize("shapes", [[()], [(), (2,)], [(1,), (2, 3)], [(), ()]], ids=str)
def test_the_norm_of_constant_leaves_under_jit(shapes):
    """A scalar leaf too, which XLA simplifies at another time than arrays."""
    entries = [dtype(entry) for dtype in (np.float32, np.complex64) for entry in (1e-30, 1e19, 1e25, 1e38)]
    trees = [[np.full(shape, entry) for shape in shapes] for entry in entries]
    came = jax.jit(lambda k: [gradtx.global_norm(tree) * k for tree in trees])(1.0)
    np.testing.assert_allclose(came, [gradtx.global_norm(tree) for tree in trees], rtol=1e-6)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("of", [norm, leaf_norm, lambda v: leaf_norm(v, (0,))[0]], ids=["global", "leaf", "axis"])
def test_the_norm_of_a_constant_times_a_number_under_jit(of, backend, monkeypatch):
    """XLA squares the factors apart, where only the product has a square: c²·s² was NaN, and the update 0."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)  # as it is written for accelerators
    zeros = [0.0] * (3 if backend == "cpu" else 5)  # a shape of its own: a trace for the other backend is not found

    pairs = [(1e25, 1e-25), (1e-25, 1e25), (3e-23, 1e18)]
    constants = [np.asarray([3 * c, 4 * c, *zeros], dtype) for dtype in (np.float32, np.complex64) for c, _ in pairs]
    constants += [np.float32([bad, 1.0, *zeros]) for bad in (-np.inf, np.nan)]
    numbers = np.float32([s for _, s in pairs * 2] + [1.0, 1.0])
    came = jax.jit(lambda *numbers: [of(c * s.astype(c.dtype)) for c, s in zip(constants, numbers, strict=True)])
    expected = [5 * np.float64(c) * s for c, s in pairs] * 2 + [np.inf, np.nan]
    np.testing.assert_allclose(came(*numbers), expected, rtol=1e-5)


def test_a_parameter_that_the_loss_does_not_use_stays():
    tx = gradtx.chain(gradtx.clip_by_leaf_norm(1.0), gradtx.adam(1e-3))
    params = {"used": jnp.ones(2), "unused": jnp.ones(3)}

    @jax.jit
    def step(params, state):
        return tx.step(jax.grad(lambda p: jnp.sum(p["used"] ** 2))(params), state, params)

    params, state = step(params, tx.init(params))
    np.testing.assert_array_equal(params["unused"], np.ones(3))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state))


def test_an_eager_call_compiles_a_program_for_each_shape_and_not_for_the_tree(caplog):
    def compiled(tree):
        caplog.clear()
        with jax.log_compiles(), caplog.at_level("WARNING"):
            assert gradtx.global_norm(tree) > 0
        return sum("Finished XLA compilation" in record.getMessage() for record in caplog.records)

    shapes = [(7,), (3, 5), (11, 2)]
    for size in (1.0, 1e25):
        few = {str(k): jnp.full(shape, size) for k, shape in enumerate(shapes)}
        compiled(few)
        many = {str(k): jnp.full(shapes[k % 3], size) for k in range(40)}
        assert compiled(many) == 0


class TestOfLeaves:
    sizes = jnp.array([1e-30, 1e-10, 1.0, 1e19, 1e30, 0.0])

    def test_each_part_has_its_own_range(self):
        """Columns from 1e-30 to 1e30 and one of zeros, beside each other."""
        x = jnp.array([[3.0], [-4.0]]) * self.sizes[None]
        for of in (leaf_norm, jax.jit(leaf_norm, static_argnums=1)):
            np.testing.assert_allclose(of(x, (0,)), 5.0 * self.sizes[None], rtol=1e-6)
            np.testing.assert_allclose(of(x.T, (-1,)), 5.0 * self.sizes[:, None], rtol=1e-6)

    def test_derivatives_beside_zeros_and_overflow(self):
        x = jnp.array([[3.0], [-4.0]]) * self.sizes[None]
        derivative = jax.grad(lambda x: jnp.sum(leaf_norm(x, (0,))[0] * jnp.arange(1.0, 7.0)))(x)
        want = np.array([[0.6], [-0.8]]) * [1, 2, 3, 4, 5, 0]
        np.testing.assert_allclose(derivative, want, rtol=1e-5)

    @pytest.mark.parametrize("size", [1e-30, 1.0, 1e25])
    def test_complex(self, size):
        np.testing.assert_allclose(
            leaf_norm(jnp.array([3.0 + 4.0j, 12.0j]) * jnp.complex64(size)), 13 * size, rtol=1e-6
        )

    def test_faults_are_seen(self):
        x = jnp.array([[jnp.nan, jnp.inf, 3.0], [1.0, 1.0, 4.0]])
        np.testing.assert_array_equal(leaf_norm(x, (0,)), [[np.nan, np.inf, 5.0]])

    def test_none_to_sum(self):
        assert leaf_norm(jnp.zeros((0, 3))) == 0.0
        np.testing.assert_array_equal(leaf_norm(jnp.zeros((0, 3)), (0,)), np.zeros((1, 3)))


def test_within():
    norms = jnp.array([0.0, 1.0, 2.0, 4.0, jnp.inf, jnp.nan])
    np.testing.assert_array_equal(within(2.0, norms), [1.0, 1.0, 1.0, 0.5, 0.0, np.nan])
    np.testing.assert_array_equal(within(np.inf, norms[:-1]), np.ones(5))
    assert jax.grad(lambda n: within(2.0, n))(0.0) == 0.0


TAKE_A_NAME = [
    partial(gradtx.global_norm, 1.0),
    partial(gradtx.clip_by_global_norm, 1.0),
    partial(gradtx.clip_by_leaf_norm, 1.0),
    partial(gradtx.clip_by_block_rms, 1.0),
    partial(gradtx.adaptive_grad_clip, 0.1),
    gradtx.scale_by_trust_ratio,
    gradtx.centralize,
    gradtx.zero_nans,
    gradtx.scale_by_lbfgs,
    gradtx.lbfgs,
    partial(gradtx.scale_by_zoom_linesearch, 9),
    partial(gradtx.scale_by_backtracking_linesearch, 9),
    partial(gradtx.value_and_grad_from_state, jnp.sum),
]


@pytest.mark.parametrize("axis_name", [3, ["x"], ("x", 0)], ids=str)
@pytest.mark.parametrize("takes", TAKE_A_NAME, ids=lambda f: getattr(f, "func", f).__name__)
def test_names_that_are_none(takes, axis_name):
    with pytest.raises(TypeError, match="axis_name must be the name of an axis"):
        takes(axis_name=axis_name)


def each_norm(axes):
    """The norm of all parts, as every part knows it, in a new axis of length 1."""
    return lambda g: jnp.broadcast_to(gradtx.global_norm({"w": g}, axes), (1,))


def mapped(each):
    """A function of all parts, from one that is mapped over parts of one entry."""
    return lambda parts: each(parts[:, None])[:, 0]


WAYS = {
    "shard_map": over_devices(each_norm("x")),
    "a mesh of two axes": over_devices(each_norm(("x", "y")), ("x", "y"), mesh=(2, 4)),
    "vmap": mapped(jax.vmap(each_norm("x"), axis_name="x")),
    "a jitted vmap": mapped(jax.jit(jax.vmap(each_norm("x"), axis_name="x"))),
    "pmap": mapped(jax.pmap(each_norm("x"), axis_name="x")),
}
ONE = np.arange(1.0, 9.0)
PARTS = {
    "usual": ONE,
    "overflow together only": np.full(8, 1.5e19),
    "one overflows": ONE * [1e20, *[1] * 7],
    "all overflow": ONE * 1e30,
    "vanish together only": np.full(8, 1.2e-16),
    "one is left": ONE * [1.0, *[1e-30] * 7],
    "all vanish": ONE * 1e-30,
    "the square of one alone is a number": np.array([3e-19, *[1e-19] * 7]),
    "nothing": np.zeros(8),
    "an infinity": ONE * [np.inf, *[1] * 7],
    "a NaN": ONE * [np.nan, *[1] * 7],
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS.keys())
@pytest.mark.parametrize("way", WAYS)
def test_the_norm_of_all_parts(way, parts):
    """Every device has the norm that one device alone finds, and that float64 finds."""
    parts = np.float32(parts)
    got = WAYS[way](parts)
    np.testing.assert_array_equal(got, np.repeat(got[0], 8))
    np.testing.assert_allclose(got[0], np.linalg.norm(np.float64(parts)), rtol=1e-6)


@hypothesis.given(st.lists(st.floats(-(2.0**120), 2.0**120, width=32), min_size=8, max_size=8))
def test_any_parts(entries):
    got = WAYS["shard_map"](np.float32(entries))
    want = float(np.linalg.norm(np.asarray(entries)))
    np.testing.assert_allclose(got, np.full(8, want), rtol=1e-6, atol=1e-37)


class TestPartsOfLeaves:
    """Columns that are split over the devices, each with its own range; and all of them as one leaf."""

    columns = np.stack(list(PARTS.values()), 1)

    def test_the_norm_of_all_parts(self):
        x = jnp.asarray(self.columns, jnp.float32)
        got = np.asarray(over_devices(lambda x: leaf_norm(x, (0,), "x"), "x")(x))
        np.testing.assert_array_equal(got, np.repeat(got[:1], 8, 0))
        np.testing.assert_allclose(got[0], np.linalg.norm(self.columns, axis=0), rtol=1e-6)
        of_all = over_devices(lambda x: leaf_norm(x, None, "x")[None], "x")(x[:, :3])
        np.testing.assert_allclose(of_all, np.full(8, np.linalg.norm(self.columns[:, :3])), rtol=1e-6)

    def test_derivatives_are_those_of_one_device(self):
        x = jnp.asarray(self.columns[:, :-2], jnp.float32)
        weights = jnp.arange(1.0, 1.0 + x.shape[1])[None]

        def loss(norms):
            return jnp.sum(norms[:1] * weights)

        split = over_devices(lambda x: leaf_norm(x, (0,), "x"), "x")
        want = jax.jit(jax.grad(lambda x: loss(leaf_norm(x, (0,)))))(x)
        for derivative in (jax.grad, jax.jacfwd):
            got = jax.jit(derivative(lambda x: loss(split(x))))(x)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


class TestInShardMap:
    def test_half_precision_is_summed_in_float32(self):
        got = over_devices(each_norm("x"))(jnp.full(80, 3e4, jnp.float16))
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, 3e4 * np.sqrt(80), rtol=1e-3)

    @staticmethod
    def weighted(clipped):
        return jnp.sum(clipped * np.cos(np.arange(8.0)).astype(clipped.dtype))

    @staticmethod
    @jax.jit
    @jax.grad
    def slope(g, bound):
        clipped = gradtx.clip_by_global_norm(bound).update(g, gradtx.EmptyState())[0]
        return TestInShardMap.weighted(clipped)

    @staticmethod
    @jax.jit
    @jax.grad
    def split_slope(g, bound):
        def clipped(g, bounds):
            return gradtx.clip_by_global_norm(bounds[0], axis_name="x").update(g, gradtx.EmptyState())[0]

        return TestInShardMap.weighted(over_devices(clipped)(g, jnp.full(8, bound)))

    @pytest.mark.parametrize("size", [0.0, 1.0, 1e-30, 1.5e19, 1e30])
    def test_derivatives_are_those_of_one_device(self, size):
        """Of clipping to half the norm, so that every part depends on all others; at zero, nothing is clipped."""
        g, bound = np.float32(ONE * size), 0.5 * max(size, 1e-30)
        got, want = self.split_slope(g, np.float32(bound)), self.slope(g, np.float32(bound))
        with enable_x64(True):
            exact = self.slope(np.float64(ONE * size), np.float64(bound))
        for derivative in (got, want):
            np.testing.assert_allclose(derivative, exact, rtol=1e-4, atol=1e-6 * np.abs(exact).max())

    def test_in_a_scan(self):
        def steps(g):
            tx = gradtx.clip_by_global_norm(1.0, axis_name="x")
            return jax.lax.scan(lambda g, _: (2.0 * tx.update(g, gradtx.EmptyState())[0], None), g, length=3)[0]

        got = over_devices(steps)(jnp.full(8, 1e20))
        np.testing.assert_allclose(got, np.full(8, 2.0 / np.sqrt(8)), rtol=1e-5)

    def test_an_unknown_axis_is_named(self):
        with pytest.raises(NameError, match="elsewhere"):
            over_devices(each_norm("elsewhere"))(jnp.ones(8))

    @pytest.mark.parametrize("tx", [gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1)], ids=str)
    def test_without_a_name_each_part_stands_alone(self, tx):
        params, grads = {"w": jnp.ones(8)}, {"w": jnp.arange(8.0)}

        def update(g, p):
            return tx.update(g, tx.init(p), p)[0]

        out = over_devices(update)(grads, params)
        for k in range(8):
            one = {"w": grads["w"][k : k + 1]}, {"w": params["w"][k : k + 1]}
            np.testing.assert_allclose(out["w"][k], update(*one)["w"][0], rtol=1e-6)
