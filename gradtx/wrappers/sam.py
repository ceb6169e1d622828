"""Sharpness-aware minimisation."""

from __future__ import annotations

import jax

from gradtx.core.hyper import Hyper
from gradtx.core.leaves import apply_updates, map_leaves
from gradtx.core.numerics import quotient
from gradtx.core.transformation import Transformation, transformation
from gradtx.core.trees import is_none, is_trained, require_same_tree
from gradtx.errors import describe, non_negative
from gradtx.transforms.norms import global_norm
from gradtx.transforms.split import AxisName, require_axis_name


@transformation(any_leaves=True, words={"in": "the gradient from a little uphill instead"})
def sam(inner: Transformation, rho: Hyper = 0.05, *, axis_name: AxisName = None):
    """Take the gradient at the approximate worst point within radius rho; this prefers flat minima.

        u = inner(∇f(w + rho·g/‖g‖₂))

    The incoming gradients g give only the uphill direction. So a clip in front of this does nothing else; put it
    inside. The norm is that of all leaves together. Where it is zero, or above 8e37, the gradient is taken at w. With
    rho = 0 the updates are those of `inner` for the gradients of grad_fn, to the bit. Each update costs a second
    gradient. In half precision an uphill step below the rounding error of a parameter is lost, and grad_fn sees w
    itself: keep such parameters in float32.

    `update` needs `grad_fn`, a function from parameters to gradients, for the same batch as g:
    `tx.update(grads, state, params, grad_fn=jax.grad(lambda p: loss(p, batch)))`.

    Args:
        inner: the transformation that gets the new gradient.
        rho: the radius, in parameter units; finite, at least 0.
        axis_name: as in `clip_by_global_norm`.

    State: that of `inner`.
    Extras: grad_fn: the function above.
    Raises: ValueError: an argument is out of range, `params` is not given, or the gradients of grad_fn do not fit.
        TypeError: grad_fn is not given, or no function.
    Source: Foret et al. 2021 (arXiv:2010.01412), equation 2 and algorithm 1. Same as optax's with `opaque_mode=True`, a
        normalised `sgd(rho)` as adversary, and one adversarial step; but optax's grad_fn takes the number of the step
        as its second argument, and a zero gradient gives NaN there.

    Example:
        >>> import gradtx, jax, jax.numpy as jnp
        >>> tx, w, grad_fn = gradtx.sam(gradtx.sgd(1.0), rho=0.5), jnp.array(2.0), jax.grad(lambda w: w**2 / 2)
        >>> print(tx.update(grad_fn(w), tx.init(w), w, grad_fn=grad_fn)[0])
        -2.5
    """
    non_negative(rho=rho)
    require_axis_name(axis_name)

    def init(params):
        return inner.init(params)

    def update(updates, state, params, *, grad_fn, **extra):
        if not callable(grad_fn):
            raise TypeError(f"sam: grad_fn must be a function from parameters to gradients; got {describe(grad_fn)}")
        norm = global_norm(updates, axis_name)
        uphill = map_leaves(lambda g: rho * quotient(g, norm), updates)
        grads = grad_fn(apply_updates(params, uphill))
        require_same_tree("gradient of grad_fn", grads, "parameter", params)
        # Leaves that are not trained keep the gradient that came in.
        grads = jax.tree.map(lambda g, given: g if is_trained(g) else given, grads, updates, is_leaf=is_none)
        return inner.update(grads, state, params, **inner.extras.taken({**extra, "grad_fn": grad_fn}))

    return init, update
