"""`graft(through=frame)`: lengths that are learnt in the coordinates of a frame."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import frames

G = {name: jnp.asarray(np.random.default_rng(k).normal(size=shape), jnp.float32) for k, (name, shape) in enumerate(
    {"wide": (4, 9), "tall": (9, 4), "b": (5,)}.items()
)}  # fmt: skip


@pytest.mark.parametrize("per", ["tree", "leaf", "channel"])
def test_through_the_identity_is_a_graft(per):
    plain, tx = (
        gradtx.graft(gradtx.identity(), gradtx.scale_by_adam(), per, through=x) for x in (None, frames.identity())
    )

    @functools.partial(jax.jit, static_argnums=0)
    def three(tx):
        grads = jax.tree.map(lambda g: jnp.stack([g, 2 * g, 3 * g]), G)
        return jax.lax.scan(lambda state, g: tx.update(g, state)[::-1], tx.init(G), grads)[1]

    jax.tree.map(np.testing.assert_array_equal, three(tx), three(plain))


@pytest.mark.parametrize("per", ["tree", "leaf", "channel"])
def test_lengths_inside(per):
    """The direction is the gradient, and the factor is that of the lengths inside; a channel is on the longer side."""
    frame = frames.low_rank(2)
    scaled, plain = gradtx.chain(gradtx.scale_by_rms(), gradtx.scale(3.0)), gradtx.identity()
    tx = gradtx.graft(plain, scaled, per, through=frame)
    updates, _ = jax.jit(tx.update)(G, tx.init(G))
    inside, before, numbers = {}, {}, jax.tree.map(np.asarray, G)
    for name, g in numbers.items():
        u, _, vt = np.linalg.svd(g, full_matrices=False) if g.ndim == 2 else (None, None, None)
        y = g if g.ndim < 2 else u[:, :2].T @ g if name == "wide" else g @ vt[:2].T
        before[name], inside[name] = np.asarray(y), 3 * np.asarray(y) / (np.sqrt(0.1 * y * y) + 1e-8)
    if per == "tree":
        old, new = (np.sqrt(sum(np.sum(x**2) for x in tree.values())) for tree in (before, inside))
        factors = dict.fromkeys(G, new / old)
    else:
        axes = {"wide": 0, "tall": 1, "b": None} if per == "channel" else dict.fromkeys(G)
        factors = {
            name: np.linalg.norm(inside[name], axis=axes[name], keepdims=axes[name] is not None)
            / np.linalg.norm(before[name], axis=axes[name], keepdims=axes[name] is not None)
            for name in G
        }
    for name, g in numbers.items():
        np.testing.assert_allclose(updates[name], g * factors[name], rtol=2e-4)


def test_zero_gradients_give_zero():
    tx = gradtx.graft(gradtx.identity(), gradtx.scale_by_adam(), "channel", through=frames.low_rank(2, basis="random"))
    zeros = jax.tree.map(jnp.zeros_like, G)
    updates, _ = jax.jit(tx.update)(zeros, tx.init(zeros))
    assert all(np.all(np.asarray(u) == 0) for u in jax.tree.leaves(updates))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: graft("entry", frames.low_rank(2)),
            ValueError,
            "'tree', 'leaf' or 'channel' with through; got 'entry'",
        ),
        (
            lambda: gradtx.graft(gradtx.identity(), gradtx.identity(), through=frames.low_rank(2), axis_name="x"),
            ValueError,
            "a frame needs whole leaves: with through, leave axis_name out",
        ),
        (lambda: graft(0, frames.low_rank(2)), ValueError, "with through; got 0"),
        (lambda: graft("leaf", frames.low_rank), TypeError, r"through must be a frame.*call it, low_rank\(\)"),
        (
            lambda: graft("channel", frames.matrices(blocks=(2, 3))).update(jnp.ones((4, 6)), INIT),
            ValueError,
            r"leaf at .* has shape \(4, 6\), and \(2, 2, 2, 3\) in the frame: no axis of both is a channel",
        ),
        (
            lambda: gradtx.graft(gradtx.sgd(0.1), gradtx.sam(gradtx.sgd(0.1)), through=frames.low_rank(2)),
            TypeError,
            "graft: sam needs grad_fn, which belongs to the coordinates",
        ),
    ],
)
def test_bad_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()


def graft(per, through):
    return gradtx.graft(gradtx.identity(), gradtx.scale_by_adam(), per, through=through)


INIT = graft("leaf", frames.matrices(blocks=(2, 3))).init(jnp.ones((4, 6)))
