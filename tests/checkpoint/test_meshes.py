"""A checkpoint goes onto whatever devices the targets are on."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gradtx
from gradtx.checkpoint import Checkpoints
from gradtx.testing.compare import same_bits

pytest.importorskip("orbax.checkpoint", reason="pip install -e '.[checkpoint]'")

AXIS = AxisType


def placed(tree, mesh, *spec):
    """The tree on a mesh: what has enough axes by the spec, the rest everywhere."""

    def put(x):
        fits = spec if x.ndim >= len(spec) and all(n % 8 == 0 for n in x.shape) else ()
        return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*fits)))

    return jax.tree.map(put, tree)


def trained():
    """Parameters, and a state with something in it: moments, a count and a random key."""
    params = {"w": jnp.arange(128.0).reshape(16, 8), "h": jnp.ones((8, 8), "bfloat16"), "keys": None}
    tx = gradtx.chain(gradtx.add_noise(0.1, 0.5, jax.random.key(3)), gradtx.adam(1e-3))
    return {"params": params, "state": tx.update(params, tx.init(params))[1]}


@pytest.mark.parametrize("axis_type", [AXIS.Auto, AXIS.Explicit])
def test_from_eight_devices_to_others_and_back(tmp_path, axis_type):
    trees = trained() | {"codes": {"c": jnp.arange(16, dtype="int4"), "k": jax.random.split(jax.random.key(1), 8)}}
    eight = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    two = jax.make_mesh((2, 4), ("a", "b"), axis_types=(axis_type,) * 2)
    one = jax.make_mesh((1,), ("data",), devices=jax.devices()[5:6])
    wide = placed(trees, eight, "data")
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, **wide)
        for mesh, spec in ((two, ("b",)), (two, (("a", "b"),)), (one, ()), (eight, (None, "data")), (eight, ())):
            targets = placed(jax.tree.map(jnp.zeros_like, without_keys(trees)), mesh, *spec)
            back = checkpoints.restore(**targets, strict=False)
            same_bits("what was read", without_keys(dict(back)), without_keys(trees))
            assert shardings(back) == shardings(targets)
        back = checkpoints.restore(**trees)
        same_bits("on one device", dict(back), trees)
        checkpoints.save(1, **back)
        again = checkpoints.restore(**wide)
    same_bits("on eight again", dict(again), trees)
    assert shardings(again) == shardings(wide)


def without_keys(trees):
    """Zeros cannot be made of keys."""
    return jax.tree.map(lambda x: None if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, trees)


def shardings(tree):
    return jax.tree.map(lambda x: x.sharding, dict(tree))


def test_abstract_targets_with_shardings(tmp_path):
    """Neither parameters nor state need ever be whole on one device."""
    mesh, trees = jax.make_mesh((8,), ("x",)), trained()

    def wanted(x):
        spec = PartitionSpec("x") if x.ndim and x.shape[0] % 8 == 0 else PartitionSpec()
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, spec))

    targets = jax.tree.map(wanted, trees)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, **trees)
        back = checkpoints.restore(**targets)
    same_bits("what was read", dict(back), trees)
    assert shardings(back) == shardings(targets)
    assert back["params"]["w"].addressable_shards[0].data.shape == (2, 8)


def test_a_sharding_that_does_not_fit(tmp_path):
    """It is not taken for damage of the files."""
    mesh = jax.make_mesh((8,), ("x",))
    target = jax.ShapeDtypeStruct((4,), "float32", sharding=NamedSharding(mesh, PartitionSpec("x")))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, x=jnp.ones(4))
        with pytest.raises(ValueError, match=r"the sharding of x does not fit its shape, \(4,\): "):
            checkpoints.restore(x=target)


def test_bases_of_matrices_go_to_the_owners_of_another_mesh(tmp_path):
    """From layers that are shared out over eight devices to rows over two; the next step is that of one device."""
    basis = gradtx.frames.eigenbasis(every=2, sides="rows")
    tx = gradtx.chain(gradtx.in_frame(gradtx.scale_by_adam(), basis), gradtx.scale(-0.1))
    params, grads = jax.random.normal(jax.random.key(0), (2, 8, 4, 6))

    def start(mesh, *spec):
        split = jax.device_put(params, NamedSharding(mesh, PartitionSpec(*spec)))
        places = gradtx.state_shardings(tx, split, others=gradtx.owner_sharding)
        return split, jax.jit(tx.init, out_shardings=places)(split), jax.device_put(grads, split.sharding)

    step = jax.jit(tx.update)
    eight = start(jax.make_mesh((8,), ("x",)), "x")
    two = start(jax.make_mesh((2,), ("y",), devices=jax.devices()[:2]), None, "y")
    with Checkpoints(tmp_path) as checkpoints:
        state = step(eight[2], eight[1], eight[0])[1]
        checkpoints.save(0, state=state)
        back = checkpoints.restore(state=two[1])["state"]
    same_bits("what was read", back, state)
    parts = [x["in_frame"].basis.left.addressable_shards[0].data.shape for x in (state, back)]
    assert parts == [(1, 4, 4), (4, 4, 4)]
    want, _ = step(grads, step(grads, tx.init(params), params)[1], params)
    assert jnp.allclose(step(two[2], back, two[0])[0], want, atol=1e-5)
