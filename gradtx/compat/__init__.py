"""Use gradtx from programs that are written for other libraries."""

from gradtx.compat.optax import to_optax

__all__ = ["to_optax"]
