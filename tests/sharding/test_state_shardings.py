"""The state is where the parameter is: shardings on paper, init outside jit and under it, on every kind of mesh."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec, SingleDeviceSharding

import gradtx
from gradtx.catalog import RECIPES
from gradtx.other_shardings import factored_sharding
from gradtx.placement import mirrors
from gradtx.sharding import state_shardings
from tests.contract.registry import CASES
from tests.sharding.meshes import AUTO, EXPLICIT, compilations, mesh_of, params_on, put, specs

PAPER = AbstractMesh((4, 2), ("data", "model"))

# Those with parameters of their own take no scalar.
TREES = [name for name, case in CASES.items() if "gain" in case.params]
# The pieces of a recipe, and what is inside a wrapper's further cases, have their own. JAX cannot cut blocks of what is
# split on an Explicit mesh.
STEPS = [name for name in TREES if "-" not in name and name not in RECIPES and name != "store"]


def on_paper(shape, *spec, dtype=jnp.float32, mesh=PAPER):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, PartitionSpec(*spec)))


def in_context(mesh, entered):
    return jax.set_mesh(mesh) if entered else contextlib.nullcontext()


def _of_a_frame(row):
    """What a frame keeps for its basis: whole, or by `owner_sharding`; of singular vectors that is a mean, too."""
    return any(getattr(key, "name", "") == "basis" for key in row.path)


class TestEveryCase:
    @pytest.mark.parametrize("name", TREES)
    def test_leaves_of_the_parameters_shape_have_its_sharding(self, name):
        """And all others are whole, on the same mesh; the tree is that of the state."""
        case, params = CASES[name], {"gain": on_paper(()), "layers": [{"w": on_paper((16, 2), "data", "model")}]}
        shardings = state_shardings(case.tx, params)
        state = jax.eval_shape(case.init, jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params))
        assert jax.tree.structure(shardings) == jax.tree.structure(state)
        own = [p.sharding for p in jax.tree.leaves(params)]
        for row, sharding in zip(mirrors(params, state), jax.tree.leaves(shardings), strict=True):
            if row.leaf.shape == (16, 2) and not row.coded and not _of_a_frame(row):
                assert row.parameter == 1
                assert sharding == own[1]
            elif row.leaf.shape[1:] == (16, 2):
                assert sharding.spec == PartitionSpec(None, "data", "model")
            else:
                assert sharding.is_fully_replicated or case.tx.name == "store"  # of codes, tests/storage tells
            assert sharding.mesh == PAPER

    @pytest.mark.parametrize("name", STEPS)
    def test_a_step_on_an_explicit_mesh(self, name):
        """The types that carry shardings fit together in every update, and the state keeps them."""
        case, mesh = CASES[name], mesh_of(8, kind=EXPLICIT)
        params = {"gain": put(mesh, jnp.ones(())), "layers": [{"w": put(mesh, jnp.ones((8, 2)), "data")}]}
        with jax.set_mesh(mesh):
            state = case.init(params)
            traced = jax.jit(case.eager_step).trace(params, state, params).out_info
        assert specs(traced[1]) == specs(state)
        assert specs(traced[2]) == specs(params)


class TestInit:
    @pytest.mark.parametrize("entered", [False, True], ids=["", "set_mesh"])
    @pytest.mark.parametrize("kind", [AUTO, EXPLICIT], ids=str)
    @pytest.mark.parametrize("way", ["eager", "plain jit", "out_shardings"])
    def test_the_state_is_where_the_parameter_is_and_one_compilation_is_enough(self, kind, entered, way):
        mesh, tx = mesh_of(4, 2, kind=kind), gradtx.adam(gradtx.linear_schedule(0.1, 0.0, 10))
        params, traces = params_on(mesh), []

        @jax.jit
        def step(params, state):
            traces.append(1)
            updates, state = tx.update(params, state, params)
            return gradtx.apply_updates(params, updates), state

        with in_context(mesh, entered):
            told = {"out_shardings": state_shardings(tx, params)} if way == "out_shardings" else {}
            state = (tx.init if way == "eager" else jax.jit(tx.init, **told))(params)
            first = specs(state)
            for moment in ("mu", "nu"):
                assert {k: first[f"scale_by_adam/{moment}/{k}"] for k in specs(params)} == specs(params)
            assert all(x.sharding.mesh == mesh and x.committed for x in jax.tree.leaves(state))
            with compilations() as compiled:
                for _ in range(3):
                    params, state = step(params, state)
            assert specs(state) == first
            assert len(traces) == len(compiled) == 1

    def test_what_is_made_in_another_way_needs_state_shardings(self):
        """Under a plain jit; should this fail, JAX has learnt it, and the docstring is out of date."""
        tx = gradtx.chain((lambda params: jax.tree.map(jnp.zeros_like, params), gradtx.sgd(0.1).update))
        auto, explicit = (params_on(mesh_of(8, kind=kind)) for kind in (AUTO, EXPLICIT))
        landed = jax.tree.leaves(jax.jit(tx.init)(auto))
        assert all(len(x.sharding.device_set) == 1 for x in landed)
        with pytest.raises(ValueError, match="set_mesh"):
            jax.jit(tx.init)(explicit)
        for params in (auto, explicit):
            state = jax.jit(tx.init, out_shardings=state_shardings(tx, params))(params)
            assert list(specs(state).values()) == list(specs(params).values())

    def test_on_one_device_of_the_users_choice(self):
        """The count too, so that a step is compiled once."""
        device, tx = jax.devices()[3], gradtx.adam(0.1)
        params = jax.device_put({"w": jnp.ones(3)}, device)
        step, state = jax.jit(tx.update), tx.init(params)
        assert all(x.sharding == SingleDeviceSharding(device) for x in jax.tree.leaves(state))
        with compilations() as compiled:
            for _ in range(3):
                _, state = step(params, state, params)
        assert len(compiled) == 1
        assert set(jax.tree.leaves(state_shardings(tx, params))) == {SingleDeviceSharding(device)}

    def test_what_was_put_nowhere_stays_free_to_move(self):
        state = gradtx.adam(0.1).init({"w": jnp.ones(3), "n": None, "x": 1.0, "host": np.ones(2, np.float32)})
        assert not any(x.committed for x in jax.tree.leaves(state))

    def test_under_a_trace_nothing_is_moved(self):
        mesh = mesh_of(8)
        params = put(mesh, jnp.ones((8, 2)), "data")
        states = jax.vmap(gradtx.adam(0.1).init)(params)
        assert states["scale_by_adam"].mu.shape == (8, 2)

    def test_the_memory_of_lbfgs(self):
        """Its first axis is for the pairs, and is not split; outside jit too."""
        mesh, tx = mesh_of(8), gradtx.scale_by_lbfgs(memory_size=3)
        params = {"w": put(mesh, jnp.ones((16, 2)), "data")}
        for state in (tx.init(params), jax.jit(tx.init, out_shardings=state_shardings(tx, params))(params)):
            assert state.diff_params_memory["w"].shape == (3, 16, 2)
            assert {x.data.shape for x in state.diff_params_memory["w"].addressable_shards} == {(3, 2, 2)}
            assert specs(state)["weights_memory"] == ()

    def test_random_keys_have_a_place_too(self):
        params = params_on(mesh_of(8))
        keeps_a_key = (lambda params: {"key": jax.random.key(0)}, lambda updates, state, params=None: (updates, state))
        tx = gradtx.chain(keeps_a_key, gradtx.sgd(0.1))
        states = [tx.init(params), jax.jit(tx.init, out_shardings=state_shardings(tx, params))(params)]
        keys = [x for state in states for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]
        assert [len(key.sharding.device_set) for key in keys] == [8, 8]


@pytest.fixture
def matrix():
    mesh = mesh_of(4, 2)
    return {
        "w": put(mesh, jnp.ones((256, 128)), "data", "model"),
        "b": put(mesh, jnp.ones(128), "model"),
        "s": put(mesh, jnp.ones(())),
    }


class TestForeign:
    """optax's transformations, alone and in a chain of ours."""

    def made(self, tx, params, **how):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            shardings = state_shardings(tx, params, **how)
            state = jax.jit(tx.init, out_shardings=shardings)(params)
        found = specs(state)
        assert found == specs(shardings)
        return found

    @pytest.mark.parametrize("others", [None, factored_sharding])
    def test_adafactor(self, matrix, others):
        found = self.made(gradtx.chain(gradtx.clip_by_global_norm(1.0), optax.adafactor(0.1)), matrix, others=others)
        assert found["chain/0/v/b"] == ("model",)
        assert found["chain/0/v_row/b"] == found["chain/0/v/w"] == found["chain/0/count"] == ()
        assert found["chain/0/v_row/w"] == (("model",) if others else ())  # optax's rows are along the shorter axis
        assert found["chain/0/v_col/w"] == (("data",) if others else ())

    def test_lbfgs(self, matrix):
        found = self.made(gradtx.chain(optax.lbfgs()), matrix)
        assert found["chain/0/diff_params_memory/w"] == (None, "data", "model")
        assert found["chain/0/params/w"] == found["chain/2/grad/w"] == ("data", "model")
        assert found["chain/2/learning_rate"] == found["chain/0/weights_memory"] == ()

    def test_sm3(self, matrix):
        found = self.made(gradtx.chain(optax.sm3(0.1)), matrix)
        assert found["chain/0/nu/w"] == ("data", "model")
        assert found["chain/0/mu/w/0"] == found["chain/0/mu/w/1"] == ()

        def axis(path, leaf, parameter):  # its accumulators stand in a list, one for each axis
            return PartitionSpec(matrix["w"].sharding.spec[int(path[-1])]) if "mu/w" in path else None

        found = self.made(gradtx.chain(optax.sm3(0.1)), matrix, others=axis)
        assert found["chain/0/mu/w/0"] == ("data",)
        assert found["chain/0/mu/w/1"] == ("model",)

    def test_by_themselves(self, matrix):
        shardings = state_shardings(optax.adamw(0.1), matrix)
        assert specs(jax.jit(optax.adamw(0.1).init, out_shardings=shardings)(matrix))["0/nu/w"] == ("data", "model")

    def test_where_the_helper_of_optax_fails(self, matrix):
        """As the docstring says; Adam, for which it works, shows that this is its proper use."""

        def by_optax(tx):
            whole = NamedSharding(matrix["w"].sharding.mesh, PartitionSpec())
            own = jax.tree.map(lambda p: p.sharding, matrix)
            state = jax.eval_shape(tx.init, matrix)
            shardings = optax.tree_map_params(tx, lambda _, s: s, state, own, transform_non_params=lambda _: whole)
            return jax.jit(tx.init, out_shardings=shardings)(matrix)

        by_optax(optax.adam(0.1))
        for tx in (optax.adafactor(0.1), optax.lbfgs(), optax.sm3(0.1)):
            with pytest.raises((ValueError, IndexError)):
                by_optax(tx)


