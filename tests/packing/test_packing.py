"""Packed parameters: there and back, under every transform of JAX, in states and files; and every wrong call."""

import copy
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import gradtx
import gradtx.checkpoint
from gradtx.packing import Packed, pack, unpack
from gradtx.testing.compare import near, same_bits
from tests.packing import mlp


def params():
    return {
        "layers": [{"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3)}, {"w": jnp.full((3, 1), 0.5), "b": None}],
        "half": jnp.asarray([1.0, 2.0], jnp.bfloat16),
        "wave": jnp.asarray([1.0 + 2.0j], jnp.complex64),
        "steps": jnp.arange(2),
        "gain": jnp.asarray(2.0),
        "nothing": jnp.zeros((0, 2)),
        "big": jnp.ones((5, 5)),
    }


def real():
    return {"a": jnp.asarray([[0.5, -1.0], [2.0, 0.25]]), "b": jnp.asarray([1.0, -0.5, 3.0])}


def loss(tree):
    return jnp.sum(jnp.sin(tree["a"]) ** 2) + jnp.prod(tree["b"]) * tree["a"][0, 0]


def squares(tree):
    return sum(jnp.sum(x**2) for x in jax.tree.leaves(tree))


def packed_loss(packed):
    return loss(packed.unpack())


class TestThereAndBack:
    def test_it_gives_the_tree_back_to_the_bit(self):
        same_bits("the tree", pack(params(), 20).unpack(), params())

    def test_small_leaves_are_joined_by_type_and_the_others_stand_alone(self):
        packed = pack(params(), 20)
        assert {k: (v.shape, v.dtype.name) for k, v in packed.vectors.items()} == {
            "bfloat16": ((2,), "bfloat16"),
            "complex64": ((1,), "complex64"),
            "float32": ((1 + 3 + 6 + 3,), "float32"),
        }
        assert packed.alone.keys() == {"big", "steps"}
        assert repr(packed) == "Packed(float32: 5 leaves, bfloat16: 1 leaves, complex64: 1 leaves, alone: 2 leaves)"

    def test_key_paths_are_stable(self):
        names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(pack(params(), 20))[0]]
        expected = ["packed_float32", "packed_bfloat16", "packed_complex64", "big", "steps"]
        assert sorted(names) == sorted(f"['{name}']" for name in expected)

    @pytest.mark.parametrize(("threshold", "joined"), [(0, 0), (4, 1), (5, 2)])
    def test_the_threshold_is_the_first_size_that_stays_alone(self, threshold, joined):
        packed = pack(real(), threshold)
        assert len(packed.alone) == 2 - joined
        same_bits("the tree", packed.unpack(), real())

    @pytest.mark.parametrize("tree", [{}, (), None, {"a": None}, jnp.ones(3), 1.5, {"n": jnp.arange(3)}])
    def test_odd_trees(self, tree):
        same_bits("the tree", pack(tree).unpack(), jax.tree.map(jnp.asarray, tree))

    def test_custom_nodes_come_back(self):
        layer = eqx.nn.Linear(2, 3, key=jax.random.key(0))
        same_bits("the module", pack(layer).unpack(), layer)
        assert pickle.loads(pickle.dumps(pack(layer))).unpack().in_features == 2

    def test_shapes_alone_will_do(self):
        shapes = jax.eval_shape(params)
        packed = pack(shapes, 20)
        assert jax.tree.structure(packed) == jax.tree.structure(pack(params(), 20))
        assert packed.vectors["float32"] == jax.ShapeDtypeStruct((13,), jnp.float32)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), packed.unpack()) == jax.tree.map(
            lambda x: (x.shape, x.dtype), shapes
        )

    def test_two_of_one_layout_have_the_same_structure(self):
        first, second = (jax.tree.structure(pack(real())) for _ in range(2))
        assert first == second
        assert hash(first) == hash(second)
        assert jax.tree.structure(pack(real(), 4)) != first
        assert jax.tree.structure(pack({"a": jnp.ones(4), "b": jnp.ones(3)})) != first

    @pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_copies_are_of_the_same_structure(self, copied):
        packed = pack(params(), 20)
        assert jax.tree.structure(copied(packed)) == jax.tree.structure(packed)
        same_bits("the copy", copied(packed).unpack(), params())


