"""The norm of a tree: its derivatives, and inside shard_map. Its range is tested with `clip_by_global_norm`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import gradtx

shard_map = getattr(jax, "shard_map", None)


def norm(v):
    return gradtx.global_norm({"w": v})


@pytest.mark.parametrize("v", [[3.0, 4.0], [3e20, 4e20], [3e-30, 4e-30]], ids=str)
def test_the_derivative_is_the_direction(v):
    for derivative in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(derivative(norm)(jnp.array(v)), [0.6, 0.8], rtol=1e-5)


def test_second_derivatives_of_every_mode_agree():
    unit = np.array([0.6, 0.8])
    for inner in (jax.jacfwd, jax.jacrev):
        for outer in (jax.jacfwd, jax.jacrev):
            hessian = outer(inner(norm))(jnp.array([3.0, 4.0]))
            np.testing.assert_allclose(hessian, (np.eye(2) - np.outer(unit, unit)) / 5, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("v", [[0.0, 0.0], [1e-45, 0.0]], ids=str)
def test_the_derivative_at_nothing_is_finite(v):
    assert np.isfinite(jax.grad(norm)(jnp.array(v))).all()
    assert float(norm(jnp.array(v))) <= 1e-30


@pytest.mark.skipif(shard_map is None, reason="this JAX has shard_map elsewhere")
@pytest.mark.parametrize("tx", [gradtx.clip_by_global_norm(1.0), gradtx.adam(0.1)], ids=str)
def test_an_update_inside_shard_map(tx):
    mesh = Mesh(np.array(jax.devices()[:8]), ("x",))
    params, grads = {"w": jnp.ones(8)}, {"w": jnp.arange(8.0)}

    def update(g, p):
        return tx.update(g, tx.init(p), p)[0]

    spec = PartitionSpec("x")
    out = jax.jit(shard_map(update, mesh=mesh, in_specs=spec, out_specs=spec))(grads, params)
    for k in range(8):
        one = {"w": grads["w"][k : k + 1]}, {"w": params["w"][k : k + 1]}
        np.testing.assert_allclose(out["w"][k], update(*one)["w"][0], rtol=1e-6)


def test_an_eager_call_compiles_once():
    g = {"w": jnp.ones(7), "b": jnp.ones((3, 5))}
    gradtx.global_norm(g)
    with jax.log_compiles(False), jax.checking_leaks():
        before = gradtx.core.norms._norm._cache_size()
        gradtx.global_norm(g)
        assert gradtx.core.norms._norm._cache_size() == before
