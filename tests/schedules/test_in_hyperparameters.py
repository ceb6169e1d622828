"""A schedule in any hyperparameter, against a loop by hand; and schedules moved when training is resumed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import chain, hyperparameters, inject, set_count

RNG = np.random.default_rng(3)
GS = RNG.normal(size=(60, 4))
W0 = RNG.normal(size=4)
FALLING = gradtx.warmup_cosine_decay_schedule(0.1, 0.9, 10, 50, 0.2)
AT = [float(FALLING(t)) for t in range(60)]


def run(tx, gs=GS, w=W0, state=None):
    """The updates and the states after each step, for parameters that move by a tenth of the update."""
    w = jnp.asarray(w, jnp.float32)
    state = tx.init(w) if state is None else state

    @jax.jit
    def scan(w, state, gs):
        def step(carry, g):
            w, state = carry
            u, state = tx.update(g, state, w)
            return (w + 0.1 * u, state), (u, state)

        return jax.lax.scan(step, (w, state), gs)

    (w, state), (updates, states) = scan(w, state, jnp.asarray(gs, jnp.float32))
    return np.asarray(updates), states, state


class TestFollowed:
    def test_weight_decay_of_adamw(self):
        updates, states, _ = run(gradtx.adamw(0.1, 0.9, 0.99, 1e-8, weight_decay=FALLING))
        w, m, v = W0.copy(), 0.0, 0.0
        for t, g in enumerate(GS):
            m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
            step = (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.99 ** (t + 1))) + 1e-8)
            u = -0.1 * (step + AT[t] * w)
            np.testing.assert_allclose(updates[t], u, rtol=1e-4, atol=1e-6)
            w = w + 0.1 * u
        np.testing.assert_allclose(hyperparameters(states)["weight_decay"], AT, rtol=1e-6)

    def test_b2_of_adam(self):
        updates, states, _ = run(gradtx.adam(0.1, b2=FALLING, eps=1e-6))
        m = v = 0.0
        for t, g in enumerate(GS):
            m, v = 0.9 * m + 0.1 * g, AT[t] * v + (1 - AT[t]) * g**2
            step = (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - AT[t] ** (t + 1))) + 1e-6)
            np.testing.assert_allclose(updates[t], -0.1 * step, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(hyperparameters(states)["b2"], AT, rtol=1e-6)

    def test_decay_of_add_momentum(self):
        updates, states, _ = run(gradtx.add_momentum(FALLING))
        trace = 0.0
        for t, g in enumerate(GS):
            trace = AT[t] * trace + g
            np.testing.assert_allclose(updates[t], trace, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(hyperparameters(states)["decay"], AT, rtol=1e-6)

    def test_max_norm_of_clip_by_global_norm(self):
        updates, states, _ = run(gradtx.clip_by_global_norm(FALLING))
        for t, g in enumerate(GS):
            np.testing.assert_allclose(updates[t], g * min(1.0, AT[t] / np.linalg.norm(g)), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(hyperparameters(states)["max_norm"], AT, rtol=1e-6)

    def test_several_at_once_under_inject(self):
        tx = chain(gradtx.clip_by_global_norm(FALLING), gradtx.adamw(FALLING * 0.5, weight_decay=1.0 - FALLING))
        plain, _, _ = run(tx)
        injected, states, _ = run(inject(tx))
        np.testing.assert_allclose(injected, plain, rtol=1e-5, atol=1e-7)
        held = hyperparameters(states)
        np.testing.assert_allclose(held["max_norm"], AT, rtol=1e-6)
        np.testing.assert_allclose(held["learning_rate"], 0.5 * np.array(AT), rtol=1e-6)
        np.testing.assert_allclose(held["weight_decay"], 1 - np.array(AT), rtol=1e-5)

    def test_many_schedules_in_one_program(self):
        def end(peak, warmup):
            return run(gradtx.sgd(gradtx.warmup_cosine_decay_schedule(0.0, peak, warmup, 50)))[0][-1]

        peaks, warmups = jnp.array([0.1, 0.5]), jnp.array([5.0, 20.0])

        def traced(peak, warmup):
            tx, w = gradtx.sgd(gradtx.warmup_cosine_decay_schedule(0.0, peak, warmup, 50)), jnp.float32(W0)
            state = tx.init(w)
            for _ in range(7):
                u, state = tx.update(w, state)
                w = gradtx.apply_updates(w, u)
            return w

        together = jax.jit(jax.vmap(traced))(peaks, warmups)
        for got, peak, warmup in zip(together, peaks, warmups, strict=True):
            np.testing.assert_allclose(got, traced(float(peak), float(warmup)), rtol=1e-5)
        assert np.isfinite(end(0.1, 5)).all()


RATE = gradtx.linear_schedule(1.0, 0.0, 100)


class TestSetCount:
    def test_training_that_is_resumed_elsewhere_on_the_schedule(self):
        """In a chain: the rate is that of step 40 and on, Adam's averages and its correction are as they were."""
        tx, constant = chain(gradtx.clip_by_global_norm(10.0), gradtx.adam(RATE)), gradtx.adam(1.0)
        _, _, state = run(tx, GS[:20])
        moved = set_count(state, 40)
        assert int(moved["scale_by_learning_rate"].count) == 40
        assert moved["scale_by_learning_rate"].count.dtype == jnp.int32
        assert jax.tree.all(jax.tree.map(jnp.array_equal, moved["scale_by_adam"], state["scale_by_adam"]))
        assert int(moved["scale_by_adam"].count) == 20
        assert hyperparameters(moved) == hyperparameters(state)  # still those of the last update

        updates, states, _ = run(tx, GS[20:30], state=moved)
        plain, _, _ = run(constant, GS[20:30], state={"scale_by_adam": state["scale_by_adam"]})
        np.testing.assert_allclose(updates[0], plain[0] * (1 - 0.40), rtol=1e-5)
        np.testing.assert_allclose(hyperparameters(states)["learning_rate"], 1 - np.arange(40, 50) / 100, rtol=1e-6)

    def test_a_schedule_is_restarted(self):
        tx = gradtx.sgd(RATE)
        _, _, state = run(tx, GS)
        updates, _, _ = run(tx, np.ones((3, 4)), state=set_count(state, 0))
        np.testing.assert_allclose(updates[:, 0], [-1.0, -0.99, -0.98], rtol=1e-6)

    def test_under_jit_with_a_traced_count(self):
        tx = gradtx.sgd(RATE)

        @jax.jit
        def step(state, n):
            return tx.update(jnp.ones(()), set_count(state, n))

        u, state = step(tx.init(jnp.ones(())), jnp.int32(30))
        assert float(u) == pytest.approx(-0.7)
        assert int(state["scale_by_learning_rate"].count) == 31
        u, _ = step(state, jnp.uint8(60))
        assert float(u) == pytest.approx(-0.4)

    def test_under_inject_and_inside_other_states(self):
        tx = inject(chain(gradtx.scale(RATE), gradtx.add_momentum(0.5)))
        state = tx.init(jnp.ones(()))
        moved = set_count({"a": state, "b": (state, None)}, 50)
        assert jax.tree.structure(moved) == jax.tree.structure({"a": state, "b": (state, None)})
        u, _ = tx.update(jnp.ones(()), moved["b"][0])
        assert float(u) == pytest.approx(0.5)

    def test_one_inside_another(self):
        """A chain with a schedule of its own under inject: both counts are found."""
        tx = inject(gradtx.scale(RATE))
        state = tx.init(jnp.ones(()))
        nested = state._replace(inner=gradtx.scale(RATE).init(jnp.ones(())))
        moved = set_count(nested, 7)
        assert int(moved.inner.count) == 7

    def test_only_those_with_a_name(self):
        tx = chain(gradtx.clip_by_global_norm(RATE), gradtx.sgd(RATE), last=gradtx.sgd(RATE))
        state = tx.init(jnp.ones(2))
        counts = {
            ("max_norm",): [9, 0, 0],
            ("learning_rate",): [0, 9, 9],
            ("last/scale_by_learning_rate/learning_rate",): [0, 0, 9],
            ("max_norm", "scale_by_learning_rate/learning_rate"): [9, 9, 0],
        }
        assert set(hyperparameters(state)) >= {names[0] for names in counts} - {"learning_rate"}
        for names, want in counts.items():
            moved = set_count(state, 9, names=names)
            nodes = (
                moved["clip_by_global_norm"],
                moved["scale_by_learning_rate"],
                moved["last"]["scale_by_learning_rate"],
            )
            assert [int(node.count) for node in nodes] == want
        assert int(set_count(state, 9, names="max_norm")["clip_by_global_norm"].count) == 9

    def test_batched_states(self):
        tx = gradtx.sgd(RATE)
        states = jax.vmap(tx.init)(jnp.ones((3, 2)))
        assert set_count(states, 5)["scale_by_learning_rate"].count.tolist() == [5, 5, 5]
        moved = set_count(states, jnp.array([0, 50, 100]))
        updates, _ = jax.vmap(tx.update)(jnp.ones((3, 2)), moved)
        np.testing.assert_allclose(updates[:, 0], [-1.0, -0.5, 0.0], rtol=1e-6)
        with pytest.raises(ValueError, match=r"n must be a scalar, or of shape \(3,\) as the counts; got shape \(2,\)"):
            set_count(states, jnp.array([1, 2]))

    @pytest.mark.parametrize("n", [2**31 - 1, np.int64(7), np.array(7), jnp.uint32(7), np.uint8(7)], ids=repr)
    def test_whole_numbers(self, n):
        moved = set_count(gradtx.sgd(RATE).init(jnp.ones(2)), n)["scale_by_learning_rate"]
        assert int(moved.count) == int(n)
        assert moved.count.dtype == jnp.int32

    WRONG = (
        (-1, ValueError, r"n must be from 0 to 2\*\*31 - 1; got -1"),
        (2**31, ValueError, r"n must be from 0 to 2\*\*31 - 1; got 2147483648"),
        (jnp.array(-3), ValueError, r"n must be from 0 to 2\*\*31 - 1; got -3"),
        (1.0, TypeError, "n must be a whole number, or an array of them; got 1.0"),
        (jnp.float32(1), TypeError, "n must be a whole number"),
        (True, TypeError, "n must be a whole number, or an array of them; got True"),
        (np.bool_(True), TypeError, "n must be a whole number"),
        ("int32", TypeError, "n must be a whole number, or an array of them; got 'int32'"),
        (None, TypeError, "n must be a whole number"),
    )

    @pytest.mark.parametrize(("n", "kind", "message"), WRONG)
    def test_what_is_no_count(self, n, kind, message):
        with pytest.raises(kind, match=message):
            set_count(gradtx.sgd(RATE).init(jnp.ones(2)), n)

    def test_a_state_without_a_count(self):
        for state in (gradtx.adam(0.1).init(jnp.ones(2)), {}, None, jnp.ones(2)):
            with pytest.raises(ValueError, match="no count of schedules: no hyperparameter follows one"):
                set_count(state, 5)
        state = gradtx.adam(RATE).init(jnp.ones(2))
        with pytest.raises(ValueError, match=r"there is no count of 'learning_rat' .did you mean 'learning_rate'"):
            set_count(state, 5, names=["learning_rat"])
        with pytest.raises(ValueError, match="there is no count of 'b1'"):
            set_count(state, 5, names=["learning_rate", "b1"])
