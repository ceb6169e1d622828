"""A value is its call: equality, hash, print, pickle, replace, and the pytree of its leaf arguments."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import EmptyState, Hyper, adam, chain, clip_by_global_norm, schedule, sgd, transformation


@transformation
def halve(factor: Hyper = 0.5, *, label: str = "", weights: tuple = ()):
    """A piece with one leaf and two static arguments."""

    def init(params):
        return EmptyState()

    def update(updates, state, params=None):
        return jax.tree.map(lambda g: factor * g, updates), state

    return init, update


def test_the_hash_is_computed_once():
    """As a static argument of jit a value is hashed at each call, however large its mask is."""

    class Counts(str):
        calls = 0

        def __hash__(self):
            Counts.calls += 1
            return hash(str(self))

    tx = gradtx.adamw(0.1, mask={Counts("w"): True})
    step = jax.jit(lambda tx, x: x + 1, static_argnums=0)
    step(tx, 1.0)
    before = Counts.calls
    for _ in range(5):
        assert (hash(tx), step(tx, 1.0)) == (hash(gradtx.adamw(0.1, mask={"w": True})), 2.0)
    assert before
    assert Counts.calls == before


def test_equal_calls_are_equal_and_hash_alike():
    assert adam(1e-3) == adam(1e-3, b1=0.9)
    assert hash(adam(1e-3)) == hash(adam(learning_rate=1e-3))
    assert adam(1e-3) != adam(1e-2)
    assert adam(1e-3) != sgd(1e-3)
    assert adam(1e-3) != (adam(1e-3).init, adam(1e-3).update)
    assert len({adam(1e-3), adam(1e-3), chain(adam(1e-3)), chain(adam(1e-3))}) == 2


def test_arrays_compare_by_type_shape_and_bytes():
    assert adam(jnp.float32(0.1)) == adam(jnp.asarray(0.1, jnp.float32))
    assert hash(adam(jnp.float32(0.1))) == hash(adam(jnp.float32(0.1)))
    assert adam(jnp.float32(0.1)) != adam(jnp.float32(0.2))
    assert adam(jnp.float32(0.5)) != adam(0.5)
    assert halve(weights=(np.arange(3),)) == halve(weights=(np.arange(3),))
    assert halve(weights=(np.arange(3),)) != halve(weights=(np.arange(4),))


def test_whole_numbers_and_flags_of_numpy_are_those_of_python():
    ours, numpys = gradtx.scale_by_lbfgs(3), gradtx.scale_by_lbfgs(np.int64(3))
    assert (numpys, hash(numpys), repr(numpys)) == (ours, hash(ours), repr(ours))
    assert gradtx.sgd(0.1, 0.9, nesterov=np.bool_(True)) == gradtx.sgd(0.1, 0.9, nesterov=True)


@pytest.mark.parametrize("number", [1, np.float64(1.0), np.int32(1), np.float32(1.0), np.asarray(1.0)], ids=repr)
def test_numbers_of_every_kind_become_one(number):
    assert sgd(number) == sgd(1.0)
    assert type(sgd(number).learning_rate) is float


def test_prints_as_its_call():
    assert repr(gradtx.scale_by_rms(0.9)) == "scale_by_rms(decay=0.9, eps=1e-08, initial_scale=0.0)"
    assert repr(gradtx.scale_by_rms(eps_in_sqrt=False)).endswith("eps_in_sqrt=False)")
    assert repr(chain(clip_by_global_norm(1.0), out=sgd(0.1))) == (
        "chain(clip_by_global_norm(max_norm=1.0), out=sgd(learning_rate=0.1))"
    )
    assert repr(sgd(jnp.float32(0.5))) == "sgd(learning_rate=jnp.float32(0.5))"


def test_pickle_copy_and_identity():
    tx = chain(clip_by_global_norm(1.0), adam=adam(gradtx.linear_schedule(1.0, 0.0, 10)))
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert copy.deepcopy(tx) is tx
    assert pickle.loads(pickle.dumps(halve(jnp.float32(0.25)))) == halve(jnp.float32(0.25))


def test_arguments_are_read_as_attributes_and_replaced():
    tx = adam(1e-3)
    assert (tx.b1, tx.nesterov, tx.name) == (0.9, False, "adam")
    assert tx.replace(b1=0.5) == adam(1e-3, b1=0.5)
    assert tx == adam(1e-3)
    assert "b1" in dir(tx)
    with pytest.raises(ValueError, match=r"adam: scale_by_adam: b1 must be in \[0, 1\); got 2.0"):
        tx.replace(b1=2)
    with pytest.raises(TypeError, match="did you mean 'learning_rate'"):
        tx.replace(learning_rat=1)
    with pytest.raises(AttributeError, match="adam has no attribute 'beta1'"):
        _ = tx.beta1
    with pytest.raises(AttributeError, match=r"make another one with .replace\(b1=...\)"):
        tx.b1 = 0.5
    assert chain(sgd(1.0), a=sgd(2.0)).replace().members == (sgd(1.0),)


def test_wrong_calls_show_the_right_one():
    with pytest.raises(TypeError, match=r"adam has no argument 'b3'.*it is adam\(learning_rate, b1=0.9, b2=0.999"):
        adam(1e-3, b3=0.9)
    with pytest.raises(TypeError, match=r"'beta2' .did you mean 'b2'"):
        adam(1e-3, beta2=0.9)
    with pytest.raises(TypeError, match=r"adam has no argument 'lr' .did you mean 'learning_rate'"):
        adam(lr=1e-3)
    with pytest.raises(TypeError, match=r"did you forget to call it: linear_schedule\(...\)"):
        sgd(gradtx.linear_schedule)
    with pytest.raises(TypeError, match="missing a required argument: 'learning_rate'"):
        adam()
    for wrong in ("fast", None, True, [0.1], 1j, jnp.array(True)):
        with pytest.raises(TypeError, match="sgd: learning_rate must be"):
            sgd(wrong)
    with pytest.raises(ValueError, match=r"sgd: learning_rate must be a scalar; got an array of shape \(3,\)"):
        sgd(jnp.ones(3))


def test_leaves_are_the_hyperparameters_by_name():
    paths = jax.tree_util.tree_flatten_with_path(chain(clip_by_global_norm(1.0), sgd(0.1), last=sgd(0.2, 0.9)))[0]
    assert [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in paths] == [
        ("clip_by_global_norm/max_norm", 1.0),
        ("sgd/learning_rate", 0.1),
        ("last/learning_rate", 0.2),
        ("last/momentum", 0.9),
    ]


def test_named_members_keep_their_order_through_a_pytree():
    tx = chain(z=gradtx.scale(2.0), a=clip_by_global_norm(1.0))
    again = jax.tree.map(lambda x: x, tx)
    assert list(again.named) == ["z", "a"]
    assert again == tx


@pytest.mark.parametrize("stand_in", [None, object(), True, "mask", jax.ShapeDtypeStruct((), jnp.float32)])
def test_anything_may_stand_in_a_leaf(stand_in):
    """Equinox and optimistix replace numbers by masks and None: the split must not depend on the values."""
    leaves, structure = jax.tree.flatten(adam(1e-3))
    other = jax.tree.unflatten(structure, [stand_in] * len(leaves))
    assert jax.tree.structure(other, is_leaf=lambda x: x is stand_in) == structure
    values = jax.tree.leaves(other, is_leaf=lambda x: x is stand_in)
    assert len(values) == len(leaves)
    assert all(v is stand_in for v in values)
    back = jax.tree.map(lambda _, y: y, other, adam(1e-3), is_leaf=lambda x: x is stand_in)
    assert back == adam(1e-3)


def test_one_trace_for_three_rates():
    traces = []

    @jax.jit
    def step(tx, w):
        traces.append(tx)
        return tx.update(w, tx.init(w), w)[0]

    outs = [float(step(sgd(rate), jnp.float32(2.0))) for rate in (1, 0.5, 0.25)]
    assert outs == [-2.0, -1.0, -0.5]
    assert len(traces) == 1


def test_static_argument_traces_once_for_equal_values():
    traces = []

    def step(tx, w):
        traces.append(tx)
        return tx.update(w, tx.init(w), w)[0]

    jitted = jax.jit(step, static_argnums=0)
    for _ in range(3):
        jitted(adam(1e-3), jnp.float32(2.0))
    assert len(traces) == 1


def test_vmap_over_a_factory_and_grad_through_a_value():
    rates = jnp.array([0.1, 0.2, 0.4])
    txs = jax.vmap(sgd)(rates)
    out = jax.vmap(lambda tx, w: tx.update(w, tx.init(w), w)[0], in_axes=(0, None))(txs, jnp.float32(1.0))
    np.testing.assert_allclose(out, -rates)
    grads = jax.grad(lambda tx: tx.update(jnp.float32(3.0), tx.init(jnp.float32(1.0)))[0])(sgd(0.1))
    assert isinstance(grads, gradtx.GradientTransformation)
    assert float(grads.learning_rate) == -3.0


def test_a_batch_of_transformations_outside_vmap_is_told():
    swept = jax.vmap(adam)(jnp.array([0.1, 0.2]))
    with pytest.raises(
        ValueError, match=r"a batch of transformations, learning_rate has shape \(2,\): use it in jax.vmap"
    ):
        swept.init(jnp.ones(2))
    one = jax.tree.map(lambda x: x[1], swept)
    assert float(one.update(jnp.ones(()), one.init(jnp.ones(())))[0]) == pytest.approx(-0.2)


def test_an_unpickled_value_keeps_its_closures_and_odd_leaves():
    assert pickle.loads(pickle.dumps(adam(1e-3)))._cache.keys() == adam(1e-3)._cache.keys() != set()
    odd = jax.tree.map(lambda x: None, adam(1e-3))
    assert pickle.loads(pickle.dumps(odd)) == odd


def test_a_value_from_a_pytree_is_built_a_few_times_and_not_exponentially(monkeypatch):
    built = []
    build = gradtx.GradientTransformation._built
    monkeypatch.setattr(gradtx.GradientTransformation, "_built", lambda self: (built.append(self), build(self))[1])
    tx = adam(1e-3)
    for _ in range(6):
        tx = chain(inner=tx)
    tx = jax.tree.map(lambda x: x, tx)
    state = tx.init(jnp.ones(2))
    built.clear()
    tx.update(jnp.ones(2), state)
    assert len(built) < 20


def test_annotations_that_nothing_would_be_done_about_are_refused():
    def several(rates: dict[str, tuple[Hyper, ...]]):
        return rates

    with pytest.raises(TypeError, match="may be optional, or in one dict or tuple"):
        transformation(several)({"a": (1.0,)})


def test_arithmetic_on_a_scheduled_hyperparameter_in_the_body():
    @transformation
    def keep(decay: Hyper = 0.9):
        rest = 1.0 - decay

        def update(updates, state, params=None):
            return jax.tree.map(lambda g: rest * g, updates), state

        return lambda params: EmptyState(), update

    tx = keep(lambda step: 0.25 * step)
    state, seen = tx.init(jnp.ones(())), []
    for _ in range(3):
        u, state = tx.update(jnp.ones(()), state)
        seen.append(float(u))
    assert seen == [1.0, 0.75, 0.5]


def test_what_a_body_computes_under_a_trace_does_not_outlive_it():
    @transformation
    def logarithmic(decay: Hyper = 0.5):
        log = jnp.log(decay)

        def init(params):
            return EmptyState()

        def update(updates, state, params=None):
            return jax.tree.map(lambda g: g * log, updates), state

        return init, update

    tx = jax.tree.map(lambda x: x, logarithmic())
    traced = jax.jit(lambda g: tx.update(g, EmptyState())[0])(jnp.float32(1.0))
    np.testing.assert_allclose(tx.update(jnp.float32(1.0), EmptyState())[0], traced)


def test_schedules_are_values_too():
    assert gradtx.linear_schedule(1, 0, 10) == gradtx.linear_schedule(1.0, 0.0, 10.0)
    assert jax.tree.leaves(gradtx.linear_schedule(1, 0, 10)) == [1.0, 0.0, 10.0, 0.0]
    values = jax.vmap(lambda v: gradtx.linear_schedule(v, 0.0, 4)(1))(jnp.array([1.0, 2.0]))
    np.testing.assert_allclose(values, [0.75, 1.5])
    with pytest.raises(TypeError, match="constant_schedule: value is read once and cannot follow a schedule"):
        gradtx.constant_schedule(gradtx.constant_schedule(1.0))

    @schedule
    def ramp(slope: Hyper = 1.0):
        return lambda step: slope * step

    with pytest.raises(TypeError, match="ramp: slope must be a number; got the schedule"):
        ramp(gradtx.constant_schedule(1.0))

    @schedule
    def nothing():
        return 3.0

    with pytest.raises(TypeError, match=r"nothing must return a function of the step; it returned 3\.0"):
        nothing()


def test_reserved_names_and_odd_bodies_are_refused():
    with pytest.raises(TypeError, match="'update' cannot be the name of a hyperparameter"):

        @transformation
        def wrong(update: Hyper):
            return update

    @transformation
    def not_a_pair(rate: Hyper = 1.0):
        return rate

    with pytest.raises(TypeError, match=r"not_a_pair must return \(init, update\) or a transformation"):
        not_a_pair()
