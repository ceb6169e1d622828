"""AdamH, DiLoCo and ASGD against their algorithms in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import adamh, asgd, diloco, gpa, schedule_free, sgd
from tests.reference_averages import assert_path_is, walk
from tests.transforms.agreement import enable_x64, gradients

W0 = np.linspace(-3, 3, 48).reshape(6, 8).astype(np.float32)
GS = np.tanh(gradients()).reshape(-1, 6, 8)  # of both signs, many near 1 in size, some tiny, some 0
norm = np.linalg.norm


def adam_directions(gs, b1=0.9, b2=0.999, eps=1e-8):
    m = v = np.zeros_like(gs[0])
    for t, g in enumerate(gs, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        yield m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)


def hyperball(gs, w, eta):
    """u to the length R of the first parameters, a step, and back to R."""
    r = norm(w)
    for u in adam_directions(gs):
        w = w - eta * u * (r / norm(u))
        w = w * (r / norm(w))
        yield w


def local_steps(gs, w, eta, lam, outer_eta, mu, every):
    slow, v = w, 0.0
    for t, u in enumerate(adam_directions(gs), 1):
        w = w - eta * (u + lam * w)
        if t % every == 0:
            delta = slow - w
            v = mu * v + delta
            w = slow = slow - outer_eta * (delta + mu * v)
        yield w


def averaged_descent(gs, w, eta, lam, power):
    for t, g in enumerate(gs):
        w = w - eta / (1 + lam * eta * t) ** power * (g + lam * w)
        yield w


def primal_averages(gs, w, eta, lam, mu_x, mu_y, b2=0.999, eps=1e-8):
    """x and z side by side; gradients, and the decay, at y between them."""
    x = z = y = w
    v = np.zeros_like(w)
    for t, g in enumerate(gs, 1):
        v = b2 * v + (1 - b2) * g * g
        z = z - eta * (g / (np.sqrt(v / (1 - b2**t)) + eps) + lam * y)
        x = mu_x * x + (1 - mu_x) * z
        y = mu_y * x + (1 - mu_y) * z
        yield y


CASES = {
    "adamh": (adamh(), hyperball, (0.018,)),
    "diloco": (diloco(0.003), local_steps, (0.003, 0.01, 0.7, 0.9, 500)),
    "diloco often": (diloco(0.003, every=30, outer_momentum=0.5), local_steps, (0.003, 0.01, 0.7, 0.5, 30)),
    "gpa": (gpa(0.003), primal_averages, (0.003, 0.01, 0.9, 0.8)),
    "asgd": (asgd(0.125, 0.5, 0.75), averaged_descent, (0.125, 0.5, 0.75)),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_paper(name):
    tx, loop, arguments = CASES[name]
    assert_path_is(tx, np.stack(list(loop(GS.astype(np.float64), W0.astype(np.float64), *arguments))), GS, W0)


class TestSphere:
    def test_norms_and_angles(self):
        """Each leaf keeps its norm to a few ulp; a step turns it by at most arcsin of the rate."""
        path = np.asarray(walk(adamh(0.1), GS[:100], W0)[0], np.float64)
        norms = norm(path, axis=(1, 2))
        np.testing.assert_allclose(norms, norm(W0.astype(np.float64)), rtol=5e-7)
        cosines = np.sum(path[1:] * path[:-1], (1, 2)) / (norms[1:] * norms[:-1])
        angles = np.arccos(cosines)
        assert angles.max() <= np.arcsin(0.1) * (1 + 1e-4)
        assert angles.min() > 0.02

    def test_a_bias_at_zero_is_an_error_that_says_what_to_do(self):
        w = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}}
        with pytest.raises(ValueError, match=r"the parameter at dense/bias starts at 0, .* with route"):
            adamh().init(w)
        tx = gradtx.route({"**/kernel": adamh(), "**": gradtx.adam(1e-3)})
        grads = {"dense": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}}
        moved, _ = tx.step(grads, tx.init(w), w)
        np.testing.assert_allclose(norm(moved["dense"]["kernel"]), 6**0.5, rtol=1e-6)
        np.testing.assert_allclose(moved["dense"]["bias"], -1e-3, rtol=1e-5)


class TestAveraged:
    @pytest.mark.parametrize("start", [0, 1, 3])
    def test_the_average_is_that_of_the_definition(self, start):
        """torch's ax with t0 = start - 1: the parameter itself up to step start + 1, then the mean from there."""
        tx = asgd(0.125, start=start)
        path, seen = walk(tx, GS[:8], W0, lambda state, w: gradtx.averaged(state))
        path = np.asarray(path, np.float64)
        ax, mu = W0.astype(np.float64), 1.0
        for t, w in enumerate(path, 1):
            ax = w if mu == 1 else ax + mu * (w - ax)
            mu = 1 / max(1, t - (start - 1))
            np.testing.assert_allclose(seen[t - 1], ax, rtol=1e-5, atol=1e-6)

    def test_no_schedules(self):
        with pytest.raises(TypeError, match="asgd: learning_rate is read once and cannot follow a schedule"):
            asgd(lambda step: 0.1)
        with pytest.raises(ValueError, match="must be finite and at least 0"):
            asgd(-0.1)


