"""`to_optax`: a transformation in optax's own type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from gradtx.core.leaves import apply_updates
from gradtx.core.pair import GradientTransformation
from gradtx.core.trees import is_none, is_trained
from gradtx.optional_imports import extra

if TYPE_CHECKING:
    import optax


def to_optax(tx: GradientTransformation, *, like_params: bool = False) -> optax.GradientTransformationExtraArgs:
    """Wrap a transformation in optax's own type: a pair of plain functions with the same state and the same updates.

    Most programs accept a gradtx transformation directly. Use this where they do not:

    * numpyro's `SVI` and gpjax's `fit` check for optax's type;
    * `flax.nnx.Optimizer` keeps the transformation as a static attribute, which must not hold arrays: use this when a
      hyperparameter is an array;
    * `optax.chain` and `numpyro.optim.optax_to_numpyro` pass extra arguments only to optax's type.

    Args:
        tx: a gradtx transformation.
        like_params: if True, each update has the dtype of its parameter, as in optax; if False, it is float32 or wider.
            Use True for half-precision parameters in programs that add updates by hand, where the sum would be wider
            than the parameter: `equinox.apply_updates` (and so optimistix and gpjax), and blackjax's variational
            inference. The update is then the result of `gradtx.apply_updates` minus the parameter. Adding it gives that
            result exactly if the step is at most half the parameter; for longer steps the sum may differ by one unit in
            the last place of the larger of the two.

    Raises:
        MissingExtraError: optax is not installed.
        TypeError: `tx` is not a gradtx transformation.
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
    with extra(None):
        import optax

    def update(updates: Any, state: Any, params: Any = None, **more: Any) -> tuple[Any, Any]:
        if like_params and params is None:
            raise ValueError("to_optax(tx, like_params=True) needs the parameters: call update(updates, state, params)")
        # optax's protocol gives every extra argument to every member: those of others are no misspellings.
        updates, state = tx.update(updates, state, params, **tx.extras.taken(more))
        if like_params:
            updates = jax.tree.map(_step_to, params, updates, apply_updates(params, updates), is_leaf=is_none)
        return updates, state

    return optax.GradientTransformationExtraArgs(tx.init, update)


def _step_to(p: Any, u: Any, new: Any) -> Any:
    """The update in the dtype of the parameter p that leads from p to `new`."""
    if not is_trained(p) or jnp.result_type(p) == u.dtype:
        return u
    return (new.astype(u.dtype) - jnp.asarray(p).astype(u.dtype)).astype(new.dtype)
