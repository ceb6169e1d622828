"""Scaled losses: what is too small for float16 trains, what overflows is skipped, and the scale adapts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.precision.loss_scale import dynamic_loss_scale, loss_scale
from gradtx.precision.master import keep_master
from gradtx.testing.compare import same_bits

W = {"w": jnp.asarray([1.0, -2.0]), "b": jnp.asarray(0.5)}
G = {"w": jnp.asarray([1.0, 3.0]), "b": jnp.asarray(-0.25)}


def scaled(grads, state):
    return jax.tree.map(lambda g: g * loss_scale(state), grads)


def scales(tx, finite):
    """The scale before each update and after the last, for gradients that are finite or not."""

    def body(state, fine):
        grads = jax.tree.map(lambda g: jnp.where(fine, g, jnp.nan), G)
        return tx.update(grads, state, W)[1], loss_scale(state)

    state, before = jax.jit(lambda fine: jax.lax.scan(body, tx.init(W), fine))(jnp.asarray(finite))
    return [*map(float, before), float(loss_scale(state))]


def test_the_step_is_that_without_a_scale():
    """To the bit, for powers of two."""
    inner = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1))
    tx = dynamic_loss_scale(inner, growth_interval=2)
    state, plain, w, expected = tx.init(W), inner.init(W), W, W
    for _ in range(5):
        updates, state = tx.update(scaled(G, state), state, w)
        w = gradtx.apply_updates(w, updates)
        updates, plain = inner.update(G, plain, expected)
        expected = gradtx.apply_updates(expected, updates)
    same_bits("the parameters", w, expected)
    same_bits("the inner state", state.inner, plain)
    assert float(state.scale) == 2.0**17


def test_what_is_not_finite_leaves_no_trace():
    tx = dynamic_loss_scale(gradtx.sgd(0.1, momentum=0.9))
    _, state = tx.update(scaled(G, tx.init(W)), tx.init(W), W)
    for bad in (jnp.inf, -jnp.inf, jnp.nan):
        for run in (tx, jax.jit(tx.update)):
            update = run if callable(run) else run.update
            updates, after = update({**G, "b": jnp.float32(bad)}, state, W)
            same_bits("the parameters", gradtx.apply_updates(W, updates), W)
            same_bits("the inner state", after.inner, state.inner)
            assert (float(after.scale), int(after.finite_steps), int(after.skipped)) == (2.0**14, 0, 1)
        w, _ = jax.jit(tx.step)({**G, "b": jnp.float32(bad)}, state, W)
        same_bits("the parameters of a step", w, W)


def test_the_scale_over_time():
    tx = dynamic_loss_scale(gradtx.sgd(0.1), 8.0, growth_interval=3)
    came = scales(tx, [True, True, False, True, True, True, True, False, True, True, True])
    assert came == [8, 8, 8, 4, 4, 4, 8, 8, 4, 4, 4, 8]
    assert scales(dynamic_loss_scale(gradtx.sgd(0.1), 4.0, min_scale=2.0), [False] * 3) == [4, 2, 2, 2]
    with pytest.raises(ValueError, match="min_scale must not be greater than initial_scale"):
        dynamic_loss_scale(gradtx.sgd(0.1), 1.0, min_scale=2.0)
    assert scales(dynamic_loss_scale(gradtx.sgd(0.1), 2.0**126, growth_interval=1), [True] * 3)[1:] == [2.0**127] * 3


def test_a_quotient_that_overflows_is_skipped():
    tx = dynamic_loss_scale(gradtx.sgd(0.1), 2.0**-10, min_scale=2.0**-20)
    _, state = tx.update(jax.tree.map(lambda g: g * 1e37, G), tx.init(W), W)
    assert int(state.skipped) == 1


def test_float16_needs_it():
    """Gradients of 2e-8 are zero in float16; scaled, they train as in float32."""
    aim = jnp.asarray([1.0, -1.0, 0.5], jnp.float16)

    def loss(w):
        return 1e-8 * jnp.sum((w - aim.astype(w.dtype)).astype("float32") ** 2)

    def end(tx, dtype):
        def body(carry, _):
            w, state = carry
            factor = loss_scale(state) if hasattr(state, "scale") else jnp.float32(1)
            return tx.step(jax.grad(lambda w: loss(w) * factor)(w), state, w), None

        w = jnp.zeros(3, dtype)
        return jax.jit(lambda w: jax.lax.scan(body, (w, tx.init(w)), length=20)[0])(w)

    sgd = keep_master(gradtx.sgd(2e7))
    np.testing.assert_array_equal(end(sgd, "float16")[0], jnp.zeros(3))
    w, state = end(dynamic_loss_scale(sgd, 2.0**20), "float16")
    np.testing.assert_allclose(np.asarray(w, np.float32), end(sgd, "float32")[0], rtol=2e-3)
    np.testing.assert_allclose(np.asarray(w, np.float32), aim, rtol=2e-3)
    assert int(state.skipped) == 0


def test_with_what_skips_and_accumulates():
    """Outside, inside: the scale reacts to every gradient."""
    tx = gradtx.skip_nonfinite(dynamic_loss_scale(gradtx.accumulate(gradtx.sgd(0.1), 2)), check_updates=False)
    bad = {**G, "b": jnp.float32(jnp.inf)}
    _, state = jax.jit(tx.update)(bad, tx.init(W), W)
    assert float(loss_scale(state)) == 2.0**15  # the one outside has taken it
    tx = dynamic_loss_scale(gradtx.accumulate(gradtx.sgd(0.1), 2))
    _, state = jax.jit(tx.update)(bad, tx.init(W), W)
    assert float(loss_scale(state)) == 2.0**14
    for _ in range(2):
        updates, state = jax.jit(tx.update)(scaled(G, state), state, W)
    np.testing.assert_allclose(updates["w"], [-0.1, -0.3], rtol=1e-6)


def test_one_device_tells_the_others():
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("d",))
    tx, spec = dynamic_loss_scale(gradtx.sgd(1.0), axis_name="d"), jax.sharding.PartitionSpec("d")
    update = jax.shard_map(lambda g: tx.update(g, tx.init(g))[0], mesh=mesh, in_specs=spec, out_specs=spec)
    assert not np.asarray(jax.jit(update)(jnp.ones(8).at[3].set(jnp.nan))).any()
    assert np.asarray(jax.jit(update)(jnp.ones(8))).all()


def test_mapped_over_growth():
    tx = jax.vmap(functools.partial(dynamic_loss_scale, gradtx.sgd(0.1), 8.0, growth_interval=1))(
        jnp.asarray([2.0, 4.0])
    )
    state = jax.vmap(lambda tx: tx.update(G, tx.init(W), W)[1])(tx)
    np.testing.assert_array_equal(loss_scale(state), [16.0, 32.0])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"initial_scale": 0.0}, "initial_scale must be greater than 0; got 0.0"),
        ({"initial_scale": np.inf}, "initial_scale must be finite; got inf"),
        ({"growth_factor": 0.5}, "growth_factor must be finite and at least 1; got 0.5"),
        ({"backoff_factor": 2.0}, r"backoff_factor must be in \[0, 1\]; got 2.0"),
        ({"growth_interval": 0}, "growth_interval must be finite and at least 1; got 0"),
        ({"min_scale": 0.0}, "min_scale must be greater than 0; got 0.0"),
    ],
)
def test_numbers_out_of_range(wrong, says):
    with pytest.raises(ValueError, match=says):
        dynamic_loss_scale(gradtx.sgd(0.1), **wrong)


def test_what_holds_no_scale():
    with pytest.raises(ValueError, match=r"loss_scale: there is no state of dynamic_loss_scale\(\.\.\.\)"):
        loss_scale(gradtx.adam(0.1).init(W))
    with pytest.raises(TypeError, match="loss_scale takes a state; got the transformation"):
        loss_scale(dynamic_loss_scale(gradtx.adam(0.1)))
