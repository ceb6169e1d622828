"""Clipping, norms and noise beside optax, torch and Keras: where they do the same, and the stated differences."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.peers.agreement import gradients, ours, same

os.environ["KERAS_BACKEND"] = "jax"
optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")

PAIRS = {
    "rms": (gradtx.clip_by_block_rms(2.0), optax.clip_by_block_rms(2.0)),
    "agc": (gradtx.adaptive_grad_clip(0.01), optax.adaptive_grad_clip(0.01)),
    "agc eps": (gradtx.adaptive_grad_clip(0.5, 30.0), optax.adaptive_grad_clip(0.5, 30.0)),
    "normalize": (gradtx.normalize_by_update_norm(-0.1), optax.normalize_by_update_norm(-0.1)),
    "normalize eps": (gradtx.normalize_by_update_norm(3.0, 10.0), optax.normalize_by_update_norm(3.0, 10.0)),
    "trust": (gradtx.scale_by_trust_ratio(), optax.scale_by_trust_ratio()),
    "trust least": (gradtx.scale_by_trust_ratio(30.0, 1e-2, 1.0), optax.scale_by_trust_ratio(30.0, 1e-2, 1.0)),
    "zero_nans": (gradtx.zero_nans(), optax.zero_nans()),
    "propagate": (gradtx.clip_by_global_norm(2.0, nonfinite="propagate"), optax.clip_by_global_norm(2.0)),
    "skip": (gradtx.clip_by_global_norm(2.0, nonfinite="skip"), optax.clip_by_global_norm(2.0)),
}


@pytest.mark.parametrize(("tx", "theirs"), PAIRS.values(), ids=PAIRS.keys())
class TestSame:
    def test_float64(self, tx, theirs):
        same(tx, ours(theirs))

    def test_float32(self, tx, theirs):
        np.testing.assert_allclose(ours(tx, np.float32), ours(theirs, np.float32), rtol=2e-4, atol=2e-4)


def both(tx, theirs, g, w=None):
    """The updates of both, from the first state."""
    w = jax.tree.map(jnp.zeros_like, g) if w is None else w
    return tuple(t.update(g, t.init(w), w)[0] for t in (tx, theirs))


SHAPES = [(), (5,), (1, 5), (5, 1), (4, 5), (1, 4, 5), (4, 2, 3), (1, 1, 1, 5), (3, 3, 4, 5), (2, 3, 3, 4, 5)]


class TestUnits:
    def test_what_optax_infers(self):
        rng = np.random.default_rng(0)
        g, w = ([jnp.asarray(size * rng.standard_normal(s), jnp.float32) for s in SHAPES] for size in (1.0, 5.0))
        for clipping in (0.01, 0.2):
            mine, other = both(gradtx.adaptive_grad_clip(clipping), optax.adaptive_grad_clip(clipping), g, w)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), mine, other)
            assert not all(np.array_equal(a, b) for a, b in zip(mine, g, strict=True))

    @pytest.mark.parametrize("axis", [0, 1, (0, 2), -1], ids=str)
    def test_axes_that_are_given(self, axis):
        rng = np.random.default_rng(1)
        g, w = (jnp.asarray(rng.standard_normal((4, 5, 3)), jnp.float32) for _ in range(2))
        mine, other = both(gradtx.adaptive_grad_clip(0.1, axis=axis), optax.adaptive_grad_clip(0.1, axis=axis), g, w)
        np.testing.assert_allclose(mine, other, rtol=1e-5)

    def test_six_axes_are_an_error_in_both(self):
        g = jnp.ones((2,) * 6)
        for tx in (gradtx.adaptive_grad_clip(0.1), optax.adaptive_grad_clip(0.1)):
            with pytest.raises(ValueError, match="axis"):
                tx.update(g, tx.init(g), g)

    def test_small_norms_differ_as_stated(self):
        g, w = jnp.full(4, 1e-8), jnp.zeros(4)
        mine, other = both(gradtx.adaptive_grad_clip(0.01, 1e-6), optax.adaptive_grad_clip(0.01, 1e-6), g, w)
        np.testing.assert_allclose(np.linalg.norm(mine), 1e-8, rtol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(other), 2e-10, rtol=1e-5)


class TestCentralize:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_the_first_axis_is_optax(self, shape):
        g = jnp.asarray(np.random.default_rng(2).standard_normal(shape), jnp.float32)
        mine, other = both(gradtx.centralize(output_axis=0), optax.centralize(), g)
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
        if len(shape) > 1 and min(shape) > 1:
            assert not np.allclose(both(gradtx.centralize(), optax.centralize(), g)[0], other)


class TestStatedDifferences:
    @pytest.mark.parametrize(
        ("tx", "theirs"),
        [
            (gradtx.clip_by_block_rms(1.0), optax.clip_by_block_rms(1.0)),
            (gradtx.adaptive_grad_clip(0.1), optax.adaptive_grad_clip(0.1)),
            (gradtx.normalize_by_update_norm(), optax.normalize_by_update_norm()),
            (gradtx.scale_by_trust_ratio(), optax.scale_by_trust_ratio()),
            (gradtx.clip_by_global_norm(1.0), optax.clip_by_global_norm(1.0)),
        ],
        ids=lambda t: getattr(t, "name", ""),
    )
    def test_norms_above_1e19_overflow_in_optax(self, tx, theirs):
        g = jnp.full(4, 1e20)
        mine, other = both(tx, theirs, g, jnp.ones(4))
        assert (np.asarray(mine) > 0).all()
        assert (np.asarray(mine) < 10).all()
        np.testing.assert_array_equal(other, np.zeros(4))

    def test_nothing_to_normalize(self):
        mine, other = both(
            gradtx.normalize_by_update_norm(eps=0.0), optax.normalize_by_update_norm(eps=0.0), jnp.zeros(2)
        )
        np.testing.assert_array_equal(mine, [0.0, 0.0])
        assert np.isnan(other).all()

    def test_the_state_of_zero_nans(self):
        g = {"a": jnp.array([jnp.nan, 1.0]), "b": jnp.array(jnp.inf)}
        u, state = optax.zero_nans().update(g, optax.zero_nans().init(g))
        jax.tree.map(np.testing.assert_array_equal, both(gradtx.zero_nans(), optax.zero_nans(), g)[0], u)
        assert state.found_nan["a"]
        assert not state.found_nan["b"]


class TestNoise:
    @pytest.mark.parametrize(("eta", "gamma"), [(0.01, 0.55), (9.0, 1.0)])
    def test_the_variance_of_every_step_is_optax(self, eta, gamma):
        """Each library's noise over its noise at variance 1, which takes its random numbers out."""

        def falls(make):
            runs = []
            for numbers in ((eta, gamma), (1.0, 0.0)):
                tx = make(*numbers)
                step = lambda s, _, tx=tx: tx.update(jnp.zeros(3), s)[::-1]  # noqa: E731
                runs.append(np.asarray(jax.lax.scan(step, tx.init(jnp.zeros(3)), length=50)[1], np.float64))
            return runs[0] / runs[1]

        mine, other = falls(lambda *a: gradtx.add_noise(*a, key=0)), falls(lambda *a: optax.add_noise(*a, key=0))
        np.testing.assert_allclose(mine, other, rtol=1e-5)

    def test_complex_numbers_have_the_variance_of_optax(self):
        g = jnp.zeros(50_000, jnp.complex64)
        mine, other = both(gradtx.add_noise(4.0, 0.5, 0), optax.add_noise(4.0, 0.5, key=0), g)
        np.testing.assert_allclose([np.var(mine), np.var(other)], [4.0, 4.0], rtol=0.02)


