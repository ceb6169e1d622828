"""Other libraries: what they take from this one, and what this one takes from them."""

from gradtx.compat.optax import to_optax

__all__ = ["to_optax"]
