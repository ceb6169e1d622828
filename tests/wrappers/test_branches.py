"""`add`, `graft` and `keep_norm` against plain formulas in float64, at the ends of the range, and round bad input."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx import add, chain, ema, graft, identity, keep_norm, scale, scale_by_adam, scale_by_sign, sgd
from tests.double import enable_x64
from tests.transforms.agreement import gradients, run, ulps

W = {"w": jnp.ones((2, 3)), "b": jnp.ones(2)}
G = {"w": jnp.arange(6.0).reshape(2, 3) - 2.0, "b": jnp.array([3.0, -4.0])}


def once(tx, grads=G, params=W, **extra):
    return tx.update(grads, tx.init(params), params, **extra)[0]


def by_numpy(d, m, axes):
    """d·‖m‖/‖d‖ in float64; 0 where d is 0."""
    old, new = (np.sqrt(np.sum(np.abs(x) ** 2, axis=axes, keepdims=True)) for x in (d, m))
    return d * np.divide(new, old, out=np.zeros_like(new), where=old > 0)


def lengths(per):
    """The axes that are summed for a leaf of 48 entries as 6 x 8."""
    return {"leaf": (0, 1), "channel": (0,), -2: (1,), "entry": ()}[per]


def stated(factory):
    text = " ".join(factory.factory.body.__doc__.split())
    return int(re.search(r"ithin (\d+) ulp", text).group(1))


class TestAdd:
    def test_sum_over_1000_steps(self):
        """Within 1 ulp of the terms' sum; a branch has the state that it has alone."""
        members = {"a": ema(0.9), "b": chain(ema(0.99, debias=False), scale(2.0)), "c": identity()}
        (got, state), alone = run(add(**members), gradients()), {k: run(tx, gradients()) for k, tx in members.items()}
        terms = [np.asarray(u, np.float64) for u, _ in alone.values()]
        assert ulps(got, sum(terms), sum(np.abs(x) for x in terms)) <= 2 * stated(add)
        assert state.keys() == {"a", "b"}
        for key in state:
            jax.tree.map(np.testing.assert_array_equal, state[key], alone[key][1])

    def test_names(self):
        tx = add(ema(0.9), ema(0.5), chain(ema(0.1)), own=ema(0.2))
        assert tx.init(W).keys() == {"ema", "ema_1", "chain", "own"}
        with pytest.raises(ValueError, match="two members named 'ema'"):
            add(ema(0.9), ema=ema(0.5))

    def test_extra_arguments_reach_the_branch_that_takes_them(self):
        tx = add(sgd(0.1), gradtx.chain(sgd(0.1), gradtx.reduce_on_plateau()))
        np.testing.assert_allclose(once(tx, value=1.0)["b"], -0.2 * G["b"], rtol=1e-6)
        with pytest.raises(TypeError, match="reduce_on_plateau needs value"):
            once(tx)

    def test_rows_of_every_branch_meet(self):
        """Also where a branch has been through a condition, and its rows are new arrays."""
        table, rows = jnp.ones((5, 2)), gradtx.RowSparse(jnp.array([3, 1, 3]), jnp.ones((3, 2)), (5, 2))
        tx = add(scale_by_adam(), gradtx.every(sgd(0.5), 2))
        dense, jitted = rows.dense(), jax.jit(tx.update)
        first, state = jitted(dense, tx.init(table), table)
        second, _ = jitted(dense, state, table)
        for update in (tx.update, jitted):
            state = tx.init(table)
            for want in (first, second):
                got, state = update(rows, state, table)
                np.testing.assert_allclose(np.asarray(got.dense())[[1, 3]], np.asarray(want)[[1, 3]], rtol=1e-6)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="there must be at least one member"):
            add()
        with pytest.raises(ValueError, match="add changes the updates of compensate"):
            add(gradtx.compensate(sgd(0.1)), sgd(0.1))
        with pytest.raises(TypeError, match=r"add: the state has an entry 'x'.*Make the state with this add's own"):
            add(ema(0.9)).update(G, {"x": ()}, W)
        with pytest.raises(TypeError, match="add: updates and state are swapped"):
            add(a=ema(0.9)).update(add(a=ema(0.9)).init(W), G)
        lost = optax.GradientTransformation(lambda p: (), lambda u, s, p=None: ({**u, "w": u["w"][:1]}, s))
        with pytest.raises(ValueError, match=r"update of lost at w has shape \(1, 3\), the update of sgd \(2, 3\)"):
            once(add(sgd(0.1), lost=lost))


