"""The parts of the demo: data, network, one program for many rates."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradtx.apps.race.demo import Curves, table
from gradtx.apps.race.engine import Trainings
from gradtx.apps.race.task import PreparedTask
from gradtx.apps.race.tasks import data, networks
from gradtx.apps.race.tasks.digits import demo_digits, shuffled
from tests.apps.race.tiny import FULL_BATCH, KNOWN


@pytest.fixture(scope="module")
def digits():
    return data.load_digits(0)


def test_split_is_stratified_disjoint_and_decided_by_the_seed(digits):
    assert (len(digits.train_y), len(digits.test_y)) == (1347, 450)
    shares = [np.bincount(y, minlength=10) / len(y) for y in (digits.train_y, digits.test_y)]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.002)
    assert digits.train_x.dtype == jnp.float32
    assert (digits.train_x.min(), digits.train_x.max()) == (0, 1)
    jax.tree.map(np.testing.assert_array_equal, digits, data.load_digits(0))
    assert not np.array_equal(digits.train_x, data.load_digits(1).train_x)


def test_cross_entropy_is_right_and_finite_for_huge_scores():
    y = jnp.array([0, 1])
    scores = jnp.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    expected = (np.log(np.exp([1.0, 2.0, 3.0]).sum()) - 1 + np.log(3)) / 2
    np.testing.assert_allclose(networks.cross_entropy(scores, y), expected, rtol=1e-6)
    huge = jnp.array([[1e30, 0.0, -1e30], [-1e30, 1e30, 0.0]])
    loss, slope = jax.value_and_grad(networks.cross_entropy)(huge, y)
    assert loss == 0
    assert np.isfinite(slope).all()
    assert networks.accuracy(huge, jnp.array([0, 0])) == 0.5


def test_batches_hold_different_examples_and_change_with_the_key():
    first, second = (shuffled(jax.random.key(k), 100, 32) for k in (0, 1))
    assert first.shape == (3, 32)
    assert len(np.unique(first)) == 96
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", ["momentum", "adamw", FULL_BATCH])
def test_many_rates_at_once_are_each_rate_alone(name, digits):
    contender = dataclasses.replace(KNOWN[name], hyperparameters={})
    prepared, rates = PreparedTask(demo_digits(digits, 12, 300, 1, 3)), contender.rates[:3]
    together = Trainings(prepared, contender, np.array(rates))
    together.advance(prepared.batches_after(0))
    step = jax.jit(lambda tx, w, state, batch: tx.step(jax.grad(prepared.task.loss)(w, batch), state, w))
    for i, rate in enumerate(rates):
        tx, w = contender.make(rate), jax.tree.map(lambda x: x[0], prepared.starts)
        state = tx.init(w)
        for batch in prepared.batches[0]:
            w, state = step(tx, w, state, batch)
        jax.tree.map(
            lambda many, one, i=i: np.testing.assert_allclose(many[0, i], one, rtol=2e-4, atol=2e-6), together.params, w
        )


def test_the_scores_are_the_loss_on_training_and_the_accuracy_on_test(digits):
    task = demo_digits(digits, 12, 300, 2, 3)
    w = task.start(0)
    loss = networks.cross_entropy(networks.logits(w, digits.train_x), digits.train_y)
    right = np.argmax(networks.logits(w, digits.test_x), axis=1) == digits.test_y
    np.testing.assert_allclose(task.score(w), [loss, right.mean()], rtol=1e-6)
    assert (task.steps, task.every, task.batches(0).shape) == (8, 4, (8, 300))


def curves(loss, accuracy, rates=(0.1, 1.0), steps=7):
    return Curves(rates, steps, np.array(loss), np.array(accuracy), 2.0, 1.0)


def test_ranking_is_by_accuracy_then_loss_and_the_diverged_come_last():
    assert curves([[2.0, 0.5], [2.0, 0.4]], [[0.1, 0.9], [0.1, 0.9]]).ranking == [1, 0]
    assert curves([[2.0, 0.5], [2.0, 0.4]], [[0.1, 0.91], [0.1, 0.9]]).ranking == [0, 1]
    assert curves([[2.0, np.nan], [2.0, 0.4]], [[0.1, 0.91], [0.1, 0.9]]).ranking == [1, 0]


def test_steps_are_counted_to_the_end_of_the_epoch_that_reached_the_accuracy():
    c = curves([[2.0, 1.0, 0.5]] * 2, [[0.1, 0.96, 0.94], [0.1, 0.2, 0.3]])
    assert (c.steps_to(0.95, 0), c.steps_to(0.95, 1), c.steps_to(0.1, 0)) == (7, None, 0)


def test_table_shows_the_best_rate_of_each_or_all():
    found = {
        "one": curves([[2.0, 0.5], [2.0, np.inf]], [[0.1, 0.9], [0.1, 0.1]]),
        "two": curves([[2.0, 0.3], [2.0, 0.4]], [[0.1, 0.9], [0.1, 0.95]]),
    }
    best = [line.split() for line in table(found).splitlines()[3:]]
    assert best == [
        ["two", "1", "4.0e-01", "95.00%", "7", "1.00", "3.00"],
        ["one", "0.1", "5.0e-01", "90.00%", "never", "1.00", "3.00"],
    ]
    every = [line.split()[:3] for line in table(found, all_rates=True).splitlines()[3:]]
    assert [row[:2] for row in every[:-1]] == [["two", "1"], ["two", "0.1"], ["one", "0.1"]]
    assert every[-1] == ["one", "1", "diverged"]
