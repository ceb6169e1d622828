"""Sparse gradients under jit, scan, vmap, grad and wrappers, beside dense leaves; in every precision."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.sparse.lookup import sparse_value_and_grad
from gradtx.sparse.rows import RowSparse
from tests.double import enable_x64

N, D = 9, 2
PARAMS = {"table": jnp.linspace(0.1, 1.0, N * D).reshape(N, D), "w": jnp.ones(3)}
IDS = jnp.asarray([[1, 4, 1], [4, 7, 0], [1, 1, 1]], jnp.int32)
VALUES = jnp.sin(jnp.arange(3.0 * 3 * D)).reshape(3, 3, D) + 0.1
USUAL = gradtx.chain(
    gradtx.clip_by_global_norm(0.5), gradtx.adamw(gradtx.cosine_decay_schedule(0.1, 10), weight_decay=0.1)
)


def grads(ids, values):
    return {"table": RowSparse(ids, values, (N, D)), "w": jnp.ones(3)}


@jax.jit
def stepped(tx, grads, state, params):
    return tx.step(grads, state, params)


def lazily(tx, params=PARAMS, steps=3):
    """What lazy steps are: the dense steps of the touched rows alone, put back."""
    state = tx.init(params)
    for ids, values in zip(IDS[:steps], VALUES[:steps], strict=True):
        rows = np.unique(ids)
        total = np.zeros((N, D), np.float32)
        np.add.at(total, np.asarray(ids), np.asarray(values))

        def of(tree, rows=rows):
            return jax.tree.map(lambda x: np.asarray(x)[rows] if x.shape == (N, D) else x, tree)

        def back(old, new, rows=rows):
            if old.shape != (N, D):
                return new
            whole = np.array(old)
            whole[rows] = new
            return whole

        new, after = stepped(tx, {"table": total[rows], "w": np.ones(3, np.float32)}, of(state), of(params))
        params, state = jax.tree.map(back, (params, state), (new, after))
    return params, state


def assert_close(got, want):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7)


def scanned(tx, params=PARAMS):
    def step(carry, given):
        params, state = carry
        params, state = tx.step(grads(*given), state, params)
        return (params, state), None

    return jax.lax.scan(step, (params, tx.init(params)), (IDS, VALUES))[0]


def test_three_steps_in_one_scan():
    assert_close(jax.jit(scanned, static_argnums=0)(USUAL), lazily(USUAL))


def test_one_program_for_all_steps_and_buffers_reused():
    traced = []

    def step(params, state, ids, values):
        traced.append(1)
        updates, state = USUAL.update(grads(ids, values), state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    params = jax.tree.map(jnp.copy, PARAMS)
    state = USUAL.init(params)
    for ids, values in zip(IDS, VALUES, strict=True):
        old = params
        params, state = compiled(params, state, ids, values)
        assert old["table"].is_deleted()
    assert_close((params, state), lazily(USUAL))
    assert len(traced) == 1


def test_many_learning_rates_at_once():
    rates = jnp.array([0.01, 0.1, 1.0])
    params, _ = jax.jit(jax.vmap(scanned))(jax.vmap(gradtx.adam)(rates))
    for k, rate in enumerate((0.01, 0.1, 1.0)):
        np.testing.assert_allclose(params["table"][k], lazily(gradtx.adam(rate))[0]["table"], rtol=1e-5, atol=1e-6)


def test_a_batch_of_tables():
    tables = jnp.stack([PARAMS["table"], 2 * PARAMS["table"]])
    tx = gradtx.sgd(0.1, 0.9)

    def one(table, ids):
        g = RowSparse(ids, VALUES[0], (N, D))
        return tx.step(g, tx.init(table), table)[0]

    got = jax.jit(jax.vmap(one))(tables, IDS[:2])
    for k in range(2):
        np.testing.assert_allclose(got[k], one(tables[k], IDS[k]), rtol=1e-6)


def test_derivatives_pass():
    def total(rate):
        return jnp.sum(scanned(gradtx.adam(rate))[0]["table"] ** 2)

    of, h = jax.jit(jax.value_and_grad(total)), 1e-2
    slope = float(of(0.1)[1])
    assert slope == pytest.approx(float(of(0.1 + h)[0] - of(0.1 - h)[0]) / (2 * h), rel=1e-2)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision(dtype):
    """The state is float32, the parameters keep their type, and rows that rest keep their bits."""
    params = jax.tree.map(lambda x: x.astype(dtype), PARAMS)
    tx = gradtx.adam(0.1)
    g = {"table": RowSparse(IDS[1], VALUES[1].astype(dtype), (N, D)), "w": jnp.ones(3, dtype)}
    new, state = jax.jit(tx.step)(g, tx.init(params), params)
    assert new["table"].dtype == dtype
    assert state["scale_by_adam"].mu["table"].dtype == jnp.float32
    rest = np.array([1, 2, 3, 5, 6, 8])
    np.testing.assert_array_equal(new["table"][rest], params["table"][rest])
    want = tx.step({**g, "table": g["table"].dense()}, tx.init(params), params)[0]
    touched = np.array([0, 4, 7])
    np.testing.assert_array_equal(new["table"][touched], want["table"][touched])


def test_double_precision():
    with enable_x64(True):
        tx, params = gradtx.adam(0.1), jnp.ones((N, D), jnp.float64)
        g = RowSparse([1, 2], jnp.full((2, D), 1e-3, jnp.float64), (N, D))
        new, state = jax.jit(tx.step)(g, tx.init(params), params)
        assert {x.dtype.name for x in jax.tree.leaves((new, state)) if x.ndim} == {"float64"}


class TestWithWrappers:
    def test_one_bad_row_is_skipped(self):
        tx = gradtx.skip_nonfinite(USUAL)

        def step(state, values):
            return tx.step(grads(IDS[0], values), state, PARAMS)

        step = jax.jit(step)
        params, state = step(tx.init(PARAMS), VALUES[0].at[2, 1].set(jnp.nan))
        assert_close(params, PARAMS)
        assert int(state.skipped) == 1
        params, state = step(state, VALUES[0])
        assert_close((params, state.inner), lazily(USUAL, steps=1))

    def test_the_rest_of_the_model_goes_elsewhere(self):
        """What looks at whole leaves may stand beside, for leaves of its own."""
        tx = gradtx.route({"table": gradtx.adam(0.1)}, default=gradtx.chain(gradtx.centralize(), gradtx.adam(0.1)))
        params = {**PARAMS, "w": jnp.ones((3, 3))}
        updates, _ = jax.jit(tx.update)({**grads(IDS[0], VALUES[0]), "w": jnp.eye(3)}, tx.init(params), params)
        assert isinstance(updates["table"], RowSparse)
        frozen = gradtx.freeze(gradtx.adam(0.1), "table")
        still = frozen.step(grads(IDS[0], VALUES[0]), frozen.init(PARAMS), PARAMS)[0]
        np.testing.assert_array_equal(still["table"], PARAMS["table"])

    def test_rates_that_are_set_by_hand(self):
        tx = gradtx.inject(gradtx.adam(0.5))
        state = gradtx.set_hyperparameters(tx.init(PARAMS), learning_rate=0.1)
        got, _ = tx.step(grads(IDS[0], VALUES[0]), state, PARAMS)
        assert_close(got, lazily(gradtx.adam(0.1), steps=1)[0])

    def test_another_librarys_is_named(self):
        tx = gradtx.chain(gradtx.clip_by_value(1.0), optax.adam(0.1))
        with pytest.raises(TypeError, match=r"foreign cannot take the RowSparse gradient at table row by row"):
            tx.update(grads(IDS[0], VALUES[0]), tx.init(PARAMS), PARAMS)

    def test_nonfinite_is_raised_for_the_leaf(self):
        tx = gradtx.clip_by_global_norm(1.0, nonfinite="raise")
        with pytest.raises(FloatingPointError, match="the update at table has an infinite or NaN entry"):
            tx.update(grads(IDS[0], VALUES[0] * jnp.inf), tx.init(PARAMS), PARAMS)


def test_an_embedding_is_learned():
    """From lookups to parameters: rows that are never looked up keep their bits, the others fit the targets."""
    targets = jnp.asarray(np.random.default_rng(0).normal(size=(N, D)), jnp.float32)
    params, tx = {"table": jnp.zeros((N, D))}, gradtx.adam(0.05)

    def loss(params, ids):
        return jnp.mean((params["table"][ids] - targets[ids]) ** 2)

    def step(carry, ids):
        params, state = carry
        value, g = sparse_value_and_grad(loss, {"table": ids})(params, ids)
        return tx.step(g, state, params), value

    ids = jax.random.randint(jax.random.key(0), (300, 8), 0, N - 1)
    (params, _), values = jax.jit(lambda c: jax.lax.scan(step, c, ids))((params, tx.init(params)))
    assert float(values[-1]) < 1e-3 < float(values[0])
    np.testing.assert_array_equal(params["table"][N - 1], 0.0)
