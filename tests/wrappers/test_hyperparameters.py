"""`inject` puts hyperparameters in the state; `hyperparameters` reads them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adam, chain, clip_by_global_norm, hyperparameters, inject, set_hyperparameters, sgd
from gradtx.testing.compare import same_types

W = jnp.array([1.0, -2.0])
G = jnp.array([0.5, 3.0])


def test_inject_changes_nothing_but_where_the_numbers_are():
    plain, injected = adam(0.1), inject(adam(0.1))
    a, b = plain.init(W), injected.init(W)
    for _ in range(5):
        u, a = plain.update(G, a, W)
        v, b = injected.update(G, b, W)
        np.testing.assert_allclose(u, v, rtol=1e-6)
    assert int(b.inner["scale_by_adam"].count) == 5


def test_every_number_is_there_by_name():
    state = inject(chain(clip_by_global_norm(1.0), adam(0.1), last=sgd(0.2, momentum=0.9))).init(W)
    assert {k: round(float(v), 6) for k, v in hyperparameters(state).items()} == {
        "clip_by_global_norm/max_norm": 1.0,
        "adam/learning_rate": 0.1,
        "adam/b1": 0.9,
        "adam/b2": 0.999,
        "adam/eps": 0.0,
        "adam/eps_root": 0.0,
        "last/learning_rate": 0.2,
        "last/momentum": 0.9,
    }
    assert all(v.dtype == jnp.float32 and not v.weak_type for v in hyperparameters(state).values())


def test_a_value_is_changed_in_the_state_without_a_new_trace():
    tx, traces = inject(sgd(0.1)), []

    @jax.jit
    def step(state):
        traces.append(state)
        return tx.update(G, state, W)

    state = tx.init(W)
    for rate in (0.1, 1, np.float64(0.7), jnp.bfloat16(0.5)):
        state = gradtx.set_hyperparameters(state, learning_rate=rate)
        updates, state = step(state)
        np.testing.assert_allclose(updates, -float(rate) * np.asarray(G), rtol=1e-6)
    assert len(traces) == 1


def test_schedules_under_inject_are_followed():
    tx = inject(sgd(gradtx.linear_schedule(1.0, 0.0, 4), momentum=0.5))
    state = tx.init(W)
    rates = [float(hyperparameters(state)["learning_rate"])]
    for _ in range(3):
        _, state = jax.jit(tx.update)(G, state, W)
        rates.append(float(hyperparameters(state)["learning_rate"]))
    assert rates == [1.0, 1.0, 0.75, 0.5]


def test_a_state_with_other_names_is_refused():
    state = inject(sgd(0.1)).init(W)
    with pytest.raises(ValueError, match="the state lacks the hyperparameter 'b1'"):
        inject(adam(0.1)).update(G, state, W)
    wrong = inject(chain(adam(0.1))).init(W)
    wrong.hyperparameters["learning_rate"] = jnp.float32(0.1)
    with pytest.raises(ValueError, match=r"'learning_rate', which is not a hyperparameter here .did you mean"):
        inject(chain(adam(0.1))).update(G, wrong, W)


def test_setting_what_cannot_be_set():
    state = inject(chain(adam(0.1), adam(0.2))).init(W)
    with pytest.raises(
        ValueError, match=r"no hyperparameter 'learning_rate'; it is the end of adam/learning_rate, adam_1/"
    ):
        gradtx.set_hyperparameters(state, learning_rate=0.2)
    with pytest.raises(ValueError, match=r"no hyperparameter 'adam/learning_rat' .did you mean 'adam/learning_rate'"):
        gradtx.set_hyperparameters(state, {"adam/learning_rat": 0.2})
    with pytest.raises(TypeError, match="adam/b1 must be a number"):
        gradtx.set_hyperparameters(state, {"adam/b1": "high"})
    with pytest.raises(TypeError, match="adam/b1 in a state must be a number: give the schedule"):
        gradtx.set_hyperparameters(state, {"adam/b1": gradtx.constant_schedule(0.1)})
    with pytest.raises(ValueError, match=r"adam/b1 must be a scalar; got an array of shape \(2,\)"):
        gradtx.set_hyperparameters(state, {"adam/b1": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"no hyperparameter 'learning_rate'; there is none .*inject"):
        gradtx.set_hyperparameters(adam(0.1).init(W), learning_rate=0.2)
    with pytest.raises(TypeError, match="set_hyperparameters takes a state; for adam itself, use replace"):
        gradtx.set_hyperparameters(adam(0.1), learning_rate=0.2)
    with pytest.raises(TypeError, match="hyperparameters takes a state; for adam itself, read its attributes"):
        hyperparameters(adam(0.1))
    assert float(gradtx.set_hyperparameters(state, {"adam/b1": 0.5}).hyperparameters["adam/b1"]) == 0.5


def test_setting_it_wherever_it_is():
    """Inside a chain, a wrapper, a route; by the end of its name."""
    for tx in (
        chain(gradtx.clip_by_global_norm(1.0), inject(sgd(0.1))),
        gradtx.average(inject(sgd(0.1))),
        inject(gradtx.route({"**": sgd(0.1)}, default=adam(0.5))),
        gradtx.accumulate(gradtx.masked(inject(sgd(0.1)), "**"), 1),
    ):
        name = "**/learning_rate" if "route" in repr(tx) else "learning_rate"
        state = gradtx.set_hyperparameters(tx.init(W), {name: 0.25})
        updates, _ = tx.update(jax.tree.map(lambda w: jnp.full_like(w, 0.125), W), state, W)
        assert float(jax.tree.leaves(updates)[0].ravel()[0]) == pytest.approx(-0.25 * 0.125)


def test_a_number_written_by_hand_stays_a_strong_float():
    tx = inject(sgd(0.1))
    for number in (1, 0.5):
        _, state = tx.update(G, tx.init(W)._replace(hyperparameters={"learning_rate": number}), W)
        assert state.hyperparameters["learning_rate"].dtype == jnp.float32
        assert not state.hyperparameters["learning_rate"].weak_type


def test_names_at_several_places_carry_their_place():
    tx = chain(a=sgd(lambda step: 0.1), b=sgd(lambda step: 0.2), c=gradtx.scale(lambda step: 3.0))
    read = {k: round(float(v), 6) for k, v in hyperparameters(tx.init(W)).items()}
    assert read == {
        "a/scale_by_learning_rate/learning_rate": 0.1,
        "b/scale_by_learning_rate/learning_rate": 0.2,
        "step_size": 3.0,
    }
    nested = inject(sgd(0.1))
    assert set(hyperparameters((nested.init(W), {"x": nested.init(W)}))) == {"0/learning_rate", "1/x/learning_rate"}


def test_hyperparameters_are_swept_in_the_state_too():
    tx = inject(sgd(0.1))
    states = jax.vmap(lambda r: tx.init(W)._replace(hyperparameters={"learning_rate": r}))(jnp.array([0.1, 0.2]))
    updates, _ = jax.vmap(lambda s: tx.update(G, s, W))(states)
    np.testing.assert_allclose(updates, -jnp.outer(jnp.array([0.1, 0.2]), G), rtol=1e-6)


def test_the_count_of_updates_stops_at_its_largest():
    tx = sgd(lambda step: step)
    state = tx.init(W)
    rate = state["scale_by_learning_rate"]
    full = {"scale_by_learning_rate": rate._replace(count=jnp.int32(2**31 - 1))}
    _, after = tx.update(G, full)
    assert int(after["scale_by_learning_rate"].count) == 2**31 - 1


def test_what_is_read_once_is_not_offered():
    names = set(hyperparameters(inject(chain(gradtx.rmsprop(0.1), gradtx.scale_by_rms())).init(W)))
    assert names == {
        *(f"rmsprop/{name}" for name in ("learning_rate", "decay", "eps")),
        *(f"scale_by_rms/{name}" for name in ("decay", "eps")),
    }


def test_two_members_of_one_name():
    with pytest.raises(ValueError, match="there are two members named 'sgd': choose another name"):
        chain(sgd(0.1), sgd=sgd(0.2))


def test_a_rate_that_becomes_a_schedule_keeps_the_rest_of_the_state():
    constant, scheduled = adam(0.1), adam(gradtx.linear_schedule(0.1, 0.0, 10))
    _, old = constant.update(G, constant.init(W), W)
    with pytest.raises(TypeError, match=r"has schedules for .'learning_rate'.*keeps what other members have"):
        scheduled.update(G, old, W)
    _, state = scheduled.update(G, {**scheduled.init(W), **old}, W)
    assert int(state["scale_by_adam"].count) == 2
    assert int(state["scale_by_learning_rate"].count) == 1


def test_a_number_of_what_learns_that_becomes_a_schedule():
    constant, scheduled = adam(0.1), adam(0.1, b2=gradtx.linear_schedule(0.9, 0.99, 10))
    _, old = constant.update(G, constant.init(W), W)
    with pytest.raises(TypeError, match=r"schedules for .'b2'.*new._replace\(inner=old\) keeps what it has learned"):
        scheduled.update(G, {**scheduled.init(W), **old}, W)
    new = scheduled.init(W)["scale_by_adam"]
    _, state = scheduled.update(G, {"scale_by_adam": new._replace(inner=old["scale_by_adam"])}, W)
    assert int(state["scale_by_adam"].inner.count) == 2


class TestWhatCannotBeSet:
    def test_a_number_that_follows_a_schedule(self):
        rate = gradtx.linear_schedule(0.1, 0.0, 10)
        for tx in (adam(rate), inject(adam(rate))):
            with pytest.raises(ValueError, match=r"learning_rate follows a schedule: .*set_count moves it"):
                set_hyperparameters(tx.init(W), learning_rate=5.0)

    def test_a_count_where_no_schedule_counts(self):
        with pytest.raises(ValueError, match="no count of schedules"):
            gradtx.set_count(inject(sgd(0.1)).init(W), 3)
        with pytest.raises(TypeError, match="set_count takes a state; got the transformation sgd"):
            gradtx.set_count(sgd(0.1), 3)


def test_a_batch_of_states_is_set_as_one():
    states = jax.vmap(lambda rate: inject(sgd(rate)).init(W))(jnp.asarray([0.1, 0.2]))
    changed = set_hyperparameters(states, learning_rate=0.5)
    same_types("the state", changed, states)
    updates, _ = jax.vmap(lambda s: inject(sgd(0.1)).update(G, s, W))(changed)
    np.testing.assert_allclose(updates, np.tile(-0.5 * G, (2, 1)))


class TestDonation:
    """What is put into a state is a copy: to donate the state deletes nothing of the caller's."""

    def step(self, tx, state):
        return jax.jit(lambda g, s: tx.update(g, s, W), donate_argnums=1)(G, state)

    def test_one_array_in_two_places(self):
        rate = jnp.asarray(0.1)
        tx = chain(a=inject(sgd(rate)), b=inject(sgd(rate)))
        self.step(tx, tx.init(W))
        assert float(rate) == pytest.approx(0.1)
        self.step(tx, tx.init(W))
        names = {"a/learning_rate": rate, "b/learning_rate": rate}
        self.step(tx, set_hyperparameters(tx.init(W), names))
        assert float(rate) == pytest.approx(0.1)

    def test_counts_and_schedules(self):
        held, n = jnp.asarray(0.1), jnp.asarray(7)
        tx = chain(a=gradtx.scale(lambda step: held), b=gradtx.scale(lambda step: held))
        self.step(tx, gradtx.set_count(tx.init(W), n))
        self.step(tx, gradtx.set_count(tx.init(W), 7))
        assert (float(held), int(n)) == (pytest.approx(0.1), 7)


def test_two_of_one_name_are_never_taken_for_one():
    tx = chain(**{"a/b": inject(sgd(0.1)), "a": chain(b=inject(sgd(0.2)))})
    for call in (hyperparameters, lambda state: set_hyperparameters(state, {"a/b/learning_rate": 0.5})):
        with pytest.raises(ValueError, match=r"two hyperparameters of this state are called '.*b/.*learning_rate'"):
            call(tx.init(W))


@pytest.mark.parametrize(
    "tx", [inject(sgd(0.1)), gradtx.scale_by_learning_rate(lambda step: 0.1)], ids=["inject", "schedule"]
)
def test_the_name_that_optax_has_leads_to_the_one_here(tx):
    state = tx.init(jnp.ones(1))
    assert not hasattr(state, "hyperparams")
    with pytest.raises(AttributeError, match=r"hyperparameters\(state\) reads.*set_hyperparameters\(state, learning_"):
        state.hyperparams["learning_rate"]
