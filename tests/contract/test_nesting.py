"""Wrappers in wrappers, in any order: states keep their types, NaN leaves no trace, the neutral ones change nothing."""

import itertools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import gradtx
from gradtx.core.trees import is_trained
from gradtx.testing.compare import same_bits, same_types
from tests.contract.adding import ADAM, SGD, USER
from tests.contract.cases_control import too_large

ACTIVE = {
    "masked": lambda tx: gradtx.masked(tx, "layers"),
    "freeze": lambda tx: gradtx.freeze(tx, lambda params: {**dict.fromkeys(params, False), "gain": True}),
    "route": lambda tx: gradtx.route({"layers": tx}, default=gradtx.sgd(learning_rate=0.01)),
    "accumulate": lambda tx: gradtx.accumulate(tx, 2),
    "skip_nonfinite": gradtx.skip_nonfinite,
    "skip_if": lambda tx: gradtx.skip_if(tx, lambda g, p, value: gradtx.global_norm(g) > 100.0),
    "skip_spikes": lambda tx: gradtx.skip_spikes(tx, k_sigma=2.0, window=2),
    "every": lambda tx: gradtx.every(tx, 2),
    "inject": gradtx.inject,
    "average": lambda tx: gradtx.average(tx, 0.9),
    "lookahead": lambda tx: gradtx.lookahead(tx, sync_period=2, slow_step_size=0.5),
    "schedule_free": lambda tx: gradtx.schedule_free(tx, 0.1),
    "chain": lambda tx: gradtx.chain(gradtx.clip_by_global_norm(1.0), tx),
    "add": lambda tx: gradtx.add(tx, gradtx.sgd(learning_rate=0.01)),
    "graft": lambda tx: gradtx.graft(tx, gradtx.sgd(learning_rate=0.01, momentum=0.9)),
    "cautious": lambda tx: gradtx.cautious(tx, sign=-1),
    "in_frame": lambda tx: gradtx.in_frame(tx, gradtx.frames.low_rank(rank=1, every=2)),
    "adapt_learning_rate": lambda tx: gradtx.adapt_learning_rate(tx, gradtx.rates.distance(1e-3)),
}
LAST = {  # their updates must be added as they are: few wrappers may go round them
    "project_onto": lambda tx: gradtx.project_onto(tx, gradtx.sets.l2_ball(2.0)),
}
PASSING = (
    "masked",
    "freeze",
    "route",
    "accumulate",
    "skip_nonfinite",
    "skip_if",
    "skip_spikes",
    "every",
    "inject",
    "chain",
)
NEUTRAL = {
    "masked": lambda tx: gradtx.masked(tx, "**"),
    "freeze": lambda tx: gradtx.freeze(tx, False),
    "partition": lambda tx: gradtx.partition({"all": tx}, "all"),
    "route": lambda tx: gradtx.route({"**": tx}),
    "accumulate": lambda tx: gradtx.accumulate(tx, 1),
    "skip_nonfinite": gradtx.skip_nonfinite,
    "skip_if": lambda tx: gradtx.skip_if(tx, too_large),
    "skip_spikes": lambda tx: gradtx.skip_spikes(tx, k_sigma=jnp.inf, window=2),
    "every": lambda tx: gradtx.every(tx, 1),
    "average": gradtx.average,
    "lookahead": lambda tx: gradtx.lookahead(tx, sync_period=2, slow_step_size=1.0),
    "outer": lambda tx: gradtx.outer(tx, gradtx.sgd(learning_rate=1.0), 2),
    "restart": gradtx.restart,
    "chain": gradtx.chain,
    "add": gradtx.add,
    "graft": lambda tx: gradtx.graft(tx, tx),
    "in_frame": lambda tx: gradtx.in_frame(tx, gradtx.frames.identity()),
    "adapt_learning_rate": lambda tx: gradtx.adapt_learning_rate(tx, gradtx.rates.constant(1.0)),
}
PARAMS = {
    "gain": jnp.asarray(1.5, jnp.bfloat16),
    "layers": [{"w": jnp.asarray([[1.0, -2.0], [0.25, 3.0]])}, None],
    "steps": jnp.asarray(3),
}


def gradients(count):
    """Stacked gradients for some steps; None for what is not trained."""
    rng = np.random.default_rng(count)

    def leaf(p):
        return jnp.asarray(rng.normal(size=(count, *p.shape)), p.dtype) if is_trained(p) else None

    return jax.tree.map(leaf, PARAMS)


def train(tx, grads, params=PARAMS):
    """All steps in one scan, which refuses a state that changes its type."""
    trained = {k: params[k] for k in ("gain", "layers")}
    grads = {k: grads[k] for k in trained}

    def body(carry, g):
        updates, state = tx.update(g, carry[1], carry[0])
        return (gradtx.apply_updates(carry[0], updates), state), updates

    return jax.lax.scan(body, (trained, tx.init(trained)), grads)


TWICE = jax.tree.map(lambda g: np.stack([g, g]), gradients(3))
TWO = [*itertools.product(ACTIVE, ACTIVE), *itertools.product(LAST, ACTIVE), *itertools.product(PASSING, LAST)]


