"""The value and the gradient that a line search has already computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core.trees import flatten, is_trained, require_same_tree
from gradtx.errors import describe
from gradtx.transforms.backtracking import ScaleByBacktrackingLinesearchState
from gradtx.transforms.line import like_trained, on_trained, value_and_grad
from gradtx.transforms.split import AxisName, listed, on_all, require_axis_name
from gradtx.transforms.vectors import trained
from gradtx.transforms.zoom import ScaleByZoomLinesearchState

_SEARCHES = (ScaleByBacktrackingLinesearchState, ScaleByZoomLinesearchState)


def value_and_grad_from_state(
    value_fn: Callable[..., Any], *, axis_name: AxisName = None
) -> Callable[..., tuple[Any, Any]]:
    """`jax.value_and_grad`, but the value and the gradient come from the state of a line search if it has them.

    The new function, `(params, *args, state, **kwargs) -> (value, grad)`, calls `value_fn(params, *args, **kwargs)`
    only before the first update, after a backtracking search without store_grad, or if the state holds non-finite
    numbers. It assumes that the search was the last member of its chain, that its whole update was applied, and that
    value_fn and its other arguments are those of the search. The gradient of a leaf that is not trained is None; that
    of a complex leaf is the conjugate of `jax.grad`'s, which descent subtracts.

    Args:
        value_fn: a function of the parameters and of other arguments; returns a real scalar.
        axis_name: that of the search, which says what value_fn must return. The gradient is the derivative of the whole
            value by the device's own part of the parameters, also with check_vma=False. All devices compute, or none.

    Raises: TypeError: the state has no line search; value_fn does not return a real scalar; axis_name is not a name.
        ValueError: the state has several line searches.
    Source: optax's `value_and_grad_from_state`, whose gradients of complex leaves are those of jax.grad.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> f, w = lambda w: jnp.sum(w * w), jnp.array([1.0, 2.0])
        >>> value, grad = gradtx.value_and_grad_from_state(f)(w, state=gradtx.lbfgs().init(w))
        >>> print(value, grad)
        5.0 [2. 4.]
    """

    require_axis_name(axis_name)

    def value_and_gradient(params: Any, *args: Any, state: Any, **kwargs: Any) -> tuple[Any, Any]:
        found = _search_of(state)
        scalar = on_trained(lambda p: value_fn(p, *args, **kwargs), params)

        def computed(ws: list) -> tuple[Any, list]:
            return value_and_grad(scalar, ws, axis_name=listed(axis_name, params))

        # Leaves that another transformation trains, or that are frozen, are not in the state. Then all is computed.
        if found.grad is None or _lacks(found.grad, params):
            value, gs = computed(trained(params))
            return value, like_trained(params, gs)
        require_same_tree("the state's gradient", found.grad, "parameter", params)
        types = jax.eval_shape(computed, trained(params))
        kept = jax.tree.map(lambda x, like: x.astype(like.dtype), (found.value, trained(found.grad)), types)
        known = (found.count > 0) & jnp.isfinite(found.value)
        known = jnp.all(jnp.stack([known, *(jnp.all(jnp.isfinite(g)) for g in kept[1])]))
        value, gs = jax.lax.cond(on_all(known, axis_name), lambda ws: kept, computed, trained(params))
        return value, like_trained(params, gs)

    return value_and_gradient


def _lacks(grad: Any, params: Any) -> bool:
    """Whether the gradient of a trained parameter is missing."""
    rows = zip(flatten(grad)[0], flatten(params)[0], strict=False)
    return any(g is None and is_trained(p) for g, p in rows)


def _search_of(state: Any) -> Any:
    """The state of the only line search in a state, at any depth."""
    leaves = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, _SEARCHES))
    found = [x for x in leaves if isinstance(x, _SEARCHES)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"value_and_grad_from_state: the state has {len(found)} line searches; it must have one")
    raise TypeError(
        f"value_and_grad_from_state needs the state of scale_by_zoom_linesearch or scale_by_backtracking_linesearch, "
        f"alone or inside another; got {describe(state)}"
    )
