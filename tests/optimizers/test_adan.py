"""Adan against the loop of its paper."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms import agreement
from tests.transforms.agreement import Case


def nesterov_by_differences(gs, b1=0.98, b2=0.92, b3=0.99, eps=1e-8, eps_root=0.0):
    m = v = n = 0
    last, out = gs[0], []
    for t, g in enumerate(gs, 1):
        d = g - last
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * d
        n = b3 * n + (1 - b3) * (g + b2 * d) ** 2
        last = g
        mean, change, square = m / (1 - b1**t), v / (1 - b2**t), n / (1 - b3**t)
        out.append((mean + b2 * change) / (np.sqrt(square + eps_root) + eps))
    return np.stack(out)


CASES = [Case(gradtx.scale_by_adan(), nesterov_by_differences, ulp=80)]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


def test_chain():
    numbers = (0.9, 0.8, 0.95, 1e-6, 1e-8)
    decay = gradtx.add_decayed_weights(0.1)
    assert_same_chain(gradtx.adan(RATE, *numbers, 0.1), gradtx.scale_by_adan(*numbers), decay, lr(RATE))


def test_two_steps_by_hand():
    """g = 1, then 2: d = 1, m̂ = .0396/.0396·…, with b1 = b2 = b3 = ½ all numbers are short."""
    us, state = agreement.run(gradtx.scale_by_adan(0.5, 0.5, 0.5, 0.0), jnp.array([[1.0], [2.0]]))
    # m = .5·.5 + .5·2 = 1.25, v = .5, n = .5·.5 + .5·(2 + .5)² = 3.375; each over .75.
    np.testing.assert_allclose(us[:, 0], [1.0, (1.25 + 0.5 * 0.5) / 0.75 / np.sqrt(3.375 / 0.75)], rtol=1e-6)
    np.testing.assert_allclose([state.m[0], state.v[0], state.n[0], state.g[0]], [1.25, 0.5, 3.375, 2.0])


def test_zero_and_huge():
    us, state = agreement.run(gradtx.scale_by_adan(), jnp.array([[0.0, 1e25], [0.0, -1e25], [0.0, 1.0]]))
    assert not us[:, 0].any()
    assert np.isfinite(us).all()
    assert np.isfinite(state.n).all()
    without, _ = agreement.run(gradtx.scale_by_adan(eps=0.0), jnp.zeros((3, 2)))
    assert not without.any()


@pytest.mark.parametrize(("name", "value"), [("b1", 1.0), ("b2", -0.1), ("b3", 1.0), ("eps", -1.0), ("eps_root", -1.0)])
def test_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        gradtx.scale_by_adan(**{name: value})
