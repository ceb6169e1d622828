"""All trainings of a cell in one program, against one training after another in Python."""

import collections
import dataclasses
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.apps.race.contenders import SMALL, Contender, grid
from gradtx.apps.race.engine import run_cell
from gradtx.apps.race.task import PreparedTask
from gradtx.catalog import OPTIMIZERS
from tests.apps.race.tiny import ASKING, FULL_BATCH, KNOWN, assert_same_cell, noisy, plain

optax_is_there = pytest.mark.skipif(importlib.util.find_spec("optax") is None, reason="needs optax")
RATES = np.array([0.001, 0.01, 0.1])


@pytest.fixture
def lenient():
    """optax relies on JAX's promotion of types."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def loop(task, tx, rate, seed):
    """The scores of one training, step by step."""
    w = task.start(jnp.int32(seed))
    batches = None if task.batches is None else task.batches(jnp.int32(seed))
    tx, scores = tx(jnp.float32(rate)), [task.score(w)]
    state = tx.init(w)
    for t in range(task.steps):
        batch = None if batches is None else batches[t]
        value, grads = jax.value_and_grad(task.loss)(w, batch)
        updates, state = tx.update(grads, state, w, value=value, value_fn=lambda w, batch=batch: task.loss(w, batch))
        w = gradtx.apply_updates(w, updates)
        w = w if task.project is None else task.project(w)
        if (t + 1) % task.every == 0:
            scores.append(task.score(w))
    return np.array(scores, np.float64)


@pytest.mark.parametrize(
    ("task", "name"),
    [(plain(), FULL_BATCH), (noisy(), "adamw"), *((noisy(), name) for name in ASKING.values())],
    ids=["plain", "noisy", *(f"needs {extra}" for extra in ASKING)],
)
def test_every_training_is_the_one_that_a_loop_in_python_makes(task, name):
    contender = KNOWN[name]
    cell = run_cell(PreparedTask(task), contender, RATES)
    assert cell.scores.shape == (3, 2, 4)
    assert cell.scores.dtype == np.float64
    assert (cell.optimizer, cell.library, list(cell.at)) == (name, "gradtx", [0, 2, 4, 6])
    assert cell.seconds_compiling > cell.seconds_running > 0
    for i, rate in enumerate(RATES):
        for seed in range(task.seeds):
            one = loop(task, lambda rate: contender.make(rate, **contender.hyperparameters), rate, seed)
            np.testing.assert_allclose(cell.scores[i, seed], one, rtol=1e-5)
    assert len(np.unique(cell.scores[:, :, -1])) == 6  # neither rates nor seeds are mixed up


def test_side_by_side_or_one_after_another_is_the_same():
    course, cells = PreparedTask(noisy()), []
    for room in (6, 3, 1):
        course.room = room
        cells.append(run_cell(course, KNOWN["momentum"], RATES))
    for other in cells[1:]:
        np.testing.assert_allclose(cells[0].scores, other.scores, rtol=1e-6)


def test_room_is_what_fits_the_cache():
    assert PreparedTask(plain()).room > 1000
    big = plain(
        start=lambda seed: jnp.zeros((1024, 256), jnp.float32),
        loss=lambda w, batch: jnp.sum(w**2),
        score=lambda w: jnp.sum(w**2),
    )
    assert PreparedTask(big).room == 0


def test_a_training_that_diverges_is_kept_as_it_is():
    cell = run_cell(PreparedTask(plain(steps=200, every=20)), KNOWN["sgd"], np.array([0.01, 10.0]))
    assert np.isfinite(cell.scores[0]).all()
    assert not np.isfinite(cell.scores[1, :, -1]).any()
    assert np.isfinite(cell.scores[1, :, 0]).all()


def test_scores_are_the_shortest_decimals_that_name_their_float32():
    scores = run_cell(PreparedTask(plain()), KNOWN["sgd"], RATES).scores
    assert max(len(repr(x)) for x in scores.ravel().tolist()) <= 15
    assert np.array_equal(np.float32(scores).astype(str).astype(np.float64), scores)


def test_a_task_s_hyperparameters_go_to_those_that_it_names():
    task = plain(hyperparameters={"adam": {"b2": 0.5}, "momentum": {"momentum": 0.0}})
    for label in ("adam", "optax:adam", "torch:adam"):
        assert KNOWN[label].hyperparameters_on(task) == {"b1": 0.9, "b2": 0.5, "eps": 1e-8}
    for label in [c.name for c in KNOWN.values() if c.library == "gradtx" and c.name not in task.hyperparameters]:
        assert KNOWN[label].hyperparameters_on(task) == KNOWN[label].hyperparameters
    with_it = run_cell(PreparedTask(task), KNOWN["adam"], RATES)
    without = run_cell(PreparedTask(plain()), KNOWN["adam"], RATES)
    assert not np.allclose(with_it.scores[..., -1], without.scores[..., -1])
    momentum, sgd = (run_cell(PreparedTask(task), KNOWN[name], RATES) for name in ("momentum", "sgd"))
    np.testing.assert_array_equal(momentum.scores, sgd.scores)


def test_a_hyperparameter_that_the_optimizer_does_not_have_is_refused():
    task = plain(hyperparameters={"adam": {"b3": 0.5}})
    with pytest.raises(ValueError, match="task tiny: hyperparameters sets b3 of adam, which has b1, b2, eps"):
        KNOWN["adam"].hyperparameters_on(task)


@optax_is_there
def test_optax_runs_in_the_same_loop(lenient):
    course = PreparedTask(noisy())
    ours, theirs = (run_cell(course, KNOWN[name], RATES) for name in ("adamw", "optax:adamw"))
    assert (theirs.library, theirs.optimizer) == ("optax", "adamw")
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5)


@pytest.mark.peers
@pytest.mark.parametrize("name", [c.name for c in KNOWN.values() if c.library == "torch"])
def test_torch_takes_the_steps_that_ours_takes(name):
    course = PreparedTask(plain())
    theirs = run_cell(course, KNOWN[f"torch:{name}"], RATES)
    assert theirs.seconds_compiling == 0 < theirs.seconds_running
    if name == "amsgrad":  # another maximum, and the same one at first
        assert theirs.scores.shape == (3, 2, 4)
        return
    ours = run_cell(course, KNOWN[name], RATES)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=2e-5)


def test_ticks_tell_how_far_it_is():
    ticks = []
    run_cell(PreparedTask(plain()), KNOWN["sgd"], RATES, lambda: ticks.append(1))
    assert len(ticks) == 3


def test_the_same_twice_is_the_same_to_the_bit():
    one, other = (run_cell(PreparedTask(noisy()), KNOWN["adamw"], RATES) for _ in range(2))
    assert_same_cell(one, other)


@pytest.mark.parametrize(("steps", "every"), [(7, 2), (0, 1), (4, 0)])
def test_scores_that_do_not_end_with_the_steps_are_refused(steps, every):
    with pytest.raises(ValueError, match=f"task tiny: steps must be a multiple .* got steps={steps}, every={every}"):
        PreparedTask(plain(steps=steps, every=every))


class TestGrid:
    @pytest.mark.parametrize(("n", "span"), [(2, 1), (3, 2), (5, 4), (7, 4), (11, 5), (13, 6), (25, 6)])
    def test_all_get_as_many_rates_over_as_many_decades(self, n, span):
        for contender in KNOWN.values():
            rates = grid(contender.centre, n)
            assert len(rates) == n
            np.testing.assert_allclose(np.diff(np.log10(rates)), span / (n - 1), atol=0.005)
            np.testing.assert_allclose(np.sqrt(rates[0] * rates[-1]), contender.centre, rtol=0.005)

    def test_one_is_the_centre(self):
        assert grid(0.3, 1) == [0.3]


class TestContenders:
    def test_each_library_s_have_the_same_rates_and_hyperparameters(self):
        for contender in KNOWN.values():
            ours = KNOWN[contender.name]
            assert (contender.centre, contender.hyperparameters) == (ours.centre, ours.hyperparameters)
        counts = collections.Counter(contender.library for contender in KNOWN.values())
        raced = [setting for _, setting in OPTIMIZERS.values() if setting.rates]
        peers = {library: sum(getattr(s, library) is not None for s in raced) for library in ("optax", "torch")}
        assert counts["gradtx"] == len(raced) > 60
        assert all(12 <= counts[library] <= peers[library] for library in peers)
        assert f"optax:{FULL_BATCH}" not in KNOWN

    def test_those_that_compare_signs_need_full_batches(self):
        assert "noise" in KNOWN[FULL_BATCH].absence(noisy())
        assert "noise" in KNOWN[f"torch:{FULL_BATCH}"].absence(dataclasses.replace(plain(), full_batch=False))
        assert KNOWN[FULL_BATCH].absence(plain()) is None
        assert KNOWN["adam"].absence(noisy()) is None

    def test_torch_needs_a_task_in_its_words(self):
        assert "torch" in KNOWN["torch:adam"].absence(noisy())
        assert KNOWN["torch:adam"].absence(plain()) is None

    def test_a_task_may_name_those_that_make_sense(self):
        task = plain(optimizers=("adam",))
        assert KNOWN["adam"].absence(task) is None
        assert KNOWN["sgd"].absence(task) is not None

    def test_large_tasks_race_a_few_of_the_other_libraries(self):
        large = plain(start=lambda seed: jnp.zeros(SMALL + 1, jnp.float32))
        assert KNOWN["adamw"].by_default(large)
        assert KNOWN["optax:adam"].by_default(large)
        assert not KNOWN["optax:adamw"].by_default(large)
        assert KNOWN["optax:adamw"].by_default(plain())
        assert not KNOWN["torch:adamw"].by_default(plain())


def test_a_user_s_own_optimizer_races_too():
    mine = Contender("halving", "gradtx", lambda rate: gradtx.sgd(rate / 2), 0.1, {})
    cell = run_cell(PreparedTask(plain()), mine, 2 * RATES)
    np.testing.assert_allclose(cell.scores, run_cell(PreparedTask(plain()), KNOWN["sgd"], RATES).scores, rtol=1e-6)
