"""Transformations under optax's names as values: what pickles, prints, and stands in a state."""

import pickle
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
import gradtx.compat.optax as optax


class Params(NamedTuple):
    """Parameters with names that states have too."""

    mu: object
    sigma: object


@pytest.mark.parametrize("params", [{"mu": jnp.ones(2), "trace": jnp.ones(2)}, Params(jnp.ones(2), jnp.ones(2))])
def test_a_dtype_of_a_field_leaves_parameters_of_that_name_alone(params):
    tx = optax.adam(0.1, mu_dtype=jnp.bfloat16)
    state = tx.init(params)
    for adam in (state[0], tx.update(params, state, params)[1][0]):
        assert [x.dtype for x in (*_leaves(adam.mu), *_leaves(adam.nu))] == ["bfloat16"] * 2 + ["float32"] * 2


def _leaves(tree):
    return list(tree.values()) if isinstance(tree, dict) else list(tree)


AGAIN = {
    "pickle": lambda tx: pickle.loads(pickle.dumps(tx)),
    "replace": lambda tx: tx.replace(sync_period=5),
    "extra": optax.with_extra_args_support,
}


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)
def test_lookahead_keeps_fast_and_slow_parameters(again):
    tx = optax.lookahead(optax.sgd(0.1), 5, 0.5)
    assert again(tx) == tx
    params = optax.LookaheadParams.init_synced({"w": jnp.ones(2)})
    updates, _ = again(tx).update({"w": jnp.ones(2)}, again(tx).init(params), params)
    np.testing.assert_array_equal(updates.fast["w"], jnp.full(2, -0.1))
    np.testing.assert_array_equal(updates.slow["w"], [0, 0])


def test_injected_numbers_are_copies():
    rate, later = jnp.float32(0.1), jnp.float32(0.2)
    tx = optax.inject_hyperparams(optax.adam)(learning_rate=rate, b1=lambda step: later)
    numbers = tx.init(jnp.ones(2)).hyperparams
    assert numbers["learning_rate"] == rate
    assert numbers["learning_rate"] is not rate
    assert numbers["b1"] is not later


MADE = {
    "recipe": lambda: optax.adam(0.1),
    "member": lambda: gradtx.chain(optax.clip(1.0)),
    "kept in bfloat16": lambda: optax.sgd(0.1, 0.9, accumulator_dtype="bfloat16"),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
@pytest.mark.parametrize("function", [lambda tx: gradtx.parse(repr(tx)), gradtx.to_dict], ids=["parse", "to_dict"])
def test_a_text_does_not_drop_the_protocol_in_silence(make, function):
    assert "compat.optax." in repr(make())
    with pytest.raises(ValueError, match=r"compat\.optax\.\w+ keeps optax's protocol, which no text .* pickle it"):
        function(make())


def test_pieces_of_the_alias_have_no_name_in_a_text():
    with pytest.raises(ValueError, match="there is no transformation or schedule 'kept_in'"):
        gradtx.parse("kept_in(adam(0.1), ('mu',), 'bfloat16')")


def test_states_of_the_alias_are_known_to_export():
    export = pytest.importorskip("jax.export")
    with pytest.raises(ValueError, match="Duplicate"):
        export.register_namedtuple_serialization(optax.contrib.SAMState, serialized_name="other")
