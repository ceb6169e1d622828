"""SOAP against a loop of the paper in float64, and the identities that hold for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.optimizers.paths import updates_of

STEPS = 1000


def soap_loop(gradients, rate, sides, every=10, b1=0.95, b2=0.95, basis_decay=0.95, eps=1e-8, *, turn_nu=True):
    """Algorithm 3, or one-sided; statistics and basis first; moments turned with the basis; no first update."""
    m, n = gradients[0].shape
    left, right, q, p = np.zeros((m, m)), np.zeros((n, n)), np.eye(m), np.eye(n)
    mu, nu, out = np.zeros((m, n)), np.zeros((m, n)), []
    for t, g in enumerate(gradients.astype(np.float64)):
        left = basis_decay * left + (1 - basis_decay) * g @ g.T
        right = basis_decay * right + (1 - basis_decay) * g.T @ g
        if t % every == 0:
            new_q, new_p = next_basis(left, q, t), next_basis(right, p, t) if sides == "both" else p
            a, b = q.T @ new_q, p.T @ new_p
            mu, nu, q, p = a.T @ mu @ b, (a**2).T @ nu @ b**2 if turn_nu else nu, new_q, new_p
        y = q.T @ g @ p
        mu, nu = b1 * mu + (1 - b1) * y, b2 * nu + (1 - b2) * y * y
        step = mu / (1 - b1 ** (t + 1)) / (np.sqrt(nu / (1 - b2 ** (t + 1))) + eps)
        out.append(-rate * q @ step @ p.T * (t > 0))
    return np.asarray(out)


def next_basis(mean, q, t):
    """Eigenvectors at first; then one step of orthogonal iteration, columns in falling order."""
    if t == 0:
        return np.linalg.eigh(mean)[1][:, ::-1]
    order = np.argsort(-np.diag(q.T @ mean @ q), kind="stable")
    return np.linalg.qr(mean @ q[:, order])[0]


def gradients(shape, seed=0):
    random = np.random.default_rng(seed)
    mix = np.linalg.qr(random.normal(size=(shape[0], shape[0])))[0] * np.exp(-0.4 * np.arange(shape[0]))
    size = np.exp(random.normal(size=(STEPS, 1, 1)))
    return (mix @ random.normal(size=(STEPS, *shape)) * size).astype(np.float32)


@pytest.mark.parametrize(("shape", "sides"), [((6, 6), "both"), ((5, 9), "smaller")])
def test_soap(shape, sides):
    g = gradients(shape)
    came, expected = updates_of(gradtx.soap(0.01, sides=sides, weight_decay=0.0), g), soap_loop(g, 0.01, sides)
    error = np.abs(came - expected).max(axis=(1, 2)) / 0.01
    assert error.max() < 2e-5
    assert np.median(error) < 1e-6


def test_the_paper_leaves_the_second_moment_as_it_is():
    g, frame = gradients((6, 6)), gradtx.frames.eigenbasis()
    adam = gradtx.in_frame(gradtx.scale_by_adam(0.95, 0.95), frame, carry="turn_signed")
    came = updates_of(gradtx.chain(adam, gradtx.hold_still(steps=1), gradtx.scale_by_learning_rate(0.01)), g)
    error = np.abs(came - soap_loop(g, 0.01, "both", turn_nu=False)).max(axis=(1, 2)) / 0.01
    assert error.max() < 2e-5
    assert np.median(error) < 1e-6


def test_where_no_side_turns_it_is_adam():
    """With the identity for Q, to the bit, but for the first step."""
    g = gradients((5, 6))[:50]
    came = updates_of(gradtx.soap(0.01, max_dim=4, weight_decay=0.0), g)
    np.testing.assert_array_equal(came[1:], updates_of(gradtx.adam(0.01, 0.95, 0.95), g)[1:])
    assert np.all(came[0] == 0)


def test_numbers_in_the_state():
    state = jax.eval_shape(gradtx.soap(0.01).init, jnp.zeros((16, 64)))
    assert sum(x.size for x in jax.tree.leaves(state)) == 2 * (16 * 64 + 16**2 + 64**2) + 4


def test_cautious_round_it():
    """Its sign is known."""
    tx, g = gradtx.cautious(gradtx.soap(0.01)), gradients((5, 6))[:20]
    assert np.all(updates_of(tx, g) * g <= 0)


def test_no_weight_decays_in_the_first_step():
    """Afterwards the decay comes on top of what SOAP does without it, with the learning rate."""
    w, g = jnp.full((4, 5), 2.0), jnp.asarray(gradients((4, 5))[:2])
    decayed, plain = gradtx.soap(0.1, weight_decay=0.25), gradtx.soap(0.1, weight_decay=0.0)
    u, state = decayed.update(g[0], decayed.init(w), w)
    _, plain_state = plain.update(g[0], plain.init(w), w)
    np.testing.assert_array_equal(u, np.zeros((4, 5)))
    difference = decayed.update(g[1], state, w)[0] - plain.update(g[1], plain_state, w)[0]
    np.testing.assert_allclose(difference, np.full((4, 5), -0.05), rtol=1e-5)


def soap_muon_loop(gs, rate, momentum=0.95, b2=0.9, eps=1e-8, basis_decay=0.9):
    """Momentum in the basis of this step, over the root of its mean square there; the polar factor of that outside."""
    n = gs.shape[1]
    left, right, q, p = np.zeros((n, n)), np.zeros((n, n)), np.eye(n), np.eye(n)
    mu, nu, out = np.zeros((n, n)), np.zeros((n, n)), []
    for t, g in enumerate(gs.astype(np.float64)):
        left = basis_decay * left + (1 - basis_decay) * g @ g.T
        right = basis_decay * right + (1 - basis_decay) * g.T @ g
        new_q, new_p = next_basis(left, q, t), next_basis(right, p, t)
        nu, q, p = ((q.T @ new_q) ** 2).T @ nu @ (p.T @ new_p) ** 2, new_q, new_p
        mu = momentum * mu + (1 - momentum) * g
        y = q.T @ (momentum * mu + (1 - momentum) * g) @ p
        nu = b2 * nu + (1 - b2) * y * y
        u, _, vt = np.linalg.svd(q @ (y / (np.sqrt(nu) + eps)) @ p.T)
        out.append(-rate * 0.2 * np.sqrt(n) * u @ vt * (t > 0))
    return np.asarray(out)


def test_soap_muon():
    g = gradients((5, 5))
    tx = gradtx.soap_muon(0.01, polar=gradtx.orthogonalize("svd"), weight_decay=0.0)
    came = updates_of(tx, g)
    error = np.abs(came - soap_muon_loop(g, 0.01)).max(axis=(1, 2)) / 0.01
    assert error.max() < 1e-5
    assert np.median(error) < 1e-6


def test_soap_muon_takes_hidden_matrices():
    params = {"embed": jnp.ones((4, 3)), "dense": {"kernel": jnp.ones((3, 3)), "bias": jnp.ones(3)}}
    rules = {row.leaf: row.rule for row in gradtx.plan(gradtx.soap_muon(0.1), params).rows}
    assert rules["dense/kernel"] == "matrices > basis of rows and columns"
    assert rules["embed"].startswith("others: an embedding")
