"""Chains: names, the dict state, splicing, order, foreign members."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adam, add_momentum, chain, clip_by_global_norm, scale, scale_by_adam, sgd

PARAMS = {"w": jnp.array([1.0, 2.0, 3.0])}
GRADS = {"w": jnp.array([30.0, -40.0, 0.5])}


def run(tx, steps=3):
    state, params = tx.init(PARAMS), PARAMS
    for _ in range(steps):
        updates, state = tx.update(GRADS, state, params)
        params = gradtx.apply_updates(params, updates)
    return params, state


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_members_are_named_after_themselves():
    tx = chain(scale_by_adam(), scale(2.0), scale_by_adam(0.5), add_momentum(), scale_by_adam(0.6))
    assert list(tx.init(PARAMS)) == ["scale_by_adam", "scale_by_adam_1", "add_momentum", "scale_by_adam_2"]
    assert list(chain(first=scale_by_adam(), second=scale_by_adam()).init(PARAMS)) == ["first", "second"]


def test_members_that_keep_nothing_have_no_entry():
    assert chain(scale(2.0), clip_by_global_norm(1.0)).init(PARAMS) == {}
    assert list(chain(clip=clip_by_global_norm(1.0), adam=adam(0.1)).init(PARAMS)) == ["adam"]


def test_a_clip_in_front_leaves_the_state_where_it_was():
    _, state = run(adam(0.1))
    clipped = chain(clip_by_global_norm(1.0), adam(0.1))
    assert jax.tree.structure(clipped.init(PARAMS)) == jax.tree.structure(state)
    updates, after = clipped.update(GRADS, state, PARAMS)
    assert int(after["scale_by_adam"].count) == 4
    assert float(jnp.abs(updates["w"]).max()) > 0


def test_order_comes_from_the_chain_and_not_from_the_dict():
    clip_last = chain(z=scale(2.0), a=gradtx.clip_by_value(1.0))
    clip_first = chain(a=gradtx.clip_by_value(1.0), z=scale(2.0))
    for tx, expected in ((clip_last, [1.0, -1.0, 1.0]), (clip_first, [2.0, -2.0, 1.0])):
        again = jax.tree.map(lambda x: x, tx)
        np.testing.assert_allclose(again.update(GRADS, again.init(PARAMS))[0]["w"], expected)


def test_associative_to_the_bit_and_in_the_state():
    a, b, c = clip_by_global_norm(1.0), adam(0.1), add_momentum(0.5)
    flat = run(chain(a, b, c))
    assert_same(flat, run(chain(chain(a, b), c)))
    assert_same(flat, run(chain(a, chain(b, c))))
    assert_same(flat, run(chain(chain(), a, chain(b), chain(chain(c)))))


def test_the_empty_chain_is_the_identity():
    updates, state = chain().update(GRADS, chain().init(PARAMS))
    assert updates is GRADS
    assert state == {}
    assert_same(run(chain(adam(0.1))), run(adam(0.1)))


def test_a_name_given_twice_is_refused():
    with pytest.raises(ValueError, match="chain: there are two members named 'scale_by_adam'"):
        chain(scale_by_adam(), scale_by_adam=scale_by_adam())


def test_a_state_with_an_entry_too_many_or_too_few():
    tx = chain(scale_by_adam(), add_momentum())
    state = tx.init(PARAMS)
    with pytest.raises(TypeError, match=r"chain: the state has an entry 'old'; the members are \['scale_by_"):
        tx.update(GRADS, {**state, "old": state["add_momentum"]})
    with pytest.raises(TypeError, match=r"add_momentum: the state must be a AddMomentumState; got .*EmptyState"):
        tx.update(GRADS, {"scale_by_adam": state["scale_by_adam"]})


def test_named_chains_keep_a_level_of_their_own():
    tx = chain(clip_by_global_norm(1.0), chain(inner=scale_by_adam()), sgd(0.1, 0.9))
    assert jax.tree.structure(tx.init(PARAMS)) == jax.tree.structure(
        {"chain": {"inner": scale_by_adam().init(PARAMS)}, "add_momentum": add_momentum().init(PARAMS)}
    )


def test_a_chain_is_jitted_scanned_and_vmapped():
    tx = chain(clip_by_global_norm(1.0), adam(lambda step: 0.1 / (1 + step)))

    def step(carry, grads):
        params, state = carry
        updates, state = tx.update(grads, state, params)
        return (gradtx.apply_updates(params, updates), state), None

    grads = jax.tree.map(lambda g: jnp.stack([g] * 3), GRADS)
    (params, state), _ = jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), grads)
    expected, expected_state = run(tx)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), (params, state), (expected, expected_state))
