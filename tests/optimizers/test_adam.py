"""Adam against the algorithm of Kingma & Ba; its chains, and those of AdamW."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference
from tests.optimizers.chains import RATE, assert_same_chain, lr, rate
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [
    Case(gradtx.scale_by_adam(), partial(reference.adam, b1=0.9, b2=0.999, eps=1e-8), ulp=30),
    Case(gradtx.scale_by_adam(0.9, 0.95), partial(reference.adam, b1=0.9, b2=0.95, eps=1e-8), ulp=30),
    Case(
        gradtx.scale_by_adam(0.8, 0.99, 0.0, 1e-8),
        partial(reference.adam, b1=0.8, b2=0.99, eps=0.0, eps_root=1e-8),
        ulp=30,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


CHAINS = {
    "adam": (gradtx.adam(RATE), [gradtx.scale_by_adam(0.9, 0.999, 1e-8, 0.0), lr(RATE)]),
    "adam, nesterov": (
        gradtx.adam(RATE, 0.8, 0.99, 1e-6, 1e-5, nesterov=True),
        [gradtx.scale_by_nadam(0.8, 0.99, 1e-6, 1e-5), lr(RATE)],
    ),
    "adamw": (gradtx.adamw(RATE), [gradtx.scale_by_adam(), gradtx.add_decayed_weights(1e-4), lr(RATE)]),
    "adamw, nesterov": (
        gradtx.adamw(rate, 0.8, weight_decay=0.1, nesterov=True),
        [gradtx.scale_by_nadam(0.8), gradtx.add_decayed_weights(0.1), lr(rate)],
    ),
}


@pytest.mark.parametrize(("recipe", "members"), CHAINS.values(), ids=CHAINS.keys())
def test_chain(recipe, members):
    assert_same_chain(recipe, *members)


def test_second_moments_of_bfloat16_parameters_do_not_stick():
    """g = 1 for 2,000 steps, b2 0.999: v is 0.865. In bfloat16, where 0.999 is 1, it stops at 0.5."""
    params, tx = jnp.ones(3, jnp.bfloat16), gradtx.scale_by_adam(b2=0.999)
    g = jnp.ones(3, jnp.bfloat16)

    def bfloat16(x):
        return jax.lax.reduce_precision(jnp.float32(x), exponent_bits=8, mantissa_bits=7)

    def step(carry, _):
        state, v = carry
        _, state = tx.update(g, state, params)
        v = bfloat16(bfloat16(bfloat16(0.999) * v) + bfloat16(0.001))
        return (state, v), None

    (state, narrow), _ = jax.lax.scan(step, (tx.init(params), jnp.float32(0.0)), length=2000)
    assert state.nu.dtype == jnp.float32
    np.testing.assert_allclose(state.nu, 1 - 0.999**2000, rtol=1e-5)
    assert float(state.nu[0]) == pytest.approx(0.865, abs=5e-4)
    assert float(narrow) == 0.5