class TestTransforms:
    def test_gradients_are_packed_and_equal(self):
        for grad in (jax.grad(packed_loss), jax.jit(jax.grad(packed_loss))):
            grads = grad(pack(real()))
            assert isinstance(grads, Packed)
            near("the gradient", grads.unpack(), jax.grad(loss)(real()), ulps=2)

    def test_the_derivative_is_one_concatenation(self):
        program = str(jax.make_jaxpr(jax.grad(lambda packed: squares(unpack(packed))))(pack(real())))
        assert program.count("concatenate") == program.count(" split[") == 1
        assert " pad[" not in program

    def test_hessian_times_vector(self):
        def of(loss, at):
            return jax.jit(lambda at: jax.jvp(jax.grad(loss), (at,), (at,))[1])(at)

        near("the product", of(packed_loss, pack(real())).unpack(), of(loss, real()), ulps=8)

    def test_vmap(self):
        many = jax.tree.map(lambda x: jnp.stack([x, 2 * x, -x]), real())
        packed = jax.vmap(pack)(many)
        assert packed.vectors["float32"].shape == (3, 7)
        same_bits("each", jax.vmap(unpack)(packed), many)
        same_bits("all, with the axis in front", packed.unpack(), many)
        near("losses", jax.vmap(packed_loss)(packed), jax.vmap(loss)(many), ulps=2)

    def test_scan_and_donation(self):
        tx, packed = gradtx.adam(0.1), pack(real())

        def step(carry, _):
            packed, state = carry
            return tx.step(jax.grad(packed_loss)(packed), state, packed), None

        run = jax.jit(lambda *carry: jax.lax.scan(step, carry, None, length=3)[0], donate_argnums=(0, 1))
        after, _ = run(packed, tx.init(packed))
        assert packed.vectors["float32"].is_deleted()
        expected, state = real(), tx.init(real())
        for _ in range(3):
            expected, state = tx.step(jax.grad(loss)(expected), state, expected)
        near("the parameters", after.unpack(), expected)

    def test_a_deep_network_trains_as_it_does_unpacked(self):
        data, tx = mlp.batch(4, 3), gradtx.adamw(1e-2)
        tree = mlp.network(layers=4, width=3)
        results = [jax.jit(mlp.train_step(tx))(p, tx.init(p), data) for p in (pack(tree), tree)]
        near("the step", unpack(results[0]), results[1])


class TestStates:
    def test_a_state_unpacks_to_what_the_tree_would_have(self):
        tx = gradtx.adam(0.1)
        same_bits("the state", unpack(tx.init(pack(params(), 20))), tx.init(params()))

    def test_axes_in_front_stay_in_front(self):
        tx = gradtx.scale_by_lbfgs(memory_size=3)
        state = tx.init(pack(real()))
        same_bits("the state", unpack(state), tx.init(real()))
        same_bits("the state", pack(tx.init(real()), like=state), state)

    def test_a_state_that_was_stored_unpacked_is_packed_again(self):
        tx = gradtx.adam(0.1)
        state = tx.init(pack(params(), 20))
        again = pack(unpack(state), like=state)
        same_bits("the state", again, state)

    def test_checkpoints(self):
        tx, packed = gradtx.adam(0.1), pack(params(), 20)
        tree = {"params": packed, "state": tx.init(packed)}
        flat = gradtx.checkpoint.to_flat(tree)
        assert "state/scale_by_adam/mu/packed_float32" in flat
        same_bits("what was read", gradtx.checkpoint.from_flat(tree, flat), tree)

    def test_orbax(self, tmp_path):
        state = gradtx.adam(0.1).init(pack(params(), 20))
        with gradtx.checkpoint.Checkpoints(tmp_path / "run") as checkpoints:
            checkpoints.save(1, state=state)
            same_bits("what was read", checkpoints.restore(state=state)["state"], state)

    def test_plan(self):
        plan = gradtx.plan(gradtx.adam(0.1), pack(real()))
        assert [(row.leaf, row.size, row.state_bytes) for row in plan.rows] == [("packed_float32", 7, 56)]

    def test_one_trace_in_three_steps(self):
        tx, packed, traces = gradtx.adam(0.1), pack(real()), []

        @jax.jit
        def step(packed, state):
            traces.append(1)
            return tx.step(jax.grad(packed_loss)(packed), state, packed)

        state = tx.init(packed)
        for _ in range(3):
            packed, state = step(packed, state)
        step(pack(real()), tx.init(pack(real())))
        assert len(traces) == 1


