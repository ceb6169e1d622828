"""What comes out of a checkpoint is what went in, to the bit, and training goes on as if there had been none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import gradtx
from gradtx.checkpoint import Checkpoints
from gradtx.testing.compare import same_bits
from tests.contract.registry import CASES

pytest.importorskip("orbax.checkpoint", reason="pip install -e '.[checkpoint]'")

TYPES = ("bool", "int8", "uint8", "int16", "int32", "uint32", "float16", "bfloat16", "float32", "complex64", "int4")
SMALL = ("uint4", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "int2", "float4_e2m1fn")


def every_leaf():
    """All that may stand in a tree."""
    halves = np.arange(1 << 16, dtype=np.uint16)
    bytes_ = np.arange(256, dtype=np.uint8)
    arrays = {kind: jnp.arange(6).reshape(2, 3).astype(kind) for kind in (*TYPES, *SMALL)}
    return {
        "types": arrays,
        "every bfloat16": jax.lax.bitcast_convert_type(jnp.asarray(halves), jnp.bfloat16),
        "every float8": jax.lax.bitcast_convert_type(jnp.asarray(bytes_), jnp.float8_e4m3fn),
        "odd": {"nan": jnp.float32([np.nan, -0.0, np.inf, 1e-45])},
        "0-d": [jnp.float32(3), jnp.bfloat16(-0.0), jnp.int8(-128)],
        "zero size": (jnp.zeros((0, 3)), jnp.zeros((2, 0), jnp.int4), jax.random.split(jax.random.key(0), 0)),
        "keys": [jax.random.key(1), jax.random.split(jax.random.key(2), (2, 2)), jax.random.key(3, impl="rbg")],
        "old key": jax.random.PRNGKey(4),
        "numpy": [np.arange(3.0), np.float64(0.1), np.arange(4, dtype=np.int64) << 60],
        "python": [True, 2**62, 0.1, 1e-320, 3 - 4j],
        "none": None,
        "empty": [{}, (), gradtx.EmptyState(), {"a": {}}],
        "path": {"a.b": jnp.ones(1), "a/b": jnp.zeros(2), "": jnp.ones(3), "ä b|c": jnp.ones(4)},
    }


def test_every_leaf_comes_back(tmp_path):
    tree = every_leaf()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, tree=tree, nothing={}, leaf=jnp.arange(3), number=0.25)
        back = checkpoints.restore(tree=tree, nothing={}, leaf=jnp.zeros(3, "int32"), number=0.0)
    assert back.report.exact, back.report
    numbers, numbers_back = tree.pop("python"), back["tree"].pop("python")
    assert numbers == numbers_back
    assert [type(x) for x in numbers] == [type(x) for x in numbers_back]
    same_bits("the tree", back["tree"], tree)
    assert [type(x) for x in jax.tree.leaves(back["tree"])] == [type(x) for x in jax.tree.leaves(tree)]
    assert back["nothing"] == {}
    assert back["number"] == 0.25
    np.testing.assert_array_equal(back["leaf"], [0, 1, 2])


def test_abstract_targets(tmp_path):
    """Shapes and types are enough to read; nothing of the target need be in memory."""
    tree = {k: v for k, v in every_leaf().items() if k not in ("numpy", "python")}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, tree=tree)
        back = checkpoints.restore(tree=jax.eval_shape(lambda: tree))
    same_bits("the tree", back["tree"], tree)


def test_a_tree_without_arrays(tmp_path):
    """Orbax refuses empty trees."""
    state = gradtx.sgd(0.1).init({"w": jnp.ones(2)})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, state=state)
        assert checkpoints.restore(state=state)["state"] == state


def test_what_is_saved_is_what_was_there_then(tmp_path):
    """Neither donated buffers nor arrays of NumPy that are written to change what is being written."""
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    x, n = jnp.zeros((500, 500)), np.zeros(1000)
    with Checkpoints(tmp_path, max_to_keep=None) as checkpoints:
        for k in range(4):
            checkpoints.save(k, x=x, n=n)
            for _ in range(3):
                x = step(x)
                n += 3
        for k in range(4):
            back = checkpoints.restore(k, x=x, n=n)
            assert np.unique(back["x"]).tolist() == [3 * k]
            assert np.unique(back["n"]).tolist() == [9 * k]
        assert np.all(n == 36)


def test_the_newest_are_kept(tmp_path):
    with Checkpoints(tmp_path / "a" / "b", max_to_keep=2) as checkpoints:
        assert checkpoints.steps == []
        for step in (1, 5, jnp.int32(7)):
            checkpoints.save(step, x=jnp.full(2, step))
        assert checkpoints.steps == [5, 7]
        assert checkpoints.restore(x=jnp.zeros(2, "int32")).step == 7
    with Checkpoints(tmp_path / "a" / "b", max_to_keep=None) as checkpoints:
        checkpoints.save(9, x=jnp.full(2, 9))
        assert checkpoints.steps == [5, 7, 9]
        np.testing.assert_array_equal(checkpoints.restore(5, x=jnp.zeros(2, "int32"))["x"], [5, 5])


def test_what_nobody_placed_goes_along(tmp_path):
    """A fresh count is bound to no device; were it bound to one when read, it would not meet arrays of a mesh."""
    mesh = jax.make_mesh((8,), ("x",))
    wide = jax.device_put(jnp.arange(8.0), NamedSharding(mesh, PartitionSpec("x")))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, count=jnp.int32(2), wide=wide)
        back = checkpoints.restore(count=jnp.int32(0), wide=wide)
    assert not back["count"].committed
    assert back["wide"].sharding == wide.sharding
    assert jax.jit(lambda a, b: a * b.astype("float32"))(back["wide"], back["count"]).sum() == 56


def test_the_other_byte_order(tmp_path):
    """Values, not bytes, are kept of an array that another machine made."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, x=np.arange(3, dtype=">f8"))
        np.testing.assert_array_equal(checkpoints.restore(x=np.zeros(3))["x"], [0, 1, 2])


RESUMED = ("add_noise", "lbfgs", "average", "accumulate", "adamw-scheduled", "inject-scheduled", "skip_spikes", "route")


def test_training_goes_on_to_the_bit(tmp_path):
    """Of states that differ in kind: with random keys, histories, averages, mid-cycle, with schedules, by rules."""
    half = {name: CASES[name].run(CASES[name].gradients(5)[:3])[1:] for name in RESUMED}
    fresh = {name: (CASES[name].init(CASES[name].params), CASES[name].params) for name in RESUMED}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, runs=half)
    with Checkpoints(tmp_path) as checkpoints:
        back = checkpoints.restore(runs=fresh)
    same_bits("what was read", back["runs"], half)
    for name in RESUMED:
        case = CASES[name]
        rest = case.gradients(5)[3:]
        same_bits(name, case.run(rest, *back["runs"][name]), case.run(rest, *half[name]))
