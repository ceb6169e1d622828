"""`decay_skipped_rows`: the moments of a row are those of dense gradients whenever it has one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.catalog import ENTRIES
from gradtx.sparse.rows import RowSparse
from gradtx.sparse.skipped_rows import decay_skipped_rows
from tests.double import enable_x64

N, D, K, STEPS = 12, 3, 4, 300

PIECES = [e for e in ENTRIES.values() if e.kind == "piece" and e.normalizes is not None and e.fields]
EXACT = {
    **{
        f"{entry.name} {setting}".strip(): entry.make(setting)
        for entry in PIECES
        for setting in entry.settings
        if entry.make(setting).traits.sparse_rows
        and "variance" not in entry.fields.get("nu", "")  # does not say what skipped steps do
    },
    "no past": gradtx.ema(0.0),
    "from a start": gradtx.scale_by_rms(0.9, initial_scale=0.5),
    "a long past": gradtx.scale_by_rms(0.99, bias_correction=True),
    "clip + adam": gradtx.chain(gradtx.clip_by_global_norm(0.5), gradtx.adam(1e-2)),
}


def steps(dtype=jnp.float32):
    """Some indices a step, of which some rows are rare and some come twice; the rows' values."""
    random = np.random.default_rng(0)
    share = 0.5 ** np.arange(N)
    ids = random.choice(N, p=share / share.sum(), size=(STEPS, K)).astype(np.int32)
    return jnp.asarray(ids), jnp.asarray(random.normal(size=(STEPS, K, D)), dtype)


def run(inner, dtype=jnp.float32):
    """The updates of touched rows, sparse and dense, over all steps in one scan."""
    tx, params = decay_skipped_rows(inner, "table"), {"table": jnp.zeros((N, D), dtype), "bias": jnp.zeros(2, dtype)}

    def step(carry, given):
        state, dense_state = carry
        ids, values = given
        g = {"table": RowSparse(ids, values, (N, D)), "bias": jnp.ones(2, dtype)}
        u, state = tx.update(g, state, params)
        w, dense_state = inner.update({**g, "table": g["table"].dense()}, dense_state, params)
        touched = jnp.zeros(N, bool).at[ids].set(True)[:, None]
        out = [jnp.where(touched, x, 0.0) for x in (u["table"].dense(), w["table"])]
        return (state, dense_state), (*out, u["bias"], w["bias"])

    return jax.jit(lambda s: jax.lax.scan(step, s, steps(dtype)))((tx.init(params), inner.init(params)))


@pytest.mark.parametrize("name", EXACT)
def test_as_dense_gradients_over_300_steps(name):
    (_, _), (u, w, bias, dense_bias) = run(EXACT[name])
    assert float(jnp.abs(w).max()) > 0
    np.testing.assert_allclose(u, w, rtol=5e-6, atol=5e-6 * float(jnp.abs(w).max()))
    np.testing.assert_allclose(bias, dense_bias, rtol=1e-6)


@pytest.mark.parametrize("name", ["scale_by_adam", "add_momentum"])
def test_in_double_precision_it_is_rounding(name):
    with enable_x64(True):
        (_, _), (u, w, *_) = run(EXACT[name], jnp.float64)
        assert u.dtype == jnp.float64
        np.testing.assert_allclose(u, w, rtol=1e-13, atol=1e-13)


def test_without_it_they_differ():
    """What the tests above would not see if skipped steps were left out."""
    tx, params = gradtx.add_momentum(0.5), jnp.zeros((2, 1))
    results = []
    for wrapped in (tx, decay_skipped_rows(tx, "**")):
        state = wrapped.init(params)
        for row in (0, 1, 1, 0):
            u, state = wrapped.update(RowSparse([row], jnp.ones((1, 1)), (2, 1)), state, params)
        results.append(float(u.dense()[0, 0]))
    assert results == [1.5, 1.125]


def test_a_dense_gradient_touches_all_rows():
    tx, params = decay_skipped_rows(gradtx.add_momentum(0.5), "**"), jnp.zeros((2, 1))
    state = tx.init(params)
    ones = jnp.ones((2, 1))
    for g in (ones, RowSparse([0], ones[:1], (2, 1)), RowSparse([0], ones[:1], (2, 1))):
        _, state = tx.update(g, state, params)
    u, state = tx.update(ones, state, params)
    assert isinstance(u, jax.Array)
    np.testing.assert_array_equal(u, [[1.875], [1.125]])
    np.testing.assert_array_equal(state.touched, [4, 4])
    assert int(state.count) == 4


def test_a_decay_that_is_traced_or_zero():
    def total(decay):
        tx, params = decay_skipped_rows(gradtx.add_momentum(decay), "**"), jnp.zeros((2, 1))
        state = tx.init(params)
        for row in (0, 1, 0):
            u, state = tx.update(RowSparse([row], jnp.ones((1, 1)), (2, 1)), state, params)
        return u.dense()[0, 0]

    for decay in (0.0, 0.5, 1.0):
        value, slope = jax.value_and_grad(total)(decay)
        assert (float(value), float(slope)) == pytest.approx((1 + decay**2, 2 * decay), rel=1e-6)


def test_what_it_refuses():
    params = {"table": jnp.zeros((N, D)), "other": jnp.zeros((N, D)), "gain": jnp.zeros(())}
    g = {"table": RowSparse([1], jnp.ones((1, D)), (N, D)), "other": jnp.zeros((N, D)), "gain": jnp.zeros(())}
    tx = decay_skipped_rows(gradtx.adam(0.1), "other")
    with pytest.raises(ValueError, match="gradient at table is a RowSparse, but not in the rows of decay_skipped"):
        tx.update(g, tx.init(params), params)
    with pytest.raises(ValueError, match="parameter at gain is in rows, but is a scalar"):
        decay_skipped_rows(gradtx.adam(0.1), ("table", "gain")).init(params)
    with pytest.raises(ValueError, match=r"decay_skipped_rows: the rule 'tabel' matches no leaf; nearest: table"):
        decay_skipped_rows(gradtx.adam(0.1), "tabel").init(params)
    tx = decay_skipped_rows(gradtx.chain(gradtx.scale(2.0), gradtx.rmsprop(0.1, centered=True)), "table")
    with pytest.raises(TypeError, match=r"scale_by_std\w+ does not say what steps without gradient do to its state"):
        tx.update(g, tx.init(params), params)
    with pytest.raises(ValueError, match=r"gradient at table has shape \(3, 3\), the parameter \(12, 3\)"):
        tx.update({**g, "table": RowSparse([1], jnp.ones((1, D)), (3, D))}, tx.init(params), params)
