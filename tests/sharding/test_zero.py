"""ZeRO-1: the state split over the devices that hold copies of the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

import gradtx
from gradtx.other_shardings import factored_sharding, owner_sharding
from gradtx.sharding import state_shardings, zero_shardings
from tests.contract.registry import CASES
from tests.sharding.hlo import collectives
from tests.sharding.meshes import AUTO, EXPLICIT, compilations, mesh_of, put, specs

PAPER = AbstractMesh((4, 2), ("data", "model"))
TRACE = gradtx.add_momentum(0.9)


def shape(*sizes, spec=None):
    sharding = None if spec is None else NamedSharding(PAPER, PartitionSpec(*spec))
    return jax.ShapeDtypeStruct(sizes, jnp.float32, sharding=sharding)


def zero(params, axis="data", tx=TRACE, mesh=PAPER, **how):
    return specs(zero_shardings(tx, params, mesh, axis, **how))


class TestWhichAxis:
    @pytest.mark.parametrize(
        ("leaf", "want"),
        [
            (shape(8, 16), (None, "data")),  # the largest
            (shape(8, 18), ("data",)),  # the largest that divides
            (shape(8, 8), ("data",)),  # the first of equals
            (shape(3, 5), ()),
            (shape(), ()),
            (shape(0, 3), ()),  # there is nothing to split
            (shape(1), ()),
            (shape(16, 8, spec=("model",)), ("model", "data")),  # a split axis is left alone
            (shape(16, 6, spec=("model",)), ("model",)),
            (shape(16, 8, spec=(None, "data")), (None, "data")),  # nothing is left to do
            (shape(16, 8, spec=(("data", "model"),)), (("data", "model"),)),
            (shape(16, 8, spec=()), ("data",)),
            (jnp.ones((8, 2)), ("data",)),
            (np.ones((8, 2), np.float32), ("data",)),
        ],
    )
    def test_of_a_leaf(self, leaf, want):
        assert zero({"w": leaf}) == {"trace/w": want}

    def test_two_axes_together(self):
        both = ("data", "model")
        assert zero({"w": shape(4, 16), "b": shape(4)}, both) == {"trace/w": (None, both), "trace/b": ()}
        assert zero({"w": shape(16, 8, spec=("model",))}, both) == {"trace/w": ("model",)}

    def test_the_memory_of_lbfgs_is_split_as_the_parameter_is(self):
        """Not along its first axis, though that is the longest: a step writes one place of it."""
        found = zero({"w": shape(8, 4)}, tx=gradtx.scale_by_lbfgs(memory_size=64))
        assert found["diff_params_memory/w"] == (None, "data")
        assert found["params/w"] == ("data",)
        assert found["weights_memory"] == found["count"] == ()

    def test_others_see_the_parameter_as_its_state_is_split(self):
        rows = (lambda params: {"rows": {"w": jnp.zeros(8)}}, lambda updates, state, params=None: (updates, state))
        assert zero({"w": shape(8, 2)}, tx=rows) == {"rows/w": ()}
        assert zero({"w": shape(8, 2)}, tx=rows, others=factored_sharding) == {"rows/w": ("data",)}

    @pytest.mark.parametrize("name", [name for name, case in CASES.items() if "gain" in case.params])
    def test_every_case(self, name):
        """All that mirrors the matrix is split; nothing else is. What a frame keeps for its basis is others' matter."""
        params = {"gain": shape(), "layers": [{"w": shape(16, 2)}]}
        shardings = zero_shardings(CASES[name].tx, params, PAPER, "data")
        state = jax.eval_shape(CASES[name].init, params)
        rows = zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(shardings), strict=True)
        for (path, leaf), sharding in rows:
            of_a_frame = any(getattr(key, "name", "") == "basis" for key in path)
            split, like_it = "data" in sharding.spec, leaf.shape[-2:] == (16, 2) and not of_a_frame
            assert split == like_it or (split and CASES[name].tx.name == "store")  # which has parts of it, too

    def test_errors(self):
        with pytest.raises(
            ValueError, match=r"the mesh has no axis 'date' \(did you mean 'data'\?\); it has data, model"
        ):
            zero({"w": shape(8)}, "date")
        elsewhere = NamedSharding(AbstractMesh((8,), ("x",)), PartitionSpec("x"))
        with pytest.raises(ValueError, match=r"parameter at w is on .*'x': 8.*, not on the mesh .*'data': 4"):
            zero({"w": jax.ShapeDtypeStruct((8,), jnp.float32, sharding=elsewhere)})
        with pytest.raises(ValueError, match="parameter at w is on SingleDeviceSharding"):
            zero({"w": jax.device_put(jnp.ones(8), jax.devices()[0])}, mesh=mesh_of(4, 2))


