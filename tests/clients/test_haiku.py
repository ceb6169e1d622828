"""haiku: parameters are a dict of dicts, beside a state that is not trained."""

import jax
import jax.numpy as jnp
import optax
import pytest

import gradtx
from tests.clients.agreement import ALGORITHMS, Client, X, Y, agrees, difference, follow

hk = pytest.importorskip("haiku", reason="pip install -e '.[clients]'")
pytestmark = pytest.mark.nightly


def forward(x, is_training):
    # No bias before a batch norm: its gradient is noise about 0, which Adam makes as large as any other.
    x = hk.Linear(8, with_bias=False)(x)
    x = jnp.tanh(hk.BatchNorm(True, True, 0.9)(x, is_training))
    return hk.Linear(1)(x)


net = hk.transform_with_state(forward)


def loss(params, state):
    out, state = net.apply(params, state, None, X, True)
    return jnp.mean((out - Y) ** 2), state


def start():
    return net.init(jax.random.key(0), X, True)


def train(tx, apply_updates=optax.apply_updates):
    params, state = start()

    def step(carry):
        params, state, opt_state = carry
        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params, state)
        updates, opt_state = tx.update(grads, opt_state, params)
        return (apply_updates(params, updates), state, opt_state), value

    return follow(step, (params, state, tx.init(params)), lambda carry: carry[:2])


CLIENTS = [Client("dm-haiku", "`hk.transform_with_state`", train)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_trains_as_with_optax(algorithm):
    agrees(CLIENTS[0], algorithm)


def test_both_apply_updates():
    tx = gradtx.adam(0.05)
    assert difference(train(tx)[:2], train(tx, gradtx.apply_updates)[:2]) == 0


def test_rules_by_the_names_of_modules():
    tx = gradtx.route({"linear": gradtx.set_to_zero(), "**/b": gradtx.sgd(0.1)}, default=gradtx.adam(0.05))
    before, after = start()[0], train(tx).params[0]
    assert difference(after["linear"], before["linear"]) == 0
    assert difference(after["linear_1"], before["linear_1"]) > 1e-2


def test_hyperparameters_by_hk_data_structures():
    """haiku's own partition of a tree gives None where a leaf went to the other part: those are passed over."""
    params, _ = start()
    weights, biases = hk.data_structures.partition(lambda module, name, value: value.ndim > 1, params)
    mine, theirs = (lib.adam(0.1).update(weights, lib.adam(0.1).init(weights))[0] for lib in (gradtx, optax))
    assert difference(mine, theirs) < 1e-4
    merged = hk.data_structures.merge(gradtx.apply_updates(weights, mine), biases)
    assert jax.tree.structure(merged) == jax.tree.structure(params)
