"""`reduce_on_plateau` against a plain loop with branches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradtx
from gradtx import reduce_on_plateau, sgd
from gradtx.testing.compare import same_types
from tests.reference_averages import plateau
from tests.transforms.agreement import enable_x64

W, G = jnp.zeros(2), jnp.array([1.0, -3.0])


def states(tx, values, params=W):
    """The state after each value, by a scan."""

    def step(state, value):
        updates, state = tx.update(jnp.ones_like(params), state, params, value=value)
        return state, (updates, state)

    return jax.lax.scan(step, tx.init(params), jnp.asarray(values))[1]


def losses(seed, steps=400):
    """A loss that falls, stalls, jumps and is noisy; exact in float32."""
    rng = np.random.default_rng(seed)
    base = np.repeat(np.cumprod(rng.choice([1.0, 1.0, 0.7, 1.3], 40)), steps // 40)
    return (10 * base * (1 + rng.choice([0.0, 1e-3, 0.2]) * rng.standard_normal(steps))).astype(np.float32)


@jax.jit
def with_settings(settings, values):
    return states(reduce_on_plateau(**settings), values)


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_the_loop(seed):
    rng = np.random.default_rng(100 + seed)
    settings = {
        "factor": float(rng.choice([0.1, 0.5, 0.9])),
        "patience": int(rng.integers(1, 12)),
        "rtol": float(rng.choice([0.0, 1e-4, 0.1])),
        "atol": float(rng.choice([0.0, 0.01])),
        "cooldown": int(rng.integers(0, 6)),
        "accumulation_size": int(rng.integers(1, 6)),
        "min_scale": float(rng.choice([0.0, 0.01, 0.3])),
    }
    sign = -1.0 if seed % 4 == 3 else 1.0
    values = sign * losses(seed)
    updates, seen = with_settings(settings, values)
    want = plateau(values, **settings)
    assert len(np.unique(want)) > 1 or settings["min_scale"] == 1
    np.testing.assert_allclose(seen.scale, want, rtol=1e-5)
    np.testing.assert_array_equal(updates[:, 0], seen.scale)


def test_worked_example():
    tx = reduce_on_plateau(factor=0.5, patience=2, rtol=0.0, cooldown=1)
    values = [5.0, 4.0, 4.0, 4.0, 9.0, 9.0, 9.0, 3.0, 3.0]
    _, seen = states(tx, np.float32(values))
    np.testing.assert_array_equal(seen.plateau_count, [0, 0, 1, 0, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(seen.cooldown_count, [0, 0, 0, 1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(seen.scale, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25])
    np.testing.assert_array_equal(seen.best_value, [5, 4, 4, 4, 4, 4, 4, 3, 3])


def test_while_the_value_falls_it_changes_nothing_to_the_bit():
    values = 100 * 0.99 ** np.arange(300)
    _, seen = states(reduce_on_plateau(patience=1), values.astype(np.float32))
    assert (seen.scale == 1).all()
    tx = reduce_on_plateau(patience=1)
    odd = jnp.array([-0.0, 2e-38, 3e38, jnp.inf, jnp.nan])
    assert tx.update(odd, tx.init(W), value=1.0)[0].tobytes() == odd.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_never_the_best(bad):
    tx = reduce_on_plateau(0.5, patience=3)
    _, seen = states(tx, np.float32([bad, bad, bad, 2.0, bad, 1.0, bad, bad, bad]))
    np.testing.assert_array_equal(seen.scale, [1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25])
    np.testing.assert_array_equal(seen.best_value[2:], np.float32([np.finfo(np.float32).max, 2, 2, 1, 1, 1, 1]))
    _, seen = states(reduce_on_plateau(0.5, 3, accumulation_size=2), np.float32([bad, 3.0, 2.0, 2.0, 1.0, bad]))
    np.testing.assert_array_equal(seen.best_value[1::2], np.float32([np.finfo(np.float32).max, 2, 2]))


def test_below_zero_a_worse_value_is_not_better():
    _, seen = states(reduce_on_plateau(0.5, 1, rtol=0.1), np.float32([-1.0, -0.95, -1.05, -1.2]))
    np.testing.assert_array_equal(seen.scale, [1, 0.5, 0.25, 0.25])
    np.testing.assert_allclose(seen.best_value, [-1, -1, -1, -1.2], rtol=1e-6)


def test_the_mean_of_large_values_does_not_overflow():
    _, seen = states(reduce_on_plateau(accumulation_size=3), np.full(6, 3e38, np.float32))
    assert jnp.isfinite(seen.avg_value).all()
    np.testing.assert_allclose(seen.best_value[-1], 3e38, rtol=1e-6)


@pytest.mark.parametrize(
    "value", [1, 1.5, np.float64(1.5), np.int32(2), jnp.bfloat16(1.5), jnp.float16(2), jnp.arange(3)[1], np.array(2.0)]
)
def test_the_state_keeps_its_types_whatever_the_value(value):
    tx, w = reduce_on_plateau(), jnp.zeros(2, jnp.bfloat16)
    state = tx.init(w)
    for update in (tx.update, jax.jit(tx.update)):
        updates, after = update(w, state, w, value=value)
        same_types("the state", after, state)
        assert updates.dtype == jnp.float32
        assert after.best_value == np.asarray(value, np.float32)
    with enable_x64(True):
        state = tx.init(w)
        same_types("the state", tx.update(w, state, w, value=np.float64(1.5))[1], state)
        wide = tx.init(jnp.zeros(2, jnp.float64))
        assert wide.scale.dtype == jnp.float64
        same_types("the state", tx.update(w, wide, value=value)[1], wide)


def test_in_a_chain_and_without_a_second_trace():
    tx, traces = gradtx.chain(sgd(0.1, momentum=0.5), reduce_on_plateau(0.5, 1)), []

    @jax.jit
    def step(state, value):
        traces.append(1)
        return tx.update(G, state, W, value=value)

    state = tx.init(W)
    for value in (3.0, 2.0, 2.0, np.nan):
        _, state = step(state, jnp.float32(value))
    assert state["reduce_on_plateau"].scale == 0.25
    assert len(traces) == 1


def test_a_sweep_over_whole_numbers_and_factors():
    def last(patience, cooldown, size, factor):
        tx = reduce_on_plateau(factor, patience, cooldown=cooldown, accumulation_size=size)
        return states(tx, losses(5))[1].scale[-1]

    rows = [(1, 0, 1, 0.9), (3, 2, 1, 0.8), (4, 0, 3, 0.5), (500, 1, 1, 0.5)]
    columns = [jnp.array(c) for c in zip(*rows, strict=True)]
    np.testing.assert_allclose(jax.vmap(last)(*columns), [last(*row) for row in rows], rtol=1e-5)


@given(
    st.lists(st.sampled_from([3.0, 2.0, 1.0, -1.0, float("nan"), float("inf")]), min_size=1, max_size=25),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(1, 3),
)
def test_any_values(values, patience, cooldown, size):
    tx = reduce_on_plateau(0.5, patience, cooldown=cooldown, accumulation_size=size)
    state, want = tx.init(W), plateau(values, 0.5, patience, cooldown=cooldown, accumulation_size=size)
    update = jax.jit(lambda state, value: tx.update(G, state, value=value)[1])
    for value, scale in zip(values, want, strict=True):
        state = update(state, jnp.float32(value))
        assert state.scale == scale
        assert jnp.isfinite(state.best_value)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"factor": 1.5}, ValueError, r"factor must be in \[0, 1\]; got 1.5"),
        ({"factor": -0.1}, ValueError, "factor must be"),
        ({"patience": 0}, ValueError, "patience must be finite and at least 1; got 0"),
        ({"patience": -5}, ValueError, "patience must be"),
        ({"patience": 1.5}, TypeError, "patience must be a whole number; got 1.5"),
        ({"rtol": 1.1}, ValueError, r"rtol must be in \[0, 1\]"),
        ({"atol": -1.0}, ValueError, "atol must be"),
        ({"cooldown": -1}, ValueError, "cooldown must be finite and at least 0"),
        ({"accumulation_size": 0}, ValueError, "accumulation_size must be"),
        ({"min_scale": 2.0}, ValueError, r"min_scale must be in \[0, 1\]"),
    ],
)
def test_hostile_settings(settings, error, words):
    with pytest.raises(error, match=f"reduce_on_plateau: {words}"):
        reduce_on_plateau(**settings)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (jnp.ones(3), ValueError, r"value must be a scalar; got an array of shape \(3,\)"),
        ([1.0], ValueError, "value must be a scalar"),
        (None, TypeError, "value must be a number; got None"),
        ("low", TypeError, "value must be a number; got 'low'"),
        (1j, TypeError, "value must be real; got complex64"),
        (True, TypeError, "value must be real; got bool"),
    ],
)
def test_hostile_values(value, error, words):
    tx = reduce_on_plateau()
    with pytest.raises(error, match=f"reduce_on_plateau: {words}"):
        tx.update(G, tx.init(W), value=value)


def test_hostile_calls():
    tx = reduce_on_plateau()
    with pytest.raises(TypeError, match=r"reduce_on_plateau needs value: call update\(updates, state, params, value="):
        tx.update(G, tx.init(W))
    with pytest.raises(TypeError, match="the state must be a ReduceOnPlateauState"):
        tx.update(G, sgd(0.1).init(W), value=1.0)
