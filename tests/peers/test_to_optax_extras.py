"""`to_optax` follows optax's protocol of extra arguments: everyone is given all, and takes what it knows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.compat import to_optax

optax = pytest.importorskip("optax", reason="comparisons need the extra: pip install -e '.[peers]'")

PARAMS = {"a": jnp.ones(2), "b": jnp.ones(3)}
GRADS = jax.tree.map(jnp.ones_like, PARAMS)


def needs_loss():
    def update(updates, state, params=None, *, loss, **extra):
        return jax.tree.map(lambda g: g * loss, updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


@pytest.mark.parametrize("like_params", [False, True])
@pytest.mark.parametrize("place", ["chain", "partition", "ours"])
def test_arguments_of_other_members_are_dropped(place, like_params):
    pair = to_optax(gradtx.sgd(0.1), like_params=like_params)
    if place == "chain":
        tx, factor = optax.chain(needs_loss(), pair), 2.0
    elif place == "ours":
        tx, factor = gradtx.chain(needs_loss(), pair), 2.0
    else:
        tx = optax.partition({"x": pair, "y": needs_loss()}, {"a": "x", "b": "y"})
        factor = 1.0
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, loss=2.0)
    np.testing.assert_allclose(updates["a"], -0.1 * factor * np.ones(2), rtol=1e-6)


def test_arguments_that_it_knows_arrive():
    tx = to_optax(gradtx.skip_if(gradtx.sgd(0.1), lambda updates, params, value: value > 10.0))
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, value=50.0, loss=1.0)
    np.testing.assert_array_equal(updates["a"], np.zeros(2))
    missing = to_optax(gradtx.scale_by_zoom_linesearch(5))
    with pytest.raises(TypeError, match="needs value_fn"):
        missing.update(GRADS, missing.init(PARAMS), PARAMS, value=1.0, grad=GRADS, loss=1.0)
