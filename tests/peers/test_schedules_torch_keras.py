"""Schedules of torch and Keras: the same values where the formula is the same, and the stated differences."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx

os.environ["KERAS_BACKEND"] = "jax"
why = "install the extra: pip install -e '.[peers]'"
torch = pytest.importorskip("torch", reason=why)
keras = pytest.importorskip("keras", reason=why)
pytestmark = pytest.mark.peers

N = 120


def values(schedule):
    """Ours and Keras's alike: a function of the step."""
    return np.asarray(jax.jit(jax.vmap(lambda step: jnp.asarray(schedule(step), float)))(jnp.arange(N)))


def of_torch(make, n=N, rate=1.0):
    """The rates of a torch scheduler, in double precision: that of the first update first."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler = make(optimizer)
    out = []
    for _ in range(n):
        out.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return np.array(out)


lr = torch.optim.lr_scheduler
T = 100
TORCH = {
    "exponential": (gradtx.exponential_decay(1.0, 1, 0.97), lambda o: lr.ExponentialLR(o, 0.97)),
    "step": (gradtx.exponential_decay(1.0, 7, 0.5, staircase=True), lambda o: lr.StepLR(o, 7, 0.5)),
    "multistep": (
        gradtx.piecewise_constant_schedule(1.0, {7: 0.5, 50: 0.5}),
        lambda o: lr.MultiStepLR(o, [7, 50], 0.5),
    ),
    "polynomial": (gradtx.polynomial_schedule(1.0, 0.0, 2.0, 80), lambda o: lr.PolynomialLR(o, 80, 2.0)),
    "linear": (gradtx.linear_schedule(0.1, 0.8, 50), lambda o: lr.LinearLR(o, 0.1, 0.8, 50)),
    "cosine": (gradtx.cosine_decay_schedule(1.0, N, 0.1), lambda o: lr.CosineAnnealingLR(o, N, 0.1)),
    "restarts": (
        gradtx.cosine_restarts_schedule(1.0, 7, 2.0, alpha=0.1),
        lambda o: lr.CosineAnnealingWarmRestarts(o, 7, 2, 0.1),
    ),
    "restarts of one length": (
        gradtx.cosine_restarts_schedule(1.0, 13, 1.0),
        lambda o: lr.CosineAnnealingWarmRestarts(o, 13),
    ),
    "cyclic": (
        gradtx.cyclic_schedule(0.1, 1.0, 7, 13),
        lambda o: lr.CyclicLR(o, 0.1, 1.0, 7, 13, cycle_momentum=False),
    ),
    "cyclic triangular2": (
        gradtx.cyclic_schedule(0.1, 1.0, 10, m_mul=0.5),
        lambda o: lr.CyclicLR(o, 0.1, 1.0, 10, mode="triangular2", cycle_momentum=False),
    ),
    "cyclic exp_range": (
        gradtx.cyclic_schedule(0.1, 1.0, 10, gamma=0.99),
        lambda o: lr.CyclicLR(o, 0.1, 1.0, 10, mode="exp_range", gamma=0.99, cycle_momentum=False),
    ),
    "onecycle": (  # torch's phases end one step before the share of all steps
        gradtx.cosine_onecycle_schedule(T - 1, 1.0, (0.3 * T - 1) / (T - 1), 25.0, 1e4),
        lambda o: lr.OneCycleLR(o, 1.0, T, cycle_momentum=False),
    ),
    "onecycle, three phases": (
        gradtx.linear_onecycle_schedule(T - 1, 1.0, (0.3 * T - 1) / (T - 1), (0.6 * T - 2) / (T - 1), 25.0, 1e4),
        lambda o: lr.OneCycleLR(o, 1.0, T, three_phase=True, anneal_strategy="linear", cycle_momentum=False),
    ),
    "sequential": (
        gradtx.join_schedules([gradtx.linear_schedule(0.1, 1.0, 20), gradtx.exponential_decay(1.0, 1, 0.97)], [20]),
        lambda o: lr.SequentialLR(o, [lr.LinearLR(o, 0.1, 1.0, 20), lr.ExponentialLR(o, 0.97)], [20]),
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("ours", "theirs"), TORCH.values(), ids=TORCH.keys())
def test_torch(ours, theirs):
    n = T if "onecycle" in repr(ours) else N
    np.testing.assert_allclose(values(ours)[:n], of_torch(theirs, n), rtol=3e-5, atol=1e-6)


schedules = keras.optimizers.schedules
KERAS = {
    "exponential": (gradtx.exponential_decay(1.0, 10, 0.5), schedules.ExponentialDecay(1.0, 10, 0.5)),
    "exponential staircase": (
        gradtx.exponential_decay(1.0, 10, 0.5, staircase=True),
        schedules.ExponentialDecay(1.0, 10, 0.5, staircase=True),
    ),
    "polynomial": (gradtx.polynomial_schedule(1.0, 0.1, 2.5, 64), schedules.PolynomialDecay(1.0, 64, 0.1, 2.5)),
    "inverse time": (gradtx.inverse_time_schedule(1.0, 10, 0.7), schedules.InverseTimeDecay(1.0, 10, 0.7)),
    "inverse time staircase": (
        gradtx.inverse_time_schedule(1.0, 10, 0.7, staircase=True),
        schedules.InverseTimeDecay(1.0, 10, 0.7, staircase=True),
    ),
    "cosine": (gradtx.cosine_decay_schedule(1.0, 80, 0.1), schedules.CosineDecay(1.0, 80, 0.1)),
    "warmup cosine": (
        gradtx.warmup_cosine_decay_schedule(0.1, 1.0, 20, 98, 0.2),
        schedules.CosineDecay(0.1, 78, 0.2, warmup_target=1.0, warmup_steps=20),
    ),
    "restarts": (
        gradtx.cosine_restarts_schedule(1.0, 7, 2.0, 0.8, 0.1),
        schedules.CosineDecayRestarts(1.0, 7, 2.0, 0.8, 0.1),
    ),
    "restarts of one length": (
        gradtx.cosine_restarts_schedule(1.0, 16, 1.0, 0.8),
        schedules.CosineDecayRestarts(1.0, 16, 1.0, 0.8),
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), KERAS.values(), ids=KERAS.keys())
def test_keras(ours, theirs):
    np.testing.assert_allclose(values(ours), values(theirs), rtol=3e-5, atol=2e-6)


def test_keras_jumps_a_step_later():
    theirs = schedules.PiecewiseConstantDecay([10], [1.0, 0.5])
    assert [float(theirs(step)) for step in (9, 10, 11)] == [1.0, 1.0, 0.5]
    assert values(gradtx.piecewise_constant_schedule(1.0, {10: 0.5}))[9:12].tolist() == [1.0, 0.5, 0.5]
