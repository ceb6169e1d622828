"""`store` round pieces, chains, wrappers and others' transformations: what is encoded, where it lies, what it costs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import gradtx
from gradtx import storage
from gradtx.catalog import RECIPES
from gradtx.core.trees import path_name
from gradtx.double_precision import double_precision
from gradtx.sharding import state_shardings
from gradtx.storage.store import store
from tests.contract.registry import CALLS, CASES

INT8, INT4 = storage.int8(), storage.int4()
STORED = [name for name in CALLS if name in RECIPES and not CASES[name].extras]


class BareState(NamedTuple):
    mean: Any


class DeclaredState(NamedTuple):
    mean: storage.Signed


def pair(kind):
    def update(updates, state, params=None):
        updates, mean = gradtx.map_leaves(lambda g, mean: (g + mean, 0.5 * mean + g), updates, state.mean)
        return updates, kind(mean)

    return lambda params: kind(gradtx.zeros(params)), update


def paths(state):
    return {path_name(path): x for path, x in jax.tree_util.tree_flatten_with_path(state)[0]}


class TestRoles:
    @pytest.mark.parametrize("name", [n for n, case in CASES.items() if not case.holds_foreign])
    def test_every_piece_declares_them(self, name):
        """What is like a parameter has a role, in every transformation there is."""
        case = CASES[name]
        jax.eval_shape(store(case.tx, INT8, min_size=0).init, case.params)

    def test_undeclared(self):
        with pytest.raises(
            ValueError,
            match=r"state at mean/w has the shape of its parameter, .* no role: annotate .* roles=",
        ):
            store(pair(BareState), INT8, min_size=4).init({"w": jnp.ones((2, 2))})
        store(pair(BareState), INT8).init({"w": jnp.ones((2, 2))})  # too small to be encoded
        assert "mean/codes/w" in " ".join(
            paths(store(pair(DeclaredState), INT8, min_size=4).init({"w": jnp.ones((2, 2))}))
        )

    def test_given(self):
        tx = store(optax.adam(0.1), INT8, min_size=0, roles={"mu": "signed", "0/nu": "exact"})
        state = tx.init({"w": jnp.ones((2, 2))})
        assert state.inner[0].mu.codes["w"].dtype == jnp.uint8
        assert state.inner[0].nu["w"].dtype == jnp.float32
        with jax.numpy_dtype_promotion("standard"):  # optax's arithmetic
            assert tx.update({"w": jnp.ones((2, 2))}, state)[0]["w"].shape == (2, 2)

    def test_errors(self):
        with pytest.raises(
            ValueError, match="the role of mu must be one of 'signed', 'nonnegative', 'magnitude', 'exact'; got 'sign'"
        ):
            store(gradtx.adam(0.1), INT8, roles={"mu": "sign"})
        with pytest.raises(ValueError, match=r"roles: the state has no field 'nuu' \(did you mean 'nu'\?\)"):
            store(gradtx.adam(0.1), INT8, roles={"nuu": "signed"}).init(jnp.ones(3))
        with pytest.raises(TypeError, match=r"codec must be a codec, .*call it, int8\(\)"):
            store(gradtx.adam(0.1), storage.int8)
        with pytest.raises(TypeError, match=r"codec must be a codec, as gradtx\.storage"):
            store(gradtx.adam(0.1), "int8")
        with pytest.raises(ValueError, match="min_size must be at least 0"):
            store(gradtx.adam(0.1), INT8, min_size=-1)


class TestWhatIsEncoded:
    def test_small_leaves_scalars_integers_and_none_are_not(self):
        params = {
            "big": jnp.ones((64, 64)),
            "small": jnp.ones((63, 65)),
            "n": None,
            "i": jnp.arange(5000),
            "s": jnp.ones(()),
        }
        nu = store(gradtx.adam(0.1), INT8).init(params).inner["scale_by_adam"].nu
        assert {k for k, x in nu.codes.items() if x is not None} == {"big"}
        assert {k for k, x in nu.exact.items() if x is not None} == {"small", "s"}

    def test_paths_end_as_those_of_the_parameters(self):
        tx = store(
            gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adam(gradtx.linear_schedule(0.1, 0.0, 5))),
            INT8,
            min_size=0,
        )
        found = paths(tx.init({"layers": [{"w": jnp.ones((3, 4))}]}))
        moment = {k: x for k, x in found.items() if "/mu/" in k}
        assert {k.split("/mu/")[1] for k in moment} == {"codes/layers/0/w", "scales/layers/0/w"}

    def test_copies_stay_readable(self):
        params = {"w": jnp.arange(12.0).reshape(3, 4)}
        tx = store(gradtx.average(gradtx.adam(0.1), decay=0.9), INT8, min_size=0)
        _, state = tx.update(params, tx.init(params), params)
        assert gradtx.averaged(state, params)["w"].shape == (3, 4)
        injected = store(gradtx.inject(gradtx.adam(0.1)), INT8, min_size=0).init(params)
        changed = gradtx.set_hyperparameters(injected, {"learning_rate": 0.5})
        assert gradtx.hyperparameters(changed)["learning_rate"] == 0.5

    def test_inside_others(self):
        adam, params = store(gradtx.adam(0.1), INT8, min_size=0), {"a": jnp.ones((3, 4)), "b": jnp.ones(5)}
        whole = adam.update(params, adam.init(params), params)[0]
        for tx in (
            gradtx.skip_nonfinite(adam),
            gradtx.accumulate(adam, 1),
            gradtx.masked(adam, "a"),
            gradtx.route({"a": adam}, default=gradtx.identity()),
            store(gradtx.masked(gradtx.adam(0.1), "a"), INT8, min_size=0),
        ):
            updates, state = jax.jit(tx.update)(params, jax.jit(tx.init)(params), params)
            np.testing.assert_allclose(updates["a"], whole["a"], rtol=1e-5)
            assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))

    def test_a_store_inside_keeps_what_it_has(self):
        params = {"w": jnp.ones((3, 4))}
        tx = store(
            gradtx.chain(gradtx.add_momentum(0.9), a=store(gradtx.adam(0.1), storage.bfloat16(), min_size=0)),
            INT8,
            min_size=0,
        )
        state = tx.update(params, tx.init(params))[1]
        assert state.inner["add_momentum"].trace.codes["w"].dtype == jnp.uint8
        assert state.inner["a"].inner["scale_by_adam"].mu.codes["w"].dtype == jnp.bfloat16

    def test_a_gradient_of_another_shape(self):
        tx = store(gradtx.adam(0.1), INT4, min_size=0)
        state = tx.init({"w": jnp.ones((3, 4))})
        with pytest.raises(ValueError, match=r"at w has shape \(4, 4\).* storage.int4\(block=128\) does not make"):
            tx.update({"w": jnp.ones((4, 4))}, state)

    def test_wide_and_complex_leaves(self):
        with double_precision():
            params = {"d": jnp.ones((3, 4), "float64"), "z": jnp.ones((3, 4), "complex64")}
            tx = store(gradtx.adam(0.1), INT8, min_size=0)
            state = tx.init(params)
            updates, _ = tx.update(params, state, params)
            moments = state.inner["scale_by_adam"]
            assert moments.mu.scales["d"].dtype == jnp.uint32
            assert moments.mu.codes["z"].shape == (2, 3, 4)
            assert moments.nu.codes["z"].shape == (3, 4)
            assert updates["d"].dtype == jnp.float64
            assert updates["z"].dtype == jnp.complex64


class TestRounding:
    def test_the_same_under_jit_and_another_at_every_step_and_leaf(self):
        params = {"a": jnp.full((8, 32), 0.3), "b": jnp.full((8, 32), 0.3)}
        tx = store(gradtx.add_momentum(0.0), storage.bfloat16(), min_size=0)
        eager = tx.update(params, tx.init(params))[1]
        jitted = jax.jit(tx.update)(params, tx.init(params))[1]
        assert jax.tree.all(jax.tree.map(jnp.array_equal, eager, jitted))
        codes = eager.inner.trace.codes
        assert not jnp.array_equal(codes["a"], codes["b"])
        assert not jnp.array_equal(codes["a"], tx.update(params, eager)[1].inner.trace.codes["a"])


class TestCost:
    @pytest.mark.parametrize(("codec", "most"), [(INT8, 2.2), (INT4, 1.2), (storage.bfloat16(), 4.1)], ids=repr)
    def test_no_decoded_copy_in_the_compiled_step(self, codec, most):
        """The old codes are kept beside the new ones, and no more; bytes are not above those of float32."""
        p = jax.ShapeDtypeStruct((512, 1024), jnp.float32)

        def bytes_of(tx):
            def step(params, state, grads):
                updates, state = tx.update(grads, state, params)
                return gradtx.apply_updates(params, updates), state

            state = jax.eval_shape(tx.init, p)
            made = jax.jit(step, donate_argnums=(0, 1)).lower(p, state, p).compile()
            at_init = jax.jit(tx.init).lower(p).compile().memory_analysis().temp_size_in_bytes
            return (
                made.memory_analysis().temp_size_in_bytes / p.size,
                made.cost_analysis()["bytes accessed"],
                at_init / p.size,
            )

        temporary, moved, at_init = bytes_of(store(gradtx.adam(0.1), codec))
        assert temporary < most
        assert moved < 1.05 * bytes_of(gradtx.adam(0.1))[1]
        assert at_init < 0.1


class TestDevices:
    def mesh(self):
        return jax.make_mesh((8,), ("x",), devices=jax.devices()[:8])

    @pytest.mark.parametrize(
        ("codec", "spec"),
        [
            (INT8, ("x",)),
            (INT8, (None, "x")),
            (INT4, ("x",)),
            (INT4, (None, "x")),
            (storage.float8(), ("x",)),
            (storage.factored(INT8), (None, "x")),
        ],
        ids=str,
    )
    def test_split_where_the_parameter_is_and_the_same_numbers(self, codec, spec):
        mesh, tx = self.mesh(), store(gradtx.adam(0.1), codec, min_size=0)
        w = jnp.asarray(np.random.default_rng(0).normal(size=(16, 2048)), jnp.float32)
        split = {"w": jax.device_put(w, NamedSharding(mesh, PartitionSpec(*spec)))}
        state = tx.init(split)
        shardings = state_shardings(tx, split)
        jitted = jax.jit(tx.init, out_shardings=shardings)(split)
        for path, x in paths(jitted).items():
            if ("codes" in path or "scales" in path) and "factored" not in repr(codec):
                assert len(x.addressable_shards[0].data.ravel()) == x.size // 8, path
                assert paths(state)[path].sharding.is_equivalent_to(x.sharding, x.ndim), path
        step = jax.jit(tx.update)
        updates, after = step(split, step(split, state)[1])
        alone, expected = step({"w": w}, step({"w": w}, tx.init({"w": w}))[1])
        np.testing.assert_allclose(updates["w"], alone["w"], rtol=1e-4)
        for path, x in paths(after).items():
            off = np.asarray(x) != np.asarray(paths(expected)[path])
            assert off.mean() < 1e-3 or "factored" in repr(codec), path


@pytest.mark.parametrize("name", STORED)
def test_recipes_stay_near(name):
    """200 steps towards the bottom of a bowl with the coarsest codes end about as low as with float32."""
    case = CASES[name]
    aim = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(4, 6)
    start = aim + 0.5 * np.cos(np.arange(24, dtype=np.float32)).reshape(4, 6)

    def end(tx):
        def body(carry, _):
            w, state = carry
            updates, state = tx.update(w - aim, state, w)
            return (gradtx.apply_updates(w, updates), state), None

        return jax.lax.scan(body, (jnp.asarray(start), tx.init(start)), length=200)[0]

    (w, _), (w4, state) = jax.jit(lambda: [end(case.tx), end(store(case.tx, INT4, min_size=0))])()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating))
    assert float(np.sqrt(np.mean((np.asarray(w4) - np.asarray(w)) ** 2))) < 0.15


def test_codes_of_another_codec_are_not_taken():
    """float8 and int8 have codes of one shape."""
    params = jnp.ones(512)
    of_int8, of_float8 = (store(gradtx.adam(0.1), c, min_size=0) for c in (storage.int8(), storage.float8()))
    with pytest.raises(
        ValueError, match=r"codes of shape \(512,\), uint8, .* storage.float8\(block=256\) does not make"
    ):
        of_float8.update(params, of_int8.init(params), params)


def test_a_role_for_integers():
    """They would stay as they are, unseen."""
    tx = store(gradtx.adam(0.1), storage.int8(), roles={"count": "signed"})
    with pytest.raises(TypeError, match="roles: scale_by_adam/count is int32, but codecs encode only real"):
        tx.init(jnp.ones((8, 8)))