class TestOthers:
    def test_it_sees_paths_leaves_and_parameters(self):
        seen = {}
        params = {"w": on_paper((8, 2), "data"), "b": on_paper((2,))}
        rows = gradtx.foreign(lambda params: {"rows": {"w": jnp.zeros(8)}, "count": 0}, lambda u, s, p=None: (u, s))

        def look(path, leaf, parameter):
            seen[path] = (leaf.shape, parameter and (parameter.shape, parameter.dtype, parameter.sharding.spec))

        assert state_shardings(gradtx.chain(rows=rows, step=gradtx.sgd(0.1)), params, others=look)
        of_w = ((8, 2), jnp.dtype("float32"), PartitionSpec("data"))
        assert seen == {"rows/count": ((), None), "rows/rows/w": ((8,), of_w)}
        own = NamedSharding(PAPER, PartitionSpec("model"))
        given = state_shardings(rows, params, others=lambda path, leaf, p: own if p else None)
        assert given["rows"]["w"] is own
        assert given["count"].spec == PartitionSpec()

    def test_answers_that_are_none(self):
        params = {"w": on_paper((8, 2), "data")}
        with pytest.raises(TypeError, match=r"others must return a .* scale_by_adam/count it returned 'data'"):
            state_shardings(gradtx.adam(0.1), params, others=lambda *leaf: "data")
        with pytest.raises(ValueError, match=r"state at scale_by_adam/count has shape \(\), which cannot be split as"):
            state_shardings(gradtx.adam(0.1), params, others=lambda *leaf: PartitionSpec("data"))

    @pytest.mark.parametrize(
        ("shape", "want"),
        [
            ((8,), ("data",)),  # the axis of length 8
            ((2,), (None,)),
            ((4,), ("model",)),
            ((8, 4), ("data", "model")),
            ((8, 1, 4), ("data", None, "model")),  # axes that were kept with length one
            ((3,), None),
            ((), None),
        ],
    )
    def test_factored(self, shape, want):
        w = on_paper((8, 2, 4), "data", None, "model")
        spec = factored_sharding("x/w", jax.ShapeDtypeStruct(shape, jnp.float32), w)
        assert spec == (None if want is None else PartitionSpec(*want))

    def test_factored_does_not_guess(self):
        leaf = jax.ShapeDtypeStruct((8,), jnp.float32)
        assert factored_sharding("x/w", leaf, on_paper((8, 8), "data")) is None
        assert factored_sharding("x/w", leaf, on_paper((8, 8))) == PartitionSpec(None)  # both answers are the same
        assert factored_sharding("count", leaf, None) is None


