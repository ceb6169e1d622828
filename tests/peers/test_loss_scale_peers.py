"""The scales of torch's GradScaler and of flax's DynamicScale, for the same faults."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import gradtx
from gradtx.precision.loss_scale import dynamic_loss_scale

FAULTS = st.lists(st.booleans(), min_size=1, max_size=40)
INTERVALS = st.integers(1, 5)


def scales(finite, interval):
    """Ours after each update."""
    tx = dynamic_loss_scale(gradtx.sgd(0.0), 2.0**16, growth_interval=interval, min_scale=2.0**-126)
    w, state, came = jnp.zeros(()), None, []
    state, update = tx.init(w), _update
    for fine in finite:
        state = update(tx, jnp.float32(1.0 if fine else np.inf), state)
        came.append(float(state.scale))
    return came


@jax.jit
def _update(tx, g, state):
    return tx.update(g, state, g)[1]


@pytest.mark.peers
@hypothesis.settings(max_examples=10)
@hypothesis.given(FAULTS, INTERVALS)
def test_torch(finite, interval):
    torch = pytest.importorskip("torch")
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=interval)
    w = torch.zeros((), requires_grad=True)
    sgd, came = torch.optim.SGD([w], lr=0.0), []
    for fine in finite:
        scaler.scale(w * 1.0)
        w.grad = torch.tensor(1.0 if fine else np.inf)
        scaler.step(sgd)
        scaler.update()
        came.append(scaler.get_scale())
    assert scales(finite, interval) == came


@hypothesis.settings(max_examples=5)
@hypothesis.given(FAULTS, INTERVALS)
def test_flax_grows_one_finite_update_later(finite, interval):
    dynamic_scale = pytest.importorskip("flax.training.dynamic_scale")
    scaler, came = dynamic_scale.DynamicScale(growth_interval=interval, scale=jnp.float32(2.0**16)), []
    for fine in finite:
        scaler, is_finite, _, _ = scaler.value_and_grad(lambda w: w * jnp.float32(1.0 if fine else np.inf))(  # noqa: B023
            jnp.float32(1.0)
        )
        assert bool(is_finite) == fine
        came.append(float(scaler.scale))
    assert scales(finite, interval + 1) == came
