"""RAdam against the loop of its paper, and ρ against exact numbers."""

from decimal import Decimal, localcontext
from functools import cache, partial

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx.optimizers.radam import squares_seen
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms import agreement
from tests.transforms.agreement import Case


@cache
def exact_rho(b2, t):
    """The paper's ρ∞ and ρ_t, with 60 digits for their difference."""
    with localcontext(prec=60):
        b = Decimal(float(b2))
        limit = 2 / (1 - b) - 1
        return float(limit), float(limit - 2 * t * b**t / (1 - b**t))


def rectified(gs, b2=0.999, threshold=5.0, b1=0.9, eps=1e-8, nesterov=False):
    m = v = 0
    out = []
    for t, g in enumerate(gs, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        u, (limit, rho) = m / (1 - b1**t), exact_rho(b2, t)
        if nesterov:
            u = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        if rho > threshold:
            r = np.sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
            u = r * u / (np.sqrt(v / (1 - b2**t)) + eps)
        out.append(u)
    return np.stack(out)


CASES = [
    Case(gradtx.scale_by_radam(), rectified, ulp=40),
    Case(gradtx.scale_by_radam(b2=0.95, threshold=4.0), partial(rectified, b2=0.95, threshold=4.0), ulp=40),
    Case(gradtx.scale_by_radam(nesterov=True), partial(rectified, nesterov=True), ulp=40),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


@pytest.mark.parametrize("b2", [0.3, 0.9, 0.95, 0.999, 0.9999, 0.99999])
@pytest.mark.parametrize("as_array", [False, True])
def test_rho_to_a_few_ulp(b2, as_array):
    given = jnp.float32(b2) if as_array else b2
    for t in (1, 2, 5, 6, 30, 1000, 10**6, 2**31 - 1):
        at_infinity, rho = squares_seen(given, jnp.int32(t), jnp.dtype("float32"))
        bound = 3e-7 if not as_array else 3e-7 + 2e-7 * b2 / (1 - b2)  # log(b2) of a float32 has its error near 1
        np.testing.assert_allclose([at_infinity, rho], exact_rho(float(given), t), rtol=bound)


def test_the_subtraction_would_lose_it():
    """2/(1 - b2) - 1 and 2t·b2^t/(1 - b2^t) in float32 agree to four digits at the fifth step: ρ has three left."""
    b2, t = np.float32(0.999), np.float32(5)
    naive = (2 / (1 - b2) - 1) - 2 * t * b2**t / (1 - b2**t)
    _, rho = squares_seen(0.999, jnp.int32(5), jnp.dtype("float32"))
    assert abs(naive / 4.995998 - 1) > 1e-3
    assert abs(float(rho) / 4.995998 - 1) < 1e-6


@pytest.mark.parametrize(("threshold", "first", "r"), [(4.0, 5, 0.0173), (5.0, 6, 0.0258)])
def test_the_first_step_that_divides(threshold, first, r):
    us, _ = agreement.run(gradtx.scale_by_radam(threshold=threshold), jnp.full((6, 1), 100.0))
    np.testing.assert_allclose(us[: first - 1, 0], 100.0, rtol=1e-6)
    assert float(us[first - 1, 0]) == pytest.approx(r, abs=5e-5)


def test_a_short_memory_never_divides():
    us, _ = agreement.run(gradtx.scale_by_radam(b2=0.6), jnp.full((50, 1), 3.0))
    np.testing.assert_allclose(us, 3.0, rtol=1e-6)
    us, _ = agreement.run(gradtx.scale_by_radam(b2=0.0), jnp.full((5, 1), 3.0))
    np.testing.assert_allclose(us, 3.0, rtol=1e-6)


def test_zero_and_huge():
    us, state = agreement.run(gradtx.scale_by_radam(), jnp.array([[0.0, 1e25, -1e25]] * 8))
    assert not us[:, 0].any()
    assert np.isfinite(us).all()
    assert np.isfinite(state.nu).all()
    assert np.array_equal(np.sign(us[:, 1:]), [[1, -1]] * 8)
    us, _ = agreement.run(gradtx.scale_by_radam(eps=0.0), jnp.zeros((8, 2)))
    assert not us.any()


def test_chain():
    assert_same_chain(
        gradtx.radam(RATE, 0.8, 0.9, 1e-6, 1e-8, 4.5), gradtx.scale_by_radam(0.8, 0.9, 1e-6, 1e-8, 4.5), lr(RATE)
    )


@pytest.mark.parametrize("threshold", [3.9, np.inf, np.nan])
def test_a_threshold_below_four_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold must be finite and at least 4"):
        gradtx.scale_by_radam(threshold=threshold)