@pytest.mark.parametrize(("outer", "inner"), TWO)
def test_any_two(outer, inner):
    """Every wrapper in every other: types are kept, under vmap too, and beside leaves that are not trained."""
    wrappers = {**ACTIVE, **LAST}
    tx = wrappers[outer](wrappers[inner](ADAM))
    stepped = []

    def step(state, grads):
        updates, after = tx.update(grads, state, PARAMS)
        same_types("the state", after, state)
        stepped.append(updates["steps"])
        return after, updates

    def steps(grads):
        return jax.lax.scan(step, tx.init(PARAMS), grads)

    jax.eval_shape(jax.vmap(steps), TWICE)
    assert stepped
    assert all(x is None for x in stepped)


@pytest.mark.parametrize("inner", ACTIVE)
def test_a_frame_that_turns_round_any(inner):
    """The state of any wrapper follows by its roles, without a change of type; but no basis of another frame does."""
    tx = gradtx.in_frame(ACTIVE[inner](ADAM), gradtx.frames.eigenbasis(every=2), carry="turn")
    if inner == "in_frame":
        with pytest.raises(ValueError, match=r"state at basis/layers/0/w, .* has no role, so it cannot follow"):
            tx.init(PARAMS)
        return
    jax.eval_shape(lambda g: train(tx, g), gradients(3))


GENERATE = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # to shrink would compile for minutes
PILED = {
    **ACTIVE,
    "outer": lambda tx: gradtx.outer(tx, gradtx.sgd(learning_rate=0.7, momentum=0.5, nesterov=True), 2),
    "restart": lambda tx: gradtx.restart(tx, 2, warmup=1),
}
CHAINS = st.lists(st.sampled_from(sorted(PILED)), min_size=3, max_size=5)


@hypothesis.settings(max_examples=8, phases=GENERATE)
@hypothesis.given(CHAINS, st.sampled_from([SGD, ADAM, USER]), st.sampled_from([None, *LAST]))
def test_any_pile(names, tx, last):
    """Piles of wrappers run in one scan, jitted as eager."""
    for name in names:
        tx = PILED[name](tx)
    tx = LAST[last](tx) if last else tx
    (params, _), updates = jax.jit(lambda g: train(tx, g))(gradients(5))
    assert all(np.isfinite(np.asarray(x, np.float32)).all() for x in jax.tree.leaves((params, updates)))
    state, eager = tx.init(PARAMS), []
    grads = gradients(5)
    current = PARAMS
    for k in range(5):
        u, state = tx.update(jax.tree.map(lambda g, k=k: g[k], grads), state, current)
        current = gradtx.apply_updates(current, u)
        eager.append(u)
    for got, expected in zip(
        jax.tree.leaves(updates), jax.tree.leaves(jax.tree.map(lambda *x: jnp.stack(x), *eager)), strict=True
    ):
        np.testing.assert_allclose(np.asarray(got, np.float32), np.asarray(expected, np.float32), rtol=2e-2, atol=1e-6)


@hypothesis.settings(max_examples=8, phases=GENERATE)
@hypothesis.given(st.permutations(sorted(NEUTRAL)), st.sampled_from([SGD, ADAM, USER]))
def test_all_neutral_ones_in_any_order_change_nothing(names, inner):
    """To the bit, with an update jitted alone: the sum with the parameters would be fused with it."""
    tx = inner
    for name in names:
        tx = NEUTRAL[name](tx)
    tx = gradtx.project_onto(tx, gradtx.sets.everywhere())
    outs = []
    for each in (tx, inner):
        update, state, params, history = jax.jit(each.update), each.init(PARAMS), PARAMS, []
        for k in range(3):
            grads = jax.tree.map(lambda g, k=k: g[k], gradients(3))
            updates, state = update(grads, state, params)
            params = gradtx.apply_updates(params, updates)
            history.append(updates)
        outs.append(history)
    same_bits("the updates", outs[0], outs[1])


@hypothesis.settings(max_examples=8, phases=GENERATE)
@hypothesis.given(
    st.permutations(["masked", "route", "freeze", "accumulate", "average", "lookahead", "inject"]),
    st.lists(st.booleans(), min_size=4, max_size=8),
)
def test_what_is_skipped_outside_leaves_no_trace_inside(names, faults):
    """Round any pile, skip_nonfinite makes bad gradients as if they had not come, to the bit."""
    tx = ADAM
    for name in names:
        tx = ACTIVE[name](tx)
    skipping = gradtx.skip_nonfinite(tx)
    update, bare = jax.jit(skipping.update), jax.jit(skipping.inner.update)
    params, state = PARAMS, skipping.init(PARAMS)
    expected, expected_state = PARAMS, tx.init(PARAMS)
    for k, fault in enumerate(faults):
        g = jax.tree.map(lambda g, k=k: g[k], gradients(len(faults)))
        g = {**g, "gain": jnp.full_like(g["gain"], jnp.nan)} if fault else g
        updates, state = update(g, state, params)
        params = gradtx.apply_updates(params, updates)
        if not fault:
            updates, expected_state = bare(g, expected_state, expected)
            expected = gradtx.apply_updates(expected, updates)
    same_bits("the parameters", params, expected)
    same_bits("the state", state.inner, expected_state)
