"""What one device of a mesh holds and exchanges in a step: against compiled steps, and on paper."""

import collections
import re
import time

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

import gradtx
from gradtx.inspection.collectives import Collective
from gradtx.sharding import zero_shardings
from tests.sharding.meshes import EXPLICIT, mesh_of, put

KINDS = r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
PAPER = AbstractMesh((128, 8), ("data", "model"))


def on(mesh):
    """Leaves that are whole, split by rows, and split by columns."""
    return {
        "rows": put(mesh, jnp.ones((16, 8)), "model"),
        "columns": put(mesh, jnp.ones((8, 16)), None, "model"),
        "vector": put(mesh, jnp.ones(24), "model"),
        "whole": put(mesh, jnp.ones(8)),
    }


@pytest.mark.parametrize(
    "tx",
    [gradtx.sgd(0.1, 0.9), gradtx.adamw(1e-3), gradtx.clip_by_global_norm(1.0), gradtx.muon(0.02)],
    ids=lambda t: t.name,
)
def test_the_collectives_and_the_bytes_are_those_of_the_compiled_step(tx):
    params = on(mesh_of(2, 4, kind=EXPLICIT))
    state = tx.init(params)
    compiled = jax.jit(lambda g, s, p: tx.step(g, s, p), donate_argnums=(1, 2)).lower(params, state, params).compile()
    device = gradtx.plan(tx, params, mesh=params["rows"].sharding.mesh).device
    counted = collections.Counter()
    for found in device.collectives:
        counted[found.kind] += found.count
    assert counted == collections.Counter(re.findall(KINDS, compiled.as_text()))
    on_first = [x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state)]
    assert device.state == sum(on_first)
    assert device.parameters == device.gradients == 4 * (16 * 8 // 4 + 8 * 16 // 4 + 24 // 4 + 8)
    assert device.devices == 8
    assert device.unknown == ()


def shape(*sizes, spec=(), dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=NamedSharding(PAPER, PartitionSpec(*spec)))


def test_zero_gathers_each_parameter_that_it_splits():
    params = {"w": shape(256, 8), "odd": shape(3), "none": None, "steps": shape(dtype=jnp.int32)}
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3))
    device = gradtx.plan(tx, params, zero_shardings(tx, params, PAPER, "data"), mesh=PAPER).device
    gather = Collective("all-gather", ("data",), 1, 4 * 256 * 8)
    assert device.collectives == (gather, Collective("all-reduce", ("data",), 2, 8))
    assert device.parameters == 4 * (256 * 8 + 3 + 1)
    assert device.gradients == 4 * (256 * 8 + 3)
    assert device.state == 2 * 4 * (256 * 8 // 128 + 3) + 4
    assert gradtx.plan(tx, params, mesh=PAPER).device.collectives == ()


def test_temporaries_are_near_those_of_the_whole_step():
    """The moments of a first step in half precision, of which the compiler keeps a float32 copy."""
    params = {str(k): jax.ShapeDtypeStruct((256, 64), jnp.bfloat16) for k in range(6)}
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3))
    state = jax.eval_shape(tx.init, params)
    compiled = jax.jit(lambda g, s, p: tx.step(g, s, p), donate_argnums=(1, 2)).lower(params, state, params).compile()
    found = gradtx.plan(tx, params, mesh=PAPER).device.temporaries
    assert 0.5 < found / compiled.memory_analysis().temp_size_in_bytes < 2


def test_what_is_not_known_is_said():
    params = {"w": shape(1024, 8, spec=("model",)), "v": shape(8, 1024, spec=(None, "model"))}
    device = gradtx.plan(gradtx.shampoo(1e-3), params, mesh=PAPER).device
    assert any("XLA chooses how they are split" in said for said in device.unknown)

    def init(params):
        return jax.tree.map(jnp.zeros_like, params)

    def update(updates, state, params=None):
        return jax.tree.map(lambda g: g.reshape(-1).reshape(g.shape), updates), state

    plan = gradtx.plan((init, update), params, mesh=PAPER)
    assert plan.device.collectives is None
    assert "collectives: unknown" in str(plan)
    assert "reshape" in plan.device.unknown[0]


def test_it_prints():
    params = {"w": shape(1024, 8, spec=("model",))}
    lines = str(gradtx.plan(gradtx.clip_by_global_norm(1.0), params, mesh=PAPER)).splitlines()
    at = lines.index("on each of 1,024 devices")
    assert lines[at + 1].split() == ["parameters", "4.0", "KiB"]
    assert lines[-2:] == [
        "2 all-reduce over model: 8 B",
        "The sum of the gradients over the batch is not counted.",
    ]


def test_a_parameter_on_another_mesh():
    with pytest.raises(ValueError, match=r"mesh: the parameter at w is on .*, not on the mesh"):
        gradtx.plan(gradtx.sgd(0.1), {"w": shape(8)}, mesh=AbstractMesh((4,), ("data",)))


def test_seventy_billion_parameters_on_a_thousand_devices():
    """Llama's 70B in bfloat16, 723 leaves: a plan in seconds, the step traced and lowered in seconds."""
    d, h, kv, words = 8192, 28672, 1024, 32000
    layer = {"q": (d, d), "k": (d, kv), "v": (d, kv), "o": (d, d), "gate": (d, h), "up": (d, h), "down": (h, d)}
    sizes = {"embed": (words, d), "head": (d, words), "norm": (d,), "layers": [layer | {"n": (d,), "m": (d,)}] * 80}

    def split(s):
        widest = max(range(len(s)), key=lambda k: s[k])
        return shape(
            *s, spec=[("model" if k == widest and len(s) > 1 else None) for k in range(len(s))], dtype=jnp.bfloat16
        )

    params = jax.tree.map(split, sizes, is_leaf=lambda s: isinstance(s, tuple))
    tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-4))
    start = time.process_time()
    shardings = zero_shardings(tx, params, PAPER, "data")
    plan = gradtx.plan(tx, params, shardings, mesh=PAPER)
    assert plan.size == 68_976_648_192
    matrices = plan.size - 161 * d
    assert plan.device.parameters == 2 * (matrices // 8 + 161 * d)
    assert plan.device.state == 8 * (matrices // 1024 + 161 * d // 128) + 4
    found = {(c.kind, c.axes): c.count for c in plan.device.collectives}
    assert found == {("all-gather", ("data",)): 723, ("all-reduce", ("data",)): 2, ("all-reduce", ("data", "model")): 2}
    assert time.process_time() - start < 20  # 4 to 6 on two quiet cores

    def placed(x, sharding):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    start = time.process_time()
    state = jax.tree.map(placed, jax.eval_shape(tx.init, params), shardings)
    step = jax.jit(lambda g, s, p: tx.step(g, s, p)).trace(params, state, params)
    assert "stablehlo" in step.lower(lowering_platforms=("cpu",)).as_text()[:100_000]
    assert time.process_time() - start < 60


def test_a_step_that_writes_into_what_it_gets_has_no_temporaries():
    params = {"w": jax.ShapeDtypeStruct((256, 64), jnp.float32)}
    assert gradtx.plan(gradtx.adamw(1e-3), params, mesh=PAPER).device.temporaries < 1_000