def loss(params, x):
    return jnp.mean((jnp.tanh(x @ params["in"] + params["bias"]) @ params["out"] - 1) ** 2)


WHOLE = {
    "in": jax.random.normal(jax.random.key(0), (16, 32)),
    "bias": jnp.zeros((1, 32)),
    "out": jax.random.normal(jax.random.key(1), (32, 3)),
}
BATCHES = jax.random.normal(jax.random.key(2), (4, 16, 16))


def trained(tx, params, init, batches, **how):
    """The parameters and the state after a few steps, and how often the step was compiled."""

    def step(params, state, x):
        updates, state = tx.update(jax.grad(loss)(params, x), state, params)
        return gradtx.apply_updates(params, updates), state

    state, step = init(params), jax.jit(step, **how)
    with compilations() as compiled:
        for x in batches:
            params, state = step(params, state, x)
    return params, state, len(compiled)


@pytest.mark.parametrize("kind", [AUTO, EXPLICIT], ids=str)
def test_training_is_that_of_one_device(kind):
    """To rounding; one compilation; the parameters stay whole, each device keeps an eighth of the state."""
    mesh, tx = mesh_of(8, kind=kind), gradtx.chain(gradtx.clip_by_global_norm(0.1), gradtx.adamw(0.05))
    params = jax.tree.map(lambda p: put(mesh, p), WHOLE)
    shardings = zero_shardings(tx, params, mesh, "data")
    out = (jax.tree.map(lambda p: p.sharding, params), shardings)
    batches = [put(mesh, x, "data") for x in BATCHES]
    got, state, compiled = trained(tx, params, jax.jit(tx.init, out_shardings=shardings), batches, out_shardings=out)
    want, _, _ = trained(tx, WHOLE, tx.init, BATCHES)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert g.sharding.is_fully_replicated
        np.testing.assert_allclose(g, w, rtol=2e-5, atol=2e-6)
    assert compiled == 1
    moments = state["scale_by_adam"]
    for leaf in jax.tree.leaves((moments.mu, moments.nu)):
        assert {shard.data.size for shard in leaf.addressable_shards} == {leaf.size // 8}


class TestOwners:
    """Statistics of matrices are shared out as the matrices are."""

    @pytest.mark.parametrize(
        ("leaf", "want"),
        [
            (shape(12, 8, 6), {"rows": ("data",), "columns": ("data",)}),  # layers first
            (shape(3, 8, 6), {"rows": (None, "data"), "columns": ()}),  # 6 does not divide
            (shape(8, 16, spec=("model",)), {"rows": (("model", "data"),), "columns": (("model", "data"),)}),
            (shape(3, 5), {"rows": (), "columns": ()}),
        ],
    )
    def test_where(self, leaf, want):
        tx = gradtx.in_frame(gradtx.scale_by_adam(), gradtx.frames.eigenbasis())
        found = zero({"a": {"w": leaf}}, tx=tx, others=owner_sharding)
        for field, like in (("rows", "rows"), ("left", "rows"), ("columns", "columns"), ("right", "columns")):
            assert found[f"basis/a/w/{field}"] == want[like]
        assert found["count"] == ()

    @pytest.mark.parametrize("kind", [AUTO, EXPLICIT], ids=str)
    def test_layers_are_decomposed_by_their_owners(self, kind):
        """Each device keeps an eighth. A bit for each side is sent: whether a matrix is in its first basis."""
        tx = gradtx.in_frame(gradtx.scale_by_adam(), gradtx.frames.eigenbasis(every=1))
        w = jax.random.normal(jax.random.key(0), (8, 3, 4))
        split = put(mesh_of(8, kind=kind), w, "data")
        shardings = state_shardings(tx, split, others=owner_sharding)
        state = jax.jit(tx.init, out_shardings=shardings)(split)
        compiled = jax.jit(tx.update, out_shardings=(split.sharding, shardings)).lower(split, state).compile()
        sent = [array for c in collectives(compiled) for array in c.arrays]
        assert sent == [("pred", ())] * 2
        assert all(c.in_branch for c in collectives(compiled))
        u, state = compiled(split, state)
        np.testing.assert_allclose(u, tx.update(w, tx.init(w))[0], atol=1e-4)
        assert {shard.data.shape for shard in state.basis.left.addressable_shards} == {(1, 3, 3)}