class TestMatching:
    def test_the_longest_end_of_the_path(self):
        params = {"w": on_paper((8,), "data"), "deep": {"w": on_paper((8,), "model")}}
        shardings = state_shardings(gradtx.add_momentum(0.9), params)
        assert specs(shardings) == {"trace/deep/w": ("model",), "trace/w": ("data",)}

    def test_a_bare_parameter(self):
        shardings = state_shardings(gradtx.adam(0.1), on_paper((8, 2), "data"))["scale_by_adam"]
        assert shardings.mu.spec == PartitionSpec("data")
        assert shardings.count.spec == PartitionSpec()
        memory = state_shardings(gradtx.scale_by_lbfgs(3), on_paper((8,), "data"))
        assert memory.diff_params_memory.spec == PartitionSpec(None, "data")
        assert memory.weights_memory.spec == PartitionSpec()

    def test_leaves_that_are_not_trained_and_numbers(self):
        params = {
            "w": on_paper((8,), "data"),
            "n": None,
            "x": 1.0,
            "i": jnp.arange(3),
            "s": jax.ShapeDtypeStruct((2,), "float32"),
        }
        assert specs(state_shardings(gradtx.add_momentum(0.9), params)) == {
            "trace/w": ("data",),
            "trace/x": (),
            "trace/s": (),
        }

    def test_arrays_that_were_put_nowhere(self):
        params = {"w": jnp.ones(3), "b": np.ones(3, np.float32)}
        assert set(jax.tree.leaves(state_shardings(gradtx.adam(0.1), params))) == {params["w"].sharding}
        beside = {"w": put(mesh_of(8), jnp.ones(8), "data"), "free": jnp.ones(3)}
        assert specs(state_shardings(gradtx.add_momentum(0.9), beside)) == {"trace/w": ("data",), "trace/free": ()}

    def test_no_memory_is_allocated(self):
        """2⁴⁰ numbers."""
        params = {"w": on_paper((2**20, 2**20), "data", "model")}
        assert specs(state_shardings(gradtx.adam(0.1), params))["scale_by_adam/mu/w"] == ("data", "model")


