"""Normalising, trust ratios, centralising, and zeros for NaN, against their papers' formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.reference_norms import Held, centralized, normalized, over_devices, trusted
from tests.transforms import agreement
from tests.transforms.agreement import Case, enable_x64

W = np.float32(np.random.default_rng(2).standard_normal(48) * 10.0 ** np.linspace(-2, 8, 48)).astype(np.float64)
trust = gradtx.scale_by_trust_ratio

CASES = [
    Case(gradtx.normalize_by_update_norm(), partial(normalized, scale=1.0, eps=1e-6), 4, False),
    Case(gradtx.normalize_by_update_norm(-0.3, 1e14), partial(normalized, scale=-0.3, eps=1e14), 4, False),
    Case(Held(trust(), W), partial(trusted, w=W, least=0.0, trust=1.0, eps=0.0), 6, False),
    Case(Held(trust(1e14, 0.001, 1e12), W), partial(trusted, w=W, least=1e14, trust=0.001, eps=1e12), 6, False),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


@pytest.mark.parametrize("axis", [0, 1, -1])
class TestCentralizeAgreement:
    """At the size of the largest entry of a leaf, since a mean of both signs is a difference of such."""

    def error(self, axis, gs, precision):
        want = centralized(gs.astype(precision), (6, 8), axis)
        got, _ = agreement.run(Held(gradtx.centralize(axis), np.zeros((6, 8))), gs)
        return np.asarray(got), want, np.abs(gs).max(1, keepdims=True)

    def test_float32(self, axis):
        got, want, size = self.error(axis, agreement.gradients(), np.float64)
        assert agreement.ulps(got, want, np.broadcast_to(size, want.shape)) <= 2

    def test_float64(self, axis):
        with enable_x64(True):
            got, want, size = self.error(axis, agreement.gradients()[:300].astype(np.float64), np.longdouble)
        assert np.all(np.abs(got - want) <= 1e-12 * size)


def test_docstring_of_centralize():
    agreement.assert_docstring_states(Case(gradtx.centralize(), centralized, 2))


def apply(tx, g, w=None):
    return tx.update(g, tx.init(g), w)[0]


class TestNormalize:
    @pytest.mark.parametrize("size", [1e-30, 1.0, 1e20, 1e30])
    def test_every_size(self, size):
        u = apply(gradtx.normalize_by_update_norm(2.0, 0.0), {"a": jnp.array([3.0, 0.0]) * size, "b": -4.0 * size})
        np.testing.assert_allclose(u["a"], [1.2, 0.0], rtol=1e-6)
        np.testing.assert_allclose(u["b"], -1.6, rtol=1e-6)

    @pytest.mark.parametrize("eps", [0.0, 1e-6])
    def test_zero_and_its_derivative(self, eps):
        tx = gradtx.normalize_by_update_norm(eps=eps)
        np.testing.assert_array_equal(apply(tx, jnp.zeros(3)), np.zeros(3))
        assert np.isfinite(jax.jit(jax.jacobian(partial(apply, tx)))(jnp.zeros(3))).all()

    def test_across_devices(self):
        step = partial(apply, gradtx.normalize_by_update_norm(axis_name="x"))
        u = over_devices(step)(jnp.full(8, 1.5e19))
        np.testing.assert_allclose(u, np.full(8, 1 / np.sqrt(8)), rtol=1e-6)

    def test_numbers_that_are_none(self):
        with pytest.raises(ValueError, match="eps must be finite and at least 0"):
            gradtx.normalize_by_update_norm(1.0, -1.0)
        with pytest.raises(ValueError, match="scale_factor must be finite"):
            gradtx.normalize_by_update_norm(np.inf)


class TestTrustRatio:
    def test_each_leaf_by_itself(self):
        g = {"a": jnp.array([0.3, 0.4]), "b": jnp.array(2.0), "c": jnp.ones(3), "d": jnp.zeros(2), "n": None}
        w = {"a": jnp.array([5.0, 0.0]), "b": jnp.array(-1.0), "c": jnp.zeros(3), "d": jnp.ones(2), "n": None}
        u = apply(trust(trust_coefficient=0.5), g, w)
        np.testing.assert_allclose(u["a"], [1.5, 2.0], rtol=1e-6)
        np.testing.assert_allclose(u["b"], 0.5, rtol=1e-6)
        np.testing.assert_array_equal(u["c"], g["c"])  # parameters at zero: the ratio is 1, not the coefficient
        np.testing.assert_array_equal(u["d"], g["d"])

    @pytest.mark.parametrize("of_w", [1e-30, 1.0, 1e25])
    @pytest.mark.parametrize("of_g", [1e-30, 1.0, 1e25])
    def test_no_ratio_overflows(self, of_w, of_g):
        u = apply(trust(), jnp.array([3.0, 4.0]) * of_g, jnp.array([0.0, 2.0]) * of_w)
        np.testing.assert_allclose(np.asarray(u) / of_w, [1.2, 1.6], rtol=1e-5)

    def test_the_least_norm(self):
        u = apply(trust(min_norm=10.0), jnp.array([0.3, 0.4]), jnp.zeros(2))
        np.testing.assert_allclose(u, [0.3, 0.4], rtol=1e-6)
        np.testing.assert_allclose(apply(trust(10.0), u, jnp.array([30.0, 40.0])), [1.5, 2.0], rtol=1e-6)

    def test_across_devices(self):
        """Also where one device has all that is not 0."""
        g = {"a": jnp.arange(16.0).reshape(8, 2), "b": jnp.full(8, 1.5e19), "c": jnp.zeros(8).at[3].set(2.0)}
        w = {"a": jnp.ones((8, 2)), "b": jnp.full(8, 1e-30), "c": jnp.zeros(8).at[5].set(3.0)}
        u = over_devices(partial(apply, trust(axis_name="x")), "x")(g, w)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), u, apply(trust(), g, w))
        np.testing.assert_allclose(u["c"], 3.0 * (np.arange(8) == 3), rtol=1e-6)

    @pytest.mark.parametrize("k", [0, 1])
    @pytest.mark.parametrize("least", [0.0, 0.1])
    def test_derivatives_at_zero(self, k, least):
        derivative = jax.jit(jax.jacobian(lambda g, w: apply(trust(least), g, w), argnums=k))
        for at in ((jnp.zeros(2), jnp.zeros(2)), (jnp.ones(2), jnp.zeros(2)), (jnp.zeros(2), jnp.ones(2))):
            assert np.isfinite(derivative(*at)).all()


class TestCentralize:
    def test_worked_example(self):
        """A kernel (in, out): each output's weights have mean 0; of the biases nothing is taken."""
        g = {"kernel": jnp.array([[1.0, 2.0], [3.0, 6.0]]), "bias": jnp.array([5.0, 7.0]), "gain": jnp.array(3.0)}
        u = apply(gradtx.centralize(), g)
        np.testing.assert_array_equal(u["kernel"], [[-1.0, -2.0], [1.0, 2.0]])
        np.testing.assert_array_equal(u["bias"], g["bias"])
        np.testing.assert_array_equal(u["gain"], g["gain"])
        np.testing.assert_array_equal(apply(gradtx.centralize(0), g)["kernel"], [[-0.5, 0.5], [-1.5, 1.5]])

    @pytest.mark.parametrize("shape", [(3, 3, 4, 5), (2, 1, 1), (1, 1), (7, 1)], ids=str)
    @pytest.mark.parametrize("size", [1e-30, 1.0, 3e38])
    def test_the_mean_of_each_output_is_nothing(self, shape, size):
        """Of entries whose plain sum overflows, too."""
        g = jnp.asarray(size * np.random.default_rng(3).uniform(0.5, 1.0, shape), jnp.float32)
        u = np.asarray(apply(gradtx.centralize(), g), np.float64)
        assert np.isfinite(u).all()
        np.testing.assert_allclose(u.mean(tuple(range(len(shape) - 1))), np.zeros(shape[-1]), atol=1e-6 * size)

    @pytest.mark.parametrize("size", [1.0, 1e38])
    def test_across_devices(self, size):
        """Split along the inputs, or for the kernels of torch; and along the outputs without a name."""
        rng = np.random.default_rng(4)
        g = {"k": rng.uniform(0.5, 1.0, (8, 2, 3)), "b": np.arange(8.0) / 8}
        g = jax.tree.map(lambda x: jnp.asarray(size * x, jnp.float32), g)
        first = jax.tree.map(lambda x: x.T, g)
        for tx, tree, spec in (
            (gradtx.centralize(-1, axis_name="x"), g, ("x",)),
            (gradtx.centralize(0, axis_name="x"), first["k"], (None, None, "x")),
            (gradtx.centralize(0), g, ("x",)),
        ):
            u, want = over_devices(partial(apply, tx), *spec)(tree), apply(tx.replace(axis_name=None), tree)
            jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6 * size), u, want)

    def test_complex(self):
        u = apply(gradtx.centralize(), jnp.array([[1.0 + 2.0j], [3.0 - 2.0j]]))
        np.testing.assert_array_equal(u, [[-1.0 + 2.0j], [1.0 - 2.0j]])

    def test_no_size(self):
        assert apply(gradtx.centralize(), jnp.zeros((0, 3))).shape == (0, 3)

    @pytest.mark.parametrize("axis", [2, -3])
    def test_an_axis_that_a_leaf_has_not(self, axis):
        with pytest.raises(ValueError, match=rf"update at a/0 has shape \(2, 3\), no axis {axis}"):
            apply(gradtx.centralize(axis), {"a": [jnp.ones((2, 3))], "b": jnp.ones(3)})

    @pytest.mark.parametrize("axis", [None, 1.0, True, (0, 1)], ids=str)
    def test_axes_that_are_none(self, axis):
        with pytest.raises(TypeError, match="output_axis must be a whole number"):
            gradtx.centralize(axis)


