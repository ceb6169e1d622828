"""`value_and_grad_from_state`: what it takes from the state, and what it computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx
from tests.transforms.test_linesearch import BACKTRACKING, NONE, ZOOM, bowl


class TestValueAndGradFromState:
    w = jnp.array([0.0, 3.0])

    def other(self, w):
        return jnp.sum(w) + 100.0

    @pytest.mark.parametrize(
        ("wrap", "tx"),
        [
            (lambda tx: tx, ZOOM),
            (lambda tx: tx, BACKTRACKING),
            (lambda tx: gradtx.chain(gradtx.scale(-1.0), last=gradtx.chain(gradtx.clip_by_value(9.0), tx)), ZOOM),
            (lambda tx: gradtx.inject(gradtx.chain(gradtx.scale(-0.1), tx)), BACKTRACKING),
            (lambda tx: gradtx.lbfgs(linesearch=tx), ZOOM),
        ],
    )
    def test_what_is_known_is_not_computed(self, wrap, tx):
        """A function that the search never saw shows which of the two gave the numbers."""
        tx = wrap(tx)
        state = tx.init(self.w)
        value, grad = gradtx.value_and_grad_from_state(self.other)(self.w, state=state)
        np.testing.assert_allclose([value, *grad], [103.0, 1.0, 1.0])  # nothing is known yet
        u = -jax.grad(bowl)(self.w) if tx in (ZOOM, BACKTRACKING) else jax.grad(bowl)(self.w)
        u, state = tx.update(u, state, self.w, **NONE, value_fn=bowl)
        w = gradtx.apply_updates(self.w, u)
        value, grad = jax.jit(lambda s: gradtx.value_and_grad_from_state(self.other)(w, state=s))(state)
        want = jax.value_and_grad(bowl)(w)
        np.testing.assert_allclose([value, *grad], [want[0], *want[1]], rtol=1e-5, atol=1e-6)
        assert float(value) < float(bowl(self.w))

    def test_what_is_not_finite_is_computed(self):
        state = ZOOM.init(self.w)
        state = state._replace(count=state.count + 1)
        for bad in (state._replace(value=jnp.asarray(jnp.nan)), state._replace(grad=jnp.array([jnp.inf, 0.0]))):
            value, grad = gradtx.value_and_grad_from_state(bowl)(self.w, state=bad)
            np.testing.assert_allclose([value, *grad], [5.0, -2.0, 4.0])

    def test_a_search_that_keeps_no_gradient(self):
        tx = BACKTRACKING.replace(store_grad=False)
        _, state = tx.update(jnp.array([1.0, -1.0]), tx.init(self.w), self.w, **NONE, value_fn=bowl)
        value, grad = gradtx.value_and_grad_from_state(self.other)(self.w, state=state)
        np.testing.assert_allclose([value, *grad], [103.0, 1.0, 1.0])

    def test_other_arguments_go_to_the_function(self):
        f = gradtx.value_and_grad_from_state(lambda w, a, *, b: jnp.sum(w) * a + b)
        value, grad = f(self.w, 2.0, state=ZOOM.init(self.w), b=1.0)
        np.testing.assert_allclose([value, *grad], [7.0, 2.0, 2.0])

    def test_the_types_are_those_of_the_function(self):
        w = self.w.astype(jnp.bfloat16)
        for state in (ZOOM.init(w), ZOOM.init(w)._replace(count=jnp.asarray(1))):
            value, grad = gradtx.value_and_grad_from_state(jnp.sum)(w, state=state)
            assert value.dtype == grad.dtype == jnp.bfloat16

    def test_errors(self):
        f = gradtx.value_and_grad_from_state(bowl)
        with pytest.raises(TypeError, match="needs the state of scale_by_zoom_linesearch or scale_by_backtracking"):
            f(self.w, state=gradtx.adam(1e-3).init(self.w))
        with pytest.raises(ValueError, match="the state has 2 line searches; it must have one"):
            f(self.w, state={"a": ZOOM.init(self.w), "b": BACKTRACKING.init(self.w)})
        with pytest.raises(ValueError, match=r"the state's gradient has shape|has shape \(2,\)"):
            f(jnp.ones(3), state=ZOOM.init(self.w))
        with pytest.raises(TypeError, match=r"value_fn must return a real scalar; got float32\[2\]"):
            gradtx.value_and_grad_from_state(lambda w: w)(self.w, state=ZOOM.init(self.w))


def test_leaves_that_another_transformation_has_are_computed():
    """Under freeze the state has no gradient for what is frozen; the whole of it is computed then."""
    tx = gradtx.freeze(gradtx.lbfgs(linesearch=ZOOM), "body")
    params = {"body": jnp.array([1.0]), "head": jnp.array([2.0])}

    def loss(p):
        return jnp.sum((p["body"] * p["head"] - 1.0) ** 2)

    value_and_grad, state = gradtx.value_and_grad_from_state(loss), tx.init(params)

    @jax.jit
    def step(params, state):
        value, grad = value_and_grad(params, state=state)
        updates, state = tx.update(grad, state, params, value=value, grad=grad, value_fn=loss)
        return gradtx.apply_updates(params, updates), state

    for _ in range(4):
        params, state = step(params, state)
    np.testing.assert_allclose(params["head"], 1.0, atol=1e-4)
    np.testing.assert_array_equal(params["body"], 1.0)