def test_a_restart_in_the_middle_of_a_period_of_diloco():
    """The state is all there is: a run that is cut and goes on is the whole one, to the bit."""
    tx = diloco(0.003, every=4)
    whole, _ = walk(tx, GS[:10], W0)
    w, state = jnp.asarray(W0), tx.init(jnp.asarray(W0))
    for g in GS[:10]:
        w, state = tx.step(jnp.asarray(g), state, w)
    np.testing.assert_allclose(w, whole[-1], rtol=1e-5, atol=1e-6)


class TestPrimalAverages:
    """Around plain descent with the rate η/(1 - μ)."""

    @pytest.mark.parametrize("mu", [0.5, 0.9])
    def test_the_average_is_the_path_of_momentum(self, mu):
        with enable_x64(True):
            gs, w = GS[:200].astype(np.float64), W0.astype(np.float64)
            got = walk(schedule_free(sgd(0.1 / (1 - mu)), 1.0, 1.0, average_decay=mu), gs, w)[0]
            want = walk(sgd(0.1, mu), gs, w)[0]
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)

    @pytest.mark.parametrize("mu", [0.5, 0.9])
    def test_the_point_between_is_the_path_of_nesterov(self, mu):
        with enable_x64(True):
            gs, w = GS[:200].astype(np.float64), W0.astype(np.float64)
            got = walk(schedule_free(sgd(0.1 / (1 - mu)), 1.0, mu, average_decay=mu), gs, w)[0]
            want = walk(sgd(0.1, mu, nesterov=True), gs, w)[0]
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)

    def test_hostile(self):
        with pytest.raises(ValueError, match=r"average_decay must be in \[0, 1\); got 1.0"):
            schedule_free(sgd(0.1), 0.1, average_decay=1.0)


def ranger_loop(gs, w, eta, alpha, k, b1=0.9, b2=0.999, eps=1e-8):
    """Gradients less their means, rectified Adam, and slow weights that are met in every k-th step."""
    m = v = np.zeros_like(w)
    slow, rho_inf = w, 2 / (1 - b2) - 1
    for t, g in enumerate(gs, 1):
        g = g - g.mean(0, keepdims=True)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        u, rho = m / (1 - b1**t), rho_inf - 2 * t * b2**t / (1 - b2**t)
        if rho > 5:
            r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            u = r * u / (np.sqrt(v / (1 - b2**t)) + eps)
        w = w - eta * u
        if t % k == 0:
            w = slow = slow + alpha * (w - slow)
        yield w


def test_ranger_is_a_composition():
    """Within 40 ulp of the largest parameter so far over 1,000 steps in float32."""
    tx = gradtx.lookahead(gradtx.chain(gradtx.centralize(), gradtx.radam(0.003)), 6, 0.5)
    want = np.stack(list(ranger_loop(GS.astype(np.float64), W0.astype(np.float64), 0.003, 0.5, 6)))
    size = np.maximum.accumulate(np.abs(want).max((1, 2)))[:, None, None]
    off = np.abs(np.asarray(walk(tx, GS, W0)[0], np.float64) - want) / np.spacing(size.astype(np.float32))
    assert off.max() <= 40