class TestDevices:
    def test_leaves_on_all_devices_make_a_vector_on_all_and_split_ones_stay_alone(self):
        mesh = jax.make_mesh((8,), ("x",))
        whole, split = (NamedSharding(mesh, PartitionSpec(*spec)) for spec in ((), ("x",)))
        tree = {"a": jnp.ones(3), "b": jnp.arange(2.0), "s": jnp.arange(16.0)}
        tree = jax.device_put(tree, {"a": whole, "b": whole, "s": split})
        packed = pack(tree)
        assert packed.alone.keys() == {"s"}
        assert packed.vectors["float32"].sharding.is_equivalent_to(whole, 1)
        state = gradtx.adam(0.1).init(packed)["scale_by_adam"].mu
        assert state.alone["s"].sharding.is_equivalent_to(split, 1)
        assert state.vectors["float32"].sharding.is_equivalent_to(whole, 1)
        same_bits("the tree", packed.unpack(), tree)

    def test_leaves_in_different_places_are_not_joined(self):
        devices = jax.devices()
        tree = {"a": jax.device_put(jnp.ones(3), devices[0]), "b": jax.device_put(jnp.ones(3), devices[1])}
        with pytest.raises(ValueError, match="the leaves at a and b would be joined, but lie on different devices"):
            pack(tree)


class TestErrors:
    @pytest.mark.parametrize(
        ("call", "kind", "message"),
        [
            (lambda: pack(real(), -1), ValueError, "threshold must be at least 0; got -1"),
            (lambda: pack(real(), 1e4), TypeError, "threshold must be a whole number; got 10000.0"),
            (lambda: pack({"a": "text"}), TypeError, "parameter at a must be an array or a number; got 'text'"),
            (lambda: pack(pack(real())), TypeError, "packed already"),
            (lambda: pack({"net": pack(real()), "b": 1.0}), TypeError, "packed already"),
            (lambda: pack(real(), like=real()), TypeError, "nothing in like is packed; got a dict with the keys"),
            (
                lambda: pack({"a": real()["a"]}, like=pack(real())),
                ValueError,
                "must have the containers and leaves of like",
            ),
            (lambda: pack({**real(), "b": None}, like=pack(real())), ValueError, "at b is None; it must be float32"),
            (lambda: pack({**real(), "b": jnp.ones(2)}, like=pack(real())), ValueError, r"at b is float32\[2\]"),
            (lambda: pack({**real(), "b": jnp.arange(3)}, like=pack(real())), ValueError, r"at b is int32\[3\]"),
            (lambda: pack({**real(), "b": "text"}, like=pack(real())), TypeError, "leaf at b must be an array"),
            (lambda: pack({"packed_float32": jnp.arange(2), "b": 1.0}), ValueError, "two leaves at packed_float32"),
            (lambda: jax.tree.map(jnp.sum, pack(real())).unpack(), ValueError, r"shape \(\); its last axis must be 7"),
            (lambda: jax.tree.map(lambda x: x[1:], pack(real())).unpack(), ValueError, r"shape \(6,\)"),
            (lambda: jax.tree.map(str, pack(real())).unpack(), TypeError, "leaves must be an array; got"),
        ],
    )
    def test_they_say_what_came(self, call, kind, message):
        with pytest.raises(kind, match=message):
            call()

    def test_gradients_that_are_not_packed_do_not_fit(self):
        tx, packed = gradtx.sgd(0.1), pack(real())
        with pytest.raises(ValueError, match=r"no gradient at packed_float32.*there is one at a instead"):
            tx.update(real(), tx.init(packed), packed)

    def test_a_refusal_names_the_transformation_and_the_piece_inside(self):
        tx = gradtx.skip_nonfinite(gradtx.chain(gradtx.adam(0.1), gradtx.clip_by_leaf_norm(1.0)))
        with pytest.raises(ValueError, match=r"^skip_nonfinite: clip_by_leaf_norm may depend on how"):
            tx.init(pack(real()))
        state = gradtx.clip_by_leaf_norm(1.0).init(real())
        with pytest.raises(ValueError, match=r"^clip_by_leaf_norm may depend on how"):
            gradtx.clip_by_leaf_norm(1.0).update(pack(real()), state)
        with pytest.raises(ValueError, match=r"^adamw: masked may depend"):
            gradtx.adamw(0.1, mask="a").init(pack(real()))

    def test_where_nothing_is_joined_nothing_is_refused(self):
        gradtx.clip_by_leaf_norm(1.0).init(pack(real(), threshold=0))
