"""Optimistic gradient descent and Adam against their formulas, and in a game."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import optimistic_adam, optimistic_gradient_descent
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms.agreement import gradients, run, ulps


def adam_of(gs, b1=0.9, b2=0.999, eps=1e-8):
    m, v, out = np.zeros_like(gs[0]), np.zeros_like(gs[0]), []
    for t, g in enumerate(gs, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        out.append(m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps))
    return np.stack(out)


def guessed(us, rate, alpha, beta):
    """Daskalakis et al.: a step with (alpha + beta) times this one less beta times the last."""
    last = np.concatenate([us[:1], us[:-1]])
    return -rate * ((alpha + beta) * us - beta * last)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 2.0)])
def test_against_the_formulas(alpha, beta):
    """1,000 steps in float32; the measure is the larger of both steps, of which a difference is taken."""
    gs = gradients()
    wide = gs.astype(np.float64)
    adam = optimistic_adam(0.5, alpha=alpha, beta=beta, nesterov=False)
    for tx, us, most in [
        (optimistic_gradient_descent(0.5, alpha, beta), (wide, np.abs(wide)), 8),
        (adam, (adam_of(wide), adam_of(np.abs(wide))), 60),
    ]:
        size = np.maximum(us[1], np.concatenate([us[1][:1], us[1][:-1]])) * 0.5 * (alpha + beta)
        got = run(tx, gs)[0]
        assert ulps(got, guessed(us[0], 0.5, alpha, beta), size) <= most
        assert f"Within {most} ulp" in tx.made_by.__doc__


def test_a_game_is_solved_where_descent_goes_round_in_circles():
    """x·y from (1, 1)."""

    def distance(tx):
        w = jnp.array([1.0, 1.0])

        def step(carry, _):
            w, state = carry
            updates, state = tx.update(jnp.array([w[1], -w[0]]), state, w)
            return (w + updates, state), None

        return float(jnp.linalg.norm(jax.lax.scan(step, (w, tx.init(w)), None, 1000)[0][0]))

    assert distance(gradtx.sgd(0.1)) > 10
    assert distance(optimistic_gradient_descent(0.1)) < 0.01


def test_chains():
    optimistic = gradtx.scale_by_optimistic_gradient()
    assert_same_chain(optimistic_gradient_descent(RATE), optimistic, lr(RATE))
    assert_same_chain(optimistic_adam(RATE), gradtx.scale_by_nadam(), optimistic, lr(RATE))
    assert_same_chain(optimistic_adam(RATE, nesterov=False), gradtx.scale_by_adam(), optimistic, lr(RATE))
