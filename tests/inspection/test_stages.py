"""The stages of a transformation: their names, and one step made stage by stage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.inspection.stages import look, stages

PARAMS = {"w": jnp.asarray([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.asarray([0.25, -1.0])}
GRADS = {"w": jnp.asarray([[3.0, -0.5], [2.0, 1.0]]), "b": jnp.asarray([-4.0, 0.125])}


def names(tx):
    return [name for name, _ in stages(tx)]


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_recipes_and_unnamed_chains_are_spliced_as_in_the_state():
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.chain(gradtx.adamw(1e-3), gradtx.scale_by_adam()))
    assert names(tx) == [
        "clip_by_global_norm",
        "scale_by_adam",
        "add_decayed_weights",
        "scale_by_learning_rate",
        "scale_by_adam_1",
    ]
    assert set(tx.init(PARAMS)) <= set(names(tx))
    assert stages(tx)[1][1] == gradtx.scale_by_adam()


def test_named_members_keep_their_names_and_a_level():
    tx = gradtx.chain(gradtx.scale(2.0), adam=gradtx.adam(1e-3), last=gradtx.scale(1.0))
    assert names(tx) == ["scale", "adam", "last"]


def test_what_is_no_chain_is_one_stage():
    assert names(gradtx.scale(2.0)) == ["scale"]
    assert names(gradtx.accumulate(gradtx.adam(1e-3), 2)) == ["accumulate"]
    assert names(gradtx.per_leaf_learning_rate({"w": 2.0})) == ["per_leaf_learning_rate"]
    assert names((lambda params: (), lambda updates, state, params=None: (updates, state)))[0]
    assert stages(gradtx.chain()) == ()


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(lambda step: 0.1 / (1.0 + step))),
        gradtx.chain(gradtx.scale(2.0), adam=gradtx.adam(1e-3), last=gradtx.add_momentum(0.9)),
        gradtx.accumulate(gradtx.sgd(0.1), 1),
        gradtx.chain(),
    ],
    ids=["recipe", "named", "wrapper", "empty"],
)
def test_a_step_stage_by_stage_is_the_step_to_the_bit(tx):
    _, state = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    updates, after = tx.update(GRADS, state, PARAMS)
    came, after_seen, records = look(tx, GRADS, state, PARAMS, {}, inside=False)
    same((came, after_seen), (updates, after))
    assert [record.place for record in records] == names(tx)
    if records:
        same(records[-1].after, jax.tree.leaves(updates))


def test_the_updates_after_each_stage():
    tx = gradtx.chain(gradtx.scale(2.0), gradtx.add_momentum(0.5), gradtx.scale(-1.0))
    _, _, records = look(tx, GRADS, {"add_momentum": gradtx.AddMomentumState(PARAMS)}, None, {}, inside=False)
    first = jax.tree.map(lambda g: 2 * np.asarray(g), GRADS)
    second = jax.tree.map(lambda g, trace: g + 0.5 * np.asarray(trace), first, PARAMS)
    for record, wanted in zip(records, (first, second, jax.tree.map(np.negative, second)), strict=True):
        jax.tree.map(np.testing.assert_allclose, record.after, jax.tree.leaves(wanted))


def test_errors_are_those_of_the_update():
    tx = gradtx.chain(gradtx.clip_by_value(1.0), gradtx.adamw(1e-3))
    for args in ((GRADS, {"other": 1}, PARAMS), (GRADS, {"scale_by_adam": 1}, PARAMS), (GRADS, tx.init(PARAMS), None)):
        with pytest.raises((TypeError, ValueError)) as theirs:
            tx.update(*args)
        with pytest.raises(theirs.type) as ours:
            look(tx, *args, {}, inside=False)
        assert str(ours.value) == str(theirs.value)
    with pytest.raises(TypeError, match="sam needs grad_fn"):
        look(gradtx.sam(gradtx.sgd(0.1)), GRADS, {}, PARAMS, {}, inside=False)
    with pytest.raises(TypeError, match="tx must be a transformation"):
        stages(PARAMS)
    with pytest.raises(ValueError, match="this adam holds a batch of transformations"):
        stages(jax.vmap(gradtx.adam)(jnp.ones(2)))


def test_a_frame_of_another_shape_is_measured_outside():
    """Entries inside are others than those outside: what a frame did is told of the update that came in."""
    tx = gradtx.in_frame(gradtx.scale(3.0), gradtx.frames.low_rank(1))
    g = {"w": jnp.asarray([[3.0, 0.0, 0.0], [0.0, 0.5, 0.0]])}
    row = gradtx.explain(tx, g, tx.init(g), g).rows[0]
    norms = {(stage.stage, stage.way): (stage.norm_in, stage.norm_out) for stage in row.stages}
    assert norms["in_frame/scale", ""] == pytest.approx((3.0, 9.0))
    assert norms["in_frame", "out"] == pytest.approx((np.sqrt(9.25), 9.0))
