"""The tasks of the race: what all of them keep to, their minima and targets, and what they are known to show."""

import functools
import socket

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.apps.race.task import Task
from gradtx.apps.race.tasks import TASKS, quick, task
from tests.double import enable_x64

SEEDS = np.array([0, 1, 0], np.int32)
SURFACES = ("bowl", "rosenbrock", "beale", "rastrigin", "ill_conditioned")


@functools.cache
def made(name: str) -> Task:
    """A task, made where there is no network."""
    with pytest.MonkeyPatch.context() as patch:
        for method in ("connect", "connect_ex"):
            patch.setattr(socket.socket, method, lambda *_: pytest.fail("a task wants the network"))
        return task(name)


@functools.cache
def beginnings(name: str):
    """For each of SEEDS: the parameters, the batches, the score, and the loss on the first batch. One program."""
    of = made(name)

    def begin(seed):
        params, batches = of.start(seed), None if of.batches is None else of.batches(seed)
        return params, batches, of.score(params), of.loss(params, jax.tree.map(lambda x: x[0], batches))

    return jax.jit(jax.vmap(begin))(SEEDS)


def descend(of: Task, tx, seed=0):
    """The scores of a training: before the first step, and after each `every` steps."""
    params = jax.jit(of.start)(np.int32(seed))
    batches = None if of.batches is None else jax.jit(of.batches)(np.int32(seed))

    def step(carry, batch):
        params, state = carry
        params, state = tx.step(jax.grad(of.loss)(params, batch), state, params)
        return (params if of.project is None else of.project(params), state), None

    def stretch(carry, batches):
        carry, _ = jax.lax.scan(step, carry, batches, length=of.every)
        return carry, of.score(carry[0])

    rounds = of.steps // of.every
    batches = jax.tree.map(lambda x: x.reshape(rounds, of.every, *x.shape[1:]), batches)
    _, scores = jax.jit(lambda carry: jax.lax.scan(stretch, carry, batches, rounds))((params, tx.init(params)))
    return np.array([of.score(params), *scores])


@pytest.mark.parametrize("name", TASKS)
class TestEveryTask:
    def test_describes_itself(self, name):
        of = made(name)
        assert of.name == name
        assert of.about.endswith(".")
        assert of.unit
        assert of.steps % of.every == 0
        assert of.seeds >= 3
        assert of.rates >= 3
        assert of.lower_bound < of.target

    def test_is_decided_by_the_seed(self, name):
        params, batches, _, _ = beginnings(name)
        for tree in (params, batches):
            for x in map(np.asarray, jax.tree.leaves(tree)):
                np.testing.assert_array_equal(x[0], x[2])
        assert any(np.any(x[0] != x[1]) for x in map(np.asarray, jax.tree.leaves(params)))
        assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
        for x in jax.tree.leaves(batches):
            assert x.shape[1] == made(name).steps

    def test_is_not_won_at_the_start(self, name):
        _, _, score, loss = beginnings(name)
        assert score.shape == loss.shape == SEEDS.shape
        assert np.isfinite(loss).all()
        assert (score > made(name).target).all()

    def test_keeps_its_types_in_double_precision(self, name):
        """Numbers that the surrounding program's precision decides would stop a strict promotion, or widen a loss."""
        with enable_x64(True):
            of = made(name)
            for dtype in (jnp.float32, jnp.float64):
                params = jax.eval_shape(of.start, np.int32(0))
                assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
                params = jax.tree.map(lambda x, dtype=dtype: jax.ShapeDtypeStruct(x.shape, dtype), params)
                batches = None if of.batches is None else jax.eval_shape(of.batches, np.int32(0))
                batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batches)
                for value in (jax.eval_shape(of.loss, params, batch), jax.eval_shape(of.score, params)):
                    assert (value.shape, value.dtype) == ((), dtype)

    def test_cut_short_begins_alike(self, name):
        of, short = made(name), quick(made(name))
        assert short.steps % short.every == 0
        assert of.steps / 8 < short.steps <= of.steps / 4
        assert 3 <= short.rates <= of.rates
        assert short.seeds == of.seeds
        if of.batches is not None:
            batches = jax.eval_shape(short.batches, np.int32(0))
            assert {x.shape[0] for x in jax.tree.leaves(batches)} == {short.steps}


