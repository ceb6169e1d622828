"""Handing a transformation to clients of optax that will not take a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradtx.core.transformation import GradientTransformation

if TYPE_CHECKING:
    import optax


def to_optax(tx: GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Wrap a transformation in optax's own type: an opaque pair of functions, with the same state and updates.

    Most clients take a gradtx transformation as it is. This is for those that do not: `flax.nnx.Optimizer` where a
    hyperparameter is an array (it keeps the transformation as a static attribute, which must not hold data), and
    `optax.chain` where the update takes extra arguments (it passes them only to its own type).

    Args:
        tx: the transformation.

    Raises:
        ImportError: optax is not installed.
        TypeError: for what is no gradtx transformation.

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
    try:
        import optax
    except ImportError as error:
        raise ImportError("gradtx.compat.to_optax needs optax: pip install 'gradtx[peers]'") from error
    return optax.GradientTransformationExtraArgs(tx.init, tx.update)
