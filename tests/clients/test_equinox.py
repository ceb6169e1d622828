"""equinox: filtered models with None for what is not trained, and transformations that are filtered themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.clients.agreement import ALGORITHMS, Client, X, Y, agrees, follow

eqx = pytest.importorskip("equinox", reason="pip install -e '.[testing]'")


def net(dtype=jnp.float32):
    return eqx.nn.MLP(2, 1, 4, 1, activation=jnp.tanh, dtype=dtype, key=jax.random.key(0))


def loss(model):
    return jnp.mean((jax.vmap(model)(X.astype(model.layers[0].weight.dtype)) - Y) ** 2)


def trained(tx, model, apply_updates=gradtx.apply_updates, steps=20):
    state = tx.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit(donate="all")
    def step(model, state):
        value, grads = eqx.filter_value_and_grad(loss)(model)
        updates, state = tx.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
        return apply_updates(model, updates), state, value

    losses = []
    for _ in range(steps):
        model, state, value = step(model, state)
        losses.append(float(value))
    return losses, model, state


def arrays(tree):
    return jax.tree.leaves(eqx.filter(tree, eqx.is_array))


def train(tx):
    """The gradients, and so the state, have None where the model has a function, a number or a frozen array."""
    model = net()
    trained = eqx.tree_at(lambda t: t.layers[0].bias, jax.tree.map(eqx.is_inexact_array, model), False)
    params, static = eqx.partition(model, trained)
    assert params.layers[0].bias is None

    def step(carry):
        params, state = carry
        value, grads = eqx.filter_value_and_grad(lambda p: loss(eqx.combine(p, static)))(params)
        updates, state = tx.update(grads, state, params)
        return (eqx.apply_updates(params, updates), state), value

    return follow(step, (params, tx.init(params)), lambda carry: carry[0], jit=eqx.filter_jit)


CLIENTS = [Client("equinox", "`filter_jit`, `None` leaves", train)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_model_trains_as_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


def test_state_has_none_where_the_model_has_no_array():
    params = eqx.filter(net(), eqx.is_inexact_array)
    state = gradtx.adam(0.05).init(params)["scale_by_adam"]
    assert jax.tree.structure(state.mu) == jax.tree.structure(params)
    assert None in jax.tree.leaves(state.mu, is_leaf=lambda x: x is None)


@pytest.mark.parametrize("whole", [True, False], ids=["the model itself", "its arrays"])
def test_updates_of_a_bfloat16_model_are_wide_and_rounded_once(whole):
    """eqx.apply_updates adds in the type of the sum, which would make the model float32."""
    model, tx = net(jnp.bfloat16), gradtx.adam(0.05)
    params = eqx.filter(model, eqx.is_inexact_array)
    updates, _ = jax.jit(tx.update)(params, tx.init(params), params)
    assert {x.dtype for x in arrays(updates)} == {jnp.dtype("float32")}
    new = gradtx.apply_updates(model if whole else params, updates)
    assert {x.dtype for x in arrays(new)} == {jnp.dtype("bfloat16")}
    assert jax.tree.structure(new) == jax.tree.structure(model if whole else params)
    for p, u, w in zip(arrays(model), arrays(updates), arrays(new), strict=True):
        np.testing.assert_array_equal(w, (p.astype(jnp.float32) + u).astype(jnp.bfloat16))
    assert jnp.dtype("float32") in {x.dtype for x in arrays(eqx.apply_updates(model, updates))}


def test_a_bfloat16_model_trains_and_stays_bfloat16():
    losses, model, state = trained(gradtx.adam(0.05), net(jnp.bfloat16))
    assert {x.dtype for x in arrays(model)} == {jnp.dtype("bfloat16")}
    assert {x.dtype for x in arrays(state["scale_by_adam"].nu)} == {jnp.dtype("float32")}
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(
    "tx",
    [
        gradtx.adam(jnp.asarray(0.05)),
        gradtx.chain(gradtx.clip_by_global_norm(jnp.asarray(1.0)), gradtx.adamw(0.05)),
        gradtx.adam(gradtx.cosine_decay_schedule(jnp.asarray(0.05), 30)),
    ],
    ids=["adam", "chain", "scheduled"],
)
def test_a_transformation_is_partitioned_and_combined(tx):
    dynamic, static = eqx.partition(tx, eqx.is_array)
    assert eqx.combine(dynamic, static) == tx
    assert len(arrays(tx)) == 1
    assert jax.tree.leaves(eqx.filter(tx, eqx.is_array, inverse=True)) == [
        x for x in jax.tree.leaves(tx) if not eqx.is_array(x)
    ]


def test_a_new_rate_is_no_new_trace():
    """eqx.filter_jit makes arrays dynamic and numbers static: an array is one trace, and a float one for each value."""
    traces = []

    @eqx.filter_jit
    def first_step(tx, w):
        traces.append(1)
        return tx.update(w, tx.init(w), w)[0]

    w = jnp.array([3.0, -1.0])
    for rate in (0.1, 0.2, 0.3):
        np.testing.assert_allclose(first_step(gradtx.sgd(jnp.asarray(rate)), w), -rate * w, rtol=1e-6)
    assert len(traces) == 1
    for _ in range(3):
        first_step(gradtx.sgd(0.5), w)
    assert len(traces) == 2


def test_a_sweep_with_filter_vmap():
    rates = jnp.array([0.01, 0.05, 0.1])
    params = {"w": jnp.array([3.0, -1.0]), "b": jnp.array(0.5)}

    def second_step(tx, params):
        updates, state = tx.update(params, tx.init(params))
        params = gradtx.apply_updates(params, updates)
        return gradtx.apply_updates(params, tx.update(params, state)[0])

    swept = eqx.filter_jit(eqx.filter_vmap(second_step, in_axes=(eqx.if_array(0), None)))(
        eqx.filter_vmap(gradtx.adam)(rates), params
    )
    one = jax.jit(second_step)
    for k, rate in enumerate(rates):
        expected = one(gradtx.adam(rate), params)
        jax.tree.map(lambda a, b, k=k: np.testing.assert_allclose(a[k], b, rtol=1e-6), swept, expected)
