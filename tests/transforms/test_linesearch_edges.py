"""Line searches where they fail, what they keep and trace, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.transforms.test_linesearch import BACKTRACKING, NONE, ZOOM, bowl, jitted, search

BOTH = pytest.mark.parametrize("tx", [ZOOM, BACKTRACKING], ids=["zoom", "backtracking"])


@BOTH
class TestFailures:
    def stays(self, tx, f, u, w, tried=None):
        """The search stays where it is and says so."""
        got, state = search(tx, f, u, w)
        np.testing.assert_array_equal(got, np.zeros_like(w))
        assert state.info.failed
        assert float(state.learning_rate) == 0
        if tried is not None:
            assert int(state.info.num_linesearch_steps) == tried
        return state

    def test_uphill(self, tx):
        state = self.stays(tx, bowl, np.array([-1.0, 0.0]), np.zeros(2), tried=0)
        np.testing.assert_allclose(state.grad, [-2.0, -2.0])
        assert float(state.value) == 2.0

    def test_no_better_value_anywhere(self, tx):
        self.stays(tx, lambda w: jnp.where(w == 0, -w, jnp.abs(w) + 1.0), np.array(1.0), np.array(0.0), tried=25)

    def test_nan_everywhere_else(self, tx):
        self.stays(tx, lambda w: jnp.where(w == 0, -w, jnp.nan), np.array(1.0), np.array(0.0), tried=25)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_no_value_at_the_start(self, tx, bad):
        self.stays(tx, lambda w: jnp.sum(w) * bad, np.ones(2), np.ones(2), tried=0)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_a_direction_that_is_not_finite(self, tx, bad):
        self.stays(tx, bowl, np.array([bad, 1.0]), np.zeros(2))

    def test_the_lowest_value_found_is_taken(self, tx):
        """A step of 0.8^k or 2^-k along a steep start never has the decrease asked for, yet has some."""
        tx = tx.replace(slope_rtol=0.95) if tx is BACKTRACKING else tx.replace(curv_rtol=0.0, slope_rtol=0.0)
        got, state = search(tx.replace(**{most(tx): 4}), lambda w: (w - 1.3) ** 4 + jnp.abs(w - 1.4), 5.0, 0.0)
        assert state.info.failed
        assert float(got) > 0
        assert float(state.value) < float((0 - 1.3) ** 4 + 1.4)

    def test_the_next_search_begins_anew(self, tx):
        state = self.stays(tx, bowl, np.array(-1.0), np.array(0.0))
        got, state = jitted(tx, bowl)(jnp.asarray(1.0), state, jnp.asarray(0.0), None, None)
        assert float(got) == 1.0
        assert not state.info.failed
        assert int(state.count) == 2


def most(tx):
    return "max_linesearch_steps" if tx.name == ZOOM.name else "max_backtracking_steps"


@BOTH
def test_a_domain_with_an_end(tx):
    """Minus the logarithm: beyond 2 there is no value; the step of 1 leads there, and is halved or shortened."""
    f = lambda w: -jnp.log(2.0 - w) - 3 * w  # noqa: E731
    u, state = search(tx, f, 8.0, 0.0)
    assert 0 < float(u) < 2
    assert float(state.value) < float(f(0.0))
    assert not state.info.failed


@BOTH
def test_minus_infinity_is_too_far(tx):
    u, state = search(tx, lambda w: jnp.where(w < 2.0, -w, -jnp.inf), 8.0, 0.0)
    assert 0 < float(u) < 2
    assert -2 < float(state.value) < 0


def test_a_slope_that_is_not_finite_is_too_far():
    """Beyond 1.5 there are values, but no gradients: the values and the first slope alone lead to the minimum."""
    f = lambda w: (w - 0.2) ** 2 + 0.0 * jnp.sqrt(jnp.maximum(1.5 - w, 0.0))  # noqa: E731
    u, state = search(ZOOM.replace(curv_rtol=1e-2), f, 2.0, 0.0)
    np.testing.assert_allclose(u, 0.2, rtol=1e-2)
    assert int(state.info.num_linesearch_steps) == 2
    u, state = search(ZOOM.replace(max_linesearch_steps=1), lambda w: f(w) - 3 * w, 2.0, 0.0)
    assert float(u) == 0  # lower, but nothing could go on from there
    assert np.isfinite(state.grad)


@BOTH
def test_a_flat_function_and_an_optimum(tx):
    for f, w in ((lambda w: jnp.sum(0 * w) + 3.0, np.ones(2)), (bowl, np.ones(2))):
        u, state = search(tx, f, np.zeros(2), w)
        np.testing.assert_array_equal(u, 0.0)
        assert not state.info.failed
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(state))


@BOTH
def test_value_and_grad_may_be_given_or_computed(tx):
    w, u = jnp.array([0.0, 3.0]), jnp.array([0.5, -7.0])
    value, grad = jax.value_and_grad(bowl)(w)
    want = jitted(tx, bowl)(u, tx.init(w), w, None, None)
    for given in ((value, grad), (value, None), (None, grad), (float(value), np.asarray(grad))):
        got = jitted(tx, bowl)(u, tx.init(w), w, *given)
        jax.tree.map(np.testing.assert_array_equal, got, want)
    # What is given is used: with the value of elsewhere, no step is good enough.
    assert jitted(tx, bowl)(u, tx.init(w), w, value - 100, grad)[1].info.failed


@BOTH
def test_the_state_knows_the_value_and_gradient_after_the_step(tx):
    w, u = {"a": jnp.array([0.3, 0.4]), "b": jnp.array(2.0)}, {"a": jnp.array([0.9, 7.0]), "b": jnp.array(-3.0)}

    def f(w):
        return jnp.sum((w["a"] - 1) ** 4) + jnp.cosh(w["b"])

    got, state = jitted(tx, f)(u, tx.init(w), w, None, None)
    value, grad = jax.value_and_grad(f)(gradtx.apply_updates(w, got))
    np.testing.assert_allclose(state.value, value, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), state.grad, grad)
    np.testing.assert_allclose(got["a"], state.learning_rate * u["a"], rtol=1e-6)


@BOTH
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_parameters_are_tried_as_they_will_be_rounded(tx, dtype):
    w, u = jnp.array([0.3, 3.0], dtype), jnp.array([0.9, -2.7], dtype)

    def f(w):
        return jnp.sum((w.astype(jnp.float32) - 1) ** 2)

    got, state = jitted(tx, f)(u, tx.init(w), w, None, None)
    assert got.dtype == state.value.dtype == state.grad.dtype == jnp.float32
    np.testing.assert_allclose(state.value, f(gradtx.apply_updates(w, got)), rtol=1e-6)


@BOTH
def test_leaves_that_are_not_trained(tx):
    params = {"w": jnp.array([0.0, 3.0]), "n": jnp.array([2, 3]), "none": None, "key": jax.random.key(0)}
    grads = {"w": jnp.array([1.0, -1.0]), "n": None, "none": None, "key": None}

    def f(p):
        assert p["none"] is None
        return jnp.sum((p["w"] - 1) ** 2) * p["n"][0].astype(jnp.float32)

    value, grad = gradtx.value_and_grad_from_state(f)(params, state=tx.init(params))
    assert grad["n"] is None
    assert grad["key"] is None
    u, state = jitted(tx, f)(grads, tx.init(params), params, value, grad)
    assert u["n"] is None
    assert float(f(gradtx.apply_updates(params, u))) == float(state.value) < float(value)


@BOTH
def test_complex_parameters_descend_along_the_conjugate(tx):
    w = jnp.array([1.0 + 2.0j, -1.0j])

    def f(w):
        return jnp.sum(jnp.abs(w - (1 - 1j)) ** 2)

    value, grad = gradtx.value_and_grad_from_state(f)(w, state=tx.init(w))
    np.testing.assert_allclose(grad, 2 * (w - (1 - 1j)), rtol=1e-6)
    u, state = jitted(tx, f)(-grad, tx.init(w), w, value, grad)
    assert not state.info.failed
    assert float(state.value) < float(value)
    np.testing.assert_allclose(state.grad, 2 * (w + u - (1 - 1j)), rtol=1e-6, atol=1e-6)


@BOTH
def test_errors_name_what_is_wrong(tx):
    w = {"a": jnp.ones(2)}
    state = tx.init(w)

    def call(**changes):
        return tx.update(w, state, w, **{**NONE, "value_fn": lambda p: jnp.sum(p["a"]), **changes})

    with pytest.raises(TypeError, match=r"value_fn must return a real scalar; got float32\[2\]"):
        call(value_fn=lambda p: p["a"])
    with pytest.raises(TypeError, match="value_fn must return a real scalar; got something of type tuple"):
        call(value_fn=lambda p: (jnp.sum(p["a"]), 0))
    with pytest.raises(TypeError, match=r"value_fn must return a real scalar; got complex64\[\]"):
        call(value_fn=lambda p: jnp.sum(p["a"]).astype(jnp.complex64))
    with pytest.raises(TypeError, match=r"value_fn must return a real scalar; got int32\[\]"):
        call(value_fn=lambda p: jnp.int32(3))
    with pytest.raises(TypeError, match="value_fn must be a function of the parameters; got None"):
        call(value_fn=None)
    with pytest.raises(ValueError, match=r"value must be a scalar; got shape \(2,\)"):
        call(value=jnp.ones(2))
    with pytest.raises(ValueError, match=r"grad at a has shape \(3,\), the parameter \(2,\)"):
        call(grad={"a": jnp.ones(3)})
    for name in ("value", "grad", "value_fn"):
        given = {"value": 1.0, "grad": w, "value_fn": lambda p: jnp.sum(p["a"])}
        del given[name]
        with pytest.raises(TypeError, match=f"{tx.name} needs {name}: call update"):
            tx.update(w, state, w, **given)


@BOTH
def test_batches_are_searched_each_for_itself(tx):
    ws = jnp.array([[0.0, 3.0], [1.0, 1.0], [5.0, 2.0], [0.0, 0.0]])
    us = jnp.array([[30.0, -3.0], [1.0, 0.0], [-0.1, 0.0], [-1.0, 0.0]])

    def one(u, w):
        return tx.update(u, tx.init(w), w, **NONE, value_fn=bowl)

    got = jax.jit(jax.vmap(one))(us, ws)
    for k in range(4):
        want = jitted(tx, bowl)(us[k], tx.init(ws[k]), ws[k], None, None)
        jax.tree.map(lambda a, b, k=k: np.testing.assert_allclose(a[k], b, rtol=1e-5, atol=1e-6), got, want)
    assert got[1].info.failed.tolist() == [False, False, False, True]


@BOTH
def test_value_fn_is_traced_once(tx):
    traces = []

    def f(w):
        traces.append(1)
        return bowl(w)

    w = jnp.zeros(2)
    jax.make_jaxpr(lambda u: tx.update(u, tx.init(w), w, **NONE, value_fn=f))(jnp.ones(2))
    assert len(traces) == 1


@BOTH
def test_derivatives_take_the_step_as_a_constant(tx):
    w = jnp.array([0.0, 3.0])

    def length(u, shift):
        got, state = tx.update(u, tx.init(w), w, **NONE, value_fn=lambda p: bowl(p - shift))
        return jnp.sum(got), state.learning_rate

    derivatives = jax.jit(jax.grad(length, argnums=(0, 1), has_aux=True))
    (of_u, of_shift), t = derivatives(jnp.array([0.5, -2.0]), jnp.asarray(0.1))
    np.testing.assert_allclose(of_u, [t, t], rtol=1e-6)
    assert float(of_shift) == 0
