"""Programs that are written for other libraries. `gradtx.compat.optax` and `gradtx.compat.torch` have their names."""

from gradtx.compat.optax import to_optax

__all__ = ["to_optax"]
