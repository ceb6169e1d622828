"""Double precision, for laws and comparisons that need exact numbers."""

from __future__ import annotations

from typing import Any

import jax
from jax import experimental


def double_precision() -> Any:
    """A context in which JAX has 64-bit types. Its name differs between the supported versions of JAX."""
    enable: Any = getattr(jax if hasattr(jax, "enable_x64") else experimental, "enable_x64")  # noqa: B009
    return enable(True)
