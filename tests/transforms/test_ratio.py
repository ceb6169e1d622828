"""`divide_by_rms` against the quotient written out, and what its numerator sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from gradtx import divide_by_rms
from tests.transforms import agreement
from tests.transforms.agreement import Case


def quotient(gs, b1, b2, eps, eps_root, corrected, momentum=False):
    """An average of the gradients, or their decaying sum, over the root of the average of their squares."""
    m = v = 0
    for t, g in enumerate(gs, 1):
        m = b1 * m + (1 if momentum else 1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        numerator = m / (1 - b1**t) if corrected and not momentum else m
        root = np.sqrt((v / (1 - b2**t) if corrected else v) + eps_root) + eps
        yield np.divide(numerator, root, out=np.zeros_like(root), where=root > 0)


def case(filter, b1, b2, eps, eps_root, corrected, momentum=False):
    tx = divide_by_rms(filter, b2, eps, eps_root, bias_correction=corrected)
    return Case(tx, lambda gs: np.stack([*quotient(gs, b1, b2, eps, eps_root, corrected, momentum)]), ulp=30)


CASES = [
    case(gradtx.ema(0.9), 0.9, 0.999, 1e-8, 0.0, True),
    case(gradtx.ema(0.8, debias=False), 0.8, 0.95, 0.0, 1e-12, False),
    case(gradtx.identity(), 0.0, 0.99, 1e-8, 0.0, True),
]


@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgreement(agreement.DocumentedAgreement):
    pass


def test_with_a_sum_of_gradients():
    summed = case(gradtx.add_momentum(0.9), 0.9, 0.99, 1e-8, 0.0, True, momentum=True)
    assert agreement.measured(summed) <= 50  # as add_momentum states


@pytest.mark.parametrize("adam", [gradtx.scale_by_adam(), gradtx.scale_by_adam(0.5, 0.9, 0.0, 1e-6)], ids=repr)
def test_around_an_average_it_is_adam_to_the_bit(adam):
    tx = divide_by_rms(gradtx.ema(adam.b1), adam.b2, adam.eps, adam.eps_root)
    gs = agreement.gradients()
    (got, state), (want, adams) = agreement.run(tx, gs), agreement.run(adam, gs)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(state.nu, adams.nu)
    np.testing.assert_array_equal(state.inner.mu, adams.mu)


def test_extra_arguments_and_parameters_reach_the_filter():
    seen = {}

    def update(updates, state, params, *, value):
        seen.update(value=value, params=params)
        return updates, state

    tx = divide_by_rms((lambda params: (), update))
    w = jnp.array([3.0])
    tx.update(w, tx.init(w), w, value=2.0)
    assert seen == {"value": 2.0, "params": w}


@pytest.mark.parametrize("g", [1e25, -1e38])
def test_a_square_that_would_overflow(g):
    """Both parts of the quotient see the same clipped entry, so that it is still a sign."""
    w = jnp.zeros(1)
    tx = divide_by_rms(gradtx.ema(0.9))
    assert tx.update(w + g, tx.init(w))[0] == pytest.approx(np.sign(g), rel=1e-5)


def test_rows_without_gradient_rest():
    tx, table = divide_by_rms(gradtx.every(gradtx.ema(0.9), 2, otherwise="pass")), jnp.zeros((4, 2))
    rows = gradtx.RowSparse(jnp.array([2, 0]), jnp.array([[1.0, -2.0], [3.0, 4.0]]), (4, 2))
    for update in (tx.update, jax.jit(tx.update)):
        u, state = update(rows, tx.init(table))
        np.testing.assert_allclose(u.dense(), [[1, 1], [0, 0], [1, -1], [0, 0]], rtol=1e-6)
        assert not state.nu[1].any()


def test_a_filter_that_sets_parameters_is_refused():
    with pytest.raises(ValueError, match="must be added unchanged"):
        divide_by_rms(gradtx.compensate(gradtx.sgd(0.1)))


@pytest.mark.parametrize("wrong", [{"b2": 1.0}, {"b2": 1.5, "bias_correction": False}, {"eps": -1.0}])
def test_numbers_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"divide_by_rms: {next(iter(wrong))} must be"):
        divide_by_rms(gradtx.ema(), **wrong)
