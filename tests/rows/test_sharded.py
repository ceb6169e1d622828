"""A table that lies by rows on eight devices: the same steps as on one, and everything stays where it was."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gradtx
from gradtx.sparse.lookup import sparse_value_and_grad
from gradtx.sparse.rows import RowSparse
from gradtx.sparse.skipped_rows import decay_skipped_rows

N, D = 64, 4
RANDOM = np.random.default_rng(0)
TABLE = jnp.asarray(RANDOM.normal(size=(N, D)), jnp.float32)
IDS = jnp.asarray(RANDOM.integers(0, N, size=(3, 10)), jnp.int32)
VALUES = jnp.asarray(RANDOM.normal(size=(3, 10, D)), jnp.float32)

CHAINS = {
    "clip + adamw": gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(0.1, weight_decay=0.1)),
    "exact": decay_skipped_rows(gradtx.adam(0.1), "**"),
}


def by_rows():
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("rows")), NamedSharding(mesh, PartitionSpec())


@pytest.mark.parametrize("name", CHAINS)
def test_steps_on_eight_devices(name):
    tx = CHAINS[name]

    def step(params, state, ids, values):
        return tx.step(RowSparse(ids, values, (N, D)), state, params)

    rows, whole = by_rows()
    many = jax.device_put(TABLE, rows)
    one, one_state, many_state = TABLE, tx.init(TABLE), tx.init(many)
    shardings = jax.tree.map(lambda x: rows if x.shape == (N, D) else x.sharding, many_state)
    on_one, on_many = jax.jit(step), jax.jit(step, donate_argnums=(0, 1), out_shardings=(rows, shardings))
    gathered = on_many.lower(many, many_state, IDS[0], VALUES[0]).compile().as_text()
    assert f"f32[{N},{D}]" not in gathered  # nobody has the whole table
    for ids, values in zip(IDS, VALUES, strict=True):
        one, one_state = on_one(one, one_state, ids, values)
        many, many_state = on_many(many, many_state, *(jax.device_put(x, whole) for x in (ids, values)))
    assert many.sharding.is_equivalent_to(rows, 2)
    for a, b in zip(jax.tree.leaves((one, one_state)), jax.tree.leaves((many, many_state)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
        if a.shape == (N, D):
            assert b.sharding.is_equivalent_to(rows, 2)


def test_without_being_told_it_stays_where_it_is():
    tx = gradtx.adam(0.1)
    rows, _ = by_rows()
    table = jax.device_put(TABLE, rows)
    params, state = jax.jit(lambda p, s: tx.step(RowSparse(IDS[0], VALUES[0], (N, D)), s, p))(table, tx.init(table))
    for x in jax.tree.leaves((params, state)):
        assert x.ndim == 0 or x.sharding.is_equivalent_to(rows, 2)


def test_lookups():
    rows, _ = by_rows()

    def grads(table, ids):
        return sparse_value_and_grad(lambda p, i: jnp.sum(p["t"][i] ** 2), {"t": ids})({"t": table}, ids)

    value, one = jax.jit(grads)(TABLE, IDS)
    program = jax.jit(grads).lower(jax.device_put(TABLE, rows), IDS).compile()
    assert f"f32[{N},{D}]" not in program.as_text()
    same, many = program(jax.device_put(TABLE, rows), IDS)
    np.testing.assert_allclose(value, same, rtol=1e-6)
    np.testing.assert_allclose(one["t"].dense(), many["t"].dense(), rtol=1e-6)
