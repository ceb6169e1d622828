"""Programs that are written for other libraries.

`gradtx.compat.optax`, `gradtx.compat.torch` and `gradtx.compat.keras` have their names.
"""

from gradtx.compat.optax import to_optax

__all__ = ["to_optax"]
