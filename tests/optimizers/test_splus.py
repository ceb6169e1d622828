"""SPlus against a loop of the paper in float64, and what it does with leaves that are no matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.optimizers.paths import matrix_gradients


def splus_loop(gradients, rate, every, b1=0.9, b2=0.999):
    """Algorithm 2, with L, R and their eigenvectors before the step; the first step only learns."""
    m, n = gradients.shape[1:]
    left, right, q, p, mean, out = np.zeros((m, m)), np.zeros((n, n)), np.eye(m), np.eye(n), np.zeros((m, n)), []
    for t, g in enumerate(gradients.astype(np.float64)):
        left, right = b2 * left + (1 - b2) * g @ g.T, b2 * right + (1 - b2) * g.T @ g
        if t % every == 0:
            q, p = np.linalg.eigh(left)[1], np.linalg.eigh(right)[1]
        mean = b1 * mean + (1 - b1) * g
        out.append(-rate * 2 / (m + n) * q @ np.sign(q.T @ mean @ p) @ p.T * (t > 0))
    return np.asarray(out)


def updates_of(tx, g):
    w = {"kernel": jnp.zeros(g.shape[1:])}
    run = jax.jit(lambda state: jax.lax.scan(lambda s, g: tx.update({"kernel": g}, s, w)[::-1], state, jnp.asarray(g)))
    state, updates = run(tx.init(w))
    return np.asarray(updates["kernel"]), state


@pytest.mark.parametrize("every", [1, 100])
def test_splus(every):
    """An entry that is zero up to rounding may have the other sign: in few steps, if at all."""
    g = matrix_gradients((5, 5))
    came, _ = updates_of(gradtx.splus(0.3, every=every, weight_decay=0.0), g)
    expected = splus_loop(g, 0.3, every)
    error = np.abs(came - expected).max(axis=(1, 2)) / np.abs(expected).max()
    assert np.quantile(error, 0.99) < 1e-5
    assert np.median(error) < 5e-6


def test_all_steps_of_a_matrix_have_one_length():
    """√(m·n)·2·rate/(m + n), the norm that the paper states."""
    came, _ = updates_of(gradtx.splus(0.5, weight_decay=0.0), matrix_gradients((4, 6))[:20])
    assert np.all(came[0] == 0)
    np.testing.assert_allclose(np.linalg.norm(came[1:], axis=(1, 2)), 24**0.5 * 0.1, rtol=1e-5)


def test_other_leaves_and_decay():
    """Their signs times other_scale; the decay has the same factor as the step."""
    params = {"dense": {"kernel": jnp.full((4, 6), 2.0), "bias": jnp.full(3, 2.0)}, "embed": jnp.full((4, 6), 2.0)}
    tx, g = gradtx.splus(1.0, other_scale=0.01, weight_decay=0.25), jax.tree.map(lambda x: -x, params)
    u, state = tx.update(g, tx.init(params), params)
    assert all(not np.any(x) for x in jax.tree.leaves(u))
    u, _ = tx.update(g, state, params)
    np.testing.assert_allclose(u["dense"]["bias"], 0.01 * (1 - 0.5), rtol=1e-5)
    plain = gradtx.splus(1.0, other_scale=0.01, weight_decay=0.0).update(g, state, params)[0]
    np.testing.assert_allclose(u["dense"]["kernel"] - plain["dense"]["kernel"], -0.2 * 0.5, rtol=1e-4)
    np.testing.assert_allclose(u["embed"] - plain["embed"], -0.01 * 0.5, rtol=1e-4)


def test_the_average_is_that_of_the_parameters():
    tx, w = gradtx.splus(0.3, average_decay=0.5), {"kernel": jnp.ones((3, 3))}
    state, seen = tx.init(w), []
    for g in matrix_gradients((3, 3))[:3]:
        u, state = tx.update({"kernel": jnp.asarray(g)}, state, w)
        w = gradtx.apply_updates(w, u)
        seen.append(np.asarray(w["kernel"]))
    wanted = (0.25 * seen[0] + 0.5 * seen[1] + seen[2]) / 1.75
    np.testing.assert_allclose(gradtx.averaged(state)["kernel"], wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"b1": 1.5}, "b1 must be in"),
        ({"b2": -0.1}, "b2 must be in"),
        ({"average_decay": 1.0}, "average_decay must be in"),
        ({"every": 0}, "every must be"),
        ({"sides": "left"}, "sides must be one of"),
        ({"other_scale": -1.0}, "other_scale must be"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        gradtx.splus(0.1, **arguments)