class TestGraft:
    @pytest.mark.parametrize("per", ["leaf", "channel", -2, "entry"])
    def test_against_numpy(self, per):
        """1,000 steps of Adam's direction with the length of a momentum, on gradients from 1e-15 to 1e15."""
        shaped = gradients().reshape(-1, 6, 8)
        d, m = (np.asarray(run(tx, shaped)[0], np.float64) for tx in (scale_by_adam(), ema(0.9)))
        want = np.stack([by_numpy(a, b, lengths(per)) for a, b in zip(d, m, strict=True)])
        got, _ = run(graft(scale_by_adam(), ema(0.9), per), shaped)
        assert ulps(got, want, np.abs(want)) <= stated(graft)

    def test_the_whole_tree(self):
        got = once(graft(scale_by_sign(), identity(), "tree"))
        np.testing.assert_allclose(gradtx.global_norm(got), gradtx.global_norm(G), rtol=1e-6)
        np.testing.assert_allclose(got["w"][1, 2], got["b"][0], rtol=1e-6)

    def test_float64(self):
        with enable_x64(True):
            d, m = np.array([[1e-200, 3.0], [4.0, -0.0]]), np.array([[1.0, 1e200], [2.0, 5.0]])
            tx = graft(identity(), chain(scale(0.0), gradtx.add_decayed_weights(1.0)))
            got, _ = tx.update(jnp.asarray(d), tx.init(jnp.asarray(m)), jnp.asarray(m))
            np.testing.assert_allclose(got, d / 5.0 * 1e200, rtol=1e-15)

    @pytest.mark.parametrize("per", ["tree", "leaf", "channel", 0, "entry"])
    @pytest.mark.parametrize("dtype", ["float32", "complex64", "bfloat16"])
    def test_of_itself_is_itself_to_the_bit(self, per, dtype):
        numbers = np.concatenate([gradients()[:6].ravel()[:40], [0.0, -0.0, 1e-40, 3e38, 1e-38, -1.0, 0.0, -0.0]])
        g = jnp.asarray(numbers.reshape(6, 8), dtype) * jnp.asarray(1 + 1j if dtype == "complex64" else 1, dtype)
        tx = graft(identity(), identity(), per)
        for update in (tx.update, jax.jit(tx.update)):
            got = update(g[:5], tx.init(g[:5]))[0]
            assert np.asarray(got).tobytes() == np.asarray(g[:5]).astype(got.dtype).tobytes()

    @pytest.mark.parametrize("per", ["tree", "leaf", "channel", "entry"])
    def test_a_direction_of_zero_stays_zero(self, per):
        tx, zero = graft(scale(0.0), identity(), per), jax.tree.map(jnp.zeros_like, G)
        jax.tree.map(np.testing.assert_array_equal, once(tx), zero)
        jax.tree.map(np.testing.assert_array_equal, once(graft(identity(), identity(), per), zero), zero)
        grads = jax.jit(jax.grad(lambda g: sum(jnp.sum(x**2) for x in jax.tree.leaves(once(tx, g)))))(zero)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))

    @pytest.mark.parametrize("per", ["tree", "leaf", "channel", "entry"])
    @pytest.mark.parametrize(("small", "large"), [(1e-30, 1e30), (1e30, 1e-30), (2e-38, 1.0), (1e37, 1e-3)])
    def test_lengths_far_apart(self, per, small, large):
        """Whose ratio is not in the range of float32."""
        tx = graft(scale(small), scale(large), per)
        got = once(tx, {"w": jnp.ones((4, 4))}, {"w": jnp.ones((4, 4))})["w"]
        np.testing.assert_allclose(got, np.full((4, 4), large), rtol=1e-6)

    def test_in_shard_map_the_norm_is_that_of_all_parts(self):
        g = jnp.arange(1.0, 9.0)
        tx, whole = graft(scale_by_sign(), identity(), axis_name="i"), once(graft(scale_by_sign(), identity()), g, g)
        parts = jax.vmap(lambda x: tx.update(x, tx.init(x))[0], axis_name="i")(g.reshape(4, 2))
        np.testing.assert_allclose(parts.ravel(), whole, rtol=1e-6)

    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"per must be one of 'tree', .*; got 'leafs' \(did you mean 'leaf'"):
            graft(identity(), identity(), "leafs")
        with pytest.raises(ValueError, match=r"the update at w has shape \(2, 3\), no axis 2"):
            once(graft(identity(), identity(), 2))
        with pytest.raises(ValueError, match=r"those of adam against it.*put scale_by_learning_rate after graft"):
            graft(scale_by_adam(), gradtx.adam(0.1))
        with pytest.raises(ValueError, match="graft changes the updates of split24"):
            graft(sgd(0.1), gradtx.split24(sgd(0.1)))
        lost = optax.GradientTransformation(lambda p: (), lambda u, s, p=None: ({"w": u["w"]}, s))
        with pytest.raises(ValueError, match="there is no update of the magnitude at b"):
            once(graft(sgd(0.1), lost))


LOW = gradtx.frames.low_rank(1)
LOSING = {
    "update of the filter at b": gradtx.divide_by_rms,
    "update of outer_tx at b": lambda tx: gradtx.outer(sgd(0.1), tx, 1),
    "update of the direction at b": lambda tx: graft(tx, identity(), through=LOW),
    "update in the frame at b": lambda tx: gradtx.in_frame(tx, LOW),
    "update at b, where there is a parameter": lambda tx: gradtx.outer(tx, sgd(1.0), 2),
    "update at b, where there is a gradient": lambda tx: gradtx.adapt_learning_rate(
        tx, gradtx.rates.distance(), per="leaf"
    ),
}


@pytest.mark.parametrize("words", LOSING)
def test_a_leaf_that_is_lost_inside_is_named(words):
    tx = LOSING[words]((lambda p: (), lambda u, s, p=None: ({"w": u["w"]}, s)))
    with pytest.raises(ValueError, match=f"there is no {words}"):
        once(tx)


def test_keep_norm():
    got = once(keep_norm(scale_by_adam(), "channel"))
    for leaf in G:
        axes = 0 if leaf == "w" else None
        np.testing.assert_allclose(np.linalg.norm(got[leaf], axis=axes), np.linalg.norm(G[leaf], axis=axes), rtol=1e-6)
    assert keep_norm(scale_by_sign()).piece == graft(scale_by_sign(), identity())
