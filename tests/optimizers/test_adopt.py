"""ADOPT against algorithm 2 of Taniguchi et al., and how far its first steps can go."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adopt, scale_by_previous_rms
from tests.optimizers.chains import assert_same_chain
from tests.optimizers.matrices import agrees, states_bound

RATE = 0.1


def paper(gs, w, b1=0.9, b2=0.9999, eps=1e-6, clips=True, nesterov=False):
    m, v = 0, gs[0] * gs[0]
    yield 0 * gs[0]
    for t, g in enumerate(gs[1:], 1):
        u = g / np.maximum(np.sqrt(v), eps)
        u = np.clip(u, -(t**0.25), t**0.25) if clips else u
        m = b1 * m + (1 - b1) * u
        yield -RATE * (b1 * m + (1 - b1) * u if nesterov else m)
        v = b2 * v + (1 - b2) * g * g


@pytest.mark.parametrize("shape", [(6, 8), (48,)])
def test_agrees_with_the_paper(shape):
    assert agrees(adopt(RATE), paper, shape) <= 30
    assert states_bound(adopt, 30)


def test_without_clipping():
    tx = adopt(RATE, 0.8, 0.99, 1e-4, use_clipping=False)
    assert agrees(tx, lambda gs, w: paper(gs, w, 0.8, 0.99, 1e-4, clips=False)) <= 50


def test_one_step_ahead():
    assert agrees(adopt(RATE, nesterov=True), lambda gs, w: paper(gs, w, nesterov=True)) <= 30


def test_the_quotient_alone():
    tx = gradtx.chain(scale_by_previous_rms(0.99), gradtx.scale(-RATE))
    assert agrees(tx, lambda gs, w: paper(gs, w, 0.0, 0.99, clips=False)) <= 20
    assert states_bound(scale_by_previous_rms, 20)


def test_chain():
    from gradtx.optimizers.adopt import fourth_root

    assert_same_chain(
        adopt(RATE, 0.8, 0.99, 1e-4),
        scale_by_previous_rms(0.99, 1e-4),
        gradtx.clip_by_value(fourth_root),
        gradtx.ema(0.8, debias=False),
        gradtx.scale_by_learning_rate(RATE),
    )


def test_the_first_steps_are_short():
    """For gradients that grow tenfold: 0, 0.1, 0.209, 0.320."""
    tx, w = adopt(1.0), jnp.zeros(1)
    state, steps = tx.init(w), []
    for t in range(4):
        u, state = tx.update(jnp.array([10.0**t]), state, w)
        steps.append(float(u[0]))
    np.testing.assert_allclose(steps, [0.0, -0.1, -0.2089, -0.3196], atol=1e-4)


def test_a_gradient_after_zeros():
    """The least divisor is eps, and the clip bounds the quotient."""
    tx, w = adopt(1.0), jnp.zeros(2)
    _, state = tx.update(w, tx.init(w), w)
    u, _ = tx.update(jnp.array([1e-8, 1.0]), state, w)
    np.testing.assert_allclose(u, [-0.1 * 1e-2, -0.1], rtol=1e-5)


def test_numbers_out_of_range():
    with pytest.raises(ValueError, match="eps must be greater than 0"):
        adopt(1e-3, eps=0.0)
    with pytest.raises(ValueError, match="b2 must be in"):
        adopt(1e-3, b2=1.5)
