"""Which devices must talk to each other in a step: read from the compiled programs."""

import math

import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx.catalog import OPTIMIZERS
from gradtx.sharding import zero_shardings
from tests.catalog.pieces import pieces
from tests.reference_norms import shard_map
from tests.sharding.hlo import collectives
from tests.sharding.meshes import AUTO, EXPLICIT, mesh_of, params_on, put


def _is_alone(tx):
    """Whether every entry steps alone: it says that leaves may be joined, and nothing in it looks at all leaves."""
    return tx.traits.any_leaves and not any(piece.own_traits.whole_tree for piece in pieces(tx))


ELEMENTWISE = [
    *(
        tx
        for tx in (entry.factory(**{**entry.usual, **s.arguments}) for entry, s in OPTIMIZERS.values())
        if _is_alone(tx)
    ),
    gradtx.adam(gradtx.cosine_decay_schedule(0.1, 10)),
    gradtx.chain(gradtx.clip_by_value(1.0), gradtx.add_noise(0.1, 0.5, key=0)),
    gradtx.accumulate(gradtx.average(gradtx.adam(1e-3), decay=0.9), 2),
    gradtx.lookahead(gradtx.sgd(0.1)),
]


def stepped(tx, params, state, grads):
    updates, state = tx.update(grads, state, params)
    return gradtx.apply_updates(params, updates), state


def program(tx, params):
    return jax.jit(stepped).lower(tx, params, tx.init(params), params).compile()


def names(program):
    return [c.kind for c in collectives(program)]


def sizes(found, *kinds):
    """How many numbers go through the collectives of these kinds, for each array: XLA may transpose them."""
    return sorted(math.prod(shape) for c in found if c.kind in kinds for _, shape in c.arrays)


@pytest.mark.parametrize("tx", ELEMENTWISE, ids=lambda tx: tx.name)
def test_elementwise_chains_have_none(tx):
    assert names(program(tx, params_on(mesh_of(8)))) == []


@pytest.mark.parametrize("tx", [gradtx.adamw(1e-3)], ids=lambda tx: tx.name)
def test_nor_on_an_explicit_mesh_or_one_of_two_axes(tx):
    assert names(program(tx, params_on(mesh_of(8, kind=EXPLICIT)))) == []
    mesh = mesh_of(4, 2)
    assert names(program(tx, {"w": put(mesh, jnp.ones((8, 4)), "data", "model")})) == []


def test_the_reader_sees_what_is_there():
    """A program with one of each kind: else the tests of this file could not fail."""
    mesh = mesh_of(8)
    x = put(mesh, jnp.ones((8, 16)), "data")

    def talkative(x):
        whole = jax.lax.with_sharding_constraint(x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
        rare = jax.lax.cond(x[0, 0] > 2, lambda: jnp.sum(x * x), lambda: 0.0)
        return whole, jnp.sum(x), jnp.max(x, axis=0), rare

    found = collectives(jax.jit(talkative).lower(x).compile())
    assert {c.kind for c in found} == {"all-gather", "all-reduce"}
    assert [c.in_branch for c in found if c.arrays == (("f32", ()),)].count(True) == 1
    assert ("f32", (8, 16)) in next(c.arrays for c in found if c.kind == "all-gather")


@pytest.mark.parametrize("kind", [AUTO, EXPLICIT], ids=str)
@pytest.mark.parametrize(
    "tx",
    [
        gradtx.clip_by_global_norm(1.0),
        gradtx.chain(gradtx.clip_by_global_norm(1.0, nonfinite="skip"), gradtx.adamw(1e-3)),
        gradtx.clip_by_z_score(),
        gradtx.normalize_by_update_norm(),
    ],
    ids=lambda tx: tx.name,
)
def test_a_global_norm_is_one_all_reduce_of_scalars(tx, kind):
    """One all-reduce, of scalars, in each step, whatever the number of leaves and of their types.

    There is a second one in the branch that is taken where the sum of squares has over- or underflowed: it is not
    counted, since a usual step does not run it. XLA gathers the sums of all leaves into one all-reduce.
    """
    mesh = mesh_of(8, kind=kind)
    params = params_on(mesh) | {"half": put(mesh, jnp.ones((8, 2), jnp.bfloat16), "data")}
    with jax.set_mesh(mesh):
        found = collectives(program(tx, params))
    assert [c.kind for c in found] == ["all-reduce"] * len(found)
    assert all(shape == () and dtype == "f32" for c in found for dtype, shape in c.arrays)
    assert [c.in_branch for c in found].count(False) == 1
    assert [c.in_branch for c in found].count(True) <= 1


def test_leaves_over_different_axes_have_an_all_reduce_for_each_set_of_axes():
    """Sums over different groups of devices cannot be one."""
    mesh = mesh_of(4, 2)
    leaves = {"a": ("data",), "b": (None, "data"), "c": ("data", "model"), "d": (), "e": ("data", "model")}
    params = {name: put(mesh, jnp.ones((8, 4)), *spec) for name, spec in leaves.items()}
    found = [c for c in collectives(program(gradtx.clip_by_global_norm(1.0), params)) if not c.in_branch]
    assert len(found) == 2
    assert all(array == ("f32", ()) for c in found for array in c.arrays)


def test_what_is_whole_on_each_device_needs_none():
    mesh = mesh_of(8)
    params = jax.tree.map(lambda p: put(mesh, p), params_on(mesh))
    assert names(program(gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3)), params)) == []


