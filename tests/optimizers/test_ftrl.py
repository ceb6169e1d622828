"""FTRL-Proximal against the loop of its paper, and against what it is made of."""

from functools import partial

import numpy as np
import pytest

import gradtx
from tests.optimizers.chains import RATE, assert_same_chain
from tests.optimizers.paths import W0, error, path
from tests.peers.pairs import recipe
from tests.transforms import agreement


def follow_the_leader(gs, w, rate=0.05, start=0.1, l1=0.0, l2=0.0, beta=0.0):
    """McMahan et al., with z that begins where the parameters are."""
    n = 0 * w + start
    z, out = -np.sqrt(n) * w / rate, []
    for g in gs:
        sigma = (np.sqrt(n + g**2) - np.sqrt(n)) / rate
        z, n = z + g - sigma * w, n + g**2
        w = np.where(np.abs(z) <= l1, 0, -(z - np.sign(z) * l1) / ((beta + np.sqrt(n)) / rate + 2 * l2))
        out.append(w)
    return np.stack(out)


SPARSE = {"l1": 0.01, "l2": 0.1, "beta": 1.0}
CASES = {
    "usual": (gradtx.scale_by_ftrl(0.05), follow_the_leader),
    "sparse": (gradtx.scale_by_ftrl(0.05, **SPARSE), partial(follow_the_leader, **SPARSE)),
}


@pytest.mark.parametrize(("tx", "loop"), CASES.values(), ids=CASES.keys())
def test_against_the_paper(tx, loop):
    assert error(tx, loop) <= 5e-6
    assert error(tx, loop, np.float64) <= 1e-12
    assert "Within 5e-6 of exact arithmetic" in " ".join(gradtx.scale_by_ftrl.__doc__.split())


def test_without_regularization_it_divides_by_the_root_of_the_sum():
    """Also under a schedule, where z in units of 1/η would jump."""
    gs = agreement.gradients()[:200, :20]

    def falling(step):
        return 0.1 / (1 + step)

    same = path(recipe("Adagrad")(falling, 0.0, 0.0), gs, W0[:20])
    np.testing.assert_allclose(path(gradtx.ftrl(falling, 0.0), gs, W0[:20]), same, rtol=1e-4, atol=1e-5)


def test_a_first_step_stays_near_the_parameters():
    """z = 0 at the start, as in Keras, would put w = 1 at 0.046."""
    w = path(gradtx.ftrl(1e-3), [[0.1]], [1.0])
    np.testing.assert_allclose(w, 1 - 1e-3 * 0.1 / np.sqrt(0.11), rtol=1e-6)


def test_l1_makes_zeros_until_gradients_agree():
    gs = np.tile(np.array([[0.05, 1.0]]), (50, 1)) * np.where(np.arange(50) % 2, 1.0, -1.0)[:, None]
    gs[:, 1] = -1.0
    ws = path(gradtx.ftrl(0.1, l1=0.2), gs, [0.0, 0.0])
    assert not ws[:, 0].any()
    assert ws[-1, 1] > 0.5


def test_zero_and_huge():
    for start in (0.1, 0.0):
        ws = path(gradtx.ftrl(0.1, start), [[0.0, 1e25], [0.0, -1e25], [0.0, 1.0]], [1.0, 2.0])
        np.testing.assert_allclose(ws[:, 0], 1.0, rtol=1e-6)
        assert np.isfinite(ws).all()


def test_chain():
    numbers = {"initial_accumulator_value": 0.2, "l1": 0.01, "l2": 0.1, "beta": 0.5}
    assert_same_chain(gradtx.ftrl(RATE, **numbers), gradtx.scale_by_ftrl(RATE, **numbers))


@pytest.mark.parametrize("name", ["learning_rate", "initial_accumulator_value", "l1", "l2", "beta"])
def test_out_of_range(name):
    with pytest.raises(ValueError, match=f"{name} must be"):
        gradtx.scale_by_ftrl(**{name: -0.1})
