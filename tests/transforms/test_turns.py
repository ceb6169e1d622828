"""`take_turns`: the same numbers with less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.reference_norms import shard_map

SIDE = 256
LEAVES = [jnp.asarray(np.random.default_rng(k).normal(size=(SIDE, SIDE)), jnp.float32) for k in range(8)]
GRADIENTS = [0.1 * w[::-1] for w in LEAVES]


def chained(*between):
    direction = (gradtx.scale_by_adam(), gradtx.add_decayed_weights(0.1), *between)
    return gradtx.chain(*direction, gradtx.scale_by_trust_ratio(), gradtx.scale_by_learning_rate(0.1))


def compiled(tx, params=LEAVES):
    step = jax.jit(lambda p, s, g: tx.step(g, s, p), donate_argnums=(0, 1))
    return step.lower(params, tx.init(params), params).compile()


needs_its_compiler = pytest.mark.skipif(
    jax.default_backend() != "cpu" or jax.__version_info__ < (0, 10), reason="counted by XLA's CPU compiler of JAX 0.10"
)


@needs_its_compiler
def test_few_leaves_are_held_at_once():
    """Of eight; one more is in the branch of a norm that overflows."""
    held = {n: compiled(chained(*between)) for n, between in ((0, ()), (1, (gradtx.take_turns(),)))}
    plain, turns = (held[n].memory_analysis().temp_size_in_bytes / LEAVES[0].nbytes for n in (0, 1))
    assert plain > 7.9
    assert turns < 4.5
    moved = [held[n].cost_analysis()["bytes accessed"] for n in (0, 1)]
    assert moved[1] <= 1.001 * moved[0]


def test_lamb_takes_turns():
    assert gradtx.take_turns() in gradtx.lamb(1e-3).piece.members


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_nothing_changes_to_the_bit(bad):
    """Nor does a fault of one leaf reach the next one."""
    tx = gradtx.take_turns()
    grads = [GRADIENTS[0].at[0, 0].set(bad).at[1, 1].set(-0.0), *GRADIENTS[1:3], jnp.ones(3)]
    params = [*LEAVES[:3], jnp.zeros(3)]
    out, _ = jax.jit(tx.update)(grads, tx.init(params), params)
    for got, expected in zip(out, grads, strict=True):
        np.testing.assert_array_equal(np.asarray(got).view(np.int32), np.asarray(expected).view(np.int32))


def test_derivatives_and_batches_are_those_of_the_identity():
    tx, params = gradtx.take_turns(), LEAVES[:2]

    def total(grads, scale):
        return sum(jnp.sum(scale * u * w) for u, w in zip(tx.update(grads, (), params)[0], LEAVES, strict=False))

    found = jax.jit(jax.grad(total))(GRADIENTS[:2], 2.0)
    jax.tree.map(lambda d, w: np.testing.assert_array_equal(d, 2.0 * w), found, params)
    batch = jax.tree.map(lambda g: jnp.stack([g, -g]), GRADIENTS[:2])
    out = jax.jit(jax.vmap(lambda g: tx.update(g, (), params)[0]))(batch)
    jax.tree.map(np.testing.assert_array_equal, out, batch)


def test_a_leaf_that_is_whole_on_each_device_does_not_wait_for_one_that_is_split():
    """It would differ between devices from then on, as far as JAX knows, and `shard_map` would refuse it."""
    if jax.device_count() < 2:
        pytest.skip("needs two devices")
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    spec = [jax.sharding.PartitionSpec("d"), jax.sharding.PartitionSpec()]
    params = [jnp.ones((2 * SIDE, SIDE)), jnp.ones((SIDE, SIDE))]
    tx = gradtx.take_turns()
    update = shard_map(lambda g: tx.update(g, (), g)[0], mesh=mesh, in_specs=(spec,), out_specs=spec)
    jax.tree.map(np.testing.assert_array_equal, jax.jit(update)(params), params)


def test_an_update_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="at w has shape"):
        gradtx.take_turns().update({"w": jnp.ones(2)}, (), {"w": jnp.ones(3)})
