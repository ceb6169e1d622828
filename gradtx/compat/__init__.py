"""Programs that are written for other libraries.

`gradtx.compat.optax`, `gradtx.compat.torch` and `gradtx.compat.keras` have their names.
"""

import importlib

from gradtx.compat.optax import to_optax

__all__ = ["to_optax"]


def __getattr__(name: str) -> object:
    if name in {"keras", "torch"}:
        return importlib.import_module(f"gradtx.compat.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
