"""Steps that are not made leave no trace: parameters and state stay, to the bit."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import gradtx
from gradtx.double_precision import double_precision
from gradtx.testing.compare import same_bits
from tests.reference_norms import over_devices

PARAMS = {"w": jnp.asarray([-0.0, 0.0, 1.5]), "b": jnp.asarray(-0.0)}
GOOD = {"w": jnp.asarray([1.0, -2.0, 0.5]), "b": jnp.asarray(0.25)}
BAD = {"w": jnp.asarray([1.0, jnp.nan, 0.5]), "b": jnp.asarray(0.25)}
INNER = gradtx.chain(
    gradtx.clip_by_global_norm(1.0), gradtx.adamw(gradtx.linear_schedule(0.1, 0.0, 10), weight_decay=0.1)
)


@functools.partial(jax.jit, static_argnums=0)
def compiled(tx, updates, state, params, extra):
    return tx.update(updates, state, params, **extra)


def eager(tx, updates, state, params, extra):
    return tx.update(updates, state, params, **extra)


def run(tx, grads, params=PARAMS, step=compiled, **extra):
    state = tx.init(params)
    for g in grads:
        updates, state = step(tx, g, state, params, extra)
        params = gradtx.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("step", [compiled, eager])
class TestSkipNonfinite:
    @hypothesis.settings(max_examples=6)
    @hypothesis.given(st.lists(st.sampled_from([0.0, np.nan, np.inf, -np.inf]), max_size=8))
    def test_it_is_as_if_the_bad_gradients_had_not_come(self, step, faults):
        grads = [{**GOOD, "b": GOOD["b"] + jnp.float32(fault)} for fault in faults]
        params, state = run(gradtx.skip_nonfinite(INNER), grads, step=step)
        expected, expected_state = run(INNER, [GOOD] * faults.count(0.0), step=step)
        same_bits("the parameters", params, expected)
        same_bits("the state", state.inner, expected_state)
        trailing = next((k for k, fault in enumerate(reversed(faults)) if fault == 0), len(faults))
        assert (int(state.skipped), int(state.consecutive)) == (len(faults) - faults.count(0.0), trailing)

    def test_zeros_keep_their_sign(self, step):
        params, _ = run(gradtx.skip_nonfinite(gradtx.sgd(0.1)), [BAD], step=step)
        same_bits("the parameters", params, PARAMS)

    def test_updates_that_overflow_are_skipped_too(self, step):
        tx = gradtx.skip_nonfinite(gradtx.chain(gradtx.add_momentum(0.9), gradtx.scale(1e30)))
        large = jax.tree.map(lambda g: jnp.full_like(g, 1e20), GOOD)
        params, state = run(tx, [large], step=step)
        same_bits("the parameters", params, PARAMS)
        assert int(state.skipped) == 1
        assert all(float(jnp.abs(x).max()) == 0 for x in jax.tree.leaves(state.inner))

    def test_updates_are_not_looked_at_where_that_is_not_wanted(self, step):
        tx = gradtx.skip_nonfinite(gradtx.scale(1e30), check_updates=False)
        large = jax.tree.map(lambda g: jnp.full_like(g, 1e20), GOOD)
        params, state = run(tx, [large, BAD], step=step)
        assert np.isinf(params["b"])
        assert int(state.skipped) == 1

    def test_after_so_many_the_next_goes_through(self, step):
        tx = gradtx.skip_nonfinite(gradtx.sgd(0.1), max_consecutive=2)
        params, state = run(tx, [BAD, BAD], step=step)
        same_bits("the parameters", params, PARAMS)
        assert (int(state.skipped), int(state.consecutive)) == (2, 2)
        params, state = run(tx, [BAD, BAD, BAD], step=step)
        assert np.isnan(params["w"][1])
        assert (int(state.skipped), int(state.consecutive)) == (2, 0)
        _, state = run(tx, [BAD, GOOD, BAD, BAD], step=step)
        assert (int(state.skipped), int(state.consecutive)) == (3, 2)

    def test_float0_and_integers_beside(self, step):
        params = {"w": jnp.ones(2), "n": jnp.asarray(3), "none": None}
        grads = {"w": jnp.asarray([jnp.inf, 1.0]), "n": np.zeros((), jax.dtypes.float0), "none": None}
        tx = gradtx.skip_nonfinite(gradtx.sgd(0.1))
        if step is compiled:
            grads["n"] = None
        updates, state = step(tx, grads, tx.init(params), params, {})
        same_bits("the update", updates["w"], jnp.full(2, -0.0))
        assert int(state.skipped) == 1


def test_what_evaluates_the_model_is_computed_once():
    seen = []

    def update(updates, state, params=None, *, value_fn):
        seen.append(value_fn(params))
        return updates, state

    tx = gradtx.skip_nonfinite(gradtx.skip_nonfinite((lambda params: gradtx.EmptyState(), update)))
    text = jax.make_jaxpr(lambda g, s: tx.update(g, s, g, value_fn=jnp.sin))(jnp.ones(()), tx.init(jnp.ones(())))
    assert str(text).count("sin") == len(seen) == 1


def test_on_each_device_for_itself():
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("d",))
    tx, spec = gradtx.skip_nonfinite(gradtx.scale(-1.0)), jax.sharding.PartitionSpec("d")
    update = jax.shard_map(lambda g: tx.update(g, tx.init(g))[0], mesh=mesh, in_specs=spec, out_specs=spec)
    g = jnp.arange(8.0).at[3].set(jnp.nan)
    np.testing.assert_array_equal(jax.jit(update)(g), jnp.where(jnp.isnan(g), 0.0, -g))


def test_under_vmap_each_for_itself():
    tx = gradtx.skip_nonfinite(gradtx.adam(0.1))
    grads = jnp.asarray([[1.0, 2.0], [jnp.nan, 1.0], [3.0, 1.0]])
    state = jax.vmap(tx.init)(grads)
    updates, state = jax.jit(jax.vmap(tx.update))(grads, state)
    np.testing.assert_array_equal(state.skipped, [0, 1, 0])
    np.testing.assert_array_equal(updates[1], [0.0, 0.0])
    assert np.isfinite(updates).all()


def test_derivatives_pass_a_skip():
    tx = gradtx.skip_nonfinite(gradtx.sgd(0.1))
    for g, slope in ((2.0, -0.1), (jnp.inf, 0.0)):
        got = jax.grad(lambda g: tx.update(g, tx.init(g), g)[0])(jnp.float32(g))
        assert float(got) == pytest.approx(slope)


class TestSkipIf:
    def test_the_loss_decides(self):
        tx = gradtx.skip_if(gradtx.sgd(0.1), lambda updates, params, value: value > 10.0)
        _, state = run(tx, [GOOD, GOOD], value=jnp.float32(11.0))
        assert (int(state.skipped), int(state.consecutive)) == (2, 2)
        params, state = run(tx, [GOOD], value=jnp.float32(9.0))
        assert int(state.skipped) == 0
        np.testing.assert_allclose(params["b"], -0.025, rtol=1e-6)

    def test_the_gradients_and_parameters_decide(self):
        tx = gradtx.skip_if(gradtx.sgd(0.1), lambda g, p, value: gradtx.global_norm(g) > gradtx.global_norm(p))
        assert int(run(tx, [GOOD])[1].skipped) == 1

    def test_what_is_no_predicate(self):
        with pytest.raises(TypeError, match=r"predicate must be a function of .updates, params, value.; got 10\.0"):
            gradtx.skip_if(gradtx.sgd(0.1), 10.0)
        for answer, got in ((jnp.ones(3, bool), r"shape \(3,\), bool"), (1.0, r"shape \(\), float32")):
            tx = gradtx.skip_if(gradtx.sgd(0.1), lambda g, p, v, answer=answer: answer)
            with pytest.raises(TypeError, match=f"must return one bool, .*; got {got}"):
                run(tx, [GOOD])


class TestSkipSpikes:
    def norms(self, *sizes, **arguments):
        tx = gradtx.skip_spikes(gradtx.sgd(1.0), **arguments)
        skipped, state = [], tx.init(jnp.zeros(1))
        for size in sizes:
            before = int(state.skipped)
            updates, state = compiled(tx, jnp.full(1, size), state, None, {})
            skipped.append(int(state.skipped) > before)
            assert size == 0 or (float(updates[0]) == 0) == skipped[-1]
        return skipped, state

    def test_against_numpy(self):
        rng = np.random.default_rng(0)
        sizes = np.abs(rng.normal(1.0, 0.1, 200)) * np.where(rng.random(200) < 0.05, 3.0, 1.0)
        expected = []
        for k, size in enumerate(sizes):
            last = sizes[max(0, k - 16) : k]
            sigma = max(last.std(), last.mean() / 1000) if k else 0.0
            expected.append(bool(k >= 16 and size > last.mean() + 3.0 * sigma))
        assert any(expected)
        assert self.norms(*sizes, k_sigma=3.0, window=16)[0] == expected

    def test_a_level_that_stays_becomes_usual(self):
        skipped, _ = self.norms(*[1.0] * 8, *[100.0] * 8, k_sigma=4.0, window=8)
        assert skipped[:8] == [False] * 8
        assert skipped[8]
        assert not skipped[-1]

    def test_equal_norms_are_no_spikes(self):
        assert not any(self.norms(*[0.1] * 20, k_sigma=1.0, window=4)[0])
        assert not any(self.norms(*[0.0] * 8, k_sigma=1.0, window=2)[0])

    def test_what_is_not_finite_is_skipped_from_the_start_and_not_remembered(self):
        skipped, state = self.norms(jnp.nan, 1.0, jnp.inf, 1.0, 1.0, k_sigma=3.0, window=2)
        assert skipped == [True, False, True, False, False]
        np.testing.assert_array_equal(state.norms, [1.0, 1.0])
        assert int(state.count) == 3

    def test_huge_norms_do_not_overflow(self):
        skipped, state = self.norms(1e30, 1.1e30, 1e30, 9e37, k_sigma=6.0, window=3)
        assert skipped == [False, False, False, True]
        assert np.isfinite(state.norms).all()

    def test_infinity_switches_it_off(self):
        assert not any(self.norms(1.0, 1.0, 1e10, k_sigma=jnp.inf, window=2)[0])


class TestEvery:
    def run(self, tx, steps=5):
        state, history = tx.init(jnp.zeros(1)), []
        for _ in range(steps):
            updates, state = compiled(tx, jnp.ones(1), state, None, {})
            history.append(float(updates[0]))
        return history, state

    def test_the_first_and_every_kth_after(self):
        inner = gradtx.chain(gradtx.add_momentum(0.5), gradtx.scale(-1.0))
        history, state = self.run(gradtx.every(inner, 2))
        assert history == [-1.0, 0.0, -1.5, 0.0, -1.75]
        assert int(state.count) == 1

    def test_in_between_they_may_pass(self):
        assert self.run(gradtx.every(gradtx.scale(3.0), 3, otherwise="pass"))[0] == [3.0, 1.0, 1.0, 3.0, 1.0]

    def test_one_by_one_is_always(self):
        assert self.run(gradtx.every(gradtx.scale(3.0), 1))[0] == [3.0] * 5

    def test_periods_are_swept(self):
        def last(steps):
            tx = gradtx.every(gradtx.scale(3.0), steps)
            state = tx.init(jnp.zeros(1))
            for _ in range(3):
                updates, state = tx.update(jnp.ones(1), state)
            return updates[0]

        np.testing.assert_array_equal(jax.vmap(last)(jnp.asarray([1, 2, 3])), [3.0, 3.0, 0.0])


def test_with_0_skips_in_a_row_the_first_nan_is_applied():
    """As the docstring says: nothing is ever skipped, so a fault is visible at once."""
    tx = gradtx.skip_nonfinite(gradtx.sgd(0.1), 0)
    updates, state = tx.update(jnp.array([jnp.nan, 1.0]), tx.init(jnp.ones(2)))
    np.testing.assert_allclose(updates, [np.nan, -0.1])
    assert int(state.skipped) == 0


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda tx: gradtx.skip_nonfinite(tx, -1), ValueError, "max_consecutive must be finite and at least 0"),
        (lambda tx: gradtx.skip_nonfinite(tx, 1.5), TypeError, "max_consecutive must be a whole number; got 1.5"),
        (lambda tx: gradtx.skip_spikes(tx, k_sigma=-0.1), ValueError, "k_sigma must be at least 0"),
        (lambda tx: gradtx.skip_spikes(tx, window=1), ValueError, "window must be at least 2; got 1"),
        (lambda tx: gradtx.skip_spikes(tx, window=8.0), TypeError, "window must be a whole number"),
        (lambda tx: gradtx.every(tx, 0), ValueError, "every: steps must be finite and at least 1"),
        (lambda tx: gradtx.every(tx, lambda step: 2), TypeError, "steps must be a whole number, and cannot follow"),
        (lambda tx: gradtx.every(tx, 2, otherwise="skip"), ValueError, "otherwise must be one of 'zero', 'pass'"),
        (lambda tx: gradtx.skip_nonfinite(0.1), TypeError, "inner must be a transformation"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call(gradtx.sgd(0.1))


SKIPS = {
    "nonfinite": lambda tx, axis: gradtx.skip_nonfinite(tx, axis_name=axis),
    "its updates": lambda tx, axis: gradtx.skip_nonfinite(gradtx.chain(tx, gradtx.scale(1e38)), axis_name=axis),
    "if": lambda tx, axis: gradtx.skip_if(tx, lambda g, p, value: ~jnp.isfinite(jnp.sum(g)), axis_name=axis),
    "spikes": lambda tx, axis: gradtx.skip_spikes(tx, axis_name=axis),
}


class TestOnAllDevices:
    """One part of the gradients has a fault; with an axis_name no device steps, without it the others do."""

    @pytest.mark.parametrize("name", SKIPS)
    def test_all_skip_what_one_finds(self, name):
        fault = 50.0 if name == "its updates" else jnp.nan
        grads = jnp.ones(8).at[3].set(fault)

        def moves(axis):
            tx = SKIPS[name](gradtx.sgd(1.0), axis)
            return over_devices(lambda g: tx.update(g, tx.init(g), g)[0])(grads) != 0

        assert not moves("x").any()
        assert moves(None).sum() == 7

    def test_members_that_sum_over_devices_are_inside(self):
        """The clip of the other devices would wait for the one that skips."""
        tx = gradtx.chain(gradtx.clip_by_global_norm(1.0, axis_name="x"), gradtx.sgd(1.0))
        tx = gradtx.skip_nonfinite(tx, axis_name="x")
        step = over_devices(lambda g: tx.update(g, tx.init(g), g)[0])
        np.testing.assert_array_equal(step(jnp.ones(8).at[3].set(jnp.nan)), jnp.zeros(8))
        np.testing.assert_allclose(step(jnp.ones(8)), np.full(8, -(8**-0.5)), rtol=1e-6)


def test_what_rests_has_the_types_of_what_runs():
    """Outside jit too: float64 parameters may meet float32 gradients."""
    with double_precision():
        params, grads = jnp.ones(2, "float64"), jnp.ones(2, "float32")
        tx = gradtx.every(gradtx.add_decayed_weights(0.1), 2)
        for step in (compiled, eager):
            state = tx.init(params)
            for _ in range(2):
                updates, state = step(tx, grads, state, params, {})
                assert updates.dtype == "float64"


def test_none_for_a_value_goes_through():
    """It asks a line search to compute the value."""
    tx, w = gradtx.skip_if(gradtx.lbfgs(), lambda g, p, value: jnp.asarray(value is not None)), jnp.ones(2)
    extra = {"value": None, "grad": None, "value_fn": lambda w: jnp.sum(w * w)}
    updates, state = jax.jit(lambda w, s: tx.update(2 * w, s, w, **extra))(w, tx.init(w))
    alone, _ = gradtx.lbfgs().update(2 * w, gradtx.lbfgs().init(w), w, **extra)
    np.testing.assert_allclose(updates, alone, rtol=1e-6)
    assert int(state.skipped) == 0


def test_complex_zeros_keep_their_signs():
    w = jnp.asarray([complex(-0.0, -0.0), complex(0.0, -0.0), complex(-0.0, 0.0)], "complex64")
    for tx in (gradtx.accumulate(gradtx.sgd(0.1), 2), gradtx.freeze(gradtx.sgd(0.1), True)):
        updates, _ = tx.update(jnp.ones(3, "complex64"), tx.init(w), w)
        same_bits("the parameters", gradtx.apply_updates(w, updates), w)


def test_at_rest_outside_jit_nothing_of_the_inside_is_called():
    calls = []

    def grad_fn(params):
        calls.append(1)
        return jnp.asarray(np.asarray(params))  # which a trace could not give

    tx, w = gradtx.every(gradtx.sam(gradtx.sgd(0.1)), 3), jnp.ones(2)
    state = tx.init(w)
    for _ in range(6):
        _, state = tx.update(w, state, w, grad_fn=grad_fn)
    assert len(calls) == 2