@pytest.mark.peers
class TestTorch:
    @staticmethod
    def clipped(gs, max_norm, **how):
        torch = pytest.importorskip("torch", reason="install the extra: pip install -e '.[peers]'")
        params = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in gs]
        for p, g in zip(params, gs, strict=True):
            p.grad = torch.tensor(g, dtype=torch.float64)
        norm = torch.nn.utils.clip_grad_norm_(params, max_norm, **how)
        return [p.grad.numpy() for p in params], float(norm)

    @pytest.mark.parametrize("max_norm", [0.5, 20.0, 1e4])
    def test_the_global_norm(self, max_norm):
        for g in gradients()[:20]:
            gs = [g[:2], g[2:]]
            theirs, norm = self.clipped(gs, max_norm)
            tree = [jnp.asarray(x, jnp.float32) for x in gs]
            tx = gradtx.clip_by_global_norm(max_norm)
            for mine, other in zip(tx.update(tree, tx.init(tree))[0], theirs, strict=True):
                np.testing.assert_allclose(mine, other, rtol=1e-5)  # torch adds 1e-6 to the norm
            np.testing.assert_allclose(gradtx.global_norm(tree), norm, rtol=1e-6)

    def test_raising(self):
        with pytest.raises(RuntimeError, match="non-finite"):
            self.clipped([np.array([np.nan, 1.0])], 1.0, error_if_nonfinite=True)
        tx = gradtx.clip_by_global_norm(1.0, nonfinite="raise")
        with pytest.raises(FloatingPointError, match="update at 0"):
            tx.update([jnp.array([jnp.nan, 1.0])], tx.init([jnp.zeros(2)]))


@pytest.mark.peers
class TestKeras:
    def test_clipnorm_is_of_each_leaf(self):
        keras = pytest.importorskip("keras", reason="install the extra: pip install -e '.[peers]'")
        gs = [jnp.array([3.0, 4.0]), jnp.array([0.3, 0.4]), jnp.array([[30.0], [-40.0]])]
        variables = [keras.Variable(jnp.zeros_like(g)) for g in gs]
        sgd = keras.optimizers.SGD(1.0, clipnorm=2.0)
        sgd.build(variables)
        sgd.apply(gs, variables)
        tx = gradtx.clip_by_leaf_norm(2.0)
        for mine, v in zip(tx.update(gs, tx.init(gs))[0], variables, strict=True):
            np.testing.assert_allclose(mine, -np.asarray(v.value), rtol=1e-6)
