"""Libraries that name an algorithm alike are caught where they do not compute alike."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.apps.race.agreement import BOUND, LARGE, NOT_COMPARED, SHORT, STEPS, _difference, agreements, compared
from gradtx.apps.race.results import Agreement
from gradtx.apps.race.task import PreparedTask
from tests.apps.race.tiny import KNOWN, noisy, plain

pytestmark = pytest.mark.peers
RIVALS = list(KNOWN.values())
OURS = [contender for contender in RIVALS if contender.library == "gradtx"]


@pytest.fixture(autouse=True)
def lenient():
    """optax relies on JAX's promotion of types."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def course():
    return PreparedTask(plain(steps=60, every=60))


@pytest.mark.parametrize("ours", OURS, ids=lambda contender: contender.name)
def test_all_that_are_shared_agree_in_float64(ours, course):
    rivals = compared(ours, RIVALS)
    found = agreements(course, ours, rivals)
    assert [(a.optimizer, a.library, a.bound) for a in found] == [(ours.name, r.library, BOUND) for r in rivals]
    assert all(a.holds and a.steps == 60 for a in found)
    assert all(a.difference <= 1e-12 for a in found)


def test_every_pair_is_compared_or_its_reason_given():
    pairs = {(ours.name, rival.library) for ours in OURS for rival in compared(ours, RIVALS)}
    left_out = {(pair.optimizer, pair.library) for pair in NOT_COMPARED}
    raced = {(c.name, c.library) for c in RIVALS if c.library != "gradtx"}
    assert not pairs & left_out
    assert raced - left_out == pairs
    assert all(len(pair.reason) > 40 for pair in NOT_COMPARED)


def test_what_is_left_out_would_not_agree(course):
    """Were the reason to go, with another version of torch, this would say so."""
    (found,) = agreements(course, KNOWN["amsgrad"], [KNOWN["torch:amsgrad"]])
    assert not found.holds


def test_a_noisy_task_with_a_box_agrees():
    found = agreements(PreparedTask(noisy()), KNOWN["adamw"], [KNOWN["optax:adamw"], KNOWN["torch:adamw"]])
    assert [a.steps for a in found] == [6, 6]
    assert all(a.holds for a in found)


NOTHING = (lambda params: (), lambda updates, state, params=None: (updates * jnp.nan, state))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rate, **more: gradtx.adam(rate, **{**more, "eps": 1.0001e-8 + 1e-6}),
        lambda rate, **more: gradtx.adam(rate * (1 + 1e-8), **more),
        lambda rate, **more: gradtx.adam(rate, **{**more, "b2": 0.9990001}),
        lambda rate, **more: gradtx.chain(gradtx.adam(rate, **more), gradtx.scale(-1.0)),
        lambda rate, **more: gradtx.chain(gradtx.adam(rate, **more), NOTHING),
    ],
    ids=["eps", "rate", "b2", "sign", "nan"],
)
def test_a_wrong_optimizer_is_caught(wrong, course):
    adam = dataclasses.replace(KNOWN["adam"], make=wrong)
    found = agreements(course, adam, compared(adam, RIVALS))
    assert [a.library for a in found] == ["optax", "torch"]
    assert not any(a.holds for a in found)


def test_the_trajectory_is_ours_and_ends_before_numbers_are_lost():
    (found,) = agreements(PreparedTask(plain(steps=200, every=200)), KNOWN["sgd"], [KNOWN["optax:sgd"]])
    assert found.steps == 200
    fast = dataclasses.replace(KNOWN["sgd"], centre=1e3)
    (found,) = agreements(
        PreparedTask(plain(steps=200, every=200)), fast, [dataclasses.replace(KNOWN["optax:sgd"], centre=1e3)]
    )
    assert 3 < found.steps < 20
    assert found.holds


def test_large_tasks_are_compared_over_fewer_steps():
    large = plain(
        start=lambda seed: jnp.ones(LARGE + 1, jnp.float32),
        loss=lambda w, batch: jnp.sum(w**2),
        score=lambda w: jnp.sum(w**2),
        steps=2 * STEPS,
        every=STEPS,
    )
    (found,) = agreements(PreparedTask(large), KNOWN["sgd"], [KNOWN["optax:sgd"]])
    assert found.steps == SHORT


def test_what_torch_s_parameters_round_away_is_not_counted():
    u, w = np.array([1e-20, 1e-3]), np.array([1.0, 1e6])
    v = (w + u) - w
    eps = 2 * np.finfo(np.float64).eps
    assert _difference(u, v, 0.0 * w) > 1e-9
    assert _difference(u, v, eps * w) == 0
    assert _difference(u, v + 1e-9, eps * w) > 1e-9 / 2e-3


@pytest.mark.parametrize(
    ("u", "v", "expected"),
    [
        ([2.0, 0.0], [2.0, 1.0], 0.5),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [0.0, 1e-300], np.inf),
        ([1.0, 0.0], [np.nan, 0.0], np.nan),
        ([0.0, 0.0], [np.nan, 0.0], np.nan),
    ],
)
def test_difference_is_relative_to_the_largest_entry(u, v, expected):
    np.testing.assert_equal(_difference(np.array(u), np.array(v), np.zeros(2)), expected)


@pytest.mark.parametrize(
    ("difference", "holds"), [(0.0, True), (1e-9, True), (2e-9, False), (np.nan, False), (np.inf, False)]
)
def test_what_is_no_number_does_not_hold(difference, holds):
    assert Agreement("t", "adam", "optax", 3, difference, 1e-9).holds is holds


@pytest.mark.parametrize("difference", [0.0, np.nan])
def test_nothing_compared_shows_nothing(difference):
    none = Agreement("t", "adam", "optax", 0, difference, 1e-9)
    assert not none.holds
    assert none.excess == np.inf
    (found,) = agreements(
        PreparedTask(plain(loss=lambda w, batch: jnp.sum(w) * jnp.inf)), KNOWN["sgd"], [KNOWN["optax:sgd"]]
    )
    assert (found.steps, found.holds) == (0, False)


def test_torch_keeps_its_default_type():
    import torch

    before = torch.get_default_dtype()
    agreements(PreparedTask(plain()), KNOWN["nadam"], [KNOWN["torch:nadam"]])
    assert torch.get_default_dtype() == before == torch.float32
