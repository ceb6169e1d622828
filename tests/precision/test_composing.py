"""Parameters in half precision among other leaves, and the wrappers inside and around other things."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import gradtx
from gradtx.double_precision import double_precision
from gradtx.precision.compensate import compensate
from gradtx.precision.loss_scale import dynamic_loss_scale
from gradtx.precision.master import keep_master
from gradtx.precision.rounding import round_stochastically
from gradtx.precision.split import joined, split24
from gradtx.testing.compare import same_bits, same_types

WRAPPERS = {
    "round_stochastically": functools.partial(round_stochastically, key=0),
    "compensate": compensate,
    "keep_master": keep_master,
    "split24": split24,
}
each = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
RANDOM = np.random.default_rng(0)
W = jnp.asarray(RANDOM.normal(size=(16, 8)), jnp.bfloat16)
G = jnp.asarray(RANDOM.normal(size=(16, 8)), jnp.float32)
CLIPPED = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3, weight_decay=0.1))


def steps(tx, params, grads, count=3, state=None):
    """The parameters and the state after some jitted steps."""
    state = tx.init(params) if state is None else state
    update = jax.jit(tx.update)
    for _ in range(count):
        updates, state = update(grads, state, params)
        params = gradtx.apply_updates(params, updates)
    return params, state


@each
class TestEach:
    def test_other_leaves_are_as_inside(self, wrap):
        params = {"w": W, "b": jnp.ones(3), "c": jnp.ones(2, jnp.complex64), "n": jnp.arange(3), "none": None}
        grads = {"w": G, "b": jnp.arange(3.0), "c": jnp.ones(2, jnp.complex64) * 1j, "n": None, "none": None}
        tx, inner = wrap(gradtx.adam(0.1)), gradtx.adam(0.1)
        update, bare = jax.jit(tx.update)(grads, tx.init(params), params)[0], jax.jit(inner.update)
        expected, _ = bare(grads, inner.init(params), params)
        for name in ("b", "c", "n", "none"):
            same_bits(name, update[name], expected[name])
        own = tx.init(params)._replace(inner=None)
        assert len(jax.tree.leaves(own)) <= 2

    def test_with_double_precision_beside(self, wrap):
        with double_precision():
            params = {"w": W, "d": jnp.ones(3, jnp.float64)}
            tx = wrap(gradtx.adam(0.1))
            grads = {"w": G.astype("float64"), "d": jnp.arange(3, dtype="float64")}
            before = tx.init(params)
            updates, after = jax.jit(tx.update)(grads, before, params)
            same_types("the state", after, before)
            assert updates["d"].dtype == "float64"
            inner = gradtx.adam(0.1)
            same_bits("the update", updates["d"], jax.jit(inner.update)(grads, inner.init(params), params)[0]["d"])

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    def test_updates_of_zero_are_rest(self, wrap, dtype):
        """After steps that leave something in the state; for zeros of both signs."""
        w, tx = jnp.asarray([1.0, -0.5, 0.0, -0.0, 3e-5], dtype), wrap(gradtx.scale(-1e-3))
        w, state = steps(tx, w, jnp.asarray([1.0, 1.0, 0.0, 0.0, 1.0]), 5)
        for zero in (0.0, -0.0):
            later, _ = steps(tx, w, jnp.full(5, zero), 3, state)
            same_bits("the parameters", later, w)

    def test_accumulated_around_and_inside(self, wrap):
        """Between the steps nothing moves; the steps are those of the mean."""
        around = gradtx.accumulate(wrap(gradtx.sgd(0.01)), 2)
        inside = wrap(gradtx.accumulate(gradtx.sgd(0.01), 2))
        for tx in (around, inside):
            state, update = tx.init(W), jax.jit(tx.update)
            first, state = update(G, state, W)
            same_bits("the parameters", gradtx.apply_updates(W, first), W)
            second, state = update(G, state, W)
            moved = np.asarray(gradtx.apply_updates(W, second) != W).mean()
            assert moved > 0.3

    def test_skipped_around_and_inside(self, wrap):
        bad = G.at[0, 0].set(jnp.nan)
        inner = gradtx.sgd(0.01, momentum=0.9)
        for tx in (wrap(gradtx.skip_nonfinite(inner)), gradtx.skip_nonfinite(wrap(inner))):
            w, state = steps(tx, W, G)
            later, after = steps(tx, w, bad, 2, state)
            same_bits("the parameters", later, w)
        same_bits("the inner state", after.inner, state.inner)

    def test_a_nan_is_seen(self, wrap):
        w, state = steps(wrap(gradtx.sgd(0.1)), W, G.at[0, 0].set(jnp.nan), 1)
        assert np.isnan(np.asarray(w, np.float32)).sum() == 1
        own = state._replace(inner=None)
        finite = [x for x in jax.tree.leaves(own) if jnp.issubdtype(x.dtype, jnp.floating) and x.shape == W.shape]
        assert all(np.isfinite(np.asarray(x, np.float32)).sum() >= W.size - 1 for x in finite)

    def test_a_step_that_overflows_is_infinite_as_without(self, wrap):
        tx = wrap(gradtx.scale(-1.0))
        w, _ = steps(tx, jnp.asarray([6e4, -6e4], jnp.float16), jnp.asarray([-1e5, 1e5]), 1)
        expected = [65504.0, -65504.0] if "round" in tx.name else [np.inf, -np.inf]  # chance never rounds to infinity
        np.testing.assert_array_equal(np.asarray(w, np.float32), expected)

    def test_in_a_scan_with_donated_buffers(self, wrap):
        tx = wrap(CLIPPED)
        expected = steps(tx, W, G, 5)

        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def run(w, state):
            return jax.lax.scan(lambda c, _: (tx.step(G, c[1], c[0]), None), (w, state), length=5)[0]

        w, state = run(jnp.array(W), tx.init(W))
        assert np.abs(np.asarray(w, np.float32) - np.asarray(expected[0], np.float32)).max() <= 2.0**-7
        assert np.asarray(w == expected[0]).mean() > 0.99  # an ulp of an update may turn a rounding
        same_types("the state", state, expected[1])

    def test_mapped_over_rates(self, wrap):
        def end(tx):
            return steps_in_one(wrap(tx), W, G)

        rates = jnp.asarray([1e-3, 1e-2, 1e-1])
        mapped = jax.jit(jax.vmap(end))(jax.vmap(gradtx.sgd)(rates))
        for k, rate in enumerate(rates):
            same = np.asarray(mapped[k] == jax.jit(end)(gradtx.sgd(rate)))
            assert same.mean() > 0.99

    def test_the_derivative_is_that_of_what_was_rounded(self, wrap):
        """By the learning rate, through three steps; and by the parameters."""

        def total(rate, w, wrap):
            return jnp.sum(steps_in_one(wrap(gradtx.sgd(rate)), w, G).astype(jnp.float32) * G)

        derivative = jax.jit(jax.grad(total, argnums=(0, 1)), static_argnums=2)
        expected = derivative(jnp.float32(0.1), W.astype("float32"), lambda tx: tx)
        for dtype in ("bfloat16", "float16"):
            slopes = derivative(jnp.float32(0.1), W.astype(dtype), wrap)
            np.testing.assert_allclose(slopes[0], expected[0], rtol=2e-3)  # cotangents of w are in its type
            np.testing.assert_allclose(np.asarray(slopes[1], np.float32), expected[1], rtol=1e-2)

    def test_over_devices_it_is_the_same(self, wrap):
        mesh = Mesh(np.array(jax.devices()), ("d",))
        place = functools.partial(jax.device_put, device=NamedSharding(mesh, PartitionSpec("d")))
        tx = wrap(gradtx.sgd(0.01))
        expected = steps(tx, W, G)
        w, state = steps(tx, place(W), place(G))
        same_bits("the parameters", w, expected[0])
        assert w.sharding == place(W).sharding
        for leaf in jax.tree.leaves(state):
            if leaf.shape == W.shape:
                assert leaf.sharding.is_equivalent_to(w.sharding, 2)

    def test_round_an_optimizer_of_optax(self, wrap):
        tx, params = wrap(optax.adam(0.01)), {"a": {"w": W}}
        state = tx.init(params)
        with jax.numpy_dtype_promotion("standard"):
            for _ in range(3):
                updates, state = tx.update({"a": {"w": G}}, state, params)
                params = optax.apply_updates(params, updates)
        assert params["a"]["w"].dtype == jnp.bfloat16
        descent = np.sign(np.asarray(W, np.float32) - np.asarray(params["a"]["w"], np.float32))
        assert (descent * np.sign(np.asarray(G)) >= 0).all()

    def test_it_needs_the_parameters(self, wrap):
        tx = wrap(gradtx.sgd(0.1))
        with pytest.raises(ValueError, match="needs the parameters"):
            tx.update(G, tx.init(W))

    def test_one_trace_for_many_leaves(self, wrap):
        """Each shape is traced once, however many leaves have it."""
        params = {str(k): W for k in range(30)}
        tx = wrap(gradtx.sgd(0.1))
        text = str(jax.make_jaxpr(tx.update)(dict.fromkeys(params, G), tx.init(params), params))
        assert len(text) < 250_000

    def test_a_state_for_other_types_names_the_leaf(self, wrap):
        tx = wrap(gradtx.sgd(0.1))
        if "round" in tx.name:
            return  # it keeps nothing for a parameter
        half, single = {"a": {"w": W}}, {"a": {"w": W.astype("float32")}}
        grads = {"a": {"w": G}}
        with pytest.raises(ValueError, match=r"has no \w+ for the parameter at a/w, which is now in half precision"):
            tx.update(grads, tx.init(single), half)
        with pytest.raises(ValueError, match=r"has a \w+ for the parameter at a/w, which is not in half precision"):
            tx.update(grads, tx.init(half), single)
        with pytest.raises(ValueError, match=r"at a/w has shape \(3,\), the parameter \(16, 8\)"):
            tx.update(grads, tx.init({"a": {"w": W[0, :3]}}), half)


def steps_in_one(tx, w, grads, count=3):
    """The parameters after some steps, in one scan."""
    return jax.lax.scan(lambda c, _: (tx.step(grads, c[1], c[0]), None), (w, tx.init(w)), length=count)[0][0]


class TestWhoeverElseMovesTheParameters:
    def test_the_master_follows_entry_by_entry(self):
        tx = keep_master(gradtx.scale(-1.0))
        w, state = steps(tx, jnp.ones(3, jnp.bfloat16), jnp.full(3, 1e-4), 5)
        moved = w.at[1].set(2.0)
        _, state = tx.update(jnp.full(3, 1e-4), state, moved)
        np.testing.assert_allclose(state.master, [0.9994, 1.9999, 0.9994], rtol=1e-6)

    def test_24_bits_stay_within_half_a_last_place(self):
        tx = split24(gradtx.scale(-1.0))
        w, state = steps(tx, jnp.ones(2, jnp.bfloat16), jnp.full(2, 1e-3), 7)
        moved = w.at[1].set(0.0)
        off = np.abs(np.asarray(joined(moved, state.low)) - np.asarray(moved, np.float32))
        assert off[0] <= 2.0**-9
        assert off[1] <= 2.0**-133
        assert np.isfinite(off).all()

    def test_the_master_survives_a_step_that_does_not_land(self):
        """From 2 down to a value that no float32 update of 2 reaches: the master is where the parameter is."""
        tx = keep_master(gradtx.scale(-1.0))
        w = jnp.asarray(2.0, jnp.bfloat16)
        state = tx.init(w)._replace(master=jnp.float32(2 - 2.0**-23))
        update, state = tx.update(jnp.float32(2 - 2.0**-23 - 3 * 2.0**-25), state, w)
        assert float(gradtx.apply_updates(w, update)) == float(state.master)


def test_what_the_inside_sees():
    """The master, and the 24 bits; a function of the parameters is given them too."""
    seen = []

    def update(updates, state, params=None):
        seen.append(params.dtype.name)
        return updates, state

    def init(params):
        seen.append(params.dtype.name)
        return ()

    pair = (init, update)
    for wrap, dtype in ((keep_master, "float32"), (split24, "float32"), (compensate, "bfloat16")):
        tx = wrap(pair)
        state = tx.init(W)
        seen.clear()
        tx.update(G, state, W)
        assert set(seen) == {dtype}


def test_an_average_inside_is_of_what_is_exact():
    tx = keep_master(gradtx.average(gradtx.scale(-1.0)))
    _, state = steps(tx, jnp.ones((), jnp.bfloat16), jnp.float32(1e-4), 4)
    assert float(gradtx.averaged(state)) == pytest.approx(1 - 2.5e-4, rel=1e-6)


def test_bytes_a_parameter():
    """By shapes alone: 0, 2, 4 and 1."""
    shapes = jax.ShapeDtypeStruct((1000, 1000), jnp.bfloat16)
    for wrap, size in zip(WRAPPERS.values(), (0, 2, 4, 1), strict=True):
        state = jax.eval_shape(wrap(gradtx.scale(-1.0)).init, shapes)
        kept = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
        assert size * 10**6 <= kept <= size * 10**6 + 64


def test_in_one_pile():
    """Scaled, clipped, accumulated, averaged and mastered."""
    tx = dynamic_loss_scale(gradtx.accumulate(keep_master(gradtx.average(CLIPPED)), 2), initial_scale=8.0)
    w, state = steps(tx, W, G * 8, 4)
    expected, _ = steps(gradtx.accumulate(CLIPPED, 2), W.astype("float32"), G, 4)
    np.testing.assert_array_equal(w, expected.astype("bfloat16"))
    assert float(state.scale) == 8.0


@pytest.mark.parametrize("wrap", [gradtx.compensate, gradtx.keep_master, gradtx.split24])
def test_nothing_may_change_where_it_lands(wrap):
    """What comes after would lead elsewhere, and stall."""
    tx = wrap(gradtx.sgd(1.0))
    for build in (
        lambda: gradtx.chain(tx, gradtx.scale(0.5)),
        lambda: gradtx.chain(gradtx.accumulate(tx, 2), gradtx.scale(0.5)),
        lambda: gradtx.schedule_free(tx, 0.1),
        lambda: gradtx.lookahead(tx),
    ):
        with pytest.raises(ValueError, match=f"changes the updates of {wrap.__name__}.* put {wrap.__name__} outside"):
            build()
    gradtx.chain(gradtx.clip_by_value(1.0), tx)
