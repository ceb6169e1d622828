"""Under `jax.checking_leaks` nothing leaks, and tracing does not wait for garbage."""

import gc

import jax
import jax.numpy as jnp
import pytest

import gradtx
from gradtx import storage
from tests.contract.registry import CASES

ADAM = gradtx.adam(1e-3)
HELD = {
    "watch": gradtx.watch(ADAM, every=2),
    "watch, groups": gradtx.watch(gradtx.chain(gradtx.clip_by_global_norm(1.0), ADAM), every=2, groups={"all": "*"}),
    "store": gradtx.store(ADAM, storage.int8(), min_size=1),
    "accumulate": gradtx.accumulate(gradtx.skip_nonfinite(ADAM), 2),
    "averages": gradtx.schedule_free(gradtx.sgd(1.0), 0.1),
    "partition": gradtx.partition(
        {"a": ADAM, "b": gradtx.sgd(gradtx.linear_schedule(1.0, 0.0, 9))}, {"v": "a", "w": "b"}
    ),
    "precision": gradtx.round_stochastically(gradtx.lookahead(gradtx.lbfgs(linesearch=None)), jax.random.key(0)),
}


@pytest.fixture(autouse=True)
def frozen():
    """JAX collects garbage for each trace that is still in use; what was there before is then not looked at."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("name", HELD)
def test_nothing_leaks(name):
    tx, params = HELD[name], {"v": jnp.ones(3), "w": jnp.ones((2, 2))}
    with jax.checking_leaks():
        state = jax.jit(tx.init)(params)
        jax.jit(lambda params, state: tx.step(params, state, params)).trace(params, state)


def test_nothing_leaks_in_any_case():
    """One of each factory; together, since each takes a tenth of a second."""
    cases = {getattr(case.tx, "name", name): case for name, case in CASES.items()}
    for case in cases.values():
        gradients, state = case.gradients(1)[0], jax.eval_shape(case.init, case.params)
        gc.freeze()
        with jax.checking_leaks():
            jax.jit(case.update).trace(gradients, state, case.params)


@pytest.mark.parametrize("tx", [ADAM, gradtx.rmsprop(0.1), gradtx.amsgrad(0.1)], ids=lambda tx: tx.name)
def test_garbage_is_not_collected_for_each_shape(tx):
    """JAX collects it where the trace of a function is still in use; each time takes 0.1 s in a large program."""
    params, collections = [jnp.ones((2, n)) for n in range(1, 21)], []
    state = tx.init(params)

    def note(phase, info):
        collections.append(info["generation"]) if phase == "stop" else None

    gc.disable()
    gc.callbacks.append(note)
    try:
        with jax.checking_leaks():
            jax.jit(lambda params, state: tx.update(params, state, params)).trace(params, state)
    finally:
        gc.callbacks.remove(note)
        gc.enable()
    assert len(collections) <= 2
