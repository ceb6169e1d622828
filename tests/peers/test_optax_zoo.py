"""Optimizers that optax has too, where the catalog says that they differ: by what, and what makes them equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.double import enable_x64
from tests.peers.agreement import differ, ours, same
from tests.transforms import agreement

optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")
pytestmark = pytest.mark.peers


def test_its_first_moment_of_yogi_starts_above_zero():
    theirs = optax.yogi(0.1)
    differ(gradtx.yogi(0.1), ours(theirs), by=1e-9)
    moved = ours(theirs, w0=np.zeros(1), gs=np.zeros((3, 1)))
    rested = ours(gradtx.yogi(0.1), w0=np.zeros(1), gs=np.zeros((3, 1)))
    assert moved.any()
    assert not rested.any()


def test_its_rho_of_radam_loses_digits_in_float32():
    """Equal in float64. In float32 the first divided step of theirs is off in the fourth digit."""
    gs = np.ones((6, 1), np.float32)
    same(gradtx.scale_by_radam(), ours(optax.scale_by_radam()))
    with enable_x64(True):
        want = float(agreement.run(gradtx.scale_by_radam(), jnp.asarray(gs, jnp.float64))[0][-1, 0])
    mine, theirs = (float(agreement.run(tx, gs)[0][-1, 0]) for tx in (gradtx.scale_by_radam(), optax.scale_by_radam()))
    assert abs(mine / want - 1) < 1e-6
    assert abs(theirs / want - 1) > 1e-5


def test_its_factors_of_the_differences_in_adan_are_small():
    """1 - b2 where the paper has b2: with b2 = ½ both are the same."""
    differ(gradtx.adan(0.1), ours(optax.adan(0.1, eps_root=0.0)), by=1e-2)
    same(gradtx.adan(0.1, b2=0.5), ours(optax.adan(0.1, b2=0.5, eps_root=0.0)))


def test_its_weights_of_madgrad_are_float32():
    """So that in float64 the paths agree to 1e-6 and not to 1e-12."""
    theirs = ours(optax.contrib.madgrad(0.1, weight_decay=0.1))
    same(gradtx.madgrad(0.1, weight_decay=0.1), theirs, rtol=1e-5)
    differ(gradtx.madgrad(0.1, weight_decay=0.1), theirs, by=1e-10)


def test_it_corrects_the_mean_of_sophia_and_divides_by_the_estimates_before():
    """On a bowl, where all estimates are exact, its first step is the sign; its second is 1/(1 - b1²) times ours."""
    w, g = jnp.array([1.0, -3.0]), jnp.array([0.2, -0.1])
    numbers = {"eps": 1e-12, "weight_decay": 0.0, "gamma": 100.0}
    mine, theirs = gradtx.sophia(1.0, **numbers), optax.contrib.sophia(1.0, **numbers)
    their_state, my_state = theirs.init(w), mine.init(w)
    u, their_state = theirs.update(g, their_state, w, obj_fn=lambda w: jnp.sum(w**2))
    _, my_state = mine.update(g, my_state, w, value_fn=lambda w: jnp.sum(w**2))
    np.testing.assert_allclose(u, [-1.0, 1.0], rtol=1e-5)
    u, _ = theirs.update(g, their_state, w, obj_fn=lambda w: jnp.sum(w**2))
    v, _ = mine.update(g, my_state, w, value_fn=lambda w: jnp.sum(w**2))
    np.testing.assert_allclose(v, (1 - 0.965**2) * u, rtol=1e-5)


def test_its_private_aggregate_is_ours_without_noise():
    random = np.random.default_rng(0)
    gs = {"w": random.normal(size=(6, 3, 2)), "b": random.normal(size=(6, 4)) * 5}
    gs = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), gs)
    params = jax.tree.map(lambda x: x[0], gs)
    mine = gradtx.differentially_private_aggregate(2.0, 0.0, 0)
    theirs = optax.contrib.differentially_private_aggregate(2.0, 0.0, 0)
    got, want = (tx.update(gs, tx.init(params), params)[0] for tx in (mine, theirs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), got, want)
    broken = jax.tree.map(lambda x: x.at[0].set(jnp.nan), gs)
    got, want = (tx.update(broken, tx.init(params), params)[0] for tx in (mine, theirs))
    assert np.isfinite(got["w"]).all()
    assert np.isnan(want["w"]).all()