def loss(params, x):
    return jnp.mean(jnp.tanh(x @ params["in"] + params["bias"]) @ params["out"]) * params["gain"]


def zero_step(mesh, tx):
    """A data-parallel step with ZeRO-1: the program, the parameters."""
    whole = {"in": jnp.ones((32, 16)), "bias": jnp.ones((1, 16)), "out": jnp.ones((16, 8)), "gain": jnp.ones(())}
    params = jax.tree.map(lambda p: put(mesh, p), whole)
    shardings = zero_shardings(tx, params, mesh, "data")
    state = jax.jit(tx.init, out_shardings=shardings)(params)

    def step(params, state, x):
        return stepped(tx, params, state, jax.grad(loss)(params, x))

    out = (jax.tree.map(lambda p: p.sharding, params), shardings)
    x = put(mesh, jnp.ones((64, 32)), "data")
    return jax.jit(step, out_shardings=out).lower(params, state, x).compile(), params


@pytest.mark.parametrize("kind", [AUTO, EXPLICIT], ids=str)
def test_zero_is_one_reduction_and_one_gathering(kind):
    """All gradients are summed in one all-reduce, and each parameter that was split is gathered once, nothing else.

    XLA makes no reduce-scatter of it on CPU, and joins all-reduces but not all-gathers.
    """
    compiled, params = zero_step(mesh_of(8, kind=kind), gradtx.adamw(1e-3))
    found, leaves = collectives(compiled), jax.tree.leaves(params)
    assert sizes(found, "all-reduce", "reduce-scatter") == sorted(p.size for p in leaves)
    assert sizes(found, "all-gather") == sorted(p.size for p in leaves if p.ndim)
    assert [c.kind for c in found].count("all-reduce") == 1
    assert {c.kind for c in found} <= {"all-reduce", "reduce-scatter", "all-gather"}
    assert not any(c.in_branch for c in found)


def test_zero_with_a_clip_adds_one_number_for_each_leaf():
    """XLA splits the sums of squares as it has split the state; on CPU it does not always join their all-reduces."""
    clip = gradtx.clip_by_global_norm(1.0)
    (plain, _), (clipped, params) = (
        zero_step(mesh_of(8), tx) for tx in (gradtx.adamw(1e-3), gradtx.chain(clip, gradtx.adamw(1e-3)))
    )
    plain, clipped = ([c for c in collectives(program) if not c.in_branch] for program in (plain, clipped))
    for kind in ("all-reduce", "all-gather"):
        assert [n for n in sizes(clipped, kind) if n > 1] == [n for n in sizes(plain, kind) if n > 1]
    added = sizes(clipped, "all-reduce").count(1) - sizes(plain, "all-reduce").count(1)
    assert 0 <= added <= len(params)
    assert {c.kind for c in clipped} == {c.kind for c in plain}


def test_inside_shard_map_a_norm_is_one_all_reduce_too():
    """With the axis named; without it each device would take the norm of its own part."""
    mesh, tx = mesh_of(8), gradtx.chain(gradtx.clip_by_global_norm(1.0, axis_name="data"), gradtx.sgd(0.1))
    params = {"w": put(mesh, jnp.full((8, 2), 3.0), "data"), "b": put(mesh, jnp.full(16, 4.0), "data")}
    split = jax.sharding.PartitionSpec("data")
    update = jax.jit(shard_map(lambda g: tx.update(g, tx.init(g))[0], mesh=mesh, in_specs=split, out_specs=split))
    found = [c for c in collectives(update.lower(params).compile()) if not c.in_branch]
    assert [c.arrays for c in found] == [(("f32", ()),)]
    assert gradtx.global_norm(update(params)) == pytest.approx(0.1)
