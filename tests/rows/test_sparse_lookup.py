"""Gradients of lookups as rows: the dense ones, however a loss looks up; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.sparse.lookup import sparse_lookup, sparse_value_and_grad
from gradtx.sparse.rows import RowSparse

N, D = 50, 3
RANDOM = np.random.default_rng(0)
PARAMS = {
    "emb": {"table": jnp.asarray(RANDOM.normal(size=(N, D)), jnp.float32)},
    "w": jnp.asarray(RANDOM.normal(size=(D, 2)), jnp.float32),
    "steps": 3,
}
IDS = jnp.asarray(RANDOM.integers(0, N, size=(4, 5)), jnp.int32).at[0, 0].set(7).at[1, 1].set(7)
OTHERS = jnp.asarray([7, 3, 49], jnp.int32)


def plain(params, ids, others):
    return jnp.sum(jnp.tanh(params["emb"]["table"][ids] @ params["w"]) ** 2)


def twice(params, ids, others):
    table = params["emb"]["table"]
    return plain(params, ids, others) * jnp.sum(sparse_lookup(table, others)) + jnp.sum(table[ids[0]])


def vmapped(params, ids, others):
    return jnp.sum(jax.vmap(lambda i: jnp.sin(params["emb"]["table"][i]).sum())(ids))


def vmapped_with_params(params, ids, others):
    def one(params, i):
        return jnp.sin(params["emb"]["table"][i]).sum()

    return jnp.sum(jax.vmap(jax.vmap(one, (None, 0)), (None, 0))(params, ids))


def checkpointed(params, ids, others):
    return jax.checkpoint(lambda p, i: jnp.sum(jnp.cos(p["emb"]["table"][i]) @ p["w"]))(params, ids)


def scanned(params, ids, others):
    def body(total, i):
        return total + jnp.sum(params["emb"]["table"][i] ** 2), None

    return jax.lax.scan(body, 0.0, ids)[0]


def jitted(params, ids, others):
    return jax.jit(plain)(params, ids, others)


LOSSES = [plain, twice, vmapped, vmapped_with_params, checkpointed, scanned, jitted]


@pytest.mark.parametrize(("loss", "jit"), [*((loss, True) for loss in LOSSES), (plain, False), (twice, False)])
def test_as_the_dense_gradient(loss, jit):
    trained = {k: v for k, v in PARAMS.items() if k != "steps"}
    want = jax.jit(jax.value_and_grad(loss))(trained, IDS, OTHERS)

    def sparse(params, ids, others):
        return sparse_value_and_grad(loss, {"emb/table": {"a": ids, "b": others}})(params, ids, others)

    value, grads = (jax.jit(sparse) if jit else sparse)(PARAMS, IDS, OTHERS)
    table = grads["emb"]["table"]
    assert isinstance(table, RowSparse)
    assert table.values.shape == (IDS.size + OTHERS.size, D)
    np.testing.assert_allclose(value, want[0], rtol=1e-6)
    np.testing.assert_allclose(table.dense(), want[1]["emb"]["table"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(grads["w"], want[1]["w"], rtol=1e-5, atol=1e-6)
    assert grads["steps"] is None


def test_several_tables_and_aux():
    params = {"user": jnp.ones((9, 2)), "item": jnp.ones((2000, 2)), "b": jnp.zeros(2)}

    def loss(params, u, i):
        x = params["user"][u] * params["item"][i] + params["b"][None]
        return jnp.sum(x**2), {"x": x}

    u, i = jnp.array([1, 1, 2]), jnp.array([1999, 5, 5])
    (value, aux), grads = sparse_value_and_grad(loss, {"user": u, "item": i}, has_aux=True)(params, u, i)
    want, _ = jax.grad(loss, has_aux=True)(params, u, i)
    assert (float(value), aux["x"].shape) == (6.0, (3, 2))
    assert grads["user"].values.shape == (3, 2)
    for name in ("user", "item"):
        np.testing.assert_allclose(grads[name].dense(), want[name])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_tables(dtype):
    def loss(p, i):
        return jnp.sum(p["t"][i].astype(jnp.float32))

    _, grads = sparse_value_and_grad(loss, {"t": jnp.array([1, 1])})({"t": jnp.ones((4, 2), dtype)}, jnp.array([1, 1]))
    assert grads["t"].dtype == dtype
    np.testing.assert_array_equal(grads["t"].dense()[1].astype(jnp.float32), 2.0)


def test_no_table_in_the_program():
    """200,000 rows, of which 64 are looked up: nothing but the parameter itself has their size."""
    table, ids = jax.ShapeDtypeStruct((200_000, 64), jnp.float32), jax.ShapeDtypeStruct((64,), jnp.int32)

    def grads(params, ids):
        return sparse_value_and_grad(lambda p, i: jnp.sum(p["t"][i] ** 2), {"t": ids})(params, ids)

    memory = jax.jit(grads).lower({"t": table}, ids).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 200_000
    assert memory.output_size_in_bytes < 20_000


class TestLookup:
    def test_is_indexing(self):
        table = PARAMS["emb"]["table"]
        np.testing.assert_array_equal(sparse_lookup(table, IDS), table[IDS])
        assert sparse_lookup(table, 3).shape == (D,)
        got = jax.grad(lambda t: jnp.sum(sparse_lookup(t, IDS) ** 2))(table)
        np.testing.assert_allclose(got, jax.grad(lambda t: jnp.sum(t[IDS] ** 2))(table))

    def test_ids_out_of_range(self):
        table = PARAMS["emb"]["table"]
        for bad in (50, -1):
            with pytest.raises(ValueError, match=f"ids must be from 0 to 49; got {bad}"):
                sparse_lookup(table, [1, bad])
            with pytest.raises(ValueError, match=f"the ids for emb/table must be from 0 to 49; got {bad}"):
                sparse_value_and_grad(plain, {"emb/table": [1, bad]})(PARAMS, IDS, OTHERS)
            rows = jax.jit(sparse_lookup)(table, jnp.array([1, bad]))
            assert np.isnan(rows).tolist() == [[False] * D, [True] * D]
            step = jax.jit(lambda p, i: sparse_value_and_grad(plain, {"emb/table": i})(p, i, i))
            assert np.isnan(step(PARAMS, jnp.array([1, bad]))[0])
        with pytest.raises(TypeError, match="ids must be integers; got float32"):
            sparse_lookup(table, jnp.ones(2))

    @pytest.mark.parametrize(
        ("use", "message"),
        [
            (lambda t: jnp.ones((1, D)) @ t.T, r"as table\[ids\]; 'T' would need all rows\."),
            (lambda t: t @ jnp.ones((D, 1)), r"arithmetic \(matmul\) would need all rows"),
            (
                lambda t: jnp.sum(t),
                "other functions of an array would need all rows; for jnp.take use gradtx.sparse_lookup",
            ),
            (lambda t: t[1:3], r"read a table as table\[ids\] with an array of ids; got slice"),
            (lambda t: t[1, 2], r"read a table as table\[ids\] with an array of ids; got \(1, 2\)"),
            (lambda t: sum(jnp.sum(x**2) for x in jax.tree.leaves(t)), "key"),
        ],
    )
    def test_other_uses_of_the_table(self, use, message):
        with pytest.raises((TypeError, AttributeError), match=message):
            sparse_value_and_grad(lambda p: jnp.sum(use(p["t"])), {"t": jnp.array([1])})({"t": jnp.ones((N, D))})

    def test_rules(self):
        with pytest.raises(ValueError, match="the rule 'emb/tabel' matches no leaf; nearest: emb/table"):
            sparse_value_and_grad(plain, {"emb/tabel": IDS})(PARAMS, IDS, OTHERS)
        with pytest.raises(ValueError, match=r"the rule '\*\*' must match one table; it matches emb/table, w"):
            sparse_value_and_grad(plain, {"**": IDS})(PARAMS, IDS, OTHERS)
        with pytest.raises(ValueError, match="two rules match emb/table; use one, with the ids in a tree"):
            sparse_value_and_grad(plain, {"emb": IDS, "emb/table": IDS})(PARAMS, IDS, OTHERS)
        with pytest.raises(TypeError, match="lookups must map each table to its ids"):
            sparse_value_and_grad(plain, "emb/table")
        with pytest.raises(ValueError, match="the parameter at g is a scalar"):
            sparse_value_and_grad(plain, {"g": IDS})({"g": 1.0}, IDS, OTHERS)

    def test_nothing_looked_up(self):
        _, grads = sparse_value_and_grad(plain, {"emb/table": IDS[:0]})(PARAMS, IDS[:0], OTHERS)
        assert grads["emb"]["table"].values.shape == (0, D)


def test_an_id_that_was_not_announced():
    """Eagerly it is an error; traced, NaN."""
    params = {"table": jnp.ones((6, 2))}
    run = sparse_value_and_grad(lambda p, ids: jnp.sum(p["table"][ids]), {"table": jnp.array([1, 4])})
    with pytest.raises(ValueError, match="the loss looks up the id 3, which is not in `lookups`"):
        run(params, jnp.array([4, 3]))
    assert jnp.isnan(jax.jit(run)(params, jnp.array([4, 3]))[0])


@pytest.mark.parametrize("use", [lambda t: t @ jnp.ones(2), lambda t: jnp.ones(6) @ t, lambda t: jnp.take(t, 1, 0)])
def test_what_needs_the_table_says_so(use):
    """Also where JAX would ask for an array."""
    run = sparse_value_and_grad(lambda p: jnp.sum(use(p["table"])), {"table": jnp.array([1])})
    with pytest.raises(TypeError, match="a loss gets only the rows of a table that it looks up"):
        run({"table": jnp.ones((6, 2))})
