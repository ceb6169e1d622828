"""optax: its chains take our transformations and ours take its; the same algorithm gives the same numbers."""

import operator
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.catalog import OPTIMIZERS
from gradtx.compat import to_optax

optax = pytest.importorskip("optax", reason="pip install -e '.[peers]'")

PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array(0.1)}
TARGET = {"w": jnp.array([[0.0, 1.0], [2.0, -1.0]]), "b": jnp.array(-1.0)}


def loss(params):
    return sum(jnp.sum((p - t) ** 4) for p, t in zip(*map(jax.tree.leaves, (params, TARGET)), strict=True))


def trained(tx, apply_updates=optax.apply_updates, steps=20, **extra):
    """The parameters after some steps, and the last state."""
    params, (init, update) = PARAMS, tx
    state = jax.jit(init)(params)

    @jax.jit
    def step(params, state):
        updates, state = update(jax.grad(loss)(params), state, params, **extra)
        return apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    return params, state


def assert_same_training(ours, theirs, **extra):
    got, expected = trained(ours, **extra)[0], trained(theirs, **extra)[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), got, expected)
    assert float(loss(got)) < float(loss(PARAMS))


SAME = [
    pytest.param(entry, setting, id=name)
    for name, (entry, setting) in OPTIMIZERS.items()
    if setting.optax and not setting.optax.differs
]


@pytest.mark.parametrize(("entry", "setting"), SAME)
def test_recipes_agree(entry, setting):
    arguments = {"learning_rate": setting.rates[0], **setting.arguments} if setting.rates else setting.arguments
    arguments = {"learning_rate": entry.usual["learning_rate"], **arguments}
    assert_same_training(entry.factory(**arguments), operator.attrgetter(setting.optax.name)(optax)(**arguments))


MIXED = {
    "theirs around ours": optax.chain(optax.clip_by_global_norm(1.0), gradtx.adam(0.05)),
    "ours first, in theirs": optax.chain(gradtx.clip_by_global_norm(1.0), optax.adam(0.05)),
    "theirs last, in ours": gradtx.chain(
        gradtx.clip_by_global_norm(1.0), optax.scale_by_adam(), gradtx.scale_by_learning_rate(0.05)
    ),
    "bare pairs": gradtx.chain(
        tuple(optax.clip_by_global_norm(1.0)), tuple(optax.scale_by_adam()), gradtx.scale_by_learning_rate(0.05)
    ),
    "our pair in their type": optax.GradientTransformationExtraArgs(
        *gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.05))
    ),
    "to_optax": to_optax(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(0.05))),
    "optax schedule": gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(optax.constant_schedule(0.05))),
}


@pytest.mark.parametrize("name", MIXED)
def test_mixed_chains_agree(name):
    assert_same_training(MIXED[name], optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.05)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: optax.warmup_cosine_decay_schedule(0.0, 0.1, 5, 20),
        lambda: optax.exponential_decay(0.1, 5, 0.5, staircase=True),
        lambda: optax.join_schedules([optax.constant_schedule(0.1), optax.linear_schedule(0.1, 0.0, 5)], [7]),
        lambda: optax.piecewise_constant_schedule(0.1, {5: 0.5, 10: 0.5}),
    ],
    ids=["warmup cosine", "staircase", "joined", "piecewise"],
)
def test_optax_schedules_are_hyperparameters(make):
    assert_same_training(gradtx.adam(make()), optax.adam(make()))
    state = trained(gradtx.adam(make()), steps=8)[1]
    np.testing.assert_allclose(gradtx.hyperparameters(state)["learning_rate"], make()(7), rtol=1e-6)


def test_a_schedule_for_a_decay_too():
    b1 = optax.linear_schedule(0.8, 0.95, 10)
    theirs = optax.inject_hyperparams(optax.adam)(0.05, b1=b1)
    assert_same_training(gradtx.adam(0.05, b1=b1), theirs)


@gradtx.transformation
def scale_by_value():
    """Multiply the updates by `value`."""

    def init(params):
        return gradtx.EmptyState()

    def update(updates, state, params=None, *, value):
        return gradtx.map_leaves(lambda g: value * g, updates), state

    return init, update


EXTRAS = {
    "ours": gradtx.chain(scale_by_value(), gradtx.sgd(1e-3)),
    "ours in their type": optax.chain(to_optax(scale_by_value()), optax.sgd(1e-3)),
    "theirs in ours": gradtx.chain(optax.chain(to_optax(scale_by_value())), gradtx.sgd(1e-3)),
    "wrapped pair": optax.GradientTransformationExtraArgs(*gradtx.chain(scale_by_value(), gradtx.sgd(1e-3))),
}


