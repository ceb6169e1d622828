"""Lion: exact, except where a sum of both signs cancels to within its rounding."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests import reference
from tests.optimizers.chains import RATE, assert_same_chain, lr
from tests.transforms import agreement
from tests.transforms.agreement import Case

CASES = [
    Case(gradtx.scale_by_lion(), partial(reference.lion, b1=0.9, b2=0.99), ulp=0),
    Case(gradtx.scale_by_lion(0.95, 0.98), partial(reference.lion, b1=0.95, b2=0.98), ulp=0),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement:
    def test_float32(self, case):
        """Bit for bit where the sum under the sign is above 1e-6 of its terms, which is all but a few entries."""
        gs = agreement.gradients()
        want = case.reference(gs.astype(np.float64))
        got, _ = agreement.run(case.tx, gs)
        b1 = case.tx.b1
        m, terms = self.means(gs.astype(np.float64), case)
        sums = np.abs(b1 * m + (1 - b1) * gs)
        clear = (sums >= 1e-6 * (b1 * terms + (1 - b1) * np.abs(gs))) & ((sums > 1e-37) | (terms + np.abs(gs) == 0))
        np.testing.assert_array_equal(np.asarray(got)[clear], want[clear])
        assert clear.mean() > 0.995

    @staticmethod
    def means(gs, case):
        means = [reference.average(x, case.tx.b2, corrected=False) for x in (gs, np.abs(gs))]
        return [np.concatenate([np.zeros_like(gs[:1]), m[:-1]]) for m in means]

    def test_float64(self, case):
        agreement.assert_agrees_in_float64(case)

    @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
    def test_half_gradients(self, case, dtype):
        agreement.assert_half_gradients_are_read_exactly(case, dtype)


def test_the_step_uses_b1_and_memory_b2():
    tx = gradtx.scale_by_lion(0.5, 0.9)
    u, state = tx.update(jnp.array(1.0), tx.init(jnp.array(0.0)))
    np.testing.assert_allclose(state.mu, 0.1, rtol=1e-6)
    assert float(u) == 1.0
    assert float(tx.update(jnp.array(-0.09), state)[0]) == 1.0  # 0.5·0.1 - 0.5·0.09 > 0
    assert float(tx.update(jnp.array(-0.11), state)[0]) == -1.0


def test_ends_of_the_decays():
    gs = jnp.array([[3.0], [-1.0], [5.0]])
    np.testing.assert_array_equal(agreement.run(gradtx.scale_by_lion(0.0, 0.0), gs)[0], jnp.sign(gs))
    np.testing.assert_array_equal(agreement.run(gradtx.scale_by_lion(1.0, 0.0), gs)[0][:, 0], [0, 1, -1])


def test_chain():
    assert_same_chain(gradtx.lion(RATE), gradtx.scale_by_lion(), gradtx.add_decayed_weights(1e-3), lr(RATE))
