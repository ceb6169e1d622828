"""Integer parameters with integer gradients: never trained, which is said once."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.core import trees


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(trees, "_WARNED", set())


@pytest.mark.parametrize("leaf", [jnp.int32(3), np.arange(2), 3, jnp.ones(2, jnp.uint8)], ids=repr)
def test_a_warning_names_the_leaf_once(leaf):
    params, tx = {"w": jnp.ones(2), "layers": [{"n": leaf}]}, gradtx.adam(0.1)
    state = tx.init(params)
    with pytest.warns(
        UserWarning, match=r"gradient at layers/0/n is u?int\d+, as the parameter.*never changes"
    ) as said:
        updates, state = tx.update(params, state, params)
    assert len(said) == 1
    assert gradtx.plan(tx, params).rows[0].rule == "not trained"
    np.testing.assert_array_equal(gradtx.apply_updates(params, updates)["layers"][0]["n"], leaf)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jax.jit(tx.update)(params, state, params)


@pytest.mark.parametrize("gradient", [None, np.zeros(2, jax.dtypes.float0)], ids=["None", "float0"])
def test_what_jax_gives_for_integers_is_no_reason_to_warn(gradient):
    params, tx = {"w": jnp.ones(2), "n": jnp.arange(2)}, gradtx.adam(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tx.update({"w": jnp.ones(2), "n": gradient}, tx.init(params), params)
        gradtx.testing.check(gradtx.sgd(0.1), params, laws=["updates_fit"])


def test_bools_and_keys_are_no_reason_to_warn():
    params, tx = {"w": jnp.ones(2), "on": jnp.ones(2, bool), "key": jax.random.key(0)}, gradtx.adam(0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tx.update(params, tx.init(params), params)