@pytest.mark.parametrize("name", EXTRAS)
def test_extras_reach_who_needs_them(name):
    got = trained(EXTRAS[name], value=jnp.asarray(2.0), grad=PARAMS)[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, trained(gradtx.sgd(2e-3))[0])


def test_optax_chain_drops_extras_unless_the_type_is_its_own():
    """What to_optax is for; until then the error says what is missing."""
    tx = optax.chain(scale_by_value(), optax.sgd(1e-3))
    with pytest.raises(TypeError, match="scale_by_value needs value"):
        trained(tx, value=jnp.asarray(2.0))


def test_line_search_in_our_chain():
    """optax's line search takes value, grad and value_fn; it stands last and gives what it gives in optax's chain."""

    def solve(tx, steps=10):
        params, (init, update) = PARAMS, tx
        state = init(params)

        @jax.jit
        def step(params, state):
            value, grad = jax.value_and_grad(loss)(params)
            updates, state = update(grad, state, params, value=value, grad=grad, value_fn=loss)
            return optax.apply_updates(params, updates), state

        for _ in range(steps):
            params, state = step(params, state)
        return params

    def search():
        return optax.scale_by_backtracking_linesearch(max_backtracking_steps=15)

    expected = solve(optax.chain(optax.sgd(1.0), search()))
    for tx in (gradtx.chain(gradtx.sgd(1.0), search()), optax.chain(gradtx.sgd(1.0), search())):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), solve(tx), expected)


def test_multi_steps_around_ours():
    ours = optax.MultiSteps(gradtx.adam(0.05), 2).gradient_transformation()
    assert_same_training(ours, optax.MultiSteps(optax.adam(0.05), 2).gradient_transformation())


def test_inject_hyperparams_around_ours():
    def train(factory):
        tx = optax.inject_hyperparams(factory)(learning_rate=0.05)
        state = tx.init(PARAMS)
        state.hyperparams["learning_rate"] = jnp.asarray(0.1)
        return tx.update(PARAMS, state, PARAMS)

    (got, state), (expected, _) = train(gradtx.adam), train(optax.adam)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, expected)
    assert set(state.hyperparams) == {"learning_rate", "b1", "b2", "eps", "eps_root"}


def test_masked_around_ours():
    def both(lib):
        weights, bias = {"w": True, "b": False}, {"w": False, "b": True}
        return optax.chain(optax.masked(lib.adam(0.05), weights), optax.masked(lib.sgd(1e-3), bias))

    assert_same_training(both(gradtx), both(optax))


def test_multi_transform_of_ours():
    labels = {"w": "a", "b": "b"}

    def split(lib):
        return optax.multi_transform({"a": lib.adam(0.05), "b": lib.sgd(1e-3)}, labels)

    assert_same_training(split(gradtx), split(optax))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_apply_updates_of_both(dtype):
    params, tx = jax.tree.map(lambda p: p.astype(dtype), PARAMS), gradtx.adam(0.05)
    updates, _ = tx.update(params, tx.init(params), params)
    ours, theirs = gradtx.apply_updates(params, updates), optax.apply_updates(params, updates)
    assert ours["w"].dtype == theirs["w"].dtype == dtype
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_to_optax():
    tx = gradtx.adam(jnp.asarray(0.05))
    pair = to_optax(tx)
    assert isinstance(pair, optax.GradientTransformationExtraArgs)
    jax.tree.map(np.testing.assert_array_equal, trained(pair)[0], trained(tx)[0])
    with pytest.raises(TypeError, match=r"takes a gradtx transformation.*got function"):
        to_optax(gradtx.adam)


def test_to_optax_without_optax(monkeypatch):
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(ImportError, match="optax is not installed: pip install optax"):
        to_optax(gradtx.sgd(0.1))


def test_wrappers_that_choose_want_gradients_of_the_type_of_updates():
    """README: updates are float32, so that a choice between one and a bfloat16 gradient has two types."""
    tx = optax.apply_if_finite(gradtx.adam(0.1), 3)
    params = {"w": jnp.ones(2, jnp.bfloat16)}
    with pytest.raises(TypeError, match="float32"):
        tx.update(params, tx.init(params), params)
    wide = {"w": jnp.ones(2, jnp.float32)}
    updates, _ = tx.update(wide, tx.init(params), params)
    assert updates["w"].dtype == jnp.float32
