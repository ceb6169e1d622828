"""Frames on Explicit meshes, where JAX asks how the result of each product is split."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gradtx
from gradtx import frames

FRAMES = {
    "svd": frames.low_rank(2, every=2),
    "random": frames.low_rank(2, every=2, basis="random"),
    "eigenbasis": frames.eigenbasis(0.9, every=2, sides="smaller"),
    "singular": frames.singular_vectors(0.9, every=2),
    "blocks": frames.matrices(blocks=(None, 4)),
    "blocks of both axes": frames.matrices(blocks=(4, 4)),  # no axis stays split inside
    "matrices": frames.matrices(rows=1, columns=0),
}
OUTSIDE = {"random", "eigenbasis", "singular", "blocks", "blocks of both axes"}  # tried without jax.set_mesh
GRADIENTS = np.random.default_rng(0).normal(size=(4, 16, 24)).astype(np.float32)


def explicit_mesh():
    return jax.make_mesh((8,), ("x",), axis_types=(AxisType.Explicit,))


def parameters_after(tx, place):
    """The parameters after some steps, and the state."""
    w = place(GRADIENTS[0])
    state, step = tx.init(w), jax.jit(lambda g, s, w: tx.step(g, s, w))
    for g in GRADIENTS:
        w, state = step(place(g), state, w)
    return w, state


@pytest.mark.parametrize("name", FRAMES)
def test_an_explicit_mesh_gives_the_numbers_of_one_device(name):
    """The parameters stay split as they are, and an axis that the frame leaves as it is stays split inside."""
    mesh = explicit_mesh()
    tx = gradtx.in_frame(gradtx.adam(0.1), FRAMES[name])
    expected = np.asarray(parameters_after(tx, jnp.asarray)[0])
    for spec in (("x", None), (None, "x")):
        split = NamedSharding(mesh, PartitionSpec(*spec))
        with contextlib.nullcontext() if name in OUTSIDE else jax.set_mesh(mesh):
            came, state = parameters_after(tx, lambda x, split=split: jax.device_put(x, split))
        np.testing.assert_allclose(np.asarray(came), expected, atol=1e-5)
        assert came.sharding.is_equivalent_to(split, 2)
        if name in ("svd", "random") and spec == (None, "x"):
            mu = state.inner["scale_by_adam"].mu
            assert mu.addressable_shards[0].data.shape == (2, 3)


@pytest.mark.parametrize("spec", [("x", None), (None, "x")], ids=str)
def test_the_update_is_split_as_the_gradient_where_nothing_is_split_inside(spec):
    tx, split = (
        gradtx.in_frame(gradtx.adam(0.1), FRAMES["blocks of both axes"]),
        NamedSharding(explicit_mesh(), PartitionSpec(*spec)),
    )
    w = jax.device_put(GRADIENTS[0], split)
    updates, state = jax.jit(tx.update)(w, tx.init(w), w)
    assert jax.typeof(updates).sharding.spec == PartitionSpec(*spec)
    assert not any(jax.typeof(state.inner["scale_by_adam"].mu).sharding.spec)