MINIMA = {
    "bowl": [0.0, 0.0],
    "rosenbrock": [1.0, 1.0],
    "beale": [3.0, 0.5],
    "rastrigin": [0.0, 0.0],
    "ill_conditioned": [0.0] * 10,
}


@pytest.mark.parametrize("name", SURFACES)
def test_minimum_of_a_surface_is_its_lower_bound(name):
    of, best = made(name), jnp.array(MINIMA[name])
    assert of.score(best) == of.lower_bound
    near = best[None] + 0.05 * jax.random.normal(jax.random.key(0), (20, len(best)))
    assert (jax.vmap(of.score)(near) > of.lower_bound).all()


def test_curvatures_of_the_quadratic_differ_by_ten_thousand():
    with enable_x64(True):
        curvatures = np.linalg.eigvalsh(jax.hessian(made("ill_conditioned").score)(jnp.zeros(10, jnp.float64)))
    np.testing.assert_allclose(curvatures[[0, -1]], [0.01, 100], rtol=1e-4)


def test_share_is_a_whole_number():
    with pytest.raises(ValueError, match="share must be at least 1; got 0"):
        quick(made("bowl"), 0)
    with pytest.raises(TypeError, match="share"):
        quick(made("bowl"), 2.5)
    assert quick(made("bowl"), 1) == made("bowl")
    assert quick(made("bowl"), 10**6).steps == made("bowl").every


def test_batches_cut_short_are_the_first():
    of, short = made("reddi"), quick(made("reddi"))
    np.testing.assert_array_equal(short.batches(np.int32(0)), of.batches(np.int32(0))[: short.steps])


REACHING = {
    "bowl": gradtx.sgd(0.05),
    "rosenbrock": gradtx.adam(0.3),
    "beale": gradtx.adam(0.3),
    "rastrigin": (gradtx.adam(0.01), 1),
    "ill_conditioned": gradtx.sgd(0.01, momentum=0.9),
    "reddi": gradtx.amsgrad(0.1, b2=0.99),
    "reddi_theorem": gradtx.amsgrad(0.01, b1=0.0, b2=0.1),
    "heavy_tails": gradtx.rmsprop(0.02),
    "breast_cancer": gradtx.adam(0.1),
    "wine": gradtx.adam(0.1),
    "digits": gradtx.adam(0.01),
    "bigram": gradtx.adam(0.02),
    "characters": gradtx.adam(0.02),
    "burgers": gradtx.adam(0.03),
}
SLOW = ("characters", "burgers")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in TASKS])
def test_target_is_within_reach(name):
    tx, seed = REACHING[name] if isinstance(REACHING[name], tuple) else (REACHING[name], 0)
    scores = descend(made(name), tx, seed)
    assert scores[0] > made(name).target
    assert scores.min() <= made(name).target
    assert (scores >= made(name).lower_bound - 1e-6).all()


@pytest.mark.parametrize("name", ["reddi", "reddi_theorem"])
def test_adam_goes_to_the_worst_point(name):
    """At the paper's hyperparameters, which the task gives; the targets show that AMSGrad goes to the best."""
    of = made(name)
    assert set(of.hyperparameters) == {"adam", "amsgrad"}
    assert not of.counted
    assert descend(of, gradtx.adam(0.01, **of.hyperparameters["adam"]))[-1] == 2.0
    assert of.project(jnp.float32(-1.5)) == -1.0


@pytest.mark.parametrize("word", ["rosenbrok", "Wine", "mnist"])
def test_unknown_task_is_named_with_what_there_is(word):
    with pytest.raises(ValueError, match=f"no task '{word}'") as raised:
        task(word)
    near = {"rosenbrok": "rosenbrock", "Wine": "wine"}.get(word)
    assert (f"did you mean '{near}'?" if near else ", ".join(TASKS)) in str(raised.value)
    assert ("did you mean" in str(raised.value)) == (near is not None)