class TestZeroNans:
    def test_nan_alone(self):
        tx = gradtx.zero_nans()
        g = {"a": jnp.array([np.nan, -np.inf, 2.0]), "b": jnp.array([complex(1, np.nan), 1j]), "n": None}
        u, state = jax.jit(tx.update)(g, tx.init(g))
        np.testing.assert_array_equal(u["a"], [0.0, -np.inf, 2.0])
        np.testing.assert_array_equal(u["b"], [0.0, 1j])
        assert state.count == 1

    def test_steps_are_counted(self):
        tx = gradtx.zero_nans()
        gs = {"a": jnp.array([1.0, np.nan, 1.0, np.inf, np.nan]), "b": jnp.array([[1.0], [np.nan], [np.nan], [0], [1]])}
        state, _ = jax.lax.scan(lambda s, g: tx.update(g, s)[::-1], tx.init({"a": 0.0, "b": jnp.zeros(1)}), gs)
        assert state.count == 3

    def test_one_device_with_a_nan_counts_once_on_all(self):
        def counts(gs, axis_name):
            def step(state, g):
                u, state = gradtx.zero_nans(axis_name=axis_name).update(g, gradtx.ZeroNansState(state))
                return state.count, (u, jnp.broadcast_to(state.count, (1,)))

            return jax.lax.scan(step, jnp.int32(0), gs)[1]

        gs = jnp.ones((3, 8)).at[1, jnp.array([2, 5])].set(jnp.nan)
        u, count = over_devices(partial(counts, axis_name="x"), None, "x")(gs)
        np.testing.assert_array_equal(count, np.repeat([[0], [1], [1]], 8, 1))
        np.testing.assert_array_equal(u, ~np.isnan(gs))

    def test_the_count_stays_at_its_end(self):
        end = gradtx.ZeroNansState(jnp.int32(2**31 - 1))
        assert gradtx.zero_nans().update(jnp.array(jnp.nan), end)[1].count == 2**31 - 1
