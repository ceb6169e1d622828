"""A table, a batch of rows and a step, sparse and dense: what the tests of cost and the benchmarks share."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.sparse.rows import RowSparse

SHAPE, ROWS = (200_000, 64), 1024


def sparse_step(tx, shape=SHAPE, rows=ROWS):
    """The compiled step from `(params, state, indices, values)`, the first two donated; and what it takes."""
    random = np.random.default_rng(0)
    table = jnp.zeros(shape, jnp.float32)
    indices = jnp.asarray(random.integers(0, shape[0], rows), jnp.int32)
    values = jnp.asarray(random.normal(size=(rows, *shape[1:])), jnp.float32)

    def step(params, state, indices, values):
        return tx.step(RowSparse(indices, values, shape), state, params)

    state = tx.init(table)
    return _compiled(step, table, state, indices, values), (table, state, indices, values)


def dense_step(tx, shape=SHAPE):
    """The same with the dense gradient."""
    table, g = jnp.zeros(shape, jnp.float32), jnp.ones(shape, jnp.float32)
    state = tx.init(table)
    return _compiled(lambda params, state, g: tx.step(g, state, params), table, state, g), (table, state, g)


def seconds(compiled, arguments, times):
    """The seconds of a step, after one that is not counted; and the arguments for more."""
    params, state, *gradient = arguments
    params, state = compiled(params, state, *gradient)
    jax.block_until_ready((params, state))
    start = time.perf_counter()
    for _ in range(times):
        params, state = compiled(params, state, *gradient)
    jax.block_until_ready((params, state))
    return (time.perf_counter() - start) / times, (params, state, *gradient)


def _compiled(step, *arguments):
    return jax.jit(step, donate_argnums=(0, 1)).lower(*arguments).compile()
