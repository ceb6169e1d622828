"""Gradient noise: its variance, where its numbers come from, and what they do not depend on."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import gradtx
from tests import reference_norms
from tests.sharding.meshes import EXPLICIT, mesh_of, put
from tests.transforms import agreement
from tests.transforms.agreement import Case, enable_x64

SEED = 5


def draws():
    """The normal numbers of every step: the noise at variance 1."""
    return np.asarray(agreement.run(gradtx.add_noise(1.0, 0.0, SEED), np.zeros_like(agreement.gradients()))[0])


@pytest.mark.parametrize(("eta", "gamma"), [(0.01, 0.55), (1e10, 2.0), (0.0, 0.0)])
def test_agreement(eta, gamma):
    gs, n = agreement.gradients(), draws().astype(np.float64)
    want = reference_norms.noisy(gs.astype(np.float64), n, eta, gamma)
    got, _ = agreement.run(gradtx.add_noise(eta, gamma, SEED), gs)
    assert agreement.ulps(got, want, np.abs(gs) + np.abs(want - gs)) <= 4


def test_docstring():
    agreement.assert_docstring_states(Case(gradtx.add_noise(1.0, 0.0, SEED), reference_norms.noisy, 4))


def noise(like, seed=SEED, count=0, eta=1.0):
    tx = gradtx.add_noise(eta, 0.55, seed)
    zeros = jax.tree.map(jnp.zeros_like, like)
    return tx.update(zeros, tx.init(like)._replace(count=jnp.int32(count)))[0]


class TestDraws:
    def test_they_are_normal(self):
        from scipy import stats

        n = draws().ravel()
        assert stats.kstest(n, "norm").pvalue > 0.01
        assert abs(np.corrcoef(draws()[:-1].ravel(), draws()[1:].ravel())[0, 1]) < 0.01

    def test_leaves_of_one_shape_differ(self):
        u = noise({"a": jnp.zeros(1000), "b": jnp.zeros(1000), "c": [jnp.zeros(1000)] * 2, "a/b": jnp.zeros(1000)})
        rows = np.stack(jax.tree.leaves(u))
        assert np.abs(np.corrcoef(rows) - np.eye(len(rows))).max() < 0.15

    def test_a_key_with_a_slash_is_not_a_path(self):
        u = noise({"a/b": jnp.zeros(10), "a": {"b": jnp.zeros(10)}})
        assert not np.any(u["a/b"] == u["a"]["b"])

    @hypothesis.given(st.sets(st.sampled_from("abcdexyz"), min_size=1))
    def test_a_leaf_does_not_see_what_stands_beside_it(self, names):
        beside = {k: jnp.zeros(2) if k < "d" else None if k < "y" else jnp.ones(2, int) for k in names}
        tree = {"w": jnp.zeros(3), **beside}
        np.testing.assert_array_equal(noise(tree)["w"], noise({"w": jnp.zeros(3)})["w"])

    def test_steps_and_seeds_differ_and_repeat(self):
        w = jnp.zeros(100)
        rows = [noise(w, seed, count) for seed in (0, 1) for count in (0, 1, 2)]
        assert len({r.tobytes() for r in map(np.asarray, rows)}) == 6
        np.testing.assert_array_equal(noise(w, 1, 2), rows[-1])

    @pytest.mark.parametrize("jit", [jax.jit, lambda f: f])
    def test_they_are_known_numbers(self, jit):
        """Frozen: another version of this file must not change what a seed gives."""
        np.testing.assert_allclose(jit(noise)({"w": jnp.zeros(2)})["w"], [-0.51509917, -0.22880736], rtol=1e-6)

    def test_they_are_float32_for_every_type(self):
        want = noise({"w": jnp.zeros(5)})["w"]
        for dtype in (jnp.float16, jnp.bfloat16):
            u = noise({"w": jnp.zeros(5, dtype)})["w"]
            assert u.dtype == jnp.float32
            np.testing.assert_array_equal(u, want)
        with enable_x64(True):
            u = noise({"w": jnp.zeros(5, jnp.float64)})["w"]
            assert u.dtype == jnp.float64
            np.testing.assert_array_equal(u, np.asarray(want, np.float64))

    def test_complex_leaves_share_the_variance(self):
        u = np.asarray(noise(jnp.zeros(100_000, jnp.complex64), eta=9.0))
        np.testing.assert_allclose([u.real.var(), u.imag.var()], [4.5, 4.5], rtol=0.02)
        assert abs(np.corrcoef(u.real, u.imag)[0, 1]) < 0.01


class TestVariance:
    def test_it_falls(self):
        w = jnp.zeros(10)
        for t in (0, 1, 99, 2**31 - 2):
            ratio = np.asarray(noise(w, count=t)) / np.asarray(standard_noise(w, t))
            np.testing.assert_allclose(ratio, (1.0 + t) ** (-0.55 / 2), rtol=2e-6)

    def test_it_follows_a_schedule(self):
        tx = gradtx.add_noise(lambda step: 1.0 * (step == 1), 0.0, SEED)
        gs = jnp.zeros((3, 4))
        u = jax.lax.scan(lambda s, g: tx.update(g, s)[::-1], tx.init(gs[0]), gs)[1]
        np.testing.assert_array_equal(np.any(np.asarray(u) != 0, axis=1), [False, True, False])

    def test_the_derivative_at_none(self):
        def loss(eta):
            return jnp.sum(gradtx.add_noise(eta, 0.55, SEED).update(jnp.ones(3), state)[0])

        state = gradtx.add_noise(1.0, 0.55, SEED).init(jnp.ones(3))
        assert np.isfinite(jax.grad(loss)(0.0))


def standard_noise(w, t):
    """The noise of step t at variance 1."""
    tx = gradtx.add_noise(1.0, 0.0, SEED)
    return tx.update(w, tx.init(w)._replace(count=jnp.int32(t)))[0]


class TestSeeds:
    def test_an_integer_is_its_key(self):
        w = jnp.zeros(3)
        for same in (jax.random.key(SEED), jax.random.PRNGKey(SEED), np.int32(SEED), jnp.uint32(SEED)):
            np.testing.assert_array_equal(noise(w, same), noise(w, SEED))

    def test_keys_of_another_kind(self):
        key = jax.random.key(SEED, impl="rbg")
        tx = gradtx.add_noise(1.0, 0.55, key)
        state = tx.init(jnp.zeros(3))
        assert state.key.shape == (4,)
        assert state.key.dtype == jnp.uint32
        assert np.isfinite(jax.jit(tx.update)(jnp.zeros(3), state)[0]).all()

    def test_values_with_keys(self):
        tx, again = (gradtx.add_noise(1.0, 0.5, jax.random.key(SEED)) for _ in range(2))
        assert tx == again
        assert hash(tx) == hash(again)
        assert tx != tx.replace(key=jax.random.key(SEED + 1))

    def test_a_sweep_over_seeds(self):
        def run(seed):
            return noise(jnp.zeros(3), seed)

        swept = jax.vmap(run)(jax.random.split(jax.random.key(0), 4))
        assert len(np.unique(swept)) == 12

    @pytest.mark.parametrize("seed", [None, 1.0, True, "0", np.float32(1), np.zeros(2)], ids=repr)
    def test_seeds_that_are_none(self, seed):
        with pytest.raises(TypeError, match="key must be an integer or a key"):
            gradtx.add_noise(0.1, 0.5, seed)

    @pytest.mark.parametrize("seed", [-1, 2**32, np.int64(2**32)])
    def test_seeds_that_do_not_fit(self, seed):
        with pytest.raises(ValueError, match=r"key must be at least 0 and below 2\*\*32"):
            gradtx.add_noise(0.1, 0.5, seed)

    @pytest.mark.parametrize("numbers", [{"eta": -1.0, "gamma": 0.5}, {"eta": 1.0, "gamma": -0.5}], ids=str)
    def test_numbers_that_are_none(self, numbers):
        with pytest.raises(ValueError, match="must be finite and at least 0"):
            gradtx.add_noise(**numbers, key=0)


@pytest.mark.skipif(not hasattr(jax, "set_mesh"), reason="before JAX 0.7 there is no set_mesh")
@pytest.mark.parametrize("key", [0, jax.random.key(0)], ids=["int", "typed"])
def test_one_program_is_compiled_on_an_explicit_mesh(key):
    """Also where init is jitted: the key has there the sharding that it has after each update."""
    mesh = mesh_of(8, kind=EXPLICIT, names=("x",))
    tx = gradtx.add_noise(1.0, 0.55, key)
    with jax.set_mesh(mesh):
        g = put(mesh, jnp.ones((16, 4)), "x")
        state, update = jax.jit(tx.init)(g), jax.jit(tx.update)
        for _ in range(3):
            _, state = update(g, state)
    assert update._cache_size() == 1
    np.testing.assert_array_equal(state.key, jax.random.key_data(jax.random.key(0)))
