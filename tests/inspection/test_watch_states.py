"""What a watch refuses of a state, looks up once, keeps in its range, and takes for a clip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.inspection import watch_state
from gradtx.inspection.readings import readings
from gradtx.inspection.watch import watch

SGD, ONE = gradtx.sgd(0.1), {"w": jnp.array([3.0, 4.0])}


@pytest.mark.parametrize(
    ("given", "params", "said"),
    [
        ({"bins": (-2, 2, 24)}, ONE, r"made for the bins \(-8.0, 4.0, 24\), and here are \(-2.0, 2.0, 24\)"),
        ({"bins": (-8, 4, 12)}, ONE, r"made for the bins \(-8.0, 4.0, 24\), and here are \(-8.0, 4.0, 12\)"),
        ({}, {"v": ONE["w"]}, "made for the leaves or groups 'w', and here are 'v'"),
        ({"inner": gradtx.scale(-0.1)}, ONE, "made for the stages 'scale_by_learning_rate', and here are 'scale'"),
    ],
    ids=["edges", "bins", "names", "stages"],
)
def test_a_state_of_another_watch_is_not_written_into(given, params, said):
    """Also in a step that measures nothing."""
    tx, state = watch(**{"inner": SGD, "every": 9, **given}), watch(SGD, every=9).init(ONE)
    for count in (0, 1):
        with pytest.raises(ValueError, match=said):
            tx.update(params, state._replace(count=jnp.int32(count)), params)


def test_under_jit_edges_are_those_of_who_measured():
    old, new = watch(SGD, every=1), watch(SGD, every=1, bins=(-2, 2, 24))
    found = readings(jax.jit(new.update)(ONE, old.init(ONE), ONE)[1])
    np.testing.assert_allclose(found.rate_edges[[0, -1]], [1e-2, 1e2])
    (place,) = np.flatnonzero(found.rate_counts[0, 0])
    assert found.rate_edges[place] <= 0.1001
    assert found.rate_edges[place + 1] >= 0.0999
    for other, said in (
        ({"bins": (-8, 4, 12)}, "for 24 bins, and here are 12"),
        ({"groups": {"all": "w"}}, "bytes of names"),
    ):
        with pytest.raises(ValueError, match=said):
            jax.eval_shape(watch(SGD, every=1, **other).update, ONE, old.init(ONE), ONE)


def test_counts_that_the_state_cannot_hold_are_refused():
    wide = {"w": jnp.ones((300, 300)), "v": jnp.ones((300, 300))}
    state = jax.eval_shape(watch(SGD, groups={"all": "**"}, sample=9, previous=False).init, wide)
    tx = watch(SGD, groups={"all": "**"}, sample=60000, previous=False)
    with pytest.raises(ValueError, match="smaller `sample`"):
        jax.eval_shape(tx.update, wide, state, wide)
    assert jax.eval_shape(tx.init, wide).rates.dtype == jnp.int32


def test_cosines_stay_within_their_range():
    tx = watch(gradtx.sgd(0.3), every=1)
    params = {str(k): jnp.asarray(x, jnp.float32) for k, x in enumerate(np.random.default_rng(0).normal(size=(8, 5)))}
    _, state = tx.update(params, tx.init(params), params)
    found = readings(tx.update(params, state, params)[1])
    for cosine in (found.cosine_to_gradient, found.cosine_to_previous[1]):
        assert cosine.max() <= 1
        np.testing.assert_allclose(cosine, 1, rtol=1e-6)


def test_an_eager_step_at_rest_looks_nothing_up(monkeypatch):
    tx = watch(SGD, every=9, groups={"one": "w"})
    _, state = tx.update(ONE, tx.init(ONE), ONE)
    calls = []
    monkeypatch.setattr(watch_state, "_looked_up", lambda *args: calls.append(args))
    tx.update(ONE, state, ONE)
    assert calls == []


def test_groups_by_functions_see_the_leaf_each_time():
    by_shape = watch(SGD, every=1, groups={"flat": lambda path, leaf: leaf.ndim == 1})
    assert by_shape.init({"a": jnp.ones(2), "b": jnp.ones((2, 2))}).values.shape[1] == 2
    assert by_shape.init({"a": jnp.ones(2), "b": jnp.ones(2)}).values.shape[1] == 1


def test_numbers_are_leaves_too():
    assert watch(SGD).init({"a": 1.0, "b": 2j, "c": 3, "d": None}).previous.shape == (3,)


def test_an_eager_watch_goes_on_where_the_count_stays():
    state = watch(SGD, every=2).init(ONE)._replace(count=jnp.int32(2**31 - 1))
    assert watch(SGD, every=2).update(ONE, state, ONE)[1].count == 2**31 - 1


@pytest.mark.parametrize(
    ("tx", "clips"),
    [
        (gradtx.clip_by_value(1.0), True),
        (gradtx.adaptive_grad_clip(0.1), True),
        (gradtx.masked(gradtx.clip_by_leaf_norm(1.0), "w"), True),
        (gradtx.skip_nonfinite(gradtx.chain(gradtx.clip_by_value(1.0), gradtx.scale(2.0))), False),
        (gradtx.foreign(lambda params: (), lambda u, s, p=None: (u, s)), False),
    ],
    ids=["value", "adaptive", "masked", "more", "foreign"],
)
def test_what_a_clip_is(tx, clips):
    assert tx.traits.clips == clips


def test_a_name_that_only_holds_the_letters_is_no_clip():
    @gradtx.transformation
    def eclipse():
        return lambda params: (), lambda updates, state, params=None: (updates, state)

    assert not eclipse().traits.clips
