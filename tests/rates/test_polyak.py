"""Polyak's rate against Loizou et al.'s equation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adapt_learning_rate, rates, sgd
from tests.rates.paths import STEPS, along, assert_agrees, falls, gradient, loss, stated, walked

W = jnp.array([3.0, 4.0])


def polyak_loop(w0, f_min=0.0, most=1.0, eps=0.0):
    """Loizou et al. 2021, SPS_max with c = 1."""
    w, path = w0.copy(), []
    for t in range(STEPS):
        g, f = gradient(t, w), loss(t, w)
        w = w - min(most, max(f - f_min, 0) / (np.sum(g**2) + eps)) * g
        path.append(w)
    return np.array(path)


@pytest.mark.parametrize("given", [{}, {"f_min": 0.3}, {"most": 1e-3}, {"eps": 10.0}], ids=repr)
def test_polyak(given):
    words = {"max_learning_rate" if k == "most" else k: x for k, x in given.items()}
    tx = gradtx.polyak_sgd(**words)
    assert_agrees(tx, lambda w: polyak_loop(w, **given), stated(rates.polyak))


def test_the_minimum_of_a_line_is_reached():
    """Of |w|, in one step."""
    tx = gradtx.polyak_sgd(max_learning_rate=np.inf)
    u, _ = tx.update(jnp.array(-1.0), tx.init(jnp.array(-7.0)), jnp.array(-7.0), value=7.0)
    assert float(u) == 7.0


def test_times_1000():
    """A loss of a thousand times the size has the same steps, if the rate has no maximum."""
    tx = gradtx.polyak_sgd(max_learning_rate=np.inf)
    one, other = (falls(tx, [1.0, 10.0, 100.0], [1.0, -2.0, 0.5], 300, objective=k) for k in (1.0, 1000.0))
    np.testing.assert_allclose(other[:20], one[:20], atol=1e-8)  # later ones differ: the steps amplify any rounding
    assert max(np.linalg.norm(one[-1]), np.linalg.norm(other[-1])) < 0.05


def test_another_library():
    """optax's is the same in its variant sps+; without it, a loss below f_min leads uphill. Its scaling divides."""
    optax = pytest.importorskip("optax", reason="install the extra: pip install -e '.[peers]'")
    given = {"max_learning_rate": 0.05, "f_min": 0.2, "eps": 0.1}
    plain, theirs = (gradtx.chain(optax.polyak_sgd(**given, variant=variant)) for variant in ("sps", "sps+"))
    half = {"max_learning_rate": np.inf, "scaling": 0.5}
    ours_of_half, theirs_of_half = gradtx.polyak_sgd(**half), gradtx.chain(optax.polyak_sgd(**half))
    with jax.numpy_dtype_promotion("standard"):
        want, same = (walked(tx, np.float64, steps=200)[0] for tx in (theirs, gradtx.polyak_sgd(**given)))
        up = plain.update(W, plain.init(W), W, value=0.1)[0]
        steps = [tx.update(W, tx.init(W), W, value=1.0)[0] for tx in (ours_of_half, theirs_of_half)]
    np.testing.assert_allclose(same, want, rtol=0, atol=1e-12)
    assert (up > 0).all()
    np.testing.assert_allclose(4 * steps[0], steps[1], rtol=1e-6)


def test_zero_gradients_and_losses_below_the_minimum():
    tx = gradtx.polyak_sgd(f_min=1.0)
    for value in (0.5, 1.0, 2.0):
        u, state = tx.update(jnp.zeros(2), tx.init(W), W, value=value)
        np.testing.assert_array_equal(u, 0.0)
        assert float(state.rate) == 1.0
    np.testing.assert_array_equal(tx.update(W, tx.init(W), W, value=0.5)[0], 0.0)


@pytest.mark.parametrize("size", [1e-30, 1e25])
def test_squares_that_single_precision_has_not(size):
    """The step is finite, and right, as far as the rate is a number that single precision has."""
    path, _ = along(gradtx.polyak_sgd(), np.full((1, 1), size, np.float32), np.zeros(1, np.float32))
    np.testing.assert_allclose(path[0], -min(size, 1.0 / size), atol=1e-24)


def test_one_rate_for_each_leaf():
    tx = adapt_learning_rate(sgd(1.0), rates.polyak(), per="leaf")
    params = {"a": jnp.array(2.0), "b": jnp.array(4.0)}
    _, state = tx.update(params, tx.init(params), params, value=1.0)
    assert {k: float(x) for k, x in state.rate.items()} == {"a": 0.25, "b": 0.0625}


def test_without_the_loss_it_is_an_error():
    tx = gradtx.polyak_sgd()
    with pytest.raises(TypeError, match="adapt_learning_rate needs value: call update"):
        tx.update(W, tx.init(W), W)
    with pytest.raises(ValueError, match=r"polyak.*needs value, the loss at the parameters, as a scalar; got None"):
        tx.update(W, tx.init(W), W, value=None)
    with pytest.raises(ValueError, match="as a scalar"):
        tx.update(W, tx.init(W), W, value=W)


def test_the_loss_reaches_what_is_inside():
    tx = gradtx.adapt_learning_rate(gradtx.adapt_learning_rate(sgd(1.0), rates.polyak()), rates.polyak())
    u, _ = tx.update(W, tx.init(W), W, value=12.5)
    np.testing.assert_allclose(u, -0.25 * W)


@pytest.mark.parametrize("given", [{"f_min": np.nan}, {"max_learning_rate": -1.0}, {"eps": -1.0}], ids=repr)
def test_numbers_out_of_range(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        rates.polyak(**given)
