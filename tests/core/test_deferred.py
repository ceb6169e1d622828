"""Leaf functions that a chain joins under a trace: what comes between them, and what a piece may not do with leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import EmptyState, RowSparse, map_leaves

PARAMS = {"table": jnp.ones((4, 2)), "w": jnp.arange(3.0)}


def leafwise(update):
    @gradtx.transformation(leafwise=True)
    def mine():
        return lambda params: EmptyState(), update

    return mine()


def test_a_pair_between_may_return_rows():
    def rows(updates, state, params=None):
        return {**updates, "table": RowSparse(jnp.array([1]), updates["table"][1:2], (4, 2))}, state

    pair = gradtx.GradientTransformation(lambda params: (), rows)
    tx = gradtx.chain(gradtx.scale(2.0), pair, gradtx.scale_by_adam(), gradtx.scale(0.5))
    came, expected = (f(PARAMS, tx.init(PARAMS), PARAMS)[0] for f in (jax.jit(tx.update), tx.update))
    assert isinstance(came["table"], RowSparse)
    np.testing.assert_allclose(came["table"].dense(), expected["table"].dense(), rtol=1e-6)
    np.testing.assert_allclose(came["w"], expected["w"], rtol=1e-6)


@pytest.mark.parametrize(
    ("update", "what"),
    [
        (lambda u, s, p=None: (jax.tree.map(lambda g: 0.5 * g, u), s), "arithmetic"),
        (lambda u, s, p=None: (jax.tree.map(lambda g: g.astype("float32"), u), s), "astype"),
    ],
    ids=["arithmetic", "method"],
)
def test_leaves_used_outside_of_map_leaves_are_errors_that_say_so(update, what):
    words = rf"of: it declares leafwise, and uses a leaf of its updates outside of map_leaves \({what}\)"
    with pytest.raises((TypeError, AttributeError), match=words):
        jax.jit(gradtx.chain(of=leafwise(update)).update)(PARAMS, {})


def test_the_next_member_sees_the_dtype_that_comes():
    seen = []

    def look(updates, state, params=None):
        seen.append(updates["w"].dtype)
        return map_leaves(lambda g: g, updates), state

    turned = leafwise(lambda u, s, p=None: (map_leaves(lambda g: g + 1j, u), s))
    jax.jit(gradtx.chain(turned, leafwise(look)).update)(PARAMS, {})
    assert seen[-1] == jnp.complex64
