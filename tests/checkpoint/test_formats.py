"""Flat dicts of arrays through npz, msgpack, safetensors and pickle, to the bit."""

import io
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import gradtx
from gradtx.checkpoint import CheckpointError, compare, from_flat, to_flat
from gradtx.testing.compare import same_bits
from tests.checkpoint.test_round_trip import every_leaf
from tests.contract.registry import CASES


def through_npz(flat, folder):
    np.savez(folder / "x.npz", **flat)
    with np.load(folder / "x.npz") as read:
        return dict(read)


def through_msgpack(flat, folder):
    serialization = pytest.importorskip("flax.serialization", reason="pip install -e '.[testing]'")
    (folder / "x.msgpack").write_bytes(serialization.msgpack_serialize(flat))
    return serialization.msgpack_restore((folder / "x.msgpack").read_bytes())


def through_safetensors(flat, folder):
    safetensors = pytest.importorskip("safetensors.numpy", reason="pip install -e '.[testing]'")
    safetensors.save_file(flat, folder / "x.safetensors")
    return safetensors.load_file(folder / "x.safetensors")


def through_pickle(flat, folder):
    (folder / "x.pickle").write_bytes(pickle.dumps(flat))
    return pickle.loads((folder / "x.pickle").read_bytes())


FORMATS = [through_npz, through_msgpack, through_safetensors, through_pickle]
FORMAT = pytest.mark.parametrize("through", FORMATS, ids=lambda f: f.__name__.removeprefix("through_"))


@FORMAT
def test_every_leaf(through, tmp_path):
    tree = every_leaf()
    tree["path"] = {"a.b": jnp.ones(1), "ä b": jnp.ones(4)}
    if through is through_safetensors:  # it has no type for these
        tree["types"].pop("complex64")
        tree["python"].pop()
    flat = through(to_flat(tree), tmp_path)
    assert all(type(x) is np.ndarray and x.dtype.kind in "biufc" for x in flat.values())
    back = from_flat(tree, flat)
    numbers, numbers_back = tree.pop("python"), back.pop("python")
    assert numbers == numbers_back
    assert [type(x) for x in numbers] == [type(x) for x in numbers_back]
    same_bits("what was read", back, tree)
    assert [type(x) for x in jax.tree.leaves(back)] == [type(x) for x in jax.tree.leaves(tree)]


@FORMAT
def test_training_goes_on_to_the_bit(through, tmp_path):
    case = CASES["add_noise"]
    _, *half = case.run(case.gradients(4)[:2])
    fresh = [case.init(case.params), case.params]
    back = from_flat(fresh, through(to_flat(half), tmp_path))
    same_bits("the rest", case.run(case.gradients(4)[2:], *back), case.run(case.gradients(4)[2:], *half))


def test_what_the_formats_do_by_themselves(tmp_path):
    """Why there is to_flat: types that NumPy has not are lost or refused."""
    half, key = jnp.ones(2, "bfloat16"), jax.random.key(0)
    np.savez(tmp_path / "x.npz", w=np.asarray(half))
    with np.load(tmp_path / "x.npz") as read:
        assert read["w"].dtype.kind == "V"
        with pytest.raises(CheckpointError, match=r"w is void16, not an array of numbers; use to_flat"):
            from_flat({"w": half}, read)
    serialization = pytest.importorskip("flax.serialization", reason="pip install -e '.[testing]'")
    with pytest.raises(TypeError):
        serialization.msgpack_serialize({"key": key})
    tree = {"w": half, "n": 3, "none": None}
    same_bits("pickle", pickle.loads(pickle.dumps(tree)), tree)


def test_values_of_other_writers():
    """Arrays of JAX, and of types that NumPy has not, are taken as they are."""
    flat = {"w": np.arange(3).astype(jnp.bfloat16), "v": jnp.ones(2), "n": np.int32(3)}
    back = from_flat({"w": jnp.zeros(3, "bfloat16"), "v": np.zeros(2, "float32"), "n": np.int32(0)}, flat)
    assert back["w"].dtype == jnp.bfloat16
    assert type(back["v"]) is np.ndarray
    assert type(back["n"]) is np.int32
    assert back["n"] == 3


def test_nothing_is_shared():
    """What is in the dict is a copy, and so is what is made of it."""
    x, n = jnp.zeros(4), np.zeros(4)
    flat = to_flat({"x": x, "n": n})
    flat["n"] += 1
    back = from_flat({"x": x, "n": n}, flat)
    flat["x"] += 1
    flat["n"] += 1
    assert n.sum() == x.sum() == back["x"].sum() == 0
    assert back["n"].sum() == 4


def test_sharded_targets():
    mesh = jax.make_mesh((8,), ("x",))
    x = jax.device_put(jnp.arange(8.0), NamedSharding(mesh, PartitionSpec("x")))
    flat = to_flat({"x": x})
    assert from_flat({"x": x}, flat)["x"].sharding == x.sharding
    abstract = jax.ShapeDtypeStruct((8,), x.dtype, sharding=x.sharding)
    same_bits("x", from_flat({"x": abstract}, flat), {"x": x})


def test_differences():
    tx = gradtx.adam(1e-3)
    params = {"w": jnp.ones(3)}
    flat = to_flat(tx.init(params))
    longer = gradtx.chain(gradtx.ema(0.9), tx).init(params)
    with pytest.raises(
        CheckpointError, match=r"(?s)the arrays and the target differ.*strict=False.*missing.*: ema/"
    ) as e:
        from_flat(longer, flat)
    assert e.value.report == compare(longer, flat)
    same_bits("filled", from_flat(longer, flat, strict=False)["ema"], longer["ema"])
    with pytest.raises(CheckpointError, match=r"ema/.*ShapeDtypeStruct"):
        from_flat(jax.eval_shape(lambda: longer), flat, strict=False)
    cast = from_flat({"w": jnp.zeros(2, "bfloat16")}, {"w": np.ones(2, "float32")}, strict=False)
    same_bits("cast", cast, {"w": jnp.ones(2, "bfloat16")})
    assert compare(params, {"w": np.ones(4, "float32")}).reshaped[0].saved == "float32[4]"


def test_what_cannot_be_flat():
    with pytest.raises(ValueError, match=r"'a\|b' has a '\|'"):
        to_flat({"a|b": 1})
    with pytest.raises(TypeError, match="a/0 must be an array or a number"):
        to_flat({"a": ["x"]})
    with pytest.raises(TypeError, match="flat must be a dict of arrays"):
        from_flat(1.0, [1.0])
    with pytest.raises(CheckpointError, match="does not know the type 'bfloat17'"):
        from_flat({"w": 1}, {"w|bfloat17": np.ones(1)})
    with pytest.raises(CheckpointError, match=r"w\|bfloat16 should be an array of uint16; it is float32"):
        from_flat({"w": 1}, {"w|bfloat16": np.ones(1, "float32")})
    with pytest.raises(CheckpointError, match=r"k\|key<fry> should be an array of uint32"):
        from_flat({"k": 1}, {"k|key<fry>": np.ones(3, "uint32")})
    with pytest.raises(CheckpointError, match="w is str"):
        from_flat({"w": 1}, {"w": "x"})


def test_a_tree_that_is_a_leaf():
    buffer = io.BytesIO()
    np.savez(buffer, **to_flat(jnp.arange(3)))
    buffer.seek(0)
    np.testing.assert_array_equal(from_flat(jnp.zeros(3, "int32"), np.load(buffer)), [0, 1, 2])