class TestErrors:
    def test_no_sharding_at_all(self):
        with pytest.raises(ValueError, match=r"no parameter has a sharding: give arrays, or jax\.ShapeDtypeStruct"):
            state_shardings(gradtx.adam(0.1), {"w": jax.ShapeDtypeStruct((3,), jnp.float32)})

    def test_devices_that_differ(self):
        params = {"a": put(mesh_of(8), jnp.ones(8), "data"), "b": jax.device_put(jnp.ones(8), jax.devices()[1])}
        with pytest.raises(ValueError, match="parameters at a and b are on different devices"):
            state_shardings(gradtx.adam(0.1), params)

    def test_two_meshes_of_the_same_devices_will_do(self):
        params = {"a": put(mesh_of(8), jnp.ones(8), "data"), "b": put(mesh_of(4, 2), jnp.ones((2, 4)), "model")}
        assert specs(state_shardings(gradtx.add_momentum(0.9), params)) == {"trace/a": ("data",), "trace/b": ("model",)}

    def test_a_kind_of_sharding_that_has_no_mesh(self):
        odd = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        strange = type("Strange", (), {"shape": (3,), "dtype": jnp.dtype("float32"), "sharding": object(), "ndim": 1})()
        with pytest.raises(TypeError, match="parameter at w has a object; expected a NamedSharding"):
            state_shardings(gradtx.adam(0.1), {"b": jax.ShapeDtypeStruct((3,), "float32", sharding=odd), "w": strange})

    def test_what_does_not_divide(self):
        with pytest.raises(ValueError, match=r"state at trace/w has shape \(7,\), which cannot be split as"):
            state_shardings(gradtx.add_momentum(0.9), {"w": on_paper((7,), "data")})

    def test_no_transformation(self):
        with pytest.raises(TypeError, match="tx must be a transformation"):
            state_shardings({"w": 1}, {"w": on_paper((8,), "data")})
        with pytest.raises(TypeError, match="parameter at w must be an array or a number"):
            state_shardings(gradtx.adam(0.1), {"w": "a word"})


