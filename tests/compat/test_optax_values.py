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


W, G = jnp.ones(2), jnp.full(2, 0.5)
FROZEN = {"a": True, "b": False}


def after(tx, grads=G, params=W, steps=1, **extra):
    """The updates and the state after some steps."""
    state, updates = tx.init(params), grads
    for _ in range(steps):
        updates, state = tx.update(grads, state, params, **extra)
    return updates, state


def injected(*static):
    return optax.inject_hyperparams(optax.adafactor, static_args=static)(0.1).init(jnp.ones((2, 2)))


LISTED = {
    "the average of ema is mu": lambda: after(optax.ema(0.9))[1].mu[0] == 0.05,
    "a leaf outside the mask is None": lambda: (
        optax.masked(optax.trace(0.9), FROZEN).init({"a": W, "b": W}).inner_state.trace["b"] is None
    ),
    "acc_grads is a sum": lambda: after(optax.MultiSteps(optax.sgd(0.1), 3), steps=2)[1].acc_grads[0] == 1.0,
    "it stays until the next": lambda: after(optax.MultiSteps(optax.sgd(0.1), 2), steps=2)[1].acc_grads[0] == 1.0,
    "a label without leaves": lambda: (
        after(optax.multi_transform({"x": optax.sgd(0.1), "y": optax.sgd(1.0)}, "x"))[0][0] == -0.05
    ),
    "moments of half-precision parameters": lambda: (
        after(optax.adam(0.1), G.astype("bfloat16"), W.astype("bfloat16"))[1][0].nu.dtype == "float32"
    ),
    "adafactor with its static argument": lambda: "learning_rate" in injected("min_dim_size_to_factor").hyperparams,
    "adadelta has the rate 1": lambda: np.array_equal(after(optax.adadelta())[0], after(optax.adadelta(1.0))[0]),
    "polyak_sgd never goes uphill": lambda: not any(after(optax.polyak_sgd(f_min=1.0), value=0.5)[0]),
    "freeze gives -0": lambda: all(np.signbit(after(optax.freeze(FROZEN), {"a": G, "b": G}, {"a": W, "b": W})[0]["a"])),
    "one leaf has both parts": lambda: (
        optax.contrib.split_real_and_imaginary(optax.trace(0.9)).init(jnp.ones(2, complex)).inner.trace.shape == (2, 2)
    ),
    "an unknown extra argument is dropped": lambda: (
        after(optax.chain(optax.clip(1.0), optax.sgd(0.1)), other=1)[0][0] < 0
    ),
}


@pytest.mark.parametrize("holds", LISTED.values(), ids=LISTED)
def test_what_the_docstring_says_of_these_names(holds):
    assert holds()


SEARCH = {"value": jnp.float32(2.0), "grad": G, "value_fn": lambda params: jnp.sum(params**2)}
REFUSED = {
    "safeguard_warmup": lambda: optax.contrib.prodigy(1.0, safeguard_warmup=True),
    "hessian_diagonal_fn": lambda: optax.contrib.sophia(0.1, hessian_diagonal_fn=abs),
    "gradient at b is None": lambda: after(optax.trace(0.9), {"a": W, "b": None}, {"a": W, "b": W}),
    "the state must be a": lambda: optax.sgd(0.1, 0.9).update(G, optax.adam(0.1).init(W), W),
    "Unexpected keyword arguments": lambda: after(optax.scale_by_backtracking_linesearch(5), **SEARCH, batch=3),
    "must be a whole number": lambda: injected(),
    "weight_decay must be a number": lambda: gradtx.adamw(0.1, 0.9, 0.99, 1e-8, 0.0, None),
    "takes no argument 'other'": lambda: after(gradtx.chain(optax.clip(1.0)), other=1),
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_the_docstring_says_is_an_error(says):
    with pytest.raises((TypeError, ValueError), match=says):
        REFUSED[says]()


def test_pieces_of_the_alias_have_no_name_in_a_text():
    with pytest.raises(ValueError, match="there is no transformation or schedule 'kept_in'"):
        gradtx.parse("kept_in(adam(0.1), ('mu',), 'bfloat16')")


def test_states_of_the_alias_are_known_to_export():
    export = pytest.importorskip("jax.export")
    with pytest.raises(ValueError, match="Duplicate"):
        export.register_namedtuple_serialization(optax.contrib.SAMState, serialized_name="other")
