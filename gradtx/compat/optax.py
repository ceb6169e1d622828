"""Handing a transformation to clients of optax that will not take a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from gradtx.core.apply import apply_updates
from gradtx.core.pair import GradientTransformation
from gradtx.core.trees import is_none, is_trained
from gradtx.optional_imports import extra

if TYPE_CHECKING:
    import optax


def to_optax(tx: GradientTransformation, *, like_params: bool = False) -> optax.GradientTransformationExtraArgs:
    """Wrap a transformation in optax's own type: an opaque pair of functions, with the same state and updates.

    Most clients take a gradtx transformation as it is. This is for those that do not: numpyro's `SVI` and gpjax's `fit`
    (they ask for optax's type), `flax.nnx.Optimizer` where a hyperparameter is an array (it keeps the transformation as
    a static attribute, which must not hold data), and `optax.chain` and `numpyro.optim.optax_to_numpyro` where the
    update takes extra arguments (they pass them only to that type).

    Args:
        tx: the transformation.
        like_params: whether updates leave in the types of their parameters, as optax's do, and not in float32. It is
            for half-precision parameters in clients that add updates by hand, where a sum would be wider than the
            parameter: `equinox.apply_updates`, and with it optimistix and gpjax; blackjax's variational inference. The
            update is then the difference between what `gradtx.apply_updates` gives and the parameter. For a step of at
            most half the parameter the sum is that again; beyond, it may be off by a last place of the larger of both.

    Raises:
        MissingExtraError: optax is not installed.
        TypeError: for what is no gradtx transformation.
        ValueError: with `like_params`, when `update` is called without the parameters.

    Example:
        >>> import gradtx, jax.numpy as jnp
        >>> from gradtx.compat import to_optax
        >>> pair = to_optax(gradtx.sgd(jnp.asarray(0.5)))
        >>> updates, state = pair.update(jnp.array([2.0, -2.0]), pair.init(jnp.zeros(2)))
        >>> print(updates)
        [-1.  1.]
    """
    if not isinstance(tx, GradientTransformation):
        raise TypeError(f"to_optax takes a gradtx transformation, such as adam(1e-3); got {type(tx).__name__}")
    with extra("peers"):
        import optax

    def update(updates: Any, state: Any, params: Any = None, **more: Any) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("to_optax(tx, like_params=True) needs the parameters: call update(updates, state, params)")
        updates, state = tx.update(updates, state, params, **more)
        return jax.tree.map(_landing, params, updates, apply_updates(params, updates), is_leaf=is_none), state

    return optax.GradientTransformationExtraArgs(tx.init, update if like_params else tx.update)


def _landing(p: Any, u: Any, new: Any) -> Any:
    """The update in the type of the parameter p whose sum with it is `new`."""
    if not is_trained(p) or jnp.result_type(p) == u.dtype:
        return u
    return (new.astype(u.dtype) - jnp.asarray(p).astype(u.dtype)).astype(new.dtype)
