"""Reductions over all leaves: one for the small ones together, where nothing has to move between devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.wrappers.conditional import all_finite
from tests.reference_norms import over_devices
from tests.sharding.hlo import collectives
from tests.sharding.meshes import EXPLICIT, mesh_of, put
from tests.transforms.test_norms import test_the_norm_of_constant_leaves_under_jit as of_constants

LEAVES = {str(k): jnp.asarray(np.full((1 + k % 3, 2 + k % 5), 0.1 * k, np.float32)) for k in range(40)}
LEAVES["half"] = jnp.ones(3, jnp.bfloat16)


def reductions(of, tree):
    """How many arrays the traced program sums up; in a branch too."""

    def count(jaxpr):
        inner = [x for eqn in jaxpr.eqns for p in eqn.params.values() for x in (p if isinstance(p, tuple) else (p,))]
        inside = [getattr(x, "jaxpr", x) for x in inner if hasattr(getattr(x, "jaxpr", x), "eqns")]
        return sum(eqn.primitive.name == "reduce_sum" for eqn in jaxpr.eqns) + sum(map(count, inside))

    return count(jax.jit(of).trace(tree).jaxpr)


def test_a_leaf_that_may_be_split_is_reduced_alone():
    """Under jit JAX does not know how the leaves of an automatic mesh lie, and here are eight devices."""
    assert reductions(all_finite, LEAVES) == len(LEAVES)


@pytest.fixture(scope="class")
def alone():
    """As on a machine with one device, without programs from before, or from here afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "device_count", lambda: 1)
        jax.clear_caches()
        yield
    jax.clear_caches()


@pytest.mark.usefixtures("alone")
class TestOneDevice:
    @pytest.mark.parametrize(("of", "most"), [(gradtx.global_norm, 2), (all_finite, 1)], ids=["norm", "finite"])
    def test_small_leaves_are_reduced_together(self, of, most):
        single = {name: x for name, x in LEAVES.items() if x.dtype == jnp.float32}
        assert reductions(of, single) == most
        assert reductions(of, single | {"large": jax.ShapeDtypeStruct((2**17,), "float32")}) == 2 * most

    def test_the_norm_is_the_same(self):
        jitted, derivative = jax.jit(gradtx.global_norm), jax.jit(jax.grad(gradtx.global_norm))
        for size in (0.0, 1.0, 1e-30, 1e18, 1e25):
            tree = jax.tree.map(lambda x, size=size: np.asarray(x) * np.asarray(size, x.dtype), LEAVES)
            exact = np.sqrt(sum(np.sum(np.asarray(x, np.float64) ** 2) for x in tree.values()))
            for of in (gradtx.global_norm, jitted):
                np.testing.assert_allclose(of(tree), exact, rtol=1e-6)
            for name, came in derivative(tree).items():
                want = np.asarray(tree[name], np.float64) / (exact or 1.0)
                np.testing.assert_allclose(np.asarray(came, float), want, rtol=1e-2 if came.itemsize == 2 else 1e-5)

    def test_the_norm_of_constants(self):
        of_constants([(), (2,), (1, 3)])

    @pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
    def test_faults_are_seen(self, bad):
        seven = np.array(LEAVES["7"])
        seven[1, 1] = bad
        broken, finite = LEAVES | {"7": seven}, jax.jit(all_finite)
        assert finite(LEAVES)
        assert not finite(broken)
        assert not np.isfinite(jax.jit(gradtx.global_norm)(broken))

    def test_a_batch(self):
        tree = jax.tree.map(
            lambda x: np.stack([x, np.asarray(1e25, x.dtype) * np.asarray(x), np.zeros_like(x)]), LEAVES
        )
        came = jax.jit(jax.vmap(gradtx.global_norm))(tree)
        one = np.asarray(gradtx.global_norm(LEAVES))
        np.testing.assert_allclose(came, np.float32([1.0, 1e25, 0.0]) * one, rtol=1e-3)  # 1e25 in bfloat16


@pytest.mark.skipif(not hasattr(jax, "set_mesh"), reason="before JAX 0.7 there is no set_mesh")
def test_what_is_whole_on_an_explicit_mesh_is_joined_without_talk():
    mesh = mesh_of(8, kind=EXPLICIT)
    tree = {k: put(mesh, x) for k, x in LEAVES.items()} | {"split": put(mesh, jnp.ones((8, 2)), "data")}
    with jax.set_mesh(mesh):
        assert reductions(gradtx.global_norm, tree) == 4
        compiled = jax.jit(gradtx.global_norm).lower(tree).compile()
    assert all(c.kind == "all-reduce" and {shape for _, shape in c.arrays} == {()} for c in collectives(compiled))
    assert float(compiled(tree)) == pytest.approx(float(gradtx.global_norm(LEAVES | {"split": jnp.ones((8, 2))})))


def test_the_parts_on_a_device_are_joined():
    parts = [jnp.arange(8.0 * (1 + k)) for k in range(9)]
    split = over_devices(lambda parts: gradtx.global_norm(parts, "x")[None], "x")
    assert reductions(split, parts) == 2
    np.testing.assert_allclose(split(parts), np.full(8, gradtx.global_norm(parts)), rtol=1e-6)
