"""optax's older names of the functions of `tree`: `tree_add` is `tree.add`."""

from gradtx.compat.optax import tree as _tree
from gradtx.compat.optax.tree import NamedTupleKey as NamedTupleKey

globals().update({f"tree_{name}": getattr(_tree, name) for name in _tree.__all__ if name != "NamedTupleKey"})

__all__ = ["NamedTupleKey", *(f"tree_{name}" for name in _tree.__all__ if name != "NamedTupleKey")]  # pyright: ignore
