"""Use gradtx from programs that are written for other libraries. `gradtx.compat.torch` has torch's names."""

from gradtx.compat.optax import to_optax

__all__ = ["to_optax"]