class TestLeavesOfOneShape:
    """Split in different ways, each has its state beside it: nothing binds them to each other."""

    SPECS = (PartitionSpec("x", None), PartitionSpec(None, "x"), PartitionSpec())

    def params(self):
        mesh = jax.make_mesh((8,), ("x",), devices=jax.devices()[:8])
        put = {f"w{k}": jax.device_put(jnp.ones((8, 8)), NamedSharding(mesh, s)) for k, s in enumerate(self.SPECS)}
        return {**put, "c": jax.device_put(jnp.ones((8, 8), "complex64"), NamedSharding(mesh, self.SPECS[0]))}

    def at_home(self, tree, params):
        return [tree[k].sharding.is_equivalent_to(p.sharding, 2) for k, p in params.items()]

    def test_jitted_init(self):
        params = self.params()
        state = jax.jit(gradtx.adam(0.1).init)(params)["scale_by_adam"]
        assert all(self.at_home(state.mu, params) + self.at_home(state.nu, params))
        assert not any(np.asarray(x).any() for x in jax.tree.leaves(state))

    def test_a_parameter_of_nan_leaves_no_trace(self):
        assert not jax.jit(gradtx.zeros)(jnp.full(4, jnp.nan)).any()

    def test_init_and_steps_in_one_program(self):
        params, tx = self.params(), gradtx.adam(0.1)

        @jax.jit
        def run(params):
            def body(carry, _):
                w, state = carry
                updates, state = tx.update(w, state, w)
                return (gradtx.apply_updates(w, updates), state), None

            return jax.lax.scan(body, (params, tx.init(params)), length=2)[0]

        after, state = run(params)
        assert all(self.at_home(after, params) + self.at_home(state["scale_by_adam"].mu, params))

    def test_init_moves_nothing(self):
        params, tx = self.params(), gradtx.adam(0.1)
        for init in (jax.jit(tx.init), jax.jit(tx.init, out_shardings=state_shardings(tx, params))):
            text = init.lower(params).compile().as_text()
            assert not any(word in text for word in ("all-to-all", "all-gather", "all-reduce", "collective-permute"))
