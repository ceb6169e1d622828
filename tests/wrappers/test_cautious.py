"""`cautious` against Liang et al.'s algorithm 1, round pieces and round whole optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import add_decayed_weights, add_momentum, cautious, chain, scale, scale_by_adam, scale_by_learning_rate, sgd
from tests.double import enable_x64
from tests.transforms.agreement import gradients, run, ulps


def masked(u, g, floor=1e-3, sign=1):
    """Algorithm 1 on the updates of all steps, leaf by leaf, with the mean as the authors' code has it."""
    keep = sign * np.sign(u) * np.sign(g) > 0
    return u * keep / np.maximum(np.mean(keep, axis=tuple(range(1, u.ndim)), keepdims=True), floor)


@pytest.mark.parametrize(
    ("tx", "sign", "floor"),
    [
        (scale_by_adam(), 1, 1e-3),
        (scale_by_adam(), 1, 0.5),
        (scale_by_adam(), 1, 1.0),
        (gradtx.adam(1e-3), -1, 1e-3),
        (sgd(0.1, momentum=0.9), -1, 0.5),
    ],
)
def test_against_the_algorithm(tx, sign, floor):
    """1,000 steps: within 4 ulp of the updates inside, masked and rescaled in float64."""
    got, state = run(cautious(tx, floor), gradients())
    inside, alone = run(tx, gradients())
    want = masked(np.asarray(inside, np.float64), gradients().astype(np.float64), floor, sign)
    assert ulps(got, want, np.abs(want)) <= 4
    jax.tree.map(np.testing.assert_array_equal, state, alone)
    assert np.all(np.asarray(got) * np.sign(gradients()) * sign >= 0)


def test_float64():
    with enable_x64(True):
        g = jnp.asarray(gradients()[:100], jnp.float64)
        got, inside = (np.asarray(run(tx, g)[0]) for tx in (cautious(scale_by_adam()), scale_by_adam()))
        np.testing.assert_allclose(got, masked(inside, np.asarray(g)), rtol=1e-15)


def test_a_finished_optimizer_is_the_piece_before_its_rate():
    piece = chain(cautious(scale_by_adam()), scale_by_learning_rate(0.5))
    got, want = (np.asarray(run(tx, gradients())[0]) for tx in (cautious(gradtx.adam(0.5)), piece))
    np.testing.assert_array_equal(got, want)


def test_where_all_entries_agree_nothing_changes():
    g = jnp.abs(jnp.asarray(gradients()[:, 40:41])) + 1.0
    np.testing.assert_array_equal(run(cautious(scale_by_adam()), g)[0], run(scale_by_adam(), g)[0])


def test_decay_belongs_outside():
    """Inside it is dropped with the entries that it turns against the gradient, and enlarged with the others."""
    w, g = jnp.array([4.0, -4.0]), jnp.array([1.0, 1.0])
    inside = cautious(chain(add_decayed_weights(1.0)))
    outside = chain(cautious(gradtx.identity()), add_decayed_weights(1.0))
    np.testing.assert_array_equal(inside.update(g, inside.init(w), w)[0], [10.0, 0.0])
    np.testing.assert_array_equal(outside.update(g, outside.init(w), w)[0], [5.0, -3.0])


def test_an_entry_without_gradient_rests_and_a_leaf_of_them_too():
    tx = cautious(add_momentum(0.9))
    _, state = tx.update({"a": jnp.ones(4), "b": jnp.ones(2)}, tx.init({"a": jnp.ones(4), "b": jnp.ones(2)}))
    got, _ = tx.update({"a": jnp.array([1.0, 0.0, -0.5, 0.0]), "b": jnp.zeros(2)}, state)
    np.testing.assert_allclose(got["a"], [1.9 * 4, 0, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(got["b"], np.zeros(2))


def test_small_numbers_and_nan():
    """The product of two small numbers is 0, that of their signs is not; a NaN is not hidden."""
    g = jnp.array([2e-30, -2e-30, jnp.nan, 1.0])
    got = cautious(scale(1e-8)).update(g, ())[0]
    np.testing.assert_allclose(got, [2e-38, -2e-38, np.nan, 1e-8], rtol=1e-6)


def test_complex_entries_by_the_angle_to_the_gradient():
    turned = gradtx.foreign(
        lambda p: (), lambda u, s, p=None: (u * jnp.array([1j, 1 + 1j, -1 + 1j, -1], "complex64"), s)
    )
    g = jnp.array([1 + 2j, 1 - 1j, 3j, 1], "complex64")
    got = np.asarray(cautious(turned, 1.0, sign=1).update(g, ())[0])
    np.testing.assert_allclose(got[1:], [2, 0, 0], atol=1e-6)


def test_the_mean_is_that_of_all_devices():
    g = jnp.array([1.0, 1.0, 1.0, -1.0])
    tx = cautious(chain(scale(0.0), add_decayed_weights(1.0)), axis_name="i")
    update = jax.vmap(lambda x: tx.update(x, tx.init(x), jnp.ones_like(x))[0], axis_name="i")
    np.testing.assert_allclose(update(g.reshape(2, 2)).ravel(), [4 / 3, 4 / 3, 4 / 3, 0], rtol=1e-6)


def test_large_leaves_are_counted_exactly():
    """A sum of ones in float32 may stop at 2**24."""
    shape = jax.eval_shape(cautious(scale(1.0)).update, jax.ShapeDtypeStruct((2**25,), jnp.float32), ())
    assert shape[0].shape == (2**25,)
    text = str(jax.make_jaxpr(cautious(scale(1.0)).update)(jnp.ones(8), ()))
    assert "i32[] = reduce_sum" in text


@pytest.mark.parametrize("row", [[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, 1.0]], ids=["all", "three of four"])
def test_more_entries_than_an_int32_counts(row):
    """An array of equal rows, whose sum over them XLA makes a product: it does not make the array."""
    tx, shape = cautious(chain(scale(0.0), add_decayed_weights(1.0))), (2**16, 2**15 + 4)

    @jax.jit
    def first(row):
        g = jnp.broadcast_to(jnp.tile(row, shape[1] // 4), shape)
        return tx.update(g, tx.init(g), jnp.ones(shape))[0][0, 0]

    np.testing.assert_allclose(first(jnp.asarray(row)), 4 / np.sum(np.asarray(row) > 0), rtol=1e-6)


def test_bad_input():
    with pytest.raises(ValueError, match=r"cautious: it is not known whether the updates of foreign .*sign=-1"):
        cautious(optax.adam(0.1))
    with pytest.raises(ValueError, match="it is not known whether the updates of route"):
        cautious(gradtx.route({"a": scale_by_adam()}, default=gradtx.adam(0.1)))
    with pytest.raises(ValueError, match="it is not known whether the updates of chain"):
        cautious(chain(add_momentum(0.9), scale(lambda step: -0.1)))
    with pytest.raises(ValueError, match="sign must be 1 or -1; got 0"):
        cautious(optax.adam(0.1), sign=0)
    with pytest.raises(ValueError, match=r"floor must be greater than 0; got 0\.0"):
        cautious(scale_by_adam(), 0.0)
    with pytest.raises(ValueError, match=r"floor must be in \[0, 1\]"):
        cautious(scale_by_adam(), 2.0)
    with pytest.raises(ValueError, match="cautious changes the updates of compensate"):
        cautious(gradtx.compensate(gradtx.adam(0.1)))
    assert cautious(optax.adam(0.1), sign=-1).traits.sign == -1
    assert cautious(gradtx.adamw(1e-3)).traits.sign == -1
