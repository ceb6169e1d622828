"""`from_optax`: a transformation of optax as one of gradtx."""

from __future__ import annotations

from typing import Any

from gradtx.core.pair import GradientTransformation
from gradtx.core.transformation import as_transformation


def from_optax(tx: Any) -> GradientTransformation:
    """Make a transformation of gradtx from one of optax: `step`, wrappers and chains then take it; its state stays.

    Wrappers and `chain` do this by themselves. Its numbers are hidden in its functions. So they are not leaves, and two
    equal calls are two different values.

    Args:
        tx: a transformation of optax, also `MultiSteps`, or any pair `(init, update)`. One of gradtx comes back as it
            is.

    Raises: TypeError: this is not a transformation.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from gradtx.compat.optax import from_optax
        >>> tx = from_optax(optax.sgd(0.5))
        >>> params, state = tx.step(jnp.ones(2), tx.init(jnp.zeros(2)), jnp.zeros(2))
        >>> print(params)
        [-0.5 -0.5]
    """
    whole = getattr(tx, "gradient_transformation", None)  # of MultiSteps, which has methods
    return as_transformation("tx", whole() if callable(whole) else tx)
